//! The log: one line of `key=value` pairs for each thing that happened.
//!
//! Never carries a subject, a body, a key or a signature; texts of others are
//! quoted, and their control characters escaped.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use smr_name::MailboxName;

use crate::config::Level;
use crate::house::now;

/// Where finished lines go; they carry no line end.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// How often the lines of an event are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rate {
    /// Most of many are left out, and counted.
    Bounded,
    /// Always: it has changed the store, or given mail away, and these have
    /// bounds of their own. What is repeated has none.
    Always,
}
use Rate::{Always, Bounded};

/// Every event there is; the names are stable, and smrd(8) lists them with
/// their keys.
const EVENTS: [(&str, Rate); 38] = [
    ("card-login", Bounded),
    ("confined", Bounded),
    ("damaged-cache", Bounded),
    ("deposit", Always),
    ("device-added", Always),
    ("device-removed", Always),
    ("displaced", Bounded),
    ("end", Bounded),
    ("enrol", Bounded),
    ("enrolled", Always),
    ("fetched", Always),
    ("full", Bounded),
    ("join", Bounded),
    ("joined", Bounded),
    ("keys-renewed", Always),
    ("keys-waiting", Bounded),
    ("limits", Bounded),
    ("listen", Bounded),
    ("listening", Bounded),
    ("login", Bounded),
    ("metrics", Bounded),
    ("no-revocation-data", Bounded),
    ("not-reloaded", Bounded),
    ("notify", Bounded),
    ("receipt", Always),
    ("record", Always),
    ("refused", Bounded),
    ("reloaded", Bounded),
    ("remove", Always),
    ("request", Bounded),
    ("revocation-data", Bounded),
    ("stopped", Bounded),
    ("store", Bounded),
    ("stored-record", Bounded),
    ("stranger", Bounded),
    ("succession", Bounded),
    ("suppressed", Bounded),
    ("unconfined", Bounded),
];

/// Returns the place of an event in EVENTS; none: smrd(8) does not know it.
fn place(event: &str) -> Option<usize> {
    EVENTS.iter().position(|(name, _)| *name == event)
}

/// Lines of one kind that may come at once; then one a second.
const BURST: i64 = 100;

/// Seconds after which it is told how many lines were left out, though no more
/// of their kind come.
const TELL: i64 = 60;

/// What a line tells of: what anybody can bring about is counted for itself, so
/// that a flood of it hides nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About {
    /// smrd itself, or somebody who was let in.
    Any,
    /// A peer that was not let in.
    Stranger,
    /// What was done before, and has changed nothing.
    Repeat,
}

impl About {
    /// Returns what tells of a change, or of one that was made before.
    pub(crate) fn of(repeated: bool) -> About {
        match repeated {
            true => About::Repeat,
            false => About::Any,
        }
    }

    /// Returns whose lines these are where they are not just anybody's.
    fn word(self) -> Option<&'static str> {
        match self {
            About::Any => None,
            About::Stranger => Some("strangers"),
            About::Repeat => Some("repeats"),
        }
    }
}

/// Lines that are counted together: of what, about whom, by which account.
type Key = (&'static str, About, Option<MailboxName>);

/// The log of one smrd; clones write to the same sink.
#[derive(Clone)]
pub struct Log {
    sink: Sink,
    level: Level,
    kinds: Arc<Mutex<HashMap<Key, Kind>>>,
    /// The second in which it was last seen whether something is to be told.
    settled: Arc<AtomicI64>,
    /// How often each event was, written or not, in the order of EVENTS.
    counts: Arc<[AtomicU64; EVENTS.len()]>,
}

/// How often one kind of line has come.
struct Kind {
    /// Lines that may be written now.
    left: i64,
    /// When that was reckoned, unix seconds.
    at: i64,
    /// Lines left out since that was last told.
    suppressed: u64,
    /// When the first of them was, unix seconds.
    since: i64,
}

impl Kind {
    fn new(now: i64) -> Kind {
        Kind {
            left: BURST,
            at: now,
            suppressed: 0,
            since: now,
        }
    }

    /// Reckons how many lines may be written now.
    fn reckon(&mut self, now: i64) {
        let more = now.saturating_sub(self.at).max(0);
        (self.left, self.at) = (self.left.saturating_add(more).min(BURST), now);
    }

    /// Tells whether nothing of it need be kept.
    fn is_over(&mut self, now: i64) -> bool {
        self.reckon(now);
        self.left == BURST && self.suppressed == 0
    }

    /// Takes leave to write one line.
    fn take(&mut self, now: i64) -> bool {
        self.reckon(now);
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        if self.suppressed == 0 {
            self.since = now;
        }
        self.suppressed += 1;
        false
    }
}

impl Log {
    /// Makes a log that drops what is below `level`.
    pub fn new(level: Level, sink: Sink) -> Self {
        Log {
            sink,
            level,
            kinds: Arc::default(),
            settled: Arc::default(),
            counts: Arc::new([const { AtomicU64::new(0) }; EVENTS.len()]),
        }
    }

    /// Begins a line; nothing is written before `send`. Of a kind that comes
    /// too often most are left out, and counted; at the level debug none is.
    pub(crate) fn line(&self, level: Level, event: &'static str) -> Line<'_> {
        self.line_about(About::Any, level, event)
    }

    /// Begins a line that is counted with those about the same.
    pub(crate) fn line_about(&self, about: About, level: Level, event: &'static str) -> Line<'_> {
        self.begin(level, (event, about, None))
    }

    /// Begins a line about what an account did, counted with those of its own.
    pub(crate) fn line_by(&self, who: &MailboxName, level: Level, event: &'static str) -> Line<'_> {
        self.begin(level, (event, About::Any, Some(who.clone())))
    }

    fn begin(&self, level: Level, key: Key) -> Line<'_> {
        let event = key.0;
        let place = place(event);
        debug_assert!(place.is_some(), "{event} is not among EVENTS");
        if let Some(count) = place.and_then(|place| self.counts.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let rate = place.and_then(|place| EVENTS.get(place));
        let rate = rate.map_or(Bounded, |(_, rate)| *rate);
        let written = level <= self.level && self.is_due(level, rate, key);
        let text = written.then(|| format!("level={} event={event}", level.as_str()));
        Line { log: self, text }
    }

    // A count changes in one step, so a poisoned map is still right.
    fn kinds(&self) -> MutexGuard<'_, HashMap<Key, Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how often an event was since smrd started, written or not.
    pub(crate) fn count(&self, event: &str) -> u64 {
        let count = place(event).and_then(|place| self.counts.get(place));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn is_due(&self, level: Level, rate: Rate, key: Key) -> bool {
        if level == Level::Debug || (rate == Always && key.1 != About::Repeat) {
            return true;
        }
        let now = now();
        let mut kinds = self.kinds();
        let kind = kinds.entry(key.clone()).or_insert_with(|| Kind::new(now));
        if !kind.take(now) {
            return false;
        }
        let suppressed = std::mem::take(&mut kind.suppressed);
        drop(kinds);
        self.tell(&key, suppressed);
        true
    }

    /// Says that whoever supervises smrd did not hear a word, where that is so.
    pub(crate) fn heard(&self, told: std::io::Result<()>) {
        if let Err(error) = told {
            self.line(Level::Warn, "notify").with("why", error).send();
        }
    }

    /// Tells how many lines were left out, where that is due.
    pub(crate) fn settle(&self) {
        let now = now();
        // Often asked for, and there is a kind for each account that did something.
        if self.settled.swap(now, Ordering::Relaxed) == now {
            return;
        }
        // A clock set back must not keep them untold.
        self.settle_those(|kind| kind.since > now || kind.since <= now.saturating_sub(TELL));
        self.kinds().retain(|_, kind| !kind.is_over(now));
    }

    /// Tells how many lines were left out until now.
    pub(crate) fn settle_all(&self) {
        self.settle_those(|_| true);
    }

    fn settle_those(&self, which: impl Fn(&Kind) -> bool) {
        let mut kinds = self.kinds();
        let due = kinds.iter_mut().filter(|(_, kind)| which(kind));
        let due = due.map(|(key, kind)| (key.clone(), std::mem::take(&mut kind.suppressed)));
        let due: Vec<_> = due.filter(|(_, suppressed)| *suppressed > 0).collect();
        drop(kinds);
        for (key, suppressed) in due {
            self.tell(&key, suppressed);
        }
    }

    fn tell(&self, (event, about, by): &Key, suppressed: u64) {
        if suppressed == 0 {
            return;
        }
        let text = Some("level=warn event=suppressed".to_owned());
        let line = Line { log: self, text };
        let mut line = line.with("kind", event).with("lines", suppressed);
        if let Some(of) = about.word() {
            line = line.with("of", of);
        }
        match by {
            Some(who) => line.with("account", who).send(),
            None => line.send(),
        }
    }
}

/// A line being written.
pub(crate) struct Line<'a> {
    log: &'a Log,
    text: Option<String>,
}

fn plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-:@/[],+%".contains(&b))
}

impl Line<'_> {
    /// Adds a pair; `key` is ours, `value` may be anybody's.
    pub(crate) fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let Some(text) = &mut self.text else {
            return self;
        };
        let value = value.to_string();
        let written = if plain(&value) {
            write!(text, " {key}={value}")
        } else {
            write!(text, " {key}={value:?}")
        };
        debug_assert!(written.is_ok(), "a String takes all text");
        self
    }

    /// Hands the line to the sink.
    pub(crate) fn send(self) {
        if let Some(text) = self.text {
            let now = Timestamp::from_second(now()).unwrap_or(Timestamp::UNIX_EPOCH);
            (self.log.sink)(&format!("time={now} {text}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Log};
    use crate::config::Level;
    use std::sync::{Arc, Mutex};

    fn logged(level: Level, write: impl FnOnce(&Log)) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let log = Log::new(
            level,
            Arc::new(move |l| sink.lock().unwrap().push(l.to_owned())),
        );
        write(&log);
        let lines = lines.lock().unwrap();
        let untimed = |line: &String| {
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
            rest.to_owned()
        };
        lines.iter().map(untimed).collect()
    }

    #[test]
    fn pairs_are_written_in_order() {
        let lines = logged(Level::Info, |log| {
            log.line(Level::Info, "deposit")
                .with("size", 7)
                .with("to", "rui")
                .send();
        });
        assert_eq!(lines, ["level=info event=deposit size=7 to=rui"]);
    }

    #[test]
    fn foreign_text_cannot_make_lines_or_pairs() {
        let lines = logged(Level::Info, |log| {
            log.line(Level::Warn, "stored-record")
                .with("who", "a\nlevel=info b=\"\u{1b}[2J")
                .with("none", "")
                .send();
        });
        assert_eq!(
            lines,
            ["level=warn event=stored-record who=\"a\\nlevel=info b=\\\"\\u{1b}[2J\" none=\"\""]
        );
    }

    /// Returns how many lines of a kind may have been written since then: a
    /// burst, and one each second.
    fn most(since: i64) -> usize {
        usize::try_from(super::BURST + crate::house::now() - since).unwrap()
    }

    #[test]
    fn repeats_of_a_kind_are_counted_and_left_out() {
        let begun = crate::house::now();
        let lines = logged(Level::Debug, |log| {
            for _ in 0..super::BURST + 1000 {
                log.line(Level::Warn, "full").send();
                log.line(Level::Info, "deposit").send();
                log.line(Level::Debug, "request").send();
            }
            log.settle();
            log.line(Level::Warn, "refused").send();
            log.settle_all();
        });
        let count = |event: &str| lines.iter().filter(|line| line.contains(event)).count();
        assert_eq!(count("event=deposit"), 1100, "what is in the store is told");
        assert_eq!(
            count("event=request"),
            1100,
            "debug is for whoever wants all"
        );
        assert_eq!(count("event=refused"), 1, "another kind is not touched");
        let full = count("event=full");
        assert!((100..=most(begun)).contains(&full), "{full}");
        let told = lines.iter().filter_map(|line| {
            let count = line.strip_prefix("level=warn event=suppressed kind=full lines=")?;
            count.parse::<usize>().ok()
        });
        assert_eq!(full + told.sum::<usize>(), 1100, "none goes untold");
    }

    #[test]
    fn a_flood_hides_nothing_else() {
        let begun = crate::house::now();
        let lines = logged(Level::Info, |log| {
            for _ in 0..super::BURST + 1000 {
                log.line_about(About::Stranger, Level::Warn, "refused")
                    .send();
                log.line_about(About::Repeat, Level::Info, "deposit").send();
            }
            for _ in 0..super::BURST {
                log.line(Level::Warn, "refused")
                    .with("account", "ana")
                    .send();
            }
            log.line(Level::Info, "deposit").with("id", 1).send();
            log.settle_all();
        });
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("event=refused account=ana"), 100);
        assert_eq!(count("event=deposit id=1"), 1);
        let repeats = count("event=deposit") - 1;
        assert!(repeats <= most(begun), "repeats are bounded too: {repeats}");
        for (kind, of) in [("refused", "of=strangers"), ("deposit", "of=repeats")] {
            let begin = format!("level=warn event=suppressed kind={kind} lines=");
            let mut told = lines.iter().filter(|line| line.starts_with(&begin));
            assert!(told.all(|line| line.ends_with(of)), "{kind}");
            assert!(count(&begin) > 0, "{kind}");
        }
    }

    #[test]
    fn accounts_are_counted_apart_and_forgotten() {
        let (ana, eve) = ("ana".parse().unwrap(), "eve".parse().unwrap());
        let begun = crate::house::now();
        let lines = logged(Level::Info, |log| {
            for _ in 0..super::BURST + 1000 {
                log.line_by(&eve, Level::Info, "login").send();
            }
            log.line_by(&ana, Level::Info, "login")
                .with("account", "ana")
                .send();
            log.settle_all();
            let mut kinds = log.kinds();
            let later = crate::house::now() + super::BURST;
            kinds.retain(|_, kind| !kind.is_over(later));
            assert!(kinds.is_empty());
        });
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("event=login account=ana"), 1);
        assert!(count("event=login") - 1 <= most(begun));
        assert!(count("event=suppressed kind=login lines=") > 0);
        assert_eq!(count("event=suppressed"), count("account=eve"));
    }

    #[test]
    fn leave_to_write_comes_back_with_time() {
        let mut kind = super::Kind::new(0);
        for _ in 0..super::BURST {
            assert!(kind.take(0));
        }
        assert!(!kind.take(0));
        assert!(kind.take(1), "one a second");
        assert!(!kind.take(1));
        // A clock set back takes nothing away, and gives nothing.
        assert!(!kind.take(-100));
        assert!(kind.take(1000));
        assert_eq!(kind.left, super::BURST - 1);
        assert_eq!((kind.suppressed, kind.since), (3, 0));
    }

    #[test]
    fn the_page_lists_every_event_and_no_other() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../man/smrd.8");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, table) = page.split_once("\nlevel  event ").unwrap();
        let (table, _) = table.split_once("\n.Ed\n").unwrap();
        let levels = ["error", "warn", "info", "debug", "any"];
        let rows = table.lines().filter_map(|row| {
            let mut words = row.split_whitespace();
            let level = words.next().filter(|_| !row.starts_with(' '))?;
            assert!(levels.contains(&level), "{row}");
            words.next()
        });
        let mut listed: Vec<&str> = rows.collect();
        listed.sort_unstable();
        let all: Vec<&str> = super::EVENTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, all);
    }

    #[test]
    fn quiet_levels_are_dropped() {
        let lines = logged(Level::Warn, |log| {
            log.line(Level::Info, "login").send();
            log.line(Level::Error, "store").send();
        });
        assert_eq!(lines, ["level=error event=store"]);
    }
}
