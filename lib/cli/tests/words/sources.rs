//! The texts in the sources, read as tokens.
//!
//! Takes for a text what stands in `#[error]`, in a hint, in the help of an
//! option, and every literal of more than one word in rooms that speak to users.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Where texts come from that a user of the tools can read.
const ROOMS: [&str; 13] = [
    "tools",
    "lib/name/src",
    "lib/seal/src",
    "lib/pki/src",
    "lib/evidence/src",
    "lib/note/src",
    "lib/channel/src",
    "lib/agent/src",
    "lib/client/src",
    "lib/cli/src",
    "lib/server/src/handle",
    "lib/server/src/permit.rs",
    "lib/server/src/rates.rs",
];

/// Rooms whose other texts go to a log, or are names on the wire.
const TERSE: [&str; 1] = ["lib/channel/"];

/// Texts found in the sources: each with the file that has it.
#[derive(Default)]
pub(crate) struct Texts {
    file: String,
    // To be translated.
    pub(crate) words: BTreeMap<String, String>,
    /// What is given as a hint.
    pub(crate) hints: BTreeSet<String>,
    // Every literal, so that what is left over can be told.
    pub(crate) literals: BTreeSet<String>,
}

impl Texts {
    fn literal(&mut self, text: &str, surely: bool) {
        let key = key(text);
        let terse = TERSE.iter().any(|room| self.file.starts_with(room));
        if (surely && is_words(&key)) || (!terse && is_prose(&key)) {
            self.words
                .entry(key.clone())
                .or_insert_with(|| self.file.clone());
        }
        self.literals.insert(key);
    }

    fn help(&mut self, docs: &[String]) {
        // It speaks English, but for what the tools say of its failures.
        if self.file == "tools/smr-agent.rs" {
            return;
        }
        let lines = docs.iter().map(|line| line.trim());
        let first: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        let text = first.join(" ");
        self.literal(text.strip_suffix('.').unwrap_or(&text), true);
    }
}

/// Returns a format string as the key of its translation: holes have a name or
/// a number, and no format; one that is shown with `{:?}` gets its marks.
pub(crate) fn key(text: &str) -> String {
    let (mut key, mut rest, mut number) = (String::new(), text, 0);
    while let Some(at) = rest.find(['{', '}']) {
        key.push_str(&rest[..at]);
        let doubled = rest[at + 1..].starts_with(&rest[at..=at]);
        let hole = rest[at + 1..].split_once('}');
        match hole.filter(|_| !doubled && rest[at..].starts_with('{')) {
            Some((inside, after)) => {
                let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
                let mark = if format.contains('?') { "\"" } else { "" };
                let name = match name {
                    "" => {
                        number += 1;
                        (number - 1).to_string()
                    }
                    name => name.to_owned(),
                };
                key.push_str(&format!("{mark}{{{name}}}{mark}"));
                rest = after;
            }
            None => {
                key.push_str(&rest[at..=at]);
                rest = &rest[at + 1 + usize::from(doubled)..];
            }
        }
    }
    key + rest
}

/// Takes the holes out of a key.
fn without_holes(key: &str) -> String {
    let pieces = key.split('{').enumerate();
    pieces
        .map(|(at, piece)| match piece.split_once('}') {
            Some((_, after)) if at > 0 => after,
            _ => piece,
        })
        .collect()
}

fn is_words(key: &str) -> bool {
    let text = without_holes(key);
    text.chars().filter(|c| c.is_ascii_lowercase()).count() > 1 && !is_command(key)
}

/// Two words of small letters at least; neither the lines of a file nor a label
/// of a signature.
pub(crate) fn is_prose(key: &str) -> bool {
    if key.contains('\n') || key.starts_with("smr ") || key.starts_with(' ') {
        return false;
    }
    let text = without_holes(key);
    let is_word = |word: &&str| {
        let word = word.trim_matches(|c: char| ",.;:?()\"'".contains(c));
        word.len() > 1
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'\'' || b == b'-')
    };
    text.split_whitespace().filter(is_word).count() > 1 && !is_command(key)
}

/// A command to type is the same in every language, and so are the words that
/// scripts look for.
fn is_command(key: &str) -> bool {
    let (first, rest) = key.split_once(' ').unwrap_or((key, ""));
    let is_ours = first.starts_with("smr") || first.starts_with("--");
    let is_known = is_ours || rest == "--help" || first == "mkdir";
    let mut signs = [", ", "; ", "? ", ": "].iter();
    // "smr-ls users", but not "smr-register makes one".
    let plain = |word: &&str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_lowercase());
    let is_short = rest.split(' ').filter(plain).count() < 2;
    ["error", "hint", "warning"].contains(&key)
        || is_known && is_short && !signs.any(|sign| key.contains(sign))
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        found.push(path.to_owned());
    }
}

pub(crate) fn texts() -> Texts {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = Texts::default();
    for room in ROOMS {
        let mut files = Vec::new();
        sources(&top.join(room), &mut files);
        files.sort();
        for path in files {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "smrd.rs" || name == "tests.rs" {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let shown = path.strip_prefix(&top).unwrap().display().to_string();
            texts.file = shown.clone();
            let tokens: TokenStream = text.parse().unwrap_or_else(|_| panic!("{shown}"));
            walk(tokens, false, &mut texts);
        }
    }
    texts
}

fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    value_of(&literal.to_string())
}

/// Returns what a string literal says; bytes and characters are none.
fn value_of(source: &str) -> Option<String> {
    if let Some(raw) = source.strip_prefix('r') {
        return Some(
            raw.trim_matches('#')
                .strip_prefix('"')?
                .strip_suffix('"')?
                .to_owned(),
        );
    }
    let inside = source.strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut chars) = (String::new(), inside.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next()? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            // A line that goes on below.
            '\n' => {
                let rest = chars.as_str().trim_start().to_owned();
                return Some(text + &value_of(&format!("\"{rest}\""))?);
            }
            // \x1b and the like: no words.
            'x' | 'u' => text.push('\u{1b}'),
            other => text.push(other),
        }
    }
    Some(text)
}

fn is_ident(token: Option<&TokenTree>, names: &[&str]) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if names.iter().any(|n| ident == n))
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// What is known of an item from the attributes in front of it.
#[derive(Default)]
struct Item {
    docs: Vec<String>,
    is_help: bool,
    is_tool: bool,
    is_hidden: bool,
    is_test: bool,
}

impl Item {
    fn attribute(&mut self, group: &Group, texts: &mut Texts) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let text = group.stream().to_string();
        let name = tokens.first().map(ToString::to_string).unwrap_or_default();
        match name.as_str() {
            "doc" => self.docs.extend(tokens.get(2).and_then(string)),
            "derive" => {
                self.is_tool |= text.contains("Parser");
                self.is_help |= ["Parser", "Args", "ValueEnum"]
                    .iter()
                    .any(|d| text.contains(d));
            }
            "cfg" => self.is_test |= text.contains("test"),
            // What smrd cannot do goes to its log; what it refuses, to a person.
            "error" if texts.file.starts_with("lib/server/") => {}
            "error" => strings(group.stream(), &mut |text| texts.literal(text, true)),
            "arg" | "command" => {
                self.is_hidden |= text.contains("flatten") || text.contains("skip");
                for token in &tokens {
                    if let TokenTree::Group(inner) = token {
                        heading(inner, texts);
                    }
                }
            }
            _ => {}
        }
    }
}

fn heading(group: &Group, texts: &mut Texts) {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    for three in tokens.windows(3) {
        if is_ident(three.first(), &["next_help_heading"]) {
            string(&three[2])
                .iter()
                .for_each(|text| texts.literal(text, true));
        }
    }
}

fn strings(stream: TokenStream, found: &mut impl FnMut(&str)) {
    for token in stream {
        match &token {
            TokenTree::Group(group) => strings(group.stream(), found),
            other => string(other).iter().for_each(|text| found(text)),
        }
    }
}

const BUGS: [&str; 12] = [
    "expect",
    "panic",
    "unreachable",
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "include_str",
    "env",
    "expect_err",
    "concat",
];

fn walk(stream: TokenStream, in_help: bool, texts: &mut Texts) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let (mut item, mut help_below, mut at) = (Item::default(), false, 0);
    let mut is_hint_function = false;
    while at < tokens.len() {
        if is_punct(tokens.get(at), '#') && is_punct(tokens.get(at + 1), '!') {
            at += 3;
            continue;
        }
        if is_punct(tokens.get(at), '#')
            && let Some(TokenTree::Group(group)) = tokens.get(at + 1)
        {
            item.attribute(group, texts);
            at += 2;
            continue;
        }
        if item.is_test {
            // Over the item, with its body.
            while at < tokens.len() && !is_punct(tokens.get(at), ';') && !is_body(&tokens[at]) {
                at += 1;
            }
            item = Item::default();
            at += 1;
            continue;
        }
        if (in_help || item.is_tool) && !item.docs.is_empty() && !item.is_hidden {
            texts.help(&item.docs);
        }
        help_below |= item.is_help;
        item = Item::default();
        match &tokens[at] {
            TokenTree::Group(group) => {
                let said_by_a_bug = is_ident(tokens.get(at.wrapping_sub(1)), &BUGS)
                    || is_punct(tokens.get(at.wrapping_sub(1)), '!')
                        && is_ident(tokens.get(at.wrapping_sub(2)), &BUGS);
                let is_body = is_body(&tokens[at]);
                let said_to_people = is_ident(tokens.get(at.wrapping_sub(1)), &["hint", "say"])
                    || is_ident(tokens.get(at.wrapping_sub(1)), &["new"])
                        && is_ident(
                            tokens.get(at.wrapping_sub(4)),
                            &["Refusal", "Failure", "Finding"],
                        );
                let hints = is_ident(tokens.get(at.wrapping_sub(1)), &["hint"])
                    || is_body && is_hint_function;
                if hints {
                    strings(group.stream(), &mut |text| {
                        texts.hints.insert(key(text));
                    });
                }
                is_hint_function &= !is_body;
                if said_to_people {
                    strings(group.stream(), &mut |text| texts.literal(text, true));
                } else if !said_by_a_bug {
                    walk(group.stream(), help_below && is_body, texts);
                }
                help_below &= !is_body;
            }
            token if is_ident(Some(token), &["hint"]) => {
                is_hint_function = is_ident(tokens.get(at.wrapping_sub(1)), &["fn"]);
            }
            token => string(token)
                .iter()
                .for_each(|text| texts.literal(text, false)),
        }
        at += 1;
    }
}

fn is_body(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}
