//! Signed messages: CMS SignedData, made and verified (RFC 5652).
//!
//! Says nothing of whether the signer may be believed: `path` and `proxy` do.

use crate::certificate::Certificate;
use crate::ess::ReceiptRequest;
use crate::signature::SignatureError;
use crate::signer::SignerError;

use crate::signer::Signer;

/// Names what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Anything (id-data).
    Data,
    /// A receipt (id-ct-receipt).
    Receipt,
}

/// Holds the content to sign, or its hash.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Goes into the message.
    Attached(&'a [u8]),
    /// Travels elsewhere.
    Detached {
        /// Its SHA-256.
        sha256: [u8; 32],
    },
}

/// Says what to sign.
#[derive(Clone, Debug)]
pub struct SignRequest<'a> {
    /// What it is.
    pub content_type: ContentType,
    /// The content.
    pub content: Content<'a>,
    /// When, unix time.
    pub signing_time: i64,
    /// The receipt asked for.
    pub receipt_request: Option<ReceiptRequest>,
    /// For a receipt: the digest of the message's signed attributes.
    pub msg_sig_digest: Option<Vec<u8>>,
}

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

/// Says why a signed message was not made or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CmsError {
    /// The bytes are not what we take for a SignedData.
    #[error("not an acceptable signed message: {0}")]
    Damaged(&'static str),
    /// The content is not the one signed.
    #[error("the content is not the one that was signed")]
    ContentDiffers,
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The signer did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Holds a SignedData with exactly one signer.
#[derive(Clone, Debug)]
pub struct SignedData {
    signer: Certificate,
}

impl DigestAlgorithm {
    /// Hashes `bytes`.
    pub fn digest(self, _bytes: &[u8]) -> Vec<u8> {
        Vec::new()
    }
    /// Returns the name S/MIME calls it by in `micalg` (RFC 8551 3.5.3.2).
    pub fn micalg(self) -> &'static str {
        "sha-256"
    }
}

/// Signs: returns a DER ContentInfo.
pub fn sign(_request: &SignRequest<'_>, _signer: &dyn Signer) -> Result<Vec<u8>, CmsError> {
    Err(CmsError::Damaged("nothing signed"))
}

impl SignedData {
    /// Reads a DER ContentInfo with one SignedData and nothing after it.
    pub fn parse(_der: &[u8]) -> Result<Self, CmsError> {
        Err(CmsError::Damaged("nothing read"))
    }
    /// Returns the content, where it is attached.
    pub fn content(&self) -> Option<&[u8]> {
        None
    }
    /// Returns what was signed.
    pub fn content_type(&self) -> ContentType {
        ContentType::Data
    }
    /// Returns the signer's certificate.
    pub fn signer(&self) -> &Certificate {
        &self.signer
    }
    /// Returns every certificate of the message, the signer's among them.
    pub fn certificates(&self) -> &[Certificate] {
        &[]
    }
    /// Returns the signed time, unix seconds.
    pub fn signing_time(&self) -> i64 {
        0
    }
    /// Returns the signature value.
    pub fn signature(&self) -> &[u8] {
        &[]
    }
    /// Returns the signed attributes as the DER SET OF that was signed.
    pub fn signed_attributes_der(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Returns the digest of the signed attributes, by the message's own
    /// algorithm: the msgSigDigest of a receipt for it (RFC 2634 2.5).
    pub fn signed_attributes_digest(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Returns the receipt asked for.
    pub fn receipt_request(&self) -> Option<&ReceiptRequest> {
        None
    }
    /// Returns the signed digest of the content.
    pub fn message_digest(&self) -> &[u8] {
        &[]
    }
    /// Returns the algorithm of that digest.
    pub fn digest_algorithm(&self) -> DigestAlgorithm {
        DigestAlgorithm::Sha256
    }
    /// Returns the msgSigDigest attribute of a receipt.
    pub fn msg_sig_digest(&self) -> Option<&[u8]> {
        None
    }
    /// Verifies signature and attributes of a message with attached content.
    pub fn verify_attached(&self) -> Result<(), CmsError> {
        Err(CmsError::ContentDiffers)
    }
    /// Verifies signature and attributes against the digest of content that
    /// travelled elsewhere, made with `digest_algorithm()`.
    pub fn verify_detached(&self, _digest: &[u8]) -> Result<(), CmsError> {
        Err(CmsError::ContentDiffers)
    }
}
