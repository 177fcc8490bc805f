//! The table of tests/README.md: which transcript shows which exit code of which
//! tool. It is made from the transcripts, and compared with what stands there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Item, Step, parse};

const TOOLS: [&str; 9] = [
    "smr-register",
    "smr-login",
    "smr-send",
    "smr-sendmail",
    "smr-recv",
    "smr-receipt",
    "smr-ls",
    "smr-rm",
    "smrd",
];

/// Those of sysexits that the contract has, but 70: no defect of ours is known.
const CODES: [i32; 13] = [0, 1, 64, 65, 66, 67, 69, 73, 74, 75, 76, 77, 78];

/// The first transcript that shows a code, and whether one shows it on a
/// terminal, and in Portuguese.
#[derive(Default)]
struct Cell {
    first: String,
    terminal: bool,
    portuguese: bool,
}

/// Compares the table with these transcripts; nothing where not all are here.
pub(super) fn check(files: &[PathBuf]) -> Result<(), String> {
    if !files.iter().any(|file| file.ends_with("README.md")) || files.len() < 3 {
        return Ok(());
    }
    let table = made(files)?;
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/README.md");
    let readme = fs::read_to_string(readme).map_err(|e| e.to_string())?;
    match readme.contains(&table) {
        true => Ok(()),
        false => Err(format!("tests/README.md is to have:\n{table}")),
    }
}

fn made(files: &[PathBuf]) -> Result<String, String> {
    let mut cells: BTreeMap<(&str, i32), Cell> = BTreeMap::new();
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "t"))
    {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
        let (mut terminal, mut portuguese) = (false, false);
        for item in parse(&text)? {
            match item {
                Item::Twice => terminal = true,
                Item::Speak(locale) => portuguese = locale.starts_with("pt"),
                Item::Run(step) => {
                    let Some(tool) = tool_of(&step) else { continue };
                    let cell = cells.entry((tool, step.code)).or_default();
                    if cell.first.is_empty() {
                        cell.first = name.chars().take(2).collect();
                    }
                    cell.terminal |= terminal;
                    cell.portuguese |= portuguese;
                }
                _ => {}
            }
        }
    }
    let mut table = format!(
        "| |{}\n|---|",
        CODES.map(|code| format!(" {code} |")).concat()
    );
    table.push_str(&"---|".repeat(CODES.len()));
    for tool in TOOLS {
        let row = CODES.map(|code| shown(cells.get(&(tool, code))));
        table.push_str(&format!("\n| `{tool}` |{}", row.concat()));
    }
    Ok(table + "\n")
}

/// Returns whose code a step shows: who says an error, or runs last.
fn tool_of(step: &Step) -> Option<&'static str> {
    let says = |tool: &&&str| {
        let begins = format!("{tool}: error: ");
        step.stderr.iter().any(|line| line.starts_with(&begins))
    };
    let words = step.command.split([' ', ';', '(', ')', '|', '&', '\'']);
    let last = words
        .rev()
        .find_map(|word| TOOLS.iter().find(|tool| **tool == word));
    TOOLS.iter().find(says).or(last).copied()
}

fn shown(cell: Option<&Cell>) -> String {
    cell.map_or(" |".to_owned(), |cell| {
        let mark = |is, letter| if is { letter } else { "" };
        format!(
            " {}{}{} |",
            cell.first,
            mark(cell.terminal, "t"),
            mark(cell.portuguese, "p")
        )
    })
}
