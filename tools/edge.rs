//! What every tool does first and last: finds home and settings, and tells how
//! it ended.
//!
//! No logic of mail; the flows of lib/client have that.

#![allow(dead_code)] // each tool uses its own part of the edge

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use smr_cli::args::{self, Common};
use smr_cli::cores;
use smr_cli::out::OutError;
use smr_cli::progress::Progress;
use smr_cli::prompt::PromptError;
use smr_cli::report::Report;
use smr_cli::{terminal, words};
use smr_client::config::{Config, Settings};
use smr_client::failure::Failure;
use smr_client::home::Home;
use smr_client::known::Known;
use smr_client::meter::{Meter, Show, Stage};
use smr_client::numbers;
use smr_client::user::User;
use smr_name::{Class, Fingerprint, IdPrefix, MessageId, RepositoryName};

/// Why a tool stops before its end.
pub(crate) enum Stop {
    /// A flow failed.
    Failure(Failure),
    /// Results could not be written.
    Out(OutError),
    /// Nobody gave a secret or an answer.
    Prompt(PromptError),
    /// All has been said; this is the exit code.
    Code(u8),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failure(error.into())
    }
}

impl Stop {
    /// Tells the user, and returns the exit code.
    pub(crate) fn tell(&self, report: &Report) -> u8 {
        match self {
            Stop::Failure(failure) => {
                report.error(failure);
                match &failure.hint {
                    Some(hint) => report.hint(hint),
                    None => report.hint(&question(report.tool(), failure.class)),
                }
                failure.class.code()
            }
            Stop::Out(error) => report.out(error),
            Stop::Prompt(error) => {
                report.error(error);
                if let Some(hint) = error.hint() {
                    report.hint(&hint);
                }
                error.code()
            }
            Stop::Code(code) => *code,
        }
    }
}

/// Returns what to ask oneself where the failure knows nothing better.
fn question(tool: &str, class: Class) -> String {
    match class {
        Class::Usage => return format!("{tool} --help"),
        Class::Forged => "did its author make it so? ask him by another way",
        Class::Missing => "is the name right, and is it the right account?",
        Class::NoMailbox => "smr-ls users",
        Class::Unavailable => "smr-login --status",
        Class::Broken => "is this a bug? tell those who made this program",
        Class::CannotCreate => "is the folder there, and may you write into it?",
        Class::Io => "is the disk in order, and are the files yours?",
        Class::Busy => "is smrd running, and is there room on the disk? try again later",
        Class::Untrusted => "what happened? ask the repository's operator",
        Class::Denied => "is it the right account? smr-login --status",
        Class::Config => "is client.toml right?",
    }
    .to_owned()
}

/// What a tool works with.
pub(crate) struct Edge {
    /// Speaks to the user.
    pub(crate) report: Report,
    /// The user's files.
    pub(crate) home: Home,
    /// What is configured for the account.
    pub(crate) settings: Settings,
    /// The flags that all tools share.
    pub(crate) common: Common,
    /// The time of the call, unix seconds.
    pub(crate) now: i64,
}

impl Edge {
    fn find(report: Report, common: &Common) -> Result<Edge, Stop> {
        let home = Home::find(common.config.as_deref())?;
        let config = Config::load(&home, common.config.is_some())?;
        let settings = config.settings(common.as_account.as_deref())?;
        Ok(Edge {
            report,
            home,
            settings,
            common: common.clone(),
            now: now(),
        })
    }

    /// Returns the repositories that are pinned, and how often their keys were
    /// replaced. What cannot be read is told where it is needed.
    fn successions(&self) -> Vec<(RepositoryName, u64, Fingerprint)> {
        Known::new(&self.home).successions().unwrap_or_default()
    }

    /// Says which repositories were followed to new keys since.
    fn tell_of_successions(&self, before: &[(RepositoryName, u64, Fingerprint)]) {
        for (name, number, key) in self.successions() {
            let mut known = before.iter().filter(|(other, ..)| *other == name);
            if known.any(|(_, then, _)| *then < number) {
                self.report.note(&format!(
                    "the keys of {name} were replaced, as the old ones say: now {key}"
                ));
            }
        }
    }

    /// Returns the logged-in user.
    pub(crate) fn user(&self) -> Result<User, Stop> {
        let mut user = User::open(&self.home, &self.settings, self.now)?;
        user.meter = Meter::new(Bars {
            quiet: self.common.quiet || self.common.json,
            bar: None,
        });
        Ok(user)
    }
}

/// Shows a bar for each stage of a transfer that takes its time.
struct Bars {
    quiet: bool,
    bar: Option<Progress>,
}

impl Show for Bars {
    fn begin(&mut self, stage: Stage, total: Option<u64>) {
        let title = match stage {
            Stage::Sealing => "sealing",
            Stage::Depositing => "sending",
            Stage::Fetching => "fetching",
            Stage::Verifying => "verifying",
            Stage::Writing => "writing",
        };
        self.bar = Some(Progress::start(title, total, self.quiet));
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &mut self.bar {
            bar.advance(bytes);
        }
    }

    fn end(&mut self) {
        self.bar = None;
    }
}

/// Tells of something that did not work out beside what did.
pub(crate) fn warn(edge: &Edge, warning: &Failure) {
    edge.report.warning(warning);
    if let Some(hint) = &warning.hint {
        edge.report.hint(hint);
    }
}

/// Runs a tool: reads its flags, finds its edge, tells how it ended.
pub(crate) fn main<A: Parser>(
    tool: &str,
    common: impl Fn(&A) -> &Common,
    run: impl Fn(&Edge, A) -> Result<u8, Stop>,
) -> ExitCode {
    main_of(tool, std::env::args_os().collect(), common, run)
}

/// Runs a tool as if these words had been its command line.
pub(crate) fn main_of<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    common: impl Fn(&A) -> &Common,
    run: impl Fn(&Edge, A) -> Result<u8, Stop>,
) -> ExitCode {
    cores::forbid();
    words::speak();
    let args: A = match args::parse_words(tool, words) {
        Ok(args) => args,
        Err(code) => return ExitCode::from(code),
    };
    let report = common(&args).report(tool);
    let voice = report.clone();
    // Where it happened, and nothing of what was at hand: that may be a secret.
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        voice.error(&format!("a bug in smr, at {}", place.unwrap_or_default()));
        voice.hint(&"will you report it, with the command you gave?");
    }));
    let ended = guarded(|| {
        let edge = Edge::find(report.clone(), common(&args))?;
        let before = edge.successions();
        let ended = run(&edge, args);
        edge.tell_of_successions(&before);
        ended
    });
    ExitCode::from(ended.unwrap_or_else(|stop| stop.tell(&report)))
}

/// Runs what may have a bug of ours, which ends it with 70.
fn guarded(run: impl FnOnce() -> Result<u8, Stop>) -> Result<u8, Stop> {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Stop::Code(Class::Broken.code())))
}

/// Returns the time, unix seconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .ok()
        .and_then(|d| i64::try_from(d.as_secs()).ok())
        .unwrap_or(0)
}

/// Says that the call makes no sense, in a way clap cannot see.
pub(crate) fn wrong_call(edge: &Edge, text: &str) -> Stop {
    Stop::Code(args::wrong_call(&edge.report, text))
}

/// Returns the ids a person named; `-` stands for those on stdin, the first
/// word of each line, or with `zero` each NUL-ended. A number stands for what
/// the last listing in this terminal had there.
pub(crate) fn ids(edge: &Edge, named: &[String], zero: bool) -> Result<Vec<IdPrefix>, Stop> {
    let mut found = Vec::new();
    for text in named {
        match text.as_str() {
            "-" => {
                for word in words(zero)? {
                    found.push(id(edge, &word)?);
                }
            }
            text => found.push(id(edge, text)?),
        }
    }
    Ok(found)
}

/// Tells whether a word can name a message, or stands for such words.
pub(crate) fn is_id(word: &str) -> bool {
    let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    word == "-" || number || word.parse::<IdPrefix>().is_ok()
}

fn id(edge: &Edge, text: &str) -> Result<IdPrefix, Stop> {
    if let Some(listed) = number(edge, text)? {
        return Ok(listed.into());
    }
    text.parse()
        .map_err(|error| wrong_call(edge, &format!("\"{text}\": {error}")))
}

/// Returns what a person means by a number of the last listing: fewer digits
/// than an id needs, typed at a terminal.
fn number(edge: &Edge, text: &str) -> Result<Option<MessageId>, Stop> {
    let digits = (1..8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match (digits.then(|| text.parse()), terminal::typed_at()) {
        (Some(Ok(number)), Some(terminal)) => {
            Ok(Some(numbers::find(&edge.home, &terminal, number)?))
        }
        _ => Ok(None),
    }
}

fn words(zero: bool) -> Result<Vec<String>, Stop> {
    let end = if zero { b'\0' } else { b'\n' };
    let mut words = Vec::new();
    for piece in io::stdin().lock().split(end) {
        let piece =
            piece.map_err(|e| Failure::new(Class::Io, format!("cannot read stdin: {e}")))?;
        let text = String::from_utf8_lossy(&piece);
        words.extend(text.split_whitespace().next().map(str::to_owned));
    }
    Ok(words)
}

/// Writes through, and remembers that the reader went away, which the flows
/// cannot tell from other failures.
pub(crate) struct Watched<'a, W> {
    to: &'a mut W,
    error: Option<io::Error>,
}

impl<'a, W: Write> Watched<'a, W> {
    /// Watches a writer.
    pub(crate) fn new(to: &'a mut W) -> Self {
        Watched { to, error: None }
    }

    /// Returns how the writing ended: its own failure counts before the flow's.
    pub(crate) fn end(self, flow: Result<(), Failure>) -> Result<(), Stop> {
        match self.error {
            Some(error) => Err(Stop::Out(error.into())),
            None => Ok(flow?),
        }
    }

    fn remember<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error = Some(error);
            }
            kind.into()
        })
    }
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.to.write(bytes);
        self.remember(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.to.flush();
        self.remember(result)
    }
}

/// Returns as many digits as tell the ids apart, 8 at least.
pub(crate) fn short_ids(ids: &[MessageId]) -> usize {
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let apart = |digits: usize| {
        let mut heads: Vec<&str> = texts.iter().map(|t| &t[..digits]).collect();
        heads.sort_unstable();
        heads.windows(2).all(|pair| pair[0] != pair[1])
    };
    (8..32).find(|digits| apart(*digits)).unwrap_or(32)
}

#[cfg(test)]
mod tests {
    use super::{Stop, guarded};

    #[test]
    fn a_panic_is_a_bug_of_ours() {
        assert!(matches!(guarded(|| Ok(3)), Ok(3)));
        assert!(matches!(
            guarded(|| panic!("on purpose")),
            Err(Stop::Code(70))
        ));
    }
}
