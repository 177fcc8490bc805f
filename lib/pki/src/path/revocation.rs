//! Revocation along a chain, by lists (RFC 5280 6.3) and answers (RFC 6960).
//!
//! Fetches nothing. What cannot be determined is never taken for good; a
//! revocation found on either side outweighs anything good on the other.

mod answers;
mod entry;
mod lists;
mod moment;
mod signers;

use super::chain::Chain;
use super::{PathError, Revocation, Rules, TrustStore};
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::ocsp::Ocsp;
use moment::Moment;

/// Certificates that vouch for the signer of a list, one above the other.
const DEEPEST: usize = 2;

/// What was found out about a whole chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// Whether every certificate but the anchor was looked up.
    pub(super) checked: bool,
    /// When the first of them was revoked, after the time of signing.
    pub(super) later: Option<i64>,
}

/// What is at hand to look a certificate up in.
#[derive(Clone, Copy)]
struct Sources<'a> {
    chain: &'a Chain,
    extra: &'a [Certificate],
    store: &'a TrustStore,
    rules: &'a Rules,
    /// How many signers of lists stand above this question.
    depth: usize,
}

/// What lists or answers say of one certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Since when it is revoked, the earliest date anybody gives.
    revoked: Option<i64>,
    /// Whether what there is covers it, for every reason.
    covered: bool,
    /// Whether there is something, but too old.
    stale: bool,
}

impl Seen {
    /// Adds what another source says.
    fn and(self, other: Seen) -> Seen {
        let dates = [self.revoked, other.revoked];
        Seen {
            revoked: dates.into_iter().flatten().min(),
            covered: self.covered || other.covered,
            stale: self.stale || other.stale,
        }
    }
}

/// Looks every certificate of the chain but the anchor up, as the rules say.
pub(super) fn check(
    chain: &Chain,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Findings, PathError> {
    let sources = Sources {
        extra,
        ..Sources::of(chain, store, rules)
    };
    sources.check()
}

/// Says whether a list was signed by somebody who may, where it is to speak of
/// the first certificate of `chain`; how old it is does not matter.
pub fn has_signed(list: &Crl, chain: &Chain, store: &TrustStore, rules: &Rules) -> bool {
    let issuer = chain.certificates.get(1);
    issuer
        .is_some_and(|issuer| signers::has_signed(&Sources::of(chain, store, rules), list, issuer))
}

/// Says whether an answer was signed by somebody who may answer for the first
/// certificate of `chain`; what it says and how old it is do not matter.
pub fn has_answered(answer: &Ocsp, chain: &Chain, store: &TrustStore, rules: &Rules) -> bool {
    let issuer = chain.certificates.get(1);
    issuer.is_some_and(|issuer| {
        answers::is_genuine(&Sources::of(chain, store, rules), answer, issuer)
    })
}

/// Says which certificate of the chain lacks a usable list or answer; none
/// where each was looked up, or one is revoked.
pub fn lacks(chain: &Chain, store: &TrustStore, rules: &Rules) -> Option<PathError> {
    let rules = Rules {
        revocation: Revocation::Require,
        ..rules.clone()
    };
    let error = check(chain, &[], store, &rules).err()?;
    (!matches!(error, PathError::Revoked { .. })).then_some(error)
}

impl<'a> Sources<'a> {
    fn of(chain: &'a Chain, store: &'a TrustStore, rules: &'a Rules) -> Self {
        Sources {
            chain,
            extra: &[],
            store,
            rules,
            depth: 0,
        }
    }
}

impl Sources<'_> {
    fn check(&self) -> Result<Findings, PathError> {
        let mut findings = Findings {
            checked: self.rules.revocation != Revocation::Off,
            later: None,
        };
        if !findings.checked {
            return Ok(findings);
        }
        let mut doubt = None;
        for pair in self.chain.certificates.windows(2) {
            let [subject, issuer] = pair else { continue };
            let seen = self.look_up(subject, issuer);
            let later = self.judge(subject, &seen)?;
            findings.later = [findings.later, later].into_iter().flatten().min();
            if !seen.covered {
                findings.checked = false;
                doubt = doubt.or(Some(undetermined(subject, seen.stale)));
            }
        }
        match doubt {
            Some(error) if self.rules.revocation == Revocation::Require => Err(error),
            _ => Ok(findings),
        }
    }

    fn look_up(&self, subject: &Certificate, issuer: &Certificate) -> Seen {
        let moment = Moment::of(self.rules, subject);
        answers::look(self, subject, issuer, &moment)
            .and(lists::look(self, subject, issuer, &moment))
    }

    /// Returns a revocation that came after the signature; one that came
    /// before is an error.
    fn judge(&self, subject: &Certificate, seen: &Seen) -> Result<Option<i64>, PathError> {
        match (seen.revoked, self.rules.signed) {
            (None, _) => Ok(None),
            (Some(date), Some(signed)) if date > signed => Ok(Some(date)),
            (Some(_), _) => Err(PathError::Revoked {
                subject: subject.subject_text().to_owned(),
            }),
        }
    }
}

fn undetermined(subject: &Certificate, stale: bool) -> PathError {
    let subject = subject.subject_text().to_owned();
    match stale {
        true => PathError::StaleCrl { subject },
        false => PathError::NoRevocationData { subject },
    }
}
