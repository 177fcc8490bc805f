//! Runs the transcripts: whole sessions as a user sees them, in `tests/transcript/*.t`.
//!
//! A transcript has commands and what they say:
//!
//! ```text
//! with alice bob            these people are registered and logged in
//! as alice                  the commands that follow are hers
//! twice                     from here on each command runs in a pipe and on a terminal
//! speak pt_PT.UTF-8         and in this language (LC_ALL); C.UTF-8 otherwise
//! smrd stop|start|kill      what the administrator does
//! $ echo hi | smr-send bob  a command for sh
//! [ID]                      a message id: kept the first time, compared afterwards
//! ! smr-send: error: ...    a line on stderr
//! [..]                      stands for any text within a line
//! |                         an empty line
//! ...                       stands for any lines; `! ...` on stderr
//! [65]                      the exit code, where it is not 0
//! # a remark
//! ```
//!
//! The README's session is one of them.
//!
//! Captures: `[ID...]` 32 hexadecimal digits, `[FP...]` a fingerprint,
//! `[TIME...]` a time in RFC 3339, `[N...]` a number. In commands a capture is
//! written the same way.

#![allow(clippy::print_stdout)] // it is its own test harness

mod house;
#[path = "transcript/readme.rs"]
mod readme;
#[path = "transcript/table.rs"]
mod table;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use house::House;

/// One command of a transcript, with what is expected of it.
#[derive(Default)]
struct Step {
    line: usize,
    command: String,
    stdout: Vec<String>,
    stderr: Vec<String>,
    code: i32,
}

enum Item {
    With(Vec<String>),
    As(String),
    Speak(String),
    Twice,
    Smrd(String),
    Run(Step),
}

fn exit_code(line: &str) -> Option<i32> {
    line.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn parse(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = || line.split_whitespace().skip(1).map(str::to_owned);
        if let Some(command) = line.strip_prefix("$ ") {
            items.push(Item::Run(Step {
                line: at + 1,
                command: command.to_owned(),
                ..Step::default()
            }));
        } else if line.starts_with("# ") || line == "#" {
            continue;
        } else if let Some(Item::Run(step)) = items.last_mut().filter(|_| !line.is_empty()) {
            match (line.strip_prefix("! "), exit_code(line)) {
                (Some(said), _) => step.stderr.push(said.to_owned()),
                (None, Some(code)) => step.code = code,
                (None, None) => step.stdout.push(match line {
                    "|" => String::new(),
                    other => other.to_owned(),
                }),
            }
        } else if line.is_empty() {
            items.push(Item::With(Vec::new())); // ends the expectations of the command before
        } else if line.starts_with("with ") {
            items.push(Item::With(words().collect()));
        } else if let Some(name) = line.strip_prefix("as ") {
            items.push(Item::As(name.to_owned()));
        } else if let Some(locale) = line.strip_prefix("speak ") {
            items.push(Item::Speak(locale.to_owned()));
        } else if line == "twice" {
            items.push(Item::Twice);
        } else if let Some(verb) = line.strip_prefix("smrd ") {
            items.push(Item::Smrd(verb.to_owned()));
        } else {
            return Err(format!("line {}: not understood: {line}", at + 1));
        }
    }
    Ok(items)
}

/// Returns the length of the capture's text at the start of `text`, if it fits.
fn capture_length(name: &str, text: &str) -> Option<usize> {
    let run = |ok: fn(char) -> bool| text.find(|c| !ok(c)).unwrap_or(text.len());
    let length = match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "ID" => run(|c| matches!(c, '0'..='9' | 'a'..='f')),
        "FP" => text
            .strip_prefix("SHA256:")
            .map(|_| 50)
            .filter(|n| *n <= text.len())?,
        "TIME" => run(|c| matches!(c, '0'..='9' | '-' | ':' | 'T' | 'Z')),
        "N" => run(|c| c.is_ascii_digit()),
        _ => return None,
    };
    let exact = !name.starts_with("ID") || length == 32;
    (length > 0 && exact).then_some(length)
}

type Captures = HashMap<String, String>;

fn capture_name(pattern: &str) -> Option<(&str, &str)> {
    let (name, rest) = pattern.strip_prefix('[')?.split_once(']')?;
    let plain = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    plain.then_some((name, rest))
}

/// Compares one line with its pattern, keeping new captures.
fn line_fits(pattern: &str, line: &str, captures: &mut Captures) -> bool {
    if let Some(rest) = pattern.strip_prefix("[..]") {
        let starts = line.char_indices().map(|(i, _)| i).chain([line.len()]);
        return starts
            .into_iter()
            .any(|at| line_fits(rest, &line[at..], captures));
    }
    if let Some((name, rest)) = capture_name(pattern) {
        if let Some(known) = captures.get(name).cloned() {
            return line
                .strip_prefix(&known)
                .is_some_and(|l| line_fits(rest, l, captures));
        }
        let Some(length) = capture_length(name, line) else {
            return false;
        };
        captures.insert(name.to_owned(), line[..length].to_owned());
        return line_fits(rest, &line[length..], captures);
    }
    match (pattern.chars().next(), line.chars().next()) {
        (None, None) => true,
        (Some(p), Some(l)) if p == l => {
            line_fits(&pattern[p.len_utf8()..], &line[l.len_utf8()..], captures)
        }
        _ => false,
    }
}

fn lines_fit(patterns: &[String], lines: &[&str], captures: &mut Captures) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=lines.len()).any(|skip| lines_fit(rest, &lines[skip..], captures))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(l, ls)| line_fits(first, l, captures) && lines_fit(rest, ls, captures)),
    }
}

fn fill(command: &str, captures: &Captures) -> String {
    captures
        .iter()
        .fold(command.to_owned(), |text, (name, value)| {
            text.replace(&format!("[{name}]"), value)
        })
}

fn run_step(
    house: &mut House,
    who: &str,
    locale: &str,
    step: &Step,
    captures: &mut Captures,
) -> Result<(), String> {
    let command = fill(&step.command, captures);
    let said = house.sh(who, &format!("export LC_ALL={locale}; {command}"));
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    let fits = said.code == step.code
        && lines_fit(&step.stdout, &out.lines().collect::<Vec<_>>(), captures)
        && lines_fit(
            &step.stderr,
            &said.stderr.lines().collect::<Vec<_>>(),
            captures,
        );
    if fits {
        return Ok(());
    }
    Err(format!(
        "line {}: as {who}: $ {}\nexpected [{}]:\n{}\n! {}\ngot [{}]:\n{out}\n! {}",
        step.line,
        step.command,
        step.code,
        step.stdout.join("\n"),
        step.stderr.join("\n! "),
        said.code,
        said.stderr.trim_end().replace('\n', "\n! "),
    ))
}

/// Returns the same step on a terminal of its own, where stdout and stderr are
/// one. Nobody types there.
fn on_a_terminal(step: &Step) -> Step {
    let turn = format!("cat > ../turn <<'END'\n{}\nEND\n", step.command);
    let run = "TERM=dumb SHELL=/bin/sh script -qec '. ../turn < /dev/null' /dev/null > ../seen; \
               code=$?; tr -d '\\r' < ../seen; exit $code";
    Step {
        line: step.line,
        command: turn + run,
        stdout: [&step.stdout[..], &step.stderr[..]].concat(),
        stderr: Vec::new(),
        code: step.code,
    }
}

fn run(file: &Path) -> Result<(), String> {
    let items = match file.ends_with("README.md") {
        true => readme::items()?,
        false => parse(&fs::read_to_string(file).map_err(|e| e.to_string())?)?,
    };
    let mut house = House::build();
    let (mut who, mut captures) = ("alice".to_owned(), Captures::new());
    let (mut locale, mut twice) = ("C.UTF-8".to_owned(), false);
    for item in items {
        match item {
            Item::With(people) => people.iter().for_each(|name| house.move_in(name)),
            Item::As(name) => who = name,
            Item::Speak(name) => locale = name,
            Item::Twice => twice = true,
            Item::Smrd(verb) => match verb.as_str() {
                "stop" => assert_eq!(house.stop(), Some(0), "smrd ends with 0"),
                "start" => house.start(),
                "kill" => house.kill(),
                other => return Err(format!("smrd {other}: not understood")),
            },
            Item::Run(step) => {
                let mut steps = vec![step];
                if twice {
                    steps.push(on_a_terminal(&steps[0]));
                }
                for step in steps {
                    run_step(&mut house, &who, &locale, &step, &mut captures)
                        .map_err(|text| format!("{text}\nsmrd logged:\n{}", house.log()))?;
                }
            }
        }
    }
    Ok(())
}

fn transcripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/transcript");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("tests/transcript is there")
        .map(|entry| entry.expect("folder reads").path())
        .filter(|path| path.extension().is_some_and(|e| e == "t"))
        .chain([root.join("README.md")])
        .filter(|path| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|w| path.to_string_lossy().contains(w.as_str()))
        })
        .collect();
    files.sort();
    files
}

fn main() -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for file in transcripts() {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let outcome =
            std::panic::catch_unwind(|| run(&file)).unwrap_or_else(|_| Err("panicked".to_owned()));
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => failed += 1,
        }
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("transcript {name} ... {word}");
        if let Err(text) = outcome {
            println!("{text}\n");
        }
    }
    match table::check(&transcripts()) {
        Ok(()) => println!("the table of exit codes ... ok"),
        Err(text) => {
            failed += 1;
            println!("the table of exit codes ... FAILED\n{text}");
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
