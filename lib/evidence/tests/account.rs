//! The life of an account: records that follow one another, and those that
//! must not.

mod pki;

use pki::forge::forge;
use pki::{
    Pki, add, chain_of, device, first_record, first_record_at, keys, now, open, print_of,
    recipient, rules,
};
use smr_evidence::account::{
    self, Account, AccountError, Draft, Lapse, SignedBy, follows, keys_statement, open_new,
    open_then,
};
use smr_evidence::device::{DeviceError, ProxyError};
use smr_evidence::trust::{Revocation, Rules, SignedData, Signer, SoftKey};
use smr_name::{Address, Class};

const DAY: i64 = 86_400;
const RUI: &str = "/C=PT/O=Test/serialNumber=BI1/CN=RUI";

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

fn next(old: &Account, signer: &SoftKey, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    next_at(old, signer, now(), change)
}

fn next_at(old: &Account, signer: &SoftKey, time: i64, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::after(old);
    change(&mut draft);
    account::build(&draft, signer, time).unwrap()
}

/// The record must verify by itself, and not follow.
fn alarm(old: &Account, record: &[u8], pki: &Pki) {
    let error = follows(old, &open(record, pki)).expect_err("a record that does not follow");
    assert_eq!(error.class(), Class::Untrusted, "{error}");
}

/// The lines of a record that begin with `key` and hold `with`.
fn lines(record: &[u8], key: &str, with: &str) -> String {
    let signed = SignedData::parse(record).unwrap();
    let text = String::from_utf8(signed.content().unwrap().to_vec()).unwrap();
    let lines = text.lines();
    let found = lines.filter(|l| l.starts_with(key) && l.contains(with));
    found.map(|l| format!("{l}\n")).collect()
}

struct Scene {
    pki: Pki,
    card: SoftKey,
    laptop: SoftKey,
    phone: SoftKey,
    record: Vec<u8>,
    account: Account,
}

/// Rui has a laptop and a phone, and lists both.
fn scene() -> Scene {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let laptop = device(&card, &rui(), "laptop");
    let phone = device(&card, &rui(), "phone");
    let record = first_record_at(&rui(), &[&laptop, &phone], now());
    let account = open(&record, &pki);
    Scene {
        pki,
        card,
        laptop,
        phone,
        record,
        account,
    }
}

#[test]
fn a_stolen_device() {
    let s = scene();
    let open_err = |record: &[u8]| account::open(record, &s.pki.store(), &rules()).unwrap_err();
    // The thief has the laptop's key, a card of his own, and no card of Rui's.
    let thief = s.pki.card("EVA", "BI2", "person");
    let own = device(&thief, &rui(), "own");
    let added = next(&s.account, &s.laptop, |d| add(d, &rui(), &own));
    assert!(matches!(open_err(&added), AccountError::TwoPeople { .. }));
    let forged = device(&self_made(&s.pki), &rui(), "forged");
    let added = next(&s.account, &s.laptop, |d| add(d, &rui(), &forged));
    assert!(matches!(open_err(&added), AccountError::Device { .. }));
    // He cannot give the phone another key,
    let print = print_of(&s.phone);
    let statement = keys_statement(&rui(), &print, 2, now(), &recipient(), &s.laptop).unwrap();
    let rekeyed = next(&s.account, &s.laptop, |d| {
        d.renew(&print, statement).unwrap()
    });
    assert!(matches!(open_err(&rekeyed), AccountError::Keys { .. }));
    // nor have old keys sealed to himself.
    let plain = next(&s.account, &s.laptop, |_| {});
    let backup = format!("backup {}", recipient());
    let moved = forge(&plain, &s.laptop, |text| text.replace("backup -", &backup));
    alarm(&s.account, &moved, &s.pki);

    // The phone removes the laptop, which then signs nothing more.
    let removed = next(&s.account, &s.phone, |d| {
        d.remove(&print_of(&s.laptop), now()).unwrap();
    });
    let second = open(&removed, &s.pki);
    follows(&s.account, &second).unwrap();
    assert!(second.listed().all(|d| d.fingerprint == print));
    let after = forge(&next(&second, &s.phone, |_| {}), &s.laptop, |text| text);
    assert!(matches!(open_err(&after), AccountError::Stranger));
    // It does not come back by itself.
    let back = forge(&next(&second, &s.phone, |_| {}), &s.laptop, |text| {
        let phone_keys = lines(&removed, "keys ", "");
        let laptop = print_of(&s.laptop).to_string();
        let head: String = text.lines().take(6).map(|l| format!("{l}\n")).collect();
        head + &lines(&s.record, "device ", "laptop ")
            + &lines(&removed, "device ", "phone ")
            + &lines(&s.record, "keys ", &laptop)
            + &phone_keys
    });
    alarm(&second, &back, &s.pki);
}

/// A card of Rui's name that vouches for itself.
fn self_made(pki: &Pki) -> SoftKey {
    pki.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out own.key");
    pki.openssl(&format!(
        "req -new -x509 -key own.key -sha256 -days 900 -config ext.cnf -subj {RUI} \
         -extensions dn -out own.pem"
    ));
    pki.openssl("pkcs8 -topk8 -nocrypt -in own.key -outform DER -out own.p8");
    let key = std::fs::read(pki.path("own.p8")).unwrap();
    SoftKey::from_pkcs8(&key, pki.certificates("own").remove(0), Vec::new()).unwrap()
}

#[test]
fn an_old_record() {
    let s = scene();
    let second = open(&next(&s.account, &s.laptop, |_| {}), &s.pki);
    let third = next(&second, &s.phone, |d| {
        d.remove(&print_of(&s.laptop), now()).unwrap();
    });
    let third = open(&third, &s.pki);
    for (old, new) in [
        (&s.account, &second),
        (&second, &third),
        (&s.account, &third),
    ] {
        follows(old, new).unwrap();
        follows(new, new).unwrap();
        let error = follows(new, old).unwrap_err();
        assert_eq!(error.class(), Class::Untrusted, "{error}");
    }
    // A new number on an old list: the laptop is not removed any more.
    let revived = next(&second, &s.laptop, |_| {});
    let renumbered = forge(&revived, &s.laptop, |text| {
        text.replace("number 3", "number 9")
    });
    alarm(&third, &renumbered, &s.pki);
}

#[test]
fn a_forked_record() {
    let s = scene();
    let second = open(&next(&s.account, &s.laptop, |_| {}), &s.pki);
    follows(&s.account, &second).unwrap();
    let fork = next(&s.account, &s.phone, |_| {});
    alarm(&second, &fork, &s.pki);
    let on_fork = next(&open(&fork, &s.pki), &s.phone, |_| {});
    alarm(&second, &on_fork, &s.pki);
    follows(&second, &open(&next(&second, &s.phone, |_| {}), &s.pki)).unwrap();
}

#[test]
fn a_device_list_without_a_device() {
    let s = scene();
    let print = print_of(&s.phone);
    let vanished = |record: &[u8]| {
        forge(record, &s.laptop, |text| {
            let rest = text.lines().filter(|l| !l.contains(&print.to_string()));
            rest.map(|l| format!("{l}\n")).collect()
        })
    };
    alarm(
        &s.account,
        &vanished(&next(&s.account, &s.laptop, |_| {})),
        &s.pki,
    );
    // Removed before the record that lists it, or under another's name.
    let earlier = next(&s.account, &s.laptop, |d| {
        d.remove(&print, now() - DAY).unwrap()
    });
    alarm(&s.account, &earlier, &s.pki);
    let removed = next(&s.account, &s.laptop, |d| d.remove(&print, now()).unwrap());
    follows(&s.account, &open(&removed, &s.pki)).unwrap();
    // And a removal that vanishes.
    let second = open(&removed, &s.pki);
    alarm(
        &second,
        &vanished(&next(&second, &s.laptop, |_| {})),
        &s.pki,
    );
}

#[test]
fn a_device_enters_by_itself_or_by_the_card() {
    let s = scene();
    let tablet = device(&s.card, &rui(), "tablet");
    for signer in [&tablet, &s.card, &s.laptop] {
        let record = next(&s.account, signer, |d| add(d, &rui(), &tablet));
        let account = open_new(&record, &s.pki.store(), &rules()).unwrap();
        follows(&s.account, &account).unwrap();
        assert_eq!(account.devices.len(), 3);
        let by = match std::ptr::eq(signer, &s.card) {
            true => SignedBy::Card,
            false => SignedBy::Device(print_of(signer)),
        };
        assert_eq!(account.signed_by, by);
    }
    let twice = Draft::after(&s.account);
    let other = device(&s.card, &rui(), "phone");
    let mut draft = twice.clone();
    add(&mut draft, &rui(), &other);
    let error = account::build(&draft, &other, now()).unwrap_err();
    assert!(
        matches!(error, AccountError::Rule(_)),
        "two of one label: {error}"
    );
}

#[test]
fn a_device_leaves_by_another_or_by_the_card() {
    let s = scene();
    let mut draft = Draft::after(&s.account);
    draft.remove(&print_of(&s.phone), now()).unwrap();
    assert!(draft.remove(&print_of(&s.phone), now()).is_err(), "twice");
    assert!(draft.renew(&print_of(&s.phone), Vec::new()).is_err());
    let error = account::build(&draft, &s.phone, now()).unwrap_err();
    assert!(matches!(error, AccountError::NeedsCard(_)), "{error}");
    assert_eq!(error.class(), Class::Usage);
    assert!(error.to_string().contains("cannot remove itself"));
    for signer in [&s.laptop, &s.card] {
        let record = account::build(&draft, signer, now()).unwrap();
        let account = open_new(&record, &s.pki.store(), &rules()).unwrap();
        follows(&s.account, &account).unwrap();
        assert!(account.removal(&print_of(&s.phone)).is_some());
    }
    // The last one goes by the card alone.
    draft.remove(&print_of(&s.laptop), now()).unwrap();
    assert!(account::build(&draft, &s.laptop, now()).is_err());
    let closed = account::build(&draft, &s.card, now()).unwrap();
    let closed = open(&closed, &s.pki);
    follows(&s.account, &closed).unwrap();
    assert!(closed.devices.is_empty() && closed.recipients().unwrap().is_empty());
}

#[test]
fn only_a_card_changes_the_backup() {
    let s = scene();
    let backup = recipient();
    let mut draft = Draft::after(&s.account);
    draft.set_backup(Some(backup.clone()));
    let error = account::build(&draft, &s.laptop, now()).unwrap_err();
    assert!(matches!(error, AccountError::NeedsCard(_)), "{error}");
    let by_card = open(&account::build(&draft, &s.card, now()).unwrap(), &s.pki);
    follows(&s.account, &by_card).unwrap();
    assert_eq!(by_card.backup, Some(backup));
    // From then on devices carry it along.
    follows(&by_card, &open(&next(&by_card, &s.laptop, |_| {}), &s.pki)).unwrap();
    let dropped = forge(&next(&by_card, &s.laptop, |_| {}), &s.laptop, |text| {
        let lines = text.lines().map(|l| match l.starts_with("backup ") {
            true => "backup -\n".to_owned(),
            false => format!("{l}\n"),
        });
        lines.collect()
    });
    alarm(&by_card, &dropped, &s.pki);
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
    assert_eq!(account.recipients().unwrap().len(), 1);
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
    let s = scene();
    let other = Pki::new();
    let mut store = s.pki.store();
    store.crls = other.store().crls;
    let error = account::open(&s.record, &store, &rules()).unwrap_err();
    assert_eq!(error.class(), Class::Busy, "{error}");
    let off = Rules {
        revocation: Revocation::Off,
        ..rules()
    };
    assert_eq!(open_then(&s.record, &store, &off).unwrap().devices.len(), 2);
    // No draft removes a device for it.
    let mut draft = Draft::after(&s.account);
    assert_eq!(draft.remove_stale(now()).unwrap(), []);
}

#[test]
fn sixty_epochs() {
    let s = scene();
    let print = print_of(&s.laptop);
    let mut account = s.account;
    let mut seen = Vec::new();
    for epoch in 2..=60 {
        let new = recipient();
        let statement = keys(&rui(), &s.laptop, epoch, &new);
        let record = next(&account, &s.laptop, |d| d.renew(&print, statement).unwrap());
        let next = open(&record, &s.pki);
        follows(&account, &next).unwrap();
        seen.push(next.clone());
        account = next;
        assert_eq!(account.device(&print).unwrap().recipient, new);
    }
    let newest = account.device(&print).unwrap();
    assert_eq!((newest.epoch, account.number), (60, 60));
    // Whoever was away may miss any of them, and never goes back.
    for old in &seen[..58] {
        follows(old, &account).unwrap();
        assert!(follows(&account, old).is_err());
    }
}

#[test]
fn keys_of_another_order_are_refused() {
    let s = scene();
    let print = print_of(&s.laptop);
    let with = |epoch: u64, from: i64, recipient: &str| {
        let keys = keys_statement(&rui(), &print, epoch, from, recipient, &s.laptop).unwrap();
        next(&s.account, &s.laptop, |d| d.renew(&print, keys).unwrap())
    };
    let known = s.account.device(&print).unwrap();
    // Any later epoch will do.
    let leap = open(&with(40, now(), &recipient()), &s.pki);
    follows(&s.account, &leap).unwrap();
    alarm(&s.account, &with(0, now(), &recipient()), &s.pki);
    alarm(&s.account, &with(1, now(), &recipient()), &s.pki);
    alarm(&s.account, &with(2, now(), &known.recipient), &s.pki);
    alarm(&s.account, &with(2, known.from - 1, &recipient()), &s.pki);
    let future = with(2, now() + 3600, &recipient());
    let error = account::open(&future, &s.pki.store(), &rules()).unwrap_err();
    assert!(matches!(error, AccountError::Keys { .. }), "{error}");
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
            d.add(&chain_of(&renewed), keys(&rui(), &renewed, 1, &recipient()))
                .unwrap();
        });
        let next = open(&record, &pki);
        follows(&account, &next).unwrap();
        (account, laptop) = (next, renewed);
        assert_eq!(account.chain.len(), 2, "its card and the authority");
    }
    assert!(account.chain.contains(card.certificate()));
}
