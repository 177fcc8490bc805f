//! A repository put back from a backup that was taken while it served, and one
//! that moves to another machine, as its people notice them.
//!
//! Needs rsync. What a copy holds under load: lib/store/tests/backup.rs.

use std::fs;
use std::process::Command;

mod house;

use house::House;

fn send(house: &mut House, from: &str, to: &str, text: &str) -> String {
    let command = format!("smr-send {to}");
    let sent = house.sh_with(from, &command, text.as_bytes());
    sent.expect(0).text()
}

fn read(house: &mut House, who: &str, id: &str, code: i32) -> String {
    let command = format!("smr-recv --receipt never -O 1 {id}");
    house.sh(who, &command).expect(code).text()
}

fn run(command: &mut Command) {
    let done = command.output().expect("it runs");
    assert!(done.status.success(), "{command:?}: {done:?}");
}

fn back_up(house: &House) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/backup.sh");
    let mut backup = Command::new(script);
    run(backup.arg(house.path("store")).arg(house.path("backup")));
}

#[test]
fn a_repository_comes_back_from_a_copy_of_its_files() {
    let mut house = House::with(&["alice", "bob"]);
    let first = send(&mut house, "alice", "bob", "before the backup");
    back_up(&house);
    // The disk is lost, and nothing was seen since.
    house.stop();
    fs::remove_dir_all(house.path("store")).unwrap();
    fs::rename(house.path("backup"), house.path("store")).unwrap();
    let fsck = house.smrd_says(&["--fsck"]).expect(0).text();
    assert!(fsck.contains("0 findings"), "{fsck}");
    house.start();
    assert_eq!(read(&mut house, "bob", &first, 0), "before the backup");
    house.sh("bob", &format!("smr-receipt {first}")).expect(0);
    let status = format!("smr-receipt --status {first}");
    assert!(house.sh("alice", &status).expect(0).text().contains("read"));
    let second = send(&mut house, "bob", "alice", "after it");
    assert_eq!(read(&mut house, "alice", &second, 0), "after it");
}

#[test]
fn people_who_saw_more_than_a_backup_has_are_told() {
    let mut house = House::with(&["alice", "bob"]);
    send(&mut house, "alice", "bob", "before the backup");
    back_up(&house);
    let later = send(&mut house, "alice", "bob", "after it");
    assert_eq!(read(&mut house, "bob", &later, 0), "after it");
    house.sh("bob", "smr-ls").expect(0);
    house.stop();
    fs::remove_dir_all(house.path("store")).unwrap();
    fs::rename(house.path("backup"), house.path("store")).unwrap();
    house.start();
    house.sh("bob", "smr-ls").expect(76);
}

#[test]
fn a_repository_moves_and_nobody_notices() {
    let mut house = House::with(&["alice", "bob"]);
    let old = send(&mut house, "alice", "bob", "on the old machine");
    house.stop();
    let (from, to) = (house.path("store"), house.path("machine"));
    let slash = format!("{}/", from.display());
    run(Command::new("rsync").arg("-aH").arg(slash).arg(&to));
    fs::remove_dir_all(&from).unwrap();
    let file = house.path("smrd.toml");
    let text = fs::read_to_string(&file).unwrap();
    let there = to.to_str().unwrap();
    fs::write(&file, text.replace(from.to_str().unwrap(), there)).unwrap();
    let fsck = house.smrd_says(&["--fsck"]).expect(0).text();
    assert!(fsck.contains("0 findings"), "{fsck}");
    house.smrd_says(&["--check"]).expect(0);
    house.start();
    assert_eq!(read(&mut house, "bob", &old, 0), "on the old machine");
    let new = send(&mut house, "bob", "alice", "on the new one");
    assert_eq!(read(&mut house, "alice", &new, 0), "on the new one");
}
