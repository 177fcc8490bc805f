//! The numbers of the last listing in a terminal, so that a person may say 3
//! where a script says an id.
//!
//! One small file for each terminal, in the cache; of no other terminal, and
//! of no later session on the same one.

use std::path::PathBuf;

use smr_name::{Class, MessageId};

use crate::failure::Failure;
use crate::home::Home;
use crate::private;

// 33 bytes an id; a listing too long for it has no numbers.
const LIMIT: u64 = 1 << 20;

fn file(home: &Home, terminal: &str) -> PathBuf {
    // DEVICE-SESSION: the next session on the device takes the file over.
    let device = terminal.split('-').next().unwrap_or_default();
    home.cache().join("listings").join(device)
}

/// Keeps what was listed in this terminal, in the order shown.
pub fn keep(home: &Home, terminal: &str, ids: &[MessageId]) -> Result<(), Failure> {
    let ids = ids.iter().map(|id| format!("{id}\n"));
    let text = std::iter::once(format!("{terminal}\n"))
        .chain(ids)
        .collect::<String>();
    Ok(private::replace(&file(home, terminal), text.as_bytes())?)
}

/// Returns what stood at a number, from 1, in the last listing in this terminal.
pub fn find(home: &Home, terminal: &str, number: usize) -> Result<MessageId, Failure> {
    let none = |text: String| Failure::new(Class::Missing, text).hint("smr-ls");
    let bytes = private::read(&file(home, terminal), LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    if lines.next() != Some(terminal) {
        return Err(none(format!(
            "\"{number}\": nothing was listed in this terminal yet"
        )));
    }
    let id = number.checked_sub(1).and_then(|at| lines.nth(at));
    id.and_then(|id| id.parse().ok())
        .ok_or_else(|| none(format!("the last listing had no number {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Places;

    #[test]
    fn numbers_hold_in_their_terminal_only() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            smr_home: Some(dir.path().to_owned()),
            ..Places::default()
        };
        let home = Home::new(&places, None).unwrap();
        let ids = [1, 2].map(|n| MessageId::from_bytes([n; 16]));
        assert!(find(&home, "8801-7", 1).is_err());
        keep(&home, "8801-7", &ids).unwrap();
        assert_eq!(find(&home, "8801-7", 2).unwrap(), ids[1]);
        for (terminal, number) in [("8801-7", 0), ("8801-7", 3), ("8801-8", 1), ("8802-7", 1)] {
            let failure = find(&home, terminal, number).unwrap_err();
            assert_eq!(failure.class, Class::Missing, "{terminal} {number}");
        }
        keep(&home, "8801-8", &ids[1..]).unwrap();
        assert_eq!(find(&home, "8801-8", 1).unwrap(), ids[1]);
        assert!(find(&home, "8801-7", 1).is_err(), "the session is over");
    }
}
