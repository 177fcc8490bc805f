//! smr-recv: fetches, verifies and shows messages.

mod edge;

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use edge::{Edge, Stop, Watched};
use smr_cli::args::Common;
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_cli::{prompt, size, text, time};
use smr_client::config::Consent;
use smr_client::failure::Failure;
use smr_client::fetch::{self, Emit, Folder, Message, PartInfo, ReceiptWanted, State};
use smr_client::receipts;
use smr_client::user::User;
use smr_name::{Class, MessageId};

const TOOL: &str = "smr-recv";
// A person reads so much of a text at once; a script asks for the part.
const MAX_SHOWN: u64 = 1 << 20;

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

/// Fetch, verify and show messages.
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
    let mut user = edge.user()?;
    let mut outcome = Outcome::default();
    let mut wanted: Vec<(Folder, MessageId)> = Vec::new();
    if args.ids.is_empty() {
        let unread = fetch::oldest_unread(&mut user, args.count.map_or(1, NonZeroUsize::get))?;
        wanted.extend(unread.into_iter().map(|id| (Folder::Inbox, id)));
    }
    for prefix in &named {
        match fetch::find(&mut user, prefix) {
            Ok(found) => wanted.push(found),
            Err(failure) => outcome.note(Stop::Failure(failure).tell(&edge.report)),
        }
    }
    let mut out = Out::stdout();
    args.several = wanted.len() > 1;
    if args.several && !edge.common.json && !out.is_terminal() {
        return Err(edge::wrong_call(
            edge,
            "several messages into a pipe need --json",
        ));
    }
    for (folder, id) in wanted {
        let shown = show(edge, &args, &mut user, folder, id, &mut out);
        if let Err(stop) = shown {
            let gone = matches!(stop, Stop::Out(_));
            outcome.note(stop.tell(&edge.report));
            if gone {
                break;
            }
        }
    }
    Ok(outcome.code())
}

fn show(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    folder: Folder,
    id: MessageId,
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
        Folder::Inbox => consent(args.receipt, wanted, edge.settings.consent),
        _ => Consent::Never,
    };
    if wanted == ReceiptWanted::Card && folder == Folder::Inbox && !args.peek {
        edge.report.warning(&format!(
            "message \"{id}\" asks for a receipt by the card itself; none is given"
        ));
    }
    if consent == Consent::Always && !args.peek {
        // The receipt is on its way before the first word is shown.
        user.session.mark_read(id)?;
        receipts::give_for(user, &message)?;
    }
    write(edge, args, user, &message, out)?;
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
        receipts::give_for(user, message)?;
    }
    Ok(())
}

fn write(
    edge: &Edge,
    args: &Args,
    user: &User,
    message: &Message,
    out: &mut Out,
) -> Result<(), Stop> {
    if edge.common.json {
        let line = json(user, message)?;
        return out.json(line).map_err(Stop::Out);
    }
    let part;
    let what = match (&args.part, args.raw) {
        (Some(wanted), _) => {
            part = message.part(wanted)?;
            Emit::Part(part)
        }
        (None, true) => Emit::Raw,
        (None, false) if out.is_terminal() => {
            return person(edge, user, message, args.several, out);
        }
        (None, false) => Emit::Message,
    };
    if out.is_terminal() {
        return visibly(user, message, what, out);
    }
    let mut watched = Watched::new(out);
    let emitted = message.emit(user, what, &mut watched);
    watched.end(emitted)
}

/// Shows a part, or the whole signed message, with nothing that a terminal obeys.
fn visibly(user: &User, message: &Message, what: Emit<'_>, out: &mut Out) -> Result<(), Stop> {
    let size = match what {
        Emit::Part(number) => {
            let part = message.opened.parts.iter().find(|p| p.number == number);
            part.map_or(0, |p| p.size)
        }
        _ => message.entry.name.size,
    };
    if size > MAX_SHOWN {
        let text = format!("{} are too much for a terminal", size::short(size));
        return Err(Failure::new(Class::Usage, text).hint("> FILE").into());
    }
    let mut bytes = Vec::new();
    message.emit(user, what, &mut bytes)?;
    // CRLF is a line end here, not a control.
    let crlf = |at: usize, byte: u8| byte == b'\r' && bytes.get(at + 1) == Some(&b'\n');
    let lines = bytes.iter().copied().enumerate();
    let lines: Vec<u8> = lines
        .filter(|(at, byte)| !crlf(*at, *byte))
        .map(|(_, byte)| byte)
        .collect();
    let text = text::visible_bytes(&lines);
    out.write_all(text.as_bytes())
        .map_err(|e| Stop::Out(e.into()))
}

/// Returns the text a person reads: the first part, where it is text.
fn body(message: &Message) -> Option<&PartInfo> {
    message
        .opened
        .parts
        .first()
        .filter(|part| part.content_type.starts_with("text/"))
}

fn text_of(user: &User, message: &Message, part: &PartInfo) -> Result<Vec<u8>, Stop> {
    if part.size > MAX_SHOWN {
        return Err(Failure::new(
            Class::Usage,
            format!(
                "the text of message \"{}\" is {}",
                message.id,
                size::short(part.size)
            ),
        )
        .hint(format!("{TOOL} -O {} {}", part.number, message.id))
        .into());
    }
    let mut bytes = Vec::new();
    message.emit(user, Emit::Part(&part.number), &mut bytes)?;
    Ok(bytes)
}

/// Shows a message to a person: nothing from outside reaches the terminal as
/// it is. One of several has its text set in: no line of it can pass for the
/// head of the next message.
fn person(
    edge: &Edge,
    user: &User,
    message: &Message,
    several: bool,
    out: &mut Out,
) -> Result<(), Stop> {
    let text = match body(message) {
        Some(part) => text::visible_bytes(&text_of(user, message, part)?),
        None => String::new(),
    };
    let set_in = if several { "  " } else { "" };
    let head = head(edge, message);
    let text = text.lines().map(|line| format!("{set_in}{line}"));
    let rest = other_parts(message);
    head.into_iter()
        .chain(text)
        .chain(rest)
        .try_for_each(|line| out.line(&line))
        .map_err(Stop::Out)
}

/// Returns the headers of interest, who signed, and an empty line.
fn head(edge: &Edge, message: &Message) -> Vec<String> {
    let headers = &message.opened.headers;
    let from = format!("{} <{}>", headers.from.display, headers.from.address);
    let mut lines = vec![
        ("From", from),
        ("To", list(&headers.to).join(", ")),
        ("Cc", list(&headers.cc).join(", ")),
        ("Date", time::short(headers.date, edge.now)),
        ("Subject", headers.subject.clone()),
        ("Id", message.id.to_string()),
    ];
    lines.retain(|(name, value)| *name != "Cc" || !value.is_empty());
    let told = |(name, value): (&str, String)| format!("{name}: {}", text::visible(&value));
    let mut head: Vec<String> = lines.into_iter().map(told).collect();
    let signed = message.verified.line();
    head.extend([format!("[{}]", text::visible(&signed)), String::new()]);
    head
}

/// Returns a line for each part that is not shown.
fn other_parts(message: &Message) -> Vec<String> {
    let shown = usize::from(body(message).is_some());
    let told = |part: &PartInfo| {
        let name = part.name.as_deref().unwrap_or("(no name)");
        let told = format!("{name} {} {}", part.content_type, size::short(part.size));
        format!("[part {}: {}]", part.number, text::visible(&told))
    };
    message.opened.parts.iter().skip(shown).map(told).collect()
}

fn list(addresses: &[smr_name::Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn json(user: &User, message: &Message) -> Result<Line, Stop> {
    let (headers, verified) = (&message.opened.headers, &message.verified);
    let parts: Vec<_> = message
        .opened
        .parts
        .iter()
        .map(|part| {
            smr_cli::json::Value::from_iter([
                ("number", smr_cli::json::Value::from(part.number.as_str())),
                ("content_type", part.content_type.as_str().into()),
                ("name", part.name.as_deref().into()),
                ("size", part.size.into()),
            ])
        })
        .collect();
    // A text that is too long for a line is asked for as a part.
    let words = match body(message).filter(|part| part.size <= MAX_SHOWN) {
        Some(part) => Some(String::from_utf8_lossy(&text_of(user, message, part)?).into_owned()),
        None => None,
    };
    let folder = if message.folder == Folder::Sent {
        "sent"
    } else {
        "inbox"
    };
    Ok(Line::new("message")
        .with("id", message.id.to_string())
        .with("folder", folder)
        .with("from", headers.from.address.to_string())
        .with("to", list(&headers.to))
        .with("cc", list(&headers.cc))
        .time("date", headers.date)
        .with("subject", headers.subject.as_str())
        .with("class", verified.grade.to_string())
        .with("person", verified.person.display.as_str())
        .with("device", verified.device.as_deref())
        .time("signed", verified.time)
        .with("revoked_later", verified.revoked_later.map(time::rfc3339))
        .with("verified", verified.line())
        .with("receipt_wanted", headers.receipt != ReceiptWanted::None)
        .with("parts", parts)
        .with("text", words))
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
