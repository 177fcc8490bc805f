//! The README's session as a transcript: what it shows is run, each command on
//! a terminal of its own, and has to come out as it stands there.
//!
//! Ids, fingerprints, times and sizes are patterns; what stands for the
//! reader's own repository and card is the house's.

use super::{Item, Step, on_a_terminal};

const README: &str = include_str!("../../README.md");

/// What a reader has, and what the house has in its place.
const OWN: [(&str, &str); 4] = [
    ("repo.example:7667", "$SERVER"),
    ("pkcs11:token=alice", "\"$TOKEN\""),
    ("pkcs11:token=bob", "\"$TOKEN\""),
    ("../ca.pem", "$PKI/ca/root.pem"),
];

/// Returns the session, as items of a transcript.
pub(super) fn items() -> Result<Vec<Item>, String> {
    let section = README.split("\n## One session, two users\n").nth(1);
    let block = section.and_then(|text| text.split("```").nth(1));
    let block = block
        .and_then(|text| text.strip_prefix("console\n"))
        .ok_or("the README has no session")?;
    let block = &block.replace("\\\n    ", "");
    let first = README.lines().take_while(|line| *line != "```console");
    let (mut items, mut known) = (Vec::new(), Known::default());
    for (at, line) in block.lines().enumerate() {
        let shown = line.split("   # ").next().unwrap_or_default().trim_end();
        if let Some((who, command)) = prompt(shown) {
            items.push(Item::As(who.to_owned()));
            items.push(Item::Run(on_a_terminal(&Step {
                line: first.clone().count() + at + 2,
                command: of_the_house(&known.in_command(command)),
                ..Step::default()
            })));
        } else if let Some(Item::Run(step)) = items.last_mut() {
            match line {
                "" if next_is_prompt(block, at) => items.push(Item::With(Vec::new())),
                _ => step.stdout.push(known.in_output(shown)),
            }
        }
    }
    Ok(items)
}

/// Says whether an empty line ends what a command said, or is a part of it.
fn next_is_prompt(block: &str, at: usize) -> bool {
    block
        .lines()
        .nth(at + 1)
        .is_none_or(|line| prompt(line).is_some())
}

/// Returns whose command a line is, and the command.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (who, command) = line.split_once("$ ")?;
    let name = !who.is_empty() && who.bytes().all(|b| b.is_ascii_lowercase());
    name.then_some((who, command))
}

/// Puts the house's own in the place of the reader's.
fn of_the_house(command: &str) -> String {
    OWN.iter()
        .fold(command.to_owned(), |text, (a, b)| text.replace(a, b))
}

/// The ids and fingerprints that were shown, in this order.
#[derive(Default)]
struct Known {
    ids: Vec<String>,
    prints: Vec<String>,
}

impl Known {
    fn in_command(&mut self, command: &str) -> String {
        words(command, |word| match word {
            print if is_print(print) => Some("$KEY".to_owned()),
            id => self.short(id).or_else(|| self.long(id)),
        })
    }

    fn in_output(&mut self, line: &str) -> String {
        let sized = line.replace(" KiB", "KiB").replace(" B", "B");
        words(&sized, |word| match word {
            print if is_print(print) => Some(numbered("FP", &mut self.prints, print)),
            id if self.long(id).is_some() => self.long(id),
            id if self.short(id).is_some() => Some("[..]".to_owned()),
            other if changes(other) || other.ends_with("/smr/agent.sock") => {
                Some("[..]".to_owned())
            }
            _ => None,
        })
    }

    /// Returns the capture of a whole id.
    fn long(&mut self, word: &str) -> Option<String> {
        let id = word.len() == 32 && is_hex(word);
        id.then(|| numbered("ID", &mut self.ids, word))
    }

    /// Returns the capture of an id that was shown before, by its prefix.
    fn short(&self, word: &str) -> Option<String> {
        let prefix = (8..32).contains(&word.len()) && is_hex(word);
        let at = self
            .ids
            .iter()
            .position(|id| prefix && id.starts_with(word))?;
        Some(format!("[ID{at}]"))
    }
}

fn numbered(kind: &str, known: &mut Vec<String>, text: &str) -> String {
    let at = known.iter().position(|other| other == text);
    let at = at.unwrap_or_else(|| {
        known.push(text.to_owned());
        known.len() - 1
    });
    format!("[{kind}{at}]")
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_print(word: &str) -> bool {
    word.len() == 50 && word.starts_with("SHA256:")
}

/// Says whether a word is a time, a date or a size.
fn changes(word: &str) -> bool {
    let form: String = word
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let size = form.trim_start_matches('0');
    matches!(
        form.as_str(),
        "00:00" | "0000-00-00" | "0000-00-00T00:00:00Z"
    ) || (form != size && matches!(size, "KiB" | "B"))
}

/// Replaces words; what stands between them stays.
fn words(line: &str, mut replace: impl FnMut(&str) -> Option<String>) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || ":+/-.".contains(c);
    let (mut out, mut rest) = (String::new(), line);
    while !rest.is_empty() {
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        match replace(word) {
            Some(text) if !word.is_empty() => out.push_str(&text),
            _ => out.push_str(word),
        }
        let length = after.find(part).unwrap_or(after.len());
        out.push_str(&after[..length]);
        rest = &after[length..];
    }
    out
}
