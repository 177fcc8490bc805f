//! Requests about accounts: records, the revocation data that goes with them,
//! and the encryption keys in smrd's keeping.
//!
//! Verifies no signature; digests are compared where one was named.

use sha2::{Digest, Sha256};
use smr_channel::reply::{KeyEntry, Listed, Reply};
use smr_channel::request::{MAX_LISTS, MAX_SEALED_KEY, Request};
use smr_name::MailboxName;

use super::{Session, SessionError, split};

/// An account record, in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// All the revocation data that goes with one account, in bytes.
const MAX_LISTED: u64 = 64 << 20;
/// Sealed keys a page.
const PAGE: u16 = 64;

/// What smrd publishes of an account; nothing of it verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The account record, DER; none where it is the one known.
    pub record: Option<Vec<u8>>,
    /// Which CRLs and OCSP answers go with its chain.
    pub lists: Vec<Listed>,
}

impl Session {
    /// Asks for an account's record, unless it is the one of SHA-256 `known`,
    /// and which revocation data goes with it.
    pub fn account(
        &mut self,
        name: &MailboxName,
        known: Option<[u8; 32]>,
    ) -> Result<Published, SessionError> {
        let request = Request::Account {
            name: name.clone(),
            known,
        };
        let (reply, record) = self.small(&request, MAX_RECORD)?;
        let Reply::Account {
            name: of,
            record_len,
            lists,
        } = reply
        else {
            return Err(self.unfit());
        };
        let whole = record_len as usize == record.len();
        if of != *name || !whole || (record.is_empty() && known.is_none()) {
            return Err(self.unfit());
        }
        Ok(Published {
            record: (!record.is_empty()).then_some(record),
            lists,
        })
    }

    /// Asks for revocation data by digest: one for each asked, in order; none
    /// for what smrd no longer holds.
    pub fn lists(&mut self, asked: &[Listed]) -> Result<Vec<Option<Vec<u8>>>, SessionError> {
        if asked.iter().map(|list| u64::from(list.len)).sum::<u64>() > MAX_LISTED {
            return Err(SessionError::TooLarge(MAX_LISTED));
        }
        let mut all = Vec::new();
        while let Some(lacking) = asked.get(all.len()..).filter(|rest| !rest.is_empty()) {
            let page = lacking.get(..MAX_LISTS).unwrap_or(lacking);
            all.extend(self.some_lists(page)?);
        }
        Ok(all)
    }

    /// Fetches as many of these as one reply holds, at least one.
    fn some_lists(&mut self, asked: &[Listed]) -> Result<Vec<Option<Vec<u8>>>, SessionError> {
        let request = Request::Lists {
            digests: asked.iter().map(|list| list.digest).collect(),
        };
        let most = asked.iter().map(|list| u64::from(list.len)).sum();
        let (reply, body) = self.small(&request, most)?;
        let Reply::Lists { lens } = reply else {
            return Err(self.unfit());
        };
        if !(1..=asked.len()).contains(&lens.len()) {
            return Err(self.unfit());
        }
        let mut rest = body.as_slice();
        let cut = asked.iter().zip(lens).map(|(list, len)| {
            let der = split(&mut rest, len).ok_or_else(|| self.unfit())?;
            match der.is_empty() || list.digest == *Sha256::digest(&der) {
                true => Ok((!der.is_empty()).then_some(der)),
                false => Err(self.unfit()),
            }
        });
        let lists = cut.collect::<Result<_, _>>()?;
        match rest.is_empty() {
            true => Ok(lists),
            false => Err(self.unfit()),
        }
    }

    /// Publishes a new version of the account's own record.
    pub fn publish(&mut self, record: &[u8]) -> Result<(), SessionError> {
        self.done(&Request::Publish, Some(&mut &*record))
    }

    /// Gives an encryption key of this device into smrd's keeping, sealed, at
    /// most 16 KiB; a key of this epoch that it keeps already stays.
    pub fn keep_key(&mut self, epoch: u64, sealed: &[u8]) -> Result<(), SessionError> {
        let size = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.done(&Request::KeepKey { epoch, size }, Some(&mut &*sealed))
    }

    /// Asks for every sealed key of the account, of all devices.
    pub fn keys(&mut self) -> Result<Vec<Vec<u8>>, SessionError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (entries, more, body) = self.keys_after(after)?;
            let mut rest = body.as_slice();
            for entry in &entries {
                let mark = Some((entry.device, entry.epoch));
                // Strictly rising, so that it ends.
                if mark <= after || entry.len > MAX_SEALED_KEY {
                    return Err(self.unfit());
                }
                after = mark;
                all.push(split(&mut rest, entry.len).ok_or_else(|| self.unfit())?);
            }
            if !rest.is_empty() || (more && entries.is_empty()) {
                return Err(self.unfit());
            }
            if !more {
                return Ok(all);
            }
        }
    }

    fn keys_after(
        &mut self,
        after: Option<([u8; 32], u64)>,
    ) -> Result<(Vec<KeyEntry>, bool, Vec<u8>), SessionError> {
        let most = u64::from(PAGE) * u64::from(MAX_SEALED_KEY);
        let request = Request::Keys { after, limit: PAGE };
        match self.small(&request, most)? {
            (Reply::Keys { keys, more }, body) => Ok((keys, more, body)),
            _ => Err(self.unfit()),
        }
    }
}
