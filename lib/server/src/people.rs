//! Whose accounts there are, so that neither a page of the directory nor an
//! enrolment opens every record again.
//!
//! Proves nothing; whoever wants proof asks for the record.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use smr_evidence::trust::Person;
use smr_name::MailboxName;

/// Bytes of a person's name in the directory.
const MAX_SHOWN: usize = 128;

/// Persons by account; no more than the store has accounts.
#[derive(Default)]
pub(crate) struct People {
    known: Mutex<HashMap<MailboxName, Person>>,
    /// Whether every account was looked at. Held meanwhile, so that each
    /// record is read once.
    whole: Mutex<bool>,
}

fn shown(person: &Person) -> String {
    let mut shown = person.display.clone();
    while shown.len() > MAX_SHOWN {
        shown.pop();
    }
    shown
}

impl People {
    // Both change in one step, so poisoned ones are still right.
    fn known(&self) -> MutexGuard<'_, HashMap<MailboxName, Person>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self) -> MutexGuard<'_, bool> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the name to show of an account's person, who is read by `read`
    /// the first time; empty where that fails, and then asked for again.
    pub(crate) fn shown(
        &self,
        name: &MailboxName,
        read: impl FnOnce() -> Option<Person>,
    ) -> String {
        if let Some(person) = self.known().get(name) {
            return shown(person);
        }
        let Some(person) = read() else {
            return String::new();
        };
        shown(self.known().entry(name.clone()).or_insert(person))
    }

    /// Replaces the person: the record has changed.
    pub(crate) fn set(&self, name: &MailboxName, person: Person) {
        self.known().insert(name.clone(), person);
    }

    /// Takes a free name for a person who has fewer than `max` others; tells
    /// whether it was.
    ///
    /// The first time it reads every one of `all` that is not known, by
    /// `read`; one that cannot be read is nobody's. Later it compares all
    /// persons known, in memory.
    pub(crate) fn claim(
        &self,
        name: &MailboxName,
        person: &Person,
        max: usize,
        all: impl FnOnce() -> Vec<MailboxName>,
        read: impl Fn(&MailboxName) -> Option<Person>,
    ) -> bool {
        let mut whole = self.whole();
        if !*whole {
            for name in all() {
                self.shown(&name, || read(&name));
            }
            *whole = true;
        }
        let mut known = self.known();
        let others = known.iter().filter(|(n, p)| *n != name && *p == person);
        if others.count() >= max {
            return false;
        }
        // Before the account is made: of several at once, too, the last is
        // refused.
        known.entry(name.clone()).or_insert_with(|| person.clone());
        true
    }

    /// Gives a name back under which no account was made.
    pub(crate) fn release(&self, name: &MailboxName) {
        self.known().remove(name);
    }

    /// Forgets everybody: other anchors may speak for the same persons.
    pub(crate) fn forget(&self) {
        let mut whole = self.whole();
        self.known().clear();
        *whole = false;
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_SHOWN, People};
    use smr_evidence::trust::Person;
    use smr_name::MailboxName;

    fn name(text: &str) -> MailboxName {
        text.parse().unwrap()
    }

    fn person(serial: &str, display: &str) -> Person {
        Person {
            realm: "default".into(),
            country: Some("PT".into()),
            serial: Some(serial.into()),
            subject: format!("CN={display}"),
            display: display.into(),
        }
    }

    #[test]
    fn names_are_read_once_and_replaced() {
        let people = People::default();
        let rui = name("rui");
        assert_eq!(people.shown(&rui, || None), "");
        let read = || Some(person("1", "RUI SILVA"));
        assert_eq!(people.shown(&rui, read), "RUI SILVA");
        assert_eq!(people.shown(&rui, || panic!("read twice")), "RUI SILVA");
        people.set(&rui, person("1", "RUI DA SILVA"));
        assert_eq!(people.shown(&rui, || None), "RUI DA SILVA");
        people.set(&rui, person("1", &"Ã".repeat(MAX_SHOWN)));
        assert_eq!(people.shown(&rui, || None).len(), MAX_SHOWN);
    }

    #[test]
    fn names_are_counted_by_person() {
        let people = People::default();
        let (rui, ana) = (person("1", "RUI"), person("2", "ANA"));
        let all = || vec![name("rui"), name("ana"), name("broken")];
        let read = |who: &MailboxName| match who.as_str() {
            "rui" => Some(person("1", "RUI SILVA")),
            "ana" => Some(person("2", "ANA")),
            _ => None,
        };
        let claim = |text: &str, person: &Person| people.claim(&name(text), person, 2, all, read);
        assert!(claim("rui.work", &rui));
        assert!(!claim("rui.club", &rui), "a third");
        assert!(claim("rui.work", &rui), "the same once more");
        assert!(claim("ana.work", &ana));
        people.release(&name("rui.work"));
        let nobody = || -> Vec<MailboxName> { panic!("looked for twice") };
        let never = |_: &MailboxName| panic!("read twice");
        assert!(people.claim(&name("rui.club"), &rui, 2, nobody, never));
        people.forget();
        assert!(claim("rui.sea", &rui), "the claimed were never filed");
    }
}
