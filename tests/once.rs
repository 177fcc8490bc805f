//! `smr-send --once` killed at any point, and run again: one message, one id.
//!
//! strace kills the program at a call of its own; nothing is left of it but
//! what is on disk, here and at smrd.

mod house;

use house::House;

/// The calls at which something may be half done: to the agent, to the disk.
const CALLS: &str = "sendto,recvfrom,fsync,openat,renameat2,linkat,rename,unlink";

/// Runs the command, killed at the call of this number; true where it came to
/// its end before.
fn killed(house: &mut House, at: usize, flags: &str) -> bool {
    let said = house.sh_with(
        "alice",
        &format!(
            "strace -f -o /dev/null -e trace={CALLS} -e inject={CALLS}:signal=KILL:when={at} \
             smr-send {flags} --once key-{at} -s {at} -c carol bob"
        ),
        b"text",
    );
    assert!(
        matches!(said.code, 0 | 137),
        "{} {}",
        said.code,
        said.stderr
    );
    said.code == 0
}

fn again(house: &mut House, at: usize, flags: &str) -> String {
    let command = format!("smr-send {flags} --once key-{at} -s {at} -c carol bob");
    house.sh_with("alice", &command, b"text").expect(0).text()
}

/// Kills at every `step`th call until one run has none left; returns the ids.
fn sent(house: &mut House, flags: &str, step: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for at in (1..).step_by(step) {
        let ended = killed(house, at, flags);
        let id = again(house, at, flags);
        assert_eq!(again(house, at, flags), id, "killed at {at}");
        ids.push(id);
        if ended {
            break;
        }
    }
    assert!(ids.len() > 5, "only {} runs were killed", ids.len() - 1);
    ids
}

fn listed(house: &mut House, who: &str, what: &str) -> Vec<String> {
    let said = house.sh(who, &format!("smr-ls {what} -1")).expect(0);
    said.text().lines().map(str::to_owned).collect()
}

#[test]
fn a_sender_killed_at_any_point_sends_one_message() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let ids = sent(&mut house, "", 5);
    assert_eq!(listed(&mut house, "alice", "sent"), ids);
    for reader in ["bob", "carol"] {
        assert_eq!(listed(&mut house, reader, "inbox"), ids);
    }
}

#[test]
fn what_was_to_wait_waits_once_and_leaves_once() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    // She has met the repository before.
    house.sh("alice", "smr-send bob < /dev/null").expect(0);
    house.stop();
    let mut ids = sent(&mut house, "-q --queue", 3);
    house.start();
    // Killed while it leaves, too.
    for at in (1..200).step_by(40) {
        let said = house.sh(
            "alice",
            &format!(
                "strace -f -o /dev/null -e trace={CALLS} -e inject={CALLS}:signal=KILL:when={at} \
                 smr-send --flush"
            ),
        );
        assert!(
            matches!(said.code, 0 | 137),
            "{} {}",
            said.code,
            said.stderr
        );
    }
    house.sh("alice", "smr-send --flush").expect(0);
    let mut there = listed(&mut house, "carol", "inbox");
    ids.sort();
    there.sort();
    assert_eq!(there, ids);
}

/// What a trace says of the disk, in the order in which it came to its end: `s`
/// for a sync, `n` for a name given.
fn waits(trace: &str) -> String {
    let ended = trace.lines().filter(|line| !line.contains("<unfinished"));
    let word = |line: &str| match line {
        _ if line.contains("fsync") => Some('s'),
        _ if line.contains("linkat") || line.contains("rename") => Some('n'),
        _ => None,
    };
    ended.filter_map(word).collect()
}

#[test]
fn all_that_a_sender_keeps_is_synced_before_it_is_named_and_after() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    house
        .sh("alice", "smr-send bob carol < /dev/null")
        .expect(0);
    let traced = house.sh(
        "alice",
        "strace -f -qq -e trace=fsync,linkat,renameat,renameat2,rename -o trace \
         smr-send bob carol < /dev/null >/dev/null && cat trace",
    );
    // Postmarks of bob, carol and the own copy; how far the folders of all three are.
    let waits = waits(&traced.expect(0).text());
    let folders = waits.strip_prefix("ssssssnnnnnn");
    let folders = folders.unwrap_or_else(|| panic!("{waits}: not synced, then named"));
    // The message's own and the one above, that of one's heads, that of others'.
    assert_eq!(folders, "ssss", "{waits}");
}
