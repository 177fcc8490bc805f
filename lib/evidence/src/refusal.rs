//! Refusals: a reader's signed no to a receipt he is asked for
//! (smr-receipt(5)).
//!
//! Is no receipt and cannot pass for one, here or in openssl: what is signed is
//! a text, not an RFC 2634 receipt.

use sha2::{Digest, Sha256};
use smr_name::{Address, Class};
use smr_pki::cms::{self, CmsError, Content, ContentType, SignRequest, SignedData};
use smr_pki::signer::Signer;
use smr_seal::Recipient;

use crate::envelope::{Opened, Unwrap};
use crate::lines::{LineError, Lines, hex, hex_text};
use crate::reading::{Grounds, ReadingError, Verified, verify_signer};
use crate::receipt::{
    self, ReceiptError, SealedReceipt, check_asked, read_smime, seal_smime, unseal_smime,
};

/// The longest reason, in bytes.
pub const MAX_REASON: usize = 200;

/// The S/MIME header of a refusal (RFC 8551, 3.2.2), the same on each.
const HEADER: &str = "MIME-Version: 1.0\r\n\
    Content-Type: application/pkcs7-mime; smime-type=signed-data;\r\n name=smime.p7m\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=smime.p7m\r\n\r\n";

/// What lies among the receipts; DER, nothing of it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A receipt.
    Receipt(Vec<u8>),
    /// A refusal.
    Refusal(Vec<u8>),
}

/// A refusal that was verified.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who refuses.
    pub by: Verified,
    /// Why, in his words; may be empty.
    pub reason: String,
}

/// Says why a refusal was not made or does not count.
#[derive(Debug, thiserror::Error)]
pub enum RefusalError {
    /// A reason that is too long, or more than a line.
    #[error("a reason is one line of at most 200 bytes, without control characters")]
    Reason,
    /// The sender asks for no receipt, or not this reader.
    #[error(transparent)]
    Asked(#[from] ReceiptError),
    /// It was not signed, or its signature is wrong.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// The signed text is not a refusal.
    #[error("not a refusal: {0}")]
    Text(#[from] LineError),
    /// The signed content is not a text.
    #[error("not a refusal: no text")]
    NoText,
    /// It is about something else.
    #[error("the refusal is not for this message: {0} differs")]
    Mismatch(&'static str),
    /// Its signer is not the addressee.
    #[error(transparent)]
    Signer(#[from] ReadingError),
    /// It is older than the message.
    #[error("signed before the message was")]
    Early,
}

impl RefusalError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            RefusalError::Reason => Class::Usage,
            RefusalError::Asked(error) => error.class(),
            RefusalError::Cms(CmsError::Signer(_)) => Class::Unavailable,
            RefusalError::Signer(error) => error.class(),
            _ => Class::Forged,
        }
    }
}

fn is_reason(text: &str) -> bool {
    text.len() <= MAX_REASON && !text.chars().any(char::is_control)
}

/// Signs a refusal of the receipt for a message that was opened and verified;
/// returns its DER SignedData. `now` is unix seconds.
pub fn write(
    original: &Opened,
    me: &Address,
    reason: &str,
    signer: &dyn Signer,
    now: i64,
) -> Result<Vec<u8>, RefusalError> {
    if !is_reason(reason) {
        return Err(RefusalError::Reason);
    }
    check_asked(&original.signed, me)?;
    let text = format!(
        "smr refusal 1\nmessage {}\ncms {}\nreader {me}\nreason {reason}\n",
        original.headers.message_id(),
        hex_text(&original.cms_sha256),
    );
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Attached(text.as_bytes()),
        signing_time: now,
        receipt_request: None,
        msg_sig_digest: None,
    };
    let der = cms::sign(&request, signer)?;
    // As with a receipt: a token that signs something else is noticed here.
    SignedData::parse(&der)?.verify_attached()?;
    Ok(der)
}

/// Verifies a DER refusal, all of it: that it is for the message whose DER
/// SignedData is `original`, that the account of `grounds` was asked for a
/// receipt and its person signed, and not before the message.
pub fn check(
    original: &[u8],
    refusal: &[u8],
    grounds: &Grounds<'_>,
) -> Result<Refused, RefusalError> {
    let message = SignedData::parse(original)?;
    let reader = &grounds.account.address;
    check_asked(&message, reader)?;
    let signed = SignedData::parse(refusal)?;
    signed.verify_attached()?;
    let content = signed
        .content()
        .filter(|_| signed.content_type() == ContentType::Data);
    let text = content.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut lines = Lines::new(text.ok_or(RefusalError::NoText)?);
    lines.parsed("smr refusal", |v| (v == "1").then_some(()))?;
    let id = lines.field("message")?;
    let cms = lines.parsed("cms", hex)?;
    let by = lines.field("reader")?;
    let reason = lines.parsed("reason", |v| is_reason(v).then(|| v.to_owned()))?;
    lines.finish()?;
    let same = |held: bool, what| held.then_some(()).ok_or(RefusalError::Mismatch(what));
    let asked = message
        .receipt_request()
        .map(|r| r.content_identifier.as_slice());
    same(asked == Some(id.as_bytes()), "the message id")?;
    let hash: [u8; 32] = Sha256::digest(original).into();
    same(cms == hash, "the hash of its signature")?;
    same(by == reader.to_string(), "the reader")?;
    if signed
        .signing_time()
        .saturating_add(grounds.rules.clock_skew)
        < message.signing_time()
    {
        return Err(RefusalError::Early);
    }
    Ok(Refused {
        by: verify_signer(&signed, grounds)?,
        reason,
    })
}

/// Writes a DER refusal in S/MIME form, which `openssl cms -verify` reads.
pub fn to_smime(der: &[u8]) -> Vec<u8> {
    receipt::write_smime(HEADER, der)
}

/// Seals a DER refusal to the sender's devices, all of one kind.
pub fn seal(der: &[u8], recipients: &[Recipient]) -> Result<SealedReceipt, ReceiptError> {
    seal_smime(HEADER, der, recipients)
}

/// Opens what lies sealed among the receipts.
pub fn open(sealed: &[u8], keys: &dyn Unwrap) -> Result<Answer, ReceiptError> {
    let mime = unseal_smime(sealed, keys)?;
    match mime.starts_with(HEADER.as_bytes()) {
        true => read_smime(HEADER, &mime).map(Answer::Refusal),
        false => receipt::from_smime(&mime).map(Answer::Receipt),
    }
}
