//! smr-recv: fetches, verifies and shows messages, or delivers them.

#[path = "recv/deliver.rs"]
mod deliver;
mod edge;
#[path = "recv/follow.rs"]
mod follow;
#[path = "recv/show.rs"]
mod show;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use deliver::Sink;
use edge::{Edge, Stop, Watched};
use smr_cli::args::Common;
use smr_cli::out::Out;
use smr_cli::prompt;
use smr_cli::report::Outcome;
use smr_client::config::Consent;
use smr_client::fetch::{self, Folder, Message, ReceiptWanted, State};
use smr_client::hand::Hand;
use smr_client::owed;
use smr_client::receipts;
use smr_client::user::User;
use smr_name::MessageId;

const TOOL: &str = "smr-recv";

/// Whether a receipt is given.
#[derive(Clone, Copy, ValueEnum)]
enum Give {
    /// Ask, on a terminal
    Ask,
    /// Never
    Never,
    /// Always, before anything is shown
    Always,
}

/// Fetch and verify messages; show or deliver them.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// The oldest N unread
    #[arg(short = 'n', value_name = "N", conflicts_with = "ids")]
    count: Option<NonZeroUsize>,
    /// Leave it unread
    #[arg(long)]
    peek: bool,
    /// Write the signed S/MIME message
    #[arg(long, conflicts_with_all = ["sealed", "part", "json"])]
    raw: bool,
    /// Write the age file as it was deposited
    #[arg(long, conflicts_with_all = ["part", "json"])]
    sealed: bool,
    /// Write one part, by number or by a pattern for its name, decoded
    #[arg(short = 'O', value_name = "PART", conflicts_with = "json")]
    part: Option<String>,
    /// Write the attachments into DIR; print their names
    #[arg(short = 'x', value_name = "DIR", conflicts_with_all = ["part", "raw", "sealed", "json"])]
    extract: Option<PathBuf>,
    /// All unread messages, the oldest first
    #[arg(long, conflicts_with_all = ["ids", "count"])]
    all: bool,
    /// All unread messages, then each that comes in, until SIGTERM
    #[arg(long, conflicts_with_all = ["ids", "count", "all", "peek"])]
    follow: bool,
    /// Deliver into the Maildir DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["part", "raw", "sealed", "json", "extract"])]
    maildir: Option<PathBuf>,
    /// Write an mbox
    #[arg(long, conflicts_with_all = ["part", "raw", "sealed", "json", "extract", "maildir"])]
    mbox: bool,
    /// Run CMD for each message, which it reads on standard input
    #[arg(long, num_args = 1.., value_names = ["CMD", "ARG"], allow_hyphen_values = true,
          conflicts_with_all = ["part", "raw", "sealed", "json", "extract", "maildir", "mbox"])]
    exec: Vec<OsString>,
    /// Whether to give a receipt
    #[arg(long, value_name = "WHEN")]
    receipt: Option<Give>,
    /// Ids in standard input end with NUL
    #[arg(short = '0')]
    zero: bool,
    /// Messages, by id or prefix; "-" reads ids from standard input
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Whether more than one is shown; known once they are found
    #[arg(skip)]
    several: bool,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, mut args: Args) -> Result<u8, Stop> {
    let named = edge::ids(edge, &args.ids, args.zero)?;
    let mut out = Out::stdout();
    let mut sink = Sink::open(edge, &args, &out)?;
    let mut user = edge.user()?;
    if args.follow || args.all {
        deliver::settle(edge, &mut user)?;
    }
    if args.follow {
        return follow(edge, &mut args, &mut user, &mut sink, &mut out);
    }
    let mut outcome = Outcome::default();
    let mut wanted: Vec<(Folder, MessageId)> = Vec::new();
    if args.ids.is_empty() {
        let unread = match args.all {
            true => smr_client::follow::unread(&mut user, usize::MAX)?.0,
            false => fetch::oldest_unread(&mut user, args.count.map_or(1, NonZeroUsize::get))?,
        };
        wanted.extend(unread.into_iter().map(|id| (Folder::Inbox, id)));
    }
    for prefix in &named {
        match fetch::find(&mut user, prefix) {
            Ok(found) => wanted.push(found),
            Err(failure) => outcome.note(Stop::Failure(failure).tell(&edge.report)),
        }
    }
    args.several = wanted.len() > 1;
    if args.several {
        several(edge, &sink, &out)?;
    }
    for found in wanted {
        let done = one(edge, &args, &mut user, found, &mut sink, &mut out);
        if let Err(stop) = done {
            let gone = matches!(stop, Stop::Out(_));
            outcome.note(stop.tell(&edge.report));
            if gone {
                break;
            }
        }
    }
    Ok(outcome.code())
}

fn follow(
    edge: &Edge,
    args: &mut Args,
    user: &mut User,
    sink: &mut Sink,
    out: &mut Out,
) -> Result<u8, Stop> {
    args.several = true;
    several(edge, sink, out)?;
    follow::follow(edge, args, user, sink, out)
}

/// Refuses several messages in a row that nobody could take apart.
fn several(edge: &Edge, sink: &Sink, out: &Out) -> Result<(), Stop> {
    match sink {
        Sink::Shown if !edge.common.json && !out.is_terminal() => Err(edge::wrong_call(
            edge,
            "several messages into a pipe need --mbox or --json",
        )),
        _ => Ok(()),
    }
}

/// Shows or delivers a message.
fn one(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    found: (Folder, MessageId),
    sink: &mut Sink,
    out: &mut Out,
) -> Result<(), Stop> {
    match sink {
        Sink::Shown => show(edge, args, user, found, out),
        _ => deliver::deliver(edge, args, user, found, sink, out),
    }
}

fn show(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    (folder, id): (Folder, MessageId),
    out: &mut Out,
) -> Result<(), Stop> {
    if args.sealed {
        if out.is_terminal() {
            return Err(edge::wrong_call(
                edge,
                "a sealed file is not for a terminal: > FILE",
            ));
        }
        let (_, spool) = fetch::fetch_sealed(user, folder, id)?;
        let mut watched = Watched::new(out);
        let copied = fetch::copy_sealed(&spool, &mut watched);
        watched.end(copied)?;
        return out.finish().map_err(Stop::Out);
    }
    let message = fetch::fetch(user, folder, id)?;
    if let Some(wanted) = &args.part {
        // No receipt for what is not there to be read.
        message.part(wanted)?;
    }
    let wanted = message.opened.headers.receipt;
    let consent = match folder {
        Folder::Inbox => {
            let sender = &message.entry.name.sender;
            consent(args.receipt, wanted, edge.settings.consent_to(sender))
        }
        _ => Consent::Never,
    };
    if wanted == ReceiptWanted::Card && folder == Folder::Inbox && !args.peek {
        edge.report.warning(&format!(
            "message \"{id}\" asks for a receipt by the card itself; none is given"
        ));
        edge.report.hint(&format!("smr-receipt --by card {id}"));
    }
    if consent == Consent::Always && !args.peek {
        // The receipt is on its way before the first word is shown.
        let hand = Hand::device(user)?;
        let owed = owed::owe(user, &message, &hand)?;
        user.session.mark_read(id)?;
        owed.give(user)?;
    }
    show::write(edge, args, user, &message, out)?;
    out.finish().map_err(Stop::Out)?;
    if !args.peek && folder == Folder::Inbox && message.entry.state != State::Read {
        user.session.mark_read(id)?;
    }
    if consent == Consent::Ask && !args.peek && out.is_terminal() {
        ask_receipt(edge, user, &message)?;
    }
    Ok(())
}

/// Says whether to give a receipt; where none is wanted, or one that a device
/// cannot give, never.
fn consent(flag: Option<Give>, wanted: ReceiptWanted, default: Consent) -> Consent {
    match flag {
        _ if wanted != ReceiptWanted::Read => Consent::Never,
        Some(Give::Ask) => Consent::Ask,
        Some(Give::Never) => Consent::Never,
        Some(Give::Always) => Consent::Always,
        None => default,
    }
}

fn ask_receipt(edge: &Edge, user: &mut User, message: &Message) -> Result<(), Stop> {
    let question = format!("{} asks for a receipt; give it?", message.verified.address);
    // Without a person to answer, ask means never.
    if prompt::confirm(&question, edge.common.no_input).unwrap_or(false) {
        receipts::give_for(user, message, &Hand::device(user)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_given_only_where_a_device_can_give_it() {
        let always = |wanted| consent(Some(Give::Always), wanted, Consent::Always);
        assert_eq!(always(ReceiptWanted::Read), Consent::Always);
        assert_eq!(always(ReceiptWanted::None), Consent::Never);
        assert_eq!(always(ReceiptWanted::Card), Consent::Never);
    }

    #[test]
    fn the_flag_counts_before_the_settings() {
        let flag = |flag| consent(flag, ReceiptWanted::Read, Consent::Always);
        assert_eq!(flag(None), Consent::Always);
        assert_eq!(flag(Some(Give::Ask)), Consent::Ask);
        assert_eq!(flag(Some(Give::Never)), Consent::Never);
    }
}
