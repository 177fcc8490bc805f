//! The two instants: whether a list or an answer speaks for the time that is
//! asked about.
//!
//! Knows nothing of what it says.

use super::super::Rules;
use crate::certificate::Certificate;

/// The time in question, for one certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    now: i64,
    signed: Option<i64>,
    max_age: Option<i64>,
    skew: i64,
    /// When the certificate ends: an authority forgets it then.
    ends: i64,
}

impl Moment {
    pub(super) fn of(rules: &Rules, certificate: &Certificate) -> Moment {
        Moment {
            now: rules.now,
            signed: rules.signed,
            max_age: rules.max_age,
            skew: rules.clock_skew.max(0),
            ends: certificate.not_after(),
        }
    }

    /// Returns the time itself.
    pub(super) fn time(&self) -> i64 {
        self.signed.unwrap_or(self.now)
    }

    /// Says whether something made at `this`, due again at `next`, may be used:
    /// it was current at the time in question; or, of a signature long ago, it
    /// was made since, while the certificate had not expired yet (or its maker
    /// remembers expired ones).
    pub(super) fn takes(&self, this: i64, next: Option<i64>, keeps_expired: bool) -> bool {
        let remembered = this <= self.ends || keeps_expired;
        let since = self
            .signed
            .is_some_and(|signed| this >= signed && self.has_begun(this, self.now) && remembered);
        since || self.was_current(this, next)
    }

    /// Between its updates and not too old; without a next update the age
    /// decides alone.
    fn was_current(&self, this: i64, next: Option<i64>) -> bool {
        let time = self.time();
        let young = self
            .max_age
            .is_none_or(|age| time.saturating_sub(this) <= age);
        let due = match next {
            Some(next) => time <= next,
            None => self.max_age.is_some(),
        };
        self.has_begun(this, time) && young && due
    }

    fn has_begun(&self, this: i64, time: i64) -> bool {
        this <= time.saturating_add(self.skew)
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    fn moment(now: i64, signed: Option<i64>, max_age: Option<i64>) -> Moment {
        Moment {
            now,
            signed,
            max_age,
            skew: 0,
            ends: 1000,
        }
    }

    #[test]
    fn a_list_is_current_between_its_updates() {
        let takes = |now| moment(now, None, None).takes(100, Some(200), false);
        assert!(takes(100) && takes(200));
        assert!(!takes(99) && !takes(201));
    }

    #[test]
    fn age_limits_what_the_list_says_itself() {
        let takes = |now, age| moment(now, None, Some(age)).takes(100, Some(200), false);
        assert!(takes(150, 50));
        assert!(!takes(151, 50));
        assert!(!takes(201, 1000));
    }

    #[test]
    fn without_a_next_update_only_age_helps() {
        assert!(!moment(101, None, None).takes(100, None, false));
        assert!(moment(101, None, Some(10)).takes(100, None, false));
        assert!(!moment(111, None, Some(10)).takes(100, None, false));
    }

    #[test]
    fn a_clock_that_is_behind_is_forgiven_as_far_as_the_skew() {
        let late = Moment {
            skew: 10,
            ..moment(90, None, None)
        };
        assert!(late.takes(100, Some(200), false));
        assert!(!late.takes(101, Some(200), false));
    }

    #[test]
    fn what_was_made_since_speaks_for_the_past() {
        let then = moment(5000, Some(500), Some(10));
        // Current then; made since; made before and over then.
        assert!(then.takes(495, Some(600), false));
        assert!(then.takes(900, Some(950), false));
        assert!(!then.takes(400, Some(450), false));
        assert!(!then.takes(400, Some(600), false), "too old then");
        // From the future; and made when the certificate was forgotten.
        assert!(!then.takes(5001, Some(6000), false));
        assert!(!then.takes(1001, Some(6000), false));
        assert!(then.takes(1001, Some(6000), true));
    }
}
