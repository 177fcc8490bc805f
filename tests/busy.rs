//! One agent and many tools: a thousand sends, ten tools at once, a session
//! that is busy, a body that is large.

#![allow(clippy::print_stdout)] // counts and figures

mod house;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use house::{House, noise};
use smr_channel::request::Request;
use smr_client::agent::Connection;

/// How much to do: what the variable says, as in scripts/test, or less.
fn amount(variable: &str, less: usize, full: usize) -> usize {
    let said = std::env::var(variable).ok().map(|n| n.parse().unwrap());
    let amount = said.unwrap_or(less);
    println!("{variable}: {amount} of {full}; scripts/test does all");
    amount
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn quick_sends_in_a_row_are_each_one_message() {
    let count = amount("SMR_TEST_SENDS", 100, 1000);
    let mut house = House::with(&["alice", "bob"]);
    let begun = Instant::now();
    let send = format!(
        "seq {count} | xargs -P8 -I N sh -c 'echo N | smr-send -s N bob || echo failed: $?'"
    );
    let printed = house.sh("alice", &send).expect(0).text();
    let ids = lines(&printed);
    println!("{count} sends in {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(printed.lines().count(), count);
    assert_eq!(ids.len(), count, "ids are distinct");
    for (who, command) in [("alice", "smr-ls sent -1"), ("bob", "smr-ls -1")] {
        let listed = house.sh(who, command).expect(0).text();
        assert_eq!(listed.lines().count(), count, "{who}");
        assert_eq!(lines(&listed), ids, "{who}");
    }
}

#[test]
fn ten_tools_at_once_are_all_served() {
    let mut house = House::with(&["alice", "bob"]);
    house
        .sh("bob", "echo hello | smr-send -s hello alice")
        .expect(0);
    let each = [
        "smr-ls",
        "smr-ls sent",
        "smr-ls users",
        "smr-login --status",
        "smr-recv --peek",
        "echo 1 | smr-send -s 1 bob",
        "echo 2 | smr-send -s 2 bob",
        "smr-receipt --status",
        "smr-recv --peek",
        "echo 3 | smr-send -s 3 alice",
    ];
    let tools: Vec<_> = each
        .iter()
        .map(|command| {
            (
                command,
                house.begin("alice", &format!("{command} </dev/null")),
            )
        })
        .collect();
    for (command, tool) in tools {
        let output = tool.wait_with_output().unwrap();
        // Without input, what echo says is the input.
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {told}");
    }
}

/// Gives a byte only when told, and then its end.
struct Slow(mpsc::Receiver<u8>);

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.recv() {
            Ok(byte) => {
                into[0] = byte;
                Ok(1)
            }
            Err(_) => Ok(0),
        }
    }
}

#[test]
fn a_busy_session_keeps_no_other_tool_waiting() {
    let mut house = House::with(&["alice"]);
    let socket = house.path("home/alice/agent.sock");
    let account = "alice@repo.example".parse().unwrap();
    let mut busy = Connection::open(&socket).unwrap();
    let (feed, slow) = mpsc::channel();
    let under_way = thread::spawn(move || {
        // A Ping has no body, so smrd refuses it, but only at its end.
        busy.carry(
            &account,
            &Request::Ping.encode().unwrap(),
            Some(&mut Slow(slow)),
            &mut io::sink(),
        )
        .map(|(reply, _)| reply)
        .map_err(|error| error.to_string())
    });
    feed.send(7).unwrap();
    house.sh("alice", "smr-ls users").expect(0);
    house
        .sh("alice", "echo one | smr-send -s one alice")
        .expect(0);
    assert!(!under_way.is_finished(), "the first is still under way");
    drop(feed);
    // However smrd takes it, it was answered after the others.
    println!("{:?}", under_way.join().unwrap());
    house.sh("alice", "smr-ls -q").expect(0);
}

#[test]
fn a_large_body_passes_through_little_memory() {
    let mebibytes = amount("SMR_TEST_MIB", 64, 256);
    let pki = tempfile::tempdir().unwrap();
    house::make_pki(pki.path());
    let mut house = House::with_pki(pki.path(), "");
    let file = house.path("smrd.toml");
    let text = fs::read_to_string(&file).unwrap();
    let large = text.replace(
        "[store]\n",
        "[store]\nmax_message = \"1GiB\"\nquota = \"4GiB\"\n",
    );
    fs::write(&file, large).unwrap();
    house.stop();
    house.start();
    house.move_in("alice");
    fs::create_dir_all(house.path("work/alice")).unwrap();
    fs::write(house.path("work/alice/body"), noise(mebibytes << 20)).unwrap();
    let agent = Connection::open(&house.path("home/alice/agent.sock")).unwrap();
    let peak = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib
    };
    let before = peak(agent.pid());
    let toml = "printf '[recv]\\nmax_message = \"1GiB\"\\n' >> $SMR_HOME/client.toml";
    house.sh("alice", toml).expect(0);
    house
        .sh("alice", "smr-send -s large -a body alice < /dev/null")
        .expect(0);
    house.sh("alice", "smr-recv -O 2 | cmp - body").expect(0);
    let after = peak(agent.pid());
    println!("{mebibytes} MiB both ways: the agent's peak {before} KiB, then {after} KiB");
    assert!(after < before + 8192, "{before} KiB, then {after} KiB");
}
