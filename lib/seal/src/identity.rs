//! Identities of either kind, and the unwrapping of a file's header for them.

use age::DecryptError;
use age_core::secrecy::ExposeSecret;
use bech32::Hrp;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::{Kind, MAX_RECIPIENTS, PqIdentity, Recipient, SealError, Stanza, bech, pq};

/// The key of one sealed file, 16 bytes, wiped on drop.
pub type FileKey = Zeroizing<[u8; 16]>;

/// Stanzas of one header; age adds one of its own to the recipients'.
const MAX_STANZAS: usize = MAX_RECIPIENTS + 1;
const CLASSIC_TAG: &str = "X25519";
const CLASSIC_PREFIX: Hrp = Hrp::parse_unchecked("age-secret-key-");

/// A secret that opens what is sealed to its recipient; wiped on drop.
pub enum Identity {
    /// ML-KEM-768 with X25519.
    PostQuantum(PqIdentity),
    /// X25519 alone.
    Classic(age::x25519::Identity),
}

impl Identity {
    /// Draws a new identity of this kind.
    pub fn generate(kind: Kind, rng: &mut dyn CryptoRngCore) -> Self {
        match kind {
            Kind::PostQuantum => Identity::generate_pq(rng),
            Kind::Classic => Identity::generate_classic(rng),
        }
    }

    /// Draws a new post-quantum identity.
    pub fn generate_pq(rng: &mut dyn CryptoRngCore) -> Self {
        Identity::PostQuantum(PqIdentity::generate(rng))
    }

    /// Draws a new classic identity.
    pub fn generate_classic(rng: &mut dyn CryptoRngCore) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let text = bech::secret_upper(CLASSIC_PREFIX, &secret);
        Identity::Classic(text.parse().expect("32 bytes in age's own encoding"))
    }

    /// Parses `AGE-SECRET-KEY-PQ-1...` or `AGE-SECRET-KEY-1...`.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        if text.starts_with("AGE-SECRET-KEY-PQ-1") {
            return PqIdentity::parse(text).map(Identity::PostQuantum);
        }
        text.parse()
            .map(Identity::Classic)
            .map_err(|_| SealError::Identity)
    }

    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Identity::PostQuantum(_) => Kind::PostQuantum,
            Identity::Classic(_) => Kind::Classic,
        }
    }

    /// Returns the public half.
    pub fn to_recipient(&self) -> Recipient {
        match self {
            Identity::PostQuantum(key) => Recipient::PostQuantum(key.to_recipient()),
            Identity::Classic(key) => Recipient::Classic(key.to_public()),
        }
    }

    /// Writes the secret text, which `age -i` reads.
    pub fn encode(&self) -> Zeroizing<String> {
        match self {
            Identity::PostQuantum(key) => key.encode(),
            Identity::Classic(key) => Zeroizing::new(key.to_string().expose_secret().to_owned()),
        }
    }
}

impl age::Identity for Identity {
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
        match self {
            Identity::PostQuantum(key) => age::Identity::unwrap_stanzas(key, stanzas),
            Identity::Classic(key) => age::Identity::unwrap_stanzas(key, stanzas),
        }
    }
}

/// Finds the file key in the stanzas of one file's header: none where no
/// identity fits. More than 1001 stanzas, a malformed stanza of a kind we know, or both kinds in one
/// header, is an error whatever else the header holds.
pub fn unwrap(identities: &[Identity], stanzas: &[Stanza]) -> Result<Option<FileKey>, SealError> {
    let has = |tag: &str| stanzas.iter().any(|s| s.tag == tag);
    // Each of ours tries each stanza: a stranger must not make that hours.
    if stanzas.len() > MAX_STANZAS {
        return Err(SealError::TooMany);
    }
    if has(pq::TAG) && has(CLASSIC_TAG) {
        return Err(SealError::Mixed);
    }
    for identity in identities {
        match age::Identity::unwrap_stanzas(identity, stanzas) {
            None => {}
            Some(Ok(key)) => return Ok(Some(Zeroizing::new(*key.expose_secret()))),
            Some(Err(_)) => return Err(SealError::Stanza),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{Identity, unwrap};
    use crate::{SealError, Stanza};
    use age::Recipient as _;
    use age_core::format::FileKey;
    use rand_core::OsRng;

    fn wrapped(identity: &Identity) -> Vec<Stanza> {
        let key = FileKey::init_with_mut(|k| k.fill(9));
        identity.to_recipient().wrap_file_key(&key).unwrap().0
    }

    #[test]
    fn texts_come_back() {
        for identity in [
            Identity::generate_pq(&mut OsRng),
            Identity::generate_classic(&mut OsRng),
        ] {
            let again = Identity::parse(&identity.encode()).unwrap();
            assert_eq!(again.to_recipient(), identity.to_recipient());
        }
        for text in ["", "AGE-SECRET-KEY-1", "AGE-SECRET-KEY-PQ-1QQ", "age1"] {
            assert!(Identity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_right_identity_of_many_is_found() {
        let keys: Vec<Identity> = (0..3).map(|_| Identity::generate_pq(&mut OsRng)).collect();
        let mut stanzas = wrapped(&Identity::generate_pq(&mut OsRng));
        assert_eq!(unwrap(&keys, &stanzas), Ok(None));
        stanzas.extend(wrapped(&keys[2]));
        assert_eq!(*unwrap(&keys, &stanzas).unwrap().unwrap(), [9; 16]);
        assert_eq!(unwrap(&[], &stanzas), Ok(None));
    }

    #[test]
    fn mixed_headers_are_refused() {
        let classic = Identity::generate_classic(&mut OsRng);
        let mut stanzas = wrapped(&classic);
        let keys = [classic];
        assert!(unwrap(&keys, &stanzas).unwrap().is_some());
        stanzas.extend(wrapped(&Identity::generate_pq(&mut OsRng)));
        assert_eq!(unwrap(&keys, &stanzas), Err(SealError::Mixed));
    }

    #[test]
    fn malformed_stanzas_are_refused_and_strangers_are_not() {
        let keys = [Identity::generate_pq(&mut OsRng)];
        let mut stanzas = wrapped(&keys[0]);
        stanzas.insert(
            0,
            Stanza {
                tag: "x-grease".into(),
                args: vec![],
                body: vec![],
            },
        );
        assert!(unwrap(&keys, &stanzas).unwrap().is_some());
        let grease = |_| Stanza {
            tag: "x-grease".into(),
            args: vec![],
            body: vec![],
        };
        let mut crowd: Vec<Stanza> = (0..1000).map(grease).collect();
        crowd.extend(wrapped(&keys[0]));
        assert!(unwrap(&keys, &crowd).unwrap().is_some());
        crowd.insert(0, grease(0));
        assert_eq!(unwrap(&keys, &crowd), Err(SealError::TooMany));
        stanzas[1].body.pop();
        assert_eq!(unwrap(&keys, &stanzas), Err(SealError::Stanza));
    }
}
