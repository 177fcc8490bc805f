//! Durability: the one room that writes, links, renames, removes and syncs.
//!
//! A message is durable by its record in the journal, everything else by
//! syncing the file and its directory.
//!
//! Never retries a failed sync: the second would succeed although the data is
//! gone. After one the store takes nothing more until it is opened again;
//! reading goes on. Never decides what a path should be.

pub(crate) mod journal;
mod log;
pub(crate) mod record;
pub(crate) mod replay;
mod spool;

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use smr_name::Class;

use crate::group::DirSync;
use crate::layout::TMP;
use crate::times::Times;

pub(crate) use spool::{Content, TmpName};
pub use spool::{Spool, Spooled};

/// Says why the disk did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// No space or no quota left; the same call may succeed later.
    #[error("the disk is full: cannot {operation} \"{}\"", path.display())]
    Full {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// Something with this name is there already.
    #[error("cannot {operation} \"{}\": it exists", path.display())]
    Exists {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An earlier write or sync failed; the disk holds less than it said.
    #[error(
        "the store takes nothing more, since a write to its disk failed; check the disk, then start again"
    )]
    Failed,
    /// A spool file whose writing failed was to be used.
    #[error("a spool file was not written whole")]
    Torn,
    /// A spool file of another store, or of this one before it was reopened.
    #[error("a spool file belongs to another store")]
    Foreign,
}

impl DiskError {
    /// Says the same to one more who waited for what failed.
    pub(crate) fn again(&self) -> DiskError {
        match self {
            DiskError::Full { operation, path } => DiskError::Full {
                operation,
                path: path.clone(),
            },
            DiskError::Io {
                operation,
                path,
                source,
            } => DiskError::Io {
                operation,
                path: path.clone(),
                source: match source.raw_os_error() {
                    Some(code) => std::io::Error::from_raw_os_error(code),
                    None => source.kind().into(),
                },
            },
            DiskError::Exists { operation, path } => DiskError::Exists {
                operation,
                path: path.clone(),
            },
            DiskError::Torn => DiskError::Torn,
            DiskError::Foreign => DiskError::Foreign,
            DiskError::Failed => DiskError::Failed,
        }
    }

    /// Returns `Busy` for a full disk, and where no descriptor is left; else
    /// `Io`.
    pub fn class(&self) -> Class {
        match self {
            DiskError::Full { .. } => Class::Busy,
            DiskError::Io { source, .. } => match Errno::from_io_error(source) {
                Some(Errno::MFILE | Errno::NFILE) => Class::Busy,
                _ => Class::Io,
            },
            _ => Class::Io,
        }
    }
}

/// The directory of a store, open; every path is relative to it.
pub(crate) struct Disk {
    root: OwnedFd,
    path: PathBuf,
    failed: AtomicBool,
    serial: AtomicU64,
    /// How long syncs take.
    pub(crate) times: Times,
}

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o700);
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Disk {
    /// Makes the directory at `path` unless it is there, for good, and opens it.
    pub(crate) fn create(path: &Path) -> Result<Disk, DiskError> {
        let error = |operation, errno: Errno| DiskError::Io {
            operation,
            path: path.to_owned(),
            source: errno.into(),
        };
        match fs::mkdir(path, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(error("create", errno)),
        }
        fs::open(path.join(".."), DIRECTORY, Mode::empty())
            .and_then(fs::fsync)
            .map_err(|errno| error("sync the parent of", errno))?;
        Disk::open(path)
    }

    /// Opens the directory at `path`, which may be a symbolic link.
    pub(crate) fn open(path: &Path) -> Result<Disk, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty()).map_err(|errno| DiskError::Io {
            operation: "open",
            path: path.to_owned(),
            source: errno.into(),
        })?;
        Ok(Disk {
            root,
            path: path.to_owned(),
            failed: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            times: Times::default(),
        })
    }

    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Tells whether a write or sync has failed since the store was opened.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Names the operation and the path of what went wrong while reading, which
    /// concerns nothing else.
    pub(crate) fn error(&self, operation: &'static str, path: &str, errno: Errno) -> DiskError {
        let path = self.path.join(path);
        match errno {
            Errno::NOSPC | Errno::DQUOT => DiskError::Full { operation, path },
            Errno::EXIST | Errno::NOTEMPTY => DiskError::Exists { operation, path },
            _ => DiskError::Io {
                operation,
                path,
                source: errno.into(),
            },
        }
    }

    // The same for what changes the disk: EIO leaves open what it holds now, so
    // it fails the store.
    fn change_error(&self, operation: &'static str, path: &str, errno: Errno) -> DiskError {
        if errno == Errno::IO {
            self.fail();
        }
        self.error(operation, path, errno)
    }

    fn write_error(&self, path: &str, error: &std::io::Error) -> DiskError {
        self.change_error("write", path, errno_of(error))
    }

    // A failed sync fails the store, and is of no class `Busy` even for a full
    // disk: what it should have written is gone, and nobody can say what.
    fn sync_error(&self, path: &str, errno: Errno) -> DiskError {
        self.fail();
        DiskError::Io {
            operation: "sync",
            path: self.path.join(path),
            source: errno.into(),
        }
    }

    pub(crate) fn writable(&self) -> Result<(), DiskError> {
        if self.has_failed() {
            Err(DiskError::Failed)
        } else {
            Ok(())
        }
    }

    /// Returns the next number of this opening, from 1.
    fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn fresh(&self, kind: &str) -> String {
        format!("{TMP}/{kind}.{}", self.serial())
    }

    fn create_file(&self, path: &str) -> Result<File, DiskError> {
        self.writable()?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.root, path, flags, FILE_MODE)
            .map(File::from)
            .map_err(|errno| self.change_error("create", path, errno))
    }

    /// Opens the lock file, made if missing; its content means nothing.
    pub(crate) fn lock_file(&self, path: &str) -> Result<File, DiskError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.root, path, flags, FILE_MODE)
            .map(File::from)
            .map_err(|errno| self.error("open", path, errno))
    }

    pub(crate) fn make_directory(&self, path: &str) -> Result<(), DiskError> {
        self.writable()?;
        fs::mkdirat(&self.root, path, DIRECTORY_MODE)
            .map_err(|errno| self.change_error("create", path, errno))
    }

    pub(crate) fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.writable()?;
        if planted("in-place") && to.starts_with(crate::layout::ACCOUNTS) {
            let content = self.read_file(from)?.unwrap_or_default();
            return self.write_file(to, &content);
        }
        fs::linkat(&self.root, from, &self.root, to, AtFlags::empty())
            .map_err(|errno| self.change_error("create", to, errno))
    }

    /// Gives a file another name that must not be there, instead of the one it
    /// has.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.writable()?;
        if planted("in-place") {
            self.link(from, to)?;
            return self.remove(from);
        }
        match fs::renameat_with(&self.root, from, &self.root, to, RenameFlags::NOREPLACE) {
            // Not every file system has it; a link fails where the name is.
            Err(Errno::INVAL | Errno::NOSYS) => {
                self.link(from, to)?;
                self.remove(from)
            }
            renamed => renamed.map_err(|errno| self.change_error("create", to, errno)),
        }
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.writable()?;
        fs::renameat(&self.root, from, &self.root, to)
            .map_err(|errno| self.change_error("create", to, errno))
    }

    /// Removes a file; one that is gone already is no error.
    pub(crate) fn remove(&self, path: &str) -> Result<(), DiskError> {
        match fs::unlinkat(&self.root, path, AtFlags::empty()) {
            Err(errno) if errno != Errno::NOENT => Err(self.change_error("remove", path, errno)),
            _ => Ok(()),
        }
    }

    /// Returns a name in `tmp` for a directory to be made whole and renamed.
    pub(crate) fn fresh_directory(&self) -> Result<String, DiskError> {
        let path = self.fresh("account");
        self.make_directory(&path)?;
        Ok(path)
    }

    /// Removes a directory of `tmp` with all that is in it.
    pub(crate) fn remove_tree(&self, path: &str) -> Result<(), DiskError> {
        std::fs::remove_dir_all(self.path.join(path))
            .map_err(|error| self.change_error("remove", path, errno_of(&error)))
    }

    /// Removes all that is in a directory, whatever its names; a link to one
    /// leads to what is not ours, and is refused.
    pub(crate) fn empty(&self, path: &str) -> Result<(), DiskError> {
        let linked = std::fs::symlink_metadata(self.path.join(path)).map(|m| m.is_symlink());
        if linked.map_err(|error| self.io_error("look at", path, &error))? {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(self.io_error("empty", path, &error));
        }
        let remove = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())
            } else {
                std::fs::remove_file(entry.path())
            }
        };
        std::fs::read_dir(self.path.join(path))
            .and_then(|mut entries| entries.try_for_each(remove))
            .map_err(|error| self.change_error("empty", path, errno_of(&error)))
    }

    /// Writes a new file and syncs it, but not its directory.
    pub(crate) fn write_file(&self, path: &str, content: &[u8]) -> Result<(), DiskError> {
        let mut file = self.create_file(path)?;
        file.write_all(content)
            .map_err(|error| self.write_error(path, &error))?;
        self.sync_file(&file, path)
    }

    pub(crate) fn io_error(
        &self,
        operation: &'static str,
        path: &str,
        error: &std::io::Error,
    ) -> DiskError {
        self.error(operation, path, errno_of(error))
    }

    fn sync_file(&self, file: &File, path: &str) -> Result<(), DiskError> {
        // Without this a power cut may leave the name with half the content.
        let synced = self.times.time(|| fs::fsync(file));
        synced.map_err(|errno| self.file_error(path, errno))
    }

    // A full disk costs a file alone that is not synced; whoever wrote it drops it.
    fn file_error(&self, path: &str, errno: Errno) -> DiskError {
        match errno {
            Errno::NOSPC | Errno::DQUOT => self.error("sync", path, errno),
            _ => self.sync_error(path, errno),
        }
    }

    fn open_directory(&self, path: &str) -> Result<OwnedFd, DiskError> {
        fs::openat(&self.root, path, DIRECTORY, Mode::empty())
            .map_err(|errno| self.error("open", path, errno))
    }

    fn sync_opened(&self, directory: &OwnedFd, path: &str) -> Result<(), DiskError> {
        if planted("no-directory-sync") {
            return Ok(());
        }
        let synced = self.times.time(|| fs::fsync(directory));
        synced.map_err(|errno| self.sync_error(path, errno))
    }

    /// Syncs a directory: every name made in it before this call survives a
    /// power cut. A failed sync fails the store.
    pub(crate) fn sync_directory(&self, path: &str) -> Result<(), DiskError> {
        self.sync_opened(&self.open_directory(path)?, path)
    }

    /// Does the same, shared with other threads that ask for this directory.
    pub(crate) fn sync_shared(&self, sync: &DirSync, path: &str) -> Result<(), DiskError> {
        sync.cover(
            || self.open_directory(path),
            |directory| self.sync_opened(&directory, path),
        )
    }

    /// Syncs the whole file system of the store: what a killed smrd left in
    /// memory is on disk before anyone is shown it.
    pub(crate) fn sync_all(&self) -> Result<(), DiskError> {
        fs::syncfs(&self.root).map_err(|errno| self.sync_error(".", errno))
    }
}

/// Tells whether the tests have planted this fault, to see that they find it.
#[cfg(feature = "planted")]
fn planted(fault: &str) -> bool {
    std::env::var_os("SMR_PLANTED").is_some_and(|planted| planted == fault)
}

#[cfg(not(feature = "planted"))]
fn planted(_: &str) -> bool {
    false
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::{Disk, DiskError};
    use crate::group::DirSync;
    use rustix::io::{Errno, FdFlags, fcntl_getfd};
    use smr_name::Class;
    use std::os::fd::AsFd;
    use std::sync::Arc;

    fn disk() -> (tempfile::TempDir, Arc<Disk>) {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(directory.path()).unwrap());
        disk.make_directory("tmp").unwrap();
        (directory, disk)
    }

    #[test]
    fn nothing_is_overwritten() {
        let (_directory, disk) = disk();
        disk.write_file("a", b"1").unwrap();
        assert!(matches!(
            disk.write_file("a", b"2"),
            Err(DiskError::Exists { .. })
        ));
        disk.write_file("b", b"2").unwrap();
        assert!(matches!(disk.link("b", "a"), Err(DiskError::Exists { .. })));
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let (directory, disk) = disk();
        std::os::unix::fs::symlink("/etc", directory.path().join("out")).unwrap();
        assert!(disk.sync_directory("out").is_err());
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("file");
        std::os::unix::fs::symlink(&target, directory.path().join("file")).unwrap();
        assert!(disk.write_file("file", b"1").is_err());
        assert!(disk.lock_file("file").is_err());
        assert!(!target.exists());
    }

    #[test]
    fn input_output_errors_fail_the_store_and_others_do_not() {
        let (_directory, disk) = disk();
        assert_eq!(disk.error("link", "a", Errno::DQUOT).class(), Class::Busy);
        assert_eq!(disk.error("link", "a", Errno::ACCESS).class(), Class::Io);
        assert_eq!(disk.error("open", "a", Errno::MFILE).class(), Class::Busy);
        assert_eq!(disk.error("read", "a", Errno::IO).class(), Class::Io);
        assert!(disk.write_file("a", b"1").is_ok());
        assert_eq!(disk.change_error("link", "a", Errno::IO).class(), Class::Io);
        assert!(matches!(disk.write_file("b", b"1"), Err(DiskError::Failed)));
        assert!(matches!(disk.link("a", "c"), Err(DiskError::Failed)));
    }

    #[test]
    fn a_full_disk_costs_a_file_and_not_the_store() {
        let (_directory, disk) = disk();
        let full = disk.file_error("a", Errno::NOSPC);
        assert_eq!((full.class(), disk.has_failed()), (Class::Busy, false));
        // Of a directory nobody can say what is lost.
        let names = disk.sync_error("tmp", Errno::NOSPC);
        assert_eq!((names.class(), disk.has_failed()), (Class::Io, true));
        let disk = self::disk().1;
        let lost = disk.file_error("a", Errno::IO);
        assert_eq!((lost.class(), disk.has_failed()), (Class::Io, true));
    }

    #[test]
    fn only_a_directory_is_a_store() {
        let (directory, disk) = disk();
        disk.write_file("a", b"1").unwrap();
        let error = Disk::open(&directory.path().join("a")).map(drop);
        assert_eq!(error.unwrap_err().class(), Class::Io);
    }

    #[test]
    fn no_child_inherits_what_is_open() {
        let (_directory, disk) = disk();
        let file = disk.create_file("a").unwrap();
        let lock = disk.lock_file("lock").unwrap();
        for open in [file.as_fd(), lock.as_fd(), disk.root().as_fd()] {
            assert!(fcntl_getfd(open).unwrap().contains(FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn no_name_in_tmp_is_given_twice() {
        let (_directory, disk) = disk();
        assert_eq!(disk.fresh("record"), "tmp/record.1");
        assert_eq!(disk.fresh("record"), "tmp/record.2");
    }

    #[test]
    fn what_is_gone_is_removed_and_what_stays_is_told() {
        let (directory, disk) = disk();
        disk.write_file("tmp/a", b"1").unwrap();
        for _ in 0..2 {
            disk.remove("tmp/a").unwrap();
        }
        let error = disk.remove("tmp").unwrap_err();
        assert_eq!((error.class(), disk.has_failed()), (Class::Io, false));
        let tree = disk.fresh_directory().unwrap();
        disk.write_file(&format!("{tree}/a"), b"1").unwrap();
        disk.remove_tree(&tree).unwrap();
        assert!(!directory.path().join(&tree).exists());
        assert!(disk.remove_tree(&tree).is_err());
    }

    #[test]
    fn a_directory_that_cannot_be_opened_stops_nobody_else() {
        let (_directory, disk) = disk();
        let sync = DirSync::default();
        assert!(disk.sync_shared(&sync, "absent").is_err());
        assert!(!disk.has_failed());
        disk.make_directory("absent").unwrap();
        assert!(disk.sync_shared(&sync, "absent").is_ok());
    }
}
