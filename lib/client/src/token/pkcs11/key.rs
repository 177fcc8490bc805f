//! A private key on a token, as a signer.
//!
//! Hashes in software, because cards claim mechanisms they do not have, and
//! takes a mechanism that hashes only where the raw one fails.

use std::path::PathBuf;

use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256};
use smr_evidence::trust::{Algorithm, Certificate, KeyKind, Signer, SignerError};

use super::{failed, raw};
use crate::token::{TokenError, der};

/// How a key wants to be asked.
pub(super) enum Consent {
    /// The login of the token is enough.
    Token,
    /// By its PIN for each signature; none where the token asks itself.
    Each(Option<AuthPin>),
}

/// A private key on a token; the session closes, and the token logs out, when
/// it is dropped.
pub(super) struct CardKey {
    pub(super) session: Session,
    pub(super) key: ObjectHandle,
    pub(super) algorithm: Algorithm,
    pub(super) consent: Consent,
    /// The file of the module.
    pub(super) module: PathBuf,
    pub(super) certificate: Certificate,
    pub(super) chain: Vec<Certificate>,
    pub(super) name: String,
}

/// One way to have a signature made.
struct Way {
    mechanism: Mechanism<'static>,
    input: Vec<u8>,
}

const PSS: PkcsPssParams = PkcsPssParams {
    hash_alg: MechanismType::SHA256,
    mgf: PkcsMgfType::MGF1_SHA256,
    s_len: cryptoki::types::Ulong::new(32),
};

impl CardKey {
    /// Returns the raw mechanism first, then the one that hashes.
    fn ways(&self, message: &[u8]) -> [Way; 2] {
        let digest = Sha256::digest(message).to_vec();
        let way = |mechanism, input| Way { mechanism, input };
        let whole = message.to_vec();
        match self.algorithm {
            Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha256 => [
                way(Mechanism::Ecdsa, digest),
                way(Mechanism::EcdsaSha256, whole),
            ],
            Algorithm::RsaPkcs1Sha256 => [
                way(
                    Mechanism::RsaPkcs,
                    der::digest_info(&Sha256::digest(message).into()),
                ),
                way(Mechanism::Sha256RsaPkcs, whole),
            ],
            Algorithm::RsaPssSha256 => [
                way(Mechanism::RsaPkcsPss(PSS), digest),
                way(Mechanism::Sha256RsaPkcsPss(PSS), whole),
            ],
        }
    }

    fn make(&self, message: &[u8], way: &Way) -> Result<Vec<u8>, TokenError> {
        let made = match &self.consent {
            Consent::Token => self.session.sign(&way.mechanism, self.key, &way.input),
            Consent::Each(pin) => return self.make_with_consent(message, way, pin.as_ref()),
        };
        let made = made.map_err(|e| failed(&self.name, "sign", &e))?;
        self.finish(message, made)
    }

    /// The PIN has been right once in this command: it costs no try to give it
    /// to the key itself (PKCS#11 2.40, 5.1.6).
    fn make_with_consent(
        &self,
        message: &[u8],
        way: &Way,
        pin: Option<&AuthPin>,
    ) -> Result<Vec<u8>, TokenError> {
        let made = self
            .session
            .sign_init(&way.mechanism, self.key)
            .and_then(|()| self.session.login(UserType::ContextSpecific, pin))
            .and_then(|()| raw::sign(&self.module, &self.session, &way.input))
            .map_err(|e| failed(&self.name, "sign", &e))?;
        self.finish(message, made)
    }

    /// Brings a signature into the form that CMS has, and verifies it: a CKA_ID
    /// may lead to another certificate's key, and a card may err.
    fn finish(&self, message: &[u8], made: Vec<u8>) -> Result<Vec<u8>, TokenError> {
        let size = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => Some(32),
            Algorithm::EcdsaP384Sha256 => Some(48),
            Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => None,
        };
        let signature = match size {
            None => made,
            Some(size) => {
                let length = made.len();
                der::ecdsa_signature(&made, size).ok_or_else(|| TokenError::Failed {
                    of: self.name.clone(),
                    operation: "sign",
                    why: format!("a signature of {length} bytes, expected {}", 2 * size),
                })?
            }
        };
        self.check(message, &signature)?;
        Ok(signature)
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
            Algorithm::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
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
        let [raw, hashing] = self.ways(message);
        let signed = self.make(message, &raw).or_else(|first| {
            // A card that is gone, a person who said no, or a PIN that was
            // wrong is not asked for twice.
            match first.is_final() {
                true => Err(first),
                false => self.make(message, &hashing).map_err(|_| first),
            }
        });
        signed.map_err(|error| SignerError(Box::new(error)))
    }
}

/// Chooses how to sign: with PSS only where the token has nothing else.
pub(super) fn algorithm_of(
    certificate: &Certificate,
    mechanisms: &[MechanismType],
    name: &str,
) -> Result<Algorithm, TokenError> {
    let has = |one: MechanismType| mechanisms.contains(&one);
    let pss = has(MechanismType::RSA_PKCS_PSS) || has(MechanismType::SHA256_RSA_PKCS_PSS);
    let plain = has(MechanismType::RSA_PKCS) || has(MechanismType::SHA256_RSA_PKCS);
    match certificate.key_kind() {
        KeyKind::Rsa(2048..=4096) if pss && !plain => Ok(Algorithm::RsaPssSha256),
        KeyKind::Rsa(2048..=4096) => Ok(Algorithm::RsaPkcs1Sha256),
        KeyKind::P256 => Ok(Algorithm::EcdsaP256Sha256),
        KeyKind::P384 => Ok(Algorithm::EcdsaP384Sha256),
        other => Err(TokenError::KeyKind {
            of: name.to_owned(),
            kind: format!("{other:?}, expected RSA of 2048 to 4096 bits, P-256 or P-384"),
        }),
    }
}
