//! Times for people and for scripts.
//!
//! Reads no clock: `now` comes from the caller.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::words::say;

const DURATIONS: [(&str, i64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// Says that a text is not a time or a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TimeError {
    /// Not a time.
    #[error(
        "not a time, expected 2026-01-31, yesterday, 2026-01-31T18:04:00Z, or 7d for seven days ago"
    )]
    Time,
    /// Not a duration.
    #[error("not a duration, expected a number and s, m, h or d, such as 90s, 10m, 8h or 7d")]
    Duration,
}

/// Writes unix seconds as RFC 3339 in UTC, for scripts.
pub fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

/// Writes unix seconds as asctime(3) does, in UTC, for mbox files.
pub fn asctime(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_| seconds.to_string(),
        |t| t.strftime("%a %b %e %H:%M:%S %Y").to_string(),
    )
}

/// Writes unix seconds in local time, as short as `now` allows: `18:04`
/// within the same day, `31 Jan 18:04` within the same year, else `2026-01-31`.
pub fn short(seconds: i64, now: i64) -> String {
    short_in(seconds, now, &TimeZone::system())
}

/// Writes unix seconds as [`short`] does, for a person: a month is named in his
/// language.
pub fn shown(seconds: i64, now: i64) -> String {
    let short = short(seconds, now);
    let month = |word| say(word);
    short.split(' ').map(month).collect::<Vec<_>>().join(" ")
}

fn short_in(seconds: i64, now: i64, zone: &TimeZone) -> String {
    let local = |t| Timestamp::from_second(t).map(|t| t.to_zoned(zone.clone()));
    let (Ok(then), Ok(today)) = (local(seconds), local(now)) else {
        return seconds.to_string();
    };
    let form = if then.date() == today.date() {
        "%H:%M"
    } else if then.year() == today.year() {
        "%e %b %H:%M"
    } else {
        "%Y-%m-%d"
    };
    then.strftime(form).to_string().trim_start().to_owned()
}

/// Reads a time: RFC 3339, a local date or date and time, `today` or
/// `yesterday` (their first moment), `now`, `@UNIXSECONDS`, or a duration
/// before `now`. Returns unix seconds.
pub fn parse(text: &str, now: i64) -> Result<i64, TimeError> {
    parse_in(text, now, &TimeZone::system())
}

fn parse_in(text: &str, now: i64, zone: &TimeZone) -> Result<i64, TimeError> {
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().map_err(|_| TimeError::Time);
    }
    if let Ok(ago) = duration(text) {
        return now.checked_sub_unsigned(ago).ok_or(TimeError::Time);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let today = || Timestamp::from_second(now).map(|t| t.to_zoned(zone.clone()).date());
    let midnight = |date: Date| date.to_datetime(jiff::civil::Time::midnight());
    let civil = match text {
        "now" => return Ok(now),
        "today" => today().map(midnight),
        "yesterday" => today().and_then(|day| day.yesterday()).map(midnight),
        // A date alone is its first moment; jiff would take a bare time for today.
        text => match text.parse::<Date>() {
            Ok(date) if text.len() == 10 => Ok(midnight(date)),
            _ => text.parse::<DateTime>(),
        },
    };
    let civil = civil.map_err(|_| TimeError::Time)?;
    let zoned = civil.to_zoned(zone.clone()).map_err(|_| TimeError::Time)?;
    Ok(zoned.timestamp().as_second())
}

/// Reads a duration such as `90s`, `10m`, `8h` or `7d`, in seconds.
pub fn duration(text: &str) -> Result<u64, TimeError> {
    let (digits, factor) = DURATIONS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor as u64)))
        .ok_or(TimeError::Duration)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Duration);
    }
    let number: u64 = digits.parse().map_err(|_| TimeError::Duration)?;
    number.checked_mul(factor).ok_or(TimeError::Duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lisbon() -> TimeZone {
        TimeZone::posix("WET0WEST,M3.5.0/1,M10.5.0").unwrap()
    }

    const NOW: i64 = 1_782_842_640; // 2026-06-30T18:04:00Z

    #[test]
    fn scripts_get_utc() {
        assert_eq!(rfc3339(NOW), "2026-06-30T18:04:00Z");
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
        assert_eq!(asctime(NOW), "Tue Jun 30 18:04:00 2026");
        assert_eq!(asctime(0), "Thu Jan  1 00:00:00 1970");
    }

    #[test]
    fn people_get_local_time_as_short_as_can_be() {
        let short = |t| short_in(t, NOW, &lisbon());
        assert_eq!(short(NOW), "19:04");
        assert_eq!(short(NOW - 86_400 * 29), "1 Jun 19:04");
        assert_eq!(short(NOW - 86_400 * 365), "2025-06-30");
    }

    #[test]
    fn times_are_read_in_every_form() {
        let parse = |text| parse_in(text, NOW, &lisbon());
        assert_eq!(parse("2026-06-30T18:04:00Z"), Ok(NOW));
        assert_eq!(parse("2026-06-30T19:04:00+01:00"), Ok(NOW));
        assert_eq!(parse("2026-06-30 19:04"), Ok(NOW));
        assert_eq!(parse("2026-06-30"), Ok(NOW - 68_640));
        assert_eq!(parse("@1782842640"), Ok(NOW));
        assert_eq!(parse("1d"), Ok(NOW - 86_400));
        assert_eq!(parse("now"), Ok(NOW));
        assert_eq!(parse("today"), Ok(NOW - 68_640));
        assert_eq!(parse("yesterday"), Ok(NOW - 68_640 - 86_400));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "@",
            "@x",
            "tomorrow",
            "Yesterday",
            "2026-13-01",
            "18:04",
            "30/06/2026",
        ] {
            assert_eq!(
                parse_in(text, NOW, &lisbon()),
                Err(TimeError::Time),
                "{text}"
            );
        }
        for text in ["", "8", "h", "-8h", "1.5h", "8 h", "99999999999999999999d"] {
            assert_eq!(duration(text), Err(TimeError::Duration), "{text}");
        }
        assert_eq!(duration("8h"), Ok(28_800));
    }
}
