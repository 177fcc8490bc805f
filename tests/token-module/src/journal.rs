//! The journal: one line for each call, `PID FUNCTION RV DETAIL`.
//!
//! RV is hexadecimal; DETAIL says who logs in and with which PIN, by its mark.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The journal's file name, beside the script.
pub const NAME: &str = "journal";

/// A journal that is being written.
pub(crate) struct Journal {
    path: PathBuf,
}

impl Journal {
    pub(crate) fn beside(folder: &Path) -> Journal {
        Journal {
            path: folder.join(NAME),
        }
    }

    pub(crate) fn write(&self, function: &str, rv: u64, detail: &str) -> io::Result<()> {
        let line = format!("{} {function} {rv:#x} {detail}", std::process::id());
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        // One write, so that lines of several processes do not mix.
        file.write_all(format!("{}\n", line.trim_end()).as_bytes())
    }
}

/// One call, as the journal tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name of the function.
    pub function: String,
    /// What it answered.
    pub rv: u64,
    /// What else is known.
    pub detail: String,
}

/// Reads the calls of the journal in `folder`; none if there is no journal.
pub fn read(folder: &Path) -> io::Result<Vec<Call>> {
    let text = match fs::read_to_string(folder.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let call = |line: &str| {
        let mut words = line.splitn(4, ' ').skip(1);
        let function = words.next()?.to_owned();
        let rv = words.next()?.strip_prefix("0x")?;
        Some(Call {
            function,
            rv: u64::from_str_radix(rv, 16).ok()?,
            detail: words.next().unwrap_or_default().to_owned(),
        })
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a damaged journal");
    text.lines()
        .map(|line| call(line).ok_or_else(damaged))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), []);
        let journal = Journal::beside(dir.path());
        journal.write("C_Login", 0xa0, "user pin=12").unwrap();
        journal.write("C_Sign", 0, "").unwrap();
        let calls = read(dir.path()).unwrap();
        assert_eq!(calls[0].function, "C_Login");
        assert_eq!(
            (calls[0].rv, calls[0].detail.as_str()),
            (0xa0, "user pin=12")
        );
        assert_eq!((calls[1].rv, calls[1].detail.as_str()), (0, ""));
        fs::write(dir.path().join(NAME), "1 C_Login\n").unwrap();
        assert!(read(dir.path()).is_err());
    }
}
