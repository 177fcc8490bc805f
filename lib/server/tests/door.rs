//! Who is let in, who is not, and what hostile peers can do: nothing.

mod town;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use smr_channel::frame::{ASK_SESSION, MAGIC};
use smr_channel::handshake::{Initiator, Introduction, Suite};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_evidence::account::{self, Draft};
use smr_name::Class;
use town::client::{Client, connect, id, name, offer, read_frame, refused, write_frame};
use town::people::{person, print_of};
use town::{Town, at_once};

fn publish(client: &mut Client, record: &[u8]) -> Reply {
    client.ask_with(&Request::Publish, record).0
}

#[test]
fn the_identity_is_what_fingerprint_says() {
    let town = Town::new();
    let expected = smr_server::fingerprint(&town.config()).unwrap();
    assert_eq!(town.identity().fingerprint(), expected);
    assert_eq!(town.server().fingerprint(), expected);
    // A second --init must not replace keys that people have pinned.
    assert!(smr_server::init(&town.config()).is_err());
    assert_eq!(smr_server::fingerprint(&town.config()).unwrap(), expected);
}

#[test]
fn people_enrol_once_and_log_in_again() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let ana = person(&card, "ana");
    ana.enrol(&town);
    // The reply was lost: the same enrolment again.
    ana.enrol(&town);
    ana.login(&town);
    // The same card, another name: another account.
    person(&card, "ana.work").enrol(&town);
    // Another first record of the same person does not replace the account.
    assert_eq!(
        refused(&person(&card, "ana").try_enrol(&town).1),
        Class::Denied
    );
    let taken = person(&town.ca.card("eve"), "ana").try_enrol(&town).1;
    assert_eq!(refused(&taken), Class::Denied);
    let Reply::Refused { text, .. } = taken else {
        unreachable!()
    };
    assert_eq!(text, "the name \"ana\" is taken");
}

#[test]
fn strangers_do_not_get_in() {
    let town = Town::new();
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let eve = person(&town.ca.card("eve"), "eve");
    let as_ana = Client::open(&town, |hash| eve.login_as(&name("ana"), hash)).1;
    let unknown = eve.try_login(&town).1;
    assert_eq!(refused(&as_ana), Class::Denied);
    assert_eq!(as_ana, unknown, "who is known is no stranger's business");
    // The right device, a signature over another handshake.
    let replayed = Client::open(&town, |_| ana.login_as(&ana.name, &[7; 32])).1;
    assert_eq!(replayed, unknown);
    let replayed = Client::open(&town, |_| ana.enrolment(&[7; 32])).1;
    assert_eq!(refused(&replayed), Class::Denied);
    let unsigned = Client::open(&town, |_| Introduction::Enrol {
        record: eve.record.clone(),
        signature: Vec::new(),
    });
    assert_eq!(refused(&unsigned.1), Class::Denied);
    assert_eq!(
        eve.try_login(&town).1,
        unknown,
        "a refused enrolment leaves nothing"
    );
    let damaged = Client::open(&town, |_| Introduction::Enrol {
        record: vec![0x30; 1000],
        signature: Vec::new(),
    });
    assert_eq!(refused(&damaged.1), Class::Forged);
    // A refused client has no session.
    let (mut client, _) = eve.try_login(&town);
    let head = client.session.send_head(&Request::Ping.encode().unwrap());
    if let Ok(frame) = head {
        let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
        // smrd may have closed already.
        let _ = client
            .stream
            .write_all(&length)
            .and_then(|()| client.stream.write_all(&frame));
    }
    assert_eq!(read_frame(&mut client.stream), None);
}

#[test]
fn cards_that_do_not_verify_are_denied() {
    let mut town = Town::new();
    let own = person(&town.ca.own_card("mallory"), "mallory");
    assert_eq!(refused(&own.try_enrol(&town).1), Class::Denied);
    let card = town.ca.card("ana");
    let ana = person(&card, "ana");
    let mut session = ana.enrol(&town);
    town.ca.revoke("ana");
    assert_eq!(session.ask(&Request::Ping), Reply::Done, "not read yet");
    town.server().reload(&town.config()).unwrap();
    assert_eq!(
        refused(&session.ask(&Request::Ping)),
        Class::Denied,
        "an open session"
    );
    assert_eq!(refused(&ana.try_login(&town).1), Class::Denied);
    assert_eq!(
        refused(&person(&card, "ana2").try_enrol(&town).1),
        Class::Denied
    );
    town.stop();
    town.start();
    assert_eq!(refused(&ana.try_login(&town).1), Class::Denied);
}

#[test]
fn without_a_crl_the_certificate_is_queued() {
    let town = Town::new();
    let ana = person(&town.ca.card("ana"), "ana");
    town.ca.lose_list();
    town.server().reload(&town.config()).unwrap();
    for _ in 0..2 {
        let reply = ana.try_enrol(&town).1;
        assert_eq!(refused(&reply), Class::Busy);
        let Reply::Refused { text, .. } = reply else {
            unreachable!()
        };
        assert!(text.contains("queued"), "{text}");
    }
    let queue = std::fs::read_to_string(town.path("deep/store/cache/revocation-queue")).unwrap();
    assert_eq!(queue.lines().count(), 1, "{queue}");
    assert!(queue.contains("ANA"), "{queue}");
    town.ca.list();
    town.server().reload(&town.config()).unwrap();
    ana.enrol(&town);
}

#[test]
fn broken_grounds_leave_the_old_in_force() {
    let town = Town::new();
    let crl = town.path("ca/crls/root.pem");
    std::fs::write(&crl, "damaged").unwrap();
    assert!(town.server().reload(&town.config()).is_err());
    person(&town.ca.card("ana"), "ana").enrol(&town);
    assert!(
        smr_server::check(&town.config())
            .iter()
            .any(|f| !f.good && f.text.contains("root.pem"))
    );
}

#[test]
fn records_change_only_step_by_step() {
    let town = Town::with("[enrol]\nmax_devices = 2");
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    let mut at_laptop = laptop.enrol(&town);
    let mut phone = laptop.with_device(&town.ca, &card, "phone");
    let mut at_phone = phone.enrol(&town);
    // The old record again is a rollback.
    assert_eq!(
        refused(&publish(&mut at_phone, &laptop.record)),
        Class::Denied
    );
    // Nor can a number be passed over: what came between could not be judged.
    let missed = phone.next(&town.ca, |_| {});
    let filed = std::mem::replace(&mut phone.record, missed);
    let skipped = phone.next(&town.ca, |_| {});
    phone.record = filed;
    assert_eq!(refused(&publish(&mut at_phone, &skipped)), Class::Denied);
    // A third device is one too many here.
    let third = phone.with_device(&town.ca, &card, "third");
    assert_eq!(
        refused(&publish(&mut at_phone, &third.record)),
        Class::Denied
    );
    // Another account's record is not ours to publish.
    let eve = person(&town.ca.card("eve"), "eve");
    eve.enrol(&town);
    assert_eq!(refused(&publish(&mut at_phone, &eve.record)), Class::Denied);
    assert_eq!(refused(&publish(&mut at_phone, b"damaged")), Class::Forged);
    // The phone removes the laptop: its open session ends, its logins too.
    let without = phone.next(&town.ca, |draft| {
        draft
            .remove(&print_of(&laptop.device), town::now())
            .unwrap();
    });
    assert_eq!(at_laptop.ask(&Request::Ping), Reply::Done);
    assert_eq!(publish(&mut at_phone, &without), Reply::Done);
    assert_eq!(read_frame(&mut at_laptop.stream), None);
    assert_eq!(refused(&laptop.try_login(&town).1), Class::Denied);
    assert_eq!(at_phone.ask(&Request::Ping), Reply::Done);
    let ask = |known| Request::Account {
        name: name("ana"),
        known,
    };
    let (reply, body) = at_phone.ask_with(&ask(None), &[]);
    let Reply::Account {
        record_len, lists, ..
    } = reply
    else {
        panic!("{reply:?}");
    };
    assert_eq!(body, without);
    assert_eq!(body.len(), record_len as usize);
    let [list] = lists[..] else {
        panic!("the CRL of the card's issuer comes along: {lists:?}")
    };
    let (reply, body) = at_phone.ask_with(&ask(Some(Sha256::digest(&without).into())), &[]);
    assert!(matches!(reply, Reply::Account { record_len: 0, .. }));
    assert!(body.is_empty());
    let digests = vec![list.digest, [0; 32]];
    let (reply, body) = at_phone.ask_with(&Request::Lists { digests }, &[]);
    let lens = vec![list.len, 0];
    assert_eq!(reply, Reply::Lists { lens });
    assert_eq!(<[u8; 32]>::from(Sha256::digest(&body)), list.digest);
    let unknown = at_phone.ask(&Request::Account {
        name: name("nobody"),
        known: None,
    });
    assert_eq!(refused(&unknown), Class::NoMailbox);
}

#[test]
fn a_device_removed_while_it_speaks_is_not_heard() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    let mut at_laptop = laptop.enrol(&town);
    let phone = laptop.with_device(&town.ca, &card, "phone");
    let mut at_phone = phone.enrol(&town);
    assert!(matches!(
        at_laptop.ask(&offer(id(1), b"body", &["ana"])),
        Reply::Accepted { .. }
    ));
    at_laptop.begin(&Request::Deposit { id: id(1) }, b"bo");
    let without = phone.next(&town.ca, |draft| {
        draft
            .remove(&print_of(&laptop.device), town::now())
            .unwrap();
    });
    assert_eq!(publish(&mut at_phone, &without), Reply::Done);
    assert_eq!(refused(&at_laptop.end(b"dy").0), Class::Denied);
    let Reply::Found { matches } = at_phone.ask(&Request::Find {
        prefix: id(1).to_string().parse().unwrap(),
    }) else {
        panic!("nothing was looked for");
    };
    assert!(matches.is_empty());
}

#[test]
fn devices_of_a_revoked_card_stay_out_and_others_come_in() {
    let town = Town::new();
    let laptop = person(&town.ca.card("ana"), "ana");
    let mut at_laptop = laptop.enrol(&town);
    // Her second card, which is then revoked.
    let phone = laptop.with_device(&town.ca, &town.ca.card("ana"), "phone");
    let mut at_phone = phone.enrol(&town);
    town.ca.revoke("ana");
    town.server().reload(&town.config()).unwrap();
    assert_eq!(refused(&at_phone.ask(&Request::Ping)), Class::Denied);
    assert_eq!(refused(&phone.try_login(&town).1), Class::Denied);
    assert_eq!(refused(&phone.try_enrol(&town).1), Class::Denied);
    assert_eq!(at_laptop.ask(&Request::Ping), Reply::Done);
    laptop.login(&town);
    // Whoever has the phone cannot have a record filed, even one that says it
    // was signed before.
    let then = town.ca.open(&phone.record);
    let dated_back = account::build(&Draft::after(&then), &phone.device, then.time).unwrap();
    assert_eq!(
        refused(&publish(&mut at_laptop, &dated_back)),
        Class::Denied
    );
    let mut draft = Draft::after(&then);
    draft.remove(&print_of(&phone.device), town::now()).unwrap();
    let without = account::build(&draft, &laptop.device, town::now()).unwrap();
    assert_eq!(publish(&mut at_laptop, &without), Reply::Done);
}

#[test]
fn one_person_has_a_bound_of_names() {
    let mut town = Town::with("[enrol]\nmax_names = 2");
    let card = town.ca.card("ana");
    let taken = person(&town.ca.card("rui"), "rui");
    taken.enrol(&town);
    let first = person(&card, "ana");
    first.enrol(&town);
    person(&card, "ana.work").enrol(&town);
    let third = person(&card, "ana.club");
    // Another card of hers does not help, nor does a restart or a reload.
    for _ in 0..2 {
        for third in [&third, &person(&town.ca.card("ana"), "ana.sea")] {
            let reply = third.try_enrol(&town).1;
            assert_eq!(refused(&reply), Class::Denied);
            let Reply::Refused { text, hint, .. } = reply else {
                unreachable!()
            };
            assert_eq!(text, "one person may have 2 names here");
            assert!(hint.contains("smr-register"), "{hint}");
        }
        town.stop();
        town.start();
    }
    town.server().reload(&town.config()).unwrap();
    assert_eq!(refused(&third.try_enrol(&town).1), Class::Denied);
    // A name of another person is taken, whatever she has.
    let Reply::Refused { text, .. } = person(&card, "rui").try_enrol(&town).1 else {
        panic!("taken over");
    };
    assert_eq!(text, "the name \"rui\" is taken");
    // What she has she keeps, with more devices too.
    first.enrol(&town);
    first.with_device(&town.ca, &card, "phone").enrol(&town);
    person(&town.ca.card("rui"), "rui.work").enrol(&town);
}

#[test]
fn names_asked_for_at_once_are_counted_once_each() {
    let town = Town::with("[enrol]\nmax_names = 2");
    let card = town.ca.card("ana");
    let asked = (0..6).map(|n| person(&card, &format!("ana{n}")));
    let asked: Vec<_> = asked.collect();
    let welcome = std::thread::scope(|scope| {
        let asking = asked.iter().map(|p| scope.spawn(|| p.try_enrol(&town).1));
        let asking: Vec<_> = asking.collect();
        let replies = asking.into_iter().map(|a| a.join().unwrap());
        replies
            .filter(|r| matches!(r, Reply::Welcome { .. }))
            .count()
    });
    assert_eq!(welcome, 2);
}

#[test]
fn policies_say_who_may_enrol() {
    let list = "[enrol]\npolicy = './allow'";
    let dir = tempfile::tempdir().unwrap();
    let allow = dir.path().join("allow");
    std::fs::write(&allow, "rui\nana CN=ANA,*\n").unwrap();
    let town = Town::with(&list.replace("./allow", &allow.display().to_string()));
    let (ana, eve) = (town.ca.card("ana"), town.ca.card("eve"));
    person(&eve, "rui").enrol(&town);
    person(&ana, "ana").enrol(&town);
    assert_eq!(
        refused(&person(&eve, "eve").try_enrol(&town).1),
        Class::Denied
    );
    let closed = Town::with("[enrol]\npolicy = 'closed'");
    let reply = person(&closed.ca.card("ana"), "ana").try_enrol(&closed).1;
    assert_eq!(refused(&reply), Class::Denied);
    // Eve, who may not enrol, is told the same of a name that is taken.
    let said = |name: &str| match person(&eve, name).try_enrol(&town).1 {
        Reply::Refused { class, text, hint } => (class, text.replace(name, "NAME"), hint),
        other => panic!("{other:?}"),
    };
    assert_eq!(said("ana"), said("leo"));
    assert_eq!(said("rui2"), said("leo"));
}

#[test]
fn nothing_is_served_without_a_session() {
    let town = Town::new();
    let ping = Request::Ping.encode().unwrap();
    let users = Request::Users {
        after: None,
        limit: 9,
    }
    .encode()
    .unwrap();
    for request in [ping, users] {
        let mut stream = connect(town.address(), ASK_SESSION);
        write_frame(&mut stream, &request);
        assert_eq!(read_frame(&mut stream), None);
        // The same in the place of the introduction.
        let mut stream = connect(town.address(), ASK_SESSION);
        let (_, first) = Initiator::start(&town.identity(), &Suite::ALL, &mut OsRng).unwrap();
        write_frame(&mut stream, &first);
        assert!(read_frame(&mut stream).is_some());
        write_frame(&mut stream, &request);
        assert_eq!(read_frame(&mut stream), None);
    }
}

/// Sends bytes, closes, and returns what smrd said.
fn throw(town: &Town, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(town.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // smrd may hang up in the middle.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let town = Town::new();
    let ana = person(&town.ca.card("ana"), "ana");
    let mut session = ana.enrol(&town);
    let mut garbage = vec![0; 70_000];
    OsRng.fill_bytes(&mut garbage);
    let session_ask = [MAGIC.as_slice(), &[ASK_SESSION]].concat();
    for size in [0, 1, 6, 7, 100, 70_000] {
        assert_eq!(throw(&town, &garbage[..size]), b"", "{size}");
        assert_eq!(
            throw(&town, &[&session_ask, &garbage[..size]].concat()),
            b"",
            "{size}"
        );
    }
    assert_eq!(throw(&town, b"GET / HTTP/1.1\r\n\r\n"), b"");
    assert_eq!(throw(&town, &[&session_ask[..], &[0, 0]].concat()), b"");
    assert_eq!(throw(&town, b"smr/1\nX"), b"");
    assert_eq!(session.ask(&Request::Ping), Reply::Done);

    let mut broken = ana.login(&town);
    let mut frame = broken
        .session
        .send_head(&Request::Ping.encode().unwrap())
        .unwrap();
    frame[3] ^= 1;
    write_frame(&mut broken.stream, &frame);
    assert_eq!(read_frame(&mut broken.stream), None, "a flipped bit");
    let mut broken = ana.login(&town);
    let frame = broken.session.send_head(b"\xffno request").unwrap();
    write_frame(&mut broken.stream, &frame);
    assert_eq!(read_frame(&mut broken.stream), None, "no request");
    assert_eq!(session.ask(&Request::Ping), Reply::Done);
    assert!(!town.log().contains("panic"), "{}", town.log());
}

#[test]
fn one_peer_cannot_take_every_seat() {
    let town = Town::new();
    let mut ana = person(&town.ca.card("ana"), "ana").enrol(&town);
    let idle: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(town.address()).unwrap())
        .collect();
    let mut last = idle.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // smrd closed it: end of file or a reset, no timeout.
    let mut byte = [0];
    let closed = last.read(&mut byte).map_or_else(
        |e| e.kind() == std::io::ErrorKind::ConnectionReset,
        |n| n == 0,
    );
    assert!(closed);
    assert_eq!(ana.ask(&Request::Ping), Reply::Done);
    assert!(town.log().contains("event=full"));
}

/// A header of a proxy for a client of this last byte.
fn header(client: u8) -> Vec<u8> {
    let (from, to) = ([192, 0, 2, client], [127, 0, 0, 1]);
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&start[..], &from, &to, &[0x30, 0x39, 0x1d, 0xf3]].concat()
}

#[test]
fn behind_a_proxy_the_bounds_are_the_clients_own() {
    let town =
        Town::with("listen = { address = ['127.0.0.1:0'], per_peer = 2, proxy = ['127.0.0.1'] }");
    let begin = Instant::now();
    // More than one peer may have: the proxy is none.
    let through = |client| {
        let mut stream = TcpStream::connect(town.address()).unwrap();
        stream.write_all(&header(client)).unwrap();
        stream
    };
    let mut some: Vec<TcpStream> = [1, 1, 2, 2].into_iter().map(through).collect();
    let mut third = through(1);
    eventually("the third of one client is closed", || {
        is_closed(&mut third)
    });
    assert!(town.log().contains("event=full peer=192.0.2.1:12345"));
    // Whoever is let in is logged as himself, and served.
    let mut stream = through(3);
    stream.write_all(b"smr/1\nI").unwrap();
    let text = read_frame(&mut stream).expect("the identity document");
    assert!(String::from_utf8_lossy(&text).contains("repo.example"));
    assert!(some.iter_mut().all(|stream| stays(stream, begin)));
    drop(some.remove(0));
    eventually("a place is free again", || {
        let mut next = through(1);
        next.write_all(b"smr/1\nI").unwrap();
        next.read(&mut [0]).is_ok_and(|count| count == 1)
    });
}

#[test]
fn headers_come_from_proxies_alone_and_always() {
    let listen =
        |proxies: &str| format!("listen = {{ address = ['127.0.0.1:0'], proxy = [{proxies}] }}");
    let thrown = |town: &Town, bytes: &[u8]| {
        assert_eq!(throw(town, bytes), b"");
        let log = town.log();
        let last = log.lines().rfind(|line| line.contains("event=end"));
        last.unwrap_or_else(|| panic!("{log}")).to_owned()
    };
    let town = Town::with(&listen("'127.0.0.1'"));
    let line = thrown(&town, b"smr/1\nI");
    assert!(line.contains("no PROXY header from a proxy"), "{line}");
    let line = thrown(&town, b"PROXY TCP4 192.0.2.7 127.0.0.1 5 7667\r\n");
    assert!(line.contains("of version 1, expected 2"), "{line}");
    let mut twice = header(7);
    twice.extend(header(8));
    let line = thrown(&town, &twice);
    assert!(line.contains("peer=192.0.2.7:12345"), "{line}");
    let unix = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\0";
    let line = thrown(&town, unix);
    assert!(line.contains("expected TCP"), "{line}");
    // The proxy looks whether smrd is there.
    let mut local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    local.extend(b"smr/1\nI");
    assert!(!throw(&town, &local).is_empty());

    let town = Town::with(&listen("'192.0.2.1'"));
    let line = thrown(&town, &header(7));
    assert!(line.contains("does not name"), "{line}");
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
}

/// Tells whether smrd has closed a connection on which it had nothing to say.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let closed = match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    closed
}

/// What a stranger has, and then goes anyhow.
const STRANGERS: Duration = Duration::from_secs(10);

/// Tells whether smrd has left a stranger, who came after `begin`, what he has.
fn stays(stream: &mut TcpStream, begin: Instant) -> bool {
    !is_closed(stream) || begin.elapsed() >= STRANGERS
}

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// A town with seats for so many.
fn small(seats: usize) -> Town {
    Town::with(&format!(
        "listen = {{ address = ['127.0.0.1:0'], connections = {seats} }}"
    ))
}

#[test]
fn a_newcomer_takes_the_place_of_the_oldest_stranger_and_of_nobody_else() {
    let town = small(4);
    let ana = person(&town.ca.card("ana"), "ana");
    let mut first = ana.enrol(&town);
    let identity = town.identity();
    let knock = || TcpStream::connect(town.address()).unwrap();
    let login = || Client::over(knock(), &identity, |hash| ana.login_as(&ana.name, hash));
    let begin = Instant::now();
    let mut silent = [knock(), knock(), knock()];
    // All seats are taken as soon as one of them is not let in for nothing.
    let (mut second, reply) = login();
    assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
    eventually("the oldest has gone", || is_closed(&mut silent[0]));
    assert!(stays(&mut silent[1], begin) && stays(&mut silent[2], begin));
    let (mut third, reply) = login();
    assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
    eventually("the next has gone", || is_closed(&mut silent[1]));
    assert!(stays(&mut silent[2], begin));
    // The last one goes for a stranger, who goes for another.
    let mut late = knock();
    eventually("the last has gone", || is_closed(&mut silent[2]));
    let _later = knock();
    eventually("the stranger has gone", || is_closed(&mut late));
    for member in [&mut first, &mut second, &mut third] {
        assert_eq!(member.ask(&Request::Ping), Reply::Done);
    }
    let displaced = town.log().matches("event=displaced").count();
    assert!(
        displaced == 4 || begin.elapsed() >= STRANGERS,
        "{displaced}"
    );
    assert!(!town.log().contains("event=full"), "{}", town.log());
}

#[test]
fn where_all_were_let_in_a_newcomer_is_turned_away() {
    let town = small(2);
    let ana = person(&town.ca.card("ana"), "ana");
    let mut first = ana.enrol(&town);
    let mut second = ana.login(&town);
    let mut late = TcpStream::connect(town.address()).unwrap();
    eventually("he is turned away", || is_closed(&mut late));
    for member in [&mut first, &mut second] {
        assert_eq!(member.ask(&Request::Ping), Reply::Done);
    }
    assert!(town.log().contains("event=full"));
}

#[test]
fn those_who_stop_at_one_point_do_not_crowd_out_those_who_are_at_another() {
    let town = small(8);
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let identity = town.identity();
    // Half a handshake each: these have come far, and stay.
    let half = || {
        let mut stream = connect(town.address(), ASK_SESSION);
        let (_, frame) = Initiator::start(&identity, &Suite::ALL, &mut OsRng).unwrap();
        write_frame(&mut stream, &frame);
        assert!(read_frame(&mut stream).is_some());
        stream
    };
    let begin = Instant::now();
    let mut far: Vec<TcpStream> = (0..7).map(|_| half()).collect();
    // One who has just come is not the one to go for the next: they are more.
    let mut slow = TcpStream::connect(town.address()).unwrap();
    let _next: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(town.address()).unwrap())
        .collect();
    eventually("of those who are most the oldest goes", || {
        is_closed(&mut far[0])
    });
    assert!(stays(&mut slow, begin));
    assert!(stays(&mut far[6], begin));
}

#[test]
fn a_slow_request_of_one_who_was_just_let_in_keeps_nobody_out() {
    let town = Town::new();
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    // More than there are places for strangers to be served at a time.
    let places = std::thread::available_parallelism().unwrap().get().max(2);
    let slow = (0..4 * places).map(|_| {
        let mut client = ana.login(&town);
        client.begin(&Request::Publish, b"no end of it");
        client
    });
    let slow: Vec<Client> = slow.collect();
    ana.login(&town);
    drop(slow);
}

#[test]
fn a_first_frame_longer_than_any_is_refused_at_its_length() {
    let town = Town::new();
    let mut stream = connect(town.address(), ASK_SESSION);
    // 10,953 bytes are those of an offer of eight suites.
    stream.write_all(&10_954u16.to_be_bytes()).unwrap();
    assert_eq!(read_frame(&mut stream), None);
    let begin = Instant::now();
    let mut stream = connect(town.address(), ASK_SESSION);
    stream.write_all(&10_953u16.to_be_bytes()).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    assert!(stays(&mut stream, begin));
}

#[test]
fn stopping_ends_idle_sessions_at_once() {
    let mut town = Town::new();
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    at_once(|| {
        let mut session = ana.login(&town);
        let begin = Instant::now();
        assert!(town.stop());
        let time = begin.elapsed();
        assert_eq!(read_frame(&mut session.stream), None);
        town.start();
        time
    });
}

#[test]
fn the_log_tells_no_secrets_and_no_bodies() {
    let town = Town::new();
    let mut ana = person(&town.ca.card("ana"), "ana").enrol(&town);
    ana.send(town::client::id(1), b"a body nobody may log", &["ana"]);
    drop(ana);
    let log = town.log();
    assert!(
        log.contains("event=deposit sender=ana id=01010101"),
        "{log}"
    );
    assert!(!log.contains("nobody may log"), "{log}");
    let key = std::fs::read_to_string(town.path("deep/store/server.key")).unwrap();
    let secrets = key
        .lines()
        .skip(2)
        .filter_map(|line| line.split(' ').nth(1));
    assert!(secrets.clone().count() == 4);
    for secret in secrets {
        assert!(!log.contains(secret));
    }
}

#[test]
fn cards_are_judged_beforehand_as_registration_does() {
    let town = Town::new();
    town.ca.card("ana");
    town.ca.own_card("mallory");
    let judge =
        |who: &str, at| smr_server::check_card(&town.config(), &town.ca.pem(who), at).unwrap();
    assert_eq!(judge("ana", None).code, 0, "{}", judge("ana", None).text);
    assert!(judge("ana", None).text.contains("realm default"));
    assert_eq!(judge("mallory", None).code, 77);
    assert_eq!(judge("ana", Some(town::now() + 1000 * 86_400)).code, 77);
    town.ca.revoke("ana");
    assert_eq!(judge("ana", None).code, 77);
    assert!(smr_server::check_card(&town.config(), b"no certificate", None).is_err());
    assert!(smr_server::check(&town.config()).iter().all(|f| f.good));
}

#[test]
fn sub_folders_are_realms() {
    let town = Town::new();
    town.ca.card("ana");
    let trust = town.path("ca/trust");
    let judged = || smr_server::check_card(&town.config(), &town.ca.pem("ana"), None);
    std::fs::create_dir(trust.join("state")).unwrap();
    std::fs::write(trust.join("README"), "who is in here").unwrap();
    std::fs::rename(trust.join("root.pem"), trust.join("state/root.pem")).unwrap();
    assert!(judged().unwrap().text.ends_with("realm state"));
    // A deeper folder, and a name that is no certificate's, count for nothing.
    std::fs::create_dir(trust.join("state/old.pem")).unwrap();
    std::fs::rename(
        trust.join("state/root.pem"),
        trust.join("state/old.pem/root.pem"),
    )
    .unwrap();
    assert!(judged().is_err(), "no anchor");
    std::fs::rename(trust.join("state/old.pem/root.pem"), trust.join("root.txt")).unwrap();
    assert!(judged().is_err(), "no anchor");
    std::fs::write(trust.join("damaged.pem"), "damaged").unwrap();
    assert!(judged().unwrap_err().to_string().contains("damaged.pem"));
}

#[test]
fn who_speaks_before_the_answer_is_cut_off() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let mut ana = person(&card, "ana").enrol(&town);
    // The bytes of a request all at once are in order; one more byte is not.
    assert_eq!(ana.ask(&Request::Ping), Reply::Done);
    let mut bytes = ana.frames(&Request::Ping, &[]);
    bytes.push(0);
    ana.stream.write_all(&bytes).unwrap();
    assert_eq!(read_frame(&mut ana.stream), None);
    drop(ana);
    let end = Instant::now() + Duration::from_secs(60);
    while !town.log().contains("said something out of turn") {
        assert!(Instant::now() < end, "{}", town.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    // The same before smrd's frame of the handshake.
    let mut stream = connect(town.address(), ASK_SESSION);
    let (_, frame) = Initiator::start(&town.identity(), &Suite::ALL, &mut OsRng).unwrap();
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream
        .write_all(&[&length, &frame[..], &[0]].concat())
        .unwrap();
    assert_eq!(read_frame(&mut stream), None);
}
