//! Certificates: DER in, facts out (RFC 5280).
//!
//! Trusts nothing it reads: whether a certificate may be believed is said by
//! `path` and `proxy`.

/// Holds one certificate: its DER and what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
}

/// Says why bytes are not a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are not one DER certificate.
    #[error("not a DER certificate: {0}")]
    Damaged(String),
    /// The text is not PEM, or holds no certificate.
    #[error("no certificate found, expected PEM or DER")]
    Absent,
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

impl Certificate {
    /// Reads one DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Ok(Certificate { der: der.to_vec() })
    }
    /// Reads every certificate of a PEM text, or the one in a DER file.
    pub fn pem_or_der_bundle(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        Ok(vec![Self::from_der(bytes)?])
    }
    /// Returns the certificate as it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// Writes the certificate as PEM.
    pub fn to_pem(&self) -> String {
        String::new()
    }
    /// Returns the SHA-256 of the DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        [0; 32]
    }
    /// Returns the DER of the issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.der
    }
    /// Returns the DER of the subject's name.
    pub fn subject_der(&self) -> &[u8] {
        &self.der
    }
    /// Returns the serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.der
    }
    /// Returns the DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.der
    }
    /// Returns the subject as text (RFC 4514).
    pub fn subject_text(&self) -> &str {
        ""
    }
    /// Returns the issuer as text (RFC 4514).
    pub fn issuer_text(&self) -> &str {
        ""
    }
    /// Returns the last common name of the subject.
    pub fn common_name(&self) -> Option<&str> {
        None
    }
    /// Returns the serialNumber attribute of the subject.
    pub fn subject_serial_number(&self) -> Option<&str> {
        None
    }
    /// Returns the country of the subject.
    pub fn country(&self) -> Option<&str> {
        None
    }
    /// Returns the first second of validity, unix time.
    pub fn not_before(&self) -> i64 {
        0
    }
    /// Returns the last second of validity, unix time.
    pub fn not_after(&self) -> i64 {
        0
    }
    /// Says whether basicConstraints make it a CA.
    pub fn is_ca(&self) -> bool {
        false
    }
    /// Returns the key usage extension, where there is one.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        None
    }
    /// Returns the extended key usages, dotted, where there are any.
    pub fn extended_key_usage(&self) -> Option<&[String]> {
        None
    }
    /// Returns the proxy extension, where there is one.
    pub fn proxy(&self) -> Option<&ProxyInfo> {
        None
    }
    /// Says whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        false
    }
    /// Returns the kind of the public key.
    pub fn key_kind(&self) -> KeyKind {
        KeyKind::Other
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.subject_text())
    }
}
