//! Cards and device chains: whose they are, and what passes for neither.

mod pki;

use pki::{Pki, chain_of, device, now, rules};
use smr_evidence::device::{DeviceError, ProxyError, verify_chain};
use smr_evidence::trust::{Material, PathError, Rules, Signer, TrustError, TrustStore, check_card};
use smr_name::{Address, Class};

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

#[test]
fn cards_name_their_person() {
    let pki = Pki::new();
    for section in ["person", "signature"] {
        let card = pki.card("RUI", "BI1", section);
        let person = check_card(card.certificate(), card.chain(), &pki.store(), &rules()).unwrap();
        assert_eq!(person.identity(), ("test", Some("PT"), "BI1"));
        assert_eq!(person.display, "RUI");
    }
}

#[test]
fn what_is_no_card_is_refused() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let encryption = pki.card("RUI2", "BI1", "encryption");
    let laptop = device(&card, &rui(), "laptop");
    for other in [
        encryption.certificate(),
        laptop.certificate(),
        &pki.certificates("sub")[0],
    ] {
        let error = check_card(other, laptop.chain(), &pki.store(), &rules()).unwrap_err();
        assert!(matches!(error, TrustError::NotACard { .. }), "{error}");
        assert_eq!(error.class(), Class::Forged);
    }
}

#[test]
fn classes_tell_revoked_from_unknown() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let class = |store: &TrustStore, rules: &Rules| {
        let checked = check_card(card.certificate(), card.chain(), store, rules);
        checked.unwrap_err().class()
    };
    let mut without = pki.store();
    without.crls.clear();
    assert_eq!(class(&without, &rules()), Class::Busy);
    let old = Rules {
        now: now() + 40 * 86_400,
        ..rules()
    };
    assert_eq!(class(&pki.store(), &old), Class::Busy);
    assert_eq!(class(&TrustStore::default(), &rules()), Class::Forged);
    pki.revoke("RUI");
    assert_eq!(class(&pki.store(), &rules()), Class::Denied);
}

#[test]
fn chains_name_account_person_and_label() {
    let pki = Pki::new();
    let laptop = device(&pki.card("RUI", "BI1", "person"), &rui(), "laptop");
    let verify = |mailbox: &str, repository: &str, chain: &[_], rules: &Rules| {
        let (mailbox, repository) = (mailbox.parse().unwrap(), repository.parse().unwrap());
        verify_chain(chain, &mailbox, &repository, &pki.store(), rules)
    };
    let chain = chain_of(&laptop);
    let (person, label) = verify("rui", "repo.example", &chain, &rules()).unwrap();
    assert_eq!(
        (person.serial.as_deref(), label.as_str()),
        (Some("BI1"), "laptop")
    );
    for (mailbox, repository) in [("eva", "repo.example"), ("rui", "other.example")] {
        assert!(matches!(
            verify(mailbox, repository, &chain, &rules()),
            Err(DeviceError::OtherAccount { .. })
        ));
    }
    for short in [&chain[..0], &chain[..1]] {
        let error = verify("rui", "repo.example", short, &rules()).unwrap_err();
        assert!(matches!(error, DeviceError::NoCard));
    }
    // A card is no device, and the CA is no card.
    assert!(verify("rui", "repo.example", &chain[1..], &rules()).is_err());
    let eva = pki.card("EVA", "BI2", "person");
    let swapped = [chain[0].clone(), eva.certificate().clone()];
    assert!(verify("rui", "repo.example", &swapped, &rules()).is_err());
}

#[test]
fn clocks_may_differ_a_little() {
    let pki = Pki::new();
    let chain = chain_of(&device(&pki.card("RUI", "BI1", "person"), &rui(), "laptop"));
    let at = |now: i64| {
        let rules = Rules { now, ..rules() };
        let (mailbox, repository) = ("rui".parse().unwrap(), "repo.example".parse().unwrap());
        verify_chain(&chain, &mailbox, &repository, &pki.store(), &rules).map(|(_, label)| label)
    };
    let start = chain[0].not_before();
    assert!(at(start).is_ok());
    assert!(at(start - 250).is_ok());
    assert!(matches!(
        at(start - 350),
        Err(DeviceError::Proxy(ProxyError::NotYetValid))
    ));
}

#[test]
fn anchors_and_lists_come_mixed() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let read = |name: &str| std::fs::read(pki.path(name)).unwrap();
    let all = [
        read("root.pem"),
        read("sub.pem"),
        read("root.crl"),
        read("sub.crl"),
    ]
    .concat();
    let mut store = TrustStore::default();
    store.add_anchors("test", &all).unwrap();
    assert_eq!((store.realms[0].anchors.len(), store.crls.len()), (1, 2));
    check_card(card.certificate(), &[], &store, &rules()).unwrap();
    // A second file of the same realm joins it; another realm does not speak for it.
    store.add_anchors("test", &read("root.pem")).unwrap();
    assert_eq!(store.realms.len(), 1);
    let mut other = TrustStore::default();
    other.add_anchors("other", &all).unwrap();
    let person = |store: &TrustStore| check_card(card.certificate(), &[], store, &rules()).unwrap();
    assert_ne!(person(&store), person(&other));
    let mut damaged = all.clone();
    damaged.truncate(damaged.len() - 40);
    assert!(TrustStore::default().add_anchors("test", &damaged).is_err());
    let no_root = TrustStore {
        realms: Vec::new(),
        ..store
    };
    assert!(matches!(
        check_card(card.certificate(), &[], &no_root, &rules()),
        Err(TrustError::Path(
            PathError::NoPath { .. } | PathError::SelfSigned { .. }
        ))
    ));
}
