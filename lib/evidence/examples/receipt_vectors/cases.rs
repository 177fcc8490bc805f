//! The cases: what can be wrong with an answer, one thing at a time.

use smr_evidence::envelope::{Opened, ReceiptWanted};
use smr_evidence::refusal;
use smr_pki::ess::Receipt;

use crate::scene::{Scene, Vector, address};

const FORGED: u8 = 65;
const REVOKED: u8 = 77;
/// What the script says of whatever -verify_receipt refuses.
const NOT_FOR_THIS: &str = "not a receipt for this message";

pub(crate) fn all(scene: &Scene) -> Vec<Vector> {
    let mut all = good(scene);
    all.extend(others(scene));
    all.extend(signers(scene));
    all.extend(times(scene));
    all.extend(altered(scene));
    all.extend(refusals(scene));
    all
}

/// A vector of alice's message under this name, and bob's answer to it.
fn vector(
    scene: &Scene,
    (name, expect): (&'static str, u8),
    [status, verify, script]: [&'static str; 3],
    comment: &'static str,
    answer: impl FnOnce(&Opened) -> Vec<u8>,
) -> Vector {
    let (opened, message) = scene.message(name, "I owe you 5 euros.\n");
    Vector {
        name,
        expect,
        status,
        verify,
        script,
        comment,
        by: "bob",
        kind: "receipt",
        deposited: scene.time + 70,
        given: scene.time + 180,
        answer: answer(&opened),
        message,
    }
}

fn good(s: &Scene) -> Vec<Vector> {
    let good = |name, comment, signer| {
        let said = ["good", "good", "read by bob@repo.example"];
        vector(s, (name, 0), said, comment, |m| s.receipt(m, signer))
    };
    vec![
        good("good-by-device", "class D", &s.bob),
        good("good-by-card", "class Q", &s.bob_card),
    ]
}

/// Receipts for something else.
fn others(s: &Scene) -> Vec<Vector> {
    let other = |name, differs, comment, of: &dyn Fn(&Opened) -> Vec<u8>| {
        vector(
            s,
            (name, FORGED),
            [differs, differs, NOT_FOR_THIS],
            comment,
            of,
        )
    };
    const ID: &str = "the receipt is not for this message: the content identifier differs";
    const VALUE: &str = "the receipt is not for this message: the author's signature differs";
    let under = |name: &'static str| {
        move |_: &Opened| {
            let (elsewhere, _) = s.message(name, "I owe you 5 euros.\n");
            s.receipt(&elsewhere, &s.bob)
        }
    };
    let value = |original: &Opened| Receipt::for_message(&original.signed).expect("it asks");
    let digest = |original: &Opened| original.signed.signed_attributes_digest();
    vec![
        other(
            "another-message",
            ID,
            "bob's receipt for another message of alice's, filed again under this one",
            &under("good-by-device"),
        ),
        other(
            "altered-content",
            VALUE,
            "bob was shown another text under this id",
            &|_| {
                let (altered, _) = s.message("altered-content", "I owe you 500 euros.\n");
                s.receipt(&altered, &s.bob)
            },
        ),
        other(
            "another-signature-digest",
            "the receipt is not for this message: the digest of the signed attributes differs",
            "msgSigDigest is that of another message",
            &|m| {
                let (altered, _) = s.message("another-signature-digest", "I owe you nothing.\n");
                s.receipt_of(&value(m), digest(&altered), &s.bob, s.time + 120)
            },
        ),
        other(
            "another-content-type",
            "the receipt is not for this message: the content type differs",
            "a receipt for a receipt",
            &|m| {
                let receipt = Receipt {
                    content_type: "1.2.840.113549.1.9.16.1.1".into(),
                    ..value(m)
                };
                s.receipt_of(&receipt, digest(m), &s.bob, s.time + 120)
            },
        ),
        other(
            "a-message",
            "not a receipt but another signed message",
            "the message's own signature, sent back",
            &|m| m.cms.clone(),
        ),
    ]
}

/// Receipts by who was not asked, or is nobody any more.
fn signers(s: &Scene) -> Vec<Vector> {
    let by = |name, expect, said, comment, signer| {
        vector(s, (name, expect), said, comment, |m| s.receipt(m, signer))
    };
    let other_person = "but bob@repo.example belongs to";
    let other_account = "the device certificate is not for bob@repo.example";
    let not_the_person = "not the person whose account bob@repo.example is";
    vec![
        Vector {
            by: "mallory",
            ..by(
                "by-a-stranger",
                0,
                [
                    "",
                    "a receipt by mallory@repo.example, to whom the message was not sent",
                    "the message was not sent to mallory@repo.example",
                ],
                "from someone not addressed, under her own name",
                &s.mallory,
            )
        },
        by(
            "by-a-stranger-in-anothers-name",
            FORGED,
            [other_account, other_account, not_the_person],
            "from someone not addressed, filed as bob's",
            &s.mallory,
        ),
        by(
            "by-another-reader",
            FORGED,
            [other_account, other_account, not_the_person],
            "carol's good receipt, replayed as bob's",
            &s.carol,
        ),
        by(
            "by-the-sender",
            FORGED,
            [other_person, other_person, not_the_person],
            "alice gives herself bob's",
            &s.alice,
        ),
        by(
            "by-a-device-unlisted",
            FORGED,
            [
                "signed by a device that bob@repo.example never listed",
                "signed by a device that bob@repo.example never listed",
                "by a device that account bob@repo.example does not list",
            ],
            "bob's card has certified it, his record knows nothing of it",
            &s.unlisted,
        ),
        Vector {
            by: "rita",
            ..by(
                "by-a-revoked-signer",
                REVOKED,
                ["revoked", "revoked", "certificate revoked"],
                "before the deposit",
                &s.rita,
            )
        },
        Vector {
            by: "xavier",
            ..by(
                "by-an-expired-signer",
                FORGED,
                ["expired", "expired", "certificate has expired"],
                "before the deposit",
                &s.xavier,
            )
        },
        {
            let (opened, message) =
                s.message_asking("by-a-device-for-a-card", "Sign.\n", ReceiptWanted::Card);
            let why = "signed by a device; the sender asked for the card's own signature";
            let script = "the sender asked for the card's own signature";
            Vector {
                answer: s.receipt(&opened, &s.bob),
                message,
                ..vector(
                    s,
                    ("by-a-device-for-a-card", FORGED),
                    [why, why, script],
                    "the message asks for class Q",
                    |_| Vec::new(),
                )
            }
        },
    ]
}

/// Receipts signed when they cannot have been.
fn times(s: &Scene) -> Vec<Vector> {
    let at = |name, said, comment, time| {
        vector(s, (name, FORGED), said, comment, |m| {
            s.receipt_at(m, &s.bob, time)
        })
    };
    vec![
        at(
            "before-the-message",
            [
                "signed before the message was",
                "signed before the message was",
                "signed before ",
            ],
            "an hour before",
            s.time - 3600,
        ),
        at(
            "after-its-deposit",
            [
                "signed at a time later than its deposit",
                "signed at a time later than now",
                "signed later than ",
            ],
            "minutes after the repository had it",
            s.time + 580,
        ),
    ]
}

/// Receipts with a byte changed.
fn altered(s: &Scene) -> Vec<Vector> {
    let flip = |name, from_end: usize, why, comment| {
        vector(s, (name, FORGED), [why, why, NOT_FOR_THIS], comment, |m| {
            let mut der = s.receipt(m, &s.bob);
            let place = der.len() - from_end;
            der[place] ^= 1;
            der
        })
    };
    let cut = |m: &Opened| {
        let mut der = s.receipt(m, &s.bob);
        der.truncate(der.len() - 1);
        der
    };
    vec![
        flip(
            "signature-altered",
            1,
            "the signature does not verify",
            "its last bit",
        ),
        vector(
            s,
            ("cut", FORGED),
            ["not a DER SignedData", "not a DER SignedData", NOT_FOR_THIS],
            "without its last byte",
            cut,
        ),
        vector(
            s,
            ("content-altered", FORGED),
            [
                "the content is not the one that was signed",
                "the content is not the one that was signed",
                NOT_FOR_THIS,
            ],
            "the id in the signed content is another",
            |m| {
                let mut der = s.receipt(m, &s.bob);
                let name = m.headers.id.to_string();
                let place = der
                    .windows(name.len())
                    .position(|w| w == name.as_bytes())
                    .expect("the receipt names the message");
                der[place] ^= 1;
                der
            },
        ),
    ]
}

/// Refusals, which are answers too.
fn refusals(s: &Scene) -> Vec<Vector> {
    let refuse = |m: &Opened, by: &str, signer| {
        let der = refusal::write(m, &address(by), "not agreed", signer, s.time + 120);
        der.expect("a soft key signs")
    };
    let refusal = |name, expect, said, comment, answer: &dyn Fn(&Opened) -> Vec<u8>| Vector {
        kind: "refusal",
        ..vector(s, (name, expect), said, comment, answer)
    };
    vec![
        refusal(
            "refusal-good",
            0,
            ["good", "good", "refused by bob@repo.example"],
            "",
            &|m| refuse(m, "bob", &s.bob),
        ),
        refusal(
            "refusal-of-another-message",
            FORGED,
            [
                "the refusal is not for this message: the message id differs",
                "the refusal is not for this message: the message id differs",
                "not a refusal for this message",
            ],
            "filed again under this one",
            &|_| {
                refuse(
                    &s.message("refusal-good", "I owe you 5 euros.\n").0,
                    "bob",
                    &s.bob,
                )
            },
        ),
        refusal(
            "refusal-of-another-content",
            FORGED,
            [
                "the refusal is not for this message: the hash of its signature differs",
                "the refusal is not for this message: the hash of its signature differs",
                "not a refusal for this message",
            ],
            "of another text under this id",
            &|_| {
                let (altered, _) = s.message("refusal-of-another-content", "I owe you 500.\n");
                refuse(&altered, "bob", &s.bob)
            },
        ),
        refusal(
            "refusal-by-another-reader",
            FORGED,
            [
                "the refusal is not for this message: the reader differs",
                "the refusal is not for this message: the reader differs",
                "not a refusal for this message",
            ],
            "carol's, replayed as bob's",
            &|m| refuse(m, "carol", &s.carol),
        ),
        refusal(
            "refusal-in-anothers-name",
            FORGED,
            [
                "the device certificate is not for bob@repo.example",
                "the device certificate is not for bob@repo.example",
                "not the person whose account bob@repo.example is",
            ],
            "carol signs that bob refuses",
            &|m| refuse(m, "bob", &s.carol),
        ),
    ]
}
