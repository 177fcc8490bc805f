//! A soak: clients through whole sessions while smrd is killed, stopped, told to
//! read its configuration again, and while its disk is full; then a count of what
//! was acknowledged and what is there, and a look at memory and descriptors.
//!
//! `scripts/soak` says for how long and with how many; a bare cargo test does
//! with little.

#![allow(clippy::print_stdout)] // the figures are for people to read

#[path = "../lib/server/tests/town/mod.rs"]
mod town;

#[path = "soak/client.rs"]
mod client;
#[path = "soak/disk.rs"]
mod disk;
#[path = "soak/smrd.rs"]
mod smrd;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Visitor;
use disk::Disk;
use smr_name::MessageId;
use smrd::Smrd;
use town::Town;
use town::people::person;

/// Deposits a second that all clients together try for.
const DEPOSITS: u32 = 200;
/// Memory that smrd may gain in the last quarter, in KiB, besides what it keeps
/// of each message.
const SLACK: u64 = 16 << 10;
/// The same for each message, in bytes.
const PER_MESSAGE: u64 = 1024;

/// What was acknowledged, and how often what happened.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By mailbox and message.
    deposits: Mutex<BTreeSet<(String, MessageId)>>,
    /// By sender and message.
    receipts: Mutex<BTreeSet<(String, MessageId)>>,
    acknowledged: AtomicU64,
    fetched: AtomicU64,
    busy: AtomicU64,
    sessions: AtomicU64,
    cut: AtomicU64,
    /// No new messages are sent.
    closing: AtomicBool,
}

impl Ledger {
    fn count(&self, of: &AtomicU64) -> u64 {
        of.load(Ordering::Relaxed)
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// Waits until it is so, and fails after a minute.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What is done to smrd, one after the other.
#[derive(Clone, Copy, Debug)]
enum Act {
    Reload,
    Kill,
    Fill,
    Stop,
}
const ACTS: [Act; 5] = [Act::Reload, Act::Kill, Act::Fill, Act::Reload, Act::Stop];

#[test]
fn whatever_happens_what_was_acknowledged_is_there() {
    let seconds = number("SMR_SOAK_SECONDS", 20);
    let clients = number("SMR_SOAK_CLIENTS", 12) as usize;
    println!("{clients} clients for {seconds} s; scripts/soak does 200 for 900 s");
    smrd::enough_descriptors(clients as u64);
    let mut town = Town::with(&format!(
        "listen = {{ address = ['127.0.0.1:0'], connections = 4096, per_peer = 4096 }}\n\
         enrol = {{ max_names = {clients} }}\n\
         rates = {{ enrolments_of_one = 1000000 }}\n\
         store = {{ reserve = '0B' }}\n"
    ));
    let card = town.ca.card("ana");
    let people: Vec<_> = (0..clients)
        .map(|n| person(&card, &format!("p{n}")))
        .collect();
    people.iter().for_each(|one| drop(one.enrol(&town)));
    let identity = town.identity();
    assert!(town.stop());
    let disk = Disk::mount(&town.path("deep"));
    let mut smrd = Smrd::start(&town);
    let descriptors = smrd.descriptors();

    let ledger = Ledger::default();
    let pause = Duration::from_secs(1) * u32::try_from(clients).unwrap() / DEPOSITS;
    let address = smrd.address();
    let begin = Instant::now();
    let (calm, calm_memory) = thread::scope(|scope| {
        for (at, own) in people.iter().enumerate() {
            let (ledger, people, identity) = (&ledger, &people, &identity);
            scope.spawn(move || {
                let mut visitor = Visitor::new(own, address, identity, ledger);
                visitor.live(pause, |turn| {
                    let to = (at + turn) % people.len();
                    people[to].name.clone()
                });
            });
        }
        let all = Duration::from_secs(seconds);
        let each = (all / 16).max(Duration::from_secs(2));
        let mut acts = ACTS.iter().cycle();
        let mut done = Vec::new();
        while begin.elapsed() + each < all * 3 / 4 {
            thread::sleep(each);
            let act = acts.next().expect("a cycle");
            disturb(*act, &town, &mut smrd, disk.as_ref(), &ledger);
            done.push(format!("{act:?}"));
        }
        println!("done to smrd: {}", done.join(" "));
        // The last quarter is calm: what grows now grows for ever.
        thread::sleep(all / 16);
        let calm = (ledger.count(&ledger.acknowledged), smrd.memory());
        thread::sleep(all.saturating_sub(begin.elapsed()));
        let memory = smrd.memory();
        ledger.closing.store(true, Ordering::Relaxed);
        (calm, memory)
    });
    let took = begin.elapsed();
    until("descriptors come back", || {
        smrd.descriptors() <= descriptors + 2
    });
    let acknowledged = ledger.count(&ledger.acknowledged);
    let per_second = acknowledged as f64 / took.as_secs_f64();
    println!(
        "{acknowledged} deposits acknowledged ({per_second:.0} a second), {} fetched, {} refused as busy",
        ledger.count(&ledger.fetched),
        ledger.count(&ledger.busy),
    );
    println!(
        "{} sessions, {} of them cut off",
        ledger.count(&ledger.sessions),
        ledger.count(&ledger.cut)
    );
    let messages = acknowledged - calm.0;
    println!(
        "memory: {} KiB, {messages} messages later {calm_memory} KiB, {} KiB once all are gone; \
         descriptors: {descriptors} before, {} after",
        calm.1,
        smrd.memory(),
        smrd.descriptors()
    );

    let (mut deposits, mut receipts) = (BTreeSet::new(), BTreeSet::new());
    for own in &people {
        let mut visitor = Visitor::new(own, address, &identity, &ledger);
        visitor.collect(&mut deposits, &mut receipts);
    }
    println!(
        "there are {} messages and {} receipts",
        deposits.len(),
        receipts.len()
    );
    assert_eq!(*ledger.deposits.lock().unwrap(), deposits);
    assert_eq!(*ledger.receipts.lock().unwrap(), receipts);
    assert!(acknowledged > 0 && !receipts.is_empty());
    let log = smrd.log();
    let panics: Vec<&str> = log.lines().filter(|line| line.contains("panic")).collect();
    assert!(panics.is_empty(), "smrd panicked: {panics:#?}");
    assert_eq!(smrd.stop(), Some(0));
    println!("fsck: {}", smrd::fsck(&town));
    let most = calm.1 + SLACK + messages * PER_MESSAGE / 1024;
    assert!(calm_memory <= most, "{calm_memory} KiB, at most {most}");
}

fn disturb(act: Act, town: &Town, smrd: &mut Smrd, disk: Option<&Disk>, ledger: &Ledger) {
    match act {
        Act::Reload => smrd.reload(),
        Act::Kill => {
            smrd.kill();
            *smrd = Smrd::start(town);
        }
        Act::Stop => {
            assert_eq!(smrd.stop(), Some(0), "it ends with 0");
            *smrd = Smrd::start(town);
        }
        Act::Fill => {
            let Some(disk) = disk else {
                return;
            };
            let before = ledger.count(&ledger.busy);
            let ballast = disk.fill();
            until("somebody is told that there is no room", || {
                ledger.count(&ledger.busy) > before
            });
            drop(ballast);
            // Where a write failed it takes nothing more, as its page says.
            if smrd.log().contains("takes nothing more") {
                println!("the store had failed; smrd was started again");
                smrd.stop();
                *smrd = Smrd::start(town);
            }
        }
    }
    let before = ledger.count(&ledger.acknowledged);
    until("messages are taken again", || {
        ledger.count(&ledger.acknowledged) > before
    });
}
