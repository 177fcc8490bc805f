//! Addresses in headers: `NAME@REPOSITORY`, with or without a name before.
//!
//! Takes no groups, no comments, no routes: we write none.

use smr_name::Address;

use super::draft::Author;
use super::param::take_quoted;
use super::{EnvelopeError, word};

const BROKEN: EnvelopeError = EnvelopeError::Structure("a malformed address");

/// The longest line that needs no folding, in bytes without its CRLF
/// (RFC 2047, 2; RFC 5322 recommends two more).
const LINE: usize = 76;

/// Writes an author for a From field, folded where it is long.
pub(super) fn write_author(author: &Author) -> String {
    if author.display.is_empty() {
        return author.address.to_string();
    }
    let plain = author.display.bytes().all(|b| matches!(b, b' '..=b'~'));
    let phrase = match plain && author.display.len() <= 200 {
        true => quote(&author.display),
        false => word::encode_words(&author.display),
    };
    let address = format!("<{}>", author.address);
    let last = phrase.rsplit("\r\n").next().unwrap_or_default();
    let room = LINE - "From: ".len() - 1;
    match last.len() + address.len() <= room {
        true => format!("{phrase} {address}"),
        false => format!("{phrase}\r\n {address}"),
    }
}

fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Writes addresses for a To or Cc field, one on a line.
pub(super) fn write_list(addresses: &[Address]) -> String {
    let texts: Vec<String> = addresses.iter().map(Address::to_string).collect();
    texts.join(",\r\n ")
}

/// Reads a From field: exactly one address.
pub(super) fn read_author(value: &str) -> Result<Author, EnvelopeError> {
    let (author, rest) = take(value).ok_or(BROKEN)?;
    rest.is_empty().then_some(author).ok_or(BROKEN)
}

/// Reads a To or Cc field: one address at least.
pub(super) fn read_list(value: &str) -> Result<Vec<Address>, EnvelopeError> {
    let mut addresses = Vec::new();
    let mut rest = value;
    loop {
        let (author, tail) = take(rest).ok_or(BROKEN)?;
        addresses.push(author.address);
        if tail.is_empty() {
            return Ok(addresses);
        }
        rest = tail.strip_prefix(',').ok_or(BROKEN)?;
    }
}

/// Takes one address and leaves what begins with the next comma.
fn take(text: &str) -> Option<(Author, &str)> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        let (display, rest) = take_quoted(quoted)?;
        return take_angle(display, rest.trim_start());
    }
    let end = text.find(['<', ',']).unwrap_or(text.len());
    let (before, rest) = text.split_at(end);
    let before = before.trim_end();
    if rest.starts_with('<') {
        let phrase = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"[]".contains(&b);
        let words = before.bytes().all(|b| b == b' ' || b == b'\t' || phrase(b));
        words.then_some(())?;
        return take_angle(word::decode(before), rest);
    }
    Some((plain(String::new(), before)?, rest))
}

fn take_angle(display: String, text: &str) -> Option<(Author, &str)> {
    let (address, rest) = text.strip_prefix('<')?.split_once('>')?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with(',')).then_some(())?;
    Some((plain(display, address)?, rest))
}

fn plain(display: String, address: &str) -> Option<Author> {
    let address: Address = address.parse().ok()?;
    address.repository.is_some().then_some(())?;
    Some(Author { display, address })
}

#[cfg(test)]
mod tests {
    use super::{Author, read_author, read_list, write_author, write_list};

    #[test]
    fn authors_come_back() {
        for display in [
            "",
            "RUI SILVA",
            "Silva, Rui \"o Velho\" \\ <x@y>",
            "José Conceição",
            "=?UTF-8?B?eA==?=",
            &"Maria da Conceição ".repeat(20),
        ] {
            let author = Author {
                display: display.to_owned(),
                address: "rui@repo.example".parse().unwrap(),
            };
            let text = write_author(&author);
            assert!(text.is_ascii() && text.split("\r\n").all(|l| l.len() < 300));
            assert_eq!(read_author(&text.replace("\r\n", "")).unwrap(), author);
        }
    }

    #[test]
    fn authors_are_folded_where_the_line_would_be_long() {
        let written = |display: String| {
            let address = "rui@repo.example".parse().unwrap();
            write_author(&Author { display, address })
        };
        assert_eq!(written("RUI".into()), "\"RUI\" <rui@repo.example>");
        let folded = |length: usize| written("x".repeat(length)).contains("\r\n");
        // From: "..." <rui@repo.example>
        let others = 6 + 2 + 1 + 18;
        assert!(!folded(76 - others) && folded(77 - others));
        // Of several encoded words, the last line counts.
        let words = written("é".repeat(25));
        assert_eq!(words.matches("\r\n").count(), 1, "{words}");
        assert!(words.split("\r\n").all(|line| line.len() <= 76));
    }

    #[test]
    fn lists_come_back() {
        let list: Vec<_> = ["a@repo", "b.c@repo.example"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();
        let text = write_list(&list).replace("\r\n", "");
        assert_eq!(read_list(&text).unwrap(), list);
        assert_eq!(
            read_list("<a@repo> , B C <b.c@repo.example>").unwrap(),
            list
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for value in [
            "",
            ",",
            "a@repo,",
            "a",
            "a@repo b@repo",
            "Group: a@repo;",
            "a@repo (note)",
            "<a@repo",
            "<a@repo> x",
            "\"open <a@repo>",
            "x@y <a@repo>",
            "A@repo",
            "a@@repo",
        ] {
            assert!(read_list(value).is_err(), "{value}");
        }
        assert!(read_author("a@repo, b@repo").is_err());
    }
}
