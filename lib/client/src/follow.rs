//! Following an inbox: waits for what comes in, and for a word to stop.
//!
//! Each wait has a thread and a connection of its own, so that one whose other
//! end has gone, as after a machine has slept, is left behind and not waited
//! for. Delivers nothing; misses nothing, for what counts is the listing.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use smr_channel::reply::State;
use smr_channel::request::Folder;
use smr_name::{Address, Class, MessageId};

use crate::agent::Connection;
use crate::failure::Failure;
use crate::listing;
use crate::session::Session;
use crate::user::User;

// One wait, in seconds: after a sleep the machine is back within it.
const WAIT: u16 = 60;
// smrd answers a wait that is over within this time.
const GRACE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Returns what is unread, the oldest first and `most` at most, and the number of
/// the last entry.
pub fn unread(user: &mut User, most: usize) -> Result<(Vec<MessageId>, u64), Failure> {
    let view = listing::view(user, Folder::Inbox)?;
    let unread = view.there().filter(|(_, state)| *state != State::Read);
    let ids = unread.take(most).map(|(number, _)| view.id(user, number));
    Ok((ids.collect::<Result<_, _>>()?, view.last()))
}

enum Event {
    // The number of the wait, and how it ended.
    Waited(u64, Result<u64, Failure>),
    Stop,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something may be there, or the time is over.
    Look,
    /// The word to stop.
    Stop,
}

/// Waits, for news or for time to pass.
pub struct Watcher {
    socket: PathBuf,
    account: Address,
    sender: Sender<Event>,
    events: Receiver<Event>,
    number: u64,
    pause: Duration,
    stopped: bool,
}

/// Ends the waiting of a [`Watcher`], from another thread.
pub struct Stopper(Sender<Event>);

impl Stopper {
    /// Says stop; without effect where nobody waits any more.
    pub fn stop(&self) {
        let _ = self.0.send(Event::Stop);
    }
}

impl Watcher {
    /// Watches the inbox of a user, by way of the agent.
    pub fn new(user: &User) -> Watcher {
        let (sender, events) = channel();
        Watcher {
            socket: user.home.agent_socket(),
            account: user.address.clone(),
            sender,
            events,
            number: 0,
            pause: FIRST_PAUSE,
            stopped: false,
        }
    }

    /// Returns what ends the waiting.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.sender.clone())
    }

    /// Tells whether the word to stop has come.
    pub fn is_stopped(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            self.stopped |= matches!(event, Event::Stop);
        }
        self.stopped
    }

    /// Waits until there may be an entry above number `after`, at most a
    /// minute and at most until `until`. Class `Busy` where smrd is not heard.
    pub fn news(&mut self, after: u64, until: Option<Instant>) -> Result<Woken, Failure> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_secs());
        let seconds = left.map_or(WAIT, |left| {
            u16::try_from(left.saturating_add(1))
                .unwrap_or(WAIT)
                .min(WAIT)
        });
        self.number += 1;
        let (number, sender) = (self.number, self.sender.clone());
        let (socket, account) = (self.socket.clone(), self.account.clone());
        thread::spawn(move || {
            let watched = Connection::open(&socket)
                .map_err(Failure::from)
                .and_then(|connection| {
                    let mut session = Session::new(connection, account);
                    Ok(session.watch(Folder::Inbox, after, seconds)?)
                });
            // Where nobody waits any more, nobody need know.
            let _ = sender.send(Event::Waited(number, watched));
        });
        let most = Duration::from_secs(seconds.into()) + GRACE;
        match self.event(Instant::now() + most) {
            Some(Event::Stop) => Ok(Woken::Stop),
            Some(Event::Waited(_, result)) => {
                result?;
                self.pause = FIRST_PAUSE;
                Ok(Woken::Look)
            }
            None => Err(Failure::new(Class::Busy, "smrd is not heard any more")),
        }
    }

    /// Waits before smrd is tried again, twice as long each time, a minute at
    /// most.
    pub fn pause(&mut self) -> Woken {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        // The end of an earlier wait is none of this one.
        self.number += 1;
        match self.event(until) {
            Some(Event::Stop) => Woken::Stop,
            _ => Woken::Look,
        }
    }

    // The next event that belongs here, or none in time.
    fn event(&mut self, until: Instant) -> Option<Event> {
        while !self.stopped {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Waited(number, _)) if number != self.number => {}
                Ok(Event::Stop) => self.stopped = true,
                Ok(waited) => return Some(waited),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
        Some(Event::Stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher() -> Watcher {
        let (sender, events) = channel();
        Watcher {
            socket: "/nowhere/agent.sock".into(),
            account: "rui@repo.example".parse().unwrap(),
            sender,
            events,
            number: 0,
            pause: Duration::from_millis(1),
            stopped: false,
        }
    }

    #[test]
    fn the_word_to_stop_ends_every_wait() {
        let mut watcher = watcher();
        watcher.pause = LONGEST_PAUSE;
        watcher.stopper().stop();
        assert_eq!(watcher.pause(), Woken::Stop);
        assert_eq!(watcher.news(0, None).unwrap(), Woken::Stop);
        assert!(watcher.is_stopped());
    }

    #[test]
    fn pauses_grow_and_old_waits_do_not_count() {
        let mut watcher = watcher();
        watcher.sender.send(Event::Waited(0, Ok(7))).unwrap();
        for pause in [2, 4, 8] {
            assert_eq!(watcher.pause(), Woken::Look);
            assert_eq!(watcher.pause, Duration::from_millis(pause));
        }
        watcher.pause = LONGEST_PAUSE / 2 + FIRST_PAUSE;
        watcher.stopper().stop();
        watcher.pause();
        assert_eq!(watcher.pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_missing_agent_is_told() {
        let failure = watcher().news(0, Some(Instant::now())).unwrap_err();
        assert_eq!(failure.class, Class::Unavailable);
    }
}
