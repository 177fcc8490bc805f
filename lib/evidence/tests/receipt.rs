//! Receipts: given, checked, judged by openssl both ways, forged.

mod pki;

use std::io::Cursor;
use std::process::Command;

use pki::{Pki, device, first_record, now, open, rules};
use rand_core::OsRng;
use smr_evidence::envelope::{self, Author, Draft, Emit, Opened, Part, ReceiptWanted};
use smr_evidence::postmark::Kind;
use smr_evidence::reading::{Grade, Grounds, Verified};
use smr_evidence::receipt::{self, Checked, ReceiptError, Remark};
use smr_evidence::trace::{Told, Trace};
use smr_evidence::trust::{Algorithm, Certificate, Signer, SignerError, SoftKey};
use smr_name::{Address, Class, Head};
use smr_seal::Identity;

fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().unwrap()
}

/// A sender, a reader with card and device, and a third person.
struct Scene {
    pki: Pki,
    rui: SoftKey,
    card: SoftKey,
    ana: SoftKey,
    eva: SoftKey,
    keys: Vec<Identity>,
}

impl Scene {
    fn new() -> Self {
        let pki = Pki::new();
        let rui = device(&pki.card("RUI", "BI1", "person"), &address("rui"), "laptop");
        let card = pki.card("ANA", "BI2", "person");
        let ana = device(&card, &address("ana"), "phone");
        let eva = device(&pki.card("EVA", "BI3", "person"), &address("eva"), "desk");
        let keys = vec![Identity::generate_pq(&mut OsRng)];
        Scene {
            pki,
            rui,
            card,
            ana,
            eva,
            keys,
        }
    }

    /// A message from rui to ana and eva.
    fn message(&self, id: u8, wanted: ReceiptWanted, body: &'static [u8]) -> (Opened, Vec<u8>) {
        let draft = Draft {
            from: Author {
                display: "RUI".into(),
                address: address("rui"),
            },
            to: vec![address("ana"), address("eva")],
            cc: vec![],
            date: now(),
            subject: "contract 42",
            id: smr_name::MessageId::from_bytes([id; 16]),
            reply: None,
            receipt: wanted,
            told: vec![],
        };
        let mut sealed = Vec::new();
        envelope::seal(
            &draft,
            vec![Part::Text(Box::new(body))],
            &[self.keys[0].to_recipient()],
            &self.rui,
            &mut sealed,
            &mut OsRng,
        )
        .unwrap();
        let opened = envelope::verify(Cursor::new(&sealed), &self.keys).unwrap();
        let mut raw = Vec::new();
        envelope::emit(
            Cursor::new(&sealed),
            &self.keys,
            &opened,
            Emit::Raw,
            &mut raw,
        )
        .unwrap();
        (opened, raw)
    }

    /// Checks a receipt as one of the named account, whose device is `signer`.
    fn check(
        &self,
        original: &Opened,
        receipt: &[u8],
        name: &str,
        signer: &SoftKey,
    ) -> Result<Verified, ReceiptError> {
        let checked = self.check_all(original, receipt, name, signer);
        checked.map(|checked| checked.by)
    }

    fn check_all(
        &self,
        original: &Opened,
        receipt: &[u8],
        name: &str,
        signer: &SoftKey,
    ) -> Result<Checked, ReceiptError> {
        let account = open(&first_record(&address(name), signer), &self.pki);
        let store = self.pki.store();
        let rules = rules();
        let grounds = Grounds {
            account: &account,
            store: &store,
            rules: &rules,
            deposited: None,
        };
        receipt::check(
            &original.signed,
            original.headers.receipt,
            receipt,
            &grounds,
        )
    }

    fn openssl_accepts(&self, args: &str) -> bool {
        let out = Command::new("openssl")
            .args(args.split_whitespace())
            .current_dir(self.pki.dir())
            .output()
            .unwrap();
        out.status.success()
    }
}

const VERIFY: &str = "cms -verify_receipt receipt.eml -in raw.eml \
    -CAfile root.pem -certfile sub.pem -allow_proxy_certs";

#[test]
fn devices_and_cards_give_receipts() {
    let scene = Scene::new();
    let (original, raw) = scene.message(1, ReceiptWanted::Read, b"please sign\n");
    for (signer, grade, label) in [
        (&scene.ana, Grade::Device, Some("phone")),
        (&scene.card, Grade::Card, None),
    ] {
        let me = address("ana");
        let remark = remark(&me, &address("rui"));
        let der = receipt::write(&original, &me, Some(&remark), signer, now()).unwrap();
        let verified = scene.check(&original, &der, "ana", &scene.ana).unwrap();
        assert_eq!((verified.grade, verified.device.as_deref()), (grade, label));
        assert_eq!(verified.person.display, "ANA");
        assert_eq!(verified.address, address("ana"));

        std::fs::write(scene.pki.path("raw.eml"), &raw).unwrap();
        std::fs::write(scene.pki.path("receipt.eml"), receipt::to_smime(&der)).unwrap();
        assert!(scene.openssl_accepts(VERIFY));
        let (_, other) = scene.message(2, ReceiptWanted::Read, b"please sign\n");
        std::fs::write(scene.pki.path("raw.eml"), &other).unwrap();
        assert!(!scene.openssl_accepts(VERIFY));
    }
}

/// What a reader may say of mailboxes.
fn remark(by: &Address, of: &Address) -> Remark {
    let told = Told {
        address: of.clone(),
        kind: Kind::Receipt,
        trace: Trace::of(&Head::default()),
        signature: (by != of).then_some([1; 64]),
    };
    Remark {
        number: 7,
        head: Head::from_bytes([7; 32]),
        told: vec![told],
    }
}

#[test]
fn what_a_reader_says_of_mailboxes_comes_back_and_is_his_to_say() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    let me = address("ana");
    let give = |remark: &Remark| {
        let der = receipt::write(&original, &me, Some(remark), &scene.ana, now()).unwrap();
        scene.check_all(&original, &der, "ana", &scene.ana)
    };
    let said = remark(&me, &address("rui"));
    assert_eq!(give(&said).unwrap().remark, Some(said.clone()));
    let silent = receipt::write(&original, &me, None, &scene.ana, now()).unwrap();
    let silent = scene.check_all(&original, &silent, "ana", &scene.ana);
    assert_eq!(silent.unwrap().remark, None);
    // Of a third person; twice; more than there is room for; of his own.
    let hostile: [fn(&mut Remark); 5] = [
        |r| r.told[0].address = address("eva"),
        |r| r.told[0].address = "rui@other.example".parse().unwrap(),
        |r| r.told = vec![r.told[0].clone(), r.told[0].clone()],
        |r| r.told = vec![r.told[0].clone(); 4000],
        |r| r.told[0].signature = None,
    ];
    for (i, change) in hostile.iter().enumerate() {
        let mut bad = said.clone();
        change(&mut bad);
        let refused = give(&bad).unwrap_err();
        assert!(matches!(refused, ReceiptError::Told), "{i}: {refused}");
        assert_eq!(refused.class(), Class::Forged);
    }
}

#[test]
fn sealed_receipts_reach_the_sender() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    let der = receipt::write(&original, &address("ana"), None, &scene.ana, now()).unwrap();
    let sealed = receipt::seal(&der, &[scene.keys[0].to_recipient()]).unwrap();
    let opened = receipt::open(&sealed.bytes, &scene.keys).unwrap();
    assert_eq!(opened, der);
    assert!(scene.check(&original, &opened, "ana", &scene.ana).is_ok());
}

#[test]
fn only_those_asked_give_receipts() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    for name in ["rui", "leo"] {
        let refused =
            receipt::write(&original, &address(name), None, &scene.rui, now()).unwrap_err();
        assert!(matches!(refused, ReceiptError::NotAsked(_)));
        assert_eq!(refused.class(), Class::Denied);
    }
    let (silent, _) = scene.message(2, ReceiptWanted::None, b"x");
    let refused = receipt::write(&silent, &address("ana"), None, &scene.ana, now()).unwrap_err();
    assert_eq!(refused.class(), Class::Denied);
}

#[test]
fn receipts_by_others_do_not_count() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    // Eva signs in ana's name, the sender signs in both, openssl takes either.
    for signer in [&scene.eva, &scene.rui] {
        let der = receipt::write(&original, &address("ana"), None, signer, now()).unwrap();
        let refused = scene.check(&original, &der, "ana", &scene.ana).unwrap_err();
        assert!(matches!(refused, ReceiptError::Signer(_)), "{refused}");
    }
    let der = receipt::write(&original, &address("ana"), None, &scene.rui, now()).unwrap();
    let refused = scene.check(&original, &der, "rui", &scene.rui).unwrap_err();
    assert!(matches!(refused, ReceiptError::NotAsked(_)));
}

#[test]
fn receipts_for_other_messages_do_not_count() {
    let scene = Scene::new();
    let (one, _) = scene.message(1, ReceiptWanted::Read, b"x");
    let der = receipt::write(&one, &address("ana"), None, &scene.ana, now()).unwrap();
    // Another id; the same id and another text.
    for (id, body) in [(2, &b"x"[..]), (1, b"y")] {
        let (other, _) = scene.message(id, ReceiptWanted::Read, body);
        let refused = scene.check(&other, &der, "ana", &scene.ana).unwrap_err();
        assert!(matches!(refused, ReceiptError::Ess(_)), "{refused}");
    }
}

#[test]
fn a_message_is_no_receipt_and_altered_receipts_are_none() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    assert!(
        scene
            .check(&original, &original.cms, "ana", &scene.ana)
            .is_err()
    );
    let der = receipt::write(&original, &address("ana"), None, &scene.ana, now()).unwrap();
    for place in [10, 80, der.len() - 10, der.len() - 200] {
        let mut bad = der.clone();
        bad[place] ^= 1;
        assert!(
            scene.check(&original, &bad, "ana", &scene.ana).is_err(),
            "{place}"
        );
    }
}

#[test]
fn the_card_is_demanded_where_it_was_asked_for() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Card, b"x");
    let by_device = receipt::write(&original, &address("ana"), None, &scene.ana, now()).unwrap();
    let refused = scene
        .check(&original, &by_device, "ana", &scene.ana)
        .unwrap_err();
    assert!(matches!(refused, ReceiptError::Grade));
    let by_card = receipt::write(&original, &address("ana"), None, &scene.card, now()).unwrap();
    let verified = scene.check(&original, &by_card, "ana", &scene.ana).unwrap();
    assert_eq!(verified.grade, Grade::Card);
}

#[test]
fn receipts_older_than_their_message_do_not_count() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    // Since then a second may have begun.
    let sent = original.signed.signing_time();
    let given = |time| {
        let receipt = receipt::write(&original, &address("ana"), None, &scene.ana, time).unwrap();
        scene.check(&original, &receipt, "ana", &scene.ana)
    };
    assert!(matches!(given(sent - 3600), Err(ReceiptError::Early)));
    // Two clocks may be so far apart, and no further.
    let skew = rules().clock_skew;
    assert!(given(sent - skew).is_ok());
    assert!(matches!(given(sent - skew - 1), Err(ReceiptError::Early)));
    assert!(given(now() + 3600).is_err());
}

#[test]
fn receipts_made_by_openssl_count() {
    let scene = Scene::new();
    let (original, raw) = scene.message(1, ReceiptWanted::Read, b"x");
    std::fs::write(scene.pki.path("raw.eml"), raw).unwrap();
    let sign = |extra: &str| {
        scene.pki.openssl(&format!(
            "cms -sign_receipt -in raw.eml -signer ANA.pem -inkey ANA.key -md sha256 \
             -outform DER -out receipt.der{extra}"
        ));
        let der = std::fs::read(scene.pki.path("receipt.der")).unwrap();
        scene.check(&original, &der, "ana", &scene.ana)
    };
    assert_eq!(sign(" -cades").unwrap().grade, Grade::Card);
    // Without it nothing signed names the signer's certificate.
    assert!(matches!(sign(""), Err(ReceiptError::Cms(_))));
}

/// A token that signs something else than it was given.
struct Faulty<'a>(&'a SoftKey);

impl Signer for Faulty<'_> {
    fn certificate(&self) -> &Certificate {
        self.0.certificate()
    }
    fn chain(&self) -> &[Certificate] {
        self.0.chain()
    }
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(&message[1..])
    }
}

#[test]
fn a_faulty_token_is_noticed_at_once() {
    let scene = Scene::new();
    let (original, _) = scene.message(1, ReceiptWanted::Read, b"x");
    let faulty = Faulty(&scene.ana);
    assert!(receipt::write(&original, &address("ana"), None, &faulty, now()).is_err());
}
