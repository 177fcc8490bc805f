//! Device certificates: proxies signed by a card (RFC 3820), made and verified.
//!
//! Looks only at the proxy and the certificate above it; the card's own path
//! is verified by `path`.

use crate::certificate::Certificate;
use crate::signer::{Signer, SignerError};

/// Names our policy language: the policy is text for smr alone.
pub const POLICY_OID: &str = "2.25.1518643927.1";

/// Says what a new device certificate shall contain.
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    /// The device's DER SubjectPublicKeyInfo, P-256.
    pub spki: Vec<u8>,
    /// The common name added to the issuer's subject, at most 64 bytes.
    pub common_name: String,
    /// The policy, text.
    pub policy: String,
    /// First second of validity, unix time.
    pub not_before: i64,
    /// Last second of validity, unix time; cut to the issuer's.
    pub not_after: i64,
    /// The serial number, random.
    pub serial: [u8; 16],
}

/// Holds what a verified device certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyFacts {
    /// The policy, text.
    pub policy: String,
    /// The common name added to the issuer's subject.
    pub common_name: String,
}

/// Says why a device certificate was not made or not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// A rule of RFC 3820, or of ours, is broken.
    #[error("not a device certificate of this card: {0}")]
    Rule(&'static str),
    /// The validity is over.
    #[error("the device certificate has expired")]
    Expired,
    /// The validity has not begun.
    #[error("the device certificate is not valid yet")]
    NotYetValid,
    /// The card did not sign it.
    #[error("the card's signature on the device certificate does not verify")]
    Signature,
    /// The card did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Issues a device certificate under the signer's.
pub fn issue(_request: &ProxyRequest, _issuer: &dyn Signer) -> Result<Certificate, ProxyError> {
    Err(ProxyError::Rule("nothing issued"))
}

/// Verifies that `proxy` is a device certificate signed by `issuer`, at `now`.
pub fn verify(
    _proxy: &Certificate,
    _issuer: &Certificate,
    _now: i64,
) -> Result<ProxyFacts, ProxyError> {
    Err(ProxyError::Signature)
}
