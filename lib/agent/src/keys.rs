//! The secrets of one account: its device's key and its age identities, in
//! locked memory.
//!
//! Signs only what it has composed itself (login, enrol) or has checked to be
//! the signed attributes of a CMS signature; gives no secret away but one key,
//! which opens nothing but what tools remember for themselves.

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use smr_channel::handshake::Introduction;
use smr_channel::local::{Entrance, Load, Stanza};
use smr_name::{Class, Fingerprint, MailboxName, MessageId};
use smr_seal::{FileKey, SealError};
use zeroize::Zeroizing;

use crate::attributes::{self, AttributesError};
use crate::identities::Identities;
use crate::locked::Locked;

/// Separates ids from whatever else may one day be derived from their secret.
const ID_LABEL: &[u8] = b"smr message id\0";
const SHELF_LABEL: &[u8] = b"smr shelf key\0";
/// Bytes of the secret of ids.
const ONCE: usize = 32;

/// Says why secrets cannot be taken or used; never shows them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum KeysError {
    /// Not a device's private key.
    #[error("the device key is not a P-256 key in PKCS#8")]
    DeviceKey,
    /// Not an age identity.
    #[error("an age identity of the key ring cannot be read")]
    Identity,
    /// Not a secret of ids.
    #[error("the secret of ids has not {ONCE} bytes")]
    Once,
    /// The chain to join with begins with another certificate.
    #[error("the chain of certificates is not this device's")]
    Chain,
    /// Locked or logged out in the meantime.
    #[error("the account was locked")]
    Wiped,
    /// ring could not sign.
    #[error("the device key does not sign")]
    Sign,
    /// The header of a sealed file is malformed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Not what the device signs.
    #[error(transparent)]
    Attributes(#[from] AttributesError),
}

impl KeysError {
    /// Returns the class of this failure.
    pub(crate) fn class(&self) -> Class {
        match self {
            KeysError::DeviceKey
            | KeysError::Identity
            | KeysError::Once
            | KeysError::Chain
            | KeysError::Seal(_) => Class::Forged,
            KeysError::Wiped => Class::Unavailable,
            KeysError::Sign => Class::Broken,
            KeysError::Attributes(error) => error.class(),
        }
    }
}

/// The unlocked secrets of one account; wiped on drop.
pub(crate) struct Keys {
    device: Locked<EcdsaKeyPair>,
    fingerprint: [u8; 32],
    identities: Identities,
    once: Locked<hmac::Key>,
}

impl Keys {
    /// Takes the secrets that a tool hands over.
    pub(crate) fn new(load: &Load) -> Result<Self, KeysError> {
        if let Entrance::Join { chain } = &load.entrance {
            is_first(chain, &load.device)?;
        }
        let device = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            load.device_key.expose(),
            &SystemRandom::new(),
        );
        Ok(Keys {
            device: Locked::new(device.map_err(|_| KeysError::DeviceKey)?),
            fingerprint: load.device,
            identities: Identities::new(&load.identities).map_err(|_| KeysError::Identity)?,
            once: match load.once.expose() {
                secret if secret.len() == ONCE => {
                    Locked::new(hmac::Key::new(hmac::HMAC_SHA256, secret))
                }
                _ => return Err(KeysError::Once),
            },
        })
    }

    /// Returns the id that belongs to a key: the first 16 bytes of its
    /// HMAC-SHA256 under the account's own secret, so that nobody else can
    /// tell which id comes of which key.
    pub(crate) fn derive(&self, key: &str) -> MessageId {
        let mut mac = hmac::Context::with_key(&self.once);
        mac.update(ID_LABEL);
        mac.update(key.as_bytes());
        let mac = mac.sign();
        let mut id = [0; 16];
        let half = mac.as_ref().get(..id.len());
        id.copy_from_slice(half.expect("an HMAC-SHA256 has 32 bytes"));
        MessageId::from_bytes(id)
    }

    /// Returns the key under which tools seal what they keep for themselves: the
    /// HMAC-SHA256 of a label under the account's own secret. No id comes of the
    /// same bytes, for their label is another one.
    pub(crate) fn shelf_key(&self) -> Zeroizing<[u8; 32]> {
        let mac = hmac::sign(&self.once, SHELF_LABEL);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(mac.as_ref());
        key
    }

    /// Signs the signed attributes of a CMS signature; ECDSA in DER.
    pub(crate) fn sign(&self, signed_attributes: &[u8]) -> Result<Vec<u8>, KeysError> {
        attributes::check(signed_attributes)?;
        self.sign_bytes(signed_attributes)
    }

    /// Introduces the device in the handshake with this hash.
    pub(crate) fn introduce(
        &self,
        hash: &[u8; 32],
        account: &MailboxName,
        entrance: &Entrance,
    ) -> Result<Introduction, KeysError> {
        let device = self.fingerprint;
        match entrance {
            Entrance::Login => Ok(Introduction::Login {
                account: account.clone(),
                device,
                signature: self.sign_bytes(&Introduction::login_to_sign(hash, account, &device))?,
            }),
            Entrance::Enrol { record } => {
                let to_sign = Introduction::enrol_to_sign(hash, account, &device, record);
                Ok(Introduction::Enrol {
                    record: record.clone(),
                    signature: self.sign_bytes(&to_sign)?,
                })
            }
            Entrance::Join { chain } => Ok(Introduction::Join {
                account: account.clone(),
                chain: chain.clone(),
                signature: self.sign_bytes(&Introduction::join_to_sign(hash, account, &device))?,
            }),
            Entrance::Card { authorisation } => {
                let to_sign =
                    Introduction::card_login_to_sign(hash, account, &device, authorisation);
                Ok(Introduction::CardLogin {
                    account: account.clone(),
                    device,
                    authorisation: authorisation.clone(),
                    signature: self.sign_bytes(&to_sign)?,
                })
            }
        }
    }

    /// Finds the file key in the stanzas of one sealed file; none where no
    /// identity fits. Asks before each identity whether to go on, for hundreds
    /// of them take a while.
    pub(crate) fn unwrap(
        &self,
        stanzas: &[Stanza],
        go_on: impl Fn() -> bool,
    ) -> Result<Option<FileKey>, KeysError> {
        let stanzas: Vec<_> = stanzas
            .iter()
            .map(|s| smr_seal::Stanza {
                tag: s.tag.clone(),
                args: s.args.clone(),
                body: s.body.clone(),
            })
            .collect();
        for identity in self.identities.iter() {
            if !go_on() {
                return Err(KeysError::Wiped);
            }
            if let Some(key) = smr_seal::unwrap(&[identity?], &stanzas)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn sign_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>, KeysError> {
        let signature = self.device.sign(&SystemRandom::new(), bytes);
        Ok(signature.map_err(|_| KeysError::Sign)?.as_ref().to_vec())
    }
}

fn is_first(chain: &[Vec<u8>], device: &[u8; 32]) -> Result<(), KeysError> {
    let first = chain.first().map(|der| Fingerprint::of(der));
    match first == Some(Fingerprint::from_bytes(*device)) {
        true => Ok(()),
        false => Err(KeysError::Chain),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use age::Recipient;
    use age_core::format::FileKey;
    use rand_core::OsRng;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    };
    use smr_channel::handshake::Introduction;
    use smr_channel::local::{Entrance, Load, Secret, Stanza};
    use smr_name::Fingerprint;
    use smr_seal::Identity;

    use super::{Keys, KeysError};
    use crate::attributes::tests::data;

    pub(crate) fn load(identities: &[Identity]) -> Load {
        let rng = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).unwrap();
        Load {
            account: "rui@repo.example".parse().unwrap(),
            server: "localhost:1".to_owned(),
            identity: String::new(),
            device_key: Secret::copy_of(key.as_ref()),
            device: [4; 32],
            identities: identities
                .iter()
                .map(|i| Secret::copy_of(i.encode().as_bytes()))
                .collect(),
            once: Secret::copy_of(&[5; 32]),
            lifetime: 3600,
            idle: 0,
            suites: smr_channel::suite::Suite::ALL.to_vec(),
            entrance: Entrance::Login,
        }
    }

    #[test]
    fn a_shelf_has_one_key_under_each_secret() {
        let keys = Keys::new(&load(&[])).unwrap();
        // printf 'smr shelf key\0' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0505...05
        let key: String = keys
            .shelf_key()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            key,
            "2c8749aaa0171099d452c07925f6d3595788da523bcd3ca6dce2aabe20090cd6"
        );
        let mut other = load(&[]);
        other.once = Secret::copy_of(&[6; 32]);
        assert_ne!(Keys::new(&other).unwrap().shelf_key(), keys.shelf_key());
    }

    #[test]
    fn a_key_has_one_id_under_each_secret() {
        let keys = Keys::new(&load(&[])).unwrap();
        // openssl dgst -sha256 -mac HMAC -macopt hexkey:0505...05
        let id = "2e7d457d72b1b12946a284a468b4d515".parse().unwrap();
        assert_eq!(keys.derive("dump 2026-01-31"), id);
        assert_ne!(keys.derive("dump 2026-02-01"), id);
        let mut other = load(&[]);
        other.once = Secret::copy_of(&[6; 32]);
        assert_ne!(Keys::new(&other).unwrap().derive("dump 2026-01-31"), id);
        other.once = Secret::copy_of(&[6; 31]);
        assert_eq!(Keys::new(&other).err(), Some(KeysError::Once));
    }

    fn verifies(keys: &Keys, message: &[u8], signature: &[u8]) -> bool {
        let public = keys.device.public_key().as_ref();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public)
            .verify(message, signature)
            .is_ok()
    }

    #[test]
    fn attributes_are_signed_and_nothing_else() {
        let keys = Keys::new(&load(&[])).unwrap();
        let signature = keys.sign(&data()).unwrap();
        assert!(verifies(&keys, &data(), &signature));
        let login = Introduction::login_to_sign(&[1; 32], &"rui".parse().unwrap(), &[4; 32]);
        for bytes in [&b"a contract"[..], &login, &[]] {
            assert!(matches!(keys.sign(bytes), Err(KeysError::Attributes(_))));
        }
    }

    #[test]
    fn introductions_cover_the_handshake() {
        let keys = Keys::new(&load(&[])).unwrap();
        let rui = "rui".parse().unwrap();
        let login = keys.introduce(&[1; 32], &rui, &Entrance::Login).unwrap();
        let Introduction::Login { signature, .. } = login else {
            panic!("not a login")
        };
        let signed = |hash| Introduction::login_to_sign(&hash, &rui, &[4; 32]);
        assert!(verifies(&keys, &signed([1; 32]), &signature));
        assert!(!verifies(&keys, &signed([2; 32]), &signature));
    }

    fn wrapped(to: &Identity) -> Vec<Stanza> {
        let key = FileKey::init_with_mut(|k| k.fill(9));
        let (stanzas, _) = to.to_recipient().wrap_file_key(&key).unwrap();
        let plain = |s: smr_seal::Stanza| Stanza {
            tag: s.tag,
            args: s.args,
            body: s.body,
        };
        stanzas.into_iter().map(plain).collect()
    }

    #[test]
    fn joining_is_by_the_chain_of_this_device() {
        let rui = "rui".parse().unwrap();
        let chain = vec![b"device".to_vec(), b"card".to_vec()];
        let mut load = load(&[]);
        load.entrance = Entrance::Join {
            chain: chain.clone(),
        };
        assert_eq!(Keys::new(&load).err(), Some(KeysError::Chain));
        load.device = *Fingerprint::of(b"device").as_bytes();
        let keys = Keys::new(&load).unwrap();
        let joined = keys.introduce(&[1; 32], &rui, &load.entrance).unwrap();
        let Introduction::Join {
            account,
            chain: said,
            signature,
        } = joined
        else {
            panic!("not a join")
        };
        assert_eq!((account, said), (rui.clone(), chain));
        let signed = |hash| Introduction::join_to_sign(&hash, &rui, &load.device);
        assert!(verifies(&keys, &signed([1; 32]), &signature));
        assert!(!verifies(&keys, &signed([2; 32]), &signature));
        let login = Introduction::login_to_sign(&[1; 32], &rui, &load.device);
        assert!(!verifies(&keys, &login, &signature));
    }

    #[test]
    fn the_right_identity_opens() {
        let [old, new, other] = [0; 3].map(|_| Identity::generate_pq(&mut OsRng));
        let to_old = wrapped(&old);
        let keys = Keys::new(&load(&[new, old])).unwrap();
        let unwrap = |stanzas: &[Stanza]| keys.unwrap(stanzas, || true);
        assert_eq!(*unwrap(&to_old).unwrap().unwrap(), [9; 16]);
        assert_eq!(unwrap(&wrapped(&other)).unwrap(), None);
        let mut damaged = to_old;
        damaged[0].body.pop();
        assert!(matches!(unwrap(&damaged), Err(KeysError::Seal(_))));
    }

    #[test]
    fn the_newest_is_tried_first_and_a_lock_ends_the_trials() {
        let identities: Vec<_> = (0..40).map(|_| Identity::generate_pq(&mut OsRng)).collect();
        let [newest, oldest] = [wrapped(&identities[0]), wrapped(&identities[39])];
        let keys = Keys::new(&load(&identities)).unwrap();
        let trials = |stanzas: &[Stanza], most: u32| {
            let count = std::cell::Cell::new(0);
            let go_on = || {
                count.set(count.get() + 1);
                count.get() <= most
            };
            let found = keys.unwrap(stanzas, go_on).map(|key| key.is_some());
            (found, count.get())
        };
        assert_eq!(trials(&newest, u32::MAX), (Ok(true), 1));
        assert_eq!(trials(&oldest, u32::MAX), (Ok(true), 40));
        assert_eq!(trials(&oldest, 5), (Err(KeysError::Wiped), 6));
    }

    #[test]
    fn strange_secrets_are_refused() {
        let mut bad = load(&[]);
        bad.device_key = Secret::copy_of(b"key");
        assert_eq!(Keys::new(&bad).err(), Some(KeysError::DeviceKey));
        let mut bad = load(&[]);
        bad.identities = vec![Secret::copy_of(b"AGE-SECRET-KEY-1")];
        assert_eq!(Keys::new(&bad).err(), Some(KeysError::Identity));
    }
}
