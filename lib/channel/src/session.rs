//! A session after its handshake: strictly one request, one reply, each a run
//! of authenticated chunks, under a key that is never used twice.
//!
//! Holds no message: bodies stream through. What comes out before a close has
//! verified is provisional; nobody may act on it.

use rand_core::CryptoRngCore;
use smr_name::Class;

use crate::close::{self, Answer, Close, ReplyClose};
use crate::identity::ServerKeys;
use crate::label::Key;
use crate::noise::Split;
use crate::ratchet::{self, Direction, Ratchet};
use crate::record::{Chunks, Kind};
use crate::renewal::{self, Answered, Asked};
use crate::reply::Reply;
use crate::request::{self, Request};
use crate::suite::Suite;
use crate::warrant::Warrant;

pub use crate::digest::{Digest, reply_hash, request_hash};
pub use crate::record::MAX_CHUNK;

/// Seconds of use after which a client renews the session key.
pub const RENEW_AFTER: i64 = 120;

/// Seconds of use after which smrd serves nothing but a renewal.
pub const OVERDUE_AFTER: i64 = 300;

/// Says why a session is over; each of these ends it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SessionError {
    /// A record, its order, its close or its warrant is not the peer's.
    #[error("a record of the session does not verify")]
    Forged,
    /// The peer says something that is not due.
    #[error("the peer said something out of turn")]
    OutOfTurn,
    /// We were asked to say something that is not due.
    #[error("the session was used out of turn")]
    Misused,
    /// A head or a part of a body is empty or over `MAX_CHUNK`.
    #[error("a chunk has 1 to {MAX_CHUNK} bytes")]
    Size,
    /// The client did not renew the session key in time.
    #[error("the session key was not renewed in time")]
    Overdue,
    /// A renewal is not one.
    #[error("a renewal of the session key does not verify")]
    Renewal,
    /// An error has ended the session before.
    #[error("the session has ended")]
    Over,
}

impl SessionError {
    /// Tells our own fault from the peer's.
    pub fn class(&self) -> Class {
        match self {
            SessionError::Misused | SessionError::Size => Class::Broken,
            SessionError::Over => Class::Busy,
            _ => Class::Untrusted,
        }
    }
}

/// What a frame of the peer brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A message begins: the encoded request or reply.
    Head(Vec<u8>),
    /// A part of its body.
    Body(Vec<u8>),
    /// The message is whole and genuine; a reply brings its warrant, verified.
    Close(Option<Warrant>),
}

/// One side of a session; any error ends it and wipes its keys.
///
/// ```
/// # use smr_channel::handshake::{Initiator, Introduction, Responder, Suite};
/// # use smr_channel::identity::ServerKeys;
/// # use smr_channel::reply::Reply;
/// # use smr_channel::request::Request;
/// # use smr_channel::session::{Event, Session};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let rng = &mut rand_core::OsRng;
/// # let now = 1_800_000_000;
/// let keys = ServerKeys::generate("repo.example".parse()?, rng);
///
/// // the handshake: three frames
/// let (client, frame) = Initiator::start(keys.identity(), &Suite::ALL, rng)?;
/// let (server, frame) = Responder::accept(&keys, &Suite::ALL, &frame, rng)?;
/// let (client, hash) = client.answer(&frame)?;
/// assert_eq!(hash, server.hash());
/// let introduction = Introduction::Login {
///     account: "rui".parse()?,
///     device: [7; 32],
///     signature: vec![0; 70], // by the device, over Introduction::login_to_sign
/// };
/// let (frame, mut client) = client.finish(&introduction, now)?;
/// let (introduced, mut server) = server.finish(&frame, now)?;
/// assert_eq!(introduced, introduction); // now smrd checks the signature
///
/// // smrd speaks first: the reply to the introduction
/// let welcome = Reply::Welcome { account: "rui".parse()?, until: now + 3600, now };
/// let frames = [server.send_head(&welcome.encode()?)?, server.close_reply(&keys, now)?];
/// let mut warrant = None;
/// for frame in &frames {
///     match client.receive(frame)? {
///         Event::Head(head) => assert_eq!(Reply::decode(&head)?, welcome),
///         Event::Body(_) => unreachable!(),
///         Event::Close(proof) => warrant = proof,
///     }
/// }
/// assert_eq!(warrant.unwrap().time, now);
///
/// // then requests and replies; a body streams between head and close
/// server.receive(&client.send_head(&Request::Publish.encode()?)?)?;
/// server.receive(&client.send_body(b"the record, as many parts as it takes")?)?;
/// assert_eq!(server.receive(&client.close_request()?)?, Event::Close(None));
///
/// // and, when the client finds renewal_due, the renewal of the session key
/// # client.receive(&server.send_head(&Reply::Done.encode()?)?)?;
/// # client.receive(&server.close_reply(&keys, now)?)?;
/// let request = client.renew(rng)?;
/// server.receive(&client.send_head(&request.encode()?)?)?;
/// server.receive(&client.close_request()?)?;
/// let reply = server.answer_renewal(&request, rng)?;
/// client.receive(&server.send_head(&reply.encode()?)?)?;
/// client.receive(&server.close_reply(&keys, now)?)?;
/// client.renewed(&reply, now)?;
/// # Ok(())
/// # }
/// ```
pub struct Session {
    id: [u8; 32],
    // In place, not behind a pointer: whoever locks a session in memory locks
    // its keys.
    live: Option<Live>,
}

/// Which side this is.
pub(crate) enum Role {
    /// The client, who verifies warrants with this key.
    Client { warrant: [u8; 32] },
    /// smrd.
    Server,
}

/// A session that no error has ended.
struct Live {
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
    message: Option<Message>,
    asked: Option<Box<Asked>>,
    answered: Option<Answered>,
}

/// The message under way.
struct Message {
    key: Key,
    chunks: Chunks,
    digest: Digest,
}

impl Session {
    pub(crate) fn new(
        role: Role,
        suite: Suite,
        split: &Split,
        introduction: &[u8],
        now: i64,
    ) -> Self {
        let (id, ratchet) = ratchet::begin(split, suite, now);
        let request = request_hash(introduction, &[]);
        let live = Live {
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
        };
        Session {
            id,
            live: Some(live),
        }
    }

    /// Returns the session's id, 32 bytes, the same on both sides; no secret.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Does one step; the session outlives it only if it succeeds.
    fn step<T>(
        &mut self,
        act: impl FnOnce(&mut Live) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        let live = self.live.as_mut().ok_or(SessionError::Over)?;
        let result = act(live);
        if result.is_err() {
            self.live = None;
        }
        result
    }

    /// Begins a message; returns the frame to send. The head has 1 to
    /// `MAX_CHUNK` bytes.
    pub fn send_head(&mut self, head: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.step(|live| live.send_head(head))
    }

    /// Continues a message by 1 to `MAX_CHUNK` bytes of body; returns the frame.
    pub fn send_body(&mut self, part: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.step(|live| {
            let message = live.sending()?;
            message.digest.body(part);
            message.chunks.seal(Kind::Body, part)
        })
    }

    /// Ends a request (client); returns the frame.
    pub fn close_request(&mut self) -> Result<Vec<u8>, SessionError> {
        self.step(Live::close_request)
    }

    /// Ends a reply with its warrant (smrd); `now` in unix seconds. Returns the
    /// frame.
    pub fn close_reply(&mut self, keys: &ServerKeys, now: i64) -> Result<Vec<u8>, SessionError> {
        self.step(|live| live.close_reply(keys, now))
    }

    /// Takes a frame of the peer.
    pub fn receive(&mut self, frame: &[u8]) -> Result<Event, SessionError> {
        self.step(|live| live.receive(frame))
    }

    /// Tells whether the client must renew the session key before its next
    /// request: after N messages, N from 64 to 1024, or `RENEW_AFTER` seconds.
    pub fn renewal_due(&self, now: i64) -> bool {
        let live = self.live.as_ref();
        live.is_some_and(|live| live.ratchet.is_due(now))
    }

    /// Tells whether smrd must refuse any request but a renewal: after N + 1
    /// messages, which `receive` refuses by itself, or `OVERDUE_AFTER` seconds.
    pub fn overdue(&self, now: i64) -> bool {
        let live = self.live.as_ref();
        live.is_some_and(|live| live.ratchet.is_overdue(now))
    }

    /// Makes the request that renews the session key (client); it must be sent
    /// next, and nothing after it until its reply is handed to `renewed`.
    pub fn renew(&mut self, rng: &mut dyn CryptoRngCore) -> Result<Request, SessionError> {
        self.step(|live| {
            live.begin(Direction::Request)?;
            let (asked, request) = renewal::ask(rng).map_err(|_| SessionError::Renewal)?;
            live.asked = Some(Box::new(asked));
            Ok(request)
        })
    }

    /// Answers a renewal that has been received whole (smrd); the reply must be
    /// sent next, and the new key holds from its close on.
    pub fn answer_renewal(
        &mut self,
        request: &Request,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Reply, SessionError> {
        self.step(|live| live.answer_renewal(request, rng))
    }

    /// Finishes a renewal whose reply has been received whole (client): the new
    /// key holds from here on. Any other reply ends the session.
    pub fn renewed(&mut self, reply: &Reply, now: i64) -> Result<(), SessionError> {
        self.step(|live| live.renewed(reply, now))
    }

    /// Tells whether it is our turn to speak.
    pub fn is_my_turn(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_my_turn())
    }

    /// Tells whether an error has ended the session.
    pub fn is_over(&self) -> bool {
        self.live.is_none()
    }
}

impl Live {
    fn speaks(&self) -> Direction {
        match self.role {
            Role::Client { .. } => Direction::Request,
            Role::Server => Direction::Reply,
        }
    }

    fn is_my_turn(&self) -> bool {
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

    fn send_head(&mut self, head: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.begin(self.speaks())?;
        let (key, mut chunks) = self.keys();
        let frame = chunks.seal(Kind::Head, head)?;
        let digest = self.digest(head);
        self.message = Some(Message {
            key,
            chunks,
            digest,
        });
        Ok(frame)
    }

    fn sending(&mut self) -> Result<&mut Message, SessionError> {
        match self.is_my_turn() {
            true => self.message.as_mut().ok_or(SessionError::Misused),
            false => Err(SessionError::Misused),
        }
    }

    /// Takes the message under way, ours to end in this direction.
    fn ending(&mut self, direction: Direction) -> Result<Message, SessionError> {
        match self.is_my_turn() && self.speaks() == direction {
            true => self.message.take().ok_or(SessionError::Misused),
            false => Err(SessionError::Misused),
        }
    }

    fn close_request(&mut self) -> Result<Vec<u8>, SessionError> {
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

    fn close_reply(&mut self, keys: &ServerKeys, now: i64) -> Result<Vec<u8>, SessionError> {
        let mut message = self.ending(Direction::Reply)?;
        let digest = message.digest.finish();
        let signature = self
            .warrant(&digest, now)
            .sign(&keys.warrant_key())
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

    fn receive(&mut self, frame: &[u8]) -> Result<Event, SessionError> {
        if self.is_my_turn() {
            return Err(SessionError::OutOfTurn);
        }
        let Some(mut message) = self.message.take() else {
            return self.receive_head(frame);
        };
        match message.chunks.open(frame)? {
            (Kind::Body, part) => {
                message.digest.body(&part);
                self.message = Some(message);
                Ok(Event::Body(part))
            }
            (Kind::Close, close) => self.receive_close(message, &close).map(Event::Close),
            (Kind::Head, _) => Err(SessionError::OutOfTurn),
        }
    }

    fn receive_head(&mut self, frame: &[u8]) -> Result<Event, SessionError> {
        let spent = matches!(self.role, Role::Server) && self.ratchet.is_spent();
        let (key, mut chunks) = self.keys();
        let (Kind::Head, head) = chunks.open(frame)? else {
            return Err(SessionError::OutOfTurn);
        };
        if spent && head.first() != Some(&request::RENEW) {
            return Err(SessionError::Overdue);
        }
        let digest = self.digest(&head);
        self.message = Some(Message {
            key,
            chunks,
            digest,
        });
        Ok(Event::Head(head))
    }

    fn receive_close(
        &mut self,
        message: Message,
        close: &[u8],
    ) -> Result<Option<Warrant>, SessionError> {
        let digest = message.digest.finish();
        match self.role {
            Role::Server => self.receive_request_close(&message.key, &digest, close),
            Role::Client { warrant } => self
                .receive_reply_close(&message.key, &digest, close, &warrant)
                .map(Some),
        }
    }

    fn receive_request_close(
        &mut self,
        key: &Key,
        digest: &[u8; 32],
        mac: &[u8],
    ) -> Result<Option<Warrant>, SessionError> {
        let mac = mac.try_into().map_err(|_| SessionError::Forged)?;
        let close = self.close(digest, None);
        if !close.verify(key, mac) {
            return Err(SessionError::Forged);
        }
        let transcript = close.extend(mac);
        self.request = *digest;
        self.advance(transcript)?;
        Ok(None)
    }

    fn receive_reply_close(
        &mut self,
        key: &Key,
        digest: &[u8; 32],
        close: &[u8],
        warrant_key: &[u8; 32],
    ) -> Result<Warrant, SessionError> {
        let said = ReplyClose::decode(close).map_err(|_| SessionError::Forged)?;
        let close = self.close(digest, Some((said.time, &said.signature)));
        if !close.verify(key, &said.mac) {
            return Err(SessionError::Forged);
        }
        let transcript = close.extend(&said.mac);
        let warrant = Warrant {
            signature: said.signature,
            ..self.warrant(digest, said.time)
        };
        warrant
            .verify(warrant_key)
            .map_err(|_| SessionError::Forged)?;
        self.reply = *digest;
        self.advance(transcript)?;
        Ok(warrant)
    }

    fn answer_renewal(
        &mut self,
        request: &Request,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Reply, SessionError> {
        self.begin(Direction::Reply)?;
        let wrong = |_| SessionError::Renewal;
        // what is answered is what was asked last, without a body
        if renewal::hash_request(request).map_err(wrong)? != self.request {
            return Err(SessionError::Renewal);
        }
        let (answered, reply) = renewal::answer(request, rng).map_err(wrong)?;
        self.answered = Some(answered);
        Ok(reply)
    }

    fn renewed(&mut self, reply: &Reply, now: i64) -> Result<(), SessionError> {
        let asked = self.asked.take().ok_or(SessionError::Misused)?;
        self.begin(Direction::Request)?;
        let wrong = |_| SessionError::Renewal;
        let answered = asked.request == self.request
            && renewal::hash_reply(reply).map_err(wrong)? == self.reply;
        if !answered {
            return Err(SessionError::Renewal);
        }
        let fresh = asked.finish(reply).map_err(wrong)?;
        self.ratchet.renew(&fresh, &self.transcript, now);
        Ok(())
    }
}
