//! Listings that are remembered: a folder is walked and opened once, and what
//! smrd, other tools or the disk do meanwhile is seen all the same.

mod house;

use std::fs;
use std::path::PathBuf;

use house::House;
use house::counter::Counter;

fn send(house: &mut House, subject: &str) -> String {
    let command = format!("smr-send -s '{subject}' bob");
    let sent = house.sh_with("alice", &command, b"text");
    sent.expect(0).text()
}

fn list(house: &mut House, how: &str) -> String {
    house.sh("bob", &format!("smr-ls {how}")).expect(0).text()
}

/// The column of flags and the subjects, in the order listed.
fn rows(house: &mut House) -> Vec<(String, String)> {
    let listed = list(house, "");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        (fields[1].to_owned(), fields[6].to_owned())
    };
    listed.lines().map(row).collect()
}

fn subjects(house: &mut House) -> Vec<String> {
    rows(house)
        .into_iter()
        .map(|(_, subject)| subject)
        .collect()
}

fn shelf(house: &House, who: &str) -> PathBuf {
    let shelves = house.path("home").join(who).join("cache/shelves");
    shelves.join(format!("{who}@repo.example"))
}

#[test]
fn what_was_listed_is_not_fetched_again() {
    let mut house = House::with(&["alice", "bob"]);
    for number in 0..30 {
        send(&mut house, &format!("number {number}"));
    }
    let counter = Counter::start(&house);
    counter.before(&mut house, "bob");
    let came = |house: &mut House| {
        let before = counter.passed().1;
        let listed = subjects(house);
        (listed, counter.passed().1 - before)
    };
    let (first, opened) = came(&mut house);
    assert_eq!(first.len(), 30);
    assert_eq!(first[29], "number 29");
    let (again, little) = came(&mut house);
    assert_eq!(again, first);
    // A page without entries, and 30 states of two bits.
    assert!(little < 1000 && opened > 100_000, "{opened} {little}");
    // What is new is fetched alone.
    send(&mut house, "one more");
    let (more, some) = came(&mut house);
    assert_eq!((more.len(), more[30].as_str()), (31, "one more"));
    assert!(some < opened / 10, "{opened} {some}");
    // Without ids no more is asked for.
    let before = counter.passed().1;
    house.sh("bob", "smr-recv --peek").expect(0);
    let read = counter.passed().1 - before;
    assert!(read < opened / 10, "{opened} {read}");
}

#[test]
fn what_is_read_removed_or_new_meanwhile_is_seen() {
    let mut house = House::with(&["alice", "bob"]);
    let ids: Vec<String> = ["a", "b", "c"].map(|s| send(&mut house, s)).into();
    let all = |flags: [&str; 3], subjects: [&str; 3]| -> Vec<(String, String)> {
        let rows = flags.into_iter().zip(subjects);
        rows.map(|(f, s)| (f.to_owned(), s.to_owned())).collect()
    };
    let new = all(["N?", "N?", "N?"], ["a", "b", "c"]);
    assert_eq!(rows(&mut house), new);
    // Unread first, and the next of them without an id.
    house.sh("bob", &format!("smr-recv {}", ids[0])).expect(0);
    let read = all(["N?", "N?", "R?"], ["b", "c", "a"]);
    assert_eq!(rows(&mut house), read);
    assert_eq!(house.sh("bob", "smr-recv -O 1").expect(0).text(), "text");
    let read = all(["N?", "R?", "R?"], ["c", "a", "b"]);
    assert_eq!(rows(&mut house), read);
    house.sh("bob", &format!("smr-rm {}", ids[2])).expect(0);
    assert_eq!(subjects(&mut house), ["a", "b"]);
    assert_eq!(house.sh("bob", "smr-recv").code, 66);
    assert_eq!(list(&mut house, "-1 -r"), format!("{}\n{}", ids[1], ids[0]));
    assert_eq!(list(&mut house, "-1 -n 1 --subject a"), ids[0]);
    assert_eq!(house.sh("bob", "smr-ls -q -u").code, 1);
}

#[test]
fn a_cache_that_is_damaged_old_or_another_s_is_none() {
    let mut house = House::with(&["alice", "bob"]);
    send(&mut house, "secret plans");
    assert_eq!(subjects(&mut house), ["secret plans"]);
    let file = shelf(&house, "bob").join("inbox.000000");
    let old = fs::read(&file).unwrap();
    let plain = |bytes: &[u8]| bytes.windows(6).any(|w| w == b"secret" || w == b"alice@");
    assert!(!plain(&old), "it is sealed");
    send(&mut house, "two");
    assert_eq!(subjects(&mut house), ["secret plans", "two"]);
    for other in [&old[..], b"", &old[1..], &[7; 5000]] {
        fs::write(&file, other).unwrap();
        assert_eq!(subjects(&mut house), ["secret plans", "two"]);
    }
    // Another account's, under the name of this one.
    house.sh("alice", "smr-ls sent").expect(0);
    let sent = shelf(&house, "alice").join("sent.000000");
    fs::copy(sent, &file).unwrap();
    assert_eq!(subjects(&mut house), ["secret plans", "two"]);
    fs::remove_dir_all(shelf(&house, "bob")).unwrap();
    assert_eq!(subjects(&mut house), ["secret plans", "two"]);
    // Nor is anything of it shown while the agent is locked.
    house.sh("bob", "smr-login --lock").expect(0);
    assert_eq!(house.sh("bob", "smr-ls").code, 69);
}

#[test]
fn a_cache_raises_no_alarm_and_hides_none() {
    let mut house = House::with(&["alice", "bob"]);
    for subject in ["one", "two"] {
        send(&mut house, subject);
    }
    assert_eq!(subjects(&mut house), ["one", "two"]);
    let file = shelf(&house, "bob").join("inbox.000000");
    let kept = fs::read(&file).unwrap();
    // What smrd no longer has is an alarm, with the cache and without.
    let inbox = house.path("store/accounts/bob/inbox");
    house.lie(|_| {
        for dir in ["new", "cur"] {
            for entry in fs::read_dir(inbox.join(dir)).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name.starts_with("000000000002.") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
        }
    });
    for _ in 0..2 {
        let said = house.sh("bob", "smr-ls").expect(76).stderr;
        assert!(said.contains("proof in"), "{said}");
    }
    fs::write(&file, kept).unwrap();
    house.sh("bob", "smr-ls").expect(76);
}
