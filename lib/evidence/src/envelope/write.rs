//! Writing an envelope in one pass: MIME, hash, seal, and at last the
//! signature.
//!
//! Never lets a header out of the signed part, nor a byte out of the seal.

use std::io::{self, BufWriter, Cursor, Read, Write};

use age::stream::StreamWriter;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use smr_pki::cms::{self, Content, ContentType, SignRequest};
use smr_pki::ess::ReceiptRequest;
use smr_pki::signer::Signer;
use smr_seal::Recipient;

use super::draft::{Draft, Part, ReceiptWanted, check_name};
use super::mail::Entity;
use super::message::{HEADS_FIELD, RECEIPT_FIELD, message_id, write_date, write_heads};
use super::transfer::{CopyError, encode_base64, encode_lines, encode_quoted};
use super::{EnvelopeError, MAX_HEADER, MAX_LINE, MAX_PARTS, address, param, unseal, word};

/// The longest text that is looked at whole to choose how it travels.
const MAX_TEXT: u64 = 1024 * 1024;

/// Says what was sealed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The DER SignedData inside.
    pub cms: Vec<u8>,
    /// Its SHA-256.
    pub cms_sha256: [u8; 32],
    /// Bytes of the sealed file.
    pub sealed_bytes: u64,
    /// SHA-256 of the sealed file.
    pub sealed_sha256: [u8; 32],
}

/// Counts and hashes what goes through to `inner`.
struct Counted<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Counted {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn write_error(source: io::Error) -> EnvelopeError {
    EnvelopeError::Write {
        what: "the sealed file",
        source,
    }
}

/// Signs and seals a message onto `out`, in one pass and with some 64 KiB
/// buffers whatever its size. The parts come in the order given; with none,
/// the text is empty.
///
/// After an error `out` holds something that nobody can open. `rng` draws the
/// boundaries; age draws the file key itself, from the system.
pub fn seal<W: Write>(
    draft: &Draft<'_>,
    parts: Vec<Part<'_>>,
    recipients: &[Recipient],
    signer: &dyn Signer,
    out: W,
    rng: &mut dyn CryptoRngCore,
) -> Result<Sealed, EnvelopeError> {
    draft.check()?;
    let headers = protected(draft)?;
    let outer = boundary(rng);
    // age writes its header word by word.
    let mut file = Counted::new(BufWriter::new(out));
    let mut plain = unseal::sealer(recipients, &mut file)?;
    let put = |plain: &mut StreamWriter<_>, text: &str| {
        Write::write_all(plain, text.as_bytes()).map_err(write_error)
    };
    put(&mut plain, &outer_header(&outer))?;
    // Only the signed entity passes through the second hash.
    let mut entity = Counted::new(&mut plain);
    write_entity(&headers, parts, &mut entity, rng)?;
    let sha256 = entity.hash.finalize().into();
    let cms = cms::sign(&sign_request(draft, sha256)?, signer)?;
    put(&mut plain, &format!("\r\n--{outer}\r\n{SIGNATURE_HEADER}"))?;
    encode_base64(&mut &cms[..], &mut plain).map_err(|e| copy_error(e, "the signature"))?;
    put(&mut plain, &format!("\r\n--{outer}--\r\n"))?;
    plain.finish().map_err(write_error)?;
    file.flush().map_err(write_error)?;
    Ok(Sealed {
        cms_sha256: Sha256::digest(&cms).into(),
        cms,
        sealed_bytes: file.bytes,
        sealed_sha256: file.hash.finalize().into(),
    })
}

/// Says that the headers of this entity are the message's (RFC 9788).
const PROTECTED: &str = "; hp=\"clear\"";

const SIGNATURE_HEADER: &str = "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=smime.p7s\r\n\r\n";

fn outer_header(boundary: &str) -> String {
    format!(
        "MIME-Version: 1.0\r\n\
         Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n \
         micalg=sha-256; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"
    )
}

/// Draws a boundary: 128 random bits, so that no content can contain it.
fn boundary(rng: &mut dyn CryptoRngCore) -> String {
    let mut random = [0; 16];
    rng.fill_bytes(&mut random);
    random.iter().fold("smr-".to_owned(), |text, byte| {
        text + &format!("{byte:02x}")
    })
}

/// Says what to sign, and whose receipts are wanted (RFC 2634, 2.7).
fn sign_request(
    draft: &Draft<'_>,
    sha256: [u8; 32],
) -> Result<SignRequest<'static>, EnvelopeError> {
    let id = message_id(&draft.id, draft.repository()?);
    let wanted = draft.receipt != ReceiptWanted::None;
    Ok(SignRequest {
        content_type: ContentType::Data,
        content: Content::Detached { sha256 },
        signing_time: draft.date,
        receipt_request: wanted.then(|| ReceiptRequest {
            content_identifier: id.into_bytes(),
            receipts_from: draft.addressees().map(ToString::to_string).collect(),
            receipts_to: vec![draft.from.address.to_string()],
        }),
        msg_sig_digest: None,
    })
}

/// Writes the header of the signed entity, without its content fields.
fn protected(draft: &Draft<'_>) -> Result<String, EnvelopeError> {
    let range = EnvelopeError::Draft("the date is out of range");
    let repository = draft.repository()?;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
    field("Date", &write_date(draft.date).ok_or(range)?);
    field("From", &address::write_author(&draft.from));
    field("To", &address::write_list(&draft.to));
    if !draft.cc.is_empty() {
        field("Cc", &address::write_list(&draft.cc));
    }
    field("Subject", &word::encode(draft.subject));
    field(
        "Message-ID",
        &format!("<{}>", message_id(&draft.id, repository)),
    );
    if let Some(reply) = &draft.reply {
        field(
            "In-Reply-To",
            &format!("<{}>", message_id(reply, repository)),
        );
    }
    match draft.receipt {
        ReceiptWanted::None => {}
        ReceiptWanted::Read => field(RECEIPT_FIELD, "read"),
        ReceiptWanted::Card => field(RECEIPT_FIELD, "card"),
    }
    if !draft.told.is_empty() {
        field(HEADS_FIELD, &write_heads(&draft.told));
    }
    field("MIME-Version", "1.0");
    match text.len() > MAX_HEADER - 1024 {
        true => Err(EnvelopeError::Draft("the headers are longer than 255 KiB")),
        false => Ok(text),
    }
}

fn write_entity<W: Write>(
    headers: &str,
    mut parts: Vec<Part<'_>>,
    out: &mut W,
    rng: &mut dyn CryptoRngCore,
) -> Result<(), EnvelopeError> {
    if parts.len() >= MAX_PARTS {
        return Err(EnvelopeError::Draft("10,000 parts or more"));
    }
    if parts.is_empty() {
        parts.push(Part::Text(Box::new(io::empty())));
    }
    if let [Part::Entity(_)] = &parts[..]
        && let Some(Part::Entity(entity)) = parts.pop()
    {
        return write_mail(headers, entity, out);
    }
    out.write_all(headers.as_bytes()).map_err(write_error)?;
    if let [Part::Text(_)] = &parts[..] {
        let only = parts.pop().expect("the slice has one element");
        return write_part(only, PROTECTED, out);
    }
    let boundary = boundary(rng);
    let begin =
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\";\r\n hp=\"clear\"\r\n");
    out.write_all(begin.as_bytes()).map_err(write_error)?;
    for part in parts {
        write!(out, "\r\n--{boundary}\r\n").map_err(write_error)?;
        write_part(part, "", out)?;
    }
    write!(out, "\r\n--{boundary}--").map_err(write_error)
}

/// Writes a message of another program's as it is, but for the encoding of a
/// text that has none.
fn write_mail<W: Write>(
    headers: &str,
    entity: Entity<'_>,
    out: &mut W,
) -> Result<(), EnvelopeError> {
    let head = format!("{headers}{}", entity.kept());
    if head.len() > MAX_HEADER - 4096 {
        return Err(EnvelopeError::Draft("the headers are longer than 252 KiB"));
    }
    out.write_all(head.as_bytes()).map_err(write_error)?;
    if !entity.is_text() {
        return entity.pass(&head, out);
    }
    let (body, kind) = entity.into_text();
    write_text(body, kind.as_deref(), PROTECTED, out)
}

/// Writes one leaf; `extra` goes onto its content type.
fn write_part<W: Write>(part: Part<'_>, extra: &str, out: &mut W) -> Result<(), EnvelopeError> {
    match part {
        Part::Text(read) => write_text(read, None, extra, out),
        Part::Entity(_) => Err(EnvelopeError::Draft(
            "a message of another program's beside other parts",
        )),
        Part::Attachment { name, mut read } => {
            check_name(&name)?;
            let disposition = format!("attachment{}", param::write("filename", &name));
            leaf(
                out,
                &format!("application/octet-stream{extra}"),
                "base64",
                Some(&disposition),
            )?;
            let copied = encode_base64(&mut *read, out);
            copied.map_err(|e| copy_error(e, &format!("{name:?}")))?;
            Ok(())
        }
    }
}

fn leaf<W: Write>(
    out: &mut W,
    kind: &str,
    encoding: &str,
    disposition: Option<&str>,
) -> Result<(), EnvelopeError> {
    let disposition =
        disposition.map_or(String::new(), |d| format!("Content-Disposition: {d}\r\n"));
    write!(
        out,
        "Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n{disposition}\r\n"
    )
    .map_err(write_error)
}

/// Writes the text in the most legible form from which it comes back exactly;
/// of the type that its writer has given it, if he has.
fn write_text<W: Write>(
    mut read: Box<dyn Read + '_>,
    kind: Option<&str>,
    extra: &str,
    out: &mut W,
) -> Result<(), EnvelopeError> {
    let mut begin = Vec::new();
    let limited = read.by_ref().take(MAX_TEXT + 1).read_to_end(&mut begin);
    limited.map_err(|source| EnvelopeError::Read {
        what: "the text".into(),
        source,
    })?;
    let whole = begin.len() as u64 <= MAX_TEXT;
    let text = legible(&begin, whole);
    let kind = match (kind, text) {
        (Some(kind), _) => format!("{}{extra}", kind.trim_end().trim_end_matches(';')),
        (None, Some(_)) => format!("text/plain; charset=utf-8{extra}"),
        (None, None) => format!("application/octet-stream{extra}"),
    };
    if whole && let Some(text) = text.filter(|text| !text.contains('\r')) {
        let lines = text.is_ascii() && text.split('\n').all(|line| line.len() <= MAX_LINE);
        let (encoding, bytes) = match lines {
            true => ("7bit", encode_lines(text)),
            false => ("quoted-printable", encode_quoted(text)),
        };
        leaf(out, &kind, encoding, None)?;
        return out.write_all(&bytes).map_err(write_error);
    }
    leaf(out, &kind, "base64", None)?;
    let copied = encode_base64(&mut Cursor::new(&begin).chain(read), out);
    copied.map_err(|e| copy_error(e, "the text"))?;
    Ok(())
}

/// Returns the beginning of a text as UTF-8 without NUL, where it is that; a
/// character cut at its end is left out.
fn legible(begin: &[u8], whole: bool) -> Option<&str> {
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        Err(error) if !whole && error.error_len().is_none() => {
            std::str::from_utf8(begin.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

fn copy_error(error: CopyError, what: &str) -> EnvelopeError {
    match error {
        CopyError::Read(source) => EnvelopeError::Read {
            what: what.to_owned(),
            source,
        },
        CopyError::Write(source) => write_error(source),
    }
}
