//! Revocation lists: PEM or DER in, what is needed to choose among them out.
//!
//! Verifies no signature: `path` does. Entries stay as they are in the DER: a
//! list may have hundreds of thousands.

use std::ops::Range;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::Decode;
use der::asn1::BitString;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{CrlNumber, IssuingDistributionPoint};
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::asn1;

/// id-ce-expiredCertsOnCRL (X.509 9.5.2.8).
const EXPIRED_CERTS_ON_CRL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.60");
/// Critical extensions of a list that are understood.
const UNDERSTOOD: [ObjectIdentifier; 2] = [
    rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT,
    rfc5280::ID_CE_DELTA_CRL_INDICATOR,
];

/// Holds one revocation list (RFC 5280 5). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// The list as it was read.
    pub der: Arc<[u8]>,
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
    /// The same, read.
    pub(crate) point: Option<IssuingDistributionPoint>,
    /// Where deltas to it are published, DER; none where there are no deltas.
    pub(crate) freshest: Option<Vec<u8>>,
    /// Whether it also lists certificates that have expired.
    pub(crate) keeps_expired: bool,
    /// Whether it has a critical extension that nobody here understands.
    pub(crate) is_foreign: bool,
    tbs: Range<usize>,
    algorithm: Range<usize>,
    signature: Vec<u8>,
    entries: Range<usize>,
}

/// One entry of a list, as it stands in the DER.
pub(crate) struct Entry<'a> {
    pub(crate) serial: &'a [u8],
    /// Revocation date, unix time.
    pub(crate) date: i64,
    extensions: Vec<Extension>,
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

/// The fields of a TBSCertList (RFC 5280 5.1.2), each with its header.
struct Fields<'a> {
    algorithm: &'a [u8],
    issuer: &'a [u8],
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<&'a [u8]>,
    extensions: Vec<Extension>,
}

impl<'a> Fields<'a> {
    fn read(tbs: &'a [u8]) -> Result<Self, CrlError> {
        let missing = || CrlError::Damaged("a field is missing".into());
        let parts = asn1::children(tbs)?;
        let mut parts = parts.into_iter().peekable();
        parts.next_if(|p| p.first() == Some(&0x02));
        let algorithm = parts.next().ok_or_else(missing)?;
        let issuer = parts.next().ok_or_else(missing)?;
        let this_update = Time::from_der(parts.next().ok_or_else(missing)?)?;
        let is_time = |p: &&[u8]| matches!(p.first(), Some(0x17 | 0x18));
        let next_update = parts.next_if(is_time).map(Time::from_der).transpose()?;
        let revoked = parts.next_if(|p| p.first() == Some(&0x30));
        let extensions = match parts.next_if(|p| p.first() == Some(&0xa0)) {
            Some(explicit) => Vec::<Extension>::from_der(asn1::content(explicit)?)?,
            None => Vec::new(),
        };
        match parts.next() {
            None => Ok(Fields {
                algorithm,
                issuer,
                this_update,
                next_update,
                revoked,
                extensions,
            }),
            Some(_) => Err(CrlError::Damaged("a field too many".into())),
        }
    }
}

impl Crl {
    /// Reads one DER CRL: its head; entries are looked at when they are
    /// searched.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let damaged = |why: &str| CrlError::Damaged(why.to_owned());
        let outer = asn1::children(der)?;
        let [tbs, algorithm, signature] = outer[..] else {
            return Err(damaged("it has not three parts"));
        };
        let fields = Fields::read(tbs)?;
        if fields.algorithm != algorithm {
            return Err(damaged("two different signature algorithms"));
        }
        let extensions = &fields.extensions;
        if asn1::has_twice(extensions.iter().map(|e| e.extn_id)) {
            return Err(damaged("the same extension twice"));
        }
        let entries = fields.revoked.map(asn1::content).transpose()?;
        let scope = value(extensions, rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT);
        let signature = BitString::from_der(signature)?;
        let foreign = |e: &Extension| e.critical && !UNDERSTOOD.contains(&e.extn_id);
        Ok(Crl {
            der: der.into(),
            issuer_der: fields.issuer.to_vec(),
            issuer: Name::from_der(fields.issuer)?,
            this_update: asn1::unix(&fields.this_update),
            next_update: fields.next_update.as_ref().map(asn1::unix),
            number: number(extensions, rfc5280::ID_CE_CRL_NUMBER)?,
            base_number: number(extensions, rfc5280::ID_CE_DELTA_CRL_INDICATOR)?,
            point: scope.map(IssuingDistributionPoint::from_der).transpose()?,
            scope: scope.map(<[u8]>::to_vec),
            freshest: value(extensions, rfc5280::ID_CE_FRESHEST_CRL).map(<[u8]>::to_vec),
            keeps_expired: value(extensions, EXPIRED_CERTS_ON_CRL).is_some(),
            is_foreign: extensions.iter().any(foreign),
            tbs: place(der, tbs),
            algorithm: place(der, algorithm),
            signature: signature
                .as_bytes()
                .ok_or_else(|| damaged("a signature of odd length"))?
                .to_vec(),
            entries: entries.map_or(0..0, |inner| place(der, inner)),
        })
    }

    /// Says whether the list only adds to another (RFC 5280 5.2.4).
    pub fn is_delta(&self) -> bool {
        self.base_number.is_some()
    }

    /// Returns what is signed, the algorithm, and the signature.
    pub(crate) fn signed(&self) -> (&[u8], &[u8], &[u8]) {
        // Both ranges were found in these bytes.
        (
            &self.der[self.tbs.clone()],
            &self.der[self.algorithm.clone()],
            &self.signature,
        )
    }

    /// Walks the entries; one that is not well formed is an error.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Entry<'_>, CrlError>> {
        asn1::walk(&self.der[self.entries.clone()]).map(|entry| Entry::read(entry?))
    }

    /// Walks the entries of these serial numbers, without reading the others.
    pub(crate) fn entries_of(
        &self,
        serial: &[u8],
    ) -> impl Iterator<Item = Result<Entry<'_>, CrlError>> {
        asn1::walk(&self.der[self.entries.clone()])
            .filter(move |entry| {
                let number = entry.as_ref().ok().and_then(|e| first_number(e));
                number.is_none_or(|number| number == serial)
            })
            .map(|entry| Entry::read(entry?))
    }
}

impl<'a> Entry<'a> {
    fn read(entry: &'a [u8]) -> Result<Self, CrlError> {
        let damaged = || CrlError::Damaged("an entry is not well formed".into());
        let parts = asn1::children(entry)?;
        let (Some(serial), Some(date)) = (parts.first(), parts.get(1)) else {
            return Err(damaged());
        };
        let extensions = match parts.get(2) {
            Some(extensions) => Vec::<Extension>::from_der(extensions)?,
            None => Vec::new(),
        };
        if serial.first() != Some(&0x02) || parts.len() > 3 {
            return Err(damaged());
        }
        Ok(Entry {
            serial: asn1::content(serial)?,
            date: asn1::unix(&Time::from_der(date)?),
            extensions,
        })
    }

    /// Returns the value of an extension.
    pub(crate) fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        value(&self.extensions, oid)
    }

    /// Returns the critical extensions.
    pub(crate) fn critical(&self) -> impl Iterator<Item = ObjectIdentifier> {
        let critical = self.extensions.iter().filter(|e| e.critical);
        critical.map(|e| e.extn_id)
    }
}

/// Reads the INTEGER with which an entry begins.
fn first_number(entry: &[u8]) -> Option<&[u8]> {
    let number = asn1::walk(asn1::content(entry).ok()?).next()?.ok()?;
    (number.first() == Some(&0x02)).then(|| asn1::content(number).ok())?
}

/// Returns where `part` lies in `whole`, of which it is a slice.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
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

fn value(extensions: &[Extension], oid: ObjectIdentifier) -> Option<&[u8]> {
    let found = extensions.iter().find(|e| e.extn_id == oid)?;
    Some(found.extn_value.as_bytes())
}

fn number(extensions: &[Extension], oid: ObjectIdentifier) -> Result<Option<Vec<u8>>, CrlError> {
    let Some(der) = value(extensions, oid) else {
        return Ok(None);
    };
    Ok(Some(CrlNumber::from_der(der)?.0.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Crl;

    /// One element of DER, of any length below 16 MiB.
    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x83], &length[1..], &content].concat()
    }

    /// A list with these extensions, by number, that nobody signed. Lengths of
    /// three bytes are no DER for what is short: those are written out.
    fn list(extensions: impl Iterator<Item = u32>) -> Vec<u8> {
        let extension = |number: u32| {
            let n = [
                number >> 14 & 0x7f | 0x80,
                number >> 7 & 0x7f | 0x80,
                number & 0x7f,
            ];
            let oid = [6, 4, 0x2a, n[0] as u8, n[1] as u8, n[2] as u8];
            [&[0x30, 10][..], &oid, &[4, 2, 5, 0]].concat()
        };
        let all: Vec<u8> = extensions.flat_map(extension).collect();
        let algorithm: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let time = [&[0x17, 13][..], b"260101000000Z"].concat();
        let sequence = tlv(0x30, &[&all]);
        let head: &[u8] = &[2, 1, 1];
        let tbs = tlv(
            0x30,
            &[head, algorithm, &[0x30, 0], &time, &tlv(0xa0, &[&sequence])],
        );
        tlv(0x30, &[&tbs, algorithm, &[3, 2, 0, 0]])
    }

    /// 1.2.N with N of three bytes of seven bits, the first not zero.
    const FIRST: u32 = 1 << 14;

    #[test]
    fn a_list_of_many_extensions_is_read_at_once_and_none_may_stand_twice() {
        let many = || FIRST..FIRST + 200_000;
        let start = Instant::now();
        let read = Crl::from_der(&list(many()));
        assert!(read.is_ok(), "{read:?}");
        let twice = Crl::from_der(&list(many().chain([FIRST]))).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
        // Each compared with each other would take minutes.
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
