//! What is said in a session: an introduction, or a request, taken to its close
//! and answered.
//!
//! Acts on no request before its close has verified. Waits for its peer, so it
//! is a worker's.

#[cfg(feature = "lies")]
pub(crate) mod lie;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::OsRng;
use smr_channel::handshake::Introduction;
use smr_channel::request::Request;
use smr_channel::session::{Event, MAX_CHUNK, Session, SessionError};

use crate::audit::{About, Line};
use crate::config::Level;
use crate::conn::ConnError;
use crate::handle::{self, After, Answer, Body, Intake, Visit};
use crate::house::{House, now};
use crate::news::Watcher;
use crate::permit::{self, Phase};
use crate::refusal::Refusal;
use crate::wire::{Pace, Wire};

/// What comes after a request.
pub(crate) enum Turn {
    /// The next request.
    Next,
    /// Nothing: the session is over.
    Last,
    /// The answer, once there is news.
    Watch(Box<Watch>),
}

/// A watch that has not been answered.
pub(crate) struct Watch {
    folder: smr_store::Folder,
    /// The last entry that the client knows.
    known: u64,
    /// When it is answered, news or not.
    pub(crate) until: Instant,
    pub(crate) watcher: Watcher,
}

/// A session while a worker has it.
pub(crate) struct Talk<'a> {
    pub(crate) house: &'a House,
    pub(crate) wire: Wire,
    pub(crate) session: &'a mut Session,
    pub(crate) peer: SocketAddr,
    /// The connection's.
    pub(crate) number: u64,
    #[cfg(feature = "lies")]
    pub(crate) asked: lie::Asked,
}

/// What becomes of a request that came whole.
enum Acted<'a> {
    Answer(Answer<'a>),
    Later(Watch),
}

impl<'a> Talk<'a> {
    /// Judges an introduction and answers it; none where it was refused.
    pub(crate) fn introduce(
        &mut self,
        introduction: Introduction,
        hash: &[u8; 32],
    ) -> Result<Option<Visit>, ConnError> {
        let word = match introduction {
            Introduction::Login { .. } => "login",
            Introduction::Enrol { .. } => "enrol",
            Introduction::Join { .. } => "join",
            Introduction::CardLogin { .. } => "card-login",
        };
        match handle::introduce(self.house, introduction, hash, now()) {
            Ok((visit, answer)) => {
                let line = self.house.log.line_by(&visit.who, Level::Info, word);
                let line = line.with("peer", self.peer);
                line.with("account", &visit.who).send();
                self.answer(answer)?;
                Ok(Some(visit))
            }
            Err(refusal) => {
                self.log_refusal(word, None, &refusal);
                self.answer(Answer::plain(refusal.reply()))?;
                Ok(None)
            }
        }
    }

    /// Takes the request whose first frame has come, and answers it.
    pub(crate) fn request(&mut self, frame: &[u8], visit: &mut Visit) -> Result<Turn, ConnError> {
        let Event::Head(head) = self.session.receive(frame)? else {
            return Err(SessionError::OutOfTurn.into());
        };
        let request = Request::decode(&head)?;
        // Before its body: to refuse it in so many words would be to read that.
        let house = self.house;
        let share = house.shares.take(&visit.who);
        let _share = share.ok_or_else(|| ConnError::Greedy(visit.who.clone()))?;
        #[cfg(feature = "lies")]
        self.hear(visit, &request);
        let kind = permit::kind(&request);
        let intake = self.admit(&request, kind, visit);
        let intake = self.body(intake)?;
        let acted = match intake {
            Intake::Refused(refusal) => Err(refusal),
            intake => self.act(&request, intake, visit),
        };
        let line = self.log(Level::Debug, "request").with("kind", kind);
        line.with("account", &visit.who).send();
        let answer = match acted {
            Ok(Acted::Later(watch)) => return Ok(Turn::Watch(Box::new(watch))),
            Ok(Acted::Answer(answer)) => Ok(answer),
            Err(refusal) => Err(refusal),
        };
        let bye = answer.is_ok() && request == Request::Bye;
        self.settle(answer, kind, visit, bye)
    }

    /// Answers a watch, unless there is no news and the wait is not over.
    pub(crate) fn news(&mut self, watch: Box<Watch>, visit: &mut Visit) -> Result<Turn, ConnError> {
        // First: what comes after it was looked for rings again.
        watch.watcher.look();
        // Again: the device may have been removed while it waited.
        let seen = handle::rejudge(self.house, visit, now())
            .and_then(|()| handle::news(self.house, visit, watch.folder));
        let over = Instant::now() >= watch.until || now() >= visit.until;
        match seen {
            Ok(count) if count <= watch.known && !over => Ok(Turn::Watch(watch)),
            seen => self.settle(seen.map(handle::news_of), "watch", visit, false),
        }
    }

    /// Sends the answer to a request, and says what comes after it.
    fn settle(
        &mut self,
        answer: Result<Answer<'_>, Refusal>,
        kind: &str,
        visit: &mut Visit,
        bye: bool,
    ) -> Result<Turn, ConnError> {
        let turn = match bye || now() >= visit.until {
            true => Turn::Last,
            false => Turn::Next,
        };
        let answer = answer.unwrap_or_else(|refusal| {
            self.log_refusal(kind, Some(visit), &refusal);
            Answer::plain(refusal.reply())
        });
        let fetched = match &answer.after {
            After::Fetched(_, id, _) => Some(*id),
            After::Nothing => visit.fetched,
        };
        self.answer(answer)?;
        visit.fetched = fetched;
        Ok(turn)
    }

    fn rated(&self, visit: &Visit) -> Result<(), Refusal> {
        self.house.rates.requests.take(visit.who.clone())
    }

    /// Says what becomes of the request's body.
    fn admit(&self, request: &Request, kind: &str, visit: &mut Visit) -> Intake {
        // First: a record that lists a guest makes him a full member.
        if let Err(refusal) = handle::rejudge(self.house, visit, now()) {
            return Intake::Refused(refusal);
        }
        // What ends a session, or lets it go on, must not be what is too much.
        let counts = !matches!(request, Request::Bye | Request::Renew { .. });
        if let (true, Err(refusal)) = (counts, self.rated(visit)) {
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
        let mut pace = self.house.pace();
        loop {
            let frame = self.wire.frame(pace.patience())?;
            pace.went(frame.len());
            match self.session.receive(&frame)? {
                // Nothing is said after it before the answer.
                Event::Close(_) if self.wire.is_ahead() => {
                    return Err(SessionError::OutOfTurn.into());
                }
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
    ) -> Result<Acted<'a>, Refusal> {
        // Again: a body may come so slowly that its device was removed since.
        handle::rejudge(self.house, visit, now())?;
        match request {
            // A renewal that does not verify ends the session at the next send.
            Request::Renew { .. } => {
                let renewed = self.session.answer_renewal(request, &mut OsRng);
                let renewed = renewed.map(Answer::plain).map(Acted::Answer);
                renewed.map_err(|e| Refusal::new(smr_name::Class::Forged, e.to_string()))
            }
            Request::Watch {
                folder,
                after,
                wait,
            } => {
                let (folder, time) = handle::watched(*folder, *wait)?;
                self.watch(folder, *after, time, visit)
            }
            _ => handle::act(self.house, visit, request, intake, now()).map(Acted::Answer),
        }
    }

    /// Answers a watch where there is news already; else it is to wait.
    fn watch(
        &self,
        folder: smr_store::Folder,
        known: u64,
        time: Duration,
        visit: &Visit,
    ) -> Result<Acted<'a>, Refusal> {
        // Before the folder is looked at: what comes after that rings.
        let watcher = self.house.news.watch(&visit.who, folder, self.number);
        let count = handle::news(self.house, visit, folder)?;
        if count > known {
            return Ok(Acted::Answer(handle::news_of(count)));
        }
        Ok(Acted::Later(Watch {
            folder,
            known,
            until: Instant::now() + time,
            watcher,
        }))
    }

    /// Sends an answer; what is to be done once its body was sent is done
    /// before its close: whoever has the whole answer can rely on it.
    fn answer(&mut self, answer: Answer<'_>) -> Result<(), ConnError> {
        #[cfg(feature = "lies")]
        if let Some(liar) = self.house.liar.get() {
            return self.lie(liar, answer);
        }
        let head = answer.reply.encode()?;
        let mut pace = self.house.pace();
        let frame = self.session.send_head(&head)?;
        self.wire.put(&frame, pace.patience())?;
        self.send_body(answer.body, &mut pace)?;
        if let After::Fetched(who, id, again) = answer.after {
            self.wire.flush(pace.patience())?;
            handle::fetched(self.house, &who, id, again);
        }
        let frame = self.session.close_reply(&self.house.keys, now())?;
        self.wire.put(&frame, pace.patience())?;
        Ok(self.wire.flush(pace.patience())?)
    }

    fn send_body(&mut self, mut body: Body<'_>, pace: &mut Pace) -> Result<(), ConnError> {
        while let Some(part) = body.next(MAX_CHUNK)? {
            let frame = self.session.send_body(&part)?;
            self.wire.put(&frame, pace.patience())?;
            pace.went(frame.len());
        }
        Ok(())
    }

    fn log(&self, level: Level, event: &'static str) -> Line<'_> {
        self.house.log.line(level, event).with("peer", self.peer)
    }

    fn log_refusal(&self, kind: &str, visit: Option<&Visit>, refusal: &Refusal) {
        self.house.metrics.refused(refusal.class);
        let log = &self.house.log;
        let (line, who) = match visit.map(|visit| &visit.who) {
            Some(who) => (log.line_by(who, Level::Warn, "refused"), who.as_str()),
            None => (log.line_about(About::Stranger, Level::Warn, "refused"), "-"),
        };
        line.with("peer", self.peer)
            .with("kind", kind)
            .with("account", who)
            .with("class", refusal.class.code())
            .with("why", &refusal.text)
            .send();
    }
}
