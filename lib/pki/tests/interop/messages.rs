//! Signed messages: ours read by openssl, openssl's read by us.

use smr_pki::cms::{
    CmsError, Content, ContentType, DigestAlgorithm, SignRequest, SignedData, sign,
};
use smr_pki::ess::ReceiptRequest;
use smr_pki::signer::{Algorithm, Signer, SignerError};

use crate::authority::{Authority, PERSON};
use crate::devices::device;

pub(crate) const TEXT: &[u8] = b"Content-Type: text/plain\r\n\r\nhello\r\n";

pub(crate) fn request<'a>(a: &Authority, content: Content<'a>) -> SignRequest<'a> {
    SignRequest {
        content_type: ContentType::Data,
        content,
        signing_time: a.now,
        receipt_request: None,
        msg_sig_digest: None,
    }
}

pub(crate) fn wanted() -> ReceiptRequest {
    ReceiptRequest {
        content_identifier: b"00112233445566778899aabbccddeeff@repo.example".to_vec(),
        receipts_from: vec!["rui@repo.example".into(), "eva@repo.example".into()],
        receipts_to: vec!["maria@repo.example".into()],
    }
}

pub(crate) fn detached() -> Content<'static> {
    let digest = DigestAlgorithm::Sha256.digest(TEXT);
    Content::Detached {
        sha256: digest.try_into().unwrap(),
    }
}

fn openssl_verifies(a: &Authority, message: &str, options: &str) -> bool {
    a.accepts(&format!(
        "cms -verify -binary -inform DER -in {message} -CAfile root.pem -no-CApath -attime {} \
         -out verified {options}",
        a.now
    ))
}

/// Signs attached and detached, and lets both sides verify both.
fn check_both_ways(a: &Authority, signer: &dyn Signer, options: &str) {
    a.write("text", TEXT);
    a.write("other", b"other");
    let attached = sign(&request(a, Content::Attached(TEXT)), signer).unwrap();
    a.write("attached.der", &attached);
    assert!(openssl_verifies(a, "attached.der", options));
    assert_eq!(a.read("verified"), TEXT);
    let read = SignedData::parse(&attached).unwrap();
    read.verify_attached().unwrap();
    assert_eq!(read.content(), Some(TEXT));
    assert_eq!(read.signer(), signer.certificate());
    assert_eq!(read.certificates().len(), 1 + signer.chain().len());
    assert_eq!(read.signing_time(), a.now);
    assert_eq!(read.receipt_request(), None);

    let mut asking = request(a, detached());
    asking.receipt_request = Some(wanted());
    let made = sign(&asking, signer).unwrap();
    a.write("detached.der", &made);
    assert!(openssl_verifies(
        a,
        "detached.der",
        &format!("-content text {options}")
    ));
    assert!(!openssl_verifies(
        a,
        "detached.der",
        &format!("-content other {options}")
    ));
    let read = SignedData::parse(&made).unwrap();
    assert_eq!(read.receipt_request(), Some(&wanted()));
    assert_eq!(read.digest_algorithm(), DigestAlgorithm::Sha256);
    read.verify_detached(&DigestAlgorithm::Sha256.digest(TEXT))
        .unwrap();
    let other = read.verify_detached(&DigestAlgorithm::Sha256.digest(b"other"));
    assert!(matches!(other, Err(CmsError::ContentDiffers)));
    assert!(read.verify_attached().is_err());
}

#[test]
fn openssl_verifies_what_a_card_signs() {
    let a = Authority::citizens();
    check_both_ways(&a, &a.signer("maria", &["ca2", "ca1"]), "");
    a.issue("rsa", "ca2", "rsa:2048", "/CN=R", PERSON, 30);
    check_both_ways(&a, &a.signer("rsa", &["ca2", "ca1"]), "");
    check_both_ways(&a, &a.signer("rsa", &["ca2", "ca1"]).with_pss(), "");
    a.issue("p384", "ca2", "P-384", "/CN=P", PERSON, 30);
    check_both_ways(&a, &a.signer("p384", &["ca2", "ca1"]), "");
}

#[test]
fn openssl_verifies_what_a_device_signs() {
    let a = Authority::citizens();
    let signer = device(&a, "maria", &["ca2", "ca1"]);
    check_both_ways(&a, &signer, "-allow_proxy_certs");
    assert!(!openssl_verifies(&a, "attached.der", ""));
}

/// Signs with openssl's own defaults, and as we want it.
fn openssl_signs(a: &Authority, options: &str) -> Vec<u8> {
    a.write("text", TEXT);
    a.write(
        "chain.pem",
        &[a.read("ca2.pem"), a.read("ca1.pem")].concat(),
    );
    a.openssl(&format!(
        "cms -sign -binary -in text -outform DER -certfile chain.pem -out made.der {options}"
    ));
    a.read("made.der")
}

const MARIA: &str = "-signer maria.pem -inkey maria.key";

#[test]
fn we_verify_what_openssl_signs() {
    let a = Authority::citizens();
    a.issue("rsa", "ca2", "rsa:3072", "/CN=R", PERSON, 30);
    a.issue("p384", "ca2", "P-384", "/CN=P", PERSON, 30);
    a.issue("p521", "ca2", "P-521", "/CN=Q", PERSON, 30);
    let rsa = "-signer rsa.pem -inkey rsa.key";
    let pss = format!("{rsa} -keyopt rsa_padding_mode:pss");
    let cases = [
        (MARIA.to_owned(), "sha256"),
        (MARIA.to_owned(), "sha512"),
        (rsa.to_owned(), "sha256"),
        (rsa.to_owned(), "sha384"),
        (pss.clone(), "sha256"),
        (format!("{pss} -keyopt rsa_pss_saltlen:max"), "sha256"),
        ("-signer p384.pem -inkey p384.key".into(), "sha384"),
        ("-signer p521.pem -inkey p521.key".into(), "sha256"),
        ("-signer p521.pem -inkey p521.key".into(), "sha512"),
    ];
    for (signer, hash) in cases {
        let der = openssl_signs(&a, &format!("-cades -nodetach -md {hash} {signer}"));
        let read = SignedData::parse(&der).unwrap();
        read.verify_attached()
            .unwrap_or_else(|e| panic!("{signer} {hash}: {e}"));
        assert_eq!(read.content(), Some(TEXT));
        assert!(read.digest_algorithm().micalg().ends_with(&hash[3..]));

        let der = openssl_signs(&a, &format!("-cades -md {hash} {signer}"));
        let read = SignedData::parse(&der).unwrap();
        read.verify_detached(&read.digest_algorithm().digest(TEXT))
            .unwrap();
        assert!(
            read.verify_detached(&read.digest_algorithm().digest(b"no"))
                .is_err()
        );
    }
}

#[test]
fn we_refuse_what_is_not_tied_to_its_signer() {
    let a = Authority::citizens();
    a.issue("rui", "ca2", "P-256", "/CN=Rui", PERSON, 30);
    let second = "-signer rui.pem -inkey rui.key";
    for (options, reason) in [
        (MARIA.to_owned(), "signingCertificateV2"),
        (format!("-noattr {MARIA}"), "no signed attributes"),
        (format!("-cades {MARIA} {second}"), "not exactly one signer"),
        (format!("-cades -keyid {MARIA}"), "DER"),
        (format!("-cades -nocerts {MARIA}"), "certificate"),
        (format!("-cades -md sha1 {MARIA}"), "digest"),
        (format!("-cades -nodetach -stream {MARIA}"), "DER"),
        (
            format!("-cades -econtent_type 1.2.3 {MARIA}"),
            "content type",
        ),
    ] {
        let der = openssl_signs(&a, &options);
        let error = SignedData::parse(&der).unwrap_err().to_string();
        assert!(error.contains(reason), "{options}: {error}");
    }
    let der = openssl_signs(&a, &format!("-cades {MARIA}"));
    SignedData::parse(&der).unwrap();
    assert!(SignedData::parse(&[&der[..], &[0]].concat()).is_err());
}

/// No byte can change unnoticed, and nothing panics.
#[test]
fn no_byte_can_change() {
    let a = Authority::citizens();
    let signer = a.signer("maria", &[]);
    let mut asking = request(&a, Content::Attached(TEXT));
    asking.receipt_request = Some(wanted());
    let der = sign(&asking, &signer).unwrap();
    SignedData::parse(&der).unwrap().verify_attached().unwrap();
    for place in 0..der.len() {
        let mut bent = der.clone();
        bent[place] ^= 1 << (place % 8);
        let verified = SignedData::parse(&bent).is_ok_and(|read| read.verify_attached().is_ok());
        assert!(!verified, "the change of byte {place} goes unnoticed");
    }
    for length in 0..der.len() {
        assert!(SignedData::parse(&der[..length]).is_err());
    }
}

#[test]
fn another_certificate_for_the_same_key_is_noticed() {
    let a = Authority::citizens();
    let der = openssl_signs(&a, &format!("-cades -nodetach {MARIA}"));
    // Same issuer, same serial number, same key, another validity.
    a.write("ext.cnf", format!("[e]\n{PERSON}\n").as_bytes());
    let serial = a.openssl("x509 -in maria.pem -noout -serial");
    let serial = String::from_utf8(serial)
        .unwrap()
        .trim()
        .replace("serial=", "");
    // An ECDSA signature is a byte or two longer or shorter each time.
    let twin = loop {
        a.openssl(&format!(
            "x509 -req -in maria.csr -CA ca2.pem -CAkey ca2.key -days 99 -set_serial 0x{serial} \
             -extfile ext.cnf -extensions e -out twin.pem"
        ));
        let twin = a.certificate("twin");
        if twin.der().len() == a.certificate("maria").der().len() {
            break twin;
        }
    };
    let maria = a.certificate("maria");
    assert_eq!(
        (twin.serial(), twin.spki_der()),
        (maria.serial(), maria.spki_der())
    );
    let place = der
        .windows(maria.der().len())
        .position(|w| w == maria.der())
        .unwrap();
    let mut swapped = der.clone();
    swapped.splice(place..place + twin.der().len(), twin.der().iter().copied());
    let error = SignedData::parse(&swapped).unwrap_err().to_string();
    assert!(
        error.contains("another certificate was signed for"),
        "{error}"
    );
}

struct Broken(smr_pki::certificate::Certificate);

impl Signer for Broken {
    fn certificate(&self) -> &smr_pki::certificate::Certificate {
        &self.0
    }
    fn chain(&self) -> &[smr_pki::certificate::Certificate] {
        &[]
    }
    fn algorithm(&self) -> Algorithm {
        Algorithm::EcdsaP256Sha256
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError("the PIN is locked".into()))
    }
}

#[test]
fn the_tokens_own_error_comes_through() {
    let a = Authority::citizens();
    let broken = Broken(a.certificate("maria"));
    let error = sign(&request(&a, detached()), &broken).unwrap_err();
    assert!(error.to_string().contains("the PIN is locked"), "{error}");
    let unfit = Broken(a.certificate("root"));
    let error = sign(&request(&a, detached()), &unfit).unwrap_err();
    assert!(matches!(error, CmsError::Unsignable(_)));
}
