//! Removal: the bytes go, the entry stays.

mod ground;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ground::{checked, deposit, examined, id, name, store_of};
use smr_name::{Class, Head, MailboxName};
use smr_store::{Folder, State, Store, Usage};

fn state(store: &Store, mailbox: &MailboxName, number: u64) -> State {
    let listing = store.list(mailbox, Folder::Inbox, number - 1, 1).unwrap();
    listing.entries[0].1
}

fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => bytes_below(&entry.path()),
            false => entry.metadata().unwrap().len() / entry.metadata().unwrap().nlink(),
        })
        .sum()
}

#[test]
fn what_is_removed_leaves_its_place_and_gives_its_space_back() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    let (ana, rui) = (name("ana"), name("rui"));
    for number in 1..=3 {
        deposit(&store, number, "rui", &["ana"], 60_000).unwrap();
    }
    store.mark_fetched(&ana, id(2)).unwrap();
    store.mark_read(&ana, id(3)).unwrap();
    let heads = |store: &Store| [Folder::Inbox, Folder::Sent].map(|f| checked(store, "ana", f).1);
    let (before, full) = (heads(&store), bytes_below(&room.path().join("accounts")));
    for (number, reached) in [(1, State::New), (2, State::Fetched), (3, State::Read)] {
        for _ in 0..2 {
            store.remove(&ana, Folder::Inbox, id(number)).unwrap();
            assert!(state(&store, &ana, number).is_removed());
            assert_eq!(state(&store, &ana, number).reached(), reached);
        }
        // Neither found, nor opened, nor marked; and not another's.
        let prefix = id(number).to_string().parse().unwrap();
        assert_eq!(store.find(&ana, &prefix).unwrap(), []);
        let gone = [
            store.mark_read(&ana, id(number)),
            store.mark_fetched(&ana, id(number)),
            store
                .open_message(&ana, Folder::Inbox, id(number), None)
                .map(drop),
        ];
        assert!(
            gone.into_iter()
                .all(|g| g.unwrap_err().class() == Class::Missing)
        );
        assert_eq!(store.find(&rui, &prefix).unwrap().len(), 1);
    }
    assert_eq!(store.usage(&ana).unwrap(), Usage::default());
    assert_eq!(store.usage(&rui).unwrap().count, 3);
    assert!(bytes_below(&room.path().join("accounts")) >= full - 1000);
    for number in 1..=3 {
        store.remove(&rui, Folder::Sent, id(number)).unwrap();
    }
    // Both names of each file are gone, and with them the file.
    assert!(bytes_below(&room.path().join("accounts")) < 1000);
    assert_eq!(heads(&store), before);
    deposit(&store, 4, "rui", &["ana"], 10).unwrap();
    let listing = store.list(&ana, Folder::Inbox, 0, 9).unwrap();
    assert_eq!((listing.count, listing.entries[3].0.number), (4, 4));
    drop(store);
    let (summary, findings) = examined(room.path());
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(
        (summary.messages, summary.removed, summary.leftovers),
        (2, 6, 0)
    );
    let store = Store::open(room.path()).unwrap();
    assert!(state(&store, &ana, 1).is_removed());
    assert_eq!(store.usage(&ana).unwrap().count, 1);
}

#[test]
fn only_what_is_there_can_be_removed() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    for (mailbox, folder, number) in [
        ("ana", Folder::Inbox, 2),
        ("ana", Folder::Sent, 1),
        ("rui", Folder::Inbox, 1),
    ] {
        let refused = store.remove(&name(mailbox), folder, id(number));
        assert_eq!(refused.unwrap_err().class(), Class::Missing);
    }
    let nobody = store.remove(&name("eva"), Folder::Inbox, id(1));
    assert_eq!(nobody.unwrap_err().class(), Class::NoMailbox);
    assert_eq!(state(&store, &name("ana"), 1), State::New);
    // A failed attempt leaves nothing either; while the store is open, its own
    // thread has files there.
    drop(store);
    assert_eq!(
        std::fs::read_dir(room.path().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn a_removed_message_is_not_deposited_again() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    let first = deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    store.remove(&name("ana"), Folder::Inbox, id(1)).unwrap();
    let again = deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    assert_eq!(again[0].entry, first[0].entry);
    assert!(again.iter().all(|placed| placed.repeated));
    assert!(state(&store, &name("ana"), 1).is_removed());
    // Nor does the id name another message now.
    let other = deposit(&store, 1, "rui", &["ana"], 11).unwrap_err();
    assert_eq!(other.class(), Class::Denied);
}

#[test]
fn one_is_removed_by_many_and_read_meanwhile() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    let ana = name("ana");
    for number in 1..=20 {
        deposit(&store, number, "rui", &["ana"], 100).unwrap();
        std::thread::scope(|scope| {
            let remove = || store.remove(&ana, Folder::Inbox, id(number)).unwrap();
            let mark = || match store.mark_read(&ana, id(number)) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.class(), Class::Missing),
            };
            scope.spawn(remove);
            scope.spawn(mark);
            scope.spawn(remove);
        });
        assert!(state(&store, &ana, number).is_removed());
    }
    let (_, head) = checked(&store, "ana", Folder::Inbox);
    assert_ne!(head, Head::default());
    drop(store);
    let (summary, findings) = examined(room.path());
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!((summary.removed, summary.leftovers), (20, 0));
}
