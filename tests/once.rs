//! `smr-send --once` killed at any point, and run again: one message, one id.
//!
//! strace kills the program at a call of its own; nothing is left of it but
//! what is on disk, here and at smrd.

mod house;

use house::House;

/// The calls at which something may be half done: to the agent, to the disk.
const CALLS: &str =
    "sendto,recvfrom,fsync,fdatasync,pwrite64,openat,renameat2,linkat,rename,unlink";

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
/// for a sync, `d` for one of content alone, `n` for a name given.
fn waits(trace: &str) -> String {
    let ended = trace.lines().filter(|line| !line.contains("<unfinished"));
    let word = |line: &str| match line {
        _ if line.contains("fdatasync") => Some('d'),
        _ if line.contains("fsync") => Some('s'),
        _ if line.contains("linkat") || line.contains("rename") => Some('n'),
        _ => None,
    };
    ended.filter_map(word).collect()
}

#[test]
fn all_that_a_sender_keeps_is_durable_by_one_wait_before_it_is_named() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    house
        .sh("alice", "smr-send bob carol < /dev/null")
        .expect(0);
    let traced = house.sh(
        "alice",
        "strace -f -qq -e trace=fsync,fdatasync,linkat,renameat,renameat2,rename -o trace \
         smr-send bob carol < /dev/null >/dev/null && cat trace",
    );
    // Postmarks of bob, carol and the own copy; how far the folders of all three are.
    assert_eq!(waits(&traced.expect(0).text()), "dnnnnnn");
}

/// What a power cut takes of a message that was sent: all names and contents that
/// nobody has waited for.
const CUT: &str = "cd $SMR_HOME/state && rm -r postmarks && \
                   for f in $(find known -name '*.promised.toml') $(find known/theirs -type f); \
                   do : > $f; done";
const KEPT: &str = "cd $SMR_HOME/state && find postmarks known/heads known/theirs -type f \
                    -exec sha256sum {} + | sort";

#[test]
fn what_was_told_outlives_a_power_cut() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let mut before = String::new();
    for _ in 0..2 {
        house.sh("alice", "smr-send bob carol </dev/null").expect(0);
        before = house.sh("alice", KEPT).expect(0).text();
        assert!(before.lines().count() > 5, "{before}");
        house.sh("alice", CUT).expect(0);
        assert_ne!(house.sh("alice", KEPT).text(), before);
        house.sh("alice", "smr-ls users").expect(0);
        assert_eq!(house.sh("alice", KEPT).expect(0).text(), before);
    }
    // Torn at any place, the last one never was; the first stays.
    let journal = house.path("home/alice/state/known/journal");
    let whole = std::fs::read(&journal).unwrap();
    for torn in [8192, 8200, 8192 + 1000, 8192 + 2000] {
        let mut bytes = whole.clone();
        bytes[torn..].fill(0);
        std::fs::write(&journal, bytes).unwrap();
        house.sh("alice", CUT).expect(0);
        house.sh("alice", "smr-ls users").expect(0);
        let kept = house.sh("alice", KEPT).expect(0).text();
        let marks = |text: &str| text.matches("postmarks/").count();
        assert_eq!((marks(&kept), marks(&before)), (3, 6), "{kept}");
    }
    let later = [b"smr journal of what is known 2\n", &whole[31..]].concat();
    std::fs::write(&journal, later).unwrap();
    for command in ["smr-ls", "smr-send bob </dev/null"] {
        let said = house.sh("alice", command).expect(78);
        assert!(said.stderr.contains("is of a later version"), "{command}");
    }
}

#[test]
fn a_disk_that_fails_keeps_no_postmark_and_the_next_one_is_kept() {
    let mut house = House::with(&["alice", "bob"]);
    house.sh("alice", "smr-send bob </dev/null").expect(0);
    let said = house.sh(
        "alice",
        "strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO \
         smr-send bob </dev/null",
    );
    let said = said.expect(74);
    assert!(
        said.stderr.contains("its postmark was not kept"),
        "{said:?}"
    );
    let marks = "find $SMR_HOME/state/postmarks -type f | wc -l";
    assert_eq!(house.sh("alice", marks).text(), "2");
    house.sh("alice", "smr-send bob </dev/null").expect(0);
    house.sh("alice", CUT).expect(0);
    house.sh("alice", "smr-ls sent").expect(0);
    assert_eq!(house.sh("alice", marks).text(), "4");
}

#[test]
fn senders_at_once_share_the_journal() {
    let mut house = House::with(&["alice", "bob"]);
    house
        .sh(
            "alice",
            "for n in 1 2 3 4; do (for m in 1 2 3 4 5 6 7 8 9 10; do \
             smr-send bob </dev/null >>ids.$n || exit; done) & done; wait",
        )
        .expect(0);
    let kept = "cat ids.* | sort; ls $SMR_HOME/state/postmarks | sort";
    let all = house.sh("alice", kept).expect(0).text();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 80, "{all}");
    assert_eq!(lines[..40], lines[40..]);
    let before = house.sh("alice", KEPT).expect(0).text();
    house.sh("alice", "smr-ls sent").expect(0);
    let marks = |text: &str| text.lines().filter(|l| l.contains("postmarks/")).count();
    let after = house.sh("alice", KEPT).expect(0).text();
    assert_eq!((marks(&before), marks(&after)), (80, 80));
}
