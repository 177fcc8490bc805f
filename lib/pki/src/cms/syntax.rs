//! The ASN.1 of SignedData (RFC 5652) and of the ESS attributes (RFC 5035,
//! RFC 2634), as far as we take it.
//!
//! Certificates stay raw, so that what was hashed and signed is what is kept.

use const_oid::ObjectIdentifier;
use der::asn1::{Any, Ia5String, ObjectIdentifier as Oid, OctetString, SetOfVec};
use der::{Choice, Sequence, Tag, TagNumber, ValueOrd};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::pkix::name::GeneralName;

pub(crate) const ID_SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// A remark of the signer's, UTF-8 text; ours (smr-receipt(5)).
pub(crate) const ID_REMARK: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1518643927.2");

/// directoryName in GeneralName (RFC 5280 4.2.1.6).
pub(crate) const DIRECTORY_NAME: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber(4),
};

/// ContentInfo (RFC 5652 3).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct ContentInfo {
    pub(crate) content_type: Oid,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) content: Any,
}

/// SignedData (RFC 5652 5.1).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct SignedDataSyntax {
    pub(crate) version: u8,
    pub(crate) digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    pub(crate) encapsulated: Encapsulated,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) certificates: Option<SetOfVec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) crls: Option<SetOfVec<Any>>,
    pub(crate) signers: SetOfVec<SignerInfo>,
}

/// EncapsulatedContentInfo (RFC 5652 5.2).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct Encapsulated {
    pub(crate) content_type: Oid,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) content: Option<OctetString>,
}

/// SignerInfo with issuerAndSerialNumber (RFC 5652 5.3).
#[derive(Clone, Debug, Sequence, ValueOrd)]
pub(crate) struct SignerInfo {
    pub(crate) version: u8,
    pub(crate) sid: IssuerAndSerial,
    pub(crate) digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) signed_attributes: Option<SetOfVec<Attribute>>,
    pub(crate) signature_algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) unsigned_attributes: Option<SetOfVec<Attribute>>,
}

/// IssuerAndSerialNumber (RFC 5652 10.2.4), both parts raw.
#[derive(Clone, Debug, Sequence, ValueOrd)]
pub(crate) struct IssuerAndSerial {
    pub(crate) issuer: Any,
    pub(crate) serial: Any,
}

/// Attribute (RFC 5652 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub(crate) struct Attribute {
    pub(crate) oid: Oid,
    pub(crate) values: SetOfVec<Any>,
}

/// SigningCertificateV2 (RFC 5035 3).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct SigningCertificateV2 {
    pub(crate) certs: Vec<EssCertIdV2>,
    #[asn1(optional = "true")]
    pub(crate) policies: Option<Vec<Any>>,
}

/// ESSCertIDv2 (RFC 5035 4); an absent algorithm means SHA-256.
#[derive(Clone, Debug, Sequence)]
pub(crate) struct EssCertIdV2 {
    #[asn1(optional = "true")]
    pub(crate) hash_algorithm: Option<AlgorithmIdentifierOwned>,
    pub(crate) hash: OctetString,
    #[asn1(optional = "true")]
    pub(crate) issuer_serial: Option<EssIssuerSerial>,
}

/// IssuerSerial (RFC 5035 5), the serial number raw.
#[derive(Clone, Debug, Sequence)]
pub(crate) struct EssIssuerSerial {
    pub(crate) issuer: Vec<Any>,
    pub(crate) serial: Any,
}

/// ReceiptRequest (RFC 2634 2.7).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct ReceiptRequestSyntax {
    pub(crate) content_identifier: OctetString,
    pub(crate) receipts_from: ReceiptsFrom,
    pub(crate) receipts_to: Vec<Vec<GeneralName>>,
}

/// ReceiptsFrom (RFC 2634 2.7).
#[derive(Clone, Debug, Choice)]
pub(crate) enum ReceiptsFrom {
    /// 0 for everybody, 1 for who is not on a mailing list.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Everybody(u8),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    List(Vec<Vec<GeneralName>>),
}

/// Receipt (RFC 2634 2.8).
#[derive(Clone, Debug, Sequence)]
pub(crate) struct ReceiptSyntax {
    pub(crate) version: u8,
    pub(crate) content_type: Oid,
    pub(crate) content_identifier: OctetString,
    pub(crate) originator_signature: OctetString,
}

/// Wraps mail addresses as GeneralNames, one each.
pub(crate) fn mail_names(addresses: &[String]) -> der::Result<Vec<Vec<GeneralName>>> {
    let name = |address: &String| Ok(vec![GeneralName::Rfc822Name(Ia5String::new(address)?)]);
    addresses.iter().map(name).collect()
}

/// Reads GeneralNames that are mail addresses; any other kind is an error.
pub(crate) fn mail_addresses(names: &[Vec<GeneralName>]) -> Option<Vec<String>> {
    let address = |name: &GeneralName| match name {
        GeneralName::Rfc822Name(address) => Some(address.as_str().to_owned()),
        _ => None,
    };
    names.iter().flatten().map(address).collect()
}
