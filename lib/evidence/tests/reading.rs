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

/// An account with a laptop, and a phone that was removed an hour ago.
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
    draft.remove(&print_of(&phone), now() - 3600).unwrap();
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
    // Device certificates begin a minute ago; let the phone's life be judged later.
    let (before, after) = (now() - 7200, now() - 1800);
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
