//! smr-sendmail: takes mail as sendmail does, so that mail programs can send
//! by it.

mod edge;
mod hand;
mod person;
#[path = "send/wish.rs"]
mod wish;

use std::ffi::OsString;
use std::io::{BufReader, stdin};
use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use smr_cli::args::{self, Common, PinArgs};
use smr_cli::out::Out;
use smr_client::deposit::{self, How};
use smr_client::mail;

const TOOL: &str = "smr-sendmail";

/// Send a message (RFC 5322) from standard input, called as mail programs call sendmail.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// Send to those in To and Cc (-t)
    #[arg(long)]
    read_recipients: bool,
    /// A line of a single dot does not end the message (-i, -oi)
    #[arg(long)]
    ignore_dots: bool,
    /// Send what waits in the outbox (-q)
    #[arg(long, conflicts_with_all = ["read_recipients", "recipients"])]
    flush: bool,
    /// To whom
    #[arg(value_name = "MAILBOX", required_unless_present_any = ["read_recipients", "flush"])]
    recipients: Vec<String>,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    match translated(std::env::args_os().collect()) {
        Ok(words) => edge::main_of(TOOL, words, |args: &Args| &args.common, run),
        Err(text) => {
            let report = Common::default().report(TOOL);
            ExitCode::from(args::wrong_call(&report, &text))
        }
    }
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    if args.flush {
        return wish::flush(edge, None);
    }
    let receipt = wish::wanted(edge, None);
    let mail = mail::read(Box::new(BufReader::new(stdin())), !args.ignore_dots)?;
    let mut user = edge.user()?;
    let letter = mail::letter(&user, mail, &args.recipients, args.read_recipients, receipt)?;
    // Who calls sendmail counts on a queue.
    let how = How {
        queue: true,
        ..How::default()
    };
    let id = deposit::new_id();
    let by = edge.settings.by;
    let hand = hand::take(edge, TOOL, by, &PinArgs::default(), &mut user)?;
    let sent = deposit::send(&mut user, letter, id, &hand, how)?;
    // sendmail prints nothing; JSON was asked for.
    match edge.common.json {
        true => {
            let mut out = Out::stdout();
            wish::tell(edge, &mut out, id, &sent)?;
            out.finish().map_err(Stop::Out)?;
        }
        false => {
            edge.report.detail(&format!("sent as {id}"));
            wish::waits(edge, id, &sent);
        }
    }
    Ok(0)
}

/// What an option of sendmail's means here.
enum Meaning {
    /// As this long option.
    Long(&'static str),
    /// Nothing.
    Nothing,
    /// Nothing, and it has a value.
    Value,
    /// As this long option, with its value.
    LongValue(&'static str),
}

fn meaning(letter: char) -> Option<Meaning> {
    Some(match letter {
        't' => Meaning::Long("--read-recipients"),
        'i' => Meaning::Long("--ignore-dots"),
        'v' => Meaning::Long("--verbose"),
        'n' | 'm' | 'U' | 'G' => Meaning::Nothing,
        // The author is the account's, whatever the caller says.
        'f' | 'r' | 'F' => Meaning::Value,
        // Transport, notifications and names of envelopes: of SMTP.
        'B' | 'N' | 'R' | 'V' | 'h' | 'L' | 'O' | 'p' => Meaning::Value,
        // msmtp's.
        'a' => Meaning::LongValue("--as"),
        _ => return None,
    })
}

/// Says in our options what was said in sendmail's.
fn translated(args: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut args = args.into_iter();
    let mut words: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        if text == "--" {
            words.push(arg);
            words.extend(args);
            return Ok(words);
        }
        if let Some(long) = text.strip_prefix("--") {
            long_option(long, arg, &mut args, &mut words)?;
        } else if let Some(letters) = text.strip_prefix('-').filter(|l| !l.is_empty()) {
            short_options(letters, &mut args, &mut words)?;
        } else {
            words.push(arg);
        }
    }
    Ok(words)
}

// msmtp's long options that matter here; the others are ours, or unknown.
fn long_option(
    long: &str,
    arg: OsString,
    args: &mut impl Iterator<Item = OsString>,
    words: &mut Vec<OsString>,
) -> Result<(), String> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(OsString::from(value))),
        None => (long, None),
    };
    match name {
        "read-envelope-from" => {}
        "from" | "account" => {
            let value = value.or_else(|| args.next());
            let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
            if name == "account" {
                words.extend(["--as".into(), value]);
            }
        }
        _ => words.push(arg),
    }
    Ok(())
}

fn short_options(
    letters: &str,
    args: &mut impl Iterator<Item = OsString>,
    words: &mut Vec<OsString>,
) -> Result<(), String> {
    match letters.chars().next() {
        // The long form of an interval is none of ours: once is now.
        Some('q') => {
            words.push("--flush".into());
            return Ok(());
        }
        Some('b') if letters == "bm" => return Ok(()),
        Some('A') if matches!(letters, "Am" | "Ac") => return Ok(()),
        Some('o') => {
            let value = letters.get(1..).filter(|rest| !rest.is_empty());
            let value = value.map(str::to_owned).or_else(|| {
                args.next()
                    .map(|value| value.to_string_lossy().into_owned())
            });
            if value.as_deref() == Some("i") {
                words.push("--ignore-dots".into());
            }
            return Ok(());
        }
        _ => {}
    }
    for (at, letter) in letters.char_indices() {
        let attached = &letters[at + letter.len_utf8()..];
        let mut value = || match attached.is_empty() {
            false => Ok(OsString::from(attached)),
            true => args
                .next()
                .ok_or_else(|| format!("-{letter} needs a value")),
        };
        match meaning(letter) {
            Some(Meaning::Long(long)) => words.push(long.into()),
            Some(Meaning::Nothing) => {}
            Some(Meaning::Value) => {
                value()?;
                return Ok(());
            }
            Some(Meaning::LongValue(long)) => {
                words.extend([long.into(), value()?]);
                return Ok(());
            }
            None => {
                return Err(format!(
                    "-{letters} is not understood: a message on standard input is all that is taken"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<String, String> {
        let args = format!("smr-sendmail {line}");
        let args = args.split_whitespace().map(OsString::from).collect();
        let words = translated(args)?;
        let words: Vec<_> = words.iter().map(|w| w.to_string_lossy()).collect();
        Ok(words[1..].join(" "))
    }

    #[test]
    fn what_mail_programs_say_is_understood() {
        for (theirs, ours) in [
            ("-t", "--read-recipients"),
            ("-oem -oi -- bob eve", "--ignore-dots -- bob eve"),
            ("-ti -f alice@x", "--read-recipients --ignore-dots"),
            ("-i -falice@x bob", "--ignore-dots bob"),
            (
                "-B8BITMIME -N failure -R hdrs -oem -oi bob",
                "--ignore-dots bob",
            ),
            (
                "-i -m -v -r alice@x -- bob",
                "--ignore-dots --verbose -- bob",
            ),
            ("-F Alice -bm -Am -odb -o i bob", "--ignore-dots bob"),
            ("-a work -t", "--as work --read-recipients"),
            (
                "--account=work --read-envelope-from -t --from=x",
                "--as work --read-recipients",
            ),
            ("--read-recipients --json", "--read-recipients --json"),
            ("-q15m", "--flush"),
            ("-t - -- -x", "--read-recipients - -- -x"),
        ] {
            assert_eq!(words(theirs).as_deref(), Ok(ours), "{theirs}");
        }
    }

    #[test]
    fn the_rest_is_refused() {
        for line in ["-bs", "-bd", "-bp", "-C x", "-Z", "-f", "-tf", "--from"] {
            assert!(words(line).is_err(), "{line}");
        }
    }
}
