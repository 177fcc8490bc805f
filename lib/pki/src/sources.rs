//! Where a certificate says that revocation data and issuers are to be had.
//!
//! Fetches nothing: whoever does decides what of it to believe.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_AD_CA_ISSUERS, ID_AD_OCSP, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_FRESHEST_CRL,
    ID_PE_AUTHORITY_INFO_ACCESS,
};
use der::Decode;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, CrlDistributionPoints};

use crate::certificate::Certificate;
use crate::crl::Crl;

/// Addresses of one kind that are taken from one certificate.
const MOST: usize = 4;
/// The longest address, in bytes.
const LONGEST: usize = 1024;

/// Returns where lists are published: `http` and `https` addresses, four at
/// most (RFC 5280 4.2.1.13).
pub fn crl_urls(certificate: &Certificate) -> Vec<String> {
    points(certificate, ID_CE_CRL_DISTRIBUTION_POINTS)
}

/// Returns where deltas are published (RFC 5280 4.2.1.15).
pub fn delta_urls(certificate: &Certificate) -> Vec<String> {
    points(certificate, ID_CE_FRESHEST_CRL)
}

/// Returns where a list says that deltas to it are published (RFC 5280 5.2.6).
pub fn delta_urls_of(list: &Crl) -> Vec<String> {
    list.freshest.as_deref().map_or_else(Vec::new, addresses)
}

/// Returns which responders answer for it (RFC 5280 4.2.2.1).
pub fn ocsp_urls(certificate: &Certificate) -> Vec<String> {
    access(certificate, ID_AD_OCSP)
}

/// Returns where its issuer's certificate is to be had.
pub fn ca_issuer_urls(certificate: &Certificate) -> Vec<String> {
    access(certificate, ID_AD_CA_ISSUERS)
}

fn points(certificate: &Certificate, oid: ObjectIdentifier) -> Vec<String> {
    value(certificate, oid).map_or_else(Vec::new, addresses)
}

/// Reads the addresses in distribution points, DER.
fn addresses(der: &[u8]) -> Vec<String> {
    let points =
        CrlDistributionPoints::from_der(der).map_or_else(|_| Vec::new(), |points| points.0);
    let names = points
        .iter()
        .flat_map(|point| match &point.distribution_point {
            Some(DistributionPointName::FullName(names)) => names.as_slice(),
            _ => &[],
        });
    names.filter_map(address).take(MOST).collect()
}

fn access(certificate: &Certificate, method: ObjectIdentifier) -> Vec<String> {
    let found = value(certificate, ID_PE_AUTHORITY_INFO_ACCESS)
        .and_then(|der| AuthorityInfoAccessSyntax::from_der(der).ok());
    let found = found.map_or_else(Vec::new, |found| found.0);
    let by_method = found.iter().filter(|d| d.access_method == method);
    by_method
        .filter_map(|d| address(&d.access_location))
        .take(MOST)
        .collect()
}

fn value(certificate: &Certificate, oid: ObjectIdentifier) -> Option<&[u8]> {
    let mut all = certificate.extensions();
    all.find(|(id, _, _)| *id == oid).map(|(_, _, der)| der)
}

/// Takes an address of the web, without user, control characters or spaces.
fn address(name: &GeneralName) -> Option<String> {
    let GeneralName::UniformResourceIdentifier(uri) = name else {
        return None;
    };
    let text = uri.as_str();
    let scheme = text.split_once("://")?.0.to_ascii_lowercase();
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('@');
    let web = matches!(scheme.as_str(), "http" | "https");
    (web && plain && text.len() <= LONGEST).then(|| text.to_owned())
}
