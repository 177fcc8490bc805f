//! Whole envelopes: sealed, verified, emitted; judged by openssl and age;
//! forged, redirected, cut.

mod pki;

use std::io::{Cursor, Read, Write};
use std::process::{Command, Stdio};

use pki::{Pki, device, now};
use rand_core::OsRng;
use smr_evidence::envelope::{
    self, Author, Draft, Emit, EnvelopeError, Opened, Part, ReceiptWanted, check_addressed,
    check_author,
};
use smr_evidence::trust::{Signer, SoftKey};
use smr_name::{Address, Class, MessageId};
use smr_seal::{Identity, Recipient};

const ID: &str = "00ff0123456789abcdef0123456789ab";

fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().unwrap()
}

fn draft(subject: &str) -> Draft<'_> {
    Draft {
        from: Author {
            display: "RUI SILVA".into(),
            address: address("rui"),
        },
        to: vec![address("ana")],
        cc: vec![address("eva")],
        date: now(),
        subject,
        id: ID.parse().unwrap(),
        reply: None,
        receipt: ReceiptWanted::Read,
        told: vec![],
    }
}

fn text(text: &[u8]) -> Part<'_> {
    Part::Text(Box::new(text))
}

fn file<'a>(name: &str, content: &'a [u8]) -> Part<'a> {
    Part::Attachment {
        name: name.into(),
        read: Box::new(content),
    }
}

fn seal(draft: &Draft, parts: Vec<Part>, signer: &dyn Signer, keys: &[Identity]) -> Vec<u8> {
    let recipients: Vec<Recipient> = keys.iter().map(Identity::to_recipient).collect();
    let mut out = Vec::new();
    let sealed = envelope::seal(draft, parts, &recipients, signer, &mut out, &mut OsRng).unwrap();
    assert_eq!(sealed.sealed_bytes, out.len() as u64);
    out
}

/// Seals any plaintext, as a hostile sender can.
fn seal_raw(plain: &[u8], keys: &[Identity]) -> Vec<u8> {
    let recipients: Vec<Recipient> = keys.iter().map(Identity::to_recipient).collect();
    let recipients = recipients.iter().map(|r| r as &dyn age::Recipient);
    let mut out = Vec::new();
    let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
    let mut writer = encryptor.wrap_output(&mut out).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap();
    out
}

fn verify(sealed: &[u8], keys: &[Identity]) -> Result<Opened, EnvelopeError> {
    envelope::verify(Cursor::new(sealed), &keys)
}

fn emit(sealed: &[u8], keys: &[Identity], what: Emit) -> Vec<u8> {
    let opened = verify(sealed, keys).unwrap();
    let mut out = Vec::new();
    envelope::emit(Cursor::new(sealed), &keys, &opened, what, &mut out).unwrap();
    out
}

fn new_keys() -> Vec<Identity> {
    vec![Identity::generate_pq(&mut OsRng)]
}

fn rui(pki: &Pki) -> SoftKey {
    device(&pki.card("RUI", "BI1", "person"), &address("rui"), "laptop")
}

#[test]
fn messages_come_back_exactly() {
    let pki = Pki::new();
    let signer = rui(&pki);
    let keys = new_keys();
    let large: Vec<u8> = (0..300_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let sealed = seal(
        &draft("relatório do mês"),
        vec![
            text("olá\n--smr-\nfim\n".as_bytes()),
            file("relatório.pdf", &large),
            file("empty", b""),
        ],
        &signer,
        &keys,
    );
    let opened = verify(&sealed, &keys).unwrap();
    assert_eq!(opened.headers.subject, "relatório do mês");
    assert_eq!(opened.headers.from, draft("").from);
    assert_eq!(opened.headers.cc, [address("eva")]);
    assert_eq!(opened.signed.signer(), signer.certificate());
    let parts: Vec<_> = opened
        .parts
        .iter()
        .map(|p| {
            (
                p.number.as_str(),
                p.name.as_deref(),
                p.size,
                p.encoding.as_str(),
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            ("1", None, 16, "quoted-printable"),
            ("2", Some("relatório.pdf"), 300_000, "base64"),
            ("3", Some("empty"), 0, "base64"),
        ]
    );
    let part = |number| emit(&sealed, &keys, Emit::Part(number));
    assert_eq!(part("1"), "olá\n--smr-\nfim\n".as_bytes());
    assert_eq!(part("2"), large);
    assert_eq!(part("3"), b"");
    let mut out = Vec::new();
    let missing = envelope::emit(
        Cursor::new(&sealed),
        &keys,
        &opened,
        Emit::Part("4"),
        &mut out,
    );
    assert_eq!(missing.unwrap_err().class(), Class::Missing);
    assert!(out.is_empty());
}

#[test]
fn bodies_of_every_kind_come_back() {
    let pki = Pki::new();
    let signer = rui(&pki);
    let keys = new_keys();
    let long = "x".repeat(999);
    let big = "line of text\n".repeat(90_000);
    let cut = [&b"a".repeat(1024 * 1024)[..], "é".as_bytes()].concat();
    for (body, encoding, kind) in [
        (&b""[..], "7bit", "text/plain"),
        (b"hello", "7bit", "text/plain"),
        (b"hello\n", "7bit", "text/plain"),
        (b"\n\n\n", "7bit", "text/plain"),
        ("olá\n".as_bytes(), "quoted-printable", "text/plain"),
        (long.as_bytes(), "quoted-printable", "text/plain"),
        (b"dos\r\nline\r\n", "base64", "text/plain"),
        (b"nul\0", "base64", "application/octet-stream"),
        (b"\xff\xfe", "base64", "application/octet-stream"),
        (big.as_bytes(), "base64", "text/plain"),
        (&cut, "base64", "text/plain"),
    ] {
        let sealed = seal(&draft(""), vec![text(body)], &signer, &keys);
        let opened = verify(&sealed, &keys).unwrap();
        assert_eq!(opened.parts.len(), 1);
        assert_eq!(opened.parts[0].encoding, encoding);
        assert_eq!(opened.parts[0].content_type, kind);
        assert_eq!(opened.parts[0].size, body.len() as u64);
        assert_eq!(emit(&sealed, &keys, Emit::Part("1")), body);
    }
}

#[test]
fn openssl_verifies_cards_and_devices() {
    let pki = Pki::new();
    pki.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out RSA.key");
    pki.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out PSS.key");
    let signers = [
        rui(&pki),
        pki.card("RUI", "BI1", "person"),
        pki.card("RSA", "BI1", "person"),
        pki.card("PSS", "BI1", "person").with_pss(),
    ];
    let verify = "cms -verify -allow_proxy_certs -CAfile root.pem -in raw.eml -out out.eml";
    for signer in &signers {
        let keys = new_keys();
        let parts = vec![text(b"one\n\ntwo\n"), file("a b.bin", &[0xff; 1000])];
        let sealed = seal(&draft("x"), parts, signer, &keys);
        std::fs::write(pki.path("raw.eml"), emit(&sealed, &keys, Emit::Raw)).unwrap();
        pki.openssl(verify);
        let theirs = std::fs::read(pki.path("out.eml")).unwrap();
        assert_eq!(theirs, emit(&sealed, &keys, Emit::Message));
        assert!(theirs.starts_with(b"Date: "));
    }
    let raw = std::fs::read(pki.path("raw.eml")).unwrap();
    let altered = String::from_utf8(raw).unwrap().replace("two", "six");
    std::fs::write(pki.path("raw.eml"), altered).unwrap();
    let refused = Command::new("openssl")
        .args(verify.split(' '))
        .current_dir(pki.dir())
        .output()
        .unwrap();
    assert!(!refused.status.success());
}

#[test]
fn the_age_program_opens_a_classic_envelope() {
    let pki = Pki::new();
    let keys = vec![Identity::generate_classic(&mut OsRng)];
    let sealed = seal(&draft("x"), vec![text(b"hello\n")], &rui(&pki), &keys);
    std::fs::write(pki.path("key.txt"), keys[0].encode().as_bytes()).unwrap();
    let mut child = Command::new("age")
        .args(["-d", "-i", "key.txt"])
        .current_dir(pki.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&sealed).unwrap();
    let plain = child.wait_with_output().unwrap();
    assert!(plain.status.success());
    assert_eq!(plain.stdout, emit(&sealed, &keys, Emit::Raw));
}

#[test]
fn nothing_private_stands_outside_the_signed_part() {
    let pki = Pki::new();
    let keys = new_keys();
    let sealed = seal(&draft("secretsubject"), vec![text(b"x")], &rui(&pki), &keys);
    let has = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|w| w == word);
    // Three letters alone stand in base64 by chance, once in a hundred times.
    for word in ["secretsubject", "rui@repo", "ana@repo", ID] {
        assert!(!has(&sealed, word.as_bytes()), "{word}");
    }
    let raw = String::from_utf8(emit(&sealed, &keys, Emit::Raw)).unwrap();
    let (outer, rest) = raw.split_once("\r\n\r\n").unwrap();
    let names: Vec<_> = outer.lines().filter(|l| !l.starts_with(' ')).collect();
    assert_eq!(names[0], "MIME-Version: 1.0");
    assert!(names[1].starts_with("Content-Type: multipart/signed;"));
    assert_eq!(names.len(), 2);
    assert_eq!(rest.matches("secretsubject").count(), 1);
}

#[test]
fn every_recipient_opens_and_no_other() {
    let pki = Pki::new();
    let signer = rui(&pki);
    let all: Vec<_> = (0..3).map(|_| Identity::generate_pq(&mut OsRng)).collect();
    let sealed = seal(&draft("x"), vec![text(b"hello")], &signer, &all);
    for key in all {
        assert!(verify(&sealed, &[key]).is_ok());
    }
    let error = verify(&sealed, &new_keys()).unwrap_err();
    assert!(matches!(error, EnvelopeError::NotForUs));

    let mixed = [
        Identity::generate_pq(&mut OsRng).to_recipient(),
        Identity::generate_classic(&mut OsRng).to_recipient(),
    ];
    for (recipients, class) in [(&mixed[..], Class::Denied), (&[], Class::Usage)] {
        let sealed = envelope::seal(
            &draft("x"),
            vec![],
            recipients,
            &signer,
            Vec::new(),
            &mut OsRng,
        );
        assert_eq!(sealed.unwrap_err().class(), class);
    }
}

#[test]
fn altered_plaintexts_are_forged() {
    let pki = Pki::new();
    let keys = new_keys();
    let parts = vec![text(b"pay 100\n"), file("a.bin", &[1; 500])];
    let sealed = seal(&draft("invoice"), parts, &rui(&pki), &keys);
    let raw = emit(&sealed, &keys, Emit::Raw);
    assert!(verify(&seal_raw(&raw, &keys), &keys).is_ok());
    // A recipient who seals it again, changed, for another. The issuers beside
    // the signer's certificate are no part of what is signed: paths are.
    let signature = raw.windows(4).position(|w| w == b"\nMII").unwrap();
    for place in (0..signature).step_by(7) {
        let mut bad = raw.clone();
        bad[place] ^= 1;
        let error = verify(&seal_raw(&bad, &keys), &keys).expect_err(&format!("byte {place}"));
        assert_eq!(error.class(), Class::Forged, "{error}");
    }
    for end in (0..raw.len()).step_by(97) {
        assert!(verify(&seal_raw(&raw[..end], &keys), &keys).is_err());
    }
    for tail in ["\r\n", "x", "x\r\n"] {
        let longer = [&raw[..], tail.as_bytes()].concat();
        assert!(verify(&seal_raw(&longer, &keys), &keys).is_err());
    }
}

#[test]
fn another_messages_signature_does_not_fit() {
    let pki = Pki::new();
    let keys = new_keys();
    let signer = rui(&pki);
    let raw = |body: &'static [u8]| {
        let sealed = seal(&draft("x"), vec![text(body)], &signer, &keys);
        String::from_utf8(emit(&sealed, &keys, Emit::Raw)).unwrap()
    };
    let (one, two) = (raw(b"one"), raw(b"two"));
    let boundary = |text: &str| {
        let at = text.find("boundary=\"").unwrap() + 10;
        text[at..at + 36].to_owned()
    };
    let signature =
        |text: &str| text[text.find("application/pkcs7-signature; name").unwrap()..].to_owned();
    let theirs = signature(&two).replace(&boundary(&two), &boundary(&one));
    let spliced = one.replace(&signature(&one), &theirs);
    assert_ne!(spliced, one);
    let error = verify(&seal_raw(spliced.as_bytes(), &keys), &keys).unwrap_err();
    assert!(matches!(error, EnvelopeError::Cms(_)), "{error}");
}

#[test]
fn messages_for_others_and_under_other_ids_are_refused() {
    let pki = Pki::new();
    let keys = new_keys();
    let sealed = seal(&draft("x"), vec![], &rui(&pki), &keys);
    let opened = verify(&sealed, &keys).unwrap();
    let id: MessageId = ID.parse().unwrap();
    for name in ["ana", "eva", "rui"] {
        assert!(
            check_addressed(&opened, &address(name), &id).is_ok(),
            "{name}"
        );
    }
    let other: MessageId = ID.replace("00ff", "11ff").parse().unwrap();
    assert!(check_addressed(&opened, &address("ana"), &other).is_err());
    let refused = check_addressed(&opened, &address("leo"), &id).unwrap_err();
    assert_eq!(refused.class(), Class::Forged);
    let elsewhere: Address = "ana@other.example".parse().unwrap();
    assert!(check_addressed(&opened, &elsewhere, &id).is_err());
}

#[test]
fn a_sender_may_not_take_another_name() {
    let pki = Pki::new();
    let keys = new_keys();
    let card = pki.card("RUI", "BI1", "person");
    let person = smr_evidence::trust::Person::of_card(card.certificate(), "test");
    for (display, right) in [("RUI", true), ("", true), ("The Auditor", false)] {
        let mut draft = draft("x");
        draft.from.display = display.into();
        let opened = verify(&seal(&draft, vec![], &card, &keys), &keys).unwrap();
        assert_eq!(check_author(&opened, &person).is_ok(), right, "{display}");
    }
}

#[test]
fn a_file_swapped_between_the_passes_is_noticed() {
    let pki = Pki::new();
    let keys = new_keys();
    let signer = rui(&pki);
    let one = seal(&draft("x"), vec![text(b"one")], &signer, &keys);
    let two = seal(&draft("x"), vec![text(b"two")], &signer, &keys);
    let opened = verify(&one, &keys).unwrap();
    let mut out = Vec::new();
    let error = envelope::emit(Cursor::new(&two), &keys, &opened, Emit::Raw, &mut out);
    assert!(matches!(error, Err(EnvelopeError::Changed)));
}

#[test]
fn unsealed_messages_verify_too() {
    let pki = Pki::new();
    let keys = new_keys();
    let sealed = seal(&draft("x"), vec![text(b"one")], &rui(&pki), &keys);
    let raw = emit(&sealed, &keys, Emit::Raw);
    let opened = envelope::verify_plain(&raw[..]).unwrap();
    assert_eq!(opened.cms, verify(&sealed, &keys).unwrap().cms);
    let mut out = Vec::new();
    envelope::emit_plain(&raw[..], &opened, Emit::Part("1"), &mut out).unwrap();
    assert_eq!(out, b"one");
    let altered = String::from_utf8(raw).unwrap().replace("one", "two");
    assert!(envelope::verify_plain(altered.as_bytes()).is_err());
}

#[test]
fn peeking_shows_the_headers_of_a_beginning() {
    let pki = Pki::new();
    let keys = new_keys();
    let signer = rui(&pki);
    let small = seal(&draft("small"), vec![text(b"x")], &signer, &keys);
    assert_eq!(envelope::peek(&small, &keys).unwrap().subject, "small");
    let large = [7; 200_000];
    let large = seal(&draft("large"), vec![file("a", &large)], &signer, &keys);
    let peek = |length: usize| envelope::peek(&large[..length], &keys);
    assert_eq!(peek(envelope::PEEK as usize).unwrap().subject, "large");
    assert!(matches!(peek(60_000), Err(EnvelopeError::Short)));
    assert!(envelope::peek(&large, &new_keys()).is_err());
    let mut bad = large.clone();
    bad[20_000] ^= 1;
    assert_eq!(
        envelope::peek(&bad, &keys).unwrap_err().class(),
        Class::Forged
    );
}

#[test]
fn receipts_asked_for_in_one_place_only_are_refused() {
    let pki = Pki::new();
    let keys = new_keys();
    let signer = rui(&pki);
    for (wanted, change) in [
        (ReceiptWanted::Read, ["SMR-Receipt: read\r\n", ""]),
        (
            ReceiptWanted::None,
            ["MIME-Version", "SMR-Receipt: read\r\nMIME-Version"],
        ),
        (ReceiptWanted::Read, ["To: ana@", "To: leo@"]),
        (ReceiptWanted::Read, ["Cc: eva@repo.example\r\n", ""]),
        (ReceiptWanted::Read, ["<rui@", "<zoe@"]),
        (ReceiptWanted::Read, ["<00ff", "<11ff"]),
    ] {
        let mut draft = draft("x");
        draft.receipt = wanted;
        let sealed = seal(&draft, vec![text(b"x")], &signer, &keys);
        let raw = String::from_utf8(emit(&sealed, &keys, Emit::Raw)).unwrap();
        let (outer, rest) = raw.split_once("\r\n\r\n").unwrap();
        let forged = format!("{outer}\r\n\r\n{}", rest.replacen(change[0], change[1], 1));
        assert_ne!(forged, raw);
        // Signed anew by the same sender: only the request differs.
        let forged = sign_again(&forged, &signer);
        let error = envelope::verify_plain(forged.as_bytes()).unwrap_err();
        assert!(
            matches!(error, EnvelopeError::Headers(_)),
            "{change:?}: {error}"
        );
    }
}

/// Signs the first part anew with the receipt request of the old signature.
fn sign_again(raw: &str, signer: &SoftKey) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};
    use smr_pki::cms::{Content, ContentType, SignRequest, SignedData, sign};
    let at = raw.find("boundary=\"").unwrap() + 10;
    let delimiter = format!("--{}\r\n", &raw[at..at + 36]);
    let mut pieces = raw.split(&delimiter);
    let (outer, first, second) = (
        pieces.next().unwrap(),
        pieces.next().unwrap(),
        pieces.next().unwrap(),
    );
    let (header, body) = second.split_once("\r\n\r\n").unwrap();
    let (old, end) = body.split_once("\r\n--").unwrap();
    let old = SignedData::parse(&STANDARD.decode(old.replace("\r\n", "")).unwrap()).unwrap();
    let content = first.strip_suffix("\r\n").unwrap();
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Detached {
            sha256: Sha256::digest(content).into(),
        },
        signing_time: old.signing_time(),
        receipt_request: old.receipt_request().cloned(),
        msg_sig_digest: None,
    };
    let cms = STANDARD.encode(sign(&request, signer).unwrap());
    let lines: Vec<_> = cms
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let cms = lines.join("\r\n");
    format!("{outer}{delimiter}{first}{delimiter}{header}\r\n\r\n{cms}\r\n--{end}")
}

#[test]
fn a_source_that_fails_leaves_nothing_to_open() {
    struct Failing(u32);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 < 5 {
                true => Ok(buffer.len()),
                false => Err(std::io::Error::other("the disk is gone")),
            }
        }
    }
    let pki = Pki::new();
    let keys = new_keys();
    let mut out = Vec::new();
    let part = Part::Attachment {
        name: "dump".into(),
        read: Box::new(Failing(0)),
    };
    let error = envelope::seal(
        &draft("x"),
        vec![part],
        &[keys[0].to_recipient()],
        &rui(&pki),
        &mut out,
        &mut OsRng,
    )
    .unwrap_err();
    assert_eq!(error.class(), Class::Io);
    assert!(error.to_string().contains("dump"));
    assert!(verify(&out, &keys).is_err());
}
