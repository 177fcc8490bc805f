//! The account record: which devices speak for a mailbox, and with which keys.
//!
//! Keeps no history and fetches nothing: `open` judges one record by itself,
//! `follows` judges it by the one known before. The text is specified in
//! smr-envelope(5).

mod draft;
mod follows;
mod judge;
mod keys;
mod text;

use smr_name::{Address, Class, Fingerprint, MailboxName, RepositoryName};

use smr_seal::Recipient;

pub use draft::{Draft, build};
pub use follows::follows;
pub use judge::Lapse;
pub use keys::keys_statement;
pub use text::Removed;

use crate::device::DeviceError;
use crate::lines::LineError;
use crate::trust::{Certificate, CmsError, Person, Rules, SignedData, TrustError, TrustStore};
use judge::Judged;
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
    /// The devices that may act for it now, in order of enrolment.
    pub devices: Vec<Device>,
    /// The devices it lists beside them that may not: nobody seals to them,
    /// and what they sign now is not believed.
    pub stale: Vec<Stale>,
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
    pub recipient: Recipient,
    /// The statement it signed about that key, CMS DER.
    pub keys: Vec<u8>,
}

/// Holds a listed device that may not act now.
#[derive(Clone, Debug)]
pub struct Stale {
    /// The device.
    pub device: Device,
    /// Why not.
    pub lapse: Lapse,
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
    /// A device may not sign this.
    #[error("{0}: sign the account record with the card")]
    NeedsCard(&'static str),
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
            AccountError::NeedsCard(_) => Class::Usage,
            AccountError::Cms(CmsError::Signer(_)) => Class::Unavailable,
            AccountError::Device { source, .. } => source.class(),
            AccountError::Signer(error) => error.class(),
            _ => Class::Forged,
        }
    }
}

impl Account {
    /// Returns every device the record lists, those that may not act now last.
    pub fn listed(&self) -> impl Iterator<Item = &Device> {
        let stale = self.stale.iter().map(|s| &s.device);
        self.devices.iter().chain(stale)
    }

    /// Returns the device with this certificate, if it may act now.
    pub fn device(&self, fingerprint: &Fingerprint) -> Option<&Device> {
        self.devices.iter().find(|d| d.fingerprint == *fingerprint)
    }

    /// Returns the age recipients of all devices that may act now, in their
    /// order.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.devices.iter().map(|d| d.recipient.clone()).collect()
    }

    /// Returns when the device with this certificate was removed.
    pub fn removal(&self, fingerprint: &Fingerprint) -> Option<i64> {
        let removed = self.removed.iter().find(|r| r.fingerprint == *fingerprint);
        removed.map(|r| r.time)
    }
}

/// Verifies an account record in order to seal to its devices, or to let one
/// of them in: its signature, its signer, every device and every statement
/// about keys.
///
/// A device whose certificate or card has expired or was revoked is `stale`.
/// Refused is a record of which no device is left, and one with a device
/// whose revocation cannot be determined (`Busy`), for that passes.
pub fn open(record: &[u8], store: &TrustStore, rules: &Rules) -> Result<Account, AccountError> {
    open_judged(record, store, rules)?.for_use()
}

/// Verifies a record that is to be filed now: as [`open`] does, and its signer
/// too must hold now, whenever he says that he signed.
pub fn open_new(record: &[u8], store: &TrustStore, rules: &Rules) -> Result<Account, AccountError> {
    let judged = open_judged(record, store, rules)?;
    match judged.signer {
        Some(lapsed) => Err(lapsed),
        None => judged.for_use(),
    }
}

/// Verifies a record of earlier: the signer as of his own signing time, with
/// today's revocation data. For the sender of old mail, for a record on file
/// or known, for a draft of the next one.
///
/// Its `devices` are still those of today, perhaps none; nothing must be
/// sealed to `stale` ones.
pub fn open_then(
    record: &[u8],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Account, AccountError> {
    Ok(open_judged(record, store, rules)?.account)
}

fn open_judged(record: &[u8], store: &TrustStore, rules: &Rules) -> Result<Judged, AccountError> {
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
    judge::judge(record, &signed, text, store, rules)
}

/// Splits an address that must name its repository.
fn whole(address: &Address) -> Result<(&MailboxName, &RepositoryName), AccountError> {
    let repository = address.repository.as_ref();
    let repository = repository.ok_or(AccountError::Rule("the account names no repository"))?;
    Ok((&address.mailbox, repository))
}
