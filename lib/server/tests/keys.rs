//! Sealed keys in smrd's keeping: whose, how many, and what they must look
//! like.

mod town;

use smr_channel::reply::{KeyEntry, Reply};
use smr_channel::request::Request;
use smr_name::Class;
use town::Town;
use town::client::{Client, refused};
use town::people::{person, person_with_backup, print_of};

const SEALED: &[u8] = b"age-encryption.org/v1\n-> X25519 whatever\n";

fn keep(client: &mut Client, epoch: u64, size: usize, body: &[u8]) -> Reply {
    let size = u32::try_from(size).unwrap();
    client.ask_with(&Request::KeepKey { epoch, size }, body).0
}

fn kept(client: &mut Client, epoch: u64, body: &[u8]) -> Reply {
    keep(client, epoch, body.len(), body)
}

fn list(client: &mut Client, after: Option<([u8; 32], u64)>, limit: u16) -> (Reply, Vec<u8>) {
    client.ask_with(&Request::Keys { after, limit }, &[])
}

fn page(client: &mut Client, after: Option<([u8; 32], u64)>, limit: u16) -> (Vec<KeyEntry>, bool) {
    match list(client, after, limit).0 {
        Reply::Keys { keys, more } => (keys, more),
        other => panic!("no keys: {other:?}"),
    }
}

#[test]
fn what_is_no_sealed_key_is_not_kept() {
    let town = Town::new();
    let mut bare = person(&town.ca.card("rui"), "rui").enrol(&town);
    let Reply::Refused { class, hint, .. } = kept(&mut bare, 1, SEALED) else {
        panic!("sealed to what?");
    };
    assert_eq!(class, Class::Denied);
    assert!(hint.contains("--backup"), "{hint}");
    let mut ana = person_with_backup(&town.ca.card("ana"), "ana").enrol(&town);
    let naked = b"AGE-SECRET-KEY-1 in the clear";
    assert_eq!(refused(&kept(&mut ana, 1, naked)), Class::Usage);
    assert_eq!(refused(&kept(&mut ana, 1, b"")), Class::Usage);
    let size = SEALED.len();
    assert_eq!(refused(&keep(&mut ana, 1, size + 1, SEALED)), Class::Usage);
    assert_eq!(refused(&keep(&mut ana, 1, size - 1, SEALED)), Class::Usage);
    let mut long = SEALED.to_vec();
    long.resize(16 * 1024 + 1, b'x');
    assert_eq!(refused(&kept(&mut ana, 1, &long)), Class::Usage);
    assert_eq!(page(&mut ana, None, 9), (Vec::new(), false));
    long.pop();
    assert_eq!(kept(&mut ana, 1, &long), Reply::Done);
}

#[test]
fn keys_are_kept_once_and_are_their_accounts_own() {
    let mut town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person_with_backup(&card, "ana");
    let mut at_laptop = laptop.enrol(&town);
    let phone = laptop.with_device(&town.ca, &card, "phone");
    let mut at_phone = phone.enrol(&town);
    let later = [SEALED, b"later"].concat();
    assert_eq!(kept(&mut at_laptop, 2, &later), Reply::Done);
    assert_eq!(kept(&mut at_laptop, 1, SEALED), Reply::Done);
    // Again, and with other bytes: the first stay.
    assert_eq!(kept(&mut at_laptop, 1, SEALED), Reply::Done);
    assert_eq!(kept(&mut at_laptop, 1, &later), Reply::Done);
    assert_eq!(kept(&mut at_phone, 1, SEALED), Reply::Done);
    // The other account of the same person, even, has its own.
    let mut work = person_with_backup(&card, "ana.work").enrol(&town);
    assert_eq!(page(&mut work, None, 9), (Vec::new(), false));
    let entry = |device, epoch, body: &[u8]| KeyEntry {
        device: *print_of(device).as_bytes(),
        epoch,
        len: u32::try_from(body.len()).unwrap(),
    };
    let mut expected = vec![
        entry(&laptop.device, 1, SEALED),
        entry(&laptop.device, 2, &later),
        entry(&phone.device, 1, SEALED),
    ];
    expected.sort_by_key(|k| (k.device, k.epoch));
    assert_eq!(page(&mut at_phone, None, 9), (expected.clone(), false));
    town.stop();
    town.start();
    let mut at_phone = phone.login(&town);
    let (mut after, mut found) = (None, Vec::new());
    loop {
        // A limit of 0 counts as 1.
        let (keys, more) = page(&mut at_phone, after, 0);
        assert_eq!(keys.len(), 1);
        after = keys.last().map(|k| (k.device, k.epoch));
        found.extend(keys);
        if !more {
            break;
        }
    }
    assert_eq!(found, expected);
    let first = list(&mut at_phone, None, 1).1;
    assert_eq!(first.len(), expected[0].len as usize);
    assert!(first.starts_with(SEALED));
}
