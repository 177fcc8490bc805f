//! A stored message, open for reading: a file, or, for as long as it has no
//! name in a folder yet, what is held in memory of it.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

/// A stored message, open for reading from its beginning.
pub struct Opened(Content);

enum Content {
    File(File),
    Held(Cursor<Arc<[u8]>>),
}

impl Opened {
    pub(crate) fn file(file: File) -> Opened {
        Opened(Content::File(file))
    }

    pub(crate) fn held(bytes: Arc<[u8]>) -> Opened {
        Opened(Content::Held(Cursor::new(bytes)))
    }

    /// Returns its size in bytes, as it is: a damaged file may have another
    /// than its name says.
    pub fn size(&self) -> io::Result<u64> {
        match &self.0 {
            Content::File(file) => Ok(file.metadata()?.len()),
            Content::Held(bytes) => Ok(bytes.get_ref().len() as u64),
        }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Read for Opened {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Content::File(file) => file.read(bytes),
            Content::Held(held) => held.read(bytes),
        }
    }
}
