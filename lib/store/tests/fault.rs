//! What a failing or full disk does: refusals that say so, and reading goes on.
//!
//! Needs strace, which makes the Nth call of a kind fail.

mod ground;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use ground::{checked, child, content, deposit, examined, id, name, store_of};
use smr_name::Class;
use smr_store::{Folder, State, Store};

fn store_path() -> Option<PathBuf> {
    std::env::var_os("SMR_TEST_STORE").map(PathBuf::from)
}

// More than goes through the journal, or what does.
fn size() -> usize {
    let size = std::env::var("SMR_TEST_SIZE");
    size.map_or(70_000, |size| size.parse().unwrap())
}

// Runs a child of this file whose Nth call fails; it must end well.
fn run(test: &str, call: &str, error: &str, nth: usize, path: &Path) {
    run_with(70_000, test, call, error, nth, path);
}

fn run_with(size: usize, test: &str, call: &str, error: &str, nth: usize, path: &Path) {
    traced(size, &child(test, path), call, error, &nth.to_string());
}

fn traced(size: usize, words: &[String], call: &str, error: &str, nth: &str) {
    let output = Command::new("strace")
        .env("SMR_TEST_SIZE", size.to_string())
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
        ])
        .args(["-e", &format!("inject={call}:error={error}:when={nth}")])
        .args(words)
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
        match deposit(&store, number, "rui", &["ana"], size()) {
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
    // Three syncs at the start, then two for each large one: its file, and its
    // name beside the journal.
    let broken = (4..=9).map(|nth| (70_000, "fsync", "EIO", nth));
    // On a directory even a full disk is a failure: what was linked is lost.
    let full = [5, 7].map(|nth| (70_000, "fsync", "ENOSPC", nth));
    // And one sync of the journal for each.
    let sizes = [100, 70_000].into_iter();
    let journal = sizes.flat_map(|size| (1..=5).map(move |nth| (size, "fdatasync", "EIO", nth)));
    let late = [1, 2].map(|nth| (100, "fdatasync", "ENOSPC", nth));
    // A file of it grows by 16 writes of 64 KiB; the next ones are records.
    let writes = [
        (100, "pwrite64", "EIO", 3),
        (100, "pwrite64", "EIO", 18),
        (100, "pwrite64", "ENOSPC", 19),
    ];
    let all = broken.chain(full).chain(journal).chain(late).chain(writes);
    for (size, call, error, nth) in all {
        let room = tempfile::tempdir().unwrap();
        drop(store_of(room.path(), &["ana", "rui"]));
        run_with(
            size,
            "child_meets_a_failed_sync",
            call,
            error,
            nth,
            room.path(),
        );
        let store = Store::open(room.path()).unwrap();
        for number in 1..=6 {
            deposit(&store, number, "rui", &["ana"], size).unwrap();
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
        if let Err(error) = deposit(&store, number, "rui", &["ana"], size()) {
            assert_eq!(error.class(), Class::Busy);
            assert!(
                error.to_string().starts_with("the disk is full: cannot "),
                "{error}"
            );
            refused += 1;
            checked(&store, "ana", Folder::Inbox);
            deposit(&store, number, "rui", &["ana"], size()).unwrap();
        }
    }
    assert_eq!(refused, 1);
    assert!(!store.has_failed());
    // All have their names then.
    (1..=3).for_each(|number| store.mark_read(&name("ana"), id(number)).unwrap());
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 3);
    assert_eq!(checked(&store, "rui", Folder::Sent).0.len(), 3);
    // A large one has its names a moment before it loses the one there.
    drop(store);
    assert_eq!(std::fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_refuses_and_is_forgotten() {
    // The link of a large one beside the journal, and the sync of its file,
    // after the three of the start. Small ones: the growth of the journal.
    for (size, call, nth) in [
        (70_000, "linkat", 1),
        (70_000, "linkat", 3),
        (70_000, "fsync", 4),
        (70_000, "fsync", 6),
        (100, "pwrite64", 1),
        (100, "pwrite64", 9),
    ] {
        for error in ["ENOSPC", "EDQUOT"] {
            let room = tempfile::tempdir().unwrap();
            drop(store_of(room.path(), &["ana", "rui"]));
            let test = "child_meets_a_full_disk";
            run_with(size, test, call, error, nth, room.path());
        }
    }
}

#[test]
#[ignore = "a process that finds no room for a name"]
fn child_has_no_room_for_a_name() {
    let Some(path) = store_path() else {
        return;
    };
    let store = Store::open(&path).unwrap();
    deposit(&store, 1, "rui", &["ana"], size()).unwrap();
    // It is on disk, shown, and can be read; what needs its name waits for room.
    let (_, state, mut opened) = store.open_number(&name("ana"), Folder::Inbox, 1).unwrap();
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).unwrap();
    assert_eq!((state, bytes), (State::New, content(id(1), size())));
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 1);
    let refused = store.mark_fetched(&name("ana"), id(1)).unwrap_err();
    assert_eq!(refused.class(), Class::Busy);
    assert!(!store.has_failed());
    if std::env::var_os("SMR_TEST_ROOM").is_some() {
        // Calls are counted for each thread: this one's links fail as often.
        assert!((0..3).any(|_| deposit(&store, 2, "rui", &["ana"], size()).is_ok()));
        assert!((0..3).any(|_| store.mark_fetched(&name("ana"), id(1)).is_ok()));
        assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 2);
    } else {
        let refused = deposit(&store, 2, "rui", &["ana"], size()).unwrap_err();
        assert_eq!(refused.class(), Class::Busy);
        let refused = store.remove(&name("rui"), Folder::Sent, id(1));
        assert_eq!(refused.unwrap_err().class(), Class::Busy);
    }
}

#[test]
fn a_message_without_a_name_gets_it_when_there_is_room() {
    // Fails so often: the first try and the one that is asked for; or for ever.
    // A small one has a link and a rename, a large one two links; in that case
    // the depositor's own, beside the journal, is the first of its thread.
    let tries = [
        (100, "linkat", "1..2"),
        (100, "renameat2", "1..2"),
        (70_000, "linkat", "2..3"),
        (100, "linkat", "1+"),
        (100, "renameat2", "1+"),
        (70_000, "linkat", "2+"),
    ];
    for (size, call, when) in tries {
        let room = tempfile::tempdir().unwrap();
        drop(store_of(room.path(), &["ana", "rui"]));
        let passes = !when.ends_with('+');
        let mut words = child("child_has_no_room_for_a_name", room.path());
        if passes {
            words.insert(1, "SMR_TEST_ROOM=1".to_owned());
        }
        traced(size, &words, call, "ENOSPC", when);
        let (_, findings) = examined(room.path());
        assert!(findings.is_empty(), "{findings:?}");
        let store = Store::open(room.path()).unwrap();
        let count = if passes { 2 } else { 1 };
        assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), count);
        assert_eq!(checked(&store, "rui", Folder::Sent).0.len(), count);
        assert!(deposit(&store, 1, "rui", &["ana"], size).unwrap()[0].repeated);
        drop(store);
        assert_eq!(examined(room.path()).0.leftovers, 0);
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
    // After the three of the start two syncs: the file, the account's directory.
    for nth in 4..=5 {
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
    run("child_cannot_sync_a_mark", "fsync", "EIO", 4, room.path());
    let store = Store::open(room.path()).unwrap();
    store.mark_read(&name("ana"), id(1)).unwrap();
    let listing = store.list(&name("ana"), Folder::Inbox, 0, 9).unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.entries[0].1, State::Read);
}

#[cfg(feature = "planted")]
#[test]
fn planted_retrying_of_a_sync_is_seen() {
    let room = tempfile::tempdir().unwrap();
    drop(store_of(room.path(), &["ana", "rui"]));
    let met = std::panic::catch_unwind(|| {
        let test = "child_meets_a_failed_sync";
        planted("retry-sync", test, "fdatasync", room.path());
    });
    assert!(met.is_err());
}

#[cfg(feature = "planted")]
fn planted(fault: &str, test: &str, call: &str, path: &Path) {
    let mut words = vec!["env".to_owned(), format!("SMR_PLANTED={fault}")];
    words.extend(child(test, path));
    traced(100, &words, call, "EIO", "1");
}
