//! A crowd that stays: sessions that ask nothing, sessions that wait for news,
//! and some who say nothing at all, at smrd, the program; and an honest client
//! among them; and then another such crowd, which costs no more.
//!
//! 500 of them; `SMR_CROWD` says otherwise, such as 10000.

#![allow(clippy::print_stdout)] // the figures are for people to read

#[path = "../lib/server/tests/town/mod.rs"]
mod town;

#[allow(dead_code)] // made for the soak
#[path = "soak/smrd.rs"]
mod smrd;

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, MAX_WATCH, Request};
use smrd::Smrd;
use town::Town;
use town::client::{Client, id};
use town::people::{Person, person};

/// Who knocks at a time.
const AT_ONCE: usize = 8;
/// How long half of the honest visits may take, from the connection to the
/// postmark: a machine may stop for as long, but not each time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Memory that smrd may gain for each session, in bytes, and besides, in KiB.
const COST: u64 = 2048;
const SLACK: u64 = 4096;

/// Waits until it is so, and fails after a minute.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Those who come and stay.
struct Crowd<'a> {
    count: usize,
    address: SocketAddr,
    identity: &'a Identity,
    ana: &'a Person,
}

impl Crowd<'_> {
    /// Has all of them come, while `visit` is made again and again; returns
    /// their connections, and how long each visit took.
    fn come(&self, visit: impl Fn() -> Duration) -> (Vec<TcpStream>, Vec<Duration>) {
        let (next, held) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let stay = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    return;
                }
                let stream = self.one(number);
                held.lock().unwrap().push(stream);
            }
        };
        let mut visits = Vec::new();
        thread::scope(|scope| {
            let crowd: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(stay)).collect();
            while !crowd.iter().all(|one| one.is_finished()) {
                visits.push(visit());
            }
        });
        (held.into_inner().unwrap(), visits)
    }

    /// Of ten, seven ask nothing, two wait for receipts, and one is silent.
    fn one(&self, number: usize) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        if number % 10 == 9 {
            return stream;
        }
        let (mut client, reply) = Client::over(stream, self.identity, |hash| {
            self.ana.login_as(&self.ana.name, hash)
        });
        assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
        if number % 10 > 6 {
            let watch = Request::Watch {
                folder: Folder::Receipts,
                after: 0,
                wait: MAX_WATCH,
            };
            client.begin(&watch, &[]);
            client.close();
        }
        client.stream
    }
}

#[test]
fn a_crowd_that_stays_costs_little_and_keeps_nobody_out() {
    let asked = std::env::var("SMR_CROWD");
    let count: usize = asked.map_or(500, |text| text.parse().expect("a number"));
    println!("SMR_CROWD: {count} of 10000");
    // One for each here, for which it counts two.
    smrd::enough_descriptors(count as u64 / 2 + 400);
    let mut town = Town::with(
        "listen = { address = ['127.0.0.1:0'], connections = 20000, per_peer = 20000 }\n\
         rates = { logins = 1000000, handshakes = 1000000 }\n",
    );
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let identity = town.identity();
    assert!(town.stop());
    let mut smrd = Smrd::start(&town);
    let address = smrd.address();
    let visit = |number: u8| {
        let begin = Instant::now();
        let stream = TcpStream::connect(address).unwrap();
        let (mut client, reply) =
            Client::over(stream, &identity, |hash| ana.login_as(&ana.name, hash));
        assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
        client.send(id(number), b"a message in the crowd", &["ana"]);
        assert_eq!(client.ask(&Request::Bye), Reply::Done);
        begin.elapsed()
    };
    let alone = visit(0);
    let (descriptors, memory) = (smrd.descriptors(), smrd.memory());

    let crowd = Crowd {
        count,
        address,
        identity: &identity,
        ana: &ana,
    };
    let sessions = (count - count / 10) as u64;
    let mut amid = Vec::new();
    for _ in 0..2 {
        let begin = Instant::now();
        let (held, mut visits) = crowd.come(|| visit(1));
        let took = begin.elapsed();
        // All are there at once; the silent ones have ten seconds.
        visits.push(visit(1));
        let (full, used) = (smrd.descriptors(), smrd.memory());
        visits.sort();
        let middle = visits[visits.len() / 2];
        let longest = visits.last().copied().unwrap_or_default();
        println!(
            "{count} came in {took:.1?}; {} honest visits amid them, the longest {longest:.1?}, alone {alone:.1?}",
            visits.len()
        );
        let each = used.saturating_sub(memory) * 1024 / sessions;
        println!("memory: {memory} KiB before, {used} KiB amid, {each} bytes for each session");
        assert!(middle < PATIENCE, "{visits:?}");
        assert!(full as u64 >= sessions, "{full} descriptors");
        let most = memory + SLACK + sessions * COST / 1024;
        assert!(used <= most, "{used} KiB, at most {most}");

        drop(held);
        until("descriptors come back", || {
            smrd.descriptors() <= descriptors + 2
        });
        println!(
            "descriptors: {descriptors} before, {full} amid, {} after; memory {} KiB after",
            smrd.descriptors(),
            smrd.memory()
        );
        amid.push(used);
    }
    // What the first crowd had is there for the second.
    assert!(amid[1] <= amid[0] + SLACK / 2, "{amid:?} KiB");
    visit(2);
    assert!(!smrd.log().contains("panic"), "{}", smrd.log());
    assert_eq!(smrd.stop(), Some(0));
}
