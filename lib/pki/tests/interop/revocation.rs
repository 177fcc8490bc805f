//! Revocation: our verdict and openssl's on the same lists.

use smr_pki::path::{PathError, Revocation, verify};

use crate::authority::{Authority, DAY, PERSON};

const OTHERS: [&str; 2] = ["ca1", "ca2"];
const LISTS: [&str; 3] = ["root", "ca1", "ca2"];

fn ours(
    a: &Authority,
    lists: &[&str],
    revocation: Revocation,
    later: i64,
) -> Result<bool, PathError> {
    let mut rules = a.rules(revocation);
    rules.now += later;
    let store = a.store(&["root"], &OTHERS, lists);
    verify(&a.certificate("maria"), &[], &store, &rules).map(|v| v.revocation_checked)
}

fn theirs(a: &Authority, lists: &[&str], later: i64) -> bool {
    let mut rules = a.rules(Revocation::Require);
    rules.now += later;
    a.oracle("maria", &["root"], &OTHERS, lists, &rules)
}

fn is_revoked(outcome: &Result<bool, PathError>, whom: &str) -> bool {
    matches!(outcome, Err(PathError::Revoked { subject }) if subject.contains(whom))
}

#[test]
fn nobody_is_revoked() {
    let a = Authority::citizens();
    assert_eq!(ours(&a, &LISTS, Revocation::Require, 0), Ok(true));
    assert!(theirs(&a, &LISTS, 0));
    assert_eq!(ours(&a, &LISTS, Revocation::Prefer, 0), Ok(true));
    assert_eq!(ours(&a, &LISTS, Revocation::Off, 0), Ok(false));
}

#[test]
fn the_revoked_are_refused() {
    let a = Authority::citizens();
    a.revoke("ca2", "maria");
    a.crl("ca2", "ca2", 30);
    assert!(is_revoked(
        &ours(&a, &LISTS, Revocation::Require, 0),
        "MARIA"
    ));
    assert!(!theirs(&a, &LISTS, 0));
    assert!(is_revoked(
        &ours(&a, &LISTS, Revocation::Prefer, 0),
        "MARIA"
    ));
    // Even where the lists of the authorities above are missing.
    assert!(is_revoked(
        &ours(&a, &["ca2"], Revocation::Prefer, 0),
        "MARIA"
    ));
    assert_eq!(ours(&a, &LISTS, Revocation::Off, 0), Ok(false));
}

#[test]
fn a_revoked_authority_speaks_for_nobody() {
    let a = Authority::citizens();
    a.revoke("root", "ca1");
    a.crl("root", "root", 30);
    assert!(is_revoked(
        &ours(&a, &LISTS, Revocation::Require, 0),
        "Citizens"
    ));
    assert!(!theirs(&a, &LISTS, 0));
}

#[test]
fn a_missing_list_is_no_absolution() {
    let a = Authority::citizens();
    for lists in [&["root", "ca1"][..], &["root", "ca2"], &[]] {
        let outcome = ours(&a, lists, Revocation::Require, 0);
        assert!(
            matches!(outcome, Err(PathError::NoRevocationData { .. })),
            "{outcome:?}"
        );
        assert!(!theirs(&a, lists, 0));
        assert_eq!(ours(&a, lists, Revocation::Prefer, 0), Ok(false));
    }
}

#[test]
fn a_stale_list_is_no_absolution() {
    let a = Authority::citizens();
    let later = 40 * DAY;
    let outcome = ours(&a, &LISTS, Revocation::Require, later);
    assert!(
        matches!(outcome, Err(PathError::StaleCrl { .. })),
        "{outcome:?}"
    );
    assert!(!theirs(&a, &LISTS, later));
    assert_eq!(ours(&a, &LISTS, Revocation::Prefer, later), Ok(false));

    let store = a.store(&["root"], &OTHERS, &LISTS);
    let mut rules = a.rules(Revocation::Require);
    rules.now += 2 * DAY;
    rules.max_age = Some(DAY);
    let outcome = verify(&a.certificate("maria"), &[], &store, &rules);
    assert!(matches!(outcome, Err(PathError::StaleCrl { .. })));
    rules.max_age = Some(3 * DAY);
    verify(&a.certificate("maria"), &[], &store, &rules).unwrap();
}

#[test]
fn the_newest_list_counts_wherever_it_lies() {
    let a = Authority::citizens();
    a.crl("ca2", "old", 30);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    a.revoke("ca2", "maria");
    a.crl("ca2", "new", 30);
    for lists in [["root", "ca1", "old", "new"], ["root", "ca1", "new", "old"]] {
        let outcome = ours(&a, &lists, Revocation::Require, 0);
        assert!(is_revoked(&outcome, "MARIA"), "{outcome:?}");
    }
}

#[test]
fn a_list_signed_by_another_is_none() {
    let a = Authority::citizens();
    a.root("fake", "P-384", "/C=PT/O=State/CN=Cards 1");
    a.crl("fake", "fake", 30);
    let lists = ["root", "ca1", "fake"];
    let outcome = ours(&a, &lists, Revocation::Require, 0);
    assert!(
        matches!(outcome, Err(PathError::NoRevocationData { .. })),
        "{outcome:?}"
    );
    assert!(!theirs(&a, &lists, 0));
}

#[test]
fn a_promised_delta_is_waited_for() {
    let a = Authority::citizens();
    let fresh = format!("{PERSON}\nfreshestCRL=URI:http://127.0.0.1/delta.crl");
    let subject = "/C=PT/O=Card/serialNumber=BI1/CN=MARIA SILVA";
    a.issue("maria", "ca2", "P-256", subject, &fresh, 60);
    a.crl("ca2", "base", 30);
    let base = ["root", "ca1", "base"];
    let outcome = ours(&a, &base, Revocation::Require, 0);
    assert!(
        matches!(outcome, Err(PathError::NoRevocationData { .. })),
        "{outcome:?}"
    );

    // 2.5.29.27 is the delta indicator; the base above was number 2.
    let delta = |from: u8| format!("2.5.29.27=critical,DER:02:01:{from:02x}");
    let with = ["root", "ca1", "base", "delta"];
    a.crl_with("ca2", "delta", 30, &delta(9));
    let outcome = ours(&a, &with, Revocation::Require, 0);
    assert!(outcome.is_err(), "a delta to a later base: {outcome:?}");
    a.crl_with("ca2", "delta", 30, &delta(2));
    assert_eq!(ours(&a, &with, Revocation::Require, 0), Ok(true));

    a.revoke("ca2", "maria");
    a.crl_with("ca2", "delta", 30, &delta(2));
    for revocation in [Revocation::Require, Revocation::Prefer] {
        let outcome = ours(&a, &with, revocation, 0);
        assert!(is_revoked(&outcome, "MARIA"), "{outcome:?}");
    }
    // A delta alone is no list.
    let alone = ours(&a, &["root", "ca1", "delta"], Revocation::Require, 0);
    assert!(is_revoked(&alone, "MARIA"), "{alone:?}");
}

#[test]
fn each_altered_byte_of_a_list_is_noticed() {
    let a = Authority::citizens();
    a.revoke("ca2", "maria");
    a.crl("ca2", "ca2", 30);
    let pem = a.read("ca2.crl");
    let good = smr_pki::crl::parse_bundle(&pem).unwrap().remove(0).der;
    let mut store = a.store(&["root"], &OTHERS, &["root", "ca1"]);
    let mut unread = 0;
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        let Ok(list) = smr_pki::crl::Crl::from_der(&bad) else {
            unread += 1;
            continue;
        };
        store.crls.truncate(2);
        store.crls.push(list);
        let rules = a.rules(Revocation::Require);
        let outcome = verify(&a.certificate("maria"), &[], &store, &rules);
        assert!(
            matches!(outcome, Err(PathError::NoRevocationData { .. })),
            "byte {at}: {outcome:?}"
        );
    }
    assert!((1..good.len()).contains(&unread));
}
