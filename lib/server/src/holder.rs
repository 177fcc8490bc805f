//! Whose a record on file is, by its certificates alone.
//!
//! Verifies neither record nor card: both were verified when they came, and
//! thousands are read at once. Only an authority's realm is looked up by
//! signatures, once for each authority.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use smr_evidence::trust::{Certificate, Person, SignedData, TrustStore, chains};

/// Realms by the fingerprint of an authority's certificate.
#[derive(Default)]
pub(crate) struct Realms(Mutex<HashMap<[u8; 32], String>>);

impl Realms {
    /// Forgets all: the anchors have changed.
    pub(crate) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn of(
        &self,
        authority: &Certificate,
        extra: &[Certificate],
        trust: &TrustStore,
    ) -> Option<String> {
        let name = authority.fingerprint();
        // Verdicts, each in one step: a map half filled is right as it is.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(realm) = known().get(&name) {
            return Some(realm.clone());
        }
        let realm = chains(authority, extra, trust).first()?.realm.clone();
        known().insert(name, realm.clone());
        Some(realm)
    }
}

/// Returns the holder of the card above the signer of a record that was
/// verified once; none where no configured authority issued that card.
pub(crate) fn of(record: &[u8], trust: &TrustStore, realms: &Realms) -> Option<Person> {
    let signed = SignedData::parse(record).ok()?;
    let (signer, all) = (signed.signer(), signed.certificates());
    let card = match signer.proxy() {
        None => signer,
        Some(_) => all
            .iter()
            .find(|c| c.subject_der() == signer.issuer_der())?,
    };
    let anchors = trust.realms.iter().flat_map(|realm| &realm.anchors);
    let authorities = anchors.chain(&trust.intermediates).chain(all);
    authorities
        .filter(|c| c.is_ca() && c.subject_der() == card.issuer_der())
        .find_map(|authority| realms.of(authority, all, trust))
        .map(|realm| Person::of_card(card, &realm))
}
