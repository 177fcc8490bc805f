//! What smr-recv shows of a message: to a person, as JSON, or as the bytes that
//! were asked for.
//!
//! Shows verified messages only; lets no control character reach a terminal.

use std::io::Write;

use smr_cli::json::{Line, Value};
use smr_cli::out::Out;
use smr_cli::words::say;
use smr_cli::{size, text, time};
use smr_client::failure::Failure;
use smr_client::fetch::{Emit, Folder, Message, PartInfo, ReceiptWanted};
use smr_client::user::User;
use smr_name::Class;

use super::edge::{Edge, Stop, Watched};
use super::{Args, TOOL};

// A person reads so much of a text at once; a script asks for the part.
const MAX_SHOWN: u64 = 1 << 20;

/// Writes a message in the form that was asked for.
pub(crate) fn write(
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
        ("Date", time::shown(headers.date, edge.now)),
        ("Subject", headers.subject.clone()),
        ("Id", message.id.to_string()),
    ];
    lines.retain(|(name, value)| *name != "Cc" || !value.is_empty());
    let told = |(name, value): (&str, String)| format!("{}: {}", say(name), text::visible(&value));
    let mut head: Vec<String> = lines.into_iter().map(told).collect();
    let signed = message.verified.line();
    head.extend([format!("[{}]", text::visible(&say(&signed))), String::new()]);
    head
}

/// Returns a line for each part that is not shown.
fn other_parts(message: &Message) -> Vec<String> {
    let shown = usize::from(body(message).is_some());
    let told = |part: &PartInfo| {
        let nameless = say("(no name)");
        let name = part.name.as_deref().unwrap_or(&nameless);
        let told = format!("{name} {} {}", part.content_type, size::short(part.size));
        format!(
            "[{} {}: {}]",
            say("part"),
            part.number,
            text::visible(&told)
        )
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
            Value::from_iter([
                ("number", Value::from(part.number.as_str())),
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
