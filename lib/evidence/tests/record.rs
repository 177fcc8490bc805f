//! One account record by itself: made, opened, judged by openssl, forged in
//! every way.

mod pki;

use pki::forge::{With, forge};
use pki::{Pki, chain_of, device, first_record, keys, now, open, print_of, recipient, rules};
use smr_evidence::account::{self, AccountError, Draft, MAX_RECORD, SignedBy, keys_statement};
use smr_evidence::device::DeviceError;
use smr_evidence::trust::{Certificate, PathError, SignedData, Signer, SoftKey, TrustError};
use smr_name::{Address, Class};
use smr_pki::cms::{Content, ContentType, SignRequest};

fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

fn refused(record: &[u8], pki: &Pki) -> AccountError {
    account::open(record, &pki.store(), &rules()).unwrap_err()
}

/// Makes a certificate of RUI's name and key that vouches for itself.
fn lookalike(pki: &Pki, serial: usize) -> Certificate {
    pki.openssl(&format!(
        "req -new -x509 -key RUI.key -sha256 -days 900 -set_serial {serial} -config ext.cnf \
         -subj /C=PT/O=Test/serialNumber=BI1/CN=RUI -extensions dn -out like.pem"
    ));
    pki.certificates("like").remove(0)
}

#[test]
fn few_cards_of_one_name_are_looked_at() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let laptop = device(&card, &rui(), "laptop");
    let record = SignedData::parse(&first_record(&rui(), &laptop)).unwrap();
    // Shorter than the card, so that they come before it in the DER set.
    let likes: Vec<_> = (1..=8).map(|serial| lookalike(&pki, serial)).collect();
    let with = |count: usize| {
        let mut others = record.certificates().to_vec();
        others.retain(|c| c != laptop.certificate());
        others.extend(likes.iter().take(count).cloned());
        let request = SignRequest {
            content_type: ContentType::Data,
            content: Content::Attached(record.content().unwrap()),
            signing_time: record.signing_time(),
            receipt_request: None,
            msg_sig_digest: None,
        };
        smr_pki::cms::sign(&request, &With(&laptop, others)).unwrap()
    };
    open(&with(7), &pki);
    assert!(matches!(
        refused(&with(8), &pki),
        AccountError::Device { .. }
    ));
}

#[test]
fn records_come_back_and_openssl_agrees() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let laptop = device(&card, &rui(), "laptop");
    let record = first_record(&rui(), &laptop);
    let account = open(&record, &pki);
    assert_eq!((&account.address, account.number), (&rui(), 1));
    assert_eq!(account.person.serial.as_deref(), Some("BI1"));
    assert_eq!(account.person.realm, "test");
    assert_eq!(account.signed_by, SignedBy::Device(print_of(&laptop)));
    assert_eq!(account.devices.len(), 1);
    assert_eq!(
        (account.devices[0].label.as_str(), account.devices[0].epoch),
        ("laptop", 1)
    );

    std::fs::write(pki.path("record"), &record).unwrap();
    let verify = "cms -verify -inform DER -in record -CAfile root.pem";
    let text = pki.openssl(&format!("{verify} -allow_proxy_certs"));
    assert!(text.starts_with("smr account 1\naccount rui@repo.example\nnumber 1\nprevious -\n"));
    let plain = std::process::Command::new("openssl")
        .args(verify.split(' '))
        .current_dir(pki.dir())
        .output()
        .unwrap();
    assert!(
        !plain.status.success(),
        "a proxy passed without -allow_proxy_certs"
    );
}

#[test]
fn altered_records_are_refused() {
    let pki = Pki::new();
    let laptop = device(&pki.card("RUI", "BI1", "person"), &rui(), "laptop");
    let record = first_record(&rui(), &laptop);
    let text = |der: &[u8]| SignedData::parse(der).unwrap().content().unwrap().to_vec();
    let mut passed = 0;
    for place in (0..record.len()).step_by(41) {
        let mut altered = record.clone();
        altered[place] ^= 1;
        // Certificates that came along are not signed with the record: those that
        // nobody needs may be altered, and what was signed stays the same.
        if let Ok(account) = account::open(&altered, &pki.store(), &rules()) {
            assert_eq!(text(&altered), text(&record), "byte {place}");
            assert_ne!(account.digest, open(&record, &pki).digest, "byte {place}");
            passed += 41;
        }
    }
    assert!(
        passed < 800,
        "more than one idle certificate: {passed} bytes"
    );
    let longer = [record.as_slice(), &[0]].concat();
    assert!(account::open(&longer, &pki.store(), &rules()).is_err());
    assert!(matches!(
        refused(&vec![0x30; MAX_RECORD + 1], &pki),
        AccountError::TooLong
    ));
}

#[test]
fn untrusted_and_revoked_cards_are_refused() {
    let pki = Pki::new();
    let laptop = device(&pki.card("RUI", "BI1", "person"), &rui(), "laptop");
    let record = first_record(&rui(), &laptop);
    let other = Pki::new();
    assert_eq!(refused(&record, &other).class(), Class::Forged);
    pki.revoke("RUI");
    let error = refused(&record, &pki);
    assert_eq!(error.class(), Class::Denied, "{error}");
    assert!(matches!(
        error,
        AccountError::Device {
            source: DeviceError::Card(TrustError::Path(PathError::Revoked { .. })),
            ..
        }
    ));
}

#[test]
fn records_of_other_times_are_refused() {
    let pki = Pki::new();
    let laptop = device(&pki.card("RUI", "BI1", "person"), &rui(), "laptop");
    let mut draft = Draft::first(rui(), None);
    draft
        .add(&chain_of(&laptop), keys(&rui(), &laptop, 1, &recipient()))
        .unwrap();
    let late = account::build(&draft, &laptop, now() + 3600).unwrap();
    assert!(matches!(refused(&late, &pki), AccountError::Future));
    let record = account::build(&draft, &laptop, now()).unwrap();
    let elsewhen = forge(&record, &laptop, |text| {
        let time = text
            .lines()
            .find(|l| l.starts_with("time "))
            .unwrap()
            .to_owned();
        text.replace(&time, "time 2020-01-01T00:00:00Z")
    });
    assert!(matches!(refused(&elsewhen, &pki), AccountError::Rule(_)));
}

#[test]
fn devices_of_other_accounts_are_refused() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let other: Address = "rui2@repo.example".parse().unwrap();
    let laptop = device(&card, &other, "laptop");
    let mut draft = Draft::first(rui(), None);
    draft
        .add(&chain_of(&laptop), keys(&rui(), &laptop, 1, &recipient()))
        .unwrap();
    let record = account::build(&draft, &laptop, now()).unwrap();
    assert!(matches!(
        refused(&record, &pki),
        AccountError::Device {
            source: DeviceError::OtherAccount { .. },
            ..
        }
    ));
}

#[test]
fn keys_are_each_devices_own() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let (laptop, phone) = (
        device(&card, &rui(), "laptop"),
        device(&card, &rui(), "phone"),
    );
    let by_other =
        keys_statement(&rui(), &print_of(&laptop), 1, now(), &recipient(), &phone).unwrap();
    let for_other = keys(&rui(), &phone, 1, &recipient());
    let elsewhere: Address = "rui@other.example".parse().unwrap();
    let of_other_account = keys_statement(
        &elsewhere,
        &print_of(&laptop),
        1,
        now(),
        &recipient(),
        &laptop,
    )
    .unwrap();
    for statement in [by_other, for_other, of_other_account, b"nothing".to_vec()] {
        let mut draft = Draft::first(rui(), None);
        draft.add(&chain_of(&laptop), statement).unwrap();
        let record = account::build(&draft, &laptop, now()).unwrap();
        assert!(matches!(refused(&record, &pki), AccountError::Keys { .. }));
    }
    assert!(keys_statement(&rui(), &print_of(&laptop), 1, now(), "age1", &laptop).is_err());
}

#[test]
fn only_listed_devices_and_own_cards_sign() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let signature = pki.card("RUI2", "BI1", "signature");
    let stranger = pki.card("EVA", "BI2", "person");
    let (laptop, phone) = (
        device(&card, &rui(), "laptop"),
        device(&card, &rui(), "phone"),
    );
    let mut draft = Draft::first(rui(), None);
    draft
        .add(&chain_of(&laptop), keys(&rui(), &laptop, 1, &recipient()))
        .unwrap();
    for signer in [&card, &signature] {
        let record = account::build(&draft, signer, now()).unwrap();
        assert_eq!(open(&record, &pki).signed_by, SignedBy::Card);
    }
    let record = account::build(&draft, &phone, now()).unwrap();
    assert!(matches!(refused(&record, &pki), AccountError::Stranger));
    let record = account::build(&draft, &stranger, now()).unwrap();
    assert!(matches!(
        refused(&record, &pki),
        AccountError::TwoPeople { .. }
    ));
}

#[test]
fn devices_of_two_people_are_refused() {
    let pki = Pki::new();
    let (rui_card, eva_card) = (
        pki.card("RUI", "BI1", "person"),
        pki.card("EVA", "BI2", "person"),
    );
    let (laptop, phone) = (
        device(&rui_card, &rui(), "laptop"),
        device(&eva_card, &rui(), "phone"),
    );
    let mut draft = Draft::first(rui(), None);
    for signer in [&laptop, &phone] {
        draft
            .add(&chain_of(signer), keys(&rui(), signer, 1, &recipient()))
            .unwrap();
    }
    let record = account::build(&draft, &laptop, now()).unwrap();
    assert!(matches!(
        refused(&record, &pki),
        AccountError::TwoPeople { .. }
    ));
}

#[test]
fn lines_out_of_order_are_refused() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let (laptop, phone) = (
        device(&card, &rui(), "laptop"),
        device(&card, &rui(), "phone"),
    );
    let mut draft = Draft::first(rui(), None);
    for signer in [&laptop, &phone] {
        draft
            .add(&chain_of(signer), keys(&rui(), signer, 1, &recipient()))
            .unwrap();
    }
    let record = account::build(&draft, &laptop, now()).unwrap();
    open(&forge(&record, &laptop, |text| text), &pki);
    let swapped = |first: usize, second: usize| {
        forge(&record, &laptop, |text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.swap(first, second);
            lines.join("\n") + "\n"
        })
    };
    // Lines 6 and 7 are the devices, 8 and 9 their keys.
    for (first, second) in [(6, 7), (8, 9), (7, 8), (2, 3)] {
        assert!(account::open(&swapped(first, second), &pki.store(), &rules()).is_err());
    }
    let relabelled = forge(&record, &laptop, |text| {
        text.replace("device phone", "device tablet")
    });
    assert!(matches!(refused(&relabelled, &pki), AccountError::Rule(_)));
    let twice = forge(&record, &laptop, |text| {
        text.replace("device phone", "device laptop")
    });
    assert!(matches!(refused(&twice, &pki), AccountError::Rule(_)));
    let fewer = forge(&record, &laptop, |text| {
        text.lines().take(9).map(|l| format!("{l}\n")).collect()
    });
    assert!(matches!(refused(&fewer, &pki), AccountError::Rule(_)));
}

#[test]
fn eight_devices_fit() {
    let pki = Pki::new();
    let card = pki.card("RUI", "BI1", "person");
    let mut draft = Draft::first(rui(), Some(recipient()));
    let devices: Vec<SoftKey> = (0..17)
        .map(|n| device(&card, &rui(), &format!("device-{n}")))
        .collect();
    for signer in &devices[..8] {
        draft
            .add(&chain_of(signer), keys(&rui(), signer, 1, &recipient()))
            .unwrap();
    }
    let record = account::build(&draft, &devices[0], now()).unwrap();
    assert!(record.len() < MAX_RECORD * 9 / 10, "{} bytes", record.len());
    assert_eq!(open(&record, &pki).devices.len(), 8);
    for signer in &devices[8..] {
        draft
            .add(&chain_of(signer), keys(&rui(), signer, 1, &recipient()))
            .unwrap();
    }
    assert!(account::build(&draft, &devices[0], now()).is_err());
}
