//! The sessions of an account (lib/agent/src/pool.rs): never one for two, none
//! lent and none with keys once the account is locked.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use loom::thread;

use crate::link::{ALIVE, Link};
use crate::pool::{Pool, PoolError};

/// Borrows a session and has it serve twice, with nobody else between; makes
/// its way where none is lent any more, or it is cut.
fn borrow(pool: &Arc<Pool>) {
    let lease = match pool.lend(|| Ok(Link::opened())) {
        Ok(lease) => lease,
        Err(PoolError::Closed) => return,
        Err(error) => panic!("{error}"),
    };
    let begin = |link: &mut Link| {
        link.lend();
        // A request takes its time, with the session locked.
        thread::yield_now();
    };
    if lease.link().as_mut().map(begin).is_some() {
        lease.link().as_mut().map(Link::give_back);
    }
}

/// Two tools at one idle session, and the account is locked amid them, or before,
/// or after.
fn locked() {
    ALIVE.store(0, SeqCst);
    let pool = Arc::new(Pool::default());
    borrow(&pool);
    let tool = {
        let pool = Arc::clone(&pool);
        thread::spawn(move || borrow(&pool))
    };
    let lock = {
        let pool = Arc::clone(&pool);
        thread::spawn(move || {
            pool.close();
            let after = pool.lend(|| panic!("a session was opened"));
            assert!(matches!(after, Err(PoolError::Closed)));
        })
    };
    borrow(&pool);
    tool.join().expect("a tool");
    lock.join().expect("who locks");
    assert_eq!(ALIVE.load(SeqCst), 0, "keys are left after the lock");
    assert!(!pool.is_online());
}

/// A tool, and a login that brings its own sessions.
fn turned_over() {
    ALIVE.store(0, SeqCst);
    let pool = Arc::new(Pool::default());
    let next = Arc::new(Pool::default());
    borrow(&next);
    let login = {
        let pool = Arc::clone(&pool);
        thread::spawn(move || pool.turn_over(&next))
    };
    borrow(&pool);
    login.join().expect("a login");
    pool.close();
    assert_eq!(ALIVE.load(SeqCst), 0, "keys are left after the lock");
}

/// Returns how many orders were run.
pub(crate) fn run() -> usize {
    crate::orders(Some(3), locked) + crate::orders(None, turned_over)
}
