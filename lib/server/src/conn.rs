//! One connection, from its greeting to its end.
//!
//! Acts on no request before its close has verified, and says nothing outside
//! a session but the identity document.

use std::time::{Duration, Instant};

use rand_core::OsRng;
use smr_channel::frame::{ASK_IDENTITY, ASK_SESSION, MAGIC};
use smr_channel::handshake::{HandshakeError, Introduction, Responder, Suite};
use smr_channel::request::Request;
use smr_channel::session::{Event, MAX_CHUNK, Session, SessionError};

use crate::config::Level;
use crate::handle::{self, After, Answer, Body, Broken, Intake, Visit};
use crate::house::{House, now};
use crate::permit::{self, Phase};
use crate::refusal::Refusal;
use crate::seats::Seat;
use crate::wire::{Patience, Wire, WireError};

/// Time for all of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for each read or write within a message.
const STEP: Patience = Patience::Each(Duration::from_secs(60));

/// Says why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("not a client of ours")]
    Greeting,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("a request that is none: {0}")]
    Request(#[from] smr_channel::codec::CodecError),
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

/// Serves a connection to its end.
pub(crate) fn serve(
    house: &House,
    mut wire: Wire,
    seat: &Seat,
    peer: &str,
) -> Result<(), ConnError> {
    let deadline = Patience::Until(Instant::now() + HANDSHAKE);
    let mut greeting = [0; MAGIC.len() + 1];
    wire.fill(&mut greeting, deadline)?;
    match greeting.strip_prefix(MAGIC) {
        Some([ASK_IDENTITY]) => {
            wire.put(house.identity.as_bytes(), deadline)?;
            Ok(wire.flush(deadline)?)
        }
        Some([ASK_SESSION]) => session(house, wire, seat, peer, deadline),
        _ => Err(ConnError::Greeting),
    }
}

fn session(
    house: &House,
    mut wire: Wire,
    seat: &Seat,
    peer: &str,
    deadline: Patience,
) -> Result<(), ConnError> {
    let (introduction, hash, session) = handshake(house, &mut wire, deadline)?;
    let mut conn = Conn {
        house,
        wire,
        session,
        peer,
    };
    let Some(mut visit) = conn.introduce(introduction, &hash)? else {
        return Ok(());
    };
    while seat.rest() {
        let left = visit.until.saturating_sub(now());
        let patience = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        let frame = conn
            .wire
            .frame(Patience::Until(Instant::now() + patience), STEP)?;
        seat.work();
        if conn.request(&frame, &mut visit)? == Turn::Last {
            break;
        }
    }
    Ok(())
}

fn handshake(
    house: &House,
    wire: &mut Wire,
    deadline: Patience,
) -> Result<(Introduction, [u8; 32], Session), ConnError> {
    let first = wire.frame(deadline, deadline)?;
    let (responder, second) = Responder::accept(&house.keys, &Suite::ALL, &first, &mut OsRng)?;
    wire.put(&second, deadline)?;
    wire.flush(deadline)?;
    let hash = responder.hash();
    let third = wire.frame(deadline, deadline)?;
    let (introduction, session) = responder.finish(&third, now())?;
    Ok((introduction, hash, session))
}

/// Whether the session goes on.
#[derive(PartialEq)]
enum Turn {
    Next,
    Last,
}

struct Conn<'a> {
    house: &'a House,
    wire: Wire,
    session: Session,
    peer: &'a str,
}

impl<'a> Conn<'a> {
    /// Judges an introduction and answers it; none where it was refused.
    fn introduce(
        &mut self,
        introduction: Introduction,
        hash: &[u8; 32],
    ) -> Result<Option<Visit>, ConnError> {
        let word = match introduction {
            Introduction::Login { .. } => "login",
            Introduction::Enrol { .. } => "enrol",
            Introduction::Join { .. } => "join",
        };
        match handle::introduce(self.house, introduction, hash, now()) {
            Ok((visit, answer)) => {
                self.log(Level::Info, word)
                    .with("account", &visit.who)
                    .send();
                self.answer(answer, STEP)?;
                Ok(Some(visit))
            }
            Err(refusal) => {
                self.log_refusal(word, None, &refusal);
                self.answer(Answer::plain(refusal.reply()), STEP)?;
                Ok(None)
            }
        }
    }

    /// Takes the request whose first frame has come, and answers it.
    fn request(&mut self, frame: &[u8], visit: &mut Visit) -> Result<Turn, ConnError> {
        let Event::Head(head) = self.session.receive(frame)? else {
            return Err(SessionError::OutOfTurn.into());
        };
        let request = Request::decode(&head)?;
        let kind = permit::kind(&request);
        let intake = self.admit(&request, kind, visit);
        let intake = self.body(intake)?;
        let answer = match intake {
            Intake::Refused(refusal) => Err(refusal),
            intake => self.act(&request, intake, visit),
        };
        let turn = match (&answer, &request) {
            (Ok(_), Request::Bye) => Turn::Last,
            _ if now() >= visit.until => Turn::Last,
            _ => Turn::Next,
        };
        let answer = answer.unwrap_or_else(|refusal| {
            self.log_refusal(kind, Some(visit), &refusal);
            Answer::plain(refusal.reply())
        });
        let line = self.log(Level::Debug, "request").with("kind", kind);
        line.with("account", &visit.who).send();
        let fetched = match &answer.after {
            After::Fetched(_, id) => Some(*id),
            After::Nothing => visit.fetched,
        };
        self.answer(answer, STEP)?;
        visit.fetched = fetched;
        Ok(turn)
    }

    /// Says what becomes of the request's body.
    fn admit(&self, request: &Request, kind: &str, visit: &mut Visit) -> Intake {
        // First: a record that lists a guest makes him a full member.
        if let Err(refusal) = handle::rejudge(self.house, visit, now()) {
            return Intake::Refused(refusal);
        }
        let phase = match () {
            () if now() >= visit.until => Phase::Over,
            () if self.session.overdue(now()) => Phase::Overdue,
            () if visit.guest => Phase::Guest,
            () if visit.offered.is_some() => Phase::Offered,
            () => Phase::Open,
        };
        permit::permit(kind, phase)
            .and_then(|()| handle::intake(self.house, visit, request))
            .unwrap_or_else(Intake::Refused)
    }

    /// Takes the body, to the close that proves the request.
    fn body(&mut self, mut intake: Intake) -> Result<Intake, ConnError> {
        let mut left = self.house.flood_limit();
        loop {
            let frame = self.wire.frame(STEP, STEP)?;
            match self.session.receive(&frame)? {
                Event::Close(_) => return Ok(intake),
                Event::Head(_) => return Err(SessionError::OutOfTurn.into()),
                Event::Body(part) => {
                    // A refused body is taken and dropped: the refusal can
                    // only be signed for a request that came whole.
                    left = left
                        .checked_sub(part.len() as u64)
                        .ok_or(ConnError::Flood)?;
                    intake = intake.take(&part).unwrap_or_else(Intake::Refused);
                }
            }
        }
    }

    fn act(
        &mut self,
        request: &Request,
        intake: Intake,
        visit: &mut Visit,
    ) -> Result<Answer<'a>, Refusal> {
        // Again: a body may come so slowly that its device was removed since.
        handle::rejudge(self.house, visit, now())?;
        if matches!(request, Request::Renew { .. }) {
            // A renewal that does not verify ends the session at the next send.
            let renewed = self.session.answer_renewal(request, &mut OsRng);
            return renewed
                .map(Answer::plain)
                .map_err(|e| Refusal::new(smr_name::Class::Forged, e.to_string()));
        }
        handle::act(self.house, visit, request, intake, now())
    }

    /// Sends an answer; what is to be done once its body was sent is done
    /// before its close: whoever has the whole answer can rely on it.
    fn answer(&mut self, answer: Answer<'_>, patience: Patience) -> Result<(), ConnError> {
        let head = answer.reply.encode()?;
        let frame = self.session.send_head(&head)?;
        self.wire.put(&frame, patience)?;
        self.send_body(answer.body, patience)?;
        if let After::Fetched(who, id) = answer.after {
            self.wire.flush(patience)?;
            handle::fetched(self.house, &who, id);
        }
        let frame = self.session.close_reply(&self.house.keys, now())?;
        self.wire.put(&frame, patience)?;
        Ok(self.wire.flush(patience)?)
    }

    fn send_body(&mut self, mut body: Body<'_>, patience: Patience) -> Result<(), ConnError> {
        while let Some(part) = body.next(MAX_CHUNK)? {
            let frame = self.session.send_body(&part)?;
            self.wire.put(&frame, patience)?;
        }
        Ok(())
    }

    fn log(&self, level: Level, event: &str) -> crate::audit::Line<'_> {
        self.house.log.line(level, event).with("peer", self.peer)
    }

    fn log_refusal(&self, kind: &str, visit: Option<&Visit>, refusal: &Refusal) {
        let who = visit.map_or("-", |v| v.who.as_str());
        self.log(Level::Warn, "refused")
            .with("kind", kind)
            .with("account", who)
            .with("class", refusal.class.code())
            .with("why", &refusal.text)
            .send();
    }
}
