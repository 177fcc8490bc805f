//! Certificates: DER in, facts out (RFC 5280).
//!
//! Trusts nothing it reads: whether a certificate may be believed is said by
//! `path` and `proxy`.

mod read;

use std::fmt;
use std::sync::{Arc, OnceLock};

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc4519, rfc5280};
use der::asn1::OctetString;
use der::{Decode, Sequence};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::name::Name;

use crate::asn1;
use crate::digest::sha256;
use read::{
    check_extensions_once, key_kind, only, read, read_extended_key_usage, read_key_usage, texts,
};

/// id-pe-proxyCertInfo (RFC 3820 3.8).
pub(crate) const PROXY_CERT_INFO: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.14");

/// Holds one certificate: its DER and what it says. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Vec<u8>,
    signature_algorithm: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    parsed: x509_cert::Certificate,
    // Written when they are asked for: each part of a name is looked up in a
    // long table.
    subject_text: OnceLock<String>,
    issuer_text: OnceLock<String>,
    common_name: Option<String>,
    serial_number: Option<String>,
    country: Option<String>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<Vec<String>>,
    basic: Option<BasicConstraints>,
    proxy: Option<ProxyInfo>,
    key_kind: KeyKind,
}

/// Says why bytes are not a certificate we take.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are not one DER certificate.
    #[error("not a DER certificate: {0}")]
    Damaged(String),
    /// It says one thing twice, or two things that contradict each other.
    #[error("not an acceptable certificate: {0}")]
    Contradictory(&'static str),
    /// The text is not PEM, or holds no certificate.
    #[error("no certificate found, expected PEM or DER")]
    Absent,
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        CertificateError::Damaged(error.to_string())
    }
}

/// Says what the key of a certificate may be used for (RFC 5280 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeyUsage {
    /// Signatures other than those on certificates and CRLs.
    pub digital_signature: bool,
    /// Signatures one stands by (contentCommitment).
    pub non_repudiation: bool,
    /// Encryption of keys.
    pub key_encipherment: bool,
    /// Encryption of data.
    pub data_encipherment: bool,
    /// Agreement on keys.
    pub key_agreement: bool,
    /// Signatures on certificates.
    pub key_cert_sign: bool,
    /// Signatures on CRLs.
    pub crl_sign: bool,
}

/// Holds the proxy extension of a device certificate (RFC 3820 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInfo {
    /// How many proxies may follow.
    pub path_len: Option<u64>,
    /// The policy language, dotted.
    pub policy_oid: String,
    /// The policy itself.
    pub policy: Option<Vec<u8>>,
}

/// Names the kind of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the length of its modulus in bits.
    Rsa(usize),
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521.
    P521,
    /// Anything else; nothing verifies with it.
    Other,
}

/// ProxyCertInfo (RFC 3820 3.8).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct ProxyCertInfo {
    #[asn1(optional = "true")]
    pub(crate) path_len: Option<u64>,
    pub(crate) policy: ProxyPolicy,
}

/// ProxyPolicy (RFC 3820 3.8.2).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct ProxyPolicy {
    pub(crate) language: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(crate) policy: Option<OctetString>,
}

impl Certificate {
    /// Reads one DER certificate.
    ///
    /// Refuses trailing bytes, duplicate extensions, extensions it knows but
    /// cannot read, and a signature algorithm that differs inside and outside.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(der)?;
        let outer = asn1::children(der)?;
        let tbs = *outer.first().ok_or(MISSING)?;
        let algorithm = *outer.get(1).ok_or(MISSING)?;
        let fields = asn1::children(tbs)?;
        // The version is the only field that may be absent before the others.
        let start = usize::from(fields.first().is_some_and(|f| f.first() == Some(&0xa0)));
        let field = |n: usize| fields.get(start + n).copied().ok_or(MISSING);
        if field(1)? != algorithm {
            return Err(CertificateError::Contradictory(
                "two different signature algorithms",
            ));
        }
        if parsed.signature().unused_bits() != 0 {
            return Err(CertificateError::Contradictory("signature of odd length"));
        }
        check_extensions_once(&parsed)?;
        let spki = field(5)?.to_vec();
        let inner = Inner {
            der: der.to_vec(),
            tbs: tbs.to_vec(),
            signature_algorithm: algorithm.to_vec(),
            issuer: field(2)?.to_vec(),
            subject: field(4)?.to_vec(),
            key_kind: key_kind(&spki),
            spki,
            subject_text: OnceLock::new(),
            issuer_text: OnceLock::new(),
            common_name: texts(parsed.tbs_certificate().subject(), rfc4519::COMMON_NAME).pop(),
            serial_number: only(parsed.tbs_certificate().subject(), rfc4519::SERIAL_NUMBER),
            country: only(parsed.tbs_certificate().subject(), rfc4519::COUNTRY_NAME),
            key_usage: read_key_usage(&parsed)?,
            extended_key_usage: read_extended_key_usage(&parsed)?,
            basic: read::<BasicConstraints>(&parsed, rfc5280::ID_CE_BASIC_CONSTRAINTS)?,
            proxy: read::<ProxyCertInfo>(&parsed, PROXY_CERT_INFO)?.map(ProxyInfo::from),
            parsed,
        };
        Ok(Certificate {
            inner: Arc::new(inner),
        })
    }

    /// Reads every certificate of a PEM text, or the one in a DER file; other
    /// PEM blocks are passed over.
    pub fn pem_or_der_bundle(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if bytes.first() == Some(&0x30) {
            return Ok(vec![Self::from_der(bytes)?]);
        }
        let found = asn1::pem_blocks(bytes, "CERTIFICATE").ok_or(CertificateError::Absent)?;
        if found.is_empty() {
            return Err(CertificateError::Absent);
        }
        found.iter().map(|der| Self::from_der(der)).collect()
    }

    /// Returns the certificate as it was read.
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// Writes the certificate as PEM, lines of 64 characters.
    pub fn to_pem(&self) -> String {
        asn1::to_pem("CERTIFICATE", self.der())
    }

    /// Returns the SHA-256 of the DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(self.der())
    }

    /// Returns the DER of the issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.inner.issuer
    }

    /// Returns the DER of the subject's name.
    pub fn subject_der(&self) -> &[u8] {
        &self.inner.subject
    }

    /// Returns the serial number, big-endian two's complement as in the DER.
    pub fn serial(&self) -> &[u8] {
        self.inner
            .parsed
            .tbs_certificate()
            .serial_number()
            .as_bytes()
    }

    /// Returns the DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki
    }

    /// Returns the subject as text (RFC 4514); control characters are escaped.
    pub fn subject_text(&self) -> &str {
        let text = &self.inner.subject_text;
        text.get_or_init(|| self.subject_name().to_string())
    }

    /// Returns the issuer as text (RFC 4514); control characters are escaped.
    pub fn issuer_text(&self) -> &str {
        let text = &self.inner.issuer_text;
        text.get_or_init(|| self.issuer_name().to_string())
    }

    /// Returns the last common name of the subject, raw: escape it before
    /// showing it.
    pub fn common_name(&self) -> Option<&str> {
        self.inner.common_name.as_deref()
    }

    /// Returns the serialNumber attribute of the subject, where there is
    /// exactly one.
    pub fn subject_serial_number(&self) -> Option<&str> {
        self.inner.serial_number.as_deref()
    }

    /// Returns the country of the subject, where there is exactly one.
    pub fn country(&self) -> Option<&str> {
        self.inner.country.as_deref()
    }

    /// Returns the first second of validity, unix time.
    pub fn not_before(&self) -> i64 {
        asn1::unix(&self.inner.parsed.tbs_certificate().validity().not_before)
    }

    /// Returns the last second of validity, unix time.
    pub fn not_after(&self) -> i64 {
        asn1::unix(&self.inner.parsed.tbs_certificate().validity().not_after)
    }

    /// Says whether basicConstraints make it a CA.
    pub fn is_ca(&self) -> bool {
        self.inner.basic.as_ref().is_some_and(|basic| basic.ca)
    }

    /// Returns the key usage extension, where there is one.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.inner.key_usage
    }

    /// Returns the extended key usages, dotted, where there are any.
    pub fn extended_key_usage(&self) -> Option<&[String]> {
        self.inner.extended_key_usage.as_deref()
    }

    /// Returns the proxy extension, where there is one.
    pub fn proxy(&self) -> Option<&ProxyInfo> {
        self.inner.proxy.as_ref()
    }

    /// Says whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        certval::compare_names(self.issuer_name(), self.subject_name())
    }

    /// Returns the kind of the public key.
    pub fn key_kind(&self) -> KeyKind {
        self.inner.key_kind
    }

    pub(crate) fn tbs_der(&self) -> &[u8] {
        &self.inner.tbs
    }

    pub(crate) fn signature_algorithm_der(&self) -> &[u8] {
        &self.inner.signature_algorithm
    }

    pub(crate) fn signature_value(&self) -> &[u8] {
        self.inner.parsed.signature().raw_bytes()
    }

    pub(crate) fn subject_name(&self) -> &Name {
        self.inner.parsed.tbs_certificate().subject()
    }

    pub(crate) fn issuer_name(&self) -> &Name {
        self.inner.parsed.tbs_certificate().issuer()
    }

    pub(crate) fn is_v3(&self) -> bool {
        self.inner.parsed.tbs_certificate().version() == x509_cert::Version::V3
    }

    /// Returns each extension: identifier, whether critical, value.
    pub(crate) fn extensions(&self) -> impl Iterator<Item = (ObjectIdentifier, bool, &[u8])> {
        self.inner
            .parsed
            .tbs_certificate()
            .extensions()
            .into_iter()
            .flatten()
            .map(|e| (e.extn_id, e.critical, e.extn_value.as_bytes()))
    }

    pub(crate) fn has_extension(&self, oid: ObjectIdentifier) -> bool {
        self.extensions().any(|(id, _, _)| id == oid)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject_text())
    }
}

impl From<ProxyCertInfo> for ProxyInfo {
    fn from(info: ProxyCertInfo) -> Self {
        ProxyInfo {
            path_len: info.path_len,
            policy_oid: info.policy.language.to_string(),
            policy: info.policy.policy.map(|p| p.as_bytes().to_vec()),
        }
    }
}

const MISSING: CertificateError = CertificateError::Contradictory("a field is missing");
