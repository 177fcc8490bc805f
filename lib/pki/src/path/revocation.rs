//! Revocation: base lists by certval, deltas and stale lists by ourselves.
//!
//! Fetches nothing. What cannot be determined is never taken for good.

use certval::{
    CertificationPathResults, Error, MemoryCrlSource, PathValidationStatus, check_revocation_local,
};
use const_oid::db::rfc5280::{ID_CE_CERTIFICATE_ISSUER, ID_CE_CRL_REASONS, ID_CE_FRESHEST_CRL};
use der::{Decode, Encode};
use x509_cert::crl::{CertificateList, RevokedCert};

use super::PathError;
use super::judge::{Case, counted, translate};
use crate::asn1;
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::signature;

/// removeFromCRL (RFC 5280 5.3.1), as DER.
const REMOVED: [u8; 3] = [0x0a, 0x01, 0x08];

/// Looks every certificate but the anchor up. Where nothing usable covers one,
/// that is an error if `required`, and `false` if not; a revoked certificate
/// is always an error.
pub(super) fn check(case: &mut Case<'_>, required: bool) -> Result<bool, PathError> {
    let deltas = check_deltas(case);
    let lists = check_lists(case);
    // A revocation found on either side outweighs a doubt on the other.
    for outcome in [&deltas, &lists] {
        if let Err(error @ PathError::Revoked { .. }) = outcome {
            return Err(error.clone());
        }
    }
    match lists.and(deltas) {
        Ok(()) => Ok(true),
        Err(PathError::NoRevocationData { .. } | PathError::StaleCrl { .. }) if !required => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn check_lists(case: &mut Case<'_>) -> Result<(), PathError> {
    // certval believes the first list that covers a certificate, so the
    // newest goes first: an old one could leave out a newer revocation.
    let mut usable: Vec<&Crl> = case.store.crls.iter().collect();
    usable.retain(|crl| !crl.is_delta() && crl.is_current(case.time, case.rules.max_age));
    usable.sort_by_key(|crl| std::cmp::Reverse(crl.this_update));
    let source = MemoryCrlSource::new();
    for crl in usable {
        source.add(&crl.der);
    }
    case.environment.add_crl_source(Box::new(source));
    let mut results = CertificationPathResults::new();
    let outcome =
        check_revocation_local(&case.environment, &case.settings, &case.path, &mut results);
    match outcome {
        Ok(()) => Ok(()),
        Err(Error::PathValidation(PathValidationStatus::RevocationStatusNotDetermined)) => {
            let whose = counted(case.chain, results.get_failure_index());
            Err(undetermined(case, whose))
        }
        Err(error) => Err(translate(case.chain, error, results.get_failure_index())),
    }
}

/// Says whether there is no list for a certificate, or only an old one.
fn undetermined(case: &Case<'_>, certificate: &Certificate) -> PathError {
    let subject = certificate.subject_text().to_owned();
    let stale = case.store.crls.iter().any(|crl| {
        certval::compare_names(&crl.issuer, certificate.issuer_name())
            && !crl.is_current(case.time, case.rules.max_age)
    });
    if stale {
        PathError::StaleCrl { subject }
    } else {
        PathError::NoRevocationData { subject }
    }
}

fn check_deltas(case: &Case<'_>) -> Result<(), PathError> {
    let mut doubt = Ok(());
    for pair in case.chain.certificates.windows(2) {
        let [subject, issuer] = pair else { continue };
        let deltas = current_deltas(case, issuer);
        for (_, list) in &deltas {
            if lists_as_revoked(list, subject) {
                return Err(PathError::Revoked {
                    subject: subject.subject_text().into(),
                });
            }
        }
        let known: Vec<&Crl> = deltas.iter().map(|(crl, _)| *crl).collect();
        if doubt.is_ok() && lacks_delta(case, subject, &known) {
            doubt = Err(PathError::NoRevocationData {
                subject: subject.subject_text().into(),
            });
        }
    }
    doubt
}

/// Returns the current deltas that `issuer` signed.
fn current_deltas<'a>(case: &Case<'a>, issuer: &Certificate) -> Vec<(&'a Crl, CertificateList)> {
    if !issuer.key_usage().is_none_or(|u| u.crl_sign) {
        return Vec::new();
    }
    let of_issuer = |crl: &&Crl| {
        crl.is_delta()
            && crl.is_current(case.time, case.rules.max_age)
            && certval::compare_names(&crl.issuer, issuer.subject_name())
    };
    let signed = |crl: &'a Crl| {
        let list = CertificateList::from_der(&crl.der).ok()?;
        is_signed_by(crl, &list, issuer).then_some((crl, list))
    };
    case.store
        .crls
        .iter()
        .filter(of_issuer)
        .filter_map(signed)
        .collect()
}

fn is_signed_by(crl: &Crl, list: &CertificateList, issuer: &Certificate) -> bool {
    let signed = || {
        let parts = asn1::children(&crl.der).ok()?;
        let (tbs, algorithm) = (*parts.first()?, *parts.get(1)?);
        if list.tbs_cert_list.signature.to_der().ok()? != algorithm {
            return None;
        }
        let value = list.signature.as_bytes()?;
        signature::verify(issuer.spki_der(), algorithm, tbs, value).ok()
    };
    signed().is_some()
}

/// An entry for another issuer's certificate (an indirect list) is not ours.
fn lists_as_revoked(list: &CertificateList, certificate: &Certificate) -> bool {
    let entries = list.tbs_cert_list.revoked_certificates.iter().flatten();
    entries
        .filter(|e| e.serial_number.as_bytes() == certificate.serial())
        .any(|e| !has_reason(e, &REMOVED) && !is_indirect(e))
}

fn has_reason(entry: &RevokedCert, reason: &[u8]) -> bool {
    let extensions = entry.crl_entry_extensions.iter().flatten();
    extensions
        .filter(|e| e.extn_id == ID_CE_CRL_REASONS)
        .any(|e| e.extn_value.as_bytes() == reason)
}

fn is_indirect(entry: &RevokedCert) -> bool {
    let mut extensions = entry.crl_entry_extensions.iter().flatten();
    extensions.any(|e| e.extn_id == ID_CE_CERTIFICATE_ISSUER)
}

/// Where the certificate or a current base list says that deltas exist, there
/// must be a current one for a current base list (RFC 5280 5.2.4: same scope,
/// and made from no later base than the one we have).
fn lacks_delta(case: &Case<'_>, subject: &Certificate, deltas: &[&Crl]) -> bool {
    let bases: Vec<&Crl> = case
        .store
        .crls
        .iter()
        .filter(|crl| {
            !crl.is_delta()
                && crl.is_current(case.time, case.rules.max_age)
                && certval::compare_names(&crl.issuer, subject.issuer_name())
        })
        .collect();
    let announced =
        subject.has_extension(ID_CE_FRESHEST_CRL) || bases.iter().any(|crl| crl.has_deltas);
    let covered = bases
        .iter()
        .any(|base| deltas.iter().any(|delta| continues(delta, base)));
    announced && !covered
}

fn continues(delta: &Crl, base: &Crl) -> bool {
    let (Some(from), Some(have)) = (&delta.base_number, &base.number) else {
        return false;
    };
    // Numbers have no leading zeros, so the longer one is greater.
    let no_later = (from.len(), from) <= (have.len(), have);
    no_later && delta.scope == base.scope
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(number: Option<&[u8]>, base: Option<&[u8]>, scope: Option<&[u8]>) -> Crl {
        Crl {
            der: Vec::new(),
            issuer_der: Vec::new(),
            this_update: 0,
            next_update: None,
            issuer: x509_cert::name::Name::default(),
            number: number.map(<[u8]>::to_vec),
            base_number: base.map(<[u8]>::to_vec),
            scope: scope.map(<[u8]>::to_vec),
            has_deltas: false,
        }
    }

    #[test]
    fn a_delta_continues_its_base_and_later_ones() {
        let base = list(Some(&[1, 0]), None, None);
        assert!(continues(&list(None, Some(&[1, 0]), None), &base));
        assert!(continues(&list(None, Some(&[0xff]), None), &base));
        assert!(!continues(&list(None, Some(&[1, 1]), None), &base));
        assert!(!continues(&list(None, Some(&[1, 0, 0]), None), &base));
    }

    #[test]
    fn a_delta_of_another_scope_continues_nothing() {
        let base = list(Some(&[5]), None, Some(&[1]));
        assert!(continues(&list(None, Some(&[5]), Some(&[1])), &base));
        assert!(!continues(&list(None, Some(&[5]), Some(&[2])), &base));
        assert!(!continues(&list(None, Some(&[5]), None), &base));
        assert!(!continues(&list(None, None, Some(&[1])), &base));
    }
}
