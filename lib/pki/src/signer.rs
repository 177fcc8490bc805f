//! Signers: a card or a key file, seen as something that signs.
//!
//! Verifies nothing, and never shows a private key.

use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ID_EC_PUBLIC_KEY, ID_RSASSA_PSS, SECP_256_R_1, SHA_256_WITH_RSA_ENCRYPTION,
};
use der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use der::{Decode, Encode, Sequence};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use ring::rand::SystemRandom;
use ring::signature::{self as ring_signature, EcdsaKeyPair, KeyPair, RsaKeyPair};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, KeyKind};
use crate::digest::sha256;

/// Names how a signer signs. All hash with SHA-256, so that one digest of a
/// streamed content serves every signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2).
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and 32 bytes of salt (RFC 8017 8.1).
    RsaPssSha256,
    /// ECDSA on P-256 with SHA-256, DER (RFC 5758 3.2).
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-256, DER (RFC 5758 3.2).
    EcdsaP384Sha256,
}

/// RSASSA-PSS, SHA-256, MGF1 with SHA-256, 32 bytes of salt (RFC 4055 2.1).
const PSS_SHA256: &[u8] = &[
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0,
    0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30,
    0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03,
    0x02, 0x01, 0x20,
];

impl Algorithm {
    /// Returns the DER AlgorithmIdentifier that names it in certificates and CMS.
    pub fn identifier_der(self) -> Vec<u8> {
        let (oid, parameters) = match self {
            Algorithm::RsaPssSha256 => return PSS_SHA256.to_vec(),
            Algorithm::RsaPkcs1Sha256 => (SHA_256_WITH_RSA_ENCRYPTION, Some(AnyRef::NULL)),
            Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha256 => (ECDSA_WITH_SHA_256, None),
        };
        AlgorithmIdentifierRef { oid, parameters }
            .to_der()
            .expect("a constant identifier encodes")
    }

    /// Says whether keys of this kind sign so.
    pub fn fits(self, kind: KeyKind) -> bool {
        match self {
            Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => {
                matches!(kind, KeyKind::Rsa(2048..=4096))
            }
            Algorithm::EcdsaP256Sha256 => kind == KeyKind::P256,
            Algorithm::EcdsaP384Sha256 => kind == KeyKind::P384,
        }
    }
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
    key: Key,
    pss: bool,
}

/// ring wipes nothing, but keeps its keys in boxes of fixed size; p384 wipes.
enum Key {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<p384::ecdsa::SigningKey>),
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
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random,
}

/// OneAsymmetricKey (RFC 5958 2), as far as we need it.
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifierRef<'a>,
    key: &'a OctetStringRef,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    attributes: Option<Vec<AnyRef<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    public: Option<BitStringRef<'a>>,
}

/// ECPrivateKey (RFC 5915 3).
#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<AnyRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public: Option<BitStringRef<'a>>,
}

impl SoftKey {
    /// Takes an unencrypted DER PKCS#8 key: RSA of 2048 to 4096 bits, P-256
    /// or P-384; the key must be the certificate's.
    pub fn from_pkcs8(
        pkcs8: &[u8],
        certificate: Certificate,
        chain: Vec<Certificate>,
    ) -> Result<Self, KeyError> {
        let info = PrivateKeyInfo::from_der(pkcs8).map_err(|_| KeyError::Unusable)?;
        let spki = SubjectPublicKeyInfoRef::from_der(certificate.spki_der())
            .map_err(|_| KeyError::Unusable)?;
        if info.algorithm.oid != spki.algorithm.oid {
            return Err(KeyError::Mismatch);
        }
        let public = spki.subject_public_key.raw_bytes();
        let key = match certificate.key_kind() {
            KeyKind::Rsa(2048..=4096) => rsa_key(info.key.as_bytes(), public)?,
            KeyKind::P256 => p256_key(info.key.as_bytes(), public)?,
            KeyKind::P384 => p384_key(info.key.as_bytes(), public)?,
            _ => return Err(KeyError::Unusable),
        };
        // A PSS-only key knows no other way (RFC 4055 1.2).
        let pss = spki.algorithm.oid == ID_RSASSA_PSS;
        Ok(SoftKey {
            certificate,
            chain,
            key,
            pss,
        })
    }

    /// Makes an RSA key sign with PSS instead of PKCS#1 v1.5; no change for ECDSA.
    #[must_use]
    pub fn with_pss(mut self) -> Self {
        self.pss = true;
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
        match self.key {
            Key::Rsa(_) if self.pss => Algorithm::RsaPssSha256,
            Key::Rsa(_) => Algorithm::RsaPkcs1Sha256,
            Key::P256(_) => Algorithm::EcdsaP256Sha256,
            Key::P384(_) => Algorithm::EcdsaP384Sha256,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => rsa_sign(key, self.pss, message),
            Key::P256(key) => {
                let made = key.sign(&random, message).map_err(|_| failed())?;
                Ok(made.as_ref().to_vec())
            }
            Key::P384(key) => {
                let made: p384::ecdsa::Signature = key
                    .sign_prehash(&sha256(message))
                    .map_err(|e| SignerError(Box::new(e)))?;
                Ok(made.to_der().as_bytes().to_vec())
            }
        }
    }
}

/// Makes a new P-256 key: its DER PKCS#8 form and its DER SubjectPublicKeyInfo.
pub fn generate_p256() -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), KeyError> {
    let random = SystemRandom::new();
    let algorithm = &ring_signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let document =
        EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| KeyError::Random)?;
    let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
    let pair =
        EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random).map_err(|_| KeyError::Unusable)?;
    let spki = p256_spki(pair.public_key().as_ref()).map_err(|_| KeyError::Unusable)?;
    Ok((pkcs8, spki))
}

fn p256_spki(point: &[u8]) -> der::Result<Vec<u8>> {
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: ID_EC_PUBLIC_KEY,
            parameters: Some(AnyRef::from(&SECP_256_R_1)),
        },
        subject_public_key: BitStringRef::from_bytes(point)?,
    }
    .to_der()
}

fn rsa_key(der: &[u8], public: &[u8]) -> Result<Key, KeyError> {
    let pair = RsaKeyPair::from_der(der).map_err(|_| KeyError::Unusable)?;
    if pair.public_key().as_ref() != public {
        return Err(KeyError::Mismatch);
    }
    Ok(Key::Rsa(Box::new(pair)))
}

fn p256_key(der: &[u8], public: &[u8]) -> Result<Key, KeyError> {
    let private = EcPrivateKey::from_der(der).map_err(|_| KeyError::Unusable)?;
    // ring checks that the two belong together.
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        &ring_signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        private.key.as_bytes(),
        public,
        &SystemRandom::new(),
    )
    .map_err(|_| KeyError::Mismatch)?;
    Ok(Key::P256(Box::new(pair)))
}

fn p384_key(der: &[u8], public: &[u8]) -> Result<Key, KeyError> {
    let private = EcPrivateKey::from_der(der).map_err(|_| KeyError::Unusable)?;
    let key = p384::ecdsa::SigningKey::from_slice(private.key.as_bytes())
        .map_err(|_| KeyError::Unusable)?;
    let claimed =
        p384::ecdsa::VerifyingKey::from_sec1_bytes(public).map_err(|_| KeyError::Mismatch)?;
    if *key.verifying_key() != claimed {
        return Err(KeyError::Mismatch);
    }
    Ok(Key::P384(Box::new(key)))
}

fn rsa_sign(key: &RsaKeyPair, pss: bool, message: &[u8]) -> Result<Vec<u8>, SignerError> {
    let padding: &dyn ring_signature::RsaEncoding = if pss {
        &ring_signature::RSA_PSS_SHA256
    } else {
        &ring_signature::RSA_PKCS1_SHA256
    };
    let mut made = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), message, &mut made)
        .map_err(|_| failed())?;
    Ok(made)
}

fn failed() -> SignerError {
    SignerError(Box::new(KeyError::Random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_fit_their_keys() {
        assert!(Algorithm::RsaPssSha256.fits(KeyKind::Rsa(2048)));
        assert!(!Algorithm::RsaPssSha256.fits(KeyKind::Rsa(1024)));
        assert!(!Algorithm::RsaPkcs1Sha256.fits(KeyKind::P256));
        assert!(Algorithm::EcdsaP256Sha256.fits(KeyKind::P256));
        assert!(!Algorithm::EcdsaP256Sha256.fits(KeyKind::P384));
        assert!(!Algorithm::EcdsaP384Sha256.fits(KeyKind::P521));
    }

    #[test]
    fn a_signer_error_says_what_the_token_said() {
        let error = SignerError("the PIN is locked".into());
        assert!(error.to_string().ends_with("the PIN is locked"));
        assert!(std::error::Error::source(&error).is_some());
    }
}
