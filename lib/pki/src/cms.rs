//! Signed messages: CMS SignedData, made and verified (RFC 5652).
//!
//! Says nothing of whether the signer may be believed: `path` and `proxy` do.

mod sign;
pub(crate) mod syntax;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{
    ID_AA_MSG_SIG_DIGEST, ID_AA_RECEIPT_REQUEST, ID_CONTENT_TYPE, ID_CT_RECEIPT, ID_DATA,
    ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
};
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, Encode, Tag, Tagged};
use spki::AlgorithmIdentifierRef;
use x509_cert::time::Time;

use crate::asn1;
use crate::certificate::Certificate;
use crate::ess::ReceiptRequest;
use crate::signature::{Scheme, SignatureError, plain_digest};
use crate::signer::SignerError;
use syntax::{
    Attribute, ContentInfo, DIRECTORY_NAME, EssCertIdV2, ID_REMARK, ID_SIGNING_CERTIFICATE_V2,
    SignedDataSyntax, SignerInfo, SigningCertificateV2,
};

pub use crate::digest::DigestAlgorithm;
pub use sign::{Content, SignRequest, sign, sign_with};

/// Names what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Anything (id-data).
    Data,
    /// A receipt (id-ct-receipt).
    Receipt,
    /// A time stamp (id-ct-TSTInfo).
    Stamp,
}

/// id-ct-TSTInfo (RFC 3161 2.4.2).
const ID_CT_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

impl ContentType {
    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            ContentType::Data => ID_DATA,
            ContentType::Receipt => ID_CT_RECEIPT,
            ContentType::Stamp => ID_CT_TST_INFO,
        }
    }

    /// The version of a SignedData that holds it (RFC 5652 5.1).
    fn version(self) -> u8 {
        match self {
            ContentType::Data => 1,
            ContentType::Receipt | ContentType::Stamp => 3,
        }
    }

    fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        match oid {
            ID_DATA => Some(ContentType::Data),
            ID_CT_RECEIPT => Some(ContentType::Receipt),
            ID_CT_TST_INFO => Some(ContentType::Stamp),
            _ => None,
        }
    }
}

/// Says why a signed message was not made or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CmsError {
    /// The bytes are not what we take for a SignedData.
    #[error("not an acceptable signed message: {0}")]
    Damaged(&'static str),
    /// What was asked for cannot be signed.
    #[error("this cannot be signed: {0}")]
    Unsignable(&'static str),
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

/// Holds a SignedData with exactly one signer, whose signature may not have
/// been verified yet.
#[derive(Clone, Debug)]
pub struct SignedData {
    content_type: ContentType,
    content: Option<Vec<u8>>,
    signer: Certificate,
    certificates: Vec<Certificate>,
    attributes: Vec<u8>,
    message_digest: Vec<u8>,
    signing_time: i64,
    receipt_request: Option<ReceiptRequest>,
    msg_sig_digest: Option<Vec<u8>>,
    remark: Option<String>,
    digest: DigestAlgorithm,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl SignedData {
    /// Reads what people sign: a DER ContentInfo with one SignedData over data
    /// or a receipt, and nothing after it.
    ///
    /// Refuses BER; no signer or two; a signer without signed attributes;
    /// attributes that are double, empty or missing (contentType,
    /// messageDigest, signingTime, signingCertificateV2); a signer's
    /// certificate that is absent or not the one signed for; digests other
    /// than SHA-2, and a signature made with another digest than announced.
    pub fn parse(der: &[u8]) -> Result<Self, CmsError> {
        let syntax = read_syntax(der, Form::Der)?;
        match Self::read(syntax)? {
            stamp if stamp.content_type == ContentType::Stamp => Err(UNKNOWN_TYPE),
            signed => Ok(signed),
        }
    }

    /// Reads a time stamp as [`SignedData::parse`] reads the rest, but with the
    /// certificates in any order: `openssl ts` does not sort them.
    pub(crate) fn parse_stamp(der: &[u8]) -> Result<Self, CmsError> {
        let syntax = read_syntax(der, Form::Unsorted)?;
        match Self::read(syntax)? {
            stamp if stamp.content_type == ContentType::Stamp => Ok(stamp),
            _ => Err(CmsError::Damaged("it is no time stamp")),
        }
    }

    fn read(syntax: SignedDataSyntax) -> Result<Self, CmsError> {
        let [info] = syntax.signers.as_slice() else {
            return Err(CmsError::Damaged("not exactly one signer"));
        };
        let attributes = info
            .signed_attributes
            .as_ref()
            .ok_or(CmsError::Damaged("no signed attributes"))?;
        check_once(attributes)?;
        let content_type =
            ContentType::from_oid(syntax.encapsulated.content_type).ok_or(UNKNOWN_TYPE)?;
        if syntax.version != content_type.version() || info.version != 1 {
            return Err(CmsError::Damaged("unknown version"));
        }
        let signed_type: ObjectIdentifier = required(attributes, ID_CONTENT_TYPE, "contentType")?;
        if signed_type != content_type.oid() {
            return Err(CmsError::Damaged("the signed content type differs"));
        }
        let (digest, scheme) = algorithms(&syntax, info)?;
        let message_digest: OctetString = required(attributes, ID_MESSAGE_DIGEST, "messageDigest")?;
        let signing_time: Time = required(attributes, ID_SIGNING_TIME, "signingTime")?;
        let certificates = read_certificates(&syntax)?;
        let signer = find_signer(info, attributes, &certificates)?;
        let request = optional(attributes, ID_AA_RECEIPT_REQUEST, "receiptRequest")?;
        let msg_sig: Option<OctetString> =
            optional(attributes, ID_AA_MSG_SIG_DIGEST, "msgSigDigest")?;
        let remark: Option<String> = optional(attributes, ID_REMARK, "remark")?;
        Ok(SignedData {
            content_type,
            content: syntax.encapsulated.content.map(|c| c.into_bytes().to_vec()),
            signer,
            certificates,
            attributes: attributes.to_der().map_err(|_| NOT_DER)?,
            message_digest: message_digest.into_bytes().to_vec(),
            signing_time: asn1::unix(&signing_time),
            receipt_request: request.map(ReceiptRequest::from_syntax).transpose()?,
            msg_sig_digest: msg_sig.map(|d| d.into_bytes().to_vec()),
            remark,
            digest,
            scheme,
            signature: info.signature.as_bytes().to_vec(),
        })
    }

    /// Returns the content, where it is attached.
    pub fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// Returns what was signed.
    pub fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// Returns the signer's certificate.
    pub fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// Returns every certificate of the message, the signer's among them.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Returns the signed time, unix seconds.
    pub fn signing_time(&self) -> i64 {
        self.signing_time
    }

    /// Returns the signature value.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the signed attributes as the DER SET OF that was signed.
    pub fn signed_attributes_der(&self) -> Vec<u8> {
        self.attributes.clone()
    }

    /// Returns the digest of the signed attributes, by the message's own
    /// algorithm: the msgSigDigest of a receipt for it (RFC 2634 2.5).
    pub fn signed_attributes_digest(&self) -> Vec<u8> {
        self.digest.digest(&self.attributes)
    }

    /// Returns the receipt asked for.
    pub fn receipt_request(&self) -> Option<&ReceiptRequest> {
        self.receipt_request.as_ref()
    }

    /// Returns the signed digest of the content.
    pub fn message_digest(&self) -> &[u8] {
        &self.message_digest
    }

    /// Returns the algorithm of that digest.
    pub fn digest_algorithm(&self) -> DigestAlgorithm {
        self.digest
    }

    /// Returns the msgSigDigest attribute of a receipt.
    pub fn msg_sig_digest(&self) -> Option<&[u8]> {
        self.msg_sig_digest.as_deref()
    }

    /// Returns the signer's remark, an attribute of our own.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Verifies the signature over the attributes, and so over the digest of
    /// the content, but not the content itself.
    pub fn verify_signature(&self) -> Result<(), CmsError> {
        let spki = self.signer.spki_der();
        Ok(self
            .scheme
            .verify(spki, &self.attributes, &self.signature)?)
    }

    /// Verifies signature and attributes of a message with attached content.
    pub fn verify_attached(&self) -> Result<(), CmsError> {
        let content = self.content().ok_or(CmsError::Damaged("no content"))?;
        self.check_digest(&self.digest.digest(content))?;
        self.verify_signature()
    }

    /// Verifies signature and attributes against the digest of content that
    /// travelled elsewhere, made with `digest_algorithm()`; a message that
    /// has content inside as well is refused.
    pub fn verify_detached(&self, digest: &[u8]) -> Result<(), CmsError> {
        if self.content.is_some() {
            return Err(CmsError::Damaged("content both inside and outside"));
        }
        self.check_digest(digest)?;
        self.verify_signature()
    }

    /// Nothing here is secret, so a plain comparison will do.
    fn check_digest(&self, digest: &[u8]) -> Result<(), CmsError> {
        if digest == self.message_digest {
            Ok(())
        } else {
            Err(CmsError::ContentDiffers)
        }
    }
}

const NOT_DER: CmsError = CmsError::Damaged("not a DER SignedData");
const UNKNOWN_TYPE: CmsError = CmsError::Damaged("unknown content type");

/// How strictly a SignedData is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Der,
    /// DER, but for the order within sets.
    Unsorted,
}

/// Decoding sorts sets and so forgives BER; only what encodes back to the
/// same bytes was DER.
fn read_syntax(der: &[u8], form: Form) -> Result<SignedDataSyntax, CmsError> {
    let info = ContentInfo::from_der(der).map_err(|_| NOT_DER)?;
    if info.content_type != ID_SIGNED_DATA {
        return Err(CmsError::Damaged("another CMS type"));
    }
    let inner = info.content.to_der().map_err(|_| NOT_DER)?;
    let syntax = SignedDataSyntax::from_der(&inner).map_err(|_| NOT_DER)?;
    let whole = info.to_der().map_err(|_| NOT_DER)?;
    let again = syntax.to_der().map_err(|_| NOT_DER)?;
    let same = match form {
        Form::Der => again == inner,
        Form::Unsorted => again.len() == inner.len(),
    };
    match whole == der && same {
        true => Ok(syntax),
        false => Err(NOT_DER),
    }
}

fn check_once(attributes: &SetOfVec<Attribute>) -> Result<(), CmsError> {
    if attributes.iter().any(|a| a.values.is_empty()) {
        return Err(CmsError::Damaged("an empty attribute"));
    }
    match asn1::has_twice(attributes.iter().map(|a| a.oid)) {
        true => Err(CmsError::Damaged("the same attribute twice")),
        false => Ok(()),
    }
}

fn optional<T: for<'a> Decode<'a, Error = der::Error>>(
    attributes: &SetOfVec<Attribute>,
    oid: ObjectIdentifier,
    name: &'static str,
) -> Result<Option<T>, CmsError> {
    let Some(attribute) = attributes.iter().find(|a| a.oid == oid) else {
        return Ok(None);
    };
    let [value] = attribute.values.as_slice() else {
        return Err(CmsError::Damaged(name));
    };
    let der = value.to_der().map_err(|_| CmsError::Damaged(name))?;
    let read = T::from_der(&der).map_err(|_| CmsError::Damaged(name))?;
    Ok(Some(read))
}

fn required<T: for<'a> Decode<'a, Error = der::Error>>(
    attributes: &SetOfVec<Attribute>,
    oid: ObjectIdentifier,
    name: &'static str,
) -> Result<T, CmsError> {
    optional(attributes, oid, name)?.ok_or(CmsError::Damaged(name))
}

fn algorithms(
    syntax: &SignedDataSyntax,
    info: &SignerInfo,
) -> Result<(DigestAlgorithm, Scheme), CmsError> {
    let announced = &syntax.digest_algorithms;
    if !announced.iter().any(|a| a.oid == info.digest_algorithm.oid) {
        return Err(CmsError::Damaged("the signer's digest is not announced"));
    }
    let digest = plain_digest(&AlgorithmIdentifierRef::from(&info.digest_algorithm))
        .ok_or(CmsError::Damaged("unknown digest"))?;
    let signature_algorithm = AlgorithmIdentifierRef::from(&info.signature_algorithm);
    let scheme = Scheme::from_algorithm(&signature_algorithm, Some(digest))?;
    if scheme.digest() != digest {
        return Err(CmsError::Damaged("two different digests"));
    }
    Ok((digest, scheme))
}

fn read_certificates(syntax: &SignedDataSyntax) -> Result<Vec<Certificate>, CmsError> {
    let read = |any: &Any| {
        let der = any.to_der().map_err(|_| NOT_DER)?;
        Certificate::from_der(&der).map_err(|_| CmsError::Damaged("a damaged certificate"))
    };
    syntax
        .certificates
        .iter()
        .flat_map(SetOfVec::iter)
        .map(read)
        .collect()
}

/// The signer is who issuer and serial number name *and* whose certificate
/// hash is signed: without the second, another certificate for the same key
/// could be put in its place (RFC 5035 1).
fn find_signer(
    info: &SignerInfo,
    attributes: &SetOfVec<Attribute>,
    certificates: &[Certificate],
) -> Result<Certificate, CmsError> {
    let signed: SigningCertificateV2 = required(
        attributes,
        ID_SIGNING_CERTIFICATE_V2,
        "signingCertificateV2",
    )?;
    let first = signed
        .certs
        .first()
        .ok_or(CmsError::Damaged("signingCertificateV2"))?;
    let issuer = info.sid.issuer.to_der().map_err(|_| NOT_DER)?;
    let mut named = certificates
        .iter()
        .filter(|c| c.issuer_der() == issuer && is_serial_of(&info.sid.serial, c))
        .peekable();
    if named.peek().is_none() {
        return Err(CmsError::Damaged("the signer's certificate is missing"));
    }
    named
        .find(|c| is_signed_for(first, c))
        .cloned()
        .ok_or(CmsError::Damaged("another certificate was signed for"))
}

fn is_signed_for(id: &EssCertIdV2, certificate: &Certificate) -> bool {
    let digest = match &id.hash_algorithm {
        None => Some(DigestAlgorithm::Sha256),
        Some(algorithm) => plain_digest(&AlgorithmIdentifierRef::from(algorithm)),
    };
    let hashed = digest.is_some_and(|d| d.digest(certificate.der()) == id.hash.as_bytes());
    let named = id.issuer_serial.as_ref().is_none_or(|named| {
        // A directoryName is [4] EXPLICIT: its content is the name itself.
        let mut names = named.issuer.iter().filter(|n| n.tag() == DIRECTORY_NAME);
        is_serial_of(&named.serial, certificate)
            && names.any(|name| name.value() == certificate.issuer_der())
    });
    hashed && named
}

fn is_serial_of(serial: &Any, certificate: &Certificate) -> bool {
    serial.tag() == Tag::Integer && serial.value() == certificate.serial()
}
