//! How contacts, marks and what was told stand on disk: one small TOML file
//! each.
//!
//! Compares nothing.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smr_evidence::trace::Told;
use smr_evidence::trust::Person;
use smr_name::Head;

use super::{Contact, Heard, KnownError, LIMIT, Mark};
use crate::private;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactFile {
    pub(super) realm: String,
    pub(super) country: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) subject: String,
    pub(super) display: String,
    pub(super) number: u64,
    pub(super) digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkFile {
    pub(super) number: u64,
    pub(super) head: String,
}

impl From<&Mark> for MarkFile {
    fn from(mark: &Mark) -> Self {
        MarkFile {
            number: mark.number,
            head: digest_text(mark.head.as_bytes()),
        }
    }
}

impl MarkFile {
    pub(super) fn into_mark(self) -> Option<Mark> {
        Some(Mark {
            number: self.number,
            head: Head::from_bytes(digest_of(&self.head)?),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeardFile {
    #[serde(default)]
    heard: Vec<HeardLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeardLine {
    told: String,
    by: String,
    id: String,
}

impl From<&[Heard]> for HeardFile {
    fn from(all: &[Heard]) -> Self {
        let line = |heard: &Heard| HeardLine {
            told: heard.told.to_string(),
            by: heard.by.to_string(),
            id: heard.id.to_string(),
        };
        HeardFile {
            heard: all.iter().map(line).collect(),
        }
    }
}

impl HeardFile {
    pub(super) fn into_heard(self) -> Option<Vec<Heard>> {
        let read = |line: HeardLine| {
            Some(Heard {
                told: Told::parse(&line.told)?,
                by: line.by.parse().ok()?,
                id: line.id.parse().ok()?,
            })
        };
        self.heard.into_iter().map(read).collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TheirsFile {
    owner: String,
    number: u64,
    head: String,
    told: String,
}

impl TheirsFile {
    pub(super) fn new(owner: String, mark: &Mark, told: &Told) -> Self {
        TheirsFile {
            owner,
            number: mark.number,
            head: digest_text(mark.head.as_bytes()),
            told: told.to_string(),
        }
    }

    pub(super) fn is_of(&self, owner: &str) -> bool {
        self.owner == owner
    }

    pub(super) fn into_theirs(self) -> Option<(Mark, Told)> {
        let mark = Mark {
            number: self.number,
            head: Head::from_bytes(digest_of(&self.head)?),
        };
        Some((mark, Told::parse(&self.told)?))
    }
}

fn digest_text(digest: &[u8; 32]) -> String {
    STANDARD_NO_PAD.encode(digest)
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()
}

impl From<&Contact> for ContactFile {
    fn from(contact: &Contact) -> Self {
        let person = contact.person.clone();
        ContactFile {
            realm: person.realm,
            country: person.country,
            serial: person.serial,
            subject: person.subject,
            display: person.display,
            number: contact.number,
            digest: digest_text(&contact.digest),
        }
    }
}

impl ContactFile {
    pub(super) fn into_contact(self) -> Option<Contact> {
        Some(Contact {
            person: Person {
                realm: self.realm,
                country: self.country,
                serial: self.serial,
                subject: self.subject,
                display: self.display,
            },
            number: self.number,
            digest: digest_of(&self.digest)?,
        })
    }
}

pub(super) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, KnownError> {
    let Some(bytes) = private::read(path, LIMIT)? else {
        return Ok(None);
    };
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| toml::from_str(text).ok())
        .map(Some)
        .ok_or_else(|| KnownError::Damaged(path.to_owned()))
}

pub(super) fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), KnownError> {
    Ok(private::replace(path, text(path, value)?.as_bytes())?)
}

/// Returns what stands in a file.
pub(super) fn text<T: Serialize>(path: &Path, value: &T) -> Result<String, KnownError> {
    toml::to_string(value).map_err(|_| KnownError::Damaged(path.to_owned()))
}
