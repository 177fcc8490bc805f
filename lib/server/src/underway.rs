//! The deposits under way, so that two of one message follow one another.
//!
//! Holds no lock while a deposit is written or synced, and lets different
//! messages pass side by side.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use smr_name::{MailboxName, MessageId};

type Key = (MailboxName, MessageId);

/// Messages by sender and id; no more than there are connections.
#[derive(Default)]
pub(crate) struct Underway {
    messages: Mutex<HashSet<Key>>,
    ended: Condvar,
}

/// One deposit under way; dropping it lets the next of its message begin.
pub(crate) struct Turn<'a> {
    underway: &'a Underway,
    key: Key,
}

impl Underway {
    // A message is there or not, so a poisoned set is still right.
    fn messages(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other deposit of this message is under way: links sealed
    /// differently would else mix, in some mailboxes the one, in some the other.
    pub(crate) fn enter(&self, sender: &MailboxName, id: MessageId) -> Turn<'_> {
        let key = (sender.clone(), id);
        let mut messages = self.messages();
        while !messages.insert(key.clone()) {
            messages = self
                .ended
                .wait(messages)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Turn {
            underway: self,
            key,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.underway.messages().remove(&self.key);
        self.underway.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Underway;
    use smr_name::MessageId;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn one_message_waits_and_others_pass() {
        let (underway, entered) = (Underway::default(), AtomicBool::new(false));
        let (rui, ana) = ("rui".parse().unwrap(), "ana".parse().unwrap());
        let id = MessageId::from_bytes([1; 16]);
        let turn = underway.enter(&rui, id);
        drop(underway.enter(&ana, id));
        drop(underway.enter(&rui, MessageId::from_bytes([2; 16])));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _turn = underway.enter(&rui, id);
                entered.store(true, Ordering::SeqCst);
            });
            assert!(!entered.load(Ordering::SeqCst));
            drop(turn);
        });
        assert!(entered.load(Ordering::SeqCst));
        assert!(underway.messages().is_empty());
    }
}
