//! A session that no error has ended: whose turn it is, the message under way,
//! and the keys.
//!
//! Ends nothing itself: whoever owns it drops it at the first error, and with it
//! the keys.

mod receive;
mod renew;

use crate::close::{self, Answer, Close, ReplyClose};
use crate::digest::{Digest, request_hash};
use crate::event::SessionError;
use crate::identity::ServerKeys;
use crate::label::Key;
use crate::noise::Split;
use crate::ratchet::{self, Direction, Ratchet};
use crate::record::{Chunks, Kind};
use crate::renewal::{Answered, Asked};
use crate::suite::Suite;
use crate::warrant::Warrant;

/// Which side this is.
pub(crate) enum Role {
    /// The client, who verifies warrants with this key.
    Client { warrant: [u8; 32] },
    /// smrd.
    Server,
}

/// A session that no error has ended.
pub(crate) struct Live {
    role: Role,
    suite: Suite,
    id: [u8; 32],
    ratchet: Ratchet,
    /// Commits to every message that was closed.
    transcript: [u8; 32],
    /// The message that is under way or due next; its parity says whose it is.
    number: u64,
    /// Hash of the last request: what the next reply answers.
    request: [u8; 32],
    /// Hash of the last reply.
    reply: [u8; 32],
    // Boxed, as is the next: an idle session has neither, and there are many.
    message: Option<Box<Message>>,
    asked: Option<Box<Asked>>,
    answered: Option<Box<Answered>>,
}

/// The message under way.
struct Message {
    key: Key,
    chunks: Chunks,
    digest: Digest,
}

impl Live {
    pub(crate) fn new(
        role: Role,
        suite: Suite,
        split: &Split,
        introduction: &[u8],
        now: i64,
    ) -> Self {
        let (id, ratchet) = ratchet::begin(split, suite, now);
        let request = request_hash(introduction, &[]);
        Live {
            role,
            suite,
            id,
            ratchet,
            transcript: close::first_transcript(&id, &request),
            number: 0,
            request,
            reply: [0; 32],
            message: None,
            asked: None,
            answered: None,
        }
    }

    pub(crate) fn id(&self) -> &[u8; 32] {
        &self.id
    }

    pub(crate) fn ratchet(&self) -> &Ratchet {
        &self.ratchet
    }

    fn speaks(&self) -> Direction {
        match self.role {
            Role::Client { .. } => Direction::Request,
            Role::Server => Direction::Reply,
        }
    }

    pub(crate) fn is_my_turn(&self) -> bool {
        Direction::of(self.number) == self.speaks()
    }

    /// Checks that a message may begin, said by us in this direction.
    fn begin(&self, direction: Direction) -> Result<(), SessionError> {
        let mine = self.is_my_turn() && self.speaks() == direction;
        let renewed = match &self.asked {
            // asked and answered, but not yet mixed in
            Some(asked) => asked.request != self.request,
            None => true,
        };
        match mine && renewed && self.message.is_none() {
            true => Ok(()),
            false => Err(SessionError::Misused),
        }
    }

    /// Steps the ratchet; what it returns is for this message only.
    fn keys(&mut self) -> (Key, Chunks) {
        let key = self.ratchet.message_key(self.number);
        let chunks = Chunks::new(self.suite, &key, self.number, &self.id);
        (key, chunks)
    }

    fn digest(&self, head: &[u8]) -> Digest {
        match Direction::of(self.number) {
            Direction::Request => Digest::request(head),
            Direction::Reply => Digest::reply(head),
        }
    }

    pub(crate) fn send_head(&mut self, head: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.begin(self.speaks())?;
        let (key, mut chunks) = self.keys();
        let frame = chunks.seal(Kind::Head, head)?;
        let digest = self.digest(head);
        self.message = Some(Box::new(Message {
            key,
            chunks,
            digest,
        }));
        Ok(frame)
    }

    pub(crate) fn send_body(&mut self, part: &[u8]) -> Result<Vec<u8>, SessionError> {
        let message = self.sending()?;
        message.digest.body(part);
        message.chunks.seal(Kind::Body, part)
    }

    fn sending(&mut self) -> Result<&mut Message, SessionError> {
        match self.is_my_turn() {
            true => self.message.as_deref_mut().ok_or(SessionError::Misused),
            false => Err(SessionError::Misused),
        }
    }

    /// Takes the message under way, ours to end in this direction.
    fn ending(&mut self, direction: Direction) -> Result<Box<Message>, SessionError> {
        match self.is_my_turn() && self.speaks() == direction {
            true => self.message.take().ok_or(SessionError::Misused),
            false => Err(SessionError::Misused),
        }
    }

    pub(crate) fn close_request(&mut self) -> Result<Vec<u8>, SessionError> {
        let mut message = self.ending(Direction::Request)?;
        let digest = message.digest.finish();
        if self.asked.as_ref().is_some_and(|a| a.request != digest) {
            return Err(SessionError::Misused);
        }
        let close = self.close(&digest, None);
        let mac = close.seal(&message.key);
        let transcript = close.extend(&mac);
        self.request = digest;
        self.advance(transcript)?;
        message.chunks.seal(Kind::Close, &mac)
    }

    pub(crate) fn close_reply(
        &mut self,
        keys: &ServerKeys,
        now: i64,
    ) -> Result<Vec<u8>, SessionError> {
        let mut message = self.ending(Direction::Reply)?;
        let digest = message.digest.finish();
        let signature = self
            .warrant(&digest, now)
            .sign(keys.warrant_key())
            .signature;
        let close = self.close(&digest, Some((now, &signature)));
        let mac = close.seal(&message.key);
        let transcript = close.extend(&mac);
        self.reply = digest;
        self.advance(transcript)?;
        if let Some(answered) = self.answered.take() {
            if answered.reply != digest {
                return Err(SessionError::Misused);
            }
            self.ratchet.renew(&answered.fresh, &self.transcript, now);
        }
        let time = now;
        let close = ReplyClose {
            time,
            signature,
            mac,
        };
        message.chunks.seal(Kind::Close, &close.encode())
    }

    /// Returns the warrant of the reply under way, not yet signed.
    fn warrant(&self, digest: &[u8; 32], time: i64) -> Warrant {
        Warrant {
            session: self.id,
            number: self.number,
            request: self.request,
            reply: *digest,
            time,
            signature: [0; 64],
        }
    }

    fn close<'a>(
        &'a self,
        digest: &'a [u8; 32],
        warrant: Option<(i64, &'a [u8; 64])>,
    ) -> Close<'a> {
        Close {
            number: self.number,
            transcript: &self.transcript,
            digest,
            answer: warrant.map(|(time, signature)| Answer {
                request: &self.request,
                time,
                signature,
            }),
        }
    }

    fn advance(&mut self, transcript: [u8; 32]) -> Result<(), SessionError> {
        self.transcript = transcript;
        self.number = self.number.checked_add(1).ok_or(SessionError::Over)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use zeroize::Zeroizing;

    use super::{Live, Role, SessionError};
    use crate::event::Event;
    use crate::identity::ServerKeys;
    use crate::noise::Split;
    use crate::suite::Suite;

    fn pair() -> (ServerKeys, Live, Live) {
        let keys = ServerKeys::generate("repo.example".parse().unwrap(), &mut OsRng);
        let warrant = keys.identity().warrant;
        let live = |role| {
            let split = Split {
                keys: Zeroizing::new([1; 64]),
                hash: [2; 32],
            };
            Live::new(role, Suite::ChaChaPoly, &split, b"introduction", 0)
        };
        (keys, live(Role::Client { warrant }), live(Role::Server))
    }

    fn reply(
        keys: &ServerKeys,
        client: &mut Live,
        server: &mut Live,
    ) -> Result<Event, SessionError> {
        client.receive(&server.send_head(b"reply")?)?;
        client.receive(&server.close_reply(keys, 5)?)
    }

    fn request(client: &mut Live, server: &mut Live) -> Result<Event, SessionError> {
        server.receive(&client.send_head(b"request")?)?;
        server.receive(&client.close_request()?)
    }

    #[test]
    fn both_sides_follow_each_other() {
        let (keys, mut client, mut server) = pair();
        for _ in 0..3 {
            assert!(reply(&keys, &mut client, &mut server).is_ok());
            assert_eq!(request(&mut client, &mut server), Ok(Event::Close(None)));
            assert_eq!(client.transcript, server.transcript);
            assert_eq!(client.request, server.request);
        }
    }

    // The chunks below are all genuine; only the close tells.
    #[test]
    fn a_close_after_other_messages_is_forged() {
        let (keys, mut client, mut server) = pair();
        server.transcript[0] ^= 1;
        let forged = reply(&keys, &mut client, &mut server);
        assert_eq!(forged, Err(SessionError::Forged));

        let (keys, mut client, mut server) = pair();
        reply(&keys, &mut client, &mut server).unwrap();
        client.transcript[0] ^= 1;
        let forged = request(&mut client, &mut server);
        assert_eq!(forged, Err(SessionError::Forged));
    }

    #[test]
    fn a_reply_to_another_request_is_forged() {
        let (keys, mut client, mut server) = pair();
        server.request[0] ^= 1;
        let forged = reply(&keys, &mut client, &mut server);
        assert_eq!(forged, Err(SessionError::Forged));
    }

    #[test]
    fn a_close_for_another_body_is_forged() {
        let (keys, mut client, mut server) = pair();
        client
            .receive(&server.send_head(b"reply").unwrap())
            .unwrap();
        client.receive(&server.send_body(b"body").unwrap()).unwrap();
        if let Some(message) = &mut server.message {
            message.digest.body(b"more");
        }
        let forged = client.receive(&server.close_reply(&keys, 5).unwrap());
        assert_eq!(forged, Err(SessionError::Forged));
    }

    #[test]
    fn a_close_of_the_other_kind_is_forged() {
        let (keys, mut client, mut server) = pair();
        reply(&keys, &mut client, &mut server).unwrap();
        server
            .receive(&client.send_head(b"request").unwrap())
            .unwrap();
        let chunks = &mut client.message.as_mut().unwrap().chunks;
        let close = chunks.seal(super::Kind::Close, &[0; 104]).unwrap();
        assert_eq!(server.receive(&close), Err(SessionError::Forged));
    }

    #[test]
    fn chunks_of_a_kind_that_is_not_due_are_out_of_turn() {
        let (_, mut client, mut server) = pair();
        server.send_head(b"reply").unwrap();
        let chunks = &mut server.message.as_mut().unwrap().chunks;
        let second = chunks.seal(super::Kind::Head, b"again").unwrap();
        let (_, mut fresh) = server.keys();
        // a body first
        let mut other = pair().2;
        let (_, mut first) = other.keys();
        let body = first.seal(super::Kind::Body, b"body").unwrap();
        assert_eq!(client.receive(&body), Err(SessionError::OutOfTurn));
        // two heads
        let (_, mut client, mut server) = pair();
        client
            .receive(&server.send_head(b"reply").unwrap())
            .unwrap();
        assert_eq!(client.receive(&second), Err(SessionError::OutOfTurn));
        // and a key that was stepped past opens nothing
        let late = fresh.seal(super::Kind::Head, b"late").unwrap();
        assert_eq!(pair().1.receive(&late), Err(SessionError::Forged));
    }
}
