//! Sessions that stay open, through the programs: who is seen to be on line,
//! what ends a wait, and what a wait says when smrd ends in the middle of it.

mod house;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use house::{House, make_pki};

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Finds the agent whose home this is.
fn agent_of(home: &Path) -> String {
    let ours = format!("SMR_HOME={}", home.display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut agents = processes.filter(|process| {
        // Others' processes, and those that have just ended, cannot be read.
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let environment = read("environ");
        let mut variables = environment.split(|byte| *byte == 0);
        read("comm").starts_with(b"smr-agent") && variables.any(|one| one == ours.as_bytes())
    });
    let agent = agents.next().expect("an agent runs");
    agent.file_name().into_string().unwrap()
}

fn is_online(house: &mut House, who: &str) -> bool {
    let users = house.sh("bob", "smr-ls users --json").expect(0).text();
    let mut lines = users.lines();
    let line = lines.find(|line| line.contains(&format!("\"{who}\"")));
    line.expect("he is a user").contains("\"online\":true")
}

#[test]
fn whoever_is_killed_is_off_line() {
    let mut house = House::with(&["alice", "bob"]);
    house.sh("alice", "smr-ls -1").expect(0);
    assert!(is_online(&mut house, "alice"), "her agent holds a session");
    let agent = agent_of(&house.path("home/alice"));
    let killed = Command::new("kill").args(["-KILL", &agent]).status();
    assert!(killed.unwrap().success());
    eventually("alice is off line", || !is_online(&mut house, "alice"));
}

/// A house whose log shows every request, and a message from alice to bob.
fn waiting() -> (tempfile::TempDir, House, String) {
    let pki = tempfile::tempdir().unwrap();
    make_pki(pki.path());
    let mut house = House::with_pki(pki.path(), "[log]\nlevel = \"debug\"\n");
    house.move_in("alice");
    house.move_in("bob");
    let id = house
        .sh_with("alice", "smr-send bob", b"read this")
        .expect(0)
        .text();
    (pki, house, id)
}

fn watches(house: &House) -> usize {
    house.log().matches("kind=watch account=alice").count()
}

/// Lets alice wait for the receipt until she is seen to.
fn begin(house: &mut House, id: &str) {
    let before = watches(house);
    let wait = format!(
        "rm -f code; (smr-receipt --wait 10m {id} >said 2>&1; echo $? >code.new; \
         mv code.new code) </dev/null >/dev/null 2>&1 &"
    );
    house.sh("alice", &wait).expect(0);
    eventually("alice waits", || watches(house) > before);
}

/// Waits for the end of that; returns the exit code and what was said.
fn ended(house: &House) -> (i32, String) {
    let code = house.path("work/alice/code");
    eventually("the wait ends", || code.exists());
    let read = |name: &str| fs::read_to_string(house.path("work/alice").join(name)).unwrap();
    (read("code").trim().parse().unwrap(), read("said"))
}

#[test]
fn a_wait_ends_when_the_receipt_comes_and_asks_no_more_than_it_must() {
    let (_pki, mut house, id) = waiting();
    begin(&mut house, &id);
    house
        .sh("bob", "smr-recv --receipt always >/dev/null")
        .expect(0);
    assert_eq!(ended(&house), (0, String::new()));
    assert_eq!(watches(&house), 1, "it is told, and does not ask again");
}

#[test]
fn a_wait_that_smrd_ends_is_said_to_be_over_for_now() {
    let (_pki, mut house, id) = waiting();
    for kill in [false, true] {
        begin(&mut house, &id);
        match kill {
            true => house.kill(),
            false => assert_eq!(house.stop(), Some(0)),
        }
        let (code, said) = ended(&house);
        assert_eq!(code, 75, "{said}");
        assert!(
            said.contains("error: ") && said.contains("hint: "),
            "{said}"
        );
        house.start();
    }
    // And then it goes on.
    house
        .sh("bob", "smr-recv --receipt always >/dev/null")
        .expect(0);
    house
        .sh("alice", &format!("smr-receipt --wait 1m {id}"))
        .expect(0);
}
