//! The hop: what strangers, clients, smrd and tools send each other.

use std::sync::LazyLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use smr_channel::handshake::{Initiator, Introduction, Responder, Suite};
use smr_channel::identity::{Identity, ServerKeys};
use smr_channel::local::{Answer, Ask, Frame};
use smr_channel::reply::{Reply, State};
use smr_channel::request::Request;
use smr_channel::session::{Event, Session};
use smr_channel::warrant::Warrant;
use smr_server::proxy;

const NOW: i64 = 1_800_000_000;

static KEYS: LazyLock<ServerKeys> = LazyLock::new(|| {
    let name = "repo.example".parse().expect("a name");
    ServerKeys::generate(name, &mut rng())
});

/// The same for each input: what is found can be found again.
fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([7; 32])
}

/// How a connection begins by which a proxy lets a stranger through; what is
/// asked for is what is read.
pub fn proxy(data: &[u8]) {
    let Ok(goal) = proxy::goal(data) else {
        assert!(proxy::read(data).is_err());
        return;
    };
    assert!(goal <= proxy::MAX);
    for length in 0..goal.min(data.len()) {
        let early = data.get(..length).unwrap_or_default();
        assert!(proxy::goal(early).is_ok_and(|goal| goal > length));
        assert!(proxy::read(early).is_err());
    }
    if let Some(header) = data.get(..goal) {
        let _ = proxy::read(header);
    }
}

/// A stranger's first frame, at smrd; smrd's answer, at a client.
pub fn handshake(data: &[u8]) {
    let _ = Responder::accept(&KEYS, &Suite::ALL, data, &mut rng());
    if let Ok((client, _)) = Initiator::start(KEYS.identity(), &Suite::ALL, &mut rng()) {
        let _ = client.answer(data);
    }
}

/// The third frame under keys that are right: what a stranger who shook hands
/// says of himself.
pub fn introduction(data: &[u8]) {
    if let Ok(read) = Introduction::decode(data) {
        assert_eq!(read.encode().expect("what was read is written"), data);
    }
}

/// The first two frames between a client and smrd that are what `handshake` has.
pub(super) fn frames() -> [Vec<u8>; 2] {
    let (_, first) = Initiator::start(KEYS.identity(), &Suite::ALL, &mut rng()).expect("a client");
    let smrd = Responder::accept(&KEYS, &Suite::ALL, &first, &mut rng());
    let (_, second) = smrd.expect("an honest frame");
    [first, second]
}

/// Tells whether smrd answers a frame, and a client goes on.
pub(super) fn shakes_hands(data: &[u8]) -> bool {
    let Ok((_, second)) = Responder::accept(&KEYS, &Suite::ALL, data, &mut rng()) else {
        return false;
    };
    let client = Initiator::start(KEYS.identity(), &Suite::ALL, &mut rng());
    client.is_ok_and(|(client, _)| client.answer(&second).is_ok())
}

/// One introduction of each kind.
pub(super) fn introductions() -> [Vec<u8>; 4] {
    let account = || "rui".parse().expect("a name");
    let signature = vec![8; 70];
    [
        Introduction::Login {
            account: account(),
            device: [7; 32],
            signature: signature.clone(),
        },
        Introduction::Enrol {
            record: vec![6; 90],
            signature: signature.clone(),
        },
        Introduction::Join {
            account: account(),
            chain: vec![vec![5; 40], vec![4; 30]],
            signature: signature.clone(),
        },
        Introduction::CardLogin {
            account: account(),
            device: [7; 32],
            authorisation: vec![3; 50],
            signature,
        },
    ]
    .map(|introduction| introduction.encode().expect("a short one"))
}

fn joined() -> Option<(Session, Session)> {
    let rng = &mut rng();
    let introduction = Introduction::Login {
        account: "rui".parse().ok()?,
        device: [7; 32],
        signature: vec![8; 70],
    };
    let (client, frame) = Initiator::start(KEYS.identity(), &Suite::ALL, rng).ok()?;
    let (server, frame) = Responder::accept(&KEYS, &Suite::ALL, &frame, rng).ok()?;
    let (client, _) = client.answer(&frame).ok()?;
    let (frame, client) = client.finish(&introduction, NOW).ok()?;
    let (_, server) = server.finish(&frame, NOW).ok()?;
    Some((client, server))
}

/// What the fuzzer says, byte by byte; nothing where it has said all.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// Some bytes, after their count.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::from(self.byte()?);
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }
}

/// One who speaks, one who hears, and somebody between them.
struct Way<'a> {
    script: Script<'a>,
    earlier: Vec<Vec<u8>>,
    /// Renewals that were finished.
    renewals: u32,
}

impl Way<'_> {
    /// Carries a frame to whoever hears it, or something else; none where that
    /// ended the session.
    fn carry(&mut self, frame: Vec<u8>, hearer: &mut Session) -> Option<Event> {
        let bad = match self.script.byte()? {
            250 => {
                let at = usize::from(self.script.byte()?) * frame.len() / 256;
                let mut bad = frame.clone();
                *bad.get_mut(at)? ^= 1 << (self.script.byte()? % 8);
                bad
            }
            251 => frame.get(..frame.len() / 2)?.to_vec(),
            252 => [&frame[..], &[0]].concat(),
            253 => {
                let at = usize::from(self.script.byte()?) % self.earlier.len().max(1);
                self.earlier.get(at)?.clone()
            }
            254 => self.script.bytes()?.to_vec(),
            255 => {
                hearer.receive(&frame).expect("an honest frame");
                frame
            }
            _ => {
                let event = hearer.receive(&frame).expect("an honest frame");
                self.earlier.push(frame);
                return Some(event);
            }
        };
        assert!(
            hearer.receive(&bad).is_err(),
            "a stranger's frame was taken"
        );
        assert!(hearer.is_over());
        None
    }

    /// Says a whole message; none where it did not arrive, or could not be said.
    fn say(
        &mut self,
        head: &[u8],
        speaker: &mut Session,
        hearer: &mut Session,
        by_smrd: bool,
    ) -> Option<()> {
        let frame = speaker.send_head(head).ok()?;
        assert_eq!(self.carry(frame, hearer)?, Event::Head(head.to_vec()));
        for _ in 0..self.script.byte()? % 3 {
            let part = self.script.bytes()?;
            let frame = speaker.send_body(part).ok()?;
            assert_eq!(self.carry(frame, hearer)?, Event::Body(part.to_vec()));
        }
        let frame = match by_smrd {
            true => speaker.close_reply(&KEYS, NOW).ok()?,
            false => speaker.close_request().ok()?,
        };
        match self.carry(frame, hearer)? {
            Event::Close(warrant) => assert_eq!(warrant.is_some(), by_smrd),
            other => panic!("a close was taken for {other:?}"),
        }
        Some(())
    }
}

/// A session: both ends say what the input says, behind the seal, and somebody
/// between them does what it says to their frames. What is taken is what was
/// said; a head of no bytes is an honest renewal.
pub fn record(data: &[u8]) {
    scripted(data);
}

/// Tells whether a script of `record` renews the session key.
pub(super) fn renews(data: &[u8]) -> bool {
    scripted(data) > 0
}

/// Plays a script; returns how many renewals there were.
fn scripted(data: &[u8]) -> u32 {
    let (mut client, mut server) = joined().expect("an honest handshake");
    let mut way = Way {
        script: Script(data),
        earlier: Vec::new(),
        renewals: 0,
    };
    // However it ends, what was taken was said.
    let _ = converse(&mut way, &mut client, &mut server);
    way.renewals
}

fn converse(way: &mut Way<'_>, client: &mut Session, server: &mut Session) -> Option<()> {
    way.say(b"welcome", server, client, true)?;
    loop {
        let renewal = match way.script.bytes()? {
            [] => client.renew(&mut rng()).ok()?.encode().ok()?,
            head => {
                way.say(head, client, server, false)?;
                // A hostile client renews by itself.
                if let Ok(request) = Request::decode(head) {
                    let reply = server.answer_renewal(&request, &mut rng()).ok()?;
                    way.say(&reply.encode().ok()?, server, client, true)?;
                } else {
                    let reply = way.script.bytes()?;
                    way.say(reply, server, client, true)?;
                }
                continue;
            }
        };
        way.say(&renewal, client, server, false)?;
        let request = Request::decode(&renewal).expect("an honest request");
        let reply = server
            .answer_renewal(&request, &mut rng())
            .expect("an honest renewal");
        way.say(&reply.encode().ok()?, server, client, true)?;
        client.renewed(&reply, NOW).expect("an honest renewal");
        way.renewals += 1;
    }
}

/// A member's request, behind the seal.
pub fn request(data: &[u8]) {
    if let Ok(read) = Request::decode(data) {
        assert_eq!(read.encode().expect("what was read is written"), data);
    }
}

/// smrd's reply, and its warrant.
pub fn reply(data: &[u8]) {
    if let Ok(read) = Reply::decode(data) {
        assert_eq!(read.encode().expect("what was read is written"), data);
    }
    if let Ok(warrant) = Warrant::decode(data) {
        assert!(warrant.verify(&[9; 32]).is_err());
    }
}

/// The states of all entries of a folder, packed, behind their count.
fn states(data: &[u8]) -> Option<Vec<State>> {
    let (count, packed) = data.split_first_chunk()?;
    let states = State::unpack(packed, u64::from_be_bytes(*count)).ok()?;
    assert_eq!(State::pack(states.iter().copied()), packed);
    Some(states)
}

/// What smrd says of how far all messages of a folder have come.
pub fn tally(data: &[u8]) {
    states(data);
}

/// Tells whether it is one, and of several bytes.
pub(super) fn counts(data: &[u8]) -> bool {
    states(data).is_some_and(|states| states.len() > 4)
}

/// Tallies of folders of several sizes.
pub(super) fn tallies() -> [Vec<u8>; 3] {
    let all = [State::New, State::Fetched, State::Read, State::Removed];
    [0, 7, 400].map(|count: u64| {
        let packed = State::pack(
            all.iter()
                .copied()
                .cycle()
                .skip(1)
                .zip(0..count)
                .map(|(s, _)| s),
        );
        [&count.to_be_bytes()[..], &packed].concat()
    })
}

/// Frames between tools and the agent, in both directions.
pub fn local(data: &[u8]) {
    let _ = Frame::decode(data);
    let _ = Ask::decode(data);
    let _ = Answer::decode(data);
}

/// smrd's identity document, shown to whoever asks.
pub fn identity(data: &[u8]) {
    let text = super::text(data);
    if let Ok(read) = Identity::parse(text) {
        assert_eq!(read.to_string(), text);
    }
    let _ = ServerKeys::decode(text);
}
