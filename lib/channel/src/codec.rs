//! Bytes to values and back: big-endian integers, length-prefixed strings, a
//! reader that is bounded and must be used up.
//!
//! Never trusts a length before the bytes are there, never allocates by one.

use std::ops::RangeInclusive;

use smr_name::Class;
use zeroize::Zeroizing;

/// Says why bytes are not a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    /// The bytes end before the message does.
    #[error("a message is cut short")]
    Short,
    /// Bytes are left over.
    #[error("a message has bytes left over")]
    Long,
    /// A field has a value that its type does not allow.
    #[error("a message has a bad {0}")]
    Value(&'static str),
    /// A field is too large, or has fewer or more items than it may.
    #[error("a message has a {0} of a size it may not have")]
    Size(&'static str),
}

impl CodecError {
    /// Damaged: no peer of ours writes such bytes.
    pub fn class(&self) -> Class {
        Class::Forged
    }
}

/// Reads one message from the front to its very end.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins to read `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Takes the next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes an integer of 2 bytes.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes an integer of 4 bytes.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes an integer of 8 bytes.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes a signed integer of 8 bytes, two's complement.
    pub fn i64(&mut self) -> Result<i64, CodecError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Takes a byte that is 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Value(what)),
        }
    }

    /// Takes bytes after their length of 2 bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Takes bytes after their length of 4 bytes.
    pub fn long(&mut self) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(self.u32()?).map_err(|_| CodecError::Short)?;
        self.take(length)
    }

    /// Takes UTF-8 text after its length of 2 bytes.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Value(what))
    }

    /// Takes text after its length of 2 bytes and parses it.
    pub fn parse<T: std::str::FromStr>(&mut self, what: &'static str) -> Result<T, CodecError> {
        let text = self.text(what)?;
        text.parse().map_err(|_| CodecError::Value(what))
    }

    /// Takes a flag, and what follows it when it is 1.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        match self.flag(what)? {
            true => item(self).map(Some),
            false => Ok(None),
        }
    }

    /// Takes a count of 2 bytes and that many items.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.u16()?;
        (0..count).map(|_| item(self)).collect()
    }

    /// Takes a count of 2 bytes that lies in `range` and that many items.
    pub fn bounded<T>(
        &mut self,
        what: &'static str,
        range: RangeInclusive<usize>,
        item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.rest.first_chunk().copied().map(u16::from_be_bytes);
        match count.ok_or(CodecError::Short)? {
            count if range.contains(&count.into()) => self.list(item),
            _ => Err(CodecError::Size(what)),
        }
    }

    /// Returns what is left and ends the reading.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading; fails when bytes are left over.
    pub fn finish(self) -> Result<(), CodecError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(CodecError::Long),
        }
    }
}

/// Writes one message; a field that does not fit shows when it is finished.
///
/// Its buffer is wiped when dropped; one made `with_capacity` for all it will
/// hold leaves no copy behind.
#[derive(Default)]
pub struct Writer {
    out: Zeroizing<Vec<u8>>,
    fault: Option<&'static str>,
}

impl Writer {
    /// Begins an empty message.
    pub fn new() -> Self {
        Writer::default()
    }

    /// Begins an empty message with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Writer {
            out: Zeroizing::new(Vec::with_capacity(capacity)),
            fault: None,
        }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Appends an integer of 2 bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends an integer of 4 bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends an integer of 8 bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a signed integer of 8 bytes, two's complement.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends 0 or 1.
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.u8(value.into())
    }

    /// Appends bytes after their length of 2 bytes.
    pub fn bytes(&mut self, what: &'static str, bytes: &[u8]) -> &mut Self {
        match u16::try_from(bytes.len()) {
            Ok(length) => self.u16(length).raw(bytes),
            Err(_) => self.too_large(what),
        }
    }

    /// Appends bytes after their length of 4 bytes.
    pub fn long(&mut self, what: &'static str, bytes: &[u8]) -> &mut Self {
        match u32::try_from(bytes.len()) {
            Ok(length) => self.u32(length).raw(bytes),
            Err(_) => self.too_large(what),
        }
    }

    /// Appends a value's text after its length of 2 bytes.
    pub fn text(&mut self, what: &'static str, value: &impl ToString) -> &mut Self {
        self.bytes(what, value.to_string().as_bytes())
    }

    /// Appends 0, or 1 and the item.
    pub fn option<T>(
        &mut self,
        value: Option<&T>,
        mut item: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            item(self, value);
        }
        self
    }

    /// Appends a count of 2 bytes and the items.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        items: &[T],
        mut item: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        match u16::try_from(items.len()) {
            Ok(count) => self.u16(count),
            Err(_) => return self.too_large(what),
        };
        for value in items {
            item(self, value);
        }
        self
    }

    /// Appends a count of 2 bytes, which must lie in `range`, and the items.
    pub fn bounded<T>(
        &mut self,
        what: &'static str,
        range: RangeInclusive<usize>,
        items: &[T],
        item: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        match range.contains(&items.len()) {
            true => self.list(what, items, item),
            false => self.too_large(what),
        }
    }

    /// Spoils the message: it has a field that is too large, or of no legal size.
    pub(crate) fn too_large(&mut self, what: &'static str) -> &mut Self {
        self.fault.get_or_insert(what);
        self
    }

    /// Returns the message, or the first field that did not fit.
    pub fn finish(self) -> Result<Vec<u8>, CodecError> {
        self.finish_secret()
            .map(|mut out| std::mem::take(&mut *out))
    }

    /// Returns the message in a buffer that is wiped when dropped.
    pub fn finish_secret(self) -> Result<Zeroizing<Vec<u8>>, CodecError> {
        match self.fault {
            None => Ok(self.out),
            Some(what) => Err(CodecError::Size(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CodecError, Reader, Writer};

    #[test]
    fn fields_come_back() {
        let mut writer = Writer::new();
        writer.u8(1).u16(2).u32(3).u64(4).i64(-5).flag(true);
        writer.bytes("bytes", b"six").long("long", b"seven");
        writer.text("text", &"é");
        writer.option(Some(&9u8), |w, v| {
            w.u8(*v);
        });
        writer.list("list", &[1u16, 2], |w, v| {
            w.u16(*v);
        });
        let out = writer.finish().unwrap();
        let mut reader = Reader::new(&out);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(4));
        assert_eq!(reader.i64(), Ok(-5));
        assert_eq!(reader.flag("flag"), Ok(true));
        assert_eq!(reader.bytes(), Ok(b"six".as_slice()));
        assert_eq!(reader.long(), Ok(b"seven".as_slice()));
        assert_eq!(reader.text("text"), Ok("é"));
        assert_eq!(reader.option("option", |r| r.u8()), Ok(Some(9)));
        assert_eq!(reader.list(|r| r.u16()), Ok(vec![1, 2]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn short_and_long_are_refused() {
        assert_eq!(Reader::new(&[0]).u16(), Err(CodecError::Short));
        assert_eq!(Reader::new(&[0, 2, 1]).bytes(), Err(CodecError::Short));
        assert_eq!(Reader::new(&[255; 8]).long(), Err(CodecError::Short));
        assert_eq!(
            Reader::new(&[255, 255, 1]).list(|r| r.u8()),
            Err(CodecError::Short)
        );
        assert_eq!(Reader::new(&[0]).finish(), Err(CodecError::Long));
    }

    #[test]
    fn bad_values_are_refused() {
        assert_eq!(
            Reader::new(&[2]).flag("flag"),
            Err(CodecError::Value("flag"))
        );
        assert_eq!(
            Reader::new(&[0, 1, 0xff]).text("text"),
            Err(CodecError::Value("text"))
        );
        assert_eq!(
            Reader::new(&[0, 1, b'x']).parse::<u8>("number"),
            Err(CodecError::Value("number"))
        );
    }

    #[test]
    fn counts_out_of_bounds_are_refused() {
        for (count, fits) in [(0, false), (1, true), (2, true), (3, false)] {
            let mut writer = Writer::new();
            writer.bounded("list", 1..=2, &vec![9u8; count], |w, v| {
                w.u8(*v);
            });
            let bytes = [&[0, u8::try_from(count).unwrap()][..], &vec![9; count]].concat();
            let read = Reader::new(&bytes).bounded("list", 1..=2, Reader::u8);
            let refused = CodecError::Size("list");
            let expected = fits.then(|| vec![9; count]).ok_or(refused);
            assert_eq!(read, expected);
            assert_eq!(writer.finish(), expected.map(|_| bytes));
        }
        let short = Reader::new(&[0]).bounded("list", 0..=1, Reader::u8);
        assert_eq!(short, Err(CodecError::Short));
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        let mut writer = Writer::new();
        writer
            .bytes("first", &[0; 65_536])
            .list("second", &[0u8; 65_536], |_, _| ());
        assert_eq!(writer.finish(), Err(CodecError::Size("first")));
    }
}
