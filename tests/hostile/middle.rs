//! A man in the middle on loopback, between the real programs: each kind of
//! attack on the frames of a real send, and on those of a renewal. Nothing ends
//! with 0 and another effect, and afterwards the same command works.
//!
//! That every bit of every frame counts is tested without a network, in
//! lib/channel/tests/middle.rs; here it is the programs that must notice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use smr_channel::request::Request;
use smr_client::agent::Connection;
use smr_name::{Address, Class};

use crate::house::House;

/// How long a frame is held where it is delayed. It is the attack itself:
/// nothing waits for it.
const DELAY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    ToSmrd,
    ToClient,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Flip,
    Drop,
    Duplicate,
    Reorder,
    Reflect,
    Replay,
    Splice,
    Truncate,
    Extend,
    /// Half of a frame, then the end.
    Half,
    Cut,
    /// It comes late; no attack.
    Delay,
}

const DEEDS: [Deed; 11] = [
    Deed::Flip,
    Deed::Drop,
    Deed::Duplicate,
    Deed::Reorder,
    Deed::Reflect,
    Deed::Replay,
    Deed::Splice,
    Deed::Truncate,
    Deed::Extend,
    Deed::Half,
    Deed::Cut,
];

/// Which frame of a session, counted in both directions together from the
/// first of the handshake.
#[derive(Clone, Copy, Debug)]
enum Place {
    At(usize),
    /// Counted from the first frame of the next renewal.
    Renewal(usize),
}

/// A request for renewal: one chunk with an X25519 and an ML-KEM key. No
/// other frame of a session after its handshake has this length here.
const RENEWAL: usize = 17 + 1 + 32 + 2 + 1184;
const HANDSHAKE: usize = 3;

type Seen = Vec<(Way, Vec<u8>)>;

#[derive(Default)]
struct Line {
    plan: Mutex<Option<(Place, Deed)>>,
    /// The frames of the last session, as they were sent.
    seen: Mutex<Seen>,
    /// Those of an honest one before it.
    other: Mutex<Seen>,
    renewal: Mutex<Option<usize>>,
    open: Mutex<Vec<TcpStream>>,
    sessions: AtomicUsize,
    slow: AtomicBool,
    stalled: AtomicBool,
}

/// The man in the middle; he listens for good.
struct Middle {
    address: String,
    line: Arc<Line>,
}

impl Middle {
    fn before(smrd: &str) -> Middle {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port is free");
        let address = listener.local_addr().unwrap().to_string();
        let line = Arc::new(Line::default());
        let (own, smrd) = (line.clone(), smrd.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, smrd) = (client.unwrap(), TcpStream::connect(&smrd).unwrap());
                for tcp in [&client, &smrd] {
                    tcp.set_nodelay(true).unwrap();
                    own.open.lock().unwrap().push(tcp.try_clone().unwrap());
                }
                let (up, down) = (client.try_clone().unwrap(), smrd.try_clone().unwrap());
                let line = own.clone();
                thread::spawn(move || line.greet(up, down));
            }
        });
        Middle { address, line }
    }

    /// Ends all connections, so that the next session is a new one.
    fn hang_up(&self) {
        for tcp in self.line.open.lock().unwrap().drain(..) {
            // The other side may have been faster.
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }

    fn plan(&self, place: Place, deed: Deed) {
        *self.line.renewal.lock().unwrap() = None;
        *self.line.plan.lock().unwrap() = Some((place, deed));
    }

    fn is_done(&self) -> bool {
        self.line.plan.lock().unwrap().is_none()
    }

    fn seen(&self) -> Seen {
        self.line.seen.lock().unwrap().clone()
    }
}

/// What becomes of a connection after a frame.
enum Then {
    Go,
    /// This frame goes after the next one.
    Hold(Vec<u8>),
    End,
}

impl Line {
    fn greet(self: &Arc<Self>, mut client: TcpStream, mut smrd: TcpStream) {
        let mut greeting = [0; 7];
        if client.read_exact(&mut greeting).is_err() || smrd.write_all(&greeting).is_err() {
            return;
        }
        if greeting[6] == b'S' {
            self.seen.lock().unwrap().clear();
            *self.renewal.lock().unwrap() = None;
            self.sessions.fetch_add(1, Ordering::SeqCst);
        }
        let (up, down) = (client.try_clone().unwrap(), smrd.try_clone().unwrap());
        let line = self.clone();
        thread::spawn(move || line.pump(Way::ToSmrd, up, smrd));
        self.pump(Way::ToClient, down, client);
    }

    fn pump(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut held: Option<Vec<u8>> = None;
        while let Some(frame) = read_frame(&mut from) {
            if self.slow.load(Ordering::SeqCst) {
                thread::sleep(DELAY);
            }
            let (number, deed) = self.meet(way, &frame);
            if way == Way::ToSmrd && number == HANDSHAKE - 1 && self.stalled.load(Ordering::SeqCst)
            {
                continue;
            }
            let then = match deed {
                Some(deed) => self.act(deed, number, frame, &mut from, &mut to),
                None => say(&mut to, &frame),
            };
            let then = match (then, held.take()) {
                (Then::Go, Some(late)) => say(&mut to, &late),
                (then, _) => then,
            };
            match then {
                Then::Go => {}
                Then::Hold(frame) => held = Some(frame),
                Then::End => break,
            }
        }
        for tcp in [from, to] {
            // Either side may have ended it already.
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }

    /// Notes a frame; returns its number, and what is planned for it.
    fn meet(&self, way: Way, frame: &[u8]) -> (usize, Option<Deed>) {
        let mut seen = self.seen.lock().unwrap();
        let number = seen.len();
        seen.push((way, frame.to_vec()));
        let mut renewal = self.renewal.lock().unwrap();
        if number >= HANDSHAKE && frame.len() == RENEWAL && way == Way::ToSmrd {
            *renewal = Some(number);
        }
        let mut plan = self.plan.lock().unwrap();
        let here = match *plan {
            Some((Place::At(at), _)) => at == number,
            Some((Place::Renewal(at), _)) => renewal.is_some_and(|from| from + at == number),
            None => false,
        };
        let deed = plan.filter(|_| here).map(|(_, deed)| deed);
        if deed.is_some() {
            *plan = None;
        }
        (number, deed)
    }

    fn act(
        &self,
        deed: Deed,
        number: usize,
        mut frame: Vec<u8>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Then {
        match deed {
            Deed::Flip => {
                let bit = (number * 37) % (8 * frame.len());
                frame[bit / 8] ^= 1 << (bit % 8);
                say(to, &frame)
            }
            Deed::Drop => Then::Go,
            Deed::Duplicate => {
                say(to, &frame);
                say(to, &frame)
            }
            Deed::Reorder => Then::Hold(frame),
            Deed::Reflect => say(from, &frame),
            Deed::Replay => say(to, &self.last_of_the_same_way(number)),
            Deed::Splice => say(to, &self.other.lock().unwrap()[number].1.clone()),
            Deed::Truncate => {
                frame.pop();
                say(to, &frame)
            }
            Deed::Extend => {
                frame.push(0);
                say(to, &frame)
            }
            Deed::Half => {
                let mut half = (frame.len() as u16).to_be_bytes().to_vec();
                half.extend(&frame[..frame.len() / 2]);
                // It ends here in any case.
                let _ = to.write_all(&half);
                Then::End
            }
            Deed::Cut => Then::End,
            Deed::Delay => {
                thread::sleep(DELAY);
                say(to, &frame)
            }
        }
    }

    fn last_of_the_same_way(&self, number: usize) -> Vec<u8> {
        let seen = self.seen.lock().unwrap();
        let (way, _) = seen[number];
        let mut before = seen[..number].iter().rev();
        let last = before.find(|(other, _)| *other == way);
        last.expect("the first of a way is not replayed").1.clone()
    }
}

fn read_frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u16::from_be_bytes(length).into()];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn say(to: &mut TcpStream, frame: &[u8]) -> Then {
    let length = (frame.len() as u16).to_be_bytes();
    match to.write_all(&[&length[..], frame].concat()) {
        Ok(()) => Then::Go,
        Err(_) => Then::End,
    }
}

/// A house in which alice meets smrd through somebody.
fn with_middle() -> (House, Middle) {
    let mut house = House::build();
    house.move_in("bob");
    let middle = Middle::before(house.server());
    let register = format!(
        "smr-register --server {} --server-key $KEY --token \"$TOKEN\" --no-backup $WHO && smr-login",
        middle.address
    );
    house.sh("alice", &register).expect(0);
    (house, middle)
}

fn send(house: &mut House) -> crate::house::Said {
    house.sh_with("alice", "smr-send bob", b"pay")
}

fn inbox(house: &mut House) -> usize {
    house
        .sh("bob", "smr-ls -1")
        .expect(0)
        .text()
        .lines()
        .count()
}

/// An honest send in a session of its own: its frames.
fn honest(house: &mut House, middle: &Middle) -> Seen {
    middle.hang_up();
    send(house).expect(0);
    middle.seen()
}

/// What can be done to a frame: a dropped or held one is missed at once only
/// where its turn goes on, and a first one has none before it.
fn can(deed: Deed, at: usize, frames: &Seen) -> bool {
    let way = frames[at].0;
    let more = frames.get(at + 1).is_some_and(|(next, _)| *next == way);
    match deed {
        Deed::Drop | Deed::Reorder => more,
        Deed::Replay => frames[..at].iter().any(|(other, _)| *other == way),
        _ => true,
    }
}

/// Whether the client cannot but see it itself, and so knows who is to blame.
fn is_forgery(deed: Deed, way: Way) -> bool {
    let changed = matches!(
        deed,
        Deed::Flip | Deed::Replay | Deed::Splice | Deed::Truncate | Deed::Extend
    );
    changed && way == Way::ToClient
}

#[test]
fn no_attack_on_a_send_is_a_success_with_another_effect() {
    let (mut house, middle) = with_middle();
    // The first sends look up the accounts and their lists.
    honest(&mut house, &middle);
    *middle.line.other.lock().unwrap() = honest(&mut house, &middle);
    let frames = honest(&mut house, &middle);
    let mut counts = [0usize; DEEDS.len()];
    let (mut codes, mut there) = ([0usize; 3], inbox(&mut house));
    for at in 0..frames.len() {
        for turn in 0..4 {
            let kind = (4 * at + turn) % DEEDS.len();
            let deed = DEEDS[kind];
            if !can(deed, at, &frames) {
                continue;
            }
            middle.hang_up();
            middle.plan(Place::At(at), deed);
            let said = send(&mut house);
            let case = format!("{deed:?} at {at} {:?}: {}", frames[at].0, said.stderr);
            assert!(middle.is_done(), "not done: {case}");
            let now = inbox(&mut house);
            match said.code {
                0 => {
                    assert!(!is_forgery(deed, frames[at].0), "{case}");
                    assert_eq!(now, there + 1, "{case}");
                    codes[0] += 1;
                }
                75 | 76 => {
                    assert!(said.stdout.is_empty(), "{case}");
                    assert!(said.stderr.contains("hint: "), "{case}");
                    assert!(said.code == 76 || !is_forgery(deed, frames[at].0), "{case}");
                    // It may have been deposited all the same: only the answer is lost.
                    assert!(now == there || now == there + 1, "{case}");
                    codes[usize::from(said.code as u8 - 74)] += 1;
                }
                other => panic!("{other}: {case}"),
            }
            there = now;
            counts[kind] += 1;
        }
    }
    for (deed, count) in DEEDS.iter().zip(counts) {
        println!("middle: programs: {deed:?} {count}");
        assert!(count >= 2, "{deed:?} was hardly tried");
    }
    println!(
        "middle: programs: {} frames, {} cases: retried by itself {}, try again (75) {}, forged (76) {}",
        frames.len(),
        counts.iter().sum::<usize>(),
        codes[0],
        codes[1],
        codes[2]
    );
    assert!(frames.len() >= 15, "a send has {} frames", frames.len());
    // The same command works again, once; and all that is there is genuine.
    middle.hang_up();
    send(&mut house).expect(0);
    assert_eq!(inbox(&mut house), there + 1);
    let read = "for id in $(smr-ls -1); do test \"$(smr-recv -O 1 $id)\" = pay || exit 9; done";
    house.sh("bob", read).expect(0);
}

#[test]
fn delay_is_all_that_can_be_done() {
    let (mut house, middle) = with_middle();
    honest(&mut house, &middle);
    middle.line.slow.store(true, Ordering::SeqCst);
    let frames = honest(&mut house, &middle);
    println!("middle: programs: delayed {} frames", frames.len());
    assert!(frames.len() >= 15);
    assert_eq!(inbox(&mut house), 2);
}

#[test]
fn a_renewal_may_come_late() {
    let (house, middle) = with_middle();
    let socket = house.path("home/alice/agent.sock");
    let alice: Address = "alice@repo.example".parse().unwrap();
    let ping = Request::Ping.encode().unwrap();
    let mut agent = Connection::open(&socket).unwrap();
    let mut ask = || agent.carry(&alice, &ping, None, &mut std::io::sink());
    ask().unwrap();
    let sessions = middle.line.sessions.load(Ordering::SeqCst);
    // Request and close, reply and close, and the next request and reply.
    for at in 0..8 {
        middle.plan(Place::Renewal(at), Deed::Delay);
        let late = (0..1100).any(|_| {
            ask().unwrap();
            middle.is_done()
        });
        assert!(late, "no renewal came");
        ask().unwrap();
    }
    let still = middle.line.sessions.load(Ordering::SeqCst);
    assert_eq!(still, sessions, "it is the same session");
}

#[test]
fn a_stalled_handshake_ends_by_itself() {
    let (mut house, middle) = with_middle();
    honest(&mut house, &middle);
    middle.line.stalled.store(true, Ordering::SeqCst);
    middle.hang_up();
    // smrd waits ten seconds for it.
    let said = send(&mut house).expect(75);
    assert!(said.stdout.is_empty() && said.stderr.contains("hint: "));
    middle.line.stalled.store(false, Ordering::SeqCst);
    send(&mut house).expect(0);
    assert_eq!(inbox(&mut house), 2);
}

#[test]
fn no_attack_on_a_renewal_goes_unnoticed() {
    let (house, middle) = with_middle();
    let socket = house.path("home/alice/agent.sock");
    let alice: Address = "alice@repo.example".parse().unwrap();
    let ping = Request::Ping.encode().unwrap();
    let mut cases = 0;
    // Request and close, reply and close, and the next request.
    for at in 0..5 {
        for deed in [Deed::Flip, Deed::Duplicate, Deed::Replay, Deed::Truncate] {
            // No second session may be at hand.
            middle.hang_up();
            middle.plan(Place::Renewal(at), deed);
            let mut agent = Connection::open(&socket).unwrap();
            let mut ask = || agent.carry(&alice, &ping, None, &mut std::io::sink());
            // The key is renewed after at most 1024 messages.
            let mut sessions = 0;
            for _ in 0..1100 {
                sessions = middle.line.sessions.load(Ordering::SeqCst);
                let answer = ask();
                let fine = match &answer {
                    Ok(_) => true,
                    Err(error) => matches!(error.class(), Class::Busy | Class::Untrusted),
                };
                assert!(fine, "{deed:?} at {at}: {:?}", answer.err());
                if middle.is_done() {
                    break;
                }
            }
            assert!(middle.is_done(), "{deed:?} at {at}: no renewal came");
            // What is left of the session is not used again.
            let after = (0..3).map(|_| ask()).filter(Result::is_ok).count();
            assert!(after >= 1, "{deed:?} at {at}: it does not work again");
            let new = middle.line.sessions.load(Ordering::SeqCst);
            assert!(new > sessions, "{deed:?} at {at} was not noticed");
            cases += 1;
        }
    }
    println!("middle: programs: renewal {cases}");
    assert_eq!(cases, 20);
}
