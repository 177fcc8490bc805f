//! Who signs the vectors, and how a message is put together by hand.

use rand_core::OsRng;
use sha2::{Digest, Sha256};
use smr_evidence::trust::{SignedData, Signer, SoftKey};
use smr_name::{Address, MessageId};
use smr_pki::cms::{self, Content, ContentType, SignRequest};
use smr_pki::ess::ReceiptRequest;

use crate::pki::{Pki, device, first_record_at, now};

const CENTURY: u32 = 36_500;

/// A message, and what a reader must do with it.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    /// The exit code.
    pub(crate) expect: u8,
    /// What the error says; nothing where it is shown.
    pub(crate) reason: &'static str,
    pub(crate) comment: &'static str,
    /// Who deposits it, and when.
    pub(crate) sender: &'static str,
    pub(crate) deposited: i64,
    /// What its sealed file suffers, in words that the test knows.
    pub(crate) seal: &'static str,
    /// The SHA-256 its postmark names.
    pub(crate) cms: [u8; 32],
    /// What is sealed.
    pub(crate) message: Vec<u8>,
}

/// Every vector is delivered under an id of its own.
pub(crate) fn id(name: &str) -> MessageId {
    let hash: [u8; 32] = Sha256::digest(name).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    MessageId::from_bytes(bytes)
}

impl Vector {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let mut text = format!("expect: {}\n", self.expect);
        let mut line = |key: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{key}: {value}\n"));
            }
        };
        line("reason", self.reason);
        line("comment", self.comment);
        line("id", &id(self.name).to_string());
        line("sender", self.sender);
        line("deposited", &self.deposited.to_string());
        line("cms", &hex(&self.cms));
        line("seal", self.seal);
        text.push('\n');
        [text.as_bytes(), &self.message].concat()
    }
}

/// Some people, and one who is revoked.
pub(crate) struct Scene {
    pub(crate) pki: Pki,
    pub(crate) time: i64,
    pub(crate) alice_card: SoftKey,
    pub(crate) alice: SoftKey,
    /// Another of alice's devices, which her record does not list.
    pub(crate) unlisted: SoftKey,
    /// A card of hers that is for encryption.
    pub(crate) useless: SoftKey,
    pub(crate) mallory: SoftKey,
    /// Her certificate has escape sequences in its name.
    pub(crate) eve: SoftKey,
    pub(crate) rita: SoftKey,
    records: Vec<(&'static str, Vec<u8>)>,
}

pub(crate) fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().expect("an address")
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let pki = Pki::lasting(CENTURY, CENTURY, CENTURY);
        let card = |name: &str, serial: &str, cn: &str, section: &str| {
            let subject = format!("/C=PT/O=Vectors/serialNumber={serial}/CN={cn}");
            pki.card_as(name, &subject, section, CENTURY)
        };
        let alice_card = card("alice", "V1", "ALICE", "person");
        let useless = card("useless", "V1", "ALICE", "encryption");
        let mallory_card = card("mallory", "V2", "MALLORY", "person");
        let eve_card = card("eve", "V3", "EVE\x1b[31m\u{202e}", "person");
        let rita_card = card("rita", "V4", "RITA", "person");
        let time = now();
        let alice = device(&alice_card, &address("alice"), "laptop");
        let unlisted = device(&alice_card, &address("alice"), "phone");
        let mallory = device(&mallory_card, &address("mallory"), "laptop");
        let eve = device(&eve_card, &address("eve"), "laptop");
        let rita = device(&rita_card, &address("rita"), "laptop");
        let record = |name, device| (name, first_record_at(&address(name), &[device], time));
        let records = vec![
            record("alice", &alice),
            record("mallory", &mallory),
            record("eve", &eve),
            record("rita", &rita),
        ];
        // She was somebody when she signed her record, and is not any more.
        std::thread::sleep(std::time::Duration::from_secs(2));
        pki.revoke("rita");
        Scene {
            pki,
            time: time + 60,
            alice_card,
            alice,
            unlisted,
            useless,
            mallory,
            eve,
            rita,
            records,
        }
    }

    /// Returns the files that say whom to trust, and who is who.
    pub(crate) fn trust(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: &str| std::fs::read(self.pki.path(name)).expect("openssl made it");
        let files = |names: &[&str]| {
            names
                .iter()
                .flat_map(|name| read(name))
                .collect::<Vec<u8>>()
        };
        let mut all = vec![
            ("root.pem".to_owned(), read("root.pem")),
            ("crls.pem".to_owned(), files(&["root.crl", "sub.crl"])),
        ];
        for (name, record) in &self.records {
            all.push((format!("{name}.p7s"), record.clone()));
        }
        all
    }

    /// Signs an entity, detached, a minute after everything began.
    pub(crate) fn sign(&self, signer: &dyn Signer, entity: &[u8]) -> Vec<u8> {
        self.sign_asking(signer, entity, self.time, None)
    }

    pub(crate) fn sign_asking(
        &self,
        signer: &dyn Signer,
        entity: &[u8],
        time: i64,
        receipt_request: Option<ReceiptRequest>,
    ) -> Vec<u8> {
        let request = SignRequest {
            content_type: ContentType::Data,
            content: Content::Detached {
                sha256: Sha256::digest(entity).into(),
            },
            signing_time: time,
            receipt_request,
            msg_sig_digest: None,
        };
        cms::sign(&request, signer).expect("a soft key signs")
    }

    /// Signs with alice's card by openssl, which knows ways that we do not.
    pub(crate) fn by_openssl(&self, entity: &[u8], options: &str) -> Vec<u8> {
        std::fs::write(self.pki.path("entity"), entity).expect("the entity can be written");
        self.pki.openssl(&format!(
            "cms -sign -binary -in entity -outform DER -out signed.p7s -signer alice.pem \
             -inkey alice.key -certfile sub.pem {options}"
        ));
        std::fs::read(self.pki.path("signed.p7s")).expect("openssl made it")
    }

    /// A vector that alice deposits: this entity, with this signature.
    pub(crate) fn vector(
        &self,
        (name, expect, reason): (&'static str, u8, &'static str),
        comment: &'static str,
        entity: &[u8],
        cms: &[u8],
    ) -> Vector {
        Vector {
            name,
            expect,
            reason,
            comment,
            sender: "alice",
            deposited: self.time,
            seal: "",
            cms: Sha256::digest(cms).into(),
            message: wrap(entity, cms),
        }
    }

    /// The same, signed by alice's device.
    pub(crate) fn by_alice(
        &self,
        what: (&'static str, u8, &'static str),
        comment: &'static str,
        entity: &str,
    ) -> Vector {
        let cms = self.sign(&self.alice, entity.as_bytes());
        self.vector(what, comment, entity.as_bytes(), &cms)
    }

    pub(crate) fn date(&self) -> String {
        date(self.time)
    }

    /// The entity of an honest message from alice to bob, with CRLF line ends.
    pub(crate) fn entity(&self, name: &str) -> String {
        format!(
            "Date: {}\r\nFrom: alice@repo.example\r\nTo: bob@repo.example\r\nSubject: Contract\r\n\
             Message-ID: <{}@repo.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8; hp=\"clear\"\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\nI owe you 5 euros.\r\n",
            self.date(),
            id(name)
        )
    }

    /// The entity of a message of these parts, each with its header.
    pub(crate) fn parts(&self, name: &str, parts: &str) -> String {
        let entity = self.entity(name);
        let (head, _) = entity.split_once("Content-Type:").expect("it has a type");
        format!(
            "{head}Content-Type: multipart/mixed; boundary=part; hp=\"clear\"\r\n\r\n{parts}\r\n--part--"
        )
    }
}

pub(crate) fn date(time: i64) -> String {
    let time = jiff::Timestamp::from_second(time).expect("a time of this century");
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&zoned).expect("a time of this century")
}

/// Puts entity and signature into a multipart/signed.
pub(crate) fn wrap(entity: &[u8], cms: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(cms);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    let head = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; \
        protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256; boundary=\"outer\"\r\n\r\n--outer\r\n";
    let tail = format!(
        "\r\n--outer\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=smime.p7s\r\n\r\n{}\r\n--outer--\r\n",
        lines.join("\r\n")
    );
    [head.as_bytes(), entity, tail.as_bytes()].concat()
}

/// Returns the attributes that were signed, as they were, and the signature.
pub(crate) fn signed_attributes(cms: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let signed = SignedData::parse(cms).expect("we signed it");
    (signed.signed_attributes_der(), signed.signature().to_vec())
}

/// Draws bytes that no test depends on.
pub(crate) fn random(count: usize) -> Vec<u8> {
    use rand_core::RngCore;
    let mut bytes = vec![0; count];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
