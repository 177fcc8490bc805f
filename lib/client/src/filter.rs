//! Which messages of a listing are wanted.
//!
//! Asks nobody: what a message says of itself here is not verified.

use smr_name::{Address, MailboxName};

use crate::glob::glob;
use crate::listing::{Line, Progress, State};

/// What a message must be like to be listed; all of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Deposited by this mailbox.
    pub from: Option<Address>,
    /// Addressed to this mailbox, in To or Cc.
    pub to: Option<Address>,
    /// With this in its subject.
    pub subject: Option<String>,
    /// Deposited at this time or later, unix seconds.
    pub since: Option<i64>,
    /// Deposited before this time, unix seconds.
    pub before: Option<i64>,
    /// With this in its id, sender, addressees or subject.
    pub pattern: Option<String>,
}

impl Filter {
    /// Tells whether it looks at headers, which cost a look into each message.
    pub fn needs_headers(&self) -> bool {
        self.to.is_some() || self.subject.is_some() || self.pattern.is_some()
    }

    /// Tells whether a message is wanted.
    pub fn keeps(&self, line: &Line) -> bool {
        let name = &line.entry.name;
        self.since.is_none_or(|since| name.time >= since)
            && self.before.is_none_or(|before| name.time < before)
            && self.from.as_ref().is_none_or(|m| m.mailbox == name.sender)
            && self.to.as_ref().is_none_or(|to| is_to(line, to))
            && self.subject.as_ref().is_none_or(|text| {
                let headers = line.headers.as_ref();
                headers.is_some_and(|h| has(text, &h.subject))
            })
            && self.pattern.as_ref().is_none_or(|text| fits(line, text))
    }

    /// Tells whether a user is wanted, by name and person.
    pub fn keeps_user(&self, name: &MailboxName, person: Option<&str>) -> bool {
        let texts = [Some(name.as_str()), person];
        let fits = |text: &str| texts.iter().flatten().any(|field| has(text, field));
        self.pattern.as_deref().is_none_or(fits)
    }
}

/// Tells whether a message waits to be read: in the inbox by its owner, in the
/// sent folder by some addressee.
pub fn is_unread(state: State, sent: Option<&[(MailboxName, Progress)]>) -> bool {
    match sent {
        None => state != State::Read,
        Some(states) => states.iter().any(|(_, p)| *p != Progress::Read),
    }
}

fn is_to(line: &Line, to: &Address) -> bool {
    let same = |a: &Address| {
        a.mailbox == to.mailbox && (to.repository.is_none() || a.repository == to.repository)
    };
    let headers = line.headers.as_ref();
    headers.is_some_and(|h| h.addressees().any(same))
}

fn fits(line: &Line, text: &str) -> bool {
    let name = &line.entry.name;
    if has(text, &name.id.to_string()) || has(text, name.sender.as_str()) {
        return true;
    }
    let headers = line.headers.as_ref();
    headers
        .is_some_and(|h| has(text, &h.subject) || h.addressees().any(|a| has(text, &a.to_string())))
}

/// Tells whether a field has a text in it, or with `*` or `?` in the text, is
/// all of it; upper and lower case are alike.
fn has(text: &str, field: &str) -> bool {
    let (text, field) = (text.to_lowercase(), field.to_lowercase());
    match text.contains(['*', '?']) {
        true => glob(&text, &field),
        false => field.contains(&text),
    }
}

#[cfg(test)]
mod tests {
    use smr_name::{EntryName, MessageId};

    use super::*;
    use crate::listing::{Entry, Shown};

    fn line() -> Line {
        let id = MessageId::from_bytes([0xab; 16]);
        let address = |text: &str| text.parse::<Address>().unwrap();
        Line {
            entry: Entry {
                name: EntryName {
                    number: 1,
                    time: 1000,
                    id,
                    sender: "ana".parse().unwrap(),
                    size: 4,
                    sha256: [1; 32],
                    cms: [2; 32],
                },
                state: State::New,
                peek_len: 0,
            },
            headers: Some(Shown {
                to: vec![address("rui@repo.example")],
                cc: vec![address("eva@repo.example")],
                subject: "Relatório de Março".into(),
            }),
        }
    }

    fn keeps(set: impl FnOnce(&mut Filter)) -> bool {
        let mut filter = Filter::default();
        set(&mut filter);
        filter.keeps(&line())
    }

    #[test]
    fn what_is_wanted_is_kept() {
        assert!(keeps(|_| {}));
        assert!(keeps(|f| f.from = "ana".parse().ok()));
        assert!(keeps(|f| f.to = "eva".parse().ok()));
        assert!(keeps(|f| f.to = "rui@repo.example".parse().ok()));
        assert!(keeps(|f| f.since = Some(1000)));
        assert!(keeps(|f| f.before = Some(1001)));
        for text in ["relatÓRIO", "de", "*março", "Relat?rio*"] {
            assert!(keeps(|f| f.subject = Some(text.into())), "{text}");
        }
        for text in ["ABAB", "ana", "eva@repo", "março", "rui@*"] {
            assert!(keeps(|f| f.pattern = Some(text.into())), "{text}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_not() {
        assert!(!keeps(|f| f.from = "rui".parse().ok()));
        assert!(!keeps(|f| f.to = "ana".parse().ok()));
        assert!(!keeps(|f| f.to = "eva@other.example".parse().ok()));
        assert!(!keeps(|f| f.since = Some(1001)));
        assert!(!keeps(|f| f.before = Some(1000)));
        assert!(!keeps(|f| f.subject = Some("relat?rio".into())));
        assert!(!keeps(|f| f.pattern = Some("other".into())));
        let mut filter = Filter {
            from: "ana".parse().ok(),
            ..Filter::default()
        };
        filter.since = Some(2000);
        assert!(!filter.keeps(&line()), "all of it must hold");
    }

    #[test]
    fn what_cannot_be_opened_has_no_subject() {
        let closed = Line {
            headers: None,
            ..line()
        };
        let filter = |text: &str| Filter {
            subject: Some(text.into()),
            ..Filter::default()
        };
        assert!(!filter("").keeps(&closed) && !filter("*").keeps(&closed));
        assert!(Filter::default().keeps(&closed));
    }

    #[test]
    fn a_sent_message_waits_for_its_last_reader() {
        let states = |a, b| [("a".parse().unwrap(), a), ("b".parse().unwrap(), b)];
        let read = states(Progress::Read, Progress::Read);
        let half = states(Progress::Read, Progress::Fetched);
        assert!(!is_unread(State::New, Some(&read)));
        assert!(is_unread(State::New, Some(&half)));
        assert!(is_unread(State::Fetched, None) && !is_unread(State::Read, None));
    }
}
