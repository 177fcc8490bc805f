//! Logins and enrolments: the introduction that opens a session.
//!
//! Never stores a record whose device did not sign this very handshake.

use std::sync::Arc;

use smr_channel::handshake::Introduction;
use smr_channel::reply::Reply;
use smr_evidence::account::{Account, Device, follows};
use smr_evidence::trust::{Certificate, Person};
use smr_name::{Class, Fingerprint, MailboxName};
use smr_store::StoreError;

use super::{Answer, Visit, account, judge};
use crate::config::{Level, LoginBy};
use crate::grounds::Grounds;
use crate::house::House;
use crate::online::Presence;
use crate::refusal::Refusal;

/// Judges an introduction; `hash` is the handshake's, which the device signed.
pub(crate) fn introduce(
    house: &House,
    introduction: Introduction,
    hash: &[u8; 32],
    now: i64,
) -> Result<(Visit, Answer<'static>), Refusal> {
    match introduction {
        Introduction::Login {
            account,
            device,
            signature,
        } => login(
            house,
            &account,
            Fingerprint::from_bytes(device),
            &signature,
            hash,
            now,
        ),
        Introduction::Enrol { record, signature } => enrol(house, &record, &signature, hash, now),
        Introduction::Join {
            account,
            chain,
            signature,
        } => join(house, &account, &chain, &signature, hash, now),
        Introduction::CardLogin {
            account,
            device,
            authorisation,
            signature,
        } => card_login(
            house,
            &account,
            Fingerprint::from_bytes(device),
            &authorisation,
            &signature,
            hash,
            now,
        ),
    }
}

/// Lets a device in that the person's card has certified and that no record
/// lists: it may look at the record, and publish the next one.
fn join(
    house: &House,
    name: &MailboxName,
    chain: &[Vec<u8>],
    signature: &[u8],
    hash: &[u8; 32],
    now: i64,
) -> Result<(Visit, Answer<'static>), Refusal> {
    let judged = (house.grounds(), house.online.change(name));
    let chain = chain.iter().map(|der| Certificate::from_der(der));
    let chain: Vec<Certificate> = chain
        .collect::<Result<_, _>>()
        .map_err(|_| judge::stranger())?;
    let certificate = chain.first().ok_or_else(judge::stranger)?;
    let device = Fingerprint::of(certificate.der());
    let message = Introduction::join_to_sign(hash, name, device.as_bytes());
    if !judge::signed_by(certificate, &message, signature) {
        return Err(judge::stranger());
    }
    judge::check_fresh(house, certificate, now)?;
    // Whose card it is he may know; nothing about the account is told before
    // it turns out to be his.
    let person = judge::guest(house, &judged.0, &chain, name, now)?;
    let (record, filed) = judge::open_for_stranger(house, name)?;
    if filed.person != person || filed.removal(&device).is_some() {
        return Err(judge::stranger());
    }
    house.rates.logins.take(name.clone())?;
    if filed.listed().any(|d| d.fingerprint == device) {
        let account = judge::open(house, &judged.0, &record, now)?;
        judge::check_device(&account, &device)?;
        return Ok(welcome(house, name, &account, device, judged, now));
    }
    let line = house.log.line(Level::Info, "joined");
    line.with("account", name)
        .with("person", &person.subject)
        .with("device", device)
        .send();
    let until = certificate.not_after();
    let until = until.min(now.saturating_add(house.config.session.lifetime));
    Ok(admitted(name, device, until, true, None, judged, now))
}

fn login(
    house: &House,
    name: &MailboxName,
    device: Fingerprint,
    signature: &[u8],
    hash: &[u8; 32],
    now: i64,
) -> Result<(Visit, Answer<'static>), Refusal> {
    let judged = (house.grounds(), house.online.change(name));
    // The signature first: the state of a card is no stranger's business.
    let message = Introduction::login_to_sign(hash, name, device.as_bytes());
    let record = known(house, name, &device, &message, signature)?;
    house.rates.logins.take(name.clone())?;
    if house.config.session.login == LoginBy::Card {
        return Err(judge::card_wanted(
            "this repository wants the card at login",
        ));
    }
    let account = judge::open(house, &judged.0, &record, now)?;
    judge::check_device(&account, &device)?;
    Ok(welcome(house, name, &account, device, judged, now))
}

/// Returns the record on file of an account whose device made this signature.
fn known(
    house: &House,
    name: &MailboxName,
    device: &Fingerprint,
    message: &[u8],
    signature: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let (record, filed) = judge::open_for_stranger(house, name)?;
    let mut listed = filed.listed();
    let known = listed.find(|d| d.fingerprint == *device);
    match known.is_some_and(|d| judge::signed_by(&d.certificate, message, signature)) {
        true => Ok(record),
        false => Err(judge::stranger()),
    }
}

/// Lets a device in that the person's card has authorised, until that ends.
fn card_login(
    house: &House,
    name: &MailboxName,
    device: Fingerprint,
    authorisation: &[u8],
    signature: &[u8],
    hash: &[u8; 32],
    now: i64,
) -> Result<(Visit, Answer<'static>), Refusal> {
    let judged = (house.grounds(), house.online.change(name));
    let message = Introduction::card_login_to_sign(hash, name, device.as_bytes(), authorisation);
    let record = known(house, name, &device, &message, signature)?;
    house.rates.logins.take(name.clone())?;
    let account = judge::open(house, &judged.0, &record, now)?;
    judge::check_device(&account, &device)?;
    let ends = judge::authorised(house, &judged.0, authorisation, &account, &device, now)?;
    let (mut visit, _) = welcome(house, name, &account, device, judged, now);
    visit.until = visit.until.min(ends);
    visit.authorisation = Some(authorisation.into());
    let answer = greeting(&visit, now);
    Ok((visit, answer))
}

fn enrol(
    house: &House,
    record: &[u8],
    signature: &[u8],
    hash: &[u8; 32],
    now: i64,
) -> Result<(Visit, Answer<'static>), Refusal> {
    let grounds = house.grounds();
    let claimed = judge::open_claimed(&grounds, record)?;
    let name = judge::is_ours(house, &claimed).ok_or_else(|| {
        let text = format!(
            "this is repository \"{}\", the record is for another",
            house.config.name
        );
        Refusal::new(Class::Denied, text)
    })?;
    let message =
        |device: &Fingerprint| Introduction::enrol_to_sign(hash, &name, device.as_bytes(), record);
    let device = judge::signing_device(&claimed, signature, message).ok_or_else(|| {
        Refusal::new(
            Class::Denied,
            "no device of the record has signed this enrolment",
        )
    })?;
    let account = judge::open_new(house, &grounds, record, now)?;
    // Once it is certain that it is his doing.
    house.rates.of_one.take(account.person.clone())?;
    judge::check_device(&account, &device)?;
    if let Some(listed) = account.device(&device) {
        judge::check_fresh(house, &listed.certificate, now)?;
    }
    // Read before the record is filed: whatever is filed after it, this record
    // too, has the session judged again.
    let change = house.online.change(&name);
    register(house, &name, &account, record)?;
    Ok(welcome(
        house,
        &name,
        &account,
        device,
        (grounds, change),
        now,
    ))
}

/// Files a record under a free name, or after the one on file.
fn register(
    house: &House,
    name: &MailboxName,
    account: &Account,
    record: &[u8],
) -> Result<(), Refusal> {
    if house
        .store
        .record(name)
        .map_err(|e| house.disk(e))?
        .is_some()
    {
        return replace(house, name, account, record);
    }
    devices_in_bounds(house, account)?;
    is_admitted(house, name, &account.person)?;
    if account.number != 1 {
        return Err(Refusal::new(
            Class::Denied,
            "the first record of an account here must have number 1",
        ));
    }
    house.rates.enrolments.take(())?;
    names_in_bounds(house, name, &account.person)?;
    match house.store.create_account(name, record) {
        Ok(()) => {
            house.changed(name, account);
            let line = house.log.line(Level::Info, "enrolled");
            line.with("account", name)
                .with("person", &account.person.subject)
                .send();
            Ok(())
        }
        // Somebody was faster.
        Err(StoreError::Taken(_)) => replace(house, name, account, record),
        Err(error) => {
            house.people.release(name);
            Err(house.disk(error))
        }
    }
}

fn is_admitted(house: &House, name: &MailboxName, person: &Person) -> Result<(), Refusal> {
    match house.grounds().admission.admits(name, &person.subject) {
        true => Ok(()),
        false => {
            let text = format!("enrolment as \"{name}\" is not open to {}", person.subject);
            Err(Refusal::new(Class::Denied, text).hint("ask the repository's operator"))
        }
    }
}

fn names_in_bounds(house: &House, name: &MailboxName, person: &Person) -> Result<(), Refusal> {
    let bound = house.config.enrol.max_names;
    let all = || house.store.accounts(None, usize::MAX);
    let read = |name: &MailboxName| account::person(house, name);
    if house.people.claim(name, person, bound, all, read) {
        return Ok(());
    }
    let text = format!("one person may have {bound} names here");
    Err(Refusal::new(Class::Denied, text)
        .hint("take one that you have: smr-register --add-device LABEL NAME"))
}

/// Files the next record of an account, or accepts the present one again.
pub(super) fn replace(
    house: &House,
    name: &MailboxName,
    account: &Account,
    record: &[u8],
) -> Result<(), Refusal> {
    let old = house.store.record(name).map_err(|e| house.disk(e))?;
    let old = old.ok_or_else(judge::stranger)?;
    let filed = judge::open_stored(house, &old)?;
    // Before anything else about the account is said.
    if filed.person != account.person {
        // Whom no name here is open to does not learn which there are.
        is_admitted(house, name, &account.person)?;
        return Err(
            Refusal::new(Class::Denied, format!("the name \"{name}\" is taken"))
                .hint("choose another name"),
        );
    }
    if filed.digest == account.digest {
        return Ok(());
    }
    // A first record is made on a new machine that knows of no other.
    if account.number == 1 {
        return Err(Refusal::new(
            Class::Denied,
            format!("you have the account \"{name}\" already"),
        )
        .hint("smr-register --add-device LABEL NAME"));
    }
    follows(&filed, account).map_err(|e| judge::not_next(&e))?;
    if account.number != filed.number.saturating_add(1) {
        return Err(Refusal::new(
            Class::Denied,
            format!(
                "the record has number {}, expected {}",
                account.number,
                filed.number.saturating_add(1)
            ),
        )
        .hint("fetch the account's present record and try again"));
    }
    devices_in_bounds(house, account)?;
    house.rates.records.take(name.clone())?;
    house
        .store
        .replace_record(name, &old, record)
        .map_err(|e| house.disk(e))?;
    house.changed(name, account);
    log_changes(house, name, &filed, account);
    Ok(())
}

/// Says what a record changed: whoever runs the repository may be asked.
fn log_changes(house: &House, name: &MailboxName, old: &Account, new: &Account) {
    let line = |event, device: &Device| {
        let line = house.log.line(Level::Info, event).with("account", name);
        let line = line
            .with("number", new.number)
            .with("device", &device.label);
        line.with("fingerprint", device.fingerprint).send();
    };
    let record = house.log.line(Level::Info, "record");
    let record = record.with("account", name).with("number", new.number);
    record.send();
    let known = |account: &Account, device: &Device| {
        let mut listed = account.listed();
        listed.any(|d| d.fingerprint == device.fingerprint)
    };
    for device in new.listed().filter(|d| !known(old, d)) {
        line("device-added", device);
    }
    for device in old.listed().filter(|d| !known(new, d)) {
        line("device-removed", device);
    }
    let renewed = |d: &&Device| {
        let mut before = old.listed();
        before.any(|o| o.fingerprint == d.fingerprint && o.epoch < d.epoch)
    };
    for device in new.listed().filter(renewed) {
        line("keys-renewed", device);
    }
}

fn devices_in_bounds(house: &House, account: &Account) -> Result<(), Refusal> {
    let bound = house.config.enrol.max_devices;
    if account.listed().count() <= bound {
        return Ok(());
    }
    let text = format!("an account may have {bound} devices here");
    Err(Refusal::new(Class::Denied, text).hint("which of them is no longer used?"))
}

fn welcome(
    house: &House,
    name: &MailboxName,
    account: &Account,
    device: Fingerprint,
    judged: (Arc<Grounds>, u64),
    now: i64,
) -> (Visit, Answer<'static>) {
    let until = judge::end(house, account, &device, now);
    let presence = Some(house.online.enter(name));
    admitted(name, device, until, false, presence, judged, now)
}

fn admitted(
    name: &MailboxName,
    device: Fingerprint,
    until: i64,
    guest: bool,
    presence: Option<Presence>,
    judged: (Arc<Grounds>, u64),
    now: i64,
) -> (Visit, Answer<'static>) {
    let visit = Visit {
        who: name.clone(),
        device,
        until,
        guest,
        offered: None,
        fetched: None,
        authorisation: None,
        judged: (Arc::downgrade(&judged.0), judged.1),
        presence,
    };
    let answer = greeting(&visit, now);
    (visit, answer)
}

fn greeting(visit: &Visit, now: i64) -> Answer<'static> {
    Answer::plain(Reply::Welcome {
        account: visit.who.clone(),
        until: visit.until,
        now,
    })
}
