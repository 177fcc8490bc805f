//! Test keys from files, and the raw signatures that cards make.
//!
//! For throw-away keys only: not constant time.

use p256::ecdsa::signature::hazmat::PrehashSigner;
use rsa::Pkcs1v15Sign;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};

// DigestInfo of SHA-256 without the digest (RFC 8017 9.2, note 1).
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20,
];

/// A private key.
pub enum Key {
    /// RSA.
    Rsa(Box<rsa::RsaPrivateKey>),
    /// ECDSA over P-256.
    P256(p256::ecdsa::SigningKey),
    /// ECDSA over P-384.
    P384(p384::ecdsa::SigningKey),
}

impl Key {
    /// Reads a private key (PKCS#8 DER); none if it is of no kind we know.
    pub fn from_pkcs8(der: &[u8]) -> Option<Key> {
        rsa::RsaPrivateKey::from_pkcs8_der(der)
            .map(|key| Key::Rsa(Box::new(key)))
            .or_else(|_| p256::ecdsa::SigningKey::from_pkcs8_der(der).map(Key::P256))
            .or_else(|_| p384::ecdsa::SigningKey::from_pkcs8_der(der).map(Key::P384))
            .ok()
    }

    /// Tells whether this is an RSA key.
    pub fn is_rsa(&self) -> bool {
        matches!(self, Key::Rsa(_))
    }

    /// Returns the length in bytes: of an RSA modulus, or of an ECDSA
    /// signature r||s.
    pub fn signature_len(&self) -> usize {
        match self {
            Key::Rsa(key) => key.size(),
            Key::P256(_) => 64,
            Key::P384(_) => 96,
        }
    }

    /// Signs as CKM_RSA_PKCS and CKM_ECDSA do: `input` is a DigestInfo or a
    /// digest; ECDSA gives r||s. None if the key cannot sign that.
    pub fn sign_raw(&self, input: &[u8]) -> Option<Vec<u8>> {
        match self {
            Key::Rsa(key) => key.sign(Pkcs1v15Sign::new_unprefixed(), input).ok(),
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(input).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            Key::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(input).ok()?;
                Some(signature.to_bytes().to_vec())
            }
        }
    }

    /// Signs as CKM_SHA256_RSA_PKCS and CKM_ECDSA_SHA256 do.
    pub fn sign_sha256(&self, message: &[u8]) -> Option<Vec<u8>> {
        let digest = Sha256::digest(message);
        match self {
            Key::Rsa(_) => self.sign_raw(&[&SHA256_INFO, digest.as_slice()].concat()),
            _ => self.sign_raw(&digest),
        }
    }
}
