//! The form in which mail programs keep a message: LF line ends, our fields in
//! front, none of their name from outside, and in an mbox `From ` quoted.
//!
//! Changes nothing else; holds one line.

use std::io::{self, BufWriter, Write};

const OURS: &[u8] = b"x-smr-";
/// What is written at a time.
const BUFFER: usize = 64 * 1024;

/// Where in a message a line stands.
enum Place {
    Header,
    /// In a field that is left out, and in its continuation lines.
    Forged,
    Body,
}

/// Writes a message through, in that form.
pub(super) struct Form<'a> {
    out: BufWriter<&'a mut dyn Write>,
    line: Vec<u8>,
    place: Place,
    mbox: bool,
}

impl<'a> Form<'a> {
    /// Begins; `mbox` quotes lines that would begin another message (mboxrd).
    pub(super) fn new(out: &'a mut dyn Write, mbox: bool) -> Self {
        Form {
            out: BufWriter::with_capacity(BUFFER, out),
            line: Vec::new(),
            place: Place::Header,
            mbox,
        }
    }

    /// Writes a field of our own.
    pub(super) fn mark(&mut self, field: &str) -> io::Result<()> {
        self.out.write_all(field.as_bytes())
    }

    /// Ends the message, with a line end whatever it had.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.out.flush()
    }

    fn end_line(&mut self) -> io::Result<()> {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let wanted = match self.place {
            Place::Body => true,
            _ if self.line.is_empty() => {
                self.place = Place::Body;
                true
            }
            Place::Header | Place::Forged => self.field(),
        };
        if wanted {
            if self.mbox && begins_message(&self.line) {
                self.out.write_all(b">")?;
            }
            self.line.push(b'\n');
            self.out.write_all(&self.line)?;
        }
        self.line.clear();
        Ok(())
    }

    // A continuation line goes where its field went.
    fn field(&mut self) -> bool {
        if !matches!(self.line.first(), Some(b' ' | b'\t')) {
            let name = self.line.get(..OURS.len()).unwrap_or_default();
            self.place = match name.eq_ignore_ascii_case(OURS) {
                true => Place::Forged,
                false => Place::Header,
            };
        }
        matches!(self.place, Place::Header)
    }
}

// mboxrd quotes what is quoted already, so that it comes back.
fn begins_message(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|b| **b == b'>').count();
    line[quotes..].starts_with(b"From ")
}

impl Write for Form<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            match piece.split_last() {
                Some((b'\n', rest)) => {
                    self.line.extend_from_slice(rest);
                    self.end_line()?;
                }
                _ => self.line.extend_from_slice(piece),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::Form;

    fn formed(text: &str, mbox: bool, pieces: usize) -> String {
        let mut out = Vec::new();
        let mut form = Form::new(&mut out, mbox);
        form.mark("X-SMR-Class: D\n").unwrap();
        for piece in text.as_bytes().chunks(pieces) {
            form.write_all(piece).unwrap();
        }
        form.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn forged_fields_go_with_their_continuations() {
        let text = "From: a@b\r\nx-smr-CLASS: Q\r\n (by the card)\r\n\tindeed\r\nTo: c@d,\r\n e@f\r\n\
                    X-SMR-Person: BOB\r\n\r\nX-SMR-Class: in the text\r\n";
        let right = "X-SMR-Class: D\nFrom: a@b\nTo: c@d,\n e@f\n\nX-SMR-Class: in the text\n";
        for pieces in [1, 2, 7, 1000] {
            assert_eq!(formed(text, false, pieces), right, "{pieces}");
        }
    }

    #[test]
    fn lines_that_begin_a_message_are_quoted_in_an_mbox_only() {
        let text = "From: a@b\r\n\r\nFrom me\r\n>From you\r\n> From\r\nFrom";
        let quoted = "From: a@b\n\n>From me\n>>From you\n> From\nFrom\n";
        assert_eq!(formed(text, true, 3), format!("X-SMR-Class: D\n{quoted}"));
        let plain = "From: a@b\n\nFrom me\n>From you\n> From\nFrom\n";
        assert_eq!(formed(text, false, 3), format!("X-SMR-Class: D\n{plain}"));
    }

    #[test]
    fn a_lone_cr_is_no_line_end() {
        assert_eq!(
            formed("A: b\r\n\r\na\rb\r\r\n", false, 1),
            "X-SMR-Class: D\nA: b\n\na\rb\r\n"
        );
    }
}
