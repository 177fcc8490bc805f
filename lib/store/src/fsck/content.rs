//! What a file holds, against what its name says of it.
//!
//! A file with several names is read once.

use std::io::Read;
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};
use smr_name::MessageId;

use super::Fsck;
use crate::durable::DiskError;
use crate::durable::record::Target;
use crate::finding::Why;
use crate::layout::{self, State};

/// Which file it is, whatever its names: inode, when it was written, size.
pub(super) type Inode = (u64, i64, i64, u64);

/// What the names of one file have in common.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Seen {
    id: MessageId,
    cms: [u8; 32],
    /// SHA-256 of what it holds.
    sha256: [u8; 32],
}

impl Fsck<'_> {
    /// Examines the file of an entry; returns in what state it was found, and
    /// what is wrong with it.
    pub(super) fn content(&mut self, target: &Target, state: State) -> Option<(State, Why)> {
        // It may have come further meanwhile.
        let later = [State::New, State::Fetched, State::Read, State::RemovedNew];
        let removed = [State::RemovedFetched, State::RemovedRead];
        let states = later.into_iter().chain(removed).filter(|s| *s > state);
        for state in std::iter::once(state).chain(states) {
            let path = layout::file(&target.mailbox, target.folder, &target.entry, state);
            match self.disk.open_file(&path) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    let checked = self.file(&file, &path, target, state);
                    return match checked {
                        Ok(wrong) => wrong.map(|why| (state, why)),
                        Err(error) => Some((state, super::reason(&error))),
                    };
                }
                Err(error) => return Some((state, super::reason(&error))),
            }
        }
        Some((state, Why::Absent))
    }

    fn file(
        &mut self,
        file: &std::fs::File,
        path: &str,
        target: &Target,
        state: State,
    ) -> Result<Option<Why>, DiskError> {
        let error = |error| self.disk.io_error("read", path, &error);
        let meta = file.metadata().map_err(error)?;
        let size = match state.is_removed() {
            true => 0,
            false => target.entry.size,
        };
        if !meta.is_file() {
            return Ok(Some(Why::Kind));
        }
        if meta.len() != size {
            return Ok(Some(Why::Size));
        }
        if state.is_removed() {
            return Ok(None);
        }
        let inode = (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size());
        let here = |sha256| Seen {
            id: target.entry.id,
            cms: target.entry.cms,
            sha256,
        };
        let sha256 = match self.seen.get(&inode) {
            Some(seen) if *seen != here(seen.sha256) => return Ok(Some(Why::Names)),
            Some(seen) => seen.sha256,
            None => {
                let sha256 = digest(file).map_err(error)?;
                self.summary.bytes += size;
                if meta.nlink() > 1 {
                    self.seen.insert(inode, here(sha256));
                }
                sha256
            }
        };
        Ok((sha256 != target.entry.sha256).then_some(Why::Hash))
    }
}

fn digest(mut file: &std::fs::File) -> std::io::Result<[u8; 32]> {
    let (mut hash, mut part) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&part[..count]),
        }
    }
}
