//! The verdict on one chain: our rules, RFC 5280 6.1 by certval, revocation by
//! ourselves.
//!
//! Translates what certval says; decides nothing that certval decided.

use certval::{
    CertificationPath, CertificationPathResults, CertificationPathSettings, Error, PDVCertificate,
    PDVTrustAnchorChoice, PathValidationStatus, PkiEnvironment, TimeOfInterest,
    calculate_hash_rust_crypto, enforce_trust_anchor_constraints, validate_path_rfc5280,
};
use der::Encode;
use der::asn1::BitString;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::chain::Chain;
use super::revocation::{self, Findings};
use super::{PathError, Rules, TrustStore, rules as own};
use crate::certificate::Certificate;
use crate::signature;

/// Judges the chain of a leaf for these usages; says what became known of
/// revocation.
pub(super) fn judge(
    usages: own::Usages,
    chain: &Chain,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Findings, PathError> {
    own::check_usages(usages, chain)?;
    judge_authority(chain, rules)?;
    revocation::check(chain, extra, store, rules)
}

/// Judges a chain whatever its end is for: all but revocation.
pub(super) fn judge_authority(chain: &Chain, rules: &Rules) -> Result<(), PathError> {
    own::check_chain(chain, rules)?;
    let path = certval_path(chain)?;
    let settings = settings(chain, rules)?;
    let settings = enforce_trust_anchor_constraints(&settings, &path.trust_anchor)
        .map_err(|e| translate(chain, e, None))?;
    let mut environment = PkiEnvironment::new();
    environment.add_validate_path_callback(validate_path_rfc5280);
    environment.add_calculate_hash_callback(calculate_hash_rust_crypto);
    environment.add_verify_signature_message_callback(verify_signature);
    let mut results = CertificationPathResults::new();
    environment
        .validate_path(&environment, &settings, &path, &mut results)
        .map_err(|e| translate(chain, e, results.get_failure_index()))
}

fn settings(chain: &Chain, rules: &Rules) -> Result<CertificationPathSettings, PathError> {
    let seconds = u64::try_from(moment(chain, rules)).unwrap_or(0);
    let interest = TimeOfInterest::from_unix_secs(seconds)
        .map_err(|e| translate(chain, Error::Asn1Error(e), None))?;
    let mut settings = CertificationPathSettings::new();
    settings.set_time_of_interest(interest);
    // Revocation is looked up by ourselves.
    settings.set_check_revocation_status(false);
    settings.set_enforce_trust_anchor_constraints(true);
    settings.set_enforce_trust_anchor_validity(true);
    // The anchor was taken from the store by its bytes. certval would look it
    // up by key identifier, and take a leaf that claims an anchor's for one.
    settings.set_require_ta_store(false);
    if !rules.policies.is_empty() {
        settings.set_initial_policy_set(rules.policies.clone());
        settings.set_initial_explicit_policy_indicator(true);
    }
    Ok(settings)
}

/// The time to judge for: the one in question, or so much later, within the
/// skew, that the newest certificate has begun.
fn moment(chain: &Chain, rules: &Rules) -> i64 {
    let begins = chain.certificates.iter().map(Certificate::not_before);
    begins
        .filter(|&begin| begin <= own::latest(rules))
        .fold(own::time(rules), i64::max)
}

fn certval_path(chain: &Chain) -> Result<CertificationPath, PathError> {
    let unread = |e: der::Error| translate(chain, Error::Asn1Error(e), None);
    let mut rest = chain.certificates.iter();
    let (Some(leaf), Some(anchor)) = (rest.next(), rest.next_back()) else {
        return Err(translate(chain, Error::NotFound, None));
    };
    let target = PDVCertificate::try_from(leaf.der()).map_err(unread)?;
    let anchor = PDVTrustAnchorChoice::try_from(anchor.der()).map_err(unread)?;
    let intermediates = rest
        .rev()
        .map(|c| PDVCertificate::try_from(c.der()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unread)?;
    Ok(CertificationPath::new(anchor, intermediates, target))
}

/// Lets certval verify with our own code: it knows no salt above 255 bytes,
/// and no P-521 key with SHA-256.
fn verify_signature(
    _: &PkiEnvironment,
    message: &[u8],
    signature: &BitString,
    algorithm: &AlgorithmIdentifierOwned,
    spki: &SubjectPublicKeyInfoOwned,
) -> certval::Result<()> {
    let wrong = Error::PathValidation(PathValidationStatus::SignatureVerificationFailure);
    let value = signature.as_bytes().ok_or(wrong)?;
    signature::verify(&spki.to_der()?, &algorithm.to_der()?, message, value).map_err(|_| wrong)
}

/// Returns the certificate certval counts as `index`, the anchor being 0.
fn counted(chain: &Chain, index: Option<u32>) -> &Certificate {
    let last = chain.certificates.len().saturating_sub(1);
    let from_anchor = index.and_then(|i| usize::try_from(i).ok()).unwrap_or(last);
    // A chain has at least a leaf and an anchor.
    &chain.certificates[last.saturating_sub(from_anchor)]
}

/// Says certval's verdict in our words.
fn translate(chain: &Chain, error: Error, index: Option<u32>) -> PathError {
    use PathValidationStatus as Status;
    let subject = counted(chain, index).subject_text().to_owned();
    let Error::PathValidation(status) = error else {
        let why = format!("a certificate cannot be read ({error})");
        return PathError::Constraint { subject, why };
    };
    let why = match status {
        Status::InvalidNotAfterDate => return PathError::Expired { subject },
        Status::InvalidNotBeforeDate => return PathError::NotYetValid { subject },
        Status::SignatureVerificationFailure => return PathError::Signature { subject },
        Status::InvalidKeyUsage => {
            return PathError::KeyUsage {
                subject,
                why: "it may not sign certificates",
            };
        }
        Status::MissingBasicConstraints | Status::InvalidBasicConstraints => {
            "a certificate was signed by somebody who is no authority"
        }
        Status::InvalidPathLength => "the chain is longer than an authority allows",
        Status::NameConstraintsViolation => "a name is outside what an authority may name",
        Status::UnprocessedCriticalExtension => "a critical extension is unknown",
        Status::NullPolicySet => "no certificate policy holds all along the chain",
        Status::InsufficientKeySize => "the key of an authority is too weak",
        other => {
            return PathError::Constraint {
                subject,
                why: other.to_string(),
            };
        }
    };
    PathError::Constraint {
        subject,
        why: why.into(),
    }
}
