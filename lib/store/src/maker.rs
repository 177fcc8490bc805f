//! The maker: gives messages their names in the folders once the journal has
//! them, behind the depositors, who do not wait for it.
//!
//! Goes on after an error that may pass, as a full disk; until then the store
//! takes nothing more. Never syncs: the journal holds what it makes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::deposit::Target;
use crate::durable::journal::{Journal, Ticket};
use crate::durable::{Content, Disk, DiskError, TmpName};
use crate::mailbox::Slot;

/// How many bytes may wait for their names, each message counted with this
/// much besides: what an open store holds in memory at most.
const ROOM: usize = 8 << 20;
const EACH: usize = 1024;
/// Who waits for room is woken when there is this much, not for each message.
const AGAIN: usize = 1 << 20;

/// A message that is on disk and waits for its names.
pub(crate) struct Work {
    /// Where it is to lie; none twice.
    places: Vec<(Target, Slot)>,
    content: Content,
    ticket: Ticket,
    room: Room,
    /// Its file in `tmp`, where it came in memory, and how many names it has.
    made: Option<TmpName>,
    names: usize,
}

impl Work {
    pub(crate) fn new(
        places: Vec<(Target, Slot)>,
        content: Content,
        ticket: Ticket,
        room: Room,
    ) -> Work {
        Work {
            places,
            content,
            ticket,
            room,
            made: None,
            names: 0,
        }
    }

    // May be called again after an error, and goes on where it was.
    fn make(&mut self, disk: &Arc<Disk>) -> Result<(), DiskError> {
        let last = self.places.len().saturating_sub(1);
        while let Some((target, slot)) = self.places.get(self.names) {
            let to = target.mailbox().first_file(slot);
            match &self.content {
                Content::File(name) => disk.link(name.path(), &to)?,
                Content::Held(bytes) => {
                    let made = match self.made.take() {
                        Some(made) => made,
                        None => disk.write_unsynced(bytes)?,
                    };
                    let made = self.made.insert(made);
                    if self.names < last {
                        disk.link(made.path(), &to)?;
                    } else {
                        disk.rename_new(made.path(), &to)?;
                        self.made.take().into_iter().for_each(TmpName::keep);
                    }
                }
            }
            self.names += 1;
        }
        for (target, slot) in &self.places {
            // A folder that is closed after a panic is asked by nobody.
            let _ = target.mailbox().named(slot);
        }
        Ok(())
    }
}

/// The right to let so many bytes wait.
pub(crate) struct Room {
    queue: Arc<Queue>,
    bytes: usize,
}

/// The thread that makes names, begun with the first deposit, and the one that
/// gives the journal's files free.
pub(crate) struct Maker {
    queue: Arc<Queue>,
    journal: Arc<Journal>,
    threads: OnceLock<[JoinHandle<()>; 2]>,
}

struct Queue {
    disk: Arc<Disk>,
    // Protects what waits. In which order is all the same: the journal has it
    // all, and the next start gives its names to what has none.
    state: Mutex<State>,
    // There is work, or no more of it, or the first is to be tried again.
    work: Condvar,
    // Something was made, or tried in vain, or there is room.
    made: Condvar,
}

#[derive(Default)]
struct State {
    works: VecDeque<Work>,
    bytes: usize,
    /// There was no room; and whether anybody waits for something to be made.
    full: bool,
    waiting: usize,
    /// Why the first cannot be made now.
    stalled: Option<DiskError>,
    /// How often it was to be tried again, and was.
    asked: u64,
    tried: u64,
    ended: bool,
}

impl Maker {
    pub(crate) fn new(disk: &Arc<Disk>, journal: &Arc<Journal>) -> Maker {
        Maker {
            queue: Arc::new(Queue {
                disk: Arc::clone(disk),
                state: Mutex::default(),
                work: Condvar::new(),
                made: Condvar::new(),
            }),
            journal: Arc::clone(journal),
            threads: OnceLock::new(),
        }
    }

    /// Waits until `bytes` more may wait. Where names cannot be made, they are
    /// tried once more, and its error is returned if it is in vain.
    pub(crate) fn admit(&self, bytes: usize) -> Result<Room, DiskError> {
        self.begin();
        let bytes = bytes + EACH;
        let mut state = self.queue.go_on(self.queue.lock())?;
        while state.full || (state.bytes > 0 && state.bytes + bytes > ROOM) {
            state.full = true;
            state = self.queue.go_on(self.queue.wait(state))?;
        }
        state.bytes += bytes;
        drop(state);
        let queue = Arc::clone(&self.queue);
        Ok(Room { queue, bytes })
    }

    /// Returns how many messages wait for their names.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().works.len()
    }

    /// Takes over what is on disk now.
    pub(crate) fn make(&self, work: Work) {
        self.queue.lock().works.push_back(work);
        self.queue.work.notify_one();
    }

    /// Returns once `is_made`, which is asked after each message that was made.
    /// Errors as for [`Maker::admit`].
    pub(crate) fn wait<E: From<DiskError>>(
        &self,
        is_made: impl Fn() -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut state = self.queue.lock();
        // The maker takes no folder's lock while it has this one.
        while !is_made()? {
            state = self.queue.go_on(state)?;
            if !is_made()? {
                state.waiting += 1;
                state = self.queue.wait(state);
                state.waiting -= 1;
            }
        }
        Ok(())
    }

    // Not before there is work: threads are confined as the one that began
    // them was, and a store may be opened before its process is.
    fn begin(&self) {
        self.threads.get_or_init(|| {
            let (queue, journal) = (Arc::clone(&self.queue), Arc::clone(&self.journal));
            [
                std::thread::spawn(move || queue.run()),
                std::thread::spawn(move || journal.sweep()),
            ]
        });
    }

    /// Ends it: what can be made is, the rest is left to the next start.
    pub(crate) fn end(&mut self) {
        self.queue.lock().ended = true;
        self.queue.work.notify_one();
        let Some([maker, sweeper]) = self.threads.take() else {
            return;
        };
        // One that panicked has failed the store by dropping its work.
        let _ = maker.join();
        self.journal.end();
        let _ = sweeper.join();
    }
}

impl Queue {
    /// Makes names until the store is closed and nothing is left, or nothing
    /// more can be made.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let Some(mut work) = state.works.pop_front() else {
                if state.ended {
                    return;
                }
                state = wait(&self.work, state);
                continue;
            };
            let asked = state.asked;
            drop(state);
            let outcome = work.make(&self.disk);
            let failed = self.disk.has_failed();
            match outcome {
                Ok(()) => state = self.done(work, asked),
                Err(error) if !failed => state = self.stall(work, asked, error),
                Err(_) => {
                    // It fails the store, and all who wait learn that.
                    drop(work);
                    state = self.lock();
                    self.made.notify_all();
                }
            }
        }
    }

    fn done(&self, work: Work, asked: u64) -> MutexGuard<'_, State> {
        let Work {
            ticket,
            room,
            content,
            ..
        } = work;
        // Its name in `tmp` is gone before anyone hears of it.
        drop(content);
        ticket.made();
        drop(room);
        let mut state = self.lock();
        if state.stalled.take().is_some() || state.waiting > 0 {
            self.made.notify_all();
        }
        state.tried = asked;
        state
    }

    // Waits until somebody asks for it again.
    fn stall(&self, work: Work, asked: u64, error: DiskError) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.tried = asked;
        if state.ended {
            drop(state);
            work.ticket.leave();
            drop(work.room);
            return self.lock();
        }
        state.stalled = Some(error);
        state.works.push_front(work);
        self.made.notify_all();
        while state.asked == state.tried && !state.ended {
            state = wait(&self.work, state);
        }
        state
    }

    /// Has what stalls tried once more, if anything does.
    fn go_on<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, DiskError> {
        if state.stalled.is_some() {
            state.asked += 1;
            let ours = state.asked;
            self.work.notify_one();
            while state.tried < ours && !self.disk.has_failed() {
                state = self.wait(state);
            }
        }
        self.disk.writable()?;
        match &state.stalled {
            Some(error) => Err(error.again()),
            None => Ok(state),
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        wait(&self.made, state)
    }

    // Nothing that panics is done with it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a>(changed: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    changed.wait(state).unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.bytes -= self.bytes;
        if state.full && state.bytes + AGAIN <= ROOM {
            state.full = false;
            self.queue.made.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ROOM;
    use crate::store::Store;

    #[test]
    fn who_finds_no_room_waits_for_it() {
        let room = tempfile::tempdir().unwrap();
        let store = Store::create(room.path()).unwrap();
        let maker = store.maker();
        // One alone is never too large.
        let first = maker.admit(ROOM).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| maker.admit(1).map(drop));
            while !maker.queue.lock().full {
                std::thread::yield_now();
            }
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
        assert_eq!(maker.queue.lock().bytes, 0);
    }
}
