//! Group commit: how threads share the syncs of one directory.
//!
//! Touches no disk itself; `durable` says what a sync is.

use std::sync::PoisonError;

use crate::durable::DiskError;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Shares the syncs of one directory among threads: each waits for a sync that
/// began after it asked, and one such sync serves all who asked before it.
#[derive(Default)]
pub(crate) struct DirSync {
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

#[derive(Default)]
struct Rounds {
    begun: u64,
    done: u64,
    running: bool,
    broken: bool,
    #[cfg(test)]
    waiting: u32,
}

impl DirSync {
    /// Returns once every change made to the directory before this call is on
    /// disk. One of the waiting threads runs `open` and `sync`, outside the
    /// lock. A failed `open` concerns its caller alone; a failed `sync` all.
    pub(crate) fn cover<T>(
        &self,
        open: impl FnOnce() -> Result<T, DiskError>,
        sync: impl FnOnce(T) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let mut rounds = self.lock();
        // A round under way may have begun before our change: take the next.
        let ours = rounds.begun + 1;
        loop {
            if rounds.done >= ours {
                return Ok(());
            }
            if rounds.broken {
                return Err(DiskError::Failed);
            }
            if !rounds.running {
                break;
            }
            #[cfg(test)]
            {
                rounds.waiting += 1;
            }
            rounds = self
                .ended
                .wait(rounds)
                .unwrap_or_else(PoisonError::into_inner);
        }
        rounds.begun += 1;
        rounds.running = true;
        drop(rounds);
        let opened = open();
        let tried = opened.is_ok();
        let outcome = opened.and_then(sync);
        self.end(tried, outcome.is_ok());
        outcome
    }

    fn end(&self, tried: bool, good: bool) {
        let mut rounds = self.lock();
        rounds.running = false;
        if good {
            rounds.done = rounds.begun;
        } else if tried {
            rounds.broken = true;
        }
        self.ended.notify_all();
    }

    // Plain counters: a thread that panicked cannot have left them half changed.
    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::DirSync;
    use crate::durable::DiskError;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    fn ready() -> Result<(), DiskError> {
        Ok(())
    }

    #[test]
    fn one_sync_serves_all_who_asked_before_it_began() {
        let sync = DirSync::default();
        let (runs, first_runs, release) = (
            AtomicU32::new(0),
            AtomicBool::new(false),
            AtomicBool::new(false),
        );
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sync.cover(ready, |()| {
                    first_runs.store(true, Ordering::SeqCst);
                    while !release.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    Ok(())
                })
                .unwrap();
            });
            while !first_runs.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let waiters: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        sync.cover(ready, |()| {
                            runs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                    })
                })
                .collect();
            while sync.lock().waiting < 8 {
                std::thread::yield_now();
            }
            // The round under way may not serve those who came later.
            assert_eq!(runs.load(Ordering::SeqCst), 0);
            release.store(true, Ordering::SeqCst);
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failed_sync_is_never_tried_again() {
        let sync = DirSync::default();
        assert!(sync.cover(ready, |()| Ok(())).is_ok());
        let outcome = sync.cover(ready, |()| Err(DiskError::Torn));
        assert!(matches!(outcome, Err(DiskError::Torn)));
        let mut ran = false;
        let outcome = sync.cover(ready, |()| {
            ran = true;
            Ok(())
        });
        assert!(matches!(outcome, Err(DiskError::Failed)));
        assert!(!ran);
    }
}
