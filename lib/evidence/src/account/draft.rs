//! Drafts of account records, and their signing.
//!
//! Verifies nothing about the devices in them: `open` does, before anybody
//! publishes what came out.

use smr_name::{Address, Fingerprint};
use smr_pki::cms::{Content, ContentType, SignRequest};
use smr_pki::proxy;

use super::keys::Chained;
use super::text::{Listed, Record, Removed};
use super::{Account, AccountError, Lapse, MAX_RECORD, whole};
use crate::device::claimed_label;
use crate::trust::{Certificate, Signer};

/// Collects what the next record shall say.
#[derive(Clone, Debug)]
pub struct Draft {
    address: Address,
    number: u64,
    previous: Option<[u8; 32]>,
    backup: Option<String>,
    /// Whether the record before names another backup recipient.
    moves_backup: bool,
    devices: Vec<(Certificate, Vec<u8>)>,
    /// The listed devices that will never act again.
    spent: Vec<Fingerprint>,
    removed: Vec<Removed>,
    chain: Vec<Certificate>,
}

impl Draft {
    /// Begins the first record of an account.
    pub fn first(address: Address, backup: Option<String>) -> Draft {
        Draft {
            address,
            number: 1,
            previous: None,
            backup,
            moves_backup: false,
            devices: Vec::new(),
            spent: Vec::new(),
            removed: Vec::new(),
            chain: Vec::new(),
        }
    }

    /// Begins the record after this one, with all that it says.
    pub fn after(account: &Account) -> Draft {
        let spent = account.stale.iter();
        let spent = spent.filter(|s| s.lapse != Lapse::Undetermined);
        Draft {
            address: account.address.clone(),
            number: account.number.saturating_add(1),
            previous: Some(account.digest),
            backup: account.backup.clone(),
            moves_backup: false,
            devices: account
                .listed()
                .map(|d| (d.certificate.clone(), d.keys.clone()))
                .collect(),
            spent: spent.map(|s| s.device.fingerprint).collect(),
            removed: account.removed.clone(),
            chain: account.chain.clone(),
        }
    }

    /// Adds a device: its chain (device, card, authorities) and its statement.
    /// A label is free once the device that had it is removed.
    pub fn add(&mut self, chain: &[Certificate], keys: Vec<u8>) -> Result<(), AccountError> {
        let (device, others) = chain
            .split_first()
            .ok_or(AccountError::Rule("a device has no certificate"))?;
        self.devices.push((device.clone(), keys));
        self.carry(others);
        Ok(())
    }

    /// Replaces the statement of a listed device.
    pub fn renew(&mut self, device: &Fingerprint, keys: Vec<u8>) -> Result<(), AccountError> {
        let place = self.place(device)?;
        // `place` found it at this index.
        self.devices[place].1 = keys;
        Ok(())
    }

    /// Moves a device to those removed, at `time` (unix seconds).
    pub fn remove(&mut self, device: &Fingerprint, time: i64) -> Result<(), AccountError> {
        let place = self.place(device)?;
        self.devices.remove(place);
        self.removed.push(Removed {
            fingerprint: *device,
            time,
        });
        Ok(())
    }

    /// Removes every device that has expired or whose card was revoked, at
    /// `time` (unix seconds); returns which.
    pub fn remove_stale(&mut self, time: i64) -> Result<Vec<Fingerprint>, AccountError> {
        let spent = std::mem::take(&mut self.spent);
        let left: Vec<Fingerprint> = spent
            .into_iter()
            .filter(|device| self.place(device).is_ok())
            .collect();
        left.iter()
            .try_for_each(|device| self.remove(device, time))?;
        Ok(left)
    }

    /// Names another backup recipient; such a record must be signed by a card.
    pub fn set_backup(&mut self, backup: Option<String>) {
        self.moves_backup |= self.number > 1 && backup != self.backup;
        self.backup = backup;
    }

    fn place(&self, device: &Fingerprint) -> Result<usize, AccountError> {
        let is_it = |(c, _): &(Certificate, Vec<u8>)| Fingerprint::of(c.der()) == *device;
        let place = self.devices.iter().position(is_it);
        place.ok_or(AccountError::Rule("the device is not listed"))
    }

    /// Takes along what others need to verify a device; anchors they have.
    fn carry(&mut self, certificates: &[Certificate]) {
        for certificate in certificates {
            if !certificate.is_self_issued() && !self.chain.contains(certificate) {
                self.chain.push(certificate.clone());
            }
        }
    }

    /// Drops cards that signed no listed device, and authorities that nobody
    /// is left to need: renewed cards would heap up for years.
    fn drop_idle(&mut self, signer: &Certificate) {
        let signed = |card: &Certificate| {
            let fits = |d: &Certificate| proxy::verify(d, card, d.not_before()).is_ok();
            self.devices.iter().any(|(device, _)| fits(device))
        };
        let (mut idle, mut needed): (Vec<_>, Vec<_>) = std::mem::take(&mut self.chain)
            .into_iter()
            .partition(|c| c.is_ca() || !signed(c));
        idle.retain(Certificate::is_ca);
        loop {
            let issues = |c: &Certificate| {
                let below = needed.iter().chain([signer]);
                let mut names = below.map(Certificate::issuer_der);
                names.any(|name| name == c.subject_der())
            };
            let (found, rest): (Vec<_>, Vec<_>) = idle.into_iter().partition(issues);
            idle = rest;
            if found.is_empty() {
                break;
            }
            needed.extend(found);
        }
        self.chain = needed;
    }

    /// Refuses a signer that nobody would believe.
    fn check_signer(&self, signer: &Certificate) -> Result<(), AccountError> {
        if signer.proxy().is_none() {
            return Ok(());
        }
        let own = Fingerprint::of(signer.der());
        if self.removed.iter().any(|r| r.fingerprint == own) {
            return Err(AccountError::NeedsCard("a device cannot remove itself"));
        }
        match self.moves_backup {
            true => Err(AccountError::NeedsCard(
                "a device cannot change the backup recipient",
            )),
            false => Ok(()),
        }
    }

    fn record(&self, time: i64) -> Result<Record, AccountError> {
        let (mailbox, repository) = whole(&self.address)?;
        let listed = |device: &Certificate| {
            Ok(Listed {
                label: claimed_label(device)
                    .ok_or(AccountError::Rule("a device's certificate names no label"))?,
                fingerprint: Fingerprint::of(device.der()),
                certificate: device.clone(),
            })
        };
        let keys =
            |(device, keys): &(Certificate, Vec<u8>)| (Fingerprint::of(device.der()), keys.clone());
        Ok(Record {
            mailbox: mailbox.clone(),
            repository: repository.clone(),
            number: self.number,
            previous: self.previous,
            time,
            backup: self.backup.clone(),
            devices: self
                .devices
                .iter()
                .map(|(d, _)| listed(d))
                .collect::<Result<_, AccountError>>()?,
            keys: self.devices.iter().map(keys).collect(),
            removed: self.removed.clone(),
        })
    }
}

/// Signs a draft at `now` (unix seconds), by a listed device or a card of the
/// same person: CMS DER with the text attached and, beside the signer's
/// certificate, the cards and authorities of all devices; at most 64 KiB.
///
/// A device cannot remove itself, nor change the backup recipient: a card can.
pub fn build(draft: &Draft, signer: &dyn Signer, now: i64) -> Result<Vec<u8>, AccountError> {
    draft.check_signer(signer.certificate())?;
    let mut draft = draft.clone();
    draft.carry(signer.chain());
    draft.drop_idle(signer.certificate());
    draft.chain.retain(|c| c != signer.certificate());
    let text = draft.record(now)?.write()?;
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Attached(text.as_bytes()),
        signing_time: now,
        receipt_request: None,
        msg_sig_digest: None,
    };
    let chain = &draft.chain;
    let record = smr_pki::cms::sign(&request, &Chained { signer, chain })?;
    (record.len() <= MAX_RECORD)
        .then_some(record)
        .ok_or(AccountError::TooLong)
}
