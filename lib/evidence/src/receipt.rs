//! Receipts: a reader's signature over the sender's signature (RFC 2634, 2).
//! Only who opened the envelope has that to sign.
//!
//! Gives no receipt for what was not verified; decides for nobody whether to
//! give one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use smr_name::{Address, Class, Head};
use smr_pki::cms::{self, CmsError, Content, ContentType, SignRequest, SignedData};
use smr_pki::ess::{EssError, Receipt, verify_receipt};
use smr_pki::signer::Signer;
use smr_seal::Recipient;

use crate::envelope::{
    EnvelopeError, MAX_CMS, Opened, ReceiptWanted, Unwrap, seal_bytes, unseal_bytes,
};
use crate::lines::{LineError, Lines, hex, hex_text, number};
use crate::reading::{Grade, Grounds, ReadingError, Verified, verify_signer};
use crate::trace::{Told, is_fit};

/// The S/MIME header of a receipt (RFC 8551, 3.2.2), the same on each.
const HEADER: &str = "MIME-Version: 1.0\r\n\
    Content-Type: application/pkcs7-mime; smime-type=signed-receipt;\r\n name=smime.p7m\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=smime.p7m\r\n\r\n";
const LINE: usize = 76;

/// Says why a receipt was not given or does not count.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The sender did not ask this reader.
    #[error("the sender asks {0} for no receipt")]
    NotAsked(String),
    /// It was not signed, or its signature is wrong.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// It is not a receipt for this message.
    #[error(transparent)]
    Ess(#[from] EssError),
    /// Its signer is not the addressee.
    #[error(transparent)]
    Signer(#[from] ReadingError),
    /// A device signed where the sender asked for the card.
    #[error("signed by a device; the sender asked for the card's own signature")]
    Grade,
    /// It is older than the message.
    #[error("signed before the message was")]
    Early,
    /// What its signer says of mailboxes is malformed.
    #[error("what it says of the mailbox: {0}")]
    Remark(#[from] LineError),
    /// What its signer says of mailboxes is not his to say.
    #[error("it tells of heads what is not its business")]
    Told,
    /// It is not in the form we write.
    #[error("not a receipt in S/MIME form")]
    Form,
    /// It could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] EnvelopeError),
}

impl ReceiptError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            ReceiptError::NotAsked(_) | ReceiptError::Ess(EssError::NotRequested) => Class::Denied,
            ReceiptError::Cms(CmsError::Signer(_)) => Class::Unavailable,
            ReceiptError::Signer(error) => error.class(),
            ReceiptError::Seal(error) => error.class(),
            _ => Class::Forged,
        }
    }
}

/// What a reader says of mailboxes in a receipt, so that both can tell whether
/// the repository shows them the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The number of the message in the reader's inbox, from 1.
    pub number: u64,
    /// The head of that inbox with the message in it.
    pub head: Head,
    /// How far mailboxes had come.
    pub told: Vec<Told>,
}

impl Remark {
    fn write(&self) -> String {
        let head = hex_text(self.head.as_bytes());
        let mut text = format!("smr receipt 1\nnumber {}\nhead {head}\n", self.number);
        for told in &self.told {
            text.push_str(&format!("told {told}\n"));
        }
        text
    }

    fn read(text: &str) -> Result<Remark, LineError> {
        let mut lines = Lines::new(text);
        lines.parsed("smr receipt", |v| (v == "1").then_some(()))?;
        let mut remark = Remark {
            number: lines.parsed("number", number)?,
            head: Head::from_bytes(lines.parsed("head", hex)?),
            told: Vec::new(),
        };
        while let Some(value) = lines.optional("told") {
            remark
                .told
                .push(Told::parse(value).ok_or(LineError::Value("told"))?);
        }
        lines.finish()?;
        Ok(remark)
    }
}

/// Returns what the reader of `original` says of mailboxes in his receipt; none
/// where he says nothing.
fn remark(
    original: &SignedData,
    receipt: &SignedData,
    by: &Address,
) -> Result<Option<Remark>, ReceiptError> {
    let Some(text) = receipt.remark() else {
        return Ok(None);
    };
    let remark = Remark::read(text)?;
    let request = original.receipt_request().ok_or(EssError::NotRequested)?;
    let senders = request.receipts_to.iter().map(|a| a.parse());
    let senders: Vec<Address> = senders.collect::<Result<_, _>>().unwrap_or_default();
    match is_fit(&remark.told, by, senders.iter()) {
        true => Ok(Some(remark)),
        false => Err(ReceiptError::Told),
    }
}

/// What a receipt that counts says.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Who signed it.
    pub by: Verified,
    /// What he says of mailboxes.
    pub remark: Option<Remark>,
}

/// Signs a receipt for a message that was opened and verified; returns its
/// DER SignedData. `now` is unix seconds.
pub fn write(
    original: &Opened,
    me: &Address,
    remark: Option<&Remark>,
    signer: &dyn Signer,
    now: i64,
) -> Result<Vec<u8>, ReceiptError> {
    check_asked(&original.signed, me)?;
    let content = Receipt::for_message(&original.signed)?.encode()?;
    let request = SignRequest {
        content_type: ContentType::Receipt,
        content: Content::Attached(&content),
        signing_time: now,
        receipt_request: None,
        msg_sig_digest: Some(original.signed.signed_attributes_digest()),
    };
    let remark = remark.map(Remark::write);
    let der = cms::sign_with(&request, remark.as_deref(), signer)?;
    // A token that signs something else must not go unnoticed until the
    // sender, days later, calls the receipt forged.
    verify_receipt(&original.signed, &SignedData::parse(&der)?)?;
    Ok(der)
}

pub(crate) fn check_asked(original: &SignedData, reader: &Address) -> Result<(), ReceiptError> {
    let request = original.receipt_request().ok_or(EssError::NotRequested)?;
    let reader = reader.to_string();
    match request.receipts_from.contains(&reader) {
        true => Ok(()),
        false => Err(ReceiptError::NotAsked(reader)),
    }
}

/// Verifies a DER receipt, all of it: that it is for `original`, that the
/// account of `grounds` was asked for one, that its person signed it, and not
/// before the message.
///
/// `original` is the signature of a verified message, or, where the content
/// was left out, one that verifies against its own digest; `wanted` is what
/// the sender asked for.
pub fn check(
    original: &SignedData,
    wanted: ReceiptWanted,
    receipt: &[u8],
    grounds: &Grounds<'_>,
) -> Result<Checked, ReceiptError> {
    check_asked(original, &grounds.account.address)?;
    let receipt = SignedData::parse(receipt)?;
    verify_receipt(original, &receipt)?;
    let given = receipt
        .signing_time()
        .saturating_add(grounds.rules.clock_skew);
    if given < original.signing_time() {
        return Err(ReceiptError::Early);
    }
    let by = verify_signer(&receipt, grounds)?;
    if wanted == ReceiptWanted::Card && by.grade != Grade::Card {
        return Err(ReceiptError::Grade);
    }
    let remark = remark(original, &receipt, &grounds.account.address)?;
    Ok(Checked { by, remark })
}

/// Writes a DER receipt in S/MIME form, which `openssl cms -verify_receipt`
/// reads.
pub fn to_smime(der: &[u8]) -> Vec<u8> {
    write_smime(HEADER, der)
}

/// Writes DER under one of our S/MIME headers.
pub(crate) fn write_smime(header: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let mut mime = header.as_bytes().to_vec();
    for line in text.as_bytes().chunks(LINE) {
        mime.extend_from_slice(line);
        mime.extend_from_slice(b"\r\n");
    }
    mime
}

/// Reads the DER from the S/MIME form, in the one spelling we write.
pub fn from_smime(mime: &[u8]) -> Result<Vec<u8>, ReceiptError> {
    read_smime(HEADER, mime)
}

/// Reads the DER under one of our S/MIME headers.
pub(crate) fn read_smime(header: &str, mime: &[u8]) -> Result<Vec<u8>, ReceiptError> {
    let body = mime.strip_prefix(header.as_bytes());
    let body = body.ok_or(ReceiptError::Form)?;
    let text: Vec<u8> = body
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    let der = STANDARD.decode(text).map_err(|_| ReceiptError::Form)?;
    match !der.is_empty() && der.len() <= MAX_CMS && write_smime(header, &der) == mime {
        true => Ok(der),
        false => Err(ReceiptError::Form),
    }
}

/// Holds a receipt ready to be given to smrd.
#[derive(Clone, Debug)]
pub struct SealedReceipt {
    /// The sealed file.
    pub bytes: Vec<u8>,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// SHA-256 of the DER receipt inside.
    pub cms_sha256: [u8; 32],
}

/// Seals a DER receipt to the sender's devices, all of one kind.
pub fn seal(der: &[u8], recipients: &[Recipient]) -> Result<SealedReceipt, ReceiptError> {
    seal_smime(HEADER, der, recipients)
}

/// Seals DER under one of our S/MIME headers.
pub(crate) fn seal_smime(
    header: &str,
    der: &[u8],
    recipients: &[Recipient],
) -> Result<SealedReceipt, ReceiptError> {
    let bytes = seal_bytes(recipients, &write_smime(header, der))?;
    Ok(SealedReceipt {
        sha256: Sha256::digest(&bytes).into(),
        cms_sha256: Sha256::digest(der).into(),
        bytes,
    })
}

/// Opens a sealed receipt; returns its DER, of which nothing is verified.
pub fn open(sealed: &[u8], keys: &dyn Unwrap) -> Result<Vec<u8>, ReceiptError> {
    from_smime(&unseal_smime(sealed, keys)?)
}

/// Opens a sealed answer, of which nothing is read yet.
pub(crate) fn unseal_smime(sealed: &[u8], keys: &dyn Unwrap) -> Result<Vec<u8>, ReceiptError> {
    // Base64 is a third longer; lines and header are little beside that.
    let limit = MAX_CMS as u64 * 3 / 2;
    Ok(unseal_bytes(sealed, keys, limit)?)
}

#[cfg(test)]
mod tests {
    use super::{HEADER, ReceiptError, Remark, from_smime, open, seal, to_smime};
    use crate::envelope::{EnvelopeError, MAX_CMS};
    use crate::reading::ReadingError;
    use crate::trust::{CmsError, PathError, SignerError, TrustError};
    use rand_core::OsRng;
    use smr_name::{Class, Head};
    use smr_pki::ess::EssError;
    use smr_seal::{Identity, SealError};

    #[test]
    fn what_a_script_may_conclude_is_what_lies_beneath() {
        let of = |error: ReceiptError| error.class();
        let card = TrustError::Path(PathError::Revoked {
            subject: "CN=ANA".into(),
        });
        let card = ReadingError::Card {
            account: "ana".into(),
            source: card,
        };
        let pin = CmsError::Signer(SignerError("no PIN".into()));
        assert_eq!(of(ReceiptError::NotAsked("ana".into())), Class::Denied);
        assert_eq!(of(EssError::NotRequested.into()), Class::Denied);
        assert_eq!(of(EssError::Mismatch("id").into()), Class::Forged);
        assert_eq!(of(pin.into()), Class::Unavailable);
        assert_eq!(of(card.into()), Class::Denied);
        let mixed = EnvelopeError::Recipients(SealError::Mixed);
        assert_eq!(of(mixed.into()), Class::Denied);
        assert_eq!(of(ReceiptError::Early), Class::Forged);
    }

    #[test]
    fn the_longest_is_opened_and_nothing_longer() {
        let keys = vec![Identity::generate_pq(&mut OsRng)];
        let of = |length| seal(&vec![0x30; length], &[keys[0].to_recipient()]).unwrap();
        let opened = |length| open(&of(length).bytes, &keys);
        assert_eq!(opened(MAX_CMS).unwrap().len(), MAX_CMS);
        assert!(matches!(opened(MAX_CMS + 1), Err(ReceiptError::Form)));
        // Base64 has it over half as long again.
        let endless = opened(MAX_CMS * 6 / 5).unwrap_err();
        let bound = matches!(endless, ReceiptError::Seal(EnvelopeError::Structure(_)));
        assert!(bound, "{endless}");
    }

    #[test]
    fn both_forms_come_back() {
        for length in [1, 57, 58, 5000] {
            let der = vec![0x30; length];
            assert_eq!(from_smime(&to_smime(&der)).unwrap(), der);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = String::from_utf8(to_smime(&[0x30; 100])).unwrap();
        for bad in [
            String::new(),
            HEADER.to_owned(),
            good.replace("signed-receipt", "enveloped-data"),
            good.replace("\r\n", "\n"),
            good.clone() + "\r\n",
            good.trim_end().to_owned(),
            good.replacen("MDAw", "M DAw", 1),
            format!("Subject: x\r\n{good}"),
        ] {
            assert!(matches!(
                from_smime(bad.as_bytes()),
                Err(ReceiptError::Form)
            ));
        }
    }

    #[test]
    fn remarks_come_back_in_one_spelling() {
        let remark = Remark {
            number: u64::MAX,
            head: Head::from_bytes([7; 32]),
            told: vec![],
        };
        let text = remark.write();
        assert_eq!(Remark::read(&text), Ok(remark));
        for (from, to) in [
            ("receipt 1", "receipt 2"),
            ("number 18446744073709551615", "number 18446744073709551616"),
            ("number 1", "number 01"),
            ("number 1", "number -1"),
            ("head 0707", "head 07"),
            ("head ", "told x\nhead "),
            ("0707\n", "0707"),
            ("0707\n", "0707\ntold bob@repo.example message x\n"),
            ("0707\n", "0707\nmore\n"),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text);
            assert!(Remark::read(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn sealed_receipts_come_back() {
        let keys = vec![Identity::generate_pq(&mut OsRng)];
        let sealed = seal(&[0x30; 100], &[keys[0].to_recipient()]).unwrap();
        assert_eq!(open(&sealed.bytes, &keys).unwrap(), [0x30; 100]);
        let stranger = vec![Identity::generate_pq(&mut OsRng)];
        assert!(open(&sealed.bytes, &stranger).is_err());
        assert!(seal(&[0x30], &[]).is_err());
    }
}
