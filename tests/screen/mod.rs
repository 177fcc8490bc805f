//! A screen that nobody looks at, and hands that type there.

#![allow(dead_code)] // each suite uses its own part

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A display of Xvfb; ends when dropped.
pub(crate) struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    /// Opens one, with the first number that is free.
    pub(crate) fn open() -> Screen {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb runs");
        let mut number = String::new();
        let out = server.stdout.take().expect("stdout is a pipe");
        BufReader::new(out).read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "Xvfb has no display");
        let display = format!(":{}", number.trim());
        Screen { server, display }
    }

    /// Returns what stands in `DISPLAY`.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }

    /// Types into the next window of pinentry, and waits until it is gone.
    pub(crate) fn answer(&self, text: &str) {
        self.keys(&["type", "--delay", "20", text], "Return");
    }

    /// Says no to the next window of pinentry.
    pub(crate) fn cancel(&self) {
        self.keys(&["key", "--clearmodifiers", "shift"], "Escape");
    }

    fn keys(&self, first: &[&str], last: &str) {
        let window = self.xdotool(&["search", "--sync", "--onlyvisible", "--class", "pinentry"]);
        let window = window.lines().last().expect("a window").to_owned();
        self.xdotool(&["windowfocus", "--sync", &window]);
        self.xdotool(first);
        self.xdotool(&["key", last]);
        // The next question has another window.
        while self.there(&window) {
            std::thread::yield_now();
        }
    }

    fn there(&self, window: &str) -> bool {
        self.run(&["getwindowname", window]).0
    }

    fn xdotool(&self, args: &[&str]) -> String {
        let (done, said) = self.run(args);
        assert!(done, "xdotool {args:?}");
        said
    }

    fn run(&self, args: &[&str]) -> (bool, String) {
        let ran = Command::new("timeout")
            .args(["60", "xdotool"])
            .args(args)
            .env("DISPLAY", &self.display)
            .stderr(Stdio::null())
            .output()
            .expect("xdotool runs");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        (ran.status.success(), said)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
