//! Bundles and time: what was removed, revoked or has expired since.

mod pki;
mod scene;

use std::io::Cursor;
use std::process::Command;

use pki::{Pki, chain_of, device, now, open, print_of, recipient};
use scene::{Scene, ana, crls, mark, message_at, receipt_at, repack, rui, scene};
use smr_evidence::account::{self, Draft};
use smr_evidence::bundle::{self, BundleError, Given};
use smr_evidence::envelope::{self, ReceiptWanted};
use smr_evidence::postmark::Kind;
use smr_evidence::refusal;
use smr_evidence::trust::{Ocsp, SignedData, StampError};
use smr_name::{Class, Fingerprint};

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
fn what_has_a_time_stamp_outlives_every_certificate() {
    let mut scene = scene();
    scene.bundle.postmarks.pop();
    let der = scene.bundle.receipts[0].der.clone();
    let print = *Fingerprint::of(&der).as_bytes();
    let stamp = scene.pki.stamp(&der);
    scene.bundle.stamps.insert(print, stamp);
    for whole in [true, false] {
        scene.good(whole);
        let report = scene.ours_in(&scene.zip(whole), 5000).unwrap();
        let [stamped] = &report.stamps[..] else {
            panic!("{:?}", report.stamps)
        };
        assert_eq!(stamped.file, "receipts/rui@repo.example-1.p7s");
        assert_eq!(report.receipts[0].deposited, Some(stamped.stamp.time));
    }
    // On something else, and by a clock that the reader does not know.
    let stamp = scene.pki.stamp(b"another receipt");
    scene.bundle.stamps.insert(print, stamp);
    let error = scene.bad(true, "receipts/rui@repo.example-1.tst");
    let source = |error: &BundleError| match error {
        BundleError::Stamp { source, .. } => source.to_string(),
        error => panic!("{error}"),
    };
    assert_eq!(source(&error), StampError::OtherImprint.to_string());
    assert_eq!(error.hint(), None);
    scene.bundle.stamps.insert(print, Pki::new().stamp(&der));
    let error = scene.bad(true, "receipts/rui@repo.example-1.tst");
    assert!(source(&error).starts_with("the time stamp authority: "));
    assert!(error.hint().unwrap().contains("trust.d"));
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
fn signatures_are_made_when_they_can_have_been() {
    let mut scene = scene();
    let read = ReceiptWanted::Read;
    let laptop = device(&scene.pki.card("ANA", "BI1", "person"), &ana(), "desk");
    scene.bundle.crls = crls(&scene.pki);
    let begun = now() - 3000;
    let record = pki::first_record(&ana(), &laptop);
    scene.bundle.accounts[0].1 = record;
    // The sender: said to be signed after its deposit, a day to come, and
    // before there was such a certificate.
    scene.set_message(message_at(&laptop, read, now()));
    let cms = scene.bundle.signature.clone();
    scene.bundle.postmarks = vec![mark(Kind::Message, "rui", "ana", &cms, begun)];
    let error = scene.bad(
        true,
        "sender ana@repo.example: signed later than it was deposited",
    );
    assert!(matches!(error, BundleError::Sender(_)), "{error}");
    scene.bad(
        false,
        "sender ana@repo.example: signed later than it was deposited",
    );
    // Of two deposits the first counts, whatever their order.
    let later = mark(Kind::Message, "eva", "ana", &cms, now());
    scene.bundle.postmarks.insert(0, later);
    scene.bad(
        true,
        "sender ana@repo.example: signed later than it was deposited",
    );
    scene.set_message(message_at(&laptop, read, now() + 3600));
    scene.bad(true, "signed later than the time of this check");
    scene.set_message(message_at(&laptop, read, begun));
    scene.bad(true, "signed before its certificate began");

    // The reader: the same, and before the message.
    scene.set_message(message_at(&laptop, read, now()));
    let original = scene.original.clone();
    let give = |time| receipt_at(&original, &scene.rui_laptop, time);
    let (early, late, good) = (give(now() - 400), give(now() + 3600), give(now()));
    for (der, deposited, why) in [
        (early, None, "signed before "),
        (late, None, "signed later than the time of this check"),
        (good, Some(begun), "signed later than it was deposited"),
    ] {
        scene.set_receipt(rui(), der.clone());
        scene.bundle.postmarks = deposited
            .map(|time| mark(Kind::Receipt, "ana", "rui", &der, time))
            .into_iter()
            .collect();
        let error = scene.bad(true, why);
        assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
        // A refusal has the same to hold.
        let Given { by, .. } = scene.bundle.receipts.remove(0);
        let time = SignedData::parse(&der).unwrap().signing_time();
        let opened = envelope::verify_plain(scene.message.as_slice()).unwrap();
        let der = refusal::write(&opened, &by, "no", &scene.rui_laptop, time).unwrap();
        scene.bundle.postmarks = deposited
            .map(|time| mark(Kind::Receipt, "ana", "rui", &der, time))
            .into_iter()
            .collect();
        scene.bundle.refusals = vec![Given { by, der }];
        let error = scene.bad(true, why);
        assert!(matches!(error, BundleError::Refusal { .. }), "{error}");
        scene.bundle.refusals.clear();
    }
    // Clocks differ a little.
    for time in [now() - 200, now() + 200] {
        scene.set_receipt(rui(), receipt_at(&original, &scene.rui_laptop, time));
        scene.bundle.postmarks.clear();
        scene.good(true);
    }
    // Long after its certificate began, and before the message.
    scene.set_message(message_at(&laptop, read, now() + 250));
    let original = scene.original.clone();
    let before = receipt_at(&original, &scene.rui_laptop, now() - 100);
    scene.set_receipt(rui(), before);
    let error = scene.bad(true, "signed before the message was");
    assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
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
