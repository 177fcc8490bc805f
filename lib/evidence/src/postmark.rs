//! Postmarks: smrd's word that a sealed file lies in a mailbox, for good.
//!
//! Says nothing of what is inside; smrd cannot know. The text is a signed
//! note (smr-evidence(7)) and follows from the store's file names, so the
//! same deposit always has the same postmark.

use std::fmt::Write as _;

use smr_name::{Address, Class, Head, MailboxName, MessageId, RepositoryName};
use smr_note::succession::Chain;

use crate::lines::{self, LineError, Lines, hex, hex_text, number, time_text};
use crate::note::{self, NoteError, Signer};
use crate::trace::{self, Told, Trace};

/// Says which folder of the mailbox a file was put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The inbox of an addressee.
    Message,
    /// The folder of sent messages of the sender.
    Copy,
    /// The receipts of the one who sent the message.
    Receipt,
}

/// Holds what a postmark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postmark {
    /// Who says so.
    pub repository: RepositoryName,
    /// Whose mailbox.
    pub mailbox: MailboxName,
    /// Which folder of it.
    pub kind: Kind,
    /// The position in that folder, from 1.
    pub number: u64,
    /// Who deposited it.
    pub sender: MailboxName,
    /// The sender's id for the message; of a receipt, the message it is for.
    pub id: MessageId,
    /// Size of the sealed file in bytes.
    pub size: u64,
    /// SHA-256 of the sealed file.
    pub sha256: [u8; 32],
    /// SHA-256 of the CMS SignedData inside (DER), as the depositor told it.
    pub cms: [u8; 32],
    /// When it was safe on disk, unix seconds.
    pub time: i64,
    /// The head of the folder with it.
    pub head: Head,
}

/// Says why a postmark was not made or not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PostmarkError {
    /// The note does not verify.
    #[error("not a postmark of this repository: {0}")]
    Note(#[from] NoteError),
    /// The signed text is not a postmark.
    #[error("not a postmark: {0}")]
    Text(#[from] LineError),
    /// It is about another repository.
    #[error("the postmark is of repository {0:?}")]
    Repository(String),
    /// It is by keys that were not used any more at its time.
    #[error("the postmark is by keys that had been replaced when it was made")]
    Retired,
    /// A time that cannot be written.
    #[error("the time of the postmark is out of range")]
    Time,
}

impl PostmarkError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            PostmarkError::Time => Class::Broken,
            _ => Class::Untrusted,
        }
    }
}

impl Kind {
    /// Returns the word in the text.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Copy => "copy",
            Kind::Receipt => "receipt",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Kind> {
        [Kind::Message, Kind::Copy, Kind::Receipt]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Returns the name smrd's key has in the signature line.
pub fn key_name(repository: &RepositoryName) -> String {
    format!("{repository}/postmark")
}

/// Signs a postmark with smrd's postmark key; less than 1 KiB.
///
/// What goes to another's folder has a second line, by which the depositor can
/// tell its owner how far it was.
pub fn sign(postmark: &Postmark, signer: &Signer) -> Result<String, PostmarkError> {
    let text = write(postmark).ok_or(PostmarkError::Time)?;
    let line = note::line(&text, &key_name(&postmark.repository), signer)?;
    if postmark.kind == Kind::Copy {
        return Ok(format!("{text}\n{line}\n"));
    }
    let told = trace::line(
        &postmark.repository,
        &postmark.mailbox,
        postmark.kind,
        &postmark.head,
        signer,
    )?;
    Ok(format!("{text}\n{told}\n{line}\n"))
}

/// Returns what a postmark lets its holder tell the owner of the mailbox: its
/// head's trace, with smrd's signature; none where smrd gave no such line.
/// `note` is what `postmark` was opened from.
pub fn told_by(
    note: &str,
    postmark: &Postmark,
    chain: &Chain,
) -> Result<Option<Told>, PostmarkError> {
    for (key, _) in chain.keys() {
        if let Some(told) = told(note, postmark, key)? {
            return Ok(Some(told));
        }
    }
    Ok(None)
}

/// The same, by one key.
pub fn told(
    note: &str,
    postmark: &Postmark,
    public: &[u8; 32],
) -> Result<Option<Told>, PostmarkError> {
    let signature = trace::signature(
        note,
        &postmark.repository,
        &postmark.mailbox,
        postmark.kind,
        &postmark.head,
        public,
    )?;
    Ok(signature.map(|signature| Told {
        address: Address {
            mailbox: postmark.mailbox.clone(),
            repository: Some(postmark.repository.clone()),
        },
        kind: postmark.kind,
        trace: Trace::of(&postmark.head),
        signature: Some(signature),
    }))
}

/// Opens a postmark signed by `public`, the postmark key of `repository`.
pub fn open(
    text: &str,
    public: &[u8; 32],
    repository: &RepositoryName,
) -> Result<Postmark, PostmarkError> {
    let postmark = read(note::open(text, &key_name(repository), public)?)?;
    if postmark.repository != *repository {
        return Err(PostmarkError::Repository(postmark.repository.to_string()));
    }
    Ok(postmark)
}

/// Opens a postmark by the keys of its repository, which whoever asks must have
/// from elsewhere: the present ones, or earlier ones as long as they were in
/// use.
pub fn open_by(text: &str, chain: &Chain) -> Result<Postmark, PostmarkError> {
    let mut unsigned = None;
    for (key, until) in chain.keys() {
        match open(text, key, chain.name()) {
            Err(error @ PostmarkError::Note(NoteError::Unsigned(_))) => unsigned = Some(error),
            Ok(postmark) if until.is_some_and(|until| postmark.time > until) => {
                return Err(PostmarkError::Retired);
            }
            opened => return opened,
        }
    }
    Err(unsigned.unwrap_or(PostmarkError::Retired))
}

/// Returns which repository a text says to be a postmark of; nothing of it is
/// verified, and none where it is no postmark.
pub fn repository_in(text: &str) -> Option<RepositoryName> {
    let mut lines = Lines::new(text);
    lines
        .parsed("smr postmark", |v| (v == "1").then_some(()))
        .ok()?;
    lines.parsed("repository", |v| v.parse().ok()).ok()
}

fn write(postmark: &Postmark) -> Option<String> {
    let mut text = String::from("smr postmark 1\n");
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key} {value}");
    };
    line("repository", &postmark.repository);
    line("mailbox", &postmark.mailbox);
    line("kind", &postmark.kind.as_str());
    line("number", &postmark.number);
    line("sender", &postmark.sender);
    line("id", &postmark.id);
    line("size", &postmark.size);
    line("sha256", &hex_text(&postmark.sha256));
    line("cms", &hex_text(&postmark.cms));
    line("time", &time_text(postmark.time)?);
    line("head", &hex_text(postmark.head.as_bytes()));
    Some(text)
}

fn read(text: &str) -> Result<Postmark, LineError> {
    let mut lines = Lines::new(text);
    lines.parsed("smr postmark", |v| (v == "1").then_some(()))?;
    let postmark = Postmark {
        repository: lines.parsed("repository", |v| v.parse().ok())?,
        mailbox: lines.parsed("mailbox", |v| v.parse().ok())?,
        kind: lines.parsed("kind", Kind::parse)?,
        number: lines.parsed("number", number)?,
        sender: lines.parsed("sender", |v| v.parse().ok())?,
        id: lines.parsed("id", |v| v.parse().ok())?,
        size: lines.parsed("size", number)?,
        sha256: lines.parsed("sha256", hex)?,
        cms: lines.parsed("cms", hex)?,
        time: lines.parsed("time", lines::time)?,
        head: Head::from_bytes(lines.parsed("head", hex)?),
    };
    lines.finish()?;
    Ok(postmark)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Postmark, PostmarkError, key_name, open, open_by};
    use super::{repository_in, sign, told, told_by};
    use crate::lines::LineError;
    use crate::note::{self, NoteError, Signer};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use smr_name::{Class, Head};
    use smr_note::succession::Chain;

    const SEED: [u8; 32] = [3; 32];

    fn signer() -> Signer {
        Signer::from_seed(&SEED)
    }

    fn postmark() -> Postmark {
        Postmark {
            repository: "repo.example".parse().unwrap(),
            mailbox: "rui".parse().unwrap(),
            kind: Kind::Message,
            number: 7,
            sender: "ana".parse().unwrap(),
            id: "00ff0123456789abcdef0123456789ab".parse().unwrap(),
            size: 5321,
            sha256: [1; 32],
            cms: [2; 32],
            time: 1_800_000_000,
            head: Head::from_bytes([3; 32]),
        }
    }

    #[test]
    fn postmarks_come_back() {
        let public = note::public_key(&SEED);
        for kind in [Kind::Message, Kind::Copy, Kind::Receipt] {
            let postmark = Postmark { kind, ..postmark() };
            let text = sign(&postmark, &signer()).unwrap();
            assert!(text.len() < 1024);
            assert_eq!(
                open(&text, &public, &postmark.repository),
                Ok(postmark.clone())
            );
            let told = told(&text, &postmark, &public).unwrap();
            assert_eq!(told.is_some(), kind != Kind::Copy);
        }
    }

    #[test]
    fn text_is_the_one_specified() {
        let text = sign(&postmark(), &signer()).unwrap();
        let expected = format!(
            "smr postmark 1\nrepository repo.example\nmailbox rui\nkind message\nnumber 7\n\
             sender ana\nid 00ff0123456789abcdef0123456789ab\nsize 5321\nsha256 {}\ncms {}\n\
             time 2027-01-15T08:00:00Z\nhead {}\n\n\u{2014} repo.example/postmark ",
            "01".repeat(32),
            "02".repeat(32),
            "03".repeat(32)
        );
        let (before, line) = text.rsplit_once("\u{2014} ").unwrap();
        let (before, told) = before.rsplit_once("\u{2014} ").unwrap();
        assert!(told.starts_with("repo.example/trace "), "{text}");
        let plain = format!("{before}\u{2014} {line}");
        assert!(plain.starts_with(&expected), "{text}");
    }

    #[test]
    fn what_it_lets_one_tell_is_of_this_head_and_signed() {
        let (text, public) = (
            sign(&postmark(), &signer()).unwrap(),
            note::public_key(&SEED),
        );
        let mut one = told(&text, &postmark(), &public).unwrap().unwrap();
        assert!(one.is_signed(&postmark().repository, &public));
        assert!(!one.is_signed(&"other.example".parse().unwrap(), &public));
        assert!(!one.is_signed(&postmark().repository, &note::public_key(&[4; 32])));
        let other = Postmark {
            head: Head::from_bytes([4; 32]),
            ..postmark()
        };
        assert!(told(&text, &other, &public).is_err());
        one.kind = Kind::Receipt;
        assert!(!one.is_signed(&postmark().repository, &public));
        // Older ones have no such line.
        let body = text.split_once("\n\n").unwrap().0.to_owned() + "\n";
        let older = note::sign(&body, &key_name(&postmark().repository), &signer()).unwrap();
        assert_eq!(told(&older, &postmark(), &public), Ok(None));
    }

    #[test]
    fn keys_that_were_replaced_verify_what_they_signed_in_their_time() {
        let document = |seed: &[u8; 32]| {
            let key = STANDARD.encode(note::public_key(seed));
            format!("smr identity 1\nname repo.example\npostmark {key}\n")
        };
        let mut chain = Chain::parse(&document(&SEED)).unwrap();
        let text = sign(&postmark(), &signer()).unwrap();
        let (next, time) = ([4; 32], postmark().time);
        let key = Signer::from_seed(&next);
        chain
            .succeed(&document(&next), time, &signer(), &key)
            .unwrap();
        assert_eq!(open_by(&text, &chain), Ok(postmark()));
        let told = told_by(&text, &postmark(), &chain).unwrap().unwrap();
        assert!(told.is_signed_by(&chain));
        let at = |time| Postmark { time, ..postmark() };
        let last = sign(&at(time + 86_400), &signer()).unwrap();
        assert_eq!(open_by(&last, &chain), Ok(at(time + 86_400)));
        let late = at(time + 86_401);
        let by = |seed| open_by(&sign(&late, &Signer::from_seed(seed)).unwrap(), &chain);
        assert_eq!(by(&next), Ok(late.clone()));
        assert_eq!(by(&SEED), Err(PostmarkError::Retired));
        assert!(matches!(
            by(&[5; 32]),
            Err(PostmarkError::Note(NoteError::Unsigned(_)))
        ));
    }

    #[test]
    fn a_text_says_of_which_repository_it_would_be() {
        let text = sign(&postmark(), &signer()).unwrap();
        assert_eq!(repository_in(&text), Some(postmark().repository));
        for other in [
            "",
            "smr postmark 2\nrepository repo.example\n",
            "smr postmark 1\nmailbox rui\n",
            "smr postmark 1\nrepository ../repo\n",
        ] {
            assert_eq!(repository_in(other), None, "{other}");
        }
    }

    #[test]
    fn other_keys_and_repositories_are_refused() {
        let text = sign(&postmark(), &signer()).unwrap();
        let repository = postmark().repository;
        let error = open(&text, &note::public_key(&[4; 32]), &repository).unwrap_err();
        assert_eq!(error.class(), Class::Untrusted);
        let other = "other.example".parse().unwrap();
        assert!(matches!(
            open(&text, &note::public_key(&SEED), &other),
            Err(PostmarkError::Note(NoteError::Unsigned(_)))
        ));
        // A key used under a second name cannot lend its word to the first.
        let body = text.split_once("\n\n").unwrap().0.to_owned() + "\n";
        let lent = note::sign(&body, &key_name(&other), &signer()).unwrap();
        assert!(matches!(
            open(&lent, &note::public_key(&SEED), &other),
            Err(PostmarkError::Repository(_))
        ));
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = sign(&postmark(), &signer()).unwrap();
        let body = text.split_once("\n\n").unwrap().0.to_owned() + "\n";
        let repository = postmark().repository;
        for (from, to) in [
            ("number 7", "number 07"),
            ("kind message", "kind parcel"),
            ("size 5321\n", ""),
            ("postmark 1", "postmark 2"),
            ("08:00:00Z", "08:00:00+00:00"),
            ("head ", "extra 1\nhead "),
        ] {
            let note =
                note::sign(&body.replace(from, to), &key_name(&repository), &signer()).unwrap();
            assert!(
                matches!(
                    open(&note, &note::public_key(&SEED), &repository),
                    Err(PostmarkError::Text(_))
                ),
                "{to:?}"
            );
        }
        let longer = note::sign(&(body + "more 1\n"), &key_name(&repository), &signer()).unwrap();
        assert_eq!(
            open(&longer, &note::public_key(&SEED), &repository),
            Err(PostmarkError::Text(LineError::End))
        );
    }

    #[test]
    fn unwritable_times_are_refused() {
        let postmark = Postmark {
            time: i64::MAX,
            ..postmark()
        };
        let error = sign(&postmark, &signer()).unwrap_err();
        assert_eq!(error, PostmarkError::Time);
        // Our own clock's fault; all else is the repository's.
        assert_eq!(error.class(), Class::Broken);
        assert_eq!(PostmarkError::Retired.class(), Class::Untrusted);
    }
}
