//! Crashes: smrd is killed while several programs deposit, and nothing that it
//! acknowledged is missing, doubled or half there.
//!
//! Sees no missing sync: a kill leaves what the system holds. The order of
//! syncs has its own tests in lib/store.

mod house;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use house::House;

/// Programs that send at the same time.
const SENDERS: usize = 4;

/// Sends until the file `stop` is there; keeps the id of every success.
const SENDER: &str = r#"(
while [ ! -e stop ]; do
    id=$(echo "from sender $N" | smr-send -s "crash $N" bob carol 2>>"errors.$N") &&
        echo "$id" >>"acknowledged.$N"
done
touch "ended.$N"
) >/dev/null 2>&1 &"#;

fn start_senders(house: &mut House) {
    for number in 1..=SENDERS {
        house
            .sh("alice", &format!("N={number}; {SENDER}"))
            .expect(0);
    }
}

/// Returns every id that a sender was told, in the order of each.
fn acknowledged(work: &Path) -> Vec<String> {
    let of = |n| fs::read_to_string(work.join(format!("acknowledged.{n}"))).unwrap_or_default();
    (1..=SENDERS)
        .flat_map(|n| of(n).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the ids that a folder lists, and fails where one is listed twice.
fn listed(house: &mut House, who: &str, folder: &str) -> BTreeSet<String> {
    let said = house.sh(who, &format!("smr-ls {folder} -1")).expect(0);
    let all: Vec<String> = said.text().lines().map(str::to_owned).collect();
    let ids: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(ids.len(), all.len(), "an id is in {who}'s {folder} twice");
    ids
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let work = house.path("work").join("alice");
    start_senders(&mut house);
    for round in 1..=3 {
        let before = acknowledged(&work).len();
        wait_until("six more messages were sent", || {
            acknowledged(&work).len() >= before + 6
        });
        // Not in step with the senders: each round cuts them elsewhere.
        std::thread::sleep(Duration::from_millis(37 * round));
        house.kill();
        house.start();
    }
    fs::write(work.join("stop"), "").unwrap();
    wait_until("the senders ended", || {
        (1..=SENDERS).all(|n| work.join(format!("ended.{n}")).exists())
    });

    let told: BTreeSet<String> = acknowledged(&work).into_iter().collect();
    assert_eq!(
        told.len(),
        acknowledged(&work).len(),
        "an id was told twice"
    );
    // Whoever was not told may find it delivered all the same; never the reverse.
    for (who, folder) in [("bob", "inbox"), ("carol", "inbox"), ("alice", "sent")] {
        let there = listed(&mut house, who, folder);
        let lost: Vec<_> = told.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "{who}'s {folder} lost {lost:?}\n{}",
            house.log()
        );
    }
    nothing_is_half_made(&mut house);
}

/// Every message listed opens and verifies, and the store holds nothing that
/// it does not know.
fn nothing_is_half_made(house: &mut House) {
    let every = "smr-ls inbox -1 | while read -r id; do smr-recv --peek \"$id\" || exit; done";
    for who in ["bob", "carol"] {
        let all = house.sh(who, every).expect(0);
        let count = listed(house, who, "inbox").len();
        assert_eq!(
            all.text().matches("from sender").count(),
            count,
            "{who}: {}",
            all.stderr
        );
    }
    // What smrd writes at this moment is there too.
    house.stop();
    let left: Vec<_> = fs::read_dir(house.path("store").join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    house.start();
    assert!(!house.log().contains("event=stranger"), "{}", house.log());
}

/// Runs smrd under strace, which does `fault` where a thread makes its Nth
/// `call`; the child is smrd itself.
fn start_doomed(house: &House, call: &str, fault: &str, nth: &str) -> Child {
    let mut child = Command::new("sh")
        .args([
            "-c",
            "exec 3>&1; exec \"$@\" >/dev/null 2>&1",
            "sh",
            "strace",
            "-D",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
        ])
        .args([
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:{fault}:when={nth}"),
        ])
        .args([env!("CARGO_BIN_EXE_smrd"), "--ready-fd", "3", "--config"])
        .arg(house.path("smrd.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("strace is installed");
    let mut ready = String::new();
    BufReader::new(child.stdout.take().expect("stdout is a pipe"))
        .read_line(&mut ready)
        .unwrap();
    assert!(
        ready.starts_with("ready "),
        "{call} {nth}: smrd did not start"
    );
    child
}

#[test]
fn a_deposit_cut_at_any_call_is_whole_or_unacknowledged() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let mut told = BTreeSet::new();
    // A deposit writes its record, after the journal has grown by 16 writes,
    // and syncs that. Then it is on disk: its file gets links to two inboxes
    // and is renamed to the own copy while its sender is being told.
    for (call, nth, on_disk) in [
        ("pwrite64", "1", false),
        ("pwrite64", "17", false),
        ("fdatasync", "1", false),
        ("linkat", "1", true),
        ("linkat", "2", true),
        ("renameat2", "1", true),
    ] {
        house.stop();
        let mut doomed = start_doomed(&house, call, "signal=KILL", nth);
        let cut = house.sh_with("alice", "smr-send bob carol", b"from sender, cut\n");
        match cut.code {
            0 if on_disk => drop(told.insert(cut.text())),
            _ => {
                assert_eq!(cut.expect(75).text(), "", "{call} {nth}: told an id");
            }
        }
        doomed.wait().unwrap();
        house.start();
        let sent = house
            .sh_with("alice", "smr-send bob carol", b"from sender, whole\n")
            .expect(0);
        told.insert(sent.text());
        for (who, folder) in [("bob", "inbox"), ("carol", "inbox"), ("alice", "sent")] {
            let there = listed(&mut house, who, folder);
            assert!(
                told.is_subset(&there),
                "{call} {nth}: {who}'s {folder} has {there:?}, not {told:?}"
            );
        }
        nothing_is_half_made(&mut house);
    }
}

#[test]
fn a_failing_disk_refuses_and_loses_nothing() {
    let mut house = House::with(&["alice", "bob"]);
    let mut told = BTreeSet::new();
    // Where there is no room for its names, one more message is taken, which
    // the journal holds; a full disk may pass. After a failed sync smrd takes
    // nothing until it is started again: nobody knows what the disk holds.
    for (call, fault, nth, code) in [
        ("linkat", "error=ENOSPC", "1+", 75),
        ("fdatasync", "error=EIO", "1", 74),
    ] {
        let mut first = send(&mut house, "first", 0);
        told.insert(first.clone());
        house.stop();
        let mut doomed = start_doomed(&house, call, fault, nth);
        if code == 75 {
            first = send(&mut house, "first, without a name", 0);
            told.insert(first.clone());
        }
        let folders = [("bob", "inbox"), ("alice", "sent")];
        let before = folders.map(|(who, folder)| listed(&mut house, who, folder));
        // Reading goes on; that it was read cannot be kept, and is said.
        if code == 74 {
            assert_eq!(send(&mut house, "refused", code), "", "told an id");
        }
        let read = house.sh("bob", &format!("smr-recv {first}")).expect(code);
        assert!(read.text().contains("from sender, first"), "{call}");
        assert_eq!(send(&mut house, "refused", code), "", "told an id");
        for ((who, folder), before) in folders.iter().zip(&before) {
            let there = listed(&mut house, who, folder);
            assert_eq!(there, *before, "{call}: {who}'s {folder}");
            assert!(told.is_subset(&there), "{call}: {who}'s {folder}");
        }
        doomed.kill().unwrap();
        doomed.wait().unwrap();
        house.start();
        told.insert(send(&mut house, "last", 0));
        let there = listed(&mut house, "bob", "inbox");
        assert!(told.is_subset(&there), "{call}: {there:?}, not {told:?}");
    }
}

/// Sends to bob and returns what was told; the exit code must be `code`.
fn send(house: &mut House, word: &str, code: i32) -> String {
    let line = format!("from sender, {word}\n");
    let said = house.sh_with("alice", "smr-send bob", line.as_bytes());
    said.expect(code).text()
}
