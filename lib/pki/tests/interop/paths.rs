//! Paths: our verdict and openssl's on the same leaf, store and time.

use smr_pki::path::{PathError, Revocation, verify};

use crate::authority::{Authority, CA, DAY, PERSON};

const OTHERS: [&str; 2] = ["ca1", "ca2"];

/// Our verdict under one root and openssl's, without revocation.
fn both(a: &Authority, leaf: &str, others: &[&str], later: i64) -> (Result<(), PathError>, bool) {
    let mut rules = a.rules(Revocation::Off);
    rules.now += later;
    let store = a.store(&["root"], others, &[]);
    let ours = verify(&a.certificate(leaf), &[], &store, &rules).map(|_| ());
    (ours, a.oracle(leaf, &["root"], others, &[], &rules))
}

#[track_caller]
fn refused_by_both(
    a: &Authority,
    leaf: &str,
    others: &[&str],
    expected: impl Fn(&PathError) -> bool,
) {
    let (ours, theirs) = both(a, leaf, others, 0);
    let error = ours.unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(!theirs, "openssl accepts {leaf}");
}

#[track_caller]
fn refused_by_us(
    a: &Authority,
    leaf: &str,
    others: &[&str],
    expected: impl Fn(&PathError) -> bool,
) {
    let (ours, theirs) = both(a, leaf, others, 0);
    let error = ours.unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(theirs, "openssl has become stricter about {leaf}");
}

fn is_usage(error: &PathError) -> bool {
    matches!(error, PathError::KeyUsage { .. })
}

fn is_constraint(error: &PathError) -> bool {
    matches!(error, PathError::Constraint { .. })
}

#[test]
fn a_good_chain_is_believed_from_either_side() {
    let a = Authority::citizens();
    assert_eq!(both(&a, "maria", &OTHERS, 0), (Ok(()), true));

    let rules = a.rules(Revocation::Off);
    let bare = a.store(&["root"], &[], &[]);
    let maria = a.certificate("maria");
    let extra = [a.certificate("ca1"), a.certificate("ca2")];
    let verdict = verify(&maria, &extra, &bare, &rules).unwrap();
    assert_eq!(verdict.realm, "state");
    assert!(!verdict.revocation_checked);
    let names = ["maria", "ca2", "ca1", "root"].map(|n| a.certificate(n));
    assert_eq!(verdict.chain, names);

    let error = verify(&maria, &extra[..1], &bare, &rules).unwrap_err();
    assert!(matches!(error, PathError::NoPath { .. }), "{error:?}");
    assert!(error.to_string().contains("MARIA SILVA"));
}

#[test]
fn time_decides() {
    let a = Authority::citizens();
    let (late, oracle) = both(&a, "maria", &OTHERS, 61 * DAY);
    assert!(matches!(late, Err(PathError::Expired { ref subject }) if subject.contains("MARIA")));
    assert!(!oracle);
    let (early, oracle) = both(&a, "maria", &OTHERS, -DAY);
    assert!(matches!(early, Err(PathError::NotYetValid { .. })));
    assert!(!oracle);

    // The skew forgives what has not begun, never what is over.
    let store = a.store(&["root"], &OTHERS, &[]);
    let mut rules = a.rules(Revocation::Off);
    rules.now -= DAY;
    rules.clock_skew = 2 * DAY;
    verify(&a.certificate("maria"), &[], &store, &rules).unwrap();
    rules.now += 61 * DAY + DAY;
    let late = verify(&a.certificate("maria"), &[], &store, &rules).unwrap_err();
    assert!(matches!(late, PathError::Expired { .. }));
}

#[test]
fn strangers_are_refused() {
    let a = Authority::citizens();
    a.root("other", "P-256", "/CN=Other");
    a.issue("eve", "other", "P-256", "/CN=Eve", PERSON, 60);
    refused_by_both(&a, "eve", &OTHERS, |e| {
        matches!(e, PathError::NoPath { .. })
    });

    // The same names, other keys.
    a.root("fake", "rsa:2048", "/C=PT/O=State/CN=Root");
    a.issue("eve", "fake", "P-256", "/CN=Eve", PERSON, 60);
    refused_by_both(&a, "eve", &OTHERS, |e| {
        matches!(e, PathError::Signature { .. })
    });
}

#[test]
fn the_self_signed_are_refused_even_as_anchors() {
    let a = Authority::citizens();
    a.self_signed("selfie", "P-256", "/CN=Selfie", PERSON);
    refused_by_both(&a, "selfie", &OTHERS, |e| {
        matches!(e, PathError::SelfSigned { .. })
    });
    let store = a.store(&["root", "selfie"], &[], &[]);
    let rules = a.rules(Revocation::Off);
    let error = verify(&a.certificate("selfie"), &[], &store, &rules).unwrap_err();
    assert!(matches!(error, PathError::SelfSigned { .. }));
}

#[test]
fn an_authority_is_no_person() {
    let a = Authority::citizens();
    refused_by_both(&a, "ca2", &OTHERS, is_usage);
    let both_ways = CA.replace("keyCertSign", "keyCertSign,digitalSignature");
    a.issue("abbot", "ca2", "P-256", "/CN=Abbot", &both_ways, 60);
    refused_by_us(&a, "abbot", &OTHERS, is_usage);
    let signs = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,cRLSign";
    a.issue("clerk", "ca2", "P-256", "/CN=Clerk", signs, 60);
    refused_by_us(&a, "clerk", &OTHERS, is_usage);
}

#[test]
fn a_person_is_no_authority() {
    let a = Authority::citizens();
    a.issue("rui", "maria", "P-256", "/CN=Rui", PERSON, 30);
    refused_by_both(&a, "rui", &["ca1", "ca2", "maria"], is_constraint);

    let weak = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature";
    a.issue("weak", "root", "P-256", "/CN=Weak", weak, 60);
    a.issue("rui", "weak", "P-256", "/CN=Rui", PERSON, 30);
    refused_by_both(&a, "rui", &["weak"], is_usage);

    a.issue_with("v1", "root", "P-256", "/CN=V1", CA, 60, "-sha256 -clrext");
    let version1 = a.openssl("x509 -req -in v1.csr -CA root.pem -CAkey root.key -set_serial 9");
    a.write("v1.pem", &version1);
    let person = PERSON.replace("\nauthorityKeyIdentifier=keyid", "");
    a.issue("rui", "v1", "P-256", "/CN=Rui", &person, 30);
    refused_by_both(&a, "rui", &["v1"], is_constraint);
}

#[test]
fn path_length_and_names_bind() {
    let a = Authority::citizens();
    let short = format!("{CA}\n").replace("CA:TRUE", "CA:TRUE,pathlen:0");
    a.issue("short", "root", "P-256", "/CN=Short", &short, 60);
    a.issue("below", "short", "P-256", "/CN=Below", CA, 60);
    a.issue("rui", "below", "P-256", "/CN=Rui", PERSON, 30);
    refused_by_both(&a, "rui", &["short", "below"], is_constraint);

    let narrow = format!("{CA}\nnameConstraints=critical,permitted;email:.example.org");
    a.issue("narrow", "root", "P-256", "/CN=Narrow", &narrow, 60);
    let mail = |at: &str| format!("{PERSON}\nsubjectAltName=email:rui@{at}");
    a.issue(
        "rui",
        "narrow",
        "P-256",
        "/CN=Rui",
        &mail("a.example.org"),
        30,
    );
    assert_eq!(both(&a, "rui", &["narrow"], 0), (Ok(()), true));
    a.issue(
        "rui",
        "narrow",
        "P-256",
        "/CN=Rui",
        &mail("a.example.net"),
        30,
    );
    refused_by_both(&a, "rui", &["narrow"], is_constraint);
}

#[test]
fn constraints_of_the_anchor_bind() {
    let a = Authority::new();
    let narrow = format!("{CA}\nnameConstraints=critical,permitted;email:.example.org");
    a.self_signed("root", "P-256", "/CN=Narrow root", &narrow);
    let mail = |at: &str| format!("{PERSON}\nsubjectAltName=email:rui@{at}");
    a.issue(
        "rui",
        "root",
        "P-256",
        "/CN=Rui",
        &mail("a.example.org"),
        30,
    );
    assert_eq!(both(&a, "rui", &[], 0), (Ok(()), true));
    a.issue(
        "rui",
        "root",
        "P-256",
        "/CN=Rui",
        &mail("a.example.net"),
        30,
    );
    refused_by_both(&a, "rui", &[], is_constraint);
}

#[test]
fn key_usage_binds() {
    let a = Authority::citizens();
    let usage = |usage: &str| format!("basicConstraints=CA:FALSE\n{usage}");
    let issue = |text: &str| a.issue("rui", "ca2", "P-256", "/CN=Rui", &usage(text), 30);

    issue("keyUsage=critical,nonRepudiation");
    assert_eq!(both(&a, "rui", &OTHERS, 0), (Ok(()), true));
    issue("keyUsage=critical,keyAgreement");
    refused_by_both(&a, "rui", &OTHERS, is_usage);
    issue("keyUsage=digitalSignature\nextendedKeyUsage=serverAuth");
    refused_by_both(&a, "rui", &OTHERS, is_usage);
    issue("keyUsage=digitalSignature\n2.5.29.37=DER:30:00");
    refused_by_both(&a, "rui", &OTHERS, is_usage);
    issue("");
    refused_by_us(&a, "rui", &OTHERS, is_usage);

    let web = format!("{CA}\nextendedKeyUsage=serverAuth");
    a.issue("web", "root", "P-256", "/CN=Web", &web, 60);
    a.issue("rui", "web", "P-256", "/CN=Rui", PERSON, 30);
    refused_by_both(&a, "rui", &["web"], is_usage);
}

#[test]
fn what_is_critical_must_be_known() {
    let a = Authority::citizens();
    let strange = format!("{PERSON}\n1.2.3.4.5=critical,DER:05:00");
    a.issue("rui", "ca2", "P-256", "/CN=Rui", &strange, 30);
    refused_by_both(&a, "rui", &OTHERS, is_constraint);
    let strange = format!("{PERSON}\n1.2.3.4.5=DER:05:00");
    a.issue("rui", "ca2", "P-256", "/CN=Rui", &strange, 30);
    assert_eq!(both(&a, "rui", &OTHERS, 0), (Ok(()), true));
}

#[test]
fn weak_algorithms_are_refused() {
    let a = Authority::citizens();
    a.issue_with("rui", "ca2", "P-256", "/CN=Rui", PERSON, 30, "-sha1");
    refused_by_us(&a, "rui", &OTHERS, |e| {
        matches!(e, PathError::Signature { .. })
    });
    a.issue("rui", "ca2", "rsa:1024", "/CN=Rui", PERSON, 30);
    refused_by_us(&a, "rui", &OTHERS, is_usage);
    a.issue("rui", "ca2", "secp256k1", "/CN=Rui", PERSON, 30);
    refused_by_us(&a, "rui", &OTHERS, is_usage);
}

#[test]
fn every_signature_algorithm_is_read() {
    let a = Authority::new();
    // The greatest salt of RSA-3072 is 350 bytes, more than one byte counts.
    a.root("root", "rsa:3072", "/CN=Root");
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen";
    for (n, options) in [
        "-sha384".to_owned(),
        "-sha512".to_owned(),
        format!("-sha256 {pss}:max"),
        format!("-sha512 {pss}:digest"),
        format!("-sha384 {pss}:20"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("rui{n}");
        a.issue_with(&name, "root", "P-256", "/CN=Rui", PERSON, 30, options);
        assert_eq!(both(&a, &name, &[], 0), (Ok(()), true), "{options}");
    }
    for curve in ["P-256", "P-384", "P-521"] {
        a.issue(curve, "root", curve, &format!("/CN={curve}"), CA, 60);
        for hash in ["-sha256", "-sha384", "-sha512"] {
            let name = format!("rui{curve}{hash}");
            a.issue_with(&name, curve, "P-256", "/CN=Rui", PERSON, 30, hash);
            assert_eq!(both(&a, &name, &[curve], 0), (Ok(()), true), "{name}");
        }
    }
}

#[test]
fn the_realm_is_that_of_the_anchor() {
    let a = Authority::citizens();
    a.root("firm", "P-256", "/CN=Firm");
    a.issue("rui", "firm", "P-256", "/CN=Rui", PERSON, 30);
    let mut store = a.store(&["root"], &OTHERS, &[]);
    let firm = a.store(&["firm"], &[], &[]).realms.remove(0);
    store.realms.push(smr_pki::path::Realm {
        name: "firm".into(),
        ..firm
    });
    let rules = a.rules(Revocation::Off);
    let realm = |leaf: &str| {
        let leaf = a.certificate(leaf);
        verify(&leaf, &[], &store, &rules).map(|v| v.realm)
    };
    assert_eq!(realm("maria").unwrap(), "state");
    assert_eq!(realm("rui").unwrap(), "firm");
    store.realms.truncate(1);
    assert!(verify(&a.certificate("rui"), &[], &store, &rules).is_err());
}

/// An anchor's key identifier is public; who writes it into his certificate
/// is not an anchor for it.
#[test]
fn a_borrowed_key_identifier_helps_nobody() {
    let a = Authority::citizens();
    let text = a.openssl("x509 -in root.pem -noout -ext subjectKeyIdentifier");
    let text = String::from_utf8(text).unwrap();
    let id = text.lines().nth(1).unwrap().trim().replace(':', "");
    let borrowed = PERSON
        .replace("hash", &id)
        .replace("\nauthorityKeyIdentifier=keyid", "");
    a.root("other", "P-256", "/CN=Other");
    a.issue("eve", "other", "P-256", "/CN=Eve", &borrowed, 60);
    refused_by_both(&a, "eve", &OTHERS, |e| {
        matches!(e, PathError::NoPath { .. })
    });
}
