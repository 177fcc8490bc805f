//! The cases: what can be wrong with a message, one thing at a time.

use smr_pki::ess::ReceiptRequest;

use crate::scene::{Scene, Vector, address, date, id, random, signed_attributes, wrap};

const FORGED: u8 = 65;
const REVOKED: u8 = 77;

pub(crate) fn all(scene: &Scene) -> Vec<Vector> {
    let mut all = shown(scene);
    all.extend(signatures(scene));
    all.extend(signers(scene));
    all.extend(deliveries(scene));
    all.extend(headers(scene));
    all.extend(structures(scene));
    all.extend(floods(scene));
    all.extend(seals(scene));
    all
}

/// What a reader shows, and a terminal must not obey.
fn shown(s: &Scene) -> Vec<Vector> {
    let plain = |name, comment, change: (&str, &str)| {
        let entity = s.entity(name).replacen(change.0, change.1, 1);
        assert_ne!(entity, s.entity(name), "{name} changes something");
        s.by_alice((name, 0, ""), comment, &entity)
    };
    let named = |name, comment, field: &str| {
        let parts = format!(
            "--part\r\n\r\nSee the file.\r\n--part\r\nContent-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment{field}\r\n\r\nZGVlZA=="
        );
        s.by_alice((name, 0, ""), comment, &s.parts(name, &parts))
    };
    let name = "good-by-card";
    let entity = s.entity(name);
    let cms = s.sign(&s.alice_card, entity.as_bytes());
    let by_card = s.vector((name, 0, ""), "class Q", entity.as_bytes(), &cms);
    let name = "good-by-openssl";
    let entity = s.entity(name);
    let cms = s.by_openssl(entity.as_bytes(), "-md sha256 -cades -nosmimecap");
    let by_openssl = s.vector(
        (name, 0, ""),
        "class Q, signed by openssl",
        entity.as_bytes(),
        &cms,
    );
    let name = "escapes-in-certificate";
    let entity = s.entity(name).replace("alice@", "eve@");
    let cms = s.sign(&s.eve, entity.as_bytes());
    let eve = Vector {
        sender: "eve",
        ..s.vector(
            (name, 0, ""),
            "the name in the certificate turns the terminal red",
            entity.as_bytes(),
            &cms,
        )
    };
    vec![
        s.by_alice(("good", 0, ""), "class D", &s.entity("good")),
        Vector {
            seal: "crowd 300",
            ..s.by_alice(
                ("good-for-a-crowd", 0, ""),
                "sealed to 300 devices, bob's the last",
                &s.entity("good-for-a-crowd"),
            )
        },
        by_card,
        by_openssl,
        eve,
        plain(
            "escapes-in-subject",
            "an escape sequence, a bell and a line end, encoded",
            ("Contract", "=?UTF-8?B?G1szMW1yZWQHDQp4?="),
        ),
        plain(
            "bidi-in-subject",
            "right-to-left override and isolates",
            (
                "Contract",
                "=?UTF-8?Q?=E2=80=AEtxt.exe=E2=81=A6x=E2=81=A9=D8=9C?=",
            ),
        ),
        plain(
            "controls-in-subject",
            "NUL and C1 controls",
            ("Contract", "=?UTF-8?Q?a=00b=C2=9Bc=C2=85d?="),
        ),
        plain(
            "escapes-in-text",
            "a clipboard sequence in the text",
            ("5 euros", "\u{1b}]52;c;cm0gLXJm\u{7}5 euros\u{1b}[8m"),
        ),
        plain(
            "bidi-in-text",
            "a sum that reads otherwise",
            (
                "7bit\r\n\r\nI owe you 5",
                "8bit\r\n\r\nI owe you \u{202e}005\u{202c}",
            ),
        ),
        named(
            "escapes-in-file-name",
            "percent-encoded",
            "; filename*=utf-8''a%1B%5B31m%0Ab.txt",
        ),
        named(
            "bidi-in-file-name",
            "gpj.exe",
            "; filename*=utf-8''a%E2%80%AEgpj.exe",
        ),
        named("absolute-file-name", "", "; filename=\"/etc/cron.d/x\""),
        named(
            "parent-file-name",
            "",
            "; filename=\"../../.ssh/authorized_keys\"",
        ),
        named("windows-file-name", "", "; filename=\"..\\\\..\\\\x.bat\""),
        named("hidden-file-name", "", "; filename=\".bashrc\""),
        named("device-file-name", "", "; filename=\"..\""),
        named(
            "long-file-name",
            "",
            &format!("; filename=\"{}\"", "x".repeat(700)),
        ),
    ]
}

/// Signatures that prove nothing.
fn signatures(s: &Scene) -> Vec<Vector> {
    let openssl = |name, reason, comment, options: &str| {
        let entity = s.entity(name);
        let cms = s.by_openssl(entity.as_bytes(), options);
        s.vector((name, FORGED, reason), comment, entity.as_bytes(), &cms)
    };
    let good = |name, reason, change: &dyn Fn(&mut String, &mut Vec<u8>)| {
        let mut entity = s.entity(name);
        let mut cms = s.sign(&s.alice, entity.as_bytes());
        change(&mut entity, &mut cms);
        s.vector((name, FORGED, reason), "", entity.as_bytes(), &cms)
    };
    let micalg = |name: &'static str, value: &str, reason| {
        let entity = s.entity(name);
        let cms = s.sign(&s.alice, entity.as_bytes());
        let mut vector = s.vector((name, FORGED, reason), "", entity.as_bytes(), &cms);
        let text = String::from_utf8(vector.message).expect("it is ASCII");
        vector.message = text.replacen("micalg=sha-256", value, 1).into_bytes();
        vector
    };
    vec![
        openssl(
            "two-signers",
            "not exactly one signer",
            "the second signer is a stranger; openssl verifies one of them",
            "-cades -signer mallory.pem -inkey mallory.key",
        ),
        openssl(
            "no-signed-attributes",
            "no signed attributes",
            "openssl accepts it",
            "-noattr",
        ),
        openssl(
            "no-signing-certificate",
            "signingCertificateV2",
            "another certificate of the key could be put there",
            "",
        ),
        openssl(
            "sha512",
            "not a detached SHA-256 signature",
            "not what micalg says",
            "-md sha512 -cades",
        ),
        openssl(
            "content-attached-too",
            "not a detached SHA-256 signature",
            "which of the two was signed?",
            "-cades -nodetach",
        ),
        openssl("weak-digest", "unknown digest", "", "-md sha1 -cades"),
        forged_attributes(s),
        no_signer(s),
        good(
            "content-altered",
            "the content is not the one that was signed",
            &|entity, _| {
                *entity = entity.replace("5 euros", "9 euros");
            },
        ),
        good(
            "header-altered",
            "the content is not the one that was signed",
            &|entity, _| {
                *entity = entity.replace("Contract", "Contrast");
            },
        ),
        good("signature-altered", "", &|_, cms| {
            let last = cms.len() - 1;
            cms[last] ^= 1;
        }),
        good(
            "signature-cut",
            "not an acceptable signed message",
            &|_, cms| cms.truncate(cms.len() - 1),
        ),
        good(
            "signature-with-more",
            "not an acceptable signed message",
            &|_, cms| cms.push(0),
        ),
        good(
            "signature-empty",
            "not an acceptable signed message",
            &|_, cms| cms.clear(),
        ),
        good(
            "signature-of-noise",
            "not an acceptable signed message",
            &|_, cms| *cms = random(500),
        ),
        micalg(
            "micalg-sha1",
            "micalg=sha-1",
            "not multipart/signed with SHA-256",
        ),
        micalg(
            "micalg-sha512",
            "micalg=sha-512",
            "not multipart/signed with SHA-256",
        ),
        micalg(
            "micalg-missing",
            "x-micalg=sha-256",
            "not multipart/signed with SHA-256",
        ),
    ]
}

/// The signature of another message's attributes, passed off as one of these
/// bytes without attributes.
fn forged_attributes(s: &Scene) -> Vector {
    let name = "forged-attributes";
    let (attributes, signature) =
        signed_attributes(&s.by_openssl(s.entity(name).as_bytes(), "-md sha256 -cades"));
    loop {
        let mut cms = s.by_openssl(&attributes, "-md sha256 -noattr");
        let other = own_signature(&cms);
        if other.len() == signature.len() {
            let at = cms.len() - other.len();
            cms[at..].copy_from_slice(&signature);
            let reason = "not an acceptable signed message";
            let comment = "alice signed these bytes, as the attributes of another message; openssl verifies it";
            return s.vector((name, FORGED, reason), comment, &attributes, &cms);
        }
    }
}

/// Returns the signature at the end of a SignedData without attributes.
fn own_signature(cms: &[u8]) -> Vec<u8> {
    // An ECDSA signature of P-256 is 68 to 72 bytes long: 04 LEN 30 LEN-2 ...
    let fits = |length: &usize| {
        let at = cms.len() - length;
        cms[at - 2] == 4 && usize::from(cms[at - 1]) == *length && cms[at] == 0x30
    };
    let length = (66..=72).find(fits).expect("it ends in a signature");
    cms[cms.len() - length..].to_vec()
}

fn no_signer(s: &Scene) -> Vector {
    let name = "no-signer";
    let entity = s.entity(name);
    s.pki
        .openssl("crl2pkcs7 -nocrl -certfile alice.pem -outform DER -out none.p7s");
    let cms = std::fs::read(s.pki.path("none.p7s")).expect("openssl made it");
    s.vector(
        (name, FORGED, "not exactly one signer"),
        "certificates alone",
        entity.as_bytes(),
        &cms,
    )
}

/// Signers who are not the sender, or are nobody any more.
fn signers(s: &Scene) -> Vec<Vector> {
    let by = |what, comment, signer: &dyn smr_evidence::trust::Signer, time: i64| {
        let (name, ..): (&'static str, u8, &'static str) = what;
        let entity = s.entity(name).replace(&s.date(), &date(time));
        let cms = s.sign_asking(signer, entity.as_bytes(), time, None);
        s.vector(what, comment, entity.as_bytes(), &cms)
    };
    let name = "signer-revoked";
    let entity = s.entity(name).replace("alice@", "rita@");
    let cms = s.sign(&s.rita, entity.as_bytes());
    let rita = Vector {
        sender: "rita",
        ..s.vector(
            (name, REVOKED, "revoked"),
            "before the deposit",
            entity.as_bytes(),
            &cms,
        )
    };
    let name = "date-without-signing-time";
    let entity = s.entity(name).replace(&s.date(), &date(915_148_800));
    let dated = s.by_alice(
        (name, FORGED, "Date"),
        "Date in 1999, signed today",
        &entity,
    );
    let century = 4_000_000_000;
    vec![
        rita,
        dated,
        by(
            (
                "signed-by-another",
                FORGED,
                "signing device of alice@repo.example",
            ),
            "alice's name, mallory's device",
            &s.mallory,
            s.time,
        ),
        by(
            ("device-unlisted", FORGED, "never listed"),
            "certified by her card, not in her record",
            &s.unlisted,
            s.time,
        ),
        by(
            ("certificate-without-usage", FORGED, "not for signatures"),
            "a certificate for encryption",
            &s.useless,
            s.time,
        ),
        by(
            ("date-in-the-future", FORGED, "signed at a time later than"),
            "signed in 2096",
            &s.alice,
            century,
        ),
        by(
            (
                "date-before-the-certificate",
                FORGED,
                "before its certificate",
            ),
            "signed in 1999, with a certificate of later",
            &s.alice,
            915_148_800,
        ),
    ]
}

/// Honest messages, delivered to whom or as what they were not meant.
fn deliveries(s: &Scene) -> Vec<Vector> {
    let change = |what, comment, from: &str, to: &str| {
        let (name, ..): (&'static str, u8, &'static str) = what;
        let entity = s.entity(name).replacen(from, to, 1);
        assert_ne!(entity, s.entity(name), "{name} changes something");
        s.by_alice(what, comment, &entity)
    };
    let name = "another-text-of-that-id";
    let entity = s.entity(name);
    let other = s.sign(&s.alice, entity.replace("5 euros", "9 euros").as_bytes());
    let mut another = s.by_alice(
        (name, FORGED, "not the one its postmark names"),
        "both are signed by alice under one id; the postmark is the other's",
        &entity,
    );
    another.cms = *smr_name::Fingerprint::of(&other).as_bytes();
    let mallory = Vector {
        sender: "mallory",
        ..s.by_alice(
            (
                "resent-by-another",
                FORGED,
                "its sender is not who deposited it",
            ),
            "a message of alice's that mallory deposits",
            &s.entity("resent-by-another"),
        )
    };
    vec![
        another,
        mallory,
        change(
            (
                "meant-for-another",
                FORGED,
                "it names you neither as addressee nor as sender",
            ),
            "signed for carol, sealed again for bob (surreptitious forwarding)",
            "bob@",
            "carol@",
        ),
        change(
            (
                "meant-for-another-repository",
                FORGED,
                "it names you neither as addressee nor as sender",
            ),
            "for the bob of another repository",
            "bob@repo.example",
            "bob@other.example",
        ),
        change(
            ("from-another", FORGED, "its sender is not who deposited it"),
            "alice deposits and signs in carol's name",
            "From: alice@",
            "From: carol@",
        ),
        change(
            (
                "from-under-another-name",
                FORGED,
                "another name than his certificate",
            ),
            "",
            "From: alice@repo.example",
            "From: \"THE BANK\" <alice@repo.example>",
        ),
        change(
            ("another-id", FORGED, "it was signed under another id"),
            "an old message, delivered once more",
            &id("another-id").to_string(),
            &id("good").to_string(),
        ),
    ]
}

/// Headers that contradict one another, or that programs read differently.
fn headers(s: &Scene) -> Vec<Vector> {
    let change = |name, reason, comment, from: &str, to: &str| {
        let entity = s.entity(name).replacen(from, to, 1);
        assert_ne!(entity, s.entity(name), "{name} changes something");
        s.by_alice((name, FORGED, reason), comment, &entity)
    };
    let outer = |name: &'static str, comment, from: &str, to: &str, reason| {
        let mut vector = s.by_alice((name, FORGED, reason), comment, &s.entity(name));
        let text = String::from_utf8(vector.message).expect("it is ASCII");
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{name} changes something");
        vector.message = changed.into_bytes();
        vector
    };
    let name = "receipts-from-others";
    let entity = s
        .entity(name)
        .replacen("MIME", "SMR-Receipt: read\r\nMIME", 1);
    let request = ReceiptRequest {
        content_identifier: format!("{}@repo.example", id(name)).into_bytes(),
        receipts_from: vec![address("carol").to_string()],
        receipts_to: vec![address("alice").to_string()],
    };
    let cms = s.sign_asking(&s.alice, entity.as_bytes(), s.time, Some(request));
    let others = s.vector(
        (name, FORGED, "receipts are not asked of all addressees"),
        "",
        entity.as_bytes(),
        &cms,
    );
    vec![
        others,
        change(
            "receipt-in-header-only",
            "they ask for a receipt, the signature does not",
            "",
            "MIME",
            "SMR-Receipt: read\r\nMIME",
        ),
        change(
            "from-twice",
            "a header field given twice",
            "",
            "To:",
            "From: carol@repo.example\r\nTo:",
        ),
        change(
            "from-two-people",
            "a malformed address",
            "",
            "alice@repo.example",
            "alice@repo.example, carol@repo.example",
        ),
        change("no-date", "a header field is missing", "", "Date", "X-Date"),
        change(
            "no-protection",
            "does not carry the headers",
            "an inner header that is not the message's",
            "; hp=\"clear\"",
            "",
        ),
        change(
            "eight-bit-header",
            "beyond ASCII",
            "",
            "Contract",
            "Contráct",
        ),
        change(
            "bare-lf-in-header",
            "CRLF",
            "",
            "Contract\r\n",
            "Contract\nBcc: all@repo.example\r\n",
        ),
        change("bare-cr", "bare CR", "", "5 euros", "5\reuros"),
        change("bare-lf", "CRLF", "", "5 euros", "5\neuros"),
        change("nul", "NUL", "", "5 euros", "5\0euros"),
        outer(
            "subject-outside",
            "a subject that nobody signed",
            "MIME-Version: 1.0\r\nContent",
            "Subject: Nothing\r\nMIME-Version: 1.0\r\nContent",
            "an unsigned header field",
        ),
        outer(
            "preamble",
            "text that some programs show",
            "\r\n\r\n--outer\r\n",
            "\r\n\r\nI owe you 9 euros.\r\n--outer\r\n",
            "text before the signed part",
        ),
        outer(
            "epilogue",
            "text that some programs show",
            "--outer--\r\n",
            "--outer--\r\nI owe you 9 euros.\r\n",
            "text after the signature",
        ),
        outer(
            "three-parts",
            "",
            "\r\n--outer--",
            "\r\n--outer\r\n\r\nI owe you 9 euros.\r\n--outer--",
            "malformed base64 in the signature",
        ),
        outer(
            "executable-signature",
            "",
            "name=smime.p7s",
            "name=run.exe",
            "not a signature",
        ),
    ]
}

/// MIME that does not hold together.
fn structures(s: &Scene) -> Vec<Vector> {
    let parts = |name, reason, comment, parts: &str| {
        s.by_alice((name, FORGED, reason), comment, &s.parts(name, parts))
    };
    let base64 = "Content-Transfer-Encoding: base64\r\n\r\n";
    let nested = (0..40).fold(String::new(), |text, level| {
        let outer = if level == 0 {
            "part".to_owned()
        } else {
            format!("n{level:02}")
        };
        let inner = format!("n{:02}", level + 1);
        text + &format!("--{outer}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n")
    });
    vec![
        parts(
            "base64-damaged",
            "malformed base64",
            "",
            &format!("--part\r\n{base64}ZGVlZA"),
        ),
        parts(
            "base64-goes-on",
            "malformed base64",
            "",
            &format!("--part\r\n{base64}ZGVlZA==\r\nZGVlZA=="),
        ),
        parts(
            "quoted-printable-damaged",
            "malformed quoted-printable",
            "",
            "--part\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=ZZ",
        ),
        parts(
            "unknown-encoding",
            "an unknown transfer encoding",
            "",
            "--part\r\nContent-Transfer-Encoding: uuencode\r\n\r\nx",
        ),
        parts(
            "boundary-almost",
            "a line that begins like a boundary",
            "programs differ on what it is",
            "--part\r\n\r\none\r\n--partly\r\n\r\ntwo",
        ),
        parts(
            "multipart-open",
            "a multipart that does not end",
            "",
            "--part\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\nx",
        ),
        parts(
            "nested-forty-deep",
            "nested deeper than 16",
            "",
            &format!("{nested}--n40\r\n\r\nx"),
        ),
        parts(
            "file-name-twice",
            "a malformed content field",
            "",
            "--part\r\nContent-Disposition: attachment; filename=a; filename=b\r\n\r\nx",
        ),
        parts(
            "part-without-body",
            "a part without a body",
            "",
            "--part\r\nContent-Type: text/plain",
        ),
    ]
}

/// Too much of everything.
fn floods(s: &Scene) -> Vec<Vector> {
    let head = |name, reason, comment, text: &str| {
        let entity = s.entity(name).replacen("MIME", &format!("{text}MIME"), 1);
        s.by_alice((name, FORGED, reason), comment, &entity)
    };
    let name = "million-parts";
    let many = s.parts(name, &"--part\r\n\r\n\r\n".repeat(1_000_000));
    let name_of_fields = "million-fields";
    let recipients = "recipients-flood";
    let to = "bob@repo.example,\r\n ".repeat(20_000);
    let crowd = s
        .entity(recipients)
        .replacen("To: ", &format!("To: {to}"), 1);
    vec![
        s.by_alice((name, FORGED, "more than 10,000 parts"), "", &many),
        head(
            name_of_fields,
            "a header longer than 256 KiB",
            "",
            &"X: y\r\n".repeat(1_000_000),
        ),
        head(
            "folded-without-end",
            "a header longer than 256 KiB",
            "",
            &format!("X: y\r\n{}", " z\r\n".repeat(200_000)),
        ),
        head(
            "line-too-long",
            "a line that is too long",
            "",
            &format!("X: {}\r\n", "y".repeat(2_000)),
        ),
        s.by_alice(
            (recipients, FORGED, "a header longer than 256 KiB"),
            "",
            &crowd,
        ),
        s.by_alice(
            ("parameters-flood", FORGED, "a malformed content field"),
            "one name in 2,000 sections",
            &s.parts(
                "parameters-flood",
                &format!(
                    "--part\r\nContent-Type: text/plain{}\r\n\r\nx",
                    (0..2_000)
                        .map(|i| format!(";\r\n name*{i}=y"))
                        .collect::<String>()
                ),
            ),
        ),
    ]
}

/// Sealed files that were cut, that go on, or are none.
fn seals(s: &Scene) -> Vec<Vector> {
    let damaged = "the sealed file is damaged";
    let seal = |name, reason, comment, seal| Vector {
        seal,
        ..s.by_alice((name, FORGED, reason), comment, &s.entity(name))
    };
    // Three chunks of age and a bit.
    let long = |name, seal| {
        let entity = s.entity(name) + &format!("{}\r\n", "x".repeat(900)).repeat(220);
        Vector {
            seal,
            ..s.by_alice((name, FORGED, damaged), "", &entity)
        }
    };
    let name = "unsigned";
    let entity = s.entity(name);
    let mut unsigned = s.by_alice(
        (name, FORGED, "an unsigned header field"),
        "sealed, and never signed",
        &entity,
    );
    unsigned.message = entity.into_bytes();
    let name = "signed-twice";
    let inner = s.entity(name);
    let inner = String::from_utf8(wrap(inner.as_bytes(), &s.sign(&s.alice, inner.as_bytes())))
        .expect("ASCII");
    let twice = s.by_alice(
        (name, FORGED, "an unsigned header field"),
        "a signed message in a signature of its own, under the same boundary",
        &inner,
    );
    vec![
        unsigned,
        twice,
        seal("seal-cut", damaged, "", "cut 1"),
        seal("seal-cut-in-header", damaged, "", "keep 1000"),
        seal("seal-goes-on", damaged, "", "append x"),
        seal("seal-altered", damaged, "", "flip 40"),
        seal("seal-empty", damaged, "", "keep 0"),
        seal("seal-of-noise", damaged, "", "noise"),
        seal("seal-missing", damaged, "never sealed", "none"),
        seal("seal-armoured", damaged, "", "armour"),
        seal("seal-header-altered", "", "its first line", "flip-at 3"),
        seal(
            "seal-for-another",
            "sealed for somebody else",
            "",
            "another",
        ),
        seal(
            "seal-header-flood",
            damaged,
            "400,000 stanzas",
            "stanzas 400000",
        ),
        long("seal-cut-at-chunk", "chunks 3"),
        long("seal-chunk-twice", "twice 1"),
    ]
}
