//! Where certificates and lists say that more is to be had.

use smr_pki::sources;

use crate::authority::{Authority, PERSON};

fn issue(a: &Authority, extensions: &str) {
    let all = format!("{PERSON}\n{extensions}");
    a.issue("maria", "root", "P-256", "/CN=Maria", &all, 60);
}

fn root() -> Authority {
    let a = Authority::new();
    a.root("root", "P-256", "/CN=Root");
    a
}

#[test]
fn each_kind_of_address_is_read() {
    let a = root();
    issue(
        &a,
        "crlDistributionPoints=URI:http://a/1.crl,URI:HTTPS://a/2.crl
freshestCRL=URI:http://a/delta.crl
authorityInfoAccess=OCSP;URI:http://a/ocsp,caIssuers;URI:http://a/ca.cer",
    );
    let maria = a.certificate("maria");
    assert_eq!(
        sources::crl_urls(&maria),
        ["http://a/1.crl", "HTTPS://a/2.crl"]
    );
    assert_eq!(sources::delta_urls(&maria), ["http://a/delta.crl"]);
    assert_eq!(sources::ocsp_urls(&maria), ["http://a/ocsp"]);
    assert_eq!(sources::ca_issuer_urls(&maria), ["http://a/ca.cer"]);
    a.crl_with("root", "root", 30, "freshestCRL=URI:http://a/of-list.crl");
    assert_eq!(
        sources::delta_urls_of(&a.list("root")),
        ["http://a/of-list.crl"]
    );
}

#[test]
fn no_address_is_no_error() {
    let a = root();
    issue(&a, "");
    a.crl("root", "root", 30);
    let maria = a.certificate("maria");
    assert!(sources::crl_urls(&maria).is_empty());
    assert!(sources::ocsp_urls(&maria).is_empty());
    assert!(sources::delta_urls_of(&a.list("root")).is_empty());
}

#[test]
fn only_plain_addresses_of_the_web_are_taken() {
    let a = root();
    let long = format!("http://a/{}", "x".repeat(1100));
    issue(
        &a,
        &format!(
            "crlDistributionPoints=URI:ldap://a/1,URI:file:///etc/passwd,URI:http://u:p@a/3,URI:{long},URI:http://a/5"
        ),
    );
    assert_eq!(sources::crl_urls(&a.certificate("maria")), ["http://a/5"]);
}

#[test]
fn four_of_a_kind_are_enough() {
    let a = root();
    let many: Vec<String> = (0..9).map(|n| format!("URI:http://a/{n}")).collect();
    issue(&a, &format!("crlDistributionPoints={}", many.join(",")));
    assert_eq!(sources::crl_urls(&a.certificate("maria")).len(), 4);
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let a = root();
    issue(
        &a,
        "2.5.29.31=DER:30:03:02:01:05\n1.3.6.1.5.5.7.1.1=DER:05:00",
    );
    let maria = a.certificate("maria");
    assert!(sources::crl_urls(&maria).is_empty());
    assert!(sources::ocsp_urls(&maria).is_empty());
}
