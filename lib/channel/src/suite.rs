//! Suites: which cipher and hash a session uses.
//!
//! Holds no key.

use std::fmt;
use std::str::FromStr;

/// Names one suite; both use X25519, ML-KEM-768 and SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// ChaCha20-Poly1305 (RFC 8439), code 1, `chachapoly`.
    ChaChaPoly = 1,
    /// AES-256-GCM (NIST SP 800-38D), code 2, `aesgcm`.
    AesGcm = 2,
}

/// Says that a text names no suite.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no such suite, expected \"chachapoly\" or \"aesgcm\"")]
pub struct SuiteError;

impl Suite {
    /// Every suite, the preferred one first.
    pub const ALL: [Suite; 2] = [Suite::ChaChaPoly, Suite::AesGcm];

    /// Returns the code on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the suite with this code, or none.
    pub fn from_code(code: u8) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// Returns the Noise protocol name (The Noise Protocol Framework, 8).
    pub(crate) fn noise_name(self) -> &'static str {
        match self {
            Suite::ChaChaPoly => "Noise_XKpsk0+psk3_25519_ChaChaPoly_SHA256",
            Suite::AesGcm => "Noise_XKpsk0+psk3_25519_AESGCM_SHA256",
        }
    }

    /// Returns the AEAD of the session's chunks.
    pub(crate) fn aead(self) -> &'static ring::aead::Algorithm {
        match self {
            Suite::ChaChaPoly => &ring::aead::CHACHA20_POLY1305,
            Suite::AesGcm => &ring::aead::AES_256_GCM,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Suite::ChaChaPoly => "chachapoly",
            Suite::AesGcm => "aesgcm",
        })
    }
}

impl FromStr for Suite {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.to_string() == text)
            .ok_or(SuiteError)
    }
}

#[cfg(test)]
mod tests {
    use super::{Suite, SuiteError};

    #[test]
    fn codes_and_names_come_back() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_code(suite.code()), Some(suite));
            assert_eq!(suite.to_string().parse(), Ok(suite));
        }
    }

    #[test]
    fn strangers_are_refused() {
        for code in [0, 3, 255] {
            assert_eq!(Suite::from_code(code), None);
        }
        for text in ["", "ChaChaPoly", "null"] {
            assert_eq!(text.parse::<Suite>(), Err(SuiteError));
        }
    }
}
