//! The Ed25519 keys of a repository (RFC 8032), behind one door.
//!
//! Knows nothing of what is signed.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

/// Bytes of a signature.
const SIGNATURE: usize = 64;

/// A secret key, wiped when dropped. Deriving it costs as much as a signature,
/// so whoever signs more than once keeps it.
pub struct Signer(SigningKey);

impl Signer {
    /// Returns the key of a seed (RFC 8032 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Signer {
        Signer(SigningKey::from_bytes(seed))
    }

    /// Returns the public half, 32 bytes.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a text, always in the same way (RFC 8032 5.1.6): 64 bytes.
    pub fn sign(&self, text: &[u8]) -> [u8; SIGNATURE] {
        ed25519_dalek::Signer::sign(&self.0, text).to_bytes()
    }
}

/// Tells whether a signature over `text` is by this key (RFC 8032 5.1.7). None
/// is by a key, or with a nonce, of small order: such a key signs everything.
pub fn is_signed(text: &[u8], signature: &[u8; SIGNATURE], public: &[u8; 32]) -> bool {
    let key = VerifyingKey::from_bytes(public);
    let signature = Signature::from_bytes(signature);
    key.is_ok_and(|key| key.verify_strict(text, &signature).is_ok())
}

/// Returns the public key of a seed (RFC 8032 5.1.5).
pub fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    Signer::from_seed(seed).public_key()
}

#[cfg(test)]
mod tests {
    use super::{Signer, is_signed};

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The neutral element: S = 0 and R = A verify for every text by the
        // bare equation.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&neutral);
        assert!(!is_signed(b"any text", &signature, &neutral));
        let signer = Signer::from_seed(&[7; 32]);
        let good = signer.sign(b"any text");
        assert!(is_signed(b"any text", &good, &signer.public_key()));
        assert!(!is_signed(b"any test", &good, &signer.public_key()));
    }
}
