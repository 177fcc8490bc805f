//! Each call fails once in each of the ways it may: nothing is acknowledged
//! that is not there afterwards, and the next start needs nobody.
//!
//! Needs strace, which makes the Nth call of a kind fail.

mod ground;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use ground::{checked, child, content, deposit, examined, facts_of, id, name, store_of};
use smr_name::Class;
use smr_store::{Folder, KeyName, State, Store, StoreError};

const KEY: KeyName = KeyName {
    device: [7; 32],
    epoch: 1,
};

type Step = fn(&Store) -> Result<(), StoreError>;

const STEPS: [Step; 10] = [
    |store| store.create_account(&name("eva"), b"eva"),
    |store| deposit(store, 1, "rui", &["ana"], 900).map(drop),
    |store| store.mark_fetched(&name("ana"), id(1)),
    |store| store.mark_read(&name("ana"), id(1)),
    |store| store.replace_record(&name("ana"), b"ana", b"ana 2"),
    |store| {
        let mut spool = store.spool()?;
        spool.write(&content(id(1), 40))?;
        let facts = facts_of(1, "ana", 1000, 40);
        store
            .place_receipt(&spool.finish()?, &facts, &name("rui"))
            .map(drop)
    },
    |store| deposit(store, 2, "rui", &["ana"], 70_000).map(drop),
    |store| store.keep_key(&name("ana"), KEY, b"sealed"),
    |store| store.remove(&name("ana"), Folder::Inbox, id(1)),
    |store| deposit(store, 3, "ana", &["rui"], 900).map(drop),
];

#[test]
#[ignore = "the process one of whose calls fails"]
fn child_tries_each_step() {
    let Some(path) = std::env::var_os("SMR_TEST_STORE") else {
        return;
    };
    let Ok(store) = Store::open(Path::new(&path)) else {
        return;
    };
    let said = STEPS.map(|step| {
        let outcome = step(&store);
        // Reading goes on whatever has failed.
        checked(&store, "ana", Folder::Inbox);
        outcome.map_or_else(|error| error.class().code(), |()| 0)
    });
    // In one go at the end: writing is one of the calls that fail.
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    let line = format!("\nsaid {}\n", said.join(" "));
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Runs the steps with one failing call; returns their codes, or none where
/// there was no such call any more.
fn tried(call: &str, error: &str, nth: usize, path: &Path) -> Option<Vec<u8>> {
    let trace = path.with_extension("trace");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={call}")])
        .args([
            "-e",
            &format!("inject={call}:error={error}:when={nth}"),
            "-o",
        ])
        .arg(&trace)
        .args(child("child_tries_each_step", path))
        .output()
        .expect("strace is installed");
    let injected = std::fs::read_to_string(trace).unwrap().contains("INJECTED");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.strip_prefix("said "));
    let codes = said.map(|line| line.split(' ').map(|code| code.parse().unwrap()).collect());
    injected.then(|| codes.unwrap_or_default())
}

#[test]
fn whatever_call_fails_nothing_acknowledged_is_lost() {
    let mut runs = BTreeMap::new();
    for (call, errors) in [
        ("linkat", &["ENOSPC", "EIO", "EROFS"][..]),
        ("fsync", &["EIO"]),
        ("fdatasync", &["EIO"]),
        ("syncfs", &["EIO"]),
        ("pwrite64", &["ENOSPC", "EINTR"]),
        ("unlinkat", &["EIO"]),
        ("renameat", &["EROFS"]),
        ("mkdirat", &["ENOSPC"]),
        ("ftruncate", &["EIO"]),
        ("write", &["EINTR"]),
        ("openat", &["EMFILE"]),
    ] {
        for error in errors {
            for nth in 1.. {
                let room = tempfile::tempdir().unwrap();
                let path = room.path().join("store");
                drop(store_of(&path, &["ana", "rui"]));
                let Some(codes) = tried(call, error, nth, &path) else {
                    break;
                };
                let at = format!("{call} {error} {nth}: {codes:?}");
                check(&path, &codes, &at);
                if *error == "EINTR" && !codes.is_empty() {
                    assert!(codes.iter().all(|code| *code == 0), "{at}");
                }
                *runs.entry(call).or_insert(0) += 1;
            }
        }
    }
    assert!(runs.values().all(|count| *count > 0), "{runs:?}");
    assert!(runs.values().sum::<u32>() > 100, "{runs:?}");
}

fn check(path: &Path, codes: &[u8], at: &str) {
    // 66 and 67: what it needed had failed before it.
    let allowed = [0, 66, 67, 74, 75];
    assert!(codes.iter().all(|code| allowed.contains(code)), "{at}");
    let findings = examined(path).1;
    assert!(findings.is_empty(), "{at}: {findings:?}");
    let store = Store::open(path).unwrap();
    let entry = |mailbox: &str, folder, number| {
        let found = store.entry(&name(mailbox), folder, id(number), None);
        found.unwrap().map(|(_, state)| state)
    };
    let done = |step: usize| codes.get(step) == Some(&0);
    let first = entry("ana", Folder::Inbox, 1);
    assert!(!done(0) || store.has_account(&name("eva")), "{at}");
    assert!(!done(1) || first.is_some(), "{at}");
    let reached = first.map(State::reached);
    assert!(!done(2) || reached >= Some(State::Fetched), "{at}");
    assert!(!done(3) || reached == Some(State::Read), "{at}");
    let record = store.record(&name("ana")).unwrap().unwrap();
    assert!(!done(4) || record == b"ana 2", "{at}");
    assert!(
        !done(5) || entry("rui", Folder::Receipts, 1).is_some(),
        "{at}"
    );
    for (step, number, to) in [(6, 2, "ana"), (9, 3, "rui")] {
        assert!(
            !done(step) || entry(to, Folder::Inbox, number).is_some(),
            "{at}"
        );
    }
    assert!(
        !done(7) || store.keys(&name("ana"), None, 9).unwrap().len() == 1,
        "{at}"
    );
    assert!(!done(8) || first.is_some_and(State::is_removed), "{at}");
    // Whatever happened, all of it can be done now.
    for (step, act) in STEPS.iter().enumerate() {
        let again = act(&store).map_err(|error| error.class());
        let repeated = match step {
            0 => Err(Class::Denied),
            2 | 3 => Err(Class::Missing),
            4 => Err(Class::Busy),
            _ => Ok(()),
        };
        assert!(
            again == Ok(()) || again == repeated,
            "{at}: step {step} again: {again:?}"
        );
    }
    for account in ["ana", "rui", "eva"] {
        for folder in Folder::ALL {
            checked(&store, account, folder);
        }
    }
    drop(store);
    let findings = examined(path).1;
    assert!(findings.is_empty(), "{at}: {findings:?}");
}
