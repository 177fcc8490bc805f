//! Names of mailboxes and repositories.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Says why a text is not a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Outside `[a-z0-9][a-z0-9._-]{0,31}`.
    #[error(
        "not a mailbox name, expected 1 to 32 of a-z 0-9 . _ - beginning with a letter or digit"
    )]
    Mailbox,
    /// Well formed, but some file system gives it a meaning of its own.
    #[error("reserved as a mailbox name")]
    Reserved,
    /// Not a host name.
    #[error("not a repository name, expected a host name in lower case")]
    Repository,
}

/// Names a mailbox within its repository: `[a-z0-9][a-z0-9._-]{0,31}`, no
/// `..`, no final dot, not a device name on any file system. Copies share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(Arc<str>);

// Names that Windows file systems resolve to devices, with any extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    DEVICES.contains(&stem) || numbered("com") || numbered("lpt")
}

impl FromStr for MailboxName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let first = text.bytes().next().ok_or(NameError::Mailbox)?;
        let inner = text
            .bytes()
            .all(|b| alnum(b) || matches!(b, b'.' | b'_' | b'-'));
        if text.len() > 32 || !alnum(first) || !inner || text.contains("..") || text.ends_with('.')
        {
            return Err(NameError::Mailbox);
        }
        if is_reserved(text) {
            return Err(NameError::Reserved);
        }
        Ok(MailboxName(text.into()))
    }
}

/// Names a repository: a host name in lower case, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let label_ok = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() > 64 || !text.split('.').all(label_ok) {
            return Err(NameError::Repository);
        }
        Ok(RepositoryName(text.to_owned()))
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

as_text!(MailboxName);
as_text!(RepositoryName);

#[cfg(test)]
mod tests {
    use super::{MailboxName, NameError, RepositoryName};

    #[test]
    fn plain_names_pass() {
        for name in [
            "a",
            "0",
            "rui",
            "rui.silva",
            "a-b_c",
            "console",
            "com10",
            "x".repeat(32).as_str(),
        ] {
            assert_eq!(
                name.parse::<MailboxName>().map(|n| n.to_string()),
                Ok(name.to_owned())
            );
        }
    }

    #[test]
    fn names_that_walk_or_hide_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            ".a",
            "-a",
            "a..b",
            "a.",
            "A",
            "é",
            "a b",
            "a\0",
            "x".repeat(33).as_str(),
        ] {
            assert_eq!(
                name.parse::<MailboxName>(),
                Err(NameError::Mailbox),
                "{name}"
            );
        }
        for name in ["con", "nul.txt", "com1", "lpt9.a"] {
            assert_eq!(
                name.parse::<MailboxName>(),
                Err(NameError::Reserved),
                "{name}"
            );
        }
    }

    #[test]
    fn repositories_are_host_names() {
        for name in ["localhost", "repo.example", "a-1.b"] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        for name in ["", "a..b", "-a", "a-", "A.b", "a_b", "a@b", &"x".repeat(65)] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
    }
}
