//! Signatures: does this one verify under this public key?
//!
//! Makes none: `signer` does.

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

/// Verifies `signature` over `message` under a DER AlgorithmIdentifier.
pub fn verify(
    _spki_der: &[u8],
    _algorithm_der: &[u8],
    _message: &[u8],
    _signature: &[u8],
) -> Result<(), SignatureError> {
    Err(SignatureError::Wrong)
}

/// Verifies `signature` over `message` under a named algorithm.
pub fn verify_with(
    _spki_der: &[u8],
    _algorithm: Algorithm,
    _message: &[u8],
    _signature: &[u8],
) -> Result<(), SignatureError> {
    Err(SignatureError::Wrong)
}
