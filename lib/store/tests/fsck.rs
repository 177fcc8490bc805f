//! What fsck finds, and that it finds nothing where nothing is wrong.

mod ground;

use std::path::{Path, PathBuf};

use ground::{content, deposit, examined, facts_of, id, name, store_of};
use smr_name::Class;
use smr_store::{Finding, Folder, OpenError, Store, Why, fsck};

/// A store with 3 messages in ana's inbox (one read), one to eva, one removed.
fn filled(path: &Path) {
    let store = store_of(path, &["ana", "eva", "rui"]);
    for number in 1..=3 {
        deposit(&store, number, "rui", &["ana"], 1000).unwrap();
    }
    deposit(&store, 4, "rui", &["eva"], 100_000).unwrap();
    deposit(&store, 5, "rui", &["eva"], 10).unwrap();
    store.remove(&name("eva"), Folder::Inbox, id(5)).unwrap();
    store.mark_read(&name("ana"), id(2)).unwrap();
    let mut spool = store.spool().unwrap();
    spool.write(&content(id(2), 50)).unwrap();
    let receipt = facts_of(2, "ana", 7, 50);
    store
        .place_receipt(&spool.finish().unwrap(), &receipt, &name("rui"))
        .unwrap();
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_store_in_order_has_no_findings() {
    let room = tempfile::tempdir().unwrap();
    filled(room.path());
    let (summary, findings) = examined(room.path());
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(
        (summary.accounts, summary.messages, summary.removed),
        (3, 10, 1)
    );
    // Each file once, whatever its names.
    assert_eq!(summary.bytes, 3 * 1000 + 100_000 + 10 + 50);
    assert_eq!(summary.leftovers, 0);
}

/// Damages a filled store, and returns what fsck says then.
fn after(damage: impl Fn(&Path)) -> Vec<Finding> {
    let room = tempfile::tempdir().unwrap();
    filled(room.path());
    damage(room.path());
    let before = tree(room.path());
    let found = examined(room.path()).1;
    assert_eq!(tree(room.path()), before, "fsck reads only");
    found
}

fn tree(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in files(path) {
        let kind = std::fs::symlink_metadata(&entry).unwrap().file_type();
        match kind.is_dir() {
            true => all.extend(tree(&entry)),
            false => all.push((entry.clone(), std::fs::read(&entry).unwrap_or_default())),
        }
    }
    all
}

fn reasons(found: &[Finding]) -> Vec<Why> {
    found.iter().map(|finding| finding.why).collect()
}

#[test]
fn every_flipped_bit_is_found_under_each_name_of_the_file() {
    for bit in [0, 7, 4000, 7999] {
        let found = after(|store| {
            let file = &files(&store.join("accounts/ana/inbox/new"))[0];
            let mut bytes = std::fs::read(file).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(file, bytes).unwrap();
        });
        assert_eq!(reasons(&found), [Why::Hash, Why::Hash], "{bit}");
        assert!(
            found[0]
                .path
                .starts_with("accounts/ana/inbox/new/000000000001.")
        );
        assert!(
            found[1]
                .path
                .starts_with("accounts/rui/sent/cur/000000000001.")
        );
        assert_eq!(found[0].why.class(), Class::Forged);
    }
}

#[test]
fn cut_and_grown_files_are_found() {
    for size in [0, 999, 1001] {
        let found = after(|store| {
            let file = &files(&store.join("accounts/ana/inbox/new"))[1];
            let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
            file.set_len(size).unwrap();
        });
        assert_eq!(reasons(&found), [Why::Size, Why::Size], "{size}");
    }
    // A tombstone holds nothing, a record something, but not too much.
    let found = after(|store| {
        let tombstone = &files(&store.join("accounts/eva/inbox/new"))[1];
        std::fs::write(tombstone, "x").unwrap();
        std::fs::write(store.join("accounts/ana/record"), "").unwrap();
        std::fs::write(store.join("accounts/rui/record"), vec![b'x'; 70_000]).unwrap();
    });
    assert_eq!(reasons(&found), [Why::Size; 3]);
}

#[test]
fn a_broken_chain_is_found() {
    let found = after(|store| {
        std::fs::remove_file(&files(&store.join("accounts/rui/sent/cur"))[1]).unwrap()
    });
    assert_eq!(reasons(&found), [Why::NumberMissing]);
    assert!(found[0].path.contains("/000000000003."));
    let renamed = |from: &'static str, to: &'static str| {
        move |store: &Path| {
            let file = &files(&store.join("accounts/ana/inbox/new"))[1];
            let name = file.file_name().unwrap().to_str().unwrap();
            std::fs::rename(file, file.with_file_name(name.replacen(from, to, 1))).unwrap();
        }
    };
    for (from, to, why) in [
        // another number: its own, and a gap
        ("000000000003.", "000000000002.", vec![Why::NumberTwice]),
        ("000000000003.", "000000000004.", vec![Why::NumberMissing]),
        (".00000001000.", ".00000000999.", vec![Why::TimeFalls]),
        (".rui,", ".eve,", vec![Why::Sender]),
        // another id than the file's other name has
        (".0000000000000003", ".0000000000000009", vec![Why::Names]),
        (",S=1000,", ",S=1001,", vec![Why::Size]),
    ] {
        let found = after(renamed(from, to));
        assert_eq!(reasons(&found), why, "{from} {to}");
    }
}

#[test]
fn strangers_and_missing_parts_are_found() {
    let found = after(|store| {
        std::fs::write(store.join("README"), "").unwrap();
        std::fs::write(store.join("tmp/core"), "").unwrap();
        std::fs::write(store.join("journal/2"), "").unwrap();
        std::fs::write(store.join("accounts/.x"), "").unwrap();
        std::fs::write(store.join("accounts/leo"), "").unwrap();
        std::fs::create_dir(store.join("accounts/ivo")).unwrap();
        std::fs::write(store.join("accounts/ana/notes"), "").unwrap();
        std::fs::write(store.join("accounts/ana/inbox/new/notes"), "").unwrap();
        std::fs::write(store.join("accounts/ana/sent/tmp/notes"), "").unwrap();
        std::fs::write(store.join("accounts/ana/keys/notes"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", store.join("accounts/ana/inbox/cur/link"))
            .unwrap();
        std::fs::remove_dir_all(store.join("accounts/eva/receipts/new")).unwrap();
    });
    let has = |path: &str, why| {
        let finding = Finding {
            path: path.to_owned(),
            why,
        };
        assert!(found.contains(&finding), "{path}: {found:?}");
    };
    has("README", Why::Name);
    has("tmp/core", Why::Name);
    has("journal/2", Why::Name);
    has("accounts/.x", Why::Name);
    has("accounts/leo", Why::Kind);
    has("accounts/ivo/record", Why::NoRecord);
    has("accounts/ivo/keys", Why::Absent);
    has("accounts/ana/notes", Why::Name);
    has("accounts/ana/inbox/new/notes", Why::Name);
    has("accounts/ana/sent/tmp/notes", Why::Name);
    has("accounts/ana/keys/notes", Why::Name);
    has("accounts/ana/inbox/cur/link", Why::Name);
    has("accounts/eva/receipts/new", Why::Absent);
}

#[test]
fn what_a_kill_may_leave_is_counted_and_no_finding() {
    let room = tempfile::tempdir().unwrap();
    filled(room.path());
    std::fs::write(room.path().join("tmp/spool.7"), "half").unwrap();
    std::fs::create_dir(room.path().join("tmp/account.8")).unwrap();
    // A mark that was cut off between its two names.
    let new = &files(&room.path().join("accounts/ana/inbox/new"))[0];
    let name = new.file_name().unwrap().to_str().unwrap();
    let cur = room
        .path()
        .join(format!("accounts/ana/inbox/cur/{name}:2,"));
    std::fs::hard_link(new, cur).unwrap();
    let (summary, findings) = examined(room.path());
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!((summary.leftovers, summary.messages), (3, 10));
    drop(Store::open(room.path()).unwrap());
    assert_eq!(examined(room.path()).0.leftovers, 1);
}

#[test]
fn only_stores_of_a_known_format_are_examined() {
    let room = tempfile::tempdir().unwrap();
    let no_store = fsck(room.path(), &[], &mut |_| {});
    assert!(matches!(no_store, Err(OpenError::NotAStore(_))));
    filled(room.path());
    std::fs::write(room.path().join("server.key"), "").unwrap();
    let mut told = 0;
    fsck(room.path(), &["server.key"], &mut |_| told += 1).unwrap();
    assert_eq!(told, 0);
    std::fs::write(room.path().join("format"), "smr store 3\n").unwrap();
    let unknown = fsck(room.path(), &[], &mut |_| {});
    assert!(matches!(unknown, Err(OpenError::Format(_))));
}

#[test]
fn a_store_at_work_has_no_findings() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "eva", "rui"]);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (store, over) = (&store, &over);
            scope.spawn(move || {
                let ana = name("ana");
                for n in 0u64.. {
                    let number = thread << 32 | n;
                    let size = if n.is_multiple_of(9) { 70_000 } else { 300 };
                    deposit(store, number, "rui", &["ana", "eva"], size).unwrap();
                    store.mark_fetched(&ana, id(number)).unwrap();
                    store.mark_read(&ana, id(number)).unwrap();
                    if n.is_multiple_of(2) {
                        store.remove(&ana, Folder::Inbox, id(number)).unwrap();
                    }
                    if over.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let mut messages = 0;
        // Often, and until there was something to see.
        for round in 0.. {
            if round >= 40 && messages > 20 {
                break;
            }
            let (summary, findings) = examined(room.path());
            over.fetch_or(!findings.is_empty(), std::sync::atomic::Ordering::Relaxed);
            assert!(findings.is_empty(), "{findings:?}");
            messages = summary.messages;
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
