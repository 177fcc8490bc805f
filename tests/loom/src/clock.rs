//! What the agent takes for the time: it stands still, but where a model has it
//! pass.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

pub(crate) static UPTIME: AtomicI64 = AtomicI64::new(0);

pub(crate) fn now() -> i64 {
    1_800_000_000 + uptime()
}

pub(crate) fn uptime() -> i64 {
    UPTIME.load(Relaxed)
}
