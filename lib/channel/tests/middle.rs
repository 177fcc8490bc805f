//! A man in the middle of one session, who does to every frame all that can be
//! done to it: in both directions, before, during and after a renewal.
//!
//! Each case must end in an error, and what was accepted before that must be
//! what was said. How many cases of each kind there were is printed, and must
//! be what the lengths of the frames say, so that a suite that ran nothing
//! fails. Every bit of every frame is flipped, but in the four long ones one bit
//! of each byte.

#![allow(clippy::print_stdout)] // the counts are what the suite has to show

mod pair;

use std::collections::VecDeque;
use std::num::NonZero;
use std::thread;

use pair::{NOW, done, introduction, keys, ping, welcome};
use rand_core::OsRng;
use smr_channel::handshake::{HandshakeError, Initiator, Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_channel::request::Request;
use smr_channel::session::{Event, Session, SessionError};

type Frame = Vec<u8>;
/// Head and body.
type Message = (Vec<u8>, Vec<u8>);
/// What one side says before it waits for the other.
type Turn = Vec<Frame>;

/// Why a story did not come to its end.
#[derive(Debug, PartialEq)]
enum End {
    /// The peer fell silent in mid-message.
    Cut,
    /// A client found words where it had asked nothing.
    Unasked,
    Handshake(HandshakeError),
    Session(SessionError),
}

impl From<HandshakeError> for End {
    fn from(error: HandshakeError) -> End {
        End::Handshake(error)
    }
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> End {
        End::Session(error)
    }
}

/// Changes a turn: its number, and all turns until now, its own the last.
type Middle<'a> = &'a dyn Fn(usize, &[Turn]) -> Turn;

/// A line with somebody on it.
struct Line<'a> {
    middle: Middle<'a>,
    turns: Vec<Turn>,
    /// What has arrived and was not read yet, at smrd and at the client.
    arrived: [VecDeque<Frame>; 2],
    /// What was accepted, in order.
    accepted: Vec<Message>,
}

/// Turns with an odd number are smrd's.
fn to(turn: usize) -> usize {
    turn % 2
}

impl Line<'_> {
    fn carry(&mut self, turn: Turn) {
        let number = self.turns.len();
        self.turns.push(turn);
        let changed = (self.middle)(number, &self.turns);
        self.arrived[to(number)].extend(changed);
    }

    fn next(&mut self) -> Result<Frame, End> {
        let turn = self.turns.len() - 1;
        self.arrived[to(turn)].pop_front().ok_or(End::Cut)
    }

    /// Takes a whole message.
    fn hear(&mut self, listener: &mut Session) -> Result<(), End> {
        let (mut head, mut body) = (Vec::new(), Vec::new());
        loop {
            let frame = self.next()?;
            let event = listener.receive(&frame);
            assert_eq!(listener.is_over(), event.is_err());
            match event? {
                Event::Head(bytes) => head = bytes,
                Event::Body(part) => body.extend(part),
                Event::Close(_) => break,
            }
        }
        self.accepted.push((head, body));
        Ok(())
    }

    fn ask(
        &mut self,
        client: &mut Session,
        server: &mut Session,
        head: &[u8],
        parts: &[&[u8]],
    ) -> Result<(), End> {
        // As smr-agent looks before each request (smr-session(7)).
        if !self.arrived[1].is_empty() {
            return Err(End::Unasked);
        }
        let mut turn = said(client, head, parts)?;
        turn.push(client.close_request()?);
        self.carry(turn);
        self.hear(server)
    }

    fn answer(
        &mut self,
        keys: &ServerKeys,
        server: &mut Session,
        client: &mut Session,
        head: &[u8],
        parts: &[&[u8]],
    ) -> Result<(), End> {
        let mut turn = said(server, head, parts)?;
        turn.push(server.close_reply(keys, NOW)?);
        self.carry(turn);
        self.hear(client)
    }

    fn handshake(
        &mut self,
        keys: &ServerKeys,
        suites: &[Suite],
    ) -> Result<(Session, Session), End> {
        let (client, frame) = Initiator::start(keys.identity(), suites, &mut OsRng)?;
        self.carry(vec![frame]);
        let first = self.next()?;
        let (server, frame) = Responder::accept(keys, &Suite::ALL, &first, &mut OsRng)?;
        self.carry(vec![frame]);
        let (client, _) = client.answer(&self.next()?)?;
        let (frame, client) = client.finish(&introduction(), NOW)?;
        self.carry(vec![frame]);
        let (introduced, server) = server.finish(&self.next()?, NOW)?;
        let introduced = introduced.encode().expect("what was read can be written");
        self.accepted.push((introduced, Vec::new()));
        Ok((client, server))
    }

    /// A login, a request and its reply, a renewal, another request.
    fn story(&mut self, keys: &ServerKeys, suites: &[Suite]) -> Result<(), End> {
        let (mut client, mut server) = self.handshake(keys, suites)?;
        self.answer(keys, &mut server, &mut client, &welcome(), &[])?;
        self.ask(&mut client, &mut server, &ping(), &[b"a body", b"in two"])?;
        self.answer(keys, &mut server, &mut client, &done(), &[b"one", b"two"])?;

        let request = client.renew(&mut OsRng)?;
        let head = request.encode().expect("a renewal can be written");
        self.ask(&mut client, &mut server, &head, &[])?;
        let asked = Request::decode(&self.accepted[4].0).expect("accepted as it was said");
        let reply = server.answer_renewal(&asked, &mut OsRng)?;
        let head = reply.encode().expect("a renewal can be written");
        self.answer(keys, &mut server, &mut client, &head, &[])?;
        client.renewed(&reply, NOW)?;

        self.ask(&mut client, &mut server, &ping(), &[b"after it"])?;
        self.answer(keys, &mut server, &mut client, &done(), &[b"and back"])?;
        // What lies there still is read when the story would go on.
        if !self.arrived[1].is_empty() {
            return Err(End::Unasked);
        }
        match self.arrived[0].pop_front() {
            Some(frame) => Ok(server.receive(&frame).map(drop)?),
            None => Ok(()),
        }
    }
}

fn said(speaker: &mut Session, head: &[u8], parts: &[&[u8]]) -> Result<Turn, SessionError> {
    let mut turn = vec![speaker.send_head(head)?];
    for part in parts {
        turn.push(speaker.send_body(part)?);
    }
    Ok(turn)
}

/// Plays the story with `middle` on the line.
fn play<'a>(
    keys: &ServerKeys,
    suites: &[Suite],
    middle: Middle<'a>,
) -> (Line<'a>, Result<(), End>) {
    let mut line = Line {
        middle,
        turns: Vec::new(),
        arrived: Default::default(),
        accepted: Vec::new(),
    };
    let end = line.story(keys, suites);
    (line, end)
}

/// A place on the line: which turn, which frame in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    turn: usize,
    frame: usize,
}

/// One thing that is done to one frame.
#[derive(Clone, Debug)]
enum Deed {
    /// This bit is another.
    Flip(usize),
    Drop,
    Duplicate,
    /// It and a later one of its turn change places.
    Swap(usize),
    /// An earlier frame of its reader comes in its place, or before it.
    Reflect(Place, bool),
    /// An earlier frame of its writer comes in its place, or before it.
    Replay(Place, bool),
    /// A frame of another session by the same writer comes in its place, or
    /// before it.
    Splice(Frame, bool),
    /// Only so many bytes are left.
    Truncate(usize),
    /// So many bytes more.
    Extend(usize),
    /// From here on nothing comes.
    Cut,
}

impl Deed {
    fn kind(&self) -> &'static str {
        match self {
            Deed::Flip(_) => "flip",
            Deed::Drop => "drop",
            Deed::Duplicate => "duplicate",
            Deed::Swap(_) => "reorder",
            Deed::Reflect(..) => "reflect",
            Deed::Replay(..) => "replay",
            Deed::Splice(..) => "splice",
            Deed::Truncate(_) => "truncate",
            Deed::Extend(_) => "extend",
            Deed::Cut => "cut",
        }
    }

    fn act(&self, at: usize, turns: &[Turn]) -> Turn {
        let mut turn = turns[turns.len() - 1].clone();
        let from = |place: &Place| turns[place.turn][place.frame].clone();
        match self {
            Deed::Flip(bit) => turn[at][bit / 8] ^= 1 << (bit % 8),
            Deed::Drop => drop(turn.remove(at)),
            Deed::Duplicate => turn.insert(at, turn[at].clone()),
            Deed::Swap(other) => turn.swap(at, *other),
            Deed::Reflect(place, instead) | Deed::Replay(place, instead) => {
                put(&mut turn, at, from(place), *instead);
            }
            Deed::Splice(frame, instead) => put(&mut turn, at, frame.clone(), *instead),
            Deed::Truncate(length) => turn[at].truncate(*length),
            Deed::Extend(by) => {
                let length = turn[at].len() + by;
                turn[at].resize(length, 0);
            }
            Deed::Cut => turn.truncate(at),
        }
        turn
    }
}

fn put(turn: &mut Turn, at: usize, frame: Frame, instead: bool) {
    match instead {
        true => turn[at] = frame,
        false => turn.insert(at, frame),
    }
}

const KINDS: [&str; 10] = [
    "flip",
    "drop",
    "duplicate",
    "reorder",
    "reflect",
    "replay",
    "splice",
    "truncate",
    "extend",
    "cut",
];

/// All that can be done to the frame at `place` of an honest story; `other`
/// are the turns of another session.
fn deeds(place: Place, turns: &[Turn], other: &[Turn]) -> Vec<Deed> {
    let turn = &turns[place.turn];
    let length = turn[place.frame].len();
    let earlier: Vec<Place> = places(turns)
        .into_iter()
        .take_while(|other| *other != place)
        .collect();
    let both = [true, false];
    let mut all: Vec<Deed> = bits(length).map(Deed::Flip).collect();
    all.extend([Deed::Drop, Deed::Duplicate, Deed::Cut]);
    all.extend((place.frame + 1..turn.len()).map(Deed::Swap));
    for from in earlier {
        all.extend(both.map(|instead| match to(from.turn) == to(place.turn) {
            true => Deed::Replay(from, instead),
            false => Deed::Reflect(from, instead),
        }));
    }
    for from in places(other) {
        if to(from.turn) == to(place.turn) {
            let frame = &other[from.turn][from.frame];
            all.extend(both.map(|instead| Deed::Splice(frame.clone(), instead)));
        }
    }
    all.extend(cuts(length).map(Deed::Truncate));
    all.extend([1, 16, 1232].map(Deed::Extend));
    all
}

/// Frames longer than this carry keys and ciphertexts of ML-KEM, in all of
/// which one byte is like the next; of them only a part is tried, unless
/// `SMR_TEST_BITS` is `all`, as in scripts/test.
fn long() -> usize {
    match std::env::var("SMR_TEST_BITS").as_deref() {
        Ok("all") => usize::MAX,
        _ => 1000,
    }
}

/// Every bit; of a long frame one bit of each byte, each time the next one.
fn bits(length: usize) -> Box<dyn Iterator<Item = usize>> {
    match length > long() {
        true => Box::new((0..length).map(|at| 8 * at + at % 8)),
        false => Box::new(0..8 * length),
    }
}

/// Every shorter length; of a long frame every eighth.
fn cuts(length: usize) -> Box<dyn Iterator<Item = usize>> {
    match length > long() {
        true => Box::new((0..length).step_by(8)),
        false => Box::new(0..length),
    }
}

fn places(turns: &[Turn]) -> Vec<Place> {
    let frames = |(turn, frames): (usize, &Turn)| {
        let place = move |frame| Place { turn, frame };
        (0..frames.len()).map(place).collect::<Vec<_>>()
    };
    turns.iter().enumerate().flat_map(frames).collect()
}

/// How many cases there were of each kind, and in which stretch of the story.
#[derive(Default, PartialEq, Debug)]
struct Count {
    kinds: [usize; KINDS.len()],
    stretches: [usize; 4],
}

/// Handshake, before the renewal, the renewal, after it.
fn stretch(turn: usize) -> usize {
    match turn {
        0..=2 => 0,
        3..=5 => 1,
        6..=7 => 2,
        _ => 3,
    }
}

/// Does every deed of one share of them.
fn attack(
    keys: &ServerKeys,
    suites: &[Suite],
    honest: &[Message],
    share: &[(Place, Deed)],
) -> Count {
    let mut count = Count::default();
    for (place, deed) in share {
        let middle = |number: usize, turns: &[Turn]| match number == place.turn {
            true => deed.act(place.frame, turns),
            false => turns[number].clone(),
        };
        let (line, end) = play(keys, suites, &middle);
        let case = || format!("{} {} at {place:?}", suites.len(), deed.kind());
        assert!(end.is_err(), "{} was not noticed", case());
        assert!(line.accepted.len() <= honest.len(), "{}", case());
        for (number, (heard, said)) in line.accepted.iter().zip(honest).enumerate() {
            // The keys of a renewal are drawn anew in each story.
            let fine = heard == said || matches!(number, 4 | 5);
            assert!(fine, "{}: something else was accepted", case());
        }
        let kind = KINDS.iter().position(|kind| *kind == deed.kind());
        count.kinds[kind.expect("each kind has a name")] += 1;
        count.stretches[stretch(place.turn)] += 1;
    }
    count
}

/// Does every deed to every frame, on all cores.
fn attack_all(suites: &[Suite]) -> (Vec<Turn>, Count) {
    let keys = keys();
    let untouched = |number: usize, turns: &[Turn]| turns[number].clone();
    let (one, end) = play(&keys, suites, &untouched);
    assert_eq!(end, Ok(()), "an honest story comes to its end");
    let (two, _) = play(&keys, suites, &untouched);
    let (turns, honest) = (one.turns, one.accepted);
    let all: Vec<(Place, Deed)> = places(&turns)
        .into_iter()
        .flat_map(|place| {
            let deeds = deeds(place, &turns, &two.turns);
            deeds.into_iter().map(move |deed| (place, deed))
        })
        .collect();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let shares = all.chunks(all.len().div_ceil(cores));
    let total = thread::scope(|scope| {
        let workers: Vec<_> = shares
            .map(|share| scope.spawn(|| attack(&keys, suites, &honest, share)))
            .collect();
        let mut total = Count::default();
        for worker in workers {
            let count = worker.join().expect("every case holds");
            let add = |sum: &mut usize, more: usize| *sum += more;
            (total.kinds.iter_mut().zip(count.kinds)).for_each(|(a, b)| add(a, b));
            (total.stretches.iter_mut().zip(count.stretches)).for_each(|(a, b)| add(a, b));
        }
        total
    });
    (turns, total)
}

/// What the lengths alone say, by another way than `deeds` goes.
fn expected(turns: &[Turn]) -> [usize; KINDS.len()] {
    let frames: usize = turns.iter().map(Vec::len).sum();
    let (long, short): (Vec<usize>, Vec<usize>) = turns
        .iter()
        .flatten()
        .map(Vec::len)
        .partition(|length| *length > long());
    let bytes = |lengths: &[usize]| lengths.iter().sum::<usize>();
    let of = |side: usize| -> usize { turns.iter().skip(side).step_by(2).map(Vec::len).sum() };
    let (asked, told) = (of(0), of(1));
    let swaps: usize = turns.iter().map(|t| t.len() * (t.len() - 1) / 2).sum();
    let pairs = frames * (frames - 1) / 2;
    let alike = asked * (asked - 1) / 2 + told * (told - 1) / 2;
    [
        8 * bytes(&short) + bytes(&long),
        frames,
        frames,
        swaps,
        2 * (pairs - alike),
        2 * alike,
        2 * (asked * asked + told * told),
        bytes(&short) + long.iter().map(|n| n.div_ceil(8)).sum::<usize>(),
        3 * frames,
        frames,
    ]
}

/// The story's frames, by hand from smr-session(7): 17 bytes and the data,
/// where it is a chunk.
fn lengths(suites: usize) -> [Vec<usize>; 10] {
    let chunks = |data: &[usize]| data.iter().map(|data| 17 + data).collect();
    let close = 8 + 64 + 32;
    [
        vec![1 + suites + 1088 + 1232 * suites],
        vec![1 + 32 + 1088 + 16],
        vec![101 + 3 + 70],
        chunks(&[1 + 5 + 8 + 8, close]),
        chunks(&[1, 6, 6, 32]),
        chunks(&[1, 3, 3, close]),
        chunks(&[1 + 32 + 2 + 1184, 32]),
        chunks(&[1 + 32 + 2 + 1088, close]),
        chunks(&[1, 8, 32]),
        chunks(&[1, 8, close]),
    ]
}

#[track_caller]
fn nothing_but_delay(name: &str, suites: &[Suite]) {
    let (turns, count) = attack_all(suites);
    let sizes: Vec<Vec<usize>> = turns
        .iter()
        .map(|turn| turn.iter().map(Vec::len).collect())
        .collect();
    assert_eq!(sizes, lengths(suites.len()));
    assert_eq!(count.kinds, expected(&turns));
    let cases: usize = count.kinds.iter().sum();
    assert_eq!(cases, count.stretches.iter().sum::<usize>());
    for (kind, number) in KINDS.iter().zip(count.kinds) {
        println!("middle: {name}: {kind} {number}");
    }
    match long() {
        usize::MAX => println!("middle: {name}: every bit and every length of each frame"),
        long => println!(
            "middle: {name}: of the frames over {long} bytes one bit of each byte and every \
             eighth length, of all others every bit and every length; SMR_TEST_BITS=all tries all"
        ),
    }
    let [handshake, before, renewal, after] = count.stretches;
    println!(
        "middle: {name}: all {cases}: handshake {handshake}, before the renewal {before}, \
         in it {renewal}, after it {after}"
    );
}

#[test]
fn a_man_in_the_middle_can_nothing_but_delay_suite_1() {
    nothing_but_delay("ChaChaPoly", &[Suite::ChaChaPoly]);
}

#[test]
fn a_man_in_the_middle_can_nothing_but_delay_suite_2() {
    nothing_but_delay("AESGCM", &[Suite::AesGcm]);
}
