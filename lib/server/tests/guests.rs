//! Devices that a card has certified and no record lists: who may join, what
//! guests may do, and how they become members.

mod town;

use smr_channel::handshake::Introduction;
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_name::Class;
use town::Town;
use town::client::{Client, id, name, offer, read_frame, refused};
use town::people::{Person, person, person_with_backup, print_of};

fn publish(client: &mut Client, record: &[u8]) -> Reply {
    client.ask_with(&Request::Publish, record).0
}

fn account(of: &str) -> Request {
    Request::Account {
        name: name(of),
        known: None,
    }
}

/// Town, her laptop, and her phone that no record lists.
fn ana() -> (Town, Person, Person) {
    let town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person_with_backup(&card, "ana");
    let mut enrolled = laptop.enrol(&town);
    // Until it is over: a session that smrd still has is judged again.
    assert_eq!(enrolled.ask(&Request::Bye), Reply::Done);
    assert_eq!(read_frame(&mut enrolled.stream), None);
    let phone = laptop.beside(&card, "phone");
    (town, laptop, phone)
}

#[test]
fn whoever_may_not_join_learns_nothing() {
    let (town, laptop, phone) = ana();
    let stranger = phone.try_login(&town).1;
    assert_eq!(refused(&stranger), Class::Denied);
    // Said in another handshake, or to another end.
    let replayed = Client::open(&town, |_| phone.join_as(&phone.name, &[7; 32])).1;
    assert_eq!(replayed, stranger);
    let login = |hash: &[u8; 32]| {
        let print = print_of(&phone.device);
        Introduction::login_to_sign(hash, &phone.name, print.as_bytes())
    };
    let crossed = Client::open(&town, |hash| Introduction::Join {
        account: phone.name.clone(),
        chain: phone.chain(),
        signature: phone.sign(&login(hash)),
    });
    assert_eq!(crossed.1, stranger);
    // Another person's device, certified for this very account.
    let eve = laptop.beside(&town.ca.card("eve"), "phone");
    assert_eq!(eve.try_join(&town).1, stranger);
    // Her own, for an account that there is not.
    let nobody = person(&town.ca.card("rui"), "rui").try_join(&town).1;
    assert_eq!(nobody, stranger);
    let damaged = Client::open(&town, |_| Introduction::Join {
        account: phone.name.clone(),
        chain: vec![vec![0x30; 100]; 2],
        signature: vec![1; 70],
    });
    assert_eq!(damaged.1, stranger);
    // Certified for one account of hers, and brought to another.
    let work = person(&town.ca.card("ana"), "ana.work");
    work.enrol(&town);
    let elsewhere = Client::open(&town, |hash| phone.join_as(&work.name, hash)).1;
    assert_eq!(refused(&elsewhere), Class::Denied);
    assert!(!town.log().contains("event=joined"), "{}", town.log());
}

#[test]
fn revoked_cards_and_removed_devices_do_not_join() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    laptop.enrol(&town);
    let phone = laptop.with_device(&town.ca, &card, "phone");
    let mut at_phone = phone.enrol(&town);
    let without = phone.next(&town.ca, |draft| {
        let laptop = print_of(&laptop.device);
        draft.remove(&laptop, town::now()).unwrap();
    });
    assert_eq!(publish(&mut at_phone, &without), Reply::Done);
    assert_eq!(refused(&laptop.try_join(&town).1), Class::Denied);
    let tablet = phone.beside(&card, "tablet");
    let mut at_tablet = tablet.join(&town);
    town.ca.revoke("ana");
    town.server().reload(&town.config()).unwrap();
    assert_eq!(refused(&at_tablet.ask(&account("ana"))), Class::Denied);
    let Reply::Refused { class, text, .. } = tablet.try_join(&town).1 else {
        panic!("a revoked card's device has joined");
    };
    assert_eq!(class, Class::Denied);
    assert!(text.contains("revoked"), "{text}");
}

#[test]
fn what_lacks_is_said_to_whoever_holds_the_key_alone() {
    let (town, _, phone) = ana();
    town.ca.lose_list();
    town.server().reload(&town.config()).unwrap();
    let queue = town.path("deep/store/cache/revocation-queue");
    let replayed = Client::open(&town, |_| phone.join_as(&phone.name, &[7; 32])).1;
    assert_eq!(refused(&replayed), Class::Denied);
    let replayed = Client::open(&town, |_| phone.enrolment(&[7; 32])).1;
    assert_eq!(refused(&replayed), Class::Denied);
    let replayed = Client::open(&town, |_| phone.login_as(&phone.name, &[7; 32])).1;
    assert_eq!(refused(&replayed), Class::Denied);
    assert!(!queue.exists(), "queued for a stranger");
    assert_eq!(refused(&phone.try_join(&town).1), Class::Busy);
    let queue = std::fs::read_to_string(queue).unwrap();
    assert!(queue.contains("ANA"), "{queue}");
}

#[test]
fn guests_look_at_their_account_only() {
    let (town, laptop, phone) = ana();
    person(&town.ca.card("rui"), "rui").enrol(&town);
    let mut guest = phone.join(&town);
    let folder = Folder::Inbox;
    let forbidden = [
        account("rui"),
        account("nobody"),
        offer(id(1), b"body", &["rui"]),
        Request::Users {
            after: None,
            limit: 9,
        },
        Request::List {
            folder,
            after: 0,
            limit: 9,
            peek: 0,
        },
        Request::Fetch {
            folder,
            id: id(1),
            reader: None,
        },
        Request::MarkRead { id: id(1) },
        Request::Keys {
            after: None,
            limit: 9,
        },
    ];
    for request in &forbidden {
        assert_eq!(refused(&guest.ask(request)), Class::Denied, "{request:?}");
    }
    let deposit = guest.ask_with(&Request::Deposit { id: id(1) }, b"body").0;
    assert_eq!(refused(&deposit), Class::Denied);
    let keep = Request::KeepKey { epoch: 1, size: 4 };
    assert_eq!(refused(&guest.ask_with(&keep, b"body").0), Class::Denied);
    assert_eq!(guest.ask(&Request::Ping), Reply::Done);
    guest.renew();
    let (reply, record) = guest.ask_with(&account("ana"), &[]);
    assert_eq!(record, laptop.record);
    let Reply::Account { lists, .. } = reply else {
        panic!("{reply:?}");
    };
    let digests = lists.iter().map(|l| l.digest).collect();
    let (_, body) = guest.ask_with(&Request::Lists { digests }, &[]);
    assert_eq!(body.len(), lists[0].len as usize);
    assert_eq!(guest.ask(&Request::Bye), Reply::Done);
}

#[test]
fn guests_become_members_by_their_record() {
    let (town, laptop, phone) = ana();
    let users = Request::Users {
        after: None,
        limit: 9,
    };
    let mut guest = phone.join(&town);
    // The record on file says nothing new, and lists him no more than before.
    assert_eq!(publish(&mut guest, &laptop.record), Reply::Done);
    assert_eq!(refused(&guest.ask(&users)), Class::Denied);
    // Somebody goes ahead: what the guest would publish is old, then a fork.
    let fork = phone.listing_itself(&town.ca);
    let unlisted = laptop.next(&town.ca, |_| {});
    assert_eq!(publish(&mut guest, &unlisted), Reply::Done);
    assert_eq!(refused(&guest.ask(&users)), Class::Denied, "not in it");
    assert_eq!(refused(&publish(&mut guest, &fork)), Class::Denied);
    assert_eq!(refused(&publish(&mut guest, &laptop.record)), Class::Denied);
    let eve = person(&town.ca.card("eve"), "ana");
    assert_eq!(refused(&publish(&mut guest, &eve.record)), Class::Denied);
    assert_eq!(refused(&publish(&mut guest, b"damaged")), Class::Forged);
    assert_eq!(refused(&guest.ask(&users)), Class::Denied);
    let phone = Person {
        record: unlisted,
        ..phone
    };
    let listing = phone.listing_itself(&town.ca);
    assert_eq!(publish(&mut guest, &listing), Reply::Done);
    assert!(matches!(guest.ask(&users), Reply::Users { .. }));
    phone.login(&town);
    // Joined again: a member at once.
    let mut again = phone.join(&town);
    assert!(matches!(again.ask(&users), Reply::Users { .. }));
    let log = town.log();
    for line in ["event=joined", "event=device-added", "device=phone"] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn guests_that_are_removed_by_others_are_out() {
    let (town, laptop, phone) = ana();
    let mut guest = phone.join(&town);
    let listed = Person {
        record: phone.listing_itself(&town.ca),
        ..laptop
    };
    let mut member = listed.login(&town);
    assert_eq!(publish(&mut member, &listed.record), Reply::Done);
    // Listed by another session: his own is a full one too.
    let keys = Request::Keys {
        after: None,
        limit: 9,
    };
    assert!(matches!(guest.ask(&keys), Reply::Keys { .. }));
    let without = listed.next(&town.ca, |draft| {
        let phone = print_of(&phone.device);
        draft.remove(&phone, town::now()).unwrap();
    });
    assert_eq!(publish(&mut member, &without), Reply::Done);
    assert_eq!(read_frame(&mut guest.stream), None);
    assert_eq!(refused(&phone.try_join(&town).1), Class::Denied);
}
