//! The text of OpenMetrics 1.0: families of samples, one after the other.
//!
//! Takes no word of others: labels are ours, and need no escapes.

use std::fmt::{Display, Write};

/// What a family is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A text being written.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    family: &'static str,
}

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        self.put(format_args!("# TYPE {name} {}\n", kind.word()));
        let units = ["seconds", "bytes"];
        let unit = units.iter().find(|unit| name.ends_with(*unit));
        if let Some(unit) = unit {
            self.put(format_args!("# UNIT {name} {unit}\n"));
        }
        self.put(format_args!("# HELP {name} {help}\n"));
    }

    /// Adds a sample of the family, its name with `suffix`.
    pub(super) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""));
        let labels: Vec<String> = labels.collect();
        let name = self.family;
        match labels.is_empty() {
            true => self.put(format_args!("{name}{suffix} {value}\n")),
            false => self.put(format_args!(
                "{name}{suffix}{{{}}} {value}\n",
                labels.join(",")
            )),
        }
    }

    /// Ends the text; without this line it counts as cut off.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        let written = self.text.write_fmt(line);
        debug_assert!(written.is_ok(), "a String takes all text");
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Text};

    #[test]
    fn families_have_kind_unit_and_help() {
        let mut text = Text::default();
        text.family("smr_refusals", Kind::Counter, "Requests refused.");
        text.sample("_total", &[("reason", "busy")], 7);
        text.family("smr_disk_free_bytes", Kind::Gauge, "Room.");
        text.sample("", &[], 0.5);
        assert_eq!(
            text.finish(),
            "# TYPE smr_refusals counter\n# HELP smr_refusals Requests refused.\n\
             smr_refusals_total{reason=\"busy\"} 7\n\
             # TYPE smr_disk_free_bytes gauge\n# UNIT smr_disk_free_bytes bytes\n\
             # HELP smr_disk_free_bytes Room.\nsmr_disk_free_bytes 0.5\n# EOF\n"
        );
    }
}
