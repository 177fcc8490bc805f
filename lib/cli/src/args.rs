//! Flags that all tools share, and how a wrong call is told.
//!
//! Knows no tool's own flags.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Command, Parser};

use crate::completion;
use crate::help;
use crate::out::Out;
use crate::report::Report;

/// The exit code of a wrong call (sysexits).
pub const USAGE: u8 = 64;

/// The flags of every tool; `-h` and `-V` come with `#[command(version)]`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Write JSON Lines
    #[arg(long)]
    pub json: bool,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more
    #[arg(short, long)]
    pub verbose: bool,
    /// Act for this account instead of the configured one
    #[arg(long = "as", value_name = "ACCOUNT")]
    pub as_account: Option<String>,
    /// Read this file instead of client.toml
    #[arg(long, value_name = "FILE", env = "SMR_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Never ask anything
    #[arg(long)]
    pub no_input: bool,
}

impl Common {
    /// Returns the voice of `tool` as these flags want it.
    pub fn report(&self, tool: &str) -> Report {
        Report::new(tool, self.quiet, self.verbose)
    }
}

/// Where PINs come from.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Secrets")]
pub struct PinArgs {
    /// Read the PIN from this file
    #[arg(long, value_name = "FILE", conflicts_with = "pin_fd")]
    pub pin_file: Option<PathBuf>,
    /// Read the PIN from this file descriptor
    #[arg(long, value_name = "N")]
    pub pin_fd: Option<u32>,
}

/// Where PINs and passphrases come from.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Secrets")]
pub struct SecretArgs {
    /// Where PINs come from.
    #[command(flatten)]
    pub pin: PinArgs,
    /// Read the passphrase from this file
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase from this file descriptor
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// Reads the command line of `tool`.
///
/// # Errors
///
/// The exit code, after help (0), the version (0) or what is wrong (64) was
/// told.
pub fn parse<T: Parser>(tool: &str) -> Result<T, u8> {
    parse_from(tool, std::env::args_os(), &mut Out::stdout())
}

/// Reads these words as the command line of `tool`, as [`parse`] does.
pub fn parse_words<T: Parser>(tool: &str, words: Vec<OsString>) -> Result<T, u8> {
    parse_from(tool, words, &mut Out::stdout())
}

fn parse_from<T: Parser, W: Write>(
    tool: &str,
    args: impl IntoIterator<Item = OsString>,
    out: &mut Out<W>,
) -> Result<T, u8> {
    let words: Vec<OsString> = args.into_iter().collect();
    if let [_, option, shell] = &words[..]
        && option == completion::OPTION
    {
        return Err(completions::<T, W>(tool, shell, out));
    }
    let read = |command: Command| {
        let matches = command.try_get_matches_from(&words)?;
        T::from_arg_matches(&matches)
    };
    let translated = || read(help::translated(T::command()));
    let parsed = read(T::command()).or_else(|error| match error.kind() {
        // Translated only where somebody is to read it.
        ErrorKind::DisplayHelp => translated(),
        _ => Err(error),
    });
    let error = match parsed {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let report = Report::new(tool, false, false);
    let told = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if told {
        let text = help::dressed(&error.render().to_string());
        let written = out.line(text.trim_end()).and_then(|()| out.finish());
        return Err(written.map_or_else(|error| report.out(&error), |()| 0));
    }
    let (text, hints) = wording(&error.render().to_string());
    report.error(&text);
    hints.iter().for_each(|hint| report.hint(hint));
    report.hint(&format!("{tool} --help"));
    Err(USAGE)
}

fn completions<T: Parser, W: Write>(tool: &str, shell: &OsString, out: &mut Out<W>) -> u8 {
    let report = Report::new(tool, false, false);
    let Some(script) = completion::script::<T>(tool, shell) else {
        let shell = shell.to_string_lossy();
        let text = format!("no completions for \"{shell}\", expected bash, zsh or fish");
        return wrong_call(&report, &text);
    };
    let written = out.write_all(&script).map_err(Into::into);
    let written = written.and_then(|()| out.finish());
    written.map_or_else(|error| report.out(&error), |()| 0)
}

// clap speaks in paragraphs: what is wrong, tips, usage, a pointer to --help.
fn wording(rendered: &str) -> (String, Vec<String>) {
    let mut paragraphs = rendered.split("\n\n");
    let first = paragraphs.next().unwrap_or("").trim();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let tips = paragraphs
        .flat_map(str::lines)
        .filter_map(|line| line.trim().strip_prefix("tip: "))
        .map(str::to_owned)
        .collect();
    (words, tips)
}

/// Tells a wrong call that clap cannot see, and returns its exit code.
pub fn wrong_call(report: &Report, text: &str) -> u8 {
    report.error(&text);
    report.hint(&format!("{} --help", report.tool()));
    USAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tool
    #[derive(Parser, Debug)]
    #[command(name = "smr-x", version = "1.2.3")]
    struct Tool {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        secrets: SecretArgs,
        #[arg(short)]
        n: Option<u32>,
        ids: Vec<String>,
    }

    fn parse(args: &[&str]) -> (Result<Tool, u8>, String) {
        let mut bytes = Vec::new();
        let args = ["smr-x"].iter().chain(args).map(OsString::from);
        let result = parse_from("smr-x", args, &mut Out::to(&mut bytes, false));
        (result, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn flags_are_read() {
        let args = [
            "--json",
            "-q",
            "-v",
            "--as",
            "rui",
            "--config",
            "/c",
            "--no-input",
            "--pin-fd",
            "3",
            "--passphrase-file",
            "/p",
            "-n",
            "2",
            "a",
            "-",
            "--",
            "-b",
        ];
        let tool = parse(&args).0.unwrap();
        let common = &tool.common;
        assert!(common.json && common.quiet && common.verbose && common.no_input);
        assert_eq!(common.as_account.as_deref(), Some("rui"));
        assert_eq!(common.config, Some("/c".into()));
        assert_eq!((tool.secrets.pin.pin_fd, tool.n), (Some(3), Some(2)));
        assert_eq!(tool.ids, ["a", "-", "-b"]);
    }

    #[test]
    fn help_and_version_are_no_failures() {
        let (result, out) = parse(&["--help"]);
        assert_eq!(result.unwrap_err(), 0);
        assert!(
            out.contains("--as <ACCOUNT>") && out.contains("--pin-file"),
            "{out}"
        );
        let (result, out) = parse(&["-V"]);
        assert_eq!((result.unwrap_err(), out.as_str()), (0, "smr-x 1.2.3\n"));
    }

    #[test]
    fn wrong_calls_exit_64_and_write_no_result() {
        for args in [
            &["--colour"][..],
            &["-n"],
            &["-n", "x"],
            &["--pin-file", "a", "--pin-fd", "1"],
            &["--json=yes"],
        ] {
            let (result, out) = parse(args);
            assert_eq!((result.unwrap_err(), out.as_str()), (64, ""), "{args:?}");
        }
    }

    #[test]
    fn clap_is_put_in_our_words() {
        let error = Tool::try_parse_from(["smr-x", "--jsn"]).unwrap_err();
        let (text, tips) = wording(&error.render().to_string());
        assert_eq!(text, "unexpected argument '--jsn' found");
        assert_eq!(tips, ["a similar argument exists: '--json'"]);
    }
}
