//! Failures as the tools see them: a class, what is wrong, what may help.
//!
//! Never carries a key, a body, or what smrd did not authenticate.

use std::fmt;

use smr_channel::codec::CodecError;
use smr_channel::local::Answer;
use smr_name::{Address, Class};

use crate::attributes::AttributesError;
use crate::keys::KeysError;
use crate::link::LinkError;

/// What the agent says when it cannot do what a tool asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind of failure.
    pub(crate) class: Class,
    /// What is wrong; one line.
    pub(crate) text: String,
    /// What may help; empty for nothing.
    pub(crate) hint: String,
}

// Text and hint travel behind lengths of 2 bytes.
const LONGEST: usize = 4096;

impl Failure {
    /// Makes a failure without a hint.
    pub(crate) fn new(class: Class, text: impl fmt::Display) -> Self {
        Failure {
            class,
            text: text.to_string(),
            hint: String::new(),
        }
    }

    /// Adds what may help.
    #[must_use]
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        hint.clone_into(&mut self.hint);
        self
    }

    /// No secrets of `account` are here.
    pub(crate) fn not_loaded(account: &Address) -> Self {
        Failure::new(Class::Unavailable, format!("not logged in as {account}")).hint("smr-login")
    }

    /// The secrets of `account` were here.
    pub(crate) fn locked(account: &Address) -> Self {
        Failure::new(Class::Unavailable, format!("{account} is locked")).hint("smr-login --unlock")
    }

    /// Returns the answer to send.
    pub(crate) fn answer(self) -> Answer {
        let short = |mut text: String| {
            text.truncate(text.floor_char_boundary(LONGEST));
            text
        };
        Answer::Failed {
            class: self.class,
            text: short(self.text),
            hint: short(self.hint),
        }
    }
}

impl From<AttributesError> for Failure {
    fn from(error: AttributesError) -> Self {
        Failure::new(error.class(), error)
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        Failure::new(error.class(), error)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let hint = error.hint().to_owned();
        Failure::new(error.class(), error).hint(&hint)
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Failure::new(Class::Usage, format!("the agent was asked badly: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use smr_channel::local::Answer;
    use smr_name::Class;

    use super::{Failure, LONGEST};

    #[test]
    fn long_texts_are_cut_between_characters() {
        let answer = Failure::new(Class::Busy, "é".repeat(LONGEST)).answer();
        let Answer::Failed { text, .. } = &answer else {
            panic!("not a failure")
        };
        assert_eq!(text.len(), LONGEST);
        assert!(answer.encode().is_ok());
    }

    #[test]
    fn missing_accounts_point_to_login() {
        let account = "rui@repo.example".parse().unwrap();
        assert_eq!(Failure::not_loaded(&account).hint, "smr-login");
        assert_eq!(Failure::locked(&account).class, Class::Unavailable);
    }
}
