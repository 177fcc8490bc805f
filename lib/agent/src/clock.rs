//! The two clocks of the agent.
//!
//! Nothing expires by the wall clock alone: it can be set back.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Returns the wall clock in unix seconds, UTC; for what is told to others.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// Returns the seconds since boot, those asleep included (CLOCK_BOOTTIME); for
/// what expires.
pub(crate) fn uptime() -> i64 {
    clock_gettime(ClockId::Boottime).tv_sec
}

#[cfg(test)]
mod tests {
    use super::{now, uptime};

    #[test]
    fn clocks_run_forward_from_a_sane_start() {
        assert!(now() > 1_700_000_000);
        let first = uptime();
        assert!(first > 0 && uptime() >= first);
    }
}
