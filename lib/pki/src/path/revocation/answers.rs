//! Answers of OCSP responders (RFC 6960): who may give them, and what they say.
//!
//! Believes the issuer itself, or a responder that the issuer certified for
//! nothing else.

use super::moment::Moment;
use super::{Seen, Sources, lists};
use crate::certificate::Certificate;
use crate::ocsp::{Ocsp, Said};
use crate::path::Rules;
use crate::path::chain::is_signed_by;

/// Answers about one certificate that are looked at.
const ANSWERS: usize = 16;
/// Certificates in one answer that are tried as its signer's.
const RESPONDERS: usize = 4;
/// id-kp-OCSPSigning.
const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";

/// Looks a certificate up in every answer about it.
pub(super) fn look(
    sources: &Sources<'_>,
    subject: &Certificate,
    issuer: &Certificate,
    moment: &Moment,
) -> Seen {
    let answers = sources.store.ocsp.iter();
    let about = answers.filter_map(|answer| Some((answer, answer.about(subject, issuer)?)));
    let mut seen = Seen::default();
    for (answer, single) in about.take(ANSWERS) {
        if !is_genuine(sources, answer, issuer) {
            continue;
        }
        if !moment.takes(single.this_update, single.next_update, false) {
            seen.stale = true;
            continue;
        }
        match single.said {
            Said::Good => seen.covered = true,
            Said::Revoked(date) => {
                let dates = [seen.revoked, Some(date)];
                seen.revoked = dates.into_iter().flatten().min();
                seen.covered = true;
            }
            // No answer at all, whatever its signature is worth.
            Said::Unknown => {}
        }
    }
    seen
}

pub(super) fn is_genuine(sources: &Sources<'_>, answer: &Ocsp, issuer: &Certificate) -> bool {
    if answer.is_by(issuer) && answer.is_signed_by(issuer) {
        return true;
    }
    let responders = answer.certificates().iter().take(RESPONDERS);
    let mut fitting = responders.filter(|c| answer.is_by(c) && answer.is_signed_by(c));
    fitting.any(|responder| may_answer(sources, responder, issuer, answer.produced_at))
}

/// RFC 6960 4.2.2.2: certified by the same issuer, for this purpose; valid when
/// it answered, and not revoked then, unless its issuer says that nobody need
/// ask.
fn may_answer(
    sources: &Sources<'_>,
    responder: &Certificate,
    issuer: &Certificate,
    produced_at: i64,
) -> bool {
    let usages = responder.extended_key_usage();
    let usage = responder.key_usage();
    let purpose = usages.is_some_and(|usages| usages.iter().any(|u| u == OCSP_SIGNING));
    let signs = usage.is_none_or(|u| u.digital_signature || u.non_repudiation);
    let valid = (responder.not_before()..=responder.not_after()).contains(&produced_at);
    let critical = responder
        .extensions()
        .all(|(oid, critical, _)| !critical || KNOWN.contains(&oid.to_string().as_str()));
    purpose
        && signs
        && valid
        && critical
        && !responder.is_ca()
        && certval::compare_names(responder.issuer_name(), issuer.subject_name())
        && is_signed_by(responder, issuer)
        && (has_no_check(responder) || is_good(sources, responder, issuer, produced_at))
}

/// Critical extensions that a responder's certificate may have: key usage,
/// extended key usage, basic constraints.
const KNOWN: [&str; 3] = ["2.5.29.15", "2.5.29.37", "2.5.29.19"];

/// id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1).
fn has_no_check(responder: &Certificate) -> bool {
    let no_check = const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
    responder.has_extension(no_check)
}

fn is_good(
    sources: &Sources<'_>,
    responder: &Certificate,
    issuer: &Certificate,
    produced_at: i64,
) -> bool {
    let then = Rules {
        signed: Some(produced_at.min(sources.rules.now)),
        ..sources.rules.clone()
    };
    let moment = Moment::of(&then, responder);
    let seen = lists::look(sources, responder, issuer, &moment);
    seen.revoked.is_none() && seen.covered
}
