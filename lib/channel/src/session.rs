//! A session after its handshake: strictly one request, one reply, each a run
//! of authenticated chunks, under a key that is never used twice.
//!
//! Holds no message: bodies stream through. What comes out before a close has
//! verified is provisional; nobody may act on it.

use rand_core::CryptoRngCore;

use crate::identity::ServerKeys;
use crate::live::{Live, Role};
use crate::noise::Split;
use crate::reply::Reply;
use crate::request::Request;
use crate::suite::Suite;

pub use crate::digest::{Digest, reply_hash, request_hash};
pub use crate::event::{Event, SessionError};
pub use crate::ratchet::{OVERDUE_AFTER, RENEW_AFTER};
pub use crate::record::MAX_CHUNK;

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

impl Session {
    pub(crate) fn new(
        role: Role,
        suite: Suite,
        split: &Split,
        introduction: &[u8],
        now: i64,
    ) -> Self {
        let live = Live::new(role, suite, split, introduction, now);
        Session {
            id: *live.id(),
            live: Some(live),
        }
    }

    /// Returns the session's id, 32 bytes, the same on both sides; no secret.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Returns N, how many messages the present chain serves, 64 to 1024; none
    /// once the session is over.
    pub fn limit(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.ratchet().limit())
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
        self.step(|live| live.send_body(part))
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
        live.is_some_and(|live| live.ratchet().is_due(now))
    }

    /// Tells whether smrd must refuse any request but a renewal: after N + 1
    /// messages, which `receive` refuses by itself, or `OVERDUE_AFTER` seconds.
    pub fn overdue(&self, now: i64) -> bool {
        let live = self.live.as_ref();
        live.is_some_and(|live| live.ratchet().is_overdue(now))
    }

    /// Makes the request that renews the session key (client); it must be sent
    /// next, and nothing after it until its reply is handed to `renewed`.
    pub fn renew(&mut self, rng: &mut dyn CryptoRngCore) -> Result<Request, SessionError> {
        self.step(|live| live.renew(rng))
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
