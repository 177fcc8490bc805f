//! What is inside a certificate: extensions, name attributes, the kind of key.
//!
//! An extension we know but cannot read is an error, never an absence.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use der::asn1::UintRef;
use der::{Decode, Sequence};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage as KeyUsageBits};
use x509_cert::name::Name;

use super::{CertificateError, KeyKind, KeyUsage};
use crate::asn1;

#[derive(Sequence)]
struct RsaPublic<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

pub(super) fn check_extensions_once(
    parsed: &x509_cert::Certificate,
) -> Result<(), CertificateError> {
    let extensions = parsed.tbs_certificate().extensions().into_iter().flatten();
    match asn1::has_twice(extensions.map(|e| e.extn_id)) {
        true => Err(CertificateError::Contradictory("the same extension twice")),
        false => Ok(()),
    }
}

pub(super) fn read<T: for<'a> Decode<'a, Error = der::Error>>(
    parsed: &x509_cert::Certificate,
    oid: ObjectIdentifier,
) -> Result<Option<T>, CertificateError> {
    let extensions = parsed.tbs_certificate().extensions();
    let found = extensions
        .into_iter()
        .flatten()
        .find(|e| e.extn_id == oid)
        .map(|e| T::from_der(e.extn_value.as_bytes()));
    Ok(found.transpose()?)
}

pub(super) fn read_key_usage(
    parsed: &x509_cert::Certificate,
) -> Result<Option<KeyUsage>, CertificateError> {
    let bits = read::<KeyUsageBits>(parsed, rfc5280::ID_CE_KEY_USAGE)?;
    Ok(bits.map(|bits| KeyUsage {
        digital_signature: bits.digital_signature(),
        non_repudiation: bits.non_repudiation(),
        key_encipherment: bits.key_encipherment(),
        data_encipherment: bits.data_encipherment(),
        key_agreement: bits.key_agreement(),
        key_cert_sign: bits.key_cert_sign(),
        crl_sign: bits.crl_sign(),
    }))
}

pub(super) fn read_extended_key_usage(
    parsed: &x509_cert::Certificate,
) -> Result<Option<Vec<String>>, CertificateError> {
    let usage = read::<ExtendedKeyUsage>(parsed, rfc5280::ID_CE_EXT_KEY_USAGE)?;
    Ok(usage.map(|u| u.0.iter().map(ToString::to_string).collect()))
}

pub(super) fn texts(name: &Name, oid: ObjectIdentifier) -> Vec<String> {
    name.iter()
        .filter(|a| a.oid == oid)
        .filter_map(|a| asn1::text(&a.value))
        .collect()
}

/// Two values of what names a person name nobody, nor does an empty one: it
/// would make one person of all who have it.
pub(super) fn only(name: &Name, oid: ObjectIdentifier) -> Option<String> {
    let count = name.iter().filter(|a| a.oid == oid).count();
    let text = texts(name, oid)
        .pop()
        .filter(|text| !text.trim().is_empty());
    text.filter(|_| count == 1)
}

pub(super) fn key_kind(spki: &[u8]) -> KeyKind {
    let Ok(spki) = spki::SubjectPublicKeyInfoRef::from_der(spki) else {
        return KeyKind::Other;
    };
    match spki.algorithm.oid {
        rfc5912::RSA_ENCRYPTION | rfc5912::ID_RSASSA_PSS => {
            match RsaPublic::from_der(spki.subject_public_key.raw_bytes()) {
                Ok(key) => KeyKind::Rsa(bits(key.modulus.as_bytes())),
                Err(_) => KeyKind::Other,
            }
        }
        rfc5912::ID_EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
            Ok(rfc5912::SECP_256_R_1) => KeyKind::P256,
            Ok(rfc5912::SECP_384_R_1) => KeyKind::P384,
            Ok(rfc5912::SECP_521_R_1) => KeyKind::P521,
            _ => KeyKind::Other,
        },
        _ => KeyKind::Other,
    }
}

fn bits(number: &[u8]) -> usize {
    match number.first() {
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn bits_are_counted_from_the_first_one() {
        assert_eq!(bits(&[0x80, 0x00]), 16);
        assert_eq!(bits(&[0x01, 0x00]), 9);
        assert_eq!(bits(&[]), 0);
    }

    #[test]
    fn two_names_are_none() {
        let oid = const_oid::db::rfc4519::COMMON_NAME;
        let one = Name::from_str("CN=Rui,C=PT").unwrap();
        assert_eq!(only(&one, oid).as_deref(), Some("Rui"));
        let two = Name::from_str("CN=Rui,CN=Eva").unwrap();
        assert_eq!(only(&two, oid), None);
        assert_eq!(texts(&two, oid).len(), 2);
        // An empty PrintableString, and one of a space.
        for empty in ["CN=#1300,C=PT", "CN=#130120,C=PT"] {
            let empty = Name::from_str(empty).unwrap();
            assert_eq!(texts(&empty, oid).len(), 1);
            assert_eq!(only(&empty, oid), None);
        }
    }

    #[test]
    fn a_damaged_key_is_of_no_kind() {
        assert_eq!(key_kind(&[0x30, 0x00]), KeyKind::Other);
        assert_eq!(key_kind(&[]), KeyKind::Other);
    }
}
