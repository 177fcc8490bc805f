//! How often one peer, account or person, or all of them, may do what costs.
//!
//! Never waits, and keeps nobody in memory who has asked for little: a table
//! has those alone whose leave is not whole again.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use smr_evidence::trust::Person;
use smr_name::{Class, MailboxName};

use crate::config;
use crate::refusal::Refusal;

/// Entries from which a table is looked through for those that may go.
const SWEEP: usize = 1024;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// So many in a time for each key: all at once, then one each time that such a
/// share of it is over.
pub(crate) struct Rate<K> {
    /// What is done so often, as the metrics call it.
    pub(crate) name: &'static str,
    most: u32,
    time: Duration,
    table: Mutex<Table<K>>,
    refused: AtomicU64,
}

struct Table<K> {
    /// When the leave of each will be whole again.
    whole: HashMap<K, Instant>,
    sweep: usize,
}

impl<K: Hash + Eq> Rate<K> {
    fn new(name: &'static str, most: u32, time: Duration) -> Rate<K> {
        Rate {
            name,
            most,
            time,
            table: Mutex::new(Table {
                whole: HashMap::new(),
                sweep: SWEEP,
            }),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes leave once for `key`, or refuses.
    pub(crate) fn take(&self, key: K) -> Result<(), Refusal> {
        if self.take_at(key, Instant::now()) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(match self.time {
            MINUTE => Refusal::new(Class::Busy, "too many of these in a minute")
                .hint("try again in a minute"),
            _ => Refusal::new(Class::Busy, "too many of these in an hour")
                .hint("try again in an hour"),
        })
    }

    /// Returns how often leave was refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take_at(&self, key: K, now: Instant) -> bool {
        // Each entry changes in one step, so a poisoned table is still right.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.whole.len() >= table.sweep {
            table.whole.retain(|_, whole| *whole > now);
            table.sweep = SWEEP.max(2 * table.whole.len());
        }
        let whole = table.whole.entry(key).or_insert(now);
        let next = (*whole).max(now) + self.time / self.most.max(1);
        let leave = next.saturating_duration_since(now) <= self.time;
        if leave {
            *whole = next;
        }
        leave
    }
}

/// The rates of a smrd.
pub(crate) struct Rates {
    /// By what counts as one peer.
    pub(crate) handshakes: Rate<IpAddr>,
    pub(crate) requests: Rate<MailboxName>,
    pub(crate) deposits: Rate<MailboxName>,
    pub(crate) logins: Rate<MailboxName>,
    pub(crate) records: Rate<MailboxName>,
    pub(crate) enrolments: Rate<()>,
    pub(crate) of_one: Rate<Person>,
}

impl Rates {
    pub(crate) fn new(rates: &config::Rates) -> Rates {
        Rates {
            handshakes: Rate::new("handshakes", rates.handshakes, MINUTE),
            requests: Rate::new("requests", rates.requests, MINUTE),
            deposits: Rate::new("deposits", rates.deposits, MINUTE),
            logins: Rate::new("logins", rates.logins, MINUTE),
            records: Rate::new("records", rates.records, HOUR),
            enrolments: Rate::new("enrolments", rates.enrolments, HOUR),
            of_one: Rate::new("enrolments-of-one", rates.enrolments_of_one, HOUR),
        }
    }

    /// Returns how often each was refused.
    pub(crate) fn refused(&self) -> [(&'static str, u64); 7] {
        let of = |rate: &Rate<MailboxName>| (rate.name, rate.refused());
        [
            (self.handshakes.name, self.handshakes.refused()),
            of(&self.requests),
            of(&self.deposits),
            of(&self.logins),
            of(&self.records),
            (self.enrolments.name, self.enrolments.refused()),
            (self.of_one.name, self.of_one.refused()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{MINUTE, Rate, SWEEP};
    use smr_name::Class;
    use std::time::{Duration, Instant};

    #[test]
    fn so_many_at_once_and_then_their_share_of_the_time() {
        let rate = Rate::new("requests", 60, MINUTE);
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!((0..60).all(|_| rate.take_at("ana", begin)));
        assert!(!rate.take_at("ana", begin));
        assert!(rate.take_at("rui", begin), "another has his own");
        assert!(rate.take_at("ana", after(1)));
        assert!(!rate.take_at("ana", after(1)));
        assert!((0..60).all(|_| rate.take_at("ana", after(3600))));
        assert!(!rate.take_at("ana", after(3600)), "no more is saved up");
    }

    #[test]
    fn whoever_is_refused_is_told_and_counted() {
        let rate = Rate::new("deposits", 1, MINUTE);
        assert!(rate.take("ana").is_ok());
        let refusal = rate.take("ana").unwrap_err();
        assert_eq!(refusal.class, Class::Busy);
        assert_eq!(rate.refused(), 1);
    }

    #[test]
    fn those_who_have_asked_for_little_are_forgotten() {
        let rate = Rate::new("requests", 60, MINUTE);
        let begin = Instant::now();
        for number in 0..10 * SWEEP {
            let now = begin + Duration::from_millis(number as u64);
            assert!(rate.take_at(number, now));
            assert!(rate.table.lock().unwrap().whole.len() <= 2 * SWEEP);
        }
    }
}
