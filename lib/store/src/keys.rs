//! Sealed encryption keys: what devices give into smrd's keeping, for the day
//! they are lost.
//!
//! Opens none of them, and replaces none: what was kept once stays.

use smr_name::MailboxName;

use crate::finding::Why;
use crate::layout;
use crate::store::{Store, StoreError};

/// The most keys that are kept for one account.
pub const MAX_KEYS: usize = 4096;
/// The longest sealed key, in bytes.
pub const MAX_KEY: usize = 16 * 1024;

/// Names a sealed key: whose it is, and of which epoch. In this order they are
/// listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName {
    /// SHA-256 of the device's certificate.
    pub device: [u8; 32],
    /// Number of the key.
    pub epoch: u64,
}

impl Store {
    /// Keeps a sealed key; returns once it is on disk. One that is kept under
    /// this name already stays, whatever it holds.
    ///
    /// # Errors
    ///
    /// `Denied` where the account has `MAX_KEYS` keys already, or this one has
    /// more than `MAX_KEY` bytes.
    pub fn keep_key(
        &self,
        mailbox: &MailboxName,
        key: KeyName,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let account = self.account(mailbox)?;
        // Held so that the bound is one: two devices may give keys at once.
        let _keeping = account.keeping();
        let kept = self.key_names(mailbox)?;
        if !kept.contains(&key) {
            if kept.len() >= MAX_KEYS || sealed.len() > MAX_KEY {
                return Err(StoreError::TooManyKeys(mailbox.clone()));
            }
            let spooled = self.disk().write_synced(sealed)?;
            self.disk()
                .link(spooled.path(), &layout::key(mailbox, &key))?;
        }
        // Without it the name could be lost, and with it the key: also that of
        // an earlier try, whose answer never came.
        Ok(self.disk().sync_directory(&layout::keys(mailbox))?)
    }

    /// Returns at most `limit` sealed keys after `after`, in their order.
    pub fn keys(
        &self,
        mailbox: &MailboxName,
        after: Option<KeyName>,
        limit: usize,
    ) -> Result<Vec<(KeyName, Vec<u8>)>, StoreError> {
        self.account(mailbox)?;
        let names = self.key_names(mailbox)?.into_iter();
        let mut keys = Vec::new();
        for name in names.filter(|name| Some(*name) > after).take(limit) {
            if let Some(sealed) = self.disk().read_file(&layout::key(mailbox, &name))? {
                keys.push((name, sealed));
            }
        }
        Ok(keys)
    }

    /// Returns the names of all keys in their order; reports strangers.
    fn key_names(&self, mailbox: &MailboxName) -> Result<Vec<KeyName>, StoreError> {
        let folder = layout::keys(mailbox);
        let mut names = Vec::new();
        for found in self.disk().names(&folder)? {
            let parsed = found.name.as_ref().ok().and_then(|n| layout::parse_key(n));
            match parsed {
                Some(name) if found.is_file() => names.push(name),
                Some(_) => self.report(format!("{folder}/{}", found.shown()), Why::Kind),
                None => self.report(format!("{folder}/{}", found.shown()), Why::Name),
            }
        }
        names.sort();
        Ok(names)
    }
}
