//! What account.rs takes from the agent: keys, which are counted as long as they
//! are not wiped, and sign nothing.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use smr_channel::handshake::Introduction;
use smr_channel::local::{Entrance, Load, Stanza};
use smr_name::{Class, MailboxName, MessageId};
use zeroize::Zeroizing;

use crate::FileKey;

/// Keys that are not wiped.
pub(crate) static ALIVE: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("the account was locked")]
    Wiped,
}

impl KeysError {
    pub(crate) fn class(&self) -> Class {
        Class::Unavailable
    }
}

pub(crate) struct Keys(());

impl Keys {
    pub(crate) fn new(_: &Load) -> Result<Keys, KeysError> {
        ALIVE.fetch_add(1, Relaxed);
        Ok(Keys(()))
    }

    pub(crate) fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeysError> {
        Ok(Vec::new())
    }

    pub(crate) fn unwrap(
        &self,
        _: &[Stanza],
        go_on: impl Fn() -> bool,
    ) -> Result<Option<FileKey>, KeysError> {
        match go_on() {
            true => Ok(None),
            false => Err(KeysError::Wiped),
        }
    }

    pub(crate) fn derive(&self, _: &str) -> MessageId {
        MessageId::from_bytes([0; 16])
    }

    pub(crate) fn shelf_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::default()
    }

    pub(crate) fn introduce(
        &self,
        _: &[u8; 32],
        account: &MailboxName,
        _: &Entrance,
    ) -> Result<Introduction, KeysError> {
        Ok(Introduction::Login {
            account: account.clone(),
            device: [0; 32],
            signature: Vec::new(),
        })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Relaxed);
    }
}
