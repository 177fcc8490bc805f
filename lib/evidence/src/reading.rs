//! The verdict on a signer: who signed, with what, and how that was verified.
//!
//! Looks at no content: `envelope` and `receipt` have verified the signature
//! itself, and what it covers, before they ask.

use std::fmt;

use smr_name::{Address, Class, Fingerprint};

use crate::account::Account;
use crate::device::{DeviceError, verify_among};
use crate::lines::time_text;
use crate::trust::{
    Certificate, Person, Rules, SignedData, TrustError, TrustStore, Vouched, as_of, verify_card,
};

/// Names how strong a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Made by the card itself (class Q).
    Card,
    /// Made by a device the card certified (class D).
    Device,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Grade::Card => "Q",
            Grade::Device => "D",
        })
    }
}

/// Holds all a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// The verified account record of the one who should have signed.
    pub account: &'a Account,
    /// The anchors, authorities and lists.
    pub store: &'a TrustStore,
    /// The rules of today.
    pub rules: &'a Rules,
    /// When smrd took the message, unix seconds, where a postmark or its name
    /// in the mailbox says so: certificates are judged as of that time, for
    /// the signer's own word about it proves nothing. Without it, as of now.
    pub deposited: Option<i64>,
}

/// Says who signed.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The account in whose name.
    pub address: Address,
    /// The class of the signature.
    pub grade: Grade,
    /// The person.
    pub person: Person,
    /// The device's label, for class D.
    pub device: Option<String>,
    /// SHA-256 of the signer's certificate.
    pub fingerprint: Fingerprint,
    /// When it was signed, as the signer says, unix seconds.
    pub time: i64,
    /// When the device was removed, where it was, after that.
    pub removed: Option<i64>,
    /// When the card, or an authority above it, was revoked, where it was,
    /// after the deposit.
    pub revoked_later: Option<i64>,
    /// Whether every certificate was looked up in a revocation list.
    pub revocation_checked: bool,
}

/// Says why a signer is not who he should be.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// The message says it is from someone else.
    #[error("the message is from {from}, not from {account}")]
    OtherSender {
        /// What it says.
        from: String,
        /// Whose record was looked at.
        account: String,
    },
    /// The device's certificate is not believed.
    #[error("the signing device of {account}: {source}")]
    Device {
        /// The account.
        account: String,
        /// Why not.
        source: DeviceError,
    },
    /// The card's certificate is not believed.
    #[error("the signing card of {account}: {source}")]
    Card {
        /// The account.
        account: String,
        /// Why not.
        source: TrustError,
    },
    /// The signer is not the person whose account it is.
    #[error("signed by {signer:?}, but {account} belongs to {person:?}")]
    OtherPerson {
        /// The signer's subject.
        signer: String,
        /// The account.
        account: String,
        /// Its owner's subject.
        person: String,
    },
    /// The account's record does not know the device.
    #[error("signed by a device that {account} never listed")]
    UnknownDevice {
        /// The account.
        account: String,
    },
    /// The device had been removed.
    #[error(
        "signed by a device that {account} has removed, and no deposit proves that it was before"
    )]
    RemovedDevice {
        /// The account.
        account: String,
    },
    /// The time of signing cannot be.
    #[error("signed at a time later than {0}")]
    Future(&'static str),
    /// The time of signing cannot be: there was no such certificate.
    #[error("signed at a time before its certificate began")]
    Past,
}

impl ReadingError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            ReadingError::Device { source, .. } => source.class(),
            ReadingError::Card { source, .. } => source.class(),
            _ => Class::Forged,
        }
    }
}

/// Verifies that a message which says it is `from` somebody was signed by
/// that account.
pub fn verify_sender(
    from: &Address,
    signed: &SignedData,
    grounds: &Grounds<'_>,
) -> Result<Verified, ReadingError> {
    if *from != grounds.account.address {
        return Err(ReadingError::OtherSender {
            from: from.to_string(),
            account: grounds.account.address.to_string(),
        });
    }
    verify_signer(signed, grounds)
}

/// Verifies that the signer of a message or a receipt is the account's person,
/// and a device of his that was not removed when it signed.
///
/// A device that is removed by now, a card that has expired or was revoked
/// since, still counts for what it signed, and smrd took, before.
pub fn verify_signer(signed: &SignedData, grounds: &Grounds<'_>) -> Result<Verified, ReadingError> {
    check_time(signed, grounds)?;
    let rules = grounds.deposited.map(|time| as_of(grounds.rules, time));
    let grounds = &Grounds {
        rules: rules.as_ref().unwrap_or(grounds.rules),
        ..*grounds
    };
    let others = [signed.certificates(), &grounds.account.chain].concat();
    match signed.signer().proxy() {
        Some(_) => by_device(signed, &others, grounds),
        None => by_card(signed, &others, grounds),
    }
}

fn check_time(signed: &SignedData, grounds: &Grounds<'_>) -> Result<(), ReadingError> {
    let skew = grounds.rules.clock_skew;
    let after = |limit: i64| signed.signing_time() > limit.saturating_add(skew);
    if after(grounds.rules.now) {
        return Err(ReadingError::Future("now"));
    }
    if grounds.deposited.is_some_and(after) {
        return Err(ReadingError::Future("its deposit"));
    }
    if signed.signing_time().saturating_add(skew) < signed.signer().not_before() {
        return Err(ReadingError::Past);
    }
    Ok(())
}

fn by_card(
    signed: &SignedData,
    others: &[Certificate],
    grounds: &Grounds<'_>,
) -> Result<Verified, ReadingError> {
    let card = signed.signer();
    let vouched = verify_card(card, others, grounds.store, grounds.rules);
    let vouched = vouched.map_err(|source| ReadingError::Card {
        account: grounds.account.address.to_string(),
        source,
    })?;
    verdict(signed, vouched, None, None, grounds)
}

fn by_device(
    signed: &SignedData,
    others: &[Certificate],
    grounds: &Grounds<'_>,
) -> Result<Verified, ReadingError> {
    let account = grounds.account;
    let wrong = |source| ReadingError::Device {
        account: account.address.to_string(),
        source,
    };
    let repository = account.address.repository.as_ref();
    let (vouched, label) = verify_among(
        signed.signer(),
        others,
        &account.address.mailbox,
        // An opened account always names its repository.
        repository.ok_or(wrong(DeviceError::NoCard))?,
        grounds.rules,
        &mut |card| verify_card(card, others, grounds.store, grounds.rules),
    )
    .map_err(wrong)?;
    let removed = check_listed(signed, grounds)?;
    verdict(signed, vouched, Some(label), removed, grounds)
}

/// Finds the signing device in the record; returns its later removal.
fn check_listed(signed: &SignedData, grounds: &Grounds<'_>) -> Result<Option<i64>, ReadingError> {
    let fingerprint = Fingerprint::of(signed.signer().der());
    let account = grounds.account.address.to_string();
    let mut listed = grounds.account.listed();
    if listed.any(|d| d.fingerprint == fingerprint) {
        return Ok(None);
    }
    let removal = grounds.account.removal(&fingerprint);
    let removal = removal.ok_or_else(|| ReadingError::UnknownDevice {
        account: account.clone(),
    })?;
    // The signer chooses his time, and a thief backdates: only smrd's proves it.
    let done = grounds
        .deposited
        .map(|time| time.max(signed.signing_time()));
    match done {
        Some(done) if done < removal => Ok(Some(removal)),
        _ => Err(ReadingError::RemovedDevice { account }),
    }
}

fn verdict(
    signed: &SignedData,
    vouched: Vouched,
    device: Option<String>,
    removed: Option<i64>,
    grounds: &Grounds<'_>,
) -> Result<Verified, ReadingError> {
    let account = grounds.account;
    if vouched.person != account.person {
        return Err(ReadingError::OtherPerson {
            signer: vouched.person.subject,
            account: account.address.to_string(),
            person: account.person.subject.clone(),
        });
    }
    Ok(Verified {
        address: account.address.clone(),
        grade: device.as_ref().map_or(Grade::Card, |_| Grade::Device),
        person: vouched.person,
        device,
        fingerprint: Fingerprint::of(signed.signer().der()),
        time: signed.signing_time(),
        removed,
        revoked_later: vouched.verdict.revoked_later,
        revocation_checked: vouched.verdict.revocation_checked,
    })
}

impl Verified {
    /// Says in one line who signed and how that was verified; the common name
    /// in it comes from a certificate and is for the caller to make harmless.
    pub fn line(&self) -> String {
        let by = match &self.device {
            Some(label) => format!("device {label}"),
            None => "card".to_owned(),
        };
        let text = |time: i64| time_text(time).unwrap_or_else(|| time.to_string());
        let time = text(self.time);
        let revocation = match (self.revoked_later, self.revocation_checked) {
            (Some(later), _) => format!("certificate revoked later, {}", text(later)),
            (None, true) => "not revoked".to_owned(),
            (None, false) => "REVOCATION NOT CHECKED".to_owned(),
        };
        let revocation = match self.removed.map(text) {
            Some(removed) => format!("{revocation}, device removed {removed}"),
            None => revocation,
        };
        format!(
            "signed by {} ({}, {by}) {time}, class {}: chain to {}, {revocation}",
            self.person.display, self.address, self.grade, self.person.realm
        )
    }
}
