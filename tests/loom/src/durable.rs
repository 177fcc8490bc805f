//! What group.rs and journal.rs take from the store: a disk that knows what was
//! written, what would survive a power cut, and which records are needed.
//!
//! A sync is two steps here: it takes what was written when it begins, and has
//! it on disk when it ends; what is written between is not its affair. A record
//! is one bit, and which use of its file it belongs to.

#[path = "../../../lib/store/src/durable/journal.rs"]
pub(crate) mod journal;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::atomic::{AtomicUsize as Shared, Ordering::SeqCst};

use crate::group::DirSync;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DiskError {
    Failed,
    Torn,
}

/// The disk of a store.
#[derive(Default)]
pub(crate) struct Disk {
    /// Records that are in the journal for good.
    recorded: Shared,
    /// Records of which all names are made, and those whose names are on disk.
    made: Shared,
    swept: Shared,
    failed: Shared,
    bad_sync: usize,
    bad_sweep: usize,
    // Not for loom to watch: one thread at a time counts.
    syncs: AtomicUsize,
    sweeps: AtomicUsize,
}

/// A name that nothing here is called by.
pub(crate) struct Found;

impl Found {
    pub(crate) fn shown(&self) -> &str {
        ""
    }
}

impl Disk {
    /// Says which sync of the journal fails, and which of everything, from 1; 0
    /// for none.
    pub(crate) fn failing(bad_sync: usize, bad_sweep: usize) -> Disk {
        Disk {
            bad_sync,
            bad_sweep,
            ..Disk::default()
        }
    }

    pub(crate) fn writable(&self) -> Result<(), DiskError> {
        match self.has_failed() {
            true => Err(DiskError::Failed),
            false => Ok(()),
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(SeqCst) == 1
    }

    pub(crate) fn fail(&self) {
        self.failed.store(1, SeqCst);
    }

    /// Tells whether a power cut would leave the record.
    pub(crate) fn has(&self, bit: u8) -> bool {
        self.recorded.load(SeqCst) >> bit & 1 == 1
    }

    /// Makes the names of a record.
    pub(crate) fn make(&self, bit: u8) {
        self.made.fetch_or(1 << bit, SeqCst);
    }

    pub(crate) fn names(&self, _: &str) -> Result<Vec<Found>, DiskError> {
        Ok(Vec::new())
    }

    pub(crate) fn serial(&self) -> u64 {
        1
    }

    pub(crate) fn link(&self, _: &str, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    pub(crate) fn remove(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    pub(crate) fn sync_directory(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    pub(crate) fn sync_shared(&self, _: &DirSync, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    pub(crate) fn sync_all(&self) -> Result<(), DiskError> {
        let made = self.made.load(SeqCst);
        if self.sweeps.fetch_add(1, Relaxed) + 1 == self.bad_sweep {
            self.fail();
            return Err(DiskError::Torn);
        }
        self.swept.fetch_or(made, SeqCst);
        Ok(())
    }
}

/// A name beside the journal.
pub(crate) struct TmpName {
    path: String,
}

impl TmpName {
    pub(crate) fn new(_: &Arc<Disk>, path: String) -> TmpName {
        TmpName { path }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn keep(self) {}
}

/// The files of the journal.
pub(crate) mod log {
    use super::{AtomicUsize, Disk, DiskError, Relaxed, SeqCst, Shared};

    pub(crate) struct Log {
        written: Shared,
        // Not for loom to watch: who puts is alone.
        pass: AtomicUsize,
    }

    impl Log {
        pub(crate) fn open(_: &Disk, _: usize) -> Result<Log, DiskError> {
            Ok(Log {
                written: Shared::new(0),
                pass: AtomicUsize::new(0),
            })
        }

        pub(crate) fn empty(&self, disk: &Disk) -> Result<(), DiskError> {
            self.give_up(disk);
            Ok(())
        }

        pub(crate) fn grow(&self, _: &Disk, _: u64, end: u64) -> Result<u64, DiskError> {
            Ok(end)
        }

        pub(crate) fn put(&self, disk: &Disk, records: &[u8], at: u64) -> Result<(), DiskError> {
            let pass = |record: &u8| usize::from(record >> 4);
            if at == 0 {
                self.give_up(disk);
                self.pass.store(records.first().map_or(0, pass), Relaxed);
            }
            // Whoever replays a file stops where another use of it begins.
            let here = |record| pass(record) == self.pass.load(Relaxed);
            assert!(records.iter().all(here), "a record is in another file");
            let bits = records.iter().fold(0, |bits, one| bits | 1 << (one & 15));
            self.written.fetch_or(bits, SeqCst);
            let found = self.written.load(SeqCst);
            if disk.syncs.fetch_add(1, Relaxed) + 1 == disk.bad_sync {
                // What the disk has lost it never has again, whatever it says.
                self.written.fetch_and(!found, SeqCst);
                disk.fail();
                return Err(DiskError::Torn);
            }
            disk.recorded.fetch_or(found, SeqCst);
            Ok(())
        }

        /// Writes over what was there, which nobody may need any more.
        fn give_up(&self, disk: &Disk) {
            let (lost, swept) = (self.written.load(SeqCst), disk.swept.load(SeqCst));
            assert_eq!(lost & !swept, 0, "records went whose names are not on disk");
            self.written.store(0, SeqCst);
        }
    }
}

/// Records: the number of a bit below 16, and the number of the pass above it.
pub(crate) mod record {
    pub(crate) enum Body {
        Here(u8),
        Beside(u64),
    }

    pub(crate) struct Record {
        pub(crate) body: Body,
    }

    pub(crate) fn write(record: &Record, pass: u64, to: &mut Vec<u8>) {
        let pass = u8::try_from(pass).expect("few passes");
        match record.body {
            Body::Here(bit) => to.push(pass << 4 | bit),
            Body::Beside(_) => {}
        }
    }
}
