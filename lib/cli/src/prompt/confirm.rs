//! Yes or no, from a person.
//!
//! No answer is no.

use std::fs::OpenOptions;
use std::io::{Read, Write};

use super::PromptError;
use crate::text::visible;

/// Asks yes or no on `/dev/tty`; anything but `y` or `yes` is no.
///
/// # Errors
///
/// [`PromptError::NobodyAnswers`] with `no_input` or without a terminal.
pub fn confirm(question: &str, no_input: bool) -> Result<bool, PromptError> {
    let nobody = || PromptError::NobodyAnswers(question.to_owned());
    if no_input {
        return Err(nobody());
    }
    let mut tty = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| nobody())?;
    write!(tty, "{} [y/N] ", visible(question))
        .and_then(|()| tty.flush())
        .map_err(|_| nobody())?;
    Ok(is_yes(&answer_line(&mut tty)))
}

fn is_yes(answer: &[u8]) -> bool {
    let answer = answer.trim_ascii().to_ascii_lowercase();
    matches!(answer.as_slice(), b"y" | b"yes")
}

// A terminal gives a line at a time; what is longer was no answer.
fn answer_line(tty: &mut impl Read) -> Vec<u8> {
    let mut line = [0; 256];
    let length = tty.read(&mut line).unwrap_or(0);
    line.get(..length).unwrap_or(&[]).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y", " yes\n", "YES\n"] {
            assert!(is_yes(yes.as_bytes()), "{yes}");
        }
        for no in ["", "\n", "n\n", "yess\n", "ja\n"] {
            assert!(!is_yes(no.as_bytes()), "{no}");
        }
        assert!(confirm("?", true).is_err());
    }
}
