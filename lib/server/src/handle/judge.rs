//! Verdicts over account records: may this device act for this account, now?
//!
//! Believes nothing because it was believed before: a login is judged by
//! today's anchors and CRLs.

use std::sync::Arc;

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use smr_evidence::account::{self, Account, AccountError};
use smr_evidence::authorisation::{self, AuthorisationError};
use smr_evidence::device::{self, DeviceError};
use smr_evidence::trust::{
    Certificate, PathError, Person, Revocation, Rules, SignedData, TrustError, Vouched, verify_card,
};
use smr_name::{Class, Fingerprint, MailboxName};

use super::Visit;
use crate::config::{Level, LoginBy};
use crate::grounds::Grounds;
use crate::house::House;
use crate::refusal::Refusal;

/// Device certificates begin so many seconds before they are made.
const BACKDATED: i64 = 300;

/// The SubjectPublicKeyInfo of an uncompressed P-256 key up to its point
/// (RFC 5480 2.1.1): SEQUENCE, id-ecPublicKey, prime256v1, BIT STRING.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Verifies a device's signature: ECDSA P-256 with SHA-256, DER.
pub(super) fn signed_by(device: &Certificate, message: &[u8], signature: &[u8]) -> bool {
    let Some(point) = device.spki_der().strip_prefix(&P256_SPKI) else {
        return false;
    };
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(message, signature).is_ok()
}

/// Opens a record that the store holds, without judging it again: it was
/// judged when it came, and only what it says matters.
pub(super) fn open_stored(house: &House, record: &[u8]) -> Result<Account, Refusal> {
    open_stored_by(house, &house.grounds(), record)
}

/// Opens a record as [`open_stored`] does, under these grounds.
pub(super) fn open_stored_by(
    house: &House,
    grounds: &Grounds,
    record: &[u8],
) -> Result<Account, Refusal> {
    opened_then(grounds, record).map_err(|error| {
        let line = house.log.line(Level::Warn, "stored-record");
        line.with("why", &error).send();
        // Why, is for the operator: whoever asks may be a stranger to it.
        Refusal::new(Class::Denied, "the record on file is not believed")
            .hint("ask the repository's operator")
    })
}

/// Opens the record of an account for somebody who has proved nothing yet;
/// where there is none, does about the work that one would have been.
pub(super) fn open_for_stranger(
    house: &House,
    name: &MailboxName,
) -> Result<(Vec<u8>, Account), Refusal> {
    let record = house.store.record(name).map_err(|e| house.disk(e))?;
    let Some(record) = record else {
        decoy(house)?;
        return Err(stranger());
    };
    let filed = open_stored(house, &record).map_err(|_| stranger())?;
    Ok((record, filed))
}

fn decoy(house: &House) -> Result<(), Refusal> {
    let any = house.store.accounts(None, 1);
    let record = any.first().map(|name| house.store.record(name));
    let record = record.transpose().map_err(|e| house.disk(e))?.flatten();
    // Whose it is and what comes out does not matter.
    drop(record.map(|record| open_stored(house, &record)));
    Ok(())
}

/// Opens a record that was just brought, to see who claims to bring it: by the
/// anchors alone, for what is revoked is said to the holder of its key.
pub(super) fn open_claimed(grounds: &Grounds, record: &[u8]) -> Result<Account, Refusal> {
    opened_then(grounds, record).map_err(|error| refusal(&error))
}

fn opened_then(grounds: &Grounds, record: &[u8]) -> Result<Account, AccountError> {
    let then = SignedData::parse(record)?.signing_time();
    let rules = Rules {
        now: then,
        revocation: Revocation::Off,
        max_age: None,
        ..grounds.rules(then)
    };
    account::open_then(record, &grounds.trust, &rules)
}

/// Opens a record on file under today's grounds: some of its devices may be
/// stale ([`check_device`]).
pub(super) fn open(
    house: &House,
    grounds: &Grounds,
    record: &[u8],
    now: i64,
) -> Result<Account, Refusal> {
    account::open(record, &grounds.trust, &grounds.rules(now))
        .map_err(|error| unbelieved(house, grounds, record, &error))
}

/// Opens a record that is to be filed: its signer too must hold today.
pub(super) fn open_new(
    house: &House,
    grounds: &Grounds,
    record: &[u8],
    now: i64,
) -> Result<Account, Refusal> {
    account::open_new(record, &grounds.trust, &grounds.rules(now))
        .map_err(|error| unbelieved(house, grounds, record, &error))
}

fn unbelieved(house: &House, grounds: &Grounds, record: &[u8], error: &AccountError) -> Refusal {
    if let Some(subject) = lacking(error) {
        let signed = SignedData::parse(record);
        let own = signed.as_ref().map(|s| s.certificates());
        let own = own.unwrap_or_default();
        queue(
            house,
            own.iter().chain(&grounds.trust.intermediates),
            subject,
        );
    }
    refusal(error)
}

/// Refuses a device that may not act now; whoever asks has proved that he
/// holds its key.
pub(super) fn check_device(account: &Account, device: &Fingerprint) -> Result<(), Refusal> {
    if account.device(device).is_some() {
        return Ok(());
    }
    let mut stale = account.stale.iter();
    let stale = stale.find(|s| s.device.fingerprint == *device);
    Err(stale.map_or_else(stranger, |stale| {
        let text = format!(
            "the device \"{}\" may no longer act for \"{}\": {}",
            stale.device.label, account.address, stale.lapse
        );
        Refusal::new(Class::Denied, text).hint("smr-register --renew")
    }))
}

/// Judges a session again where the record or the grounds have changed since
/// it was let in.
pub(crate) fn rejudge(house: &House, visit: &mut Visit, now: i64) -> Result<(), Refusal> {
    let (grounds, change) = (house.grounds(), house.online.change(&visit.who));
    if is_of(visit, &grounds) && change == visit.judged.1 {
        return Ok(());
    }
    let record = house.store.record(&visit.who).map_err(|e| house.disk(e))?;
    let record = record.ok_or_else(stranger)?;
    if visit.guest && !lists(house, &record, &visit.device)? {
        return stays_guest(visit, &grounds, change);
    }
    let account = open(house, &grounds, &record, now)?;
    check_device(&account, &visit.device)?;
    if let Some(authorisation) = &visit.authorisation {
        authorised(house, &grounds, authorisation, &account, &visit.device, now)?;
    }
    visit.guest = false;
    if visit.presence.is_none() {
        visit.presence = Some(house.online.enter(&visit.who));
    }
    visit.judged = (Arc::downgrade(&grounds), change);
    Ok(())
}

/// Tells whether the record has changed since a session was judged.
pub(crate) fn is_behind(house: &House, visit: &Visit) -> bool {
    house.online.change(&visit.who) != visit.judged.1
}

/// Tells whether these are the grounds on which a session was judged.
fn is_of(visit: &Visit, grounds: &Arc<Grounds>) -> bool {
    // The place of those that are gone is not used again while this holds it.
    visit.judged.0.as_ptr() == Arc::as_ptr(grounds)
}

/// Says until when a card's authorisation lets this device of the account in:
/// to its end, and no longer than a session from when it was made.
pub(super) fn authorised(
    house: &House,
    grounds: &Grounds,
    der: &[u8],
    account: &Account,
    device: &Fingerprint,
    now: i64,
) -> Result<i64, Refusal> {
    let rules = grounds.rules(now);
    let opened = authorisation::open(der, &grounds.trust, &rules)
        .map_err(|error| unauthorised(house, grounds, der, &error))?;
    if opened.account != account.address || opened.device != *device {
        return Err(card_wanted("the card authorised another device or account"));
    }
    if opened.person != account.person {
        return Err(card_wanted("another person's card authorised the device"));
    }
    if opened.issued > now.saturating_add(rules.clock_skew) {
        return Err(card_wanted("the card's authorisation is from the future"));
    }
    let lifetime = house.config.session.lifetime;
    let ends = opened.until.min(opened.issued.saturating_add(lifetime));
    match now < ends {
        true => Ok(ends),
        false => Err(card_wanted("the card's authorisation is over")),
    }
}

fn unauthorised(
    house: &House,
    grounds: &Grounds,
    der: &[u8],
    error: &AuthorisationError,
) -> Refusal {
    if let AuthorisationError::Card(TrustError::Path(
        PathError::NoRevocationData { subject } | PathError::StaleCrl { subject },
    )) = error
    {
        let signed = SignedData::parse(der);
        let own = signed
            .as_ref()
            .map(|s| s.certificates())
            .unwrap_or_default();
        queue(
            house,
            own.iter().chain(&grounds.trust.intermediates),
            subject,
        );
    }
    match error.class() {
        Class::Busy => lacks_data(error),
        _ => card_wanted(&format!("the card's authorisation: {error}")),
    }
}

/// Refuses a device that comes without its card's word.
pub(super) fn card_wanted(why: &str) -> Refusal {
    Refusal::new(Class::Denied, why).hint("smr-login --by card")
}

/// Where the card is wanted at login, refuses a device that comes in another
/// way, unless its card has certified it just now.
pub(super) fn check_fresh(
    house: &House,
    certificate: &Certificate,
    now: i64,
) -> Result<(), Refusal> {
    let session = &house.config.session;
    let made = certificate.not_before().saturating_add(BACKDATED);
    if session.login == LoginBy::Device || now < made.saturating_add(session.lifetime) {
        return Ok(());
    }
    Err(card_wanted(
        "this repository wants the card at login, and it certified this device long ago",
    ))
}

/// Tells whether the record on file lists a device; one that it has removed
/// is a stranger.
fn lists(house: &House, record: &[u8], device: &Fingerprint) -> Result<bool, Refusal> {
    let filed = open_stored(house, record)?;
    match filed.removal(device) {
        Some(_) => Err(stranger()),
        None => Ok(filed.listed().any(|d| d.fingerprint == *device)),
    }
}

/// A guest's chain is not kept: under other grounds he must come again.
fn stays_guest(visit: &mut Visit, grounds: &Arc<Grounds>, change: u64) -> Result<(), Refusal> {
    if !is_of(visit, grounds) {
        return Err(Refusal::new(
            Class::Denied,
            "the grounds on which the device was let in have changed",
        )
        .hint("try again"));
    }
    visit.judged = (Arc::downgrade(grounds), change);
    Ok(())
}

/// Says whose card has certified a device for this account.
pub(super) fn guest(
    house: &House,
    grounds: &Grounds,
    chain: &[Certificate],
    name: &MailboxName,
    now: i64,
) -> Result<Person, Refusal> {
    let rules = grounds.rules(now);
    let verified = device::verify_chain(chain, name, &house.config.name, &grounds.trust, &rules);
    let error = match verified {
        Ok((person, _)) => return Ok(person),
        Err(error) => error,
    };
    if let DeviceError::Card(TrustError::Path(
        PathError::NoRevocationData { subject } | PathError::StaleCrl { subject },
    )) = &error
    {
        let known = chain.iter().chain(&grounds.trust.intermediates);
        queue(house, known, subject);
    }
    Err(match error.class() {
        Class::Busy => lacks_data(&error),
        _ => Refusal::new(Class::Denied, error.to_string()),
    })
}

/// Refuses whoever is not known, without saying what of it is unknown.
pub(super) fn stranger() -> Refusal {
    Refusal::new(Class::Denied, "the account has no such device here")
        .hint("was it removed, or never registered? smr-register --add-device LABEL NAME")
}

/// Says whether smrd would believe this card, whose it is, and by which chain.
pub(crate) fn judge_card(
    grounds: &Grounds,
    chain: &[Certificate],
    rules: &Rules,
) -> Result<Vouched, TrustError> {
    let Some((card, extra)) = chain.split_first() else {
        return Err(PathError::NoPath {
            subject: "nobody".to_owned(),
        }
        .into());
    };
    verify_card(card, extra, &grounds.trust, rules)
}

fn card_error(error: &AccountError) -> Option<&TrustError> {
    match error {
        AccountError::Signer(error) => Some(error),
        AccountError::Device {
            source: DeviceError::Card(error),
            ..
        } => Some(error),
        _ => None,
    }
}

/// Returns for whose certificate revocation data is lacking.
fn lacking(error: &AccountError) -> Option<&str> {
    match card_error(error)? {
        TrustError::Path(
            PathError::NoRevocationData { subject } | PathError::StaleCrl { subject },
        ) => Some(subject),
        _ => None,
    }
}

/// A card or a device that is not believed is denied, whatever the reason;
/// missing revocation data may still come; the rest is forged.
fn refusal(error: &AccountError) -> Refusal {
    match error.class() {
        Class::Busy => lacks_data(error),
        _ if card_error(error).is_some() => Refusal::new(Class::Denied, error.to_string()),
        class => match error {
            AccountError::Device { .. } | AccountError::NotNext { .. } => {
                Refusal::new(Class::Denied, error.to_string())
            }
            _ => Refusal::new(class, error.to_string()),
        },
    }
}

fn lacks_data(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        Class::Busy,
        format!("{error}; the certificate was queued for the repository's operator"),
    )
    .hint("try again when the repository has fetched the revocation list")
}

/// Refuses a record that cannot come after the one on file.
pub(super) fn not_next(error: &AccountError) -> Refusal {
    refusal(error).hint("fetch the account's present record and try again")
}

/// Puts the certificate that lacks revocation data in the operator's queue.
fn queue<'a>(house: &House, mut known: impl Iterator<Item = &'a Certificate>, subject: &str) {
    let Some(certificate) = known.find(|c| c.subject_text() == subject) else {
        return;
    };
    let queued = house.queue.add(certificate);
    let line = house.log.line(Level::Warn, "no-revocation-data");
    let line = line.with("subject", subject);
    match queued {
        Ok(true) => line.with("queued", "yes").send(),
        Ok(false) => line.with("queued", "full").send(),
        Err(error) => line.with("queued", error).send(),
    }
}

/// Finds the device of a record that made this signature.
pub(super) fn signing_device(
    account: &Account,
    signature: &[u8],
    message: impl Fn(&Fingerprint) -> Vec<u8>,
) -> Option<Fingerprint> {
    let mut devices = account.listed();
    let found = devices.find(|d| signed_by(&d.certificate, &message(&d.fingerprint), signature));
    found.map(|d| d.fingerprint)
}

/// Returns when a session of this device must end.
pub(super) fn end(house: &House, account: &Account, device: &Fingerprint, now: i64) -> i64 {
    let until = now.saturating_add(house.config.session.lifetime);
    let certificate = account.device(device).map(|d| d.certificate.not_after());
    until.min(certificate.unwrap_or(now))
}

/// Tells whether an address is one of this repository.
pub(super) fn is_ours(house: &House, account: &Account) -> Option<MailboxName> {
    let ours = account.address.repository.as_ref() == Some(&house.config.name);
    ours.then(|| account.address.mailbox.clone())
}
