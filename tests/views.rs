//! A repository that shows different people different mailboxes: what they
//! find out when they write to each other.
//!
//! smrd is stopped while its store is changed, so each view is consistent in
//! itself; only what people tell one another inside the seal gives it away.

mod house;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use house::House;

const PEOPLE: &[&str] = &["alice", "bob"];

fn send(house: &mut House, from: &str, to: &str, text: &str) -> String {
    house
        .sh_with(from, &format!("smr-send -s {text} {to}"), text.as_bytes())
        .expect(0)
        .text()
}

/// Returns the file of what `id` names in a folder of somebody's mailbox.
fn file(house: &House, who: &str, folder: &str, id: &str) -> PathBuf {
    let dir = house.path("store/accounts").join(who).join(folder);
    let places = ["new", "cur"].map(|place| fs::read_dir(dir.join(place)));
    let files = places.into_iter().flatten().flatten();
    let mut paths = files.map(|entry| entry.expect("folder reads").path());
    paths
        .find(|path| path.to_string_lossy().contains(id))
        .expect("it has a file")
}

/// Takes an entry out of a folder; returns where it was.
fn withhold(house: &House, who: &str, folder: &str, id: &str) -> PathBuf {
    let path = file(house, who, folder, id);
    fs::rename(&path, house.path(&format!("withheld-{id}"))).unwrap();
    path
}

fn give_back(house: &House, id: &str, path: &PathBuf) {
    fs::rename(house.path(&format!("withheld-{id}")), path).unwrap();
}

/// Gives an entry another number.
fn renumber(house: &House, who: &str, folder: &str, id: &str, from: u64, to: u64) {
    let path = file(house, who, folder, id);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let rest = name.strip_prefix(&format!("{from:012}")).expect("number");
    fs::rename(&path, path.with_file_name(format!("{to:012}{rest}"))).unwrap();
}

/// Runs a command that must say why smrd is not believed, with a hint.
#[track_caller]
fn alarm(house: &mut House, who: &str, command: &str) -> String {
    let said = house.sh(who, command).expect(76);
    assert_eq!(said.text(), "", "{command} shows what it must not");
    assert!(said.stderr.contains("hint: "), "no hint:\n{}", said.stderr);
    said.stderr
}

/// A proof was kept and named that openssl finds good; a file of it says so.
#[track_caller]
fn proved(said: &str, file: &str, says: &str) {
    let (_, rest) = said.split_once("proof in \"").expect("a proof is named");
    let proof = PathBuf::from(rest.split('"').next().unwrap());
    let check = Command::new("sh").arg(proof.join("check.sh")).output();
    assert!(check.expect("sh runs").status.success());
    let text = fs::read_to_string(proof.join(file)).unwrap();
    assert!(text.contains(says), "{text}");
}

#[test]
fn a_newest_message_withheld_is_found_when_the_sender_writes_again() {
    let mut house = House::with(PEOPLE);
    let first = send(&mut house, "alice", "bob", "one");
    let second = send(&mut house, "alice", "bob", "two");
    let mut place = PathBuf::new();
    house.lie(|h| {
        place = withhold(h, "bob", "inbox", &first);
        renumber(h, "bob", "inbox", &second, 2, 1);
    });
    // The listing alone is consistent.
    assert_eq!(house.sh("bob", "smr-ls -1").expect(0).text(), second);
    let said = alarm(&mut house, "bob", "smr-recv");
    assert!(said.contains("smrd has altered the inbox"), "{said}");
    assert!(said.contains("\"alice@repo.example\""), "{said}");
    proved(&said, "before-told", "alice@repo.example");
    // From now on, whatever is listed; and the message is there to be read.
    alarm(&mut house, "bob", "smr-ls");
    let text = house.sh("bob", &format!("smr-recv -O 1 {second}"));
    assert_eq!(text.expect(0).text(), "two");
    alarm(&mut house, "bob", &format!("smr-receipt {second}"));
    // What smrd signed is kept, where the hint says.
    let kept = "cat $SMR_HOME/state/known/heads/repo.example/bob.inbox.told.toml";
    assert!(said.contains("bob.inbox.told.toml"), "{said}");
    let kept = house.sh("bob", kept).expect(0).text();
    assert!(kept.contains("bob@repo.example message "), "{kept}");

    // Another view than was shown before is one alarm, the true one another:
    // nothing makes up for it but what was promised, and what was seen.
    house.lie(|h| {
        renumber(h, "bob", "inbox", &second, 1, 2);
        give_back(h, &first, &place);
    });
    alarm(&mut house, "bob", "smr-ls");
}

#[test]
fn a_withheld_message_that_appears_before_it_is_listed_is_no_alarm() {
    let mut house = House::with(PEOPLE);
    let first = send(&mut house, "alice", "bob", "one");
    let second = send(&mut house, "alice", "bob", "two");
    // Named by its id it is read without a listing; what it tells waits.
    house
        .sh("bob", &format!("smr-recv -O 1 {second}"))
        .expect(0);
    let told = "cat $SMR_HOME/state/known/heads/repo.example/bob.inbox.told.toml";
    let waits = house.sh("bob", told).expect(0).text();
    assert!(waits.contains(&second), "{waits}");
    let listed = house.sh("bob", "smr-ls -1").expect(0).text();
    assert_eq!(listed, format!("{first}\n{second}"));
    let waits = house.sh("bob", told).expect(0).text();
    assert!(!waits.contains(&second), "{waits}");
    house.sh("bob", "smr-recv").expect(0);
}

#[test]
fn two_devices_shown_different_mailboxes_find_out() {
    let mut house = House::with(&["bob", "carol"]);
    let add = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
               --add-device phone $WHO && smr-login";
    house.sh("carol+phone", add).expect(0);
    send(&mut house, "bob", "carol", "one");
    let newest = send(&mut house, "bob", "carol", "two");
    house.sh("carol", "smr-ls -1").expect(0);
    let own = send(&mut house, "carol", "bob", "answer");
    let mut place = PathBuf::new();
    house.lie(|h| {
        place = withhold(h, "carol", "inbox", &newest);
    });
    // The phone has never listed the inbox, and reads what the other sent.
    house
        .sh("carol+phone", &format!("smr-recv -O 1 {own}"))
        .expect(0);
    let said = alarm(&mut house, "carol+phone", "smr-ls");
    assert!(said.contains("another device of yours"), "{said}");
    proved(&said, "before-told", &own);
    house.lie(|h| give_back(h, &newest, &place));
    house.sh("carol+phone", "smr-ls").expect(0);
    assert_eq!(
        house
            .sh("carol+phone", &format!("smr-recv -O 1 {newest}"))
            .expect(0)
            .text(),
        "two"
    );
}

/// Bob sees alice's and carol's first messages the other way round.
fn forked() -> (House, String) {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let alices = send(&mut house, "alice", "bob", "one");
    let carols = send(&mut house, "carol", "bob", "other");
    house.lie(|h| {
        renumber(h, "bob", "inbox", &carols, 2, 9);
        renumber(h, "bob", "inbox", &alices, 1, 2);
        renumber(h, "bob", "inbox", &carols, 9, 1);
    });
    house.sh("bob", "smr-recv -n 1 >/dev/null").expect(0);
    house.sh("bob", "smr-recv -n 1 >/dev/null").expect(0);
    (house, alices)
}

#[test]
fn a_fork_is_found_by_the_reader_of_the_next_message() {
    let (mut house, _) = forked();
    let next = send(&mut house, "alice", "bob", "two");
    let said = alarm(&mut house, "bob", "smr-recv");
    assert!(said.contains(&next), "{said}");
    proved(&said, "before-told", &next);
    house.sh("bob", &format!("smr-recv {next}")).expect(0);
}

#[test]
fn a_fork_is_found_by_the_sender_when_the_receipt_comes() {
    let (mut house, id) = forked();
    house.sh("bob", &format!("smr-receipt {id}")).expect(0);
    let said = house.sh("alice", "smr-receipt --status").expect(76);
    proved(&said.stderr, "before-postmark", &id);
    let said = said.text();
    assert!(said.contains("as number 2, not 1"), "{said}");
    assert!(!said.contains("good"), "{said}");
    let wait = format!("smr-receipt --wait 0s {id}");
    house.sh("alice", &wait).expect(1);
    let said = house
        .sh("alice", &format!("smr-receipt --export e.zip {id}"))
        .expect(76);
    assert!(said.stderr.contains("left out"), "{}", said.stderr);
}

#[test]
fn a_receipt_withheld_is_found_with_the_next_one() {
    let mut house = House::with(PEOPLE);
    let [one, two] = ["one", "two"].map(|text| {
        let id = send(&mut house, "alice", "bob", text);
        house
            .sh("bob", "smr-recv --receipt always >/dev/null")
            .expect(0);
        id
    });
    let mut place = PathBuf::new();
    house.lie(|h| {
        place = withhold(h, "alice", "receipts", &one);
        renumber(h, "alice", "receipts", &two, 2, 1);
    });
    let said = house.sh("alice", "smr-receipt --status").expect(76);
    proved(&said.stderr, "before-told", &two);
    let said = said.text();
    let line = |id: &str| said.lines().find(|l| l.starts_with(id)).unwrap().to_owned();
    assert!(line(&one).contains("fetched"), "{said}");
    assert!(line(&two).contains("altered the receipts folder"), "{said}");
    alarm(&mut house, "alice", "smr-receipt --status");
}

#[test]
fn a_sender_who_makes_up_heads_harms_nobody() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    // Her program now tells another head, over which smrd's signature is not.
    let forge = "f=$SMR_HOME/state/known/theirs/repo.example/alice/bob.message.toml; \
                 sed -i 's/ message ..../ message AAAA/' $f && grep -q 'message AAAA' $f && \
                 rm $SMR_HOME/state/known/journal";
    house.sh("alice", forge).expect(0);
    let id = send(&mut house, "alice", "bob", "two");
    for command in ["smr-recv", "smr-recv", "smr-ls"] {
        house.sh("bob", command).expect(0);
    }
    let raw = house.sh("bob", &format!("smr-recv --raw {id}")).expect(0);
    assert!(raw.text().contains("message AAAA"), "the lie was told");
}

#[test]
fn heads_tell_addressees_no_number_and_nothing_of_one_another() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    for _ in 0..2 {
        send(&mut house, "bob", "alice", "hello");
    }
    house.sh("alice", "smr-ls -1").expect(0);
    send(&mut house, "alice", "bob", "one");
    let id = send(&mut house, "alice", "bob carol", "both");
    let raw = house
        .sh("carol", &format!("smr-recv --raw {id}"))
        .expect(0)
        .text();
    let heads: Vec<&str> = raw
        .split("SMR-Heads: ")
        .nth(1)
        .expect("it tells of heads")
        .split("\r\nMIME-Version")
        .next()
        .unwrap()
        .split(",\r\n ")
        .collect();
    let words: Vec<Vec<&str>> = heads.iter().map(|l| l.split(' ').collect()).collect();
    let whose: Vec<(&str, &str)> = words.iter().map(|w| (w[0], w[1])).collect();
    // Carol was never written to before.
    let expected = [
        ("alice@repo.example", "message"),
        ("alice@repo.example", "copy"),
        ("bob@repo.example", "message"),
    ];
    assert_eq!(whose, expected);
    for line in &words {
        assert_eq!(line[2].len(), 43, "a digest and no number: {line:?}");
    }
    // No head, no id and no digest of the mailboxes is in it.
    let marks = house
        .sh(
            "alice",
            "cat $SMR_HOME/state/postmarks/*/bob | sed -n 's/^head //p'",
        )
        .expect(0)
        .text();
    assert!(marks.lines().count() == 2 && marks.lines().all(|head| !raw.contains(head)));
}
