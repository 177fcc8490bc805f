//! The limits that hold where somebody who was let in goes past them: he is
//! told `busy`, or his connection ends, and nobody else notices; and the rate of
//! handshakes, which holds before anybody is let in.

#![allow(clippy::print_stdout)] // how many of the flood were answered

mod town;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand_core::OsRng;
use smr_channel::frame::{ASK_CHAIN, ASK_SESSION};
use smr_channel::handshake::{Initiator, Suite};
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_name::{Class, MessageId};
use smr_note::succession::Chain;
use town::client::{Client, connect, connect_from, framed, id, offer, read_frame, refused};
use town::people::{person, print_of};
use town::{Town, when_free};

const LONG: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

/// Returns how many more than `most` a rate of so many a minute may have let
/// through since then.
fn regained(since: Instant, most: usize) -> usize {
    (since.elapsed().as_secs_f64() * most as f64 / 60.0) as usize
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
    let begin = Instant::now();
    for number in 1..=5 {
        works(&mut evil, number, "eve");
    }
    let sixth = evil.ask(&offer(id(6), b"sealed", &["eve"]));
    match sixth {
        Reply::Accepted { .. } => assert!(regained(begin, 5) > 0, "a sixth at once"),
        sixth => assert_eq!(refused(&sixth), Class::Busy),
    }
    works(&mut honest, 1, "ana");

    let answers = (0..100).map(|_| asked(&mut evil, &Request::Ping));
    let busy = answers.filter(|reply| *reply != Reply::Done);
    let busy = busy.map(|reply| assert_eq!(refused(&reply), Class::Busy));
    let busy = busy.count();
    let least = 60usize.saturating_sub(regained(begin, 40));
    assert!((least..=80).contains(&busy), "{busy} of a hundred");
    assert_eq!(honest.ask(&Request::Ping), Reply::Done);
    // Who is refused can still go in order.
    evil.renew();
    assert_eq!(evil.ask(&Request::Bye), Reply::Done);

    let begin = Instant::now();
    let logins = (0..6).map(|_| eve.try_login(&town));
    let late = logins.filter(|(_, reply)| !matches!(reply, Reply::Welcome { .. }));
    let late = late.count();
    let least = 2usize.saturating_sub(regained(begin, 4));
    assert!((least..=2).contains(&late), "{late} of six");
    ana.login(&town);
    let refusals = town.log().matches("event=refused").count();
    assert!(refusals >= busy, "{refusals}");
}

#[test]
fn a_flood_of_handshakes_from_one_peer_keeps_no_other_out() {
    let town = Town::with("[rates]\nhandshakes = 60\n");
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let identity = town.identity();
    // One frame, again and again: it costs whoever sends it nothing.
    let (_, frame) = Initiator::start(&identity, &Suite::ALL, &mut OsRng).unwrap();
    let (answered, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    let (flooding, begin) = (20, Instant::now());
    let flood = || {
        while !over.load(Ordering::Relaxed) {
            let mut stream = connect(town.address(), ASK_SESSION);
            // Sent away before it has spoken, it is refused as well.
            let sent = stream.write_all(&framed(&frame));
            let count = match sent.ok().and_then(|()| read_frame(&mut stream)) {
                Some(_) => &answered,
                None => &closed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let visits = thread::scope(|scope| {
        let crowd: Vec<_> = (0..flooding).map(|_| scope.spawn(flood)).collect();
        eventually("the flood is over its rate", || {
            // One of them enrolled ana.
            closed.load(Ordering::Relaxed) > 200 && answered.load(Ordering::Relaxed) >= 59
        });
        let visits = (1..=5).map(|number| {
            let begin = Instant::now();
            let honest = connect_from([127, 0, 0, 2].into(), town.address()).unwrap();
            let (mut client, reply) =
                Client::over(honest, &identity, |hash| ana.login_as(&ana.name, hash));
            assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
            works(&mut client, number, "ana");
            begin.elapsed()
        });
        let visits: Vec<Duration> = visits.collect();
        assert!(crowd.iter().all(|one| !one.is_finished()));
        over.store(true, Ordering::Relaxed);
        visits
    });
    let (answered, closed) = (answered.into_inner(), closed.into_inner());
    println!("{answered} answered, {closed} closed; honest visits {visits:.0?}");
    let most = 60 + regained(begin, 60) + 1;
    assert!(answered <= most, "{answered}");
    // Half of them: a machine may stop for as long, but not each time.
    let mut visits = visits;
    visits.sort();
    assert!(
        visits[visits.len() / 2] < Duration::from_secs(2),
        "{visits:?}"
    );
    assert!(town.log().contains("too many handshakes of this peer"));
}

/// Asks for the chain so often, from sockets that hold little, and takes
/// nothing of the answers; says so, and ends with its input.
const ASK: &str = "
import socket, sys
held = []
for _ in range(int(sys.argv[2])):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    s.connect(('127.0.0.1', int(sys.argv[1])))
    s.sendall(b'smr/1\\nC')
    held.append(s)
print('asked', flush=True)
sys.stdin.read()
";

/// A town whose keys were replaced so often that its chain does not fit into a
/// socket.
fn town_of_many_keys(more: &str) -> Town {
    let mut town = Town::with(more);
    assert!(town.stop());
    for _ in 0..80 {
        when_free(|| smr_server::rotate(&town.config()), |e| e.class());
    }
    town.start();
    town
}

#[test]
fn who_asks_for_the_chain_and_does_not_read_it_keeps_no_worker() {
    let town = town_of_many_keys("");
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let identity = town.identity();
    let cut = || {
        let log = town.log();
        let lines = log.lines().filter(|line| line.contains("event=end"));
        lines.filter(|line| line.contains("timed out")).count()
    };
    // They have ten seconds, as all strangers; others wait for none of them. A
    // machine may be slower, but not each time.
    let visits = (1..=5).find(|turn| {
        let mut asking = ask_for_the_chain(&town);
        let begin = Instant::now();
        for number in 1..=5 {
            let honest = connect_from([127, 0, 0, 2].into(), town.address()).unwrap();
            let (mut client, reply) =
                Client::over(honest, &identity, |hash| ana.login_as(&ana.name, hash));
            assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
            works(&mut client, number, "ana");
        }
        let all_still_there = cut() == (turn - 1) * ASKERS;
        let took = begin.elapsed();
        println!("{ASKERS} ask for a chain and read nothing; five visits in {took:.0?}");
        eventually("all of them are cut off", || cut() == turn * ASKERS);
        drop(asking.stdin.take());
        assert!(asking.wait().unwrap().success());
        all_still_there
    });
    assert!(visits.is_some(), "they waited for those who do not read");
    // Whoever reads it has it whole, and then the end.
    let mut stream = connect(town.address(), ASK_CHAIN);
    let mut chain = Vec::new();
    while let Some(part) = read_frame(&mut stream) {
        chain.extend(part);
    }
    let chain = Chain::parse(str::from_utf8(&chain).unwrap()).unwrap();
    assert_eq!(chain.number(), 80);
    assert_eq!(chain.tip().fingerprint(), identity.fingerprint());
}

const ASKERS: usize = 16;

/// Has all of them ask, and returns the process that holds their connections.
fn ask_for_the_chain(town: &Town) -> Child {
    let mut asking = Command::new("/usr/bin/python3")
        .args(["-c", ASK, &town.address().port().to_string()])
        .arg(ASKERS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut asked = String::new();
    BufReader::new(asking.stdout.take().unwrap())
        .read_line(&mut asked)
        .unwrap();
    assert_eq!(asked, "asked\n");
    asking
}

#[test]
fn asking_for_the_chain_counts_as_a_handshake() {
    let town = Town::with("[rates]\nhandshakes = 3\n");
    let begin = Instant::now();
    let asked = (0..5).filter(|_| read_frame(&mut connect(town.address(), ASK_CHAIN)).is_some());
    let asked = asked.count();
    assert!((3..=3 + regained(begin, 3)).contains(&asked), "{asked}");
    if asked < 5 {
        eventually("it is told why", || {
            town.log().contains("too many handshakes of this peer")
        });
    }
}

/// Tells whether smrd has closed the connection.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let seen = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !matches!(seen, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn slow_requests_of_one_account_are_few_at_a_time() {
    let town = Town::with("[rates]\nat_once = 4\n");
    let (eve, ana) = (
        person(&town.ca.card("eve"), "eve"),
        person(&town.ca.card("ana"), "ana"),
    );
    let mut honest = ana.enrol(&town);
    drop(eve.enrol(&town));
    let mut slow: Vec<_> = (0..7)
        .map(|number| {
            let mut client = eve.login(&town);
            let accepted = client.ask(&offer(id(number), b"sealed", &["eve"]));
            assert!(matches!(accepted, Reply::Accepted { .. }));
            client
        })
        .collect();
    for (client, number) in slow.iter_mut().zip(0..) {
        client.begin(&Request::Deposit { id: id(number) }, b"sea");
    }
    let open = |slow: &[Client]| slow.iter().filter(|c| !is_closed(&c.stream)).count();
    eventually("those beyond are sent away", || open(&slow) == 4);
    let mut more = eve.login(&town);
    more.begin(&Request::Ping, b"");
    assert_eq!(read_frame(&mut more.stream), None);
    assert_eq!(open(&slow), 4, "the others stay");
    works(&mut honest, 100, "ana");
    eventually("it is told why", || {
        town.log().contains("too many requests of \\\"eve\\\"")
    });

    // What is done makes room.
    let at = slow.iter().position(|c| !is_closed(&c.stream)).unwrap();
    let (reply, _) = slow.swap_remove(at).end(b"led");
    assert!(matches!(reply, Reply::Postmarks { .. }), "{reply:?}");
    eventually("there is room again", || {
        let mut again = eve.login(&town);
        again.begin(&Request::Ping, b"");
        // Sent away before its end, it is none.
        let close = again.session.close_request().unwrap();
        let sent = again.stream.write_all(&framed(&close));
        sent.is_ok() && read_frame(&mut again.stream).is_some()
    });
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
fn an_account_replaces_its_record_so_often_and_no_more() {
    let town = Town::with("[rates]\nrecords = 2\n");
    let card = town.ca.card("ana");
    let mut ana = person(&card, "ana");
    let mut client = ana.enrol(&town);
    for turn in 0..4 {
        let next = ana.next(&town.ca, |_| {});
        let reply = client.ask_with(&Request::Publish, &next).0;
        match turn {
            0 | 1 => {
                assert_eq!(reply, Reply::Done);
                ana.record = next;
            }
            _ => assert_eq!(refused(&reply), Class::Busy),
        }
    }
    // The record on file may be brought again, and others are not held up.
    assert_eq!(
        client.ask_with(&Request::Publish, &ana.record).0,
        Reply::Done
    );
    let rui = person(&town.ca.card("rui"), "rui");
    let next = rui.next(&town.ca, |_| {});
    let mut client = rui.enrol(&town);
    assert_eq!(client.ask_with(&Request::Publish, &next).0, Reply::Done);
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
    let town = Town::with("[session]\nrequest = '5s'\n");
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
        assert!(time < Duration::from_secs(25), "{time:?}");
    }
    works(&mut honest, 200, "ana");
    spools_are_gone(&town);
    assert!(town.log().contains("why=\"timed out\""), "{}", town.log());
}

#[test]
fn an_answer_that_nobody_takes_is_cut_off() {
    let town = Town::with("[session]\nrequest = '5s'\n");
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
    let begin = Instant::now();
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
    // A hundred of a kind, and one more at each border of a second; and the first
    // of them, which repeats nothing and is counted apart.
    let most = 100 + usize::try_from(begin.elapsed().as_secs()).unwrap() + 2;
    for event in ["event=fetched", "event=login", "event=refused"] {
        let written = lines(&[event, "eve"]);
        assert!((100..=most).contains(&written), "{event}: {written}");
    }
    assert_eq!(lines(&["event=login", "account=ana"]), 1);
    assert_eq!(lines(&["event=refused", "account=ana"]), 1);
}
