//! What is to be fetched, and for whom: the addresses in the certificates of
//! cards and authorities that lead to a configured anchor.
//!
//! Takes no address from anybody but an authority under an anchor: a stranger,
//! or a card that signs what it may not, makes us fetch nothing.

use std::collections::BTreeMap;

use smr_evidence::trust::{Certificate, Chain, TrustStore, chains, sources};
use smr_name::Fingerprint;

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A revocation list.
    List,
    /// A list that only adds to another.
    Delta,
    /// An OCSP responder, asked about one certificate.
    Ocsp,
}

impl Kind {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::List => "crl",
            Kind::Delta => "delta",
            Kind::Ocsp => "ocsp",
        }
    }
}

/// One source, and the certificates it is to speak of: each with its issuers,
/// anchor last.
pub(super) struct Need {
    pub(super) kind: Kind,
    pub(super) url: String,
    pub(super) chains: Vec<Chain>,
}

impl Need {
    /// Returns the subject it is for, the first one.
    pub(super) fn subject(&self) -> &str {
        let subject = self.chains.first().and_then(|c| c.certificates.first());
        subject.map_or("", Certificate::subject_text)
    }
}

/// Needs by the name of their file in the cache.
pub(super) type Needs = BTreeMap<String, Need>;

/// Returns the chains of a certificate that could hold now: nothing in them is
/// expired, and none but authorities have signed.
pub(super) fn usable(
    certificate: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
    now: i64,
) -> Vec<Chain> {
    let mut found = chains(certificate, extra, store);
    found.retain(|chain| {
        let mut issuers = chain.certificates.iter().skip(1);
        chain.certificates.iter().all(|c| c.not_after() >= now)
            && issuers.all(|c| c.is_ca() && c.key_usage().is_none_or(|u| u.key_cert_sign))
    });
    found
}

/// Adds the sources for every certificate of a chain but the anchor.
pub(super) fn add(needs: &mut Needs, chain: &Chain) {
    for start in 0..chain.certificates.len().saturating_sub(1) {
        let part = Chain {
            realm: chain.realm.clone(),
            certificates: chain.certificates[start..].to_vec(),
        };
        add_sources(needs, &part);
    }
}

fn add_sources(needs: &mut Needs, chain: &Chain) {
    let Some(subject) = chain.certificates.first() else {
        return;
    };
    let lists = sources::crl_urls(subject);
    // Authorities are few, and their lists small: a responder only where there
    // is no list.
    if !subject.is_ca() || lists.is_empty() {
        for url in sources::ocsp_urls(subject) {
            add_one(needs, Kind::Ocsp, url, chain);
        }
    }
    for url in lists {
        add_one(needs, Kind::List, url, chain);
    }
    for url in sources::delta_urls(subject) {
        add_one(needs, Kind::Delta, url, chain);
    }
}

/// Adds one source for the first certificate of a chain.
pub(super) fn add_one(needs: &mut Needs, kind: Kind, url: String, chain: &Chain) {
    let need = needs.entry(name(kind, &url, chain)).or_insert(Need {
        kind,
        url,
        chains: Vec::new(),
    });
    // A list is the same for all of one issuer.
    let issuers = |c: &Chain| c.certificates.get(1..).map(<[Certificate]>::to_vec);
    if need
        .chains
        .iter()
        .all(|known| issuers(known) != issuers(chain))
    {
        need.chains.push(chain.clone());
    }
}

/// Names the file: by address, and for an answer also by certificate and
/// issuer.
fn name(kind: Kind, url: &str, chain: &Chain) -> String {
    let mut of = url.as_bytes().to_vec();
    if kind == Kind::Ocsp {
        for certificate in chain.certificates.iter().take(2) {
            of.extend_from_slice(&certificate.fingerprint());
        }
    }
    let extension = match kind {
        Kind::Ocsp => "ocsp",
        Kind::List | Kind::Delta => "crl",
    };
    let hex: String = Fingerprint::of(&of)
        .as_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("{hex}.{extension}")
}
