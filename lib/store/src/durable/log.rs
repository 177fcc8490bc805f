//! One file of the journal: it has its room before records come, so that a sync
//! concerns data alone.
//!
//! Knows neither records nor who waits for them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{self, Mode, OFlags};

use super::{Disk, DiskError, errno_of, planted};
use crate::layout;

/// An open file of the journal.
pub(crate) struct Log {
    file: File,
    path: String,
}

impl Log {
    /// Opens file `n`, made if missing, and empties it for good.
    pub(crate) fn open(disk: &Disk, n: usize) -> Result<Log, DiskError> {
        let path = layout::journal(n);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(disk.root(), &path, flags, Mode::from_raw_mode(0o600))
            .map(File::from)
            .map_err(|errno| disk.error("open", &path, errno))?;
        let log = Log { file, path };
        log.empty(disk)?;
        disk.sync_file(&log.file, &log.path)?;
        Ok(log)
    }

    /// Gives its room back.
    pub(crate) fn empty(&self, disk: &Disk) -> Result<(), DiskError> {
        let emptied = self.file.set_len(0);
        emptied.map_err(|error| disk.io_error("empty", &self.path, &error))
    }

    /// Makes room up to byte `end`, at least, from byte `at` on; returns where it
    /// ends now.
    pub(crate) fn grow(&self, disk: &Disk, mut at: u64, end: u64) -> Result<u64, DiskError> {
        let zero = [0; 64 << 10];
        while at < end {
            let written = self.file.write_all_at(&zero, at);
            written.map_err(|error| disk.write_error(&self.path, &error))?;
            at += zero.len() as u64;
        }
        Ok(at)
    }

    /// Writes records where there is room, and returns once they are on disk. A
    /// failure fails the store.
    pub(crate) fn put(&self, disk: &Disk, records: &[u8], at: u64) -> Result<(), DiskError> {
        if planted("in-place") {
            return Ok(());
        }
        let failed = |errno| disk.sync_error(&self.path, errno);
        // The room is there already: even a full disk is a failure here.
        let written = self.file.write_all_at(records, at);
        written.map_err(|error| failed(errno_of(&error)))?;
        // Without this a power cut takes messages that have a postmark.
        let synced = match planted("no-journal-sync") {
            true => Ok(()),
            false => disk.times.time(|| fs::fdatasync(&self.file)),
        };
        match synced {
            Err(_) if planted("retry-sync") => fs::fdatasync(&self.file).map_err(failed),
            synced => synced.map_err(failed),
        }
    }
}
