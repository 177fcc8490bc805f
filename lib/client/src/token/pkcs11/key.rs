//! A private key on a token, as a signer.
//!
//! Hashes in software, because cards claim mechanisms they do not have.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use sha2::{Digest, Sha256};
use smr_evidence::trust::{Algorithm, Certificate, KeyKind, Signer, SignerError};

use super::failed;
use crate::token::{TokenError, der};

/// A private key on a token; the session closes, and the token logs out, when
/// it is dropped.
pub(super) struct CardKey {
    pub(super) session: Session,
    pub(super) key: ObjectHandle,
    pub(super) algorithm: Algorithm,
    pub(super) certificate: Certificate,
    pub(super) chain: Vec<Certificate>,
    pub(super) name: String,
}

impl CardKey {
    fn ask_card(&self, mechanism: &Mechanism, input: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.session
            .sign(mechanism, self.key, input)
            .map_err(|e| failed(&self.name, "sign", &e))
    }

    fn ecdsa(&self, digest: &[u8], size: usize) -> Result<Vec<u8>, TokenError> {
        let raw = self.ask_card(&Mechanism::Ecdsa, digest)?;
        der::ecdsa_signature(&raw, size).ok_or_else(|| TokenError::Failed {
            of: self.name.clone(),
            operation: "sign",
            why: format!("a signature of {} bytes, expected {}", raw.len(), 2 * size),
        })
    }

    fn make(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        match self.algorithm {
            Algorithm::EcdsaP256Sha256 => self.ecdsa(&Sha256::digest(message), 32),
            Algorithm::EcdsaP384Sha256 => self.ecdsa(&Sha256::digest(message), 48),
            Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => {
                let info = der::digest_info(&Sha256::digest(message).into());
                self.ask_card(&Mechanism::RsaPkcs, &info)
            }
        }
    }

    // A CKA_ID may lead to another certificate's key: better seen here.
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
            Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let bits = der::public_bits(self.certificate.spki_der()).unwrap_or(&[]);
        UnparsedPublicKey::new(algorithm, bits)
            .verify(message, signature)
            .map_err(|_| TokenError::NoKey(self.name.clone()))
    }
}

impl Signer for CardKey {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signed = self.make(message).and_then(|signature| {
            self.check(message, &signature)?;
            Ok(signature)
        });
        signed.map_err(|error| SignerError(Box::new(error)))
    }
}

pub(super) fn algorithm_of(certificate: &Certificate, name: &str) -> Result<Algorithm, TokenError> {
    match certificate.key_kind() {
        KeyKind::Rsa(2048..=4096) => Ok(Algorithm::RsaPkcs1Sha256),
        KeyKind::P256 => Ok(Algorithm::EcdsaP256Sha256),
        KeyKind::P384 => Ok(Algorithm::EcdsaP384Sha256),
        other => Err(TokenError::KeyKind {
            of: name.to_owned(),
            kind: format!("{other:?}, expected RSA of 2048 to 4096 bits, P-256 or P-384"),
        }),
    }
}
