//! What every login looks after: the encryption key of a new epoch, and the
//! keys that the repository keeps for the owner.
//!
//! Old keys stay in the ring: what was sealed to them stays readable.

use std::path::Path;

use rand_core::CryptoRngCore;
use smr_name::{Address, Class};
use smr_seal::{Identity, Kind};
use zeroize::Zeroizing;

use crate::backup;
use crate::certified::Certified;
use crate::config::Settings;
use crate::failure::Failure;
use crate::guest::Own;
use crate::home::Home;
use crate::keyring::KeyRing;

/// Tells whether the present encryption key is older than an epoch, or of
/// another kind than is wanted.
pub(crate) fn is_due(ring: &KeyRing, settings: &Settings, now: i64) -> bool {
    let epoch = i64::try_from(settings.epoch).unwrap_or(i64::MAX);
    let wanted = |key: &str| Identity::parse(key).is_ok_and(|i| i.kind() == settings.kind);
    ring.current()
        .is_none_or(|key| now.saturating_sub(key.from) >= epoch || !wanted(&key.identity))
}

/// Begins an epoch: the new key is in the ring on disk before anybody can seal
/// to it.
pub(crate) fn begin_epoch(
    ring: &mut KeyRing,
    path: &Path,
    passphrase: &Zeroizing<String>,
    kind: Kind,
    rng: &mut dyn CryptoRngCore,
    now: i64,
) -> Result<(), Failure> {
    ring.begin_epoch(Identity::generate(kind, rng).encode(), now);
    Ok(ring.save(path, passphrase)?)
}

/// Brings the repository up to date: it keeps each key of this device sealed,
/// and publishes the newest. Asks for nothing where all is done.
pub(crate) fn publish(
    home: &Home,
    settings: &Settings,
    address: &Address,
    ring: &KeyRing,
    now: i64,
) -> Result<(), Failure> {
    let device = Certified::of_ring(ring)?;
    let mut own = Own::of_agent(home, settings, address, now)?;
    let account = own.account(None)?;
    if ring.backup.is_some() && ring.backup != account.backup {
        return Err(Failure::new(
            Class::Denied,
            format!("{address} has another backup by now"),
        )
        .hint("smr-register --restore FILE, with the new one"));
    }
    // Sealed first: what is sealed to a key must be readable after a loss.
    backup::keep(home, &mut own.session, ring, device.fingerprint)?;
    let Some(key) = ring.current() else {
        return Ok(());
    };
    let mut listed = account.listed();
    let listed = listed.find(|d| d.fingerprint == device.fingerprint);
    if listed.is_none_or(|listed| listed.epoch >= key.epoch) {
        return Ok(());
    }
    let statement = device.statement(address, key)?;
    own.publish(None, &device.signer, now, &mut |_, draft| {
        Ok(draft.renew(&device.fingerprint, statement.clone())?)
    })
}
