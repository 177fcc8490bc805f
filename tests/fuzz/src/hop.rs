//! The hop: what strangers, clients, smrd and tools send each other.

use std::sync::LazyLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use smr_channel::handshake::{Initiator, Introduction, Responder, Suite};
use smr_channel::identity::{Identity, ServerKeys};
use smr_channel::local::{Answer, Ask, Frame};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::Session;
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

/// Records within a session: the first byte says how long the first is, and so
/// on. Not one may be taken for a message.
pub fn record(mut data: &[u8]) {
    let (mut client, mut server) = joined().expect("an honest handshake");
    let first = server.send_head(b"welcome").expect("smrd's turn");
    client.receive(&first).expect("smrd's own");
    while let Some((&count, rest)) = data.split_first() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(count)));
        assert!(
            client.receive(frame).is_err(),
            "a stranger's record was taken"
        );
        assert!(
            server.receive(frame).is_err(),
            "a stranger's record was taken"
        );
        data = rest;
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
