//! The evidence: what senders, readers, repositories and authorities sign.

use std::io::{BufReader, Cursor};
use std::sync::LazyLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use smr_evidence::envelope::{self, peek, read_mail, verify_plain};
use smr_evidence::{
    account, authorisation, backup, bundle, note, postmark, receipt, refusal, trace,
};
use smr_name::RepositoryName;
use smr_pki::certificate::Certificate;
use smr_pki::cms::SignedData;
use smr_pki::crl::{self, Crl};
use smr_pki::ess;
use smr_pki::ocsp::Ocsp;
use smr_pki::path::{self, Realm, Revocation, Rules, TrustStore};
use smr_pki::sources;
use smr_pki::stamp;
use smr_seal::{Identity, Recipient};

const NOW: i64 = 1_800_000_000;

pub(super) static STORE: LazyLock<TrustStore> = LazyLock::new(|| {
    let realm = |name: &str, pem| Realm {
        name: name.into(),
        anchors: authorities(pem),
    };
    let lists = |pem| crl::parse_bundle(pem).expect("the vectors' lists");
    TrustStore {
        realms: vec![
            realm("vectors", include_bytes!("../../vectors/envelope/root.pem")),
            realm("receipts", include_bytes!("../../vectors/receipt/root.pem")),
        ],
        intermediates: Vec::new(),
        crls: [
            lists(include_bytes!("../../vectors/envelope/crls.pem")),
            lists(include_bytes!("../../vectors/receipt/crls.pem")),
        ]
        .concat(),
        ocsp: Vec::new(),
    }
});

fn authorities(pem: &[u8]) -> Vec<Certificate> {
    Certificate::pem_or_der_bundle(pem).expect("the vectors' authorities")
}

pub(super) static KEYS: LazyLock<[Identity; 1]> =
    LazyLock::new(|| [Identity::generate_pq(&mut ChaCha20Rng::from_seed([3; 32]))]);

pub(super) fn rules() -> Rules {
    Rules {
        now: NOW,
        signed: None,
        revocation: Revocation::Prefer,
        max_age: None,
        clock_skew: 300,
        policies: Vec::new(),
    }
}

/// A sealed file as a stranger deposits it: age header, stanzas, payload.
pub fn sealed(data: &[u8]) {
    let keys = &KEYS[..];
    let _ = envelope::verify(Cursor::new(data), &keys);
    let _ = peek(data, &keys);
    let _ = receipt::open(data, &keys);
    let _ = refusal::open(data, &keys);
    let _ = backup::open(data, &KEYS[0]);
}

/// A message behind its seal: S/MIME, MIME, header fields.
pub fn message(data: &[u8]) {
    let _ = verify_plain(data);
}

/// A receipt or a refusal behind its seal.
pub fn answer(data: &[u8]) {
    let _ = receipt::from_smime(data);
}

/// Any mail that is to be sent (RFC 5322).
pub fn mail(data: &[u8]) {
    for dot in [false, true] {
        let _ = read_mail(Box::new(BufReader::new(data)), dot);
    }
}

/// Signed data: parsed, verified, asked for its receipt request.
pub fn cms(data: &[u8]) {
    let Ok(signed) = SignedData::parse(data) else {
        return;
    };
    let _ = signed.verify_signature();
    let _ = signed.verify_attached();
    let _ = signed.verify_detached(&[0; 32]);
    let _ = ess::verify_receipt(&signed, &signed);
}

/// A receipt's inner part (RFC 2634).
pub fn ess(data: &[u8]) {
    let _ = ess::Receipt::decode(data);
}

/// A certificate, and its path to authorities that never saw it.
pub fn certificate(data: &[u8]) {
    let Ok(leaf) = Certificate::from_der(data) else {
        return;
    };
    let _ = sources::crl_urls(&leaf);
    let _ = sources::delta_urls(&leaf);
    let _ = sources::ocsp_urls(&leaf);
    let _ = sources::ca_issuer_urls(&leaf);
    let _ = path::verify(&leaf, std::slice::from_ref(&leaf), &STORE, &rules());
}

/// Files of certificates, as an administrator puts them into `trust.d`.
pub fn certificates(data: &[u8]) {
    let _ = Certificate::pem_or_der_bundle(data);
}

/// A revocation list.
pub fn list(data: &[u8]) {
    let _ = crl::parse_bundle(data);
    if let Ok(list) = Crl::from_der(data) {
        let _ = sources::delta_urls_of(&list);
    }
}

/// A responder's answer.
pub fn ocsp(data: &[u8]) {
    let _ = Ocsp::from_der(data);
}

/// An answer of an authority for time stamps, and a token of one.
pub fn stamp(data: &[u8]) {
    let _ = stamp::verify(data, &[7; 32], &STORE, &rules());
    let _ = stamp::accept(data, &[7; 32], &[0xff; stamp::NONCE], &STORE, &rules());
}

/// An account record, a card's authorisation, a device's statement.
pub fn account(data: &[u8]) {
    let _ = account::open(data, &STORE, &rules());
    let _ = account::open_then(data, &STORE, &rules());
    let _ = authorisation::says(data);
    let _ = authorisation::open(data, &STORE, &rules());
}

/// Signed notes: postmarks, and what they carry.
pub fn signed_note(data: &[u8]) {
    let text = super::text(data);
    let repository: RepositoryName = "repo.example".parse().expect("a name");
    assert!(note::open(text, "repo.example/postmark", &[9; 32]).is_err());
    assert!(postmark::open(text, &[9; 32], &repository).is_err());
    let _ = postmark::repository_in(text);
    if let Ok(chain) = note::succession::Chain::parse(text) {
        assert_eq!(chain.to_string(), *text);
        let _ = postmark::open_by(text, &chain);
    }
    let _ = trace::Trace::parse(text);
    let _ = trace::Told::parse(text);
}

/// An evidence bundle from anybody.
pub fn zip(data: &[u8]) {
    let _ = bundle::verify(Cursor::new(data), &STORE, &STORE, &rules());
    let _ = bundle::read(Cursor::new(data));
}

/// Keys as text: recipients and identities of age.
pub fn keys(data: &[u8]) {
    let text = super::text(data);
    if let Ok(read) = text.parse::<Recipient>() {
        assert_eq!(read.to_string(), text);
    }
    let _ = Identity::parse(text);
}
