//! Transfer encodings (RFC 2045, 6): base64 and quoted-printable, both ways.
//!
//! Decodes line by line and strictly: what has two readings has none here.

use std::io::{self, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::EnvelopeError;
use super::word::hex_pair;

/// Bytes and characters of a full base64 line.
const LINE_BYTES: usize = 57;
const LINE_CHARS: usize = 76;
/// Bytes encoded at a time: whole lines, some 64 KiB of text.
const BLOCK: usize = LINE_BYTES * 840;

/// Reads until `buffer` is full or the end; returns how much.
fn read_full(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Says which side of a copy failed.
pub(super) enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Copies `from` to `to` as lines of 76 characters with CRLF between them,
/// none after the last; returns the bytes read.
pub(super) fn encode_base64(from: &mut dyn Read, to: &mut dyn Write) -> Result<u64, CopyError> {
    let mut plain = vec![0; BLOCK];
    let mut text = String::with_capacity(BLOCK / LINE_BYTES * (LINE_CHARS + 2));
    let mut total = 0;
    loop {
        let n = read_full(from, &mut plain).map_err(CopyError::Read)?;
        text.clear();
        for (i, line) in plain[..n].chunks(LINE_BYTES).enumerate() {
            if total > 0 || i > 0 {
                text.push_str("\r\n");
            }
            STANDARD.encode_string(line, &mut text);
        }
        to.write_all(text.as_bytes()).map_err(CopyError::Write)?;
        total += n as u64;
        if n < plain.len() {
            return Ok(total);
        }
    }
}

/// Encodes UTF-8 text with LF line ends as quoted-printable with CRLF.
pub(super) fn encode_quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\r\n");
        }
        quote_line(line.as_bytes(), &mut out);
    }
    out
}

fn quote_line(line: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for (i, &byte) in line.iter().enumerate() {
        let last = i + 1 == line.len();
        let plain = match byte {
            b' ' | b'\t' => !last,
            b'=' => false,
            _ => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        // One column stays free for the soft line break.
        if column + width > LINE_CHARS - 1 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        match plain {
            true => out.push(byte),
            false => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
        }
        column += width;
    }
}

/// Encodes ASCII text with LF line ends with CRLF.
pub(super) fn encode_lines(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Decodes one part, line by line.
#[derive(Debug)]
pub(super) enum Decoder {
    /// 7bit, or 8bit and binary with the flag.
    Plain { eight: bool, first: bool },
    /// quoted-printable; `open` while no line end is owed.
    Quoted { open: bool },
    /// base64; `ended` after padding or an empty line.
    Base64 { ended: bool },
}

impl Decoder {
    /// Picks the decoder for a Content-Transfer-Encoding in lower case.
    pub(super) fn new(encoding: &str) -> Result<Self, EnvelopeError> {
        match encoding {
            "7bit" => Ok(Decoder::Plain {
                eight: false,
                first: true,
            }),
            "8bit" | "binary" => Ok(Decoder::Plain {
                eight: true,
                first: true,
            }),
            "quoted-printable" => Ok(Decoder::Quoted { open: true }),
            "base64" => Ok(Decoder::Base64 { ended: false }),
            _ => Err(EnvelopeError::Structure("an unknown transfer encoding")),
        }
    }

    /// Appends what `line`, without its CRLF, decodes to; text line ends come
    /// out as LF.
    pub(super) fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), EnvelopeError> {
        match self {
            Decoder::Plain { eight, first } => {
                if !*eight && !line.is_ascii() {
                    return Err(EnvelopeError::Structure("8-bit characters in a 7-bit part"));
                }
                if !*first {
                    out.push(b'\n');
                }
                *first = false;
                out.extend_from_slice(line);
                Ok(())
            }
            Decoder::Quoted { open } => {
                if !*open {
                    out.push(b'\n');
                }
                let broken = EnvelopeError::Structure("malformed quoted-printable text");
                *open = unquote(line, out).ok_or(broken)?;
                Ok(())
            }
            Decoder::Base64 { ended } => {
                let broken = EnvelopeError::Structure("malformed base64 text");
                *ended = decode_line(line, *ended, out).ok_or(broken)?;
                Ok(())
            }
        }
    }

    /// Says that the part has ended.
    pub(super) fn finish(self, lines: u64) -> Result<(), EnvelopeError> {
        match self {
            Decoder::Quoted { open: true } if lines > 0 => {
                Err(EnvelopeError::Structure("malformed quoted-printable text"))
            }
            _ => Ok(()),
        }
    }
}

/// Decodes one line; returns whether it ends in a soft break.
fn unquote(line: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    if line.len() > LINE_CHARS || line.ends_with(b" ") || line.ends_with(b"\t") {
        return None;
    }
    let (line, soft) = match line.strip_suffix(b"=") {
        Some(line) => (line, true),
        None => (line, false),
    };
    let mut rest = line.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'=' => {
                let (high, low) = (*rest.next()?, *rest.next()?);
                let upper = !high.is_ascii_lowercase() && !low.is_ascii_lowercase();
                upper.then_some(())?;
                out.push(hex_pair(high, low)?);
            }
            b' '..=b'~' | b'\t' => out.push(byte),
            _ => return None,
        }
    }
    Some(soft)
}

/// Decodes one line; returns whether nothing but empty lines may follow.
fn decode_line(line: &[u8], ended: bool, out: &mut Vec<u8>) -> Option<bool> {
    if line.is_empty() {
        return Some(true);
    }
    if ended || line.len() > LINE_CHARS {
        return None;
    }
    STANDARD.decode_vec(line, out).ok()?;
    Some(line.ends_with(b"="))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Decoder, encode_base64, encode_lines, encode_quoted};

    fn decode(encoding: &str, text: &[u8]) -> Option<Vec<u8>> {
        let mut decoder = Decoder::new(encoding).ok()?;
        let mut out = Vec::new();
        let mut lines = 0;
        for line in String::from_utf8_lossy(text).split("\r\n") {
            decoder.line(line.as_bytes(), &mut out).ok()?;
            lines += 1;
        }
        decoder.finish(lines).ok()?;
        Some(out)
    }

    #[test]
    fn base64_comes_back_at_every_edge() {
        for length in [0, 1, 56, 57, 58, 114, BLOCK - 1, BLOCK, BLOCK + 1] {
            let plain: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut text = Vec::new();
            let count = encode_base64(&mut &plain[..], &mut text);
            assert!(count.is_ok_and(|n| n == length as u64));
            assert!(!text.ends_with(b"\r\n"));
            assert!(text.split(|b| *b == b'\n').all(|line| line.len() <= 77));
            assert_eq!(decode("base64", &text), Some(plain), "{length}");
        }
    }

    #[test]
    fn odd_base64_is_refused() {
        for text in [
            "QUJ",
            "QUJD=",
            "QUI",
            "QUK=",
            "QU I=",
            "QUI=\r\nQUJD",
            "QUJD\r\n\r\nQUJD",
            "QU-_",
            &"QUJD".repeat(20),
        ] {
            assert_eq!(decode("base64", text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode("base64", b"QUJD\r\nQUI=\r\n").unwrap(), b"ABCAB");
    }

    #[test]
    fn texts_come_back() {
        let texts = [
            "",
            "\n",
            "olá",
            "a=b\n",
            "ends with space \nand tab\t\n",
            &"longa linha à toa ".repeat(30),
            "\x1b[2J\x07",
            &format!("{}=\n", "x".repeat(75)),
        ];
        for text in texts {
            let quoted = encode_quoted(text);
            assert!(quoted.is_ascii());
            assert!(quoted.split(|b| *b == b'\n').all(|line| line.len() <= 77));
            assert_eq!(
                decode("quoted-printable", &quoted).unwrap(),
                text.as_bytes()
            );
        }
        let plain = encode_lines("one\n\ntwo");
        assert_eq!(plain, b"one\r\n\r\ntwo");
        assert_eq!(decode("7bit", &plain).unwrap(), b"one\n\ntwo");
    }

    #[test]
    fn odd_quoted_text_is_refused() {
        for text in [
            "a=",
            "a=4",
            "=g0",
            "=c3=a9",
            "a \r\nb",
            "é",
            "a\x07",
            &"x".repeat(77),
        ] {
            assert_eq!(decode("quoted-printable", text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn plain_parts_keep_their_promise() {
        assert_eq!(decode("7bit", "é".as_bytes()), None);
        assert!(decode("8bit", "é".as_bytes()).is_some());
        assert!(decode("x-uuencode", b"x").is_none());
    }
}
