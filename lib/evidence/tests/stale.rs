//! Devices whose card is over: listed, but nobody seals to them, and nobody
//! believes what they sign now.

mod pki;

use pki::{
    Pki, add, device, first_record, first_record_at, next, next_at, now, open, print_of, rules,
};
use smr_evidence::account::{
    self, AccountError, Draft, Lapse, SignedBy, follows, open_new, open_then,
};
use smr_evidence::device::{DeviceError, ProxyError};
use smr_evidence::trust::{Revocation, Rules, Signer, SoftKey};
use smr_name::{Address, Class};

const DAY: i64 = 86_400;
const RUI: &str = "/C=PT/O=Test/serialNumber=BI1/CN=RUI";

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

/// Rui's laptop is under a card of two days, his phone under one that lasts.
fn two_cards(pki: &Pki) -> (SoftKey, SoftKey) {
    let short = pki.card_as("OLD", RUI, "person", 2);
    let long = pki.card_as("NEW", RUI, "person", 900);
    (
        device(&short, &rui(), "laptop"),
        device(&long, &rui(), "phone"),
    )
}

fn in_days(days: i64) -> Rules {
    Rules {
        now: now() + days * DAY,
        ..rules()
    }
}

#[test]
fn expired_devices_are_left_out() {
    let pki = Pki::new();
    let (laptop, phone) = two_cards(&pki);
    let store = pki.store();
    let both = first_record_at(&rui(), &[&laptop, &phone], now());
    let account = account::open(&both, &store, &in_days(3)).unwrap();
    assert_eq!(account.devices.len(), 1);
    assert_eq!(account.device(&print_of(&laptop)).map(|d| &d.label), None);
    assert!(account.device(&print_of(&phone)).is_some());
    assert_eq!(account.recipients().len(), 1);
    assert_eq!(
        (
            account.stale[0].device.label.as_str(),
            account.stale[0].lapse
        ),
        ("laptop", Lapse::Expired)
    );
    // It is listed all the same: nobody may drop it unseen.
    follows(&open(&both, &pki), &account).unwrap();
    assert_eq!(account.listed().count(), 2);
    // Its signature on the record counted when it was made; today it files nothing.
    let error = open_new(&both, &store, &in_days(3)).unwrap_err();
    let expired = DeviceError::Proxy(ProxyError::Expired);
    assert!(
        matches!(&error, AccountError::Device { source, .. } if source.to_string() == expired.to_string()),
        "{error}"
    );
    let by_phone = next(&open(&both, &pki), &phone, |_| {});
    assert!(open_new(&by_phone, &store, &in_days(3)).is_ok());
}

#[test]
fn a_record_of_expired_devices_is_read_as_of_its_day() {
    let pki = Pki::new();
    let (laptop, _) = two_cards(&pki);
    let record = first_record(&rui(), &laptop);
    let store = pki.store();
    assert!(account::open(&record, &store, &in_days(3)).is_err());
    let account = open_then(&record, &store, &in_days(3)).unwrap();
    assert!(account.devices.is_empty(), "nobody seals to it");
    assert_eq!(account.stale[0].lapse, Lapse::Expired);
    assert_eq!(account.person.serial.as_deref(), Some("BI1"));
    assert_eq!(account.signed_by, SignedBy::Device(print_of(&laptop)));
    // The day after its end it could not have been signed.
    let mut draft = Draft::first(rui(), None);
    add(&mut draft, &rui(), &laptop);
    let late = account::build(&draft, &laptop, now() + 3 * DAY).unwrap();
    assert!(open_then(&late, &store, &in_days(3)).is_err());
}

#[test]
fn a_record_binds_when_its_revocation_is_forgotten() {
    let pki = Pki::new();
    let (laptop, _) = two_cards(&pki);
    let card = pki.card_as("SHORT", RUI, "person", 2);
    let by_device = first_record(&rui(), &laptop);
    let known = open(&by_device, &pki);
    let by_card = next(&known, &card, |_| {});
    // Both cards end after two days; the only lists were made the day after.
    pki.list_in(3);
    let store = pki.store();
    let late = in_days(4);
    for record in [&by_device, &by_card] {
        let account = open_then(record, &store, &late).unwrap();
        assert_eq!(account.stale[0].lapse, Lapse::Expired);
        assert!(open_new(record, &store, &late).is_err());
    }
    // Of one that has not expired nothing is forgotten, and it is asked for.
    let long = first_record(
        &rui(),
        &device(&pki.card("LONG", "BI1", "person"), &rui(), "pad"),
    );
    let mut none = store.clone();
    none.crls.clear();
    let error = open_then(&long, &none, &rules()).unwrap_err();
    assert_eq!(error.class(), Class::Busy, "{error}");
}

#[test]
fn a_renewed_card_takes_the_place_of_the_old() {
    let pki = Pki::new();
    let (laptop, phone) = two_cards(&pki);
    let record = first_record_at(&rui(), &[&laptop, &phone], now());
    let store = pki.store();
    let old = open_then(&record, &store, &in_days(3)).unwrap();
    let later = now() + 3 * DAY;
    let card = pki.card_as("NEWER", RUI, "person", 900);
    let renewed = device(&card, &rui(), "laptop");
    let mut draft = Draft::after(&old);
    assert_eq!(draft.remove_stale(later).unwrap(), [print_of(&laptop)]);
    assert_eq!(draft.remove_stale(later).unwrap(), []);
    add(&mut draft, &rui(), &renewed);
    let record = account::build(&draft, &renewed, later).unwrap();
    let new = open_new(&record, &pki.store(), &in_days(3)).unwrap();
    follows(&old, &new).unwrap();
    let labels: Vec<&str> = new.devices.iter().map(|d| d.label.as_str()).collect();
    assert_eq!(labels, ["phone", "laptop"]);
    assert_eq!(new.removal(&print_of(&laptop)), Some(later));
    // Another person's card renews nothing.
    let eva = device(&pki.card("EVA", "BI2", "person"), &rui(), "laptop");
    let mut draft = Draft::after(&old);
    draft.remove_stale(later).unwrap();
    draft.remove(&print_of(&phone), later).unwrap();
    add(&mut draft, &rui(), &eva);
    let record = account::build(&draft, &eva, later).unwrap();
    let other = open_new(&record, &pki.store(), &in_days(3)).unwrap();
    assert_eq!(follows(&old, &other).unwrap_err().class(), Class::Untrusted);
}

#[test]
fn devices_of_a_revoked_card_are_left_out() {
    let pki = Pki::new();
    let (laptop, phone) = two_cards(&pki);
    let early = now() - 100;
    let record = first_record_at(&rui(), &[&laptop, &phone], early);
    let before = open(&record, &pki);
    pki.revoke("OLD");
    let store = pki.store();
    let account = account::open(&record, &store, &rules()).unwrap();
    assert_eq!(account.stale[0].lapse, Lapse::Revoked);
    assert_eq!(account.devices.len(), 1);
    follows(&before, &account).unwrap();
    // Whoever stole the card cannot file a record of before.
    let dated_back = next_at(&before, &laptop, early, |_| {});
    assert!(account::open(&dated_back, &store, &rules()).is_ok());
    let error = open_new(&dated_back, &store, &rules()).unwrap_err();
    assert_eq!(error.class(), Class::Denied, "{error}");
    // Nor is one believed that he signs now.
    let now_signed = next(&before, &laptop, |_| {});
    for error in [
        account::open(&now_signed, &store, &rules()).unwrap_err(),
        open_then(&now_signed, &store, &rules()).unwrap_err(),
    ] {
        assert_eq!(error.class(), Class::Denied, "{error}");
    }
    // A record of his devices alone is refused, and still binds.
    let alone = first_record_at(&rui(), &[&laptop], early);
    let error = account::open(&alone, &store, &rules()).unwrap_err();
    assert_eq!(error.class(), Class::Denied, "{error}");
    assert!(
        open_then(&alone, &store, &rules())
            .unwrap()
            .devices
            .is_empty()
    );
}

#[test]
fn an_unknown_revocation_passes_and_is_waited_for() {
    let pki = Pki::new();
    let (laptop, phone) = two_cards(&pki);
    let record = first_record_at(&rui(), &[&laptop, &phone], now());
    let known = open(&record, &pki);
    let mut store = pki.store();
    store.crls = Pki::new().store().crls;
    let error = account::open(&record, &store, &rules()).unwrap_err();
    assert_eq!(error.class(), Class::Busy, "{error}");
    let off = Rules {
        revocation: Revocation::Off,
        ..rules()
    };
    assert_eq!(open_then(&record, &store, &off).unwrap().devices.len(), 2);
    // No draft removes a device for it.
    let mut draft = Draft::after(&known);
    assert_eq!(draft.remove_stale(now()).unwrap(), []);
}

#[test]
fn renewed_cards_do_not_heap_up() {
    let pki = Pki::new();
    let mut card = pki.card_as("RUI", RUI, "person", 900);
    let mut laptop = device(&card, &rui(), "laptop");
    let mut account = open(&first_record(&rui(), &laptop), &pki);
    // More cards of one subject than are looked at for a device.
    for year in 0..10 {
        card = pki.card_as(&format!("RUI{year}"), RUI, "person", 900);
        let renewed = device(&card, &rui(), "laptop");
        let record = next(&account, &renewed, |d| {
            d.remove(&print_of(&laptop), now()).unwrap();
            add(d, &rui(), &renewed);
        });
        let next = open(&record, &pki);
        follows(&account, &next).unwrap();
        (account, laptop) = (next, renewed);
        assert_eq!(account.chain.len(), 2, "its card and the authority");
    }
    assert!(account.chain.contains(card.certificate()));
}
