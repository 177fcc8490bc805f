//! Whether an account record can come after another.
//!
//! Verifies no signature: both records were opened.

use smr_name::Fingerprint;

use super::{Account, AccountError, Device, SignedBy};

/// Verifies that `new` may replace `old`, the record seen last.
///
/// The same record again is fine; a lower number, another record of the same
/// number, or a next one that does not name `old`, is a rollback or a fork
/// (76). Where records in between were not seen their hashes cannot be
/// checked, but all other rules hold: the same person, time that does not run
/// back, removed devices that stay removed and were removed after `old`, no
/// device that vanishes, no key of an earlier epoch or time. Devices that may
/// not act now count as listed.
pub fn follows(old: &Account, new: &Account) -> Result<(), AccountError> {
    let rule = |held: bool, why| {
        held.then_some(()).ok_or_else(|| AccountError::NotNext {
            account: old.address.to_string(),
            why,
        })
    };
    rule(new.address == old.address, "it is another account's")?;
    rule(new.person == old.person, "it belongs to another person")?;
    rule(
        new.number >= old.number,
        "an older record was put in its place",
    )?;
    if new.number == old.number {
        return rule(
            new.digest == old.digest,
            "there are two records of one number",
        );
    }
    let next = new.number == old.number.saturating_add(1);
    rule(
        !next || new.previous == Some(old.digest),
        "it follows another record than the one known",
    )?;
    rule(new.time >= old.time, "it is dated before the one known")?;
    rule(
        !next || new.backup == old.backup || new.signed_by == SignedBy::Card,
        "a device changed the backup recipient, which only a card may",
    )?;
    rule(
        old.removed.iter().all(|r| new.removed.contains(r)),
        "a removed device came back",
    )?;
    let fresh = new.removed.iter().filter(|r| !old.removed.contains(r));
    rule(
        fresh.clone().all(|r| r.time >= old.time),
        "a device was removed in the past",
    )?;
    rule(
        !next || fresh.clone().all(|r| listed(old, &r.fingerprint).is_some()),
        "a device was removed that never was",
    )?;
    rule(
        old.listed().all(|d| device_holds(d, new)),
        "a device vanished, or went back to an earlier key",
    )
}

fn listed<'a>(account: &'a Account, fingerprint: &Fingerprint) -> Option<&'a Device> {
    account.listed().find(|d| d.fingerprint == *fingerprint)
}

fn device_holds(old: &Device, new: &Account) -> bool {
    let Some(now) = listed(new, &old.fingerprint) else {
        return new.removal(&old.fingerprint).is_some();
    };
    let keys = match now.epoch > old.epoch {
        true => now.recipient != old.recipient && now.from >= old.from,
        false => (now.epoch, &now.recipient) == (old.epoch, &old.recipient),
    };
    now.label == old.label && keys
}
