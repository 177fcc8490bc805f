//! Several ways from a card to an anchor: cross certificates, renewed keys,
//! authorities that vouch for one another.

use smr_pki::path::{PathError, Revocation, verify};

use crate::authority::{Authority, CA, PERSON};

/// Has `issuer` certify the key and name of `twin`, as NAME.
fn cross(a: &Authority, name: &str, issuer: &str, twin: &str, extensions: &str, days: u32) {
    a.write("cross.cnf", format!("[e]\n{extensions}\n").as_bytes());
    a.openssl(&format!(
        "x509 -req -in {twin}.csr -CA {issuer}.pem -CAkey {issuer}.key -days {days} \
         -CAcreateserial -extfile cross.cnf -extensions e -out {name}.pem"
    ));
}

/// Roots "root" and "other", and an authority "cards" of the first, whose key
/// the second has certified too, as "bridge".
fn two_roots(bridge: &str, days: u32) -> Authority {
    let a = Authority::new();
    a.root("root", "P-256", "/CN=Root");
    a.root("other", "P-256", "/CN=Other");
    a.issue("cards", "root", "P-256", "/CN=Cards", CA, 90);
    cross(&a, "bridge", "other", "cards", bridge, days);
    a.issue("rui", "cards", "P-256", "/CN=Rui", PERSON, 30);
    a
}

/// Returns the verdict under one anchor, and the anchor's name where it is good.
fn judged(a: &Authority, anchor: &[&str], others: &[&str]) -> Result<String, PathError> {
    let rules = a.rules(Revocation::Off);
    let store = a.store(anchor, others, &[]);
    let verdict = verify(&a.certificate("rui"), &[], &store, &rules)?;
    Ok(verdict.chain.last().unwrap().subject_text().to_owned())
}

#[test]
fn a_cross_certificate_leads_to_the_other_root() {
    let a = two_roots(CA, 90);
    for order in [["cards", "bridge"], ["bridge", "cards"]] {
        assert_eq!(judged(&a, &["root"], &order).unwrap(), "CN=Root");
        assert_eq!(judged(&a, &["other"], &order).unwrap(), "CN=Other");
    }
    let error = judged(&a, &["other"], &["cards"]).unwrap_err();
    assert!(matches!(error, PathError::NoPath { .. }), "{error:?}");
}

#[test]
fn where_one_way_is_closed_another_is_taken_and_no_constraint_is_shed() {
    // The bridge lets nobody through whom the first root does.
    let narrow = format!("{CA}\nnameConstraints=critical,permitted;dirName:dn\n[dn]\nO=Nobody");
    let a = two_roots(&narrow, 90);
    let both = ["bridge", "cards"];
    assert_eq!(judged(&a, &["other", "root"], &both).unwrap(), "CN=Root");
    assert_eq!(judged(&a, &["root", "other"], &both).unwrap(), "CN=Root");
    let error = judged(&a, &["other"], &both).unwrap_err();
    assert!(matches!(error, PathError::Constraint { .. }), "{error:?}");
}

#[test]
fn authorities_that_vouch_for_one_another_end_the_search() {
    let a = Authority::new();
    a.root("root", "P-256", "/CN=Root");
    a.root("stranger", "P-256", "/CN=Stranger");
    for name in ["a", "b", "c"] {
        a.issue(name, "stranger", "P-256", &format!("/CN={name}"), CA, 90);
    }
    a.issue("rui", "a", "P-256", "/CN=Rui", PERSON, 30);
    // Each certifies each other, and one itself: a circle without an anchor.
    let mut circle = Vec::new();
    for (issuer, twin) in [
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("b", "a"),
        ("c", "b"),
        ("a", "a"),
    ] {
        let name = format!("{issuer}{twin}");
        cross(&a, &name, issuer, twin, CA, 90);
        circle.push(name);
    }
    let mut others: Vec<&str> = circle.iter().map(String::as_str).collect();
    let error = judged(&a, &["root"], &others).unwrap_err();
    assert!(matches!(error, PathError::NoPath { .. }), "{error:?}");
    // With a way out of it the card is good.
    cross(&a, "out", "root", "c", CA, 90);
    others.push("out");
    assert_eq!(judged(&a, &["root"], &others).unwrap(), "CN=Root");
}
