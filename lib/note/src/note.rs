//! Signed notes: text and a line of Ed25519 under it, readable with `cat`.
//!
//! Knows nothing of what the text says, and signs with one key only (C2SP
//! signed-note).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use smr_name::Class;

use crate::key::{Signer, is_signed};

/// The longest note taken, in bytes.
pub const MAX_NOTE: usize = 64 * 1024;

const ED25519_TYPE: u8 = 1;

/// Says why a note was not made or not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// Nothing a note can carry: control characters, or no final newline.
    #[error("not the text of a note")]
    Text,
    /// A name with a space or a plus sign, or none.
    #[error("not the name of a key")]
    Name,
    /// The bytes are not a note.
    #[error("not a signed note")]
    Damaged,
    /// No line is by the key asked for.
    #[error("the note is not signed by {0:?}")]
    Unsigned(String),
    /// The line by that key is wrong.
    #[error("the signature of {0:?} on the note does not verify")]
    Forged(String),
}

impl NoteError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            NoteError::Text | NoteError::Name => Class::Broken,
            _ => Class::Forged,
        }
    }
}

/// Signs `text` with this key: the text, an empty line, and
/// `U+2014 NAME BASE64` of the key's id (4 bytes) and signature (64 bytes).
pub fn sign(text: &str, name: &str, signer: &Signer) -> Result<String, NoteError> {
    Ok(format!("{text}\n{}\n", line(text, name, signer)?))
}

/// Signs `text` and returns the line of the signature alone.
pub fn line(text: &str, name: &str, signer: &Signer) -> Result<String, NoteError> {
    check_name(name)?;
    let plain = text.ends_with('\n') && !text.chars().any(|c| c < ' ' && c != '\n');
    if !plain || text.len() > MAX_NOTE / 2 {
        return Err(NoteError::Text);
    }
    let mut line = key_id(name, &signer.public_key()).to_vec();
    line.extend_from_slice(&signer.sign(text.as_bytes()));
    Ok(format!("\u{2014} {name} {}", STANDARD.encode(line)))
}

/// Returns the text of a note signed by the key of this name.
///
/// Lines by other keys are passed over; one by this key that does not verify
/// spoils the note.
pub fn open<'a>(note: &'a str, name: &str, public: &[u8; 32]) -> Result<&'a str, NoteError> {
    let (text, _) = split(note)?;
    signature_over(note, text, name, public)?
        .map(|_| text)
        .ok_or_else(|| NoteError::Unsigned(name.into()))
}

/// Returns the signature of this key that stands under a note and is over
/// `text`, or none where no line is by this key; one that does not verify is
/// an error.
pub fn signature_over(
    note: &str,
    text: &str,
    name: &str,
    public: &[u8; 32],
) -> Result<Option<[u8; 64]>, NoteError> {
    let mut found = None;
    for line in split(note)?.1.split('\n') {
        found = verify_line(text, line, name, public)?.or(found);
    }
    Ok(found)
}

/// Splits a note into its text and its lines, without the last LF.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > MAX_NOTE || note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteError::Damaged);
    }
    let end = note.rfind("\n\n").ok_or(NoteError::Damaged)? + 1;
    let (text, lines) = note.split_at(end);
    let lines = lines.strip_prefix('\n').and_then(|l| l.strip_suffix('\n'));
    Ok((text, lines.ok_or(NoteError::Damaged)?))
}

/// Writes the key as others who read notes want it: `NAME+ID+BASE64`.
pub fn verifier_key(name: &str, public: &[u8; 32]) -> String {
    let id = crate::lines::hex_text(&key_id(name, public));
    let key = [&[ED25519_TYPE], public.as_slice()].concat();
    format!("{name}+{id}+{}", STANDARD.encode(key))
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = name.is_empty()
        || name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+');
    (!wrong).then_some(()).ok_or(NoteError::Name)
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([b'\n', ED25519_TYPE]);
    hash.update(public);
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    [a, b, c, d]
}

/// Returns the signature of `line` where it is by this key; an error when it
/// is and is wrong.
fn verify_line(
    text: &str,
    line: &str,
    name: &str,
    public: &[u8; 32],
) -> Result<Option<[u8; 64]>, NoteError> {
    let rest = line.strip_prefix("\u{2014} ").ok_or(NoteError::Damaged)?;
    let (by, value) = rest.split_once(' ').ok_or(NoteError::Damaged)?;
    check_name(by).map_err(|_| NoteError::Damaged)?;
    let value = STANDARD.decode(value).map_err(|_| NoteError::Damaged)?;
    let (id, signature) = value.split_first_chunk::<4>().ok_or(NoteError::Damaged)?;
    if by != name || *id != key_id(name, public) {
        return Ok(None);
    }
    signature
        .try_into()
        .ok()
        .filter(|signature| is_signed(text.as_bytes(), signature, public))
        .map(Some)
        .ok_or_else(|| NoteError::Forged(name.into()))
}

#[cfg(test)]
mod tests {
    use super::{NoteError, open, sign, verifier_key};
    use crate::key::{Signer, public_key};

    const SEED: [u8; 32] = [7; 32];

    fn note() -> String {
        sign(
            "one\n\ntwo\n",
            "repo.example/postmark",
            &Signer::from_seed(&SEED),
        )
        .unwrap()
    }

    #[test]
    fn text_comes_back() {
        let public = public_key(&SEED);
        assert_eq!(
            open(&note(), "repo.example/postmark", &public),
            Ok("one\n\ntwo\n")
        );
        // Ed25519 is deterministic: the same note again, years later.
        assert_eq!(note(), note());
    }

    #[test]
    fn changed_notes_are_forged() {
        let public = public_key(&SEED);
        let name = "repo.example/postmark";
        let forged = Err(NoteError::Forged(name.into()));
        assert_eq!(open(&note().replace("two", "2"), name, &public), forged);
        let unsigned = |n: &str| Err(NoteError::Unsigned(n.into()));
        assert_eq!(open(&note(), name, &public_key(&[8; 32])), unsigned(name));
        assert_eq!(
            open(&note(), "other.example/postmark", &public),
            unsigned("other.example/postmark")
        );
    }

    #[test]
    fn other_signatures_are_passed_over() {
        let public = public_key(&SEED);
        let other = sign(
            "one\n\ntwo\n",
            "witness.example",
            &Signer::from_seed(&[9; 32]),
        )
        .unwrap();
        let line = other.lines().last().unwrap();
        let both = format!("{}{line}\n", note());
        assert!(open(&both, "repo.example/postmark", &public).is_ok());
        assert!(open(&both, "witness.example", &public_key(&[9; 32])).is_ok());
        // A second line by our key that is wrong spoils the first.
        let elsewhere = sign(
            "other\n",
            "repo.example/postmark",
            &Signer::from_seed(&SEED),
        )
        .unwrap();
        let wrong = format!("{}{}\n", note(), elsewhere.lines().last().unwrap());
        assert_eq!(
            open(&wrong, "repo.example/postmark", &public),
            Err(NoteError::Forged("repo.example/postmark".into()))
        );
    }

    #[test]
    fn damaged_notes_are_refused() {
        let public = public_key(&SEED);
        let note = note();
        for case in [
            String::new(),
            "one\n".into(),
            note.trim_end().into(),
            note.replace("\n\n\u{2014}", "\n\u{2014}"),
            note.replace('\u{2014}', "-"),
            note.replace("one", "o\tne"),
            format!("{note}\n"),
            format!("{note}\u{2014} x \n"),
        ] {
            assert!(
                open(&case, "repo.example/postmark", &public).is_err(),
                "{case:?}"
            );
        }
    }

    #[test]
    fn unwritable_texts_and_names_are_refused() {
        for text in ["", "no newline", "a\r\n", "a\0\n"] {
            assert_eq!(
                sign(text, "a", &Signer::from_seed(&SEED)),
                Err(NoteError::Text),
                "{text:?}"
            );
        }
        for name in ["", "a b", "a+b", "a\u{a0}b"] {
            assert_eq!(
                sign("a\n", name, &Signer::from_seed(&SEED)),
                Err(NoteError::Name),
                "{name:?}"
            );
        }
    }

    #[test]
    fn key_is_written_for_others() {
        let key = verifier_key("example.com/foo", &public_key(&SEED));
        assert!(key.starts_with("example.com/foo+"));
        assert_eq!(
            key.split('+').next().unwrap().len() + 1 + 8 + 1 + 44,
            key.len()
        );
    }
}
