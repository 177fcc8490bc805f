//! Floods at smrd, the program, again and again: strangers who say nothing or
//! half of something, bodies that stop, answers that nobody takes, one card that
//! enrols without end. What they had cost comes back, descriptors and memory.

#![allow(clippy::print_stdout)] // the figures are for people to read

#[path = "../lib/server/tests/town/mod.rs"]
mod town;

#[allow(dead_code)] // made for the soak
#[path = "soak/smrd.rs"]
mod smrd;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use smr_channel::frame::MAGIC;
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_name::{Class, MessageId};
use smrd::Smrd;
use town::Town;
use town::client::{Client, id, offer, refused};
use town::people::{Person, person};

/// Of each kind of stranger, in one flood.
const STRANGERS: usize = 250;
/// Sessions whose bodies stop, and whose answers nobody takes.
const SLOW: u8 = 20;
/// Names for which one card asks.
const NAMES: usize = 80;
/// Memory that floods may leave behind, in KiB, once the first are over.
const SLACK: u64 = 3 << 10;
/// More than the sockets on the way hold.
const LARGE: usize = 12 << 20;

/// Waits until it is so, and fails after a minute.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Those who come.
struct Crowd<'a> {
    address: SocketAddr,
    identity: &'a Identity,
    ana: &'a Person,
    /// Of one card.
    names: &'a [Person],
}

impl Crowd<'_> {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    fn login(&self) -> Client {
        let (client, reply) = Client::over(self.connect(), self.identity, |hash| {
            self.ana.login_as(&self.ana.name, hash)
        });
        assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
        client
    }

    /// Says nothing, half a greeting, a greeting and half a frame, or noise.
    fn strangers(&self) -> Vec<TcpStream> {
        let greeted = [MAGIC.as_slice(), b"S\x04\x00half"].concat();
        let noise = [MAGIC.as_slice(), b"S\x00\x10not a handshake "].concat();
        let says: [&[u8]; 4] = [b"", b"smr", &greeted, &noise];
        let all = says.iter().flat_map(|says| vec![*says; STRANGERS]);
        all.map(|says| {
            let mut stream = self.connect();
            stream.write_all(says).unwrap();
            stream
        })
        .collect()
    }

    /// Begins a deposit, and stops amid its body.
    fn slow(&self, number: u8) -> Client {
        let mut client = self.login();
        let (body, id) = (vec![number; 1 << 20], MessageId::from_bytes([number; 16]));
        let accepted = client.ask(&offer(id, &body, &["ana"]));
        assert_eq!(accepted, Reply::Accepted { id });
        client.begin(&Request::Deposit { id }, &body[..4000]);
        client
    }

    /// Asks for a large message, and takes nothing of it.
    fn deaf(&self) -> Client {
        let mut client = self.login();
        let fetch = Request::Fetch {
            folder: Folder::Inbox,
            id: id(1),
            reader: None,
        };
        client.begin(&fetch, &[]);
        client.close();
        client
    }

    /// Asks for each of the names; returns how many it was refused.
    fn enrol(&self) -> usize {
        let asked = self.names.iter().map(|own| {
            let (_, reply) =
                Client::over(self.connect(), self.identity, |hash| own.enrolment(hash));
            match reply {
                Reply::Welcome { .. } => 0,
                reply => {
                    assert!([Class::Busy, Class::Denied].contains(&refused(&reply)));
                    1
                }
            }
        });
        asked.sum()
    }

    /// All of it at once; returns when it is over and gone.
    fn flood(&self, smrd: &Smrd, descriptors: usize, round: u8) {
        let strangers = self.strangers();
        let mut slow: Vec<Client> = (0..SLOW).map(|n| self.slow(100 + n)).collect();
        let mut deaf: Vec<Client> = (0..SLOW).map(|_| self.deaf()).collect();
        let refused = self.enrol();
        assert!(refused >= NAMES - 16, "{refused} of {NAMES} names");
        let amid = (smrd.descriptors(), smrd.memory());
        // Half of them go; smrd ends the others.
        let gone = usize::from(SLOW) / 2;
        slow.truncate(gone);
        deaf.truncate(gone);
        drop(strangers);
        until("all of them are gone", || {
            smrd.descriptors() <= descriptors + 2
        });
        println!(
            "flood {round}: {} descriptors and {} KiB amid it, {} and {} after",
            amid.0,
            amid.1,
            smrd.descriptors(),
            smrd.memory()
        );
    }
}

#[test]
fn floods_leave_nothing_behind() {
    smrd::enough_descriptors(2000);
    let patient = "listen = { address = ['127.0.0.1:0'], connections = 2000, per_peer = 2000 }\n\
         rates = { handshakes = 1000000, logins = 1000000 }\n\
         store = { reserve = '0B' }\n";
    let mut town = Town::with(patient);
    let ana = person(&town.ca.card("ana"), "ana");
    let mut first = ana.enrol(&town);
    first.send(id(1), &vec![7; LARGE], &["ana"]);
    let card = town.ca.card("eve");
    let names: Vec<_> = (0..NAMES)
        .map(|n| person(&card, &format!("eve{n}")))
        .collect();
    let identity = town.identity();
    drop(first);
    // Only now: the large one may take more than a second.
    town.want(&format!("{patient}session = {{ request = '1s' }}\n"));
    assert!(town.stop());
    // What is left of one heap is what smrd keeps; of many it is what the C
    // library keeps for threads to come (smrd(8), LIMITS).
    let mut smrd = Smrd::start_with(&town, &[("MALLOC_ARENA_MAX", "1")]);
    let crowd = Crowd {
        address: smrd.address(),
        identity: &identity,
        ana: &ana,
        names: &names,
    };
    let honest = |number: u8| {
        let begin = Instant::now();
        let mut client = crowd.login();
        client.send(id(number), b"as ever", &["ana"]);
        assert_eq!(client.ask(&Request::Bye), Reply::Done);
        begin.elapsed()
    };
    honest(2);
    let descriptors = smrd.descriptors();
    // The first make what smrd keeps for good: threads' heaps, tables.
    for round in 1..=2 {
        crowd.flood(&smrd, descriptors, round);
    }
    let memory = smrd.memory();
    let visits = (3..=6).map(|round| {
        crowd.flood(&smrd, descriptors, round);
        honest(round)
    });
    let mut visits: Vec<_> = visits.collect();
    // Half of them: a machine may stop for as long, but not each time.
    visits.sort();
    assert!(
        visits[visits.len() / 2] < Duration::from_secs(5),
        "{visits:?}"
    );
    let after = smrd.memory();
    println!("{memory} KiB after two floods, {after} KiB after six");
    assert!(after <= memory + SLACK, "{memory} KiB, {after} KiB");
    until("nothing is left of bodies that stopped", || {
        let spools = std::fs::read_dir(town.path("deep/store/tmp")).unwrap();
        spools.count() == 0
    });
    assert!(!smrd.log().contains("panic"), "{}", smrd.log());
    assert_eq!(smrd.stop(), Some(0));
    println!("fsck: {}", smrd::fsck(&town));
}
