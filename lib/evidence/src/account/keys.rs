//! A device's statement about its own encryption key.
//!
//! Says nothing about other devices' keys: nobody may.

use smr_name::{Address, Fingerprint};
use smr_pki::cms::{Content, ContentType, SignRequest};
use smr_seal::Recipient;

use super::text::{self, Listed, Record};
use super::{AccountError, whole};
use crate::lines::{self, LineError, Lines, number, time_text};
use crate::trust::{Algorithm, Certificate, CmsError, SignedData, Signer, SignerError};

/// What a verified statement says.
pub(super) struct Stated {
    pub(super) epoch: u64,
    pub(super) from: i64,
    pub(super) recipient: Recipient,
}

/// Why a statement is not the device's.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error(transparent)]
    Cms(#[from] CmsError),
    #[error(transparent)]
    Text(#[from] LineError),
    #[error("another key signed them")]
    OtherSigner,
    #[error("they are for another account or device")]
    OtherSubject,
    #[error("they begin later than now")]
    Early,
    #[error("they are no text")]
    NotText,
}

/// Signs, with the device's key, which age recipient it uses from `from` on
/// (unix seconds): CMS DER with the text attached, about 2.5 KiB and the
/// device's certificate, without its chain.
pub fn keys_statement(
    address: &Address,
    device: &Fingerprint,
    epoch: u64,
    from: i64,
    recipient: &str,
    signer: &dyn Signer,
) -> Result<Vec<u8>, AccountError> {
    let (mailbox, repository) = whole(address)?;
    let recipient = text::recipient(recipient).ok_or(LineError::Value("recipient"))?;
    let from_text = time_text(from).ok_or(LineError::Value("from"))?;
    let text = format!(
        "smr keys 1\naccount {mailbox}@{repository}\ndevice {device}\nepoch {epoch}\n\
         from {from_text}\nrecipient {recipient}\n"
    );
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Attached(text.as_bytes()),
        signing_time: from,
        receipt_request: None,
        msg_sig_digest: None,
    };
    Ok(smr_pki::cms::sign(
        &request,
        &Chained { signer, chain: &[] },
    )?)
}

/// Verifies the statement of a listed device, of a key that is in use at
/// `latest` (unix seconds).
pub(super) fn open(
    statement: &[u8],
    record: &Record,
    listed: &Listed,
    latest: i64,
) -> Result<Stated, KeysError> {
    let signed = SignedData::parse(statement)?;
    signed.verify_attached()?;
    if *signed.signer() != listed.certificate {
        return Err(KeysError::OtherSigner);
    }
    let content = signed
        .content()
        .filter(|_| signed.content_type() == ContentType::Data);
    let text = content.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut lines = Lines::new(text.ok_or(KeysError::NotText)?);
    lines.parsed("smr keys", |v| (v == "1").then_some(()))?;
    let account = lines.field("account")? == record.account();
    let device = lines.field("device")? == listed.fingerprint.to_string();
    let stated = Stated {
        epoch: lines.parsed("epoch", number)?,
        from: lines.parsed("from", lines::time)?,
        recipient: lines.parsed("recipient", |v| Recipient::parse(v).ok())?,
    };
    lines.finish()?;
    if !account || !device {
        return Err(KeysError::OtherSubject);
    }
    (stated.from <= latest)
        .then_some(stated)
        .ok_or(KeysError::Early)
}

/// A signer that puts another chain into what it signs.
pub(super) struct Chained<'a> {
    pub(super) signer: &'a dyn Signer,
    pub(super) chain: &'a [Certificate],
}

impl Signer for Chained<'_> {
    fn certificate(&self) -> &Certificate {
        self.signer.certificate()
    }

    fn chain(&self) -> &[Certificate] {
        self.chain
    }

    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.signer.sign(message)
    }
}
