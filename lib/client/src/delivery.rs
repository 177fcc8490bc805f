//! Delivery: verified messages into a Maildir, onto an mbox, or into a program.
//!
//! Writes them as mail programs keep mail: LF line ends, and in front what was
//! verified, in `X-SMR-` fields that nobody else can have written; with the
//! signature in a Maildir, where mail lies for years. Marks nothing read;
//! whoever calls does, once this says that a message is safe.

mod form;
mod lifted;
mod maildir;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use smr_evidence::envelope;
use smr_name::Class;

use crate::failure::Failure;
use crate::fetch::{Emit, Message};
use crate::user::User;
use form::Form;
use lifted::Lifted;

pub use maildir::Maildir;

/// The exit code by which a program says: not now (sysexits, EX_TEMPFAIL).
const TEMPFAIL: i32 = 75;

/// What a program did with a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// It took it (exit code 0).
    Took,
    /// It wants it later (75).
    Later,
    /// It failed in another way; how, in words.
    Failed(String),
}

/// Writes a message as one of an mbox; `from_line` separates it from the last.
pub fn mbox(
    user: &User,
    message: &Message,
    from_line: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let wrong = |e: io::Error| Failure::new(Class::Io, format!("cannot write the mbox: {e}"));
    writeln!(out, "{from_line}").map_err(wrong)?;
    write_mail(user, message, true, out)?;
    out.write_all(b"\n").map_err(wrong)
}

/// Runs a program with a message on its standard input, and with `SMR_ID`,
/// `SMR_FROM` and `SMR_CLASS` in its environment.
pub fn exec(user: &User, message: &Message, command: &[OsString]) -> Result<Ran, Failure> {
    let (program, args) = command
        .split_first()
        .ok_or_else(|| Failure::new(Class::Usage, "no program to run"))?;
    let name = program.to_string_lossy().into_owned();
    let mut child = Command::new(program)
        .args(args)
        .env("SMR_ID", message.id.to_string())
        .env("SMR_FROM", message.verified.address.to_string())
        .env("SMR_CLASS", message.verified.grade.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| not_run(&name, &e))?;
    let fed = feed(user, message, &mut child);
    let status = child
        .wait()
        .map_err(|e| Failure::new(Class::Io, format!("cannot wait for \"{name}\": {e}")))?;
    // What it got was not all of the message: its word on that counts for nothing.
    fed?;
    Ok(match status.code() {
        Some(0) => Ran::Took,
        Some(TEMPFAIL) => Ran::Later,
        Some(code) => Ran::Failed(format!("\"{name}\" ended with {code}")),
        None => Ran::Failed(format!("\"{name}\" was ended by a signal")),
    })
}

fn not_run(name: &str, error: &io::Error) -> Failure {
    let class = match error.kind() {
        io::ErrorKind::NotFound => Class::Missing,
        io::ErrorKind::PermissionDenied => Class::Denied,
        _ => Class::Io,
    };
    Failure::new(class, format!("cannot run \"{name}\": {error}"))
        .hint("is it in PATH, and a program?")
}

fn feed(user: &User, message: &Message, child: &mut Child) -> Result<(), Failure> {
    let Some(stdin) = child.stdin.take() else {
        return Err(Failure::new(Class::Broken, "a program without an input"));
    };
    write_mail(user, message, false, &mut Willing(Some(stdin)))
}

/// Goes on when the reader has had enough: its exit code says what that means.
struct Willing<W>(Option<W>);

impl<W: Write> Write for Willing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.as_mut().map(|to| to.write(bytes)) {
            None => Ok(bytes.len()),
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(bytes.len())
            }
            Some(written) => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what was verified, then the message without such fields of its own.
fn write_mail(
    user: &User,
    message: &Message,
    mbox: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut form = marked(message, mbox, out)?;
    message.emit(user, Emit::Message, &mut form)?;
    form.finish().map_err(cannot_deliver)
}

/// Writes what was verified, then the signed message, which S/MIME verifies.
fn write_signed(user: &User, message: &Message, out: &mut dyn Write) -> Result<(), Failure> {
    let mut form = marked(message, false, out)?;
    message.emit(user, Emit::Raw, &mut Lifted::new(&mut form))?;
    form.finish().map_err(cannot_deliver)
}

fn marked<'a>(message: &Message, mbox: bool, out: &'a mut dyn Write) -> Result<Form<'a>, Failure> {
    let mut form = Form::new(out, mbox);
    for (name, value) in marks(message) {
        let field = format!("{name}: {}\n", envelope::header_text(&value));
        form.mark(&field.replace('\r', ""))
            .map_err(cannot_deliver)?;
    }
    Ok(form)
}

fn cannot_deliver(error: io::Error) -> Failure {
    Failure::new(Class::Io, format!("cannot deliver: {error}"))
}

fn marks(message: &Message) -> [(&'static str, String); 5] {
    let verified = &message.verified;
    [
        ("X-SMR-Id", message.id.to_string()),
        ("X-SMR-From", verified.address.to_string()),
        ("X-SMR-Person", verified.person.display.clone()),
        ("X-SMR-Class", verified.grade.to_string()),
        ("X-SMR-Verified", verified.line()),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::Willing;

    #[test]
    fn a_program_may_stop_reading() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut willing = Willing(Some(writer));
        willing.write_all(&[7; 100_000]).unwrap();
        assert!(willing.0.is_none());
    }
}
