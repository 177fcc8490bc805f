//! A client and smrd, joined in memory.
//!
//! Asserts nothing by itself.

#![allow(dead_code, unreachable_pub, missing_docs)]

use rand_core::OsRng;
use smr_channel::handshake::{HandshakeError, Initiator, Introduction, Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::{Event, Session, SessionError};
use smr_channel::warrant::Warrant;

pub const NOW: i64 = 1_800_000_000;

pub struct Pair {
    pub keys: ServerKeys,
    pub client: Session,
    pub server: Session,
}

pub fn keys() -> ServerKeys {
    ServerKeys::generate("repo.example".parse().unwrap(), &mut OsRng)
}

pub fn introduction() -> Introduction {
    Introduction::Login {
        account: "rui".parse().unwrap(),
        device: [7; 32],
        signature: vec![8; 70],
    }
}

/// Both sides after the handshake; smrd is about to reply to the introduction.
pub fn joined(suite: Suite) -> Pair {
    let keys = keys();
    let (client, server) = join(&keys, &[suite], &introduction()).unwrap();
    Pair {
        keys,
        client,
        server,
    }
}

pub fn join(
    keys: &ServerKeys,
    suites: &[Suite],
    introduction: &Introduction,
) -> Result<(Session, Session), HandshakeError> {
    let (client, frame) = Initiator::start(keys.identity(), suites, &mut OsRng)?;
    let (server, frame) = Responder::accept(keys, &Suite::ALL, &frame, &mut OsRng)?;
    let (client, hash) = client.answer(&frame)?;
    assert_eq!(hash, server.hash());
    let (frame, client) = client.finish(introduction, NOW)?;
    let (introduced, server) = server.finish(&frame, NOW)?;
    assert_eq!(&introduced, introduction);
    Ok((client, server))
}

/// Both sides after smrd's welcome; the client may ask.
pub fn welcomed(suite: Suite) -> Pair {
    let mut pair = joined(suite);
    let reply = pair.reply(&welcome(), &[]);
    take(&mut pair.client, &reply).unwrap();
    pair
}

pub fn welcome() -> Vec<u8> {
    let reply = Reply::Welcome {
        account: "rui".parse().unwrap(),
        until: NOW + 3600,
        now: NOW,
    };
    reply.encode().unwrap()
}

pub fn ping() -> Vec<u8> {
    Request::Ping.encode().unwrap()
}

pub fn done() -> Vec<u8> {
    Reply::Done.encode().unwrap()
}

/// A message as it was received whole.
#[derive(Debug, PartialEq)]
pub struct Taken {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub warrant: Option<Warrant>,
}

/// Receives the frames of one message, to its close.
pub fn take(session: &mut Session, frames: &[Vec<u8>]) -> Result<Taken, SessionError> {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    for frame in frames {
        match session.receive(frame)? {
            Event::Head(bytes) => head = bytes,
            Event::Body(part) => body.extend(part),
            Event::Close(warrant) => {
                return Ok(Taken {
                    head,
                    body,
                    warrant,
                });
            }
        }
    }
    panic!("the frames end before the message does");
}

impl Pair {
    /// The frames of a request of the client.
    pub fn request(&mut self, head: &[u8], parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut frames = vec![self.client.send_head(head).unwrap()];
        for part in parts {
            frames.push(self.client.send_body(part).unwrap());
        }
        frames.push(self.client.close_request().unwrap());
        frames
    }

    /// The frames of a reply of smrd.
    pub fn reply(&mut self, head: &[u8], parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut frames = vec![self.server.send_head(head).unwrap()];
        for part in parts {
            frames.push(self.server.send_body(part).unwrap());
        }
        frames.push(self.server.close_reply(&self.keys, NOW).unwrap());
        frames
    }

    /// One whole exchange without bodies.
    pub fn exchange(&mut self) -> Result<(), SessionError> {
        let frames = self.request(&ping(), &[]);
        take(&mut self.server, &frames)?;
        let frames = self.reply(&done(), &[]);
        take(&mut self.client, &frames).map(drop)
    }

    /// A whole renewal, at `now`.
    pub fn renew(&mut self, now: i64) -> Result<(), SessionError> {
        let request = self.client.renew(&mut OsRng)?;
        let frames = self.request(&request.encode().unwrap(), &[]);
        take(&mut self.server, &frames)?;
        let reply = self.server.answer_renewal(&request, &mut OsRng)?;
        let frames = [
            self.server.send_head(&reply.encode().unwrap())?,
            self.server.close_reply(&self.keys, now)?,
        ];
        take(&mut self.client, &frames)?;
        self.client.renewed(&reply, now)
    }
}
