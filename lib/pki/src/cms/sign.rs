//! Making a SignedData with one signer (RFC 5652 5, CAdES-BES form).
//!
//! Always signs attributes, never bare content; always SHA-256.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{
    ID_AA_MSG_SIG_DIGEST, ID_AA_RECEIPT_REQUEST, ID_CONTENT_TYPE, ID_MESSAGE_DIGEST,
    ID_SIGNED_DATA, ID_SIGNING_TIME,
};
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, Encode, Tag};
use spki::AlgorithmIdentifierOwned;

use super::syntax::{
    Attribute, ContentInfo, DIRECTORY_NAME, Encapsulated, EssCertIdV2, EssIssuerSerial, ID_REMARK,
    ID_SIGNING_CERTIFICATE_V2, IssuerAndSerial, SignedDataSyntax, SignerInfo, SigningCertificateV2,
};
use super::{CmsError, ContentType};
use crate::asn1;
use crate::certificate::Certificate;
use crate::digest::sha256;
use crate::ess::ReceiptRequest;
use crate::signer::Signer;

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

/// Signs: returns a DER ContentInfo that carries the signer's certificate and
/// chain.
pub fn sign(request: &SignRequest<'_>, signer: &dyn Signer) -> Result<Vec<u8>, CmsError> {
    sign_with(request, None, signer)
}

/// Signs as [`sign`] does, and with it a remark: text in a signed attribute of
/// our own, which others pass over.
pub fn sign_with(
    request: &SignRequest<'_>,
    remark: Option<&str>,
    signer: &dyn Signer,
) -> Result<Vec<u8>, CmsError> {
    let certificate = signer.certificate();
    if !signer.algorithm().fits(certificate.key_kind()) {
        return Err(CmsError::Unsignable("the algorithm does not fit the key"));
    }
    let attributes = attributes(request, remark, certificate)?;
    let signed = attributes.to_der().map_err(encoding)?;
    let signature = signer.sign(&signed)?;
    assemble(request, signer, attributes, signature).map_err(encoding)
}

fn encoding(_: der::Error) -> CmsError {
    CmsError::Unsignable("it cannot be encoded")
}

fn attributes(
    request: &SignRequest<'_>,
    remark: Option<&str>,
    certificate: &Certificate,
) -> Result<SetOfVec<Attribute>, CmsError> {
    let digest = match request.content {
        Content::Attached(content) => sha256(content),
        Content::Detached { sha256 } => sha256,
    };
    let digest = OctetString::new(digest).map_err(encoding)?;
    let time = asn1::time(request.signing_time)
        .map_err(|_| CmsError::Unsignable("the signing time is out of range"))?;
    let named = signing_certificate(certificate).map_err(encoding)?;
    let mut list = vec![
        attribute(ID_CONTENT_TYPE, &request.content_type.oid())?,
        attribute(ID_MESSAGE_DIGEST, &digest)?,
        attribute(ID_SIGNING_TIME, &time)?,
        attribute(ID_SIGNING_CERTIFICATE_V2, &named)?,
    ];
    if let Some(asked) = &request.receipt_request {
        list.push(attribute(ID_AA_RECEIPT_REQUEST, &asked.to_syntax()?)?);
    }
    if let Some(digest) = &request.msg_sig_digest {
        let digest = OctetString::new(digest.as_slice()).map_err(encoding)?;
        list.push(attribute(ID_AA_MSG_SIG_DIGEST, &digest)?);
    }
    if let Some(text) = remark {
        list.push(attribute(ID_REMARK, &text.to_owned())?);
    }
    SetOfVec::try_from(list).map_err(encoding)
}

fn attribute(oid: ObjectIdentifier, value: &impl Encode) -> Result<Attribute, CmsError> {
    let values = asn1::any(value).and_then(|any| SetOfVec::try_from(vec![any]));
    Ok(Attribute {
        oid,
        values: values.map_err(encoding)?,
    })
}

fn signing_certificate(certificate: &Certificate) -> der::Result<SigningCertificateV2> {
    let id = EssCertIdV2 {
        hash_algorithm: None,
        hash: OctetString::new(certificate.fingerprint())?,
        issuer_serial: Some(EssIssuerSerial {
            issuer: vec![Any::new(DIRECTORY_NAME, certificate.issuer_der())?],
            serial: Any::new(Tag::Integer, certificate.serial())?,
        }),
    };
    Ok(SigningCertificateV2 {
        certs: vec![id],
        policies: None,
    })
}

fn assemble(
    request: &SignRequest<'_>,
    signer: &dyn Signer,
    attributes: SetOfVec<Attribute>,
    signature: Vec<u8>,
) -> der::Result<Vec<u8>> {
    let certificate = signer.certificate();
    let digest_algorithm = AlgorithmIdentifierOwned {
        oid: ID_SHA_256,
        parameters: None,
    };
    let info = SignerInfo {
        version: 1,
        sid: IssuerAndSerial {
            issuer: Any::from_der(certificate.issuer_der())?,
            serial: Any::new(Tag::Integer, certificate.serial())?,
        },
        digest_algorithm: digest_algorithm.clone(),
        signed_attributes: Some(attributes),
        signature_algorithm: AlgorithmIdentifierOwned::from_der(
            &signer.algorithm().identifier_der(),
        )?,
        signature: OctetString::new(signature)?,
        unsigned_attributes: None,
    };
    let content = match request.content {
        Content::Attached(content) => Some(OctetString::new(content)?),
        Content::Detached { .. } => None,
    };
    let syntax = SignedDataSyntax {
        version: request.content_type.version(),
        digest_algorithms: SetOfVec::try_from(vec![digest_algorithm])?,
        encapsulated: Encapsulated {
            content_type: request.content_type.oid(),
            content,
        },
        certificates: Some(carried(signer)?),
        crls: None,
        signers: SetOfVec::try_from(vec![info])?,
    };
    ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: asn1::any(&syntax)?,
    }
    .to_der()
}

/// Returns the signer's certificate and chain, each once.
fn carried(signer: &dyn Signer) -> der::Result<SetOfVec<Any>> {
    let mut all = vec![signer.certificate()];
    for certificate in signer.chain() {
        if !all.contains(&certificate) {
            all.push(certificate);
        }
    }
    let raw: der::Result<Vec<Any>> = all.iter().map(|c| Any::from_der(c.der())).collect();
    SetOfVec::try_from(raw?)
}
