//! The terminal a tool runs in: which one it is, and whether it shows colours.
//!
//! Writes nothing to it.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// Tells whether to use colours on an output that is a terminal, or is not:
/// never with `NO_COLOR` set, nor where `TERM` is `dumb`.
pub fn wants_colour(terminal: bool) -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    terminal && !refused && !dumb
}

/// Names the terminal that a person types at, as long as his shell runs in it;
/// none where standard input is no terminal.
pub fn typed_at() -> Option<String> {
    name(io::stdin())
}

/// Names the terminal that results are shown on, as [`typed_at`] does.
pub fn shown_on() -> Option<String> {
    name(io::stdout())
}

// The device alone is handed to the next session; the session alone may have
// lost its terminal.
fn name(fd: impl AsFd + IsTerminal) -> Option<String> {
    fd.is_terminal().then_some(())?;
    let device = rustix::fs::fstat(&fd).ok()?.st_rdev;
    let session = rustix::process::getsid(None).ok()?;
    Some(format!("{device:x}-{}", session.as_raw_nonzero()))
}

#[cfg(test)]
mod tests {
    use super::{name, wants_colour};

    #[test]
    fn a_file_is_no_terminal() {
        assert_eq!(name(std::fs::File::open("/dev/null").unwrap()), None);
        assert!(!wants_colour(false));
    }
}
