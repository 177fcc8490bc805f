//! What a flow tells the edge when it fails: a class, words, and a hint.
//!
//! Makes up no failure of its own accord: each comes from the error of the
//! module that saw it, or is named here because only the flow can see it.

use smr_name::Class;

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
}

explain!(
    crate::config::ConfigError,
    crate::home::HomeError,
    crate::private::PrivateError,
    smr_evidence::account::AccountError,
    smr_evidence::authorisation::AuthorisationError,
    smr_evidence::device::DeviceError,
    smr_evidence::envelope::EnvelopeError,
    smr_evidence::postmark::PostmarkError,
    smr_evidence::reading::ReadingError,
    smr_evidence::receipt::ReceiptError,
    smr_evidence::refusal::RefusalError,
    smr_evidence::trust::TrustError,
    crate::spool::SpoolError,
    crate::token::profile::ProfileError,
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
