//! A screen that nobody looks at, and hands that type there.

#![allow(dead_code)] // each suite uses its own part

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a window may take to come and go.
const LONG: Duration = Duration::from_secs(110);

/// A display of Xvfb; ends when dropped.
pub(crate) struct Screen {
    server: Child,
    display: String,
    /// The processes of pinentry that have their answer.
    answered: Vec<String>,
}

impl Screen {
    /// Opens one, with the first number that is free.
    pub(crate) fn open() -> Screen {
        // -r: a key that comes up late on a busy machine does not repeat;
        // -noreset: the end of its last client does not end what another begins.
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-r", "-noreset"])
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
        Screen {
            server,
            display,
            answered: Vec::new(),
        }
    }

    /// Returns what stands in `DISPLAY`.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }

    /// Types into the window of pinentry that `asking` has opened, and waits
    /// until it is gone.
    pub(crate) fn answer(&mut self, asking: &mut Child, text: &str) {
        self.keys(asking, &["type", "--delay", "20", text], "Return");
    }

    /// Says no there.
    pub(crate) fn cancel(&mut self, asking: &mut Child) {
        self.keys(asking, &["key", "shift"], "Escape");
    }

    fn keys(&mut self, asking: &mut Child, first: &[&str], last: &str) {
        let end = Instant::now() + LONG;
        let pinentry = loop {
            if asking.try_wait().unwrap().is_some() {
                let mut said = String::new();
                let err = asking.stderr.as_mut().expect("stderr is a pipe");
                err.read_to_string(&mut said).unwrap();
                panic!("ended without a question: {said}");
            }
            assert!(Instant::now() < end, "no pinentry on the screen");
            match self.pinentry() {
                Some((_, process)) if !self.answered.contains(&process) => break process,
                _ => std::thread::yield_now(),
            }
        };
        // Keys that come before the window takes them are lost: once more then.
        while let Some(window) = self.window_of(&pinentry) {
            assert!(Instant::now() < end, "pinentry takes no keys");
            self.xdotool(&["windowfocus", &window]);
            let focused = self.xdotool(&["getwindowfocus", "-f"]);
            if focused.as_deref() != Some(window.as_str()) {
                continue;
            }
            self.xdotool(&[&["key", "--delay", "2"][..], &["BackSpace"; 30]].concat());
            self.xdotool(first);
            self.xdotool(&["key", last]);
            let soon = Instant::now() + Duration::from_secs(5);
            while self.window_of(&pinentry).is_some() && Instant::now() < soon {
                std::thread::yield_now();
            }
        }
        self.answered.push(pinentry);
    }

    /// Returns the window of pinentry and its process: the next question has
    /// another process, and may have a window of the same number.
    fn pinentry(&self) -> Option<(String, String)> {
        let windows = self.xdotool(&["search", "--onlyvisible", "--class", "pinentry"])?;
        let window = windows.lines().last()?.to_owned();
        let process = self.xdotool(&["getwindowpid", &window])?;
        Some((window, process))
    }

    fn window_of(&self, process: &str) -> Option<String> {
        let (window, of) = self.pinentry()?;
        (of == process).then_some(window)
    }

    /// Returns what xdotool says, if it can do that.
    fn xdotool(&self, args: &[&str]) -> Option<String> {
        let ran = Command::new("timeout")
            .args(["20", "xdotool"])
            .args(args)
            .env("DISPLAY", &self.display)
            .stderr(Stdio::null())
            .output()
            .expect("xdotool runs");
        let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        ran.status.success().then_some(said)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
