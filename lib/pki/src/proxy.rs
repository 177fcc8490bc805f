//! Device certificates: proxies signed by a card (RFC 3820), made and verified.
//!
//! Looks only at the proxy and the certificate above it; the card's own path
//! is verified by `path`.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::COMMON_NAME;
use const_oid::db::rfc5280::{
    ID_CE_EXT_KEY_USAGE, ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
};
use der::asn1::{Any, BitString, OctetString, SetOfVec, Uint, Utf8StringRef};
use der::flagset::FlagSet;
use der::{Decode, Encode, Sequence, Tag};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage as KeyUsageBits, KeyUsages};
use x509_cert::name::RelativeDistinguishedName;
use x509_cert::time::Time;

use crate::asn1;
use crate::certificate::{
    Certificate, CertificateError, KeyKind, PROXY_CERT_INFO, ProxyCertInfo, ProxyPolicy,
};
use crate::signature;
use crate::signer::{Signer, SignerError};

/// Names our policy language: the policy is text for smr alone.
pub const POLICY_OID: &str = "2.25.1518643927.1";
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap(POLICY_OID);

/// The greatest length of a common name, bytes (RFC 5280 A.1, ub-common-name).
pub const COMMON_NAME_LIMIT: usize = 64;

/// What a device may do, where its card is limited at all: clientAuth and
/// emailProtection.
const DEVICE_USAGES: [&str; 2] = ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"];
const ANY_USAGE: &str = "2.5.29.37.0";

/// Says what a new device certificate shall contain.
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    /// The device's DER SubjectPublicKeyInfo, P-256.
    pub spki: Vec<u8>,
    /// The common name added to the issuer's subject, 1 to 64 bytes.
    pub common_name: String,
    /// The policy, text.
    pub policy: String,
    /// First second of validity, unix time; not before the issuer's.
    pub not_before: i64,
    /// Last second of validity, unix time; cut to the issuer's.
    pub not_after: i64,
    /// The serial number, random.
    pub serial: [u8; 16],
}

/// Holds what a verified device certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyFacts {
    /// The policy, text.
    pub policy: String,
    /// The common name added to the issuer's subject.
    pub common_name: String,
}

/// Says why a device certificate was not made or not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// A rule of RFC 3820, or of ours, is broken.
    #[error("not a device certificate of this card: {0}")]
    Rule(&'static str),
    /// The validity is over.
    #[error("the device certificate has expired")]
    Expired,
    /// The validity has not begun.
    #[error("the device certificate is not valid yet")]
    NotYetValid,
    /// The card did not sign it.
    #[error("the card's signature on the device certificate does not verify")]
    Signature,
    /// The request cannot be written as a certificate.
    #[error("no device certificate can be made of this: {0}")]
    Request(&'static str),
    /// What was made cannot be read back.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The card did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// TBSCertificate (RFC 5280 4.1), names and key raw.
#[derive(Sequence)]
struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Uint,
    signature: Any,
    issuer: Any,
    validity: Validity,
    subject: Any,
    spki: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

#[derive(Sequence)]
struct Signed {
    tbs: Tbs,
    algorithm: Any,
    signature: BitString,
}

/// Issues a device certificate under the signer's, and verifies it.
pub fn issue(request: &ProxyRequest, issuer: &dyn Signer) -> Result<Certificate, ProxyError> {
    let card = issuer.certificate();
    check_issuer(card)?;
    if !(1..=COMMON_NAME_LIMIT).contains(&request.common_name.len()) {
        return Err(ProxyError::Request("the common name has not 1 to 64 bytes"));
    }
    let not_before = request.not_before.max(card.not_before());
    let not_after = request.not_after.min(card.not_after());
    if not_before > not_after {
        return Err(ProxyError::Request("the card expires before it begins"));
    }
    let algorithm = issuer.algorithm().identifier_der();
    let unwritable = |_| ProxyError::Request("it cannot be encoded");
    let tbs = tbs(request, card, &algorithm, not_before, not_after).map_err(unwritable)?;
    let signature = issuer.sign(&tbs.to_der().map_err(unwritable)?)?;
    let der = signed(tbs, &algorithm, &signature).map_err(unwritable)?;
    let made = Certificate::from_der(&der)?;
    // A token may sign with another key than its certificate's.
    verify(&made, card, not_before)?;
    Ok(made)
}

/// Verifies that `proxy` is a device certificate signed by `issuer`, at `now`,
/// unix seconds (RFC 3820 4.1, and our own rules).
pub fn verify(
    proxy: &Certificate,
    issuer: &Certificate,
    now: i64,
) -> Result<ProxyFacts, ProxyError> {
    check_issuer(issuer)?;
    let policy = check_proxy_info(proxy)?;
    check_extensions(proxy)?;
    check_usage(proxy, issuer)?;
    let common_name = added_name(proxy, issuer)?;
    check_validity(proxy, issuer, now)?;
    signature::verify(
        issuer.spki_der(),
        proxy.signature_algorithm_der(),
        proxy.tbs_der(),
        proxy.signature_value(),
    )
    .map_err(|_| ProxyError::Signature)?;
    Ok(ProxyFacts {
        policy,
        common_name,
    })
}

fn rule(holds: bool, text: &'static str) -> Result<(), ProxyError> {
    if holds {
        Ok(())
    } else {
        Err(ProxyError::Rule(text))
    }
}

/// Checks who may issue: an end entity that may sign (RFC 3820 3.1).
fn check_issuer(card: &Certificate) -> Result<(), ProxyError> {
    let usage = card.key_usage();
    rule(!card.is_ca(), "its issuer is a CA")?;
    rule(card.proxy().is_none(), "its issuer is a device itself")?;
    rule(
        usage.is_none_or(|u| u.digital_signature),
        "its issuer may not sign (no digitalSignature)",
    )?;
    rule(
        usage.is_none_or(|u| !u.key_cert_sign),
        "its issuer may sign certificates",
    )?;
    rule(
        !asn1::children(card.subject_der()).is_ok_and(|rdns| rdns.is_empty()),
        "its issuer has no name",
    )
}

fn check_proxy_info(proxy: &Certificate) -> Result<String, ProxyError> {
    rule(proxy.is_v3(), "it is not of version 3")?;
    let info = proxy
        .proxy()
        .ok_or(ProxyError::Rule("it has no proxy extension"))?;
    rule(info.path_len == Some(0), "it may issue further devices")?;
    rule(
        info.policy_oid == POLICY_OID,
        "its policy is of another kind",
    )?;
    let policy = info.policy.clone().unwrap_or_default();
    String::from_utf8(policy).map_err(|_| ProxyError::Rule("its policy is not text"))
}

fn check_extensions(proxy: &Certificate) -> Result<(), ProxyError> {
    rule(
        !proxy.has_extension(ID_CE_SUBJECT_ALT_NAME) && !proxy.has_extension(ID_CE_ISSUER_ALT_NAME),
        "it has an alternative name",
    )?;
    rule(!proxy.is_ca(), "it is a CA")?;
    let known = [PROXY_CERT_INFO, ID_CE_KEY_USAGE, ID_CE_EXT_KEY_USAGE];
    for (oid, critical, _) in proxy.extensions() {
        rule(
            !critical || known.contains(&oid),
            "an unknown critical extension",
        )?;
        rule(
            critical || (oid != PROXY_CERT_INFO && oid != ID_CE_KEY_USAGE),
            "an extension should be critical",
        )?;
    }
    Ok(())
}

/// Checks key and usages: ours sign and nothing else, and no more than their
/// card's (RFC 3820 3.7).
fn check_usage(proxy: &Certificate, issuer: &Certificate) -> Result<(), ProxyError> {
    rule(proxy.key_kind() == KeyKind::P256, "its key is not P-256")?;
    let usage = proxy.key_usage().unwrap_or_default();
    rule(
        usage.digital_signature && !usage.key_cert_sign && !usage.crl_sign,
        "its key usage is not digitalSignature",
    )?;
    let Some(own) = proxy.extended_key_usage() else {
        return Ok(());
    };
    rule(!own.is_empty(), "its extended key usage is empty")?;
    let allowed = issuer.extended_key_usage();
    let within = |usage: &String| {
        allowed.is_none_or(|list| list.contains(usage) || list.iter().any(|u| u == ANY_USAGE))
    };
    rule(own.iter().all(within), "it may do more than its card")
}

/// Returns the common name the proxy adds; its subject is the issuer's and
/// one name more (RFC 3820 3.4).
fn added_name(proxy: &Certificate, issuer: &Certificate) -> Result<String, ProxyError> {
    const BAD: ProxyError = ProxyError::Rule("its subject is not its card's with one name more");
    rule(
        proxy.issuer_der() == issuer.subject_der(),
        "another card issued it",
    )?;
    let own = asn1::children(proxy.subject_der()).map_err(|_| BAD)?;
    let above = asn1::children(issuer.subject_der()).map_err(|_| BAD)?;
    let Some((added, rest)) = own.split_last() else {
        return Err(BAD);
    };
    if rest != above {
        return Err(BAD);
    }
    let added = RelativeDistinguishedName::from_der(added).map_err(|_| BAD)?;
    let mut names = added.iter();
    match (names.next(), names.next()) {
        (Some(name), None) if name.oid == COMMON_NAME => asn1::text(&name.value).ok_or(BAD),
        _ => Err(BAD),
    }
}

fn check_validity(proxy: &Certificate, issuer: &Certificate, now: i64) -> Result<(), ProxyError> {
    rule(
        proxy.not_before() >= issuer.not_before() && proxy.not_after() <= issuer.not_after(),
        "its validity exceeds its card's",
    )?;
    if now < proxy.not_before() {
        return Err(ProxyError::NotYetValid);
    }
    if now > proxy.not_after() {
        return Err(ProxyError::Expired);
    }
    Ok(())
}

fn tbs(
    request: &ProxyRequest,
    card: &Certificate,
    algorithm: &[u8],
    not_before: i64,
    not_after: i64,
) -> der::Result<Tbs> {
    // Positive, and never zero (RFC 5280 4.1.2.2).
    let mut serial = request.serial;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(Tbs {
        version: 2,
        serial: Uint::new(&serial)?,
        signature: Any::from_der(algorithm)?,
        issuer: Any::from_der(card.subject_der())?,
        validity: Validity {
            not_before: asn1::time(not_before)?,
            not_after: asn1::time(not_after)?,
        },
        subject: subject(card, &request.common_name)?,
        spki: Any::from_der(&request.spki)?,
        extensions: extensions(request, card)?,
    })
}

fn subject(card: &Certificate, common_name: &str) -> der::Result<Any> {
    let name = AttributeTypeAndValue {
        oid: COMMON_NAME,
        value: Any::from(Utf8StringRef::new(common_name)?),
    };
    let added = SetOfVec::try_from(vec![name])?.to_der()?;
    let above = Any::from_der(card.subject_der())?;
    Any::new(Tag::Sequence, [above.value(), &added].concat())
}

fn extensions(request: &ProxyRequest, card: &Certificate) -> der::Result<Vec<Extension>> {
    let info = ProxyCertInfo {
        path_len: Some(0),
        policy: ProxyPolicy {
            language: POLICY,
            policy: Some(OctetString::new(request.policy.as_bytes())?),
        },
    };
    let usage = KeyUsageBits(FlagSet::from(KeyUsages::DigitalSignature));
    let mut list = vec![
        extension(PROXY_CERT_INFO, true, &info)?,
        extension(ID_CE_KEY_USAGE, true, &usage)?,
    ];
    let usages = device_usages(card)?;
    if !usages.0.is_empty() {
        list.push(extension(ID_CE_EXT_KEY_USAGE, false, &usages)?);
    }
    Ok(list)
}

fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

/// A card with no limits gives its devices none.
fn device_usages(card: &Certificate) -> der::Result<ExtendedKeyUsage> {
    let Some(allowed) = card.extended_key_usage() else {
        return Ok(ExtendedKeyUsage(Vec::new()));
    };
    let all = allowed.iter().any(|u| u == ANY_USAGE);
    let usages = DEVICE_USAGES
        .iter()
        .filter(|usage| all || allowed.iter().any(|u| u == *usage))
        .map(|usage| ObjectIdentifier::new(usage).map_err(der::Error::from))
        .collect::<der::Result<Vec<_>>>()?;
    Ok(ExtendedKeyUsage(usages))
}

fn signed(tbs: Tbs, algorithm: &[u8], signature: &[u8]) -> der::Result<Vec<u8>> {
    Signed {
        tbs,
        algorithm: Any::from_der(algorithm)?,
        signature: BitString::from_bytes(signature)?,
    }
    .to_der()
}
