//! Durations and sizes as people write them: `90s 10m 8h 7d`, `64KiB 1GiB`.
//!
//! Knows no fractions and no signs.

const DURATIONS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
const SIZES: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// What a duration must look like, for error messages.
pub const DURATION_FORM: &str = "a duration such as 90s, 10m, 8h or 7d";
/// What a size must look like, for error messages.
pub const SIZE_FORM: &str = "a size such as 64KiB, 10MiB or 1GiB";

/// Reads a duration: seconds; none if it is not one.
pub fn duration(text: &str) -> Option<u64> {
    scaled(text, &DURATIONS)
}

/// Reads a size: bytes; none if it is not one. Bare digits are bytes.
pub fn size(text: &str) -> Option<u64> {
    number(text).or_else(|| scaled(text, &SIZES))
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find_map(|(unit, factor)| {
        let digits = text.strip_suffix(unit)?;
        number(digits)?.checked_mul(*factor)
    })
}

#[cfg(test)]
mod tests {
    use super::{duration, size};

    #[test]
    fn units_multiply() {
        assert_eq!(duration("90s"), Some(90));
        assert_eq!(duration("8h"), Some(28_800));
        assert_eq!(duration("7d"), Some(604_800));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("16GiB"), Some(16 << 30));
        assert_eq!(size("512"), Some(512));
    }

    #[test]
    fn other_forms_are_none() {
        for text in [
            "",
            "s",
            "8",
            "-8h",
            "+8h",
            "8 h",
            "1.5h",
            "8H",
            "99999999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "KiB", "64kb", "64 KiB", "-1", "99999999999999999999TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
