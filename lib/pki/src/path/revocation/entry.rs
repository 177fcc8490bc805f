//! One certificate in one list: the entry that names it.
//!
//! Believes the list; its signature was verified before.

use const_oid::db::rfc5280::{ID_CE_CERTIFICATE_ISSUER, ID_CE_CRL_REASONS, ID_CE_INVALIDITY_DATE};
use der::Decode;
use der::asn1::GeneralizedTime;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::name::Name;

use crate::certificate::Certificate;
use crate::crl::{Crl, CrlError, Entry};

/// certificateHold and removeFromCRL (RFC 5280 5.3.1), as DER.
const HOLD: [u8; 3] = [0x0a, 0x01, 0x06];
const REMOVED: [u8; 3] = [0x0a, 0x01, 0x08];

/// What one list says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// Nothing.
    No,
    /// Revoked since.
    Revoked(i64),
    /// Suspended since.
    Held(i64),
    /// No longer suspended.
    Removed,
}

/// Finds a certificate in a list; a list whose entries cannot be read is an
/// error, and of no use.
pub(super) fn find(list: &Crl, certificate: &Certificate) -> Result<Listed, CrlError> {
    let indirect = list.point.as_ref().is_some_and(|point| point.indirect_crl);
    match indirect {
        true => find_indirect(list, certificate),
        false => {
            let mut found = Listed::No;
            for entry in list.entries_of(certificate.serial()) {
                let entry = entry?;
                let issuer = issuer_of(&entry)?;
                let issuer = issuer.as_ref().unwrap_or(&list.issuer);
                if certval::compare_names(issuer, certificate.issuer_name()) {
                    found = worse(found, read(&entry)?);
                }
            }
            Ok(found)
        }
    }
}

/// In an indirect list an entry is of the issuer that the last one named
/// (RFC 5280 5.3.3).
fn find_indirect(list: &Crl, certificate: &Certificate) -> Result<Listed, CrlError> {
    let mut issuer = list.issuer.clone();
    let mut found = Listed::No;
    for entry in list.entries() {
        let entry = entry?;
        issuer = issuer_of(&entry)?.unwrap_or(issuer);
        if entry.serial == certificate.serial()
            && certval::compare_names(&issuer, certificate.issuer_name())
        {
            found = worse(found, read(&entry)?);
        }
    }
    Ok(found)
}

/// Of two entries on one certificate the worse one counts, since the first of
/// their dates: no list should have two, and others read the one or the other.
fn worse(one: Listed, other: Listed) -> Listed {
    let since = [one, other].into_iter().filter_map(|listed| match listed {
        Listed::Revoked(date) | Listed::Held(date) => Some(date),
        Listed::No | Listed::Removed => None,
    });
    let is_revoked = [one, other]
        .iter()
        .any(|listed| matches!(listed, Listed::Revoked(_)));
    match (since.min(), one, other) {
        (Some(date), ..) if is_revoked => Listed::Revoked(date),
        (Some(date), ..) => Listed::Held(date),
        (None, Listed::No, Listed::No) => Listed::No,
        (None, ..) => Listed::Removed,
    }
}

fn issuer_of(entry: &Entry<'_>) -> Result<Option<Name>, CrlError> {
    let Some(der) = entry.extension(ID_CE_CERTIFICATE_ISSUER) else {
        return Ok(None);
    };
    let mut names = GeneralNames::from_der(der)?.into_iter();
    let directory = names.find_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name),
        _ => None,
    });
    let unread = || CrlError::Damaged("an entry's issuer is no directory name".into());
    directory.map(Some).ok_or_else(unread)
}

/// An entry with a critical extension that nobody understands revokes: what
/// else it could say is not known.
fn read(entry: &Entry<'_>) -> Result<Listed, CrlError> {
    let date = match entry.extension(ID_CE_INVALIDITY_DATE) {
        Some(der) => entry.date.min(seconds(GeneralizedTime::from_der(der)?)),
        None => entry.date,
    };
    let known = [ID_CE_CERTIFICATE_ISSUER, ID_CE_CRL_REASONS];
    if entry.critical().any(|oid| !known.contains(&oid)) {
        return Ok(Listed::Revoked(date));
    }
    Ok(match entry.extension(ID_CE_CRL_REASONS) {
        Some(reason) if *reason == HOLD => Listed::Held(date),
        Some(reason) if *reason == REMOVED => Listed::Removed,
        _ => Listed::Revoked(date),
    })
}

pub(super) fn seconds(time: GeneralizedTime) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        match u8::try_from(content.len()).unwrap() {
            short @ 0..0x80 => [&[tag, short], &content[..]].concat(),
            long => [&[tag, 0x81, long], &content[..]].concat(),
        }
    }

    /// An entry of a second of 2026, and a reason.
    fn entry(serial: &[u8], second: u8, reason: Option<u8>) -> Vec<u8> {
        let time = tlv(0x17, &[format!("2601010000{second:02}Z").as_bytes()]);
        let reason = reason.map_or(Vec::new(), |reason| {
            let value = tlv(0x04, &[&[0x0a, 1, reason]]);
            tlv(0x30, &[&tlv(0x30, &[&[6, 3, 0x55, 0x1d, 0x15], &value])])
        });
        tlv(0x30, &[&tlv(0x02, &[serial]), &time, &reason])
    }

    /// A list of the issuer of `of`, which nobody signed.
    fn list(of: &Certificate, is_indirect: bool, entries: &[Vec<u8>]) -> Crl {
        let algorithm: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let time = tlv(0x17, &[b"260101000000Z"]);
        // id-ce-issuingDistributionPoint, and in it indirectCRL.
        let point = tlv(0x04, &[&[0x30, 3, 0x84, 1, 0xff]]);
        let point = tlv(0x30, &[&[6, 3, 0x55, 0x1d, 0x1c, 1, 1, 0xff], &point]);
        let point = match is_indirect {
            true => tlv(0xa0, &[&tlv(0x30, &[&point])]),
            false => Vec::new(),
        };
        let entries = tlv(0x30, &[&entries.concat()]);
        let issuer = of.issuer_der();
        let tbs = tlv(
            0x30,
            &[&[2, 1, 1], algorithm, issuer, &time, &entries, &point],
        );
        Crl::from_der(&tlv(0x30, &[&tbs, algorithm, &[3, 2, 0, 0]])).unwrap()
    }

    #[test]
    fn of_two_entries_on_one_certificate_the_worse_counts() {
        let pem = include_bytes!("../../../../../tests/vectors/envelope/root.pem");
        let root = &Certificate::pem_or_der_bundle(pem).unwrap()[0];
        let day = 1_767_225_600;
        let (hold, removed) = (Some(6), Some(8));
        let cases = [
            ([(1, hold), (2, None)], Listed::Revoked(day + 1)),
            ([(1, None), (2, hold)], Listed::Revoked(day + 1)),
            ([(1, None), (2, removed)], Listed::Revoked(day + 1)),
            ([(3, None), (2, None)], Listed::Revoked(day + 2)),
            ([(1, hold), (2, removed)], Listed::Held(day + 1)),
            ([(1, removed), (2, removed)], Listed::Removed),
        ];
        for (entries, expected) in cases {
            let mut entries = entries.map(|(second, why)| entry(root.serial(), second, why));
            for _ in 0..2 {
                for is_indirect in [false, true] {
                    let list = list(root, is_indirect, &entries);
                    assert_eq!(find(&list, root).unwrap(), expected, "{is_indirect}");
                }
                entries.reverse();
            }
        }
        let others = [entry(&[1, 2, 3], 1, None)];
        assert_eq!(find(&list(root, true, &others), root).unwrap(), Listed::No);
    }
}
