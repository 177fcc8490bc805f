//! Sealed keys: kept once, in order, bounded, durable when acknowledged.

mod ground;

use ground::{name, store_of};
use smr_name::Class;
use smr_store::{KeyName, MAX_KEY, Store, Why};

fn key(device: u8, epoch: u64) -> KeyName {
    KeyName {
        device: [device; 32],
        epoch,
    }
}

#[test]
fn keys_are_kept_once_and_listed_in_order() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana", "rui"]);
    let ana = name("ana");
    for (device, epoch) in [(2, 1), (1, 10), (1, 9)] {
        let sealed = format!("{device}.{epoch}");
        store
            .keep_key(&ana, key(device, epoch), sealed.as_bytes())
            .unwrap();
    }
    store.keep_key(&ana, key(1, 9), b"another").unwrap();
    let all = store.keys(&ana, None, 10).unwrap();
    let expected = [(key(1, 9), "1.9"), (key(1, 10), "1.10"), (key(2, 1), "2.1")];
    let expected = expected.map(|(name, text)| (name, text.as_bytes().to_vec()));
    assert_eq!(all, expected);
    assert_eq!(
        store.keys(&ana, Some(key(1, 9)), 1).unwrap(),
        expected[1..2]
    );
    assert_eq!(store.keys(&ana, Some(key(2, 1)), 9).unwrap(), []);
    assert_eq!(store.keys(&name("rui"), None, 9).unwrap(), []);
    drop(store);
    let again = Store::open(room.path()).unwrap();
    assert_eq!(again.keys(&ana, None, 10).unwrap(), expected);
}

#[test]
fn long_keys_and_strangers_accounts_are_refused() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana"]);
    let long = vec![0; MAX_KEY + 1];
    let error = store.keep_key(&name("ana"), key(1, 1), &long).unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    store.keep_key(&name("ana"), key(1, 1), &long[1..]).unwrap();
    let error = store.keep_key(&name("eve"), key(1, 1), b"x").unwrap_err();
    assert_eq!(error.class(), Class::NoMailbox);
    assert!(store.keys(&name("eve"), None, 1).is_err());
}

#[test]
fn an_account_has_a_bound() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana"]);
    let folder = room.path().join("accounts/ana/keys");
    for epoch in 0..4096 {
        std::fs::write(folder.join(format!("{}.{epoch}", "07".repeat(32))), "x").unwrap();
    }
    let error = store.keep_key(&name("ana"), key(1, 1), b"x").unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    store.keep_key(&name("ana"), key(7, 1), b"x").unwrap();
}

#[test]
fn strangers_among_the_keys_are_reported_and_left() {
    let room = tempfile::tempdir().unwrap();
    let store = store_of(room.path(), &["ana"]);
    let folder = room.path().join("accounts/ana/keys");
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    std::fs::create_dir(folder.join(format!("{}.1", "07".repeat(32)))).unwrap();
    assert_eq!(store.keys(&name("ana"), None, 9).unwrap(), []);
    let mut why: Vec<_> = store.findings().into_iter().map(|s| s.why).collect();
    why.sort_by_key(|why| why.to_string());
    assert_eq!(why, [Why::Kind, Why::Name]);
    assert!(folder.join("notes.txt").exists());
}
