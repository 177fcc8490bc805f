//! NIST's Public Key Interoperability Test Suite, version 1.0.1: every
//! certificate and list of it in one store, and a verdict on each test.
//!
//! Debian has the suite in python3-cryptography-vectors; `SMR_TEST_PKITS` names
//! another folder with `certs` and `crls`.

use std::fs;
use std::path::{Path, PathBuf};

use smr_pki::certificate::{Certificate, CertificateError};
use smr_pki::crl::Crl;
use smr_pki::path::{Realm, Revocation, Rules, TrustStore, verify};

const DEBIAN: &str = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data";
/// 2020-06-01: within the validity of all that is valid.
const NOW: i64 = 1_590_969_600;

/// Tests whose names do not tell what should become of them, and that are bad.
const BAD: [&str; 6] = [
    "DifferentPoliciesTest4",
    "DifferentPoliciesTest5",
    "DifferentPoliciesTest7",
    "DifferentPoliciesTest8",
    "DifferentPoliciesTest9",
    "DifferentPoliciesTest12",
];

/// Any policy will do, but one must hold (RFC 5280 4.2.1.4).
const ANY: &str = "2.5.29.32.0";
const P1: &str = "2.16.840.1.101.3.2.1.48.1";
const P2: &str = "2.16.840.1.101.3.2.1.48.2";
const P3: &str = "2.16.840.1.101.3.2.1.48.3";
const P6: &str = "2.16.840.1.101.3.2.1.48.6";

/// The tests of 4.8 and 4.10 that are run again with policies asked for, and
/// what should become of them. Those with other settings (mapping, or any
/// policy, inhibited from the start) are settings that smr does not have.
const WITH_POLICIES: [(&str, &[&str], bool); 28] = [
    ("ValidCertificatePathTest1", &[ANY], true),
    ("ValidCertificatePathTest1", &[P1], true),
    ("ValidCertificatePathTest1", &[P2], false),
    ("ValidCertificatePathTest1", &[P1, P2], true),
    ("AllCertificatesNoPoliciesTest2", &[ANY], false),
    ("DifferentPoliciesTest3", &[ANY], false),
    ("DifferentPoliciesTest3", &[P1, P2], false),
    ("OverlappingPoliciesTest6", &[P2], false),
    ("AllCertificatesSamePoliciesTest10", &[P1], true),
    ("AllCertificatesSamePoliciesTest10", &[P2], true),
    ("AllCertificatesanyPolicyTest11", &[P1], true),
    ("AllCertificatesSamePoliciesTest13", &[P1], true),
    ("AllCertificatesSamePoliciesTest13", &[P2], true),
    ("AllCertificatesSamePoliciesTest13", &[P3], true),
    ("AnyPolicyTest14", &[P1], true),
    ("AnyPolicyTest14", &[P2], false),
    ("UserNoticeQualifierTest18", &[P1], true),
    ("UserNoticeQualifierTest18", &[P2], true),
    ("ValidPolicyMappingTest1", &[P1], true),
    ("ValidPolicyMappingTest1", &[P2], false),
    ("ValidPolicyMappingTest3", &[P1], false),
    ("ValidPolicyMappingTest3", &[P2], true),
    ("ValidPolicyMappingTest5", &[P1], true),
    ("ValidPolicyMappingTest5", &[P6], false),
    ("ValidPolicyMappingTest6", &[P1], true),
    ("ValidPolicyMappingTest6", &[P6], false),
    ("ValidPolicyMappingTest12", &[P1], true),
    ("ValidPolicyMappingTest12", &[P2], true),
];

/// Good ones that smr refuses: DSA; leaves that are authorities, and so no
/// persons; a certificate that begins in 1950.
const STRICTER: [(&str, &str); 7] = [
    ("ValidDSAParameterInheritanceTest5", "key_usage"),
    ("ValidDSASignaturesTest4", "key_usage"),
    ("OverlappingPoliciesTest6", "key_usage"),
    ("ValidonlyContainsCACertsTest13", "key_usage"),
    ("ValidpathLenConstraintTest8", "key_usage"),
    ("ValidpathLenConstraintTest14", "key_usage"),
    ("Validpre2000UTCnotBeforeDateTest3", "unread"),
];

struct Suite {
    folder: PathBuf,
    store: TrustStore,
}

impl Suite {
    fn open() -> Suite {
        let folder = std::env::var_os("SMR_TEST_PKITS").map_or(DEBIAN.into(), PathBuf::from);
        assert!(
            folder.join("certs").is_dir(),
            "no suite in {}: apt install python3-cryptography-vectors",
            folder.display()
        );
        let anchor = "TrustAnchorRootCertificate.crt";
        let all = files(&folder.join("certs"));
        let (anchors, rest): (Vec<_>, Vec<_>) = all
            .into_iter()
            .filter(|path| !name(path).ends_with("EE.crt"))
            .partition(|path| name(path) == anchor);
        // One certificate and one list cannot be read, and are meant to be bad.
        let read = |path: &PathBuf| {
            let read = certificate(path).ok();
            assert!(read.is_some() || name(path) == "BadSignedCACert.crt");
            read
        };
        let list = |path: &PathBuf| {
            let read = Crl::from_der(&fs::read(path).unwrap()).ok();
            assert!(read.is_some() || name(path) == "BadCRLSignatureCACRL.crl");
            read
        };
        let lists = files(&folder.join("crls"));
        let store = TrustStore {
            realms: vec![Realm {
                name: "nist".into(),
                anchors: anchors.iter().filter_map(read).collect(),
            }],
            intermediates: rest.iter().filter_map(read).collect(),
            crls: lists.iter().filter_map(list).collect(),
            ocsp: Vec::new(),
        };
        Suite { folder, store }
    }

    /// Returns the names of all tests.
    fn tests(&self) -> Vec<String> {
        let all = files(&self.folder.join("certs"));
        let names = all.iter().map(|path| name(path));
        names
            .filter_map(|name| name.strip_suffix("EE.crt").map(str::to_owned))
            .collect()
    }

    fn judge(&self, test: &str, policies: &[&str]) -> Result<(), String> {
        let leaf = self.folder.join("certs").join(format!("{test}EE.crt"));
        let rules = Rules {
            now: NOW,
            signed: None,
            revocation: Revocation::Require,
            max_age: None,
            clock_skew: 0,
            policies: policies.iter().map(|&p| p.to_owned()).collect(),
        };
        let leaf = certificate(&leaf).map_err(|_| "unread".to_owned())?;
        let verdict = verify(&leaf, &[], &self.store, &rules);
        verdict.map(drop).map_err(|e| e.reason().to_owned())
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut all: Vec<_> = entries.collect();
    all.sort();
    all
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn certificate(path: &Path) -> Result<Certificate, CertificateError> {
    Certificate::from_der(&fs::read(path).unwrap())
}

/// Compares verdicts with what the suite says, and tells all differences.
fn compare(verdicts: impl Iterator<Item = (String, bool, Result<(), String>)>) -> usize {
    let (mut count, mut wrong) = (0, Vec::new());
    for (test, good, verdict) in verdicts {
        let stricter = STRICTER.iter().find(|(name, _)| *name == test);
        let as_expected = match (&verdict, stricter) {
            (Ok(()), None) => good,
            (Err(error), Some((_, word))) => good && error == word,
            (Err(_), None) => !good,
            (Ok(()), Some(_)) => false,
        };
        count += 1;
        if !as_expected {
            wrong.push(format!("{test}: {verdict:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    count
}

#[test]
fn every_test_has_its_verdict() {
    let suite = Suite::open();
    let verdicts = suite.tests().into_iter().map(|test| {
        let good = !test.starts_with("Invalid") && !BAD.contains(&test.as_str());
        let verdict = suite.judge(&test, &[]);
        (test, good, verdict)
    });
    assert_eq!(compare(verdicts), 223);
}

#[test]
fn policies_asked_for_must_hold() {
    let suite = Suite::open();
    let verdicts = WITH_POLICIES.iter().map(|(test, policies, good)| {
        let verdict = suite.judge(test, policies);
        (format!("{test} {policies:?}"), *good, verdict)
    });
    assert_eq!(compare(verdicts), WITH_POLICIES.len());
}
