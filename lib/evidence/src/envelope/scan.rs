//! One pass over the plaintext of an envelope: the outer `multipart/signed`
//! (RFC 1847, 2.1), the signed entity, the signature.
//!
//! The whole grammar is narrower than MIME's: CRLF line ends, no preamble, no
//! epilogue, no field or parameter that we do not write.

use std::io::{self, BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::block::Block;
use super::message::{Headers, PartInfo};
use super::param::Typed;
use super::walk::{Walker, checked_boundary};
use super::{EnvelopeError, MAX_CMS, MAX_LINE};

const BROKEN: fn(&'static str) -> EnvelopeError = EnvelopeError::Structure;
/// The media types of the second part, the new and the old name.
const SIGNATURE_TYPES: [&str; 2] = [
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
];

/// What of a message goes by, while it is scanned.
pub(super) trait Watch {
    /// Takes bytes of the whole plaintext.
    fn raw(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError>;
    /// Takes bytes of the signed entity.
    fn signed(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError>;
    /// Takes decoded content of the part with a number.
    fn content(&mut self, number: &str, bytes: &[u8]) -> Result<(), EnvelopeError>;
}

/// Watches nothing.
pub(super) struct Blind;

impl Watch for Blind {
    fn raw(&mut self, _: &[u8]) -> Result<(), EnvelopeError> {
        Ok(())
    }
    fn signed(&mut self, _: &[u8]) -> Result<(), EnvelopeError> {
        Ok(())
    }
    fn content(&mut self, _: &str, _: &[u8]) -> Result<(), EnvelopeError> {
        Ok(())
    }
}

/// What one pass finds.
pub(super) struct Scanned {
    pub(super) headers: Headers,
    pub(super) parts: Vec<PartInfo>,
    /// SHA-256 of the signed entity, boundary lines and their CRLF left out.
    pub(super) signed_sha256: [u8; 32],
    /// SHA-256 of all that stands around it: with the one above, of the whole
    /// plaintext, which is hashed but once.
    pub(super) frame_sha256: [u8; 32],
    /// The DER ContentInfo.
    pub(super) cms: Vec<u8>,
}

/// Turns an error of the decrypting reader into ours: what does not decrypt
/// is damaged, anything else is the disk's.
fn read_error(source: io::Error) -> EnvelopeError {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => EnvelopeError::Damaged,
        _ => EnvelopeError::Read {
            what: "the sealed file".into(),
            source,
        },
    }
}

/// Reads lines that end in CRLF.
struct Lines<R> {
    inner: R,
    /// The line, with its CRLF.
    line: Vec<u8>,
    /// Over the lines around the signed entity.
    frame: Sha256,
}

impl<R: BufRead> Lines<R> {
    fn new(inner: R) -> Self {
        Lines {
            inner,
            line: Vec::with_capacity(MAX_LINE + 2),
            frame: Sha256::new(),
        }
    }

    /// Reads the next line; false at the end.
    fn read(&mut self) -> Result<bool, EnvelopeError> {
        self.line.clear();
        let limit = MAX_LINE as u64 + 3;
        let mut limited = self.inner.by_ref().take(limit);
        limited
            .read_until(b'\n', &mut self.line)
            .map_err(read_error)?;
        if self.line.is_empty() {
            return Ok(false);
        }
        let Some(text) = self.line.strip_suffix(b"\r\n") else {
            return Err(BROKEN("a line that is too long or does not end in CRLF"));
        };
        // Programs differ on what a bare CR or a NUL means.
        if text.len() > MAX_LINE || text.iter().any(|b| matches!(b, b'\r' | 0)) {
            return Err(BROKEN("a line with a bare CR or a NUL, or too long"));
        }
        Ok(true)
    }

    /// Reads the next line, which must be there.
    fn need(&mut self, watch: &mut dyn Watch) -> Result<&[u8], EnvelopeError> {
        if !self.read()? {
            return Err(BROKEN("it ends too early"));
        }
        watch.raw(&self.line)?;
        Ok(self.text())
    }

    /// Reads the next line, which must be there and belongs to the frame.
    fn framing(&mut self, watch: &mut dyn Watch) -> Result<&[u8], EnvelopeError> {
        self.need(watch)?;
        self.frame.update(&self.line);
        Ok(self.text())
    }

    /// Returns the line without its CRLF.
    fn text(&self) -> &[u8] {
        self.line.strip_suffix(b"\r\n").unwrap_or(&self.line)
    }

    fn block(&mut self, watch: &mut dyn Watch) -> Result<Block, EnvelopeError> {
        let mut block = Block::default();
        while !block.line(self.framing(watch)?)? {}
        Ok(block)
    }
}

/// Checks that a header holds the named fields and no others.
fn only(block: &Block, allowed: &[&str]) -> Result<(), EnvelopeError> {
    match block.names().all(|name| allowed.contains(&name)) {
        true => Ok(()),
        false => Err(BROKEN("an unsigned header field")),
    }
}

/// Reads the outer header; returns the delimiter, `--` and the boundary.
fn outer<R: BufRead>(
    lines: &mut Lines<R>,
    watch: &mut dyn Watch,
) -> Result<Vec<u8>, EnvelopeError> {
    let block = lines.block(watch)?;
    only(&block, &["mime-version", "content-type"])?;
    if block.one("mime-version")? != "1.0" {
        return Err(BROKEN("an unknown MIME version"));
    }
    let typed = Typed::parse(block.one("content-type")?)?;
    let protocol = typed.param("protocol").unwrap_or_default();
    let right = typed.kind == "multipart/signed"
        && typed.len() == 3
        && SIGNATURE_TYPES.contains(&protocol)
        && typed.param("micalg") == Some("sha-256");
    if !right {
        return Err(BROKEN("not multipart/signed with SHA-256"));
    }
    let delimiter = [b"--", &checked_boundary(&typed)?[..]].concat();
    if lines.framing(watch)? != delimiter {
        return Err(BROKEN("text before the signed part"));
    }
    Ok(delimiter)
}

/// Tells whether a line is the delimiter; one that only begins like it is
/// refused, for other programs take it for one.
fn is_delimiter(line: &[u8], delimiter: &[u8]) -> Result<bool, EnvelopeError> {
    match line.strip_prefix(delimiter) {
        None => Ok(false),
        Some([]) => Ok(true),
        Some(_) => Err(BROKEN("a line that begins like a boundary")),
    }
}

/// Scans a whole plaintext.
pub(super) fn scan(plain: impl BufRead, watch: &mut dyn Watch) -> Result<Scanned, EnvelopeError> {
    let mut lines = Lines::new(plain);
    let delimiter = outer(&mut lines, watch)?;
    let (walker, signed_sha256) = signed_part(&mut lines, &delimiter, watch)?;
    let cms = signature_part(&mut lines, &delimiter, watch)?;
    if lines.read()? {
        return Err(BROKEN("text after the signature"));
    }
    let (block, parts) = walker.finish()?;
    check_protected(&block)?;
    Ok(Scanned {
        headers: Headers::read(&block)?,
        parts,
        signed_sha256,
        frame_sha256: lines.frame.finalize().into(),
        cms,
    })
}

fn signed_part<R: BufRead>(
    lines: &mut Lines<R>,
    delimiter: &[u8],
    watch: &mut dyn Watch,
) -> Result<(Walker, [u8; 32]), EnvelopeError> {
    let mut walker = Walker::new();
    let mut hash = Sha256::new();
    let mut first = true;
    loop {
        let line = lines.need(watch)?;
        if is_delimiter(line, delimiter)? {
            lines.frame.update(&lines.line);
            return Ok((walker, hash.finalize().into()));
        }
        // A line's CRLF belongs to the entity only when another line follows:
        // the last one is the delimiter's (RFC 2046, 5.1.1).
        if !first {
            hash.update(b"\r\n");
            watch.signed(b"\r\n")?;
        }
        first = false;
        hash.update(line);
        watch.signed(line)?;
        walker.line(line, &mut |number, bytes| watch.content(number, bytes))?;
    }
}

/// Tells whether a header is that of a signature, and says nothing else.
fn is_signature(block: &Block) -> Result<bool, EnvelopeError> {
    let typed = Typed::parse(block.one("content-type")?)?;
    let named = match typed.len() {
        0 => true,
        _ => typed.len() == 1 && typed.param("name") == Some("smime.p7s"),
    };
    let disposed = match block.optional("content-disposition")? {
        None => true,
        Some(value) => {
            let typed = Typed::parse(value)?;
            typed.kind == "attachment"
                && typed.len() == 1
                && typed.param("filename") == Some("smime.p7s")
        }
    };
    Ok(named && disposed && SIGNATURE_TYPES.contains(&typed.kind.as_str()))
}

fn signature_part<R: BufRead>(
    lines: &mut Lines<R>,
    delimiter: &[u8],
    watch: &mut dyn Watch,
) -> Result<Vec<u8>, EnvelopeError> {
    let block = lines.block(watch)?;
    let fields = [
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
    ];
    only(&block, &fields)?;
    let encoding = block.one("content-transfer-encoding")?;
    if !is_signature(&block)? || !encoding.eq_ignore_ascii_case("base64") {
        return Err(BROKEN("the second part is not a signature"));
    }
    let close = [delimiter, b"--"].concat();
    let mut cms = Vec::new();
    let mut ended = false;
    loop {
        let line = lines.framing(watch)?;
        if line == close {
            return Ok(cms);
        }
        // Full lines, then one that may be short; nothing empty.
        if ended || line.is_empty() || line.len() > 76 {
            return Err(BROKEN("malformed base64 in the signature"));
        }
        ended = line.len() < 64 || line.ends_with(b"=");
        let decoded = STANDARD.decode_vec(line, &mut cms);
        decoded.map_err(|_| BROKEN("malformed base64 in the signature"))?;
        if cms.len() > MAX_CMS {
            return Err(BROKEN("a signature larger than 1 MiB"));
        }
    }
}

/// Checks that the signed entity says its headers are the message's
/// (RFC 9788, 2.1.1).
fn check_protected(block: &Block) -> Result<(), EnvelopeError> {
    let typed = Typed::parse(block.one("content-type")?)?;
    match typed.param("hp") == Some("clear") && block.one("mime-version")? == "1.0" {
        true => Ok(()),
        false => Err(BROKEN("the signed part does not carry the headers")),
    }
}

/// Reads the headers alone, from a plaintext that may be cut after them.
/// Nothing is verified.
pub(super) fn scan_headers(plain: impl BufRead) -> Result<Headers, EnvelopeError> {
    let mut lines = Lines::new(plain);
    let delimiter = outer(&mut lines, &mut Blind)?;
    let mut block = Block::default();
    loop {
        let line = lines.need(&mut Blind)?;
        is_delimiter(line, &delimiter)?;
        if block.line(line)? {
            check_protected(&block)?;
            return Headers::read(&block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Blind, EnvelopeError, Scanned, Watch, scan, scan_headers};
    use sha2::{Digest, Sha256};
    use std::io::{BufReader, Read};

    const GOOD: &str = "MIME-Version: 1.0\r\n\
        Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n \
        micalg=sha-256; boundary=\"b\"\r\n\r\n--b\r\n\
        From: rui@repo\r\nTo: ana@repo\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n\
        Subject: x\r\nMessage-ID: <00ff0123456789abcdef0123456789ab@repo>\r\n\
        MIME-Version: 1.0\r\nContent-Type: text/plain; hp=\"clear\"\r\n\r\n\
        body\r\n\r\n--b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nMAA=\r\n--b--\r\n";

    struct Keep {
        raw: Vec<u8>,
        signed: Vec<u8>,
        content: Vec<u8>,
    }

    impl Watch for Keep {
        fn raw(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
            self.raw.extend_from_slice(bytes);
            Ok(())
        }
        fn signed(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
            self.signed.extend_from_slice(bytes);
            Ok(())
        }
        fn content(&mut self, _: &str, bytes: &[u8]) -> Result<(), EnvelopeError> {
            self.content.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn scan_text(text: &str) -> Result<Scanned, EnvelopeError> {
        scan(text.as_bytes(), &mut Blind)
    }

    #[test]
    fn everything_goes_by_exactly() {
        let mut keep = Keep {
            raw: vec![],
            signed: vec![],
            content: vec![],
        };
        let scanned = scan(GOOD.as_bytes(), &mut keep).unwrap();
        let start = GOOD.find("From").unwrap();
        let end = GOOD.find("\r\n--b\r\nContent-Type: application").unwrap();
        assert_eq!(keep.raw, GOOD.as_bytes());
        assert_eq!(keep.signed, &GOOD.as_bytes()[start..end]);
        assert_eq!(keep.content, b"body\n");
        let hash: [u8; 32] = Sha256::digest(&GOOD[start..end]).into();
        assert_eq!(scanned.signed_sha256, hash);
        // What is around it, without the CRLF before the delimiter.
        let frame = [&GOOD[..start], &GOOD[end + 2..]].concat();
        let hash: [u8; 32] = Sha256::digest(frame).into();
        assert_eq!(scanned.frame_sha256, hash);
        assert_eq!(scanned.cms, [0x30, 0]);
        assert_eq!(scanned.parts[0].size, 5);
        assert_eq!(scanned.headers.subject, "x");
    }

    /// Gives `step` bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let step = self.1.min(buffer.len());
            self.0.read(&mut buffer[..step])
        }
    }

    #[test]
    fn buffer_edges_fall_anywhere() {
        let whole = scan_text(GOOD).unwrap();
        for step in 1..40 {
            let reader = BufReader::with_capacity(step, Drip(GOOD.as_bytes(), step));
            let dripped = scan(reader, &mut Blind).unwrap();
            assert_eq!(dripped.signed_sha256, whole.signed_sha256);
            assert_eq!(dripped.cms, whole.cms);
        }
    }

    #[test]
    fn anything_odd_is_refused() {
        let long = format!("body\r\n{}", "x".repeat(999));
        let tail = "--b--\r\n";
        for (from, to) in [
            (
                "MIME-Version: 1.0\r\nContent-Type: multi",
                "Content-Type: multi",
            ),
            (
                "MIME-Version: 1.0\r\nContent-Type: multi",
                "Subject: y\r\nMIME-Version: 1.0\r\nContent-Type: multi",
            ),
            ("micalg=sha-256", "micalg=sha-1"),
            ("micalg=sha-256", "micalg=sha-256; x=y"),
            ("multipart/signed", "multipart/mixed"),
            ("\r\n\r\n--b\r\nFrom", "\r\n\r\npreamble\r\n--b\r\nFrom"),
            ("\r\n\r\n--b\r\nFrom", "\r\n\r\n\r\n--b\r\nFrom"),
            ("--b\r\nFrom", "--b \r\nFrom"),
            ("Subject: x\r\n", ""),
            ("Subject: x\r\n", "Subject: x\r\nSubject: y\r\n"),
            ("Subject: x\r\n", "Subject: x\nSubject2: y\r\n"),
            ("hp=\"clear\"", "hq=\"clear\""),
            ("body", "bo\rdy"),
            ("body", "bo\ndy"),
            ("body", "bo\0dy"),
            ("body", &long),
            ("body\r\n", "body\r\n--b2\r\n"),
            ("body\r\n", "body\r\n--b \r\n"),
            ("body\r\n\r\n", ""),
            (
                "--b\r\nContent-Type: application/pkcs7",
                "--b\r\nX: y\r\nContent-Type: application/pkcs7",
            ),
            ("pkcs7-signature; name", "octet-stream; name"),
            ("name=smime.p7s", "name=invoice.exe"),
            ("name=smime.p7s", "name=smime.p7s; x=y"),
            ("Encoding: base64", "Encoding: 7bit"),
            ("MAA=", "MAA"),
            ("MAA=\r\n", "MAA=\r\n\r\n"),
            ("MAA=\r\n", "MAA=\r\nMAA=\r\n"),
            ("MAA=\r\n--b--", "MAA=\r\n--b\r\n\r\n--b--"),
            (tail, ""),
            (tail, "--b--"),
            (tail, "--b--\n"),
            (tail, "--b--\r\n\r\n"),
            (tail, "--b--\r\ntext"),
            (tail, "--b--\r\ntext\r\n"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            assert!(scan_text(&text).is_err(), "{from:?} {to:?}");
        }
    }

    #[test]
    fn every_cut_is_refused() {
        for end in 0..GOOD.len() {
            assert!(scan_text(&GOOD[..end]).is_err(), "{end}");
        }
    }

    /// Ten thousand alterations, the same ones each time: none panics, and
    /// what is still accepted says the same of what is signed.
    #[test]
    fn random_alterations_never_panic_nor_deceive() {
        let whole = scan_text(GOOD).unwrap();
        let mut state = 1u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..10_000 {
            let mut text = GOOD.as_bytes().to_vec();
            let (at, from) = (next(text.len()), next(text.len()));
            let end = (from + next(40)).min(text.len());
            match next(3) {
                0 => text[at] = b"\r\n-:;=\"\0 b"[next(10)],
                1 => drop(text.drain(from..end)),
                _ => drop(text.splice(at..at, GOOD.as_bytes()[from..end].to_vec())),
            }
            if let Ok(found) = scan(&text[..], &mut Blind)
                && found.signed_sha256 == whole.signed_sha256
            {
                assert_eq!(found.headers, whole.headers);
                assert_eq!(found.parts, whole.parts);
            }
        }
    }

    #[test]
    fn signatures_are_bounded() {
        let big = "MAAA".repeat(19) + "\r\n";
        let text = GOOD.replace("MAA=\r\n", &big.repeat(19_000));
        assert!(scan_text(&text).is_err());
        assert!(scan_text(&GOOD.replace("MAA=\r\n", &big.repeat(18_000))).is_ok());
    }

    #[test]
    fn headers_are_read_from_a_cut_text() {
        let end = GOOD.find("body").unwrap();
        assert_eq!(scan_headers(&GOOD.as_bytes()[..end]).unwrap().subject, "x");
        assert!(scan_headers(&GOOD.as_bytes()[..end - 2]).is_err());
    }
}
