//! Foreign text made safe to show.
//!
//! Never drops a character: what cannot be shown is spelt out.

use std::borrow::Cow;
use std::fmt::Write;

/// Tells whether a terminal may act on a character, or a reader may be misled
/// by it: controls, line separators, bidi controls (UAX 9), invisible ones
/// (Default_Ignorable_Code_Point). Not joiners and variation selectors, which
/// words and pictures are written with.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

fn spell(out: &mut String, c: char) {
    match c {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if u32::from(c) < 0x100 => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

fn escaped(text: &str, must: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&must) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\\' if must('\\') => out.push_str("\\\\"),
            c if must(c) => spell(&mut out, c),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Makes one line of text safe to show; tabs and line ends are spelt out too.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// Makes text of many lines safe to show; tabs and line ends stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_hidden(c) && c != '\n' && c != '\t')
}

/// Makes bytes of many lines safe to show; what is not UTF-8 becomes `\xNN`.
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&visible_lines(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Makes a column for a pipe: tabs, line ends, backslashes and everything
/// hidden are spelt out, so that a column stays a column.
pub fn field(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_hidden(c) || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::{field, visible, visible_bytes, visible_lines};

    #[test]
    fn plain_text_stays() {
        for text in ["", "Olá, mundo", "C:\\path", "漢字", "👩\u{200d}🔬"] {
            assert_eq!(visible(text), text);
            assert_eq!(visible_lines(text), text);
        }
    }

    #[test]
    fn what_terminals_obey_is_spelt_out() {
        assert_eq!(visible("a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(visible("\u{9b}31m\x7f\0"), "\\x9b31m\\x7f\\x00");
        assert_eq!(visible("exe\u{202e}txt"), "exe\\u{202e}txt");
        assert_eq!(visible("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(
            visible("\u{200b}\u{feff}\u{e0041}"),
            "\\u{200b}\\u{feff}\\u{e0041}"
        );
        // Letters that take room, or none, and show nothing.
        assert_eq!(visible("a.pdf\u{3164}\u{1160}"), "a.pdf\\u{3164}\\u{1160}");
        assert_eq!(visible("r\u{34f}ui\u{ffa0}"), "r\\u{34f}ui\\u{ffa0}");
    }

    #[test]
    fn lines_keep_tabs_and_line_ends_only() {
        assert_eq!(visible_lines("a\tb\nc\rd\x1b"), "a\tb\nc\\rd\\x1b");
    }

    #[test]
    fn bytes_that_are_not_text_are_spelt_out() {
        assert_eq!(
            visible_bytes(b"ol\xe9\n\xc3\xa9\x1b"),
            "ol\\xe9\n\u{e9}\\x1b"
        );
    }

    #[test]
    fn columns_come_apart_again() {
        assert_eq!(field("a\tb\\t\nc"), "a\\tb\\\\t\\nc");
        assert_eq!(field("plain"), "plain");
    }
}
