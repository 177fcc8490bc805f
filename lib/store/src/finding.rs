//! What is found in a store that its format does not explain, or that is not
//! as it says.
//!
//! Never moves or removes anything: whoever runs the repository decides.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use smr_name::Class;

/// Something found in a store that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it lies, relative to the store.
    pub path: String,
    /// What is wrong with it.
    pub why: Why,
}

/// Says what is wrong. The first six make something a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No part of the format has this name.
    Name,
    /// The name fits, but it is not a regular file (or not a directory).
    Kind,
    /// An account's directory without a record; the account does not exist.
    NoRecord,
    /// A message with the number of another one; it is not served.
    NumberTwice,
    /// The number before this message's is missing.
    NumberMissing,
    /// The older name of a message whose state rose; it could not be removed.
    OldName,
    /// A part of an account that must be there is not.
    Absent,
    /// Not as many bytes as its name says, or none where some must be.
    Size,
    /// Not the bytes that its name says.
    Hash,
    /// The names of one file say different things.
    Names,
    /// Its time is before that of the message before it.
    TimeFalls,
    /// The account that its name says it is from cannot have put it there.
    Sender,
    /// The disk does not give it back.
    Unreadable,
}

impl Why {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Name | Why::Kind | Why::NoRecord | Why::NumberTwice => "stranger",
            Why::NumberMissing | Why::Absent => "missing",
            Why::OldName => "leftover",
            Why::Size | Why::Hash | Why::Names | Why::TimeFalls | Why::Sender => "damaged",
            Why::Unreadable => "unreadable",
        }
    }

    /// Returns `Io` for what the disk does not give back, else `Forged`.
    pub fn class(self) -> Class {
        match self {
            Why::Unreadable => Class::Io,
            _ => Class::Forged,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Name => "no part of a store has this name",
            Why::Kind => "neither a regular file nor a directory where one belongs",
            Why::NoRecord => "an account without a record",
            Why::NumberTwice => "its number is another message's",
            Why::NumberMissing => "the message before it is missing",
            Why::OldName => "an older name of a message that cannot be removed",
            Why::Absent => "an account must have it",
            Why::Size => "it has not the size that it must have",
            Why::Hash => "its bytes are not those that its name says",
            Why::Names => "another name of the same file says something else",
            Why::TimeFalls => "its time is before that of the message before it",
            Why::Sender => "the account it is said to be from cannot have put it there",
            Why::Unreadable => "the disk does not give it back",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped: the name is foreign and may go to a terminal.
        write!(f, "\"{}\": {}", self.path.escape_debug(), self.why)
    }
}

/// Collects findings until someone reports them.
#[derive(Default)]
pub(crate) struct Findings(Mutex<Vec<Finding>>);

impl Findings {
    pub(crate) fn add(&self, path: String, why: Why) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(Finding { path, why });
    }

    pub(crate) fn take(&self) -> Vec<Finding> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::{Findings, Why};

    #[test]
    fn each_is_reported_once_and_escaped() {
        let findings = Findings::default();
        findings.add("accounts/\u{1b}[2J".to_owned(), Why::Name);
        let found = findings.take();
        assert_eq!(
            found[0].to_string(),
            "\"accounts/\\u{1b}[2J\": no part of a store has this name"
        );
        assert!(findings.take().is_empty());
    }
}
