//! Sees that the translations are whole: every text that the sources can say
//! to a user has one, with the same placeholders, and none is left over.

#[path = "words/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use polib::catalog::Catalog;
use polib::po_file;
use sources::{is_prose, key, texts};

/// Every translation: its name, and what is in it.
fn catalogues() -> Vec<(String, Catalog)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("words");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let read = |path: PathBuf| {
        let catalogue = po_file::parse(&path).unwrap();
        (path.display().to_string(), catalogue)
    };
    let all: Vec<_> = files.map(read).collect();
    assert!(!all.is_empty());
    all
}

/// Returns the entries that are in use.
fn translated(catalogue: &Catalog) -> impl Iterator<Item = (&str, &str, &str)> {
    let used = catalogue
        .messages()
        .filter(|m| m.is_translated() && !m.is_fuzzy());
    used.map(|m| (m.msgid(), m.msgstr().unwrap(), m.source()))
}

/// Returns the names of a text's holes, sorted.
fn holes(text: &str) -> Vec<&str> {
    let pieces = text.split('{').skip(1);
    let mut names: Vec<&str> = pieces.filter_map(|p| Some(p.split_once('}')?.0)).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_text_is_translated() {
    let texts = texts();
    assert!(
        texts.words.len() > 900,
        "only {} texts found",
        texts.words.len()
    );
    for (name, catalogue) in catalogues() {
        let known: BTreeSet<&str> = translated(&catalogue).map(|(key, ..)| key).collect();
        let missing: Vec<String> = texts
            .words
            .iter()
            .filter(|(key, _)| !known.contains(key.as_str()))
            .map(|(key, file)| format!("# {file}\nmsgid {key:?}\nmsgstr \"\"\n"))
            .collect();
        let (count, missing) = (missing.len(), missing.join("\n"));
        assert!(count == 0, "{name} lacks {count}:\n\n{missing}");
    }
}

#[test]
fn no_translation_is_left_over() {
    let texts = texts();
    for (name, catalogue) in catalogues() {
        let over: Vec<&str> = translated(&catalogue)
            .filter(|(key, _, source)| source.is_empty() && !texts.literals.contains(*key))
            .map(|(key, ..)| key)
            .collect();
        assert!(over.is_empty(), "{name} has what no source says: {over:#?}");
    }
}

#[test]
fn placeholders_are_kept() {
    for (name, catalogue) in catalogues() {
        for (key, words, _) in translated(&catalogue) {
            assert_eq!(holes(key), holes(words), "{name}: {key:?}");
        }
    }
}

/// How a hint begins that is no question: what a person is to do.
const ORDERS: [&str; 26] = [
    "ask",
    "choose",
    "fetch",
    "install",
    "keep",
    "leave",
    "list",
    "log",
    "mkdir",
    "name",
    "openssl",
    "put",
    "raise",
    "read",
    "remove",
    "restore",
    "run",
    "send",
    "set",
    "show",
    "systemctl",
    "take",
    "try",
    "type",
    "unlock",
    ">",
];

#[test]
fn hints_are_commands_or_questions() {
    let hints = texts().hints;
    assert!(hints.len() > 80, "only {} hints found", hints.len());
    let other: Vec<&String> = hints
        .iter()
        .filter(|hint| {
            let first = hint.split(' ').next().unwrap_or("");
            let is_program = first.starts_with("smr") || first.starts_with("--");
            let is_order = is_program || first.contains('{') || ORDERS.contains(&first);
            is_prose(hint) && !hint.contains('?') && !is_order
        })
        .collect();
    assert!(other.is_empty(), "neither: {other:#?}");
}

#[test]
fn a_text_is_known_by_its_marks() {
    for (literal, expected) in [
        (
            "no message {id:?} in {}, {0:>3}",
            "no message \"{id}\" in {0}, {0}",
        ),
        ("{} of {}", "{0} of {1}"),
        ("a {{brace}}", "a {brace}"),
    ] {
        assert_eq!(key(literal), expected);
    }
    for words in [
        "no such mailbox",
        "run it again",
        "--pin-file, or run it in a terminal",
    ] {
        assert!(is_prose(words), "{words}");
    }
    for other in [
        "smr-ls users",
        "{tool} --help",
        "smr postmark 1\n",
        "application/pdf",
        "from",
    ] {
        assert!(!is_prose(other), "{other}");
    }
}
