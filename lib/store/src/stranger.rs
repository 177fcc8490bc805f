//! What lies in a store and does not belong there.
//!
//! Never moves or removes a stranger: whoever runs the repository decides.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Something found in a store that its format does not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Where it lies, relative to the store.
    pub path: String,
    /// Why it does not belong there.
    pub why: Why,
}

/// Says why something is a stranger.
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
        })
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped: the name is foreign and may go to a terminal.
        write!(f, "\"{}\": {}", self.path.escape_debug(), self.why)
    }
}

/// Collects strangers until someone reports them.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<Vec<Stranger>>);

impl Strangers {
    pub(crate) fn add(&self, path: String, why: Why) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(Stranger { path, why });
    }

    pub(crate) fn take(&self) -> Vec<Stranger> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::{Strangers, Why};

    #[test]
    fn each_is_reported_once_and_escaped() {
        let strangers = Strangers::default();
        strangers.add("accounts/\u{1b}[2J".to_owned(), Why::Name);
        let found = strangers.take();
        assert_eq!(
            found[0].to_string(),
            "\"accounts/\\u{1b}[2J\": no part of a store has this name"
        );
        assert!(strangers.take().is_empty());
    }
}
