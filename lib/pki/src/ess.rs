//! Receipts and the requests for them (RFC 2634 2, RFC 5035).
//!
//! Makes no signature: a receipt is content that `cms` signs.

use const_oid::ObjectIdentifier;
use der::asn1::OctetString;
use der::{Decode, Encode};

use crate::cms::syntax::{
    ReceiptRequestSyntax, ReceiptSyntax, ReceiptsFrom, mail_addresses, mail_names,
};
use crate::cms::{self, CmsError, Content, ContentType, SignRequest, SignedData};
use crate::signer::Signer;

/// Asks for a receipt (RFC 2634 2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRequest {
    /// Names the content; unique.
    pub content_identifier: Vec<u8>,
    /// Who is asked, mail addresses; empty means everybody.
    pub receipts_from: Vec<String>,
    /// To whom receipts go, mail addresses; 1 to 16.
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

/// Says why a receipt was not made or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EssError {
    /// The bytes are not a DER receipt.
    #[error("not a DER receipt")]
    Damaged,
    /// The signed message is not a receipt.
    #[error("not a receipt but another signed message")]
    NotAReceipt,
    /// The message asks for no receipt.
    #[error("the message asks for no receipt")]
    NotRequested,
    /// The receipt is for another message.
    #[error("the receipt is not for this message: {0} differs")]
    Mismatch(&'static str),
    /// A signature or a signed message is wrong.
    #[error(transparent)]
    Cms(#[from] CmsError),
}

impl ReceiptRequest {
    pub(crate) fn to_syntax(&self) -> Result<ReceiptRequestSyntax, CmsError> {
        const BAD: CmsError = CmsError::Unsignable("the receipt request");
        if !(1..=16).contains(&self.receipts_to.len()) {
            return Err(CmsError::Unsignable("receipts go to 1 to 16 addresses"));
        }
        let receipts_from = match self.receipts_from.as_slice() {
            [] => ReceiptsFrom::Everybody(0),
            list => ReceiptsFrom::List(mail_names(list).map_err(|_| BAD)?),
        };
        Ok(ReceiptRequestSyntax {
            content_identifier: OctetString::new(self.content_identifier.as_slice())
                .map_err(|_| BAD)?,
            receipts_from,
            receipts_to: mail_names(&self.receipts_to).map_err(|_| BAD)?,
        })
    }

    /// Nobody here is on a mailing list, so first tier means everybody too.
    pub(crate) fn from_syntax(syntax: ReceiptRequestSyntax) -> Result<Self, CmsError> {
        const BAD: CmsError = CmsError::Damaged("receiptRequest");
        let receipts_from = match &syntax.receipts_from {
            ReceiptsFrom::Everybody(0 | 1) => Vec::new(),
            ReceiptsFrom::Everybody(_) => return Err(BAD),
            ReceiptsFrom::List(names) => {
                let list = mail_addresses(names).ok_or(BAD)?;
                // An empty list would read as everybody.
                Some(list).filter(|l| !l.is_empty()).ok_or(BAD)?
            }
        };
        Ok(ReceiptRequest {
            content_identifier: syntax.content_identifier.into_bytes().to_vec(),
            receipts_from,
            receipts_to: mail_addresses(&syntax.receipts_to).ok_or(BAD)?,
        })
    }
}

impl Receipt {
    /// Makes the receipt for a message that asks for one; it is signed as
    /// `ContentType::Receipt` with the message's `signed_attributes_digest()`
    /// as msgSigDigest. The caller has verified the message (RFC 2634 2.3).
    pub fn for_message(original: &SignedData) -> Result<Self, EssError> {
        let request = original.receipt_request().ok_or(EssError::NotRequested)?;
        Ok(Receipt {
            content_identifier: request.content_identifier.clone(),
            content_type: original.content_type().oid().to_string(),
            originator_signature: original.signature().to_vec(),
        })
    }

    /// Writes the receipt as DER.
    pub fn encode(&self) -> Result<Vec<u8>, EssError> {
        let octets = |bytes: &[u8]| OctetString::new(bytes).map_err(|_| EssError::Damaged);
        let syntax = ReceiptSyntax {
            version: 1,
            content_type: ObjectIdentifier::new(&self.content_type)
                .map_err(|_| EssError::Damaged)?,
            content_identifier: octets(&self.content_identifier)?,
            originator_signature: octets(&self.originator_signature)?,
        };
        syntax.to_der().map_err(|_| EssError::Damaged)
    }

    /// Reads a DER receipt.
    pub fn decode(der: &[u8]) -> Result<Self, EssError> {
        let syntax = ReceiptSyntax::from_der(der).map_err(|_| EssError::Damaged)?;
        if syntax.version != 1 {
            return Err(EssError::Damaged);
        }
        Ok(Receipt {
            content_identifier: syntax.content_identifier.into_bytes().to_vec(),
            content_type: syntax.content_type.to_string(),
            originator_signature: syntax.originator_signature.into_bytes().to_vec(),
        })
    }
}

/// Makes and signs the receipt for a message that asks for one, which the
/// caller has verified (RFC 2634 2.3): returns a DER ContentInfo.
pub fn sign_receipt(
    original: &SignedData,
    signing_time: i64,
    signer: &dyn Signer,
) -> Result<Vec<u8>, EssError> {
    let receipt = Receipt::for_message(original)?.encode()?;
    let request = SignRequest {
        content_type: ContentType::Receipt,
        content: Content::Attached(&receipt),
        signing_time,
        receipt_request: None,
        msg_sig_digest: Some(original.signed_attributes_digest()),
    };
    Ok(cms::sign(&request, signer)?)
}

/// Verifies both signatures and that `receipt` is for `original` (RFC 2634
/// 2.6). That the content of the original is the one signed, and who may give
/// receipts, is the caller's to verify.
pub fn verify_receipt(original: &SignedData, receipt: &SignedData) -> Result<(), EssError> {
    let request = original.receipt_request().ok_or(EssError::NotRequested)?;
    original.verify_signature()?;
    if receipt.content_type() != ContentType::Receipt {
        return Err(EssError::NotAReceipt);
    }
    receipt.verify_attached()?;
    let said = Receipt::decode(receipt.content().ok_or(EssError::Damaged)?)?;
    if said.content_type != original.content_type().oid().to_string() {
        return Err(EssError::Mismatch("the content type"));
    }
    if said.content_identifier != request.content_identifier {
        return Err(EssError::Mismatch("the content identifier"));
    }
    if said.originator_signature != original.signature() {
        return Err(EssError::Mismatch("the author's signature"));
    }
    if receipt.msg_sig_digest() != Some(original.signed_attributes_digest().as_slice()) {
        return Err(EssError::Mismatch("the digest of the signed attributes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Receipt {
        Receipt {
            content_identifier: b"0123".to_vec(),
            content_type: "1.2.840.113549.1.7.1".into(),
            originator_signature: vec![7; 64],
        }
    }

    #[test]
    fn receipt_comes_back() {
        let der = sample().encode().unwrap();
        assert_eq!(Receipt::decode(&der).unwrap(), sample());
        assert!(Receipt::decode(&der[..der.len() - 1]).is_err());
        let mut version2 = der;
        version2[4] = 2;
        assert!(matches!(Receipt::decode(&version2), Err(EssError::Damaged)));
    }

    fn request(from: &[&str], to: &[&str]) -> ReceiptRequest {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        ReceiptRequest {
            content_identifier: b"0123".to_vec(),
            receipts_from: own(from),
            receipts_to: own(to),
        }
    }

    #[test]
    fn request_comes_back() {
        for from in [&["a@x", "b@x"][..], &[]] {
            let asked = request(from, &["c@x"]);
            let der = asked.to_syntax().unwrap().to_der().unwrap();
            let read = ReceiptRequestSyntax::from_der(&der).unwrap();
            assert_eq!(ReceiptRequest::from_syntax(read).unwrap(), asked);
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert!(request(&["a@x"], &[]).to_syntax().is_err());
        assert!(request(&["\u{e9}@x"], &["c@x"]).to_syntax().is_err());
        let mut nobody = request(&["a@x"], &["c@x"]).to_syntax().unwrap();
        nobody.receipts_from = ReceiptsFrom::List(Vec::new());
        assert!(ReceiptRequest::from_syntax(nobody).is_err());
        let mut unknown = request(&["a@x"], &["c@x"]).to_syntax().unwrap();
        unknown.receipts_from = ReceiptsFrom::Everybody(2);
        assert!(ReceiptRequest::from_syntax(unknown).is_err());
    }
}
