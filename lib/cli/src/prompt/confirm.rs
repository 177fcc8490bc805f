//! Yes or no, from a person.
//!
//! No answer is no.

use std::fs::OpenOptions;
use std::io::{Read, Write};

use super::PromptError;
use crate::text::visible;
use crate::words::say;

/// Asks yes or no on `/dev/tty`; anything but `y` or `yes`, or the same in the
/// user's language, is no.
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
    write!(tty, "{} {} ", visible(&say(question)), say("[y/N]"))
        .and_then(|()| tty.flush())
        .map_err(|_| nobody())?;
    Ok(is_yes(&answer_line(&mut tty), &say("yes")))
}

fn is_yes(answer: &[u8], yes: &str) -> bool {
    let answer = String::from_utf8_lossy(answer).trim().to_lowercase();
    let means =
        |yes: &str| answer == yes || yes.starts_with(&answer) && answer.chars().count() == 1;
    means("yes") || means(yes)
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
        for yes in ["y\n", "Y", " yes\n", "YES\n", "s\n", "Sim\n"] {
            assert!(is_yes(yes.as_bytes(), "sim"), "{yes}");
        }
        for no in ["", "\n", "n\n", "yess\n", "ja\n", "si\n", "n\u{e3}o\n"] {
            assert!(!is_yes(no.as_bytes(), "sim"), "{no}");
        }
        assert!(confirm("?", true).is_err());
    }
}
