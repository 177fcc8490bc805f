//! What is in memory is bounded, and to forget a folder changes nothing.

mod ground;

use std::time::{Duration, Instant};

use ground::{checked, deposit, id, name, store_of};
use smr_store::{Folder, Store};

const PEOPLE: [&str; 8] = ["ana", "bea", "eva", "gil", "ivo", "lia", "rui", "zoe"];
const EACH: u64 = 40;
const MOST: usize = 60;

/// One person's part: he sends to all others, and marks and removes what he
/// finds in his inbox.
fn act(store: &Store, who: usize) {
    let (own, inbox) = (name(PEOPLE[who]), Folder::Inbox);
    for number in 0..EACH {
        let to = PEOPLE[(who + number as usize + 1) % PEOPLE.len()];
        deposit(
            store,
            1 + number + EACH * who as u64,
            PEOPLE[who],
            &[to],
            100,
        )
        .unwrap();
        let listing = store.list(&own, inbox, 0, 1000).unwrap();
        for (entry, state) in listing.entries {
            match entry.number % 3 {
                _ if state.is_removed() => {}
                0 => store.mark_read(&own, entry.id).unwrap(),
                1 => store.mark_fetched(&own, entry.id).unwrap(),
                _ => store.remove(&own, inbox, entry.id).unwrap(),
            }
        }
    }
}

#[test]
fn forgotten_folders_are_what_they_were() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &PEOPLE);
    store.keep_in_memory(MOST);
    std::thread::scope(|scope| {
        for who in 0..PEOPLE.len() {
            let store = &store;
            scope.spawn(move || act(store, who));
        }
    });
    let all = |store: &Store| {
        let places = PEOPLE.map(|who| Folder::ALL.map(|folder| (who, folder)));
        let places = places.as_flattened().iter();
        places
            .map(|&(who, folder)| checked(store, who, folder))
            .collect::<Vec<_>>()
    };
    // What waits for its name stays, and nobody waits for that here.
    let end = Instant::now() + Duration::from_secs(60);
    let before = loop {
        store.keep_in_memory(MOST);
        let before = all(&store);
        let kept = store.in_memory();
        if kept <= MOST + MOST / 16 + 2 * EACH as usize {
            break before;
        }
        assert!(Instant::now() < end, "{kept} entries are kept");
    };
    assert!(store.in_memory() > 0);
    // A repetition finds the first, also where it was forgotten.
    let placed = deposit(&store, 1, "ana", &["bea"], 100).unwrap();
    assert!(
        placed
            .iter()
            .all(|place| place.repeated && place.entry.id == id(1))
    );
    drop(store);
    let again = Store::open(room.path()).unwrap();
    assert_eq!(all(&again), before);
    assert_eq!(again.in_memory(), 2 * PEOPLE.len() * EACH as usize);
}

#[test]
fn what_is_in_memory_is_counted_once() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    for number in 1..=3 {
        deposit(&store, number, "rui", &["ana"], 100).unwrap();
        // In her inbox, and in his sent folder.
        assert_eq!(store.in_memory() as u64, 2 * number);
    }
    checked(&store, "ana", Folder::Inbox);
    assert_eq!(store.in_memory(), 6);
    drop(store);
    let store = Store::open(room.path()).unwrap();
    for _ in 0..2 {
        checked(&store, "ana", Folder::Inbox);
        assert_eq!(store.in_memory(), 3);
    }
}
