//! The post-quantum recipient of age, `mlkem768x25519` (C2SP age, "The hybrid
//! recipient type"): X-Wing and HPKE around the file key.
//!
//! Never stands beside a recipient of another kind: its label says so to age.

use std::collections::HashSet;
use std::fmt;

use age::{DecryptError, EncryptError};
use age_core::secrecy::ExposeSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::Hrp;
use rand_core::{CryptoRngCore, OsRng};
use zeroize::Zeroizing;

use crate::xwing::{self, CIPHERTEXT, Expanded, PUBLIC};
use crate::{SealError, Stanza, bech, hpke};

pub(crate) const TAG: &str = "mlkem768x25519";
const LABEL: &str = "postquantum";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
const PUBLIC_PREFIX: Hrp = Hrp::parse_unchecked("age1pq");
const SECRET_PREFIX: Hrp = Hrp::parse_unchecked("age-secret-key-pq-");
const BODY: usize = 16 + 16;

/// A post-quantum recipient: an X-Wing public key, 1216 bytes, checked to be
/// usable; written `age1pq1...`, 1959 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct PqRecipient(Box<[u8; PUBLIC]>);

impl PqRecipient {
    /// Parses `age1pq1...`.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let bytes = bech::decode::<PUBLIC>(PUBLIC_PREFIX, text).ok_or(SealError::Recipient)?;
        if !xwing::is_usable(&bytes) {
            return Err(SealError::Recipient);
        }
        Ok(PqRecipient(Box::new(**bytes)))
    }
}

impl fmt::Display for PqRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech::write_lower(f, PUBLIC_PREFIX, &self.0[..])
    }
}

impl fmt::Debug for PqRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl age::Recipient for PqRecipient {
    fn wrap_file_key(
        &self,
        file_key: &age_core::format::FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        // age's trait passes no randomness; its own recipients draw it here too.
        let (ciphertext, secret) = xwing::encapsulate(&self.0, &mut OsRng)
            .ok_or_else(|| EncryptError::Io(std::io::Error::other(SealError::Recipient)))?;
        let stanza = Stanza {
            tag: TAG.to_owned(),
            args: vec![STANDARD_NO_PAD.encode(&ciphertext[..])],
            body: hpke::seal(&secret, INFO, file_key.expose_secret()),
        };
        Ok((vec![stanza], HashSet::from([LABEL.to_owned()])))
    }
}

/// A post-quantum identity: a 32-byte seed, wiped on drop; written
/// `AGE-SECRET-KEY-PQ-1...`.
pub struct PqIdentity(Box<Zeroizing<[u8; 32]>>);

impl PqIdentity {
    /// Draws a new one.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Box::new(Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut **seed);
        PqIdentity(seed)
    }

    /// Parses `AGE-SECRET-KEY-PQ-1...`.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        bech::decode::<32>(SECRET_PREFIX, text)
            .map(PqIdentity)
            .ok_or(SealError::Identity)
    }

    /// Returns the public half.
    pub fn to_recipient(&self) -> PqRecipient {
        PqRecipient(Box::new(*Expanded::from_seed(&self.0).public()))
    }

    /// Writes the secret text.
    pub fn encode(&self) -> Zeroizing<String> {
        bech::secret_upper(SECRET_PREFIX, &self.0)
    }
}

fn ciphertext(stanza: &Stanza) -> Option<Box<[u8; CIPHERTEXT]>> {
    let [argument] = &stanza.args[..] else {
        return None;
    };
    let bytes = STANDARD_NO_PAD.decode(argument).ok()?;
    (stanza.body.len() == BODY).then_some(())?;
    bytes.into_boxed_slice().try_into().ok()
}

fn unwrap_with(key: &Expanded, stanza: &Stanza) -> Option<Result<Zeroizing<[u8; 16]>, SealError>> {
    let Some(ciphertext) = ciphertext(stanza) else {
        return Some(Err(SealError::Stanza));
    };
    let Some(secret) = key.decapsulate(&ciphertext) else {
        return Some(Err(SealError::Stanza));
    };
    // Failing to decrypt only means that the stanza is someone else's.
    let plain = hpke::open(&secret, INFO, &stanza.body)?;
    let mut file_key = Zeroizing::new([0; 16]);
    file_key.copy_from_slice(&plain);
    Some(Ok(file_key))
}

impl PqIdentity {
    /// Looks for the file key in the stanzas of one file: none where no stanza
    /// is this identity's, an error at the first malformed one.
    pub fn file_key(&self, stanzas: &[Stanza]) -> Option<Result<Zeroizing<[u8; 16]>, SealError>> {
        let mut ours = stanzas.iter().filter(|s| s.tag == TAG).peekable();
        ours.peek()?;
        let key = Expanded::from_seed(&self.0);
        ours.find_map(|stanza| unwrap_with(&key, stanza))
    }
}

impl age::Identity for PqIdentity {
    fn unwrap_stanza(
        &self,
        stanza: &Stanza,
    ) -> Option<Result<age_core::format::FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(
        &self,
        stanzas: &[Stanza],
    ) -> Option<Result<age_core::format::FileKey, DecryptError>> {
        let found = self.file_key(stanzas)?;
        Some(
            found
                .map(|key| age_core::format::FileKey::init_with_mut(|k| k.copy_from_slice(&*key)))
                .map_err(|_| DecryptError::InvalidHeader),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{PqIdentity, PqRecipient, TAG};
    use crate::SealError;
    use age::Recipient as _;
    use age_core::format::FileKey;
    use rand_core::OsRng;

    #[test]
    fn texts_come_back() {
        let identity = PqIdentity::generate(&mut OsRng);
        let text = identity.encode();
        assert!(text.starts_with("AGE-SECRET-KEY-PQ-1"));
        let again = PqIdentity::parse(&text).unwrap();
        assert_eq!(again.to_recipient(), identity.to_recipient());
        let public = identity.to_recipient().to_string();
        assert!(public.starts_with("age1pq1"));
        assert_eq!(public.len(), 1959);
        assert_eq!(PqRecipient::parse(&public).unwrap().to_string(), public);
    }

    #[test]
    fn other_texts_are_refused() {
        let identity = PqIdentity::generate(&mut OsRng);
        let public = identity.to_recipient().to_string();
        let cut = &public[..public.len() - 1];
        for text in ["", "age1pq1", cut, &identity.encode()] {
            assert_eq!(PqRecipient::parse(text), Err(SealError::Recipient));
        }
        assert!(PqIdentity::parse(&public).is_err());
        assert!(PqIdentity::parse("AGE-SECRET-KEY-PQ-1").is_err());
    }

    #[test]
    fn a_stanza_opens_for_its_identity_alone() {
        let identity = PqIdentity::generate(&mut OsRng);
        let (stanzas, labels) = identity
            .to_recipient()
            .wrap_file_key(&FileKey::init_with_mut(|k| k.fill(7)))
            .unwrap();
        assert!(labels.contains("postquantum"));
        assert_eq!(*identity.file_key(&stanzas).unwrap().unwrap(), [7; 16]);
        let other = PqIdentity::generate(&mut OsRng);
        assert!(other.file_key(&stanzas).is_none());
    }

    #[test]
    fn malformed_stanzas_are_errors() {
        let identity = PqIdentity::generate(&mut OsRng);
        let (stanzas, _) = identity
            .to_recipient()
            .wrap_file_key(&FileKey::init_with_mut(|k| k.fill(7)))
            .unwrap();
        let good = &stanzas[0];
        let with = |args: Vec<String>, body: Vec<u8>| crate::Stanza {
            tag: TAG.to_owned(),
            args,
            body,
        };
        let twice = vec![good.args[0].clone(), good.args[0].clone()];
        for bad in [
            with(vec![], good.body.clone()),
            with(twice, good.body.clone()),
            with(vec![good.args[0][1..].to_owned()], good.body.clone()),
            with(good.args.clone(), good.body[1..].to_vec()),
        ] {
            let found = identity.file_key(&[bad]);
            assert!(matches!(found, Some(Err(SealError::Stanza))));
        }
    }
}
