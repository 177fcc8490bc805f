//! What whole processes cost, and the parts of a send, with a warm agent:
//!
//!     parts run ROUNDS COMMAND...          prints the median, microseconds
//!     parts send ROUNDS ADDRESSEE ANOTHER
//!
//! A command has nothing on its standard input and says nothing. The second is for
//! the user of SMR_HOME: sends messages of 1 KiB to the one, and deposits as many
//! bytes that nobody can open with the other. Prints the median of each part, a
//! name, a tab and microseconds. scripts/tools runs both.

use std::error::Error;
use std::hint::black_box;
use std::io::{Cursor, Write, stdout};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use age::Recipient as _;
use rand_core::{OsRng, RngCore};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use sha2::{Digest, Sha256};
use smr_client::config::Config;
use smr_client::deposit::{self, How, Letter, Part, ReceiptWanted, Sent};
use smr_client::hand::Hand;
use smr_client::home::Home;
use smr_client::session::Offer;
use smr_client::user::User;
use smr_name::MailboxName;
use smr_seal::Identity;

/// Bytes of what is sent.
const SIZE: usize = 1024;
/// Signatures and encapsulations in one round.
const MANY: u32 = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["run", rounds, program, ref args @ ..] => {
            let micros = median(rounds.parse()?, || whole(program, args))?;
            Ok(writeln!(stdout(), "{micros}")?)
        }
        ["send", rounds, to, other] => {
            for (name, part) in parts(&to.parse()?, &other.parse()?)? {
                let micros = median(rounds.parse()?, part)?;
                writeln!(stdout(), "{name}\t{micros}")?;
            }
            Ok(())
        }
        _ => Err("usage: parts run ROUNDS COMMAND... | parts send ROUNDS ADDRESSEE ANOTHER".into()),
    }
}

/// A process from its start to its end.
fn whole(program: &str, args: &[&str]) -> Outcome<u128> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    timed(|| match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{program} failed").into()),
    })
}

/// A part: runs once, and returns how long what counts of it took.
type Run = Box<dyn FnMut() -> Outcome<u128>>;

fn parts(to: &MailboxName, other: &MailboxName) -> Outcome<Vec<(&'static str, Run)>> {
    let (to, other) = (to.clone(), other.clone());
    let own = user()?.address.mailbox;
    let record = |name: MailboxName| -> Run {
        Box::new(move || {
            let mut user = user()?;
            timed(|| Ok(user.account(&name)?))
        })
    };
    let mut sender = user()?;
    Ok(vec![
        ("open", Box::new(|| timed(user)) as Run),
        ("own", record(own)),
        ("other", record(to.clone())),
        ("signature", Box::new(signature)),
        ("encapsulation", Box::new(encapsulation)),
        ("deposit", Box::new(move || deposit(&mut sender, &other))),
        ("send", Box::new(move || send(&to))),
    ])
}

/// Returns the median in microseconds.
fn median(rounds: usize, mut run: impl FnMut() -> Outcome<u128>) -> Outcome<u128> {
    let mut times = (0..rounds).map(|_| run()).collect::<Outcome<Vec<_>>>()?;
    times.sort_unstable();
    let median = times.get(times.len() / 2).ok_or("no rounds")?;
    Ok(median / 1000)
}

/// Returns how many nanoseconds it took.
fn timed<T>(run: impl FnOnce() -> Outcome<T>) -> Outcome<u128> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_nanos())
}

fn user() -> Outcome<User> {
    let home = Home::find(None)?;
    let settings = Config::load(&home, false)?.settings(None)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(User::open(&home, &settings, now.as_secs().try_into()?)?)
}

/// A signature as the agent makes it.
fn signature() -> Outcome<u128> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| "no key")?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random)?;
    let all = timed(|| {
        for _ in 0..MANY {
            black_box(key.sign(&random, &[7; 32]).map_err(|_| "no signature")?);
        }
        Ok(())
    })?;
    Ok(all / u128::from(MANY))
}

/// The stanza for one device.
fn encapsulation() -> Outcome<u128> {
    let recipient = Identity::generate_pq(&mut OsRng).to_recipient();
    let key = age_core::format::FileKey::new(Box::new([7; 16]));
    let all = timed(|| {
        for _ in 0..MANY {
            black_box(recipient.wrap_file_key(&key)?);
        }
        Ok(())
    })?;
    Ok(all / u128::from(MANY))
}

/// A durable deposit: from this process through agent and smrd to the disk, and
/// the postmarks back.
fn deposit(user: &mut User, to: &MailboxName) -> Outcome<u128> {
    let mut sealed = [0; SIZE];
    OsRng.fill_bytes(&mut sealed);
    let offer = Offer {
        id: deposit::new_id(),
        size: SIZE as u64,
        sha256: Sha256::digest(sealed).into(),
        cms: [0; 32],
        mailboxes: vec![to.clone()],
    };
    timed(|| Ok(user.session.deposit(&offer, &mut Cursor::new(sealed))?))
}

/// All that a send does after its user is opened and the accounts are verified.
fn send(to: &MailboxName) -> Outcome<u128> {
    let mut user = user()?;
    let own = user.address.mailbox.clone();
    for name in [&own, to] {
        user.account(name)?;
    }
    let mut text = vec![0; SIZE];
    OsRng.fill_bytes(&mut text);
    let letter = Letter {
        to: vec![user.full(to)],
        cc: Vec::new(),
        subject: "parts".to_owned(),
        parts: vec![Part::Text(Box::new(Cursor::new(text)))],
        receipt: ReceiptWanted::Read,
        reply: None,
    };
    timed(|| {
        let hand = Hand::device(&user)?;
        let sent = deposit::send(&mut user, letter, deposit::new_id(), &hand, How::default());
        match sent? {
            Sent::Deposited(_) => Ok(()),
            Sent::Queued(why) => Err(why.into()),
        }
    })
}
