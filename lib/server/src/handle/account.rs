//! Account records: handing them out, taking new ones, and the directory.
//!
//! Hands out CRLs as they are: they are signed, and the reader verifies them.

use std::collections::HashSet;

use smr_channel::reply::{Reply, UserLine};
use smr_evidence::account::Account;
use smr_evidence::trust::{Certificate, Person};
use smr_name::{Class, Fingerprint, MailboxName};

use super::{Answer, Body, Intake, Visit, introduce, judge};
use crate::grounds::Grounds;
use crate::holder;
use crate::house::House;
use crate::refusal::Refusal;

pub(super) use smr_evidence::account::MAX_RECORD;

/// Users in one reply, so that the reply fits its chunk.
const MAX_USERS: u16 = 200;
/// Lists and answers that go with one record.
const MAX_LISTS: usize = 256;
/// Bytes of all lists in one reply, unless the first alone has more.
const MAX_LISTS_BODY: usize = 16 << 20;

pub(super) fn no_mailbox(names: &[MailboxName]) -> Refusal {
    let names: Vec<&str> = names.iter().map(MailboxName::as_str).collect();
    let text = format!("no such mailbox: {}", names.join(", "));
    Refusal::new(Class::NoMailbox, text).hint("list the users: smr-ls users")
}

/// Answers with a record, unless it is the one `known`, and which CRLs and
/// OCSP answers there are on its certificates.
pub(super) fn account<'a>(
    house: &'a House,
    name: &MailboxName,
    known: Option<&[u8; 32]>,
) -> Result<Answer<'a>, Refusal> {
    let record = house.store.record(name).map_err(|e| house.disk(e))?;
    let mut record = record.ok_or_else(|| no_mailbox(std::slice::from_ref(name)))?;
    let grounds = house.grounds();
    let digest = *Fingerprint::of(&record).as_bytes();
    // A record that smrd no longer believes is handed out all the same: its
    // reader judges for himself.
    let wanted = grounds.beside.of(&digest, || {
        let filed = judge::open_stored_by(house, &grounds, &record).ok()?;
        let mut wanted = places(&grounds, &filed);
        wanted.truncate(MAX_LISTS);
        Some(wanted)
    });
    let lists = wanted.iter().filter_map(|place| grounds.listed(*place));
    if known == Some(&digest) {
        record.clear();
    }
    let reply = Reply::Account {
        name: name.clone(),
        record_len: length(record.len())?,
        lists: lists.collect(),
    };
    let mut body = Body::default();
    body.bytes(record);
    Ok(Answer {
        body,
        ..Answer::plain(reply)
    })
}

/// Answers with as many of these lists as a reply holds, the first always.
pub(super) fn lists<'a>(house: &'a House, digests: &[[u8; 32]]) -> Result<Answer<'a>, Refusal> {
    let grounds = house.grounds();
    let (mut lens, mut all, mut body) = (Vec::new(), 0, Body::default());
    for digest in digests {
        let place = grounds.place_of(digest);
        let size = place.and_then(|place| grounds.der_at(place));
        let size = size.map_or(0, |der| der.len());
        all += size;
        if all > MAX_LISTS_BODY && !lens.is_empty() {
            break;
        }
        lens.push(length(size)?);
        if let Some(place) = place {
            body.list(grounds.clone(), place);
        }
    }
    Ok(Answer {
        body,
        ..Answer::plain(Reply::Lists { lens })
    })
}

fn length(bytes: usize) -> Result<u32, Refusal> {
    u32::try_from(bytes).map_err(|_| Refusal::new(Class::Broken, "a record or a CRL is too large"))
}

/// Finds the answers on the record's certificates, the CRLs of every issuer
/// above them, and after these the configured CRLs of other authorities below
/// those: a card may sign with a key that one of them has certified, which no
/// record shows.
fn places(grounds: &Grounds, account: &Account) -> Vec<usize> {
    let trust = &grounds.trust;
    let anchors = trust.realms.iter().flat_map(|realm| &realm.anchors);
    let known: Vec<_> = trust.intermediates.iter().chain(anchors).collect();
    let devices = account.devices.iter().map(|d| &d.certificate);
    let mut issuers: HashSet<&[u8]> = HashSet::new();
    let mut above: Vec<&[u8]> = account
        .chain
        .iter()
        .chain(devices)
        .map(|c| c.issuer_der())
        .collect();
    while let Some(issuer) = above.pop() {
        if issuers.insert(issuer) {
            let its = known.iter().filter(|c| c.subject_der() == issuer);
            above.extend(its.map(|c| c.issuer_der()));
        }
    }
    let above = |c: &Certificate| {
        let mut above = known.iter().filter(|k| k.subject_der() == c.issuer_der());
        above.next().copied().cloned()
    };
    let asked: Vec<_> = account
        .chain
        .iter()
        .filter_map(|c| Some((c, above(c)?)))
        .collect();
    let answers = trust.ocsp.iter().enumerate();
    let answers = answers.filter(|(_, answer)| {
        let mut asked = asked.iter();
        asked.any(|(subject, issuer)| answer.about(subject, issuer).is_some())
    });
    let siblings: HashSet<&[u8]> = known
        .iter()
        .filter(|c| issuers.contains(c.issuer_der()))
        .map(|c| c.subject_der())
        .collect();
    let (own, others): (Vec<_>, Vec<_>) = trust
        .crls
        .iter()
        .enumerate()
        .partition(|(_, crl)| issuers.contains(crl.issuer_der.as_slice()));
    let others = others.into_iter().filter(|(place, crl)| {
        grounds.is_configured(*place) && siblings.contains(crl.issuer_der.as_slice())
    });
    answers
        .map(|(place, _)| trust.crls.len() + place)
        .chain(own.into_iter().map(|(place, _)| place))
        .chain(others.map(|(place, _)| place))
        .collect()
}

/// Files the next record of the session's own account.
pub(super) fn publish<'a>(
    house: &'a House,
    visit: &Visit,
    intake: Intake,
    now: i64,
) -> Result<Answer<'a>, Refusal> {
    let Intake::Memory(record, _) = intake else {
        return Err(Refusal::new(Class::Usage, "a record is missing"));
    };
    let grounds = house.grounds();
    let account = judge::open_new(house, &grounds, &record, now)?;
    if judge::is_ours(house, &account).as_ref() != Some(&visit.who) {
        return Err(Refusal::new(
            Class::Denied,
            "the record is another account's",
        ));
    }
    introduce::replace(house, &visit.who, &account, &record)?;
    Ok(Answer::plain(Reply::Done))
}

/// Answers with a page of the directory.
pub(super) fn users<'a>(
    house: &'a House,
    after: Option<&MailboxName>,
    limit: u16,
) -> Result<Answer<'a>, Refusal> {
    let limit = usize::from(limit.clamp(1, MAX_USERS));
    let names = house.store.accounts(after, limit + 1);
    let more = names.len() > limit;
    let users = names
        .into_iter()
        .take(limit)
        .map(|name| UserLine {
            person: house.people.shown(&name, || person(house, &name)),
            online: house.online.has(&name),
            name,
        })
        .collect();
    Ok(Answer::plain(Reply::Users { users, more }))
}

/// Says whose account it is by the record on file.
pub(super) fn person(house: &House, name: &MailboxName) -> Option<Person> {
    let record = house.store.record(name).ok().flatten()?;
    holder::of(&record, &house.grounds().trust, &house.realms)
}
