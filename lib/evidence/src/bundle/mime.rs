//! Takes an S/MIME message apart as it goes by: the signed part is hashed, its
//! header and the signature are kept (RFC 1847 2.1, RFC 8551 3.5.3).
//!
//! Holds no more of the message than that, and judges no signature.

use std::io::{BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{HeaderName, Message, MessageParser, MimeHeaders};
use sha2::{Digest, Sha256, Sha384, Sha512};
use smr_name::{Address, MessageId};
use smr_pki::cms::DigestAlgorithm;

use super::BundleError;
use super::archive::MESSAGE;

/// The longest header, and the longest line, in bytes.
const MAX_HEADER: usize = 256 * 1024;
/// The longest signature part, in bytes of base64.
const MAX_SIGNATURE: usize = 4 << 20;

/// What is kept of a message.
pub(super) struct Taken {
    pub(super) digest: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) id: MessageId,
    pub(super) from: Address,
    pub(super) addressees: Vec<Address>,
}

enum Hash {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hash {
    fn new(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Sha256 => Hash::Sha256(Sha256::new()),
            DigestAlgorithm::Sha384 => Hash::Sha384(Sha384::new()),
            DigestAlgorithm::Sha512 => Hash::Sha512(Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha384(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Hash::Sha256(hash) => hash.finalize().to_vec(),
            Hash::Sha384(hash) => hash.finalize().to_vec(),
            Hash::Sha512(hash) => hash.finalize().to_vec(),
        }
    }
}

fn damaged(why: &'static str) -> BundleError {
    BundleError::Damaged {
        file: MESSAGE.into(),
        why,
    }
}

/// Reads a whole message, hashing the signed part by `algorithm`.
pub(super) fn take_apart(
    message: impl Read,
    algorithm: DigestAlgorithm,
) -> Result<Taken, BundleError> {
    let mut lines = Lines::new(message);
    let outer = lines.header()?;
    let parsed = parse(&outer)?;
    let boundary = boundary(&parsed).ok_or_else(|| damaged("it is not multipart/signed"))?;
    let (delimiter, end) = (format!("--{boundary}"), format!("--{boundary}--"));
    lines.skip_to(&delimiter)?;
    let (digest, header) = signed_part(&mut lines, &delimiter, Hash::new(algorithm))?;
    lines.header()?;
    let signature = signature_part(&mut lines, &end)?;
    let header = parse(&header)?;
    Ok(Taken {
        digest,
        signature,
        id: one_id(&header)?,
        from: one_from(&header)?,
        addressees: addressees(&header)?,
    })
}

/// Hashes up to the line end before the delimiter; keeps the header.
fn signed_part<R: Read>(
    lines: &mut Lines<R>,
    delimiter: &str,
    mut hash: Hash,
) -> Result<(Vec<u8>, Vec<u8>), BundleError> {
    let (mut header, mut in_header) = (Vec::new(), true);
    // The line end before a delimiter belongs to the delimiter.
    let mut pending: &[u8] = b"";
    loop {
        let line = lines.next()?.ok_or_else(|| damaged("it ends in the middle"))?;
        if trimmed(line) == delimiter.as_bytes() {
            return Ok((hash.finish(), header));
        }
        hash.update(pending);
        let body = line.strip_suffix(b"\r\n").ok_or_else(|| damaged("a line does not end in CR LF"))?;
        hash.update(body);
        pending = b"\r\n";
        in_header &= !body.is_empty();
        if in_header {
            header.extend_from_slice(line);
        }
        if header.len() > MAX_HEADER {
            return Err(damaged("its header is too long"));
        }
    }
}

fn signature_part<R: Read>(lines: &mut Lines<R>, end: &str) -> Result<Vec<u8>, BundleError> {
    let mut text = Vec::new();
    loop {
        let line = lines.next()?.ok_or_else(|| damaged("it ends in the middle"))?;
        let line = trimmed(line);
        if line == end.as_bytes() {
            return STANDARD.decode(text).map_err(|_| damaged("its signature is not base64"));
        }
        text.extend_from_slice(line);
        if text.len() > MAX_SIGNATURE {
            return Err(damaged("its signature is too long"));
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.trim_ascii_end()
}

fn parse(header: &[u8]) -> Result<Message<'_>, BundleError> {
    let parsed = MessageParser::new().parse_headers(header);
    parsed.ok_or_else(|| damaged("its header cannot be read"))
}

fn boundary(outer: &Message<'_>) -> Option<String> {
    let kind = outer.content_type()?;
    let signed = kind.ctype().eq_ignore_ascii_case("multipart")
        && kind.subtype()?.eq_ignore_ascii_case("signed");
    let boundary = kind.attribute("boundary")?;
    (signed && !boundary.is_empty()).then(|| boundary.to_owned())
}

fn count(header: &Message<'_>, name: &HeaderName<'_>) -> usize {
    header.headers().iter().filter(|h| h.name == *name).count()
}

fn one_id(header: &Message<'_>) -> Result<MessageId, BundleError> {
    let wrong = || damaged("it has no message id of ours");
    if count(header, &HeaderName::MessageId) != 1 {
        return Err(wrong());
    }
    let id = header.message_id().and_then(|id| id.split_once('@'));
    id.and_then(|(id, _)| id.parse().ok()).ok_or_else(wrong)
}

fn one_from(header: &Message<'_>) -> Result<Address, BundleError> {
    match addresses(header, &HeaderName::From)?.as_slice() {
        [from] => Ok(from.clone()),
        _ => Err(damaged("it is not from exactly one sender")),
    }
}

fn addressees(header: &Message<'_>) -> Result<Vec<Address>, BundleError> {
    let mut all = addresses(header, &HeaderName::To)?;
    all.extend(addresses(header, &HeaderName::Cc)?);
    Ok(all)
}

fn addresses(header: &Message<'_>, name: &HeaderName<'_>) -> Result<Vec<Address>, BundleError> {
    let wrong = || damaged("it has an address that is no mailbox");
    match count(header, name) {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err(damaged("a header is there twice")),
    }
    let value = header.headers().iter().find(|h| h.name == *name);
    let list = value.and_then(|h| h.value.as_address()).ok_or_else(wrong)?;
    let parse = |a: &mail_parser::Addr<'_>| a.address.as_deref()?.parse().ok();
    list.iter().map(|a| parse(a).ok_or_else(wrong)).collect()
}

/// Lines of bounded length.
struct Lines<R> {
    from: std::io::BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    fn new(from: R) -> Self {
        Lines {
            from: std::io::BufReader::with_capacity(64 * 1024, from),
            line: Vec::new(),
        }
    }

    /// Returns the next line with its end, none after the last.
    fn next(&mut self) -> Result<Option<&[u8]>, BundleError> {
        self.line.clear();
        let mut bounded = (&mut self.from).take(MAX_HEADER as u64);
        let read = bounded.read_until(b'\n', &mut self.line);
        let read = read.map_err(|source| BundleError::Io {
            operation: "reading",
            source,
        })?;
        if read == MAX_HEADER && self.line.last() != Some(&b'\n') {
            return Err(damaged("a line is too long"));
        }
        Ok((read > 0).then_some(self.line.as_slice()))
    }

    /// Takes lines up to an empty one.
    fn header(&mut self) -> Result<Vec<u8>, BundleError> {
        let mut header = Vec::new();
        while let Some(line) = self.next()? {
            if trimmed(line).is_empty() {
                return Ok(header);
            }
            header.extend_from_slice(line);
            if header.len() > MAX_HEADER {
                return Err(damaged("its header is too long"));
            }
        }
        Err(damaged("it ends in the middle"))
    }

    fn skip_to(&mut self, delimiter: &str) -> Result<(), BundleError> {
        while let Some(line) = self.next()? {
            if trimmed(line) == delimiter.as_bytes() {
                return Ok(());
            }
        }
        Err(damaged("it ends in the middle"))
    }
}
