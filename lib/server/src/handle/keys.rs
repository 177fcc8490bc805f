//! Sealed encryption keys in smrd's keeping.
//!
//! Opens none of them; what a device gives is its own to give, and goes to
//! devices of the same account alone.

use smr_channel::reply::{KeyEntry, Reply};
use smr_channel::request::MAX_SEALED_KEY;
use smr_name::Class;
use smr_store::{KeyName, StoreError};

use super::{Answer, Body, Intake, Visit, judge};
use crate::house::House;
use crate::refusal::Refusal;

/// Keys in one reply.
const MAX_KEYS: u16 = 256;
/// Bytes of keys in one reply.
const MAX_BODY: usize = 1 << 20;
/// How an age file begins (C2SP age).
const AGE: &[u8] = b"age-encryption.org/v1\n";

/// Makes room for a sealed key of this size.
pub(super) fn intake(size: u32) -> Result<Intake, Refusal> {
    match usize::try_from(size) {
        Ok(length) if size <= MAX_SEALED_KEY => Ok(Intake::Memory(Vec::new(), length)),
        _ => Err(Refusal::new(Class::Usage, "a sealed key is too long")),
    }
}

/// Keeps a key of the session's own device, where the account has a backup
/// that it can be sealed to.
pub(super) fn keep<'a>(
    house: &'a House,
    visit: &Visit,
    epoch: u64,
    size: u32,
    intake: Intake,
) -> Result<Answer<'a>, Refusal> {
    let Intake::Memory(sealed, _) = intake else {
        return Err(Refusal::new(Class::Usage, "a sealed key is missing"));
    };
    if u32::try_from(sealed.len()) != Ok(size) || !sealed.starts_with(AGE) {
        return Err(Refusal::new(
            Class::Usage,
            "the body is no sealed key of the size announced",
        ));
    }
    let record = house.store.record(&visit.who).map_err(|e| house.disk(e))?;
    let record = record.ok_or_else(judge::stranger)?;
    if judge::open_stored(house, &record)?.backup.is_none() {
        return Err(
            Refusal::new(Class::Denied, "the account has no backup to seal keys to")
                .hint("smr-register --renew --backup FILE"),
        );
    }
    let key = KeyName {
        device: *visit.device.as_bytes(),
        epoch,
    };
    let kept = house.store.keep_key(&visit.who, key, &sealed);
    kept.map_err(|error| match error {
        StoreError::TooManyKeys(_) => Refusal::new(Class::Denied, error.to_string()),
        error => house.disk(error),
    })?;
    Ok(Answer::plain(Reply::Done))
}

/// Answers with a page of the account's sealed keys.
pub(super) fn list<'a>(
    house: &'a House,
    visit: &Visit,
    after: Option<([u8; 32], u64)>,
    limit: u16,
) -> Result<Answer<'a>, Refusal> {
    let limit = usize::from(limit.clamp(1, MAX_KEYS));
    let after = after.map(|(device, epoch)| KeyName { device, epoch });
    let found = house.store.keys(&visit.who, after, limit + 1);
    let found = found.map_err(|e| house.disk(e))?;
    let (mut keys, mut bytes, mut body) = (Vec::new(), 0, Body::default());
    let all = found.len();
    for (name, sealed) in found.into_iter().take(limit) {
        bytes += sealed.len();
        if bytes > MAX_BODY {
            break;
        }
        let len = u32::try_from(sealed.len());
        keys.push(KeyEntry {
            device: name.device,
            epoch: name.epoch,
            len: len.map_err(|_| Refusal::new(Class::Broken, "a sealed key is too long"))?,
        });
        body.bytes(sealed);
    }
    let more = keys.len() < all;
    Ok(Answer {
        body,
        ..Answer::plain(Reply::Keys { keys, more })
    })
}
