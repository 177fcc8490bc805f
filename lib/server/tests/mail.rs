//! Mail through a running smrd: deposits, listings, fetches, receipts.

mod town;

use smr_channel::reply::{Progress, Reply, State};
use smr_channel::request::{Folder, MAX_POST, Request};
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_name::{Class, Head};
use town::Town;
use town::client::{Client, give_receipt, id, name, names, offer, offered, refused, sha256};
use town::people::person;

fn two(town: &Town) -> (Client, Client) {
    let people = ["ana", "rui"].map(|who| person(&town.ca.card(who), who).enrol(town));
    people.into()
}

fn opened(town: &Town, note: &str) -> Postmark {
    let key = town.identity().postmark;
    postmark::open(note, &key, &"repo.example".parse().unwrap()).unwrap()
}

fn list(folder: Folder) -> Request {
    Request::List {
        folder,
        after: 0,
        limit: 100,
        peek: 4,
    }
}

fn fetch(number: u8) -> Request {
    Request::Fetch {
        folder: Folder::Inbox,
        id: id(number),
        reader: None,
    }
}

fn states(client: &mut Client, number: u8, of: &str) -> Progress {
    let request = Request::State {
        id: id(number),
        mailboxes: names(&[of]),
    };
    match client.ask(&request) {
        Reply::States { states } => states[0].1,
        other => panic!("{other:?}"),
    }
}

fn first_state(client: &mut Client) -> State {
    match client.ask(&list(Folder::Inbox)) {
        Reply::Listing { entries, .. } => entries[0].state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_goes_its_whole_way() {
    let mut town = Town::new();
    let (mut ana, mut rui) = two(&town);
    let body = vec![42; 200_000];
    let notes = ana.send(id(1), &body, &["rui"]);
    let marks: Vec<Postmark> = notes.iter().map(|n| opened(&town, n)).collect();
    let facts: Vec<_> = marks
        .iter()
        .map(|m| (m.mailbox.as_str(), m.kind, m.number))
        .collect();
    assert_eq!(facts, [("rui", Kind::Message, 1), ("ana", Kind::Copy, 1)]);
    assert!(
        marks
            .iter()
            .all(|m| m.sha256 == sha256(&body) && m.size == 200_000)
    );
    assert_eq!(states(&mut ana, 1, "rui"), Progress::Deposited);

    let (reply, peeks) = rui.ask_with(&list(Folder::Inbox), &[]);
    let Reply::Listing {
        entries,
        more,
        count,
        head,
        before,
    } = reply
    else {
        panic!("{reply:?}");
    };
    assert_eq!(
        (entries.len(), more, count, peeks),
        (1, false, 1, vec![42; 4])
    );
    assert_eq!(head, Head::default().extend(&entries[0].name));
    assert_eq!((head, before), (marks[0].head, Head::default()));
    assert_eq!(
        first_state(&mut rui),
        State::New,
        "a listing fetches nothing"
    );

    assert_eq!(
        refused(&rui.ask_with(&give_receipt(id(1), b"r"), b"r").0),
        Class::Denied
    );
    let (reply, sealed) = rui.ask_with(&fetch(1), &[]);
    assert!(matches!(reply, Reply::Message { entry } if entry.name.id == id(1)));
    assert!(sealed == body);
    assert_eq!(states(&mut ana, 1, "rui"), Progress::Fetched);
    assert_eq!(
        refused(&rui.ask_with(&give_receipt(id(1), b"r"), b"r").0),
        Class::Denied
    );

    assert_eq!(rui.ask(&Request::MarkRead { id: id(1) }), Reply::Done);
    assert_eq!(states(&mut ana, 1, "rui"), Progress::Read);
    let receipt = rui.ask_with(&give_receipt(id(1), b"sealed"), b"sealed").0;
    let Reply::Postmarks { postmarks } = receipt else {
        panic!("{receipt:?}");
    };
    let mark = opened(&town, &postmarks[0]);
    assert_eq!(
        (mark.mailbox.as_str(), mark.sender.as_str()),
        ("ana", "rui")
    );
    assert_eq!((mark.kind, mark.id), (Kind::Receipt, id(1)));
    receipt_is_there(&mut ana);

    drop((ana, rui));
    assert!(town.stop());
    town.start();
    everything_is_still_there(&town, &body, &notes);
}

fn receipt_is_there(ana: &mut Client) {
    let request = Request::Fetch {
        folder: Folder::Receipts,
        id: id(1),
        reader: Some(name("rui")),
    };
    assert_eq!(ana.ask_with(&request, &[]).1, b"sealed");
}

fn everything_is_still_there(town: &Town, body: &[u8], notes: &[String]) {
    let ana = person(&town.ca.card("ana"), "ana");
    // Another device of the same card, not in the record: not let in.
    assert_eq!(refused(&ana.try_login(town).1), Class::Denied);
    let record = std::fs::read(town.path("deep/store/accounts/ana/record")).unwrap();
    let filed = town.ca.open(&record);
    assert_eq!(filed.address.mailbox.as_str(), "ana");
    // A repetition of the deposit is answered with the same postmarks.
    let eva = person(&town.ca.card("eva"), "eva");
    let mut eva = eva.enrol(town);
    assert_eq!(eva.send(id(9), body, &["rui"]).len(), 2);
    let Reply::Users { users, more } = eva.ask(&Request::Users {
        after: None,
        limit: 10,
    }) else {
        panic!("no directory");
    };
    let lines: Vec<_> = users
        .iter()
        .map(|u| (u.name.as_str(), u.person.as_str(), u.online))
        .collect();
    assert_eq!(
        lines,
        [
            ("ana", "ANA", false),
            ("eva", "EVA", true),
            ("rui", "RUI", false)
        ]
    );
    assert!(!more && !notes.is_empty());
}

#[test]
fn a_restart_keeps_devices_and_postmarks() {
    let mut town = Town::new();
    let people = ["ana", "rui"].map(|who| person(&town.ca.card(who), who));
    for person in &people {
        person.enrol(&town);
    }
    let notes = people[0].login(&town).send(id(1), b"body", &["rui"]);
    assert!(town.stop());
    town.start();
    let mut ana = people[0].login(&town);
    assert_eq!(ana.send(id(1), b"body", &["rui"]), notes, "a repetition");
    // Sealed anew, the same message has other bytes, and is not another one.
    assert_eq!(ana.send(id(1), b"other bytes", &["rui"]), notes);
    let mut rui = people[1].login(&town);
    assert_eq!(rui.ask_with(&fetch(1), &[]).1, b"body");
    let Reply::Listing { count, .. } = rui.ask(&list(Folder::Inbox)) else {
        panic!("no listing");
    };
    assert_eq!(count, 1);
}

/// Removes what is in a folder of an account, as a crash before it would have.
fn never_linked(town: &Town, shelf: &str) {
    let shelf = town.path("deep/store/accounts").join(shelf);
    let files: Vec<_> = std::fs::read_dir(&shelf).unwrap().collect();
    assert_eq!(files.len(), 1, "{shelf:?}");
    for file in files {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
}

#[test]
fn a_deposit_cut_between_two_recipients_is_completed() {
    let mut town = Town::new();
    let people = ["ana", "rui", "eva"].map(|who| person(&town.ca.card(who), who));
    for person in &people {
        person.enrol(&town);
    }
    people[0]
        .login(&town)
        .send(id(1), b"first bytes", &["rui", "eva"]);
    assert!(town.stop());
    never_linked(&town, "eva/inbox/new");
    never_linked(&town, "ana/sent/cur");
    town.start();
    // Sealed anew; what one of them may have read already, all of them get.
    let mut ana = people[0].login(&town);
    let notes = ana.send(id(1), b"other bytes!", &["rui", "eva"]);
    let hashes: Vec<_> = notes.iter().map(|n| opened(&town, n).sha256).collect();
    assert_eq!(hashes, [sha256(b"first bytes"); 3]);
    for person in &people[1..] {
        let mut reader = person.login(&town);
        assert_eq!(reader.ask_with(&fetch(1), &[]).1, b"first bytes");
    }
    assert_eq!(
        ana.send(id(1), b"third bytes", &["rui", "eva"]),
        notes,
        "a repetition"
    );
}

#[test]
fn deposits_of_one_message_at_once_agree() {
    let town = Town::new();
    let people = ["ana", "rui", "eva"].map(|who| person(&town.ca.card(who), who));
    for person in &people {
        person.enrol(&town);
    }
    for number in 1..=10 {
        let marks: Vec<Vec<String>> = std::thread::scope(|scope| {
            let send = |body: u8, to: [&'static str; 2]| {
                let (ana, town) = (&people[0], &town);
                scope.spawn(move || {
                    let mut notes = ana.login(town).send(id(number), &[body; 99], &to);
                    notes.sort();
                    notes
                })
            };
            let all = [send(1, ["rui", "eva"]), send(2, ["eva", "rui"])];
            all.map(|t| t.join().unwrap()).into()
        });
        assert_eq!(marks[0], marks[1]);
    }
}

#[test]
fn a_small_message_comes_with_its_offer() {
    let town = Town::new();
    let (mut ana, mut rui) = two(&town);
    let post =
        |offer, body: &[u8], client: &mut Client| client.ask_with(&Request::Post(offer), body).0;
    let body = vec![7; MAX_POST as usize];
    let first = post(offered(id(1), &body, &["rui"]), &body, &mut ana);
    assert!(matches!(&first, Reply::Postmarks { postmarks } if postmarks.len() == 2));
    assert_eq!(rui.ask_with(&fetch(1), &[]).1, body);
    // Again, sealed anew: the same message.
    let again = post(offered(id(1), b"anew", &["rui"]), b"anew", &mut ana);
    assert_eq!(again, first);
    // Neither more than announced, nor less, nor something else.
    for wrong in [&b"bodyy"[..], b"bod", b"bOdy"] {
        let reply = post(offered(id(2), b"body", &["rui"]), wrong, &mut ana);
        assert_eq!(refused(&reply), Class::Forged);
    }
    let large = vec![7; MAX_POST as usize + 1];
    let reply = post(offered(id(3), &large, &["rui"]), &large, &mut ana);
    assert_eq!(refused(&reply), Class::Usage);
    // Refused as an offer is, and the body that came with it is dropped.
    for (to, class) in [
        (&["nobody"][..], Class::NoMailbox),
        (&[], Class::Usage),
        (&["rui", "rui"], Class::Usage),
    ] {
        let reply = post(offered(id(4), b"body", to), b"body", &mut ana);
        assert_eq!(refused(&reply), class);
    }
    for number in 2..=4 {
        assert_eq!(refused(&rui.ask(&fetch(number))), Class::Missing);
    }
    assert_eq!(ana.send(id(2), b"body", &["rui"]).len(), 2);
}

#[test]
fn nobody_has_read_what_he_never_fetched() {
    let town = Town::new();
    let (mut ana, mut rui) = two(&town);
    ana.send(id(1), b"for rui", &["rui"]);
    let mark = Request::MarkRead { id: id(1) };
    assert_eq!(refused(&rui.ask(&mark)), Class::Denied);
    assert_eq!(states(&mut ana, 1, "rui"), Progress::Deposited);
    assert_eq!(
        refused(&rui.ask_with(&give_receipt(id(1), b"r"), b"r").0),
        Class::Denied
    );
    rui.ask_with(&fetch(1), &[]);
    assert_eq!(rui.ask(&mark), Reply::Done);
}

#[test]
fn too_many_receipts_are_called_so() {
    let town = Town::new();
    let (mut ana, mut rui) = two(&town);
    ana.send(id(1), b"for rui", &["rui"]);
    rui.ask_with(&fetch(1), &[]);
    rui.ask(&Request::MarkRead { id: id(1) });
    let mut give = |n: u8| rui.ask_with(&give_receipt(id(1), &[n]), &[n]).0;
    for number in 1..=16 {
        assert!(matches!(give(number), Reply::Postmarks { .. }));
    }
    let Reply::Refused { class, text, .. } = give(17) else {
        panic!("a receipt too many was taken");
    };
    assert_eq!(class, Class::Denied);
    assert!(text.contains("receipts"), "{text}");
}

#[test]
fn nobody_reads_what_is_not_his() {
    let town = Town::new();
    let (mut ana, mut rui) = two(&town);
    let mut eva = person(&town.ca.card("eva"), "eva").enrol(&town);
    ana.send(id(1), b"for rui", &["rui"]);
    assert_eq!(refused(&eva.ask(&fetch(1))), Class::Missing);
    assert_eq!(
        refused(&eva.ask(&Request::MarkRead { id: id(1) })),
        Class::Missing
    );
    assert_eq!(
        refused(&eva.ask_with(&give_receipt(id(1), b"r"), b"r").0),
        Class::Missing
    );
    assert_eq!(states(&mut eva, 1, "rui"), Progress::Unknown);
    let found = |client: &mut Client| {
        client.ask(&Request::Find {
            prefix: "01010101".parse().unwrap(),
        })
    };
    assert_eq!(
        found(&mut eva),
        Reply::Found {
            matches: Vec::new()
        }
    );
    assert_eq!(
        found(&mut rui),
        Reply::Found {
            matches: vec![(Folder::Inbox, id(1))]
        }
    );
    // Whoever knows an id cannot put a message of his own beside it.
    assert_eq!(
        refused(&eva.ask(&offer(id(1), b"mine", &["rui"]))),
        Class::Denied
    );
}

#[test]
fn deposits_that_do_not_hold_are_refused() {
    let town = Town::with("[store]\nmax_message = '64KiB'\nquota = '100KiB'");
    let (mut ana, mut rui) = two(&town);
    let deposit = Request::Deposit { id: id(1) };
    assert_eq!(refused(&ana.ask_with(&deposit, b"x").0), Class::Usage);
    let unknown = ana.ask(&offer(id(1), b"x", &["rui", "nobody", "noone"]));
    assert_eq!(refused(&unknown), Class::NoMailbox);
    let Reply::Refused { text, .. } = unknown else {
        unreachable!()
    };
    assert!(
        text.contains("nobody, noone") && !text.contains("rui"),
        "{text}"
    );
    assert_eq!(
        refused(&ana.ask_with(&deposit, b"x").0),
        Class::Usage,
        "after a refused offer"
    );
    let big = vec![0; 64 * 1024 + 1];
    assert_eq!(
        refused(&ana.ask(&offer(id(1), &big, &["rui"]))),
        Class::Denied
    );
    assert_eq!(refused(&ana.ask(&offer(id(1), b"x", &[]))), Class::Usage);
    assert_eq!(
        refused(&ana.ask(&offer(id(1), b"", &["rui"]))),
        Class::Usage
    );
    assert_eq!(
        refused(&ana.ask(&offer(id(1), b"x", &["rui", "rui"]))),
        Class::Usage
    );
    let many: Vec<String> = (0..65).map(|n| format!("u{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused(&ana.ask(&offer(id(1), b"x", &many))), Class::Usage);
    for other in [b"xy".as_slice(), b"y", b""] {
        assert!(matches!(
            ana.ask(&offer(id(1), b"x", &["rui"])),
            Reply::Accepted { .. }
        ));
        assert_eq!(
            refused(&ana.ask_with(&deposit, other).0),
            Class::Forged,
            "{other:?}"
        );
    }
    assert_eq!(
        refused(&ana.ask_with(&Request::Ping, b"body").0),
        Class::Usage
    );
    ana.send(id(2), &big[..60_000], &["rui"]);
    assert_eq!(
        refused(&ana.ask(&offer(id(3), &big[..60_000], &["rui"]))),
        Class::Busy
    );
    ana.send(id(2), &big[..60_000], &["rui"]);
    let Reply::Listing { count, .. } = rui.ask(&list(Folder::Inbox)) else {
        panic!("no listing");
    };
    assert_eq!(count, 1, "nothing of the refused deposits is there");
}

#[test]
fn a_full_mailbox_takes_no_more_until_its_owner_makes_room() {
    let limits = "[store]\nmessages = 3\nper_sender_messages = 2\nper_sender = '1KiB'";
    let town = Town::with(limits);
    let (mut ana, mut rui) = two(&town);
    let mut eva = person(&town.ca.card("eva"), "eva").enrol(&town);
    let full = |reply: &Reply| {
        assert_eq!(refused(reply), Class::Busy);
        let Reply::Refused { text, .. } = reply else {
            unreachable!()
        };
        text.clone()
    };
    // One sender alone cannot fill it, by number or by size.
    ana.send(id(1), b"one", &["rui"]);
    let text = full(&ana.ask(&offer(id(2), &[0; 1024], &["rui"])));
    assert!(text.contains("from \"ana\""), "{text}");
    ana.send(id(2), b"two", &["rui"]);
    let text = full(&ana.ask(&offer(id(3), b"x", &["rui"])));
    assert!(text.contains("from \"ana\""), "{text}");
    eva.send(id(4), b"four", &["rui"]);
    let text = full(&eva.ask(&offer(id(5), b"x", &["rui"])));
    assert!(text.contains("\"rui\" is full"), "{text}");
    // A repetition needs no room.
    eva.send(id(4), b"four", &["rui"]);
    let remove = |id| Request::Remove {
        folder: Folder::Inbox,
        id,
    };
    for _ in 0..2 {
        assert_eq!(rui.ask(&remove(id(1))), Reply::Done);
    }
    eva.send(id(5), b"five", &["rui"]);
    // What was offered while there was room is refused where none is left.
    let mut leo = person(&town.ca.card("leo"), "leo").enrol(&town);
    assert_eq!(rui.ask(&remove(id(2))), Reply::Done);
    for (client, number) in [(&mut ana, 6), (&mut leo, 7)] {
        let accepted = client.ask(&offer(id(number), b"late", &["rui"]));
        assert_eq!(accepted, Reply::Accepted { id: id(number) });
    }
    let deposit = |number| Request::Deposit { id: id(number) };
    let (reply, _) = ana.ask_with(&deposit(6), b"late");
    assert!(matches!(reply, Reply::Postmarks { .. }));
    full(&leo.ask_with(&deposit(7), b"late").0);
}

#[test]
fn what_is_removed_is_gone_for_its_owner_alone() {
    let town = Town::new();
    let (mut ana, mut rui) = two(&town);
    ana.send(id(1), b"one", &["rui"]);
    ana.send(id(2), b"two", &["rui"]);
    let remove = |folder, id| Request::Remove { folder, id };
    assert_eq!(rui.ask(&remove(Folder::Inbox, id(1))), Reply::Done);
    let Reply::Listing {
        entries,
        count,
        head,
        before,
        ..
    } = rui.ask(&list(Folder::Inbox))
    else {
        panic!("no listing");
    };
    assert_eq!((entries.len(), count, before), (2, 2, Head::default()));
    assert_eq!(entries[0].state, State::Removed);
    let chained = entries
        .iter()
        .fold(Head::default(), |h, e| h.extend(&e.name));
    assert_eq!(chained, head, "the tombstone has its place");
    let fetch = |folder| Request::Fetch {
        folder,
        id: id(1),
        reader: None,
    };
    assert_eq!(refused(&rui.ask(&fetch(Folder::Inbox))), Class::Missing);
    assert!(matches!(
        ana.ask(&fetch(Folder::Sent)),
        Reply::Message { .. }
    ));
    // For its sender nothing has changed.
    let state = Request::State {
        id: id(1),
        mailboxes: vec!["rui".parse().unwrap()],
    };
    let Reply::States { states } = ana.ask(&state) else {
        panic!("no states");
    };
    assert_eq!(states[0].1, Progress::Deposited);
    for (folder, number, class) in [
        (Folder::Sent, 1, Class::Missing),
        (Folder::Inbox, 9, Class::Missing),
        (Folder::Receipts, 1, Class::Usage),
    ] {
        assert_eq!(refused(&rui.ask(&remove(folder, id(number)))), class);
    }
    // A page of the newest tells the head before it.
    let newest = Request::List {
        folder: Folder::Inbox,
        after: 1,
        limit: 9,
        peek: 0,
    };
    let Reply::Listing {
        entries: page,
        before,
        ..
    } = rui.ask(&newest)
    else {
        panic!("no listing");
    };
    assert_eq!(page.len(), 1);
    assert_eq!(before, Head::default().extend(&entries[0].name));
}

#[test]
fn sixty_four_recipients_and_oneself_get_postmarks() {
    let town = Town::with("[enrol]\nmax_names = 65\n[rates]\nenrolments_of_one = 65");
    let card = town.ca.card("ana");
    let all: Vec<String> = (0..64).map(|n| format!("{:x<30}{n:02}", "ana")).collect();
    for name in &all {
        person(&card, name).enrol(&town);
    }
    let to: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut first = person(&card, "ana").enrol(&town);
    let notes = first.send(id(1), b"to all", &to);
    assert_eq!(notes.len(), 65);
    let last = opened(&town, &notes[64]);
    assert_eq!((last.mailbox.as_str(), last.kind), ("ana", Kind::Copy));
}

#[test]
fn listings_come_in_pages() {
    let town = Town::new();
    let (mut ana, mut rui) = two(&town);
    for number in 1..=5 {
        ana.send(id(number), &[number; 9], &["rui", "ana"]);
    }
    let mut page = |after| {
        let request = Request::List {
            folder: Folder::Inbox,
            after,
            limit: 2,
            peek: 100,
        };
        let (reply, peeks) = rui.ask_with(&request, &[]);
        let Reply::Listing {
            entries,
            more,
            count,
            ..
        } = reply
        else {
            panic!("{reply:?}");
        };
        let numbers: Vec<u64> = entries.iter().map(|e| e.name.number).collect();
        assert_eq!(peeks.len(), entries.len() * 9);
        (numbers, more, count)
    };
    assert_eq!(page(0), (vec![1, 2], true, 5));
    assert_eq!(page(4), (vec![5], false, 5));
    assert_eq!(page(5), (vec![], false, 5));
    assert_eq!(states(&mut ana, 5, "ana"), Progress::Deposited);
}

#[test]
fn the_key_is_renewed_under_use() {
    let town = Town::new();
    let (mut ana, _rui) = two(&town);
    for _ in 0..1100 {
        if ana.session.renewal_due(town::now()) {
            ana.renew();
        }
        assert_eq!(ana.ask(&Request::Ping), Reply::Done);
    }
    assert!(
        town.log().contains("kind=renew "),
        "no renewal in 1100 requests"
    );
}
