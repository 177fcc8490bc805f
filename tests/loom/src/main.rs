//! What threads share, run in every order that they can have: the group commit
//! of the store, and the sessions that the agent lends.
//!
//! The sources are the very ones; only locks and what lies behind them are
//! others here.

// Each source has more in it than its model asks for.
#![allow(dead_code)]

#[path = "../../../lib/store/src/group.rs"]
mod group;
#[path = "../../../lib/agent/src/pool.rs"]
mod pool;

mod commit;
mod lending;
mod link;

/// What group.rs takes from the store.
mod durable {
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum DiskError {
        Failed,
        Torn,
    }
}

/// What both take from std, there.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Runs `act` in every order of its threads; with a `bound`, in those where no
/// more threads are interrupted. Returns how many orders there were.
fn orders(bound: Option<usize>, act: impl Fn() + Send + Sync + 'static) -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.store(0, Relaxed);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(move || {
        COUNT.fetch_add(1, Relaxed);
        act();
    });
    COUNT.load(Relaxed)
}

fn main() {
    let (commit, lending) = (commit::run(), lending::run());
    println!("loom: {commit} orders of the group commit, none wrong");
    println!("loom: {lending} orders of lending sessions, none wrong");
}
