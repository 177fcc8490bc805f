//! Deposits, listings, states, receipts, accounts: what a server asks of a store.

mod ground;

use std::collections::BTreeSet;
use std::io::Read;

use ground::{checked, content, deposit, facts, facts_of, id, name, store_of};
use smr_name::{Class, Head};
use smr_store::{Folder, OpenError, State, Store, Why};

fn room() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_deposit_lies_in_every_inbox_and_in_the_sent_folder_as_one_file() {
    use std::os::unix::fs::MetadataExt;
    let room = room();
    let store = store_of(room.path(), &["ana", "eva", "rui"]);
    let placed = deposit(&store, 1, "rui", &["ana", "eva"], 10_000).unwrap();
    let where_to: Vec<_> = placed
        .iter()
        .map(|p| (p.mailbox.as_str(), p.folder))
        .collect();
    assert_eq!(
        where_to,
        [
            ("ana", Folder::Inbox),
            ("eva", Folder::Inbox),
            ("rui", Folder::Sent)
        ]
    );
    for placed in &placed {
        // Whether or not it has its names already.
        let (_, _, mut opened) = store
            .open_number(&placed.mailbox, placed.folder, 1)
            .unwrap();
        assert_eq!(opened.size().unwrap(), 10_000);
        let mut text = Vec::new();
        opened.read_to_end(&mut text).unwrap();
        assert_eq!(text, content(id(1), 10_000));
    }
    assert_eq!(
        store.open_number(&name("rui"), Folder::Sent, 1).unwrap().1,
        State::Read
    );
    assert_eq!(store.usage(&name("ana")).unwrap().bytes, 10_000);
    drop(store);
    let inodes: BTreeSet<_> = ["ana/inbox/new", "eva/inbox/new", "rui/sent/cur"]
        .map(|folder| {
            let folder = room.path().join("accounts").join(folder);
            let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
            let [Ok(file)] = &files[..] else {
                panic!("{files:?}")
            };
            file.metadata().unwrap().ino()
        })
        .into();
    assert_eq!(inodes.len(), 1);
    assert_eq!(
        std::fs::read_dir(room.path().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn an_unknown_recipient_stops_everything() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    let error = deposit(&store, 1, "rui", &["ana", "nobody"], 5).unwrap_err();
    assert_eq!(error.class(), Class::NoMailbox);
    assert!(checked(&store, "ana", Folder::Inbox).0.is_empty());
    assert!(checked(&store, "rui", Folder::Sent).0.is_empty());
    assert_eq!(
        store
            .list(&name("nobody"), Folder::Inbox, 0, 1)
            .unwrap_err()
            .class(),
        Class::NoMailbox
    );
}

#[test]
fn a_repetition_returns_the_first_entry_and_stores_nothing() {
    let room = room();
    let store = store_of(room.path(), &["ana", "eva", "rui"]);
    let size = 10;
    let ana = [name("ana")];
    assert_eq!(
        store
            .deposited(size, &facts_of(1, "rui", 5, 10), &ana, true)
            .unwrap(),
        None
    );
    let first = deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    deposit(&store, 2, "rui", &["ana"], 10).unwrap();
    let again = deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&again.entry, again.head), (&first.entry, first.head));
        assert!(again.repeated && !first.repeated);
    }
    let asked = store
        .deposited(size, &facts_of(1, "rui", 5, 10), &ana, true)
        .unwrap();
    assert_eq!(asked, Some(again));
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 2);
    // A further recipient of the same message is new, the own copy is not.
    let more = deposit(&store, 1, "rui", &["eva"], 10).unwrap();
    assert_eq!(
        more.iter().map(|p| p.repeated).collect::<Vec<_>>(),
        [false, true]
    );
    let both = [name("ana"), name("eva")];
    assert!(
        store
            .deposited(size, &facts_of(1, "rui", 5, 10), &both, true)
            .unwrap()
            .is_some()
    );
    let three = [name("ana"), name("eva"), name("rui")];
    assert_eq!(
        store
            .deposited(size, &facts_of(1, "rui", 5, 10), &three, true)
            .unwrap(),
        None
    );
}

#[test]
fn an_id_names_one_message_only() {
    let room = room();
    let store = store_of(room.path(), &["ana", "eva", "rui"]);
    deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    let spooled = || {
        let mut spool = store.spool().unwrap();
        spool.write(&[0; 10]).unwrap();
        spool.finish().unwrap()
    };
    let mut other = facts_of(1, "rui", 5, 10);
    other.sha256 = [9; 32];
    let mut inside = facts_of(1, "rui", 5, 10);
    inside.cms = [9; 32];
    for wrong in [other, inside, facts_of(1, "eva", 5, 10)] {
        // Eva comes first, and yet has nothing: all or none are refused.
        let to = [name("eva"), name("ana")];
        let error = store.deposit(&spooled(), &wrong, &to, true).unwrap_err();
        assert_eq!(error.class(), Class::Denied);
        assert_eq!(
            store.deposited(10, &wrong, &to, true).unwrap_err().class(),
            Class::Denied
        );
    }
    assert_eq!(
        deposit(&store, 1, "rui", &["ana"], 11).unwrap_err().class(),
        Class::Denied
    );
    assert!(checked(&store, "eva", Folder::Inbox).0.is_empty());
    assert!(checked(&store, "eva", Folder::Sent).0.is_empty());
}

#[test]
fn time_never_falls_and_must_fit() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    let place = |number, time| {
        let spooled = store.spool().unwrap().finish().unwrap();
        store.deposit(&spooled, &facts(number, "rui", time), &[name("ana")], false)
    };
    assert_eq!(place(1, 2000).unwrap()[0].entry.time, 2000);
    assert_eq!(place(2, 1000).unwrap()[0].entry.time, 2000);
    assert_eq!(place(3, 2001).unwrap()[0].entry.time, 2001);
    assert_eq!(place(4, 100_000_000_000).unwrap_err().class(), Class::Busy);
    // Before 1970 the last entry's time stands, and a first one has none.
    assert_eq!(place(5, -1).unwrap()[0].entry.time, 2001);
    let spooled = store.spool().unwrap().finish().unwrap();
    let first = store.deposit(&spooled, &facts(6, "rui", -1), &[name("rui")], false);
    assert_eq!(first.unwrap_err().class(), Class::Busy);
    assert_eq!(
        place(7, (1 << 31) + 1).unwrap()[0].entry.time,
        (1 << 31) + 1
    );
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 5);
}

#[test]
fn threads_fill_one_mailbox_and_many() {
    const THREADS: u64 = 32;
    const EACH: u64 = 12;
    let room = room();
    let senders: Vec<_> = (0..THREADS).map(|t| format!("u{t}")).collect();
    let mut accounts: Vec<_> = senders.iter().map(String::as_str).collect();
    accounts.push("all");
    let store = store_of(room.path(), &accounts);
    let placed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|t| {
                let (store, senders) = (&store, &senders);
                scope.spawn(move || {
                    let mut placed = Vec::new();
                    for n in 0..EACH {
                        let next = &senders[((t + n + 1) % THREADS) as usize];
                        let to = ["all", next.as_str()];
                        let number = t * EACH + n;
                        placed.extend(
                            deposit(store, number, &senders[t as usize], &to, 500).unwrap(),
                        );
                        // What was acknowledged is shown at once.
                        let (_, state) = store
                            .entry(&name(next), Folder::Inbox, id(number), None)
                            .unwrap()
                            .unwrap();
                        assert_eq!(state, State::New);
                    }
                    placed
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(placed.len() as u64, THREADS * EACH * 3);
    assert_eq!(
        checked(&store, "all", Folder::Inbox).0.len() as u64,
        THREADS * EACH
    );
    check_heads(&store, &placed);
    let heads = |store: &Store| -> Vec<Head> {
        let of = |a: &&str| Folder::ALL.map(|f| checked(store, a, f).1);
        accounts.iter().flat_map(of).collect()
    };
    let before = heads(&store);
    drop(store);
    let store = Store::open(room.path()).unwrap();
    assert_eq!(heads(&store), before);
    check_heads(&store, &placed);
    assert!(store.findings().is_empty());
}

// Every head that was handed out is the chain over the entries up to its own.
fn check_heads(store: &Store, placed: &[smr_store::Placed]) {
    for placed in placed {
        let limit = placed.entry.number as usize;
        let listing = store
            .list(&placed.mailbox, placed.folder, 0, limit)
            .unwrap();
        let (last, _) = listing.entries.last().unwrap();
        assert_eq!(*last, placed.entry);
        let chain = listing
            .entries
            .iter()
            .fold(Head::default(), |head, (entry, _)| head.extend(entry));
        assert_eq!(chain, placed.head);
    }
}

#[test]
fn threads_that_repeat_one_deposit_place_it_once() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    let placed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| deposit(&store, 1, "rui", &["ana"], 100).unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for folder in 0..2 {
        assert_eq!(placed.iter().filter(|p| !p[folder].repeated).count(), 1);
        assert!(
            placed
                .iter()
                .all(|p| p[folder].head == placed[0][folder].head)
        );
    }
    assert_eq!(checked(&store, "ana", Folder::Inbox).0.len(), 1);
}

#[test]
fn states_rise_and_survive_a_restart() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    for number in 1..=3 {
        deposit(&store, number, "rui", &["ana"], 100).unwrap();
    }
    let ana = name("ana");
    let head = checked(&store, "ana", Folder::Inbox).1;
    store.mark_fetched(&ana, id(2)).unwrap();
    store.mark_read(&ana, id(3)).unwrap();
    store.mark_fetched(&ana, id(3)).unwrap();
    assert_eq!(
        store.mark_read(&ana, id(9)).unwrap_err().class(),
        Class::Missing
    );
    let states = |store: &Store| {
        [1, 2, 3].map(|n| {
            store
                .entry_by_sender(&ana, &name("rui"), id(n))
                .unwrap()
                .unwrap()
                .1
        })
    };
    assert_eq!(states(&store), [State::New, State::Fetched, State::Read]);
    drop(store);
    let store = Store::open(room.path()).unwrap();
    assert_eq!(states(&store), [State::New, State::Fetched, State::Read]);
    store.mark_read(&ana, id(2)).unwrap();
    assert_eq!(states(&store)[1], State::Read);
    assert_eq!(checked(&store, "ana", Folder::Inbox).1, head);
    assert_eq!(
        store.entry_by_sender(&ana, &name("ana"), id(2)).unwrap(),
        None
    );
    drop(store);
    let count = |shelf| {
        std::fs::read_dir(room.path().join("accounts/ana/inbox").join(shelf))
            .unwrap()
            .count()
    };
    assert_eq!((count("new"), count("cur"), count("tmp")), (1, 2, 0));
}

#[test]
fn what_lies_in_a_folder_is_told_at_a_glance() {
    let room = room();
    let store = store_of(room.path(), &["ana", "eva", "rui"]);
    for (number, sender, size) in [(1, "rui", 100), (2, "eva", 3), (3, "rui", 20)] {
        deposit(&store, number, sender, &["ana"], size).unwrap();
    }
    let ana = name("ana");
    store.mark_read(&ana, id(2)).unwrap();
    assert_eq!(
        store.states(&ana, Folder::Inbox).unwrap(),
        [State::New, State::Read, State::New]
    );
    let by = |sender| {
        let usage = store.usage_by(&ana, Folder::Inbox, &name(sender)).unwrap();
        (usage.count, usage.bytes)
    };
    assert_eq!(
        (by("rui"), by("eva"), by("ana")),
        ((2, 120), (1, 3), (0, 0))
    );
}

#[test]
fn threads_mark_while_others_deposit_and_read() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    let ana = name("ana");
    for number in 0..40 {
        deposit(&store, number, "rui", &["ana"], 100).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..40).for_each(|n| store.mark_fetched(&ana, id(n)).unwrap()));
            scope.spawn(|| (0..40).for_each(|n| store.mark_read(&ana, id(n)).unwrap()));
        }
        scope.spawn(|| {
            (40..80).for_each(|n| drop(deposit(&store, n, "rui", &["ana"], 100).unwrap()))
        });
        scope.spawn(|| (0..20).for_each(|_| drop(checked(&store, "ana", Folder::Inbox))));
    });
    let listing = store.list(&ana, Folder::Inbox, 0, 100).unwrap();
    let read = listing
        .entries
        .iter()
        .filter(|(_, state)| *state == State::Read)
        .count();
    assert_eq!((listing.entries.len(), read), (80, 40));
    drop(store);
    assert_eq!(
        std::fs::read_dir(room.path().join("accounts/ana/inbox/new"))
            .unwrap()
            .count(),
        40
    );
}

#[test]
fn an_interrupted_mark_is_healed() {
    let room = room();
    drop(store_of(room.path(), &["ana", "rui"]));
    let store = Store::open(room.path()).unwrap();
    let placed = deposit(&store, 1, "rui", &["ana"], 100).unwrap();
    let head = placed[0].head;
    drop(store);
    let inbox = room.path().join("accounts/ana/inbox");
    let (new, cur) = (inbox.join("new"), inbox.join("cur"));
    let file = placed[0].entry.to_string();
    std::fs::hard_link(new.join(&file), cur.join(format!("{file}:2,S"))).unwrap();
    let store = Store::open(room.path()).unwrap();
    let listing = store.list(&name("ana"), Folder::Inbox, 0, 9).unwrap();
    assert_eq!(listing.entries, [(placed[0].entry.clone(), State::Read)]);
    assert_eq!(listing.head, head);
    assert_eq!(std::fs::read_dir(new).unwrap().count(), 0);
    assert!(store.findings().is_empty());
}

#[test]
fn listings_are_cut_where_asked() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    for number in 1..=5 {
        deposit(&store, number, "rui", &["ana"], 100).unwrap();
    }
    let list = |after, limit| {
        let listing = store
            .list(&name("ana"), Folder::Inbox, after, limit)
            .unwrap();
        assert_eq!(listing.count, 5);
        let numbers: Vec<_> = listing.entries.iter().map(|(e, _)| e.number).collect();
        (numbers, listing.more)
    };
    assert_eq!(list(0, 2), (vec![1, 2], true));
    assert_eq!(list(3, 2), (vec![4, 5], false));
    assert_eq!(list(5, 2), (vec![], false));
    assert_eq!(list(0, 0), (vec![], true));
    assert_eq!(list(u64::MAX, usize::MAX), (vec![], false));
}

#[test]
fn messages_are_found_opened_and_peeked() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    let ana = name("ana");
    deposit(&store, 1, "rui", &["ana"], 100).unwrap();
    deposit(&store, 2, "ana", &["ana"], 0).unwrap();
    let find = |prefix: &str| store.find(&ana, &prefix.parse().unwrap()).unwrap();
    assert_eq!(find("0000000000000001"), [(Folder::Inbox, id(1))]);
    assert_eq!(
        find("00000000"),
        [
            (Folder::Inbox, id(1)),
            (Folder::Inbox, id(2)),
            (Folder::Sent, id(2))
        ]
    );
    assert_eq!(find("ffffffff"), []);
    let peek = |number, length| store.peek(&ana, Folder::Inbox, number, length);
    assert_eq!(peek(1, 10).unwrap(), content(id(1), 10));
    assert_eq!(peek(1, 1000).unwrap(), content(id(1), 100));
    assert_eq!(peek(2, 1000).unwrap(), b"");
    assert_eq!(peek(3, 10).unwrap_err().class(), Class::Missing);
    let mut text = Vec::new();
    let (_, _, mut file) = store
        .open_message(&ana, Folder::Inbox, id(1), Some(&name("rui")))
        .unwrap();
    file.read_to_end(&mut text).unwrap();
    assert_eq!(text, content(id(1), 100));
    let other = store.open_message(&ana, Folder::Inbox, id(1), Some(&ana));
    assert_eq!(other.unwrap_err().class(), Class::Missing);
}

#[test]
fn a_message_may_have_several_receipts_but_not_any_number() {
    let room = room();
    let store = store_of(room.path(), &["ana", "eva", "rui"]);
    let rui = name("rui");
    let give = |reader: &str, cms: u8| {
        let mut spool = store.spool().unwrap();
        spool.write(&content(id(1), 50)).unwrap();
        let mut facts = facts(1, reader, 5);
        facts.cms = [cms; 32];
        store.place_receipt(&spool.finish().unwrap(), &facts, &rui)
    };
    let first = give("ana", 1).unwrap();
    assert_eq!((first.folder, first.entry.number), (Folder::Receipts, 1));
    let second = give("ana", 2).unwrap();
    give("eva", 1).unwrap();
    let again = give("ana", 1).unwrap();
    assert!(again.repeated);
    assert_eq!(again.entry, first.entry);
    let (entry, state) = store
        .entry(&rui, Folder::Receipts, id(1), Some(&name("ana")))
        .unwrap()
        .unwrap();
    assert_eq!((entry, state), (second.entry, State::New));
    store
        .mark_number(&rui, Folder::Receipts, 1, State::Fetched)
        .unwrap();
    assert_eq!(
        store.open_number(&rui, Folder::Receipts, 1).unwrap().1,
        State::Fetched
    );
    for cms in 3..=16 {
        give("ana", cms).unwrap();
    }
    assert_eq!(give("ana", 17).unwrap_err().class(), Class::Denied);
    give("eva", 2).unwrap();
    assert_eq!(checked(&store, "rui", Folder::Receipts).0.len(), 18);
    assert_eq!(
        store
            .place_receipt(
                &store.spool().unwrap().finish().unwrap(),
                &facts(1, "ana", 5),
                &name("no")
            )
            .unwrap_err()
            .class(),
        Class::NoMailbox
    );
}

#[test]
fn accounts_are_made_once_and_listed_by_name() {
    let room = room();
    let store = store_of(room.path(), &["rui", "ana"]);
    let ana = name("ana");
    assert_eq!(
        store.create_account(&ana, b"other").unwrap_err().class(),
        Class::Denied
    );
    assert_eq!(store.record(&ana).unwrap().unwrap(), b"ana");
    assert!(store.has_account(&ana) && !store.has_account(&name("eva")));
    assert_eq!(store.record(&name("eva")).unwrap(), None);
    assert_eq!(store.accounts(None, 9), [name("ana"), name("rui")]);
    assert_eq!(store.accounts(Some(&ana), 9), [name("rui")]);
    assert_eq!(store.accounts(Some(&name("b")), 9), [name("rui")]);
    assert_eq!(store.accounts(None, 1), [name("ana")]);
    assert!(store.accounts(Some(&name("rui")), 9).is_empty());
}

#[test]
fn of_threads_that_make_one_account_one_succeeds() {
    let room = room();
    let store = store_of(room.path(), &[]);
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16u8)
            .map(|n| {
                let store = &store;
                scope.spawn(move || match store.create_account(&name("ana"), &[n]) {
                    Ok(()) => 1,
                    Err(error) => {
                        assert_eq!(error.class(), Class::Denied);
                        0
                    }
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(made, 1);
    assert_eq!(store.record(&name("ana")).unwrap().unwrap().len(), 1);
    assert_eq!(
        std::fs::read_dir(room.path().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn a_record_is_replaced_only_by_who_has_seen_it() {
    let room = room();
    let store = store_of(room.path(), &["ana"]);
    let ana = name("ana");
    store.replace_record(&ana, b"ana", b"two").unwrap();
    let error = store.replace_record(&ana, b"ana", b"three").unwrap_err();
    assert_eq!(error.class(), Class::Busy);
    assert_eq!(store.record(&ana).unwrap().unwrap(), b"two");
    assert_eq!(
        store
            .replace_record(&name("no"), b"", b"x")
            .unwrap_err()
            .class(),
        Class::NoMailbox
    );
    drop(store);
    assert_eq!(
        Store::open(room.path())
            .unwrap()
            .record(&ana)
            .unwrap()
            .unwrap(),
        b"two"
    );
    assert_eq!(
        std::fs::read_dir(room.path().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn names_that_walk_do_not_reach_the_store() {
    for text in ["../x", "..", "a/b", "/etc", "a\0b", "tmp/../../x", ""] {
        assert!(text.parse::<smr_name::MailboxName>().is_err(), "{text}");
        assert!(text.parse::<smr_name::MessageId>().is_err(), "{text}");
        assert!(text.parse::<smr_name::EntryName>().is_err(), "{text}");
    }
    // The names closest to trouble that are allowed stay in their folder.
    let room = room();
    let store = store_of(room.path(), &["a.b", "0-_.x", "tmp", "record", "accounts"]);
    deposit(&store, 1, "a.b", &["0-_.x", "tmp", "record"], 10).unwrap();
    let mut top: Vec<_> = std::fs::read_dir(room.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    top.sort();
    assert_eq!(top, ["accounts", "format", "journal", "lock", "tmp"]);
    assert_eq!(checked(&store, "record", Folder::Inbox).0.len(), 1);
}

#[test]
fn what_a_link_leads_to_is_not_emptied() {
    let room = room();
    drop(Store::create(room.path()).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("precious"), "kept").unwrap();
    std::fs::remove_dir(room.path().join("tmp")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), room.path().join("tmp")).unwrap();
    assert!(Store::open(room.path()).is_err());
    assert!(elsewhere.path().join("precious").exists());
}

#[test]
fn only_stores_are_opened_and_by_one() {
    let room = room();
    let path = room.path().join("store");
    assert_eq!(Store::open(&path).err().unwrap().class(), Class::Io);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(Store::open(&path).err().unwrap().class(), Class::Config);
    let store = Store::create(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(OpenError::InUse(_))));
    drop(store);
    assert_eq!(
        Store::create(&path).err().unwrap().class(),
        Class::CannotCreate
    );
    drop(Store::open(&path).unwrap());
    // One of before removal was known is taken over, for good.
    std::fs::write(path.join("format"), "smr store 1\n").unwrap();
    std::fs::remove_dir_all(path.join("journal")).unwrap();
    drop(Store::open(&path).unwrap());
    let format = std::fs::read_to_string(path.join("format")).unwrap();
    assert_eq!(format, "smr store 2\n");
    std::fs::write(path.join("format"), "smr store 3\n").unwrap();
    assert!(matches!(Store::open(&path), Err(OpenError::Format(_))));
    let deep = room.path().join("no/such/parent");
    assert_eq!(Store::create(&deep).err().unwrap().class(), Class::Io);
}

#[test]
fn an_interrupted_create_is_taken_up() {
    let room = room();
    std::fs::create_dir(room.path().join("accounts")).unwrap();
    std::fs::create_dir(room.path().join("tmp")).unwrap();
    std::fs::write(room.path().join("tmp/format"), "sm").unwrap();
    Store::create(room.path())
        .unwrap()
        .create_account(&name("ana"), b"1")
        .unwrap();
}

#[test]
fn nobody_else_may_look_into_a_store() {
    use std::os::unix::fs::PermissionsExt;
    let room = room();
    let path = room.path().join("store");
    let store = store_of(&path, &["ana", "rui"]);
    deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    // A store that runs takes away what it has carried to the mailboxes.
    drop(store);
    let mut left = vec![path];
    while let Some(path) = left.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        assert_eq!(
            mode,
            if metadata.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        }
    }
}

#[test]
fn strangers_are_told_and_left_alone() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    let placed = deposit(&store, 1, "rui", &["ana"], 10).unwrap();
    deposit(&store, 2, "rui", &["ana"], 10).unwrap();
    drop(store);
    let accounts = room.path().join("accounts");
    let new = accounts.join("ana/inbox/new");
    let twin = placed[0].entry.to_string().replace(",S=10,", ",S=11,");
    std::fs::write(room.path().join("notes.txt"), "").unwrap();
    std::fs::create_dir(accounts.join("Eva")).unwrap();
    std::fs::create_dir(accounts.join("eva")).unwrap();
    std::fs::write(accounts.join("zoe"), "").unwrap();
    std::fs::write(new.join("\u{1b}[2J"), "").unwrap();
    std::fs::write(new.join(&twin), "").unwrap();
    let five = placed[0].entry.to_string().replacen("01.", "05.", 1);
    std::fs::create_dir(new.join(five.replacen("05.", "06.", 1))).unwrap();
    std::fs::write(new.join(five), "").unwrap();
    let store = Store::open(room.path()).unwrap();
    let whys = |store: &Store| {
        let mut whys: Vec<_> = store
            .findings()
            .into_iter()
            .map(|s| (s.path, s.why))
            .collect();
        whys.sort_by(|a, b| a.0.cmp(&b.0));
        whys.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
    };
    assert_eq!(
        whys(&store),
        [Why::Name, Why::NoRecord, Why::Kind, Why::Name]
    );
    assert!(!store.has_account(&name("eva")));
    assert_eq!(
        store
            .create_account(&name("zoe"), b"1")
            .unwrap_err()
            .class(),
        Class::Io
    );
    let listing = store.list(&name("ana"), Folder::Inbox, 0, 9).unwrap();
    assert_eq!(
        listing
            .entries
            .iter()
            .map(|(e, _)| e.number)
            .collect::<Vec<_>>(),
        [1, 2, 5]
    );
    let found = whys(&store);
    for why in [Why::Name, Why::Kind, Why::NumberTwice, Why::NumberMissing] {
        assert_eq!(found.iter().filter(|&&w| w == why).count(), 1, "{why:?}");
    }
    assert!(new.join(twin).exists());
    // The next number follows the highest.
    assert_eq!(
        deposit(&store, 7, "rui", &["ana"], 10).unwrap()[0]
            .entry
            .number,
        6
    );
}

#[test]
fn a_folder_that_is_gone_is_an_error_and_no_panic() {
    let room = room();
    let store = store_of(room.path(), &["ana", "rui"]);
    std::fs::remove_dir_all(room.path().join("accounts/ana/inbox")).unwrap();
    assert_eq!(
        deposit(&store, 1, "rui", &["ana"], 10).unwrap_err().class(),
        Class::Io
    );
    assert!(!store.has_failed());
    deposit(&store, 1, "rui", &["rui"], 10).unwrap();
}

#[test]
fn a_spool_of_another_store_is_refused() {
    let (one, two) = (room(), room());
    let (one, two) = (
        store_of(one.path(), &["ana"]),
        store_of(two.path(), &["ana"]),
    );
    let spooled = one.spool().unwrap().finish().unwrap();
    let error = two
        .deposit(&spooled, &facts(1, "ana", 5), &[name("ana")], false)
        .unwrap_err();
    assert_eq!(error.class(), Class::Io);
    assert!(
        one.deposit(&spooled, &facts(1, "ana", 5), &[name("ana")], false)
            .is_ok()
    );
}
