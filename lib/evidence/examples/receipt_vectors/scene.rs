//! Who sends and who answers in the vectors, and how a message is put together.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use smr_evidence::envelope::{self, Author, Draft, Emit, Opened, Part, ReceiptWanted};
use smr_evidence::trust::SoftKey;
use smr_name::{Address, MessageId};
use smr_pki::cms::{self, Content, ContentType, SignRequest};
use smr_pki::ess::Receipt;
use smr_seal::Identity;

use crate::pki::{Pki, device, first_record_at, now};

const CENTURY: u32 = 36_500;

/// A message, an answer, and what is to be said of it.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    /// The exit code of --status, and what it says of the answer.
    pub(crate) expect: u8,
    pub(crate) status: &'static str,
    /// What --verify says of the bundle; "good" where it is.
    pub(crate) verify: &'static str,
    /// What verify.sh says of it.
    pub(crate) script: &'static str,
    pub(crate) comment: &'static str,
    /// Whose the answer is said to be.
    pub(crate) by: &'static str,
    /// "receipt" or "refusal".
    pub(crate) kind: &'static str,
    /// When the message was deposited, and the answer.
    pub(crate) deposited: i64,
    pub(crate) given: i64,
    pub(crate) answer: Vec<u8>,
    pub(crate) message: Vec<u8>,
}

impl Vector {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("expect: {}\n", self.expect);
        for (key, value) in [
            ("status", self.status),
            ("verify", self.verify),
            ("script", self.script),
            ("comment", self.comment),
            ("id", &id(self.name).to_string()),
            ("by", self.by),
            ("kind", self.kind),
            ("deposited", &self.deposited.to_string()),
            ("given", &self.given.to_string()),
            ("answer", &STANDARD.encode(&self.answer)),
        ] {
            if !value.is_empty() {
                text.push_str(&format!("{key}: {value}\n"));
            }
        }
        text.push('\n');
        [text.as_bytes(), &self.message].concat()
    }
}

/// Every message has an id of its own.
pub(crate) fn id(name: &str) -> MessageId {
    let hash: [u8; 32] = Sha256::digest(format!("receipt {name}")).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    MessageId::from_bytes(bytes)
}

pub(crate) fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().expect("an address")
}

/// Alice writes to bob, carol, rita and xavier, but not to mallory.
pub(crate) struct Scene {
    pub(crate) pki: Pki,
    /// When everything begins.
    pub(crate) time: i64,
    pub(crate) alice: SoftKey,
    pub(crate) bob_card: SoftKey,
    pub(crate) bob: SoftKey,
    /// Another of bob's devices, which his record does not list.
    pub(crate) unlisted: SoftKey,
    pub(crate) carol: SoftKey,
    pub(crate) mallory: SoftKey,
    /// Her card is revoked when she answers.
    pub(crate) rita: SoftKey,
    /// His has expired then.
    pub(crate) xavier: SoftKey,
    records: Vec<(&'static str, Vec<u8>)>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let pki = Pki::lasting(CENTURY, CENTURY, CENTURY);
        let subject =
            |cn: &str, serial: &str| format!("/C=PT/O=Vectors/serialNumber={serial}/CN={cn}");
        let card = |name: &str, cn: &str, serial: &str| {
            pki.card_as(name, &subject(cn, serial), "person", CENTURY)
        };
        let alice = card("alice", "ALICE", "V1");
        let bob_card = card("bob", "BOB", "V2");
        let rita_card = card("rita", "RITA", "V5");
        let time = now();
        let xavier_card = pki.card_until("xavier", &subject("XAVIER", "V6"), time + 90);
        let laptop = |card: &SoftKey, name: &str| device(card, &address(name), "laptop");
        let bob = laptop(&bob_card, "bob");
        let unlisted = device(&bob_card, &address("bob"), "phone");
        let carol = laptop(&card("carol", "CAROL", "V3"), "carol");
        let mallory = laptop(&card("mallory", "MALLORY", "V4"), "mallory");
        let rita = laptop(&rita_card, "rita");
        let xavier = laptop(&xavier_card, "xavier");
        let desk = laptop(&alice, "alice");
        let record = |name, device| (name, first_record_at(&address(name), &[device], time));
        let records = vec![
            record("alice", &desk),
            record("bob", &bob),
            record("carol", &carol),
            record("mallory", &mallory),
            record("rita", &rita),
            record("xavier", &xavier),
        ];
        // She was somebody when she signed her record, and is not any more.
        std::thread::sleep(std::time::Duration::from_secs(2));
        pki.revoke("rita");
        Scene {
            pki,
            time,
            alice,
            bob_card,
            bob,
            unlisted,
            carol,
            mallory,
            rita,
            xavier,
            records,
        }
    }

    /// Returns the files that say whom to trust, and who is who.
    pub(crate) fn trust(&self) -> Vec<(String, Vec<u8>)> {
        let read = |names: &[&str]| {
            let read = |name: &&str| std::fs::read(self.pki.path(name)).expect("openssl made it");
            names.iter().flat_map(read).collect::<Vec<u8>>()
        };
        let mut all = vec![
            ("root.pem".to_owned(), read(&["root.pem"])),
            ("crls.pem".to_owned(), read(&["root.crl", "sub.crl"])),
            (
                "alice.pem".to_owned(),
                read(&["alice.key", "alice.pem", "sub.pem"]),
            ),
        ];
        for (name, record) in &self.records {
            all.push((format!("{name}.p7s"), record.clone()));
        }
        all
    }

    /// A message of alice's, signed by her card a minute after everything began.
    pub(crate) fn message(&self, name: &str, text: &'static str) -> (Opened, Vec<u8>) {
        self.message_asking(name, text, ReceiptWanted::Read)
    }

    pub(crate) fn message_asking(
        &self,
        name: &str,
        text: &'static str,
        receipt: ReceiptWanted,
    ) -> (Opened, Vec<u8>) {
        let keys = vec![Identity::generate_pq(&mut OsRng)];
        let draft = Draft {
            from: Author {
                display: "ALICE".into(),
                address: address("alice"),
            },
            to: ["bob", "carol", "rita", "xavier"].map(address).into(),
            cc: vec![],
            date: self.time + 60,
            subject: "Contract",
            id: id(name),
            reply: None,
            receipt,
            told: vec![],
        };
        let part = Part::Text(Box::new(text.as_bytes()));
        let mut sealed = Vec::new();
        envelope::seal(
            &draft,
            vec![part],
            &[keys[0].to_recipient()],
            &self.alice,
            &mut sealed,
            &mut OsRng,
        )
        .expect("a soft key signs");
        let opened = envelope::verify(Cursor::new(&sealed), &keys).expect("we wrote it");
        let mut raw = Vec::new();
        envelope::emit(Cursor::new(&sealed), &keys, &opened, Emit::Raw, &mut raw)
            .expect("we wrote it");
        (opened, raw)
    }

    /// The receipt of a careless program: it signs whatever it is given.
    pub(crate) fn receipt(&self, original: &Opened, signer: &SoftKey) -> Vec<u8> {
        self.receipt_at(original, signer, self.time + 120)
    }

    pub(crate) fn receipt_at(&self, original: &Opened, signer: &SoftKey, time: i64) -> Vec<u8> {
        let original = &original.signed;
        let receipt = Receipt::for_message(original).expect("it asks for one");
        self.receipt_of(&receipt, original.signed_attributes_digest(), signer, time)
    }

    /// A receipt of this content, whatever it says.
    pub(crate) fn receipt_of(
        &self,
        receipt: &Receipt,
        digest: Vec<u8>,
        signer: &SoftKey,
        time: i64,
    ) -> Vec<u8> {
        let content = receipt.encode().expect("it can be encoded");
        let request = SignRequest {
            content_type: ContentType::Receipt,
            content: Content::Attached(&content),
            signing_time: time,
            receipt_request: None,
            msg_sig_digest: Some(digest),
        };
        cms::sign(&request, signer).expect("a soft key signs")
    }
}
