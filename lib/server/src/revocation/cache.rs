//! STORE/cache/revocation: what was fetched, an index of where it came from,
//! and a stamp that is written last (smrd(8)).
//!
//! Replaces a file only by a whole one, and may be lost: then all is fetched
//! again. One fetcher at a time has it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use smr_name::Class;

use super::held::STAMP;
use super::http::Validators;

const INDEX: &str = "index";
const LOCK: &str = "lock";
/// What is not whole yet.
const UNFINISHED: &str = "new.tmp";
/// What stands for nothing in the index.
const NONE: &str = "-";

/// Says why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another fetcher has it.
    #[error("another \"smrd --fetch-revocation\" has \"{}\"", .0.display())]
    Busy(PathBuf),
    /// The operating system refused.
    #[error("cannot {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl CacheError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            CacheError::Busy(_) => Class::Busy,
            CacheError::Io { .. } => Class::Io,
        }
    }
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// What is known of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) url: String,
    pub(super) validators: Validators,
    /// When the source last said what there is, unix seconds.
    pub(crate) fetched: i64,
    /// From when on it is to be asked again; 0 while nobody needs it.
    pub(crate) due: i64,
    /// From when on it is of no use.
    pub(super) until: i64,
}

impl Entry {
    fn line(&self, name: &str) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        let (etag, modified) = (text(&self.validators.etag), text(&self.validators.modified));
        let (url, fetched, due, until) = (&self.url, self.fetched, self.due, self.until);
        format!("{name}\t{url}\t{etag}\t{modified}\t{fetched}\t{due}\t{until}\n")
    }

    /// Reads a line; one that is not as we write it is none.
    fn read(line: &str) -> Option<(String, Entry)> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, url, etag, modified, fetched, due, until] = fields[..] else {
            return None;
        };
        let text = |text: &str| (text != NONE).then(|| text.to_owned());
        let entry = Entry {
            url: url.to_owned(),
            validators: Validators {
                etag: text(etag),
                modified: text(modified),
            },
            fetched: fetched.parse().ok()?,
            due: due.parse().ok()?,
            until: until.parse().ok()?,
        };
        Some((name.to_owned(), entry))
    }
}

/// Reads the index of a folder; an absent one is empty.
pub(crate) fn index(folder: &Path) -> BTreeMap<String, Entry> {
    let text = fs::read_to_string(folder.join(INDEX)).unwrap_or_default();
    text.lines().filter_map(Entry::read).collect()
}

/// Returns how late the source is that is latest, in seconds; none where there
/// are no sources.
pub(crate) fn overdue(index: &BTreeMap<String, Entry>, now: i64) -> Option<i64> {
    let late = |entry: &Entry| match entry.due {
        0 => 0,
        due => now.saturating_sub(due).max(0),
    };
    index.values().map(late).max()
}

/// Returns when a fetcher last came to its end, unix seconds; none where none
/// has.
pub(crate) fn last_run(folder: &Path) -> Option<i64> {
    let written = fs::metadata(folder.join(INDEX)).ok()?.modified().ok()?;
    let since = written.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// The cache, held by this process alone.
pub(super) struct Cache {
    folder: PathBuf,
    pub(super) index: BTreeMap<String, Entry>,
    /// Held while this lives: two fetchers would overwrite each other's index.
    _lock: File,
}

impl Cache {
    /// Opens the folder, which is made when it is needed.
    pub(super) fn open(folder: &Path) -> Result<Cache, CacheError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(io("create", folder))?;
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).map_err(io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CacheError::Busy(folder.to_owned())),
            Err(TryLockError::Error(e)) => return Err(io("lock", &path)(e)),
        }
        Ok(Cache {
            index: index(folder),
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// Reads a file; none if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(io("read", &path)),
        }
    }

    /// Puts a file in the place of the one of this name.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let (new, path) = (self.folder.join(UNFINISHED), self.folder.join(name));
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&new).map_err(io("create", &new))?;
        file.write_all(bytes).map_err(io("write", &new))?;
        // Without this a power cut could leave an empty file under the name.
        file.sync_all().map_err(io("sync", &new))?;
        fs::rename(&new, &path).map_err(io("rename", &path))
    }

    /// Removes what `keeps` does not want and nobody could use after `now`,
    /// and files of which the index knows nothing.
    pub(super) fn clear(
        &mut self,
        now: i64,
        keeps: impl Fn(&str) -> bool,
    ) -> Result<(), CacheError> {
        self.index.retain(|name, e| keeps(name) || e.until >= now);
        // Not late, as nobody asks it; and asked once somebody needs it.
        let idle = self.index.iter_mut().filter(|(name, _)| !keeps(name));
        idle.for_each(|(_, entry)| entry.due = 0);
        let list = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(&self.folder)?;
            entries.map(|entry| Ok(entry?.path())).collect()
        };
        for path in list().map_err(io("read", &self.folder))? {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            let ours = name.ends_with(".crl") || name.ends_with(".ocsp");
            if ours && !self.index.contains_key(name) && !keeps(name) {
                fs::remove_file(&path).map_err(io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Writes the index, and last the stamp where a file has `changed`: at that
    /// instant smrd takes notice.
    pub(super) fn close(self, changed: bool) -> Result<(), CacheError> {
        let text: String = self.index.iter().map(|(n, e)| e.line(n)).collect();
        self.put(INDEX, text.as_bytes())?;
        if changed {
            self.put(STAMP, b"")?;
        }
        let folder = File::open(&self.folder).map_err(io("open", &self.folder))?;
        folder.sync_all().map_err(io("sync", &self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, CacheError, Entry, Validators, index, last_run, overdue};
    use std::time::UNIX_EPOCH;

    fn entry(until: i64) -> Entry {
        Entry {
            url: "http://ca.example/a.crl".into(),
            validators: Validators {
                etag: Some("\"7 a\"".into()),
                modified: None,
            },
            fetched: 1,
            due: 2,
            until,
        }
    }

    #[test]
    fn the_index_comes_back_without_damaged_lines() {
        for line in ["", "a.crl\thttp://x", "a\tb\tc\td\te\tf\tg"] {
            assert_eq!(Entry::read(line), None);
        }
        let line = entry(3).line("a.crl");
        let read = Entry::read(line.trim_end_matches('\n'));
        assert_eq!(read, Some(("a.crl".to_owned(), entry(3))));
    }

    #[test]
    fn one_fetcher_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let second = Cache::open(dir.path());
        assert!(matches!(second, Err(CacheError::Busy(_))));
        cache.close(true).unwrap();
        assert!(dir.path().join("stamp").exists());
    }

    #[test]
    fn the_latest_source_and_the_last_run_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_run(dir.path()), None);
        let mut cache = Cache::open(dir.path()).unwrap();
        assert_eq!(overdue(&cache.index, 1000), None);
        let due = |due| Entry { due, ..entry(9) };
        cache.index.insert("idle.crl".into(), due(0));
        cache.index.insert("in-time.crl".into(), due(2000));
        assert_eq!(overdue(&cache.index, 1000), Some(0));
        cache.index.insert("late.crl".into(), due(300));
        cache.index.insert("later.crl".into(), due(700));
        assert_eq!(overdue(&cache.index, 1000), Some(700));
        let before = UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        cache.close(false).unwrap();
        // A file's time is that of the last tick, which may be of the second before.
        assert!(last_run(dir.path()).unwrap() >= before - 1);
    }

    #[test]
    fn what_nobody_needs_goes_once_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(dir.path()).unwrap();
        for (name, until) in [("wanted.crl", 1), ("current.crl", 9), ("over.crl", 1)] {
            cache.put(name, b"x").unwrap();
            cache.index.insert(name.into(), entry(until));
        }
        cache.put("unknown.ocsp", b"x").unwrap();
        cache.clear(5, |name| name == "wanted.crl").unwrap();
        cache.close(false).unwrap();
        for (name, stays) in [
            ("wanted.crl", true),
            ("current.crl", true),
            ("over.crl", false),
        ] {
            assert_eq!(dir.path().join(name).exists(), stays, "{name}");
            assert_eq!(index(dir.path()).contains_key(name), stays, "{name}");
        }
        // Nobody asks it, so it is not late.
        assert_eq!(index(dir.path())["current.crl"].due, 0);
        assert_ne!(index(dir.path())["wanted.crl"].due, 0);
        assert!(!dir.path().join("unknown.ocsp").exists());
        assert!(!dir.path().join("stamp").exists());
    }
}
