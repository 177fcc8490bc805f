//! Durations (`90s 10m 8h 7d`) and sizes (`512B 64KiB 1GiB`) as people write
//! them in smrd.toml.
//!
//! Never guesses a unit: a bare number is refused.

/// Says that a text is no duration or size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnitError {
    /// Not digits and a unit, or too large.
    #[error("not a duration, expected digits and one of s m h d, like \"90s\" or \"7d\"")]
    Duration,
    /// Not digits and a unit, or too large.
    #[error("not a size, expected digits and one of B KiB MiB GiB TiB, like \"64MiB\"")]
    Size,
}

const DURATIONS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
const SIZES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(end)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

fn spelled(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
        .or(units.last())
        .map(|(unit, factor)| format!("{}{unit}", value / factor))
        .unwrap_or_default()
}

/// Reads a duration; seconds, at most a hundred years.
pub fn duration(text: &str) -> Result<i64, UnitError> {
    scaled(text, &DURATIONS)
        .filter(|seconds| *seconds <= 36_525 * 86_400)
        .and_then(|seconds| i64::try_from(seconds).ok())
        .ok_or(UnitError::Duration)
}

/// Reads a size; bytes.
pub fn size(text: &str) -> Result<u64, UnitError> {
    scaled(text, &SIZES).ok_or(UnitError::Size)
}

/// Writes a duration of `seconds` in its largest whole unit.
pub fn duration_text(seconds: i64) -> String {
    spelled(seconds.unsigned_abs(), &DURATIONS)
}

/// Writes a size of `bytes` in its largest whole unit.
pub fn size_text(bytes: u64) -> String {
    spelled(bytes, &SIZES)
}

#[cfg(test)]
mod tests {
    use super::{UnitError, duration, duration_text, size, size_text};

    #[test]
    fn durations_come_back() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("8h", 28_800), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(seconds));
            assert_eq!(duration(&duration_text(seconds)), Ok(seconds));
        }
        assert_eq!(duration_text(0), "0s");
        assert_eq!(duration_text(28_800), "8h");
    }

    #[test]
    fn sizes_come_back() {
        for (text, bytes) in [("64KiB", 65_536), ("1GiB", 1 << 30), ("7B", 7), ("0B", 0)] {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1 h",
            "1w",
            "99999999999999999999s",
            "40000d",
            "é",
        ] {
            assert_eq!(duration(text), Err(UnitError::Duration), "{text}");
        }
        for text in ["", "10", "KiB", "1KB", "1.5GiB", "99999999TiB", "1kib"] {
            assert_eq!(size(text), Err(UnitError::Size), "{text}");
        }
    }
}
