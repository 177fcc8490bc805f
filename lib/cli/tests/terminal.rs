//! Prompts on a real terminal, which script(1) makes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use smr_cli::args::SecretArgs;
use smr_cli::prompt::{Asker, Kind, PromptError, Question, Sources, confirm};

const INSIDE: &str = "SMR_TEST_TERMINAL";

/// Runs the test `name` again in a terminal, and types each line once its
/// prompt is shown; returns all that the terminal showed, or none inside.
fn typed(name: &str, dialog: &[(&str, Option<&str>)]) -> Option<String> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let inside = format!("'{}' {name} --exact --nocapture", program.display());
    // A prompt that never comes must not hang the suite.
    let mut script = Command::new("timeout")
        .args(["120", "script", "-qec", &inside, "/dev/null"])
        .env(INSIDE, "1")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) is needed");
    let mut keyboard = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let (mut shown, mut from) = (String::new(), 0);
    for (prompt, line) in dialog {
        while !shown[from..].contains(prompt) {
            let mut bytes = [0; 1];
            assert_eq!(
                screen.read(&mut bytes).unwrap(),
                1,
                "no {prompt:?} in {shown:?}"
            );
            shown.push(bytes[0].into());
        }
        from = shown.len();
        if let Some(line) = line {
            write!(keyboard, "{line}\r").unwrap();
        }
    }
    let mut rest = Vec::new();
    screen.read_to_end(&mut rest).unwrap();
    shown.push_str(&String::from_utf8_lossy(&rest));
    assert!(script.wait().unwrap().success(), "{shown}");
    Some(shown)
}

fn passphrase(new: bool) -> Result<String, PromptError> {
    let sources = Sources {
        tty: true,
        ..Sources::default()
    };
    let question = Question {
        kind: Kind::Passphrase,
        of: "key ring \"a@b\"",
        warning: Some("odd\x1b[2J"),
        new,
        by_hand: false,
    };
    let mut asker = Asker::new("smr-x", &SecretArgs::default(), sources);
    asker.ask(&question).map(|secret| {
        assert!(secret.by_hand);
        secret.text.to_string()
    })
}

/// Says so once the terminal shows no more what is typed.
fn watch_echo() {
    std::thread::spawn(|| {
        loop {
            let state = Command::new("stty").args(["-F", "/dev/tty", "-a"]).output();
            let state = String::from_utf8(state.expect("stty is needed").stdout).unwrap();
            if state.contains(" -echo ") {
                let mut screen = std::io::stderr();
                return screen.write_all(b"ECHO IS OFF\n").unwrap();
            }
        }
    });
}

#[test]
fn passphrases_are_not_shown() {
    let dialog = [
        ("passphrase of key ring \"a@b\": ", None),
        ("ECHO IS OFF", Some("correct horse")),
    ];
    let Some(shown) = typed("passphrases_are_not_shown", &dialog) else {
        watch_echo();
        assert_eq!(passphrase(false).unwrap(), "correct horse");
        return;
    };
    assert!(shown.contains("smr-x: odd\\x1b[2J"), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
}

#[test]
fn new_passphrases_must_be_the_same_twice() {
    let first = ("new passphrase of key ring \"a@b\": ", Some("one"));
    let again = (", again: ", Some("two"));
    let test = "new_passphrases_must_be_the_same_twice";
    if typed(test, &[first, again]).is_none() {
        let error = passphrase(true).unwrap_err();
        assert!(matches!(error, PromptError::Differ(_)), "{error:?}");
    }
}

#[test]
fn yes_and_no_are_told_apart() {
    let dialog = [("sure? [y/N] ", Some("yes")), ("sure? [y/N] ", Some(""))];
    let Some(shown) = typed("yes_and_no_are_told_apart", &dialog) else {
        assert!(confirm("sure?", false).unwrap());
        assert!(!confirm("sure?", false).unwrap());
        return;
    };
    assert!(shown.contains("sure?"), "{shown}");
}

#[test]
fn pinentry_is_given_the_terminal() {
    let pin = ("<Cancel>", Some("1234"));
    let dialog = [("PIN of card", None), pin, (", again", None), pin];
    if typed("pinentry_is_given_the_terminal", &dialog).is_none() {
        let sources = Sources {
            pinentry: Some("/usr/bin/pinentry-curses".into()),
            ..Sources::default()
        };
        let question = Question {
            kind: Kind::Pin,
            of: "card",
            warning: Some("few tries are left"),
            new: true,
            by_hand: true,
        };
        let mut asker = Asker::new("smr-x", &SecretArgs::default(), sources);
        assert_eq!(asker.ask(&question).unwrap().text.as_str(), "1234");
    }
}
