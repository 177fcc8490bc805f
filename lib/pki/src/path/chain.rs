//! Candidate chains: from a leaf, by name and signature, to every anchor.
//!
//! Looks at nothing but names and signatures, and does a bounded amount of
//! work whatever it is given.

use super::{PathError, TrustStore};
use crate::certificate::Certificate;
use crate::signature;

/// Certificates from leaf to anchor, both counted.
const LONGEST: usize = 8;
/// Signatures verified before we give up.
const SIGNATURES: usize = 100;
/// Certificates of the peer that are looked at.
const EXTRA: usize = 32;
/// Chains handed on.
const CHAINS: usize = 8;

/// Holds a chain whose names and signatures fit; it may be expired or revoked.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The realm whose anchor ends it.
    pub realm: String,
    /// Leaf first, anchor last.
    pub certificates: Vec<Certificate>,
}

struct Search<'a> {
    store: &'a TrustStore,
    pool: Vec<&'a Certificate>,
    signatures_left: usize,
    found: Vec<Chain>,
    /// Who was named as issued by somebody whose key then did not fit.
    misfit: Option<String>,
}

/// Finds the chains from `leaf`, those of earlier realms first; none is an error.
pub(super) fn find(
    leaf: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
) -> Result<Vec<Chain>, PathError> {
    let mut search = Search {
        store,
        pool: extra
            .iter()
            .take(EXTRA)
            .chain(&store.intermediates)
            .collect(),
        signatures_left: SIGNATURES,
        found: Vec::new(),
        misfit: None,
    };
    search.extend(&mut vec![leaf.clone()]);
    if search.found.is_empty() {
        return Err(match search.misfit {
            Some(subject) => PathError::Signature { subject },
            None => PathError::NoPath {
                subject: leaf.subject_text().into(),
            },
        });
    }
    Ok(search.found)
}

impl<'a> Search<'a> {
    fn extend(&mut self, chain: &mut Vec<Certificate>) {
        let Some(last) = chain.last().cloned() else {
            return;
        };
        if chain.len() >= LONGEST || self.found.len() >= CHAINS {
            return;
        }
        let store = self.store;
        for realm in &store.realms {
            for anchor in &realm.anchors {
                if self.issued(anchor, &last) {
                    let mut certificates = chain.clone();
                    certificates.push(anchor.clone());
                    self.found.push(Chain {
                        realm: realm.name.clone(),
                        certificates,
                    });
                }
            }
        }
        for index in 0..self.pool.len() {
            let candidate: &'a Certificate = self.pool[index];
            let again = chain.iter().any(|c| {
                c.subject_der() == candidate.subject_der() && c.spki_der() == candidate.spki_der()
            });
            if !again && self.issued(candidate, &last) {
                chain.push(candidate.clone());
                self.extend(chain);
                chain.pop();
            }
        }
    }

    fn issued(&mut self, issuer: &Certificate, subject: &Certificate) -> bool {
        if !certval::compare_names(issuer.subject_name(), subject.issuer_name()) {
            return false;
        }
        if self.signatures_left == 0 {
            return false;
        }
        self.signatures_left -= 1;
        let fits = is_signed_by(subject, issuer);
        if !fits && self.misfit.is_none() {
            self.misfit = Some(subject.subject_text().into());
        }
        fits
    }
}

/// Says whether the key of `issuer` made the signature on `subject`.
pub(super) fn is_signed_by(subject: &Certificate, issuer: &Certificate) -> bool {
    signature::verify(
        issuer.spki_der(),
        subject.signature_algorithm_der(),
        subject.tbs_der(),
        subject.signature_value(),
    )
    .is_ok()
}
