//! Who signed: cards and devices, removed ones, other people's.

mod pki;

use pki::{Pki, chain_of, device, first_record, now, open, print_of, recipient, rules};
use smr_evidence::account::{self, Account, Draft};
use smr_evidence::reading::{Grade, Grounds, ReadingError, verify_sender, verify_signer};
use smr_evidence::trust::{Revocation, Rules, SignedData, SoftKey};
use smr_name::{Address, Class};
use smr_pki::cms::{Content, ContentType, SignRequest};

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

fn message(signer: &SoftKey, time: i64) -> SignedData {
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Detached { sha256: [7; 32] },
        signing_time: time,
        receipt_request: None,
        msg_sig_digest: None,
    };
    SignedData::parse(&smr_pki::cms::sign(&request, signer).unwrap()).unwrap()
}

struct Scene {
    pki: Pki,
    card: SoftKey,
    laptop: SoftKey,
    phone: SoftKey,
    account: Account,
}

/// An account with a laptop, and a phone that was removed 100 s ago.
fn scene() -> Scene {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let (laptop, phone) = (
        device(&card, &rui(), "laptop"),
        device(&card, &rui(), "phone"),
    );
    let mut draft = Draft::first(rui(), None);
    for signer in [&laptop, &phone] {
        let keys = pki::keys(&rui(), signer, 1, &recipient());
        draft.add(&chain_of(signer), keys).unwrap();
    }
    draft.remove(&print_of(&phone), now() - 100).unwrap();
    let account = open(&account::build(&draft, &laptop, now()).unwrap(), &pki);
    Scene {
        pki,
        card,
        laptop,
        phone,
        account,
    }
}

impl Scene {
    fn judge(&self, signed: &SignedData, deposited: Option<i64>) -> Result<Grade, ReadingError> {
        self.judge_by(signed, deposited, &rules())
    }

    fn judge_by(
        &self,
        signed: &SignedData,
        deposited: Option<i64>,
        rules: &Rules,
    ) -> Result<Grade, ReadingError> {
        let store = self.pki.store();
        let grounds = Grounds {
            account: &self.account,
            store: &store,
            rules,
            deposited,
        };
        verify_signer(signed, &grounds).map(|v| v.grade)
    }
}

#[test]
fn devices_are_class_d_and_cards_class_q() {
    let scene = scene();
    let signature = scene.pki.card("RUI2", "BI1", "signature");
    assert_eq!(
        scene.judge(&message(&scene.laptop, now()), None).unwrap(),
        Grade::Device
    );
    assert_eq!(
        scene
            .judge(&message(&scene.card, now()), Some(now()))
            .unwrap(),
        Grade::Card
    );
    assert_eq!(
        scene.judge(&message(&signature, now()), None).unwrap(),
        Grade::Card
    );
}

#[test]
fn other_people_are_refused() {
    let scene = scene();
    let eva = scene.pki.card("EVA", "BI2", "person");
    let error = scene.judge(&message(&eva, now()), None).unwrap_err();
    assert!(matches!(error, ReadingError::OtherPerson { .. }), "{error}");
    // A namesake's device for the same address, certified by her own card.
    let error = scene
        .judge(&message(&device(&eva, &rui(), "laptop"), now()), None)
        .unwrap_err();
    assert!(
        matches!(error, ReadingError::UnknownDevice { .. }),
        "{error}"
    );
    assert_eq!(error.class(), Class::Forged);
}

#[test]
fn unlisted_devices_are_refused() {
    let scene = scene();
    let tablet = device(&scene.card, &rui(), "tablet");
    let error = scene.judge(&message(&tablet, now()), None).unwrap_err();
    assert!(
        matches!(error, ReadingError::UnknownDevice { .. }),
        "{error}"
    );
    let elsewhere = device(&scene.card, &"rui@other.example".parse().unwrap(), "laptop");
    let error = scene.judge(&message(&elsewhere, now()), None).unwrap_err();
    assert!(matches!(error, ReadingError::Device { .. }), "{error}");
}

#[test]
fn removed_devices_count_for_what_they_did_before() {
    let scene = scene();
    // The certificates begin now: all this is within the skew.
    let (before, after) = (now() - 200, now() - 50);
    let judge = |signed, deposited| scene.judge(&message(&scene.phone, signed), deposited);
    assert_eq!(judge(before, Some(before)).unwrap(), Grade::Device);
    // Without a deposit there is only the signer's word for the time.
    let others = [
        (before, None),
        (after, None),
        (after, Some(after)),
        (before, Some(after)),
    ];
    for (signed, deposited) in others {
        let error = judge(signed, deposited).unwrap_err();
        assert!(
            matches!(error, ReadingError::RemovedDevice { .. }),
            "{error}"
        );
    }
}

#[test]
fn signatures_from_the_future_are_refused() {
    let scene = scene();
    let signed = message(&scene.laptop, now() + 3600);
    assert!(matches!(
        scene.judge(&signed, None),
        Err(ReadingError::Future(_))
    ));
    let signed = message(&scene.laptop, now());
    let long_ago = Some(now() - 3600);
    assert!(matches!(
        scene.judge(&signed, long_ago),
        Err(ReadingError::Future(_))
    ));
    // Clocks may differ by as much as the rules allow.
    assert!(
        scene
            .judge(&message(&scene.laptop, now() + 200), Some(now()))
            .is_ok()
    );
}

#[test]
fn senders_are_who_they_say() {
    let scene = scene();
    let store = scene.pki.store();
    let rules = rules();
    let grounds = Grounds {
        account: &scene.account,
        store: &store,
        rules: &rules,
        deposited: None,
    };
    let signed = message(&scene.laptop, now());
    let verified = verify_sender(&rui(), &signed, &grounds).unwrap();
    assert_eq!(verified.device.as_deref(), Some("laptop"));
    let line = verified.line();
    assert!(
        line.starts_with("signed by RUI (rui@repo.example, device laptop) 20"),
        "{line}"
    );
    assert!(
        line.ends_with("class D: chain to test, not revoked"),
        "{line}"
    );
    let eva = "eva@repo.example".parse().unwrap();
    assert!(matches!(
        verify_sender(&eva, &signed, &grounds),
        Err(ReadingError::OtherSender { .. })
    ));
}

#[test]
fn revocation_counts_and_its_absence_is_said() {
    let mut scene = scene();
    let signed = message(&scene.laptop, now());
    let unchecked = Rules {
        revocation: Revocation::Off,
        ..rules()
    };
    let store = scene.pki.store();
    let grounds = Grounds {
        account: &scene.account,
        store: &store,
        rules: &unchecked,
        deposited: None,
    };
    let line = verify_signer(&signed, &grounds).unwrap().line();
    assert!(line.contains("REVOCATION NOT CHECKED"), "{line}");
    scene.pki.revoke("RUI");
    let error = scene.judge(&signed, None).unwrap_err();
    assert_eq!(error.class(), Class::Denied, "{error}");
    scene.account = open(
        &first_record(
            &rui(),
            &device(&scene.pki.card("RUI9", "BI1", "person"), &rui(), "new"),
        ),
        &scene.pki,
    );
    assert!(scene.judge(&signed, None).is_err());
}

/// Rules of so many seconds from now.
fn later(seconds: i64) -> Rules {
    Rules {
        now: now() + seconds,
        ..rules()
    }
}

#[test]
fn what_was_deposited_before_a_revocation_stands() {
    let mut scene = scene();
    let before = now() - 100;
    // A phone under another card of his, by which the record is still good.
    let other = scene.pki.card("RUI2", "BI1", "person");
    let tablet = device(&other, &rui(), "tablet");
    let mut draft = Draft::after(&scene.account);
    pki::add(&mut draft, &rui(), &tablet);
    let record = account::build(&draft, &tablet, before.max(scene.account.time)).unwrap();
    scene.pki.revoke("RUI");
    scene.account = open(&record, &scene.pki);
    assert_eq!(scene.account.stale.len(), 1, "the laptop");
    let store = scene.pki.store();
    for signer in [&scene.laptop, &scene.card] {
        let signed = message(signer, before);
        let line = |deposited, rules: &Rules| {
            let grounds = Grounds {
                account: &scene.account,
                store: &store,
                rules,
                deposited,
            };
            verify_signer(&signed, &grounds)
        };
        let good = line(Some(before), &rules()).unwrap();
        let when = good.revoked_later.unwrap();
        assert!((before + 1..=now()).contains(&when), "{when}");
        let text = good.line();
        assert!(text.contains(", certificate revoked later, 20"), "{text}");
        assert!(!text.contains("not revoked"), "{text}");
        // The signer's own word for the time proves nothing; nor does a
        // deposit after it, or one that has not been yet.
        for deposited in [None, Some(now()), Some(now() + 3600)] {
            let error = line(deposited, &rules()).unwrap_err();
            assert_eq!(error.class(), Class::Denied, "{error}");
        }
    }
}

#[test]
fn what_was_deposited_before_the_end_stands() {
    let scene = scene();
    let store = scene.pki.store();
    // The certificates end after 900 days, the lists were due long before.
    let late = later(1000 * 86_400);
    for signer in [&scene.laptop, &scene.card] {
        let (signed, at) = (message(signer, now()), Some(now()));
        assert!(scene.judge_by(&signed, at, &late).is_ok());
        let grounds = Grounds {
            account: &scene.account,
            store: &store,
            rules: &late,
            deposited: at,
        };
        let verified = verify_signer(&signed, &grounds).unwrap();
        assert_eq!(verified.revoked_later, None);
        assert!(verified.revocation_checked && verified.line().contains("not revoked"));
        // Without a deposit, or with one after the end, it is over.
        for deposited in [None, Some(now() + 901 * 86_400)] {
            let error = scene.judge_by(&signed, deposited, &late).unwrap_err();
            assert_eq!(error.class(), Class::Forged, "{error}");
        }
    }
}

#[test]
fn lists_of_after_the_end_say_nothing() {
    let scene = scene();
    let signed = message(&scene.laptop, now());
    scene.pki.list_in(950);
    let store = scene.pki.store();
    let late = later(951 * 86_400);
    let grounds = Grounds {
        account: &scene.account,
        store: &store,
        rules: &late,
        deposited: Some(now()),
    };
    let error = verify_signer(&signed, &grounds).unwrap_err();
    assert_eq!(error.class(), Class::Busy, "{error}");
    // One of before it does, however old it is by then.
    scene.pki.list_in(850);
    let store = scene.pki.store();
    let grounds = Grounds {
        store: &store,
        ..grounds
    };
    assert!(verify_signer(&signed, &grounds).is_ok());
}

#[test]
fn expired_devices_are_refused() {
    let scene = scene();
    let signed = message(&scene.laptop, now());
    let late = Rules {
        now: now() + 901 * 86_400,
        revocation: Revocation::Off,
        ..rules()
    };
    let error = scene.judge_by(&signed, None, &late).unwrap_err();
    assert!(matches!(error, ReadingError::Device { .. }), "{error}");
}
