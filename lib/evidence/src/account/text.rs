//! The text of an account record: lines in one order and one spelling.
//!
//! Believes nothing: a text that reads well may still be a lie.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smr_name::{Fingerprint, MailboxName, RepositoryName};
use smr_pki::cms::ContentType;
use smr_seal::Recipient;

use super::{AccountError, MAX_DEVICES, MAX_RECORD};
use crate::device::check_label;
use crate::lines::{self, LineError, Lines, number, time_text};
use crate::trust::{Certificate, SignedData};

/// Names a device that may no longer act, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// SHA-256 of its certificate.
    pub fingerprint: Fingerprint,
    /// When it was removed, unix seconds.
    pub time: i64,
}

/// A device as the text lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) label: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) certificate: Certificate,
}

/// What the text says; `keys` has one statement for each device, in order.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) mailbox: MailboxName,
    pub(super) repository: RepositoryName,
    pub(super) number: u64,
    pub(super) previous: Option<[u8; 32]>,
    pub(super) time: i64,
    pub(super) backup: Option<String>,
    pub(super) devices: Vec<Listed>,
    pub(super) keys: Vec<(Fingerprint, Vec<u8>)>,
    pub(super) removed: Vec<Removed>,
}

impl Record {
    /// Reads the attached text of a signed message.
    pub(super) fn of_signed(signed: &SignedData) -> Result<Record, AccountError> {
        let content = signed
            .content()
            .filter(|_| signed.content_type() == ContentType::Data);
        let text = content.and_then(|bytes| std::str::from_utf8(bytes).ok());
        Record::read(text.ok_or(AccountError::Rule("it is no text"))?)
    }

    pub(super) fn account(&self) -> String {
        format!("{}@{}", self.mailbox, self.repository)
    }

    pub(super) fn read(text: &str) -> Result<Record, AccountError> {
        let mut lines = Lines::new(text);
        lines.parsed("smr account", |v| (v == "1").then_some(()))?;
        let (mailbox, repository) = lines.parsed("account", account)?;
        let record = Record {
            mailbox,
            repository,
            number: lines.parsed("number", number)?,
            previous: lines.parsed("previous", |v| or_none(v, digest))?,
            time: lines.parsed("time", lines::time)?,
            backup: lines.parsed("backup", |v| or_none(v, recipient))?,
            devices: several(&mut lines, "device", device)?,
            keys: several(&mut lines, "keys", keys)?,
            removed: several(&mut lines, "removed", removed)?,
        };
        lines.finish()?;
        record.check()?;
        Ok(record)
    }

    /// Writes the text, and reads it again: what is written can be opened.
    pub(super) fn write(&self) -> Result<String, AccountError> {
        let text = self
            .lines()
            .ok_or(AccountError::Rule("a time is out of range"))?;
        Record::read(&text)?;
        Ok(text)
    }

    fn lines(&self) -> Option<String> {
        let mut text = format!(
            "smr account 1\naccount {}\nnumber {}\n",
            self.account(),
            self.number
        );
        let previous = self
            .previous
            .map(|d| Fingerprint::from_bytes(d).to_string());
        let mut line = |line: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line(format!("previous {}", previous.as_deref().unwrap_or("-")));
        line(format!("time {}", time_text(self.time)?));
        line(format!("backup {}", self.backup.as_deref().unwrap_or("-")));
        for device in &self.devices {
            let der = STANDARD.encode(device.certificate.der());
            line(format!(
                "device {} {} {der}",
                device.label, device.fingerprint
            ));
        }
        for (device, statement) in &self.keys {
            line(format!("keys {device} {}", STANDARD.encode(statement)));
        }
        for removed in &self.removed {
            line(format!(
                "removed {} {}",
                removed.fingerprint,
                time_text(removed.time)?
            ));
        }
        Some(text)
    }

    fn check(&self) -> Result<(), AccountError> {
        let rule = |held: bool, why| held.then_some(()).ok_or(AccountError::Rule(why));
        rule(
            self.number > 0 && (self.number == 1) == self.previous.is_none(),
            "only record 1 has none before it",
        )?;
        rule(
            self.devices.len() <= MAX_DEVICES,
            "it lists too many devices",
        )?;
        rule(
            unique(self.devices.iter().map(|d| &d.label)),
            "two devices have one label",
        )?;
        let listed = self.devices.iter().map(|d| d.fingerprint);
        let gone = self.removed.iter().map(|r| r.fingerprint);
        rule(
            unique(listed.clone().chain(gone)),
            "a device is named twice",
        )?;
        rule(
            listed.eq(self.keys.iter().map(|(device, _)| *device)),
            "there is not one line of keys for each device, in their order",
        )?;
        rule(
            self.removed.is_sorted_by_key(|r| r.time)
                && self.removed.last().is_none_or(|r| r.time <= self.time),
            "the removals are not in order of time",
        )
    }
}

fn unique<T: Eq + std::hash::Hash>(mut items: impl Iterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    items.all(|item| seen.insert(item))
}

fn several<'a, T>(
    lines: &mut Lines<'a>,
    key: &'static str,
    parse: impl Fn(&'a str) -> Option<T>,
) -> Result<Vec<T>, LineError> {
    let mut all = Vec::new();
    while let Some(value) = lines.optional(key) {
        all.push(parse(value).ok_or(LineError::Value(key))?);
    }
    Ok(all)
}

/// Parses `NAME@REPOSITORY`.
pub(super) fn account(text: &str) -> Option<(MailboxName, RepositoryName)> {
    let (mailbox, repository) = text.split_once('@')?;
    Some((mailbox.parse().ok()?, repository.parse().ok()?))
}

/// Parses an age recipient of either kind.
pub(super) fn recipient(text: &str) -> Option<String> {
    Recipient::parse(text).ok().map(|_| text.to_owned())
}

fn or_none<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        "-" => Some(None),
        text => parse(text).map(Some),
    }
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    text.parse().ok()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    Some(*fingerprint(text)?.as_bytes())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    // Longer than any record: refused before it is decoded.
    (text.len() <= MAX_RECORD).then(|| STANDARD.decode(text).ok())?
}

fn device(text: &str) -> Option<Listed> {
    let mut words = text.split(' ');
    let (label, print, der) = (words.next()?, words.next()?, words.next()?);
    let listed = Listed {
        label: check_label(label).is_ok().then(|| label.to_owned())?,
        fingerprint: fingerprint(print)?,
        certificate: Certificate::from_der(&base64(der)?).ok()?,
    };
    let same = Fingerprint::of(listed.certificate.der()) == listed.fingerprint;
    (same && words.next().is_none()).then_some(listed)
}

fn keys(text: &str) -> Option<(Fingerprint, Vec<u8>)> {
    let (device, statement) = text.split_once(' ')?;
    Some((fingerprint(device)?, base64(statement)?))
}

fn removed(text: &str) -> Option<Removed> {
    let (device, time) = text.split_once(' ')?;
    Some(Removed {
        fingerprint: fingerprint(device)?,
        time: lines::time(time)?,
    })
}

#[cfg(test)]
mod tests {
    use super::Record;
    use crate::account::AccountError;

    const PRINT: &str = "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0";

    fn text(number: u64, previous: &str, rest: &str) -> String {
        format!(
            "smr account 1\naccount rui@repo.example\nnumber {number}\nprevious {previous}\n\
             time 2027-01-15T08:00:00Z\nbackup -\n{rest}"
        )
    }

    #[test]
    fn texts_come_back() {
        let removed = format!("removed {PRINT} 2027-01-14T08:00:00Z\n");
        for text in [text(1, "-", ""), text(2, PRINT, &removed)] {
            assert_eq!(Record::read(&text).unwrap().write().unwrap(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let removed = format!("removed {PRINT} 2027-01-14T08:00:00Z\n");
        for (text, why) in [
            (text(1, PRINT, ""), "a first record that follows one"),
            (text(2, "-", ""), "a second record that follows none"),
            (text(0, "-", ""), "no number"),
            (text(1, "-", "extra 1\n"), "an unknown line"),
            (text(1, "-", "\n"), "an empty line"),
            (text(1, "-", &removed.repeat(2)), "a device removed twice"),
            (
                text(1, "-", &removed.replace("14T", "16T")),
                "a removal after the record",
            ),
            (
                text(1, "-", &format!("keys {PRINT} AAAA\n")),
                "keys of no device",
            ),
            (
                text(1, "-", &format!("device a {PRINT} AAAA\n")),
                "a device without certificate",
            ),
            (
                text(1, "-", "").replace("backup -", "backup age1"),
                "no recipient",
            ),
            (
                text(1, "-", "").replace("@repo.example", ""),
                "no repository",
            ),
            (text(1, "-", "").replace('\n', "\r\n"), "other line ends"),
            (text(1, "-", "").trim_end().into(), "no final line end"),
            (
                text(1, "-", "").replace("account 1", "account 2"),
                "another version",
            ),
        ] {
            assert!(Record::read(&text).is_err(), "{why}");
        }
    }

    #[test]
    fn unwritable_records_are_refused() {
        let mut record = Record::read(&text(1, "-", "")).unwrap();
        record.number = 2;
        assert!(matches!(record.write(), Err(AccountError::Rule(_))));
        record.number = 1;
        record.time = i64::MAX;
        assert!(matches!(record.write(), Err(AccountError::Rule(_))));
    }
}
