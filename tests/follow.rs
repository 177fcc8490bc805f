//! `smr-recv --follow` through restarts of smrd, kills, and SIGTERM; and
//! programs that want a message later.
//!
//! Readiness is what the follower writes, never a while.

mod house;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command};

use house::House;

/// A follower, and what it writes.
struct Follower {
    child: Child,
    out: BufReader<ChildStdout>,
    seen: HashSet<String>,
}

impl Follower {
    fn start(house: &mut House, flags: &str) -> Follower {
        let command = format!("exec smr-recv --follow {flags} 2>>follow.err");
        let mut child = house.begin("bob", &command);
        let out = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let seen = HashSet::new();
        Follower { child, out, seen }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Returns the subject of the next message in JSON that did not come
    /// before: one may come again, where smrd was lost before it was marked.
    fn subject(&mut self) -> String {
        loop {
            let line = self.line();
            let value = line.split("\"subject\":\"").nth(1).unwrap_or_default();
            let subject = value.split('"').next().unwrap_or_default().to_owned();
            if subject.is_empty() || self.seen.insert(subject.clone()) {
                return subject;
            }
        }
    }

    /// Ends it by a signal; returns its exit code and what it wrote last.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

fn send(house: &mut House, subject: &str) {
    let command = format!("echo text | smr-send -s '{subject}' bob");
    house.sh("alice", &command).expect(0);
}

#[test]
fn a_follower_misses_nothing_through_restarts_and_ends_at_sigterm() {
    let mut house = House::with(&["alice", "bob"]);
    send(&mut house, "before");
    let mut follower = Follower::start(&mut house, "--json");
    assert_eq!(follower.subject(), "before");
    send(&mut house, "while it waits");
    assert_eq!(follower.subject(), "while it waits");
    for round in 0..2 {
        match round {
            0 => assert_eq!(house.stop(), Some(0)),
            _ => house.kill(),
        }
        house.start();
        // Both come before it has found smrd again, or after.
        for n in [1, 2] {
            send(&mut house, &format!("round {round} {n}"));
        }
        for n in [1, 2] {
            assert_eq!(follower.subject(), format!("round {round} {n}"));
        }
    }
    assert_eq!(follower.end("TERM"), (Some(0), String::new()));
    assert_eq!(house.sh("bob", "smr-ls -q -u").code, 1);
    let told = house.sh("bob", "cat follow.err").text();
    assert!(!told.contains(": error:"), "{told}");
}

#[test]
fn one_message_that_fails_does_not_hold_the_others() {
    let mut house = House::with(&["alice", "bob"]);
    let program = "--exec sh -c 'grep -a ^Subject | tee -a seen; grep -q bad seen && { : > seen; exit 1; }; grep -q later seen && { : > seen; exit 75; }; true'";
    let mut follower = Follower::start(&mut house, program);
    for subject in ["good", "bad", "later", "fine"] {
        send(&mut house, subject);
        assert_eq!(follower.line(), format!("Subject: {subject}"));
    }
    assert_eq!(follower.end("INT").0, Some(0));
    let unread = house.sh("bob", "smr-ls -u | cut -f7").expect(0).text();
    assert_eq!(unread, "bad\nlater");
    // The next one is offered them again.
    let mut next = Follower::start(&mut house, "--mbox");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let line = next.line();
        seen.extend(line.strip_prefix("Subject: ").map(str::to_owned));
    }
    assert_eq!(seen, ["bad", "later"]);
    assert_eq!(next.end("TERM").0, Some(0));
}

#[test]
fn what_does_not_pass_ends_it() {
    let mut house = House::with(&["alice", "bob"]);
    let said = house.sh("bob", "smr-recv --follow");
    assert!(said.code == 64 && said.stderr.contains("--mbox or --json"));
    let mut follower = Follower::start(&mut house, "--json");
    send(&mut house, "one");
    assert_eq!(follower.subject(), "one");
    // Without an agent there is nothing to wait for.
    house.sh("bob", "smr-login --logout").expect(0);
    assert_eq!(follower.line(), "");
    assert_eq!(follower.child.wait().unwrap().code(), Some(69));
    let told = house.sh("bob", "cat follow.err").text();
    assert!(told.contains("hint: smr-login"), "{told}");
}
