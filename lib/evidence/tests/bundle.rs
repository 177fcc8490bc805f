//! Bundles: our verdict and that of verify.sh with plain openssl, side by side.

mod pki;

use std::io::{Cursor, Read, Write};
use std::process::Command;

use pki::{Pki, chain_of, device, first_record, now, open, print_of, recipient, rules};
use smr_evidence::account::{self, Draft};
use smr_evidence::bundle::{self, Bundle, BundleError, Content, Given, Report};
use smr_evidence::envelope::{self, Author, Emit, Part, ReceiptWanted};
use smr_evidence::note;
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_evidence::reading::Grade;
use smr_evidence::receipt::ReceiptError;
use smr_evidence::trust::{Crl, Ocsp, SignedData, SoftKey};
use smr_name::{Address, Class, Fingerprint, Head, MessageId};
use smr_pki::cms::{ContentType, SignRequest};
use smr_pki::ess::Receipt;
use smr_seal::{Identity, Stanza};

const SEED: [u8; 32] = [5; 32];

fn ana() -> Address {
    "ana@repo.example".parse().unwrap()
}

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

fn eva() -> Address {
    "eva@repo.example".parse().unwrap()
}

fn id() -> MessageId {
    "00ff0123456789abcdef0123456789ab".parse().unwrap()
}

/// Holds one identity.
struct Ring(Identity);

impl envelope::Unwrap for Ring {
    fn unwrap(
        &self,
        stanzas: &[Stanza],
    ) -> Result<Option<smr_seal::FileKey>, envelope::UnwrapError> {
        Ok(smr_seal::unwrap(std::slice::from_ref(&self.0), stanzas).unwrap())
    }
}

/// Ana wrote to Rui and Eva; Rui gave a receipt.
struct Scene {
    pki: Pki,
    rui_card: SoftKey,
    rui_laptop: SoftKey,
    eva_laptop: SoftKey,
    original: SignedData,
    message: Vec<u8>,
    bundle: Bundle,
}

fn scene() -> Scene {
    let pki = Pki::new();
    let card = |name: &str, serial: &str| pki.card(name, serial, "person");
    let (ana_card, rui_card, eva_card) =
        (card("ANA", "BI1"), card("RUI", "BI2"), card("EVA", "BI3"));
    let laptop = device(&ana_card, &ana(), "laptop");
    let rui_laptop = device(&rui_card, &rui(), "laptop");
    let eva_laptop = device(&eva_card, &eva(), "laptop");
    let message = message(&laptop, ReceiptWanted::Read);
    let opened = envelope::verify_plain(message.as_slice()).unwrap();
    let receipt = receipt(&opened.signed, &rui_laptop);
    let bundle = Bundle {
        id: id(),
        sender: ana(),
        time: now(),
        postmarks: vec![
            mark(Kind::Message, "rui", "ana", &opened.cms, now()),
            mark(Kind::Receipt, "ana", "rui", &receipt, now()),
        ],
        signature: opened.cms.clone(),
        receipts: vec![Given {
            by: rui(),
            der: receipt,
        }],
        identity: Some(identity()),
        accounts: vec![
            (ana(), first_record(&ana(), &laptop)),
            (rui(), first_record(&rui(), &rui_laptop)),
            (eva(), first_record(&eva(), &eva_laptop)),
        ],
        anchors: pki.certificates("root"),
        intermediates: pki.certificates("sub"),
        crls: crls(&pki),
        ocsp: Vec::new(),
    };
    let original = opened.signed;
    Scene {
        pki,
        rui_card,
        rui_laptop,
        eva_laptop,
        original,
        message,
        bundle,
    }
}

fn crls(pki: &Pki) -> Vec<Crl> {
    pki.store().crls
}

fn message(signer: &SoftKey, wanted: ReceiptWanted) -> Vec<u8> {
    let mut rng = rand_core::OsRng;
    let ring = Ring(Identity::generate_pq(&mut rng));
    let draft = envelope::Draft {
        from: Author {
            display: "Ana \"A\" Silva".into(),
            address: ana(),
        },
        to: vec![rui()],
        cc: vec![eva()],
        date: now(),
        subject: "Contract 42",
        id: id(),
        reply: None,
        receipt: wanted,
    };
    let text = "Please sign the contract.\nAna\n";
    let parts = vec![
        Part::Text(Box::new(text.as_bytes())),
        Part::Attachment {
            name: "a.bin".into(),
            read: Box::new(&[0u8, 13, 10, 255][..]),
        },
    ];
    let mut sealed = Vec::new();
    envelope::seal(
        &draft,
        parts,
        &[ring.0.to_recipient()],
        signer,
        &mut sealed,
        &mut rng,
    )
    .unwrap();
    let opened = envelope::verify(Cursor::new(&sealed), &ring).unwrap();
    let mut plain = Vec::new();
    envelope::emit(Cursor::new(&sealed), &ring, &opened, Emit::Raw, &mut plain).unwrap();
    plain
}

fn receipt(original: &SignedData, signer: &SoftKey) -> Vec<u8> {
    let content = Receipt::for_message(original).unwrap().encode().unwrap();
    let request = SignRequest {
        content_type: ContentType::Receipt,
        content: smr_pki::cms::Content::Attached(&content),
        signing_time: now(),
        receipt_request: None,
        msg_sig_digest: Some(original.signed_attributes_digest()),
    };
    smr_pki::cms::sign(&request, signer).unwrap()
}

fn identity() -> String {
    use base64::Engine;
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let key = b64(&note::public_key(&SEED));
    let other = b64(&[0; 32]);
    format!(
        "smr identity 1\nname repo.example\nx25519 {other}\nmlkem768 {other}\nwarrant {other}\npostmark {key}\n"
    )
}

fn mark(kind: Kind, mailbox: &str, sender: &str, cms: &[u8], time: i64) -> String {
    let postmark = Postmark {
        repository: "repo.example".parse().unwrap(),
        mailbox: mailbox.parse().unwrap(),
        kind,
        number: 1,
        sender: sender.parse().unwrap(),
        id: id(),
        size: 1,
        sha256: [1; 32],
        cms: *Fingerprint::of(cms).as_bytes(),
        time,
        head: Head::default(),
    };
    postmark::sign(&postmark, &SEED).unwrap()
}

impl Scene {
    fn zip(&self, whole: bool) -> Vec<u8> {
        let mut emit = |out: &mut dyn Write| out.write_all(&self.message);
        let content = if whole {
            Content::Whole(&mut emit)
        } else {
            Content::Redacted
        };
        let out = Cursor::new(Vec::new());
        // Made now: after the latest card and list.
        let bundle = Bundle {
            time: now(),
            ..self.bundle.clone()
        };
        bundle::write(&bundle, content, out).unwrap().into_inner()
    }

    fn ours(&self, zip: &[u8]) -> Result<Report, BundleError> {
        self.ours_in(zip, 0)
    }

    /// Verifies so many days from now.
    fn ours_in(&self, zip: &[u8], days: i64) -> Result<Report, BundleError> {
        // Anchors alone: the rest comes with the bundle.
        let mut store = self.pki.store();
        store.intermediates.clear();
        store.crls.clear();
        let mut rules = rules();
        rules.now += days * 86_400;
        bundle::verify(Cursor::new(zip), &store, &rules)
    }

    /// Unpacks the zip and runs its script; returns whether it is content, and
    /// what it says.
    fn theirs(&self, zip: &[u8]) -> (bool, String) {
        let dir = tempfile::TempDir::new().unwrap();
        zip::ZipArchive::new(Cursor::new(zip))
            .unwrap()
            .extract(dir.path())
            .unwrap();
        let out = Command::new("sh")
            .args(["verify.sh", self.pki.path("root.pem").to_str().unwrap()])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(matches!(out.status.code(), Some(0 | 65)), "{said}{error}");
        (out.status.success(), said + &error)
    }

    fn good(&self, whole: bool) -> Report {
        let zip = self.zip(whole);
        let (content, said) = self.theirs(&zip);
        assert!(content && said.ends_with("all good\n"), "{said}");
        self.ours(&zip).unwrap()
    }

    /// Both verdicts must be no, the script's for this reason; returns ours.
    fn bad(&self, whole: bool, why: &str) -> BundleError {
        self.bad_zip(&self.zip(whole), why)
    }

    fn bad_zip(&self, zip: &[u8], why: &str) -> BundleError {
        let (content, said) = self.theirs(zip);
        let reasons: Vec<&str> = said.lines().filter(|l| l.starts_with("NOT GOOD")).collect();
        let found = reasons.iter().any(|l| l.contains(why));
        assert!(!content && found, "{why:?} is not among {said}");
        self.ours(zip).unwrap_err()
    }

    fn set_receipt(&mut self, by: Address, der: Vec<u8>) {
        self.bundle.receipts = vec![Given { by, der }];
        self.bundle.postmarks.truncate(1);
    }
}

/// Writes a zip again with one file changed; None leaves it out.
fn repack(zip: &[u8], change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..old.len() {
        let mut file = old.by_index(index).unwrap();
        let name = file.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        if let Some(bytes) = change(&name, bytes) {
            let options = zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored);
            new.start_file(name, options).unwrap();
            new.write_all(&bytes).unwrap();
        }
    }
    new.finish().unwrap().into_inner()
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to).into_bytes()
}

#[test]
fn good_bundles_are_good_for_both() {
    let scene = scene();
    for whole in [true, false] {
        let report = scene.good(whole);
        assert_eq!((report.id, report.redacted), (id(), !whole));
        assert_eq!(report.sender.address, ana());
        assert_eq!(report.sender.grade, Grade::Device);
        assert_eq!(report.addressees, [rui(), eva()]);
        assert_eq!(report.missing, [eva()]);
        assert_eq!(report.receipts.len(), 1);
        assert_eq!(report.receipts[0].by.address, rui());
        assert!(report.receipts[0].deposited.is_some());
        assert_eq!(report.postmarks.len(), 2);
        assert_eq!(
            report.identity,
            Some(Fingerprint::of(identity().as_bytes()))
        );
    }
}

#[test]
fn bundles_come_back() {
    let scene = scene();
    let (read, whole) = bundle::read(Cursor::new(scene.zip(true))).unwrap();
    assert!(whole);
    assert_eq!(
        (read.id, &read.sender),
        (scene.bundle.id, &scene.bundle.sender)
    );
    assert_eq!(read.receipts, scene.bundle.receipts);
    assert_eq!(read.postmarks, scene.bundle.postmarks);
    assert_eq!(
        (read.anchors, read.crls),
        (scene.bundle.anchors, scene.bundle.crls)
    );
}

#[test]
fn bare_bundles_are_good() {
    let mut scene = scene();
    scene.bundle.receipts.clear();
    scene.bundle.postmarks.clear();
    scene.bundle.identity = None;
    scene.bundle.intermediates.clear();
    assert_eq!(scene.good(true).missing, [rui(), eva()]);
}

#[test]
fn cards_give_receipts_of_class_q() {
    let mut scene = scene();
    let signature = scene.pki.card("RUI2", "BI2", "signature");
    for signer in [&scene.rui_card, &signature] {
        let der = receipt(&scene.original, signer);
        scene.bundle.receipts = vec![Given { by: rui(), der }];
        scene.bundle.postmarks.truncate(1);
        scene.bundle.crls = crls(&scene.pki);
        assert_eq!(scene.good(true).receipts[0].by.grade, Grade::Card);
        let (_, said) = scene.theirs(&scene.zip(true));
        assert!(said.contains("class Q"), "{said}");
    }
}

#[test]
fn a_device_does_not_do_for_a_card() {
    let mut scene = scene();
    let laptop = device(&scene.pki.card("ANA", "BI1", "person"), &ana(), "desk");
    scene.message = message(&laptop, ReceiptWanted::Card);
    let opened = envelope::verify_plain(scene.message.as_slice()).unwrap();
    scene.bundle.signature = opened.cms;
    scene.bundle.accounts[0].1 = first_record(&ana(), &laptop);
    scene.bundle.postmarks.clear();
    scene.bundle.crls = crls(&scene.pki);
    scene.set_receipt(rui(), receipt(&opened.signed, &scene.rui_laptop));
    assert!(matches!(
        scene.bad(true, "asked for the card's own signature"),
        BundleError::Receipt {
            source: ReceiptError::Grade,
            ..
        }
    ));
    scene.set_receipt(rui(), receipt(&opened.signed, &scene.rui_card));
    scene.good(true);
}

#[test]
fn altered_contents_are_bad() {
    let scene = scene();
    let zip = scene.zip(true);
    let change = |file: &'static str, from: &'static str, to: &'static str, why: &str| {
        let changed = repack(&zip, |name, bytes| {
            Some(if name == file {
                replace(&bytes, from, to)
            } else {
                bytes
            })
        });
        scene.bad_zip(&changed, why)
    };
    assert!(matches!(
        change("message.eml", "Please sign", "Please burn", "message.eml: "),
        BundleError::Message(_)
    ));
    change("message.eml", "Contract 42", "Contract 43", "message.eml: ");
    change(
        "bundle.txt",
        "message 00",
        "message 10",
        "message.eml has another id",
    );
    change(
        "bundle.txt",
        "sender ana",
        "sender eva",
        "message.eml is from someone else",
    );
    change("postmarks/1.txt", "number 1", "number 2", "postmarks/1.txt");
    change("identity.txt", "name repo", "name ripo", "postmarks/1.txt");
}

#[test]
fn other_signatures_and_missing_files_are_bad() {
    let scene = scene();
    let zip = scene.zip(true);
    let other = envelope::verify_plain(message(&scene.eva_laptop, ReceiptWanted::Read).as_slice())
        .unwrap()
        .cms;
    let swapped = repack(&zip, |name, bytes| {
        Some(if name == "message.p7s" {
            other.clone()
        } else {
            bytes
        })
    });
    scene.bad_zip(&swapped, "message.p7s is not the signature in message.eml");
    for file in [
        "accounts/ana@repo.example.p7s",
        "accounts/rui@repo.example.p7s",
    ] {
        let without = repack(&zip, |name, bytes| (name != file).then_some(bytes));
        assert!(matches!(
            scene.bad_zip(&without, "no account record of"),
            BundleError::NoAccount(_)
        ));
    }
    for file in ["bundle.txt", "message.p7s", "message.eml"] {
        let without = repack(&zip, |name, bytes| (name != file).then_some(bytes));
        assert!(scene.ours(&without).is_err(), "{file}");
    }
    let stray = repack(&zip, |name, bytes| {
        Some(bytes).filter(|_| name != "README.txt")
    });
    scene.ours(&stray).unwrap();
    assert!(scene.ours(&zip[..zip.len() / 2]).is_err());
    assert!(scene.ours(b"no zip").is_err());
}

#[test]
fn stray_files_are_refused() {
    let mut scene = scene();
    scene.bundle.accounts.push((rui(), vec![]));
    let out = bundle::write(&scene.bundle, Content::Redacted, Cursor::new(Vec::new()));
    assert!(out.is_err(), "one name twice");
    scene.bundle.accounts.pop();
    let mut zip = zip::ZipWriter::new_append(Cursor::new(scene.zip(true))).unwrap();
    zip.start_file("../evil", zip::write::SimpleFileOptions::default())
        .unwrap();
    let zip = zip.finish().unwrap().into_inner();
    assert!(matches!(scene.ours(&zip), Err(BundleError::Stray(_))));
}

#[test]
fn receipts_of_strangers_are_bad() {
    let mut scene = scene();
    // A trusted signer whom the message was not sent to: openssl's own
    // -verify_receipt is content with it.
    let stranger = scene.pki.card("ZOE", "BI9", "person");
    let zoe: Address = "zoe@repo.example".parse().unwrap();
    let laptop = device(&stranger, &zoe, "laptop");
    scene.bundle.crls = crls(&scene.pki);
    scene
        .bundle
        .accounts
        .push((zoe.clone(), first_record(&zoe, &laptop)));
    let der = receipt(&scene.original, &laptop);
    scene.set_receipt(zoe, der.clone());
    for whole in [true, false] {
        assert!(matches!(
            scene.bad(whole, "was not sent to zoe@repo.example"),
            BundleError::NotAddressed(_)
        ));
    }
    // The same receipt under the name of one it was sent to.
    scene.set_receipt(rui(), der);
    assert!(matches!(
        scene.bad(true, "not the person"),
        BundleError::Receipt { .. }
    ));
    // Eva's receipt under Rui's name.
    let der = receipt(&scene.original, &scene.eva_laptop);
    scene.set_receipt(rui(), der);
    assert!(matches!(
        scene.bad(true, "not the person"),
        BundleError::Receipt { .. }
    ));
    // An unlisted device of Rui himself.
    let der = receipt(&scene.original, &device(&scene.rui_card, &rui(), "tablet"));
    scene.set_receipt(rui(), der);
    assert!(matches!(
        scene.bad(false, "does not list"),
        BundleError::Receipt { .. }
    ));
}

#[test]
fn receipts_for_other_messages_are_bad() {
    let mut scene = scene();
    let other =
        envelope::verify_plain(message(&scene.eva_laptop, ReceiptWanted::Read).as_slice()).unwrap();
    let der = receipt(&other.signed, &scene.rui_laptop);
    scene.set_receipt(rui(), der);
    assert!(matches!(
        scene.bad(true, "not a receipt for this"),
        BundleError::Receipt { .. }
    ));
    assert!(matches!(
        scene.bad(false, "not a receipt for this"),
        BundleError::Receipt { .. }
    ));
}

#[test]
fn removed_devices_need_a_postmark_of_before() {
    let mut scene = scene();
    let account = open(&scene.bundle.accounts[1].1, &scene.pki);
    let new = device(&scene.rui_card, &rui(), "new");
    let mut draft = Draft::after(&account);
    draft
        .add(&chain_of(&new), pki::keys(&rui(), &new, 1, &recipient()))
        .unwrap();
    draft.remove(&print_of(&scene.rui_laptop), now()).unwrap();
    scene.bundle.accounts[1].1 = account::build(&draft, &new, now()).unwrap();
    let der = scene.bundle.receipts[0].der.clone();
    scene.bundle.postmarks[1] = mark(Kind::Receipt, "ana", "rui", &der, now() + 60);
    assert!(matches!(
        scene.bad(true, "device that was removed"),
        BundleError::Receipt { .. }
    ));

    // Removed tomorrow: what it signed today stands.
    let mut draft = Draft::after(&account);
    draft
        .add(&chain_of(&new), pki::keys(&rui(), &new, 1, &recipient()))
        .unwrap();
    draft
        .remove(&print_of(&scene.rui_laptop), now() + 120)
        .unwrap();
    scene.bundle.accounts[1].1 = account::build(&draft, &new, now() + 120).unwrap();
    scene.bundle.postmarks[1] = mark(Kind::Receipt, "ana", "rui", &der, now());
    assert!(scene.good(true).receipts[0].by.removed.is_some());
}

#[test]
fn postmarks_must_fit() {
    let mut scene = scene();
    for wrong in [
        mark(Kind::Message, "rui", "ana", b"other", now()),
        mark(
            Kind::Message,
            "rui",
            "eva",
            &scene.bundle.signature.clone(),
            now(),
        ),
        "not a note\n".to_owned(),
    ] {
        scene.bundle.postmarks[0] = wrong;
        assert!(matches!(
            scene.bad(true, "postmarks/1.txt"),
            BundleError::Postmark(_) | BundleError::OtherPostmark(_)
        ));
    }
    scene.bundle.postmarks.remove(0);
    scene.bundle.identity = None;
    assert!(
        scene
            .bad(true, "postmarks/1.txt")
            .to_string()
            .contains("identity.txt")
    );
}

#[test]
fn revoked_cards_are_seen_where_lists_are_there() {
    let mut scene = scene();
    scene.bundle.postmarks.clear();
    scene.pki.revoke("RUI");
    scene.bundle.crls = crls(&scene.pki);
    scene.bad(true, "certificate revoked");
    scene.bundle.crls.clear();
    let zip = scene.zip(true);
    let (content, said) = scene.theirs(&zip);
    assert!(content && said.contains("NOT checked"), "{said}");
    // We insist on lists unless told otherwise.
    assert!(scene.ours(&zip).is_err());
}

#[test]
fn a_bundles_own_anchors_prove_nothing() {
    let scene = scene();
    let zip = scene.zip(true);
    let other = Pki::new();
    assert!(bundle::verify(Cursor::new(&zip), &other.store(), &rules()).is_err());
    let dir = tempfile::TempDir::new().unwrap();
    zip::ZipArchive::new(Cursor::new(&zip))
        .unwrap()
        .extract(dir.path())
        .unwrap();
    let run = |anchors: &[&str]| {
        let mut command = Command::new("sh");
        command
            .arg("verify.sh")
            .args(anchors)
            .current_dir(dir.path());
        command.output().unwrap().status.code()
    };
    assert_eq!(run(&[other.path("root.pem").to_str().unwrap()]), Some(65));
    assert_eq!(run(&[]), Some(0));
}

#[test]
fn what_has_a_postmark_outlives_every_certificate() {
    let mut scene = scene();
    for whole in [true, false] {
        let report = scene.ours_in(&scene.zip(whole), 5000).unwrap();
        assert_eq!(report.receipts.len(), 1);
        assert!(report.sender.revocation_checked);
        assert_eq!(report.sender.revoked_later, None);
    }
    // Where nothing proves when it was signed, it counts as of the verdict.
    let receipt_mark = scene.bundle.postmarks.pop();
    let error = scene.ours_in(&scene.zip(true), 5000).unwrap_err();
    assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
    assert!(scene.ours(&scene.zip(true)).is_ok());
    scene.bundle.postmarks = receipt_mark.into_iter().collect();
    let error = scene.ours_in(&scene.zip(true), 5000).unwrap_err();
    assert!(matches!(error, BundleError::Sender(_)), "{error}");
}

#[test]
fn lists_of_after_the_end_prove_nothing() {
    let mut scene = scene();
    scene.pki.list_in(4900);
    scene.bundle.crls = crls(&scene.pki);
    let error = scene.ours_in(&scene.zip(true), 4901).unwrap_err();
    assert!(matches!(error, BundleError::Sender(_)), "{error}");
    assert!(error.to_string().contains("revocation"), "{error}");
}

#[test]
fn what_was_revoked_after_its_deposit_is_good() {
    let mut scene = scene();
    let before = now() - 100;
    let record = pki::first_record_at(&rui(), &[&scene.rui_laptop], before);
    scene.bundle.accounts[1].1 = record;
    let der = scene.bundle.receipts[0].der.clone();
    scene.bundle.postmarks[1] = mark(Kind::Receipt, "ana", "rui", &der, before);
    scene.pki.revoke("RUI");
    scene.bundle.crls = crls(&scene.pki);
    let zip = scene.zip(true);
    let receipt = &scene.ours(&zip).unwrap().receipts[0];
    assert!(receipt.by.revoked_later.is_some_and(|t| t > before));
    assert!(receipt.by.line().contains("revoked later"));
    // openssl knows one time only, and the script says who decides.
    let (content, said) = scene.theirs(&zip);
    assert!(
        !content && said.contains("smr-receipt --verify says so"),
        "{said}"
    );
    // Deposited when it was revoked already, or nobody knows when.
    scene.bundle.postmarks[1] = mark(Kind::Receipt, "ana", "rui", &der, now() + 60);
    let error = scene.bad(true, "certificate revoked");
    assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
    scene.bundle.postmarks.pop();
    let error = scene.bad(true, "certificate revoked");
    assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
}

#[test]
fn answers_do_where_there_are_no_lists() {
    let mut scene = scene();
    let answers = |scene: &Scene| -> Vec<Ocsp> {
        let of = |name| Ocsp::from_der(&scene.pki.answer(name)).unwrap();
        ["ANA", "RUI", "EVA"].map(of).into()
    };
    // The root has a list, the authority of cards only answers.
    scene.bundle.crls.truncate(1);
    assert!(scene.ours(&scene.zip(true)).is_err());
    scene.bundle.ocsp = answers(&scene);
    for whole in [true, false] {
        let zip = scene.zip(whole);
        assert!(scene.ours(&zip).unwrap().sender.revocation_checked);
        scene.ours_in(&zip, 5000).unwrap();
        let (content, said) = scene.theirs(&zip);
        assert!(
            content && said.contains("has only an OCSP answer"),
            "{said}"
        );
        assert!(said.contains("NOT checked"), "{said}");
    }
    let (read, _) = bundle::read(Cursor::new(scene.zip(true))).unwrap();
    let ders = |all: &[Ocsp]| all.iter().map(|o| o.der.clone()).collect::<Vec<_>>();
    assert_eq!(ders(&read.ocsp), ders(&scene.bundle.ocsp));
    // No list at all is said too.
    let root = std::mem::take(&mut scene.bundle.crls);
    let (content, said) = scene.theirs(&scene.zip(true));
    assert!(content && said.contains("only OCSP answers"), "{said}");
    scene.bundle.crls = root;
    // An answer that says no counts as a list that does.
    scene.pki.revoke("RUI");
    scene.bundle.ocsp = answers(&scene);
    scene.bundle.postmarks.clear();
    let error = scene.ours(&scene.zip(true)).unwrap_err();
    assert_eq!(error.class(), Class::Forged, "{error}");
    assert!(error.to_string().contains("revoked"), "{error}");
}

#[test]
fn damaged_answers_are_refused() {
    let mut scene = scene();
    scene.bundle.ocsp = vec![Ocsp::from_der(&scene.pki.answer("ANA")).unwrap()];
    let zip = scene.zip(true);
    let change = |file: &str, bytes: &[u8]| {
        repack(&zip, |name, old| {
            Some(if name == file { bytes.to_vec() } else { old })
        })
    };
    let error = scene
        .ours(&change("chain/ocsp/1.der", b"no answer"))
        .unwrap_err();
    assert!(matches!(error, BundleError::Material(_)), "{error}");
    let long = vec![0x30; (64 << 10) + 1];
    let error = scene.ours(&change("chain/ocsp/1.der", &long)).unwrap_err();
    assert!(matches!(error, BundleError::Stray(_)), "{error}");
}

#[test]
fn time_is_the_readers_choice() {
    let mut scene = scene();
    scene.bundle.postmarks.clear();
    let zip = scene.zip(true);
    assert!(scene.ours_in(&zip, 901).is_err());
    let dir = tempfile::TempDir::new().unwrap();
    zip::ZipArchive::new(Cursor::new(&zip))
        .unwrap()
        .extract(dir.path())
        .unwrap();
    let run = |at: i64| {
        let mut command = Command::new("sh");
        command
            .arg("verify.sh")
            .env("AT", at.to_string())
            .current_dir(dir.path());
        command.output().unwrap().status.code()
    };
    assert_eq!(run(now() + 901 * 86_400), Some(65));
    assert_eq!(run(now()), Some(0));
}
