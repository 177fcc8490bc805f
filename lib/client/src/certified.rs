//! What a card makes for a device: its key, the certificate for it, and the
//! chain that goes with it.
//!
//! Nothing leaves this machine before the card's own certificate has verified
//! here.

use std::path::Path;

use rand_core::CryptoRngCore;
use smr_evidence::account::keys_statement;
use smr_evidence::device::{self, DeviceError};
use smr_evidence::trust::{
    Algorithm, Certificate, Person, Revocation, Signer, SignerError, SoftKey, Vouched,
    generate_p256, verify_card,
};
use smr_name::{Address, Class, Fingerprint};
use smr_seal::Identity;
use zeroize::Zeroizing;

use crate::config::Settings;
use crate::failure::Failure;
use crate::grounds;
use crate::home::Home;
use crate::keyring::{EpochKey, KeyRing};

/// A device certificate lasts three years, or as long as its card's.
const DEVICE_YEARS: i64 = 3 * 365 * 86_400;
/// Clocks differ: the certificate begins a little before it is made.
const BACKDATE: i64 = 300;

/// A device that a card has just certified.
pub(crate) struct Certified {
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// Device, card, authorities.
    pub(crate) chain: Vec<Certificate>,
    pub(crate) fingerprint: Fingerprint,
    /// Signs with the new key.
    pub(crate) signer: SoftKey,
}

impl Certified {
    /// Draws a key and has the card sign for it, once.
    pub(crate) fn draw(
        card: &dyn Signer,
        address: &Address,
        label: &str,
        rng: &mut dyn CryptoRngCore,
        now: i64,
    ) -> Result<Certified, Failure> {
        let repository = address.repository.as_ref();
        let repository = repository.ok_or_else(|| broken(&"no repository"))?;
        let (key, spki) = generate_p256().map_err(|e| broken(&e))?;
        let mut serial = [0; 16];
        rng.fill_bytes(&mut serial);
        let request = device::request(
            &address.mailbox,
            repository,
            label,
            spki,
            now - BACKDATE,
            now + DEVICE_YEARS,
            serial,
        )?;
        let certificate = device::issue(&request, card)
            .map_err(|e| Failure::from(DeviceError::from(e)).about("the card did not sign"))?;
        let mut chain = vec![certificate, card.certificate().clone()];
        chain.extend(card.chain().iter().cloned());
        Certified::of(key, chain)
    }

    /// Takes a key with its chain, the device's certificate first.
    pub(crate) fn of(
        key: Zeroizing<Vec<u8>>,
        chain: Vec<Certificate>,
    ) -> Result<Certified, Failure> {
        let (device, issuers) = chain
            .split_first()
            .ok_or_else(|| broken(&"a device has no certificate"))?;
        let fingerprint = Fingerprint::of(device.der());
        let signer =
            SoftKey::from_pkcs8(&key, device.clone(), issuers.to_vec()).map_err(|e| broken(&e))?;
        Ok(Certified {
            key,
            fingerprint,
            signer,
            chain,
        })
    }

    /// Takes the device of a key ring.
    pub(crate) fn of_ring(ring: &KeyRing) -> Result<Certified, Failure> {
        let chain = ring.chain.iter().map(|der| Certificate::from_der(der));
        let chain = chain.collect::<Result<_, _>>().map_err(|error| {
            Failure::new(
                Class::Io,
                format!("a certificate in the key ring is damaged: {error}"),
            )
        })?;
        Certified::of(ring.device_key.clone(), chain)
    }

    /// Returns the chain in DER.
    pub(crate) fn chain_der(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|c| c.der().to_vec()).collect()
    }

    /// Signs the statement that this device uses `key` from its beginning on.
    pub(crate) fn statement(&self, address: &Address, key: &EpochKey) -> Result<Vec<u8>, Failure> {
        let identity = Identity::parse(&key.identity).map_err(|e| broken(&e))?;
        let recipient = identity.to_recipient().to_string();
        Ok(keys_statement(
            address,
            &self.fingerprint,
            key.epoch,
            key.from,
            &recipient,
            &self.signer,
        )?)
    }
}

pub(crate) fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Class::Broken, error.to_string())
}

/// Verifies the card as smrd and everybody else will, and says whose it is;
/// revocation as far as lists are at hand, for smrd looks it up in any case.
pub(crate) fn check_own_card(
    home: &Home,
    settings: &Settings,
    anchors: Option<&Path>,
    card: Box<dyn Signer>,
    now: i64,
) -> Result<Card, Failure> {
    let store = grounds::load(home, settings, anchors)?;
    let mut rules = grounds::rules(settings, now);
    if rules.revocation == Revocation::Require {
        rules.revocation = Revocation::Prefer;
    }
    let vouched = verify_card(card.certificate(), card.chain(), &store, &rules);
    let vouched = vouched.map_err(|error| {
        Failure::new(
            Class::Denied,
            format!("the certificate is refused: {error}"),
        )
        .hint("is its authority in trust.d, and the clock right?")
    })?;
    Ok(Card::of(card, vouched))
}

/// A card that has verified here, with the authorities that bore it out: cards
/// do not always hold their certificates, and a stranger has the anchors alone.
pub(crate) struct Card {
    pub(crate) person: Person,
    signer: Box<dyn Signer>,
    chain: Vec<Certificate>,
}

impl Card {
    /// Takes a card and the verdict on its certificate.
    pub(crate) fn of(signer: Box<dyn Signer>, vouched: Vouched) -> Card {
        let path = vouched.verdict.chain;
        // Neither the card's own certificate nor the anchor.
        let between = path.get(1..path.len().saturating_sub(1));
        Card {
            person: vouched.person,
            signer,
            chain: between.unwrap_or_default().to_vec(),
        }
    }
}

impl Signer for Card {
    fn certificate(&self) -> &Certificate {
        self.signer.certificate()
    }

    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.signer.sign(message)
    }
}
