//! Digests: the hash functions we read; SHA-256 is the one we write.
//!
//! SHA-1 and MD5 are not here and so are refused everywhere.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_SHA_256, ID_SHA_384, ID_SHA_512};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Names a digest we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256, the one we write.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Hashes `bytes`: 32, 48 or 64 bytes.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            DigestAlgorithm::Sha256 => Sha256::digest(bytes).to_vec(),
            DigestAlgorithm::Sha384 => Sha384::digest(bytes).to_vec(),
            DigestAlgorithm::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// Returns the name S/MIME gives it in `micalg` (RFC 8551 3.5.3.2).
    pub fn micalg(self) -> &'static str {
        match self {
            DigestAlgorithm::Sha256 => "sha-256",
            DigestAlgorithm::Sha384 => "sha-384",
            DigestAlgorithm::Sha512 => "sha-512",
        }
    }

    pub(crate) fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        match *oid {
            ID_SHA_256 => Some(DigestAlgorithm::Sha256),
            ID_SHA_384 => Some(DigestAlgorithm::Sha384),
            ID_SHA_512 => Some(DigestAlgorithm::Sha512),
            _ => None,
        }
    }
}

/// Hashes with SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_abc() {
        let digest = DigestAlgorithm::Sha256.digest(b"abc");
        assert_eq!(&digest[..4], &[0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(DigestAlgorithm::Sha512.digest(b"").len(), 64);
        assert_ne!(DigestAlgorithm::Sha256.digest(b"abd"), digest);
    }

    #[test]
    fn sha1_is_not_known() {
        assert_eq!(
            DigestAlgorithm::from_oid(&const_oid::db::rfc5912::ID_SHA_1),
            None
        );
        assert_eq!(
            DigestAlgorithm::from_oid(&ID_SHA_384),
            Some(DigestAlgorithm::Sha384)
        );
    }
}
