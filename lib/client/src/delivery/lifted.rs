//! A signed message with its headers where mail programs look for them: the
//! fields of the signed part once more, in front of the outer header, which
//! says only that what follows is signed.
//!
//! Changes nothing of what is signed; holds the two headers, 512 KiB at most.

use std::io::{self, Write};

/// What is the outer header's own, belongs to the content of the part, or is
/// said between the programs of smr alone.
const LEFT: [&[u8]; 3] = [b"mime-version:", b"content-", b"smr-"];

const BLANK: &[u8] = b"\r\n\r\n";

/// Writes a signed message through, its headers in front.
pub(super) struct Lifted<W> {
    out: W,
    /// Both headers, until they are whole.
    head: Option<Vec<u8>>,
}

impl<W: Write> Lifted<W> {
    pub(super) fn new(out: W) -> Self {
        let head = Some(Vec::new());
        Lifted { out, head }
    }
}

impl<W: Write> Write for Lifted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(head) = &mut self.head else {
            return self.out.write(bytes);
        };
        head.extend_from_slice(bytes);
        if let Some(inner) = inner_header(head) {
            for line in fields(inner) {
                self.out.write_all(line)?;
            }
            self.out.write_all(head)?;
            self.head = None;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the header of the signed part, once it is there: it follows the
/// outer header, an empty line and the delimiter.
fn inner_header(head: &[u8]) -> Option<&[u8]> {
    let blank = |text: &[u8]| text.windows(BLANK.len()).position(|w| w == BLANK);
    let part = &head[blank(head)? + BLANK.len()..];
    let header = &part[..blank(part)? + 2];
    let delimiter = header.iter().position(|b| *b == b'\n')?;
    Some(&header[delimiter + 1..])
}

/// Returns the lines of a header, less those of fields that are left where
/// they are.
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut wanted = false;
    header.split_inclusive(|b| *b == b'\n').filter(move |line| {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let lower = line.to_ascii_lowercase();
            wanted = !LEFT.iter().any(|name| lower.starts_with(name));
        }
        wanted
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::Lifted;

    #[test]
    fn the_signed_fields_stand_in_front_and_the_message_is_as_it_was() {
        let signed = "MIME-Version: 1.0\r\nContent-Type: multipart/signed;\r\n boundary=b\r\n\r\n\
                      --b\r\nFrom: \"A B\"\r\n <a@b>\r\ncontent-type: text/plain;\r\n hp=clear\r\n\
                      Subject: s\r\nSMR-Receipt: read\r\nMIME-Version: 1.0\r\n\r\nText: no field\r\n\r\n--b--\r\n";
        let right = format!("From: \"A B\"\r\n <a@b>\r\nSubject: s\r\n{signed}");
        for pieces in [1, 3, 1000] {
            let mut out = Vec::new();
            let mut lifted = Lifted::new(&mut out);
            for piece in signed.as_bytes().chunks(pieces) {
                lifted.write_all(piece).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), right, "{pieces}");
        }
    }
}
