//! The persons' names that the directory shows, so that a page of it does not
//! open every record again.
//!
//! Proves nothing; whoever wants proof asks for the record.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use smr_name::MailboxName;

/// Names by account; no more than the store has accounts.
#[derive(Default)]
pub(crate) struct People {
    names: Mutex<HashMap<MailboxName, String>>,
}

impl People {
    // Names change in one step, so a poisoned map is still right.
    fn names(&self) -> MutexGuard<'_, HashMap<MailboxName, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the person's name, read by `read` the first time; empty where
    /// it cannot be read, and then asked for again.
    pub(crate) fn of(&self, name: &MailboxName, read: impl FnOnce() -> Option<String>) -> String {
        if let Some(known) = self.names().get(name) {
            return known.clone();
        }
        let person = read();
        if let Some(person) = &person {
            self.names()
                .entry(name.clone())
                .or_insert_with(|| person.clone());
        }
        person.unwrap_or_default()
    }

    /// Replaces the name: the record has changed.
    pub(crate) fn set(&self, name: &MailboxName, person: String) {
        self.names().insert(name.clone(), person);
    }
}

#[cfg(test)]
mod tests {
    use super::People;

    #[test]
    fn names_are_read_once_and_replaced() {
        let people = People::default();
        let rui = "rui".parse().unwrap();
        assert_eq!(people.of(&rui, || None), "");
        assert_eq!(people.of(&rui, || Some("RUI SILVA".into())), "RUI SILVA");
        assert_eq!(people.of(&rui, || panic!("read twice")), "RUI SILVA");
        people.set(&rui, "RUI DA SILVA".into());
        assert_eq!(people.of(&rui, || None), "RUI DA SILVA");
    }
}
