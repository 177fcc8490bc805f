//! smr-receipt: gives and refuses receipts, checks them, exports evidence.

mod edge;
mod hand;
mod person;
#[path = "receipt/verify.rs"]
mod verify;

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use edge::{Edge, Stop};
use hand::SignBy;
use smr_cli::args::{Common, PinArgs};
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_cli::table::{Table, terminal_width};
use smr_cli::time;
use smr_client::config::By;
use smr_client::failure::Failure;
use smr_client::fetch::{self, Folder};
use smr_client::grounds;
use smr_client::receipts::{self, Progress, Standing, TrustStore};
use smr_client::stamps::{self, Clocks};
use smr_client::user::User;
use smr_name::{Class, MessageId};

const TOOL: &str = "smr-receipt";

/// Give or refuse receipts for messages that were read, or check and export evidence.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// What signs: this device, or the card, which asks for its PIN once
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["status", "wait", "export", "verify"])]
    by: Option<SignBy>,
    /// Say how what I sent stands with its addressees
    #[arg(long, conflicts_with_all = ["wait", "export", "verify"])]
    status: bool,
    /// Wait until every addressee's receipt is there and good
    #[arg(long, value_name = "DURATION", value_parser = time::duration, conflicts_with_all = ["export", "verify"])]
    wait: Option<u64>,
    /// Write an evidence bundle, a zip file
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    export: Option<PathBuf>,
    /// Leave the content out of the bundle
    #[arg(long, requires = "export")]
    redact: bool,
    /// Have an authority put time stamps (RFC 3161) on receipts and postmarks
    #[arg(long, value_name = "URL", requires = "export", value_parser = http)]
    tsa: Option<String>,
    /// Further trust anchors for time stamps
    #[arg(long, value_name = "DIR", conflicts_with_all = ["by", "status", "wait", "refuse"])]
    tsa_anchors: Option<PathBuf>,
    /// Refuse the receipt, and say so to the sender, with a reason
    #[arg(long, value_name = "REASON", num_args = 0..=1, default_missing_value = "",
          conflicts_with_all = ["status", "wait", "export", "verify"])]
    refuse: Option<String>,
    /// Verify an evidence bundle or a lone postmark, offline
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    verify: Option<PathBuf>,
    /// Trust anchors for --verify instead of trust.d
    #[arg(long, value_name = "DIR", requires = "verify")]
    anchors: Option<PathBuf>,
    /// The identity document of the repository, from elsewhere
    #[arg(long, value_name = "FILE", requires = "verify")]
    identity: Option<PathBuf>,
    /// Verify as of this time
    #[arg(long, value_name = "TIME", requires = "verify")]
    at: Option<String>,
    /// Ids in standard input end with NUL
    #[arg(short = '0')]
    zero: bool,
    /// Messages, by id or prefix; "-" reads ids from standard input
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    common: Common,
}

/// Reads the address of an authority for time stamps.
fn http(url: &str) -> Result<String, String> {
    match stamps::speaks(url) {
        true => Ok(url.to_owned()),
        false => Err("time stamps are asked for over http://".to_owned()),
    }
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, mut args: Args) -> Result<u8, Stop> {
    if let Some(file) = &args.verify {
        return verify::verify(edge, &args, file);
    }
    // "--refuse ID": what can name a message is no reason.
    let lone = args.refuse.take_if(|word| edge::is_id(word));
    if let Some(id) = lone {
        args.ids.insert(0, id);
        args.refuse = Some(String::new());
    }
    if !args.status && args.ids.is_empty() {
        return Err(edge::wrong_call(edge, "which message? name its id"));
    }
    if args.wait.is_some() || args.export.is_some() {
        return one(edge, &args);
    }
    let mut user = edge.user()?;
    let folder = if args.status {
        Folder::Sent
    } else {
        Folder::Inbox
    };
    let mut outcome = Outcome::default();
    let ids = match args.status && args.ids.is_empty() {
        true => receipts::sent(&mut user)?,
        false => named(edge, &args, &mut user, folder, &mut outcome)?,
    };
    match args.status {
        true => status(edge, &mut user, &ids, &mut outcome)?,
        false => give(edge, &args, &mut user, &ids, &mut outcome)?,
    }
    Ok(outcome.code())
}

/// Gives receipts by one hand: the card's PIN is asked for once, and not at all
/// where there is nothing to sign.
fn give(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    ids: &[MessageId],
    outcome: &mut Outcome,
) -> Result<(), Stop> {
    if ids.is_empty() {
        return Ok(());
    }
    let by = args.by.map_or(By::Device, Into::into);
    let hand = hand::take(edge, TOOL, by, &args.pin, user)?;
    for id in ids {
        let answered = match &args.refuse {
            Some(reason) => receipts::refuse(user, *id, reason, &hand),
            None => receipts::give(user, *id, &hand),
        };
        if let Err(failure) = answered {
            outcome.note(Stop::Failure(failure).tell(&edge.report));
        }
    }
    Ok(())
}

/// Finds the messages named; those that are not there are told and counted.
fn named(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    folder: Folder,
    outcome: &mut Outcome,
) -> Result<Vec<MessageId>, Stop> {
    let mut ids = Vec::new();
    for prefix in edge::ids(edge, &args.ids, args.zero)? {
        match fetch::find_in(user, folder, &prefix) {
            Ok(id) => ids.push(id),
            Err(failure) => outcome.note(Stop::Failure(failure).tell(&edge.report)),
        }
    }
    Ok(ids)
}

/// Does what is done for one message at a time.
fn one(edge: &Edge, args: &Args) -> Result<u8, Stop> {
    let prefixes = edge::ids(edge, &args.ids, args.zero)?;
    let [prefix] = &prefixes[..] else {
        return Err(edge::wrong_call(edge, "one message at a time"));
    };
    let mut user = edge.user()?;
    let id = fetch::find_in(&mut user, Folder::Sent, prefix)?;
    match (&args.export, args.wait) {
        (Some(file), _) => {
            let mut outcome = Outcome::default();
            let clocks = Clocks {
                tsa: args.tsa.clone().or_else(|| edge.settings.tsa.clone()),
                store: clocks(edge, args, user.trust())?,
            };
            for failure in receipts::export(&mut user, id, file, args.redact, &clocks)? {
                outcome.note(Stop::Failure(failure.about("left out")).tell(&edge.report));
            }
            Ok(outcome.code())
        }
        (None, seconds) => Ok(wait(
            &mut user,
            id,
            Duration::from_secs(seconds.unwrap_or(0)),
        )?),
    }
}

/// Returns whom to believe about time.
fn clocks(edge: &Edge, args: &Args, people: &TrustStore) -> Result<TrustStore, Failure> {
    let anchors = args.tsa_anchors.as_deref();
    Ok(grounds::clocks(&edge.settings, anchors, people)?)
}

fn wait(user: &mut User, id: MessageId, limit: Duration) -> Result<u8, Failure> {
    let (began, mut told) = (Instant::now(), 0);
    loop {
        // A receipt signed after the call is not from the future.
        user.go_on(edge::now());
        let given = receipts::given(user)?;
        if given.last().map_or(0, |entry| entry.name.number) < told {
            let text = "smrd has told of a receipt that it does not list";
            return Err(Failure::new(Class::Untrusted, text));
        }
        let standings = receipts::standing(user, id, &given)?;
        if standings.iter().all(Standing::is_good) {
            return Ok(0);
        }
        if standings.iter().any(|standing| standing.refused.is_some()) {
            return Ok(1);
        }
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(1);
        }
        told = receipts::await_more(user, &given, left)?;
    }
}

fn status(
    edge: &Edge,
    user: &mut User,
    ids: &[MessageId],
    outcome: &mut Outcome,
) -> Result<(), Stop> {
    let mut out = Out::stdout();
    let given = receipts::given(user)?;
    let mut table = Table::new(&[]);
    for id in ids {
        let standings = match receipts::standing(user, *id, &given) {
            Ok(standings) => standings,
            Err(failure) => {
                outcome.note(Stop::Failure(failure).tell(&edge.report));
                continue;
            }
        };
        for standing in &standings {
            let told = Told::of(standing);
            if let Some(Err(failure)) = &standing.receipt {
                outcome.note(failure.class.code());
                // An alarm; the table has no room for where its proof is.
                if let (Class::Untrusted, Some(hint)) = (failure.class, &failure.hint) {
                    edge.report.error(failure);
                    edge.report.hint(hint);
                }
            }
            match edge.common.json {
                true => out.json(told.json(standing)).map_err(Stop::Out)?,
                false => {
                    let short = out.is_terminal();
                    let told = Told {
                        state: out.say(&told.state).into_owned().into(),
                        verdict: told.verdict.map(|verdict| out.say(&verdict).into_owned()),
                        ..told
                    };
                    table.row(told.row(standing, short.then_some(edge.now)));
                }
            }
        }
    }
    table
        .write(&mut out, terminal_width())
        .and_then(|()| out.finish())
        .map_err(Stop::Out)
}

/// A standing, in words.
struct Told {
    state: Cow<'static, str>,
    class: Option<String>,
    verdict: Option<String>,
}

impl Told {
    fn of(standing: &Standing) -> Told {
        let good = standing.is_good();
        Told {
            state: Cow::Borrowed(match standing.progress {
                _ if good => "read",
                _ if standing.refused.is_some() => "refused",
                Progress::Unknown => "unknown",
                Progress::Deposited => "deposited",
                // Only a receipt proves that it was read.
                Progress::Fetched | Progress::Read => "fetched",
            }),
            class: standing.grade().map(|grade| grade.to_string()),
            verdict: standing.receipt.as_ref().map(|receipt| match receipt {
                Ok(_) => "good".to_owned(),
                Err(failure) => failure.to_string(),
            }),
        }
    }

    fn row(self, standing: &Standing, now: Option<i64>) -> Vec<String> {
        let none = || "-".to_owned();
        let time = standing.time.map(|seconds| match now {
            Some(now) => time::shown(seconds, now),
            None => time::rfc3339(seconds),
        });
        let mut row = vec![
            standing.id.to_string(),
            standing.recipient.to_string(),
            self.state.into_owned(),
            time.unwrap_or_else(none),
            self.class.unwrap_or_else(none),
            self.verdict.unwrap_or_else(none),
        ];
        // Only a refusal has a word more, its reason.
        row.extend(standing.refused.clone().filter(|reason| !reason.is_empty()));
        row
    }

    fn json(self, standing: &Standing) -> Line {
        Line::new("status")
            .with("id", standing.id.to_string())
            .with("recipient", standing.recipient.to_string())
            .with("state", &*self.state)
            .with("time", standing.time.map(time::rfc3339))
            .with("class", self.class)
            .with("verdict", self.verdict)
            .with("reason", standing.refused.as_deref())
    }
}
