//! The limits that hold where somebody who was let in goes past them: he is
//! told `busy`, or his connection ends, and nobody else notices.

mod town;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_name::{Class, MessageId};
use town::Town;
use town::client::{Client, id, offer, read_frame, refused};
use town::people::{person, print_of};

const LONG: Duration = Duration::from_secs(20);

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

/// Waits until nothing of the deposits that failed is in the store.
fn spools_are_gone(town: &Town) {
    let folder = town.path("deep/store/tmp");
    eventually("the spools are gone", || {
        fs::read_dir(&folder).unwrap().count() == 0
    });
}

fn works(client: &mut Client, number: u8, to: &str) {
    assert!(!client.send(id(number), b"sealed", &[to]).is_empty());
}

/// Asks, under a new key where it is time for one.
fn asked(client: &mut Client, request: &Request) -> Reply {
    if client.session.renewal_due(town::now()) {
        client.renew();
    }
    client.ask(request)
}

#[test]
fn an_account_that_asks_too_often_is_told_so_and_others_are_not() {
    let town = Town::with("[rates]\nrequests = 40\ndeposits = 5\nlogins = 4\n");
    let eve = person(&town.ca.card("eve"), "eve");
    let ana = person(&town.ca.card("ana"), "ana");
    let (mut evil, mut honest) = (eve.enrol(&town), ana.enrol(&town));
    for number in 1..=5 {
        works(&mut evil, number, "eve");
    }
    let sixth = evil.ask(&offer(id(6), b"sealed", &["eve"]));
    assert_eq!(refused(&sixth), Class::Busy);
    works(&mut honest, 1, "ana");

    let answers = (0..100).map(|_| asked(&mut evil, &Request::Ping));
    let busy = answers.filter(|reply| *reply != Reply::Done);
    let busy = busy.map(|reply| assert_eq!(refused(&reply), Class::Busy));
    let busy = busy.count();
    assert!((60..=80).contains(&busy), "{busy} of a hundred");
    assert_eq!(honest.ask(&Request::Ping), Reply::Done);
    // Who is refused can still go in order.
    evil.renew();
    assert_eq!(evil.ask(&Request::Bye), Reply::Done);

    let logins = (0..6).map(|_| eve.try_login(&town));
    let busy = logins.filter(|(_, reply)| !matches!(reply, Reply::Welcome { .. }));
    assert_eq!(busy.count(), 2);
    ana.login(&town);
    let refusals = town.log().matches("event=refused").count();
    assert!(refusals >= 60, "{refusals}");
}

#[test]
fn one_card_cannot_take_the_enrolments_of_all() {
    let town = Town::with("[rates]\nenrolments_of_one = 3\nenrolments = 5\n");
    let card = town.ca.card("eve");
    let flood = (0..12).map(|n| person(&card, &format!("eve{n}")).try_enrol(&town));
    let taken = flood.filter(|(_, reply)| match reply {
        Reply::Welcome { .. } => true,
        reply => {
            assert_eq!(refused(reply), Class::Busy);
            false
        }
    });
    assert_eq!(taken.count(), 3);
    // A name that was taken may be asked for again, which counts as well.
    let (_, again) = person(&card, "eve0").try_enrol(&town);
    assert_eq!(refused(&again), Class::Busy);
    person(&town.ca.card("ana"), "ana").enrol(&town);
    person(&town.ca.card("rui"), "rui").enrol(&town);
    let (_, late) = person(&town.ca.card("leo"), "leo").try_enrol(&town);
    assert_eq!(refused(&late), Class::Busy);
}

#[test]
fn deposits_leave_the_reserve_of_the_disk_and_receipts_use_it() {
    let mut town = Town::new();
    let (ana, rui) = (
        person(&town.ca.card("ana"), "ana"),
        person(&town.ca.card("rui"), "rui"),
    );
    let mut client = ana.enrol(&town);
    rui.enrol(&town);
    works(&mut client, 1, "rui");
    town.want("[store]\nreserve = '4096TiB'\n");
    let mut client = ana.login(&town);
    let refusal = client.ask(&offer(id(2), b"sealed", &["rui"]));
    assert_eq!(refused(&refusal), Class::Busy);
    // What is there already is acknowledged again, whatever room there is.
    works(&mut client, 1, "rui");
    let mut reader = rui.login(&town);
    let fetch = Request::Fetch {
        folder: Folder::Inbox,
        id: id(1),
        reader: None,
    };
    assert!(matches!(reader.ask(&fetch), Reply::Message { .. }));
    assert_eq!(reader.ask(&Request::MarkRead { id: id(1) }), Reply::Done);
    let receipt = town::client::give_receipt(id(1), b"read");
    let given = reader.ask_with(&receipt, b"read").0;
    assert!(matches!(given, Reply::Postmarks { .. }), "{given:?}");
}

/// Tells how long smrd stands it that a client goes on so.
fn until_closed(mut stream: &TcpStream, mut go_on: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    stream.set_nonblocking(true).unwrap();
    loop {
        let open = match std::io::Read::read(&mut stream, &mut [0; 64]) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        };
        if !open || !go_on() {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < LONG, "for ever");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_body_that_comes_in_drops_is_cut_off() {
    let town = Town::with("[session]\nrequest = '1s'\n");
    let ana = person(&town.ca.card("ana"), "ana");
    let mut honest = ana.enrol(&town);
    let body = [7; 4096];
    let slow: Vec<_> = (0..8)
        .map(|number| {
            let mut client = ana.login(&town);
            let accepted = client.ask(&offer(id(number), &body, &["ana"]));
            assert!(matches!(accepted, Reply::Accepted { .. }));
            client.begin(&Request::Deposit { id: id(number) }, b"");
            client
        })
        .collect();
    for mut client in slow {
        // Whole frames, of a byte each: each read is quick, and all are slow.
        let session = &mut client.session;
        let mut sending = client.stream.try_clone().unwrap();
        let time = until_closed(&client.stream, || {
            let frame = session.send_body(b"x").unwrap();
            let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
            sending.write_all(&[&length[..], &frame].concat()).is_ok()
        });
        assert!(time < Duration::from_secs(5), "{time:?}");
    }
    works(&mut honest, 200, "ana");
    spools_are_gone(&town);
    assert!(town.log().contains("why=\"timed out\""), "{}", town.log());
}

#[test]
fn an_answer_that_nobody_takes_is_cut_off() {
    let town = Town::with("[session]\nrequest = '1s'\n");
    let ana = person(&town.ca.card("ana"), "ana");
    let mut honest = ana.enrol(&town);
    // More than the sockets on the way hold.
    let body = vec![7; 24 << 20];
    assert!(!honest.send(id(1), &body, &["ana"]).is_empty());
    let mut slow = ana.login(&town);
    let fetch = Request::Fetch {
        folder: Folder::Inbox,
        id: id(1),
        reader: None,
    };
    slow.begin(&fetch, b"");
    slow.close();
    eventually("he is cut off", || {
        let log = town.log();
        log.lines()
            .any(|line| line.contains("event=end") && line.contains("timed out"))
    });
    drop(slow);
    works(&mut honest, 2, "ana");
}

#[test]
fn the_session_of_a_removed_device_ends_at_once() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    let mut at_laptop = laptop.enrol(&town);
    let phone = laptop.with_device(&town.ca, &card, "phone");
    let mut at_phone = phone.enrol(&town);
    let mut other = person(&town.ca.card("rui"), "rui").enrol(&town);
    assert_eq!(at_laptop.ask(&Request::Ping), Reply::Done);
    let without = phone.next(&town.ca, |draft| {
        let removed = draft.remove(&print_of(&laptop.device), town::now());
        removed.unwrap();
    });
    let published = at_phone.ask_with(&Request::Publish, &without).0;
    assert_eq!(published, Reply::Done);
    // It says nothing, and is told so all the same; a timeout would be an hour.
    assert_eq!(read_frame(&mut at_laptop.stream), None);
    eventually("it is told why", || {
        town.log().contains("why=\"no longer let in: ")
    });
    assert_eq!(at_phone.ask(&Request::Ping), Reply::Done);
    assert_eq!(other.ask(&Request::Ping), Reply::Done);
}

#[test]
fn one_account_cannot_fill_the_log_nor_hide_others_in_it() {
    let town = Town::new();
    let eve = person(&town.ca.card("eve"), "eve");
    let mut evil = eve.enrol(&town);
    works(&mut evil, 1, "eve");
    let fetch = Request::Fetch {
        folder: Folder::Inbox,
        id: id(1),
        reader: None,
    };
    let missing = Request::MarkRead {
        id: MessageId::from_bytes([99; 16]),
    };
    for _ in 0..300 {
        assert!(matches!(asked(&mut evil, &fetch), Reply::Message { .. }));
        refused(&asked(&mut evil, &missing));
        drop(eve.login(&town));
    }
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let mut honest = ana.login(&town);
    refused(&honest.ask(&missing));
    let log = town.log();
    let lines = |texts: &[&str]| {
        let has = |line: &&str| texts.iter().all(|text| line.contains(text));
        log.lines().filter(has).count()
    };
    for event in ["event=fetched", "event=login", "event=refused"] {
        let written = lines(&[event, "eve"]);
        assert!((100..180).contains(&written), "{event}: {written}");
    }
    assert_eq!(lines(&["event=login", "account=ana"]), 1);
    assert_eq!(lines(&["event=refused", "account=ana"]), 1);
}
