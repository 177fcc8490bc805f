//! Who may enrol: everybody, nobody, or those on a list.
//!
//! Decides nothing about cards; a person on the list still has to prove who
//! he is.

use std::io;
use std::path::{Path, PathBuf};

use smr_name::{Class, MailboxName};

use crate::config::Policy;

/// Says why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The file cannot be read.
    #[error("cannot read \"{}\": {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A line is neither a name nor a pattern.
    #[error(
        "\"{}\" line {line}: expected NAME, a pattern like \"CN=*,O=Example,C=PT\", or both",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl AdmissionError {
    /// Returns the class: configuration.
    pub fn class(&self) -> Class {
        Class::Config
    }
}

/// The policy, with its list read.
#[derive(Clone, Debug)]
pub(crate) enum Admission {
    Open,
    Closed,
    List(Vec<Place>),
}

/// One line of the list: under what name, for whom; none is any.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    name: Option<MailboxName>,
    person: Option<String>,
}

impl Admission {
    /// Reads the list, where the policy has one.
    pub(crate) fn load(policy: &Policy) -> Result<Admission, AdmissionError> {
        match policy {
            Policy::Open => Ok(Admission::Open),
            Policy::Closed => Ok(Admission::Closed),
            Policy::AllowList(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| AdmissionError::Read {
                        path: path.clone(),
                        source,
                    })?;
                parse(&text, path).map(Admission::List)
            }
        }
    }

    /// Tells whether somebody with this subject may open the account `name`.
    pub(crate) fn admits(&self, name: &MailboxName, subject: &str) -> bool {
        match self {
            Admission::Open => true,
            Admission::Closed => false,
            Admission::List(places) => places.iter().any(|p| p.admits(name, subject)),
        }
    }
}

fn parse(text: &str, path: &Path) -> Result<Vec<Place>, AdmissionError> {
    let mut places = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        places.push(Place::read(line).ok_or_else(|| AdmissionError::Line {
            path: path.to_owned(),
            line: number + 1,
        })?);
    }
    Ok(places)
}

impl Place {
    fn read(line: &str) -> Option<Place> {
        let (first, rest) = match line.split_once(char::is_whitespace) {
            Some((first, rest)) => (first, rest.trim_start()),
            None => (line, ""),
        };
        // No mailbox name holds "=", and every pattern must: a misspelt name
        // admits nobody by accident.
        let (name, person) = match first.parse::<MailboxName>() {
            Ok(name) => (Some(name), rest),
            Err(_) => (None, line),
        };
        match person {
            "" => Some(Place { name, person: None }),
            pattern if pattern.contains('=') => Some(Place {
                name,
                person: Some(pattern.to_owned()),
            }),
            _ => None,
        }
    }

    fn admits(&self, name: &MailboxName, subject: &str) -> bool {
        self.name.as_ref().is_none_or(|n| n == name)
            && self.person.as_ref().is_none_or(|p| matches(p, subject))
    }
}

/// Matches a whole text (RFC 4514); `*` stands for any run of characters, and
/// no character is matched without the backslash before it: the comma within a
/// name that its holder chose is not the one between two.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest
                .strip_suffix(piece)
                .is_some_and(|before| piece.is_empty() || is_whole(before));
        }
        let fits = |at: &usize| {
            let parts = rest.split_at_checked(*at);
            parts.is_some_and(|(before, after)| is_whole(before) && after.starts_with(piece))
        };
        let Some(at) = (0..=rest.len()).find(fits) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or("");
    }
    true
}

/// Tells whether a text does not end in the middle of an escape.
fn is_whole(text: &str) -> bool {
    let backslashes = text.bytes().rev().take_while(|b| *b == b'\\').count();
    backslashes.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::{Admission, matches, parse};
    use std::path::Path;

    const LIST: &str = "# staff\n\nrui\n  CN=*,O=Example,C=PT\nana serialNumber=BI2*\n";

    fn admits(name: &str, subject: &str) -> bool {
        let list = Admission::List(parse(LIST, Path::new("allow")).unwrap());
        list.admits(&name.parse().unwrap(), subject)
    }

    #[test]
    fn names_patterns_and_pairs_admit() {
        assert!(admits("rui", "CN=Anyone"));
        assert!(admits("whatever", "CN=Ana,O=Example,C=PT"));
        assert!(admits("ana", "serialNumber=BI22,C=PT"));
    }

    #[test]
    fn others_are_not_admitted() {
        assert!(!admits("rui2", "CN=Anyone"));
        assert!(!admits("eve", "CN=Eve,O=Other,C=PT"));
        assert!(!admits("eve", "CN=Eve,O=Example,C=PT,X=1"));
        assert!(!admits("ana", "serialNumber=BI33,C=PT"));
        assert!(!admits("eve", "serialNumber=BI22,C=PT"));
        assert!(!Admission::Closed.admits(&"rui".parse().unwrap(), "CN=x"));
    }

    #[test]
    fn names_with_commas_in_them_admit_nobody_else() {
        for (pattern, own, chosen) in [
            ("CN=*,C=PT", "CN=Eve,C=PT", r"CN=Eve\,C=PT"),
            ("CN=*,C=PT", r"CN=Eve\\,C=PT", r"CN=Eve\\\,C=PT"),
            ("*,O=A,*", "CN=Eve,O=A,C=PT", r"CN=Eve\,O=A,C=PT"),
            ("CN=Ana*,C=PT", r"CN=Ana\, Dr.,C=PT", r"CN=Ana\,C=PT"),
        ] {
            assert!(matches(pattern, own), "{pattern} {own}");
            assert!(!matches(pattern, chosen), "{pattern} {chosen}");
        }
        // Looked for further on.
        assert!(matches("*,O=A,*", r"CN=x\,O=A,O=A,C=PT"));
    }

    #[test]
    fn lines_that_mean_nothing_are_refused() {
        for text in ["Rui", "rui silva", "../x", "rui\n*\n"] {
            assert!(parse(text, Path::new("allow")).is_err(), "{text}");
        }
    }

    #[test]
    fn stars_match_runs() {
        for (pattern, text) in [
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("*", ""),
            ("a*b*c", "aXbYbc"),
            ("a", "a"),
            ("*ab", "aab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*c", "abd"),
            ("a", "ab"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
