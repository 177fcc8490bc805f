//! Large messages: in little memory, and interrupted at any point with nothing
//! half done.
//!
//! strace sends the signal at a call of the program's own; the points are twice
//! as far apart each time, until a run comes to its end.

#![allow(clippy::print_stdout)] // figures

mod house;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use house::{House, noise};

/// Calls that a large message makes over and over.
const CALLS: &str = "read,write,sendto,recvfrom";
const SIZE: usize = 6 << 20;

/// Runs a command that a signal ends at the call of this number; true where it
/// came to its end before.
fn interrupted(house: &mut House, who: &str, signal: &str, at: usize, command: &str) -> bool {
    let strace = format!(
        "strace -f -o /dev/null -e trace={CALLS} -e inject={CALLS}:signal={signal}:when={at} {command}"
    );
    let said = house.sh(who, &strace);
    let ended = if signal == "KILL" { 137 } else { 130 };
    let right = said.code == 0 || said.code == ended;
    println!("{command}, {signal} at {at}: {}", said.code);
    assert!(right, "{signal} at {at}: {} {}", said.code, said.stderr);
    said.code == 0
}

/// Interrupts a command at more and more distant calls, and has `check` look at
/// what is left each time.
fn everywhere(
    house: &mut House,
    who: &str,
    signal: &str,
    command: &dyn Fn(usize) -> String,
    check: &mut dyn FnMut(&mut House, usize, bool),
) {
    let points = std::iter::successors(Some(30), |at| Some(at * 2));
    for (number, at) in points.enumerate() {
        let ended = interrupted(house, who, signal, at, &command(at));
        check(house, at, ended);
        if ended {
            assert!(number > 3, "only {number} runs were interrupted");
            return;
        }
    }
}

/// Returns the files below a folder that hold more than a mebibyte, each once
/// however many names it has.
fn large(dir: &Path) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let facts = path.symlink_metadata().unwrap();
        match facts.is_dir() {
            true => found.extend(large(&path)),
            false if facts.len() > 1 << 20 => drop(found.insert(facts.ino())),
            false => {}
        }
    }
    found
}

fn listed(house: &mut House, who: &str, what: &str) -> Vec<String> {
    let said = house.sh(who, &format!("smr-ls {what} -1")).expect(0).text();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_large_message_streams_through_every_process_in_little_memory() {
    let said = std::env::var("SMR_TEST_MIB").unwrap_or("16".to_owned());
    let programs = Path::new(env!("CARGO_BIN_EXE_smrd")).parent().unwrap();
    let ran = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stream"))
        .args(["--mib", &said, "--programs"])
        .arg(programs)
        .output()
        .expect("scripts/stream runs");
    let told = String::from_utf8_lossy(&ran.stdout);
    println!("{told}");
    let wrong = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}{wrong}");
    assert!(told.contains(&format!("{said} MiB went through")), "{told}");
}

#[test]
fn a_sender_interrupted_anywhere_has_sent_all_or_nothing() {
    let mut house = House::with(&["alice", "bob"]);
    fs::write(house.path("work/alice/block"), noise(SIZE)).unwrap();
    let mut sent = Vec::new();
    for signal in ["INT", "KILL"] {
        let command = |at: usize| format!("smr-send -s {at} --once {signal}{at} -a block bob");
        everywhere(
            &mut house,
            "alice",
            signal,
            &command,
            &mut |house, at, _| {
                let there = listed(house, "bob", "");
                assert!(there.len() <= sent.len() + 1, "{there:?}");
                let id = house.sh("alice", &command(at)).expect(0).text();
                // If it was there already, it is this one.
                if there.len() > sent.len() {
                    assert_eq!(there.last(), Some(&id));
                }
                sent.push(id);
                assert_eq!(listed(house, "bob", ""), sent);
                assert_eq!(large(&house.path("home/alice")).len(), 0, "a spool is left");
            },
        );
    }
    assert_eq!(listed(&mut house, "alice", "sent"), sent);
    // The repository has each file once, and nothing of those that broke off.
    house.stop();
    house.smrd_says(&["--fsck"]).expect(0);
    assert_eq!(large(&house.path("store")).len(), sent.len());
}

#[test]
fn a_reader_interrupted_anywhere_has_written_all_or_nothing() {
    let mut house = House::with(&["alice", "bob"]);
    fs::write(house.path("work/alice/block"), noise(SIZE)).unwrap();
    house.sh("bob", "mkdir out").expect(0);
    let [work, home] = ["work/bob", "home/bob"].map(|place| house.path(place));
    for (signal, flags, folder) in [
        ("INT", "-x out", "out"),
        ("KILL", "-x out", "out"),
        ("INT", "--maildir Mail", "Mail/new"),
        ("KILL", "--maildir Mail", "Mail/new"),
    ] {
        let send = "smr-send --receipt none -a block bob";
        let id = house.sh("alice", send).expect(0).text();
        let command = |_| format!("smr-recv {flags} {id}");
        everywhere(
            &mut house,
            "bob",
            signal,
            &command,
            &mut |house, at, ended| {
                let about = format!("{flags}, {signal} at {at}");
                let unread = listed(house, "bob", "-u").len();
                let files: Vec<_> = fs::read_dir(work.join(folder))
                    .into_iter()
                    .flatten()
                    .collect();
                // Marked read only once it is there, and there only if it is whole.
                assert!(files.len() + unread >= 1, "{about}");
                assert!(!ended || (files.len(), unread) == (1, 0), "{about}");
                for file in files {
                    let path = file.unwrap().path();
                    let size = fs::metadata(&path).unwrap().len() as usize;
                    assert!(size >= SIZE, "{about}: {size} bytes");
                    fs::remove_file(path).unwrap();
                }
                let left = large(&work).len() + large(&home).len();
                assert_eq!(left, 0, "{about}");
            },
        );
        let read = format!("smr-recv -O 2 {id} | cmp - ../alice/block");
        house.sh("bob", &read).expect(0);
    }
}
