//! smrd: the repository.
//!
//! Flags in, library call, words out; what smrd does is in lib/server.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Parser};
use smr_cli::args;
use smr_cli::json::{Line, Value};
use smr_cli::out::{Out, OutError};
use smr_cli::report::Report;
use smr_cli::time::{self, TimeError};
use smr_name::Class;
use smr_server::config::{Config, ConfigError, DEFAULT_PATH};
use smr_server::{CardReport, Fetched, Limits, Outcome, RunError, SetupError, Source, Summary};
use smr_server::{Task, confine_to, prepare};
use smr_server::{check, check_card, examine, fetch, fingerprint, init, rotate, run};

const TOOL: &str = "smrd";

/// Keep sealed mail for others, and prove what is kept.
#[derive(Parser)]
#[command(name = TOOL, version, group = ArgGroup::new("mode"))]
struct Args {
    /// Read this file instead of smrd.toml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Write one line, "ready ADDRESS...", to this descriptor when listening
    #[arg(long, value_name = "N", conflicts_with = "mode")]
    ready_fd: Option<u32>,
    /// Make the repository's keys and store; print what clients pin
    #[arg(long, group = "mode")]
    init: bool,
    /// Replace the repository's keys, signed for by the present ones; print what clients pin
    #[arg(long, group = "mode")]
    rotate_key: bool,
    /// Look at everything smrd needs to run
    #[arg(long, group = "mode")]
    check: bool,
    /// Print what clients pin
    #[arg(long, group = "mode")]
    fingerprint: bool,
    /// Judge a certificate as registration would
    #[arg(long, value_name = "FILE", group = "mode")]
    check_cert: Option<PathBuf>,
    /// Judge it as of this time
    #[arg(long, value_name = "TIME", requires = "check_cert", value_parser = at)]
    at: Option<i64>,
    /// Fetch revocation lists and OCSP answers for smrd to go by
    #[arg(long, group = "mode")]
    fetch_revocation: bool,
    /// Also show what is not due yet
    #[arg(short, long, requires = "fetch_revocation")]
    verbose: bool,
    /// Examine the store: explain every file, or report it
    #[arg(long, group = "mode")]
    fsck: bool,
    /// Print JSON Lines
    #[arg(long, conflicts_with_all = ["init", "rotate_key", "check", "fingerprint", "show_config"], requires = "mode")]
    json: bool,
    /// Print the configuration in force
    #[arg(long, group = "mode")]
    show_config: bool,
}

fn at(text: &str) -> Result<i64, TimeError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    match text.parse() {
        Ok(seconds) => Ok(seconds),
        Err(_) => time::parse(text, now),
    }
}

/// Why it ends early.
enum Stop {
    /// It failed: the class, what is wrong, what may help.
    Failed(Class, String, Option<&'static str>),
    /// Results could not be written.
    Out(OutError),
}

impl From<OutError> for Stop {
    fn from(error: OutError) -> Self {
        Stop::Out(error)
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Stop::Failed(error.class(), error.to_string(), Some(error.hint()))
    }
}

impl From<SetupError> for Stop {
    fn from(error: SetupError) -> Self {
        Stop::Failed(error.class(), error.to_string(), error.hint())
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Stop::Failed(error.class(), error.to_string(), error.hint())
    }
}

fn main() -> ExitCode {
    let report = Report::new(TOOL, false, false);
    let code = args::parse(TOOL).and_then(|args| act(args).map_err(|stop| tell(&report, stop)));
    ExitCode::from(code.unwrap_or_else(|code| code))
}

fn tell(report: &Report, stop: Stop) -> u8 {
    match stop {
        Stop::Out(error) => report.out(&error),
        Stop::Failed(class, text, hint) => {
            report.error(&text);
            hint.iter().for_each(|hint| report.hint(hint));
            class.code()
        }
    }
}

fn act(args: Args) -> Result<u8, Stop> {
    let path = args.config.as_path();
    if args.init {
        let config = Config::load(path)?;
        prepare(&config)?;
        confine_to(Task::Init, &config)?;
        say(&[init(&config)?.to_string()])
    } else if args.rotate_key {
        rotate_key(path)
    } else if args.fingerprint {
        say(&[fingerprint(&Config::load(path)?)?.to_string()])
    } else if args.show_config {
        let text = Config::load(path)?.to_string();
        say(&[text.trim_end().to_owned()])
    } else if args.check {
        check_all(path)
    } else if let Some(file) = args.check_cert {
        check_file(path, &file, args.at, args.json)
    } else if args.fsck {
        examine_store(path, args.json)
    } else if args.fetch_revocation {
        fetch_all(path, args.json, args.verbose)
    } else {
        run(path, Arc::new(log), args.ready_fd)?;
        Ok(0)
    }
}

fn rotate_key(path: &Path) -> Result<u8, Stop> {
    let config = Config::load(path)?;
    confine_to(Task::Rotate, &config)?;
    let rotated = rotate(&config)?;
    if let Some(next) = &rotated.next {
        let report = Report::new(TOOL, false, false);
        let text = format!("the new keys are in \"{}\"", next.display());
        report.warning(&text);
        report.hint(&"encrypt it as the credential smrd.key: smr-operations(7)");
    }
    say(&[rotated.fingerprint.to_string()])
}

fn check_all(path: &Path) -> Result<u8, Stop> {
    let findings = check(&Config::load(path)?);
    let word = |good| if good { "ok" } else { "wrong" };
    let lines: Vec<String> = findings
        .iter()
        .map(|f| format!("{}: {}", word(f.good), f.text))
        .collect();
    say(&lines)?;
    Ok(match findings.iter().all(|f| f.good) {
        true => 0,
        false => Class::Config.code(),
    })
}

fn examine_store(path: &Path, json: bool) -> Result<u8, Stop> {
    let config = Config::load(path)?;
    confine_to(Task::Fsck, &config)?;
    let (mut out, mut told, mut code) = (Out::stdout(), Ok(()), 0);
    let summary = examine(&config, &mut |finding| {
        // What cannot be read leaves open whether it is right.
        code = code.max(finding.why.class().code());
        let line = match json {
            true => Line::new("finding")
                .with("finding", finding.why.as_str())
                .with("path", finding.path.as_str())
                .with("text", finding.why.to_string())
                .finish(),
            false => format!("{} {finding}", finding.why.as_str()),
        };
        if told.is_ok() {
            told = out.line(&line);
        }
    })
    .map_err(|e| Stop::Failed(e.class(), e.to_string(), None))?;
    told?;
    out.line(&match json {
        true => summary_line(&summary),
        false => summary_text(&summary),
    })?;
    out.finish()?;
    Ok(code)
}

fn summary_line(summary: &Summary) -> String {
    Line::new("summary")
        .with("accounts", summary.accounts)
        .with("messages", summary.messages)
        .with("removed", summary.removed)
        .with("bytes", summary.bytes)
        .with("leftovers", summary.leftovers)
        .with("findings", summary.findings)
        .finish()
}

fn summary_text(summary: &Summary) -> String {
    format!(
        "{} accounts, {} messages of {} bytes, {} removed, {} leftovers, {} findings",
        summary.accounts,
        summary.messages,
        summary.bytes,
        summary.removed,
        summary.leftovers,
        summary.findings
    )
}

fn check_file(path: &Path, file: &Path, at: Option<i64>, json: bool) -> Result<u8, Stop> {
    let config = Config::load(path)?;
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|e| {
        Stop::Failed(
            Class::Missing,
            format!("cannot read \"{shown}\": {e}"),
            None,
        )
    })?;
    let report = check_card(&config, &bytes, at)
        .map_err(|e| Stop::Failed(e.class(), format!("\"{shown}\": {e}"), None))?;
    match json {
        true => say(&[verdict(&report)])?,
        false => say(&verdict_text(&report))?,
    };
    Ok(report.code)
}

fn verdict(report: &CardReport) -> String {
    let word = |yes, no| if report.code == 0 { yes } else { no };
    let line = Line::new("verdict")
        .with("verdict", word("good", "bad"))
        .with("reason", report.reason)
        .with("text", report.text.as_str())
        .with("path", report.path.clone())
        .with("realm", report.realm.clone());
    let line = line.with(
        "revocation",
        match report.is_checked {
            true => "checked",
            false => "unchecked",
        },
    );
    match report.revoked_later {
        Some(time) => line.time("revoked_later", time),
        None => line.with("revoked_later", Value::Null),
    }
    .finish()
}

fn verdict_text(report: &CardReport) -> Vec<String> {
    let mut lines = vec![report.text.clone()];
    let path = report.path.iter();
    lines.extend(path.map(|subject| format!("path: {}", subject.escape_debug())));
    lines.extend(report.hint.map(|hint| format!("hint: {hint}")));
    lines
}

fn fetch_all(path: &Path, json: bool, verbose: bool) -> Result<u8, Stop> {
    let config = Config::load(path)?;
    confine_to(Task::Fetch, &config)?;
    let fetched = fetch(&config, Limits::default())
        .map_err(|e| Stop::Failed(e.class(), e.to_string(), None))?;
    say(&fetched_lines(&fetched, json, verbose))?;
    Ok(fetched.code())
}

fn fetched_lines(fetched: &Fetched, json: bool, verbose: bool) -> Vec<String> {
    let sources = fetched.sources.iter();
    let sources = sources.filter(|s| verbose || s.outcome != Outcome::Skipped);
    let lacking = fetched.lacking.iter();
    match json {
        true => sources
            .map(source_line)
            .chain(lacking.map(|s| Line::new("lacking").with("subject", s.as_str()).finish()))
            .collect(),
        false => sources
            .map(source_text)
            .chain(lacking.map(|s| format!("lacking {}", s.escape_debug())))
            .collect(),
    }
}

fn outcome(source: &Source) -> (&'static str, Option<&str>) {
    match &source.outcome {
        Outcome::Fetched => ("fetched", None),
        Outcome::Unchanged => ("unchanged", None),
        Outcome::Skipped => ("skipped", None),
        Outcome::PassedOver => ("passed-over", Some("only plain http is spoken here")),
        Outcome::Failed(why) => ("failed", Some(why)),
    }
}

fn source_line(source: &Source) -> String {
    let (word, why) = outcome(source);
    let line = Line::new("source")
        .with("outcome", word)
        .with("kind", source.kind.as_str())
        .with("url", source.url.as_str())
        .with("subject", source.subject.as_str())
        .with("why", why);
    match source.due {
        Some(due) => line.time("due", due),
        None => line.with("due", Value::Null),
    }
    .finish()
}

fn source_text(source: &Source) -> String {
    let (word, why) = outcome(source);
    let end = match (why, source.due) {
        (Some(why), _) => why.escape_debug().to_string(),
        (None, Some(due)) => format!("due {}", time::rfc3339(due)),
        (None, None) => String::new(),
    };
    format!("{word} {} {} {end}", source.kind.as_str(), source.url)
}

fn say(lines: &[String]) -> Result<u8, Stop> {
    let mut out = Out::stdout();
    for line in lines {
        out.line(line)?;
    }
    out.finish()?;
    Ok(0)
}

/// Writes one line of the log; where nobody takes it smrd runs on.
fn log(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
