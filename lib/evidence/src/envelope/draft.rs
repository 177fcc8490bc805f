//! What a sender hands in: the headers of a message and its parts.

use std::io::Read;

use smr_name::{Address, MessageId, RepositoryName};

use super::EnvelopeError;
use super::mail::Entity;
use crate::trace::{Told, is_fit};

/// Names a sender: his address and the name of his certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The common name; may be empty.
    pub display: String,
    /// The mailbox, with its repository.
    pub address: Address,
}

/// Says what receipt a sender asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiptWanted {
    /// None.
    #[default]
    None,
    /// Any.
    Read,
    /// One signed by the card itself (class Q).
    Card,
}

/// Holds what the headers of a new message say.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Who sends it.
    pub from: Author,
    /// To whom: one at least, each with its repository.
    pub to: Vec<Address>,
    /// Who else.
    pub cc: Vec<Address>,
    /// When, unix seconds.
    pub date: i64,
    /// What about; one line.
    pub subject: &'a str,
    /// Its id.
    pub id: MessageId,
    /// The message this answers.
    pub reply: Option<MessageId>,
    /// The receipt asked for.
    pub receipt: ReceiptWanted,
    /// How far mailboxes had come.
    pub told: Vec<Told>,
}

/// Holds one part of a new message.
pub enum Part<'a> {
    /// Text to read; any bytes, which come back exactly.
    Text(Box<dyn Read + 'a>),
    /// A file.
    Attachment {
        /// Its name, without folders; 1 to 255 bytes.
        name: String,
        /// Its content.
        read: Box<dyn Read + 'a>,
    },
    /// A whole entity of another program's, which stands alone.
    Entity(Entity<'a>),
}

impl Draft<'_> {
    /// Returns the repository of the sender, which names the message too.
    pub(super) fn repository(&self) -> Result<&RepositoryName, EnvelopeError> {
        let repository = self.from.address.repository.as_ref();
        repository.ok_or(EnvelopeError::Draft("the sender has no repository"))
    }

    /// Checks what can be known to be wrong before anything is written.
    pub(super) fn check(&self) -> Result<(), EnvelopeError> {
        let draft = |problem| Err(EnvelopeError::Draft(problem));
        self.repository()?;
        if self.to.is_empty() {
            return draft("no recipient");
        }
        if !self.addressees().all(|a| a.repository.is_some()) {
            return draft("a recipient has no repository");
        }
        if self.subject.chars().any(char::is_control) {
            return draft("a control character or a line break in the subject");
        }
        if jiff::Timestamp::from_second(self.date).is_err() || self.date < 0 {
            return draft("the date is out of range");
        }
        if !is_fit(&self.told, &self.from.address, self.addressees()) {
            return draft("it tells of heads what its readers have no use for");
        }
        Ok(())
    }

    /// Returns everybody in To, then Cc.
    pub(super) fn addressees(&self) -> impl Iterator<Item = &Address> + Clone {
        self.to.iter().chain(&self.cc)
    }
}

/// Checks the name of an attachment.
pub(super) fn check_name(name: &str) -> Result<(), EnvelopeError> {
    if name.is_empty() || name.len() > 255 || name.contains(['/', '\0']) {
        return Err(EnvelopeError::Draft(
            "the name of an attachment is empty, longer than 255 bytes, or has a slash",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Author, Draft, ReceiptWanted, check_name};

    fn draft() -> Draft<'static> {
        Draft {
            from: Author {
                display: "Rui".into(),
                address: "rui@repo.example".parse().unwrap(),
            },
            to: vec!["ana@repo.example".parse().unwrap()],
            cc: vec![],
            date: 1_800_000_000,
            subject: "hello",
            id: "00ff0123456789abcdef0123456789ab".parse().unwrap(),
            reply: None,
            receipt: ReceiptWanted::None,
            told: vec![],
        }
    }

    #[test]
    fn plain_drafts_pass() {
        assert!(draft().check().is_ok());
    }

    #[test]
    fn impossible_drafts_are_refused() {
        let changes: [fn(&mut Draft); 6] = [
            |d| d.from.address.repository = None,
            |d| d.to.clear(),
            |d| d.cc = vec!["eva".parse().unwrap()],
            |d| d.subject = "one\nBcc: two",
            |d| d.date = i64::MAX,
            |d| d.date = -1,
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut bad = draft();
            change(&mut bad);
            assert!(bad.check().is_err(), "{i}");
        }
    }

    #[test]
    fn attachment_names_are_names() {
        for name in ["a", "relatório.pdf", "..", "a b"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "/etc/passwd", "a/b", "\0", &"x".repeat(256)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
