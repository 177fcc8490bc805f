//! Mail of other programs (RFC 5322), taken in to be sent as it is: its header
//! read and sorted, its body passed on.
//!
//! Keeps the structure of a message, and of its header all that others do not
//! say anew. Believes nothing of it: author, date and id are the sender's.

use std::io::{self, BufRead, Read, Write};

use smr_name::{MessageId, RepositoryName};

use super::message::read_id;
use super::param::Typed;
use super::walk::Walker;
use super::{EnvelopeError, MAX_HEADER, MAX_LINE, word};

/// Fields that the sender's own take the place of, or that mail programs leave
/// behind for one another.
const REPLACED: [&str; 12] = [
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "sender",
    "return-path",
    "received",
    "delivered-to",
];

const BROKEN: fn(&'static str) -> EnvelopeError = EnvelopeError::Draft;

/// A message whose header was read, and whose body was not yet.
pub struct Mail<'a> {
    /// The addresses in To, as they stand there, without names.
    pub to: Vec<String>,
    /// Those in Cc.
    pub cc: Vec<String>,
    /// Those in Bcc.
    pub bcc: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// What it answers, by Message-ID; it may be none of ours.
    reply: Option<String>,
    /// The rest.
    pub entity: Entity<'a>,
}

impl Mail<'_> {
    /// Returns the message that it answers, where that is of `repository`.
    pub fn reply(&self, repository: &RepositoryName) -> Option<MessageId> {
        let (id, of) = read_id(self.reply.as_deref()?)?;
        (of == *repository).then_some(id)
    }
}

/// The MIME entity of such a message.
pub struct Entity<'a> {
    /// Fields that are kept, each folded, with its CRLF.
    kept: String,
    /// The content type as it stands, and read; none where none is given.
    kind: Option<(String, Typed)>,
    encoding: Option<String>,
    body: Box<dyn Read + 'a>,
}

/// One field: its name, and its value folded as it came, LF between.
struct Field {
    name: String,
    value: String,
}

/// Reads a message up to its body. `dot` says that a line of a dot ends it, as
/// sendmail has it.
pub fn read_mail<'a>(
    mut from: Box<dyn BufRead + 'a>,
    dot: bool,
) -> Result<Mail<'a>, EnvelopeError> {
    let fields = read_header(&mut from)?;
    let value = |name: &str| {
        let found = fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
        let values: Vec<String> = found.map(|f| unfold(&f.value)).collect();
        values
    };
    let addresses = |name| value(name).iter().flat_map(|v| addresses(v)).collect();
    let kind = once(&fields, "content-type")?;
    let kind = match kind {
        Some(text) => Some((text.clone(), Typed::parse(&unfold(&text))?)),
        None => None,
    };
    let encoding = once(&fields, "content-transfer-encoding")?;
    let reply = value("in-reply-to").into_iter().next();
    Ok(Mail {
        to: addresses("to"),
        cc: addresses("cc"),
        bcc: addresses("bcc"),
        subject: subject(&value("subject").join(" ")),
        entity: Entity {
            kept: kept(&fields)?,
            kind,
            encoding: encoding.map(|e| unfold(&e).to_ascii_lowercase()),
            body: Box::new(Lines {
                from,
                dot,
                line: Vec::new(),
                at: 0,
                over: false,
            }),
        },
        reply,
    })
}

fn read_header(from: &mut dyn BufRead) -> Result<Vec<Field>, EnvelopeError> {
    let mut fields: Vec<Field> = Vec::new();
    let mut room = MAX_HEADER;
    let mut first = true;
    loop {
        let mut line = Vec::new();
        let limit = room as u64 + 1;
        from.take(limit)
            .read_until(b'\n', &mut line)
            .map_err(read_error)?;
        room = room
            .checked_sub(line.len())
            .ok_or(BROKEN("a header longer than 256 KiB"))?;
        let text = text(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        // An mbox puts a line of its own in front.
        if std::mem::take(&mut first) && text.starts_with("From ") {
            continue;
        }
        if text.is_empty() {
            return Ok(fields);
        }
        match (text.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some(field)) => {
                // A line of white space alone says nothing.
                if !text.trim().is_empty() {
                    field.value.push('\n');
                    field.value.push_str(text);
                }
            }
            _ => fields.push(field(text)?),
        }
    }
}

fn field(text: &str) -> Result<Field, EnvelopeError> {
    let (name, value) = text
        .split_once(':')
        .ok_or(BROKEN("a header line without a field name"))?;
    let name = name.trim_end();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(BROKEN("a malformed field name"));
    }
    Ok(Field {
        name: name.to_owned(),
        value: value.trim().to_owned(),
    })
}

// Header text beyond ASCII is UTF-8 (RFC 6532), else what it was before that.
fn text(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => line.iter().map(|b| char::from(*b)).collect(),
    }
}

fn unfold(value: &str) -> String {
    value.replace('\n', "").trim().to_owned()
}

fn subject(value: &str) -> String {
    let decoded = word::decode(value);
    decoded.chars().filter(|c| !c.is_control()).collect()
}

fn once(fields: &[Field], name: &str) -> Result<Option<String>, EnvelopeError> {
    let mut found = fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
    let first = found.next().map(|f| f.value.clone());
    match found.next() {
        Some(_) => Err(BROKEN("a content field given twice")),
        None => Ok(first),
    }
}

/// Returns the fields that are kept, written so that every reader takes them.
fn kept(fields: &[Field]) -> Result<String, EnvelopeError> {
    let mut kept = String::new();
    for Field { name, value } in fields {
        let lower = name.to_ascii_lowercase();
        let ours = lower.starts_with("smr-") || lower.starts_with("x-smr-");
        let content = lower == "content-type" || lower == "content-transfer-encoding";
        let left = lower.starts_with("resent-") || REPLACED.contains(&lower.as_str());
        // What it answers here is written anew.
        let left = left || (lower == "in-reply-to" && read_id(&unfold(value)).is_some());
        if ours || content || left || value.is_empty() {
            continue;
        }
        let fits = value
            .split('\n')
            .all(|l| l.len() + name.len() + 2 <= MAX_LINE && l.bytes().all(is_legible));
        let value = match fits {
            true => value.replace('\n', "\r\n"),
            false => word::encode(&unfold(value)),
        };
        kept.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok(kept)
}

fn is_legible(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

fn read_error(source: io::Error) -> EnvelopeError {
    EnvelopeError::Read {
        what: "the message".into(),
        source,
    }
}

/// Returns the addresses of a To, Cc or Bcc field: names, comments and groups
/// left out.
fn addresses(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut plain, mut angle) = (String::new(), None::<String>);
    let mut chars = value.chars();
    let mut depth = 0;
    let mut end = |plain: &mut String, angle: &mut Option<String>| {
        let address = angle.take().unwrap_or_else(|| std::mem::take(plain));
        plain.clear();
        let address = address.trim();
        if !address.is_empty() {
            found.push(address.to_owned());
        }
    };
    while let Some(c) = chars.next() {
        match (c, &mut angle) {
            ('\\', _) => drop(chars.next()),
            ('(', _) => depth += 1,
            (')', _) if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            ('"', None) => {
                // A name in quotes, whatever stands in it.
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    if c == '\\' {
                        chars.next();
                    }
                }
            }
            ('<', _) => angle = Some(String::new()),
            ('>', _) => {}
            (',' | ';', _) => end(&mut plain, &mut angle),
            // The name of a group.
            (':', None) => plain.clear(),
            (c, Some(address)) => address.push(c),
            (c, None) => plain.push(c),
        }
    }
    end(&mut plain, &mut angle);
    found
}

/// A body with LF line ends, which ends at a line of a dot where that counts.
struct Lines<'a> {
    from: Box<dyn BufRead + 'a>,
    dot: bool,
    line: Vec<u8>,
    at: usize,
    over: bool,
}

// As much of a line as is looked at; a longer one comes in pieces.
const PIECE: u64 = 64 * 1024;

impl Lines<'_> {
    fn next(&mut self) -> io::Result<()> {
        let begins = self.line.is_empty() || self.line.ends_with(b"\n");
        self.line.clear();
        self.at = 0;
        (&mut self.from)
            .take(PIECE)
            .read_until(b'\n', &mut self.line)?;
        // A CR at the end of a piece may have its LF in the next.
        if self.line.ends_with(b"\r") {
            let mut next = [0];
            if (&mut self.from).take(1).read(&mut next)? == 1 {
                self.line.push(next[0]);
            }
        }
        if self.line.ends_with(b"\r\n") {
            self.line.truncate(self.line.len() - 2);
            self.line.push(b'\n');
        }
        let dot = self.dot && begins && matches!(&self.line[..], b".\n" | b".");
        self.over = dot || self.line.is_empty();
        Ok(())
    }
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() && !self.over {
            self.next()?;
        }
        if self.over {
            return Ok(0);
        }
        let rest = &self.line[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl<'a> Entity<'a> {
    /// Returns the fields that are kept.
    pub(super) fn kept(&self) -> &str {
        &self.kept
    }

    /// Tells whether it is one text that has no encoding yet.
    pub(super) fn is_text(&self) -> bool {
        let plain = matches!(self.encoding.as_deref(), None | Some("7bit" | "8bit"));
        plain
            && self.kind.as_ref().is_none_or(|(_, typed)| {
                typed.kind.starts_with("text/") && typed.param("hp").is_none()
            })
    }

    /// Returns the body, and its type where it has one.
    pub(super) fn into_text(self) -> (Box<dyn Read + 'a>, Option<String>) {
        let kind = self.kind.map(|(value, _)| value.replace('\n', "\r\n"));
        (self.body, kind)
    }

    /// Writes content fields and body as they came, line by line, checked to
    /// be what a reader takes; `head` is what was written of the header.
    pub(super) fn pass(self, head: &str, out: &mut dyn Write) -> Result<(), EnvelopeError> {
        let mut fields = String::new();
        let (value, typed) = match &self.kind {
            Some((value, typed)) => (value.replace('\n', "\r\n"), Some(typed)),
            None => ("text/plain".to_owned(), None),
        };
        let hp = match typed.and_then(|t| t.param("hp")) {
            None => ";\r\n hp=\"clear\"",
            Some("clear") => "",
            Some(_) => return Err(BROKEN("its headers are protected in another way")),
        };
        let value = value.trim_end().trim_end_matches(';');
        fields.push_str(&format!("Content-Type: {value}{hp}\r\n"));
        if let Some(encoding) = &self.encoding {
            fields.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n"));
        }
        fields.push_str("\r\n");
        let mut checked = Checked {
            walker: Walker::new(),
            out,
        };
        for line in head.split_terminator("\r\n") {
            checked.see(line.as_bytes())?;
        }
        for line in fields.split_terminator("\r\n") {
            checked.see(line.as_bytes())?;
        }
        let written = checked.out.write_all(fields.as_bytes());
        written.map_err(super::write::write_error)?;
        checked.body(self.body)?;
        checked.walker.finish().map(drop).map_err(as_draft)
    }
}

/// Writes lines through, and refuses what a reader would refuse.
struct Checked<'a> {
    walker: Walker,
    out: &'a mut dyn Write,
}

impl Checked<'_> {
    fn see(&mut self, line: &[u8]) -> Result<(), EnvelopeError> {
        if line.len() > MAX_LINE || line.iter().any(|b| matches!(b, b'\r' | 0)) {
            return Err(BROKEN(
                "a line longer than 998 bytes, or with a bare CR or a NUL, in a part without encoding",
            ));
        }
        self.walker.line(line, &mut |_, _| Ok(())).map_err(as_draft)
    }

    fn body(&mut self, body: impl Read) -> Result<(), EnvelopeError> {
        let mut body = io::BufReader::with_capacity(64 * 1024, body);
        let mut line = Vec::with_capacity(MAX_LINE + 2);
        loop {
            line.clear();
            let limit = MAX_LINE as u64 + 2;
            (&mut body)
                .take(limit)
                .read_until(b'\n', &mut line)
                .map_err(read_error)?;
            let ended = line.last() == Some(&b'\n');
            if ended {
                line.pop();
            }
            self.see(&line)?;
            self.out
                .write_all(&line)
                .map_err(super::write::write_error)?;
            if !ended {
                return Ok(());
            }
            self.out
                .write_all(b"\r\n")
                .map_err(super::write::write_error)?;
        }
    }
}

// What a reader calls not acceptable, a sender cannot write.
fn as_draft(error: EnvelopeError) -> EnvelopeError {
    match error {
        EnvelopeError::Structure(why) => EnvelopeError::Draft(why),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    fn mail(text: &str, dot: bool) -> Result<Mail<'_>, EnvelopeError> {
        read_mail(Box::new(BufReader::new(text.as_bytes())), dot)
    }

    fn body(mail: Mail<'_>) -> String {
        let mut text = String::new();
        let mut body = mail.entity.body;
        body.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn headers_are_sorted() {
        let text = "From ana Thu Jan  1 00:00:00 1970\nFrom: x@y\nTo: Bob <bob>, \"C, D\" <carol@repo>\n\
            CC: eve (the (other) one),\n leo\nBcc: undisclosed-recipients:;\n\
            Subject: =?UTF-8?B?b2zDoQ==?=\n here\nX-Mailer: é\nX-SMR-Class: Q\nReferences: <a@b>\n <c@d>\n\
            In-Reply-To: <00ff0123456789abcdef0123456789ab@repo>\nDate: now\n\nbody\n";
        let mail = mail(text, false).unwrap();
        assert_eq!(mail.to, ["bob", "carol@repo"]);
        assert_eq!(mail.cc, ["eve", "leo"]);
        assert!(mail.bcc.is_empty());
        assert_eq!(mail.subject, "olá here");
        let kept = "X-Mailer: =?UTF-8?B?w6k=?=\r\nReferences: <a@b>\r\n <c@d>\r\n";
        assert_eq!(mail.entity.kept, kept);
        assert!(mail.reply(&"repo".parse().unwrap()).is_some());
        assert!(mail.reply(&"other".parse().unwrap()).is_none());
        assert_eq!(body(mail), "body\n");
    }

    #[test]
    fn addresses_come_out_of_every_form() {
        for (value, found) in [
            ("", &[][..]),
            ("a", &["a"]),
            (" a , b@c,", &["a", "b@c"]),
            ("A B <a@b>", &["a@b"]),
            ("\"A, \\\" <x@y>\" <a@b>, c", &["a@b", "c"]),
            ("team: a, B <b@c>;", &["a", "b@c"]),
            ("a (me, too) , (x) b", &["a", "b"]),
        ] {
            assert_eq!(addresses(value), found, "{value}");
        }
    }

    #[test]
    fn bodies_have_lf_and_may_end_at_a_dot() {
        let text = "To: a\r\n\r\none\r\n..\r\n.\r\nmore";
        assert_eq!(body(mail(text, true).unwrap()), "one\n..\n");
        assert_eq!(body(mail(text, false).unwrap()), "one\n..\n.\nmore");
        let long = format!("\n{}\r\nb\rc\r", "x".repeat(PIECE as usize - 1));
        let read = body(mail(&long, true).unwrap());
        assert_eq!(read, long[1..].replace("\r\n", "\n"));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [" folded\n\n", "no colon\n\n", ": x\n\n", "é: x\n\n"] {
            assert!(mail(text, false).is_err(), "{text:?}");
        }
        let long = format!("X: {}\n\n", "x".repeat(MAX_HEADER));
        assert!(mail(&long, false).is_err());
        assert!(
            mail(
                "Content-Type: text/plain\nContent-Type: text/html\n\n",
                false
            )
            .is_err()
        );
    }
}
