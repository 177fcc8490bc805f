//! ASN.1 pieces shared by certificates and CMS: raw elements, text, time.
//!
//! Knows only DER; an indefinite length or a stray byte is an error.

use std::collections::BTreeSet;
use std::time::Duration;

use der::asn1::{Any, BmpString, GeneralizedTime, UtcTime};
use der::{DateTime, Decode, Encode, Header, Reader, SliceReader, Tag, Tagged};
use x509_cert::time::Time;

/// Splits a SEQUENCE into its elements, each with its header.
pub(crate) fn children(tlv: &[u8]) -> der::Result<Vec<&[u8]>> {
    let mut outer = SliceReader::new(tlv)?;
    let header = Header::decode(&mut outer)?;
    header.tag().assert_eq(Tag::Sequence)?;
    let body = outer.read_slice(header.length())?;
    outer.finish()?;
    let mut reader = SliceReader::new(body)?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(reader.tlv_bytes()?);
    }
    Ok(parts)
}

/// Walks the elements inside a constructed one, each with its header; a stray
/// byte ends the walk with an error.
pub(crate) fn walk(content: &[u8]) -> impl Iterator<Item = der::Result<&[u8]>> {
    let mut reader = SliceReader::new(content).ok();
    std::iter::from_fn(move || {
        let inner = reader.as_mut().filter(|r| !r.is_finished())?;
        let element = inner.tlv_bytes();
        if element.is_err() {
            reader = None;
        }
        Some(element)
    })
}

/// Says whether a value comes twice; quickly, for who sends a list of them may
/// want to keep us busy.
pub(crate) fn has_twice<T: Ord>(values: impl IntoIterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    !values.into_iter().all(|value| seen.insert(value))
}

/// Returns what is inside one element.
pub(crate) fn content(tlv: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(tlv)?;
    let header = Header::decode(&mut reader)?;
    let body = reader.read_slice(header.length())?;
    reader.finish()?;
    Ok(body)
}

/// Reads the text of a name attribute, whatever its string type.
pub(crate) fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            String::from_utf8(value.value().to_vec()).ok()
        }
        Tag::TeletexString => Some(value.value().iter().map(|&b| char::from(b)).collect()),
        Tag::BmpString => Some(value.decode_as::<BmpString>().ok()?.to_string()),
        _ => None,
    }
}

/// Returns a time as unix seconds.
pub(crate) fn unix(time: &Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// Writes unix seconds as UTCTime until 2049, as GeneralizedTime after
/// (RFC 5280 4.1.2.5); times before 1970 do not exist here.
pub(crate) fn time(unix: i64) -> der::Result<Time> {
    let seconds = u64::try_from(unix).map_err(|_| der::ErrorKind::DateTime)?;
    let date = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    Ok(match UtcTime::from_date_time(date) {
        Ok(utc) => Time::UtcTime(utc),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_date_time(date)),
    })
}

/// Wraps a value as ANY.
pub(crate) fn any(value: &impl Encode) -> der::Result<Any> {
    Any::from_der(&value.to_der()?)
}

/// Returns the DER of every PEM block with this label (RFC 7468), or none
/// where a block is damaged; text between blocks is passed over.
pub(crate) fn pem_blocks(bytes: &[u8], label: &str) -> Option<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(&begin) {
        let block = rest.get(start..)?;
        let length = block.find(&end)? + end.len();
        let (read, der) = der::pem::decode_vec(block.get(..length)?.as_bytes()).ok()?;
        if read != label {
            return None;
        }
        found.push(der);
        rest = block.get(length..)?;
    }
    Some(found)
}

/// Writes DER as PEM, lines of 64 characters.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    // The label is one of ours and well formed, which is all that can fail.
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_whole_elements() {
        let tlv = [0x30, 0x05, 0x02, 0x01, 0x07, 0x05, 0x00];
        assert_eq!(
            children(&tlv).unwrap(),
            [&[0x02, 0x01, 0x07][..], &[0x05, 0x00][..]]
        );
        assert!(children(&[0x31, 0x02, 0x05, 0x00]).is_err());
        assert!(children(&[0x30, 0x05, 0x02, 0x01]).is_err());
        assert!(children(&[0x30, 0x02, 0x05, 0x00, 0x00]).is_err());
        assert!(children(&[0x30, 0x80, 0x05, 0x00, 0x00, 0x00]).is_err());
    }

    #[test]
    fn time_changes_form_in_2050() {
        assert!(matches!(time(1_800_000_000), Ok(Time::UtcTime(_))));
        assert!(matches!(time(2_600_000_000), Ok(Time::GeneralTime(_))));
        assert_eq!(unix(&time(1_800_000_000).unwrap()), 1_800_000_000);
        assert!(time(-1).is_err());
    }

    #[test]
    fn text_is_read_by_type() {
        let latin = Any::new(Tag::TeletexString, [b'J', 0xf3]).unwrap();
        assert_eq!(text(&latin).as_deref(), Some("J\u{f3}"));
        let number = Any::new(Tag::Integer, [1]).unwrap();
        assert_eq!(text(&number), None);
        let broken = Any::new(Tag::Utf8String, [0xff]).unwrap();
        assert_eq!(text(&broken), None);
    }
}
