//! Time stamps by `openssl ts`: ours and openssl's opinion of the same bytes.

use smr_pki::path::{PathError, Revocation, Rules, TrustStore};
use smr_pki::stamp::{self, MAX_ANSWER, Stamp, StampError};

use crate::authority::{Authority, CA, PERSON};

/// Extensions of a time stamp authority's certificate.
const STAMPER: &str = "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,timeStamping
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid";
const CONFIG: &str = "[tsa]\ndefault_tsa=t\n[t]\nserial=tsa.serial\ndefault_policy=1.2.3.4\n\
    signer_digest=sha256\ndigests=sha256,sha512\nordering=no\ness_cert_id_alg=sha256\n";
const DIGEST: [u8; 32] = [7; 32];
const NONCE: [u8; 16] = [0xff; 16];

/// A root, and below it an authority for time stamps.
fn house(extensions: &str, days: u32) -> Authority {
    let a = Authority::new();
    a.root("root", "P-256", "/CN=Root");
    a.issue("tsa", "root", "rsa:2048", "/CN=Clock", extensions, days);
    a.write("tsa.cnf", CONFIG.as_bytes());
    a
}

/// Lets `openssl ts` answer a question, or says why it does not.
fn answer_with(a: &Authority, question: &[u8], options: &str) -> Vec<u8> {
    a.write("q.tsq", question);
    a.write("tsa.serial", b"01");
    a.openssl(&format!(
        "ts -reply -config tsa.cnf -queryfile q.tsq -signer tsa.pem -inkey tsa.key \
         -out a.tsr {options}"
    ));
    a.read("a.tsr")
}

fn answer(a: &Authority) -> Vec<u8> {
    answer_with(a, &stamp::question(&DIGEST, &NONCE), "")
}

fn store(a: &Authority) -> TrustStore {
    a.store(&["root"], &[], &[])
}

fn ours(a: &Authority, answer: &[u8]) -> Result<(Vec<u8>, Stamp), StampError> {
    stamp::accept(
        answer,
        &DIGEST,
        &NONCE,
        &store(a),
        &a.rules(Revocation::Require),
    )
}

#[track_caller]
fn refused(a: &Authority, answer: &[u8]) -> StampError {
    ours(a, answer).unwrap_err()
}

/// Says what openssl thinks of a token.
fn theirs(a: &Authority, token: &[u8]) -> bool {
    a.write("t.tst", token);
    let digest: String = DIGEST.iter().map(|b| format!("{b:02x}")).collect();
    a.accepts(&format!(
        "ts -verify -token_in -in t.tst -digest {digest} -CAfile root.pem"
    ))
}

#[test]
fn a_stamp_says_when_and_by_whom() {
    let a = house(STAMPER, 60);
    let question = stamp::question(&DIGEST, &NONCE);
    a.write("q.tsq", &question);
    let text = String::from_utf8(a.openssl("ts -query -in q.tsq -text")).unwrap();
    assert!(text.contains("Hash Algorithm: sha256"), "{text}");
    assert!(text.contains("Certificate required: yes"), "{text}");
    let (token, stamp) = ours(&a, &answer_with(&a, &question, "")).unwrap();
    // The clock of the authority here is 300 seconds ahead.
    assert!((a.now - 400..a.now).contains(&stamp.time), "{stamp:?}");
    assert_eq!(stamp.authority, "CN=Clock");
    assert!(!stamp.revocation_checked);
    assert!(theirs(&a, &token));
    // Kept, it is verified without the nonce; and years later.
    let later = Rules {
        now: a.now + 20 * 365 * 86_400,
        ..a.rules(Revocation::Require)
    };
    assert_eq!(
        stamp::verify(&token, &DIGEST, &store(&a), &later).unwrap(),
        stamp
    );
}

#[test]
fn other_digests_keys_and_chains_are_read() {
    for kind in ["P-256", "P-384", "rsa:3072"] {
        let a = house(STAMPER, 60);
        a.issue("sub", "root", "P-384", "/CN=Clocks", CA, 90);
        a.issue("tsa", "sub", kind, "/CN=Clock", STAMPER, 60);
        a.write(
            "tsa.cnf",
            CONFIG
                .replace("sha256\ndigests", "sha512\ndigests")
                .as_bytes(),
        );
        let question = stamp::question(&DIGEST, &NONCE);
        // Its chain comes along.
        let answer = answer_with(&a, &question, "-chain sub.pem");
        ours(&a, &answer).unwrap();
    }
}

#[test]
fn of_something_else_or_to_another_question_is_none() {
    let a = house(STAMPER, 60);
    let of = |digest, nonce: [u8; 16]| answer_with(&a, &stamp::question(&digest, &nonce), "");
    let other = of([8; 32], NONCE);
    assert!(matches!(refused(&a, &other), StampError::OtherImprint));
    let replayed = of(DIGEST, [1; 16]);
    assert!(matches!(refused(&a, &replayed), StampError::OtherNonce));
    // Without any nonce, as openssl asks where it is told to.
    let digest: String = DIGEST.iter().map(|b| format!("{b:02x}")).collect();
    a.openssl(&format!(
        "ts -query -digest {digest} -sha256 -cert -no_nonce -out n.tsq"
    ));
    let bare = answer_with(&a, &a.read("n.tsq"), "");
    assert!(matches!(refused(&a, &bare), StampError::OtherNonce));
    // By another algorithm.
    a.openssl(&format!(
        "ts -query -digest {digest}{digest} -sha512 -cert -out n.tsq"
    ));
    let sha512 = answer_with(&a, &a.read("n.tsq"), "");
    assert!(matches!(refused(&a, &sha512), StampError::OtherImprint));
    // Without the certificate that was asked for.
    a.openssl(&format!("ts -query -digest {digest} -sha256 -out n.tsq"));
    let naked = answer_with(&a, &a.read("n.tsq"), "");
    assert!(matches!(refused(&a, &naked), StampError::Cms(_)));
}

#[test]
fn only_a_trusted_authority_for_time_stamps_stamps() {
    let a = house(STAMPER, 60);
    let good = answer(&a);
    let stranger = house(STAMPER, 60);
    assert!(matches!(
        refused(&a, &answer(&stranger)),
        StampError::Authority(PathError::NoPath { .. } | PathError::Signature { .. })
    ));
    let store = TrustStore::default();
    let rules = a.rules(Revocation::Off);
    let nobody = stamp::accept(&good, &DIGEST, &NONCE, &store, &rules);
    assert!(matches!(
        nobody,
        Err(StampError::Authority(PathError::NoPath { .. }))
    ));
}

/// A certificate that `openssl ts` would not sign with, or whose signature we
/// refuse: it signs as the good one, and is put in its place.
#[test]
fn the_usage_is_time_stamping_critical_and_alone() {
    let critical = "extendedKeyUsage=critical,timeStamping";
    for extensions in [
        PERSON.to_owned(),
        STAMPER.replace(critical, "nsComment=none"),
        STAMPER.replace(critical, "extendedKeyUsage=timeStamping"),
        STAMPER.replace(
            critical,
            "extendedKeyUsage=critical,timeStamping,emailProtection",
        ),
        STAMPER.replace(critical, "extendedKeyUsage=critical,emailProtection"),
        STAMPER.replace("digitalSignature", "keyAgreement"),
    ] {
        let a = house(&extensions, 60);
        let token = signed_by(&a, "tsa");
        let rules = a.rules(Revocation::Off);
        let refused = stamp::verify(&token, &DIGEST, &store(&a), &rules);
        assert!(
            matches!(
                refused,
                Err(StampError::Authority(PathError::KeyUsage { .. }))
            ),
            "{extensions}: {refused:?}"
        );
        assert!(!theirs(&a, &token), "{extensions}");
    }
    // The same token, by a certificate as it should be; then by an authority
    // below one that may not give this usage.
    let a = house(STAMPER, 60);
    let token = signed_by(&a, "tsa");
    stamp::verify(&token, &DIGEST, &store(&a), &a.rules(Revocation::Off)).unwrap();
    assert!(theirs(&a, &token));
    let mail = format!("{CA}\nextendedKeyUsage=emailProtection");
    a.issue("sub", "root", "P-256", "/CN=Mail", &mail, 90);
    a.issue("tsa", "sub", "P-256", "/CN=Clock", STAMPER, 60);
    let below = signed_by(&a, "tsa");
    let store = a.store(&["root"], &["sub"], &[]);
    let refused = stamp::verify(&below, &DIGEST, &store, &a.rules(Revocation::Off));
    assert!(matches!(
        refused,
        Err(StampError::Authority(PathError::KeyUsage { .. }))
    ));
}

/// A token over `DIGEST` that `openssl cms` signs for whoever it is told.
fn signed_by(a: &Authority, name: &str) -> Vec<u8> {
    info(a, "");
    a.openssl(&format!(
        "cms -sign -binary -nodetach -nosmimecap -cades -md sha256 -in info.der \
         -econtent_type 1.2.840.113549.1.9.16.1.4 -signer {name}.pem -inkey {name}.key \
         -outform DER -out by.tst"
    ));
    a.read("by.tst")
}

/// Writes a TSTInfo to info.der, with more lines of openssl's asn1 language.
fn info(a: &Authority, more: &str) {
    let time = std::process::Command::new("date")
        .args(["-u", "+%Y%m%d%H%M%SZ"])
        .output()
        .expect("date runs");
    let time = String::from_utf8(time.stdout).unwrap();
    let digest: String = DIGEST.iter().map(|b| format!("{b:02x}")).collect();
    let text = format!(
        "asn1=SEQUENCE:i\n[i]\nv=INTEGER:1\np=OID:1.2.3.4\nm=SEQUENCE:m\ns=INTEGER:1\n\
         t=GENERALIZEDTIME:{}\n{more}\n[m]\na=SEQUENCE:a\nh=FORMAT:HEX,OCTETSTRING:{digest}\n\
         [a]\no=OID:sha256\n[x]\ne=SEQUENCE:e\n[e]\no=OID:1.2.3.4\nc=BOOL:TRUE\nv=OCTETSTRING:x\n",
        time.trim()
    );
    a.write("info.cnf", text.as_bytes());
    a.openssl("asn1parse -genconf info.cnf -noout -out info.der");
}

#[test]
fn what_is_critical_and_unknown_spoils_a_stamp() {
    let a = house(STAMPER, 60);
    let sign = |more| {
        info(&a, more);
        a.openssl(
            "cms -sign -binary -nodetach -nosmimecap -cades -md sha256 -in info.der \
             -econtent_type 1.2.840.113549.1.9.16.1.4 -signer tsa.pem -inkey tsa.key \
             -outform DER -out by.tst",
        );
        stamp::verify(
            &a.read("by.tst"),
            &DIGEST,
            &store(&a),
            &a.rules(Revocation::Off),
        )
    };
    sign("").unwrap();
    sign("n=INTEGER:77").unwrap();
    let critical = sign("x=IMPLICIT:1,SEQUENCE:x");
    assert!(
        matches!(critical, Err(StampError::Damaged(_))),
        "{critical:?}"
    );
}

#[test]
fn an_authority_counts_at_the_time_it_stamps() {
    // It had expired.
    let a = house(STAMPER, 60);
    let ended = "-days -1";
    a.openssl(&format!(
        "x509 -req -in tsa.csr -CA root.pem -CAkey root.key {ended} -set_serial 7 \
         -extfile ext.cnf -extensions e -sha256 -out tsa.pem"
    ));
    let token = signed_by(&a, "tsa");
    let rules = a.rules(Revocation::Off);
    let expired = stamp::verify(&token, &DIGEST, &store(&a), &rules);
    assert!(
        matches!(
            expired,
            Err(StampError::Authority(PathError::Expired { .. }))
        ),
        "{expired:?}"
    );
    // A stamp of a day to come.
    let a = house(STAMPER, 60);
    let (token, stamp) = ours(&a, &answer(&a)).unwrap();
    let before = Rules {
        now: stamp.time - 1000,
        ..a.rules(Revocation::Off)
    };
    let early = stamp::verify(&token, &DIGEST, &store(&a), &before);
    assert!(matches!(early, Err(StampError::Future)), "{early:?}");
}

#[test]
fn a_revoked_authority_has_stamped_nothing() {
    let a = house(STAMPER, 60);
    let (token, stamp) = ours(&a, &answer(&a)).unwrap();
    let judge = |a: &Authority| {
        let store = a.store(&["root"], &[], &["root"]);
        let rules = Rules {
            now: a.now + 600,
            ..a.rules(Revocation::Require)
        };
        stamp::verify(&token, &DIGEST, &store, &rules)
    };
    a.crl("root", "root", 30);
    assert!(judge(&a).unwrap().revocation_checked);
    // Whoever has its key chooses the time: before and after are the same.
    for when in [stamp.time - 10, stamp.time + 10] {
        a.write("root.index", b"");
        a.revoke_at("root", "tsa", when);
        a.crl("root", "root", 30);
        let refused = judge(&a).unwrap_err();
        assert!(refused.to_string().contains("revoked"), "{refused}");
    }
}

#[test]
fn garbage_refusals_and_floods_are_no_stamps() {
    let a = house(STAMPER, 60);
    let good = answer(&a);
    for bad in [
        Vec::new(),
        b"<html>not found</html>".to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], b"\0"].concat(),
        vec![0x30; MAX_ANSWER + 1],
    ] {
        assert!(matches!(refused(&a, &bad), StampError::Damaged(_)));
    }
    // Every bit of the token matters, but those of unsigned certificates.
    let (token, _) = ours(&a, &good).unwrap();
    let rules = a.rules(Revocation::Off);
    let flipped = |place: usize| {
        let mut bad = token.clone();
        bad[place] ^= 1;
        stamp::verify(&bad, &DIGEST, &store(&a), &rules).is_err()
    };
    let content = token.windows(32).position(|w| w == DIGEST).unwrap();
    for place in [
        0,
        10,
        content,
        content + 40,
        token.len() - 1,
        token.len() - 200,
    ] {
        assert!(flipped(place), "{place}");
    }
    // An algorithm that the authority does not take.
    a.openssl("ts -query -data root.pem -sha384 -out n.tsq");
    let no = answer_with(&a, &a.read("n.tsq"), "");
    let StampError::Refused { status, words } = refused(&a, &no) else {
        panic!("a refusal is told")
    };
    assert_eq!(status, 2);
    assert!(words.contains("not supported"), "{words}");
}

#[test]
fn a_message_is_no_stamp_and_a_stamp_no_message() {
    let a = house(STAMPER, 60);
    let (token, _) = ours(&a, &answer(&a)).unwrap();
    assert!(smr_pki::cms::SignedData::parse(&token).is_err());
    a.openssl(
        "cms -sign -binary -nodetach -nosmimecap -cades -md sha256 -in root.pem -signer tsa.pem \
         -inkey tsa.key -outform DER -out message.p7s",
    );
    let rules = a.rules(Revocation::Off);
    let message = stamp::verify(&a.read("message.p7s"), &DIGEST, &store(&a), &rules);
    assert!(matches!(message, Err(StampError::Cms(_))));
}
