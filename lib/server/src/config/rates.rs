//! `[rates]`: how often, and how much at a time, what costs may be done.
//!
//! Counts nothing; see `crate::rates` and `crate::shares`.

use super::section::{Fault, Section};

/// `[rates]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Handshakes that one peer begins in a minute.
    pub handshakes: u32,
    /// Requests of one account that are served at a time.
    pub at_once: u32,
    /// Requests of one account in a minute.
    pub requests: u32,
    /// Messages that one account offers in a minute.
    pub deposits: u32,
    /// Sessions that one account begins in a minute.
    pub logins: u32,
    /// Records that one account publishes in an hour.
    pub records: u32,
    /// New accounts in an hour.
    pub enrolments: u32,
    /// Enrolments of one person in an hour, those that are refused too.
    pub enrolments_of_one: u32,
}

impl Rates {
    pub(super) fn read(mut section: Section<'_>) -> Result<Rates, Fault> {
        let mut number = |key, default| {
            let number = section.number(key, 1..=1_000_000)?;
            Ok(number.map_or(default, |number| number as u32))
        };
        let rates = Rates {
            handshakes: number("handshakes", 6_000)?,
            at_once: number("at_once", 64)?,
            requests: number("requests", 60_000)?,
            deposits: number("deposits", 6_000)?,
            logins: number("logins", 1_000)?,
            records: number("records", 60)?,
            enrolments: number("enrolments", 1_000)?,
            enrolments_of_one: number("enrolments_of_one", 60)?,
        };
        section.finish()?;
        Ok(rates)
    }
}
