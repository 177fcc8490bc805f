//! Reading an envelope in two passes: the first verifies everything but the
//! path of the signer and shows nothing, the second emits what was verified.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};

use sha2::{Digest, Sha256};
use smr_name::{Address, MessageId};
use smr_pki::cms::{ContentType, DigestAlgorithm, SignedData};
use smr_seal::Recipient;

use super::EnvelopeError;
use super::draft::ReceiptWanted;
use super::message::{Headers, PartInfo};
use super::scan::{Blind, Scanned, Watch, scan, scan_headers};
use super::unseal::{Unwrap, sealer, unseal};
use crate::trust::Person;

/// How far Date and the signing time may be apart, in seconds: a day.
const MAX_APART: u64 = 86_400;
/// One chunk of age and its tag: less of it than that does not decrypt.
const CHUNK: usize = 64 * 1024 + 16;

/// Holds what the first pass verified. Only [`verify`] and [`verify_plain`]
/// make one.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The headers inside the signature.
    pub headers: Headers,
    /// The signature; its signer is not yet believed.
    pub signed: SignedData,
    /// The DER of `signed`.
    pub cms: Vec<u8>,
    /// SHA-256 of `cms`.
    pub cms_sha256: [u8; 32],
    /// The parts, multiparts left out.
    pub parts: Vec<PartInfo>,
    signed_sha256: [u8; 32],
    frame_sha256: [u8; 32],
}

/// Names what of a message to emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit<'a> {
    /// The whole S/MIME message, for `openssl cms -verify`.
    Raw,
    /// The signed entity, byte for byte: a message with its headers (RFC 5322).
    Message,
    /// The part of this number, decoded; text line ends become LF.
    Part(&'a str),
}

fn buffered<R: Read>(from: R) -> BufReader<R> {
    BufReader::with_capacity(64 * 1024, from)
}

fn rewind<R: Seek>(sealed: &mut R) -> Result<(), EnvelopeError> {
    sealed.rewind().map_err(|source| EnvelopeError::Read {
        what: "the sealed file".into(),
        source,
    })
}

/// Verifies a sealed file from its beginning to its end: the seal, the whole
/// structure, the signature over it, and that the signature and the headers
/// tell one story. Whether the signer may be believed is left to `reading`.
pub fn verify<R: Read + Seek>(mut sealed: R, keys: &dyn Unwrap) -> Result<Opened, EnvelopeError> {
    rewind(&mut sealed)?;
    // The scan ends where age does, and age reads to the end of the file.
    accept(scan(unseal(buffered(sealed), keys)?, &mut Blind)?)
}

/// Verifies an unsealed S/MIME message, as [`Emit::Raw`] writes it.
pub fn verify_plain<R: Read>(plain: R) -> Result<Opened, EnvelopeError> {
    accept(scan(buffered(plain), &mut Blind)?)
}

fn accept(scanned: Scanned) -> Result<Opened, EnvelopeError> {
    let signed = SignedData::parse(&scanned.cms)?;
    let right = signed.content_type() == ContentType::Data
        && signed.content().is_none()
        && signed.digest_algorithm() == DigestAlgorithm::Sha256;
    if !right {
        return Err(EnvelopeError::Structure("not a detached SHA-256 signature"));
    }
    signed.verify_detached(&scanned.signed_sha256)?;
    check_date(&scanned.headers, &signed)?;
    check_request(&scanned.headers, &signed)?;
    Ok(Opened {
        headers: scanned.headers,
        signed,
        cms_sha256: Sha256::digest(&scanned.cms).into(),
        cms: scanned.cms,
        parts: scanned.parts,
        signed_sha256: scanned.signed_sha256,
        frame_sha256: scanned.frame_sha256,
    })
}

/// Checks that the date people see is the day of the signature.
fn check_date(headers: &Headers, signed: &SignedData) -> Result<(), EnvelopeError> {
    match headers.date.abs_diff(signed.signing_time()) > MAX_APART {
        true => Err(EnvelopeError::Headers("Date is not the day it was signed")),
        false => Ok(()),
    }
}

/// Checks that a receipt is asked for in both places or in neither, for this
/// message, of all its addressees, for its sender.
fn check_request(headers: &Headers, signed: &SignedData) -> Result<(), EnvelopeError> {
    let wrong = |problem| Err(EnvelopeError::Headers(problem));
    let Some(request) = signed.receipt_request() else {
        return match headers.receipt {
            ReceiptWanted::None => Ok(()),
            _ => wrong("they ask for a receipt, the signature does not"),
        };
    };
    if headers.receipt == ReceiptWanted::None {
        return wrong("the signature asks for a receipt, they do not");
    }
    if request.content_identifier != headers.message_id().as_bytes() {
        return wrong("the receipt asked for is another message's");
    }
    let all: Vec<String> = headers.addressees().map(ToString::to_string).collect();
    if request.receipts_from != all {
        return wrong("receipts are not asked of all addressees");
    }
    if request.receipts_to != [headers.from.address.to_string()] {
        return wrong("receipts do not go to the sender");
    }
    Ok(())
}

/// Checks that a message was meant for `me`, or was mine, and came under the
/// id it bears.
pub fn check_addressed(
    opened: &Opened,
    me: &Address,
    delivered: &MessageId,
) -> Result<(), EnvelopeError> {
    let headers = &opened.headers;
    if headers.id != *delivered {
        return Err(EnvelopeError::Headers("it came under another id"));
    }
    if headers.from.address != *me && !headers.addressees().any(|a| a == me) {
        return Err(EnvelopeError::Headers(
            "it names you neither as addressee nor as sender",
        ));
    }
    Ok(())
}

/// Checks that the name beside the sender's address is the one his
/// certificate gives him, or none; `person` is who the signer proved to be.
pub fn check_author(opened: &Opened, person: &Person) -> Result<(), EnvelopeError> {
    let display = &opened.headers.from.display;
    match display.is_empty() || *display == person.display {
        true => Ok(()),
        false => Err(EnvelopeError::Headers(
            "the sender gives himself another name than his certificate",
        )),
    }
}

/// Passes what was asked for on to a writer.
struct Outlet<'a, W: Write> {
    what: Emit<'a>,
    out: BufWriter<W>,
}

impl<W: Write> Outlet<'_, W> {
    fn pass(&mut self, wanted: bool, bytes: &[u8]) -> Result<(), EnvelopeError> {
        match wanted {
            true => self.out.write_all(bytes).map_err(write_error),
            false => Ok(()),
        }
    }
}

impl<W: Write> Watch for Outlet<'_, W> {
    fn raw(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        self.pass(self.what == Emit::Raw, bytes)
    }

    fn signed(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        self.pass(self.what == Emit::Message, bytes)
    }

    fn content(&mut self, number: &str, bytes: &[u8]) -> Result<(), EnvelopeError> {
        self.pass(self.what == Emit::Part(number), bytes)
    }
}

fn write_error(source: io::Error) -> EnvelopeError {
    EnvelopeError::Write {
        what: "the message",
        source,
    }
}

/// Emits from a sealed file what [`verify`] verified. After an error, what
/// `out` got must not be used.
pub fn emit<R: Read + Seek, W: Write>(
    mut sealed: R,
    keys: &dyn Unwrap,
    opened: &Opened,
    what: Emit<'_>,
    out: W,
) -> Result<(), EnvelopeError> {
    rewind(&mut sealed)?;
    emit_scan(unseal(buffered(sealed), keys)?, opened, what, out)
}

/// Emits from an unsealed message what [`verify_plain`] verified.
pub fn emit_plain<R: Read, W: Write>(
    plain: R,
    opened: &Opened,
    what: Emit<'_>,
    out: W,
) -> Result<(), EnvelopeError> {
    emit_scan(buffered(plain), opened, what, out)
}

/// Seals a message that [`verify`] verified anew, to other recipients; what is
/// inside, and its signature, stay the same. After an error `out` holds
/// something that nobody can open.
pub fn reseal<R: Read + Seek, W: Write>(
    sealed: R,
    keys: &dyn Unwrap,
    opened: &Opened,
    recipients: &[Recipient],
    out: W,
) -> Result<(), EnvelopeError> {
    let mut sealer = sealer(recipients, out)?;
    emit(sealed, keys, opened, Emit::Raw, &mut sealer)?;
    sealer.finish().map(drop).map_err(write_error)
}

fn emit_scan<W: Write>(
    plain: impl BufRead,
    opened: &Opened,
    what: Emit<'_>,
    out: W,
) -> Result<(), EnvelopeError> {
    if let Emit::Part(number) = what
        && !opened.parts.iter().any(|part| part.number == number)
    {
        return Err(EnvelopeError::NoPart(number.to_owned()));
    }
    let mut outlet = Outlet {
        what,
        out: BufWriter::with_capacity(64 * 1024, out),
    };
    let scanned = scan(plain, &mut outlet)?;
    outlet.out.flush().map_err(write_error)?;
    let same = scanned.signed_sha256 == opened.signed_sha256
        && scanned.frame_sha256 == opened.frame_sha256;
    match same {
        true => Ok(()),
        false => Err(EnvelopeError::Changed),
    }
}

/// Opens the first bytes of a sealed file and returns its headers,
/// unverified: for listings, and to be marked so.
///
/// age decrypts whole chunks: the prefix must hold its header and 64 KiB, or
/// the whole file; see [`super::PEEK`] and [`super::LONG_PEEK`].
pub fn peek(prefix: &[u8], keys: &dyn Unwrap) -> Result<Headers, EnvelopeError> {
    if header_end(prefix).is_none() && prefix.starts_with(b"age-") {
        return Err(EnvelopeError::Short);
    }
    scan_headers(unseal(prefix, keys)?).map_err(|error| match error {
        EnvelopeError::Damaged if payload(prefix) < CHUNK => EnvelopeError::Short,
        EnvelopeError::Damaged => EnvelopeError::Structure("a header too long to list"),
        other => other,
    })
}

/// Returns how many bytes follow the header and nonce of a sealed file.
fn payload(sealed: &[u8]) -> usize {
    let end = header_end(sealed).map_or(sealed.len(), |at| at + 16);
    sealed.len().saturating_sub(end)
}

/// Returns where the header of a sealed file ends, if it does.
fn header_end(sealed: &[u8]) -> Option<usize> {
    let mac = sealed.windows(5).position(|w| w == b"\n--- ");
    mac.map(|at| at + 5 + 43 + 1)
        .filter(|end| *end <= sealed.len())
}
