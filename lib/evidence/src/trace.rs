//! Traces: how people tell one another how far a mailbox has come, and nothing
//! of what is in it (smr-envelope(5)).
//!
//! Compares no trace with a mailbox: who has the entries does.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use smr_name::{Address, Head, MailboxName, RepositoryName};
use smr_note::succession::Chain;

use crate::note::{self, NoteError, Signer};
use crate::postmark::Kind;

/// The most that one message or receipt tells.
pub const MAX_TOLD: usize = 64;

/// The trace of a head: 32 bytes that whoever has walked past the head knows
/// again, and from which nobody else learns a number or another head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace([u8; 32]);

impl Trace {
    /// Returns the trace of a head: SHA-256 of `smr trace 1`, a zero byte, and
    /// the head.
    pub fn of(head: &Head) -> Trace {
        let mut hash = Sha256::new();
        hash.update(b"smr trace 1\0");
        hash.update(head.as_bytes());
        Trace(hash.finalize().into())
    }

    /// Reads a trace in its one spelling.
    pub fn parse(text: &str) -> Option<Trace> {
        bytes(text).map(Trace)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Says that a folder had a head once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whose mailbox, with its repository.
    pub address: Address,
    /// Which folder of it, by what lies there.
    pub kind: Kind,
    /// The trace of the head.
    pub trace: Trace,
    /// The repository's signature; none where one tells it of one's own
    /// mailbox, to one's own devices.
    pub signature: Option<[u8; 64]>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.address, self.kind.as_str(), self.trace)?;
        match &self.signature {
            Some(signature) => write!(f, " {}", URL_SAFE_NO_PAD.encode(signature)),
            None => Ok(()),
        }
    }
}

impl Told {
    /// Reads what `Display` writes, in its one spelling.
    pub fn parse(text: &str) -> Option<Told> {
        let mut words = text.split(' ');
        let told = Told {
            address: words.next()?.parse().ok()?,
            kind: Kind::parse(words.next()?)?,
            trace: Trace::parse(words.next()?)?,
            signature: match words.next() {
                Some(signature) => Some(bytes(signature)?),
                None => None,
            },
        };
        (words.next().is_none() && told.to_string() == text).then_some(told)
    }

    /// Tells whether the repository of this chain has signed this, by whichever
    /// of its keys.
    pub fn is_signed_by(&self, chain: &Chain) -> bool {
        let mut keys = chain.keys();
        keys.any(|(key, _)| self.is_signed(chain.name(), key))
    }

    /// Tells whether the repository whose key for postmarks is `public` has
    /// signed this. What it has not is worth nothing: anybody can say it.
    pub fn is_signed(&self, repository: &RepositoryName, public: &[u8; 32]) -> bool {
        let text = text(repository, &self.address.mailbox, self.kind, &self.trace);
        self.address.repository.as_ref() == Some(repository)
            && self
                .signature
                .is_some_and(|signature| note::is_signed(text.as_bytes(), &signature, public))
    }
}

/// Tells whether `told` is what somebody `from` there may tell `to` these
/// people: at most [`MAX_TOLD`] things, each once; of his own mailbox on his
/// own word, of theirs what their repository has signed, in his repository.
pub(crate) fn is_fit<'a>(
    told: &[Told],
    from: &Address,
    to: impl Iterator<Item = &'a Address> + Clone,
) -> bool {
    let fits = |(at, one): (usize, &Told)| {
        let place = |other: &Told| (&other.address, other.kind) == (&one.address, one.kind);
        let first = !told.iter().take(at).any(place);
        let whose = match one.signature {
            None => one.address == *from && one.kind != Kind::Receipt,
            Some(_) => to.clone().any(|a| *a == one.address) && one.kind != Kind::Copy,
        };
        first && whose && one.address.repository == from.repository
    };
    told.len() <= MAX_TOLD && told.iter().enumerate().all(fits)
}

fn key_name(repository: &RepositoryName) -> String {
    format!("{repository}/trace")
}

fn text(repository: &RepositoryName, mailbox: &MailboxName, kind: Kind, trace: &Trace) -> String {
    format!(
        "smr trace 1\nrepository {repository}\nmailbox {mailbox}\nkind {}\ntrace {trace}\n",
        kind.as_str()
    )
}

/// Signs a trace with smrd's postmark key; returns the line that
/// stands in the postmark of the same head.
pub(crate) fn line(
    repository: &RepositoryName,
    mailbox: &MailboxName,
    kind: Kind,
    head: &Head,
    signer: &Signer,
) -> Result<String, NoteError> {
    let text = text(repository, mailbox, kind, &Trace::of(head));
    note::line(&text, &key_name(repository), signer)
}

/// Finds the signature over a trace among the lines of a postmark; an error
/// where it does not verify.
pub(crate) fn signature(
    postmark: &str,
    repository: &RepositoryName,
    mailbox: &MailboxName,
    kind: Kind,
    head: &Head,
    public: &[u8; 32],
) -> Result<Option<[u8; 64]>, NoteError> {
    let text = text(repository, mailbox, kind, &Trace::of(head));
    note::signature_over(postmark, &text, &key_name(repository), public)
}

#[cfg(test)]
mod tests {
    use super::{MAX_TOLD, Told, Trace, is_fit};
    use crate::postmark::Kind;
    use smr_name::{Address, Head};

    fn address(name: &str) -> Address {
        format!("{name}@repo.example").parse().unwrap()
    }

    fn told(name: &str, kind: Kind, signed: bool) -> Told {
        Told {
            address: address(name),
            kind,
            trace: Trace::of(&Head::from_bytes([5; 32])),
            signature: signed.then_some([9; 64]),
        }
    }

    fn fit(told: &[Told]) -> bool {
        let to = [address("ana"), address("eva")];
        is_fit(told, &address("rui"), to.iter())
    }

    #[test]
    fn what_is_told_comes_back() {
        for one in [
            told("ana", Kind::Message, true),
            told("ana", Kind::Receipt, true),
            told("rui", Kind::Copy, false),
        ] {
            assert_eq!(Told::parse(&one.to_string()), Some(one));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = told("ana", Kind::Message, true).to_string();
        let [address, kind, trace, signature] = good.split(' ').collect::<Vec<_>>()[..] else {
            panic!("four words");
        };
        for bad in [
            String::new(),
            format!("{good} "),
            format!("{good} x"),
            format!("{address}  {kind} {trace}"),
            format!("{address} {kind}"),
            format!("{address} parcel {trace} {signature}"),
            format!("ana@ {kind} {trace} {signature}"),
            format!("{address} {kind} {signature} {trace}"),
            format!("{address} {kind} {trace} {}", &signature[1..]),
            format!("{address} {kind} {trace}= {signature}"),
            format!("{address} {kind} 99999999999999999999999 {signature}"),
            // Bits beyond the last byte.
            format!("{address} {kind} {}B {signature}", "A".repeat(42)),
        ] {
            assert_eq!(Told::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn only_fit_things_are_told() {
        let (own, his) = (
            told("rui", Kind::Copy, false),
            told("ana", Kind::Message, true),
        );
        assert!(fit(&[]));
        assert!(fit(&[
            own.clone(),
            his.clone(),
            told("ana", Kind::Receipt, true)
        ]));
        for bad in [
            vec![his.clone(), his.clone()],
            vec![told("ana", Kind::Message, false)],
            vec![told("rui", Kind::Message, true)],
            vec![told("leo", Kind::Message, true)],
            vec![told("ana", Kind::Copy, true)],
            vec![told("rui", Kind::Receipt, false)],
            vec![Told {
                address: "ana@other.example".parse().unwrap(),
                ..his.clone()
            }],
            vec![Told {
                address: "ana".parse().unwrap(),
                ..his
            }],
        ] {
            assert!(!fit(&bad), "{bad:?}");
        }
    }

    #[test]
    fn there_is_a_bound() {
        let to: Vec<Address> = (0..=MAX_TOLD).map(|n| address(&format!("a{n}"))).collect();
        let all: Vec<Told> = to
            .iter()
            .map(|a| told(a.mailbox.as_str(), Kind::Message, true))
            .collect();
        assert!(is_fit(&all[1..], &address("rui"), to.iter()));
        assert!(!is_fit(&all, &address("rui"), to.iter()));
    }

    #[test]
    fn a_trace_tells_heads_apart() {
        let trace = |byte| Trace::of(&Head::from_bytes([byte; 32]));
        assert_eq!(trace(1), trace(1));
        assert_ne!(trace(1), trace(2));
        assert_eq!(Trace::parse(&trace(1).to_string()), Some(trace(1)));
    }
}
