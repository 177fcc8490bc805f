//! Standard error: what went wrong and what may help, and the exit code, in
//! the user's language; `error:` and `hint:` are the same in each.
//!
//! Never writes a secret or a result, and never fails: who closed stderr wants
//! no words.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::out::OutError;
use crate::terminal;
use crate::text::visible;
use crate::words::say;

/// Tells the user, in the tool's name.
#[derive(Clone, Debug)]
pub struct Report {
    tool: String,
    quiet: bool,
    verbose: bool,
    colour: bool,
}

impl Report {
    /// Speaks as `tool`; `quiet` and `verbose` as the flags say.
    pub fn new(tool: &str, quiet: bool, verbose: bool) -> Report {
        Report {
            tool: tool.to_owned(),
            quiet,
            verbose,
            colour: terminal::wants_colour(io::stderr().is_terminal()),
        }
    }

    /// Returns the tool's name.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    fn say(&self, text: &str) {
        // Nobody is left to be told that this failed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn line(&self, kind: &str, colour: &str, text: &dyn Display) -> String {
        let text = shown(text);
        if self.colour {
            format!("{}: \x1b[{colour}m{kind}:\x1b[0m {text}", self.tool)
        } else {
            format!("{}: {kind}: {text}", self.tool)
        }
    }

    /// Says what went wrong: lower case, no full stop.
    pub fn error(&self, text: &dyn Display) {
        self.say(&self.line("error", "1;31", text));
    }

    /// Says what may help: a command or a question.
    pub fn hint(&self, text: &dyn Display) {
        self.say(&self.line("hint", "36", text));
    }

    /// Says what is odd, unless the user wants it quiet.
    pub fn warning(&self, text: &dyn Display) {
        if !self.quiet {
            self.say(&self.line("warning", "33", text));
        }
    }

    /// Says what happens, unless the user wants it quiet.
    pub fn note(&self, text: &dyn Display) {
        if !self.quiet {
            self.say(&format!("{}: {}", self.tool, shown(text)));
        }
    }

    /// Says what only `-v` wants to know.
    pub fn detail(&self, text: &dyn Display) {
        if self.verbose {
            self.say(&format!("{}: {}", self.tool, shown(text)));
        }
    }

    /// Says why results could not be written, if that needs words, and
    /// returns the exit code.
    pub fn out(&self, error: &OutError) -> u8 {
        if !error.is_silent() {
            self.error(error);
        }
        error.code()
    }
}

/// Returns a text in the user's language, with nothing a terminal obeys.
fn shown(text: &dyn Display) -> String {
    visible(&say(&text.to_string())).into_owned()
}

/// The exit code of a batch: that of the first failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome(u8);

impl Outcome {
    /// Notes a code; 0 is no failure, and only the first failure counts.
    pub fn note(&mut self, code: u8) {
        if self.0 == 0 {
            self.0 = code;
        }
    }

    /// Returns the exit code so far.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(outcome.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Report};

    fn report(colour: bool) -> Report {
        Report {
            tool: "smr-recv".into(),
            quiet: false,
            verbose: false,
            colour,
        }
    }

    #[test]
    fn lines_are_those_of_the_contract() {
        let line = report(false).line("error", "1;31", &"no message \"x\"");
        assert_eq!(line, "smr-recv: error: no message \"x\"");
        let line = report(true).line("hint", "36", &"smr-ls");
        assert_eq!(line, "smr-recv: \x1b[36mhint:\x1b[0m smr-ls");
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        let line = report(false).line("error", "1;31", &"a\nsmr-recv: error: forged\x1b[2J");
        assert_eq!(line, "smr-recv: error: a\\nsmr-recv: error: forged\\x1b[2J");
    }

    #[test]
    fn the_first_failure_counts() {
        let mut outcome = Outcome::default();
        assert_eq!(outcome.code(), 0);
        for code in [0, 66, 0, 65] {
            outcome.note(code);
        }
        assert_eq!(outcome.code(), 66);
    }
}
