//! Device certificates: made by us, judged by openssl, and the other way.

use smr_pki::certificate::Certificate;
use smr_pki::path::{Revocation, verify as verify_path};
use smr_pki::proxy::{POLICY_OID, ProxyError, ProxyRequest, issue, verify};
use smr_pki::signer::{SoftKey, generate_p256};

use crate::authority::{Authority, DAY, PERSON};

pub(crate) const POLICY: &str = "maria@repo.example\nlaptop\n";

pub(crate) fn request(a: &Authority, spki: Vec<u8>) -> ProxyRequest {
    ProxyRequest {
        spki,
        common_name: "smr maria@repo.example laptop".into(),
        policy: POLICY.into(),
        not_before: a.now - 60,
        not_after: a.now + 365 * DAY,
        serial: [0xee; 16],
    }
}

/// Makes a device for `card` and returns its signer; writes `device.pem`.
pub(crate) fn device(a: &Authority, card: &str, chain: &[&str]) -> SoftKey {
    let (pkcs8, spki) = generate_p256().unwrap();
    let made = issue(&request(a, spki), &a.signer(card, &[])).unwrap();
    a.write("device.pem", made.to_pem().as_bytes());
    let above = [&[card], chain].concat();
    let above = above.iter().map(|c| a.certificate(c)).collect();
    SoftKey::from_pkcs8(&pkcs8, made, above).unwrap()
}

fn openssl_accepts(a: &Authority, leaf: &str) -> bool {
    let above = [a.read("ca1.pem"), a.read("ca2.pem"), a.read("maria.pem")].concat();
    a.write("above.pem", &above);
    let words =
        "verify -allow_proxy_certs -purpose smimesign -CAfile root.pem -untrusted above.pem";
    a.accepts(&format!("{words} -attime {} {leaf}", a.now))
}

#[test]
fn openssl_accepts_a_device() {
    let a = Authority::citizens();
    device(&a, "maria", &[]);
    let made = a.certificate("device");
    let maria = a.certificate("maria");
    let facts = verify(&made, &maria, a.now).unwrap();
    assert_eq!(facts.policy, POLICY);
    assert_eq!(facts.common_name, "smr maria@repo.example laptop");
    assert_eq!(made.not_after(), maria.not_after(), "cut to the card's");
    assert_eq!(made.extended_key_usage(), maria.extended_key_usage());
    assert_eq!(made.common_name(), Some("smr maria@repo.example laptop"));
    assert_eq!(made.subject_serial_number(), maria.subject_serial_number());
    let info = made.proxy().unwrap();
    assert_eq!(
        (info.path_len, info.policy_oid.as_str()),
        (Some(0), POLICY_OID)
    );
    assert!(openssl_accepts(&a, "device.pem"));

    let text = a.openssl("x509 -in device.pem -noout -text");
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("Path Length Constraint: 0"), "{text}");
}

#[test]
fn every_kind_of_card_makes_devices() {
    let a = Authority::citizens();
    for kind in ["rsa:2048", "P-384"] {
        a.issue("maria", "ca2", kind, "/CN=M", PERSON, 30);
        device(&a, "maria", &[]);
        verify(&a.certificate("device"), &a.certificate("maria"), a.now).unwrap();
        assert!(openssl_accepts(&a, "device.pem"), "{kind}");
    }
    let (_, spki) = generate_p256().unwrap();
    let made = issue(&request(&a, spki), &a.signer("maria", &[]).with_pss()).unwrap();
    a.write("device.pem", made.to_pem().as_bytes());
    assert!(openssl_accepts(&a, "device.pem"));
}

#[test]
fn a_device_is_no_card() {
    let a = Authority::citizens();
    let signer = device(&a, "maria", &[]);
    let (_, spki) = generate_p256().unwrap();
    let second = issue(&request(&a, spki), &signer);
    assert!(matches!(second, Err(ProxyError::Rule(_))));
    let store = a.store(&["root"], &["ca1", "ca2"], &[]);
    let made = a.certificate("device");
    let above = [a.certificate("maria")];
    assert!(verify_path(&made, &above, &store, &a.rules(Revocation::Off)).is_err());
}

#[test]
fn not_every_card_may_make_devices() {
    let a = Authority::citizens();
    let (_, spki) = generate_p256().unwrap();
    let signing_only = PERSON.replace("digitalSignature", "nonRepudiation");
    a.issue("rui", "ca2", "P-256", "/CN=Rui", &signing_only, 30);
    for name in ["rui", "ca2"] {
        let made = issue(&request(&a, spki.clone()), &a.signer(name, &[]));
        assert!(matches!(made, Err(ProxyError::Rule(_))), "{name}: {made:?}");
    }
}

#[test]
fn impossible_requests_are_refused() {
    let a = Authority::citizens();
    let maria = a.signer("maria", &[]);
    let (_, spki) = generate_p256().unwrap();
    let good = request(&a, spki);
    let bad = |change: &dyn Fn(&mut ProxyRequest)| {
        let mut request = good.clone();
        change(&mut request);
        issue(&request, &maria).is_err()
    };
    assert!(!bad(&|_| ()));
    assert!(!bad(&|r| r.common_name = "n".repeat(64)));
    assert!(bad(&|r| r.common_name = "n".repeat(65)));
    assert!(bad(&|r| r.common_name.clear()));
    assert!(bad(&|r| r.not_before = a.now + 61 * DAY));
    assert!(bad(&|r| r.not_after = r.not_before - 1));
    assert!(bad(&|r| r.spki = a.certificate("root").spki_der().to_vec()));
    assert!(bad(&|r| r.spki.clear()));
}

#[test]
fn only_its_card_and_its_time_make_a_device_good() {
    let a = Authority::citizens();
    device(&a, "maria", &[]);
    let made = a.certificate("device");
    let maria = a.certificate("maria");
    let at = |now| verify(&made, &maria, now);
    assert!(matches!(at(a.now - DAY), Err(ProxyError::NotYetValid)));
    assert!(matches!(at(a.now + 61 * DAY), Err(ProxyError::Expired)));

    // The same person's next card has the same name and another key.
    let subject = "/C=PT/O=Card/serialNumber=BI1/CN=MARIA SILVA";
    a.issue("next", "ca2", "P-256", subject, PERSON, 60);
    let other = verify(&made, &a.certificate("next"), a.now);
    // Made a moment later, its validity may already tell the two apart.
    assert!(matches!(
        other,
        Err(ProxyError::Signature | ProxyError::Rule(_))
    ));
    a.issue("rui", "ca2", "P-256", "/CN=Rui", PERSON, 60);
    assert!(matches!(
        verify(&made, &a.certificate("rui"), a.now),
        Err(ProxyError::Rule(_))
    ));

    let mut bent = made.der().to_vec();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    let bent = Certificate::from_der(&bent).unwrap();
    assert!(matches!(
        verify(&bent, &maria, a.now),
        Err(ProxyError::Signature)
    ));
}

/// Devices that openssl makes in our form are accepted, and each with one
/// thing wrong is refused.
#[test]
fn rules_hold_for_foreign_devices() {
    let a = Authority::citizens();
    let name = "/C=PT/O=Card/serialNumber=BI1/CN=MARIA SILVA/CN=smr m@r d";
    let info = "1.3.6.1.5.5.7.1.14=critical,ASN1:SEQUENCE:pci\nkeyUsage=critical,digitalSignature";
    let pci = |len: &str, language: &str| {
        format!(
            "\n[pci]\n{len}policy=SEQUENCE:pp\n[pp]\nlanguage=OID:{language}\n\
             policy=FORMAT:ASCII,OCTETSTRING:text"
        )
    };
    let ours = pci("len=INTEGER:0\n", POLICY_OID);
    let outcome = |kind: &str, name: &str, extensions: &str, days: u32| {
        a.issue("device", "maria", kind, name, extensions, days);
        verify(&a.certificate("device"), &a.certificate("maria"), a.now)
    };
    outcome("P-256", name, &format!("{info}{ours}"), 30).unwrap();

    let longer = format!("{name}/CN=more");
    let shorter = "/C=PT/O=Card/serialNumber=BI1/CN=MARIA SILVA";
    let other = "/C=PT/O=Card/serialNumber=BI2/CN=MARIA SILVA/CN=smr m@r d";
    let unit = "/C=PT/O=Card/serialNumber=BI1/CN=MARIA SILVA/OU=smr m@r d";
    for name in [&longer, shorter, other, unit] {
        let outcome = outcome("P-256", name, &format!("{info}{ours}"), 30);
        assert!(
            matches!(outcome, Err(ProxyError::Rule(_))),
            "{name}: {outcome:?}"
        );
    }
    let extended = |more: &str| format!("{info}\n{more}{ours}");
    for extensions in [
        extended("subjectAltName=email:m@r"),
        extended("basicConstraints=critical,CA:TRUE"),
        extended("extendedKeyUsage=codeSigning"),
        extended("1.2.3.4=critical,DER:05:00"),
        format!("{info}{}", pci("len=INTEGER:1\n", POLICY_OID)),
        format!("{info}{}", pci("", POLICY_OID)),
        format!("{info}{}", pci("len=INTEGER:0\n", "1.3.6.1.5.5.7.21.1")),
        format!("{info}{ours}").replace("digitalSignature", "digitalSignature,keyCertSign"),
        format!("{info}{ours}").replace("digitalSignature", "keyAgreement"),
        format!("{info}{ours}").replace("14=critical,", "14="),
        "keyUsage=critical,digitalSignature".into(),
    ] {
        let outcome = outcome("P-256", name, &extensions, 30);
        assert!(
            matches!(outcome, Err(ProxyError::Rule(_))),
            "{extensions}: {outcome:?}"
        );
    }
    let good = format!("{info}{ours}");
    for (kind, days) in [("P-384", 30), ("P-256", 90)] {
        let outcome = outcome(kind, name, &good, days);
        assert!(
            matches!(outcome, Err(ProxyError::Rule(_))),
            "{kind} {days}: {outcome:?}"
        );
    }
}
