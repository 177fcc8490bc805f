//! Bech32 without its length limit, as age writes keys (BIP 173, C2SP age).
//!
//! Corrects no error, and leaves no copy of a secret behind.

use std::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Checksum, Hrp};
use zeroize::Zeroizing;

/// Bech32's own checksum over texts of any length.
enum Long {}

impl Checksum for Long {
    type MidstateRepr = u32;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = bech32::Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = bech32::Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = bech32::Bech32::TARGET_RESIDUE;
}

/// Writes `data` in lower case to `out`.
pub(crate) fn write_lower(out: &mut impl fmt::Write, prefix: Hrp, data: &[u8]) -> fmt::Result {
    bech32::encode_lower_to_fmt::<Long, _>(out, prefix, data).map_err(|_| fmt::Error)
}

/// Encodes a 32-byte secret in upper case.
pub(crate) fn secret_upper(prefix: Hrp, secret: &[u8; 32]) -> Zeroizing<String> {
    // Room for everything at once: a text that grew would leave a stale copy.
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 64));
    bech32::encode_upper_to_fmt::<Long, _>(&mut *text, prefix, secret)
        .expect("writing to a String does not fail, and Long has no length limit");
    text
}

/// Decodes exactly `N` bytes under `prefix`, or none.
pub(crate) fn decode<const N: usize>(prefix: Hrp, text: &str) -> Option<Box<Zeroizing<[u8; N]>>> {
    let parsed = CheckedHrpstring::new::<Long>(text).ok()?;
    if parsed.hrp() != prefix || parsed.byte_iter().len() != N {
        return None;
    }
    let mut data = Box::new(Zeroizing::new([0; N]));
    for (place, byte) in data.iter_mut().zip(parsed.byte_iter()) {
        *place = byte;
    }
    // One spelling only: padding bits that differ would name the same key twice.
    let mut again = Zeroizing::new(String::with_capacity(text.len() + 8));
    write_lower(&mut *again, prefix, &data[..]).ok()?;
    again.eq_ignore_ascii_case(text).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::{decode, secret_upper, write_lower};
    use bech32::Hrp;

    const PREFIX: Hrp = Hrp::parse_unchecked("age1pq");

    #[test]
    fn long_data_comes_back() {
        let data = [0xa5; 1216];
        let mut text = String::new();
        write_lower(&mut text, PREFIX, &data).unwrap();
        assert_eq!(text.len(), 6 + 1 + 1946 + 6);
        assert_eq!(**decode::<1216>(PREFIX, &text).unwrap(), data);
        assert!(decode::<1215>(PREFIX, &text).is_none());
        assert!(decode::<1216>(Hrp::parse_unchecked("age"), &text).is_none());
    }

    #[test]
    fn one_wrong_letter_is_seen() {
        let text = secret_upper(PREFIX, &[7; 32]);
        assert!(decode::<32>(PREFIX, &text).is_some());
        let bad = text.replacen('Q', "P", 2);
        assert!(decode::<32>(PREFIX, &bad).is_none());
        assert!(decode::<32>(PREFIX, &format!("{}q", *text)).is_none());
    }

    #[test]
    fn secrets_do_not_grow() {
        let text = secret_upper(Hrp::parse_unchecked("age-secret-key-pq-"), &[7; 32]);
        assert!(text.len() <= "age-secret-key-pq-".len() + 64);
    }
}
