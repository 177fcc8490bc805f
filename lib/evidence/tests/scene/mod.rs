//! A message from Ana to Rui and Eva, Rui's receipt, and the bundle of both:
//! for tests of what a bundle proves.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::process::Command;

use smr_evidence::bundle::{self, Bundle, BundleError, Content, Given, Report};
use smr_evidence::envelope::{self, Author, Emit, Part, ReceiptWanted};
use smr_evidence::note;
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_evidence::trust::{Crl, SignedData, SoftKey};
use smr_name::{Address, Fingerprint, Head, MessageId};
use smr_pki::cms::{ContentType, SignRequest};
use smr_pki::ess::Receipt;
use smr_seal::{Identity, Stanza};

use crate::pki::{Pki, device, first_record, now, rules};

pub(crate) const SEED: [u8; 32] = [5; 32];

pub(crate) fn ana() -> Address {
    "ana@repo.example".parse().unwrap()
}

pub(crate) fn rui() -> Address {
    "rui@repo.example".parse().unwrap()
}

pub(crate) fn eva() -> Address {
    "eva@repo.example".parse().unwrap()
}

pub(crate) fn id() -> MessageId {
    "00ff0123456789abcdef0123456789ab".parse().unwrap()
}

/// Holds one identity.
pub(crate) struct Ring(Identity);

impl envelope::Unwrap for Ring {
    fn unwrap(
        &self,
        stanzas: &[Stanza],
    ) -> Result<Option<smr_seal::FileKey>, envelope::UnwrapError> {
        Ok(smr_seal::unwrap(std::slice::from_ref(&self.0), stanzas).unwrap())
    }
}

/// Ana wrote to Rui and Eva; Rui gave a receipt.
pub(crate) struct Scene {
    pub(crate) pki: Pki,
    pub(crate) rui_card: SoftKey,
    pub(crate) rui_laptop: SoftKey,
    pub(crate) eva_laptop: SoftKey,
    pub(crate) original: SignedData,
    pub(crate) message: Vec<u8>,
    pub(crate) bundle: Bundle,
}

pub(crate) fn scene() -> Scene {
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
        refusals: Vec::new(),
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
        stamps: BTreeMap::new(),
        clocks: Vec::new(),
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

pub(crate) fn crls(pki: &Pki) -> Vec<Crl> {
    pki.store().crls
}

pub(crate) fn message(signer: &SoftKey, wanted: ReceiptWanted) -> Vec<u8> {
    message_at(signer, wanted, now())
}

pub(crate) fn message_at(signer: &SoftKey, wanted: ReceiptWanted, date: i64) -> Vec<u8> {
    let mut rng = rand_core::OsRng;
    let ring = Ring(Identity::generate_pq(&mut rng));
    let draft = envelope::Draft {
        from: Author {
            display: "Ana \"A\" Silva".into(),
            address: ana(),
        },
        to: vec![rui()],
        cc: vec![eva()],
        date,
        subject: "Contract 42",
        id: id(),
        reply: None,
        receipt: wanted,
        told: vec![],
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

pub(crate) fn receipt(original: &SignedData, signer: &SoftKey) -> Vec<u8> {
    receipt_at(original, signer, now())
}

pub(crate) fn receipt_at(original: &SignedData, signer: &SoftKey, time: i64) -> Vec<u8> {
    let content = Receipt::for_message(original).unwrap().encode().unwrap();
    let request = SignRequest {
        content_type: ContentType::Receipt,
        content: smr_pki::cms::Content::Attached(&content),
        signing_time: time,
        receipt_request: None,
        msg_sig_digest: Some(original.signed_attributes_digest()),
    };
    smr_pki::cms::sign(&request, signer).unwrap()
}

pub(crate) fn identity() -> String {
    use base64::Engine;
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let key = b64(&note::public_key(&SEED));
    let other = b64(&[0; 32]);
    format!(
        "smr identity 1\nname repo.example\nx25519 {other}\nmlkem768 {other}\nwarrant {other}\npostmark {key}\n"
    )
}

pub(crate) fn mark(kind: Kind, mailbox: &str, sender: &str, cms: &[u8], time: i64) -> String {
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
    postmark::sign(&postmark, &note::Signer::from_seed(&SEED)).unwrap()
}

impl Scene {
    pub(crate) fn zip(&self, whole: bool) -> Vec<u8> {
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

    pub(crate) fn ours(&self, zip: &[u8]) -> Result<Report, BundleError> {
        self.ours_in(zip, 0)
    }

    /// Verifies so many days from now.
    pub(crate) fn ours_in(&self, zip: &[u8], days: i64) -> Result<Report, BundleError> {
        // Anchors alone: the rest comes with the bundle.
        let mut store = self.pki.store();
        store.intermediates.clear();
        store.crls.clear();
        let mut rules = rules();
        rules.now += days * 86_400;
        bundle::verify(Cursor::new(zip), &store, &store, &rules)
    }

    /// Unpacks the zip and runs its script; returns whether it is content, and
    /// what it says.
    pub(crate) fn theirs(&self, zip: &[u8]) -> (bool, String) {
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

    pub(crate) fn good(&self, whole: bool) -> Report {
        let zip = self.zip(whole);
        let (content, said) = self.theirs(&zip);
        assert!(content && said.ends_with("all good\n"), "{said}");
        self.ours(&zip).unwrap()
    }

    /// Both verdicts must be no, the script's for this reason; returns ours.
    pub(crate) fn bad(&self, whole: bool, why: &str) -> BundleError {
        self.bad_zip(&self.zip(whole), why)
    }

    pub(crate) fn bad_zip(&self, zip: &[u8], why: &str) -> BundleError {
        let (content, said) = self.theirs(zip);
        let reasons: Vec<&str> = said.lines().filter(|l| l.starts_with("NOT GOOD")).collect();
        let found = reasons.iter().any(|l| l.contains(why));
        assert!(!content && found, "{why:?} is not among {said}");
        self.ours(zip).unwrap_err()
    }

    /// Puts another message of Ana's in place of the one there is, with Rui's
    /// receipt for it, and no postmark.
    pub(crate) fn set_message(&mut self, message: Vec<u8>) {
        let opened = envelope::verify_plain(message.as_slice()).unwrap();
        self.bundle.signature = opened.cms;
        self.message = message;
        self.original = opened.signed;
        self.set_receipt(rui(), receipt(&self.original, &self.rui_laptop));
        self.bundle.postmarks.clear();
    }

    pub(crate) fn set_receipt(&mut self, by: Address, der: Vec<u8>) {
        self.bundle.receipts = vec![Given { by, der }];
        self.bundle.postmarks.truncate(1);
    }
}

/// Writes a zip again with one file changed; None leaves it out.
pub(crate) fn repack(zip: &[u8], change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
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

pub(crate) fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to).into_bytes()
}
