//! Fingerprints: SHA-256 of a certificate or an identity document, as text.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

const PREFIX: &str = "SHA256:";

/// Names bytes by their SHA-256: 32 bytes, written `SHA256:` and 43 base64
/// characters without padding, as ssh does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// Says that a text is not a fingerprint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a fingerprint, expected \"SHA256:\" and 43 base64 characters")]
pub struct FingerprintError;

impl Fingerprint {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Fingerprint(Sha256::digest(bytes).into())
    }

    /// Wraps a digest made elsewhere.
    pub fn from_bytes(digest: [u8; 32]) -> Self {
        Fingerprint(digest)
    }

    /// Returns the digest, 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let body = text.strip_prefix(PREFIX).ok_or(FingerprintError)?;
        let bytes = STANDARD_NO_PAD.decode(body).map_err(|_| FingerprintError)?;
        Ok(Fingerprint(bytes.try_into().map_err(|_| FingerprintError)?))
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn text_comes_back() {
        let print = Fingerprint::of(b"abc");
        assert_eq!(print.to_string().parse(), Ok(print));
        assert_eq!(
            print.to_string(),
            "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "SHA256:",
            "SHA256:AAAA",
            "MD5:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
            "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        ] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
