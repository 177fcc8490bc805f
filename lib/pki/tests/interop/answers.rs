//! Answers of OCSP responders: ours and openssl's opinion of the same bytes.

use smr_pki::ocsp::{Ocsp, OcspError};
use smr_pki::path::{PathError, Revocation, Rules, TrustStore, Verdict, verify};

use crate::authority::{Authority, DAY, PERSON};

/// Extensions of a responder's certificate.
const RESPONDER: &str = "basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=OCSPSigning
noCheck=ignored";

/// A root, a CA, and maria below it: nobody has published a list.
fn house() -> Authority {
    let a = Authority::new();
    a.root("root", "P-256", "/CN=Root");
    a.issue("maria", "root", "P-256", "/CN=MARIA SILVA", PERSON, 60);
    a.known("root", "maria");
    a
}

fn responder(a: &Authority, issuer: &str, extensions: &str, days: u32) {
    a.issue("responder", issuer, "P-256", "/CN=Ask me", extensions, days);
}

fn judge(a: &Authority, answers: &[&str], rules: &Rules) -> Result<Verdict, PathError> {
    let read = |name: &&str| Ocsp::from_der(&a.read(&format!("{name}.ocsp"))).unwrap();
    let store = TrustStore {
        ocsp: answers.iter().map(read).collect(),
        ..a.store(&["root"], &[], &[])
    };
    verify(&a.certificate("maria"), &[], &store, rules)
}

fn ours(a: &Authority, answers: &[&str]) -> Result<Verdict, PathError> {
    judge(a, answers, &a.rules(Revocation::Require))
}

/// Says whether openssl verifies the answer and reads "good" in it.
fn theirs(a: &Authority, answer: &str) -> bool {
    let words = format!(
        "ocsp -respin {answer}.ocsp -issuer root.pem -cert maria.pem -CAfile root.pem -no_nonce"
    );
    let output = a.attempt(&words);
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    told.contains("Response verify OK") && told.contains("maria.pem: good")
}

#[track_caller]
fn counts_for_nothing(a: &Authority, answer: &str) {
    let outcome = ours(a, &[answer]);
    let nothing = matches!(outcome, Err(PathError::NoRevocationData { .. }));
    assert!(nothing, "{outcome:?}");
    // Where revocation is only preferred it is no better than none at all.
    let verdict = judge(a, &[answer], &a.rules(Revocation::Prefer)).unwrap();
    assert!(!verdict.revocation_checked);
}

#[test]
fn the_issuer_may_answer() {
    let a = house();
    a.answer("root", "root", "maria", "good", 7);
    assert!(ours(&a, &["good"]).unwrap().revocation_checked);
    assert!(theirs(&a, "good"));
}

#[test]
fn whom_the_issuer_certified_for_it_may_answer() {
    let a = house();
    responder(&a, "root", RESPONDER, 60);
    a.answer("root", "responder", "maria", "good", 7);
    assert!(ours(&a, &["good"]).unwrap().revocation_checked);
    assert!(theirs(&a, "good"));
    // Named by its key instead of its name.
    a.answer_with(
        "root",
        "responder",
        "maria",
        "good",
        "-ndays 7 -resp_key_id",
    );
    assert!(ours(&a, &["good"]).unwrap().revocation_checked);
}

#[test]
fn nobody_else_may() {
    let a = house();
    // Without the usage.
    responder(&a, "root", PERSON, 60);
    a.answer("root", "responder", "maria", "person", 7);
    counts_for_nothing(&a, "person");
    assert!(!theirs(&a, "person"));
    // With every usage, but not this one by name.
    let any = RESPONDER.replace("OCSPSigning", "anyExtendedKeyUsage");
    responder(&a, "root", &any, 60);
    a.answer("root", "responder", "maria", "any", 7);
    counts_for_nothing(&a, "any");
    // Another authority's responder.
    a.root("other", "P-256", "/CN=Other");
    responder(&a, "other", RESPONDER, 60);
    a.answer("root", "responder", "maria", "foreign", 7);
    counts_for_nothing(&a, "foreign");
    assert!(!theirs(&a, "foreign"));
    // One certified by an authority below, not by the issuer itself.
    a.issue(
        "below",
        "root",
        "P-256",
        "/CN=Below",
        crate::authority::CA,
        60,
    );
    responder(&a, "below", RESPONDER, 60);
    a.answer("root", "responder", "maria", "below", 7);
    counts_for_nothing(&a, "below");
    // An authority with the usage is no responder.
    let ca = "basicConstraints=CA:TRUE\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored";
    responder(&a, "root", ca, 60);
    a.answer("root", "responder", "maria", "abbot", 7);
    counts_for_nothing(&a, "abbot");
    // Somebody of the issuer's name.
    a.root("twin", "P-256", "/CN=Root");
    a.answer("root", "twin", "maria", "twin", 7);
    counts_for_nothing(&a, "twin");
    assert!(!theirs(&a, "twin"));
}

#[test]
fn a_responder_is_looked_up_itself() {
    let a = house();
    let asked = RESPONDER.replace("\nnoCheck=ignored", "");
    responder(&a, "root", &asked, 60);
    a.answer("root", "responder", "maria", "good", 7);
    // Nobody knows whether it is revoked.
    counts_for_nothing(&a, "good");
    let with_list = |a: &Authority| {
        let answer = Ocsp::from_der(&a.read("good.ocsp")).unwrap();
        let store = TrustStore {
            ocsp: vec![answer],
            ..a.store(&["root"], &[], &["root"])
        };
        // The list speaks of maria too: it is the answer that is in question.
        let mut rules = a.rules(Revocation::Require);
        rules.signed = Some(a.now);
        let chain = smr_pki::path::chains(&a.certificate("maria"), &[], &store).remove(0);
        smr_pki::path::has_answered(&store.ocsp[0], &chain, &store, &rules)
    };
    a.crl("root", "root", 30);
    assert!(with_list(&a));
    a.revoke("root", "responder");
    a.crl("root", "root", 30);
    assert!(!with_list(&a));
}

#[test]
fn a_responder_answers_while_it_is_valid() {
    let a = house();
    responder(&a, "root", RESPONDER, 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    a.answer("root", "responder", "maria", "late", 7);
    counts_for_nothing(&a, "late");
}

#[test]
fn the_revoked_and_the_unknown_are_not_good() {
    let a = house();
    a.answer("root", "root", "maria", "good", 7);
    a.revoke("root", "maria");
    a.answer("root", "root", "maria", "revoked", 7);
    // Good said by one does not undo revoked said by another.
    for answers in [&["revoked"][..], &["good", "revoked"], &["revoked", "good"]] {
        let outcome = ours(&a, answers);
        assert!(
            matches!(outcome, Err(PathError::Revoked { .. })),
            "{outcome:?}"
        );
        let prefer = judge(&a, answers, &a.rules(Revocation::Prefer));
        assert!(matches!(prefer, Err(PathError::Revoked { .. })));
    }
    assert!(!theirs(&a, "revoked"));
    a.write("root.index", b"");
    a.answer("root", "root", "maria", "unknown", 7);
    counts_for_nothing(&a, "unknown");
    assert!(!theirs(&a, "unknown"));
}

#[test]
fn an_answer_has_its_time() {
    let a = house();
    a.answer("root", "root", "maria", "good", 7);
    let at = |later: i64, max_age: Option<i64>| {
        let rules = a.rules(Revocation::Require);
        let rules = Rules {
            now: rules.now + later,
            max_age,
            ..rules
        };
        judge(&a, &["good"], &rules).map(drop)
    };
    assert_eq!(at(6 * DAY, None), Ok(()));
    assert!(matches!(at(8 * DAY, None), Err(PathError::StaleCrl { .. })));
    assert!(matches!(
        at(2 * DAY, Some(DAY)),
        Err(PathError::StaleCrl { .. })
    ));
    // Made later than now.
    let early = at(-400, None);
    assert!(
        matches!(
            early,
            Err(PathError::StaleCrl { .. } | PathError::NotYetValid { .. })
        ),
        "{early:?}"
    );
    // With no word on when the next comes, it counts where an age is set.
    a.answer_with("root", "root", "maria", "good", "");
    assert!(matches!(at(0, None), Err(PathError::StaleCrl { .. })));
    assert_eq!(at(0, Some(DAY)), Ok(()));
}

#[test]
fn an_answer_about_another_is_none() {
    let a = house();
    a.issue("rui", "root", "P-256", "/CN=Rui", PERSON, 60);
    a.known("root", "rui");
    a.answer("root", "root", "rui", "rui", 7);
    counts_for_nothing(&a, "rui");
    // The same serial number under another authority.
    a.root("other", "P-256", "/CN=Other");
    a.known("other", "maria");
    a.answer("other", "other", "maria", "elsewhere", 7);
    counts_for_nothing(&a, "elsewhere");
}

#[test]
fn each_altered_byte_is_noticed() {
    let a = house();
    responder(&a, "root", RESPONDER, 60);
    a.answer("root", "responder", "maria", "good", 7);
    let good = a.read("good.ocsp");
    let mut unread = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let Ok(answer) = Ocsp::from_der(&bad) else {
            unread += 1;
            continue;
        };
        let store = TrustStore {
            ocsp: vec![answer],
            ..a.store(&["root"], &[], &[])
        };
        let verdict = verify(
            &a.certificate("maria"),
            &[],
            &store,
            &a.rules(Revocation::Require),
        );
        assert!(verdict.is_err(), "byte {at} of {}", good.len());
    }
    assert!((1..good.len()).contains(&unread));
    for length in [0, 1, good.len() / 2, good.len() - 1] {
        assert!(Ocsp::from_der(&good[..length]).is_err());
    }
    let longer = [good.as_slice(), b"\0"].concat();
    assert!(Ocsp::from_der(&longer).is_err());
}

#[test]
fn a_refusal_is_no_answer() {
    // OCSPResponse with status 6, unauthorized, and nothing else.
    let refused = Ocsp::from_der(&[0x30, 0x03, 0x0a, 0x01, 0x06]);
    assert!(matches!(refused, Err(OcspError::Refused(_))), "{refused:?}");
    let empty = Ocsp::from_der(&[0x30, 0x03, 0x0a, 0x01, 0x00]);
    assert!(matches!(empty, Err(OcspError::Refused(_))), "{empty:?}");
    assert!(Ocsp::from_der(&vec![0x30; 70_000]).is_err());
}

#[test]
fn revoked_later_is_told_and_not_held_against_it() {
    let a = house();
    a.revoke_at("root", "maria", a.now + 1000);
    a.answer("root", "root", "maria", "revoked", 7);
    let rules = |signed| Rules {
        now: a.now + 2000,
        signed,
        ..a.rules(Revocation::Require)
    };
    let before = judge(&a, &["revoked"], &rules(Some(a.now + 999))).unwrap();
    assert_eq!(before.revoked_later, Some(a.now + 1000));
    for signed in [None, Some(a.now + 1000), Some(a.now + 1001)] {
        let after = judge(&a, &["revoked"], &rules(signed));
        assert!(matches!(after, Err(PathError::Revoked { .. })), "{after:?}");
    }
}

#[test]
fn a_nonce_is_read_back() {
    let a = house();
    let (maria, root) = (a.certificate("maria"), a.certificate("root"));
    let nonce = [7; 32];
    let request = smr_pki::ocsp::request(&maria, &root, Some(nonce)).unwrap();
    a.write("nonce.req", &request);
    a.openssl("ocsp -index root.index -CA root.pem -rsigner root.pem -rkey root.key -ndays 1 -reqin nonce.req -respout nonce.ocsp");
    let answer = Ocsp::from_der(&a.read("nonce.ocsp")).unwrap();
    assert_eq!(answer.nonce(), Some(nonce.to_vec()));
    assert!(ours(&a, &["nonce"]).unwrap().revocation_checked);
    let other = smr_pki::ocsp::request(&maria, &root, None).unwrap();
    assert!(request.len() > other.len());
}
