//! Secrets from files, descriptors and programs.
//!
//! Reads into memory of a fixed size that is wiped.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::{Kind, PromptError, Question};
use crate::words::say;

/// The longest secret, in bytes.
const LONGEST: usize = 4096;

pub(super) fn read_file(path: &Path, kind: Kind) -> Result<Zeroizing<String>, PromptError> {
    let from = format!("\"{}\"", path.display());
    let read = File::open(path).and_then(|mut file| read_bounded(&mut file));
    let bytes = read.map_err(|source| PromptError::Read {
        kind: kind.word(),
        from: from.clone(),
        source,
    })?;
    text_of(&bytes, kind, &from)
}

/// Bytes in memory of a fixed size, wiped on drop; in a box, for what is moved
/// leaves a copy behind that nobody wipes.
pub(super) struct Bounded {
    pub(super) bytes: Box<Zeroizing<[u8; LONGEST + 1]>>,
    pub(super) length: usize,
}

impl Bounded {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

pub(super) fn read_bounded(from: &mut impl Read) -> io::Result<Bounded> {
    let mut read = Bounded {
        bytes: Box::new(Zeroizing::new([0; LONGEST + 1])),
        length: 0,
    };
    while let Some(rest) = read.bytes.get_mut(read.length..).filter(|r| !r.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => read.length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

// One line end is stripped, no more: spaces and further ones may be meant.
pub(super) fn text_of(
    bytes: &Bounded,
    kind: Kind,
    from: &str,
) -> Result<Zeroizing<String>, PromptError> {
    let wrong = |what| PromptError::Form {
        kind: kind.word(),
        from: from.to_owned(),
        what,
    };
    if bytes.length > LONGEST {
        return Err(wrong("longer than 4096 bytes"));
    }
    let text = std::str::from_utf8(bytes.filled()).map_err(|_| wrong("not UTF-8"))?;
    let text = text
        .strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text);
    Ok(Zeroizing::new(text.to_owned()))
}

// The program gets the question as its argument and answers on stdout, as
// ssh's does.
pub(super) fn askpass(
    program: &Path,
    question: &Question,
) -> Result<Zeroizing<String>, PromptError> {
    let word = question.kind.word();
    let failed = |source| PromptError::Program {
        program: program.to_owned(),
        source,
    };
    let mut child = Command::new(program)
        .arg(format!("{}: ", say(&question.prompt())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let read = match &mut child.stdout {
        Some(stdout) => read_bounded(stdout).map_err(failed),
        None => Err(PromptError::Cancelled(word)),
    };
    // Its end of the pipe closes here, so a talkative program ends too.
    drop(child.stdout.take());
    let status = child.wait().map_err(failed)?;
    let bytes = read?;
    if !status.success() {
        return Err(PromptError::Cancelled(word));
    }
    text_of(&bytes, question.kind, "SMR_ASKPASS")
}
