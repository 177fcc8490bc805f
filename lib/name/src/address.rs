//! Addresses as people write them: `NAME` or `NAME@REPOSITORY`.

use std::fmt;
use std::str::FromStr;

use crate::{MailboxName, NameError, RepositoryName};

/// A mailbox, with or without its repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The repository, or none where the caller's own is meant.
    pub repository: Option<RepositoryName>,
}

/// Says which half of an address is wrong.
pub type AddressError = NameError;

impl Address {
    /// Joins a mailbox and its repository.
    pub fn new(mailbox: MailboxName, repository: RepositoryName) -> Self {
        Address {
            mailbox,
            repository: Some(repository),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repository {
            Some(repository) => write!(f, "{}@{repository}", self.mailbox),
            None => self.mailbox.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once('@') {
            Some((mailbox, repository)) => Ok(Address::new(mailbox.parse()?, repository.parse()?)),
            None => Ok(Address {
                mailbox: text.parse()?,
                repository: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn both_forms_come_back() {
        for text in ["rui", "rui@repo.example"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_halves_are_refused() {
        for text in ["", "@repo", "rui@", "../x@repo", "rui@re po", "a@b@c"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
