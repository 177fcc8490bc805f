//! The few DER forms that keys and tokens need rewritten.
//!
//! No general parser: certificates are read in lib/pki.

use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const EXPLICIT_0: u8 = 0xa0;

// rsaEncryption and NULL (RFC 8017 A.1).
const RSA: [u8; 13] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
// id-ecPublicKey (RFC 5480 2.1.1).
const EC: [u8; 9] = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
// SHA-256 DigestInfo without the digest (RFC 8017 9.2, note 1).
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20,
];

/// Takes one element off `input`: tag, whole element, contents, and what follows.
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    contents: &'a [u8],
    rest: &'a [u8],
}

fn take(input: &[u8]) -> Option<Element<'_>> {
    let (&tag, after) = input.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, body) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x83 => {
            let (digits, body) = after.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |n, d| n << 8 | usize::from(*d));
            (length, body)
        }
        _ => return None,
    };
    let (contents, rest) = body.split_at_checked(length)?;
    let whole = input.get(..input.len() - rest.len())?;
    Some(Element {
        tag,
        whole,
        contents,
        rest,
    })
}

fn take_tag(input: &[u8], tag: u8) -> Option<Element<'_>> {
    take(input).filter(|element| element.tag == tag)
}

// One allocation of the right size, so that no copy of a key stays behind.
fn put(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(length + 5));
    out.push(tag);
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        0x100..=0xffff => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([
            0x83,
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
        ]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

fn pkcs8(algorithm: &[&[u8]], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = put(SEQUENCE, algorithm);
    let key = put(OCTET_STRING, &[key]);
    put(SEQUENCE, &[&[INTEGER, 1, 0], &algorithm, &key])
}

/// Wraps an RSAPrivateKey (RFC 8017 A.1.2) as PKCS#8.
pub(super) fn pkcs8_of_rsa(key: &[u8]) -> Zeroizing<Vec<u8>> {
    pkcs8(&[&RSA], key)
}

/// Wraps an ECPrivateKey with its curve (RFC 5915) as PKCS#8; none if it
/// names no curve.
pub(super) fn pkcs8_of_ec(key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let sequence = take_tag(key, SEQUENCE)?;
    let version = take_tag(sequence.contents, INTEGER)?;
    let secret = take_tag(version.rest, OCTET_STRING)?;
    let curve = take_tag(secret.rest, EXPLICIT_0)?.contents;
    Some(pkcs8(&[&EC, curve], key))
}

/// Splits an EncryptedPrivateKeyInfo (RFC 5958 3) into algorithm and ciphertext.
pub(super) fn encrypted_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let sequence = take_tag(der, SEQUENCE)?;
    let algorithm = take_tag(sequence.contents, SEQUENCE)?;
    let data = take_tag(algorithm.rest, OCTET_STRING)?;
    Some((algorithm.whole, data.contents))
}

/// Tells whether `der` is one SEQUENCE and nothing else.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    take_tag(der, SEQUENCE).is_some_and(|element| element.rest.is_empty())
}

/// Returns the key bits of a SubjectPublicKeyInfo.
pub(super) fn public_bits(spki: &[u8]) -> Option<&[u8]> {
    let sequence = take_tag(spki, SEQUENCE)?;
    let algorithm = take_tag(sequence.contents, SEQUENCE)?;
    let bits = take_tag(algorithm.rest, BIT_STRING)?;
    bits.contents.strip_prefix(&[0])
}

/// Returns the DigestInfo of a SHA-256 digest, what CKM_RSA_PKCS signs.
pub(super) fn digest_info(sha256: &[u8; 32]) -> Vec<u8> {
    [SHA256_INFO.as_slice(), sha256].concat()
}

/// Turns r||s, as CKM_ECDSA gives it, into DER (RFC 3279 2.2.3); none unless
/// it is `2 * size` bytes.
pub(super) fn ecdsa_signature(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    if raw.len() != 2 * size {
        return None;
    }
    let (r, s) = raw.split_at_checked(size)?;
    Some(put(SEQUENCE, &[&unsigned(r), &unsigned(s)]).to_vec())
}

fn unsigned(number: &[u8]) -> Zeroizing<Vec<u8>> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or(&[]);
    let sign_bit = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    let pad: &[u8] = if sign_bit { &[0] } else { &[] };
    put(INTEGER, &[pad, digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_taken_within_bounds() {
        let long = put(OCTET_STRING, &[&[7; 300]]);
        let element = take(&long).unwrap();
        assert_eq!((element.contents.len(), element.whole.len()), (300, 304));
        for wrong in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80],
            &[4, 0x84, 0, 0, 0, 0],
            &long[..303],
        ] {
            assert!(take(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn signatures_become_der() {
        let mut raw = [0; 64];
        raw[0] = 0x80;
        raw[63] = 1;
        let der = ecdsa_signature(&raw, 32).unwrap();
        assert_eq!(der[..5], [0x30, 38, 2, 33, 0]);
        assert_eq!(der[37..], [2, 1, 1]);
        assert_eq!(
            ecdsa_signature(&[0; 64], 32).unwrap(),
            [0x30, 6, 2, 1, 0, 2, 1, 0]
        );
        assert!(ecdsa_signature(&raw[..63], 32).is_none());
    }

    #[test]
    fn keys_without_curve_are_none() {
        let bare = put(SEQUENCE, &[&[INTEGER, 1, 1], &[OCTET_STRING, 1, 9]]);
        assert!(pkcs8_of_ec(&bare).is_none());
        let curve = put(
            SEQUENCE,
            &[&[INTEGER, 1, 1], &[OCTET_STRING, 1, 9], &[0xa0, 2, 6, 0]],
        );
        let wrapped = pkcs8_of_ec(&curve).unwrap();
        assert_eq!(wrapped[2..5], [INTEGER, 1, 0]);
        assert!(wrapped.ends_with(&curve));
    }

    #[test]
    fn one_sequence_is_told_from_other_bytes() {
        assert!(is_sequence(&[0x30, 1, 5]));
        for wrong in [&[][..], &[0x30, 1], &[0x31, 1, 5], &[0x30, 1, 5, 0]] {
            assert!(!is_sequence(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn public_bits_are_found() {
        let spki = put(SEQUENCE, &[&[0x30, 0], &[BIT_STRING, 3, 0, 4, 5]]);
        assert_eq!(public_bits(&spki), Some(&[4, 5][..]));
        let odd = put(SEQUENCE, &[&[0x30, 0], &[BIT_STRING, 3, 1, 4, 5]]);
        assert_eq!(public_bits(&odd), None);
    }
}
