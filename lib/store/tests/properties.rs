//! What holds for whoever pages through a folder while others deposit into it
//! and remove from it: every entry once, in order, on one chain of heads.

mod ground;

use std::sync::atomic::{AtomicBool, Ordering};

use ground::{deposit, id, name, store_of};
use proptest::collection::vec;
use proptest::prelude::*;
use smr_name::{EntryName, Head};
use smr_store::{Folder, Store};

/// Lists a folder to its end by pages of these sizes, over and over.
fn paged(store: &Store, pages: &[usize]) -> Result<Vec<EntryName>, TestCaseError> {
    let mut entries: Vec<EntryName> = Vec::new();
    let mut head = Head::default();
    for limit in pages.iter().cycle() {
        let after = entries.last().map_or(0, |entry| entry.number);
        let page = store
            .list(&name("ana"), Folder::Inbox, after, *limit)
            .unwrap();
        prop_assert!(page.entries.len() <= *limit);
        prop_assert_eq!(page.before, head, "a page begins where the last one ended");
        for (entry, _) in page.entries {
            prop_assert_eq!(entry.number, entries.len() as u64 + 1);
            head = head.extend(&entry);
            entries.push(entry);
        }
        prop_assert_eq!(page.more, page.count > entries.len() as u64);
        if !page.more {
            prop_assert_eq!((page.head, page.count), (head, entries.len() as u64));
            return Ok(entries);
        }
    }
    unreachable!("pages are turned until there are no more")
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(24)
    })]

    #[test]
    fn pages_cover_a_folder_exactly_once_while_messages_arrive(
        before in 0..8u64,
        arrivals in vec(1..9u64, 1..4),
        removed in vec(1..12u64, 0..4),
        pages in vec(1..6usize, 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of(&dir.path().join("store"), &["ana", "eva", "leo", "rui"]);
        for number in 1..=before {
            deposit(&store, number, "rui", &["ana"], 50).unwrap();
        }
        let arrived = before + arrivals.iter().sum::<u64>();
        let senders = ["eva", "leo", "rui"];
        let done = AtomicBool::new(false);
        let last = std::thread::scope(|scope| {
            let (store, pages, done) = (&store, &pages, &done);
            let mut first = before;
            let writers: Vec<_> = arrivals.iter().zip(senders).map(|(count, sender)| {
                let numbers = first + 1..=first + count;
                first += count;
                scope.spawn(move || for number in numbers {
                    deposit(store, number, sender, &["ana"], 50).unwrap();
                })
            }).collect();
            scope.spawn(|| for number in &removed {
                // Perhaps it is not there yet, or never will be.
                let _ = store.remove(&name("ana"), Folder::Inbox, id(*number));
            });
            let reader = scope.spawn(move || {
                let mut seen: Vec<EntryName> = Vec::new();
                while !done.load(Ordering::Acquire) {
                    let now = paged(store, pages)?;
                    prop_assert!(now.starts_with(&seen), "what was listed stays where it was");
                    seen = now;
                }
                let now = paged(store, pages)?;
                prop_assert!(now.starts_with(&seen));
                Ok(now)
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
            reader.join().unwrap()
        })?;
        // All that was acknowledged is there, each message once.
        let mut ids: Vec<_> = last.iter().map(|entry| entry.id).collect();
        ids.sort();
        let mut expected: Vec<_> = (1..=arrived).map(id).collect();
        expected.sort();
        prop_assert_eq!(ids, expected);
    }
}
