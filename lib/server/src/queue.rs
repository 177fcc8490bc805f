//! Certificates for which an answer about revocation was missing, kept for
//! `smrd --fetch-revocation`: STORE/cache/revocation-queue (smrd(8)).
//!
//! Never grows past 256 KiB, and losing it loses nothing: the next attempt
//! puts a certificate back. Whoever writes it holds its lock.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smr_evidence::trust::Certificate;

const LIMIT: usize = 256 << 10;

/// The queue: one line for each certificate, its DER in base64, a space, and
/// its subject.
pub(crate) struct Queue {
    cache: PathBuf,
}

fn path(cache: &Path) -> PathBuf {
    cache.join("revocation-queue")
}

impl Queue {
    /// Names the queue in the folder `cache`, which is made when it is needed.
    pub(crate) fn open(cache: &Path) -> Queue {
        Queue {
            cache: cache.to_owned(),
        }
    }

    /// Adds a certificate; one that is there already is not added again. Tells
    /// whether it is in the queue now.
    pub(crate) fn add(&self, certificate: &Certificate) -> io::Result<bool> {
        let subject = certificate.subject_text().escape_debug().to_string();
        self.add_line(&format!("{} {subject}", STANDARD.encode(certificate.der())))
    }

    fn add_line(&self, line: &str) -> io::Result<bool> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.cache)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).read(true).append(true).mode(0o600);
        let mut file = options.open(path(&self.cache))?;
        // The fetcher rewrites the file, and may do so now.
        file.lock()?;
        let text = text(&mut file)?;
        if text.lines().any(|known| known == line) {
            return Ok(true);
        }
        if text.len() + line.len() + 1 > LIMIT {
            return Ok(false);
        }
        file.write_all(format!("{line}\n").as_bytes())?;
        Ok(true)
    }
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(LIMIT as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens the queue of a folder, if there is one.
fn existing(cache: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).open(path(cache)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Reads the queue: each line and its certificate. Lines that hold none are
/// passed over.
pub(crate) fn read(cache: &Path) -> io::Result<Vec<(String, Certificate)>> {
    let Some(mut file) = existing(cache)? else {
        return Ok(Vec::new());
    };
    let text = text(&mut file)?;
    let certificate = |line: &str| {
        let der = STANDARD.decode(line.split(' ').next()?).ok()?;
        Some((line.to_owned(), Certificate::from_der(&der).ok()?))
    };
    Ok(text.lines().filter_map(certificate).collect())
}

/// Takes these lines from the queue, and those that hold no certificate.
pub(crate) fn take(cache: &Path, served: &BTreeSet<String>) -> io::Result<()> {
    let Some(mut file) = existing(cache)? else {
        return Ok(());
    };
    file.lock()?;
    let before = text(&mut file)?;
    let whole = read(cache)?.into_iter().map(|(line, _)| line);
    let left: Vec<String> = whole.filter(|line| !served.contains(line)).collect();
    let left: String = left.iter().map(|line| format!("{line}\n")).collect();
    if left != before {
        // In place: smrd may wait for the lock of this very file.
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(left.as_bytes())?;
    }
    Ok(())
}

/// Returns when somebody began to wait last, unix seconds, if anybody waits.
pub(crate) fn waiting_since(cache: &Path) -> Option<i64> {
    let facts = path(cache).metadata().ok()?;
    (facts.len() > 0).then(|| facts.mtime())
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Queue, read, take, waiting_since};
    use std::collections::BTreeSet;

    #[test]
    fn lines_are_kept_once_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        for _ in 0..2 {
            let queue = Queue::open(&cache);
            assert!(queue.add_line("AAAA CN=x").unwrap());
            assert!(queue.add_line("AAAA CN=x").unwrap());
        }
        let text = std::fs::read_to_string(cache.join("revocation-queue")).unwrap();
        assert_eq!(text, "AAAA CN=x\n");
    }

    #[test]
    fn strangers_cannot_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(dir.path());
        assert!(queue.add_line(&"A".repeat(LIMIT - 1)).unwrap());
        assert!(!queue.add_line("B").unwrap());
    }

    #[test]
    fn what_is_taken_may_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(dir.path());
        assert!(waiting_since(dir.path()).is_none());
        queue.add_line("AAAA CN=no certificate").unwrap();
        assert!(waiting_since(dir.path()).is_some());
        assert_eq!(read(dir.path()).unwrap().len(), 0);
        take(dir.path(), &BTreeSet::new()).unwrap();
        assert!(waiting_since(dir.path()).is_none());
        assert!(queue.add_line("AAAA CN=no certificate").unwrap());
        assert!(waiting_since(dir.path()).is_some());
    }
}
