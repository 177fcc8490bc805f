//! What sessions that wait cost: bytes, threads.
//!
//! The one test of its program, for it measures the process.

#![allow(clippy::print_stdout)] // the figures are for people to read

mod town;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, MAX_WATCH, Request};
use town::Town;
use town::client::Client;
use town::people::{Person, person};

/// Sessions to open; `SMR_IDLE_SESSIONS` says otherwise.
const SESSIONS: usize = 1000;
/// The most that one may cost, in bytes, beyond its sockets.
const COST: usize = 2048;

/// Returns a line of /proc/self/status in its own unit.
fn status(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let mut words = line.split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

/// Raises the number of descriptors, if need be past the hard limit.
fn descriptors(needed: usize) {
    let there = getrlimit(Resource::Nofile).maximum;
    let most = there.map_or(needed as u64, |there| there.max(needed as u64));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, limit).expect("descriptors for all of them");
}

/// Connects from an address of its own in 127.0.0.0/8.
fn from(number: usize, to: SocketAddr) -> TcpStream {
    let [_, b, c, d] = u32::try_from(number + 256).unwrap().to_be_bytes();
    let own = SocketAddr::from((Ipv4Addr::new(127, b, c, d), 0));
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &own).unwrap();
    connect(&stream, &to).unwrap();
    TcpStream::from(stream)
}

/// Opens a session, lets it watch if it is to, and keeps its connection alone.
fn wait(
    (town, identity): (&Town, &Identity),
    who: &Person,
    number: usize,
    watches: bool,
) -> TcpStream {
    let stream = from(number, town.address());
    let (mut client, reply) = Client::over(stream, identity, |hash| who.login_as(&who.name, hash));
    assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
    if watches {
        let watch = Request::Watch {
            folder: Folder::Inbox,
            after: 0,
            wait: MAX_WATCH,
        };
        client.begin(&watch, &[]);
        client.close();
    }
    client.stream
}

#[test]
fn sessions_that_wait_cost_less_than_two_kibibytes_and_no_thread() {
    let asked = std::env::var("SMR_IDLE_SESSIONS");
    let count = asked.map_or(SESSIONS, |text| text.parse().expect("a number"));
    // Two for each session, and there are twice so many and a quarter.
    descriptors(5 * count + 2000);
    let town = Town::with(
        "listen = { address = ['127.0.0.1:0'], connections = 65536 }\n\
         rates = { logins = 1000000 }\n[session]\nlifetime = '12h'",
    );
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let identity = town.identity();
    let smrd = (&town, &identity);
    // Whatever is made once is made by these.
    let mut waiting = Vec::with_capacity(3 * count);
    waiting.extend((0..count / 4).map(|n| wait(smrd, &ana, n, n % 2 == 0)));
    for (kind, watches) in [("idle", false), ("watching", true)] {
        let (first, before) = (waiting.len(), status("VmRSS:"));
        waiting.extend((first..first + count).map(|n| wait(smrd, &ana, n, watches)));
        let grown = status("VmRSS:").saturating_sub(before) * 1024;
        let each = grown / count;
        let threads = status("Threads:");
        println!("{count} {kind} sessions: {each} bytes each, {threads} threads in all");
        assert!(each < COST, "{each} bytes for each session");
        assert!(threads < 24, "{threads} threads");
    }
    // They are sessions still: the last one hears of a message.
    let mut other = ana.login(&town);
    other.send(town::client::id(1), b"body", &["ana"]);
    let last = waiting.last_mut().unwrap();
    assert!(town::client::read_frame(last).is_some());
}
