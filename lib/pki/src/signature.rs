//! Signatures: does this one verify under this public key?
//!
//! Makes none: `signer` does. SHA-1, RSA below 2048 bits, and curves other
//! than P-256, P-384 and P-521 are refused. ring is asked first, several times
//! as fast as the others; what it does not know, or finds wrong, they decide.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_EC_PUBLIC_KEY, ID_MGF_1,
    ID_RSASSA_PSS, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use der::asn1::{AnyRef, UintRef};
use der::{Decode, Sequence};
use ring::signature::{self as quick, UnparsedPublicKey, VerificationAlgorithm};
use rsa::signature::Verifier;
use rsa::signature::hazmat::PrehashVerifier;
use rsa::traits::PublicKeyParts;
use sha2::{Sha256, Sha384, Sha512};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::digest::DigestAlgorithm;
use crate::seen;
use crate::signer::Algorithm;

/// Says why a signature was not accepted.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum SignatureError {
    /// The algorithm, its parameters or the key are none we take.
    #[error("unsupported signature algorithm or key: {0}")]
    Unsupported(&'static str),
    /// The signature is wrong.
    #[error("the signature does not verify")]
    Wrong,
}

/// Verifies `signature` over the whole `message` under a DER
/// AlgorithmIdentifier: RSA PKCS#1 v1.5 and PSS (the salt's length is read
/// from the parameters), ECDSA on P-256, P-384, P-521, each with any SHA-2.
pub fn verify(
    spki_der: &[u8],
    algorithm_der: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    Scheme::from_der(algorithm_der)?.verify(spki_der, message, signature)
}

/// Verifies `signature` over the whole `message` under a named algorithm.
pub fn verify_with(
    spki_der: &[u8],
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    Scheme::of(algorithm).verify(spki_der, message, signature)
}

/// Names one way of signing, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(DigestAlgorithm),
    /// RSASSA-PSS with MGF1 over the same digest.
    Pss {
        /// The digest of message and mask.
        digest: DigestAlgorithm,
        /// Bytes of salt.
        salt: u16,
    },
    /// ECDSA on the curve of the key.
    Ecdsa(DigestAlgorithm),
}

/// RSASSA-PSS-params (RFC 8017 A.2.3). What is absent means SHA-1, and so is
/// refused.
#[derive(Sequence)]
struct PssParams<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt: Option<u16>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u8>,
}

#[derive(Sequence)]
struct RsaPublic<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Scheme {
    pub(crate) fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RsaPkcs1Sha256 => Scheme::Pkcs1(DigestAlgorithm::Sha256),
            Algorithm::RsaPssSha256 => Scheme::Pss {
                digest: DigestAlgorithm::Sha256,
                salt: 32,
            },
            Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha256 => {
                Scheme::Ecdsa(DigestAlgorithm::Sha256)
            }
        }
    }

    pub(crate) fn from_der(algorithm_der: &[u8]) -> Result<Self, SignatureError> {
        let algorithm = AlgorithmIdentifierRef::from_der(algorithm_der)
            .map_err(|_| SignatureError::Unsupported("damaged algorithm identifier"))?;
        Self::from_algorithm(&algorithm, None)
    }

    /// Reads a CMS signature algorithm, where rsaEncryption leaves the digest
    /// to the signer's digest algorithm (RFC 3370 3.2).
    pub(crate) fn from_algorithm(
        algorithm: &AlgorithmIdentifierRef<'_>,
        outside: Option<DigestAlgorithm>,
    ) -> Result<Self, SignatureError> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let (scheme, null) = match (algorithm.oid, outside) {
            (ID_RSASSA_PSS, _) => return pss(algorithm.parameters),
            (SHA_256_WITH_RSA_ENCRYPTION, _) => (Scheme::Pkcs1(Sha256), true),
            (SHA_384_WITH_RSA_ENCRYPTION, _) => (Scheme::Pkcs1(Sha384), true),
            (SHA_512_WITH_RSA_ENCRYPTION, _) => (Scheme::Pkcs1(Sha512), true),
            (RSA_ENCRYPTION, Some(digest)) => (Scheme::Pkcs1(digest), true),
            (ECDSA_WITH_SHA_256, _) => (Scheme::Ecdsa(Sha256), false),
            (ECDSA_WITH_SHA_384, _) => (Scheme::Ecdsa(Sha384), false),
            (ECDSA_WITH_SHA_512, _) => (Scheme::Ecdsa(Sha512), false),
            _ => return Err(SignatureError::Unsupported("unknown algorithm")),
        };
        match algorithm.parameters {
            None => Ok(scheme),
            Some(parameters) if null && parameters.is_null() => Ok(scheme),
            Some(_) => Err(SignatureError::Unsupported("unexpected parameters")),
        }
    }

    pub(crate) fn digest(self) -> DigestAlgorithm {
        match self {
            Scheme::Pkcs1(digest) | Scheme::Ecdsa(digest) | Scheme::Pss { digest, .. } => digest,
        }
    }

    pub(crate) fn verify(
        self,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let scheme = format!("{self:?}");
        seen::once([scheme.as_bytes(), spki_der, message, signature], || {
            self.verify_anew(spki_der, message, signature)
        })
    }

    fn verify_anew(
        self,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der)
            .map_err(|_| SignatureError::Unsupported("damaged public key"))?;
        match self {
            Scheme::Pkcs1(digest) => pkcs1_verify(&spki, digest, message, signature),
            Scheme::Pss { digest, salt } => pss_verify(&spki, digest, salt, message, signature),
            Scheme::Ecdsa(digest) => ecdsa_verify(&spki, digest, message, signature),
        }
    }
}

fn pss(parameters: Option<AnyRef<'_>>) -> Result<Scheme, SignatureError> {
    let unsupported = SignatureError::Unsupported("PSS parameters");
    let parameters = parameters.ok_or_else(|| unsupported.clone())?;
    let params: PssParams<'_> = parameters.decode_as().map_err(|_| unsupported.clone())?;
    let hash = params.hash.as_ref().and_then(plain_digest);
    let mask = params.mask.as_ref().filter(|m| m.oid == ID_MGF_1);
    let mask = mask
        .and_then(|m| m.parameters)
        .and_then(|p| p.decode_as::<AlgorithmIdentifierRef<'_>>().ok());
    match (hash, mask.as_ref().and_then(plain_digest), params.trailer) {
        (Some(digest), Some(masked), None | Some(1)) if digest == masked => Ok(Scheme::Pss {
            digest,
            salt: params.salt.unwrap_or(20),
        }),
        _ => Err(unsupported),
    }
}

/// Reads a digest AlgorithmIdentifier; its parameters are absent or NULL
/// (RFC 5754 2).
pub(crate) fn plain_digest(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<DigestAlgorithm> {
    match algorithm.parameters {
        Some(parameters) if !parameters.is_null() => None,
        _ => DigestAlgorithm::from_oid(&algorithm.oid),
    }
}

fn rsa_key(
    spki: &SubjectPublicKeyInfoRef<'_>,
    allowed: &[ObjectIdentifier],
) -> Result<rsa::RsaPublicKey, SignatureError> {
    if !allowed.contains(&spki.algorithm.oid) {
        return Err(SignatureError::Unsupported("the key is of another kind"));
    }
    let damaged = SignatureError::Unsupported("damaged RSA key");
    let public =
        RsaPublic::from_der(spki.subject_public_key.raw_bytes()).map_err(|_| damaged.clone())?;
    let number = |n: &UintRef<'_>| rsa::BoxedUint::from_be_slice_vartime(n.as_bytes());
    let (modulus, exponent) = (number(&public.modulus), number(&public.exponent));
    let key = rsa::RsaPublicKey::new_with_max_size(modulus, exponent, 4096).map_err(|_| damaged)?;
    if key.n().bits() < 2048 {
        return Err(SignatureError::Unsupported(
            "RSA key shorter than 2048 bits",
        ));
    }
    Ok(key)
}

fn pkcs1_verify(
    spki: &SubjectPublicKeyInfoRef<'_>,
    digest: DigestAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    // Its rules about the size of the key are ours, so it is read first.
    let key = rsa_key(spki, &[RSA_ENCRYPTION])?;
    let (quick, padding): (&dyn VerificationAlgorithm, _) = match digest {
        DigestAlgorithm::Sha256 => (
            &quick::RSA_PKCS1_2048_8192_SHA256,
            rsa::Pkcs1v15Sign::new::<Sha256>(),
        ),
        DigestAlgorithm::Sha384 => (
            &quick::RSA_PKCS1_2048_8192_SHA384,
            rsa::Pkcs1v15Sign::new::<Sha384>(),
        ),
        DigestAlgorithm::Sha512 => (
            &quick::RSA_PKCS1_2048_8192_SHA512,
            rsa::Pkcs1v15Sign::new::<Sha512>(),
        ),
    };
    if is_signature(quick, spki, message, signature) {
        return Ok(());
    }
    key.verify(padding, &digest.digest(message), signature)
        .map_err(|_| SignatureError::Wrong)
}

fn pss_verify(
    spki: &SubjectPublicKeyInfoRef<'_>,
    digest: DigestAlgorithm,
    salt: u16,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = rsa_key(spki, &[RSA_ENCRYPTION, ID_RSASSA_PSS])?;
    if spki.algorithm.oid == ID_RSASSA_PSS {
        check_pss_key(spki, digest, salt)?;
    }
    let signature = rsa::pss::Signature::try_from(signature).map_err(|_| SignatureError::Wrong)?;
    let salt = usize::from(salt);
    match digest {
        DigestAlgorithm::Sha256 => rsa::pss::VerifyingKey::<Sha256>::new_with_salt_len(key, salt)
            .verify(message, &signature),
        DigestAlgorithm::Sha384 => rsa::pss::VerifyingKey::<Sha384>::new_with_salt_len(key, salt)
            .verify(message, &signature),
        DigestAlgorithm::Sha512 => rsa::pss::VerifyingKey::<Sha512>::new_with_salt_len(key, salt)
            .verify(message, &signature),
    }
    .map_err(|_| SignatureError::Wrong)
}

/// A PSS-only key may fix the digest and the least salt (RFC 4055 3.3).
fn check_pss_key(
    spki: &SubjectPublicKeyInfoRef<'_>,
    digest: DigestAlgorithm,
    salt: u16,
) -> Result<(), SignatureError> {
    if spki.algorithm.parameters.is_none() {
        return Ok(());
    }
    match pss(spki.algorithm.parameters)? {
        Scheme::Pss {
            digest: fixed,
            salt: least,
        } if fixed == digest && least <= salt => Ok(()),
        _ => Err(SignatureError::Unsupported("the key demands another PSS")),
    }
}

fn ecdsa_verify(
    spki: &SubjectPublicKeyInfoRef<'_>,
    digest: DigestAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    if spki.algorithm.oid != ID_EC_PUBLIC_KEY {
        return Err(SignatureError::Unsupported("the key is of another kind"));
    }
    let curve = spki.algorithm.parameters_oid();
    let quick = curve.ok().and_then(|curve| ecdsa_quick(curve, digest));
    if quick.is_some_and(|quick| is_signature(quick, spki, message, signature)) {
        return Ok(());
    }
    let point = spki.subject_public_key.raw_bytes();
    let hash = digest.digest(message);
    match curve {
        Ok(SECP_256_R_1) => p256_verify(point, &hash, signature),
        Ok(SECP_384_R_1) => p384_verify(point, &hash, signature),
        Ok(SECP_521_R_1) => p521_verify(point, &hash, signature),
        _ => Err(SignatureError::Unsupported("unknown curve")),
    }
}

/// The curves and hashes that ring knows together.
fn ecdsa_quick(
    curve: ObjectIdentifier,
    digest: DigestAlgorithm,
) -> Option<&'static dyn VerificationAlgorithm> {
    match (curve, digest) {
        (SECP_256_R_1, DigestAlgorithm::Sha256) => Some(&quick::ECDSA_P256_SHA256_ASN1),
        (SECP_256_R_1, DigestAlgorithm::Sha384) => Some(&quick::ECDSA_P256_SHA384_ASN1),
        (SECP_384_R_1, DigestAlgorithm::Sha256) => Some(&quick::ECDSA_P384_SHA256_ASN1),
        (SECP_384_R_1, DigestAlgorithm::Sha384) => Some(&quick::ECDSA_P384_SHA384_ASN1),
        _ => None,
    }
}

/// Asks ring.
fn is_signature(
    quick: &'static dyn VerificationAlgorithm,
    spki: &SubjectPublicKeyInfoRef<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(quick, spki.subject_public_key.raw_bytes())
        .verify(message, signature)
        .is_ok()
}

const BAD_POINT: SignatureError = SignatureError::Unsupported("damaged EC key");

fn p256_verify(point: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BAD_POINT)?;
    let signature =
        p256::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Wrong)?;
    key.verify_prehash(hash, &signature)
        .map_err(|_| SignatureError::Wrong)
}

fn p384_verify(point: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BAD_POINT)?;
    let signature =
        p384::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Wrong)?;
    key.verify_prehash(hash, &signature)
        .map_err(|_| SignatureError::Wrong)
}

fn p521_verify(point: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BAD_POINT)?;
    let signature =
        p521::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Wrong)?;
    // The crate refuses a hash shorter than half the field; zeros before a
    // big-endian number leave it as it is (FIPS 186-5 6.4).
    let mut padded = vec![0; 66 - hash.len()];
    padded.extend_from_slice(hash);
    key.verify_prehash(&padded, &signature)
        .map_err(|_| SignatureError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [Algorithm; 4] = [
        Algorithm::RsaPkcs1Sha256,
        Algorithm::RsaPssSha256,
        Algorithm::EcdsaP256Sha256,
        Algorithm::EcdsaP384Sha256,
    ];

    #[test]
    fn what_signers_write_is_read() {
        for algorithm in ALGORITHMS {
            let scheme = Scheme::from_der(&algorithm.identifier_der()).unwrap();
            assert_eq!(scheme, Scheme::of(algorithm));
            assert_eq!(scheme.digest(), DigestAlgorithm::Sha256);
        }
    }

    /// Changes one byte of the PSS identifier, counted from its end.
    fn bent_pss(from_end: usize, byte: u8) -> Result<Scheme, SignatureError> {
        let mut der = Algorithm::RsaPssSha256.identifier_der();
        let place = der.len() - from_end;
        der[place] = byte;
        Scheme::from_der(&der)
    }

    #[test]
    fn pss_parameters_count() {
        let salted = bent_pss(1, 33).unwrap();
        assert!(matches!(salted, Scheme::Pss { salt: 33, .. }));
        // SHA-384 for the mask alone.
        assert!(bent_pss(8, 2).is_err());
        // A mask function that is not MGF1.
        assert!(bent_pss(23, 9).is_err());
        // No parameters at all would mean SHA-1.
        let mut bare = vec![0x30, 0x0b];
        bare.extend(&Algorithm::RsaPssSha256.identifier_der()[2..13]);
        assert!(Scheme::from_der(&bare).is_err());
    }

    #[test]
    fn other_algorithms_are_unsupported() {
        let sha1_rsa = [
            0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05,
            0x00,
        ];
        assert!(Scheme::from_der(&sha1_rsa).is_err());
        let mut ecdsa = Algorithm::EcdsaP256Sha256.identifier_der();
        assert!(Scheme::from_der(&ecdsa).is_ok());
        ecdsa[1] += 2;
        ecdsa.extend([0x05, 0x00]);
        assert!(Scheme::from_der(&ecdsa).is_err(), "NULL is not absence");
        assert!(Scheme::from_der(&[]).is_err());
    }

    #[test]
    fn a_key_of_another_kind_never_verifies() {
        let (_, spki) = crate::signer::generate_p256().unwrap();
        for algorithm in ALGORITHMS {
            let outcome = verify_with(&spki, algorithm, b"m", &[0; 64]);
            assert!(outcome.is_err(), "{algorithm:?}");
        }
        let rsa = verify_with(&spki, Algorithm::RsaPkcs1Sha256, b"m", &[0; 256]);
        assert!(matches!(rsa, Err(SignatureError::Unsupported(_))));
        let damaged = verify_with(b"", Algorithm::EcdsaP256Sha256, b"m", b"");
        assert!(matches!(damaged, Err(SignatureError::Unsupported(_))));
    }
}
