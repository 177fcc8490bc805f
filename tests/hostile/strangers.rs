//! Ten thousand strangers at smrd's door, and one honest client who must not
//! notice: clients that are not ours, from addresses of their own.
//!
//! Counts what became of each kind, and looks at smrd's memory, descriptors and
//! log. smrd is the program; whoever knocks is the bare channel.

#![allow(clippy::print_stdout)] // the figures are for people to read

#[path = "../../lib/server/tests/town/mod.rs"]
mod town;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand_core::{OsRng, RngCore};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smr_channel::handshake::{Initiator, Introduction, Suite};
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use town::Town;
use town::client::{Client, connect_from, id, read_frame};
use town::people::{Person, person};

const STRANGERS: usize = 10_000;
/// Who knocks at a time, besides those who hold on.
const CROWD: usize = 16;
/// How long half of the honest visits may take, from the connection to the
/// postmark: much less than a seat waits for a stranger who says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a stranger does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Says nothing.
    Silence,
    /// Sends random bytes.
    Garbage,
    /// Asks for a session, announces a frame of 65535 bytes, and stops.
    LongestLength,
    /// Asks for a session, and sends nothing but bits that are set.
    Ones,
    /// Sends a byte each second of what could be a greeting and a frame.
    Drip,
    /// Shakes hands until smrd has answered, and stops.
    HalfHandshake,
    /// Shakes hands to the end, as somebody whom nobody knows.
    Nobody,
    /// Shakes hands to the end, with an introduction that is none.
    NoIntroduction,
}

/// Each kind, and how many of a hundred it is.
const KINDS: [(Kind, usize); 8] = [
    (Kind::Silence, 18),
    (Kind::Garbage, 15),
    (Kind::LongestLength, 15),
    (Kind::Ones, 15),
    (Kind::Drip, 18),
    (Kind::HalfHandshake, 10),
    (Kind::Nobody, 6),
    (Kind::NoIntroduction, 3),
];

fn kind_of(number: usize) -> Kind {
    let mut place = number % 100;
    for (kind, share) in KINDS {
        match place.checked_sub(share) {
            None => return kind,
            Some(rest) => place = rest,
        }
    }
    unreachable!("the shares are a hundred")
}

/// What became of one kind.
#[derive(Default)]
struct Count {
    came: AtomicUsize,
    /// smrd had closed before all was said, or would not let him in.
    turned_away: AtomicUsize,
    /// smrd has refused him in a session of his own.
    refused: AtomicUsize,
}

struct Smrd {
    child: Child,
    address: SocketAddr,
    log: std::path::PathBuf,
}

impl Smrd {
    /// Starts the program over a town's store.
    fn start(town: &Town) -> Smrd {
        loop {
            // Another program, from its fork to its exec, may hold the store.
            match Smrd::try_start(town) {
                Ok(smrd) => return smrd,
                Err((code, said)) => assert_eq!(code, Some(75), "{said}"),
            }
        }
    }

    fn try_start(town: &Town) -> Result<Smrd, (Option<i32>, String)> {
        let config = town.path("smrd.toml");
        fs::write(&config, town.config_text()).unwrap();
        let log = town.path("log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_smrd"))
            .arg("--config")
            .arg(&config)
            // standard output is the descriptor that it says it on
            .args(["--ready-fd", "1"])
            .env("STATE_DIRECTORY", town.path("deep/store"))
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("smrd starts");
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let Some(address) = line.split_whitespace().nth(1) else {
            let code = child.wait().unwrap().code();
            return Err((code, fs::read_to_string(&log).unwrap()));
        };
        let address = address.parse().unwrap();
        Ok(Smrd {
            child,
            address,
            log,
        })
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Returns its memory in KiB.
    fn memory(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let mut words = line.unwrap().split_whitespace();
        words.nth(1).unwrap().parse().unwrap()
    }

    fn log_size(&self) -> u64 {
        size(&self.log)
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

impl Drop for Smrd {
    fn drop(&mut self) {
        // It may have ended by itself; then the test has failed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects from an address of 127.0.0.0/8 that is this stranger's own.
fn knock(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let [_, b, c, d] = u32::try_from(number + 256).unwrap().to_be_bytes();
    let stream = connect_from(Ipv4Addr::new(127, b, c, d), to)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

const ASK: &[u8] = b"smr/1\nS";

/// Shakes hands until smrd's frame.
fn half(stream: &mut TcpStream, identity: &Identity) -> Option<(Vec<u8>, Initiator)> {
    stream.write_all(ASK).ok()?;
    let (initiator, frame) = Initiator::start(identity, &Suite::ALL, &mut OsRng).unwrap();
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&length).ok()?;
    stream.write_all(&frame).ok()?;
    Some((read_frame(stream)?, initiator))
}

/// Introduces a nobody; tells whether smrd has refused him in so many words.
fn nobody(stream: &mut TcpStream, identity: &Identity) -> Option<()> {
    let (second, initiator) = half(stream, identity)?;
    let (introducing, _) = initiator.answer(&second).unwrap();
    let introduction = Introduction::Login {
        account: "nobody".parse().unwrap(),
        device: [7; 32],
        signature: vec![7; 70],
    };
    let (frame, mut session) = introducing.finish(&introduction, town::now()).unwrap();
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&length).ok()?;
    stream.write_all(&frame).ok()?;
    let event = session.receive(&read_frame(stream)?).unwrap();
    let smr_channel::session::Event::Head(head) = event else {
        panic!("no head");
    };
    let reply = Reply::decode(&head).unwrap();
    assert!(matches!(reply, Reply::Refused { .. }), "{reply:?}");
    Some(())
}

/// The same with noise where the third frame belongs.
fn no_introduction(stream: &mut TcpStream, identity: &Identity) -> Option<()> {
    half(stream, identity)?;
    let mut noise = vec![0; 300];
    OsRng.fill_bytes(&mut noise);
    stream.write_all(&300u16.to_be_bytes()).ok()?;
    stream.write_all(&noise).ok()?;
    // smrd has nothing to say to that.
    assert_eq!(read_frame(stream), None);
    None
}

/// Does what a stranger of this kind does; returns the connection where he
/// holds on to it.
fn behave(
    kind: Kind,
    mut stream: TcpStream,
    identity: &Identity,
    count: &Count,
) -> Option<TcpStream> {
    let said = match kind {
        Kind::Silence => Some(()),
        Kind::Garbage => {
            let mut garbage = vec![0; 20_000];
            OsRng.fill_bytes(&mut garbage);
            stream.write_all(&garbage).ok().and_then(|()| {
                // To the end, which comes after seven bytes.
                stream.read_to_end(&mut Vec::new()).ok()?;
                None
            })
        }
        Kind::LongestLength => stream
            .write_all(&[ASK, &[0xff, 0xff]].concat())
            .ok()
            .and_then(|()| read_frame(&mut stream).map(|_| ())),
        Kind::Ones => stream
            .write_all(&[ASK, &[0xff; 4096]].concat())
            .ok()
            .and_then(|()| read_frame(&mut stream).map(|_| ())),
        Kind::Drip => stream.write_all(&ASK[..1]).ok(),
        Kind::HalfHandshake => half(&mut stream, identity).map(|_| ()),
        Kind::Nobody => {
            let refused = nobody(&mut stream, identity);
            if refused.is_some() {
                count.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            None
        }
        Kind::NoIntroduction => no_introduction(&mut stream, identity),
    };
    match said {
        Some(()) => Some(stream),
        None => {
            count.turned_away.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// One honest visit: a session, and a message in it.
fn visit(
    who: &Person,
    number: u8,
    address: SocketAddr,
    identity: &Identity,
) -> Result<Duration, String> {
    let begin = Instant::now();
    let stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    let opened = std::panic::catch_unwind(|| {
        Client::over(stream, identity, |hash| who.login_as(&who.name, hash))
    });
    let (mut client, reply) = opened.map_err(|_| "the door was shut".to_owned())?;
    assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
    client.send(id(number), b"a message in the crowd", &["ana"]);
    let took = begin.elapsed();
    assert_eq!(client.ask(&Request::Bye), Reply::Done);
    Ok(took)
}

fn enough_descriptors() {
    let needed = (STRANGERS + 2000) as u64;
    let most = getrlimit(Resource::Nofile).maximum;
    let most = most.map_or(needed, |most| most.max(needed));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, limit).expect("descriptors for all of them");
}

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ten_thousand_strangers_do_not_keep_an_honest_client_out() {
    enough_descriptors();
    let mut town = Town::with("listen = { address = ['127.0.0.1:0'] }");
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let identity = town.identity();
    assert!(town.stop());
    let smrd = Smrd::start(&town);
    let quiet = visit(&ana, 0, smrd.address, &identity).expect("nobody else is there");
    let (descriptors, memory, log) = (smrd.descriptors(), smrd.memory(), smrd.log_size());

    let counts: [Count; KINDS.len()] = Default::default();
    let counts = &counts;
    let at = |kind| KINDS.iter().position(|(k, _)| *k == kind).unwrap();
    let held: Mutex<Vec<(Kind, TcpStream)>> = Mutex::default();
    let (next, over) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let (mut visits, mut failed, mut peak) = (Vec::new(), Vec::new(), 0);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= STRANGERS {
                            return;
                        }
                        let kind = kind_of(number);
                        let count = &counts[at(kind)];
                        count.came.fetch_add(1, Ordering::Relaxed);
                        let stream = knock(number, smrd.address).expect("the door is there");
                        if let Some(stream) = behave(kind, stream, &identity, count) {
                            held.lock().unwrap().push((kind, stream));
                        }
                    }
                })
            })
            .collect();
        // The second byte, and the third, and so on, to whom it still reaches.
        scope.spawn(|| {
            let mut second = 0;
            while !over.load(Ordering::Relaxed) {
                second += 1;
                let byte = ASK.get(second).copied().unwrap_or(1);
                for (kind, stream) in held.lock().unwrap().iter_mut() {
                    if *kind == Kind::Drip {
                        // smrd may have closed; then he is done.
                        let _ = stream.write_all(&[byte]);
                    }
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        let mut number = 0u8;
        let mut last = false;
        loop {
            number += 1;
            match visit(&ana, number, smrd.address, &identity) {
                Ok(took) => visits.push(took),
                Err(why) => failed.push(why),
            }
            peak = peak.max(smrd.memory());
            if last || number == u8::MAX {
                break;
            }
            // Once more when all have come: their connections are still held.
            last = crowd.iter().all(|one| one.is_finished());
        }
        over.store(true, Ordering::Relaxed);
    });
    let took = begin.elapsed();
    let full = smrd.descriptors();
    let waiting = held.lock().unwrap().len();
    drop(held);

    visits.sort();
    let middle = visits.get(visits.len() / 2).copied().unwrap_or_default();
    let longest = visits.last().copied().unwrap_or_default();
    println!("{STRANGERS} strangers in {took:.1?}, {waiting} held on to the end");
    for ((kind, _), count) in KINDS.iter().zip(counts) {
        let [came, away, refused] = [&count.came, &count.turned_away, &count.refused]
            .map(|count| count.load(Ordering::Relaxed));
        println!("{kind:?}: {came} came, {away} were turned away, {refused} refused");
    }
    println!(
        "honest: {} visits, {} failed, median {middle:.1?}, longest {longest:.1?}; alone {quiet:.1?}",
        visits.len(),
        failed.len()
    );
    eventually("descriptors come back", || {
        smrd.descriptors() <= descriptors + 2
    });
    let (after, written) = (smrd.memory(), smrd.log_size() - log);
    println!(
        "descriptors: {descriptors} before, {full} amid, {} after",
        smrd.descriptors()
    );
    println!("memory: {memory} KiB before, {peak} KiB at most, {after} KiB after");
    println!("log: {written} bytes");
    // On a machine that stops for a while, one may be among the slow who go.
    assert!(failed.len() * 10 <= visits.len(), "{failed:?}");
    assert!(middle < PATIENCE, "{middle:?}");
    assert!(visits.len() >= 5, "{} visits", visits.len());
    // A thousand seats, each with what has come of a handshake.
    assert!(peak < memory + (48 << 10), "{peak} KiB");
    assert!(written < 256 << 10, "{written} bytes");
    let log = fs::read_to_string(&smrd.log).unwrap();
    assert!(
        log.contains("event=suppressed"),
        "what is left out is counted"
    );
    assert!(!log.contains("panic"), "{log}");
}
