//! What holds for whatever is sealed, signed or told: it comes back as it was,
//! in whatever pieces it is read and written, and one byte changed is noticed.

mod pki;

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use pki::{Pki, device, first_record, now, open, rules};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::Index;
use rand_core::OsRng;
use smr_evidence::envelope::{
    self, Author, Draft, Emit, EnvelopeError, Opened, Part, ReceiptWanted,
};
use smr_evidence::note;
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_evidence::reading::Grounds;
use smr_evidence::receipt::{self, Remark};
use smr_evidence::refusal;
use smr_evidence::trace::{Told, Trace};
use smr_evidence::trust::{Signer, SoftKey};
use smr_name::{Address, Head, MailboxName, MessageId};
use smr_seal::{Identity, Kind as KeyKind, Recipient};

/// Bytes that are read and written a few at a time.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    lengths: Vec<usize>,
    turn: usize,
}

impl Pieces {
    fn new(bytes: Vec<u8>, lengths: &[usize]) -> Self {
        Pieces {
            bytes: Cursor::new(bytes),
            lengths: lengths.to_vec(),
            turn: 0,
        }
    }

    fn next(&mut self, room: usize) -> usize {
        self.turn += 1;
        room.min(self.lengths[self.turn % self.lengths.len()])
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.next(buffer.len());
        self.bytes.read(&mut buffer[..length])
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.next(bytes.len());
        self.bytes.write(&bytes[..length])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// Lengths of pieces: small ones, and now and then one that takes all there is.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..9usize, 1..2000usize, Just(1 << 17)], 1..8)
}

/// A body: a few bytes, or enough for two chunks of age (64 KiB each).
fn body() -> impl Strategy<Value = Vec<u8>> {
    let lines = "(\\PC{0,90}(\r\n|\n|\r)){0,8}".prop_map(String::into_bytes);
    let long = (any::<u8>(), 65_000..70_000usize)
        .prop_map(|(seed, length)| (0..length).map(|i| seed ^ (i / 3) as u8).collect());
    prop_oneof![4 => vec(any::<u8>(), 0..3000), 4 => lines, 1 => long]
}

/// Parts: text where they have no name.
fn parts() -> impl Strategy<Value = Vec<(Option<String>, Vec<u8>, Vec<usize>)>> {
    let name = "[^/\\x00]{1,50}";
    vec((of(name), body(), lengths()), 0..4)
}

/// So many cases; what fails is to become a test, not a file beside it.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(count)
    }
}

fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().unwrap()
}

fn draft(subject: &str, id: [u8; 16]) -> Draft<'_> {
    Draft {
        from: Author {
            display: "RUI".into(),
            address: address("rui"),
        },
        to: vec![address("ana")],
        cc: vec![],
        date: now(),
        subject,
        id: MessageId::from_bytes(id),
        reply: None,
        receipt: ReceiptWanted::Read,
        told: vec![],
    }
}

fn signer(pki: &Pki, name: &str, serial: &str) -> SoftKey {
    let card = pki.card(&name.to_uppercase(), serial, "person");
    device(&card, &address(name), "laptop")
}

/// Changes one byte.
fn altered(bytes: &[u8], at: Index, change: u8) -> (usize, Vec<u8>) {
    let mut bytes = bytes.to_vec();
    let at = at.index(bytes.len());
    bytes[at] ^= change;
    (at, bytes)
}

fn is_refused(sealed: Vec<u8>, keys: &Identity) -> bool {
    let keys = std::slice::from_ref(keys);
    envelope::verify(Cursor::new(sealed), &keys).is_err()
}

#[test]
fn whatever_is_sealed_comes_back_to_its_readers_and_to_nobody_else() {
    let pki = Pki::new();
    let rui = signer(&pki, "rui", "BI1");
    let rings = [KeyKind::PostQuantum, KeyKind::Classic]
        .map(|kind| [(); 4].map(|()| Identity::generate(kind, &mut OsRng)));
    let config = cases(40);
    proptest!(config, |(
        parts in parts(),
        subject in "\\PC{0,120}",
        id in any::<[u8; 16]>(),
        classic in any::<bool>(),
        readers in 1..4usize,
        (written, read) in (lengths(), lengths()),
        (at, change, cut) in (any::<Index>(), 1..=255u8, any::<Index>()),
    )| {
        let ring = &rings[usize::from(classic)];
        let recipients: Vec<Recipient> =
            ring[..readers].iter().map(Identity::to_recipient).collect();
        let given = parts.iter().map(|(name, bytes, lengths)| {
            let read = Box::new(Pieces::new(bytes.clone(), lengths));
            match name {
                Some(name) => Part::Attachment { name: name.clone(), read },
                None => Part::Text(read),
            }
        });
        let mut out = Pieces::new(Vec::new(), &written);
        let draft = draft(&subject, id);
        let sealed = envelope::seal(
            &draft, given.collect(), &recipients, &rui, &mut out, &mut OsRng,
        );
        let sealed = sealed.unwrap();
        let bytes = out.bytes.into_inner();
        prop_assert_eq!(sealed.sealed_bytes, bytes.len() as u64);

        for reader in &ring[..readers] {
            let keys = std::slice::from_ref(reader);
            let opened = envelope::verify(Pieces::new(bytes.clone(), &read), &keys).unwrap();
            prop_assert_eq!(&opened.headers.subject, &subject);
            prop_assert_eq!(opened.headers.id, MessageId::from_bytes(id));
            prop_assert_eq!(&opened.cms, &sealed.cms);
            prop_assert_eq!(opened.parts.len(), parts.len().max(1));
            for ((name, content, _), part) in parts.iter().zip(&opened.parts) {
                prop_assert_eq!(&part.name, name);
                let mut out = Pieces::new(Vec::new(), &written);
                let from = Pieces::new(bytes.clone(), &read);
                let what = Emit::Part(&part.number);
                envelope::emit(from, &keys, &opened, what, &mut out).unwrap();
                prop_assert!(out.bytes.get_ref() == content, "part {}", part.number);
            }
        }
        let strangers = &ring[readers..];
        let refused = envelope::verify(Cursor::new(&bytes), &strangers).unwrap_err();
        prop_assert!(matches!(refused, EnvelopeError::NotForUs), "{}", refused);

        let (at, bad) = altered(&bytes, at, change);
        prop_assert!(is_refused(bad, &ring[0]), "byte {} of {}", at, bytes.len());
        let cut = cut.index(bytes.len());
        prop_assert!(is_refused(bytes[..cut].to_vec(), &ring[0]), "cut at {}", cut);
        prop_assert!(is_refused([&bytes[..], &[change]].concat(), &ring[0]));
    });
}

/// A message of Rui's to Ana, opened.
fn sent(rui: &SoftKey, keys: &[Identity], id: [u8; 16], body: &[u8]) -> Opened {
    let mut sealed = Vec::new();
    let recipients = [keys[0].to_recipient()];
    let parts = vec![Part::Text(Box::new(body))];
    envelope::seal(
        &draft("x", id),
        parts,
        &recipients,
        rui,
        &mut sealed,
        &mut OsRng,
    )
    .unwrap();
    envelope::verify(Cursor::new(&sealed), &keys).unwrap()
}

fn told() -> impl Strategy<Value = Told> {
    let kind = prop_oneof![Just(Kind::Message), Just(Kind::Copy), Just(Kind::Receipt)];
    let names = prop_oneof![Just("rui"), Just("rui.silva"), Just("a-1")];
    let signature = of(vec(any::<u8>(), 64));
    (names, kind, any::<[u8; 32]>(), signature).prop_map(|(name, kind, head, signature)| Told {
        address: address(name),
        kind,
        trace: Trace::of(&Head::from_bytes(head)),
        signature: signature.map(|bytes| bytes.try_into().unwrap()),
    })
}

#[test]
fn a_receipt_is_good_for_its_message_alone_and_a_refusal_too() {
    let pki = Pki::new();
    let rui = signer(&pki, "rui", "BI1");
    let ana = signer(&pki, "ana", "BI2");
    let account = open(&first_record(&address("ana"), &ana), &pki);
    let (store, rules) = (pki.store(), rules());
    let grounds = Grounds {
        account: &account,
        store: &store,
        rules: &rules,
        deposited: None,
    };
    let keys = [Identity::generate_pq(&mut OsRng)];
    // What stands in the signed data unsigned: her card and those above it,
    // which her account record and the reader's own files bring too.
    let above: Vec<&[u8]> = ana.chain().iter().map(|c| c.der()).collect();
    let config = cases(40);
    proptest!(config, |(
        (one, other) in (any::<[u8; 16]>(), any::<[u8; 16]>()),
        (body, same_id) in (vec(any::<u8>(), 0..300), any::<bool>()),
        (number, head) in (any::<u64>(), any::<[u8; 32]>()),
        reason in "\\PC{0,60}",
        (at, change) in (any::<Index>(), 1..=255u8),
    )| {
        let original = sent(&rui, &keys, one, &body);
        let check = |original: &Opened, der: &[u8]| {
            receipt::check(&original.signed, original.headers.receipt, der, &grounds)
        };
        let remark = Remark { number, head: Head::from_bytes(head), told: vec![] };
        let der =
            receipt::write(&original, &address("ana"), Some(&remark), &ana, now()).unwrap();
        let sealed = receipt::seal(&der, &[keys[0].to_recipient()]).unwrap();
        prop_assert_eq!(&receipt::open(&sealed.bytes, &&keys[..]).unwrap(), &der);
        prop_assert_eq!(&receipt::from_smime(&receipt::to_smime(&der)).unwrap(), &der);
        let checked = check(&original, &der).unwrap();
        prop_assert_eq!(checked.remark, Some(remark));
        prop_assert_eq!(checked.by.address, address("ana"));

        let refusal = refusal::write(&original, &address("ana"), &reason, &ana, now()).unwrap();
        let refused = refusal::check(&original.cms, &refusal, &grounds).unwrap();
        prop_assert_eq!(refused.reason, reason);

        // Another message, by its id or by its text alone.
        let longer = [&body[..], b"x"].concat();
        prop_assume!(same_id || one != other);
        let second = match same_id {
            true => sent(&rui, &keys, one, &longer),
            false => sent(&rui, &keys, other, &body),
        };
        prop_assert!(check(&second, &der).is_err());
        prop_assert!(refusal::check(&second.cms, &refusal, &grounds).is_err());

        for (what, der, verdict) in [
            ("receipt", &der, (&|der: &[u8]| check(&original, der).is_ok()) as &dyn Fn(&[u8]) -> bool),
            ("refusal", &refusal, &|der| refusal::check(&original.cms, der, &grounds).is_ok()),
        ] {
            let (at, bad) = altered(der, at, change);
            let inside = |part: &&[u8]| {
                let start = der.windows(part.len()).position(|w| w == *part);
                start.is_some_and(|start| (start..start + part.len()).contains(&at))
            };
            let unsigned = above.iter().any(inside);
            prop_assert!(unsigned || !verdict(&bad), "byte {} of a {}", at, what);
        }
    });
}

fn mailbox() -> impl Strategy<Value = MailboxName> {
    "[a-z0-9]([a-z0-9_-]|[.][a-z0-9]){0,15}"
        .prop_filter_map("a device of Windows", |s| s.parse().ok())
}

prop_compose! {
    fn postmark()(
        mailbox in mailbox(),
        kind in prop_oneof![Just(Kind::Message), Just(Kind::Copy), Just(Kind::Receipt)],
        (number, size) in (1..u64::MAX, any::<u64>()),
        sender in mailbox(),
        id in any::<[u8; 16]>(),
        (sha256, cms, head) in any::<([u8; 32], [u8; 32], [u8; 32])>(),
        time in 0..253_402_000_000i64,
    ) -> Postmark {
        Postmark {
            repository: "repo.example".parse().unwrap(),
            id: MessageId::from_bytes(id),
            head: Head::from_bytes(head),
            mailbox, kind, number, sender, size, sha256, cms, time,
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_postmark_comes_back_and_says_nothing_else(
        mark in postmark(),
        seed in any::<[u8; 32]>(),
        (at, change) in (any::<Index>(), 1..128u8),
    ) {
        let public = note::public_key(&seed);
        let text = postmark::sign(&mark, &note::Signer::from_seed(&seed)).unwrap();
        prop_assert!(text.len() < 1024);
        let opened = postmark::open(&text, &public, &mark.repository);
        prop_assert_eq!(opened, Ok(mark.clone()));
        let other = "other.example".parse().unwrap();
        prop_assert!(postmark::open(&text, &public, &other).is_err());
        let (at, bad) = altered(text.as_bytes(), at, change);
        // What is no longer text is no postmark before it is looked at.
        if let Ok(bad) = String::from_utf8(bad) {
            let said = postmark::open(&bad, &public, &mark.repository);
            prop_assert!(said.as_ref().is_ok_and(|said| *said == mark) || said.is_err());
            // The line by which heads are told stands beside the postmark.
            let body = text.split("\n\n").next().unwrap().len();
            prop_assert!(said.is_err() || at > body, "byte {}", at);
        }
    }

    #[test]
    fn what_is_told_has_one_spelling(told in told(), at in any::<Index>(), byte in 32..127u8) {
        let text = told.to_string();
        prop_assert_eq!(Told::parse(&text), Some(told));
        let mut other = text.into_bytes();
        let at = at.index(other.len());
        other[at] = byte;
        let other = String::from_utf8(other).unwrap();
        if let Some(read) = Told::parse(&other) {
            prop_assert_eq!(read.to_string(), other);
        }
    }
}
