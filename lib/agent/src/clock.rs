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

    /// Runs this test again where the kernel says that the machine has been up
    /// for longer than any has, all of it asleep: time_namespaces(7).
    #[test]
    fn time_asleep_counts() {
        const ASLEEP: i64 = 4_000_000_000;
        if std::env::var_os("SMR_TEST_ASLEEP").is_some() {
            assert!(uptime() >= ASLEEP, "{} s", uptime());
            return;
        }
        assert!(rustix::process::geteuid().is_root(), "needs root");
        assert!(uptime() < ASLEEP, "it would show nothing");
        let test = std::env::current_exe().expect("a test has a file");
        let asleep = std::process::Command::new("unshare")
            .args(["--time", "--fork", "--boottime", &ASLEEP.to_string()])
            .arg(test)
            .args(["--exact", "clock::tests::time_asleep_counts"])
            .env("SMR_TEST_ASLEEP", "1")
            .output()
            .expect("unshare runs");
        let said = String::from_utf8_lossy(&asleep.stdout);
        assert!(asleep.status.success(), "{asleep:?}");
        assert!(said.contains("1 passed"), "{said}");
    }

    #[test]
    fn clocks_run_forward_from_a_sane_start() {
        assert!(now() > 1_700_000_000);
        let first = uptime();
        assert!(first > 0 && uptime() >= first);
    }
}
