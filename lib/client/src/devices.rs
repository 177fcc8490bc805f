//! What becomes of devices later: a card certifies one anew, one is removed,
//! a backup gives old keys back.
//!
//! Every change is the next account record, and everybody holds it to the one
//! before (smr-envelope(5)).

use std::path::{Path, PathBuf};

use rand_core::OsRng;
use smr_evidence::account::Account;
use smr_evidence::trust::{Person, Signer};
use smr_name::{Address, Class, Fingerprint};
use smr_seal::Kind;
use zeroize::Zeroizing;

use crate::backup::{self, Backup, Restored};
use crate::certified::{Card, Certified, check_own_card};
use crate::config::{By, Settings};
use crate::enrol::{Answers, refuse_used};
use crate::failure::Failure;
use crate::guest::{Own, repository};
use crate::home::Home;
use crate::keyring::KeyRing;
use crate::login;
use crate::token::Token;
use crate::upkeep;

/// A device as a person names it: its label, or its fingerprint.
pub struct Named<'a>(pub &'a str);

/// One's own account and this machine's key ring for it.
struct Mine {
    address: Address,
    path: PathBuf,
    ring: KeyRing,
    passphrase: Zeroizing<String>,
}

impl Mine {
    fn unlock(
        home: &Home,
        settings: &Settings,
        answers: &mut dyn Answers,
    ) -> Result<Mine, Failure> {
        let address = login::account(home, settings)?;
        let path = home.keyring(&address.mailbox, repository(&address)?);
        let passphrase = answers.passphrase()?;
        let ring = login::unlock(&path, &address, &passphrase)?;
        Ok(Mine {
            address,
            path,
            ring,
            passphrase,
        })
    }

    fn save(&self) -> Result<(), Failure> {
        Ok(self.ring.save(&self.path, &self.passphrase)?)
    }
}

/// What a renewal did.
#[derive(Debug)]
pub struct Renewed {
    /// The account.
    pub address: Address,
    /// The device's label.
    pub label: String,
    /// SHA-256 of the new device certificate.
    pub fingerprint: Fingerprint,
    /// Labels of other devices that left, because their certificates do not
    /// hold any more: each is renewed where it is.
    pub left: Vec<String>,
    /// What did not work out, though the device is renewed.
    pub warning: Option<Failure>,
}

/// Has the card certify this device anew, with a new key; the old one and
/// every device whose certificate no longer holds leave the account. With
/// `backup`, a new backup is written there and takes the place of the old one.
pub fn renew(
    home: &Home,
    settings: &Settings,
    token: &Token,
    backup: Option<&Path>,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<Renewed, Failure> {
    backup.map_or(Ok(()), refuse_used)?;
    let mut mine = Mine::unlock(home, settings, answers)?;
    let card = crate::token::open(token, &mut |prompt| answers.pin(prompt))?;
    let card = check_own_card(home, settings, None, card, now)?;
    let (address, label) = (mine.address.clone(), mine.ring.label.clone());
    let device = Certified::draw(&card, &address, &label, &mut OsRng, now)?;
    let mut own = Own::join(home, settings, &address, &device, now)?;
    let renewed = certify_anew(
        &mut own,
        &mut mine,
        &device,
        &card,
        settings.kind,
        backup,
        now,
    );
    let renewed = renewed.and_then(|left| {
        if settings.login_by == By::Card {
            login::authorise_by(home, settings, &mine.ring, &card, now)?;
        }
        Ok(left)
    });
    drop(card); // the reader is free again
    let entered = renewed.and_then(|left| {
        login::enter(home, settings, &mine.ring, now)?;
        Ok(left)
    });
    let left = entered.inspect_err(|_| {
        // The agent is not to go on as a guest.
        let _ = login::logout(home, &address);
    })?;
    let warning = upkeep::publish(home, settings, &address, &mine.ring, now).err();
    Ok(Renewed {
        address,
        label,
        fingerprint: device.fingerprint,
        left,
        warning,
    })
}

/// Puts the new device in the place of the old one, in the key ring and in the
/// account; returns the labels of those that left besides.
fn certify_anew(
    own: &mut Own,
    mine: &mut Mine,
    device: &Certified,
    card: &Card,
    kind: Kind,
    backup: Option<&Path>,
    now: i64,
) -> Result<Vec<String>, Failure> {
    own.account(Some(&card.person))?;
    // In the ring on disk before anybody can seal to it.
    upkeep::begin_epoch(
        &mut mine.ring,
        &mine.path,
        &mine.passphrase,
        kind,
        &mut OsRng,
        now,
    )?;
    if let Some(file) = backup {
        let drawn = Backup::draw(kind, &mut OsRng);
        drawn.write(file, &mine.address, &mine.ring)?;
        mine.ring.backup = Some(drawn.recipient);
    }
    // Only the card may name another backup; for the rest the device it has
    // just certified signs, and the card is spared a signature.
    let signer: &dyn Signer = match backup {
        Some(_) => card,
        None => &device.signer,
    };
    let left = publish_renewal(own, &mine.ring, device, signer, &card.person, now);
    let left = left.inspect_err(|_| {
        // A backup that no record names is of use to nobody.
        let _ = backup.map(std::fs::remove_file);
    })?;
    mine.ring.device_key = device.key.clone();
    mine.ring.chain = device.chain_der();
    mine.save()?;
    Ok(left)
}

/// Publishes the record in which the new device stands for the old one;
/// returns the labels of those that left besides.
fn publish_renewal(
    own: &mut Own,
    ring: &KeyRing,
    device: &Certified,
    signer: &dyn Signer,
    person: &Person,
    now: i64,
) -> Result<Vec<String>, Failure> {
    let address = own.address.clone();
    let old = ring.chain.first().map(|der| Fingerprint::of(der));
    let mut left = Vec::new();
    own.publish(Some(person), signer, now, &mut |account, draft| {
        let time = now.max(account.time);
        let key = ring.current().ok_or_else(no_key)?;
        for listed in account.listed() {
            if Some(listed.fingerprint) == old || listed.label == ring.label {
                draft.remove(&listed.fingerprint, time)?;
            }
        }
        let stale = draft.remove_stale(time)?;
        let named = account.listed().filter(|d| stale.contains(&d.fingerprint));
        left = named.map(|d| d.label.clone()).collect();
        draft.add(&device.chain, device.statement(&address, key)?)?;
        if signer.certificate().proxy().is_none() {
            draft.set_backup(ring.backup.clone());
        }
        Ok(())
    })?;
    Ok(left)
}

fn no_key() -> Failure {
    Failure::new(Class::Io, "the key ring holds no encryption key")
}

/// Removes a device, signed by this one: whoever holds it can no longer log
/// in, nothing more is sealed to it, and what it signed before still verifies.
pub fn revoke(
    home: &Home,
    settings: &Settings,
    named: &Named,
    now: i64,
) -> Result<(Address, Fingerprint), Failure> {
    let address = login::account(home, settings)?;
    let mut own = Own::of_agent(home, settings, &address, now)?;
    let signer = login::device(home, &address)?;
    let this = Fingerprint::of(signer.certificate().der());
    let removed = publish_removal(&mut own, &signer, None, named, Some(this), now)?;
    Ok((address, removed))
}

/// Removes a device, signed by the person's card, from any machine.
pub fn revoke_by_card(
    home: &Home,
    settings: &Settings,
    address: &Address,
    token: &Token,
    named: &Named,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<Fingerprint, Failure> {
    let card = crate::token::open(token, &mut |prompt| answers.pin(prompt))?;
    let card = check_own_card(home, settings, None, card, now)?;
    let open = login::is_open(home, address);
    let mut own = match open {
        true => Own::of_agent(home, settings, address, now)?,
        false => {
            // Certified for this one errand; no record ever lists it.
            let guest = Certified::draw(&card, address, "guest", &mut OsRng, now)?;
            Own::join(home, settings, address, &guest, now)?
        }
    };
    let removed = publish_removal(&mut own, &card, Some(&card.person), named, None, now);
    if !open {
        // The guest's key is of no more use to anybody.
        let _ = login::logout(home, address);
    }
    removed
}

fn publish_removal(
    own: &mut Own,
    signer: &dyn Signer,
    person: Option<&Person>,
    named: &Named,
    this: Option<Fingerprint>,
    now: i64,
) -> Result<Fingerprint, Failure> {
    let mut removed = None;
    own.publish(person, signer, now, &mut |account, draft| {
        let device = find(account, named)?;
        if Some(device) == this {
            return Err(
                Failure::new(Class::Usage, "a device does not remove itself")
                    .hint("run this on another device, or with the card: --token TOKEN"),
            );
        }
        removed = Some(device);
        Ok(draft.remove(&device, now.max(account.time))?)
    })?;
    removed.ok_or_else(no_key)
}

/// Finds the device that a person named.
fn find(account: &Account, named: &Named) -> Result<Fingerprint, Failure> {
    let is_it = |label: &str, fingerprint: &Fingerprint| {
        label == named.0 || fingerprint.to_string() == named.0
    };
    let mut listed = account.listed();
    let found = listed.find(|d| is_it(&d.label, &d.fingerprint));
    found.map(|d| d.fingerprint).ok_or_else(|| {
        let labels: Vec<String> = account
            .listed()
            .map(|d| format!("\"{}\"", d.label))
            .collect();
        Failure::new(
            Class::Missing,
            format!("{} has no device \"{}\"", account.address, named.0),
        )
        .hint(format!("which of {}?", labels.join(", ")))
    })
}

/// Takes every key that the repository keeps for this account, and that the
/// backup opens, into the key ring; from now on this device's keys are kept
/// there too.
pub fn restore(
    home: &Home,
    settings: &Settings,
    file: &Path,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<(Address, Restored), Failure> {
    let backup = Backup::read(file)?;
    let mut mine = Mine::unlock(home, settings, answers)?;
    login::enter(home, settings, &mine.ring, now)?;
    let mut own = Own::of_agent(home, settings, &mine.address, now)?;
    if own.account(None)?.backup.as_ref() != Some(&backup.recipient) {
        return Err(Failure::new(
            Class::Denied,
            format!(
                "\"{}\" is not the backup of {}",
                file.display(),
                mine.address
            ),
        )
        .hint("which FILE did --backup write last?"));
    }
    let restored = backup::restore(&backup, &mut own.session, &mut mine.ring)?;
    mine.ring.backup = Some(backup.recipient);
    mine.save()?;
    login::enter(home, settings, &mine.ring, now)?;
    upkeep::publish(home, settings, &mine.address, &mine.ring, now)?;
    Ok((mine.address, restored))
}
