//! What threads share, run in every order that they can have: the journal and
//! the group commit of the store, the accounts of the agent and the sessions
//! that it lends.
//!
//! The sources are the very ones; only locks and what lies behind them are
//! others here.

// Each source has more in it than its model asks for.
#![allow(dead_code)]

#[path = "../../../lib/agent/src/account.rs"]
mod account;
#[path = "../../../lib/agent/src/attributes.rs"]
mod attributes;
#[path = "../../../lib/agent/src/failure.rs"]
mod failure;
#[path = "../../../lib/store/src/group.rs"]
mod group;
#[path = "../../../lib/agent/src/pool.rs"]
mod pool;
#[path = "../../../lib/agent/src/table.rs"]
mod table;

mod appending;
mod clock;
mod commit;
mod durable;
mod keys;
mod layout;
mod lending;
mod link;
mod logins;

// In the place of the real one, which brings all of age along.
extern crate self as smr_seal;

/// The key of a sealed file; there is none.
pub(crate) struct FileKey;

/// What they take from std, there.
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
    let models: [(&str, fn() -> usize); 4] = [
        ("the group commit", commit::run),
        ("the journal", appending::run),
        ("lending sessions", lending::run),
        ("logins and locks", logins::run),
    ];
    for (what, run) in models {
        println!("loom: {} orders of {what}, none wrong", run());
    }
}
