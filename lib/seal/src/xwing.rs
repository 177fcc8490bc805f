//! X-Wing: ML-KEM-768 and X25519 in one key encapsulation
//! (draft-connolly-cfrg-xwing-kem), from ml-kem, x25519-dalek and sha3.
//!
//! Never accepts an X25519 share that contributes nothing, nor an ML-KEM key
//! that is not reduced (FIPS 203, 7.2), both of which the parts let pass.

use ml_kem::kem::Decapsulate;
use ml_kem::{B32, EncapsulateDeterministic, Encoded, EncodedSizeUser, KemCore, MlKem768};
use rand_core::CryptoRngCore;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a public key.
pub(crate) const PUBLIC: usize = MLKEM_PUBLIC + 32;
/// Bytes of an encapsulation.
pub(crate) const CIPHERTEXT: usize = MLKEM_CIPHERTEXT + 32;
const MLKEM_PUBLIC: usize = 1184;
const MLKEM_CIPHERTEXT: usize = 1088;
const LABEL: &[u8] = b"\\.//^\\";

type EncapsulationKey = <MlKem768 as KemCore>::EncapsulationKey;
type DecapsulationKey = <MlKem768 as KemCore>::DecapsulationKey;
type Secret = Zeroizing<[u8; 32]>;

/// Both halves of a secret key, expanded from its seed; wiped on drop.
pub(crate) struct Expanded {
    lattice: DecapsulationKey,
    curve: StaticSecret,
    public: Box<[u8; PUBLIC]>,
}

fn combine(lattice: &[u8], curve: &SharedSecret, share: &[u8; 32], public: &[u8; 32]) -> Secret {
    let mut hash = Sha3_256::new();
    for part in [lattice, curve.as_bytes(), share, public, LABEL] {
        Digest::update(&mut hash, part);
    }
    Zeroizing::new(hash.finalize().into())
}

impl Expanded {
    /// Expands a 32-byte seed.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let mut shake = Shake256::default();
        shake.update(seed);
        let mut stream = shake.finalize_xof();
        let (mut d, mut z) = (B32::default(), B32::default());
        let mut x = Zeroizing::new([0; 32]);
        stream.read(&mut d);
        stream.read(&mut z);
        stream.read(&mut *x);
        let (lattice, encapsulation) = MlKem768::generate_deterministic(&d, &z);
        d.as_mut_slice().zeroize();
        z.as_mut_slice().zeroize();
        let curve = StaticSecret::from(*x);
        let mut public = Box::new([0; PUBLIC]);
        public[..MLKEM_PUBLIC].copy_from_slice(&encapsulation.as_bytes());
        public[MLKEM_PUBLIC..].copy_from_slice(PublicKey::from(&curve).as_bytes());
        Expanded {
            lattice,
            curve,
            public,
        }
    }

    /// Returns the public key.
    pub(crate) fn public(&self) -> &[u8; PUBLIC] {
        &self.public
    }

    /// Recovers the shared secret, or none where the X25519 share contributes
    /// nothing.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT]) -> Option<Secret> {
        let (lattice_part, share) = ciphertext.split_last_chunk::<32>()?;
        let curve = self.curve.diffie_hellman(&PublicKey::from(*share));
        if !curve.was_contributory() {
            return None;
        }
        let lattice_part = lattice_part.try_into().ok()?;
        let mut lattice = self.lattice.decapsulate(&lattice_part).ok()?;
        let public = PublicKey::from(&self.curve);
        let secret = combine(&lattice, &curve, share, public.as_bytes());
        lattice.as_mut_slice().zeroize();
        Some(secret)
    }
}

fn lattice_key(public: &[u8; PUBLIC]) -> Option<(EncapsulationKey, [u8; 32])> {
    let (bytes, curve) = public.split_last_chunk::<32>()?;
    let encoded: Encoded<EncapsulationKey> = bytes.try_into().ok()?;
    let key = EncapsulationKey::from_bytes(&encoded);
    // The modulus check: a coefficient of q or more does not come back.
    (key.as_bytes() == encoded).then_some((key, *curve))
}

/// Tells whether `public` can be encapsulated to.
pub(crate) fn is_usable(public: &[u8; PUBLIC]) -> bool {
    let probe = StaticSecret::from([9; 32]);
    lattice_key(public).is_some_and(|(_, curve)| {
        probe
            .diffie_hellman(&PublicKey::from(curve))
            .was_contributory()
    })
}

/// Makes a shared secret for `public` and its encapsulation, or none where the
/// key is not usable.
pub(crate) fn encapsulate(
    public: &[u8; PUBLIC],
    rng: &mut dyn CryptoRngCore,
) -> Option<(Box<[u8; CIPHERTEXT]>, Secret)> {
    let (key, curve_public) = lattice_key(public)?;
    let mut message = B32::default();
    rng.fill_bytes(&mut message);
    let mut ephemeral = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *ephemeral);
    let ephemeral = StaticSecret::from(*ephemeral);
    let share = PublicKey::from(&ephemeral).to_bytes();
    let curve = ephemeral.diffie_hellman(&PublicKey::from(curve_public));
    if !curve.was_contributory() {
        return None;
    }
    let encapsulated = key.encapsulate_deterministic(&message);
    message.as_mut_slice().zeroize();
    let (lattice_part, mut lattice) = encapsulated.ok()?;
    let secret = combine(&lattice, &curve, &share, &curve_public);
    lattice.as_mut_slice().zeroize();
    let mut ciphertext = Box::new([0; CIPHERTEXT]);
    ciphertext[..MLKEM_CIPHERTEXT].copy_from_slice(&lattice_part);
    ciphertext[MLKEM_CIPHERTEXT..].copy_from_slice(&share);
    Some((ciphertext, secret))
}

#[cfg(test)]
mod tests {
    use super::{CIPHERTEXT, Expanded, MLKEM_CIPHERTEXT, MLKEM_PUBLIC, encapsulate, is_usable};
    use rand_core::OsRng;

    #[test]
    fn both_sides_agree() {
        let key = Expanded::from_seed(&[1; 32]);
        let (ciphertext, secret) = encapsulate(key.public(), &mut OsRng).unwrap();
        assert_eq!(*key.decapsulate(&ciphertext).unwrap(), *secret);
        let other = Expanded::from_seed(&[2; 32]);
        assert_ne!(*other.decapsulate(&ciphertext).unwrap(), *secret);
    }

    #[test]
    fn every_part_of_the_ciphertext_counts() {
        let key = Expanded::from_seed(&[1; 32]);
        let (ciphertext, secret) = encapsulate(key.public(), &mut OsRng).unwrap();
        for place in [0, MLKEM_CIPHERTEXT - 1, MLKEM_CIPHERTEXT, CIPHERTEXT - 1] {
            let mut bad = ciphertext.clone();
            bad[place] ^= 1;
            assert_ne!(*key.decapsulate(&bad).unwrap(), *secret, "{place}");
        }
    }

    #[test]
    fn shares_of_small_order_are_refused() {
        let key = Expanded::from_seed(&[1; 32]);
        let (mut ciphertext, _) = encapsulate(key.public(), &mut OsRng).unwrap();
        ciphertext[MLKEM_CIPHERTEXT..].fill(0);
        assert!(key.decapsulate(&ciphertext).is_none());
        ciphertext[MLKEM_CIPHERTEXT] = 1;
        assert!(key.decapsulate(&ciphertext).is_none());

        let mut public = *key.public();
        assert!(is_usable(&public));
        public[MLKEM_PUBLIC..].fill(0);
        assert!(!is_usable(&public));
        assert!(encapsulate(&public, &mut OsRng).is_none());
    }

    #[test]
    fn unreduced_lattice_keys_are_refused() {
        let mut public = *Expanded::from_seed(&[1; 32]).public();
        // The first coefficient becomes 4095, above q = 3329.
        public[0] = 0xff;
        public[1] |= 0x0f;
        assert!(!is_usable(&public));
        assert!(encapsulate(&public, &mut OsRng).is_none());
    }
}
