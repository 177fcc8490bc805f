//! The chain of keys under a session: each message has a key of its own, and
//! keys that were used are gone.
//!
//! Knows neither chunks nor requests.

use crate::label::{self, Key};
use crate::noise::Split;
use crate::suite::Suite;

/// Seconds of use after which a client renews the session key.
pub const RENEW_AFTER: i64 = 120;

/// Seconds of use after which smrd serves nothing but a renewal.
pub const OVERDUE_AFTER: i64 = 300;

/// The fewest messages between two renewals.
const FEWEST: u64 = 64;
/// The most messages between two renewals.
const MOST: u64 = 1024;

/// The chain key, wiped when dropped, and what is used of it.
pub(crate) struct Ratchet {
    chain: Key,
    /// Messages after which a renewal is due, 64 to 1024.
    limit: u64,
    /// Messages since the last renewal, both directions.
    used: u64,
    /// When the last renewal was, unix seconds.
    since: i64,
}

/// Says who speaks; part of every message's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Direction {
    Request = 1,
    Reply = 2,
}

impl Direction {
    /// Message 0 is the reply to the introduction; then they alternate.
    pub(crate) fn of(number: u64) -> Self {
        match number.is_multiple_of(2) {
            true => Direction::Reply,
            false => Direction::Request,
        }
    }
}

/// Derives the session's id and its first chain key from the handshake.
pub(crate) fn begin(split: &Split, suite: Suite, now: i64) -> ([u8; 32], Ratchet) {
    let root = label::extract(&split.hash, &*split.keys);
    let id = label::expand(&root, label::SESSION_ID, &[suite.code()]);
    let chain = label::expand(&root, label::FIRST_CHAIN, &[suite.code()]);
    (*id, Ratchet::new(chain, now))
}

impl Ratchet {
    fn new(chain: Key, now: i64) -> Self {
        Ratchet {
            limit: limit(&chain),
            chain,
            used: 0,
            since: now,
        }
    }

    /// Returns the key of message `number` and steps past it: whoever learns
    /// the chain later cannot come back to this key.
    pub(crate) fn message_key(&mut self, number: u64) -> Key {
        let mut context = [Direction::of(number) as u8; 9];
        context[1..].copy_from_slice(&number.to_be_bytes());
        let key = label::expand(&self.chain, label::MESSAGE_KEY, &context);
        self.chain = label::expand(&self.chain, label::NEXT_CHAIN, &[]);
        self.used = self.used.saturating_add(1);
        key
    }

    /// Mixes fresh secrets in: whoever knew the chain knows it no longer.
    /// `transcript` covers the exchange that made them.
    pub(crate) fn renew(&mut self, secrets: &Fresh, transcript: &[u8; 32], now: i64) {
        let mut both = zeroize::Zeroizing::new([0; 64]);
        let (left, right) = both.split_at_mut(32);
        left.copy_from_slice(&*secrets.x25519);
        right.copy_from_slice(&*secrets.mlkem);
        let root = label::extract(&self.chain, &*both);
        *self = Ratchet::new(label::expand(&root, label::RENEW, transcript), now);
    }

    /// Returns N, after how many messages a renewal is due.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Tells whether the client must renew before it asks anything else.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        self.used >= self.limit || now.saturating_sub(self.since) >= RENEW_AFTER
    }

    /// Tells whether more messages have been used than a client in order uses.
    pub(crate) fn is_spent(&self) -> bool {
        self.used > self.limit
    }

    /// Tells whether smrd serves nothing but a renewal.
    pub(crate) fn is_overdue(&self, now: i64) -> bool {
        self.is_spent() || now.saturating_sub(self.since) > OVERDUE_AFTER
    }
}

/// The fresh secrets of one renewal.
pub(crate) struct Fresh {
    pub(crate) x25519: Key,
    pub(crate) mlkem: Key,
}

/// Derives how many messages this chain may serve: nobody chooses it, and
/// nobody who does not know the chain can foresee it.
fn limit(chain: &Key) -> u64 {
    let bytes = label::expand(chain, label::LIMIT, &[]);
    let number = bytes
        .first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head));
    FEWEST + number % (MOST - FEWEST + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Direction, FEWEST, Fresh, MOST, Ratchet};
    use crate::label::Key;

    fn ratchet(seed: u8) -> Ratchet {
        Ratchet::new(Key::new([seed; 32]), 1000)
    }

    fn fresh(x25519: u8, mlkem: u8) -> Fresh {
        Fresh {
            x25519: Key::new([x25519; 32]),
            mlkem: Key::new([mlkem; 32]),
        }
    }

    #[test]
    fn directions_alternate_from_a_reply() {
        assert_eq!(Direction::of(0), Direction::Reply);
        assert_eq!(Direction::of(1), Direction::Request);
        assert_eq!(Direction::of(2), Direction::Reply);
    }

    #[test]
    fn every_message_has_a_key_of_its_own() {
        let mut a = ratchet(1);
        let keys: Vec<[u8; 32]> = (0..2000).map(|n| *a.message_key(n)).collect();
        let unique: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len());
        let mut b = ratchet(1);
        assert_eq!(*b.message_key(0), keys[0]);
        // the number is part of the key, not only the place in the chain
        assert_ne!(*b.message_key(2), keys[1]);
    }

    #[test]
    fn limits_spread_over_their_whole_range() {
        let limits: Vec<u64> = (0..=255).map(|seed| ratchet(seed).limit).collect();
        assert!(limits.iter().all(|l| (FEWEST..=MOST).contains(l)));
        assert!(limits.iter().any(|l| *l < 200) && limits.iter().any(|l| *l > 900));
    }

    #[test]
    fn renewal_is_due_by_count_and_by_time() {
        let mut a = ratchet(1);
        let limit = a.limit;
        assert!(!a.is_due(1119) && a.is_due(1120));
        assert!(!a.is_overdue(1300) && a.is_overdue(1301));
        for number in 0..limit - 1 {
            a.message_key(number);
        }
        assert!(!a.is_due(1000));
        a.message_key(limit);
        assert!(a.is_due(1000) && !a.is_overdue(1000));
        a.message_key(limit + 1);
        assert!(a.is_spent() && a.is_overdue(1000));
        a.renew(&fresh(1, 2), &[3; 32], 5000);
        assert!(!a.is_due(5119) && a.is_due(5120) && !a.is_spent());
    }

    #[test]
    fn renewal_depends_on_all_that_goes_in() {
        let renewed = |x25519, mlkem, transcript, seed| {
            let mut a = ratchet(seed);
            a.renew(&fresh(x25519, mlkem), &[transcript; 32], 0);
            *a.chain
        };
        let base = renewed(1, 2, 3, 4);
        assert_eq!(base, renewed(1, 2, 3, 4));
        for other in [
            renewed(9, 2, 3, 4),
            renewed(1, 9, 3, 4),
            renewed(1, 2, 9, 4),
            renewed(1, 2, 3, 9),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_clock_gone_back_makes_nothing_due() {
        assert!(!ratchet(1).is_due(i64::MIN));
        assert!(ratchet(1).is_due(i64::MAX));
    }

    /// What becomes of a chain: messages, and renewals whose fresh secrets a
    /// hostile peer draws from few, or says again.
    #[derive(Clone, Debug)]
    enum Step {
        Messages(u64),
        Renewal(u8, u8, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..40u64).prop_map(Step::Messages),
            (0..2u8, 0..2u8, 0..2u8).prop_map(|(a, b, c)| Step::Renewal(a, b, c)),
        ]
    }

    proptest! {
        #[test]
        fn no_key_comes_twice_whatever_is_renewed(
            (seed, other) in (any::<[u8; 32]>(), any::<[u8; 32]>()),
            steps in proptest::collection::vec(step(), 1..24),
        ) {
            prop_assume!(seed != other);
            let start = |seed| Ratchet::new(Key::new(seed), 0);
            // The two ends of one session, and one of another.
            let (mut ours, mut theirs, mut strange) = (start(seed), start(seed), start(other));
            let mut seen = std::collections::HashSet::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Messages(count) => for _ in 0..count {
                        let key = *ours.message_key(number);
                        prop_assert_eq!(key, *theirs.message_key(number));
                        for secret in [key, *strange.message_key(number), *ours.chain, *strange.chain] {
                            prop_assert!(seen.insert(secret), "again at message {}", number);
                        }
                        number += 1;
                    },
                    Step::Renewal(x25519, mlkem, transcript) => {
                        for ratchet in [&mut ours, &mut theirs, &mut strange] {
                            ratchet.renew(&fresh(x25519, mlkem), &[transcript; 32], 0);
                            prop_assert!(!ratchet.is_spent());
                        }
                        prop_assert_eq!(ours.limit(), theirs.limit());
                        prop_assert!((FEWEST..=MOST).contains(&ours.limit()));
                        prop_assert!(seen.insert(*ours.chain) && seen.insert(*strange.chain));
                    }
                }
            }
        }
    }
}
