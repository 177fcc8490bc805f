//! Content types and their parameters (RFC 2045, 5.1; RFC 2231).
//!
//! Takes no comments, no parameter twice, and no broken continuation.

use std::collections::BTreeMap;

use super::EnvelopeError;
use super::word::{decode_charset, hex_pair};

const BROKEN: EnvelopeError = EnvelopeError::Structure("a malformed content field");
/// Longest value kept.
const MAX_VALUE: usize = 1024;

/// Holds a parsed `type/subtype; name=value` (or a disposition).
#[derive(Debug)]
pub(super) struct Typed {
    /// The type or disposition, in lower case.
    pub(super) kind: String,
    params: BTreeMap<String, String>,
}

impl Typed {
    /// Returns a parameter, decoded.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// Returns how many parameters there are.
    pub(super) fn len(&self) -> usize {
        self.params.len()
    }

    /// Parses an unfolded field value.
    pub(super) fn parse(value: &str) -> Result<Typed, EnvelopeError> {
        let end = value.find(';').unwrap_or(value.len());
        let (kind, mut rest) = value.split_at(end);
        let kind = kind.trim().to_ascii_lowercase();
        let halves = kind.split('/').all(is_token) && kind.split('/').count() <= 2;
        if !halves || kind.len() > 255 {
            return Err(BROKEN);
        }
        let mut raw = BTreeMap::new();
        while let Some(param) = rest.strip_prefix(';') {
            // A final semicolon is common and harmless.
            if param.trim().is_empty() {
                break;
            }
            let (name, value, tail) = take_param(param).ok_or(BROKEN)?;
            if raw.insert(name, value).is_some() {
                return Err(BROKEN);
            }
            rest = tail;
        }
        let params = join(raw).ok_or(BROKEN)?;
        Ok(Typed { kind, params })
    }
}

/// Tells whether `text` is a token (RFC 2045, 5.1).
pub(super) fn is_token(text: &str) -> bool {
    let special = |b: u8| b"()<>@,;:\\\"/[]?=".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !special(b))
}

/// Takes `name=value` and leaves what begins with the next semicolon.
fn take_param(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    is_token(&name).then_some(())?;
    let rest = rest.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => take_quoted(quoted)?,
        None => {
            let end = rest.find(';').unwrap_or(rest.len());
            let (value, tail) = rest.split_at(end);
            let value = value.trim_end();
            is_token(value).then(|| (value.to_owned(), tail))?
        }
    };
    let rest = rest.trim_start();
    let ended = rest.is_empty() || rest.starts_with(';');
    (ended && value.len() <= MAX_VALUE).then_some((name, value, rest))
}

/// Takes the rest of a quoted string, its first quote gone.
pub(super) fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[i + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

/// Joins continuations and undoes percent encoding (RFC 2231, 3 and 4).
fn join(raw: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    let mut names: Vec<&str> = raw
        .keys()
        .map(|k| k.split('*').next().unwrap_or(k))
        .collect();
    names.dedup();
    let mut params = BTreeMap::new();
    let mut used = 0;
    for name in names {
        let (value, count) = value_of(&raw, name)?;
        used += count;
        if value.len() > MAX_VALUE || params.insert(name.to_owned(), value).is_some() {
            return None;
        }
    }
    // Anything left over is a section out of order, or a value given twice.
    (used == raw.len()).then_some(params)
}

fn value_of(raw: &BTreeMap<String, String>, name: &str) -> Option<(String, usize)> {
    if let Some(plain) = raw.get(name) {
        return Some((plain.clone(), 1));
    }
    if let Some(extended) = raw.get(&format!("{name}*")) {
        let (charset, rest) = split_charset(extended)?;
        return Some((decode_charset(charset, percent(rest)?)?, 1));
    }
    let (mut bytes, mut charset, mut count) = (Vec::new(), "us-ascii", 0);
    loop {
        let plain = raw.get(&format!("{name}*{count}"));
        let extended = raw.get(&format!("{name}*{count}*"));
        match (plain, extended) {
            (Some(plain), None) => bytes.extend_from_slice(plain.as_bytes()),
            (None, Some(text)) => {
                let mut text = text.as_str();
                if count == 0 {
                    (charset, text) = split_charset(text)?;
                }
                bytes.extend(percent(text)?);
            }
            (None, None) if count > 0 => break,
            _ => return None,
        }
        count += 1;
    }
    Some((decode_charset(charset, bytes)?, count))
}

fn split_charset(text: &str) -> Option<(&str, &str)> {
    let (charset, rest) = text.split_once('\'')?;
    let (_language, rest) = rest.split_once('\'')?;
    Some((charset, rest))
}

fn percent(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex_pair(rest.next()?, rest.next()?)?,
            _ => byte,
        });
    }
    Some(bytes)
}

/// Writes the parameter `name`, on lines of its own, each after a semicolon.
pub(super) fn write(name: &str, value: &str) -> String {
    let plain = value
        .bytes()
        .all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\');
    if plain && value.len() <= 60 {
        return format!(";\r\n {name}=\"{value}\"");
    }
    let mut sections = vec![String::new()];
    for byte in value.bytes() {
        let last = sections.last_mut().expect("starts with one section");
        if last.len() > 52 {
            sections.push(String::new());
        }
        let last = sections.last_mut().expect("starts with one section");
        match byte {
            b if b.is_ascii_alphanumeric() || b".-_".contains(&b) => last.push(char::from(b)),
            b => last.push_str(&format!("%{b:02X}")),
        }
    }
    let line = |(i, text): (usize, &String)| match i {
        0 => format!(";\r\n {name}*0*=utf-8''{text}"),
        _ => format!(";\r\n {name}*{i}*={text}"),
    };
    sections.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Typed, write};

    fn unfold(text: &str) -> String {
        text.replace("\r\n", "")
    }

    #[test]
    fn types_and_parameters_are_read() {
        let typed =
            Typed::parse("Text/PLAIN; charset=utf-8 ; x=\"a;\\\"b\";Format=flowed;").unwrap();
        assert_eq!(typed.kind, "text/plain");
        assert_eq!(typed.param("charset"), Some("utf-8"));
        assert_eq!(typed.param("x"), Some("a;\"b"));
        assert_eq!(typed.param("format"), Some("flowed"));
        assert_eq!(typed.param("y"), None);
        assert_eq!(typed.len(), 3);
    }

    #[test]
    fn names_come_back() {
        let long = "relatório anual ".repeat(15);
        for name in [
            "a.txt",
            "a b.txt",
            "a\"b\\c.txt",
            "relatório.pdf",
            "new\nline\x1b",
            "100%.txt",
            &long,
        ] {
            let text = write("filename", name);
            assert!(text.split("\r\n").all(|line| line.len() <= 78), "{text}");
            let typed = Typed::parse(&unfold(&format!("attachment{text}"))).unwrap();
            assert_eq!(typed.param("filename"), Some(name));
        }
    }

    #[test]
    fn sections_of_others_are_read() {
        let value = "attachment; name*1=b; name*0*=utf-8'pt'a%20; name*2*=%C3%A9";
        let typed = Typed::parse(value).unwrap();
        assert_eq!(typed.param("name"), Some("a bé"));
    }

    #[test]
    fn broken_fields_are_refused() {
        for value in [
            "",
            "text/",
            "/plain",
            "a/b/c",
            "text/plain (note)",
            "text/plain; a",
            "text/plain; a=b c",
            "text/plain; a=\"b",
            "text/plain; a=\"b\" c",
            "text/plain; a=1; A=2",
            "text/plain; a=1; a*0=2",
            "text/plain; a*1=2",
            "text/plain; a*0=1; a*2=2",
            "text/plain; a*=utf-8",
            "text/plain; a*=utf-8''%G0",
            "text/plain; a*=utf-8''%FF",
            "text/plain; a*=koi8-r''x",
            "text/plain;; a=1",
        ] {
            assert!(Typed::parse(value).is_err(), "{value}");
        }
    }
}
