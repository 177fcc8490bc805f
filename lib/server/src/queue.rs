//! Certificates for which a CRL was missing, kept for the operator and for
//! `smrd --fetch-revocation`: STORE/cache/revocation-queue (smrd(8)).
//!
//! Never grows past 256 KiB, and losing it loses nothing: the next attempt
//! puts a certificate back.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smr_evidence::trust::Certificate;

const LIMIT: usize = 256 << 10;

/// The queue: one line for each certificate, its DER in base64, a space, and
/// its subject.
pub(crate) struct Queue {
    path: PathBuf,
    /// The lines in the file.
    lines: Mutex<HashSet<String>>,
}

impl Queue {
    /// Opens the queue in the folder `cache`, which is made when it is needed.
    pub(crate) fn open(cache: &Path) -> Queue {
        let path = cache.join("revocation-queue");
        let text = fs::read_to_string(&path).unwrap_or_default();
        Queue {
            path,
            lines: Mutex::new(text.lines().map(str::to_owned).collect()),
        }
    }

    /// Adds a certificate; one that is there already is not added again. Tells
    /// whether it is in the queue now.
    pub(crate) fn add(&self, certificate: &Certificate) -> io::Result<bool> {
        let subject = certificate.subject_text().escape_debug().to_string();
        self.add_line(format!("{} {subject}", STANDARD.encode(certificate.der())))
    }

    fn add_line(&self, line: String) -> io::Result<bool> {
        // A line is in the set only once it is in the file.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.contains(&line) {
            return Ok(true);
        }
        let used: usize = lines.iter().map(|l| l.len() + 1).sum();
        if used + line.len() + 1 > LIMIT {
            return Ok(false);
        }
        self.append(&line)?;
        lines.insert(line);
        Ok(true)
    }

    fn append(&self, line: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(format!("{line}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Queue};

    #[test]
    fn lines_are_kept_once_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        for _ in 0..2 {
            let queue = Queue::open(&cache);
            assert!(queue.add_line("AAAA CN=x".into()).unwrap());
            assert!(queue.add_line("AAAA CN=x".into()).unwrap());
        }
        let text = std::fs::read_to_string(cache.join("revocation-queue")).unwrap();
        assert_eq!(text, "AAAA CN=x\n");
    }

    #[test]
    fn strangers_cannot_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(dir.path());
        assert!(queue.add_line("A".repeat(LIMIT - 1)).unwrap());
        assert!(!queue.add_line("B".into()).unwrap());
    }
}
