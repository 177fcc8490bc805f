//! Texts of lines, each a word and its value, that exist in one spelling only.
//!
//! Knows no text in particular: `account`, `postmark` and `bundle` do.

use std::fmt::Write as _;

/// Says what is wrong with a text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LineError {
    /// The next line is not the one that belongs there.
    #[error("expected a line {0:?}")]
    Expected(&'static str),
    /// The value of a line is not what it should be.
    #[error("the value of a line {0:?} is wrong")]
    Value(&'static str),
    /// Something follows the last line, or it does not end.
    #[error("the text does not end where it should")]
    End,
}

/// Reads a text line by line; every line ends in LF.
pub struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    /// Begins at the first line.
    pub fn new(text: &'a str) -> Self {
        Lines { rest: text }
    }

    /// Takes the value of the next line when its word is `key`.
    pub fn optional(&mut self, key: &str) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        let value = line.strip_prefix(key)?.strip_prefix(' ')?;
        self.rest = rest;
        Some(value)
    }

    /// Takes the value of the next line, which must be `key`'s.
    pub fn field(&mut self, key: &'static str) -> Result<&'a str, LineError> {
        self.optional(key).ok_or(LineError::Expected(key))
    }

    /// Takes and parses the value of the next line.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, LineError> {
        parse(self.field(key)?).ok_or(LineError::Value(key))
    }

    /// Takes the only line that is left, whole.
    pub fn last(self) -> Result<&'a str, LineError> {
        let line = self.rest.strip_suffix('\n').ok_or(LineError::End)?;
        (!line.contains('\n')).then_some(line).ok_or(LineError::End)
    }

    /// Says that the text must be used up.
    pub fn finish(self) -> Result<(), LineError> {
        self.rest.is_empty().then_some(()).ok_or(LineError::End)
    }
}

/// Parses a decimal number in its one spelling.
pub fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Writes unix seconds as RFC 3339 UTC, or none beyond the years it can say.
pub fn time_text(time: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(time).ok()?;
    Some(time.to_string()).filter(|text| text.len() == "2027-01-15T08:00:00Z".len())
}

/// Parses RFC 3339 UTC with whole seconds, as `time_text` writes it.
pub fn time(text: &str) -> Option<i64> {
    let seconds = text.parse::<jiff::Timestamp>().ok()?.as_second();
    (time_text(seconds)? == text).then_some(seconds)
}

/// Writes 32 bytes as lower-case hexadecimal, as `openssl dgst` does.
pub fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Parses 64 lower-case hexadecimal digits.
pub fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes().as_chunks::<2>().0;
    for (byte, pair) in bytes.iter_mut().zip(digits) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    (hex_text(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{LineError, Lines, hex, hex_text, number, time, time_text};

    #[test]
    fn lines_come_in_order() {
        let mut lines = Lines::new("a 1\nb two words\n");
        assert_eq!(lines.parsed("a", number), Ok(1));
        assert_eq!(lines.optional("c"), None);
        assert_eq!(lines.field("b"), Ok("two words"));
        assert_eq!(lines.finish(), Ok(()));
    }

    #[test]
    fn disorder_is_refused() {
        let mut lines = Lines::new("a 1\nb 2\nc");
        assert_eq!(lines.field("b"), Err(LineError::Expected("b")));
        assert_eq!(lines.field("a"), Ok("1"));
        assert_eq!(
            lines.parsed("b", |_| None::<u8>),
            Err(LineError::Value("b"))
        );
        assert_eq!(lines.field("c"), Err(LineError::Expected("c")));
        assert_eq!(lines.finish(), Err(LineError::End));
        assert_eq!(Lines::new("a\n").last(), Ok("a"));
        for text in ["", "a", "a\nb\n"] {
            assert_eq!(Lines::new(text).last(), Err(LineError::End));
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "01", "-1", "1 ", "18446744073709551616"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_have_one_spelling() {
        assert_eq!(time_text(1_800_000_000).unwrap(), "2027-01-15T08:00:00Z");
        assert_eq!(time("2027-01-15T08:00:00Z"), Some(1_800_000_000));
        for text in [
            "",
            "2027-01-15T08:00:00+00:00",
            "2027-01-15t08:00:00z",
            "2027-01-15T08:00:00.5Z",
            "2027-01-15 08:00:00Z",
            "2027-02-30T08:00:00Z",
        ] {
            assert_eq!(time(text), None, "{text:?}");
        }
        assert_eq!(time_text(i64::MAX), None);
        assert_eq!(time_text(-1_000_000_000_000), None);
    }

    #[test]
    fn hex_has_one_spelling() {
        let text = "0a".repeat(32);
        assert_eq!(hex(&text), Some([10; 32]));
        assert_eq!(hex_text(&[10; 32]), text);
        for text in [
            "",
            &"0A".repeat(32),
            &"0a".repeat(33),
            &"0a".repeat(31),
            &"+a".repeat(32),
        ] {
            assert_eq!(hex(text), None, "{text:?}");
        }
    }
}
