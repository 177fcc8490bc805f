//! What comes in: whole before it gets a name in a folder.
//!
//! A small message stays in memory: the journal is where it comes to the disk
//! first. A large one is written to a file of `tmp` as it comes, and synced.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use super::{Disk, DiskError};

/// The largest message that goes through the journal, in bytes.
pub(crate) const SMALL: usize = 64 << 10;

/// A message that is coming in; nothing is left of it when dropped.
pub struct Spool {
    disk: Arc<Disk>,
    // All of it as long as it is small.
    held: Vec<u8>,
    file: Option<(File, TmpName)>,
    size: u64,
    torn: bool,
}

/// A whole message, ready to be deposited.
pub struct Spooled {
    disk: Arc<Disk>,
    size: u64,
    content: Content,
}

/// Where a message is that has no name in a folder yet.
#[derive(Clone)]
pub(crate) enum Content {
    /// In memory: a small one.
    Held(Arc<[u8]>),
    /// In a synced file of `tmp`, whose name goes when nobody needs it.
    File(Arc<TmpName>),
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
    pub fn finish(self) -> Result<Spooled, DiskError> {
        if self.torn {
            return Err(DiskError::Torn);
        }
        if self.file.is_some() {
            return self.synced();
        }
        Ok(Spooled {
            disk: self.disk,
            size: self.size,
            content: Content::Held(self.held.into()),
        })
    }

    fn synced(mut self) -> Result<Spooled, DiskError> {
        self.spill(&[])?;
        let (file, name) = self.file.ok_or(DiskError::Torn)?;
        self.disk.sync_file(&file, &name.path)?;
        Ok(Spooled {
            disk: self.disk,
            size: self.size,
            content: Content::File(Arc::new(name)),
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

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    pub(crate) fn belongs_to(&self, disk: &Arc<Disk>) -> bool {
        Arc::ptr_eq(&self.disk, disk)
    }
}

impl Disk {
    /// Writes a file of this content in `tmp`, synced.
    pub(crate) fn write_synced(self: &Arc<Self>, content: &[u8]) -> Result<TmpName, DiskError> {
        let (file, name) = self.write_tmp(content)?;
        self.sync_file(&file, &name.path)?;
        Ok(name)
    }

    /// Writes one; whoever asks for it syncs it.
    pub(crate) fn write_unsynced(self: &Arc<Self>, content: &[u8]) -> Result<TmpName, DiskError> {
        Ok(self.write_tmp(content)?.1)
    }

    fn write_tmp(self: &Arc<Self>, content: &[u8]) -> Result<(File, TmpName), DiskError> {
        let (mut file, name) = opened(self)?;
        let written = file.write_all(content);
        written.map_err(|error| self.write_error(&name.path, &error))?;
        Ok((file, name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, SMALL, Spool};
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
            match spooled.content() {
                Content::Held(held) => assert!(held[..] == content && size <= SMALL, "{size}"),
                Content::File(name) => {
                    let path = directory.path().join(name.path());
                    assert!(std::fs::read(path).unwrap() == content, "{size}");
                }
            }
            assert_eq!(tmp().count(), usize::from(size > SMALL));
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
