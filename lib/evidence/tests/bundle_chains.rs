//! Bundles whose signers have keys for signatures of an authority of their own,
//! as national cards do: revocation data of every chain must be there.

mod pki;
mod scene;

use scene::{Scene, ana, message, receipt, rui, scene};
use smr_evidence::bundle::BundleError;
use smr_evidence::envelope::ReceiptWanted;
use smr_evidence::reading::Grade;
use smr_evidence::trust::Ocsp;
use smr_name::Class;

/// Ana's message and Rui's receipt, both of class Q by the second authority.
fn by_signature_keys() -> Scene {
    let mut scene = scene();
    scene.pki.second_authority();
    let ana_card = scene.pki.signature_card("ANA-Q", "ANA", "BI1");
    let rui_card = scene.pki.signature_card("RUI-Q", "RUI", "BI2");
    scene.set_message(message(&ana_card, ReceiptWanted::Card));
    let der = receipt(&scene.original, &rui_card);
    scene.set_receipt(rui(), der);
    scene.bundle.crls = scene.pki.lists_of(&["root", "sub", "qual"]);
    scene
}

#[test]
fn the_lists_of_both_authorities_make_a_bundle_good() {
    let mut scene = by_signature_keys();
    for whole in [true, false] {
        let report = scene.good(whole);
        assert_eq!(report.sender.grade, Grade::Card);
        assert_eq!(report.sender.address, ana());
        assert!(report.sender.revocation_checked);
        assert_eq!(report.receipts[0].by.grade, Grade::Card);
        assert!(report.receipts[0].by.revocation_checked);
    }
    // The list of one authority does not do for the other.
    scene.bundle.crls = scene.pki.lists_of(&["root", "sub"]);
    let error = scene.bad(true, "unable to get certificate CRL");
    assert!(matches!(error, BundleError::Sender(_)), "{error}");
    assert!(error.to_string().contains("revocation"), "{error}");
    scene.bundle.crls = scene.pki.lists_of(&["root", "qual"]);
    let error = scene.bad(true, "account record ana@repo.example");
    assert!(matches!(error, BundleError::Account(_)), "{error}");
}

#[test]
fn answers_of_the_second_authority_do_as_well() {
    let mut scene = by_signature_keys();
    scene.bundle.crls = scene.pki.lists_of(&["root", "sub"]);
    let answers = |scene: &Scene| -> Vec<Ocsp> {
        let of = |name| Ocsp::from_der(&scene.pki.answer_by("qual", name)).unwrap();
        ["ANA-Q", "RUI-Q"].map(of).into()
    };
    scene.bundle.ocsp = answers(&scene);
    let zip = scene.zip(true);
    let report = scene.ours(&zip).unwrap();
    assert!(report.sender.revocation_checked);
    assert!(report.receipts[0].by.revocation_checked);
    let (content, said) = scene.theirs(&zip);
    assert!(content && said.contains("NOT checked"), "{said}");
    // The reader's is missing; the reader's says no.
    scene.bundle.ocsp.pop();
    let error = scene.ours(&scene.zip(true)).unwrap_err();
    assert!(matches!(error, BundleError::Receipt { .. }), "{error}");
    scene.pki.revoke_by("qual", "RUI-Q");
    scene.bundle.ocsp = answers(&scene);
    let error = scene.ours(&scene.zip(true)).unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");
}

#[test]
fn a_key_for_signatures_is_revoked_by_its_own_authority() {
    let mut scene = by_signature_keys();
    scene.pki.revoke_by("qual", "RUI-Q");
    scene.bundle.crls = scene.pki.lists_of(&["root", "sub", "qual"]);
    let error = scene.bad(true, "receipts/rui@repo.example-1.p7s");
    assert_eq!(error.class(), Class::Forged);
    assert!(error.to_string().contains("revoked"), "{error}");
}
