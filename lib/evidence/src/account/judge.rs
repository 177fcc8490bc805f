//! The judging of a record: who signed it, whose it is, and which of its
//! devices count now.
//!
//! Decides nothing about what the record may be used for: `open` and its
//! sisters do.

use std::cell::RefCell;
use std::fmt;

use smr_name::{Address, Class, Fingerprint};

use super::text::{Listed, Record};
use super::{Account, AccountError, Device, SignedBy, Stale, keys};
use crate::device::{DeviceError, ProxyError, claimed_label, verify_among};
use crate::trust::{
    Certificate, PathError, Person, Revocation, Rules, SignedData, TrustError, TrustStore, as_of,
    check_card, path_class,
};

/// Says why a device that is listed may not act now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Its certificate, or one above it, has expired.
    Expired,
    /// Its card, or a certificate above that, was revoked.
    Revoked,
    /// Whether one was revoked cannot be determined.
    Undetermined,
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lapse::Expired => "expired",
            Lapse::Revoked => "revoked",
            Lapse::Undetermined => "revocation not determined",
        })
    }
}

impl Lapse {
    fn of_device(error: &DeviceError) -> Option<Lapse> {
        match error {
            DeviceError::Proxy(ProxyError::Expired) => Some(Lapse::Expired),
            DeviceError::Card(error) => Lapse::of_card(error),
            _ => None,
        }
    }

    fn of_card(error: &TrustError) -> Option<Lapse> {
        match error {
            TrustError::Path(PathError::Expired { .. }) => Some(Lapse::Expired),
            TrustError::Path(error) => match path_class(error) {
                Class::Denied => Some(Lapse::Revoked),
                Class::Busy => Some(Lapse::Undetermined),
                _ => None,
            },
            TrustError::NotACard { .. } => None,
        }
    }
}

/// A record whose signer held when it signed.
pub(super) struct Judged {
    pub(super) account: Account,
    /// Why each stale device is one.
    devices: Vec<AccountError>,
    /// Why the signer would not hold now.
    pub(super) signer: Option<AccountError>,
}

impl Judged {
    /// Returns the account where its devices may be used.
    pub(super) fn for_use(self) -> Result<Account, AccountError> {
        let mut lapsed = self.devices;
        if let Some(passing) = lapsed.iter().position(|e| e.class() == Class::Busy) {
            return Err(lapsed.swap_remove(passing));
        }
        match lapsed.into_iter().next() {
            Some(first) if self.account.devices.is_empty() => Err(first),
            _ => Ok(self.account),
        }
    }
}

/// Judges what a record says, its signature being verified.
pub(super) fn judge(
    record: &[u8],
    signed: &SignedData,
    text: Record,
    store: &TrustStore,
    rules: &Rules,
) -> Result<Judged, AccountError> {
    let mut judge = Judge {
        record: &text,
        certificates: signed.certificates(),
        store,
        rules,
        believed: RefCell::default(),
        one: None,
        devices: Vec::new(),
        stale: Vec::new(),
        lapsed: Vec::new(),
    };
    for (listed, (_, keys)) in text.devices.iter().zip(&text.keys) {
        judge.device(listed, keys)?;
    }
    let (signed_by, signer) = judge.signer(signed.signer())?;
    let person = judge.one.ok_or(AccountError::Stranger)?;
    let (devices, stale, lapsed) = (judge.devices, judge.stale, judge.lapsed);
    let others = signed.certificates().iter();
    let account = Account {
        person,
        devices,
        stale,
        signed_by,
        chain: others.filter(|c| c.proxy().is_none()).cloned().collect(),
        digest: *Fingerprint::of(record).as_bytes(),
        address: Address::new(text.mailbox, text.repository),
        number: text.number,
        previous: text.previous,
        time: text.time,
        removed: text.removed,
        backup: text.backup,
    };
    Ok(Judged {
        account,
        devices: lapsed,
        signer,
    })
}

/// Who signed, and why he would not hold now.
type Signing = (SignedBy, Option<AccountError>);

/// Finds the one person a record speaks of; a second one is an error.
struct Judge<'a> {
    record: &'a Record,
    certificates: &'a [Certificate],
    store: &'a TrustStore,
    rules: &'a Rules,
    // Cards believed already: all devices of a record usually have one card.
    believed: RefCell<Vec<(Certificate, Person)>>,
    one: Option<Person>,
    devices: Vec<Device>,
    stale: Vec<Stale>,
    /// The errors of the stale ones, in their order.
    lapsed: Vec<AccountError>,
}

impl Judge<'_> {
    fn device(&mut self, listed: &Listed, keys: &[u8]) -> Result<(), AccountError> {
        let device = self.stated(listed, keys)?;
        let owner = self.owner(&listed.certificate, self.rules, &mut |card| self.card(card));
        let source = match owner {
            Ok(person) => {
                self.devices.push(device);
                return self.agree(person);
            }
            Err(source) => source,
        };
        let lapse = Lapse::of_device(&source);
        let error = self.wrong(&listed.label, source);
        let Some(lapse) = lapse else {
            return Err(error);
        };
        self.stale.push(Stale { device, lapse });
        self.lapsed.push(error);
        Ok(())
    }

    /// Returns a device as it is listed, and its own word about its key.
    fn stated(&self, listed: &Listed, keys: &[u8]) -> Result<Device, AccountError> {
        if claimed_label(&listed.certificate).as_deref() != Some(listed.label.as_str()) {
            return Err(AccountError::Rule(
                "a device has another label than its certificate says",
            ));
        }
        let latest = self.rules.now.saturating_add(self.rules.clock_skew);
        let stated =
            keys::open(keys, self.record, listed, latest).map_err(|why| AccountError::Keys {
                label: listed.label.clone(),
                why: why.to_string(),
            })?;
        Ok(Device {
            label: listed.label.clone(),
            certificate: listed.certificate.clone(),
            fingerprint: listed.fingerprint,
            epoch: stated.epoch,
            from: stated.from,
            recipient: stated.recipient,
            keys: keys.to_vec(),
        })
    }

    fn wrong(&self, label: &str, source: DeviceError) -> AccountError {
        AccountError::Device {
            label: label.to_owned(),
            account: self.record.account(),
            source,
        }
    }

    /// Returns who signed, and why he would not hold now; he must hold then.
    fn signer(&mut self, signer: &Certificate) -> Result<Signing, AccountError> {
        if signer.proxy().is_some() {
            return self.signing_device(signer);
        }
        let (person, lapsed) = match self.card(signer) {
            Ok(person) => (person, None),
            Err(error) => match Lapse::of_card(&error) {
                Some(lapse) => {
                    let person = self.card_by(signer, &self.then(lapse))?;
                    (person, Some(error.into()))
                }
                None => return Err(error.into()),
            },
        };
        self.agree(person)?;
        Ok((SignedBy::Card, lapsed))
    }

    fn signing_device(&mut self, signer: &Certificate) -> Result<Signing, AccountError> {
        if let Some(known) = self.devices.iter().find(|d| d.certificate == *signer) {
            return Ok((SignedBy::Device(known.fingerprint), None));
        }
        let mut stale = self.stale.iter();
        let known = stale.find(|s| s.device.certificate == *signer);
        let Stale { device, lapse } = known.ok_or(AccountError::Stranger)?;
        let by = SignedBy::Device(device.fingerprint);
        let judged = |rules: &Rules| {
            self.owner(signer, rules, &mut |card| self.card_by(card, rules))
                .map_err(|source| self.wrong(&device.label, source))
        };
        let (person, lapsed) = (judged(&self.then(*lapse))?, judged(self.rules).err());
        self.agree(person)?;
        Ok((by, lapsed))
    }

    /// Returns the rules as of the time of the record, for a signer who would
    /// not hold now: authorities forget what has expired, so that nothing may
    /// be left to tell whether it was revoked before.
    fn then(&self, lapse: Lapse) -> Rules {
        let revocation = match (lapse, self.rules.revocation) {
            (Lapse::Expired, Revocation::Require) => Revocation::Prefer,
            (_, own) => own,
        };
        Rules {
            revocation,
            ..as_of(self.rules, self.record.time)
        }
    }

    /// Returns whose device it is, its card being judged by `check`.
    fn owner(
        &self,
        device: &Certificate,
        rules: &Rules,
        check: &mut dyn FnMut(&Certificate) -> Result<Person, TrustError>,
    ) -> Result<Person, DeviceError> {
        let (name, repository) = (&self.record.mailbox, &self.record.repository);
        let found = verify_among(device, self.certificates, name, repository, rules, check);
        found.map(|(person, _)| person)
    }

    fn card_by(&self, card: &Certificate, rules: &Rules) -> Result<Person, TrustError> {
        check_card(card, self.certificates, self.store, rules)
    }

    fn card(&self, card: &Certificate) -> Result<Person, TrustError> {
        let mut believed = self.believed.borrow_mut();
        if let Some((_, person)) = believed.iter().find(|(known, _)| known == card) {
            return Ok(person.clone());
        }
        let person = self.card_by(card, self.rules)?;
        believed.push((card.clone(), person.clone()));
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
