//! What a failing or full disk does: refusals that say so, and reading goes on.
//!
//! Needs strace, which makes the Nth call of a kind fail.

mod ground;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use ground::{checked, child, deposit, id, name, store_of};
use smr_name::Class;
use smr_store::{Folder, State, Store};

fn store_path() -> Option<PathBuf> {
    std::env::var_os("SMR_TEST_STORE").map(PathBuf::from)
}

// Runs a child of this file whose Nth call fails; it must end well.
fn run(test: &str, call: &str, error: &str, nth: usize, path: &Path) {
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
        ])
        .args(["-e", &format!("inject={call}:error={error}:when={nth}")])
        .args(child(test, path))
        .output()
        .expect("strace is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{call} {nth}: {text}{errors}"
    );
}

#[test]
#[ignore = "a process one of whose syncs fails"]
fn child_meets_a_failed_sync() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    let mut acknowledged = Vec::new();
    let mut failed = false;
    for number in 1..=6 {
        match deposit(&store, number, "rui", &["ana"], 100) {
            Ok(_) if failed => panic!("took {number} after a failed sync"),
            Ok(_) => acknowledged.push(id(number)),
            Err(error) => {
                assert_eq!(error.class(), Class::Io, "{error}");
                failed = true;
            }
        }
    }
    assert!(failed && store.has_failed());
    // Reading goes on, and shows no more than what a sync covered.
    let shown = checked(&store, "ana", Folder::Inbox).0;
    assert!(shown.len() - acknowledged.len() <= 1);
    assert!(
        acknowledged
            .iter()
            .all(|id| shown.iter().any(|entry| entry.id == *id))
    );
    assert_eq!(store.record(&name("ana")).unwrap().unwrap(), b"ana");
    assert_eq!(store.spool().err().unwrap().class(), Class::Io);
    assert_eq!(
        store.create_account(&name("eva"), b"").unwrap_err().class(),
        Class::Io
    );
    assert_eq!(
        store
            .replace_record(&name("ana"), b"ana", b"")
            .unwrap_err()
            .class(),
        Class::Io
    );
    let number = shown.first().map_or(0, |entry| entry.number);
    if number > 0 {
        let read = store.mark_read(&name("ana"), shown[0].id);
        assert_eq!(read.unwrap_err().class(), Class::Io);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_taken_until_reopened() {
    // Three syncs a deposit: the file, inbox/new, sent/cur.
    let broken = (1..=9).map(|nth| ("EIO", nth));
    // On a directory even a full disk is a failure: what was linked is lost.
    let full = [("ENOSPC", 2), ("ENOSPC", 6)];
    for (error, nth) in broken.chain(full) {
        let room = tempfile::tempdir().unwrap();
        drop(store_of(room.path(), &["ana", "rui"]));
        run(
            "child_meets_a_failed_sync",
            "fsync",
            error,
            nth,
            room.path(),
        );
        let store = Store::open(room.path()).unwrap();
        for number in 1..=6 {
            deposit(&store, number, "rui", &["ana"], 100).unwrap();
        }
        assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 6);
    }
}

#[test]
#[ignore = "a process that finds the disk full once"]
fn child_meets_a_full_disk() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    let mut refused = 0;
    for number in 1..=3 {
        if let Err(error) = deposit(&store, number, "rui", &["ana"], 100) {
            assert_eq!(error.class(), Class::Busy);
            assert!(
                error.to_string().starts_with("the disk is full: cannot "),
                "{error}"
            );
            refused += 1;
            checked(&store, "ana", Folder::Inbox);
            deposit(&store, number, "rui", &["ana"], 100).unwrap();
        }
    }
    assert_eq!(refused, 1);
    assert!(!store.has_failed());
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 3);
    assert_eq!(checked(&store, "rui", Folder::Sent).0.len(), 3);
    assert_eq!(std::fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_refuses_and_is_forgotten() {
    // Links: inbox/new and sent/cur in turn. Syncs of the file: every third.
    for (call, nth) in [
        ("linkat", 1),
        ("linkat", 2),
        ("linkat", 5),
        ("fsync", 1),
        ("fsync", 4),
    ] {
        let room = tempfile::tempdir().unwrap();
        drop(store_of(room.path(), &["ana", "rui"]));
        run("child_meets_a_full_disk", call, "ENOSPC", nth, room.path());
    }
}

#[test]
#[ignore = "a process whose replaced record cannot be synced"]
fn child_cannot_sync_a_record() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    let error = store
        .replace_record(&name("ana"), b"ana", b"ana 2")
        .unwrap_err();
    assert_eq!(error.class(), Class::Io);
    // Perhaps the disk has the one, perhaps the other: nobody saw the new one.
    assert_eq!(store.record(&name("ana")).unwrap().unwrap(), b"ana");
    assert!(store.has_failed());
}

#[test]
fn a_record_that_may_be_lost_is_not_shown() {
    // Two syncs: the file, the account's directory.
    for nth in 1..=2 {
        let room = tempfile::tempdir().unwrap();
        drop(store_of(room.path(), &["ana"]));
        run(
            "child_cannot_sync_a_record",
            "fsync",
            "EIO",
            nth,
            room.path(),
        );
    }
}

#[test]
#[ignore = "a process whose mark cannot be synced"]
fn child_cannot_sync_a_mark() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    let ana = name("ana");
    for _ in 0..2 {
        let error = store.mark_read(&ana, id(1)).unwrap_err();
        assert_eq!(error.class(), Class::Io);
        // Nobody is told a state that a power cut could take back.
        let (_, state, mut file) = store.open_number(&ana, Folder::Inbox, 1).unwrap();
        assert_eq!(state, State::New);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 100);
    }
}

#[test]
fn a_mark_that_may_be_lost_is_not_shown() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    deposit(&store, 1, "rui", &["ana"], 100).unwrap();
    drop(store);
    run("child_cannot_sync_a_mark", "fsync", "EIO", 1, room.path());
    let store = Store::open(room.path()).unwrap();
    store.mark_read(&name("ana"), id(1)).unwrap();
    let listing = store.list(&name("ana"), Folder::Inbox, 0, 9).unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.entries[0].1, State::Read);
}
