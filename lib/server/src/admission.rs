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

/// Matches a whole text; `*` stands for any run of characters.
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
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or("");
    }
    true
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
