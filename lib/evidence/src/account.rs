//! The account record: which devices speak for a mailbox, and with which keys.
//!
//! Keeps no history and fetches nothing: `open` judges one record by itself,
//! `follows` judges it by the one known before. The text is specified in
//! smr-envelope(5).

mod draft;
mod follows;
mod keys;
mod text;

use smr_name::{Address, Class, Fingerprint, MailboxName, RepositoryName};

use smr_seal::{Recipient, SealError};

pub use draft::{Draft, build};
pub use follows::follows;
pub use keys::keys_statement;
pub use text::Removed;

use crate::device::{DeviceError, verify_among};
use crate::lines::LineError;
use crate::trust::{
    Certificate, CmsError, Person, Rules, SignedData, TrustError, TrustStore, check_card,
};
use text::Record;

/// The longest account record, in bytes: room for 8 post-quantum devices
/// under certificates of common size.
pub const MAX_RECORD: usize = 64 * 1024;
/// The most devices one record may list.
pub const MAX_DEVICES: usize = 16;

/// Holds a verified account record.
#[derive(Clone, Debug)]
pub struct Account {
    /// The mailbox, always with its repository.
    pub address: Address,
    /// The record's number, from 1.
    pub number: u64,
    /// SHA-256 of the record before, none for the first.
    pub previous: Option<[u8; 32]>,
    /// When the record was signed, unix seconds.
    pub time: i64,
    /// Whose account it is.
    pub person: Person,
    /// The devices that may act for it, in order of enrolment.
    pub devices: Vec<Device>,
    /// The devices that once could, in order of removal.
    pub removed: Vec<Removed>,
    /// The age recipient to which old keys are sealed. Another's devices do
    /// not care; one's own take it from the key ring, never from here.
    pub backup: Option<String>,
    /// Certificates of cards and authorities that came along.
    pub chain: Vec<Certificate>,
    /// Who signed the record.
    pub signed_by: SignedBy,
    /// SHA-256 of the record.
    pub digest: [u8; 32],
}

/// Holds one device of an account.
#[derive(Clone, Debug)]
pub struct Device {
    /// What its owner calls it.
    pub label: String,
    /// Its certificate, signed by a card of the person.
    pub certificate: Certificate,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// Number of its present encryption key.
    pub epoch: u64,
    /// Since when it uses that key, unix seconds.
    pub from: i64,
    /// The age recipient of that key.
    pub recipient: String,
    /// The statement it signed about that key, CMS DER.
    pub keys: Vec<u8>,
}

/// Names the key that signed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// A card of the person.
    Card,
    /// A device the record lists.
    Device(Fingerprint),
}

/// Says why an account record was not made or not believed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// More than `MAX_RECORD` bytes.
    #[error("the account record is longer than 64 KiB")]
    TooLong,
    /// No signed message, or its signature is wrong.
    #[error("the account record does not verify: {0}")]
    Cms(#[from] CmsError),
    /// The signed text is not an account record.
    #[error("not an account record: {0}")]
    Text(#[from] LineError),
    /// A rule of the record is broken.
    #[error("not an account record: {0}")]
    Rule(&'static str),
    /// A device's certificate is not believed.
    #[error("device {label:?} of {account}: {source}")]
    Device {
        /// Its label.
        label: String,
        /// The account.
        account: String,
        /// Why not.
        source: DeviceError,
    },
    /// A statement about keys is not that device's.
    #[error("the keys of device {label:?} do not verify: {why}")]
    Keys {
        /// Its label.
        label: String,
        /// Why not.
        why: String,
    },
    /// The card that signed is not believed.
    #[error("the signer of the account record is not believed: {0}")]
    Signer(#[from] TrustError),
    /// The signing device is not one of the record's.
    #[error("the account record is signed by a device that it does not list")]
    Stranger,
    /// Devices, or the signer, are of several people.
    #[error("the account record of {account} speaks of two people: {first:?} and {second:?}")]
    TwoPeople {
        /// The account.
        account: String,
        /// One subject.
        first: String,
        /// The other.
        second: String,
    },
    /// The record is from the future.
    #[error("the account record is dated later than now")]
    Future,
    /// The record cannot come after the one known.
    #[error("the account record of {account} does not follow the one known: {why}")]
    NotNext {
        /// The account.
        account: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl AccountError {
    /// Returns what a script may conclude; a record that does not follow the
    /// one known is `Untrusted`.
    pub fn class(&self) -> Class {
        match self {
            AccountError::NotNext { .. } => Class::Untrusted,
            AccountError::Cms(CmsError::Signer(_)) => Class::Unavailable,
            AccountError::Device { source, .. } => source.class(),
            AccountError::Signer(error) => error.class(),
            _ => Class::Forged,
        }
    }
}

impl Account {
    /// Returns the device with this certificate.
    pub fn device(&self, fingerprint: &Fingerprint) -> Option<&Device> {
        self.devices.iter().find(|d| d.fingerprint == *fingerprint)
    }

    /// Returns the age recipients of all devices, in their order.
    pub fn recipients(&self) -> Result<Vec<Recipient>, SealError> {
        let devices = self.devices.iter();
        devices.map(|d| Recipient::parse(&d.recipient)).collect()
    }

    /// Returns when the device with this certificate was removed.
    pub fn removal(&self, fingerprint: &Fingerprint) -> Option<i64> {
        let removed = self.removed.iter().find(|r| r.fingerprint == *fingerprint);
        removed.map(|r| r.time)
    }
}

/// Verifies an account record: its signature, its signer, every device and
/// every statement about keys.
///
/// A record with one device that does not verify, an expired one too, is
/// refused whole: its owner must renew it before.
pub fn open(record: &[u8], store: &TrustStore, rules: &Rules) -> Result<Account, AccountError> {
    if record.len() > MAX_RECORD {
        return Err(AccountError::TooLong);
    }
    let signed = SignedData::parse(record)?;
    signed.verify_attached()?;
    let text = Record::of_signed(&signed)?;
    if text.time != signed.signing_time() {
        return Err(AccountError::Rule(
            "it was signed at another time than it says",
        ));
    }
    if text.time > rules.now.saturating_add(rules.clock_skew) {
        return Err(AccountError::Future);
    }
    let mut people = People::new(&text, signed.certificates(), store, rules);
    let devices = people.devices()?;
    let signed_by = people.signer(signed.signer(), &devices)?;
    Ok(Account {
        person: people.one.ok_or(AccountError::Stranger)?,
        devices,
        signed_by,
        chain: cards_and_authorities(signed.certificates()),
        digest: *Fingerprint::of(record).as_bytes(),
        address: Address::new(text.mailbox, text.repository),
        number: text.number,
        previous: text.previous,
        time: text.time,
        removed: text.removed,
        backup: text.backup,
    })
}

fn cards_and_authorities(certificates: &[Certificate]) -> Vec<Certificate> {
    let all = certificates.iter();
    all.filter(|c| c.proxy().is_none()).cloned().collect()
}

/// Finds the one person a record speaks of; a second one is an error.
struct People<'a> {
    record: &'a Record,
    certificates: &'a [Certificate],
    store: &'a TrustStore,
    rules: &'a Rules,
    // Cards believed already: all devices of a record usually have one card.
    believed: Vec<(Certificate, Person)>,
    one: Option<Person>,
}

impl<'a> People<'a> {
    fn new(
        record: &'a Record,
        certificates: &'a [Certificate],
        store: &'a TrustStore,
        rules: &'a Rules,
    ) -> Self {
        People {
            record,
            certificates,
            store,
            rules,
            believed: Vec::new(),
            one: None,
        }
    }

    fn devices(&mut self) -> Result<Vec<Device>, AccountError> {
        let record = self.record;
        let lines = record.devices.iter().zip(&record.keys);
        lines
            .map(|(listed, (_, keys))| self.device(listed, keys))
            .collect()
    }

    fn device(&mut self, listed: &text::Listed, keys: &[u8]) -> Result<Device, AccountError> {
        let record = self.record;
        let wrong = |source| AccountError::Device {
            label: listed.label.clone(),
            account: record.account(),
            source,
        };
        let (person, label) = verify_among(
            &listed.certificate,
            self.certificates,
            &record.mailbox,
            &record.repository,
            self.rules,
            &mut |card| self.card(card),
        )
        .map_err(wrong)?;
        if label != listed.label {
            return Err(AccountError::Rule(
                "a device has another label than its certificate says",
            ));
        }
        self.agree(person)?;
        let stated = keys::open(keys, record, listed).map_err(|why| AccountError::Keys {
            label: listed.label.clone(),
            why: why.to_string(),
        })?;
        Ok(Device {
            label,
            certificate: listed.certificate.clone(),
            fingerprint: listed.fingerprint,
            epoch: stated.epoch,
            from: stated.from,
            recipient: stated.recipient,
            keys: keys.to_vec(),
        })
    }

    fn signer(
        &mut self,
        signer: &Certificate,
        devices: &[Device],
    ) -> Result<SignedBy, AccountError> {
        if signer.proxy().is_some() {
            let known = devices.iter().find(|d| d.certificate == *signer);
            return known
                .map(|d| SignedBy::Device(d.fingerprint))
                .ok_or(AccountError::Stranger);
        }
        let person = self.card(signer)?;
        self.agree(person)?;
        Ok(SignedBy::Card)
    }

    fn card(&mut self, card: &Certificate) -> Result<Person, TrustError> {
        if let Some((_, person)) = self.believed.iter().find(|(known, _)| known == card) {
            return Ok(person.clone());
        }
        let person = check_card(card, self.certificates, self.store, self.rules)?;
        self.believed.push((card.clone(), person.clone()));
        Ok(person)
    }

    fn agree(&mut self, person: Person) -> Result<(), AccountError> {
        match &self.one {
            Some(known) if *known != person => Err(AccountError::TwoPeople {
                account: self.record.account(),
                first: known.subject.clone(),
                second: person.subject,
            }),
            Some(_) => Ok(()),
            None => {
                self.one = Some(person);
                Ok(())
            }
        }
    }
}

/// Splits an address that must name its repository.
fn whole(address: &Address) -> Result<(&MailboxName, &RepositoryName), AccountError> {
    let repository = address.repository.as_ref();
    let repository = repository.ok_or(AccountError::Rule("the account names no repository"))?;
    Ok((&address.mailbox, repository))
}
