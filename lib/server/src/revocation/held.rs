//! What the fetcher has left in cache/revocation, as smrd reads it.
//!
//! Changes nothing, and never fails for a file: what cannot be read is not
//! there, and fails closed in the verdict.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use smr_evidence::trust::{Crl, Ocsp};

/// The file that is written last, after the others.
pub(super) const STAMP: &str = "stamp";

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let facts = fs::metadata(path).ok()?;
        Some(Stamp {
            inode: facts.ino(),
            seconds: facts.mtime(),
            nanoseconds: facts.mtime_nsec(),
        })
    }
}

/// One list or answer.
#[derive(Clone)]
pub(crate) enum Item {
    List(Box<Crl>),
    Answer(Ocsp),
}

/// The lists and answers of one moment.
#[derive(Default)]
pub(crate) struct Held {
    stamp: Option<Stamp>,
    files: BTreeMap<PathBuf, (Stamp, Item)>,
    /// Files that hold something else than their name says.
    pub(crate) damaged: Vec<PathBuf>,
}

impl Held {
    /// Reads the folder; files that are as they were `before` are not read
    /// again.
    pub(crate) fn read(folder: &Path, before: &Held) -> Held {
        // Before the files: what changes meanwhile is seen the next time.
        let mut held = Held {
            stamp: Stamp::of(&folder.join(STAMP)),
            ..Held::default()
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            held.take(path, before);
        }
        held
    }

    fn take(&mut self, path: PathBuf, before: &Held) {
        let extension = path.extension().and_then(|e| e.to_str());
        let (Some(kind @ ("crl" | "ocsp")), Some(stamp)) = (extension, Stamp::of(&path)) else {
            return;
        };
        let known = before.files.get(&path).filter(|(then, _)| *then == stamp);
        let item = match known {
            Some((_, item)) => Some(item.clone()),
            None => item(&path, kind),
        };
        match item {
            Some(item) => drop(self.files.insert(path, (stamp, item))),
            None => self.damaged.push(path),
        }
    }

    /// Says whether the fetcher has been there since this was read.
    pub(crate) fn is_behind(&self, folder: &Path) -> bool {
        self.stamp != Stamp::of(&folder.join(STAMP))
    }

    /// Returns what there is, in the order of its names.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.files.values().map(|(_, item)| item)
    }
}

fn item(path: &Path, kind: &str) -> Option<Item> {
    let bytes = fs::read(path).ok()?;
    match kind {
        "crl" => Crl::from_der(&bytes)
            .ok()
            .map(|list| Item::List(Box::new(list))),
        _ => Ocsp::from_der(&bytes).ok().map(Item::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn damaged_files_are_told_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.crl", "b.ocsp", "c.tmp", "stamp"] {
            std::fs::write(dir.path().join(name), "no DER").unwrap();
        }
        let held = Held::read(dir.path(), &Held::default());
        assert_eq!(held.items().count(), 0);
        assert_eq!(held.damaged.len(), 2);
    }

    #[test]
    fn a_new_stamp_is_seen_and_an_absent_one_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::read(dir.path(), &Held::default());
        assert!(!held.is_behind(dir.path()));
        std::fs::write(dir.path().join("stamp"), "1").unwrap();
        assert!(held.is_behind(dir.path()));
        let held = Held::read(dir.path(), &held);
        assert!(!held.is_behind(dir.path()));
    }
}
