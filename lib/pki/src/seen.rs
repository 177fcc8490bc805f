//! Signatures that have verified: a path is found by them, judged by them and its
//! lists looked up by them, and the paths of two people share most of theirs.
//!
//! Remembers no verdict on a certificate: whether it is in force, may do what it
//! does, or was revoked is judged each time. What did not verify is tried again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// Signatures remembered, of 32 bytes each; then it begins anew.
const MAX: usize = 4096;
/// Bytes of a message; to hash a longer one costs as much as its signature.
const LONG: usize = 64 << 10;

/// The SHA-256 of all that was looked at: algorithm, key, message, signature.
struct Seen(Mutex<BTreeSet<[u8; 32]>>);

/// Those of this process.
static SEEN: Seen = Seen(Mutex::new(BTreeSet::new()));

impl Seen {
    // It changes in one step, so a poisoned one is still right.
    fn digests(&self) -> MutexGuard<'_, BTreeSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn once<E>(
        &self,
        [algorithm, key, message, signature]: [&[u8]; 4],
        verify: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if message.len() > LONG {
            return verify();
        }
        let mut hash = Sha256::new();
        for part in [algorithm, key, message, signature] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        if self.digests().contains(&digest) {
            return Ok(());
        }
        // Not under the lock: others need not wait for one signature.
        verify()?;
        let mut digests = self.digests();
        if digests.len() >= MAX {
            digests.clear();
        }
        digests.insert(digest);
        Ok(())
    }
}

/// Verifies what these parts say, by `verify`, unless the very same have verified
/// before.
pub(crate) fn once<E>(parts: [&[u8]; 4], verify: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    SEEN.once(parts, verify)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [&[u8]; 4] = [b"algorithm", b"key", b"message", b"signature"];

    fn none() -> Seen {
        Seen(Mutex::default())
    }

    fn looks(seen: &Seen, parts: [&[u8]; 4], verdict: Result<(), ()>) -> (usize, Result<(), ()>) {
        let mut looks = 0;
        let outcome = seen.once(parts, || {
            looks += 1;
            verdict
        });
        (looks, outcome)
    }

    #[test]
    fn what_has_verified_is_not_verified_again() {
        let seen = none();
        assert_eq!(looks(&seen, PARTS, Ok(())), (1, Ok(())));
        assert_eq!(looks(&seen, PARTS, Err(())), (0, Ok(())));
        // Another byte anywhere, or the same ones cut elsewhere, are another thing.
        for at in 0..4 {
            let mut parts = PARTS;
            parts[at] = b"other";
            assert_eq!(looks(&seen, parts, Err(())), (1, Err(())), "{at}");
        }
        let cut: [&[u8]; 4] = [b"algorithmk", b"ey", b"message", b"signature"];
        assert_eq!(looks(&seen, cut, Err(())), (1, Err(())));
    }

    #[test]
    fn what_is_wrong_is_wrong_each_time() {
        let seen = none();
        let wrong: [&[u8]; 4] = [b"a", b"k", b"m", b"wrong"];
        for _ in 0..3 {
            assert_eq!(looks(&seen, wrong, Err(())), (1, Err(())));
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let seen = none();
        for n in 0..3 * MAX {
            let message = n.to_be_bytes();
            let parts: [&[u8]; 4] = [b"a", b"k", &message, b"s"];
            assert_eq!(looks(&seen, parts, Ok(())), (1, Ok(())));
            assert_eq!(looks(&seen, parts, Err(())), (0, Ok(())));
        }
        assert!(seen.digests().len() <= MAX);
        let long = vec![0; LONG + 1];
        let parts: [&[u8]; 4] = [b"a", b"k", &long, b"s"];
        for _ in 0..2 {
            assert_eq!(looks(&seen, parts, Ok(())), (1, Ok(())));
        }
    }
}
