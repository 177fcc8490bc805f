//! Bundles: our verdict and that of verify.sh with plain openssl, side by side.

mod pki;
mod scene;

use std::io::{self, Cursor};
use std::process::Command;

use pki::forge::forge;
use pki::{Pki, device, first_record, now, rules};
use scene::{
    SEED, ana, crls, eva, id, identity, mark, message, receipt, repack, replace, rui, scene,
};
use smr_evidence::bundle::{self, BundleError, Content, Given};
use smr_evidence::envelope::{self, ReceiptWanted};
use smr_evidence::note;
use smr_evidence::note::succession::Chain;
use smr_evidence::postmark::{self, Kind, Postmark, PostmarkError};
use smr_evidence::reading::Grade;
use smr_evidence::receipt::{ReceiptError, Remark};
use smr_name::{Address, Class, Fingerprint, Head};

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
        let keys = report.identity.unwrap();
        let expected = Fingerprint::of(identity().as_bytes());
        assert_eq!(keys.tip().fingerprint(), expected);
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

/// The identity of the repository after `mark`'s keys were replaced, then.
fn succeeded(time: i64) -> Chain {
    let next = identity().replace("x25519 AAAA", "x25519 BBBB");
    let key = |seed: &[u8; 32]| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(note::public_key(seed))
    };
    let next = next.replace(&key(&SEED), &key(&[6; 32]));
    let mut chain = Chain::parse(&identity()).unwrap();
    let [old, new] = [SEED, [6; 32]].map(|seed| note::Signer::from_seed(&seed));
    chain.succeed(&next, time, &old, &new).unwrap();
    chain
}

#[test]
fn postmarks_by_keys_that_were_replaced_are_good() {
    let mut scene = scene();
    let chain = succeeded(now());
    scene.bundle.identity = Some(chain.to_string());
    let report = scene.good(true);
    assert_eq!(report.identity.unwrap(), chain);
    let (_, said) = scene.theirs(&scene.zip(true));
    assert!(
        said.contains("good      succession 1 of its keys"),
        "{said}"
    );
    let print = chain.tip().fingerprint().to_string();
    assert!(said.contains(&print), "{said}");

    // One by the new keys, beside one by the old ones.
    let cms = *Fingerprint::of(&scene.bundle.signature).as_bytes();
    let old = postmark::open_by(&scene.bundle.postmarks[0], &chain).unwrap();
    assert_eq!(old.cms, cms);
    let new = postmark::sign(&old, &note::Signer::from_seed(&[6; 32])).unwrap();
    scene.bundle.postmarks[0] = new;
    scene.good(true);
}

#[test]
fn false_successions_and_postmarks_after_them_are_bad() {
    let mut scene = scene();
    // Keys that were replaced long before this postmark.
    scene.bundle.identity = Some(succeeded(now() - 3 * 86_400).to_string());
    assert!(matches!(
        scene.bad(true, "postmarks/"),
        BundleError::Postmark(PostmarkError::Retired)
    ));
    let good = succeeded(now()).to_string();
    let lines: Vec<&str> = good.lines().collect();
    let by_old_alone = lines[..lines.len() - 1].join("\n") + "\n";
    let by_new_alone = [&lines[..lines.len() - 2], &lines[lines.len() - 1..]].concat();
    for bad in [
        good.replace("number 1", "number 2"),
        good.replace("x25519 BBBB", "x25519 CCCC"),
        good.replace("follows SHA256:", "follows SHA256:x"),
        by_old_alone,
        by_new_alone.join("\n") + "\n",
    ] {
        scene.bundle.identity = Some(bad);
        assert!(matches!(
            scene.bad(true, "succession 1 of its keys"),
            BundleError::Identity(_)
        ));
    }
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
    for (from, to, why) in [
        ("message 00", "message 10", "message.eml has another id"),
        (
            "sender ana",
            "sender eva",
            "message.eml is from someone else",
        ),
    ] {
        let error = change("bundle.txt", from, to, why);
        assert!(matches!(error, BundleError::Mismatch(_)), "{error}");
    }
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

/// Puts one name in the place of another of its length, where it stands the
/// `place`th time from the end.
fn renamed(zip: &[u8], from: &[u8], to: &[u8], place: usize) -> Vec<u8> {
    let mut zip = zip.to_vec();
    let windows = zip.windows(from.len()).enumerate().rev();
    let mut found = windows.filter(|(_, w)| *w == from).map(|(at, _)| at);
    let at = found.nth(place).expect("the name is there so often");
    zip[at..at + to.len()].copy_from_slice(to);
    zip
}

#[test]
fn zips_with_two_readings_are_refused() {
    let scene = scene();
    let good = scene.zip(true);
    let refused = |zip: &[u8], why: &str| {
        let error = scene.ours(zip).map(drop).unwrap_err();
        assert!(matches!(error, BundleError::Zip(_)), "{why}: {error}");
    };
    // One name twice, the good file last: some programs take the first.
    let mut two = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    two.start_file("Message.eml", stored).unwrap();
    std::io::Write::write_all(&mut two, b"Subject: something else\r\n\r\n").unwrap();
    let rest = zip::ZipArchive::new(Cursor::new(&good)).unwrap();
    two.merge_archive(rest).unwrap();
    let two = two.finish().unwrap().into_inner();
    let two = renamed(&two, b"Message.eml", b"message.eml", 1);
    refused(&renamed(&two, b"Message.eml", b"message.eml", 0), "twice");
    // Another name in the file's own header than in the directory.
    let hidden = renamed(&good, b"message.eml", b"Message.eml", 1);
    refused(&hidden, "two names");
    // What stands before the files, and words after them.
    refused(&[b"#!/bin/sh\n", &good[..]].concat(), "before");
    let mut spoken = zip::ZipWriter::new_append(Cursor::new(good)).unwrap();
    spoken.set_comment("something else").unwrap();
    refused(&spoken.finish().unwrap().into_inner(), "a comment");
}

#[test]
fn a_redacted_message_is_of_the_account_that_sent_it() {
    let mut scene = scene();
    // Signed by the card itself, whose holder has another account too.
    let card = scene.pki.card("ANA", "BI1", "person");
    let message = message(&card, ReceiptWanted::Read);
    let opened = envelope::verify_plain(message.as_slice()).unwrap();
    scene.bundle.receipts[0].der = receipt(&opened.signed, &scene.rui_laptop);
    scene.bundle.signature = opened.cms;
    scene.bundle.postmarks.clear();
    scene.good(false);
    let other: Address = "ana-private@repo.example".parse().unwrap();
    let record = first_record(&other, &device(&card, &other, "laptop"));
    scene.bundle.accounts.push((other.clone(), record));
    scene.bundle.sender = other;
    let error = scene.bad(false, "asks for receipts to someone else");
    assert!(matches!(error, BundleError::Mismatch(_)), "{error}");
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
fn proxies_of_another_kind_are_no_devices() {
    let address = rui().to_string();
    let ours = "language:2.25.1518643927.1";
    for (info, why) in [
        // Another policy language, one without a text, further devices below
        // it, another account's name.
        (
            format!("language:1.2.3.4,pathlen:0,policy:text:{address}"),
            "",
        ),
        ("language:id-ppl-inheritAll,pathlen:0".to_owned(), ""),
        (format!("{ours},pathlen:1,policy:text:{address}"), ""),
        (format!("{ours},policy:text:{address}"), ""),
        (format!("{ours},pathlen:0,policy:text:eva@repo.example"), ""),
        // As it should be, up to here: no device, for nobody lists it.
        (
            format!("{ours},pathlen:0,policy:text:{address}"),
            "does not list",
        ),
    ] {
        let mut scene = scene();
        let proxy = scene.pki.proxy("RUI", "smr rui@repo.example laptop", &info);
        scene.set_receipt(rui(), receipt(&scene.original, &proxy));
        let why = match why {
            "" => "makes no device of rui@repo.example",
            why => why,
        };
        let error = scene.bad(true, why);
        assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
        // His own record lists it, or is signed by it.
        let record = &scene.bundle.accounts[1].1;
        let print = |key| pki::print_of(key).to_string();
        let (old, new) = (print(&scene.rui_laptop), print(&proxy));
        let listing = forge(record, &scene.rui_laptop, |text| text.replace(&old, &new));
        let signed = forge(record, &proxy, |text| text.replace(&old, &new));
        if why == "does not list" {
            continue;
        }
        scene.bundle.accounts[1].1 = listing;
        scene.bad(true, why);
        scene.bundle.accounts[1].1 = signed;
        scene.bad(
            true,
            "account record rui@repo.example: by a proxy certificate",
        );
    }
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
fn a_reader_was_shown_the_message_where_its_postmark_says() {
    let mut scene = scene();
    let opened = envelope::verify_plain(scene.message.as_slice()).unwrap();
    // The postmark of the scene says number 1, and this head; where the message
    // stands in Eva's inbox does not matter to Rui's receipt.
    let chain = Chain::parse(&identity()).unwrap();
    let elsewhere = Postmark {
        mailbox: eva().mailbox,
        number: 7,
        ..postmark::open_by(&scene.bundle.postmarks[0], &chain).unwrap()
    };
    let elsewhere = postmark::sign(&elsewhere, &note::Signer::from_seed(&SEED)).unwrap();
    for (number, head, good) in [(1, [0; 32], true), (2, [0; 32], false), (1, [1; 32], false)] {
        let remark = Remark {
            number,
            head: Head::from_bytes(head),
            told: vec![],
        };
        let laptop = &scene.rui_laptop;
        let der = smr_evidence::receipt::write(&opened, &rui(), Some(&remark), laptop, now());
        scene.set_receipt(rui(), der.unwrap());
        scene.bundle.postmarks.push(elsewhere.clone());
        if good {
            scene.good(true);
            continue;
        }
        assert!(matches!(
            scene.bad(true, "elsewhere than its postmark says"),
            BundleError::OtherPlace(_)
        ));
    }
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
    // Of a receipt: by someone else, and in someone else's mailbox.
    let der = scene.bundle.receipts[0].der.clone();
    let good = mark(Kind::Message, "rui", "ana", &scene.bundle.signature, now());
    scene.bundle.postmarks[0] = good;
    for (mailbox, sender, why) in [
        ("ana", "eva", "of a receipt that is not here"),
        ("eva", "rui", "in another mailbox"),
    ] {
        scene.bundle.postmarks[1] = mark(Kind::Receipt, mailbox, sender, &der, now());
        let error = scene.bad(true, why);
        assert!(matches!(error, BundleError::OtherPostmark(_)), "{error}");
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

/// A disk that is full, or does not answer.
struct Failing(io::ErrorKind);

impl io::Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}

impl io::Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Failing {
    fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
        Ok(1000)
    }
}

#[test]
fn a_disk_that_fails_says_nothing_of_the_bundle() {
    let full = Failing(io::ErrorKind::StorageFull);
    let error = bundle::write(&scene().bundle, Content::Redacted, full).map(drop);
    assert_eq!(error.unwrap_err().class(), Class::Busy);
    let silent = Failing(io::ErrorKind::TimedOut);
    let error = bundle::read(silent).unwrap_err();
    assert_eq!(error.class(), Class::Io, "{error}");
}

#[test]
fn a_bundles_own_anchors_prove_nothing() {
    let scene = scene();
    let zip = scene.zip(true);
    let other = Pki::new();
    assert!(bundle::verify(Cursor::new(&zip), &other.store(), &other.store(), &rules()).is_err());
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
