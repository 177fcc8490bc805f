//! What a reader gets to know of a message: its signed headers and its parts.

use smr_name::{Address, MessageId, RepositoryName};

use super::block::Block;
use super::draft::{Author, ReceiptWanted};
use super::{EnvelopeError, address, word};
use crate::trace::{Told, is_fit};

/// Names the field in which a sender asks for a receipt.
pub(super) const RECEIPT_FIELD: &str = "SMR-Receipt";
/// Names the field in which a sender tells how far mailboxes had come.
pub(super) const HEADS_FIELD: &str = "SMR-Heads";

/// Holds the headers from inside the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Who says to have sent it.
    pub from: Author,
    /// To whom.
    pub to: Vec<Address>,
    /// Who else.
    pub cc: Vec<Address>,
    /// When, as the sender says, unix seconds.
    pub date: i64,
    /// What about; whatever characters the sender chose.
    pub subject: String,
    /// Its id.
    pub id: MessageId,
    /// The repository in its Message-ID.
    pub repository: RepositoryName,
    /// The message this answers.
    pub in_reply_to: Option<MessageId>,
    /// The receipt asked for.
    pub receipt: ReceiptWanted,
    /// How far mailboxes had come, as the sender says.
    pub told: Vec<Told>,
}

/// Describes one part of a verified message; multiparts are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// Its place, as in IMAP: `1`, `2`, `2.1`.
    pub number: String,
    /// The media type, in lower case.
    pub content_type: String,
    /// The name the sender gave the file; may hold anything.
    pub name: Option<String>,
    /// How it travels, in lower case: `7bit`, `base64` ...
    pub encoding: String,
    /// Decoded size in bytes.
    pub size: u64,
}

impl PartInfo {
    /// Returns the name where it is safe to create a file by: one component,
    /// not hidden, no control characters, at most 255 bytes.
    pub fn file_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        let walks = name.contains(['/', '\\']) || name.starts_with('.');
        let odd = name.chars().any(char::is_control) || name.trim() != name;
        (!walks && !odd && (1..=255).contains(&name.len())).then_some(name)
    }
}

impl Headers {
    /// Returns everybody in To, then Cc.
    pub fn addressees(&self) -> impl Iterator<Item = &Address> + Clone {
        self.to.iter().chain(&self.cc)
    }

    /// Returns the Message-ID without its brackets.
    pub fn message_id(&self) -> String {
        message_id(&self.id, &self.repository)
    }

    pub(super) fn read(block: &Block) -> Result<Headers, EnvelopeError> {
        let broken = EnvelopeError::Structure;
        let (id, repository) = read_id(block.one("message-id")?).ok_or(broken("a malformed id"))?;
        let cc = block.optional("cc")?;
        let reply = block.optional("in-reply-to")?;
        let told = block.optional(&HEADS_FIELD.to_ascii_lowercase())?;
        let headers = Headers {
            from: address::read_author(block.one("from")?)?,
            to: address::read_list(block.one("to")?)?,
            cc: cc.map(address::read_list).transpose()?.unwrap_or_default(),
            date: read_date(block.one("date")?).ok_or(broken("a malformed date"))?,
            subject: word::decode(block.one("subject")?),
            id,
            repository,
            in_reply_to: reply.and_then(read_id).map(|(id, _)| id),
            receipt: read_receipt(block.optional(&RECEIPT_FIELD.to_ascii_lowercase())?)?,
            told: told.map(read_heads).transpose()?.unwrap_or_default(),
        };
        match is_fit(&headers.told, &headers.from.address, headers.addressees()) {
            true => Ok(headers),
            false => Err(broken("it tells of heads what is not its business")),
        }
    }
}

/// Writes a Message-ID without its brackets.
pub(super) fn message_id(id: &MessageId, repository: &RepositoryName) -> String {
    format!("{id}@{repository}")
}

pub(super) fn read_id(value: &str) -> Option<(MessageId, RepositoryName)> {
    let (id, repository) = value
        .strip_prefix('<')?
        .strip_suffix('>')?
        .split_once('@')?;
    Some((id.parse().ok()?, repository.parse().ok()?))
}

/// Writes unix seconds as a Date field, in UTC.
pub(super) fn write_date(date: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(date).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&zoned).ok()
}

fn read_date(value: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::parse(value).ok()?;
    let seconds = zoned.timestamp().as_second();
    (seconds >= 0).then_some(seconds)
}

/// Writes heads for their field, one on a line.
pub(super) fn write_heads(told: &[Told]) -> String {
    let texts: Vec<String> = told.iter().map(Told::to_string).collect();
    texts.join(",\r\n ")
}

fn read_heads(value: &str) -> Result<Vec<Told>, EnvelopeError> {
    let broken = EnvelopeError::Structure("malformed heads");
    let told = value.split(", ").map(Told::parse).collect::<Option<_>>();
    told.ok_or(broken)
}

fn read_receipt(value: Option<&str>) -> Result<ReceiptWanted, EnvelopeError> {
    match value {
        None => Ok(ReceiptWanted::None),
        Some("read") => Ok(ReceiptWanted::Read),
        Some("card") => Ok(ReceiptWanted::Card),
        Some(_) => Err(EnvelopeError::Structure("a malformed wish for a receipt")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Headers, PartInfo, ReceiptWanted, read_date, write_date};

    const LINES: [&str; 9] = [
        "From: \"Rui\" <rui@repo.example>",
        "To: ana@repo.example",
        "Cc: eva@repo.example, leo@repo.example",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "Subject: =?UTF-8?B?b2zDoQ==?=",
        "Message-ID: <00ff0123456789abcdef0123456789ab@repo.example>",
        "In-Reply-To: <11ff0123456789abcdef0123456789ab@repo.example>",
        "SMR-Receipt: card",
        "SMR-Heads: rui@repo.example copy AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, ana@repo.example message AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];

    fn read(change: impl Fn(&str) -> String) -> Option<Headers> {
        let mut block = Block::default();
        for line in LINES {
            let line = change(line);
            if !line.is_empty() {
                block.line(line.as_bytes()).ok()?;
            }
        }
        Headers::read(&block).ok()
    }

    #[test]
    fn headers_are_read() {
        let headers = read(str::to_owned).unwrap();
        assert_eq!(headers.from.display, "Rui");
        assert_eq!(headers.addressees().count(), 3);
        assert_eq!(headers.date, 1_800_000_000);
        assert_eq!(headers.subject, "olá");
        assert_eq!(
            headers.message_id(),
            "00ff0123456789abcdef0123456789ab@repo.example"
        );
        assert!(headers.in_reply_to.is_some());
        assert_eq!(headers.receipt, ReceiptWanted::Card);
        assert_eq!(headers.told.len(), 2);
    }

    #[test]
    fn every_needed_field_is_needed() {
        for field in ["From", "To", "Date", "Subject", "Message-ID"] {
            let without = |line: &str| match line.starts_with(field) {
                true => String::new(),
                false => line.to_owned(),
            };
            assert!(read(without).is_none(), "{field}");
        }
        for field in ["Cc", "In-Reply-To", "SMR-Receipt", "SMR-Heads"] {
            let without = |line: &str| match line.starts_with(field) {
                true => String::new(),
                false => line.to_owned(),
            };
            assert!(read(without).is_some(), "{field}");
        }
    }

    #[test]
    fn malformed_fields_are_refused() {
        for (from, to) in [
            ("<00ff", "<zz"),
            ("ab@repo.example>", "ab@>"),
            ("Fri, 15", "Mon, 15"),
            ("Jan", "Foo"),
            ("card", "maybe"),
            ("ana@repo.example", "ana"),
        ] {
            assert!(read(|line| line.replace(from, to)).is_none(), "{to}");
        }
    }

    #[test]
    fn heads_that_are_not_the_senders_to_tell_are_refused() {
        for (from, to) in [
            // Of nobody's mailbox who reads this; of another repository.
            ("ana@repo.example message", "leo@other.example message"),
            ("ana@repo.example message", "zoe@repo.example message"),
            ("rui@repo.example copy", "ana@repo.example message"),
            ("rui@repo.example copy", "rui@repo.example receipt"),
            ("ana@repo.example message", "ana@repo.example copy"),
            // Twice; malformed; of a number.
            (", ana", ", rui@repo.example copy ANOTHER, ana"),
            (", ana", ",ana"),
            (", ana", ", , ana"),
            ("copy A", "copy 18446744073709551616 A"),
            ("copy AA", "copy A"),
            ("message A", "message  A"),
            ("SMR-Heads: ", "SMR-Heads: x"),
        ] {
            let change = |line: &str| match line.starts_with("SMR-Heads") {
                true => line.replace(from, to).replace("ANOTHER", &"A".repeat(43)),
                false => line.to_owned(),
            };
            assert!(read(change).is_none(), "{from:?} {to:?}");
        }
    }

    #[test]
    fn dates_come_back() {
        for date in [0, 1_800_000_000] {
            assert_eq!(read_date(&write_date(date).unwrap()), Some(date));
        }
        assert_eq!(
            read_date("Fri, 15 Jan 2027 09:00:00 +0100"),
            Some(1_800_000_000)
        );
        assert_eq!(read_date("Wed, 31 Dec 1969 23:59:59 +0000"), None);
        assert_eq!(read_date("soon"), None);
    }

    #[test]
    fn only_harmless_names_name_files() {
        let part = |name: &str| PartInfo {
            number: "1".into(),
            content_type: "text/plain".into(),
            name: Some(name.into()),
            encoding: "7bit".into(),
            size: 0,
        };
        for name in ["a.txt", "relatório 1.pdf", "a..b"] {
            assert_eq!(part(name).file_name(), Some(name));
        }
        for name in [
            "", ".", "..", ".profile", "/a", "a/b", "..\\a", "a\nb", "\x1b[2J", " a",
        ] {
            assert_eq!(part(name).file_name(), None, "{name:?}");
        }
    }
}
