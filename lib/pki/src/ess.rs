//! Receipts and the requests for them (RFC 2634 2, RFC 5035).
//!
//! Makes no signature: a receipt is content that `cms` signs.

use crate::cms::{CmsError, SignedData};

/// Asks for a receipt (RFC 2634 2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRequest {
    /// Names the content; unique.
    pub content_identifier: Vec<u8>,
    /// Who is asked, mail addresses; empty means everybody.
    pub receipts_from: Vec<String>,
    /// To whom receipts go, mail addresses.
    pub receipts_to: Vec<String>,
}

/// Says that a message was read (RFC 2634 2.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The name of the content, from the request.
    pub content_identifier: Vec<u8>,
    /// The content type of the message, dotted.
    pub content_type: String,
    /// The signature value of the message.
    pub originator_signature: Vec<u8>,
}

/// Says why a receipt was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EssError {
    /// The bytes are not a DER receipt.
    #[error("not a DER receipt")]
    Damaged,
    /// The message asks for no receipt.
    #[error("the message asks for no receipt")]
    NotRequested,
    /// The receipt is for another message.
    #[error("the receipt is not for this message: {0} differs")]
    Mismatch(&'static str),
    /// The receipt's own signature is wrong.
    #[error(transparent)]
    Cms(#[from] CmsError),
}

impl Receipt {
    /// Makes the receipt for a message that asks for one.
    pub fn for_message(_original: &SignedData) -> Result<Self, EssError> {
        Err(EssError::NotRequested)
    }
    /// Writes the receipt as DER.
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Reads a DER receipt.
    pub fn decode(_der: &[u8]) -> Result<Self, EssError> {
        Err(EssError::Damaged)
    }
}

/// Verifies `receipt` and that it is for `original`, whose own content the
/// caller has verified.
pub fn verify_receipt(_original: &SignedData, _receipt: &SignedData) -> Result<(), EssError> {
    Err(EssError::Damaged)
}
