//! Certificates and keys as openssl writes them.

use smr_pki::certificate::{Certificate, KeyKind};
use smr_pki::crl::parse_bundle;
use smr_pki::signature;
use smr_pki::signer::{Algorithm, KeyError, Signer, SoftKey, generate_p256};

use crate::authority::{Authority, PERSON};

#[test]
fn facts_are_read() {
    let a = Authority::citizens();
    let maria = a.certificate("maria");
    assert_eq!(maria.common_name(), Some("MARIA SILVA"));
    assert_eq!(maria.country(), Some("PT"));
    assert_eq!(maria.subject_serial_number(), Some("BI1"));
    assert_eq!(
        maria.subject_text(),
        "CN=MARIA SILVA,SERIALNUMBER=BI1,O=Card,C=PT"
    );
    assert_eq!(maria.issuer_text(), "CN=Cards 1,O=State,C=PT");
    assert_eq!(maria.issuer_der(), a.certificate("ca2").subject_der());
    assert_eq!(maria.key_kind(), KeyKind::P256);
    assert_eq!(a.certificate("root").key_kind(), KeyKind::Rsa(2048));
    assert_eq!(maria.serial()[..2], [0, 0x80]);
    assert_eq!(maria.not_after() - maria.not_before(), 60 * 86_400);
    assert!(!maria.is_ca() && a.certificate("ca1").is_ca());
    assert!(!maria.is_self_issued() && a.certificate("root").is_self_issued());
    let usage = maria.key_usage().unwrap();
    assert!(usage.digital_signature && !usage.non_repudiation && !usage.key_cert_sign);
    let extended = maria.extended_key_usage().unwrap();
    assert_eq!(extended, ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"]);
    assert_eq!(maria.proxy(), None);

    let theirs = a.openssl("x509 -in maria.pem -noout -fingerprint -sha256");
    let theirs = String::from_utf8(theirs)
        .unwrap()
        .trim()
        .replace(':', "")
        .to_lowercase();
    let ours: String = maria
        .fingerprint()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert!(theirs.ends_with(&ours));
    let spki = a.openssl("pkey -in maria.key -pubout -outform DER");
    assert_eq!(maria.spki_der(), spki);
}

#[test]
fn bundles_are_read() {
    let a = Authority::citizens();
    let text = [a.read("root.pem"), a.read("root.crl"), a.read("ca1.pem")].concat();
    let found = Certificate::pem_or_der_bundle(&text).unwrap();
    assert_eq!(found, [a.certificate("root"), a.certificate("ca1")]);
    assert_eq!(found[0].to_pem().as_bytes(), a.read("root.pem"));
    assert_eq!(
        Certificate::pem_or_der_bundle(found[1].der()).unwrap(),
        found[1..]
    );
    assert_eq!(parse_bundle(&text).unwrap(), [a.list("root")]);
    assert_eq!(parse_bundle(&a.list("root").der).unwrap().len(), 1);

    assert!(Certificate::pem_or_der_bundle(b"").is_err());
    assert!(Certificate::pem_or_der_bundle(&a.read("root.crl")).is_err());
    assert!(parse_bundle(&a.read("root.pem")).is_err());
    let cut = &text[..a.read("root.pem").len() - 30];
    assert!(Certificate::pem_or_der_bundle(cut).is_err());
}

#[test]
fn damaged_certificates_are_refused() {
    let a = Authority::citizens();
    let der = a.certificate("maria").der().to_vec();
    for length in 0..der.len() {
        assert!(Certificate::from_der(&der[..length]).is_err());
    }
    let longer = [&der[..], &[0]].concat();
    assert!(Certificate::from_der(&longer).is_err());
    // Whatever one bit does, nothing panics.
    for place in 0..der.len() * 8 {
        let mut bent = der.clone();
        bent[place / 8] ^= 1 << (place % 8);
        if let Ok(read) = Certificate::from_der(&bent) {
            assert_eq!(read.der(), bent);
        }
    }
    let two = format!("{PERSON}\n1.2.3.4.5=DER:05:00\n1.2.3.4.6=DER:05:00");
    a.issue("two", "ca2", "P-256", "/CN=Two", &two, 30);
    let mut twice = a.certificate("two").der().to_vec();
    let oid = [0x06, 0x04, 0x2a, 0x03, 0x04, 0x06];
    let place = twice.windows(6).position(|w| w == oid).unwrap();
    twice[place + 5] = 5;
    let read = Certificate::from_der(&twice);
    assert!(read.unwrap_err().to_string().contains("twice"));
}

#[test]
fn strange_names_do_no_harm() {
    let a = Authority::citizens();
    let name = "/C=PT/CN=Jos\u{e9}\u{1b}[31m, Lda/serialNumber=1/serialNumber=2";
    a.issue("odd", "ca2", "P-256", name, PERSON, 30);
    let odd = a.certificate("odd");
    assert_eq!(odd.subject_serial_number(), None);
    assert_eq!(odd.common_name(), Some("Jos\u{e9}\u{1b}[31m, Lda"));
    assert!(
        !odd.subject_text().contains('\u{1b}'),
        "{}",
        odd.subject_text()
    );
}

#[test]
fn openssl_verifies_what_key_files_sign() {
    let a = Authority::citizens();
    a.issue("rsa", "ca2", "rsa:2048", "/CN=R", PERSON, 30);
    a.issue("p384", "ca2", "P-384", "/CN=P", PERSON, 30);
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32";
    a.write("text", b"what is signed");
    a.write("other", b"what is singed");
    for (name, options, algorithm) in [
        ("maria", "", Algorithm::EcdsaP256Sha256),
        ("p384", "", Algorithm::EcdsaP384Sha256),
        ("rsa", "", Algorithm::RsaPkcs1Sha256),
        ("rsa", pss, Algorithm::RsaPssSha256),
    ] {
        let mut signer = a.signer(name, &[]);
        if algorithm == Algorithm::RsaPssSha256 {
            signer = signer.with_pss();
        }
        assert_eq!(signer.algorithm(), algorithm);
        let made = signer.sign(b"what is signed").unwrap();
        a.write("made", &made);
        let words = format!("dgst -sha256 -prverify {name}.key {options} -signature made");
        assert!(a.accepts(&format!("{words} text")), "{name} {options}");
        assert!(!a.accepts(&format!("{words} other")));

        let spki = signer.certificate().spki_der();
        signature::verify_with(spki, algorithm, b"what is signed", &made).unwrap();
        let identifier = algorithm.identifier_der();
        signature::verify(spki, &identifier, b"what is signed", &made).unwrap();
        assert!(signature::verify_with(spki, algorithm, b"what is singed", &made).is_err());
        let other = a.certificate("ca1");
        assert!(
            signature::verify(other.spki_der(), &identifier, b"what is signed", &made).is_err()
        );
    }
}

#[test]
fn a_key_must_be_its_certificates() {
    let a = Authority::citizens();
    a.issue("rui", "ca2", "P-256", "/CN=Rui", PERSON, 30);
    a.issue("rsa", "ca2", "rsa:2048", "/CN=R", PERSON, 30);
    a.issue("p384", "ca2", "P-384", "/CN=P", PERSON, 30);
    a.issue("p384b", "ca2", "P-384", "/CN=P", PERSON, 30);
    for name in ["rui", "rsa", "p384b"] {
        a.signer(name, &[]);
    }
    for (key, certificate) in [("rui", "maria"), ("rsa", "maria"), ("p384b", "p384")] {
        let pkcs8 = a.read(&format!("{key}.p8"));
        let made = SoftKey::from_pkcs8(&pkcs8, a.certificate(certificate), Vec::new());
        assert!(
            matches!(made, Err(KeyError::Mismatch)),
            "{key} for {certificate}"
        );
    }
    let made = SoftKey::from_pkcs8(b"no key", a.certificate("maria"), Vec::new());
    assert!(matches!(made, Err(KeyError::Unusable)));
}

/// A key bound to PSS, as `rsassaPss` in the certificate says.
#[test]
fn a_pss_key_signs_pss_only() {
    let a = Authority::citizens();
    a.issue("pss", "ca2", "rsa-pss:2048", "/CN=S", PERSON, 30);
    let signer = a.signer("pss", &["ca2", "ca1"]);
    assert_eq!(signer.algorithm(), Algorithm::RsaPssSha256);
    let made = signer.sign(b"m").unwrap();
    let spki = signer.certificate().spki_der();
    signature::verify_with(spki, Algorithm::RsaPssSha256, b"m", &made).unwrap();
    let other = signature::verify_with(spki, Algorithm::RsaPkcs1Sha256, b"m", &made);
    assert!(matches!(
        other,
        Err(signature::SignatureError::Unsupported(_))
    ));
}

#[test]
fn openssl_reads_a_new_key() {
    let a = Authority::new();
    let (pkcs8, spki) = generate_p256().unwrap();
    a.write("new.p8", &pkcs8);
    let theirs = a.openssl("pkey -inform DER -in new.p8 -pubout -outform DER");
    assert_eq!(theirs, spki);
    let (_, second) = generate_p256().unwrap();
    assert_ne!(second, spki);
}
