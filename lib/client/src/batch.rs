//! Several small files kept together: one wait for what is in them and one for
//! their names, where each by itself would have two.
//!
//! Nothing of it is durable before [`Batch::keep`] returns. Where that fails,
//! some files may have their names and others not; each is whole or not there.
//! What is durable elsewhere already needs names only ([`Batch::name`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::NamedTempFile;

use crate::fresh::Fresh;
use crate::private::{PrivateError, failed, make_dir, parent};

/// Waits at the same time: a disk that syncs once for all who wait needs no more.
const AT_ONCE: usize = 8;

/// Files that are written and have no names yet.
#[derive(Default)]
pub(crate) struct Batch {
    files: Vec<Written>,
    contents: Vec<Vec<u8>>,
    /// Folders that were made for them, whose own names are to last, too.
    made: BTreeSet<PathBuf>,
}

enum Written {
    /// For a name that must be free.
    New(Fresh),
    /// For a name that may be taken.
    Over(NamedTempFile, PathBuf),
}

impl Written {
    fn path(&self) -> &Path {
        match self {
            Written::New(fresh) => fresh.path(),
            Written::Over(_, path) => path,
        }
    }

    fn sync(&self) -> Result<(), PrivateError> {
        let file = match self {
            Written::New(fresh) => fresh.file(),
            Written::Over(file, _) => file.as_file(),
        };
        file.sync_all().map_err(failed("write", self.path()))
    }

    /// Gives it the name of an older one that nobody waits for: two that change
    /// names are not written at once, as ext4 does with what is renamed.
    fn exchange(self) -> Result<(), PrivateError> {
        match self {
            Written::Over(file, path)
                if renameat_with(CWD, file.path(), CWD, &path, RenameFlags::EXCHANGE).is_ok() =>
            {
                let failed = failed("remove", &path);
                file.close().map_err(failed)
            }
            other => other.name(),
        }
    }

    fn name(self) -> Result<(), PrivateError> {
        match self {
            Written::New(fresh) => fresh.name(),
            Written::Over(file, path) => match file.persist(&path) {
                Ok(_) => Ok(()),
                Err(error) => Err(failed("rename into place", &path)(error.error)),
            },
        }
    }
}

impl Batch {
    /// Adds a file of mode 0600; refuses where there is one of that name.
    pub(crate) fn create(&mut self, path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
        self.make_parent(path)?;
        let fresh = Fresh::beside(path)?;
        fresh
            .file()
            .write_all(bytes)
            .map_err(failed("write", path))?;
        self.push(Written::New(fresh), bytes);
        Ok(())
    }

    /// Adds a file of mode 0600 that takes the place of one of that name: who
    /// reads it sees the old one or the new one.
    pub(crate) fn replace(&mut self, path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
        self.make_parent(path)?;
        let dir = parent(path);
        // tempfile gives it its mode.
        let mut file = NamedTempFile::new_in(dir).map_err(failed("create a file in", dir))?;
        file.write_all(bytes).map_err(failed("write", path))?;
        self.push(Written::Over(file, path.to_owned()), bytes);
        Ok(())
    }

    fn push(&mut self, file: Written, bytes: &[u8]) {
        self.files.push(file);
        self.contents.push(bytes.to_owned());
    }

    /// Tells whether no file was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns where each file will be, and what is in it.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        let paths = self.files.iter().map(Written::path);
        paths.zip(self.contents.iter().map(Vec::as_slice))
    }

    fn make_parent(&mut self, path: &Path) -> Result<(), PrivateError> {
        let dir = parent(path);
        let missing = dir.ancestors().take_while(|above| !above.exists());
        let above = missing.map(|made| parent(made).to_owned());
        self.made.extend(above.collect::<Vec<_>>());
        make_dir(dir)
    }

    /// Gives all of them their names; a power cut may take names and content.
    pub(crate) fn name(self) -> Result<(), PrivateError> {
        self.files.into_iter().try_for_each(Written::exchange)
    }

    /// Gives all of them their names, durably.
    pub(crate) fn keep(self) -> Result<(), PrivateError> {
        // First what is in them: a name must never lead to less.
        at_once(&self.files, Written::sync)?;
        let mut folders = self.made;
        for file in self.files {
            folders.insert(parent(file.path()).to_owned());
            file.name()?;
        }
        // Without it the names themselves could be lost in a power cut.
        at_once(&folders.into_iter().collect::<Vec<_>>(), |dir| {
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(failed("sync folder", dir))
        })
    }
}

/// Waits for all of these, several at once; returns the first failure.
fn at_once<T: Sync>(
    all: &[T],
    wait: impl Fn(&T) -> Result<(), PrivateError> + Sync,
) -> Result<(), PrivateError> {
    let share = all.len().div_ceil(AT_ONCE).max(1);
    let wait = |some: &[T]| some.iter().try_for_each(&wait);
    let (mine, others) = all.split_at(share.min(all.len()));
    thread::scope(|scope| {
        let begin = |some| {
            let waiting = thread::Builder::new().spawn_scoped(scope, move || wait(some));
            // Without room for a thread: one after the other.
            waiting.map_err(|_| some)
        };
        let others: Vec<_> = others.chunks(share).map(begin).collect();
        let end = |other: Result<ScopedJoinHandle<'_, _>, _>| match other {
            Ok(waiting) => waiting.join().unwrap_or_else(|bug| resume_unwind(bug)),
            Err(some) => wait(some),
        };
        // All of them are waited for, whatever the first says.
        let mine = wait(mine);
        others.into_iter().map(end).fold(mine, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn files_have_their_names_only_when_all_are_kept() {
        let dir = dir();
        let (old, new) = (dir.path().join("old"), dir.path().join("a/b/new"));
        fs::write(&old, "before").unwrap();
        let mut batch = Batch::default();
        batch.replace(&old, b"after").unwrap();
        batch.create(&new, b"first").unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"before");
        assert!(!new.exists());
        batch.keep().unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"after");
        assert_eq!(fs::read(&new).unwrap(), b"first");
    }

    #[test]
    fn what_is_there_is_not_created_again() {
        let dir = dir();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let mut batch = Batch::default();
        batch.create(&one, b"mine").unwrap();
        batch.create(&two, b"mine").unwrap();
        fs::write(&two, "another's").unwrap();
        assert!(matches!(
            Batch::default().create(&two, b""),
            Err(PrivateError::Exists(_))
        ));
        assert!(matches!(batch.keep(), Err(PrivateError::Exists(path)) if path == two));
        assert_eq!(fs::read(&two).unwrap(), b"another's");
    }

    #[test]
    fn nothing_is_left_of_a_batch_that_is_not_kept() {
        let dir = dir();
        let mut batch = Batch::default();
        for n in 0..20 {
            let path = dir.path().join(n.to_string());
            batch.create(&path, b"").unwrap();
            batch.replace(&path, b"").unwrap();
        }
        drop(batch);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_file_is_waited_for_and_one_failure_counts() {
        for count in [0, 1, 2, 7, 8, 9, 16, 17, 100] {
            let seen = std::sync::Mutex::new(BTreeSet::new());
            let all: Vec<usize> = (0..count).collect();
            let failing = |n: &usize| match seen.lock().unwrap().insert(*n) {
                true if n + 1 == count => Err(PrivateError::Shared(n.to_string().into())),
                _ => Ok(()),
            };
            assert_eq!(at_once(&all, failing).is_err(), count > 0);
            assert_eq!(seen.into_inner().unwrap().len(), count);
        }
    }
}
