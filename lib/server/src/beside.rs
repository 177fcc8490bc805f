//! Which CRLs and OCSP answers go with a record, as found the first time that
//! somebody asked under the same grounds; to find it, all of the record is
//! verified.
//!
//! Grounds own theirs, so that new ones begin with nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records remembered; each takes 2 KiB at most, and mostly 100 bytes.
const MAX: usize = 1024;

/// Places of lists by the SHA-256 of a record.
#[derive(Default)]
pub(crate) struct Beside(Mutex<HashMap<[u8; 32], Arc<[usize]>>>);

impl Beside {
    // It changes in one step, so a poisoned one is still right.
    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<[usize]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what goes with a record, which is found by `find` where it is not
    /// known; of a record that is not believed, nothing, and that is not
    /// remembered.
    pub(crate) fn of(
        &self,
        record: &[u8; 32],
        find: impl FnOnce() -> Option<Vec<usize>>,
    ) -> Arc<[usize]> {
        if let Some(found) = self.known().get(record) {
            return found.clone();
        }
        // Not under the lock: others need not wait for one record's signatures.
        let Some(found) = find() else {
            return Arc::default();
        };
        let found: Arc<[usize]> = found.into();
        let mut known = self.known();
        if known.len() >= MAX
            && let Some(any) = known.keys().next().copied()
        {
            known.remove(&any);
        }
        known.insert(*record, found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> [u8; 32] {
        let mut record = [0; 32];
        record[..8].copy_from_slice(&n.to_be_bytes());
        record
    }

    #[test]
    fn a_record_is_looked_at_once_and_a_wrong_one_each_time() {
        let (beside, mut looks) = (Beside::default(), 0);
        for _ in 0..3 {
            let found = beside.of(&record(1), || {
                looks += 1;
                Some(vec![7, 9])
            });
            assert_eq!(*found, [7, 9]);
        }
        assert_eq!(looks, 1);
        for _ in 0..3 {
            let found = beside.of(&record(2), || {
                looks += 1;
                None
            });
            assert!(found.is_empty());
        }
        assert_eq!(looks, 4);
    }

    #[test]
    fn no_more_records_are_remembered_than_there_is_room_for() {
        let beside = Beside::default();
        for n in 0..MAX + 50 {
            assert_eq!(*beside.of(&record(n), || Some(vec![n])), [n]);
        }
        assert_eq!(beside.known().len(), MAX);
        let last = beside.of(&record(MAX + 49), || None);
        assert_eq!(*last, [MAX + 49], "what came last is there");
    }
}
