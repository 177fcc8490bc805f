//! Shares: how many requests of one account are served at a time, so that its
//! slow ones leave workers for others.
//!
//! Never waits: who has no share left is sent away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smr_name::MailboxName;

/// How many requests of each account are being served.
pub(crate) struct Shares {
    most: u32,
    table: Mutex<HashMap<MailboxName, u32>>,
    refused: AtomicU64,
}

/// One request being served; dropping it gives its share back.
pub(crate) struct Share<'a> {
    shares: &'a Shares,
    who: MailboxName,
}

impl Shares {
    pub(crate) fn new(most: u32) -> Shares {
        Shares {
            most,
            table: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    // A count changes in one step, so a poisoned table is still right.
    fn table(&self) -> MutexGuard<'_, HashMap<MailboxName, u32>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a share for a request of this account; none where it has all that
    /// one may have.
    pub(crate) fn take(&self, who: &MailboxName) -> Option<Share<'_>> {
        let mut table = self.table();
        let taken = table.get(who).copied().unwrap_or(0);
        if taken >= self.most {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        table.insert(who.clone(), taken + 1);
        Some(Share {
            shares: self,
            who: who.clone(),
        })
    }

    /// Returns how often there was no share left.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut table = self.shares.table();
        if let Some(taken) = table.get_mut(&self.who) {
            *taken -= 1;
            if *taken == 0 {
                table.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;

    #[test]
    fn an_account_has_so_many_and_each_comes_back() {
        let shares = Shares::new(2);
        let (ana, eve) = ("ana".parse().unwrap(), "eve".parse().unwrap());
        let (one, two) = (shares.take(&eve), shares.take(&eve));
        assert!(one.is_some() && two.is_some());
        assert!(shares.take(&eve).is_none());
        assert!(shares.take(&ana).is_some(), "another has his own");
        assert_eq!(shares.refused(), 1);
        drop(one);
        assert!(shares.take(&eve).is_some());
        drop(two);
        assert!(shares.table().is_empty());
    }
}
