//! Header blocks, line by line (RFC 5322, 2.2): names, values, unfolding.
//!
//! Takes ASCII only, no control characters, no line of white space alone.

use super::{EnvelopeError, MAX_HEADER};

/// Holds the fields of one header, in order, values unfolded and trimmed.
#[derive(Debug, Default)]
pub(super) struct Block {
    fields: Vec<(String, String)>,
    bytes: usize,
}

impl Block {
    /// Takes one line without its CRLF; returns whether it ended the header.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<bool, EnvelopeError> {
        let broken = EnvelopeError::Structure;
        self.bytes += line.len() + 2;
        if self.bytes > MAX_HEADER {
            return Err(broken("a header longer than 256 KiB"));
        }
        let legible = |b: &u8| matches!(b, b' '..=b'~' | b'\t');
        if !line.iter().all(legible) {
            return Err(broken("a header with characters beyond ASCII"));
        }
        // Every byte was just seen to be ASCII.
        let text = String::from_utf8_lossy(line);
        if text.is_empty() {
            return Ok(true);
        }
        if text.trim().is_empty() {
            return Err(broken("a header line of white space"));
        }
        match text.starts_with([' ', '\t']) {
            true => self.fold(&text)?,
            false => self.field(&text)?,
        }
        Ok(false)
    }

    fn fold(&mut self, text: &str) -> Result<(), EnvelopeError> {
        let first = EnvelopeError::Structure("a header that begins with a folded line");
        let (_, value) = self.fields.last_mut().ok_or(first)?;
        if value.is_empty() {
            value.push_str(text.trim_start());
        } else {
            value.push_str(text);
        }
        value.truncate(value.trim_end().len());
        Ok(())
    }

    fn field(&mut self, text: &str) -> Result<(), EnvelopeError> {
        let broken = EnvelopeError::Structure("a header line without a field name");
        let (name, value) = text.split_once(':').ok_or(broken)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(EnvelopeError::Structure("a malformed field name"));
        }
        self.fields
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        Ok(())
    }

    /// Returns the field `name` (in lower case), which stands at most once.
    pub(super) fn optional(&self, name: &str) -> Result<Option<&str>, EnvelopeError> {
        let mut found = self.fields.iter().filter(|(n, _)| n == name);
        let first = found.next().map(|(_, value)| value.as_str());
        match found.next() {
            Some(_) => Err(EnvelopeError::Structure("a header field given twice")),
            None => Ok(first),
        }
    }

    /// Returns the field `name` (in lower case), which stands exactly once.
    pub(super) fn one(&self, name: &str) -> Result<&str, EnvelopeError> {
        let missing = EnvelopeError::Structure("a header field is missing");
        self.optional(name)?.ok_or(missing)
    }

    /// Returns the names of the fields, in lower case and in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Block;

    fn parse(lines: &[&str]) -> Option<Block> {
        let mut block = Block::default();
        for line in lines {
            if block.line(line.as_bytes()).ok()? {
                return Some(block);
            }
        }
        None
    }

    #[test]
    fn fields_are_unfolded() {
        let block = parse(&["A: one", "B:", " two", "\tthree ", "c:x:y", ""]).unwrap();
        assert_eq!(block.one("a").unwrap(), "one");
        assert_eq!(block.one("b").unwrap(), "two\tthree");
        assert_eq!(block.one("c").unwrap(), "x:y");
        assert_eq!(block.optional("d").unwrap(), None);
        assert!(block.one("d").is_err());
        assert_eq!(block.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn twice_is_refused() {
        let block = parse(&["A: one", "a: two", ""]).unwrap();
        assert!(block.one("a").is_err());
        assert!(block.optional("a").is_err());
    }

    #[test]
    fn odd_lines_are_refused() {
        for line in [
            " first", "no colon", ": x", "a : b", "é: x", "a: é", "a: \x1b", "   ", "a\0: b",
        ] {
            assert!(parse(&[line, ""]).is_none(), "{line:?}");
        }
        assert!(parse(&["a: b", "  ", ""]).is_none());
    }

    #[test]
    fn length_is_bounded() {
        let line = format!("a: {}", "x".repeat(900));
        let mut block = Block::default();
        let results: Vec<_> = (0..400).map(|_| block.line(line.as_bytes())).collect();
        assert!(results[0].is_ok() && results[280].is_ok());
        assert!(results[399].is_err());
    }
}
