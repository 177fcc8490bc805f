//! The seal: age around the plaintext (C2SP age), keys asked of someone else.
//!
//! Holds no identity and never sees one; reads at most 2 MiB of header.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use age::DecryptError;
use age::stream::StreamReader;
use smr_name::Class;
use smr_seal::{FileKey, Identity, Recipient, SealError, Stanza, check_unmixed};

use super::{EnvelopeError, MAX_SEAL_HEADER};

/// Finds the key of a sealed file from the stanzas of its header.
pub trait Unwrap {
    /// Returns the file key, or none where no identity fits.
    fn unwrap(&self, stanzas: &[Stanza]) -> Result<Option<FileKey>, UnwrapError>;
}

/// Says why whoever holds the identities could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct UnwrapError {
    /// What a script may conclude.
    pub class: Class,
    /// What went wrong.
    pub text: String,
    /// What the user may do, or nothing.
    pub hint: String,
}

impl From<SealError> for UnwrapError {
    fn from(error: SealError) -> Self {
        UnwrapError {
            class: Class::Forged,
            text: format!("the sealed file is not acceptable: {error}"),
            hint: String::new(),
        }
    }
}

impl Unwrap for &[Identity] {
    fn unwrap(&self, stanzas: &[Stanza]) -> Result<Option<FileKey>, UnwrapError> {
        Ok(smr_seal::unwrap(self, stanzas)?)
    }
}

impl Unwrap for Vec<Identity> {
    fn unwrap(&self, stanzas: &[Stanza]) -> Result<Option<FileKey>, UnwrapError> {
        Unwrap::unwrap(&self.as_slice(), stanzas)
    }
}

/// Seen by age as an identity.
struct Asking<'a> {
    keys: &'a dyn Unwrap,
    failure: RefCell<Option<UnwrapError>>,
}

impl age::Identity for Asking<'_> {
    fn unwrap_stanza(
        &self,
        stanza: &Stanza,
    ) -> Option<Result<age_core::format::FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(
        &self,
        stanzas: &[Stanza],
    ) -> Option<Result<age_core::format::FileKey, DecryptError>> {
        match self.keys.unwrap(stanzas) {
            Ok(key) => key.map(|key| {
                let fill = |k: &mut [u8; 16]| k.copy_from_slice(&*key);
                Ok(age_core::format::FileKey::init_with_mut(fill))
            }),
            Err(error) => {
                self.failure.replace(Some(error));
                Some(Err(DecryptError::DecryptionFailed))
            }
        }
    }
}

/// Gives age the header whole, then the rest.
///
/// age parses what it has from the start after each line it reads, which is
/// quadratic in the header's length: here its first "line" is all of it.
pub(super) struct Whole<R> {
    header: Cursor<Vec<u8>>,
    rest: R,
}

/// Bytes of a line of a body that another one follows, with its LF.
const FULL_LINE: usize = 64 + 1;

/// Where in a header a line may stand: the age crate lets a stanza go without
/// the short line that ends its body (C2SP age, "recipient stanza").
enum Body {
    /// Before the next stanza, or the end.
    Ended,
    /// Among the lines of a body.
    Open,
}

impl Body {
    /// Takes a line with its LF; none where it may not stand there.
    fn then(self, line: &[u8]) -> Option<Body> {
        match (self, line.starts_with(b"->"), line.starts_with(b"---")) {
            (Body::Ended, true, _) => Some(Body::Open),
            (Body::Ended, _, true) => Some(Body::Ended),
            (Body::Open, false, false) => match line.len().cmp(&FULL_LINE) {
                Ordering::Equal => Some(Body::Open),
                Ordering::Less => Some(Body::Ended),
                Ordering::Greater => None,
            },
            _ => None,
        }
    }
}

impl<R: BufRead> Whole<R> {
    /// Reads the header, bounded.
    fn of(mut rest: R) -> Result<Self, EnvelopeError> {
        let mut header = Vec::new();
        let mut body = Body::Ended;
        loop {
            let start = header.len();
            let room = (MAX_SEAL_HEADER - start) as u64;
            let read = rest.by_ref().take(room).read_until(b'\n', &mut header);
            read.map_err(|source| EnvelopeError::Read {
                what: "the sealed file".into(),
                source,
            })?;
            let line = &header[start..];
            if !line.ends_with(b"\n") || (start == 0 && !line.starts_with(b"age-")) {
                return Err(EnvelopeError::Damaged);
            }
            if start > 0 {
                body = body.then(line).ok_or(EnvelopeError::Damaged)?;
            }
            if line.starts_with(b"---") {
                let header = Cursor::new(header);
                return Ok(Whole { header, rest });
            }
        }
    }
}

impl<R: BufRead> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.header.read(buffer)? {
            0 => self.rest.read(buffer),
            n => Ok(n),
        }
    }
}

impl<R: BufRead> BufRead for Whole<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.header.position() < self.header.get_ref().len() as u64 {
            true => self.header.fill_buf(),
            false => self.rest.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self.header.position() < self.header.get_ref().len() as u64 {
            true => self.header.consume(amount),
            false => self.rest.consume(amount),
        }
    }

    /// Gives the rest of the header, line ends or not, and then nothing:
    /// age asks for lines only while the header is incomplete.
    fn read_until(&mut self, _end: u8, line: &mut Vec<u8>) -> io::Result<usize> {
        self.header.read_to_end(line)
    }
}

/// Opens a sealed file; returns its plaintext, decrypted and authenticated
/// chunk by chunk (64 KiB) as it is read.
pub(super) fn unseal<R: BufRead>(
    sealed: R,
    keys: &dyn Unwrap,
) -> Result<BufReader<StreamReader<Whole<R>>>, EnvelopeError> {
    let header = age::Decryptor::new_buffered(Whole::of(sealed)?);
    let asking = Asking {
        keys,
        failure: RefCell::new(None),
    };
    let identity: &dyn age::Identity = &asking;
    let opened = header.and_then(|file| file.decrypt(std::iter::once(identity)));
    if let Some(error) = asking.failure.take() {
        return Err(error.into());
    }
    match opened {
        Ok(plain) => Ok(BufReader::with_capacity(64 * 1024, plain)),
        Err(DecryptError::NoMatchingKeys) => Err(EnvelopeError::NotForUs),
        Err(DecryptError::Io(source)) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Err(EnvelopeError::Read {
                what: "the sealed file".into(),
                source,
            })
        }
        Err(_) => Err(EnvelopeError::Damaged),
    }
}

/// Takes all it is given, or fails: age calls a header of which a writer took a
/// part an error of its own, where the next write would say what is wrong.
pub(super) struct Wholly<W>(W);

impl<W: Write> Write for Wholly<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Begins a sealed file on `out` for `recipients`, all of one kind.
pub(super) fn sealer<W: Write>(
    recipients: &[Recipient],
    out: W,
) -> Result<age::stream::StreamWriter<Wholly<W>>, EnvelopeError> {
    check_unmixed(recipients).map_err(EnvelopeError::Recipients)?;
    let recipients = recipients.iter().map(|r| r as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients)
        // Every recipient was usable when it was parsed, and all are of one kind.
        .map_err(|_| EnvelopeError::Recipients(SealError::Recipient))?;
    encryptor
        .wrap_output(Wholly(out))
        .map_err(|source| EnvelopeError::Write {
            what: "the sealed file",
            source,
        })
}

/// Seals a few bytes.
pub(crate) fn seal_bytes(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut sealed = Vec::new();
    let mut writer = sealer(recipients, &mut sealed)?;
    let written = writer.write_all(plain).and_then(|()| writer.finish());
    written.map_err(|source| EnvelopeError::Write {
        what: "the sealed file",
        source,
    })?;
    Ok(sealed)
}

/// Opens a sealed file of at most `limit` bytes of plaintext.
pub(crate) fn unseal_bytes(
    sealed: &[u8],
    keys: &dyn Unwrap,
    limit: u64,
) -> Result<Vec<u8>, EnvelopeError> {
    // Never longer than what it was sealed in: a secret is not left behind
    // where the bytes would have been before they had to move.
    let mut plain = Vec::with_capacity(sealed.len());
    let mut reader = unseal(sealed, keys)?.take(limit + 1);
    reader
        .read_to_end(&mut plain)
        .map_err(|_| EnvelopeError::Damaged)?;
    match plain.len() as u64 > limit {
        true => Err(EnvelopeError::Structure("it is too long")),
        false => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Asking, EnvelopeError, FileKey, Identity, RefCell, Stanza, Unwrap, UnwrapError, Whole,
        seal_bytes, sealer, unseal, unseal_bytes,
    };
    use rand_core::OsRng;
    use smr_name::Class;
    use std::io::{self, BufRead, BufReader, Read, Write};

    fn pair() -> (Vec<Identity>, Vec<u8>) {
        let key = Identity::generate_pq(&mut OsRng);
        let sealed = seal_bytes(&[key.to_recipient()], b"plain").unwrap();
        (vec![key], sealed)
    }

    /// A file with these stanzas, for nobody.
    fn with(stanzas: &str) -> String {
        let mac = "A".repeat(43);
        format!("age-encryption.org/v1\n{stanzas}--- {mac}\n0123456789abcdef")
    }

    #[test]
    fn sealed_bytes_come_back() {
        let (keys, sealed) = pair();
        assert_eq!(unseal_bytes(&sealed, &keys, 5).unwrap(), b"plain");
        assert!(unseal_bytes(&sealed, &keys, 4).is_err());
        let stranger = vec![Identity::generate_pq(&mut OsRng)];
        let error = unseal_bytes(&sealed, &stranger, 5).unwrap_err();
        assert!(matches!(error, EnvelopeError::NotForUs));
    }

    #[test]
    fn every_cut_and_every_flip_of_the_payload_is_damage() {
        let (keys, sealed) = pair();
        for end in (0..sealed.len()).step_by(13) {
            let error = unseal_bytes(&sealed[..end], &keys, 5).unwrap_err();
            assert!(matches!(error, EnvelopeError::Damaged), "{end}: {error}");
        }
        for place in 0..5 + 16 + 16 {
            let mut bad = sealed.clone();
            let place = sealed.len() - 1 - place;
            bad[place] ^= 1;
            assert!(unseal_bytes(&bad, &keys, 5).is_err(), "{place}");
        }
        let longer = [&sealed[..], b"x"].concat();
        assert!(unseal_bytes(&longer, &keys, 5).is_err());
    }

    #[test]
    fn other_files_are_damage_and_headers_are_bounded() {
        let (keys, _) = pair();
        let endless = with(&"-> x\n\n".repeat(400_000));
        let line = format!("age-{}", "x".repeat(3_000_000));
        for file in [
            "",
            "\n",
            "hello\n",
            "age-encryption.org/v1\n--- \n",
            &endless,
            &line,
        ] {
            let error = unseal_bytes(file.as_bytes(), &keys, 5).unwrap_err();
            assert!(matches!(error, EnvelopeError::Damaged));
        }
    }

    #[test]
    fn other_files_are_read_no_further_than_their_first_line() {
        let (keys, _) = pair();
        let other = BufReader::new(Failing(b"hello\n"));
        let error = unseal(other, &keys).err().unwrap();
        assert!(matches!(error, EnvelopeError::Damaged), "{error}");
    }

    #[test]
    fn a_header_of_many_stanzas_is_read_in_linear_time() {
        let (keys, _) = pair();
        let file = with(&"-> x\n\n".repeat(300_000));
        let begun = std::time::Instant::now();
        let error = unseal_bytes(file.as_bytes(), &keys, 5).unwrap_err();
        assert!(matches!(error, EnvelopeError::Keys(_)), "{error}");
        // Quadratic parsing would take hours.
        assert!(begun.elapsed().as_secs() < 60);
    }

    #[test]
    fn a_body_ends_with_a_short_line() {
        let (keys, _) = pair();
        let full = "A".repeat(64);
        let opened = |body: &str| {
            let file = with(&format!("-> x\n{body}"));
            unseal_bytes(file.as_bytes(), &keys, 5).unwrap_err()
        };
        for body in [
            "\n",
            "AAAA\n",
            &format!("{}\n", "A".repeat(63)),
            &format!("{full}\n\n"),
            &format!("{full}\n{full}\nAA\n"),
        ] {
            let error = opened(body);
            assert!(matches!(error, EnvelopeError::NotForUs), "{body}: {error}");
        }
        for body in [
            "",
            "-> y\n\n",
            "AAAA\nAAAA\n",
            &format!("{full}\n"),
            &format!("{full}\n-> y\n\n"),
            &format!("{full}A\n\n"),
        ] {
            let error = opened(body);
            assert!(matches!(error, EnvelopeError::Damaged), "{body}: {error}");
        }
    }

    #[test]
    fn header_and_payload_are_one_stream() {
        let file = with("-> x\n\n");
        let mut whole = Whole::of(file.as_bytes()).unwrap();
        let mut read = Vec::new();
        loop {
            let part = whole.fill_buf().unwrap();
            let part = part[..part.len().min(7)].to_vec();
            if part.is_empty() {
                break;
            }
            read.extend_from_slice(&part);
            assert!(file.as_bytes().starts_with(&read));
            whole.consume(part.len());
        }
        assert_eq!(read, file.as_bytes());
    }

    /// Gives what it has, and then fails; so does its flush.
    struct Failing<'a>(&'a [u8]);

    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::TimedOut.into()),
                n => Ok(n),
            }
        }
    }

    impl Write for Failing<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn a_disk_that_fails_is_no_damage() {
        let (keys, sealed) = pair();
        // In the header, and in the nonce of the payload (16 of 37 bytes).
        for end in [0, 30, sealed.len() - 37, sealed.len() - 30] {
            let failing = BufReader::new(Failing(&sealed[..end]));
            let error = unseal(failing, &keys).err().unwrap();
            assert!(
                matches!(error, EnvelopeError::Read { .. }),
                "{end}: {error}"
            );
        }
        let mut writer = sealer(&[keys[0].to_recipient()], Failing(b"")).unwrap();
        assert!(writer.flush().is_err());
    }

    #[test]
    fn the_holder_of_keys_is_heard() {
        struct Locked;
        impl Unwrap for Locked {
            fn unwrap(&self, _: &[Stanza]) -> Result<Option<FileKey>, UnwrapError> {
                Err(UnwrapError {
                    class: Class::Unavailable,
                    text: "the agent is locked".into(),
                    hint: "smr-login --unlock".into(),
                })
            }
        }
        let (_, sealed) = pair();
        let error = unseal_bytes(&sealed, &Locked, 5).unwrap_err();
        assert_eq!(error.class(), Class::Unavailable);
        assert_eq!(error.to_string(), "the agent is locked");
        // Asked for one stanza as for all of a header.
        let asking = Asking {
            keys: &Locked,
            failure: RefCell::new(None),
        };
        let stanza = Stanza {
            tag: "x".into(),
            args: vec![],
            body: vec![],
        };
        let asked = age::Identity::unwrap_stanza(&asking, &stanza);
        assert!(asked.is_some_and(|key| key.is_err()));
    }
}
