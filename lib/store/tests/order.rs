//! The order of calls, as strace saw them: nothing is acknowledged before it is
//! synced. A kill cannot show a missing sync; this can.

mod ground;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use ground::{child, deposit, facts, id, name};
use smr_store::{Folder, Store};

fn say(text: &str) {
    std::io::stdout().lock().write_all(text.as_bytes()).unwrap();
}

#[test]
#[ignore = "the process that the next test watches"]
fn child_acknowledges_each_step() {
    let Some(path) = std::env::var_os("SMR_TEST_STORE") else {
        return;
    };
    let store = Store::create(Path::new(&path)).unwrap();
    say("ACK create\n");
    for account in ["ana", "eva", "rui"] {
        store.create_account(&name(account), b"1").unwrap();
        say("ACK account\n");
    }
    deposit(&store, 1, "rui", &["ana", "eva"], 9000).unwrap();
    say("ACK deposit\n");
    store.mark_fetched(&name("ana"), id(1)).unwrap();
    say("ACK fetched\n");
    store.mark_read(&name("ana"), id(1)).unwrap();
    say("ACK read\n");
    store.mark_read(&name("eva"), id(1)).unwrap();
    say("ACK read\n");
    store.replace_record(&name("ana"), b"1", b"2").unwrap();
    say("ACK record\n");
    let spooled = store.spool().unwrap().finish().unwrap();
    store
        .place_receipt(&spooled, &facts(1, "ana", 5), &name("rui"))
        .unwrap();
    say("ACK receipt\n");
    deposit(&store, 2, "rui", &["ana", "eva"], 90_000).unwrap();
    say("ACK large\n");
    store.remove(&name("ana"), Folder::Inbox, id(2)).unwrap();
    store.remove(&name("ana"), Folder::Inbox, id(1)).unwrap();
    say("ACK removed\n");
}

/// What has been changed and not synced, by path below the store.
#[derive(Default)]
struct Unsynced {
    names: BTreeSet<String>,
    content: BTreeSet<String>,
    // What was written to the journal, and what of it is synced.
    written: String,
    journal: String,
}

fn parent(path: &str) -> String {
    path.rsplit_once('/')
        .map_or(".", |(parent, _)| parent)
        .to_owned()
}

impl Unsynced {
    fn made(&mut self, path: &str) {
        self.content.insert(path.to_owned());
        self.names.insert(parent(path));
    }

    // What gets its final name must be synced below and including itself.
    fn placed(&mut self, from: &str, to: &str, line: &str) {
        let entry = to.rsplit('/').next().unwrap().split(":2,").next().unwrap();
        let tombstone = to.ends_with('T');
        if from.starts_with("tmp/spool") && !tombstone && self.journal.contains(entry) {
            // The next start would make it again.
            self.content.remove(from);
            return;
        }
        let below = format!("{from}/");
        let open = |path: &String| path == from || path.starts_with(&below);
        assert!(!self.content.iter().any(open), "content not synced: {line}");
        assert!(!self.names.iter().any(open), "names not synced: {line}");
        self.names.insert(parent(to));
    }

    fn check(&self, line: &str) {
        // Nobody misses what is in tmp.
        let kept = |path: &&String| *path != "tmp" && !path.starts_with("tmp/");
        let all = self.names.iter().chain(&self.content);
        let open: Vec<_> = all.filter(kept).collect();
        assert!(open.is_empty(), "{open:?} not synced: {line}");
        assert!(self.written.is_empty(), "journal not synced: {line}");
    }
}

fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

fn path_of(line: &str, root: &str) -> String {
    let path = line.split(['<', '>']).nth(1).unwrap();
    let path = path
        .strip_prefix(root)
        .unwrap_or(path)
        .trim_start_matches('/');
    let path = if path.is_empty() { "." } else { path };
    path.to_owned()
}

fn watch(log: &str, root: &str) -> usize {
    let mut unsynced = Unsynced::default();
    let mut acknowledged = 0;
    for line in log.lines().filter(|line| !line.contains(" = -1 ")) {
        let words = quoted(line);
        let call = line.split('(').next().unwrap().rsplit(' ').next().unwrap();
        match (call, words.as_slice()) {
            ("mkdir" | "mkdirat", [path]) if *path != root => unsynced.made(path),
            ("openat", [path]) if line.contains("O_CREAT") && *path != "lock" => {
                unsynced.made(path);
            }
            ("ftruncate", _) => {
                let path = path_of(line, root);
                unsynced.content.insert(path);
            }
            ("pwrite64", _) => unsynced.written.push_str(line),
            ("fdatasync", _) => {
                // A record must not be there before the message beside it is.
                let beside = unsynced.names.contains("journal");
                assert!(!beside, "journal not synced: {line}");
                let written = std::mem::take(&mut unsynced.written);
                unsynced.journal.push_str(&written);
            }
            ("linkat" | "renameat" | "renameat2", [from, to]) => unsynced.placed(from, to, line),
            // What lay beside the journal goes after everything was synced.
            ("unlinkat", [path]) if !path.starts_with("tmp/") && !path.contains("/large.") => {
                unsynced.check(line);
            }
            ("fsync", _) => {
                let path = path_of(line, root);
                unsynced.names.remove(&path);
                unsynced.content.remove(&path);
            }
            ("write", [text]) if text.starts_with("ACK ") => {
                unsynced.check(line);
                acknowledged += 1;
            }
            _ => {}
        }
    }
    acknowledged
}

// Runs the child, perhaps with a planted fault; returns all its calls.
fn traced(room: &Path, fault: &str) -> String {
    let (store, log) = (room.join("store"), room.join("log"));
    let calls = "mkdir,mkdirat,openat,linkat,renameat,renameat2,unlinkat,fsync,fdatasync,pwrite64,ftruncate,syncfs,write";
    let output = Command::new("strace")
        .env("SMR_PLANTED", fault)
        .args(["-f", "-qq", "-y", "-s", "2000"])
        .args(["-e", &format!("trace={calls}"), "-o"])
        .arg(&log)
        .args(child("child_acknowledges_each_step", &store))
        .output()
        .expect("strace is installed");
    assert!(output.status.success());
    std::fs::read_to_string(&log).unwrap()
}

#[cfg(feature = "planted")]
#[test]
fn planted_missing_syncs_are_seen() {
    for fault in ["no-directory-sync", "no-journal-sync", "in-place"] {
        let room = tempfile::tempdir().unwrap();
        let log = traced(room.path(), fault);
        let root = room.path().join("store").display().to_string();
        let watched = std::panic::catch_unwind(|| watch(&log, &root));
        assert!(watched.is_err(), "{fault}");
    }
}

#[test]
fn every_step_is_synced_before_it_is_acknowledged() {
    let room = tempfile::tempdir().unwrap();
    let store = room.path().join("store");
    let log = traced(room.path(), "");
    assert_eq!(watch(&log, store.to_str().unwrap()), 12);
    // What a killed smrd left is synced before it is shown.
    let (opening, _) = log.split_once("ACK create").unwrap();
    assert!(opening.contains("syncfs("));
    // The watcher does see: the same run without any one of its syncs is refused.
    let lines: Vec<_> = log.lines().collect();
    let made = lines.iter().position(|line| line.contains("ACK create"));
    let needed = |at: &usize| {
        let line = lines[*at];
        let sync = line.contains("fsync(") || line.contains("fdatasync(");
        // While a store is made, the journal is synced again for its files.
        let twice = Some(*at) < made && line.contains("/store/journal>");
        sync && line.contains("/store") && !line.contains("/store/tmp>") && !twice
    };
    let syncs: Vec<_> = (0..lines.len()).filter(needed).collect();
    assert!(syncs.len() > 50);
    for at in syncs {
        let without = [&lines[..at], &lines[at + 1..]].concat().join("\n");
        let watched = std::panic::catch_unwind(|| watch(&without, store.to_str().unwrap()));
        assert!(watched.is_err(), "{}", lines[at]);
    }
}
