//! A nameless file for a sealed message on its way: nothing is left of it when
//! the process ends, however it ends.
//!
//! Holds sealed bytes only; plain text never comes here.

use std::fs::File;
use std::io::{self, Write};

use smr_name::Class;

use crate::home::Home;
use crate::private::{self, PrivateError};

/// Says why there is no spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The cache folder cannot be made.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The file cannot be made.
    #[error("cannot make a spool file in \"{dir}\": {source}")]
    Create {
        /// The cache folder.
        dir: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl SpoolError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            SpoolError::Private(error) => error.class(),
            SpoolError::Create { source, .. } if private::is_full(source) => Class::Busy,
            SpoolError::Create { .. } => Class::CannotCreate,
        }
    }
}

/// A spool file.
pub struct Spool(File);

impl Spool {
    /// Makes an empty spool in the user's cache folder.
    pub fn create(home: &Home) -> Result<Spool, SpoolError> {
        let dir = home.cache();
        private::make_dir(dir)?;
        tempfile::tempfile_in(dir)
            .map(Spool)
            .map_err(|source| SpoolError::Create {
                dir: dir.display().to_string(),
                source,
            })
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
