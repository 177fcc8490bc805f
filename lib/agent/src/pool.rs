//! The open sessions of one account: lent to one tool connection at a time,
//! kept for the next.
//!
//! Never shares a session between two requests; never lends one after it was
//! closed.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, PoisonError};

use crate::link::{Link, LinkError};
use crate::sync::{Mutex, MutexGuard};

/// The most sessions of one account.
pub(crate) const MOST: usize = 64;

/// Locks; a thread that panicked while it held the lock changes nothing.
pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Slot {
    // Held for the length of one request.
    link: Mutex<Option<Link>>,
    breaker: TcpStream,
}

impl Slot {
    // Wipes an idle session at once, and makes a busy one fail.
    fn cut(&self) {
        // Already closed by the peer: nothing to break.
        let _ = self.breaker.shutdown(Shutdown::Both);
        if let Ok(mut link) = self.link.try_lock() {
            link.take();
        }
    }
}

#[derive(Default)]
struct Slots {
    idle: Vec<Arc<Slot>>,
    lent: Vec<Arc<Slot>>,
    // Being opened: they count towards `MOST`.
    opening: usize,
    closed: bool,
}

/// The sessions of one account.
#[derive(Default)]
pub(crate) struct Pool {
    // Protects which session is whose; never held over a network call.
    slots: Mutex<Slots>,
}

/// Says why no session was lent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// The account was locked or logged out.
    #[error("the account was locked")]
    Closed,
    /// All are in use.
    #[error("{MOST} sessions are in use")]
    Full,
    /// A new one could not be opened.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A session lent to one tool connection.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    slot: Arc<Slot>,
    /// Whether it had served a request before it was lent.
    pub(crate) reused: bool,
}

impl Pool {
    /// Lends an idle session that still lives, else a new one from `open`.
    pub(crate) fn lend(
        self: &Arc<Self>,
        open: impl FnOnce() -> Result<Link, LinkError>,
    ) -> Result<Lease, PoolError> {
        if let Some(slot) = self.take_idle()? {
            return Ok(self.lease(slot, true));
        }
        let opened = open().and_then(|link| {
            let breaker = link.breaker()?;
            Ok((link, breaker))
        });
        let mut slots = hold(&self.slots);
        slots.opening -= 1;
        let (link, breaker) = opened?;
        if slots.closed {
            return Err(PoolError::Closed);
        }
        let slot = Arc::new(Slot {
            link: Mutex::new(Some(link)),
            breaker,
        });
        slots.lent.push(Arc::clone(&slot));
        drop(slots);
        Ok(self.lease(slot, false))
    }

    /// Tells whether any session is open.
    pub(crate) fn is_online(&self) -> bool {
        let slots = hold(&self.slots);
        !slots.lent.is_empty() || slots.idle.iter().any(|slot| is_fresh(slot))
    }

    /// Forgets idle sessions that smrd has given up.
    pub(crate) fn prune(&self) {
        hold(&self.slots).idle.retain(|slot| is_fresh(slot));
    }

    /// Takes over the idle sessions of `next` in place of its own; those that
    /// are lent stay lent.
    pub(crate) fn turn_over(&self, next: &Pool) {
        let fresh = std::mem::take(&mut hold(&next.slots).idle);
        let stale = std::mem::replace(&mut hold(&self.slots).idle, fresh);
        stale.iter().for_each(|slot| slot.cut());
    }

    /// Ends every session and wipes its keys; lends no more.
    pub(crate) fn close(&self) {
        let mut slots = hold(&self.slots);
        slots.closed = true;
        let all: Vec<_> = slots.idle.drain(..).collect();
        let lent: Vec<_> = slots.lent.drain(..).collect();
        drop(slots);
        all.iter().chain(&lent).for_each(|slot| slot.cut());
    }

    // None means that a new one may be opened, and is already counted.
    fn take_idle(&self) -> Result<Option<Arc<Slot>>, PoolError> {
        let mut slots = hold(&self.slots);
        if slots.closed {
            return Err(PoolError::Closed);
        }
        while let Some(slot) = slots.idle.pop() {
            if is_fresh(&slot) {
                slots.lent.push(Arc::clone(&slot));
                return Ok(Some(slot));
            }
        }
        if slots.lent.len() + slots.opening >= MOST {
            return Err(PoolError::Full);
        }
        slots.opening += 1;
        Ok(None)
    }

    fn lease(self: &Arc<Self>, slot: Arc<Slot>, reused: bool) -> Lease {
        Lease {
            pool: Arc::clone(self),
            slot,
            reused,
        }
    }
}

fn is_fresh(slot: &Slot) -> bool {
    hold(&slot.link).as_ref().is_some_and(Link::is_fresh)
}

impl Lease {
    /// Lends the session itself for one request; none when it is over.
    pub(crate) fn link(&self) -> MutexGuard<'_, Option<Link>> {
        hold(&self.slot.link)
    }

    /// Tells whether the session can take a request.
    pub(crate) fn is_fresh(&self) -> bool {
        is_fresh(&self.slot)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut slots = hold(&self.pool.slots);
        slots.lent.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
        let whole = hold(&self.slot.link).is_some();
        if whole && !slots.closed {
            slots.idle.push(Arc::clone(&self.slot));
        } else {
            self.slot.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Pool, PoolError};
    use crate::link::LinkError;

    fn refused() -> LinkError {
        LinkError::Unexpected
    }

    #[test]
    fn failed_openings_are_not_counted() {
        let pool = Arc::new(Pool::default());
        for _ in 0..super::MOST + 1 {
            let result = pool.lend(|| Err(refused()));
            assert!(matches!(result, Err(PoolError::Link(_))));
        }
        assert!(!pool.is_online());
    }

    #[test]
    fn closed_pools_lend_nothing() {
        let pool = Arc::new(Pool::default());
        pool.close();
        let result = pool.lend(|| panic!("a session was opened"));
        assert!(matches!(result, Err(PoolError::Closed)));
    }
}
