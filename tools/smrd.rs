//! smrd: the repository.
//!
//! Flags in, library call, words out; what smrd does is in lib/server.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Parser};
use smr_name::Class;
use smr_server::config::{Config, ConfigError};
use smr_server::{check, check_card, config_path, fingerprint, init, moment, run};

/// Keeps sealed mail for others, and proves what it keeps
#[derive(Parser)]
#[command(name = "smrd", version, group = ArgGroup::new("mode"))]
struct Args {
    /// Read this file instead of /etc/smr/smrd.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write one line, "ready ADDRESS...", to this descriptor when listening
    #[arg(long, value_name = "N", conflicts_with = "mode")]
    ready_fd: Option<u32>,
    /// Make the repository's keys and store; print what clients pin
    #[arg(long, group = "mode")]
    init: bool,
    /// Look at everything smrd needs to run
    #[arg(long, group = "mode")]
    check: bool,
    /// Print what clients pin
    #[arg(long, group = "mode")]
    fingerprint: bool,
    /// Judge a certificate as registration would
    #[arg(long, value_name = "FILE", group = "mode")]
    check_cert: Option<PathBuf>,
    /// Judge it as of this time: RFC 3339, a date, or unix seconds
    #[arg(long, value_name = "TIME", requires = "check_cert", value_parser = at)]
    at: Option<i64>,
    /// Print the configuration in force
    #[arg(long, group = "mode")]
    show_config: bool,
}

fn at(text: &str) -> Result<i64, &'static str> {
    moment(text).ok_or("not a time, expected one like 2027-01-15T08:00:00Z")
}

/// What is said to the user when it fails.
struct Failure {
    class: Class,
    text: String,
    hint: Option<&'static str>,
}

impl Failure {
    fn new(class: Class, error: impl ToString) -> Failure {
        Failure {
            class,
            text: error.to_string(),
            hint: None,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure {
            hint: Some(error.hint()),
            ..Failure::new(error.class(), &error)
        }
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors; nobody may listen any more.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match act(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            log(&format!("smrd: error: {}", failure.text));
            if let Some(hint) = failure.hint {
                log(&format!("smrd: hint: {hint}"));
            }
            ExitCode::from(failure.class.code())
        }
    }
}

fn act(args: Args) -> Result<u8, Failure> {
    let path = config_path(args.config);
    if args.init {
        let made = init(&Config::load(&path)?).map_err(|e| Failure::new(e.class(), &e))?;
        say(&format!("{made}\n"))
    } else if args.fingerprint {
        let pinned = fingerprint(&Config::load(&path)?).map_err(|e| Failure {
            hint: Some("make the repository first: smrd --init"),
            ..Failure::new(e.class(), &e)
        })?;
        say(&format!("{pinned}\n"))
    } else if args.show_config {
        say(&Config::load(&path)?.to_string())
    } else if args.check {
        check_all(&path)
    } else if let Some(file) = args.check_cert {
        check_file(&path, &file, args.at)
    } else {
        serve(&path, args.ready_fd)
    }
}

fn serve(path: &Path, ready_fd: Option<u32>) -> Result<u8, Failure> {
    run(path, Arc::new(log), ready_fd).map_err(|e| Failure {
        hint: e.hint(),
        ..Failure::new(e.class(), &e)
    })?;
    Ok(0)
}

fn check_all(path: &Path) -> Result<u8, Failure> {
    let findings = check(&Config::load(path)?);
    for finding in &findings {
        let word = if finding.good { "ok" } else { "wrong" };
        say(&format!("{word}: {}\n", finding.text))?;
    }
    Ok(match findings.iter().all(|f| f.good) {
        true => 0,
        false => Class::Config.code(),
    })
}

fn check_file(path: &Path, file: &Path, at: Option<i64>) -> Result<u8, Failure> {
    let config = Config::load(path)?;
    let bytes = std::fs::read(file).map_err(|e| {
        let text = format!("cannot read \"{}\": {e}", file.display());
        Failure::new(Class::Missing, text)
    })?;
    let report = check_card(&config, &bytes, at).map_err(|e| {
        let text = format!("\"{}\": {e}", file.display());
        Failure::new(e.class(), text)
    })?;
    say(&format!("{}\n", report.text))?;
    Ok(report.code)
}

fn say(text: &str) -> Result<u8, Failure> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::new(Class::Io, format!("cannot write to standard output: {e}")))?;
    Ok(0)
}

/// Writes one line; a log that nobody takes must not stop smrd.
fn log(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
