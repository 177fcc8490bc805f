//! The load generator of scripts/deposits: deposits by many connections at
//! once, to a smrd through whole sessions, or to any LMTP server.
//!
//! No test: it does nothing unless SMR_LOAD says what to load.

#![allow(clippy::print_stdout)]

mod town;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand_core::{OsRng, RngCore};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_name::MessageId;
use town::client::{Client, offered};
use town::people::person;
use town::{Town, now};

/// What the variables ask for.
struct Plan {
    connections: usize,
    mailboxes: usize,
    size: usize,
    time: Duration,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// One connection, ready to deposit the next message into a mailbox.
trait Depositor: Send {
    fn deposit(&mut self, mailbox: usize, body: &[u8]);
}

#[test]
fn load() {
    let Ok(kind) = std::env::var("SMR_LOAD") else {
        return;
    };
    let plan = Plan {
        connections: number("SMR_LOAD_CONNECTIONS", 32) as usize,
        mailboxes: number("SMR_LOAD_MAILBOXES", 1) as usize,
        size: number("SMR_LOAD_SIZE", 1024) as usize,
        time: Duration::from_secs(number("SMR_LOAD_SECONDS", 5)),
    };
    match kind.split_once(':') {
        None if kind == "smrd" => smrd(&plan),
        Some(("lmtp", address)) => lmtp(&plan, address.parse().expect("an address")),
        _ => panic!("SMR_LOAD is smrd or lmtp:ADDRESS"),
    }
}

fn smrd(plan: &Plan) {
    let more = format!(
        "listen = {{ address = ['127.0.0.1:0'], connections = 4096, per_peer = 4096 }}\n\
         enrol = {{ max_names = {} }}\n\
         rates = {{ requests = 1000000, deposits = 1000000, enrolments_of_one = 1000000 }}\n",
        plan.connections + plan.mailboxes
    );
    let town = Town::with(&more);
    let card = town.ca.card("ana");
    for n in 0..plan.mailboxes {
        drop(person(&card, &format!("m{n}")).enrol(&town));
    }
    let senders = (0..plan.connections).map(|n| person(&card, &format!("s{n}")).enrol(&town));
    let senders: Vec<Client> = senders.collect();
    run("smrd", plan, senders);
}

impl Depositor for Client {
    fn deposit(&mut self, mailbox: usize, body: &[u8]) {
        let id = MessageId::from_bytes(random());
        let to = format!("m{mailbox}");
        renew(self);
        match self
            .ask_with(&Request::Post(offered(id, body, &[&to])), body)
            .0
        {
            Reply::Postmarks { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn renew(client: &mut Client) {
    if client.session.renewal_due(now()) {
        client.renew();
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// An LMTP connection (RFC 2033).
struct Lmtp {
    stream: BufReader<TcpStream>,
}

impl Lmtp {
    fn open(address: SocketAddr) -> Lmtp {
        let stream = TcpStream::connect(address).expect("an LMTP server");
        stream.set_nodelay(true).expect("a socket");
        let mut lmtp = Lmtp {
            stream: BufReader::new(stream),
        };
        lmtp.expect("220");
        lmtp.say("LHLO load\r\n");
        lmtp.expect("250");
        lmtp
    }

    fn say(&mut self, text: &str) {
        let stream = self.stream.get_mut();
        stream.write_all(text.as_bytes()).expect("a connection");
    }

    fn expect(&mut self, code: &str) {
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a connection");
            assert!(line.starts_with(code), "{line}");
            // The last line of a reply has no dash.
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}

impl Depositor for Lmtp {
    fn deposit(&mut self, mailbox: usize, body: &[u8]) {
        self.say("MAIL FROM:<load@example.org>\r\n");
        self.expect("250");
        self.say(&format!("RCPT TO:<m{mailbox}>\r\n"));
        self.expect("250");
        self.say("DATA\r\n");
        self.expect("354");
        let text = std::str::from_utf8(body).expect("text");
        self.say(&format!("Subject: load\r\n\r\n{text}\r\n.\r\n"));
        self.expect("250");
    }
}

fn lmtp(plan: &Plan, address: SocketAddr) {
    let senders = (0..plan.connections).map(|_| Lmtp::open(address)).collect();
    run("lmtp", plan, senders);
}

/// Lets all deposit until the time is over, and says what came of it.
fn run<D: Depositor>(kind: &str, plan: &Plan, senders: Vec<D>) {
    let over = AtomicBool::new(false);
    // Lines of text, so that an LMTP server takes them as well.
    let line = "x".repeat(70) + "\r\n";
    let body: Vec<u8> = line.bytes().cycle().take(plan.size).collect();
    let ours = AtomicU64::new(0);
    let (began, cpu) = (Instant::now(), ticks("/proc/self/stat"));
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(at, mut sender)| {
                let (over, body, ours) = (&over, &body, &ours);
                scope.spawn(move || {
                    let mut times = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let before = Instant::now();
                        sender.deposit((at + times.len()) % plan.mailboxes, body);
                        times.push(before.elapsed());
                    }
                    ours.fetch_add(ticks("/proc/thread-self/stat"), Ordering::Relaxed);
                    times
                })
            })
            .collect();
        std::thread::sleep(plan.time);
        over.store(true, Ordering::Relaxed);
        let ended = running.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    });
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let ours = ours.into_inner();
    let all = ticks("/proc/self/stat") - cpu;
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    // What is not the generator's is smrd's, which shares the process.
    let cpu_ms = |ticks: u64| ticks as f64 * 10.0 / times.len() as f64 * 1000.0;
    println!(
        "{{\"v\":1,\"type\":\"rate\",\"kind\":\"{kind}\",\"connections\":{},\"mailboxes\":{},\"size\":{},\
         \"per_second\":{rate:.0},\"p50_us\":{},\"p99_us\":{},\"cpu_ms_per_1000\":{:.0},\
         \"generator_cpu_ms_per_1000\":{:.0},\"peak_kib\":{}}}",
        plan.connections,
        plan.mailboxes,
        plan.size,
        at(50),
        at(99),
        cpu_ms(all.saturating_sub(ours)),
        cpu_ms(ours),
        peak(),
    );
}

/// CPU of a process or thread, in hundredths of a second.
fn ticks(file: &str) -> u64 {
    let text = std::fs::read_to_string(file).expect("procfs");
    let fields = text.rsplit(')').next().expect("a name").split_whitespace();
    let times = fields
        .skip(11)
        .take(2)
        .map(|n| n.parse::<u64>().expect("ticks"));
    times.sum()
}

fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
