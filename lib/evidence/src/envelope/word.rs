//! Text in headers: encoded words (RFC 2047) and folding (RFC 5322, 2.2.3).
//!
//! Writes UTF-8 in base64 only; reads both encodings and the charsets that
//! are subsets of Unicode by position.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const OPEN: &str = "=?UTF-8?B?";
/// Bytes of text in one encoded word: 75 characters at most (RFC 2047, 2).
const CHUNK: usize = 45;
/// Longest text written as it is; its line stays below 998 bytes.
const PLAIN: usize = 800;
const FOLD: usize = 72;
/// Longest encoded text that is read, in bytes; the RFC allows 75 for a word.
const LONGEST: usize = 1000;

/// Encodes any text for an unstructured header, folded with CRLF (RFC 2047).
pub fn encode(text: &str) -> String {
    match is_plain(text) {
        true => fold(text),
        false => encode_words(text),
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
        && !text.contains("=?")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.len() <= PLAIN
}

/// Breaks before single spaces, so that undoing it gives the same text.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + 32);
    let mut column = 0;
    for (i, word) in text.split(' ').enumerate() {
        let lone = !word.is_empty() && !folded.ends_with(' ');
        if i > 0 && lone && column + word.len() > FOLD {
            folded.push_str("\r\n");
            column = 0;
        }
        if i > 0 {
            folded.push(' ');
        }
        folded.push_str(word);
        column += word.len() + 1;
    }
    folded
}

/// Encodes any text as encoded words, one on a line.
pub(super) fn encode_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(CHUNK);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (chunk, tail) = rest.split_at(end);
        words.push(format!("{OPEN}{}?=", STANDARD.encode(chunk)));
        rest = tail;
    }
    words.join("\r\n ")
}

/// Decodes an unfolded header value; what is no encoded word stays as it is.
pub(super) fn decode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, tail) = rest.split_at(start);
        let Some((word, length)) = encoded_word(tail) else {
            text.push_str(before);
            text.push_str("=?");
            rest = &tail[2..];
            after_word = false;
            continue;
        };
        // White space between two encoded words is theirs, not the text's.
        if !(after_word && before.bytes().all(|b| matches!(b, b' ' | b'\t'))) {
            text.push_str(before);
        }
        text.push_str(&word);
        rest = &tail[length..];
        after_word = true;
    }
    text.push_str(rest);
    text
}

/// Decodes the encoded word at the start of `text`; returns its length too.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let mut fields = text.strip_prefix("=?")?.splitn(3, '?');
    let (charset, encoding) = (fields.next()?, fields.next()?);
    let rest = fields.next()?;
    // Not to the end of the header each time: that would be quadratic.
    let near = &rest[..rest.floor_char_boundary(LONGEST)];
    let (body, _) = near.split_once("?=")?;
    if body.contains([' ', '\t', '?']) {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(body).ok()?,
        "Q" | "q" => decode_q(body)?,
        _ => return None,
    };
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + body.len() + 2;
    let charset = charset.split('*').next().unwrap_or(charset);
    Some((decode_charset(charset, bytes)?, length))
}

fn decode_q(body: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => hex_pair(rest.next()?, rest.next()?)?,
            _ => byte,
        });
    }
    Some(bytes)
}

/// Reads two hexadecimal digits.
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Decodes UTF-8, ASCII or Latin-1, by name.
pub(super) fn decode_charset(charset: &str, bytes: Vec<u8>) -> Option<String> {
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    fn unfold(text: &str) -> String {
        text.replace("\r\n", "")
    }

    #[test]
    fn every_text_comes_back() {
        let long = "palavra ".repeat(100);
        let texts = [
            "",
            "hello",
            "a  b   c",
            " leading",
            "trailing ",
            "=?UTF-8?B?aGk=?=",
            "relatório do mês — não é spam",
            "日本語のとても長い件名がここにあります、折り返しが必要です。日本語のとても長い件名",
            "tab\tand escape\x1b[2J",
            long.trim_end(),
            &"x".repeat(5000),
        ];
        for text in texts {
            let encoded = encode(text);
            assert_eq!(decode(&unfold(&encoded)), text);
            assert!(encoded.is_ascii());
            for line in encoded.split("\r\n") {
                assert!(line.len() <= 998, "{line}");
                assert!(line.is_empty() || !line.trim().is_empty(), "{encoded:?}");
            }
        }
    }

    #[test]
    fn plain_text_stays_legible_and_short() {
        assert_eq!(encode("contract 42"), "contract 42");
        let folded = encode(&"word ".repeat(40));
        assert!(folded.split("\r\n").all(|line| line.len() <= 78));
    }

    #[test]
    fn words_of_others_are_read() {
        for (value, text) in [
            ("=?utf-8?Q?caf=C3=A9_au_lait?=", "café au lait"),
            ("=?ISO-8859-1?q?caf=E9?= x", "café x"),
            ("=?UTF-8*pt?B?b2w=?= =?UTF-8?B?w6E=?=", "olá"),
            ("a =?UTF-8?B?b2w=?= b", "a ol b"),
        ] {
            assert_eq!(decode(value), text);
        }
    }

    #[test]
    fn no_word_is_sought_to_the_end_of_the_header() {
        let word = |length: usize| format!("=?UTF-8?Q?{}?=", "a".repeat(length));
        assert_eq!(decode(&word(900)), "a".repeat(900));
        assert_eq!(decode(&word(1000)), word(1000));
        // In the middle of a letter too.
        for letter in ["", "\u{e9}", "\u{65e5}"] {
            let many = format!("=?a?B?{letter}").repeat(40_000);
            assert_eq!(decode(&many), many);
        }
    }

    #[test]
    fn broken_words_stay_as_they_are() {
        for value in [
            "=?UTF-8?B?b2w",
            "=?UTF-8?X?b2w=?=",
            "=?koi8-r?B?b2w=?=",
            "=?UTF-8?B?====?=",
            "=?UTF-8?B?/w==?=",
            "=?UTF-8?Q?=G0?=",
            "=?UTF-8?Q?a b?=",
            "=?",
        ] {
            assert_eq!(decode(value), value);
        }
    }
}
