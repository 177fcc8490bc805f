//! What a message to a crowd costs: bytes of header, time to seal, time to find
//! the key with the last device of all.
//!
//!     cargo run --release -p smr-evidence --example devices

use std::io::{Read, Write};

use rand_core::OsRng;
use smr_seal::{Identity, Recipient};

fn main() {
    let mut out = std::io::stdout();
    let mut row = |text: String| out.write_all(text.as_bytes()).expect("stdout");
    row("devices  kind            header bytes  seal ms  open ms\n".into());
    for count in [1, 10, 300, 1000] {
        let pq: Vec<_> = (0..count)
            .map(|_| Identity::generate_pq(&mut OsRng))
            .collect();
        row(measure("mlkem768x25519", &pq));
        let classic = (0..count).map(|_| Identity::generate_classic(&mut OsRng));
        row(measure("X25519", &classic.collect::<Vec<_>>()));
    }
}

/// Returns the milliseconds that this thread has had of a processor: others on
/// the machine do not count.
fn spent() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = stat.split(' ').next().expect("three numbers");
    first.parse::<f64>().expect("nanoseconds") / 1e6
}

fn measure(kind: &str, keys: &[Identity]) -> String {
    let recipients: Vec<Recipient> = keys.iter().map(Identity::to_recipient).collect();
    let begun = spent();
    let recipients = recipients.iter().map(|r| r as &dyn age::Recipient);
    let mut sealed = Vec::new();
    let encryptor = age::Encryptor::with_recipients(recipients).expect("one kind");
    let mut writer = encryptor.wrap_output(&mut sealed).expect("memory");
    writer.write_all(b"x").expect("memory");
    writer.finish().expect("memory");
    let seal = spent() - begun;
    let mac = sealed
        .windows(5)
        .position(|w| w == b"\n--- ")
        .expect("it has a header");
    let begun = spent();
    let last = keys.last().expect("one at least") as &dyn age::Identity;
    // All at once: age looks for line ends again and again in what it has.
    let file =
        age::Decryptor::new_buffered(std::io::BufReader::with_capacity(4 << 20, &sealed[..]));
    let mut plain = Vec::new();
    file.and_then(|file| file.decrypt(std::iter::once(last)))
        .expect("it is sealed to the last")
        .read_to_end(&mut plain)
        .expect("it decrypts");
    let open = spent() - begun;
    format!(
        "{:7}  {kind:14}  {:12}  {:7.1}  {:7.1}\n",
        keys.len(),
        mac + 5 + 43 + 1 + 16,
        seal,
        open
    )
}
