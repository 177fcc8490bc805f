//! Who waits for news of which folder.
//!
//! Knows neither what came nor whether anything did: whoever is rung looks for
//! himself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use smr_name::MailboxName;
use smr_store::Folder;

use crate::desk::{Desk, Note};

type Bells = Vec<(Folder, Arc<Bell>)>;

/// Those who wait, by mailbox.
#[derive(Default)]
pub(crate) struct News {
    waiting: Mutex<HashMap<MailboxName, Bells>>,
    /// Set once, by the door.
    desk: OnceLock<Arc<Desk>>,
}

/// One who waits.
struct Bell {
    number: u64,
    rung: AtomicBool,
}

/// The place of one who waits; dropping it gives the place up.
pub(crate) struct Watcher {
    news: Arc<News>,
    mailbox: MailboxName,
    bell: Arc<Bell>,
}

impl News {
    // Bells come and go in one step each, so a poisoned map is still right.
    fn waiting(&self) -> MutexGuard<'_, HashMap<MailboxName, Bells>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where to leave word; the first desk is the only one.
    pub(crate) fn tell(&self, desk: &Arc<Desk>) {
        let _ = self.desk.set(desk.clone());
    }

    /// Lets the connection `number` wait for news of a folder.
    pub(crate) fn watch(
        self: &Arc<Self>,
        mailbox: &MailboxName,
        folder: Folder,
        number: u64,
    ) -> Watcher {
        let bell = Arc::new(Bell {
            number,
            rung: AtomicBool::new(false),
        });
        let mut waiting = self.waiting();
        let bells = waiting.entry(mailbox.clone()).or_default();
        bells.push((folder, bell.clone()));
        Watcher {
            news: self.clone(),
            mailbox: mailbox.clone(),
            bell,
        }
    }

    /// Says that there may be something new in a folder.
    pub(crate) fn ring(&self, mailbox: &MailboxName, folder: Folder) {
        self.ring_those(mailbox, |of| of == folder);
    }

    /// Says that something about the account has changed.
    pub(crate) fn ring_all(&self, mailbox: &MailboxName) {
        self.ring_those(mailbox, |_| true);
    }

    /// Says that sessions of the account that wait for nothing are judged again.
    pub(crate) fn changed(&self, mailbox: &MailboxName) {
        if let Some(desk) = self.desk.get() {
            desk.leave(Note::Changed(mailbox.clone()));
        }
    }

    fn ring_those(&self, mailbox: &MailboxName, which: impl Fn(Folder) -> bool) {
        let waiting = self.waiting();
        let bells = waiting.get(mailbox).into_iter().flatten();
        let those = bells.filter(|(folder, _)| which(*folder));
        // Rung already: it is known, and nobody has looked since.
        let fresh = those.filter(|(_, bell)| !bell.rung.swap(true, Ordering::SeqCst));
        let numbers: Vec<u64> = fresh.map(|(_, bell)| bell.number).collect();
        // Before the lock is let go, and so before a bell can be taken down:
        // once it is, its connection may wait for something else.
        if let (Some(desk), false) = (self.desk.get(), numbers.is_empty()) {
            desk.leave(Note::Rung(numbers));
        }
    }
}

impl Watcher {
    /// Tells whether it was rung since it last looked.
    pub(crate) fn is_rung(&self) -> bool {
        self.bell.rung.load(Ordering::SeqCst)
    }

    /// Notes that it looks now: what comes later rings again.
    pub(crate) fn look(&self) {
        self.bell.rung.store(false, Ordering::SeqCst);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut waiting = self.news.waiting();
        if let Some(bells) = waiting.get_mut(&self.mailbox) {
            bells.retain(|(_, bell)| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                waiting.remove(&self.mailbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::News;
    use crate::desk::{Desk, Note};
    use smr_name::MailboxName;
    use smr_store::Folder;
    use std::sync::{Arc, TryLockError};

    fn news() -> (Arc<News>, Arc<Desk>) {
        let (news, desk) = (Arc::new(News::default()), Arc::new(Desk::open().unwrap()));
        news.tell(&desk);
        (news, desk)
    }

    fn name(text: &str) -> MailboxName {
        text.parse().unwrap()
    }

    fn rung(desk: &Desk) -> Vec<u64> {
        let notes = desk.take().unwrap().into_iter();
        let numbers = notes.flat_map(|note| match note {
            Note::Rung(numbers) => numbers,
            Note::Back(_) | Note::Changed(_) => panic!("nobody came back"),
        });
        numbers.collect()
    }

    #[test]
    fn those_who_watch_the_folder_are_rung_once() {
        let (news, desk) = news();
        let inbox = news.watch(&name("rui"), Folder::Inbox, 1);
        let sent = news.watch(&name("rui"), Folder::Sent, 2);
        let other = news.watch(&name("ana"), Folder::Inbox, 3);
        news.ring(&name("rui"), Folder::Inbox);
        news.ring(&name("rui"), Folder::Inbox);
        assert_eq!(rung(&desk), [1]);
        assert!(inbox.is_rung() && !sent.is_rung() && !other.is_rung());
        inbox.look();
        news.ring_all(&name("rui"));
        assert_eq!(rung(&desk), [1, 2]);
    }

    #[test]
    fn no_bell_is_taken_down_between_its_ringing_and_the_word_of_it() {
        let (news, desk) = news();
        let watcher = news.watch(&name("rui"), Folder::Inbox, 1);
        let held = desk.hold();
        std::thread::scope(|scope| {
            scope.spawn(|| news.ring(&name("rui"), Folder::Inbox));
            while !watcher.is_rung() {
                std::thread::yield_now();
            }
            for _ in 0..1000 {
                std::thread::yield_now();
                let taken = news.waiting.try_lock();
                assert!(matches!(taken, Err(TryLockError::WouldBlock)));
            }
            drop(held);
        });
        assert_eq!(rung(&desk), [1]);
    }

    #[test]
    fn whoever_has_left_is_not_rung() {
        let (news, desk) = news();
        drop(news.watch(&name("rui"), Folder::Inbox, 1));
        news.ring(&name("rui"), Folder::Inbox);
        assert!(rung(&desk).is_empty());
        assert!(news.waiting().is_empty());
    }
}
