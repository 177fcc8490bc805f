//! Who is on line: the open sessions of each account, and how often its record
//! has changed under them.
//!
//! Never written to disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smr_name::MailboxName;

/// Counts open sessions by account.
#[derive(Default)]
pub(crate) struct Online {
    counts: Mutex<HashMap<MailboxName, usize>>,
    changes: Mutex<HashMap<MailboxName, u64>>,
}

/// One open session; dropping it ends the count.
pub(crate) struct Presence {
    online: Arc<Online>,
    name: MailboxName,
}

impl Online {
    // Counts change in one step, so a poisoned map is still right.
    fn counts(&self) -> MutexGuard<'_, HashMap<MailboxName, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(self: &Arc<Self>, name: &MailboxName) -> Presence {
        *self.counts().entry(name.clone()).or_insert(0) += 1;
        Presence {
            online: self.clone(),
            name: name.clone(),
        }
    }

    /// Returns how often the record has changed since smrd started.
    pub(crate) fn change(&self, name: &MailboxName) -> u64 {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.get(name).copied().unwrap_or(0)
    }

    /// Counts a change of the record: every session of the account is judged
    /// again before its next request.
    pub(crate) fn changed(&self, name: &MailboxName) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        *changes.entry(name.clone()).or_insert(0) += 1;
    }

    pub(crate) fn has(&self, name: &MailboxName) -> bool {
        self.counts().contains_key(name)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut counts = self.online.counts();
        if let Some(count) = counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Online;
    use std::sync::Arc;

    #[test]
    fn on_line_until_the_last_session_ends() {
        let online = Arc::new(Online::default());
        let rui = "rui".parse().unwrap();
        let first = online.enter(&rui);
        let second = online.enter(&rui);
        drop(first);
        assert!(online.has(&rui));
        assert!(!online.has(&"ana".parse().unwrap()));
        drop(second);
        assert!(!online.has(&rui));
    }

    #[test]
    fn changes_are_counted_by_account() {
        let online = Online::default();
        let (rui, ana) = ("rui".parse().unwrap(), "ana".parse().unwrap());
        online.changed(&rui);
        online.changed(&rui);
        assert_eq!((online.change(&rui), online.change(&ana)), (2, 0));
    }
}
