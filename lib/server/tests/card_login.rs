//! Logins by a card's authorisation: whom it lets in, until when, and who
//! tries with one that is not his.

mod town;

use smr_channel::handshake::Introduction;
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_evidence::authorisation::{AuthorisationError, authorise};
use smr_evidence::trust::SoftKey;
use smr_name::{Address, Class};
use town::client::{Client, refused};
use town::people::{Person, address, old_person, person, print_of};
use town::{Town, now};

const CARD: &str = "session = { login = 'card', lifetime = '1h' }";

/// What a card signs for somebody's device: now, for half an hour.
fn word(person: &Person, card: &SoftKey) -> Vec<u8> {
    timed(person, card, now(), now() + 1800)
}

fn timed(person: &Person, card: &SoftKey, issued: i64, until: i64) -> Vec<u8> {
    let account = address(person.name.as_str());
    authorise(&account, &print_of(&person.device), issued, until, card).unwrap()
}

fn come(town: &Town, person: &Person, authorisation: &[u8]) -> (Client, Reply) {
    Client::open(town, |hash| {
        let device = *print_of(&person.device).as_bytes();
        let to_sign = Introduction::card_login_to_sign(hash, &person.name, &device, authorisation);
        Introduction::CardLogin {
            account: person.name.clone(),
            device,
            authorisation: authorisation.to_vec(),
            signature: person.sign(&to_sign),
        }
    })
}

fn list() -> Request {
    Request::List {
        folder: Folder::Inbox,
        after: 0,
        limit: 1,
        peek: 0,
    }
}

#[track_caller]
fn welcome(client: &mut Client, reply: &Reply) -> i64 {
    let Reply::Welcome { until, .. } = reply else {
        panic!("not welcome: {reply:?}");
    };
    assert!(matches!(client.ask(&list()), Reply::Listing { .. }));
    *until
}

/// Refused, with what helps; returns why.
#[track_caller]
fn turned_away(reply: &Reply) -> String {
    match reply {
        Reply::Refused {
            class: Class::Denied,
            text,
            hint,
        } => {
            assert_eq!(hint, "smr-login --by card", "{text}");
            text.clone()
        }
        other => panic!("not turned away: {other:?}"),
    }
}

/// A town that wants cards, ana's card, and her laptop.
fn ana() -> (Town, SoftKey, Person) {
    let town = Town::with(CARD);
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    laptop.enrol(&town);
    (town, card, laptop)
}

#[test]
fn a_card_lets_its_device_in_as_often_as_it_comes() {
    let (mut town, card, laptop) = ana();
    turned_away(&laptop.try_login(&town).1);
    let word = word(&laptop, &card);
    for _ in 0..2 {
        let (mut client, reply) = come(&town, &laptop, &word);
        let until = welcome(&mut client, &reply);
        assert!(
            until <= now() + 1800,
            "the session ends with the authorisation"
        );
    }
    // After a restart too, and in a town that does not ask for it.
    assert!(town.stop());
    town.start();
    let (mut client, reply) = come(&town, &laptop, &word);
    welcome(&mut client, &reply);
    turned_away(&laptop.try_login(&town).1);
    let easy = Town::new();
    let (card, rui) = (easy.ca.card("rui"), "rui");
    let rui = person(&card, rui);
    rui.enrol(&easy);
    let (mut client, reply) = come(&easy, &rui, &timed(&rui, &card, now(), now() + 60));
    assert!(welcome(&mut client, &reply) <= now() + 60);
    rui.login(&easy);
}

#[test]
fn it_ends_when_it_says_and_no_later_than_a_session_after_it_was_made() {
    let (town, card, laptop) = ana();
    let at = |from: i64, to: i64| {
        let word = timed(&laptop, &card, now() + from, now() + to);
        come(&town, &laptop, &word)
    };
    assert!(turned_away(&at(-120, -1).1).contains("over"));
    assert!(turned_away(&at(-3601, 3600).1).contains("over"));
    assert!(turned_away(&at(1000, 2000).1).contains("future"));
    let (mut client, reply) = at(-1800, 86_400);
    assert!(welcome(&mut client, &reply) <= now() + 1800);
    // Clocks differ a little.
    let (mut client, reply) = at(200, 2000);
    welcome(&mut client, &reply);
    let backwards = authorise(&address("ana"), &print_of(&laptop.device), 9, 9, &card);
    assert!(matches!(backwards, Err(AuthorisationError::Times)));
}

#[test]
fn it_is_of_no_use_to_anybody_else() {
    let (town, card, laptop) = ana();
    let own = word(&laptop, &card);
    // Another device of hers, which has come by it.
    let phone = laptop.with_device(&town.ca, &card, "phone");
    phone.enrol(&town);
    assert!(turned_away(&come(&town, &phone, &own).1).contains("another device"));
    // Another account of hers, with a card of one person.
    let second = person(&card, "ana2");
    second.enrol(&town);
    assert!(turned_away(&come(&town, &second, &own).1).contains("another device"));
    // Another person, and a thief without the device's key.
    let rui_card = town.ca.card("rui");
    let rui = person(&rui_card, "rui");
    rui.enrol(&town);
    assert!(turned_away(&come(&town, &rui, &own).1).contains("another device"));
    let thief = Client::open(&town, |hash| {
        let device = *print_of(&laptop.device).as_bytes();
        let to_sign = Introduction::card_login_to_sign(hash, &laptop.name, &device, &own);
        Introduction::CardLogin {
            account: laptop.name.clone(),
            device,
            authorisation: own.clone(),
            signature: rui.sign(&to_sign),
        }
    });
    assert_eq!(refused(&thief.1), Class::Denied);
    // Recorded in another handshake.
    let replayed = Client::open(&town, |_| {
        let device = *print_of(&laptop.device).as_bytes();
        let to_sign = Introduction::card_login_to_sign(&[7; 32], &laptop.name, &device, &own);
        Introduction::CardLogin {
            account: laptop.name.clone(),
            device,
            authorisation: own.clone(),
            signature: laptop.sign(&to_sign),
        }
    });
    assert_eq!(refused(&replayed.1), Class::Denied);
    // Another repository's.
    let elsewhere: Address = "ana@other.example".parse().unwrap();
    let print = print_of(&laptop.device);
    let elsewhere = authorise(&elsewhere, &print, now(), now() + 60, &card).unwrap();
    turned_away(&come(&town, &laptop, &elsewhere).1);
}

#[test]
fn only_the_persons_card_gives_it() {
    let (town, card, laptop) = ana();
    let rui = town.ca.card("rui");
    let said = turned_away(&come(&town, &laptop, &word(&laptop, &rui)).1);
    assert!(said.contains("another person"), "{said}");
    // A card that nobody vouches for, in her name.
    let own = town.ca.own_card("ana-own");
    turned_away(&come(&town, &laptop, &word(&laptop, &own)).1);
    // The device itself cannot even make one.
    let account = address("ana");
    let print = print_of(&laptop.device);
    let own = authorise(&account, &print, now(), now() + 60, &laptop.device);
    assert!(matches!(own, Err(AuthorisationError::Device)));
    // Another text that the card has signed is none.
    let record = &laptop.record;
    turned_away(&come(&town, &laptop, record).1);
    // Nor is one with a byte altered, wherever it is.
    let good = word(&laptop, &card);
    for at in (0..good.len()).step_by(29) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let reply = come(&town, &laptop, &bad).1;
        assert_eq!(refused(&reply), Class::Denied, "byte {at}");
    }
    turned_away(&come(&town, &laptop, &[]).1);
    turned_away(&come(&town, &laptop, &vec![0x30; 40_000]).1);
}

#[test]
fn a_card_that_was_revoked_lets_nobody_in_and_ends_what_it_opened() {
    let (town, card, laptop) = ana();
    let word = word(&laptop, &card);
    let (mut client, reply) = come(&town, &laptop, &word);
    welcome(&mut client, &reply);
    town.ca.revoke("ana");
    town.server().reload(&town.config()).unwrap();
    assert_eq!(refused(&client.ask(&list())), Class::Denied);
    assert_eq!(refused(&come(&town, &laptop, &word).1), Class::Denied);
}

#[test]
fn without_revocation_data_it_may_pass_later() {
    let (town, card, laptop) = ana();
    town.ca.lose_list();
    town.server().reload(&town.config()).unwrap();
    let reply = come(&town, &laptop, &word(&laptop, &card)).1;
    assert_eq!(refused(&reply), Class::Busy);
}

#[test]
fn a_device_certified_just_now_may_enrol_and_join() {
    let (town, card, laptop) = ana();
    // The card has signed for it a moment ago.
    let mut client = laptop.enrol(&town);
    assert!(matches!(client.ask(&list()), Reply::Listing { .. }));
    let phone = laptop.beside(&card, "phone");
    let mut guest = phone.join(&town);
    assert_eq!(refused(&guest.ask(&list())), Class::Denied);
    let record = phone.listing_itself(&town.ca);
    assert_eq!(guest.ask_with(&Request::Publish, &record).0, Reply::Done);
    assert!(matches!(guest.ask(&list()), Reply::Listing { .. }));
}

#[test]
fn a_device_of_before_gets_in_by_no_other_door() {
    let mut town = Town::new();
    let card = town.ca.old_card("ana");
    let laptop = old_person(&card, "ana");
    laptop.enrol(&town);
    laptop.login(&town);
    // From now on the town wants the card.
    town.want(CARD);
    turned_away(&laptop.try_login(&town).1);
    turned_away(&laptop.try_enrol(&town).1);
    turned_away(&laptop.try_join(&town).1);
    let (mut client, reply) = come(&town, &laptop, &word(&laptop, &card));
    welcome(&mut client, &reply);
}
