//! What a flow tells the edge when it fails: a class, words, and a hint.
//!
//! Makes up no failure of its own accord: each comes from the error of the
//! module that saw it, or is named here because only the flow can see it.

use smr_name::Class;

use crate::token::{TokenError, behind};

/// Tells of a failure, for people and for scripts.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What a script may conclude.
    pub class: Class,
    /// What is wrong, lower case, no full stop.
    pub text: String,
    /// A command or a question that may help.
    pub hint: Option<String>,
}

impl Failure {
    /// Makes a failure without a hint.
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Failure {
            class,
            text: text.into(),
            hint: None,
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what the failure is about.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }
}

/// An error that knows its class, and perhaps what may help.
pub trait Explain: std::fmt::Display {
    /// Returns what a script may conclude.
    fn class_of(&self) -> Class;
    /// Returns what may help.
    fn hint_of(&self) -> Option<String> {
        None
    }
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure {
            class: error.class_of(),
            text: error.to_string(),
            hint: error.hint_of(),
        }
    }
}

/// What the modules give as a hint, in its several forms.
trait Hint {
    fn words(self) -> Option<String>;
}

impl Hint for Option<&str> {
    fn words(self) -> Option<String> {
        self.map(str::to_owned)
    }
}

impl Hint for Option<String> {
    fn words(self) -> Option<String> {
        self
    }
}

impl Hint for &str {
    fn words(self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_owned())
    }
}

macro_rules! explain {
    ($($error:ty),* $(,)?) => {
        $(impl Explain for $error {
            fn class_of(&self) -> Class {
                self.class()
            }
        })*
    };
    (hint: $($error:ty),* $(,)?) => {
        $(impl Explain for $error {
            fn class_of(&self) -> Class {
                self.class()
            }
            fn hint_of(&self) -> Option<String> {
                Hint::words(self.hint())
            }
        })*
    };
    // What a card was asked to sign: it knows best why it did not.
    (signed: $($error:ty),* $(,)?) => {
        $(impl Explain for $error {
            fn class_of(&self) -> Class {
                behind(self).map_or_else(|| self.class(), TokenError::class)
            }
            fn hint_of(&self) -> Option<String> {
                behind(self).and_then(TokenError::hint)
            }
        })*
    };
}

explain!(
    crate::config::ConfigError,
    crate::home::HomeError,
    crate::private::PrivateError,
    smr_evidence::postmark::PostmarkError,
    smr_evidence::reading::ReadingError,
    smr_evidence::trust::TrustError,
    crate::spool::SpoolError,
    crate::token::profile::ProfileError,
);
explain!(signed:
    smr_evidence::account::AccountError,
    smr_evidence::authorisation::AuthorisationError,
    smr_evidence::device::DeviceError,
    smr_evidence::envelope::EnvelopeError,
    smr_evidence::receipt::ReceiptError,
    smr_evidence::refusal::RefusalError,
);
explain!(hint:
    smr_evidence::bundle::BundleError,
    crate::agent::AgentError,
    crate::grounds::GroundsError,
    crate::keyring::KeyRingError,
    crate::known::KnownError,
    crate::meet::MeetError,
    crate::session::SessionError,
    crate::token::TokenError,
);

#[cfg(test)]
mod tests {
    use smr_evidence::account::AccountError;
    use smr_evidence::envelope::EnvelopeError;
    use smr_evidence::receipt::ReceiptError;
    use smr_evidence::trust::{CmsError, SignerError};

    use super::*;

    /// What three things that were to be signed say, of one signer's error.
    fn told(error: impl Fn() -> SignerError) -> [Failure; 3] {
        let cms = || CmsError::Signer(error());
        [
            AccountError::Cms(cms()).into(),
            EnvelopeError::Cms(cms()).into(),
            ReceiptError::Cms(cms()).into(),
        ]
    }

    #[test]
    fn what_the_card_said_is_told_through_all_that_it_was_to_sign() {
        let locked = || SignerError(Box::new(TokenError::PinLocked("token \"T\"".into())));
        for failure in told(locked) {
            assert_eq!(failure.class, Class::Denied, "{failure}");
            assert!(failure.text.contains("is locked"), "{failure}");
            assert!(failure.hint.is_some_and(|hint| hint.contains("PUK")));
        }
        for failure in told(|| SignerError("no".into())) {
            assert_eq!((failure.class, failure.hint), (Class::Unavailable, None));
        }
    }
}
