//! Files of one user: private modes, replacement in one step, locks.
//!
//! Never writes in place, and never into a folder that others can write to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use smr_name::Class;
use zeroize::Zeroizing;

use crate::batch::Batch;

/// Says which operation on which file failed.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// The system refused.
    #[error("cannot {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is already there.
    #[error("\"{}\" exists already", .0.display())]
    Exists(PathBuf),
    /// The file is larger than anything we write there.
    #[error("\"{}\" is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// How much was allowed.
        limit: u64,
    },
    /// Others could exchange what we keep there.
    #[error("\"{}\" belongs to or can be written by someone else", .0.display())]
    Shared(PathBuf),
}

impl PrivateError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            PrivateError::Io { source, .. } if is_full(source) => Class::Busy,
            PrivateError::Io { .. } => Class::Io,
            PrivateError::Exists(_) => Class::CannotCreate,
            PrivateError::TooLarge { .. } => Class::Forged,
            PrivateError::Shared(_) => Class::Config,
        }
    }
}

/// Tells a full disk, which may have room later, from other failures.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

pub(crate) fn failed<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> PrivateError + 'a {
    move |source| PrivateError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Makes a folder and its missing parents with mode 0700; existing ones keep
/// theirs.
pub fn make_dir(path: &Path) -> Result<(), PrivateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make folder", path))
}

/// Refuses a folder that is not ours alone to write.
pub fn check_dir(path: &Path) -> Result<(), PrivateError> {
    let facts = fs::metadata(path).map_err(failed("look at", path))?;
    let ours = facts.uid() == rustix::process::geteuid().as_raw();
    if facts.is_dir() && ours && facts.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(PrivateError::Shared(path.to_owned()))
    }
}

/// Reads a file of at most `limit` bytes; none if it is not there.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PrivateError> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    // Room for all of it and one byte more: one read brings it, one the end.
    let size = file.metadata().map_err(failed("look at", path))?.len();
    let mut bytes = Vec::with_capacity(size.min(limit) as usize + 1);
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    if bytes.len() as u64 > limit {
        let path = path.to_owned();
        return Err(PrivateError::TooLarge { path, limit });
    }
    Ok(Some(bytes))
}

/// Reads a file like [`read`], into memory that is wiped and never grows.
pub fn read_secret(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateError> {
    let Some(mut file) = open(path)? else {
        return Ok(None);
    };
    let facts = file.metadata().map_err(failed("look at", path))?;
    let room = match facts.is_file() {
        true => facts.len().min(limit),
        // A pipe does not say how much will come.
        false => limit,
    };
    // One byte more shows what is larger. A file that grows meanwhile is cut off,
    // and will not parse.
    let mut bytes = Zeroizing::new(vec![0; room as usize + 1]);
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    if length as u64 > limit {
        let path = path.to_owned();
        return Err(PrivateError::TooLarge { path, limit });
    }
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// Opens a file to read it; none if it is not there.
fn open(path: &Path) -> Result<Option<File>, PrivateError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

/// Puts `bytes` at `path` with mode 0600, durably and in one step: readers
/// see the old file or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
    let mut batch = Batch::default();
    batch.replace(path, bytes)?;
    batch.keep()
}

/// Puts `bytes` at `path` like [`replace`], but refuses where there is a file.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
    let mut batch = Batch::default();
    batch.create(path, bytes)?;
    batch.keep()
}

/// Removes a file, durably.
pub fn remove(path: &Path) -> Result<(), PrivateError> {
    fs::remove_file(path).map_err(failed("remove", path))?;
    sync_parent(path)
}

/// Returns the names in a folder that are text; none if it is not there.
pub fn names(dir: &Path) -> Result<Vec<String>, PrivateError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", dir))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

// Without it the name itself could be lost in a power cut.
pub(crate) fn sync_parent(path: &Path) -> Result<(), PrivateError> {
    let dir = parent(path);
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(failed("sync folder", dir))
}

/// An exclusive lock on a file, held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on the file at `path`, which it makes if need be.
    pub fn wait(path: &Path) -> Result<Lock, PrivateError> {
        make_dir(parent(path))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("open", path))?;
        file.lock().map_err(failed("lock", path))?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn replaced_files_are_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&dir.path().join("a")), 0o700);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file is left");
    }

    #[test]
    fn create_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path, b"one").unwrap();
        assert!(matches!(
            create(&path, b"two"),
            Err(PrivateError::Exists(_))
        ));
        assert_eq!(read(&path, 10).unwrap().as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn reading_is_bounded_and_absence_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(read(&path, 3).unwrap().is_none());
        assert!(read_secret(&path, 3).unwrap().is_none());
        replace(&path, b"four").unwrap();
        assert!(matches!(
            read(&path, 3),
            Err(PrivateError::TooLarge { limit: 3, .. })
        ));
        assert!(matches!(
            read_secret(&path, 3),
            Err(PrivateError::TooLarge { limit: 3, .. })
        ));
        assert_eq!(**read_secret(&path, 4).unwrap().unwrap(), *b"four");
        assert_eq!(**read_secret(&path, 99).unwrap().unwrap(), *b"four");
    }

    #[test]
    fn secrets_come_out_of_pipes_too() {
        for (limit, whole) in [(3, false), (4, true), (99, true)] {
            let (ours, theirs) = io::pipe().unwrap();
            (&theirs).write_all(b"four").unwrap();
            drop(theirs);
            let path = PathBuf::from(format!("/proc/self/fd/{}", ours.as_raw_fd()));
            match read_secret(&path, limit) {
                Ok(secret) => assert!(whole && **secret.unwrap() == *b"four"),
                Err(error) => assert!(!whole && matches!(error, PrivateError::TooLarge { .. })),
            }
        }
    }

    #[test]
    fn folders_open_to_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        make_dir(&path).unwrap();
        check_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let error = check_dir(&path).unwrap_err();
        assert!(matches!(error, PrivateError::Shared(_)));
        assert_eq!(error.class(), Class::Config);
    }

    #[test]
    fn one_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::wait(&path).unwrap();
        let other = File::open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
