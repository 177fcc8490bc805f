//! Where workers leave word for the door: connections that wait again, and
//! sessions that there is news for.
//!
//! Holds nothing once the door is closed: what is left then is dropped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use smr_name::MailboxName;

use crate::conn::Conn;

/// What the door is told.
pub(crate) enum Note {
    /// This one waits for its peer again.
    Back(Box<Conn>),
    /// What these wait for may have come, by their numbers.
    Rung(Vec<u64>),
    /// The record of this account has changed.
    Changed(MailboxName),
}

/// The notes, and the descriptor that becomes readable when there are some.
pub(crate) struct Desk {
    /// None once the door is closed.
    notes: Mutex<Option<Vec<Note>>>,
    bell: OwnedFd,
}

impl Desk {
    pub(crate) fn open() -> io::Result<Desk> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Desk {
            notes: Mutex::new(Some(Vec::new())),
            bell: eventfd(0, flags)?,
        })
    }

    // A note is there or not, so a poisoned list is still right.
    fn notes(&self) -> MutexGuard<'_, Option<Vec<Note>>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps everybody from leaving a note until it is dropped.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Sized + '_ {
        self.notes()
    }

    /// Leaves a note; drops it where the door is closed.
    pub(crate) fn leave(&self, note: Note) {
        let mut notes = self.notes();
        let Some(list) = notes.as_mut() else {
            // First: a watch that goes takes its bell down, for which whoever
            // rings may hold the lock, and wait for this one.
            drop(notes);
            return drop(note);
        };
        let first = list.is_empty();
        list.push(note);
        drop(notes);
        if first {
            self.ring();
        }
    }

    /// Takes all notes; none where the door is to close.
    pub(crate) fn take(&self) -> Option<Vec<Note>> {
        // Before they are taken: one that is left from here on rings again.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        self.notes().as_mut().map(std::mem::take)
    }

    /// Closes the door.
    pub(crate) fn close(&self) {
        let left = self.notes().take();
        drop(left);
        self.ring();
    }

    fn ring(&self) {
        // It fails only when it has rung 2^64 - 2 times unheard: it is heard.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
