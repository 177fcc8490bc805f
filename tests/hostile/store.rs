//! A repository that lies, and files that were tampered with: what a reader
//! and a sender notice.
//!
//! smrd is stopped while its store is changed, so that it believes its own
//! lies; the wire and its warrants stay genuine.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::lies::proved;

pub(crate) const PEOPLE: &[&str] = &["alice", "bob"];

/// Sends one message and returns its id.
pub(crate) fn send(house: &mut House, from: &str, to: &str, text: &str) -> String {
    house
        .sh_with(from, &format!("smr-send -s {text} {to}"), text.as_bytes())
        .expect(0)
        .text()
}

/// Returns the file of the message `id` in a folder of somebody's mailbox; waits
/// for it, for whoever sent the message is told before it has its names.
pub(crate) fn file(house: &House, who: &str, folder: &str, id: &str) -> PathBuf {
    let dir = house.path("store/accounts").join(who).join(folder);
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let places = ["new", "cur"].map(|place| fs::read_dir(dir.join(place)));
        let files = places.into_iter().flatten().flatten();
        let mut paths = files.map(|entry| entry.expect("folder reads").path());
        let path = paths.find(|path| path.to_string_lossy().contains(id));
        if let Some(path) = path {
            return path;
        }
        assert!(Instant::now() < end, "the message has no file");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends two messages to bob whose files are of one size.
fn twins(house: &mut House) -> [String; 2] {
    let mut sent: Vec<(u64, String)> = Vec::new();
    // Signatures differ by a byte or two, so this is soon over.
    for _ in 0..50 {
        let id = send(house, "alice", "bob", "one");
        let size = fs::metadata(file(house, "bob", "inbox", &id))
            .unwrap()
            .len();
        if let Some((_, twin)) = sent.iter().find(|(other, _)| *other == size) {
            return [twin.clone(), id];
        }
        sent.push((size, id));
    }
    panic!("no two messages of one size");
}

/// Runs a command that must say nothing on stdout, and why not with a hint.
#[track_caller]
pub(crate) fn refused(house: &mut House, who: &str, command: &str, code: i32) -> String {
    let said = house.sh(who, command).expect(code);
    assert_eq!(said.text(), "", "{command} shows what it must not");
    assert!(said.stderr.contains("error: "), "{}", said.stderr);
    assert!(said.stderr.contains("hint: "), "no hint:\n{}", said.stderr);
    said.stderr
}

/// Gives a message's file another name.
fn rename(path: &Path, from: &str, to: &str) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.contains(from), "{name}");
    fs::rename(path, path.with_file_name(name.replace(from, to))).unwrap();
}

#[test]
fn an_inbox_rolled_back_is_an_alarm() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    let last = send(&mut house, "alice", "bob", "two");
    house.sh("bob", "smr-ls -1").expect(0);
    house.lie(|h| fs::remove_file(file(h, "bob", "inbox", &last)).unwrap());
    let said = refused(&mut house, "bob", "smr-ls", 76);
    assert!(said.contains("smrd has altered the inbox"), "{said}");
    refused(&mut house, "bob", "smr-recv", 76);
    // and it stays one, whatever comes after; now the sender sees it too: two
    // of his messages have one number
    let said = refused(&mut house, "alice", "echo three | smr-send bob", 76);
    assert!(said.contains("was sent, but the mailbox"), "{said}");
    assert!(said.contains("two faces under number 2"), "{said}");
    refused(&mut house, "bob", "smr-ls", 76);
}

/// Takes the last two of three messages, or receipts, out of a folder.
fn roll_back(house: &mut House, who: &str, folder: &str, ids: &[String]) {
    house.lie(|h| {
        for id in &ids[1..] {
            fs::remove_file(file(h, who, folder, id)).unwrap();
        }
    });
}

#[test]
fn a_folder_rolled_back_by_two_is_an_alarm_with_the_first_deposit() {
    let three = |house: &mut House, to| ["1", "2", "3"].map(|text| send(house, "alice", to, text));
    // her own inbox, by a new message and by one that may have been sent before
    for command in [
        "echo x | smr-send alice",
        "echo x | smr-send --once k alice",
    ] {
        let mut house = House::with(PEOPLE);
        let ids = three(&mut house, "alice");
        house.sh("alice", "smr-ls -1").expect(0);
        roll_back(&mut house, "alice", "inbox", &ids);
        let said = refused(&mut house, "alice", command, 76);
        let note = fs::read_to_string(proved(&said).join("before-postmark")).unwrap();
        assert!(note.contains(&ids[2]), "{note}");
    }
    // what she sent, and what another has
    for (who, folder, says) in [
        ("alice", "sent", "the sent folder of \"alice\" went back"),
        ("bob", "inbox", "the inbox of \"bob\" went back"),
    ] {
        let mut house = House::with(PEOPLE);
        let ids = three(&mut house, "bob");
        roll_back(&mut house, who, folder, &ids);
        let said = refused(&mut house, "alice", "echo x | smr-send bob", 76);
        assert!(said.contains("was sent, but "), "{said}");
        assert!(said.contains(says), "{said}");
        assert!(said.contains("from number 3 to 2"), "{said}");
        let note = fs::read_to_string(proved(&said).join("before-postmark")).unwrap();
        assert!(note.contains(&ids[2]), "{note}");
    }
    // the receipts that he gave her
    let mut house = House::with(PEOPLE);
    let ids = three(&mut house, "bob");
    house
        .sh("bob", "smr-recv --all --receipt always --mbox >/dev/null")
        .expect(0);
    roll_back(&mut house, "alice", "receipts", &ids);
    let again = format!("smr-receipt {}", ids[0]);
    let said = refused(&mut house, "bob", &again, 76);
    assert!(
        said.contains("the receipts folder of \"alice\" went back"),
        "{said}"
    );
    proved(&said);
}

#[test]
fn a_message_that_comes_a_second_time_is_an_alarm() {
    let mut house = House::with(PEOPLE);
    let id = send(&mut house, "alice", "bob", "pay");
    house.sh("bob", "smr-recv").expect(0);
    house.lie(|h| {
        let old = file(h, "bob", "inbox", &id);
        let name = old.file_name().unwrap().to_string_lossy().into_owned();
        let again = name
            .replace("000000000001.", "000000000002.")
            .replace(":2,S", ":2,");
        fs::hard_link(&old, old.with_file_name(again)).unwrap();
    });
    let said = refused(&mut house, "bob", "smr-recv", 76);
    assert!(said.contains("twice"), "{said}");
}

#[test]
fn what_a_postmark_promised_cannot_vanish_before_it_was_ever_listed() {
    let mut house = House::with(PEOPLE);
    let id = send(&mut house, "alice", "bob", "one");
    house.lie(|h| fs::remove_file(file(h, "alice", "sent", &id)).unwrap());
    refused(&mut house, "alice", "smr-ls sent", 76);
    refused(&mut house, "alice", "smr-receipt --status", 76);
}

#[test]
fn two_messages_swapped_are_refused() {
    let mut house = House::with(PEOPLE);
    let [one, two] = twins(&mut house);
    house.lie(|h| {
        let (a, b) = (file(h, "bob", "inbox", &one), file(h, "bob", "inbox", &two));
        let aside = h.path("aside");
        fs::rename(&a, &aside).unwrap();
        fs::rename(&b, &a).unwrap();
        fs::rename(&aside, &b).unwrap();
    });
    for id in [one, two] {
        refused(&mut house, "bob", &format!("smr-recv {id}"), 65);
        refused(&mut house, "bob", &format!("smr-recv --sealed {id}"), 65);
    }
}

#[test]
fn a_message_under_another_id_or_sender_is_refused() {
    let mut house = House::with(PEOPLE);
    let id = send(&mut house, "alice", "bob", "one");
    let other = "0".repeat(32);
    house.lie(|h| rename(&file(h, "bob", "inbox", &id), &id, &other));
    let said = refused(&mut house, "bob", &format!("smr-recv {other}"), 65);
    assert!(said.contains("another id"), "{said}");
    // the listing shows no subject that is another message's
    let listed = house.sh("bob", "smr-ls --json").expect(0).text();
    assert!(listed.contains("\"subject\":null"), "{listed}");
    house.lie(|h| {
        rename(&file(h, "bob", "inbox", &other), &other, &id);
        rename(&file(h, "bob", "inbox", &id), ".alice,", ".bob,");
    });
    let said = refused(&mut house, "bob", &format!("smr-recv {id}"), 65);
    assert!(said.contains("sender"), "{said}");
}

#[test]
fn another_persons_record_is_an_alarm() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    house.lie(|h| {
        let record = |who: &str| h.path("store/accounts").join(who).join("record");
        fs::copy(record("alice"), record("bob")).unwrap();
    });
    let said = refused(&mut house, "alice", "echo x | smr-send bob", 76);
    assert!(said.contains("record"), "{said}");
    // nor is he listed under the other's name
    let said = house.sh("alice", "smr-ls users").expect(76);
    let lines: Vec<_> = said
        .stdout
        .split(|b| *b == b'\n')
        .map(String::from_utf8_lossy)
        .collect();
    assert!(lines[0].starts_with("alice\tALICE MARTINS\t"), "{lines:?}");
    assert!(lines[1].starts_with("bob\t?\t"), "{lines:?}");
}

#[test]
fn tools_side_by_side_raise_no_alarm() {
    let mut house = House::with(PEOPLE);
    let sends = "for i in 1 2 3 4 5 6 7 8; do echo $i | smr-send alice bob || exit; done";
    let lists = "for i in 1 2 3 4 5 6 7 8 9; do smr-ls -1 sent && smr-ls -1 || exit; done";
    let all = format!(
        "({sends}) & a=$!; ({sends}) & b=$!; ({lists}) & c=$!; ({lists}) & d=$!; \
         wait $a && wait $b && wait $c && wait $d"
    );
    house.sh("alice", &all).expect(0);
    let ids = house.sh("alice", "smr-ls -1 sent").expect(0).text();
    assert_eq!(ids.lines().count(), 16);
}

#[test]
fn one_forged_message_does_not_hide_the_standing_of_the_others() {
    let mut house = House::with(PEOPLE);
    let one = send(&mut house, "alice", "bob", "one");
    let two = send(&mut house, "alice", "bob", "two");
    house.lie(|h| {
        let path = file(h, "alice", "sent", &one);
        let mut bytes = fs::read(&path).unwrap();
        bytes[3000] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    });
    let said = house.sh("alice", "smr-receipt --status").expect(65);
    assert!(
        said.text().starts_with(&format!("{two}\tbob\tdeposited")),
        "{}",
        said.text()
    );
    assert!(said.stderr.contains(&one), "{}", said.stderr);
}

#[test]
fn a_receipt_put_under_another_readers_name_does_not_count() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let id = send(&mut house, "alice", "bob carol", "one");
    house
        .sh("bob", "smr-recv --receipt always >/dev/null")
        .expect(0);
    house.lie(|h| {
        let real = file(h, "alice", "receipts", &id);
        let name = real.file_name().unwrap().to_string_lossy().into_owned();
        let copy = name.replace("000000000001.", "000000000002.");
        fs::copy(&real, real.with_file_name(copy.replace(".bob,", ".carol,"))).unwrap();
    });
    let said = house
        .sh("alice", "smr-receipt --status --json")
        .expect(65)
        .text();
    let line = |who: &str| {
        let mut lines = said.lines();
        lines
            .find(|line| line.contains(&format!("\"recipient\":\"{who}\"")))
            .unwrap()
            .to_owned()
    };
    assert!(line("bob").contains("\"verdict\":\"good\""), "{said}");
    assert!(!line("carol").contains("good"), "{said}");
    assert!(!line("carol").contains("\"state\":\"read\""), "{said}");
    house
        .sh("alice", &format!("smr-receipt --wait 0s {id}"))
        .expect(1);
    refused(
        &mut house,
        "alice",
        &format!("smr-receipt --export e.zip {id}"),
        65,
    );
}

/// Stands before smrd; of the connection of this number, from 0, it lets
/// smrd's first frame through and cuts the next.
fn cutter(smrd: &str, number: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port is free");
    let address = listener.local_addr().unwrap().to_string();
    let smrd = smrd.to_owned();
    thread::spawn(move || {
        for (at, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&smrd).unwrap());
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pass(from, to));
            match at == number {
                true => thread::spawn(move || cut(server, client)),
                false => thread::spawn(move || pass(server, client)),
            };
        }
    });
    address
}

/// Either side may end the connection as it likes.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn cut(mut from: TcpStream, mut to: TcpStream) {
    let mut length = [0; 2];
    from.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u16::from_be_bytes(length).into()];
    from.read_exact(&mut frame).unwrap();
    to.write_all(&length).unwrap();
    to.write_all(&frame).unwrap();
    // With its next word smrd has done what it was asked.
    from.read_exact(&mut length).unwrap();
    to.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn an_enrolment_whose_answer_is_lost_is_an_enrolment() {
    let mut house = House::build();
    let proxy = cutter(house.server(), 1);
    let register = format!(
        "smr-register --server {proxy} --server-key $KEY --token \"$TOKEN\" --no-backup $WHO"
    );
    let said = house.sh("carol", &register).expect(0).text();
    assert!(said.starts_with("carol@repo.example SHA256:"), "{said}");
    assert_eq!(house.log().matches("event=enrolled").count(), 1);
    house.sh("carol", "smr-login").expect(0);
}

#[test]
fn an_enrolment_that_is_refused_leaves_nothing_behind() {
    let mut house = House::with(&["carol"]);
    let register =
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --backup b.age carol";
    house.sh("alice", register).expect(77);
    house.sh("alice", "ls b.age $SMR_HOME/keys/*").expect(2);
}

#[test]
fn several_logins_at_once_share_one_agent() {
    let mut house = House::with(&["carol"]);
    let logins = "smr-login --logout; for i in 1 2 3 4; do smr-login & p=\"$p $!\"; done; \
                  for i in $p; do wait $i || exit; done; smr-login --status";
    let said = house.sh("carol", logins).expect(0).text();
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn evidence_is_for_its_owner_until_he_hands_it_over() {
    use std::os::unix::fs::PermissionsExt;
    let mut house = House::with(PEOPLE);
    let id = send(&mut house, "alice", "bob", "one");
    house
        .sh(
            "alice",
            &format!("umask 0; smr-receipt --export e.zip {id}"),
        )
        .expect(0);
    let zip = house.path("work/alice/e.zip");
    assert_eq!(
        fs::metadata(&zip).unwrap().permissions().mode() & 0o777,
        0o600
    );
    refused(
        &mut house,
        "alice",
        &format!("smr-receipt --export e.zip {id}"),
        73,
    );
    refused(
        &mut house,
        "alice",
        &format!("smr-receipt --export no/e.zip {id}"),
        73,
    );
    // what cannot be written leaves nothing behind
    house.lie(|h| fs::remove_file(file(h, "alice", "sent", &id)).unwrap());
    refused(
        &mut house,
        "alice",
        &format!("smr-receipt --export f.zip {id}"),
        66,
    );
    assert_eq!(fs::read_dir(house.path("work/alice")).unwrap().count(), 1);
}

#[test]
fn a_backup_that_cannot_be_written_stops_an_enrolment_before_the_card() {
    let mut house = House::build();
    let register =
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --backup b.age $WHO";
    house.sh("alice", "echo mine > b.age").expect(0);
    let said = house.sh("alice", register).expect(73);
    assert!(
        said.stderr.contains("\"b.age\" exists already"),
        "{}",
        said.stderr
    );
    house.sh("alice", "rm b.age").expect(0);
    house.sh("alice", register).expect(0);
    house
        .sh("alice", "test $(stat -c %a b.age) = 600 && smr-login")
        .expect(0);
}

#[test]
fn a_backup_in_no_folder_leaves_no_key_ring_behind() {
    let mut house = House::build();
    house.sh("alice", "touch plain").expect(0);
    let register = |backup: &str| {
        format!("smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" {backup} $WHO")
    };
    house
        .sh("alice", &register("--backup plain/b.age"))
        .expect(73);
    house.sh("alice", &register("--no-backup")).expect(0);
}

#[test]
fn a_file_that_was_cut_or_grew_in_the_store_is_said_to_be_damaged() {
    let mut house = House::with(PEOPLE);
    for grown in [false, true] {
        let id = send(&mut house, "alice", "bob", "one");
        house.lie(|house| {
            let path = file(house, "bob", "inbox", &id);
            let mut bytes = fs::read(&path).unwrap();
            match grown {
                true => bytes.push(0),
                false => bytes.truncate(bytes.len() / 2),
            }
            fs::write(&path, bytes).unwrap();
        });
        let said = refused(&mut house, "bob", &format!("smr-recv {id}"), 65);
        assert!(said.contains("damaged in the store"), "{said}");
        // The rest of the mailbox is served as before.
        house.sh("bob", "smr-ls -q").expect(0);
    }
}

#[test]
fn a_postmark_that_cannot_be_kept_is_no_reason_to_send_again() {
    let mut house = House::with(PEOPLE);
    house
        .sh(
            "alice",
            "mkdir -p $SMR_HOME/state && touch $SMR_HOME/state/postmarks",
        )
        .expect(0);
    let said = refused(&mut house, "alice", "echo once | smr-send bob", 74);
    assert!(
        said.contains("was sent, but its postmark was not kept"),
        "{said}"
    );
    assert_eq!(
        house
            .sh("bob", "smr-ls -1")
            .expect(0)
            .text()
            .lines()
            .count(),
        1
    );
}
