//! Receipts: ours accepted by openssl, openssl's by us, and no other.

use smr_pki::cms::{Content, ContentType, SignRequest, SignedData, sign};
use smr_pki::ess::{EssError, Receipt, sign_receipt, verify_receipt};
use smr_pki::signer::Signer;

use crate::authority::{Authority, PERSON};
use crate::devices::device;
use crate::messages::{TEXT, detached, request, wanted};

fn asking(a: &Authority, signer: &dyn Signer) -> SignedData {
    let mut asked = request(a, detached());
    asked.receipt_request = Some(wanted());
    let der = sign(&asked, signer).unwrap();
    a.write("text", TEXT);
    a.write("message.der", &der);
    SignedData::parse(&der).unwrap()
}

fn openssl_accepts(a: &Authority, options: &str) -> bool {
    a.accepts(&format!(
        "cms -verify_receipt receipt.der -rctform DER -inform DER -in message.der -content text \
         -binary -CAfile root.pem -no-CApath -attime {} {options}",
        a.now
    ))
}

fn rui(a: &Authority) -> impl Signer + use<> {
    a.issue("rui", "ca2", "P-256", "/CN=Rui", PERSON, 30);
    a.signer("rui", &["ca2", "ca1"])
}

#[test]
fn openssl_accepts_our_receipt() {
    let a = Authority::citizens();
    let message = asking(&a, &a.signer("maria", &["ca2", "ca1"]));
    let der = sign_receipt(&message, a.now, &rui(&a)).unwrap();
    a.write("receipt.der", &der);
    assert!(openssl_accepts(&a, ""));
    let receipt = SignedData::parse(&der).unwrap();
    verify_receipt(&message, &receipt).unwrap();
    assert_eq!(receipt.content_type(), ContentType::Receipt);
    assert_eq!(receipt.signer().common_name(), Some("Rui"));

    // For another message it is none, for either side.
    let other = asking(&a, &a.signer("maria", &["ca2", "ca1"]));
    assert!(matches!(
        verify_receipt(&other, &receipt),
        Err(EssError::Mismatch(_))
    ));
    assert!(!openssl_accepts(&a, ""));
}

#[test]
fn openssl_accepts_a_devices_receipt_for_a_devices_message() {
    let a = Authority::citizens();
    let message = asking(&a, &device(&a, "maria", &["ca2", "ca1"]));
    rui(&a);
    let der = sign_receipt(&message, a.now, &device(&a, "rui", &["ca2", "ca1"])).unwrap();
    a.write("receipt.der", &der);
    assert!(openssl_accepts(&a, "-allow_proxy_certs"));
    assert!(!openssl_accepts(&a, ""));
    verify_receipt(&message, &SignedData::parse(&der).unwrap()).unwrap();
}

#[test]
fn we_accept_openssls_receipt() {
    let a = Authority::citizens();
    rui(&a);
    let message = asking(&a, &a.signer("maria", &["ca2", "ca1"]));
    let made = "cms -sign_receipt -cades -inform DER -in message.der -signer rui.pem \
                -inkey rui.key -outform DER -out receipt.der";
    a.openssl(made);
    let receipt = SignedData::parse(&a.read("receipt.der")).unwrap();
    verify_receipt(&message, &receipt).unwrap();
    assert_eq!(receipt.signer(), &a.certificate("rui"));

    // The same for a message of openssl's that asks everybody, with SHA-512.
    a.openssl(
        "cms -sign -cades -binary -md sha512 -in text -outform DER -out message.der \
         -signer maria.pem -inkey maria.key -receipt_request_all -receipt_request_to m@r",
    );
    let theirs = SignedData::parse(&a.read("message.der")).unwrap();
    let asked = theirs.receipt_request().unwrap();
    assert!(asked.receipts_from.is_empty());
    assert_eq!(asked.receipts_to, ["m@r"]);
    a.openssl(made);
    let second = SignedData::parse(&a.read("receipt.der")).unwrap();
    verify_receipt(&theirs, &second).unwrap();
    assert!(verify_receipt(&theirs, &receipt).is_err());
    assert!(verify_receipt(&message, &second).is_err());

    let der = sign_receipt(&theirs, a.now, &a.signer("rui", &["ca2", "ca1"])).unwrap();
    a.write("receipt.der", &der);
    a.write("message.der", &a.read("message.der"));
    let above = [a.read("root.pem"), a.read("ca1.pem"), a.read("ca2.pem")].concat();
    a.write("all.pem", &above);
    assert!(openssl_accepts(&a, "-CAfile all.pem"));
}

/// Signs a receipt of one's own making.
fn forge(
    a: &Authority,
    signer: &dyn Signer,
    receipt: &Receipt,
    digest: Option<Vec<u8>>,
) -> SignedData {
    let content = receipt.encode().unwrap();
    let request = SignRequest {
        content_type: ContentType::Receipt,
        content: Content::Attached(&content),
        signing_time: a.now,
        receipt_request: None,
        msg_sig_digest: digest,
    };
    SignedData::parse(&sign(&request, signer).unwrap()).unwrap()
}

#[test]
fn every_part_of_a_receipt_is_compared() {
    let a = Authority::citizens();
    let rui = rui(&a);
    let message = asking(&a, &a.signer("maria", &["ca2", "ca1"]));
    let good = Receipt::for_message(&message).unwrap();
    let digest = message.signed_attributes_digest();
    let outcome = |receipt: &Receipt, digest: Option<Vec<u8>>| {
        verify_receipt(&message, &forge(&a, &rui, receipt, digest))
    };
    outcome(&good, Some(digest.clone())).unwrap();

    let mut other = good.clone();
    other.content_identifier.push(0);
    assert!(matches!(
        outcome(&other, Some(digest.clone())),
        Err(EssError::Mismatch(_))
    ));
    let mut other = good.clone();
    other.originator_signature[10] ^= 1;
    assert!(matches!(
        outcome(&other, Some(digest.clone())),
        Err(EssError::Mismatch(_))
    ));
    let mut other = good.clone();
    other.content_type = "1.2.3".into();
    assert!(matches!(
        outcome(&other, Some(digest.clone())),
        Err(EssError::Mismatch(_))
    ));
    assert!(matches!(outcome(&good, None), Err(EssError::Mismatch(_))));
    let mut wrong = digest;
    wrong[0] ^= 1;
    assert!(matches!(
        outcome(&good, Some(wrong)),
        Err(EssError::Mismatch(_))
    ));
}

#[test]
fn only_a_receipt_is_a_receipt() {
    let a = Authority::citizens();
    let maria = a.signer("maria", &["ca2", "ca1"]);
    let message = asking(&a, &maria);
    assert!(matches!(
        verify_receipt(&message, &message),
        Err(EssError::NotAReceipt)
    ));
    let quiet = sign(&request(&a, detached()), &maria).unwrap();
    let quiet = SignedData::parse(&quiet).unwrap();
    assert!(matches!(
        sign_receipt(&quiet, a.now, &maria),
        Err(EssError::NotRequested)
    ));
    let receipt = sign_receipt(&message, a.now, &maria).unwrap();
    let receipt = SignedData::parse(&receipt).unwrap();
    assert!(matches!(
        verify_receipt(&quiet, &receipt),
        Err(EssError::NotRequested)
    ));
}
