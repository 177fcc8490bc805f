//! smr-send: seals, signs and deposits a message.

mod edge;
mod hand;
mod person;
#[path = "send/wish.rs"]
mod wish;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use hand::SignBy;
use smr_cli::args::{Common, PinArgs};
use smr_cli::out::Out;
use smr_client::deposit::{self, How, Letter, Part};
use smr_client::failure::Failure;
use smr_client::{fetch, mail, once};
use smr_name::{Address, Class};
use wish::Wanted;

const TOOL: &str = "smr-send";

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
    /// What signs: this device, or the card, which asks for its PIN
    #[arg(long, value_name = "WHAT")]
    by: Option<SignBy>,
    /// The message this one answers
    #[arg(long, value_name = "ID")]
    reply: Option<String>,
    /// Send one message for KEY, however often this is run
    #[arg(long, value_name = "KEY")]
    once: Option<String>,
    /// Where smrd cannot be reached, put it into the outbox
    #[arg(long)]
    queue: bool,
    /// Standard input is a whole message (RFC 5322), which says to whom
    #[arg(short = 't', conflicts_with_all = ["subject", "attach", "cc", "reply"])]
    message: bool,
    /// Send what waits in the outbox, or the one message ID
    #[arg(long, value_name = "ID", num_args = 0..=1,
          conflicts_with_all = ["subject", "attach", "cc", "receipt", "by", "reply", "once", "queue", "message"])]
    flush: Option<Option<String>>,
    /// The addressees
    #[arg(
        value_name = "MAILBOX",
        required_unless_present_any = ["flush", "message"],
        conflicts_with_all = ["flush", "message"]
    )]
    to: Vec<Address>,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    if let Some(wanted) = &args.flush {
        return wish::flush(edge, wanted.as_deref());
    }
    let receipt = wish::wanted(edge, args.receipt);
    let by = args.by.map_or(edge.settings.by, Into::into);
    // Read before an agent is asked for: what is no message is no message.
    let mail = match args.message {
        true => Some(mail::read(Box::new(BufReader::new(io::stdin())), false)?),
        false => None,
    };
    let parts = match mail {
        Some(_) => Vec::new(),
        None => parts(edge, &args.attach)?,
    };
    let answered = edge::ids(edge, args.reply.as_slice(), false)?;
    let mut user = edge.user()?;
    let letter = match mail {
        Some(mail) => mail::letter(&user, mail, &[], true, receipt)?,
        None => Letter {
            to: args.to,
            cc: args.cc,
            subject: args.subject,
            parts,
            receipt,
            reply: match answered.first() {
                Some(prefix) => Some(fetch::find(&mut user, prefix)?.1),
                None => None,
            },
        },
    };
    let id = match &args.once {
        Some(key) => once::id(&mut user, key)?,
        None => deposit::new_id(),
    };
    let how = How {
        once: args.once.is_some(),
        queue: args.queue,
    };
    let hand = hand::take(edge, TOOL, by, &args.pin, &mut user)?;
    let sent = deposit::send(&mut user, letter, id, &hand, how)?;
    let mut out = Out::stdout();
    wish::tell(edge, &mut out, id, &sent)?;
    out.finish().map_err(Stop::Out)?;
    Ok(0)
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
