//! Our own rules, beyond those of RFC 5280 that certval applies.
//!
//! Verifies no signature but the leaf's own.

use const_oid::ObjectIdentifier;

use super::chain::{Chain, is_signed_by};
use super::{PathError, Rules};
use crate::certificate::{Certificate, KeyKind};

/// Usages that let a person sign mail or log in; any one will do: any,
/// clientAuth, emailProtection, documentSigning, and the smart card logon and
/// document signing of Microsoft.
const USAGES: [&str; 6] = [
    ANY_USAGE,
    "1.3.6.1.5.5.7.3.2",
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.4.1.311.20.2.2",
    "1.3.6.1.4.1.311.10.3.12",
];
const ANY_USAGE: &str = "2.5.29.37.0";
const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// What a leaf is for, of which one usage must be left all along its chain.
#[derive(Clone, Copy)]
pub(super) struct Usages {
    any_of: &'static [&'static str],
    otherwise: &'static str,
}

pub(super) const PERSON: Usages = Usages {
    any_of: &USAGES,
    otherwise: "its extended key usage allows neither mail nor authentication",
};
pub(super) const STAMPER: Usages = Usages {
    any_of: &[ANY_USAGE, TIME_STAMPING],
    otherwise: "its extended key usage does not allow time stamps",
};

/// Checks what a leaf must be on its own: a person's certificate, for signing.
pub(super) fn check_leaf(leaf: &Certificate) -> Result<(), PathError> {
    if leaf.is_self_issued() && is_signed_by(leaf, leaf) {
        return Err(PathError::SelfSigned {
            subject: leaf.subject_text().into(),
        });
    }
    let why = if leaf.proxy().is_some() {
        "it is a device's, not a person's"
    } else if leaf.is_ca() {
        "it is an authority's, not a person's"
    } else if leaf.extended_key_usage().is_some_and(<[String]>::is_empty) {
        "its extended key usage is empty"
    } else {
        return check_signing(leaf);
    };
    refuse(leaf, why)
}

/// Checks what the certificate of a time stamp authority must be on its own.
pub(super) fn check_stamper(leaf: &Certificate) -> Result<(), PathError> {
    let critical = leaf
        .extensions()
        .any(|(oid, critical, _)| oid == EXTENDED_KEY_USAGE && critical);
    let alone = matches!(leaf.extended_key_usage(), Some([usage]) if usage == TIME_STAMPING);
    match leaf.proxy().is_none() && !leaf.is_ca() && critical && alone {
        true => check_signing(leaf),
        false => refuse(
            leaf,
            "it is not for time stamps alone (critical timeStamping)",
        ),
    }
}

/// Checks that a key is for signatures, and for those of no authority.
fn check_signing(leaf: &Certificate) -> Result<(), PathError> {
    let usage = leaf.key_usage();
    let why = if usage.is_some_and(|u| u.key_cert_sign || u.crl_sign) {
        "it may sign certificates or revocation lists"
    } else if !usage.is_some_and(|u| u.digital_signature || u.non_repudiation) {
        "it has no key usage for signatures"
    } else if !is_strong(leaf.key_kind()) {
        "its key is too weak or of an unknown kind"
    } else {
        return Ok(());
    };
    refuse(leaf, why)
}

fn refuse(leaf: &Certificate, why: &'static str) -> Result<(), PathError> {
    Err(PathError::KeyUsage {
        subject: leaf.subject_text().into(),
        why,
    })
}

/// Checks the validity and the version of a chain, and its anchor.
pub(super) fn check_chain(chain: &Chain, rules: &Rules) -> Result<(), PathError> {
    for certificate in &chain.certificates {
        check_times(certificate, rules)?;
        if !certificate.is_v3() {
            return Err(PathError::Constraint {
                subject: certificate.subject_text().into(),
                why: "a certificate is not of version 3".into(),
            });
        }
    }
    let anchor = chain.certificates.last();
    if !anchor.is_some_and(|a| a.is_ca() && a.key_usage().is_none_or(|u| u.key_cert_sign)) {
        return Err(PathError::Constraint {
            subject: anchor.map_or("nobody", Certificate::subject_text).into(),
            why: "the anchor may not sign certificates".into(),
        });
    }
    Ok(())
}

fn check_times(certificate: &Certificate, rules: &Rules) -> Result<(), PathError> {
    let subject = || certificate.subject_text().to_owned();
    if time(rules) > certificate.not_after() {
        return Err(PathError::Expired { subject: subject() });
    }
    if latest(rules) < certificate.not_before() {
        return Err(PathError::NotYetValid { subject: subject() });
    }
    Ok(())
}

/// Returns the time in question: that of the signature, or now.
pub(super) fn time(rules: &Rules) -> i64 {
    rules.signed.unwrap_or(rules.now)
}

/// Returns the latest time it may be.
pub(super) fn latest(rules: &Rules) -> i64 {
    time(rules).saturating_add(rules.clock_skew.max(0))
}

/// A CA limited to some usages cannot give others to those below it.
pub(super) fn check_usages(wanted: Usages, chain: &Chain) -> Result<(), PathError> {
    let mut left: Vec<&str> = wanted.any_of.to_vec();
    for certificate in chain.certificates.iter().rev() {
        let Some(usages) = certificate.extended_key_usage() else {
            continue;
        };
        if !usages.iter().any(|u| u == ANY_USAGE) {
            left.retain(|usage| usages.iter().any(|u| u == usage));
        }
        if left.is_empty() {
            return Err(PathError::KeyUsage {
                subject: certificate.subject_text().into(),
                why: wanted.otherwise,
            });
        }
    }
    Ok(())
}

fn is_strong(kind: KeyKind) -> bool {
    match kind {
        KeyKind::Rsa(bits) => (2048..=4096).contains(&bits),
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => true,
        KeyKind::Other => false,
    }
}
