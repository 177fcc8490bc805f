//! The journal: a message is on disk once it is in it; its names in the folders
//! follow, and are synced together with many others.
//!
//! A redo log of two files, used in turn. A record says which entries come
//! about, and holds the message; a large one lies beside. Never acknowledges
//! before the sync that covers a record, and never gives a file of the journal
//! free before everything it tells of is on disk without it.

use std::sync::{Arc, PoisonError};

use super::log::Log;
use super::record::{self, Body, Record};
use super::{Disk, DiskError, TmpName};
use crate::group::DirSync;
use crate::layout;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A file of the journal is left for the other one at this size, in bytes.
const FULL: u64 = 64 << 20;
/// A file grows by as much as it has, but by no less and no more bytes than
/// these; what is there already is written over, so that a sync concerns data
/// alone.
const STEP: std::ops::RangeInclusive<u64> = 1 << 20..=8 << 20;

/// The journal of an open store.
pub(crate) struct Journal {
    disk: Arc<Disk>,
    files: [Log; 2],
    // Protects the order of the records, which is that of the numbers in each
    // folder: whoever numbers an entry for the journal holds it until the
    // record stands in the buffer.
    state: Mutex<State>,
    // Where a batch is waited for, even and odd ones apart: one that is synced
    // wakes its own threads, and one of those that collected meanwhile.
    batches: [Condvar; 2],
    changed: Condvar,
    beside: DirSync,
}

/// A large message whose name beside the journal is synced.
pub(crate) struct Beside {
    name: TmpName,
    number: u64,
    size: u64,
}

impl Beside {
    /// Returns what a record says of it.
    pub(crate) fn body(&self) -> Body {
        Body::Beside(self.number)
    }
}

#[derive(Default)]
struct State {
    /// Records of the active file that are not written yet.
    buffer: Vec<u8>,
    /// Where the buffer goes.
    at: u64,
    /// Bytes that each file has.
    sizes: [u64; 2],
    active: usize,
    /// Which use of a file this is; rises.
    pass: u64,
    /// Which batch the buffer is, and how many are on disk.
    batch: u64,
    synced: u64,
    syncing: bool,
    broken: bool,
    /// Records in each file whose files are not made yet.
    unmade: [u64; 2],
    /// The other file may still be needed.
    sweeping: bool,
    /// Nobody deposits any more.
    ended: bool,
    /// Large messages that records of each file are of.
    large: [Vec<Beside>; 2],
}

impl State {
    /// Tells whether a record of `size` bytes belongs into the other file.
    fn is_full(&self, size: u64) -> bool {
        let records = self.at + self.buffer.len() as u64;
        // What lies beside takes room as well, until it is swept.
        let beside = self.large[self.active].iter().map(|large| large.size);
        records > 0 && records + size + beside.sum::<u64>() > FULL
    }
}

/// The right to append one record; others wait.
pub(crate) struct Turn<'a> {
    journal: &'a Arc<Journal>,
    state: MutexGuard<'a, State>,
}

/// A record that was appended, whose names are to be made. Dropped before, it
/// fails the store: the next start makes them.
pub(crate) struct Ticket {
    journal: Arc<Journal>,
    batch: u64,
    counted: bool,
    file: usize,
}

impl Journal {
    /// Opens the journal of a store, whose records were replayed and synced;
    /// empties it.
    pub(crate) fn open(disk: &Arc<Disk>) -> Result<Journal, DiskError> {
        let files = [Log::open(disk, 0)?, Log::open(disk, 1)?];
        for found in disk.names(layout::JOURNAL)? {
            let path = format!("{}/{}", layout::JOURNAL, found.shown());
            if layout::is_large(&path) {
                disk.remove(&path)?;
            }
        }
        disk.sync_directory(layout::JOURNAL)?;
        Ok(Journal {
            disk: Arc::clone(disk),
            files,
            state: Mutex::new(State {
                pass: 1,
                ..State::default()
            }),
            batches: [Condvar::new(), Condvar::new()],
            changed: Condvar::new(),
            beside: DirSync::default(),
        })
    }

    /// Gives a synced spool file a name beside the journal; returns once that is
    /// on disk. It stays until the folders are.
    pub(crate) fn lay_beside(&self, spooled: &TmpName, size: u64) -> Result<Beside, DiskError> {
        let number = self.disk.serial();
        let path = layout::large(number);
        self.disk.link(spooled.path(), &path)?;
        let name = TmpName::new(&self.disk, path);
        self.disk.sync_shared(&self.beside, layout::JOURNAL)?;
        Ok(Beside { name, number, size })
    }

    /// Waits for the right to append a record of at most `size` bytes, and for
    /// room. Class `Busy` where the disk has none: nothing has happened then.
    pub(crate) fn turn(self: &Arc<Self>, size: usize) -> Result<Turn<'_>, DiskError> {
        self.disk.writable()?;
        let size = size as u64;
        let mut state = self.lock();
        while state.is_full(size) {
            if state.broken {
                return Err(DiskError::Failed);
            }
            // What is in the buffer belongs to the file that is left.
            if state.sweeping || state.syncing || !state.buffer.is_empty() {
                state = match state.sweeping || state.syncing {
                    true => wait(&self.changed, state),
                    false => self.flush(state)?,
                };
                continue;
            }
            state.active = 1 - state.active;
            state.at = 0;
            state.pass += 1;
            state.sweeping = true;
            self.changed.notify_all();
        }
        self.grow(&mut state, size)?;
        Ok(Turn {
            journal: self,
            state,
        })
    }

    // Before anything is numbered: a full disk must not be met afterwards.
    fn grow(&self, state: &mut State, size: u64) -> Result<(), DiskError> {
        let (file, end) = (state.active, state.at + state.buffer.len() as u64 + size);
        let at = state.sizes[file];
        if at < end {
            let step = at.clamp(*STEP.start(), *STEP.end());
            let end = end.max(at + step).next_multiple_of(*STEP.start());
            state.sizes[file] = self.files[file].grow(&self.disk, at, end)?;
        }
        Ok(())
    }

    /// Returns once the record is on disk. One of the waiting threads syncs,
    /// outside the lock. A failure is every later record's too.
    pub(crate) fn sync(&self, ticket: &Ticket) -> Result<(), DiskError> {
        let mut state = self.lock();
        while state.synced <= ticket.batch {
            if state.broken {
                return Err(DiskError::Failed);
            }
            state = match state.syncing {
                true => wait(self.waiting(ticket.batch), state),
                false => self.flush(state)?,
            };
        }
        Ok(())
    }

    fn flush<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, DiskError> {
        let (file, at, batch) = (state.active, state.at, state.batch);
        let records = std::mem::take(&mut state.buffer);
        state.at += records.len() as u64;
        state.batch += 1;
        state.syncing = true;
        drop(state);
        let outcome = self.files[file].put(&self.disk, &records, at);
        let mut state = self.lock();
        state.syncing = false;
        match &outcome {
            Ok(()) => {
                state.synced = batch + 1;
                self.waiting(batch + 1).notify_one();
            }
            Err(_) => {
                state.broken = true;
                self.waiting(batch + 1).notify_all();
            }
        }
        self.waiting(batch).notify_all();
        self.changed.notify_all();
        outcome.map(|()| state)
    }

    /// Gives a file free whenever one is full, until the journal ends: once all
    /// its names are made, and on disk, it may be written over.
    pub(crate) fn sweep(&self) {
        let mut state = self.lock();
        loop {
            let left = 1 - state.active;
            let due = state.sweeping && state.unmade[left] == 0;
            if state.ended || state.broken {
                return;
            }
            if !due {
                state = wait(&self.changed, state);
                continue;
            }
            drop(state);
            // A failure fails the store, and the journal with it.
            let swept = self.disk.sync_all().is_ok();
            state = self.lock();
            state.sweeping = !swept;
            state.broken |= !swept;
            let large = std::mem::take(&mut state.large[left]);
            self.changed.notify_all();
            drop(state);
            self.forget(large, swept);
            state = self.lock();
        }
    }

    /// Lets [`Journal::sweep`] return.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    // Without the sync the next start needs their names.
    fn forget(&self, large: Vec<Beside>, swept: bool) {
        for beside in large {
            match swept {
                true => drop(beside.name),
                false => beside.name.keep(),
            }
        }
    }

    /// Ends the use of the journal: everything is on disk without it, and the
    /// next start finds it empty. After a failure it stays as it is.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        let idle = state.unmade == [0, 0] && state.buffer.is_empty();
        let used = state.batch > 0;
        let sound = !self.disk.has_failed() && !state.broken && idle;
        let swept = used && sound && self.disk.sync_all().is_ok();
        if swept {
            // What cannot be done now is done when the store is next opened.
            let _ = self.files.iter().try_for_each(|log| log.empty(&self.disk));
        }
        let large = std::mem::take(&mut state.large);
        large
            .into_iter()
            .for_each(|large| self.forget(large, swept));
    }

    fn waiting(&self, batch: u64) -> &Condvar {
        &self.batches[(batch % 2) as usize]
    }

    // A thread that panicked with it marks the journal broken in `Ticket::drop`
    // or had appended nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a>(changed: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    changed.wait(state).unwrap_or_else(PoisonError::into_inner)
}

impl Turn<'_> {
    /// Appends the record; it is on disk after [`Journal::sync`].
    pub(crate) fn append(mut self, record: &Record, beside: Option<Beside>) -> Ticket {
        let state = &mut *self.state;
        let active = state.active;
        state.large[active].extend(beside);
        record::write(record, state.pass, &mut state.buffer);
        state.unmade[active] += 1;
        Ticket {
            journal: Arc::clone(self.journal),
            batch: state.batch,
            counted: false,
            file: active,
        }
    }
}

impl Ticket {
    /// Tells that the names of the record are made.
    pub(crate) fn made(mut self) {
        self.counted = true;
        let mut state = self.journal.lock();
        let unmade = &mut state.unmade[self.file];
        *unmade = unmade.saturating_sub(1);
        if *unmade == 0 && state.sweeping {
            self.journal.changed.notify_all();
        }
    }

    /// Leaves the names to the next start; until then the record is kept.
    pub(crate) fn leave(mut self) {
        self.counted = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.counted {
            // It is in the journal alone: the next start makes its names.
            self.journal.disk.fail();
            self.journal.lock().broken = true;
            self.journal.batches.iter().for_each(Condvar::notify_all);
            self.journal.changed.notify_all();
        }
    }
}
