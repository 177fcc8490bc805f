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
                    found = read(&entry)?;
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
            found = read(&entry)?;
        }
    }
    Ok(found)
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
