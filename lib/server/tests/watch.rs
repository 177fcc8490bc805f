//! Sessions that wait: for news, for their next request, for smrd to stop; and
//! who is seen to be there meanwhile.

mod town;

use std::time::{Duration, Instant};

use smr_channel::reply::Reply;
use smr_channel::request::{Folder, MAX_WATCH, Request};
use smr_name::Class;
use town::client::{Client, give_receipt, id, name, read_frame, refused};
use town::people::{Person, person, person_until, print_of};
use town::{Town, at_once};

fn watch(folder: Folder, after: u64, wait: u16) -> Request {
    Request::Watch {
        folder,
        after,
        wait,
    }
}

/// Asks, and does not wait for the answer.
fn ask(client: &mut Client, request: &Request) {
    client.begin(request, &[]);
    client.close();
}

fn news(count: u64) -> Reply {
    Reply::News { count }
}

fn two() -> (Town, Person, Person) {
    let town = Town::new();
    let ana = person(&town.ca.card("ana"), "ana");
    let bob = person(&town.ca.card("bob"), "bob");
    ana.enrol(&town);
    bob.enrol(&town);
    (town, ana, bob)
}

/// Waits until it is so, and fails when it takes too long.
fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

fn is_online(client: &mut Client, who: &str) -> bool {
    let users = Request::Users {
        after: None,
        limit: 100,
    };
    let Reply::Users { users, .. } = client.ask(&users) else {
        panic!("no users");
    };
    let mut named = users.iter().filter(|user| user.name == name(who));
    named.next().expect("he is a user").online
}

#[test]
fn news_is_told_when_it_comes_and_where_it_is_watched() {
    let (town, ana, bob) = two();
    let (mut at_ana, mut inbox) = (ana.login(&town), bob.login(&town));
    let (mut sent, mut receipts) = (ana.login(&town), ana.login(&town));
    ask(&mut inbox, &watch(Folder::Inbox, 0, MAX_WATCH));
    ask(&mut sent, &watch(Folder::Sent, 0, MAX_WATCH));
    ask(&mut receipts, &watch(Folder::Receipts, 0, MAX_WATCH));
    at_ana.send(id(1), b"body", &["bob"]);
    assert_eq!(inbox.take().0, news(1));
    assert_eq!(sent.take().0, news(1));
    // The sessions go on, and what is there already is told at once.
    assert_eq!(inbox.ask(&watch(Folder::Inbox, 0, MAX_WATCH)), news(1));
    let fetch = Request::Fetch {
        folder: Folder::Inbox,
        id: id(1),
        reader: None,
    };
    assert_eq!(inbox.ask_with(&fetch, &[]).1, b"body");
    assert_eq!(inbox.ask(&Request::MarkRead { id: id(1) }), Reply::Done);
    let given = inbox.ask_with(&give_receipt(id(1), b"sealed"), b"sealed").0;
    assert!(matches!(given, Reply::Postmarks { .. }), "{given:?}");
    assert_eq!(receipts.take().0, news(1));
    // A renewal, for a watch may last longer than a key.
    receipts.renew();
    assert_eq!(receipts.ask(&Request::Ping), Reply::Done);
}

#[test]
fn each_watch_in_a_row_hears_of_the_next() {
    let (town, ana, bob) = two();
    let (mut at_ana, mut at_bob) = (ana.login(&town), bob.login(&town));
    for number in 1..=20u8 {
        let known = u64::from(number) - 1;
        ask(&mut at_bob, &watch(Folder::Inbox, known, MAX_WATCH));
        at_ana.send(id(number), b"body", &["bob"]);
        assert_eq!(at_bob.take().0, news(known + 1));
    }
}

#[test]
fn a_wait_that_is_over_is_answered_without_news() {
    let (town, ana, _) = two();
    let mut at_ana = ana.login(&town);
    let begin = Instant::now();
    assert_eq!(at_ana.ask(&watch(Folder::Inbox, 0, 1)), news(0));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    // Other people's mail, and other folders, are no news.
    ask(&mut at_ana, &watch(Folder::Inbox, 0, 2));
    ana.login(&town).send(id(1), b"body", &["bob"]);
    assert_eq!(at_ana.take().0, news(0));
    assert_eq!(at_ana.ask(&Request::Ping), Reply::Done);
}

#[test]
fn watches_of_no_legal_length_are_refused() {
    let (town, ana, _) = two();
    let mut at_ana = ana.login(&town);
    for wait in [0, MAX_WATCH + 1, u16::MAX] {
        let reply = at_ana.ask(&watch(Folder::Inbox, 0, wait));
        assert_eq!(refused(&reply), Class::Usage, "{wait}");
    }
    assert_eq!(at_ana.ask(&Request::Ping), Reply::Done);
}

#[test]
fn guests_do_not_watch() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    laptop.enrol(&town);
    let mut guest = laptop.beside(&card, "phone").join(&town);
    let reply = guest.ask(&watch(Folder::Inbox, 0, 1));
    assert_eq!(refused(&reply), Class::Denied);
}

#[test]
fn whoever_speaks_while_he_watches_is_sent_away() {
    let (town, ana, _) = two();
    let mut at_ana = ana.login(&town);
    ask(&mut at_ana, &watch(Folder::Inbox, 0, MAX_WATCH));
    let other = ana.login(&town);
    // Any frame: there is none that could be due.
    std::io::Write::write_all(&mut at_ana.stream, &[0, 1, 7]).unwrap();
    assert_eq!(read_frame(&mut at_ana.stream), None);
    eventually("it is logged", || town.log().contains("event=end"));
    drop(other);
}

#[test]
fn a_device_removed_while_it_watches_is_told_so_at_once() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let laptop = person(&card, "ana");
    let mut at_laptop = laptop.enrol(&town);
    let phone = laptop.with_device(&town.ca, &card, "phone");
    let mut at_phone = phone.enrol(&town);
    let mut own = phone.login(&town);
    ask(&mut at_laptop, &watch(Folder::Inbox, 0, MAX_WATCH));
    ask(&mut own, &watch(Folder::Inbox, 0, MAX_WATCH));
    let without = phone.next(&town.ca, |draft| {
        draft
            .remove(&print_of(&laptop.device), town::now())
            .unwrap();
    });
    let published = at_phone.ask_with(&Request::Publish, &without).0;
    assert_eq!(published, Reply::Done);
    assert_eq!(refused(&at_laptop.take().0), Class::Denied);
    // The other one was judged again too, and waits on.
    at_phone.send(id(1), b"body", &["ana"]);
    assert_eq!(own.take().0, news(1));
}

#[test]
fn the_end_of_a_session_answers_its_watch_and_closes() {
    let town = Town::new();
    let card = town.ca.card("ana");
    let until = town::now() + 8;
    let ana = person_until(&card, "ana", until);
    let mut at_ana = ana.enrol(&town);
    ask(&mut at_ana, &watch(Folder::Inbox, 0, MAX_WATCH));
    assert_eq!(at_ana.take().0, news(0));
    assert!(town::now() >= until);
    assert_eq!(read_frame(&mut at_ana.stream), None);
}

#[test]
fn whoever_waits_is_on_line_until_his_connection_ends() {
    let (town, ana, bob) = two();
    let mut at_ana = ana.login(&town);
    eventually("bob has left", || !is_online(&mut at_ana, "bob"));
    // Idle, then watching; each ends without a word, as a killed client does.
    let idle = bob.login(&town);
    assert!(is_online(&mut at_ana, "bob"));
    let mut watching = bob.login(&town);
    ask(&mut watching, &watch(Folder::Inbox, 0, MAX_WATCH));
    drop(idle);
    at_ana.send(id(1), b"body", &["bob"]);
    assert_eq!(watching.take().0, news(1));
    ask(&mut watching, &watch(Folder::Inbox, 1, MAX_WATCH));
    assert!(is_online(&mut at_ana, "bob"));
    drop(watching);
    eventually("bob is off line", || !is_online(&mut at_ana, "bob"));
}

/// Counts the bodies that smrd is taking; it has files for larger ones only.
fn bodies(town: &Town) -> usize {
    let spools = town.path("deep/store/tmp");
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|link| link.starts_with(&spools)).count()
}

#[test]
fn a_stop_ends_watches_at_once() {
    let (mut town, ana, _) = two();
    at_once(|| {
        let mut at_ana = ana.login(&town);
        ask(&mut at_ana, &watch(Folder::Inbox, 0, MAX_WATCH));
        let begin = Instant::now();
        assert!(town.stop());
        let time = begin.elapsed();
        assert_eq!(read_frame(&mut at_ana.stream), None);
        town.start();
        time
    });
    assert_eq!(ana.login(&town).ask(&watch(Folder::Inbox, 0, 1)), news(0));
}

#[test]
fn a_request_that_runs_when_smrd_stops_has_two_seconds() {
    let (mut town, ana, _) = two();
    let body = vec![7; 200 << 10];
    let (first, rest) = body.split_at(150 << 10);
    let offered = |town: &Town, number| {
        let mut at_ana = ana.login(town);
        let offer = town::client::offer(id(number), &body, &["bob"]);
        assert!(matches!(at_ana.ask(&offer), Reply::Accepted { .. }));
        at_ana.begin(&Request::Deposit { id: id(number) }, first);
        at_ana
    };
    let two_seconds = Duration::from_secs(2);
    // Until this thread was quick enough itself: it may have been held up.
    loop {
        let (mut quick, mut slow) = (offered(&town, 1), offered(&town, 2));
        eventually("both bodies are being taken", || bodies(&town) == 2);
        let begin = Instant::now();
        let (reply, stopped) = std::thread::scope(|scope| {
            let stop = scope.spawn(|| town.stop());
            let reply = quick.end_if_heard(rest);
            assert!(reply.is_some() || begin.elapsed() >= two_seconds, "cut");
            (reply, stop.join().unwrap())
        });
        assert!(stopped, "it was cut in the end");
        assert!(begin.elapsed() >= two_seconds, "{:?}", begin.elapsed());
        assert_eq!(read_frame(&mut slow.stream), None);
        town.start();
        if let Some(reply) = reply {
            assert!(matches!(reply, Reply::Postmarks { .. }), "{reply:?}");
            break;
        }
    }
    // What was answered is there; what was cut is not, and can be sent again.
    let mut at_ana = ana.login(&town);
    assert_eq!(at_ana.ask(&watch(Folder::Sent, 0, 1)), news(1));
    at_ana.send(id(2), &body, &["bob"]);
    assert_eq!(at_ana.ask(&watch(Folder::Sent, 1, 1)), news(2));
}

#[test]
fn a_reply_that_nobody_takes_is_cut_when_smrd_stops() {
    let (mut town, ana, _) = two();
    let mut at_ana = ana.login(&town);
    // More than the system buffers between us.
    let body = vec![7; 24 << 20];
    at_ana.send(id(1), &body, &["ana"]);
    let fetch = Request::Fetch {
        folder: Folder::Inbox,
        id: id(1),
        reader: None,
    };
    ask(&mut at_ana, &fetch);
    // Its first frame is here: smrd is in the middle.
    assert!(read_frame(&mut at_ana.stream).is_some());
    assert!(town.stop());
    while read_frame(&mut at_ana.stream).is_some() {}
    // It was not fetched, and can be.
    town.start();
    assert_eq!(ana.login(&town).ask_with(&fetch, &[]).1, body);
}

#[test]
fn a_session_that_nobody_uses_ends_and_one_that_watches_does_not() {
    let town = Town::with("session = { idle = '1s' }");
    let ana = person(&town.ca.card("ana"), "ana");
    ana.enrol(&town);
    let mut unused = ana.login(&town);
    // It must ask before its own second is over.
    let mut watching = loop {
        let begin = Instant::now();
        let mut watching = ana.login(&town);
        ask(&mut watching, &watch(Folder::Inbox, 0, 3));
        if begin.elapsed() < Duration::from_secs(1) {
            break watching;
        }
    };
    // smrd closes it, and says nothing.
    assert_eq!(read_frame(&mut unused.stream), None);
    assert_eq!(watching.take().0, news(0));
    // Once it has its answer it is idle like any other.
    assert_eq!(read_frame(&mut watching.stream), None);
    // Whoever comes again is welcome.
    assert_eq!(ana.login(&town).ask(&Request::Ping), Reply::Done);
}
