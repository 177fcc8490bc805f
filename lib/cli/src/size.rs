//! Sizes for people.
//!
//! Scripts get bytes, and need nothing from here.

const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// Writes a size in at most four digits: `999 B`, `1.5 KiB`, `64 MiB`.
pub fn short(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"");
    while tenths >= 10_240
        && let Some(next) = units.next()
    {
        tenths /= 1024;
        unit = next;
    }
    match (tenths / 10, tenths % 10) {
        (whole, tenth @ 1..) if whole < 10 => format!("{whole}.{tenth} {unit}"),
        (whole, _) => format!("{whole} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (20_000, "19 KiB"),
            (1 << 20, "1 MiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (64 << 20, "64 MiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(short(bytes), text);
        }
    }
}
