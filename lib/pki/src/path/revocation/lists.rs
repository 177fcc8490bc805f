//! Lists: which of them speak of a certificate, for which reasons, and what
//! they say together (RFC 5280 6.3.3).
//!
//! Verifies signatures by way of `signers`.

use const_oid::db::rfc5280::{ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_FRESHEST_CRL};
use der::Decode;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::CrlDistributionPoints;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, Reasons};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::name::Name;

use super::entry::{self, Listed};
use super::moment::Moment;
use super::{Seen, Sources, signers};
use crate::certificate::Certificate;
use crate::crl::Crl;

/// Lists of one issuer that are looked at: nobody is to make us verify more.
const LISTS: usize = 64;

type ReasonSet = FlagSet<Reasons>;

/// Looks a certificate up in every list that speaks of it.
pub(super) fn look(
    sources: &Sources<'_>,
    subject: &Certificate,
    issuer: &Certificate,
    moment: &Moment,
) -> Seen {
    let points = points(subject);
    let speaks = |list: &Crl| reasons(list, subject, &points);
    let all = sources.store.crls.iter();
    let bases = all.filter_map(|list| Some((list, speaks(list)?)));
    let mut seen = Seen::default();
    let mut covered = ReasonSet::default();
    for (base, reasons) in bases.filter(|(list, _)| !list.is_delta()).take(LISTS) {
        if base.is_foreign || !signers::has_signed(sources, base, issuer) {
            continue;
        }
        let taken = moment.takes(base.this_update, base.next_update, base.keeps_expired);
        if !taken {
            seen.stale = true;
            continue;
        }
        let Some(found) = with_delta(sources, base, subject, issuer, moment) else {
            continue;
        };
        seen = seen.and(found);
        if found.covered {
            covered |= reasons;
        }
    }
    // What only a delta says counts too, whatever became of its base.
    let deltas = sources.store.crls.iter().filter(|list| list.is_delta());
    for delta in deltas.filter(|list| speaks(list).is_some()).take(LISTS) {
        if let Some(Listed::Revoked(date) | Listed::Held(date)) =
            said(sources, delta, subject, issuer, moment)
        {
            seen = seen.and(Seen {
                revoked: Some(date),
                ..Seen::default()
            });
        }
    }
    seen.covered = covered.contains(all_reasons());
    seen
}

/// Returns what a signed, current list says; none where it says nothing usable.
fn said(
    sources: &Sources<'_>,
    list: &Crl,
    subject: &Certificate,
    issuer: &Certificate,
    moment: &Moment,
) -> Option<Listed> {
    let usable = !list.is_foreign
        && moment.takes(list.this_update, list.next_update, list.keeps_expired)
        && signers::has_signed(sources, list, issuer);
    usable.then(|| entry::find(list, subject).ok())?
}

/// Reads a base together with its delta; covered only where a delta that is
/// announced is there. None where the list cannot be read.
fn with_delta(
    sources: &Sources<'_>,
    base: &Crl,
    subject: &Certificate,
    issuer: &Certificate,
    moment: &Moment,
) -> Option<Seen> {
    let announced = base.freshest.is_some() || subject.has_extension(ID_CE_FRESHEST_CRL);
    let deltas = sources.store.crls.iter();
    let mut deltas: Vec<&Crl> = deltas.filter(|list| continues(list, base)).collect();
    deltas.sort_by_key(|list| std::cmp::Reverse(list.this_update));
    let newest = deltas
        .into_iter()
        .take(LISTS)
        .find_map(|delta| said(sources, delta, subject, issuer, moment));
    let revoked = match (entry::find(base, subject).ok()?, newest) {
        (Listed::Held(_), Some(Listed::Removed)) => None,
        (Listed::Revoked(date) | Listed::Held(date), _) => Some(date),
        (_, Some(Listed::Revoked(date) | Listed::Held(date))) => Some(date),
        _ => None,
    };
    Some(Seen {
        revoked,
        covered: newest.is_some() || !announced,
        stale: false,
    })
}

/// RFC 5280 5.2.4: of the same issuer and scope, and made from no later base
/// than the one there is.
fn continues(delta: &Crl, base: &Crl) -> bool {
    let (Some(from), Some(have)) = (&delta.base_number, &base.number) else {
        return false;
    };
    // Numbers have no leading zeros, so the longer one is greater.
    let no_later = (from.len(), from) <= (have.len(), have);
    no_later
        && delta.scope == base.scope
        && delta.this_update >= base.this_update
        && certval::compare_names(&delta.issuer, &base.issuer)
}

fn all_reasons() -> ReasonSet {
    ReasonSet::full() - Reasons::Unused
}

/// Returns where revocations of a certificate are published, as it says
/// itself, and in the full lists of its issuer, wherever they come from.
fn points(subject: &Certificate) -> Vec<DistributionPoint> {
    let found = subject
        .extensions()
        .find(|(oid, _, _)| *oid == ID_CE_CRL_DISTRIBUTION_POINTS)
        .and_then(|(_, _, der)| CrlDistributionPoints::from_der(der).ok());
    let mut points = found.map_or_else(Vec::new, |points| points.0);
    let issuer = GeneralName::DirectoryName(subject.issuer_name().clone());
    points.push(DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![issuer])),
        reasons: None,
        crl_issuer: None,
    });
    points
}

/// Returns for which reasons a list speaks of a certificate; none where it
/// does not.
fn reasons(list: &Crl, subject: &Certificate, points: &[DistributionPoint]) -> Option<ReasonSet> {
    if !is_of_kind(list, subject) {
        return None;
    }
    let own = list.point.as_ref().and_then(|p| p.only_some_reasons);
    let own = own.unwrap_or_else(all_reasons);
    let fitting = points.iter().filter(|point| fits(list, subject, point));
    let reasons = fitting.map(|point| point.reasons.unwrap_or_else(all_reasons) & own);
    reasons.reduce(|a, b| a | b)
}

fn is_of_kind(list: &Crl, subject: &Certificate) -> bool {
    list.point.as_ref().is_none_or(|point| {
        let other = match subject.is_ca() {
            true => point.only_contains_user_certs,
            false => point.only_contains_ca_certs,
        };
        !other && !point.only_contains_attribute_certs
    })
}

/// RFC 5280 6.3.3 (b)(1) and (2)(i).
fn fits(list: &Crl, subject: &Certificate, point: &DistributionPoint) -> bool {
    let of_issuer = match &point.crl_issuer {
        None => certval::compare_names(&list.issuer, subject.issuer_name()),
        Some(names) => {
            list.point.as_ref().is_some_and(|p| p.indirect_crl)
                && names.iter().any(|name| is_directory(name, &list.issuer))
        }
    };
    let own = list.point.as_ref();
    let Some(own) = own.and_then(|p| p.distribution_point.as_ref()) else {
        return of_issuer;
    };
    let asked = match (&point.distribution_point, &point.crl_issuer) {
        (Some(name), issuers) => names(name, issuers.as_deref(), subject.issuer_name()),
        (None, Some(issuers)) => issuers.clone(),
        (None, None) => Vec::new(),
    };
    let offered = names(own, None, &list.issuer);
    of_issuer && asked.iter().any(|a| offered.iter().any(|o| same(a, o)))
}

/// Returns the full names of a distribution point; a relative one is below the
/// CRL's issuer.
fn names(
    name: &DistributionPointName,
    issuers: Option<&[GeneralName]>,
    issuer: &Name,
) -> Vec<GeneralName> {
    let relative = match name {
        DistributionPointName::FullName(names) => return names.clone(),
        DistributionPointName::NameRelativeToCRLIssuer(relative) => relative,
    };
    let above = issuers.and_then(|names| {
        names.iter().find_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name),
            _ => None,
        })
    });
    let mut whole = above.unwrap_or(issuer).as_ref().clone();
    whole.push(relative.clone());
    vec![GeneralName::DirectoryName(Name::hazmat_from_rdn_sequence(
        whole,
    ))]
}

fn same(a: &GeneralName, b: &GeneralName) -> bool {
    match b {
        GeneralName::DirectoryName(name) => is_directory(a, name),
        _ => a == b,
    }
}

fn is_directory(name: &GeneralName, directory: &Name) -> bool {
    match name {
        GeneralName::DirectoryName(name) => certval::compare_names(name, directory),
        _ => false,
    }
}
