//! JSON Lines: one object on one line, `"v":1` and `"type"` first.
//!
//! Never localises, and never writes a character that a terminal obeys.

use std::fmt::Write;

pub use serde_json::Value;

use crate::text::is_hidden;
use crate::time;

/// Builds one line.
#[derive(Clone, Debug)]
pub struct Line(String);

impl Line {
    /// Begins a line of a type; the name is in snake_case.
    pub fn new(kind: &str) -> Line {
        let mut line = Line(String::from("{\"v\":1"));
        line.put("type", &Value::from(kind));
        line
    }

    fn put(&mut self, key: &str, value: &Value) {
        debug_assert!(
            key.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "keys are snake_case"
        );
        self.0.push_str(",\"");
        self.0.push_str(key);
        self.0.push_str("\":");
        for c in value.to_string().chars() {
            if !is_hidden(c) {
                self.0.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(self.0, "\\u{unit:04x}");
            }
        }
    }

    /// Adds a value; none becomes `null`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Line {
        self.put(key, &value.into());
        self
    }

    /// Adds a time given in unix seconds, as RFC 3339 in UTC.
    #[must_use]
    pub fn time(self, key: &str, seconds: i64) -> Line {
        self.with(key, time::rfc3339(seconds))
    }

    /// Ends the line; it has no line end of its own.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Value};

    #[test]
    fn version_and_type_come_first() {
        let line = Line::new("message")
            .with("id", "ab")
            .with("size", 7u64)
            .with("to", vec!["a", "b"])
            .with("reply", Value::Null)
            .time("date", 0)
            .finish();
        assert_eq!(
            line,
            r#"{"v":1,"type":"message","id":"ab","size":7,"to":["a","b"],"reply":null,"date":"1970-01-01T00:00:00Z"}"#
        );
    }

    #[test]
    fn hidden_characters_are_escaped_and_mean_the_same() {
        let text = "\"\n\x1b\u{9b}\u{202e}\u{e0041}é";
        let line = Line::new("x").with("t", text).finish();
        assert!(
            line.is_ascii() || !line.chars().any(crate::text::is_hidden),
            "{line}"
        );
        let back: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["t"], text);
    }
}
