//! The log: one line of `key=value` pairs for each thing that happened.
//!
//! Never carries a subject, a body, a key or a signature; texts of others are
//! quoted, and their control characters escaped.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::Level;
use crate::house::now;

/// Where finished lines go; they carry no line end.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// The log of one smrd; clones write to the same sink.
#[derive(Clone)]
pub struct Log {
    sink: Sink,
    level: Level,
}

impl Log {
    /// Makes a log that drops what is below `level`.
    pub fn new(level: Level, sink: Sink) -> Self {
        Log { sink, level }
    }

    /// Begins a line; nothing is written before `send`.
    pub(crate) fn line(&self, level: Level, event: &str) -> Line<'_> {
        let text = (level <= self.level).then(|| format!("level={} event={event}", level.as_str()));
        Line { log: self, text }
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
    use super::Log;
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
            log.line(Level::Warn, "x")
                .with("who", "a\nlevel=info b=\"\u{1b}[2J")
                .with("none", "")
                .send();
        });
        assert_eq!(
            lines,
            ["level=warn event=x who=\"a\\nlevel=info b=\\\"\\u{1b}[2J\" none=\"\""]
        );
    }

    #[test]
    fn quiet_levels_are_dropped() {
        let lines = logged(Level::Warn, |log| {
            log.line(Level::Info, "a").send();
            log.line(Level::Error, "b").send();
        });
        assert_eq!(lines, ["level=error event=b"]);
    }
}
