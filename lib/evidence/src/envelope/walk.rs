//! The parts inside the signed entity, found line by line.
//!
//! Keeps one header block and one list of parts; content goes to the sink as
//! it comes. Every leaf is decoded, so that what verifies can be read.

use super::block::Block;
use super::message::PartInfo;
use super::param::Typed;
use super::transfer::Decoder;
use super::{EnvelopeError, MAX_DEPTH, MAX_PARTS};

/// Takes the decoded content of the part with a number.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), EnvelopeError>;

/// An open multipart.
struct Frame {
    boundary: Vec<u8>,
    /// What precedes the numbers of its parts.
    prefix: String,
    children: usize,
    closed: bool,
}

enum State {
    Header(Block),
    Leaf {
        decoder: Decoder,
        lines: u64,
    },
    /// Before the first part of a multipart, or after its last.
    Between,
}

/// Walks over the lines of one MIME entity.
pub(super) struct Walker {
    frames: Vec<Frame>,
    state: State,
    top: Option<Block>,
    parts: Vec<PartInfo>,
    entities: usize,
    decoded: Vec<u8>,
}

const BROKEN: fn(&'static str) -> EnvelopeError = EnvelopeError::Structure;

impl Walker {
    pub(super) fn new() -> Self {
        Walker {
            frames: Vec::new(),
            state: State::Header(Block::default()),
            top: None,
            parts: Vec::new(),
            entities: 0,
            decoded: Vec::new(),
        }
    }

    /// Takes one line without its CRLF.
    pub(super) fn line(&mut self, line: &[u8], sink: Sink<'_>) -> Result<(), EnvelopeError> {
        if line.starts_with(b"--")
            && let Some(close) = self.boundary(line)?
        {
            return self.turn(close);
        }
        match &mut self.state {
            State::Between => Ok(()),
            State::Leaf { decoder, lines } => {
                *lines += 1;
                self.decoded.clear();
                decoder.line(line, &mut self.decoded)?;
                let part = self
                    .parts
                    .last_mut()
                    .expect("a leaf is listed when it opens");
                part.size += self.decoded.len() as u64;
                sink(&part.number, &self.decoded)
            }
            State::Header(block) => {
                if block.line(line)? {
                    let block = std::mem::take(block);
                    self.open(block)?;
                }
                Ok(())
            }
        }
    }

    /// Tells whether a line is a delimiter (false) or a close-delimiter
    /// (true) of an open multipart; leaves that multipart innermost.
    fn boundary(&mut self, line: &[u8]) -> Result<Option<bool>, EnvelopeError> {
        let rest = |frame: &Frame| line.get(2..)?.strip_prefix(&frame.boundary[..]);
        let Some(place) = self.frames.iter().rposition(|f| rest(f).is_some()) else {
            return Ok(None);
        };
        let after = rest(&self.frames[place]).expect("found by the same test");
        // Below it all must be closed; `finished` pops those that are.
        while self.frames.len() > place + 1 {
            let inner = self.frames.pop().expect("longer than place + 1");
            if !inner.closed {
                return Err(BROKEN("a multipart that does not end"));
            }
        }
        if self.frames[place].closed {
            return Err(BROKEN("a boundary after the end of its multipart"));
        }
        match after {
            b"" => Ok(Some(false)),
            b"--" => Ok(Some(true)),
            // Programs differ on whether this is one (RFC 2046, 5.1.1).
            _ => Err(BROKEN("a line that begins like a boundary")),
        }
    }

    fn turn(&mut self, close: bool) -> Result<(), EnvelopeError> {
        self.end_leaf()?;
        let frame = self.frames.last_mut().expect("a boundary has its frame");
        if close {
            if frame.children == 0 {
                return Err(BROKEN("a multipart without parts"));
            }
            frame.closed = true;
            return Ok(());
        }
        frame.children += 1;
        self.state = State::Header(Block::default());
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<(), EnvelopeError> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Between => Ok(()),
            State::Header(_) => Err(BROKEN("a part without a body")),
            State::Leaf { lines: 0, .. } => Err(BROKEN("a part without a body")),
            State::Leaf { decoder, lines } => decoder.finish(lines),
        }
    }

    /// Begins the body that follows a header.
    fn open(&mut self, block: Block) -> Result<(), EnvelopeError> {
        self.entities += 1;
        if self.entities > MAX_PARTS {
            return Err(BROKEN("more than 10,000 parts"));
        }
        let typed = Typed::parse(block.optional("content-type")?.unwrap_or("text/plain"))?;
        if !typed.kind.contains('/') {
            return Err(BROKEN("a malformed content type"));
        }
        let encoding = block.optional("content-transfer-encoding")?;
        let encoding = encoding.unwrap_or("7bit").to_ascii_lowercase();
        let number = match self.frames.last() {
            Some(frame) => format!("{}{}", frame.prefix, frame.children),
            None => String::new(),
        };
        match typed.kind.starts_with("multipart/") {
            true => self.open_multipart(&typed, &encoding, number)?,
            false => self.open_leaf(&block, typed, encoding, number)?,
        }
        if self.top.is_none() {
            self.top = Some(block);
        }
        Ok(())
    }

    fn open_multipart(
        &mut self,
        typed: &Typed,
        encoding: &str,
        number: String,
    ) -> Result<(), EnvelopeError> {
        if !matches!(encoding, "7bit" | "8bit" | "binary") {
            return Err(BROKEN("an encoded multipart"));
        }
        if self.frames.len() >= MAX_DEPTH {
            return Err(BROKEN("multiparts nested deeper than 16"));
        }
        let boundary = checked_boundary(typed)?;
        let twins =
            |f: &Frame| f.boundary.starts_with(&boundary) || boundary.starts_with(&f.boundary);
        if self.frames.iter().any(twins) {
            return Err(BROKEN("boundaries that begin alike"));
        }
        let prefix = match number.is_empty() {
            true => number,
            false => number + ".",
        };
        self.frames.push(Frame {
            boundary,
            prefix,
            children: 0,
            closed: false,
        });
        self.state = State::Between;
        Ok(())
    }

    fn open_leaf(
        &mut self,
        block: &Block,
        typed: Typed,
        encoding: String,
        number: String,
    ) -> Result<(), EnvelopeError> {
        let disposition = block.optional("content-disposition")?;
        let disposition = disposition.map(Typed::parse).transpose()?;
        let name = disposition
            .as_ref()
            .and_then(|d| d.param("filename"))
            .or(typed.param("name"))
            .map(super::word::decode);
        self.state = State::Leaf {
            decoder: Decoder::new(&encoding)?,
            lines: 0,
        };
        self.parts.push(PartInfo {
            number: if number.is_empty() {
                "1".into()
            } else {
                number
            },
            content_type: typed.kind,
            name,
            encoding,
            size: 0,
        });
        Ok(())
    }

    /// Says that the entity has ended; returns its header and its parts.
    pub(super) fn finish(mut self) -> Result<(Block, Vec<PartInfo>), EnvelopeError> {
        self.end_leaf()?;
        if !self.frames.iter().all(|frame| frame.closed) {
            return Err(BROKEN("a multipart that does not end"));
        }
        let top = self.top.ok_or(BROKEN("a part without a body"))?;
        Ok((top, self.parts))
    }
}

/// Returns the boundary of a multipart (RFC 2046, 5.1.1).
pub(super) fn checked_boundary(typed: &Typed) -> Result<Vec<u8>, EnvelopeError> {
    let boundary = typed.param("boundary");
    let boundary = boundary.ok_or(BROKEN("a multipart without a boundary"))?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let length = (1..=70).contains(&boundary.len());
    if !length || !boundary.bytes().all(allowed) || boundary.ends_with(' ') {
        return Err(BROKEN("a malformed boundary"));
    }
    Ok(boundary.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, MAX_PARTS, Walker};

    /// Walks over a text with LF line ends; `N|` precedes each part's content.
    fn walk(text: &str) -> Result<(Vec<String>, String), String> {
        let mut walker = Walker::new();
        let mut seen = String::new();
        let mut last = String::new();
        let mut sink = |number: &str, bytes: &[u8]| {
            if last != number {
                seen.push_str(&format!("{number}|"));
                last = number.to_owned();
            }
            seen.push_str(&String::from_utf8_lossy(bytes));
            Ok(())
        };
        for line in text.split('\n') {
            walker
                .line(line.as_bytes(), &mut sink)
                .map_err(|e| e.to_string())?;
        }
        let (_, parts) = walker.finish().map_err(|e| e.to_string())?;
        Ok((parts.into_iter().map(|p| p.number).collect(), seen))
    }

    const NESTED: &str = "Content-Type: multipart/mixed; boundary=b\n\npreamble\n\
        --b\n\none\n--b\nContent-Type: multipart/alternative; boundary=c\n\n\
        --c\n\ntwo\n--c\nContent-Transfer-Encoding: base64\n\ndGhyZWU=\n--c--\nepilogue\n\
        --b\n\nfour\n\n--b--\nepilogue";

    #[test]
    fn nested_parts_are_numbered_and_decoded() {
        let (numbers, seen) = walk(NESTED).unwrap();
        assert_eq!(numbers, ["1", "2.1", "2.2", "3"]);
        assert_eq!(seen, "1|one2.1|two2.2|three3|four\n");
    }

    #[test]
    fn a_single_part_is_number_one() {
        let (numbers, seen) = walk("Subject: x\n\na\n--b\nc\n").unwrap();
        assert_eq!(numbers, ["1"]);
        assert_eq!(seen, "1|a\n--b\nc\n");
        assert_eq!(walk("Subject: x\n\n").unwrap().1, "1|");
    }

    #[test]
    fn structures_with_two_readings_are_refused() {
        for (from, to) in [
            ("--c--\nepilogue\n", ""),
            ("--b--\nepilogue", ""),
            ("--b--\nepilogue", "--b-- \n"),
            ("--b--\nepilogue", "--b--\n--b\n\nfive"),
            ("--b--\nepilogue", "--b--\n--b--"),
            ("boundary=c", "boundary=bc"),
            ("boundary=c", "boundary=b"),
            ("boundary=c", "boundary=\"\""),
            ("boundary=c", "bound=c"),
            ("boundary=c", "boundary=\"c \""),
            ("--c\n\ntwo\n", "--c\n\ntwo\n--c \n\n"),
            (
                "--c\n\ntwo\n--c\nContent-Transfer-Encoding: base64\n\ndGhyZWU=\n",
                "",
            ),
            ("\none\n", ""),
            ("\none\n", "\n"),
            ("base64", "base65"),
            ("dGhyZWU=", "dGhyZWU"),
            ("four", "fóur"),
        ] {
            let text = NESTED.replacen(from, to, 1);
            assert_ne!(text, NESTED);
            assert!(walk(&text).is_err(), "{from:?} {to:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nest = |depth: usize| {
            let mut text = String::new();
            for i in 0..depth {
                text +=
                    &format!("Content-Type: multipart/mixed; boundary=\"x{i:02}\"\n\n--x{i:02}\n");
            }
            text += "\nleaf";
            for i in (0..depth).rev() {
                text += &format!("\n--x{i:02}--");
            }
            text
        };
        assert!(walk(&nest(MAX_DEPTH)).is_ok());
        assert!(walk(&nest(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn parts_are_bounded() {
        let many = |count: usize| {
            let mut text = "Content-Type: multipart/mixed; boundary=b\n".to_owned();
            for _ in 0..count {
                text += "\n--b\n\nx";
            }
            text + "\n--b--"
        };
        assert!(walk(&many(MAX_PARTS - 1)).is_ok());
        assert!(walk(&many(MAX_PARTS)).is_err());
    }
}
