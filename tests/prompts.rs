//! Passphrases and PINs, asked for where a person sits: at a screen, by pinentry;
//! at a terminal as ssh gives one, by pinentry or without. Scripts, which give
//! them by files and descriptors, are in the transcripts.

mod cards;
mod house;
mod screen;

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command};

use cards::{Cards, PIN, WRONG};
use house::{House, Said};
use screen::Screen;

const PASSPHRASE: &str = "correct horse";

/// As ssh gives a shell: a terminal, no screen, nothing handed over.
const BARE: &str =
    "unset CREDENTIALS_DIRECTORY DISPLAY WAYLAND_DISPLAY; export TERM=xterm SHELL=/bin/sh; ";

/// A command on a terminal of its own, and what it has shown.
struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    /// Runs `command` there, after `setting` outside.
    fn run(house: &mut House, who: &str, setting: &str, command: &str) -> Terminal {
        let inside = format!("/usr/bin/tty; exec {command}");
        let outside = format!(
            "{BARE}{setting} exec /usr/bin/timeout 120 /usr/bin/script -qec '{inside}' /dev/null"
        );
        let child = house.begin(who, &outside);
        let shown = String::new();
        Terminal { child, shown }
    }

    /// Reads until `text` is shown.
    fn until(&mut self, text: &str) {
        let out = self.child.stdout.as_mut().expect("stdout is a pipe");
        let mut bytes = [0; 4096];
        while !self.shown.contains(text) {
            let count = out.read(&mut bytes).unwrap();
            assert!(count > 0, "ended without {text}: {:?}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Types a line that may be seen.
    fn answers(&mut self, line: &str) {
        let keys = self.child.stdin.as_mut().expect("stdin is a pipe");
        keys.write_all(format!("{line}\r").as_bytes()).unwrap();
    }

    /// Types a line once the terminal does not echo.
    fn types(&mut self, line: &str) {
        let tty = self.shown.lines().next().unwrap().to_owned();
        loop {
            let state = Command::new("stty").args(["-F", &tty, "-a"]).output();
            let state = String::from_utf8(state.unwrap().stdout).unwrap();
            if state.split([' ', '\n']).any(|word| word == "-echo") {
                break;
            }
            std::thread::yield_now();
        }
        self.answers(line);
    }

    /// Waits for the end; returns all that was shown, and the exit code.
    fn end(mut self) -> (String, i32) {
        let mut rest = Vec::new();
        let out = self.child.stdout.as_mut().expect("stdout is a pipe");
        out.read_to_end(&mut rest).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        let said = Said::from(self.child.wait_with_output().unwrap());
        (self.shown, said.code)
    }
}

/// Only the programs of smr: no pinentry.
const ALONE: &str = "PATH=$(dirname \"$(command -v smr-login)\");";

#[test]
fn at_a_terminal_the_passphrase_is_typed_unseen() {
    let mut house = House::with(&["carol"]);
    for (typed, code) in [(PASSPHRASE, 0), ("wrong horse", 77)] {
        let mut terminal = Terminal::run(&mut house, "carol", ALONE, "smr-login");
        terminal.until("passphrase of");
        terminal.types(typed);
        let (shown, ended) = terminal.end();
        assert_eq!(ended, code, "{shown}");
        assert!(!shown.contains("horse"), "{shown}");
    }
}

#[test]
fn a_new_passphrase_is_typed_twice_and_a_pin_once() {
    let mut house = House::build();
    let register =
        "smr-register --server $SERVER --server-key $KEY --token $TOKEN --no-backup alice";
    let mut terminal = Terminal::run(&mut house, "alice", ALONE, register);
    for (question, answer) in [
        ("PIN of", "1234"),
        ("passphrase of", PASSPHRASE),
        (", again", PASSPHRASE),
    ] {
        terminal.until(question);
        terminal.types(answer);
    }
    let (shown, code) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(
        !shown.contains("1234") && !shown.contains("horse"),
        "{shown}"
    );
    assert!(shown.contains("alice@repo.example SHA256:"), "{shown}");
}

/// What no file and no program may do (tokens.rs): take the last try.
#[test]
fn the_last_try_is_taken_by_a_person_who_was_warned() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    for (who, typed, code, left) in [("rui", WRONG, 77, "0"), ("ana", PIN, 0, "3")] {
        cards.card(who, "rsa", "");
        let tries = cards.folder(who).join("card.tries");
        fs::write(&tries, "1").unwrap();
        let script = cards.folder(who).join("script.toml");
        let setting = format!("{ALONE} export SMR_TOKEN_SCRIPT={};", script.display());
        let register = format!(
            "smr-register --server $SERVER --server-key $KEY --no-backup \
             --token pkcs11:?module-path={} {who}",
            cards::module().display()
        );
        let mut terminal = Terminal::run(&mut cards.house, who, &setting, &register);
        terminal.until("PIN of");
        terminal.types(typed);
        if code == 0 {
            for question in ["passphrase of", ", again"] {
                terminal.until(question);
                terminal.types(PASSPHRASE);
            }
        }
        let (shown, ended) = terminal.end();
        assert_eq!(ended, code, "{shown}");
        assert!(shown.contains("locks"), "no warning: {shown}");
        assert!(!shown.contains(typed), "{shown}");
        assert_eq!(fs::read_to_string(&tries).unwrap(), left, "{shown}");
        assert_eq!(cards.logins(who).len(), 1, "{shown}");
    }
}

#[test]
fn a_first_use_in_portuguese() {
    let mut house = House::build();
    let setting = format!("{ALONE} export LC_ALL=pt_PT.UTF-8;");
    let register = "smr-register --server $SERVER --token $TOKEN alice";
    let mut terminal = Terminal::run(&mut house, "alice", &setting, register);
    terminal.until("; está certo? [s/N]");
    terminal.answers("sim");
    for (question, answer) in [
        ("PIN do token \"alice\"", "1234"),
        (
            "frase-passe nova, para o novo porta-chaves de alice:",
            PASSPHRASE,
        ),
        (", outra vez:", PASSPHRASE),
    ] {
        terminal.until(question);
        terminal.types(answer);
    }
    let (shown, code) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("não há cópia de segurança"), "{shown}");
    assert!(shown.contains("alice@repo.example SHA256:"), "{shown}");
}

/// pinentry, whichever is installed, on a terminal without a screen.
#[test]
fn at_a_terminal_pinentry_asks_where_it_is_there() {
    let mut house = House::with(&["carol"]);
    for program in ["pinentry-curses", "pinentry-gtk-2"] {
        let setting = installed(program);
        let mut terminal = Terminal::run(&mut house, "carol", &setting, "smr-login");
        terminal.until("passphrase of");
        terminal.types(PASSPHRASE);
        let (shown, code) = terminal.end();
        assert_eq!(code, 0, "{program}: {shown}");
        assert!(!shown.contains("horse"), "{program}: {shown}");
    }
}

/// Puts a pinentry where the system has it by another name.
fn installed(program: &str) -> String {
    format!(
        "mkdir -p bin && ln -sf \"$(command -v {program})\" bin/pinentry && export PATH=$PWD/bin:$PATH; \
         test -x bin/pinentry || exit 99;"
    )
}

/// Begins a command that has a screen and no terminal.
fn at_screen(house: &mut House, screen: &Screen, who: &str, command: &str) -> Child {
    let setting = installed("pinentry-gtk-2");
    let script = format!(
        "unset CREDENTIALS_DIRECTORY; export DISPLAY={}; {setting} exec setsid -w timeout 120 {command}",
        screen.display()
    );
    house.begin(who, &script)
}

#[test]
fn at_a_screen_pinentry_asks() {
    let mut house = House::build();
    let mut screen = Screen::open();
    let register =
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup alice";
    let mut registering = at_screen(&mut house, &screen, "alice", register);
    for answer in ["1234", PASSPHRASE, PASSPHRASE] {
        screen.answer(&mut registering, answer);
    }
    let said = Said::from(registering.wait_with_output().unwrap()).expect(0);
    assert!(said.text().starts_with("alice@repo.example SHA256:"));

    let mut login = at_screen(&mut house, &screen, "alice", "smr-login");
    screen.answer(&mut login, PASSPHRASE);
    Said::from(login.wait_with_output().unwrap()).expect(0);

    let mut login = at_screen(&mut house, &screen, "alice", "smr-login");
    screen.cancel(&mut login);
    let said = Said::from(login.wait_with_output().unwrap()).expect(77);
    assert!(said.stderr.contains("no passphrase was given"), "{said:?}");
}
