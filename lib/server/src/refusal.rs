//! Refusals: what smrd says when it does not do what it was asked.
//!
//! Carries no path, no key and no inner error: those go to the log.

use smr_channel::reply::Reply;
use smr_name::Class;

/// A refusal: a class, what is wrong, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) class: Class,
    pub(crate) text: String,
    pub(crate) hint: String,
}

/// The longest text of a refusal; the rest is cut.
const TEXT: usize = 1024;

impl Refusal {
    pub(crate) fn new(class: Class, text: impl Into<String>) -> Self {
        let mut text = text.into();
        while text.len() > TEXT {
            text.pop();
        }
        Refusal {
            class,
            text,
            hint: String::new(),
        }
    }

    /// Adds what may help.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    pub(crate) fn reply(self) -> Reply {
        Reply::Refused {
            class: self.class,
            text: self.text,
            hint: self.hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, TEXT};
    use smr_channel::reply::Reply;
    use smr_name::Class;

    #[test]
    fn refusals_become_replies() {
        let refusal = Refusal::new(Class::Denied, "no").hint("ask");
        let Reply::Refused { class, text, hint } = refusal.reply() else {
            panic!("not a refusal");
        };
        assert_eq!(
            (class, text.as_str(), hint.as_str()),
            (Class::Denied, "no", "ask")
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let refusal = Refusal::new(Class::Usage, "é".repeat(TEXT));
        assert_eq!(refusal.text.len(), TEXT);
    }
}
