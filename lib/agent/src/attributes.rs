//! What the device key may sign: the signed attributes of a CMS SignerInfo.
//!
//! Never passes bytes that are anything else: a tool that is deceived, or a
//! repository behind it, cannot get a login or another text signed here.

use smr_name::Class;

// OBJECT IDENTIFIER contents (RFC 5652, 11.1 and 11.2; RFC 2634, 2.5 and 2.7).
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const RECEIPT: &[u8] = &[
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x01,
];

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;

/// Says why bytes are not signed attributes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AttributesError {
    /// Not one DER SET OF Attribute.
    #[error("not the signed attributes of a CMS signature, expected one DER set")]
    NotDer,
    /// A required attribute is missing, doubled or of another kind.
    #[error("signed attributes without one content type and one message digest we sign")]
    NotOurs,
}

impl AttributesError {
    /// Returns the class of this failure.
    pub(crate) fn class(&self) -> Class {
        Class::Denied
    }
}

/// Checks that `bytes` are exactly one DER SET OF Attribute with one
/// contentType (id-data or id-ct-receipt) and one messageDigest (32, 48 or 64
/// bytes), as RFC 5652 5.4 has them signed.
pub(crate) fn check(bytes: &[u8]) -> Result<(), AttributesError> {
    let (tag, mut rest, after) = element(bytes)?;
    if tag != SET || !after.is_empty() {
        return Err(AttributesError::NotDer);
    }
    let (mut types, mut digests) = (0, 0);
    while !rest.is_empty() {
        let [kind, values, next] = attribute(rest)?;
        rest = next;
        if kind == CONTENT_TYPE {
            only_value(values, OID, |v| v == DATA || v == RECEIPT)?;
            types += 1;
        } else if kind == MESSAGE_DIGEST {
            only_value(values, OCTETS, |v| matches!(v.len(), 32 | 48 | 64))?;
            digests += 1;
        }
    }
    if (types, digests) == (1, 1) {
        Ok(())
    } else {
        Err(AttributesError::NotOurs)
    }
}

// One definite, minimal DER element with a low tag: tag, contents, what follows.
fn element(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), AttributesError> {
    let (&tag, rest) = bytes.split_first().ok_or(AttributesError::NotDer)?;
    let (&first, rest) = rest.split_first().ok_or(AttributesError::NotDer)?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => long_length(rest, usize::from(first & 0x7f))?,
        _ => return Err(AttributesError::NotDer),
    };
    if tag & 0x1f == 0x1f {
        return Err(AttributesError::NotDer);
    }
    let (contents, rest) = rest
        .split_at_checked(length)
        .ok_or(AttributesError::NotDer)?;
    Ok((tag, contents, rest))
}

fn long_length(bytes: &[u8], width: usize) -> Result<(usize, &[u8]), AttributesError> {
    let (digits, rest) = bytes
        .split_at_checked(width)
        .ok_or(AttributesError::NotDer)?;
    let length = digits.iter().fold(0, |n, &b| n << 8 | usize::from(b));
    let minimal = length > 0x7f && digits.first() != Some(&0);
    minimal
        .then_some((length, rest))
        .ok_or(AttributesError::NotDer)
}

// Attribute ::= SEQUENCE { type OBJECT IDENTIFIER, values SET OF ANY }: both, and
// what follows.
fn attribute(bytes: &[u8]) -> Result<[&[u8]; 3], AttributesError> {
    let (tag, inner, next) = element(bytes)?;
    let (oid_tag, kind, rest) = element(inner)?;
    let (set_tag, values, end) = element(rest)?;
    if (tag, oid_tag, set_tag) != (SEQUENCE, OID, SET) || !end.is_empty() {
        return Err(AttributesError::NotDer);
    }
    Ok([kind, values, next])
}

fn only_value(
    values: &[u8],
    tag: u8,
    good: impl FnOnce(&[u8]) -> bool,
) -> Result<(), AttributesError> {
    let (found, value, rest) = element(values)?;
    if found == tag && rest.is_empty() && good(value) {
        Ok(())
    } else {
        Err(AttributesError::NotOurs)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{AttributesError, CONTENT_TYPE, DATA, MESSAGE_DIGEST, RECEIPT, check};

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let length = u8::try_from(body.len()).unwrap();
        let head: &[u8] = if length < 0x80 {
            &[tag, length]
        } else {
            &[tag, 0x81, length]
        };
        [head, &body].concat()
    }

    fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&tlv(6, &[kind]), &tlv(0x31, &[value])])
    }

    pub(crate) fn good(kind: &[u8]) -> Vec<u8> {
        let content = attribute(CONTENT_TYPE, &tlv(6, &[kind]));
        let digest = attribute(MESSAGE_DIGEST, &tlv(4, &[&[9; 32]]));
        tlv(0x31, &[&content, &digest])
    }

    pub(crate) fn data() -> Vec<u8> {
        good(DATA)
    }

    #[test]
    fn messages_and_receipts_pass() {
        check(&good(DATA)).unwrap();
        check(&good(RECEIPT)).unwrap();
    }

    #[test]
    fn other_content_is_refused() {
        let signed_data = [&DATA[..DATA.len() - 1], &[2]].concat();
        assert_eq!(check(&good(&signed_data)), Err(AttributesError::NotOurs));
    }

    #[test]
    fn missing_and_double_attributes_are_refused() {
        let content = attribute(CONTENT_TYPE, &tlv(6, &[DATA]));
        let digest = attribute(MESSAGE_DIGEST, &tlv(4, &[&[9; 32]]));
        let short = attribute(MESSAGE_DIGEST, &tlv(4, &[&[9; 20]]));
        for parts in [
            vec![],
            vec![&content],
            vec![&digest],
            vec![&content, &content, &digest],
            vec![&content, &digest, &digest],
            vec![&content, &short],
        ] {
            let inner: Vec<&[u8]> = parts.iter().map(|p| p.as_slice()).collect();
            assert_eq!(check(&tlv(0x31, &inner)), Err(AttributesError::NotOurs));
        }
    }

    #[test]
    fn anything_but_one_set_is_refused() {
        let set = good(DATA);
        let mut sequence = set.clone();
        sequence[0] = 0x30;
        let mut trailing = set.clone();
        trailing.push(0);
        let padded = [&[0x31, 0x82, 0x00, set[1]], &set[2..]].concat();
        let endless = [&[0x31, 0x80], &set[2..], &[0, 0]].concat();
        let login = [&[0x20; 64][..], b"smr login 1\0"].concat();
        for bytes in [vec![], sequence, trailing, padded, endless, login] {
            assert_eq!(check(&bytes), Err(AttributesError::NotDer), "{bytes:02x?}");
        }
        for cut in 0..set.len() {
            assert!(check(&set[..cut]).is_err());
        }
    }
}
