//! Revocation lists: PEM or DER in, what is needed to choose among them out.
//!
//! Verifies no signature: `path` does.

use const_oid::db::rfc5280;
use der::{Decode, Encode};
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::name::Name;

use crate::asn1;

/// Holds one revocation list (RFC 5280 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// The list as it was read.
    pub der: Vec<u8>,
    /// The DER of its issuer's name.
    pub issuer_der: Vec<u8>,
    /// When it was made, unix time.
    pub this_update: i64,
    /// When the next one is due, unix time.
    pub next_update: Option<i64>,
    pub(crate) issuer: Name,
    /// The number of the list, big-endian without leading zeros.
    pub(crate) number: Option<Vec<u8>>,
    /// For a delta: the number of the list it adds to.
    pub(crate) base_number: Option<Vec<u8>>,
    /// The issuing distribution point, DER: lists of one scope have the same.
    pub(crate) scope: Option<Vec<u8>>,
    /// Whether deltas are published for it.
    pub(crate) has_deltas: bool,
}

/// Says why bytes are not a revocation list.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The bytes are not one DER CRL.
    #[error("not a DER revocation list: {0}")]
    Damaged(String),
    /// The text is not PEM, or holds no CRL.
    #[error("no revocation list found, expected PEM or DER")]
    Absent,
}

impl From<der::Error> for CrlError {
    fn from(error: der::Error) -> Self {
        CrlError::Damaged(error.to_string())
    }
}

impl Crl {
    /// Reads one DER CRL.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let list: CertificateList = CertificateList::from_der(der)?;
        let tbs = list.tbs_cert_list;
        let extensions = tbs.crl_extensions.unwrap_or_default();
        Ok(Crl {
            der: der.to_vec(),
            issuer_der: tbs.issuer.to_der()?,
            issuer: tbs.issuer,
            this_update: asn1::unix(&tbs.this_update),
            next_update: tbs.next_update.as_ref().map(asn1::unix),
            number: number(&extensions, rfc5280::ID_CE_CRL_NUMBER)?,
            base_number: number(&extensions, rfc5280::ID_CE_DELTA_CRL_INDICATOR)?,
            scope: value(&extensions, rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT)
                .map(<[u8]>::to_vec),
            has_deltas: value(&extensions, rfc5280::ID_CE_FRESHEST_CRL).is_some(),
        })
    }

    /// Says whether the list only adds to another (RFC 5280 5.2.4).
    pub fn is_delta(&self) -> bool {
        self.base_number.is_some()
    }

    /// Says whether the list may be used at `now`, being made at most
    /// `max_age` seconds before; without a next update the age decides alone.
    pub(crate) fn is_current(&self, now: i64, max_age: Option<i64>) -> bool {
        let young = max_age.is_none_or(|age| now.saturating_sub(self.this_update) <= age);
        let due = match self.next_update {
            Some(next) => now <= next,
            None => max_age.is_some(),
        };
        self.this_update <= now && young && due
    }
}

/// Reads every CRL of a PEM text, or the one in a DER file; other PEM blocks
/// are passed over.
pub fn parse_bundle(bytes: &[u8]) -> Result<Vec<Crl>, CrlError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![Crl::from_der(bytes)?]);
    }
    let found = asn1::pem_blocks(bytes, "X509 CRL").ok_or(CrlError::Absent)?;
    if found.is_empty() {
        return Err(CrlError::Absent);
    }
    found.iter().map(|der| Crl::from_der(der)).collect()
}

fn value(extensions: &[Extension], oid: const_oid::ObjectIdentifier) -> Option<&[u8]> {
    let found = extensions.iter().find(|e| e.extn_id == oid)?;
    Some(found.extn_value.as_bytes())
}

fn number(
    extensions: &[Extension],
    oid: const_oid::ObjectIdentifier,
) -> Result<Option<Vec<u8>>, CrlError> {
    let Some(der) = value(extensions, oid) else {
        return Ok(None);
    };
    Ok(Some(CrlNumber::from_der(der)?.0.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(this_update: i64, next_update: Option<i64>) -> Crl {
        Crl {
            der: Vec::new(),
            issuer_der: Vec::new(),
            this_update,
            next_update,
            issuer: Name::default(),
            number: None,
            base_number: None,
            scope: None,
            has_deltas: false,
        }
    }

    #[test]
    fn a_list_is_current_between_its_updates() {
        let list = list(100, Some(200));
        assert!(list.is_current(100, None) && list.is_current(200, None));
        assert!(!list.is_current(99, None) && !list.is_current(201, None));
    }

    #[test]
    fn age_limits_what_the_list_says_itself() {
        let list = list(100, Some(200));
        assert!(list.is_current(150, Some(50)));
        assert!(!list.is_current(151, Some(50)));
        assert!(!list.is_current(201, Some(1000)));
    }

    #[test]
    fn without_a_next_update_only_age_helps() {
        let list = list(100, None);
        assert!(!list.is_current(101, None));
        assert!(list.is_current(101, Some(10)));
        assert!(!list.is_current(111, Some(10)));
    }

    #[test]
    fn rubbish_is_no_list() {
        assert!(matches!(parse_bundle(b""), Err(CrlError::Absent)));
        assert!(matches!(
            parse_bundle(&[0x30, 0x00]),
            Err(CrlError::Damaged(_))
        ));
    }
}
