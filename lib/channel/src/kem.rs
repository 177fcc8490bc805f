//! ML-KEM-768 (FIPS 203) with the checks its users owe, and X25519 (RFC 7748)
//! that refuses points of small order.
//!
//! Draws no randomness but from the generator it is given.

use kem::Decapsulate;
use ml_kem::{B32, EncapsulateDeterministic, Encoded, EncodedSizeUser, KemCore, MlKem768};
use rand_core::CryptoRngCore;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::label::Key;

type Public = <MlKem768 as KemCore>::EncapsulationKey;
type Secret = <MlKem768 as KemCore>::DecapsulationKey;

/// Bytes of an encapsulation key.
pub(crate) const PUBLIC: usize = 1184;
/// Bytes of a ciphertext.
pub(crate) const CIPHERTEXT: usize = 1088;
/// Bytes of the seed of a key pair: d, then z (FIPS 203, 7.1).
pub(crate) const SEED: usize = 64;

/// Says that a public key or ciphertext of the peer is not one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KemError;

/// Draws 32 bytes.
pub(crate) fn draw(rng: &mut dyn CryptoRngCore) -> Key {
    let mut out = Key::default();
    rng.fill_bytes(&mut *out);
    out
}

fn block(bytes: &[u8]) -> B32 {
    bytes.try_into().expect("32 bytes")
}

/// A decapsulation key, wiped when dropped.
pub(crate) struct KemSecret(Secret);

impl KemSecret {
    /// Draws a seed of 64 bytes and makes the key pair.
    pub(crate) fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; SEED]);
        rng.fill_bytes(&mut *seed);
        KemSecret::from_seed(&seed)
    }

    /// Makes the key pair of a seed.
    pub(crate) fn from_seed(seed: &[u8; SEED]) -> Self {
        let (d, z) = seed.split_at(32);
        let (mut d, mut z) = (block(d), block(z));
        let (secret, _) = MlKem768::generate_deterministic(&d, &z);
        d.zeroize();
        z.zeroize();
        KemSecret(secret)
    }

    /// Returns the encapsulation key, 1184 bytes.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.0.encapsulation_key().as_bytes().to_vec()
    }

    /// Returns the shared secret; a forged ciphertext gives a secret that
    /// nobody else knows (FIPS 203, 6.3), one of a wrong size an error.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Key, KemError> {
        let ciphertext = ciphertext.try_into().map_err(|_| KemError)?;
        let mut shared = self.0.decapsulate(&ciphertext).map_err(|()| KemError)?;
        Ok(take(&mut shared))
    }
}

fn take(shared: &mut B32) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(shared);
    shared.zeroize();
    key
}

/// Reads an encapsulation key: 1184 bytes, every coefficient below the modulus
/// (FIPS 203, 7.2), which ml-kem 0.2 leaves to us: encode again and compare.
fn read_public(bytes: &[u8]) -> Result<Public, KemError> {
    let encoded: Encoded<Public> = bytes.try_into().map_err(|_| KemError)?;
    let public = Public::from_bytes(&encoded);
    match public.as_bytes() == encoded {
        true => Ok(public),
        false => Err(KemError),
    }
}

/// Tells whether bytes are an encapsulation key.
pub(crate) fn check_public(bytes: &[u8]) -> Result<(), KemError> {
    read_public(bytes).map(drop)
}

/// Makes a shared secret for the holder of `public`, and its ciphertext of 1088
/// bytes; draws 32 bytes.
pub(crate) fn encapsulate(
    public: &[u8],
    rng: &mut dyn CryptoRngCore,
) -> Result<(Vec<u8>, Key), KemError> {
    let public = read_public(public)?;
    let mut message = block(&*draw(rng));
    let made = public.encapsulate_deterministic(&message);
    message.zeroize();
    let (ciphertext, mut shared) = made.map_err(|()| KemError)?;
    Ok((ciphertext.to_vec(), take(&mut shared)))
}

/// Draws an X25519 secret of 32 bytes.
pub(crate) fn x25519_generate(rng: &mut dyn CryptoRngCore) -> StaticSecret {
    StaticSecret::from(*draw(rng))
}

/// Returns the public key of an X25519 secret.
pub(crate) fn x25519_public(secret: &StaticSecret) -> [u8; 32] {
    PublicKey::from(secret).to_bytes()
}

/// Returns the X25519 shared secret; refuses a peer's point to which our secret
/// contributes nothing (RFC 7748, 6.1).
pub(crate) fn x25519(secret: &StaticSecret, peer: &[u8; 32]) -> Result<Key, KemError> {
    let shared = secret.diffie_hellman(&PublicKey::from(*peer));
    match shared.was_contributory() {
        true => Ok(Zeroizing::new(shared.to_bytes())),
        false => Err(KemError),
    }
}

#[cfg(test)]
mod wycheproof;

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use x25519_dalek::StaticSecret;

    use super::{KemError, KemSecret, check_public, encapsulate, x25519, x25519_public};

    #[test]
    fn both_sides_share_a_secret() {
        let secret = KemSecret::generate(&mut OsRng);
        let (ciphertext, shared) = encapsulate(&secret.public(), &mut OsRng).unwrap();
        assert_eq!(ciphertext.len(), super::CIPHERTEXT);
        assert_eq!(secret.public().len(), super::PUBLIC);
        assert_eq!(secret.decapsulate(&ciphertext), Ok(shared.clone()));
        let other = KemSecret::generate(&mut OsRng);
        assert_ne!(other.decapsulate(&ciphertext), Ok(shared));
    }

    #[test]
    fn a_forged_ciphertext_gives_another_secret() {
        let secret = KemSecret::generate(&mut OsRng);
        let (mut ciphertext, shared) = encapsulate(&secret.public(), &mut OsRng).unwrap();
        ciphertext[700] ^= 1;
        assert_ne!(secret.decapsulate(&ciphertext), Ok(shared));
        assert_eq!(secret.decapsulate(&ciphertext[1..]), Err(KemError));
    }

    #[test]
    fn coefficients_above_the_modulus_are_refused() {
        let public = KemSecret::generate(&mut OsRng).public();
        assert_eq!(check_public(&public), Ok(()));
        // the first coefficient, 12 bits little-endian: 3328 is the greatest
        let mut edge = public.clone();
        edge[0] = 0x00;
        edge[1] = (edge[1] & 0xf0) | 0x0d;
        assert_eq!(check_public(&edge), Ok(()));
        edge[0] = 0x01;
        assert_eq!(check_public(&edge), Err(KemError));
        assert!(encapsulate(&edge, &mut OsRng).is_err());
        assert_eq!(check_public(&public[1..]), Err(KemError));
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let secret = StaticSecret::from([7; 32]);
        let peer = x25519_public(&StaticSecret::from([8; 32]));
        assert!(x25519(&secret, &peer).is_ok());
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert_eq!(x25519(&secret, &point), Err(KemError));
        }
    }
}
