//! Fills a mailbox with real messages, and asks for the newest of them:
//!
//!     many send COUNT ADDRESSEE     seals and deposits; for the user of SMR_HOME
//!     many newest ROUNDS            prints the median of newest 50, microseconds
//!
//! Keeps no postmarks: the disk of the sender is not what is measured here.
//! scripts/tools runs it.

use std::error::Error;
use std::io::{Cursor, Write, stdout};
use std::time::{Instant, SystemTime};

use rand_core::OsRng;
use smr_client::config::Config;
use smr_client::home::Home;
use smr_client::listing::Folder;
use smr_client::session::Offer;
use smr_client::user::User;
use smr_evidence::envelope::{Author, Draft, Part, ReceiptWanted, seal};
use smr_name::MailboxName;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["send", count, to] => send(count.parse()?, &to.parse()?),
        ["newest", rounds] => newest(rounds.parse()?),
        _ => Err("usage: many send COUNT ADDRESSEE | many newest ROUNDS".into()),
    }
}

fn user() -> Outcome<User> {
    let home = Home::find(None)?;
    let settings = Config::load(&home, false)?.settings(None)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(User::open(&home, &settings, now.as_secs().try_into()?)?)
}

fn send(count: usize, to: &MailboxName) -> Outcome<()> {
    let mut user = user()?;
    let own = user.account(&user.address.mailbox.clone())?;
    let recipients = [own.recipients(), user.account(to)?.recipients()].concat();
    let device = user.device()?;
    let from = Author {
        display: own.person.display.clone(),
        address: user.address.clone(),
    };
    for number in 1..=count {
        let draft = Draft {
            from: from.clone(),
            to: vec![user.full(to)],
            cc: Vec::new(),
            date: user.now,
            subject: &format!("message number {number} of {count}"),
            id: smr_client::deposit::new_id(),
            reply: None,
            receipt: ReceiptWanted::Read,
            told: Vec::new(),
        };
        let (mut file, text) = (Vec::new(), Cursor::new([b'x'; 1024]));
        let parts = vec![Part::Text(Box::new(text))];
        let sealed = seal(&draft, parts, &recipients, &device, &mut file, &mut OsRng)?;
        let offer = Offer {
            id: draft.id,
            size: sealed.sealed_bytes,
            sha256: sealed.sealed_sha256,
            cms: sealed.cms_sha256,
            mailboxes: vec![to.clone()],
        };
        user.session.deposit(&offer, &mut Cursor::new(file))?;
    }
    Ok(())
}

fn newest(rounds: usize) -> Outcome<()> {
    let mut user = user()?;
    let count = user.session.list(Folder::Inbox, u64::MAX, 1, 0)?.count;
    let mut once = || -> Outcome<u128> {
        let start = Instant::now();
        let after = count.saturating_sub(50);
        let page = user.session.list(Folder::Inbox, after, 50, 0)?;
        assert_eq!(page.entries.len() as u64, count.min(50));
        Ok(start.elapsed().as_micros())
    };
    let mut times = (0..rounds).map(|_| once()).collect::<Outcome<Vec<_>>>()?;
    times.sort_unstable();
    let median = times.get(times.len() / 2).ok_or("no rounds")?;
    Ok(writeln!(stdout(), "{median}")?)
}
