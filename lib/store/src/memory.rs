//! What all folders hold in memory together: bounded, so that smrd does not
//! grow with its store.
//!
//! Never waits for a folder: one that is busy stays. Lets few be read at a time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::index::Index;

/// How many entries are kept at most, unless one folder alone has more, where
/// nothing else is said ([`crate::Store::keep_in_memory`]).
pub const MOST_IN_MEMORY: usize = 500_000;
/// Folders that are read at a time; each takes as much memory again meanwhile.
const READERS: usize = 4;

/// A folder's index, while it is in memory, and when it was last used.
#[derive(Default)]
pub(crate) struct Kept {
    // Protects the order of numbers and heads, and where each file lies; read
    // from the directory when needed and not there.
    pub(crate) index: Mutex<Option<Index>>,
    used: AtomicU64,
}

/// The indexes that are in memory.
pub(crate) struct Memory {
    most: AtomicUsize,
    entries: AtomicUsize,
    /// From how many entries on room is made: more than `most` where that was
    /// in vain, lest it be tried at each deposit.
    goal: AtomicUsize,
    clock: AtomicU64,
    kept: Mutex<Vec<Arc<Kept>>>,
    readers: Mutex<usize>,
    read: Condvar,
}

/// May read a folder.
pub(crate) struct Reader<'a>(&'a Memory);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        *self.0.readers() -= 1;
        self.0.read.notify_one();
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            most: AtomicUsize::new(MOST_IN_MEMORY),
            entries: AtomicUsize::new(0),
            goal: AtomicUsize::new(MOST_IN_MEMORY),
            clock: AtomicU64::new(0),
            kept: Mutex::default(),
            readers: Mutex::default(),
            read: Condvar::new(),
        }
    }
}

impl Memory {
    /// Keeps at most so many entries from now on.
    pub(crate) fn keep(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.goal.store(most, Ordering::Relaxed);
    }

    /// Returns how many entries are in memory.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Notes that an index is used.
    pub(crate) fn touch(&self, kept: &Kept) {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        kept.used.store(now, Ordering::Relaxed);
    }

    /// Notes that an index was read, or has grown; tells whether all have become
    /// too many. Call it with the lock of that index: none is forgotten that was
    /// not counted.
    pub(crate) fn grew(&self, kept: &Arc<Kept>, read: bool, entries: usize) -> bool {
        if read {
            self.list().push(Arc::clone(kept));
        }
        let before = self.entries.fetch_add(entries, Ordering::Relaxed);
        before + entries > self.goal.load(Ordering::Relaxed)
    }

    // A number is never half counted.
    fn readers(&self) -> MutexGuard<'_, usize> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until few enough read folders. Whoever has got in waits for nobody.
    pub(crate) fn reader(&self) -> Reader<'_> {
        let readers = self.readers();
        let mut readers = self
            .read
            .wait_while(readers, |readers| *readers >= READERS)
            .unwrap_or_else(PoisonError::into_inner);
        *readers += 1;
        Reader(self)
    }

    // A push leaves nothing half done.
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was not used for longest, but `own`, until a quarter is
    /// free. Call it without the lock of any index.
    pub(crate) fn make_room(&self, own: &Arc<Kept>) {
        let mut list = self.list();
        let most = self.most.load(Ordering::Relaxed);
        // Looked at once each: others use them meanwhile, and an order that
        // changes while it is made is none.
        list.sort_by_cached_key(|kept| kept.used.load(Ordering::Relaxed));
        list.retain(|kept| {
            let enough = self.entries() <= most / 4 * 3;
            let forgotten = match enough || Arc::ptr_eq(kept, own) {
                true => None,
                false => forget(kept),
            };
            let freed = forgotten.unwrap_or(0);
            self.entries.fetch_sub(freed, Ordering::Relaxed);
            forgotten.is_none()
        });
        let goal = match self.entries() {
            kept if kept <= most => most,
            kept => kept + most / 16,
        };
        self.goal.store(goal, Ordering::Relaxed);
    }
}

/// Drops an index that nobody uses and that follows from the names on the disk
/// alone; returns how many entries it had, or none where it stays.
fn forget(kept: &Kept) -> Option<usize> {
    let mut index = match kept.index.try_lock() {
        Ok(index) => index,
        // After a panic it is used no more: disk and index may disagree.
        Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return None,
    };
    index
        .take_if(|index| index.is_at_rest())
        .map(|index| index.len())
}

#[cfg(test)]
mod tests {
    use super::{Kept, Memory, READERS};
    use crate::index::Index;
    use crate::layout::State;
    use smr_name::{EntryName, MessageId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn entry(number: u64) -> EntryName {
        EntryName {
            number,
            time: 5,
            id: MessageId::from_bytes([number as u8; 16]),
            sender: "rui".parse().unwrap(),
            size: 10,
            sha256: [1; 32],
            cms: [2; 32],
        }
    }

    /// An index of so many entries, as it is after it was read.
    fn read(memory: &Memory, entries: u64) -> Arc<Kept> {
        let (kept, mut index) = (Arc::new(Kept::default()), Index::default());
        for number in 1..=entries {
            let position = index.push(entry(number), State::New);
            index.settle(position);
        }
        *kept.index.lock().unwrap() = Some(index);
        memory.touch(&kept);
        if memory.grew(&kept, true, entries as usize) {
            memory.make_room(&kept);
        }
        kept
    }

    #[test]
    fn room_is_made_while_all_folders_are_in_use() {
        let memory = Memory::default();
        let kept: Vec<_> = (0..3000).map(|_| read(&memory, 0)).collect();
        std::thread::scope(|scope| {
            for from in [0, 1500] {
                let (memory, kept) = (&memory, &kept);
                scope.spawn(move || {
                    let each = kept.iter().cycle().skip(from).step_by(7);
                    each.take(3_000_000).for_each(|kept| memory.touch(kept));
                });
            }
            for _ in 0..200 {
                memory.make_room(&kept[0]);
            }
        });
    }

    fn is_there(kept: &Kept) -> bool {
        kept.index.lock().unwrap().is_some()
    }

    #[test]
    fn what_was_used_least_lately_is_forgotten() {
        let memory = Memory::default();
        memory.keep(100);
        let kept = [40, 30, 30].map(|entries| read(&memory, entries));
        assert_eq!(memory.entries(), 100);
        memory.touch(&kept[0]);
        let last = read(&memory, 10);
        assert_eq!(kept.each_ref().map(|k| is_there(k)), [true, false, false]);
        assert!(is_there(&last));
        assert_eq!(memory.entries(), 50);
    }

    #[test]
    fn few_folders_are_read_at_a_time() {
        let (memory, inside) = (Memory::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let reader = memory.reader();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < READERS);
                    std::thread::sleep(Duration::from_millis(2));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(reader);
                });
            }
        });
        assert_eq!(*memory.readers(), 0);
    }

    #[test]
    fn what_is_busy_or_not_at_rest_stays() {
        let memory = Memory::default();
        memory.keep(10);
        let kept = [4, 4, 2].map(|entries| read(&memory, entries));
        kept[0]
            .index
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .push(entry(9), State::New);
        let busy = kept[1].index.lock().unwrap();
        let last = read(&memory, 20);
        drop(busy);
        assert_eq!(kept.each_ref().map(|k| is_there(k)), [true, true, false]);
        // One folder alone may have more than all should.
        assert!(is_there(&last));
    }
}
