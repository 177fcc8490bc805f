//! smr-send: seals, signs and deposits a message.

mod edge;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use edge::{Edge, Stop};
use smr_cli::args::Common;
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_client::config::{Ask, By};
use smr_client::deposit::{self, How, Letter, Part, ReceiptWanted, Sent};
use smr_client::failure::Failure;
use smr_client::{fetch, once, outbox};
use smr_name::{Address, Class, MessageId};

const TOOL: &str = "smr-send";

/// Which receipt is asked for.
#[derive(Clone, Copy, ValueEnum)]
enum Wanted {
    /// None
    None,
    /// One when the message was read
    Read,
}

/// Send a sealed, signed message; its text comes from standard input.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// The subject; it is inside the seal
    #[arg(short, long, value_name = "SUBJECT", default_value = "")]
    subject: String,
    /// Attach FILE; "-" is standard input, and then there is no text
    #[arg(short, long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// A further addressee, named in Cc
    #[arg(short, long, value_name = "MAILBOX")]
    cc: Vec<Address>,
    /// The receipt to ask for
    #[arg(long, value_name = "KIND")]
    receipt: Option<Wanted>,
    /// The message this one answers
    #[arg(long, value_name = "ID")]
    reply: Option<String>,
    /// Send one message for KEY, however often this is run
    #[arg(long, value_name = "KEY")]
    once: Option<String>,
    /// Where smrd cannot be reached, put it into the outbox
    #[arg(long)]
    queue: bool,
    /// Send what waits in the outbox, or the one message ID
    #[arg(long, value_name = "ID", num_args = 0..=1,
          conflicts_with_all = ["subject", "attach", "cc", "receipt", "reply", "once", "queue"])]
    flush: Option<Option<String>>,
    /// The addressees
    #[arg(
        value_name = "MAILBOX",
        required_unless_present = "flush",
        conflicts_with = "flush"
    )]
    to: Vec<Address>,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    if let Some(wanted) = &args.flush {
        return flush(edge, wanted.as_deref());
    }
    refuse_card(edge)?;
    let receipt = wanted(edge, args.receipt)?;
    let parts = parts(edge, &args.attach)?;
    let answered = edge::ids(edge, args.reply.as_slice(), false)?;
    let mut user = edge.user()?;
    let reply = match answered.first() {
        Some(prefix) => Some(fetch::find(&mut user, prefix)?.1),
        None => None,
    };
    let letter = Letter {
        to: args.to,
        cc: args.cc,
        subject: args.subject,
        parts,
        receipt,
        reply,
    };
    let id = match &args.once {
        Some(key) => once::id(&mut user, key)?,
        None => deposit::new_id(),
    };
    let how = How {
        once: args.once.is_some(),
        queue: args.queue,
    };
    let sent = deposit::send(&mut user, letter, id, how)?;
    let mut out = Out::stdout();
    tell(edge, &mut out, id, &sent)?;
    out.finish().map_err(Stop::Out)?;
    Ok(0)
}

/// Prints the id, and says where the message is if it waits.
fn tell(edge: &Edge, out: &mut Out, id: MessageId, sent: &Sent) -> Result<(), Stop> {
    if let Sent::Queued(why) = sent {
        edge.report.note(&format!(
            "{why}; message \"{id}\" waits in the outbox until the next login or {TOOL} --flush"
        ));
    }
    if !edge.common.json {
        return out.line(&id.to_string()).map_err(Stop::Out);
    }
    let line = match sent {
        Sent::Queued(_) => Line::new("queued").with("id", id.to_string()),
        Sent::Deposited(mailboxes) => {
            let names: Vec<String> = mailboxes.iter().map(ToString::to_string).collect();
            Line::new("sent")
                .with("id", id.to_string())
                .with("mailboxes", names)
        }
    };
    out.json(line).map_err(Stop::Out)
}

/// Sends what waits, one after the other, and prints what left.
fn flush(edge: &Edge, wanted: Option<&str>) -> Result<u8, Stop> {
    let prefixes = edge::ids(
        edge,
        &wanted.map(str::to_owned).into_iter().collect::<Vec<_>>(),
        false,
    )?;
    let mut user = edge.user()?;
    let waiting = match prefixes.first() {
        Some(prefix) => vec![outbox::find(&user, prefix)?],
        None => outbox::waiting(&user)?,
    };
    let (mut out, mut outcome) = (Out::stdout(), Outcome::default());
    for id in waiting {
        match outbox::flush(&mut user, &id) {
            Ok(mailboxes) => tell(edge, &mut out, id, &Sent::Deposited(mailboxes))?,
            Err(failure) => outcome.note(Stop::Failure(failure).tell(&edge.report)),
        }
    }
    out.finish().map_err(Stop::Out)?;
    Ok(outcome.code())
}

/// A device's signature must not pass for the card's that was configured.
fn refuse_card(edge: &Edge) -> Result<(), Stop> {
    match edge.settings.by {
        By::Device => Ok(()),
        By::Card => {
            let text = "\"send.by\" is \"card\", but messages are signed by devices only yet";
            let hint = format!(
                "set it to \"device\" in {}",
                edge.home.config_file().display()
            );
            Err(Failure::new(Class::Config, text).hint(hint).into())
        }
    }
}

fn wanted(edge: &Edge, flag: Option<Wanted>) -> Result<ReceiptWanted, Stop> {
    match (flag, edge.settings.ask) {
        (Some(Wanted::None), _) | (None, Ask::None) => Ok(ReceiptWanted::None),
        (Some(Wanted::Read), _) | (None, Ask::Read) => Ok(ReceiptWanted::Read),
        (None, Ask::Card) => Err(Failure::new(
            Class::Config,
            "\"send.receipt\" is \"card\", but no reader can give such a receipt yet",
        )
        .hint("--receipt read")
        .into()),
    }
}

/// Opens everything before anything is sent. Part 1 is the text, even an
/// empty one, so that attachments are counted from 2.
fn parts(edge: &Edge, attach: &[PathBuf]) -> Result<Vec<Part<'static>>, Stop> {
    let stdin = |path: &&PathBuf| path.as_os_str() == "-";
    let text: Box<dyn Read> = match attach.iter().filter(stdin).count() {
        0 => Box::new(io::stdin().lock()),
        1 => Box::new(io::empty()),
        _ => {
            return Err(edge::wrong_call(
                edge,
                "standard input can be attached once only",
            ));
        }
    };
    let mut parts = vec![Part::Text(text)];
    for path in attach {
        parts.push(match path.as_os_str() == "-" {
            true => Part::Attachment {
                name: "stdin".to_owned(),
                read: Box::new(io::stdin().lock()),
            },
            false => deposit::attachment(path, Box::new(open(path)?)),
        });
    }
    Ok(parts)
}

fn open(path: &PathBuf) -> Result<File, Stop> {
    File::open(path).map_err(|error| {
        let class = match error.kind() {
            io::ErrorKind::NotFound => Class::Missing,
            _ => Class::Io,
        };
        Failure::new(
            class,
            format!("cannot open \"{}\": {error}", path.display()),
        )
        .into()
    })
}
