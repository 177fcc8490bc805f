//! The life of an account: records that follow one another, and those that
//! must not.

mod pki;

use pki::forge::forge;
use pki::{Pki, add, device, first_record_at, keys, next, now, open, print_of, recipient, rules};
use smr_evidence::account::{
    self, Account, AccountError, Draft, SignedBy, follows, keys_statement, open_new,
};
use smr_evidence::trust::{SignedData, SoftKey};
use smr_name::{Address, Class};

const DAY: i64 = 86_400;
const RUI: &str = "/C=PT/O=Test/serialNumber=BI1/CN=RUI";

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
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
    assert!(closed.devices.is_empty() && closed.recipients().is_empty());
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
        assert_eq!(account.device(&print).unwrap().recipient.to_string(), new);
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
    alarm(
        &s.account,
        &with(2, now(), &known.recipient.to_string()),
        &s.pki,
    );
    alarm(&s.account, &with(2, known.from - 1, &recipient()), &s.pki);
    let future = with(2, now() + 3600, &recipient());
    let error = account::open(&future, &s.pki.store(), &rules()).unwrap_err();
    assert!(matches!(error, AccountError::Keys { .. }), "{error}");
}
