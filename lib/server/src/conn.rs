//! One connection, step by step: what smrd waits for, and what it does once
//! that has come whole.
//!
//! Costs no thread while it waits: the door holds it then, and whoever reads
//! for it never waits for its peer.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::OsRng;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use smr_channel::frame::{ASK_CHAIN, ASK_IDENTITY, ASK_SESSION, MAGIC, MAX_FRAME};
use smr_channel::handshake::{HandshakeError, MAX_FIRST, Responder, Suite};
use smr_channel::session::{Session, SessionError};
use smr_name::MailboxName;

use crate::audit::About;
use crate::config::Level;
use crate::gather::Gather;
use crate::handle::{self, Broken, Visit};
use crate::house::{House, now};
use crate::pool::Lane;
use crate::proxy::{self, Origin, ProxyError};
use crate::seats::{Seat, peer_of};
use crate::talk::{Talk, Turn, Watch};
use crate::wire::{Patience, Wire, WireError};

/// Time for all of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a worker waits for the next of several requests, so that they need
/// not go by way of the door.
const LINGER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// Says why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("not a client of ours")]
    Greeting,
    #[error("a PROXY header from an address that \"proxy\" in smrd.conf does not name")]
    Unasked,
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("no room for this peer")]
    Crowded,
    #[error("no longer let in: {0}")]
    Unwelcome(String),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("a request that is none: {0}")]
    Request(#[from] smr_channel::codec::CodecError),
    #[error("too many handshakes of this peer in a minute")]
    Hasty,
    #[error("too many requests of \"{0}\" at a time")]
    Greedy(MailboxName),
    #[error("a body longer than announced")]
    Flood,
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl ConnError {
    /// Returns how loudly the log says it: silence and departure are ordinary.
    pub(crate) fn level(&self) -> Level {
        match self {
            ConnError::Wire(WireError::Closed) => Level::Debug,
            ConnError::Wire(WireError::TimedOut | WireError::Io(_)) => Level::Info,
            ConnError::Broken(_) => Level::Error,
            _ => Level::Warn,
        }
    }
}

/// A connection that nobody is working for.
pub(crate) struct Conn {
    seat: Seat,
    peer: SocketAddr,
    gather: Gather,
    stage: Stage,
    deadline: Instant,
    /// How long a frame may take, once a session is open.
    step: Duration,
}

/// What smrd waits for.
enum Stage {
    /// The header of a proxy.
    Header,
    Greeting,
    /// That more of what it was asked for outside a session can be sent: the
    /// chain of its keys, from this byte on.
    Telling(usize),
    /// Frame 1 of the handshake.
    First,
    /// Frame 3 of the handshake.
    Third(Box<Responder>),
    /// A request.
    Idle(Box<Stay>),
    /// News, or the end of the wait.
    Watching(Box<Stay>, Box<Watch>),
}

/// A session and whose it is.
struct Stay {
    session: Session,
    visit: Visit,
}

/// What is to be done for a connection.
#[derive(Debug, PartialEq)]
pub(crate) enum Due {
    /// The identity document was asked for.
    Identity,
    /// How the keys followed one another was asked for.
    Chain,
    /// The next part of that can be sent.
    Rest,
    /// A frame has come whole.
    Frame(Vec<u8>),
    /// There may be news, or the wait is over.
    News,
    /// The account's record has changed.
    Judgement,
}

/// Which strangers are alike; see `Conn::standing`.
pub(crate) const STANDINGS: usize = 4;

impl Conn {
    /// Makes a connection; one by a proxy begins with its header.
    pub(crate) fn new(seat: Seat, peer: SocketAddr, proxied: bool, step: Duration) -> Box<Conn> {
        Box::new(Conn {
            seat,
            peer,
            gather: Gather::default(),
            stage: match proxied {
                true => Stage::Header,
                false => Stage::Greeting,
            },
            deadline: Instant::now() + HANDSHAKE,
            step,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.seat.number()
    }

    pub(crate) fn stream(&self) -> &Arc<TcpStream> {
        self.seat.stream()
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Returns when the wait ends.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns how far a stranger has come, from 0; none once introduced.
    pub(crate) fn standing(&self) -> Option<usize> {
        match self.stage {
            Stage::Header | Stage::Greeting => Some(0),
            Stage::First => Some(1),
            Stage::Third(_) => Some(2),
            Stage::Telling(_) => Some(3),
            Stage::Idle(_) | Stage::Watching(..) => None,
        }
    }

    /// Returns what it waits for.
    pub(crate) fn awaits(&self) -> EventFlags {
        match self.stage {
            // Not for the peer's end: he may have said that he asks for nothing
            // more.
            Stage::Telling(_) => EventFlags::OUT,
            _ => EventFlags::IN | EventFlags::RDHUP,
        }
    }

    /// Returns the line in which it waits to be served.
    pub(crate) fn lane(&self) -> Lane {
        match self.standing() {
            Some(_) => Lane::Stranger,
            None => Lane::Member,
        }
    }

    /// Returns whom a line about it is counted with.
    pub(crate) fn about(&self) -> About {
        match self.standing() {
            Some(_) => About::Stranger,
            None => About::Any,
        }
    }

    /// Returns what was due while nobody looked.
    pub(crate) fn missed(&self, house: &House) -> Option<Due> {
        match &self.stage {
            Stage::Watching(_, watch) if watch.watcher.is_rung() => Some(Due::News),
            Stage::Idle(stay) if handle::is_behind(house, &stay.visit) => Some(Due::Judgement),
            _ => None,
        }
    }

    /// Tells whether it is a session of this account that waits for nothing.
    pub(crate) fn idles_for(&self, name: &MailboxName) -> bool {
        matches!(&self.stage, Stage::Idle(stay) if stay.visit.who == *name)
    }

    /// Takes what has come, without waiting, and says what is due.
    pub(crate) fn arrived(&mut self) -> Result<Option<Due>, ConnError> {
        let stream = self.seat.stream();
        let most = match &self.stage {
            Stage::Header => {
                let header = self
                    .gather
                    .whole(stream, |bytes| proxy::goal(bytes).map_err(ConnError::from))?;
                return header.map_or(Ok(None), |bytes| self.relayed(&bytes));
            }
            Stage::Greeting => {
                let greeting = self.gather.exactly(stream, MAGIC.len() + 1)?;
                return greeting.map_or(Ok(None), |bytes| self.greeted(&bytes));
            }
            // Nothing may be said while smrd is to answer: an end, or a fault.
            Stage::Watching(..) => {
                return match self.gather.exactly(stream, 1)? {
                    None => Ok(None),
                    Some(_) => Err(SessionError::OutOfTurn.into()),
                };
            }
            Stage::Telling(_) => return Ok(Some(Due::Rest)),
            Stage::First => MAX_FIRST,
            Stage::Third(_) | Stage::Idle(_) => MAX_FRAME,
        };
        let begun = self.gather.has_begun();
        let frame = self.gather.frame(stream, most)?;
        // For all of it: drops must not keep a seat past the session's end.
        if matches!(self.stage, Stage::Idle(_)) && self.gather.has_begun() && !begun {
            self.deadline = Instant::now() + self.step;
        }
        Ok(frame.map(Due::Frame))
    }

    /// Learns who the peer is.
    fn relayed(&mut self, header: &[u8]) -> Result<Option<Due>, ConnError> {
        if let Origin::Client(client) = proxy::read(header)? {
            self.peer = client;
        }
        if !self.seat.settle(self.peer.ip()) {
            return Err(ConnError::Crowded);
        }
        self.stage = Stage::Greeting;
        self.arrived()
    }

    fn greeted(&mut self, greeting: &[u8]) -> Result<Option<Due>, ConnError> {
        match greeting.strip_prefix(MAGIC) {
            Some([ASK_IDENTITY]) => Ok(Some(Due::Identity)),
            Some([ASK_CHAIN]) => Ok(Some(Due::Chain)),
            Some([ASK_SESSION]) => {
                self.stage = Stage::First;
                self.arrived()
            }
            _ if proxy::is_begun(greeting) => Err(ConnError::Unasked),
            _ => Err(ConnError::Greeting),
        }
    }

    /// Says what is due at the deadline.
    pub(crate) fn timed_out(&self) -> Result<Due, ConnError> {
        match self.stage {
            Stage::Watching(..) => Ok(Due::News),
            _ => Err(WireError::TimedOut.into()),
        }
    }

    /// Does what is due, and what comes right after it; returns the connection
    /// where it goes on.
    pub(crate) fn serve(
        mut self: Box<Self>,
        house: &House,
        mut due: Due,
    ) -> Result<Option<Box<Self>>, ConnError> {
        let lane = self.lane();
        loop {
            let Some((stage, deadline)) = self.step(house, due)? else {
                return Ok(None);
            };
            (self.stage, self.deadline) = (stage, deadline);
            // Whoever was just let in has had his turn among strangers: a slow
            // request of his must not keep the next one out.
            if self.lane() != lane {
                return Ok(Some(self));
            }
            match self.linger(house)? {
                None => return Ok(Some(self)),
                Some(next) => due = next,
            }
        }
    }

    fn step(&mut self, house: &House, due: Due) -> Result<Option<(Stage, Instant)>, ConnError> {
        if self.standing().is_some() {
            // Nothing that could be lost has been asked for.
            if house.seats.stopping() {
                return Ok(None);
            }
            // It may have waited long in its line.
            if Instant::now() >= self.deadline {
                return Err(WireError::TimedOut.into());
            }
            // Each waits for the other's frame.
            if matches!(due, Due::Frame(_)) && self.gather.has_begun() {
                return Err(SessionError::OutOfTurn.into());
            }
        }
        match (std::mem::replace(&mut self.stage, Stage::Greeting), due) {
            (Stage::Greeting, Due::Identity) => self
                .put(house.identity.as_bytes())
                .map(|()| None)
                .map_err(Into::into),
            (Stage::Greeting, Due::Chain) => {
                self.may_knock(house)?;
                house.metrics.chain_told();
                self.tell(house, 0)
            }
            (Stage::Telling(from), Due::Rest) => self.tell(house, from),
            (Stage::First, Due::Frame(frame)) => {
                // Before any of it costs: whoever has a frame can send it again.
                self.may_knock(house)?;
                let accepted = Responder::accept(&house.keys, &Suite::ALL, &frame, &mut OsRng);
                let (responder, second) = accepted?;
                house.metrics.handshake();
                self.put(&second)?;
                Ok(Some((Stage::Third(Box::new(responder)), self.deadline)))
            }
            (Stage::Third(responder), Due::Frame(frame)) => {
                let hash = responder.hash();
                let (introduction, mut session) = responder.finish(&frame, now())?;
                let visit = self
                    .talk(house, &mut session, Vec::new())
                    .introduce(introduction, &hash)?;
                Ok(visit.map(|visit| idle(house, Box::new(Stay { session, visit }))))
            }
            (Stage::Idle(mut stay), Due::Frame(frame)) => {
                let Stay { session, visit } = &mut *stay;
                let ahead = self.gather.rest();
                let turn = self.talk(house, session, ahead).request(&frame, visit)?;
                Ok(after(house, stay, turn))
            }
            (Stage::Watching(mut stay, watch), Due::News) => {
                let Stay { session, visit } = &mut *stay;
                let turn = self.talk(house, session, Vec::new()).news(watch, visit)?;
                Ok(after(house, stay, turn))
            }
            (Stage::Idle(mut stay), Due::Judgement) => {
                match handle::rejudge(house, &mut stay.visit, now()) {
                    Ok(()) => Ok(Some((Stage::Idle(stay), self.deadline))),
                    Err(refusal) => Err(ConnError::Unwelcome(refusal.text)),
                }
            }
            // Whatever else is due is not due here.
            _ => Err(SessionError::OutOfTurn.into()),
        }
    }

    /// Begins to talk with a peer of whom so much has come already.
    fn talk<'a>(&self, house: &'a House, session: &'a mut Session, ahead: Vec<u8>) -> Talk<'a> {
        Talk {
            house,
            wire: Wire::new(self.stream().clone(), ahead),
            session,
            peer: self.peer,
            number: self.number(),
            #[cfg(feature = "lies")]
            asked: Default::default(),
        }
    }

    /// Takes leave for what costs before anybody is known.
    fn may_knock(&self, house: &House) -> Result<(), ConnError> {
        let leave = house.rates.handshakes.take(peer_of(self.peer.ip()));
        leave.map_err(|_| ConnError::Hasty)
    }

    /// Sends as much of the chain as the connection takes now: whoever does not
    /// read it keeps no worker.
    fn tell(&self, house: &House, from: usize) -> Result<Option<(Stage, Instant)>, ConnError> {
        let rest = house.told.get(from..).unwrap_or_default();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match send(&**self.stream(), rest, flags) {
            Err(Errno::AGAIN | Errno::INTR) => 0,
            sent => sent.map_err(|error| WireError::Io(error.into()))?,
        };
        let next = (Stage::Telling(from + sent), self.deadline);
        Ok((sent < rest.len()).then_some(next))
    }

    /// Sends a frame to a stranger.
    fn put(&self, frame: &[u8]) -> Result<(), WireError> {
        let patience = Patience::Until(self.deadline);
        let mut wire = Wire::new(self.stream().clone(), Vec::new());
        wire.put(frame, patience)?;
        wire.flush(patience)
    }

    /// Waits a moment for a member's next request.
    fn linger(&mut self, house: &House) -> Result<Option<Due>, ConnError> {
        if !matches!(self.stage, Stage::Idle(_)) || house.seats.stopping() {
            return Ok(None);
        }
        let mut polled = [PollFd::new(&**self.seat.stream(), PollFlags::IN)];
        match poll(&mut polled, Some(&LINGER)) {
            Ok(1..) => self.arrived(),
            _ => Ok(None),
        }
    }
}

fn idle(house: &House, stay: Box<Stay>) -> (Stage, Instant) {
    let unused = Duration::from_secs(house.config.session.idle.unsigned_abs());
    let deadline = end(&stay.visit).min(Instant::now() + unused);
    (Stage::Idle(stay), deadline)
}

fn after(house: &House, stay: Box<Stay>, turn: Turn) -> Option<(Stage, Instant)> {
    match turn {
        Turn::Next => Some(idle(house, stay)),
        Turn::Last => None,
        Turn::Watch(watch) => {
            // The end of the session is answered at once.
            let deadline = watch.until.min(end(&stay.visit));
            Some((Stage::Watching(stay, watch), deadline))
        }
    }
}

/// Returns when a session ends.
fn end(visit: &Visit) -> Instant {
    let left = visit.until.saturating_sub(now());
    Instant::now() + Duration::from_secs(u64::try_from(left).unwrap_or(0))
}
