//! Standard output: the only place that writes results.
//!
//! A reader that goes away ends the tool quietly with 141, as SIGPIPE would;
//! but by way of the caller, so that nothing is left half done.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Stdout, Write};

use crate::json::Line;
use crate::words::say;

/// The exit code of a tool whose reader went away: 128 and SIGPIPE.
pub const CLOSED: u8 = 141;
const IO: u8 = 74;

/// Says that results could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutError {
    /// The reader went away: nothing more to say.
    #[error("the reader of the output went away")]
    Closed,
    /// Writing failed.
    #[error("cannot write to the output: {0}")]
    Failed(#[source] io::Error),
}

impl OutError {
    /// Returns the exit code: 141 or 74.
    pub fn code(&self) -> u8 {
        match self {
            OutError::Closed => CLOSED,
            OutError::Failed(_) => IO,
        }
    }

    /// Tells whether the tool should end without a word.
    pub fn is_silent(&self) -> bool {
        matches!(self, OutError::Closed)
    }
}

impl From<io::Error> for OutError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => OutError::Closed,
            _ => OutError::Failed(error),
        }
    }
}

/// Where results go: stdout, or a buffer in tests.
pub struct Out<W = Stdout> {
    to: W,
    terminal: bool,
    colour: bool,
}

impl Out<Stdout> {
    /// Takes stdout.
    pub fn stdout() -> Self {
        let to = io::stdout();
        let terminal = to.is_terminal();
        let colour = crate::terminal::wants_colour(terminal);
        Out {
            to,
            terminal,
            colour,
        }
    }
}

impl<W: Write> Out<W> {
    /// Takes another writer, as if it were a terminal or a pipe; no colour.
    pub fn to(to: W, terminal: bool) -> Self {
        Out {
            to,
            terminal,
            colour: false,
        }
    }

    /// Shows colours, or none.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Out { colour, ..self }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.to
    }

    /// Tells whether a person reads.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Tells whether colours are shown.
    pub fn shows_colour(&self) -> bool {
        self.colour
    }

    /// Returns an English text as the reader wants it: a person in his language,
    /// a program as it is.
    pub fn say<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.terminal {
            true => say(text),
            false => Cow::Borrowed(text),
        }
    }

    /// Writes a line; `text` is safe to show or the caller's to answer for.
    pub fn line(&mut self, text: &str) -> Result<(), OutError> {
        self.to.write_all(text.as_bytes())?;
        Ok(self.to.write_all(b"\n")?)
    }

    /// Writes columns: TAB-separated into a pipe, each as [`field`] makes it.
    ///
    /// [`field`]: crate::text::field
    pub fn columns(&mut self, columns: &[&str]) -> Result<(), OutError> {
        let columns: Vec<_> = columns.iter().map(|c| crate::text::field(c)).collect();
        self.line(&columns.join("\t"))
    }

    /// Writes a JSON line.
    pub fn json(&mut self, line: Line) -> Result<(), OutError> {
        self.line(&line.finish())
    }

    /// Writes a text and a zero byte, for `-0`.
    pub fn zero(&mut self, text: &str) -> Result<(), OutError> {
        self.to.write_all(text.as_bytes())?;
        Ok(self.to.write_all(b"\0")?)
    }

    /// Hands everything over; what was not handed over was not written, so
    /// this comes before any word of success.
    pub fn finish(&mut self) -> Result<(), OutError> {
        Ok(self.to.flush()?)
    }
}

/// For flows that write themselves; turn their errors into [`OutError`].
impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn results_are_written_as_they_are() {
        let mut bytes = Vec::new();
        let mut out = Out::to(&mut bytes, false);
        out.line("a").unwrap();
        out.columns(&["b\tc", "d"]).unwrap();
        out.json(Line::new("x")).unwrap();
        out.zero("e").unwrap();
        out.finish().unwrap();
        assert_eq!(bytes, b"a\nb\\tc\td\n{\"v\":1,\"type\":\"x\"}\ne\0");
    }

    #[test]
    fn a_reader_that_left_is_told_from_a_full_disk() {
        let error = Out::to(Fails(io::ErrorKind::BrokenPipe), false)
            .line("a")
            .unwrap_err();
        assert!(error.is_silent() && error.code() == 141);
        let error = Out::to(Fails(io::ErrorKind::StorageFull), false)
            .finish()
            .unwrap_err();
        assert!(!error.is_silent() && error.code() == 74);
    }
}
