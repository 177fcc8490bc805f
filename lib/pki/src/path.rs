//! Paths: may this certificate be believed, now, under these anchors?
//!
//! Fetches nothing: certificates, lists and the time are handed in.

mod chain;
mod judge;
mod revocation;
mod rules;

use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::ocsp::Ocsp;
pub use chain::Chain;
pub use revocation::{has_answered, has_signed, lacks};

/// Groups anchors that speak for the same people.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    /// The realm's name.
    pub name: String,
    /// Its trust anchors.
    pub anchors: Vec<Certificate>,
}

/// Holds everything a verdict may rest on.
#[derive(Clone, Debug, Default)]
pub struct TrustStore {
    /// The realms, each with its anchors.
    pub realms: Vec<Realm>,
    /// Certificates of CAs that are no anchors.
    pub intermediates: Vec<Certificate>,
    /// Revocation lists.
    pub crls: Vec<Crl>,
    /// Answers of OCSP responders.
    pub ocsp: Vec<Ocsp>,
}

/// Says how much a missing revocation list matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Without a usable list there is no verdict.
    Require,
    /// Lists are used where there are any; the verdict says so where not.
    Prefer,
    /// Lists are not looked at.
    Off,
}

/// Holds the rules of one verification.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The time the verdict is made at, unix seconds UTC.
    pub now: i64,
    /// The proven time of the signature in question, no later than `now`;
    /// none where the certificate must hold now.
    pub signed: Option<i64>,
    /// What to do about revocation.
    pub revocation: Revocation,
    /// The greatest age of a list, in seconds, whatever it says itself; a
    /// list that names no next update is used only where this is given.
    pub max_age: Option<i64>,
    /// How far our clock may be behind that of who issues certificates and
    /// lists, in seconds; nothing is valid longer for it.
    pub clock_skew: i64,
    /// The certificate policies of which one must hold along the chain, as
    /// dotted OIDs (RFC 5280 6.1.1 (c)); none named: any will do.
    pub policies: Vec<String>,
}

/// Says that a certificate may be believed, and by whom.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The realm whose anchor ends the chain.
    pub realm: String,
    /// The chain, leaf first, anchor last.
    pub chain: Vec<Certificate>,
    /// Whether every certificate but the anchor was looked up in a list.
    pub revocation_checked: bool,
    /// When a certificate of the chain was revoked, where that was after the
    /// time of signing, unix seconds.
    pub revoked_later: Option<i64>,
}

/// Says why a certificate may not be believed.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// The validity of a certificate is over.
    #[error("the certificate of {subject} has expired")]
    Expired {
        /// Whose.
        subject: String,
    },
    /// The validity of a certificate has not begun.
    #[error("the certificate of {subject} is not valid yet")]
    NotYetValid {
        /// Whose.
        subject: String,
    },
    /// No chain leads to an anchor.
    #[error("no chain leads from {subject} to a trusted authority")]
    NoPath {
        /// From whom.
        subject: String,
    },
    /// A certificate was revoked.
    #[error("the certificate of {subject} has been revoked")]
    Revoked {
        /// Whose.
        subject: String,
    },
    /// No list says anything about a certificate.
    #[error("no revocation list covers the certificate of {subject}")]
    NoRevocationData {
        /// Whose.
        subject: String,
    },
    /// The only lists there are are too old.
    #[error("the revocation list for {subject} is out of date")]
    StaleCrl {
        /// Whose.
        subject: String,
    },
    /// The certificate vouches for itself.
    #[error("the certificate of {subject} is signed only by itself")]
    SelfSigned {
        /// Whose.
        subject: String,
    },
    /// The key may not be used for this.
    #[error("the certificate of {subject} may not be used so: {why}")]
    KeyUsage {
        /// Whose.
        subject: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A signature in the chain is wrong.
    #[error("the signature on the certificate of {subject} does not verify")]
    Signature {
        /// Whose.
        subject: String,
    },
    /// Another rule of RFC 5280 is broken.
    #[error("the chain of {subject} breaks a rule: {why}")]
    Constraint {
        /// Whose.
        subject: String,
        /// Which rule.
        why: String,
    },
}

impl PathError {
    /// Returns one stable word for the reason (smr-certificates(7)).
    pub fn reason(&self) -> &'static str {
        match self {
            PathError::Expired { .. } => "expired",
            PathError::NotYetValid { .. } => "not_yet_valid",
            PathError::NoPath { .. } => "no_path",
            PathError::Revoked { .. } => "revoked",
            PathError::NoRevocationData { .. } => "no_revocation_data",
            PathError::StaleCrl { .. } => "stale_revocation_data",
            PathError::SelfSigned { .. } => "self_signed",
            PathError::KeyUsage { .. } => "key_usage",
            PathError::Signature { .. } => "signature",
            PathError::Constraint { .. } => "constraint",
        }
    }
}

/// Returns the chains from `leaf`, which may be an authority's, whose names and
/// signatures lead to an anchor; eight at most. Judges nobody: whether one of
/// them holds is for `verify`.
pub fn chains(leaf: &Certificate, extra: &[Certificate], store: &TrustStore) -> Vec<Chain> {
    chain::find(leaf, extra, store).unwrap_or_default()
}

/// Verifies the path from `leaf` to an anchor of `store`, with the help of the
/// certificates in `extra` (of which no more than 32 are looked at).
///
/// RFC 5280 6 by certval, and beyond it: the leaf is no CA's, nor a device's,
/// and has a key usage that lets it sign; extended key usages, where present,
/// allow mail or authentication all along the chain; no certificate is of
/// version 1; where deltas are published, a current one was looked at. Of
/// something signed earlier (`rules.signed`), validity is that of its day, and
/// a revocation that came later is told, not held against it.
pub fn verify(
    leaf: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Verdict, PathError> {
    rules::check_leaf(leaf)?;
    verify_as(rules::PERSON, leaf, extra, store, rules)
}

/// Verifies the path from the certificate of a time stamp authority as
/// [`verify`] does a person's: it has one extended key usage, timeStamping,
/// critical (RFC 3161 2.3), and the usages above allow that.
pub fn verify_stamper(
    leaf: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Verdict, PathError> {
    rules::check_stamper(leaf)?;
    verify_as(rules::STAMPER, leaf, extra, store, rules)
}

fn verify_as(
    usages: rules::Usages,
    leaf: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Verdict, PathError> {
    let mut first = None;
    for chain in chain::find(leaf, extra, store)? {
        match judge::judge(usages, &chain, extra, store, rules) {
            Ok(findings) => {
                return Ok(Verdict {
                    realm: chain.realm,
                    chain: chain.certificates,
                    revocation_checked: findings.checked,
                    revoked_later: findings.later,
                });
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| PathError::NoPath {
        subject: leaf.subject_text().into(),
    }))
}
