//! How long the disk takes to make data durable: syncs counted by duration.
//!
//! Syncs nothing itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of the buckets, in microseconds; a last one has none.
const BOUNDS: [u64; 8] = [100, 500, 1_000, 5_000, 20_000, 100_000, 500_000, 2_000_000];

/// The counts, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncTimes {
    /// How many took longer than the bound before, and no longer than this one;
    /// the last has no bound.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// All of them together.
    pub sum: Duration,
}

/// The counts.
#[derive(Default)]
pub(crate) struct Times {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Times {
    /// Does a sync, and counts how long it takes.
    pub(crate) fn time<T>(&self, sync: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = sync();
        self.add(begin.elapsed());
        done
    }

    fn add(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().filter(|bound| **bound < time).count();
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(time, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> SyncTimes {
        let bounds = BOUNDS
            .iter()
            .map(|bound| Some(Duration::from_micros(*bound)));
        let counts = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        SyncTimes {
            buckets: bounds.chain([None]).zip(counts).collect(),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Times};
    use std::time::Duration;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let times = Times::default();
        for time in [0, 100, 101, 2_000_000, 2_000_001] {
            times.add(Duration::from_micros(time));
        }
        let counts: Vec<u64> = times.read().buckets.iter().map(|(_, n)| *n).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(times.read().sum, Duration::from_micros(4_000_202));
        assert_eq!(times.time(|| 7), 7);
        let all: u64 = times.read().buckets.iter().map(|(_, n)| n).sum();
        assert_eq!((all, times.read().buckets.len()), (6, BOUNDS.len() + 1));
    }
}
