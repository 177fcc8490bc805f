//! pinentry, spoken to in Assuan.
//!
//! Only what a single entry needs; the answer never passes through a buffer
//! that is not wiped.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zeroize::Zeroizing;

// Assuan lines have at most 1000 bytes and a line end.
const LONGEST: usize = 1002;
// GPG_ERR_CANCELED and GPG_ERR_FULLY_CANCELED; the upper bits name the source.
const CANCELLED: [u32; 2] = [99, 198];

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The person said no.
    Cancelled,
    /// It does not run, or not here.
    Unusable,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Failure::Unusable
    }
}

/// A running pinentry; ends when dropped.
pub(crate) struct Pinentry {
    child: Child,
}

impl Drop for Pinentry {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Pinentry {
    pub(crate) fn start(program: &Path) -> Result<Pinentry, Failure> {
        let child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut pinentry = Pinentry { child };
        pinentry.reply()?;
        Ok(pinentry)
    }

    /// Asks for one secret.
    pub(crate) fn ask(
        &mut self,
        title: &str,
        prompt: &str,
        warning: Option<&str>,
    ) -> Result<Zeroizing<String>, Failure> {
        // Not every pinentry knows every option.
        for option in terminal_options() {
            let _ = self.command(&option)?;
        }
        let _ = self.command(&format!("SETTITLE {}", escape(title)))?;
        self.command(&format!("SETDESC {}", escape(prompt)))??;
        let _ = self.command("SETPROMPT >")?;
        if let Some(warning) = warning {
            let _ = self.command(&format!("SETERROR {}", escape(warning)))?;
        }
        let answer = self.command("GETPIN")??;
        answer.ok_or(Failure::Cancelled)
    }

    // The outer failure ends the talk, the inner one is the command's.
    fn command(
        &mut self,
        line: &str,
    ) -> Result<Result<Option<Zeroizing<String>>, Failure>, Failure> {
        let stdin = self.child.stdin.as_mut().ok_or(Failure::Unusable)?;
        stdin.write_all(format!("{line}\n").as_bytes())?;
        match self.reply() {
            Ok(data) => Ok(Ok(data)),
            Err(Failure::Cancelled) => Ok(Err(Failure::Cancelled)),
            Err(Failure::Unusable) if line == "GETPIN" => Err(Failure::Unusable),
            Err(Failure::Unusable) => Ok(Err(Failure::Unusable)),
        }
    }

    // Reads up to OK or ERR; a D line is the data.
    fn reply(&mut self) -> Result<Option<Zeroizing<String>>, Failure> {
        let stdout = self.child.stdout.as_mut().ok_or(Failure::Unusable)?;
        let mut data = None;
        loop {
            let line = read_line(stdout)?;
            let line = line.trim_ascii_end();
            match line.split_first_chunk::<2>() {
                Some((b"OK", _)) => return Ok(data),
                // What does not fit one line is no secret of ours: half of it
                // must not be taken for the whole.
                Some((b"D ", _)) if data.is_some() => return Err(Failure::Unusable),
                Some((b"D ", rest)) => data = Some(unescape(rest)?),
                Some((b"ER", rest)) => return Err(refusal(rest)),
                // Comments, status lines, an empty D.
                _ => {}
            }
        }
    }
}

fn terminal_options() -> Vec<String> {
    let mut options = vec!["OPTION ttyname=/dev/tty".to_owned()];
    if let Ok(kind) = std::env::var("TERM") {
        options.push(format!("OPTION ttytype={}", escape(&kind)));
    }
    if let Ok(locale) = std::env::var("LC_ALL").or_else(|_| std::env::var("LANG")) {
        let locale = escape(&locale);
        options.push(format!("OPTION lc-ctype={locale}"));
        // Its buttons speak as we do.
        options.push(format!("OPTION lc-messages={locale}"));
    }
    options
}

fn refusal(line: &[u8]) -> Failure {
    let code = std::str::from_utf8(line).ok().and_then(|text| {
        text.strip_prefix("R ")?
            .split(' ')
            .next()?
            .parse::<u32>()
            .ok()
    });
    match code {
        Some(code) if CANCELLED.contains(&(code & 0xffff)) => Failure::Cancelled,
        _ => Failure::Unusable,
    }
}

// In a box: what is moved leaves a copy behind that nobody wipes.
struct Line {
    bytes: Box<Zeroizing<[u8; LONGEST]>>,
    length: usize,
}

impl Line {
    fn trim_ascii_end(&self) -> &[u8] {
        let filled = self.bytes.get(..self.length).unwrap_or(&[]);
        filled.strip_suffix(b"\n").unwrap_or(filled)
    }
}

// Byte by byte: a reader with a buffer of its own would keep the answer.
fn read_line(from: &mut impl Read) -> Result<Line, Failure> {
    let mut line = Line {
        bytes: Box::new(Zeroizing::new([0; LONGEST])),
        length: 0,
    };
    while let Some(place) = line.bytes.get_mut(line.length..=line.length) {
        from.read_exact(place)?;
        line.length += 1;
        if place == b"\n" {
            return Ok(line);
        }
    }
    Err(Failure::Unusable)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

fn unescape(data: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = data.iter();
    let mut out = Zeroizing::new(Vec::with_capacity(data.len()));
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(*bytes.next()?).to_digit(16);
        let value = digit().zip(digit()).map(|(high, low)| high << 4 | low);
        let value = value.and_then(|v| u8::try_from(v).ok());
        out.push(value.ok_or(Failure::Unusable)?);
    }
    let text = std::str::from_utf8(&out).map_err(|_| Failure::Unusable)?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// Writes an executable script. By a shell: a file that this process had
    /// open for writing could not be run while another thread forks.
    pub(crate) fn write_program(path: &Path, body: &str) {
        let script = "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 700 \"$1\"";
        let status = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(path)
            .arg(body)
            .status();
        assert!(status.unwrap().success());
    }

    #[test]
    fn a_line_is_not_copied_when_it_is_moved() {
        assert!(size_of::<Line>() < 64);
    }

    fn program(dir: &Path, answer: &str) -> std::path::PathBuf {
        let path = dir.join("pinentry");
        let script = format!(
            "echo 'OK hello'\nwhile read -r l; do case \"$l\" in\n\
             GETPIN) {answer};;\n'SETDESC '*) echo \"$l\" >> '{}/log'; echo OK;;\n\
             'OPTION lc'*) echo 'ERR 83886254 Unknown option';;\n*) echo OK;; esac; done\n",
            dir.display()
        );
        write_program(&path, &script);
        path
    }

    fn ask(answer: &str) -> (Result<Zeroizing<String>, Failure>, String) {
        let dir = tempfile::tempdir().unwrap();
        let program = program(dir.path(), answer);
        let mut pinentry = Pinentry::start(&program).unwrap();
        let answer = pinentry.ask("smr-x", "PIN of 100%\nx", Some("few"));
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        (answer, log)
    }

    #[test]
    fn answers_are_read_and_words_escaped() {
        let (answer, log) = ask("echo '# c'; echo 'S PASSWORD'; echo 'D 12%2534%0A'; echo OK");
        assert_eq!(answer.unwrap().as_str(), "12%34\n");
        assert_eq!(log, "SETDESC PIN of 100%25%0Ax\n");
    }

    #[test]
    fn no_is_told_from_broken() {
        let (answer, _) = ask("echo 'ERR 83886179 Operation cancelled <Pinentry>'");
        assert_eq!(answer.err(), Some(Failure::Cancelled));
        let (answer, _) = ask("echo OK");
        assert_eq!(answer.err(), Some(Failure::Cancelled));
        let (answer, _) = ask("echo 'ERR 83918950 Inappropriate ioctl'");
        assert_eq!(answer.err(), Some(Failure::Unusable));
        let (answer, _) = ask("exit 1");
        assert_eq!(answer.err(), Some(Failure::Unusable));
        let (answer, _) = ask("echo 'D half'; echo 'D of it'; echo OK");
        assert_eq!(answer.err(), Some(Failure::Unusable));
        let (answer, _) = ask("echo 'D %G'; echo OK");
        assert_eq!(answer.err(), Some(Failure::Unusable));
    }

    #[test]
    fn programs_that_do_not_speak_assuan_are_unusable() {
        assert_eq!(
            Pinentry::start(Path::new("/bin/true")).err(),
            Some(Failure::Unusable)
        );
        assert_eq!(
            Pinentry::start(Path::new("/nonexistent")).err(),
            Some(Failure::Unusable)
        );
    }
}
