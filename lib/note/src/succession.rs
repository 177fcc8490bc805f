//! Succession: how the keys of a repository follow one another, each named and
//! signed by the ones before (smr-session(7), SUCCESSION).
//!
//! Knows of an identity document only its name and its key for postmarks; asks
//! nobody, keeps nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smr_name::{Class, Fingerprint, RepositoryName};

use crate::key::Signer;
use crate::lines::{LineError, Lines, number, time, time_text};
use crate::note::{self, NoteError};

/// The longest chain taken, in bytes: about a hundred successions.
pub const MAX_CHAIN: usize = 256 * 1024;

/// How long after their succession postmarks by the old keys still count, in
/// seconds: clocks are set back now and then.
const GRACE: i64 = 86_400;

const DOCUMENT: &str = "smr identity 1\n";
const TITLE: &str = "smr succession 1\n";

/// Says why a chain of identities is not believed, or not made longer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SuccessionError {
    /// It does not begin with an identity document, or is too long.
    #[error("not a chain of identities")]
    Damaged,
    /// A line of a succession is not what it should be.
    #[error("succession {0}: {1}")]
    Line(u64, LineError),
    /// A signature does not verify.
    #[error("succession {0}: {1}")]
    Signature(u64, NoteError),
    /// It stands elsewhere than it says.
    #[error("succession {number} says that it is number {found}")]
    Number {
        /// Where it stands.
        number: u64,
        /// What it says.
        found: u64,
    },
    /// It follows other keys than the ones before it.
    #[error("succession {0} follows other keys than those before it")]
    Other(u64),
    /// It names the keys of another repository, or none.
    #[error("succession {0} names no keys of this repository")]
    Repository(u64),
    /// It is older than the one before.
    #[error("succession {0} is older than the one before it")]
    Time(u64),
    /// One more does not fit.
    #[error("the chain of identities is as long as it may be")]
    Full,
}

impl SuccessionError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            SuccessionError::Full => Class::CannotCreate,
            _ => Class::Untrusted,
        }
    }
}

/// One set of keys in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The identity document.
    pub document: String,
    /// From when it holds, unix seconds; none for the first.
    pub since: Option<i64>,
    /// The key that verifies its postmarks.
    pub postmark: [u8; 32],
    /// What named it, signed; none for the first.
    note: Option<String>,
}

impl Link {
    /// Returns what people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.document.as_bytes())
    }

    /// Returns the note that named it; none for the first.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

/// The identities of a repository from the first that is known to the present
/// one; every succession in it has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    name: RepositoryName,
    // Never empty.
    links: Vec<Link>,
}

/// How another's chain stands to one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It ends where one's own does.
    Same,
    /// It goes on from there.
    Newer,
    /// It ends before.
    Older,
    /// It went another way, from keys that are one's own.
    Forked {
        /// Where one's own chain has another link.
        mine: usize,
        /// Where the other chain has.
        theirs: usize,
    },
    /// It never had these keys.
    Foreign,
}

/// Reads name and key for postmarks from an identity document; its other keys
/// are the channel's and mean nothing here.
pub fn key_in(identity: &str) -> Option<(RepositoryName, [u8; 32])> {
    identity.starts_with(DOCUMENT).then_some(())?;
    let value = |key: &str| {
        let mut found = identity
            .lines()
            .filter_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        let value = found.next()?;
        found.next().is_none().then_some(value)
    };
    let key = STANDARD.decode(value("postmark")?).ok()?;
    Some((value("name")?.parse().ok()?, key.try_into().ok()?))
}

fn key_name(repository: &RepositoryName) -> String {
    format!("{repository}/succession")
}

impl Chain {
    /// Reads a chain: an identity document, and after it each succession, in
    /// order; a lone document is a chain of one. Verifies all of it, each
    /// succession by the keys before it and by its own.
    pub fn parse(text: &str) -> Result<Chain, SuccessionError> {
        if text.len() > MAX_CHAIN {
            return Err(SuccessionError::Damaged);
        }
        let mut parts = split(text).into_iter();
        let first = parts.next().ok_or(SuccessionError::Damaged)?;
        let (name, postmark) = key_in(first).ok_or(SuccessionError::Damaged)?;
        let mut chain = Chain {
            name,
            links: vec![Link {
                document: first.to_owned(),
                since: None,
                postmark,
                note: None,
            }],
        };
        for note in parts {
            let link = chain.read(note)?;
            chain.links.push(link);
        }
        Ok(chain)
    }

    /// Makes the chain longer by the identity `document`, whose key for
    /// postmarks is `new`; `old` is that of the present one. It holds
    /// from `now` on, unix seconds, and not before the one before it.
    pub fn succeed(
        &mut self,
        document: &str,
        now: i64,
        old: &Signer,
        new: &Signer,
    ) -> Result<(), SuccessionError> {
        let number = self.number() + 1;
        let time = self.tip().since.map_or(now, |since| since.max(now));
        let text = format!(
            "{TITLE}number {number}\nfollows {}\ntime {}\n{document}",
            self.tip().fingerprint(),
            time_text(time).ok_or(SuccessionError::Time(number))?,
        );
        let signed = |error| SuccessionError::Signature(number, error);
        let name = key_name(&self.name);
        let (by_old, by_new) = (note::line(&text, &name, old), note::line(&text, &name, new));
        let note = format!(
            "{text}\n{}\n{}\n",
            by_old.map_err(signed)?,
            by_new.map_err(signed)?
        );
        if self.to_string().len() + note.len() > MAX_CHAIN {
            return Err(SuccessionError::Full);
        }
        // Read as everybody will: what does not verify is never published.
        let link = self.read(&note)?;
        self.links.push(link);
        Ok(())
    }

    fn read(&self, note: &str) -> Result<Link, SuccessionError> {
        let due = self.number() + 1;
        let line = |error| SuccessionError::Line(due, error);
        let body = note.strip_prefix(TITLE).ok_or(SuccessionError::Damaged)?;
        let at = body
            .find(DOCUMENT)
            .ok_or(SuccessionError::Repository(due))?;
        let (head, rest) = body.split_at(at);
        let mut lines = Lines::new(head);
        let found = lines.parsed("number", number).map_err(line)?;
        let follows = lines.field("follows").map_err(line)?;
        let since = lines.parsed("time", time).map_err(line)?;
        lines.finish().map_err(line)?;
        let document = rest.split_once("\n\n").map(|(document, _)| document);
        let document = format!("{}\n", document.ok_or(SuccessionError::Damaged)?);
        let keys = key_in(&document).filter(|(name, _)| *name == self.name);
        let (_, postmark) = keys.ok_or(SuccessionError::Repository(due))?;
        // The old keys name the new ones, and the new ones stand by it: nobody
        // can be given another's keys for successor.
        for key in [&self.tip().postmark, &postmark] {
            note::open(note, &key_name(&self.name), key)
                .map_err(|error| SuccessionError::Signature(due, error))?;
        }
        if found != due {
            return Err(SuccessionError::Number { number: due, found });
        }
        if follows != self.tip().fingerprint().to_string() {
            return Err(SuccessionError::Other(due));
        }
        if self.tip().since.is_some_and(|before| since < before) {
            return Err(SuccessionError::Time(due));
        }
        Ok(Link {
            document,
            since: Some(since),
            postmark,
            note: Some(note.to_owned()),
        })
    }

    /// Returns whose it is.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Returns all identities, the first first.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Returns the present identity.
    pub fn tip(&self) -> &Link {
        self.links.last().expect("a chain has a first link")
    }

    /// Returns how many successions there were.
    pub fn number(&self) -> u64 {
        self.links.len() as u64 - 1
    }

    /// Returns the time after which nothing is believed of the keys at `at`.
    fn until(&self, at: usize) -> Option<i64> {
        let since = self.links.get(at + 1).and_then(|next| next.since);
        since.map(|since| since.saturating_add(GRACE))
    }

    /// Returns every key for postmarks, the present one first, each with the
    /// time after which a postmark of it does not count, unix seconds.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8; 32], Option<i64>)> {
        let all = self.links.iter().enumerate().rev();
        all.map(|(at, link)| (&link.postmark, self.until(at)))
    }

    /// Tells whether these keys are, or were, the repository's.
    pub fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.links.iter().any(|l| l.fingerprint() == *fingerprint)
    }

    /// Tells how `other` stands to this chain, which is one's own.
    pub fn compare(&self, other: &Chain) -> Standing {
        let same = |mine: &Link, theirs: &Link| mine.document == theirs.document;
        let mine = self.links.first().expect("a chain has a first link");
        let Some(start) = other.links.iter().position(|link| same(mine, link)) else {
            return Standing::Foreign;
        };
        let theirs = other.links.get(start..).unwrap_or_default();
        let differ = self.links.iter().zip(theirs).position(|(m, t)| !same(m, t));
        match differ {
            Some(mine) => Standing::Forked {
                mine,
                theirs: start + mine,
            },
            None if theirs.len() > self.links.len() => Standing::Newer,
            None if theirs.len() < self.links.len() => Standing::Older,
            None => Standing::Same,
        }
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.links
            .iter()
            .try_for_each(|link| f.write_str(link.note.as_ref().unwrap_or(&link.document)))
    }
}

/// Splits a chain before the title of each succession.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(&format!("\n{TITLE}")) {
        let (part, next) = rest.split_at(at + 1);
        parts.push(part);
        rest = next;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::public_key;

    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&[seed; 32])
    }

    const NOW: i64 = 1_800_000_000;

    fn document(name: &str, seed: u8) -> String {
        let key = STANDARD.encode(public_key(&[seed; 32]));
        format!(
            "{DOCUMENT}name {name}\nx25519 {seed}\nmlkem768 {seed}\nwarrant {seed}\npostmark {key}\n"
        )
    }

    /// The chain through keys of these seeds.
    fn chain(seeds: &[u8]) -> Chain {
        let mut chain = Chain::parse(&document("repo.example", seeds[0])).unwrap();
        for pair in seeds.windows(2) {
            let (old, new) = (signer(pair[0]), signer(pair[1]));
            let next = document("repo.example", pair[1]);
            let now = NOW + i64::from(pair[1]);
            chain.succeed(&next, now, &old, &new).unwrap();
        }
        chain
    }

    #[test]
    fn a_chain_comes_back_and_knows_its_keys() {
        let made = chain(&[1, 2, 3]);
        let text = made.to_string();
        assert_eq!(Chain::parse(&text).unwrap(), made);
        assert_eq!((made.number(), made.name().as_str()), (2, "repo.example"));
        assert_eq!(made.tip().document, document("repo.example", 3));
        let keys: Vec<_> = made.keys().map(|(key, until)| (*key, until)).collect();
        let key = |seed: u8| public_key(&[seed; 32]);
        let until = [None, Some(NOW + 3 + GRACE), Some(NOW + 2 + GRACE)];
        assert_eq!(
            keys,
            [(key(3), until[0]), (key(2), until[1]), (key(1), until[2])]
        );
        let first = Fingerprint::of(document("repo.example", 1).as_bytes());
        assert!(made.has(&first) && !made.has(&Fingerprint::of(b"x")));
        assert_eq!(
            Chain::parse(&document("repo.example", 1)).unwrap().number(),
            0
        );
    }

    #[test]
    fn chains_are_compared_by_the_keys_in_them() {
        let mine = chain(&[1, 2]);
        let of = |seeds: &[u8]| mine.compare(&chain(seeds));
        assert_eq!(of(&[1, 2]), Standing::Same);
        assert_eq!(of(&[1, 2, 3, 4]), Standing::Newer);
        assert_eq!(of(&[1]), Standing::Older);
        assert_eq!(of(&[1, 3]), Standing::Forked { mine: 1, theirs: 1 });
        assert_eq!(of(&[9, 1, 3]), Standing::Forked { mine: 1, theirs: 2 });
        assert_eq!(of(&[9, 1, 2, 3]), Standing::Newer);
        assert_eq!(of(&[9]), Standing::Foreign);
        // One who was told the second keys only.
        let late = Chain::parse(&document("repo.example", 2)).unwrap();
        assert_eq!(late.compare(&chain(&[1, 2])), Standing::Same);
        assert_eq!(late.compare(&chain(&[1, 3])), Standing::Foreign);
    }

    #[test]
    fn false_successions_are_refused() {
        let good = chain(&[1, 2]).to_string();
        let cases = [
            String::new(),
            good.replace("smr identity 1", "smr identity 2"),
            good.replace("number 1", "number 2"),
            good.replace("number 1", "number 01"),
            good.replace("follows SHA256:", "follows SHA256:A"),
            good.replace("time 2027", "time 2026"),
            good.replacen("name repo.example", "name other.example", 1),
            good.replace("warrant 2", "warrant 3"),
            good.replace("\n\n", "\n"),
            format!("{good}\n"),
            format!("{good}{}", &good[good.find(TITLE).unwrap()..]),
            good[..good.len() - 1].to_owned(),
        ];
        for case in cases {
            let error = Chain::parse(&case).unwrap_err();
            assert_eq!(error.class(), Class::Untrusted, "{case}");
        }
        // Without the line of the new keys, or of the old ones.
        let lines: Vec<&str> = good.lines().collect();
        for left_out in [1, 2] {
            let mut lines = lines.clone();
            lines.remove(lines.len() - left_out);
            let error = Chain::parse(&(lines.join("\n") + "\n")).unwrap_err();
            assert!(matches!(
                error,
                SuccessionError::Signature(1, NoteError::Unsigned(_))
            ));
        }
    }

    #[test]
    fn nothing_false_is_made() {
        let next = |name: &str| document(name, 2);
        let make = |document: &str, old, new| {
            chain(&[1]).succeed(document, NOW, &signer(old), &signer(new))
        };
        assert_eq!(make(&next("repo.example"), 1, 2), Ok(()));
        assert!(make(&next("repo.example"), 3, 2).is_err());
        assert!(make(&next("repo.example"), 1, 3).is_err());
        assert_eq!(
            make(&next("other.example"), 1, 2),
            Err(SuccessionError::Repository(1))
        );
        // A clock that was set back.
        let mut two = chain(&[1, 2]);
        two.succeed(&document("repo.example", 3), 0, &signer(2), &signer(3))
            .unwrap();
        assert_eq!(two.tip().since, Some(NOW + 2));
    }

    #[test]
    fn a_chain_has_an_end() {
        let mut chain = chain(&[1]);
        let next = document("repo.example", 1);
        let full = (0..1000).find_map(|_| chain.succeed(&next, NOW, &signer(1), &signer(1)).err());
        assert_eq!(full, Some(SuccessionError::Full));
        assert_eq!(Chain::parse(&chain.to_string()).unwrap(), chain);
        assert_eq!(SuccessionError::Full.class(), Class::CannotCreate);
    }
}
