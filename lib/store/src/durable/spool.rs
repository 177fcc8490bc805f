//! What comes in: a file of `tmp` that is whole before it gets a name in a
//! folder.
//!
//! A small one is written when it has come whole, and not synced: the journal
//! holds it until its file is. A large one is written as it comes, and synced.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use super::{Disk, DiskError};

/// The largest message that goes through the journal, in bytes.
pub(crate) const SMALL: usize = 64 << 10;

/// A file being written in the store's `tmp`; removed when dropped.
pub struct Spool {
    disk: Arc<Disk>,
    // All of it as long as it is small.
    held: Vec<u8>,
    file: Option<(File, TmpName)>,
    size: u64,
    torn: bool,
}

/// A whole file in the store's `tmp`, ready to be deposited; its name there is
/// removed when dropped.
pub struct Spooled {
    // Shared with whoever still has to link it when the depositor is gone.
    name: Arc<TmpName>,
    size: u64,
    // The content of one that is not synced.
    small: Option<Vec<u8>>,
}

/// A name that is removed when dropped.
pub(crate) struct TmpName {
    disk: Arc<Disk>,
    path: String,
}

impl TmpName {
    pub(crate) fn new(disk: &Arc<Disk>, path: String) -> TmpName {
        let disk = Arc::clone(disk);
        TmpName { disk, path }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Leaves the name to the next start.
    pub(crate) fn keep(mut self) {
        self.path.clear();
    }
}

impl Drop for TmpName {
    fn drop(&mut self) {
        if !self.path.is_empty() {
            // What cannot be removed now is when the store is next opened.
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl Spool {
    pub(crate) fn new(disk: &Arc<Disk>) -> Result<Spool, DiskError> {
        disk.writable()?;
        Ok(Spool {
            disk: Arc::clone(disk),
            held: Vec::new(),
            file: None,
            size: 0,
            torn: false,
        })
    }

    /// Appends bytes. After an error the spool can only be dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.size += bytes.len() as u64;
        if self.file.is_none() && self.held.len() + bytes.len() <= SMALL {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        let spilled = self.spill(bytes);
        self.torn |= spilled.is_err();
        spilled
    }

    fn spill(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let (file, name) = match &mut self.file {
            Some(opened) => opened,
            none => none.insert(opened(&self.disk)?),
        };
        let held = std::mem::take(&mut self.held);
        file.write_all(&held)
            .and_then(|()| file.write_all(bytes))
            .map_err(|error| self.disk.write_error(&name.path, &error))
    }

    /// Returns the bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends it: a large one is synced. Class `Busy` for a full disk, else `Io`.
    pub fn finish(mut self) -> Result<Spooled, DiskError> {
        if self.torn {
            return Err(DiskError::Torn);
        }
        if self.file.is_some() {
            return self.synced();
        }
        let content = std::mem::take(&mut self.held);
        self.spill(&content)?;
        let (_, name) = self.file.ok_or(DiskError::Torn)?;
        Ok(Spooled {
            name: Arc::new(name),
            size: self.size,
            small: Some(content),
        })
    }

    fn synced(mut self) -> Result<Spooled, DiskError> {
        self.spill(&[])?;
        let (file, name) = self.file.ok_or(DiskError::Torn)?;
        self.disk.sync_file(&file, &name.path)?;
        Ok(Spooled {
            name: Arc::new(name),
            size: self.size,
            small: None,
        })
    }
}

fn opened(disk: &Arc<Disk>) -> Result<(File, TmpName), DiskError> {
    let path = disk.fresh("spool");
    let file = disk.create_file(&path)?;
    Ok((file, TmpName::new(disk, path)))
}

impl Spooled {
    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn path(&self) -> &str {
        &self.name.path
    }

    /// Returns its name in `tmp`, which stays as long as this is held.
    pub(crate) fn name(&self) -> Arc<TmpName> {
        Arc::clone(&self.name)
    }

    /// Returns the content of one that is not synced, and so is to go into the
    /// journal itself.
    pub(crate) fn small(&self) -> Option<&[u8]> {
        self.small.as_deref()
    }

    pub(crate) fn belongs_to(&self, disk: &Arc<Disk>) -> bool {
        Arc::ptr_eq(&self.name.disk, disk)
    }
}

impl Disk {
    /// Writes a spool file of this content, synced whatever its size.
    pub(crate) fn write_spool(self: &Arc<Self>, content: &[u8]) -> Result<Spooled, DiskError> {
        let mut spool = Spool::new(self)?;
        spool.spill(content)?;
        spool.size = content.len() as u64;
        spool.synced()
    }

    /// Writes a spool file of this content; whoever asks for it syncs it.
    pub(crate) fn write_unsynced(self: &Arc<Self>, content: &[u8]) -> Result<Spooled, DiskError> {
        let mut spool = Spool::new(self)?;
        spool.write(content)?;
        spool.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{SMALL, Spool};
    use crate::durable::{Disk, DiskError};
    use smr_name::Class;
    use std::sync::Arc;

    fn disk() -> (tempfile::TempDir, Arc<Disk>) {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(directory.path()).unwrap());
        disk.make_directory("tmp").unwrap();
        (directory, disk)
    }

    #[test]
    fn spools_leave_no_trace_when_dropped() {
        let (directory, disk) = disk();
        let tmp = || std::fs::read_dir(directory.path().join("tmp")).unwrap();
        for size in [0, 3, SMALL, SMALL + 1, 3 * SMALL] {
            let mut spool = Spool::new(&disk).unwrap();
            let content: Vec<u8> = (0..size).map(|n| n as u8).collect();
            for part in content.chunks(1000) {
                spool.write(part).unwrap();
            }
            let spooled = spool.finish().unwrap();
            assert_eq!(spooled.size(), size as u64);
            assert_eq!(spooled.small().is_some(), size <= SMALL);
            let path = directory.path().join(spooled.path());
            assert!(std::fs::read(path).unwrap() == content, "{size}");
            assert_eq!(tmp().count(), 1);
            drop(spooled);
            assert_eq!(tmp().count(), 0);
        }
    }

    #[test]
    fn a_torn_spool_cannot_be_finished() {
        let (_directory, disk) = disk();
        let mut spool = Spool::new(&disk).unwrap();
        spool.write(&[0; SMALL + 1]).unwrap();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        spool.file.as_mut().unwrap().0 = full.unwrap();
        let error = spool.write(b"abc").unwrap_err();
        assert_eq!(error.class(), Class::Busy);
        assert!(
            error
                .to_string()
                .starts_with("the disk is full: cannot write"),
            "{error}"
        );
        assert!(matches!(spool.finish(), Err(DiskError::Torn)));
        assert!(!disk.has_failed());
    }
}
