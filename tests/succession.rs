//! The keys of a repository are replaced, signed for by the old ones: clients
//! follow without a word of alarm, what the old keys signed stays good, and
//! nobody is led astray by false successions or by old keys in other hands.

#![allow(clippy::print_stdout)] // how many kills there were

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

mod house;

use house::{House, Said};

const RECEIVE: &str = "smr-recv --receipt always";

/// Replaces the keys; returns the new fingerprint.
fn rotate(house: &mut House) -> String {
    assert_eq!(house.stop(), Some(0));
    let rotated = house.smrd_says(&["--rotate-key"]).expect(0).text();
    assert_eq!(house.smrd_says(&["--fingerprint"]).text(), rotated);
    house.start();
    rotated
}

fn send(house: &mut House, from: &str, to: &str, text: &str) -> Said {
    house.sh_with(from, &format!("smr-send -s {text} {to}"), text.as_bytes())
}

fn servers(house: &House, who: &str) -> String {
    let known = house.path(&format!("home/{who}"));
    let found = Command::new("find")
        .arg(&known)
        .args(["-path", "*known/servers/repo.example.toml"])
        .output()
        .unwrap();
    let path = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    fs::read_to_string(path).unwrap()
}

/// A copy of the store's keys and chain, as a thief has it.
fn take(house: &House, name: &str) {
    fs::create_dir(house.path(name)).unwrap();
    for file in ["server.key", "succession"] {
        let from = house.path("store").join(file);
        if from.exists() {
            fs::copy(from, house.path(name).join(file)).unwrap();
        }
    }
}

/// Puts such a copy in the place of what the repository has.
fn put(house: &House, name: &str) {
    for file in ["server.key", "succession"] {
        let _ = fs::remove_file(house.path("store").join(file));
        let from = house.path(name).join(file);
        if from.exists() {
            fs::copy(from, house.path("store").join(file)).unwrap();
        }
    }
}

fn proofs(house: &House, who: &str) -> Vec<String> {
    let home = house.path(&format!("home/{who}"));
    let found = Command::new("find")
        .arg(home)
        .args(["-path", "*proofs/*/README.txt"])
        .output();
    let text = String::from_utf8(found.unwrap().stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn clients_follow_new_keys_and_old_evidence_stays_good() {
    let mut house = House::with(&["alice", "bob"]);
    let first = house.fingerprint().to_owned();
    let early = send(&mut house, "alice", "bob", "early").expect(0).text();
    house.sh("bob", RECEIVE).expect(0);

    // The agents hold the old keys; nobody is asked for anything.
    let second = rotate(&mut house);
    assert_ne!(first, second);
    let sent = send(&mut house, "alice", "bob", "later").expect(0);
    let later = sent.text();
    let notice = format!(
        "smr-send: the keys of repo.example were replaced, as the old ones say: now {second}\n"
    );
    assert_eq!(sent.stderr, notice);
    assert!(servers(&house, "alice").contains("smr succession 1"));
    let quiet = send(&mut house, "alice", "alice", "again").expect(0);
    assert_eq!(quiet.stderr, "", "told once");
    // By the tool that fetches as well, and by a new login.
    house.sh("bob", "smr-login --logout").expect(0);
    let login = house.sh("bob", "smr-login").expect(0);
    assert!(login.stderr.contains(&second), "{}", login.stderr);
    let got = house.sh("bob", RECEIVE).expect(0);
    assert!(got.text().contains("later"));

    // What was signed by the old keys, by the new ones, and by both.
    for id in [&early, &later] {
        house
            .sh("alice", &format!("smr-receipt --status {id}"))
            .expect(0);
        let export = format!("smr-receipt --export {id}.zip {id}");
        house.sh("alice", &export).expect(0);
        let verify = format!("smr-receipt --verify {id}.zip");
        let good = house.sh("alice", &verify).expect(0);
        assert!(good.text().contains(&second), "{}", good.text());
        let script = format!("unzip -q {id}.zip -d {id} && sh {id}/verify.sh $PKI/ca/root.pem");
        let text = house.sh("alice", &script).expect(0).text();
        assert!(
            text.contains("good      succession 1 of its keys"),
            "{text}"
        );
        assert!(text.contains("good      postmark: message"), "{text}");
    }
    let listed = house.sh("alice", "smr-ls sent").expect(0).text();
    assert!(listed.contains(&early) && listed.contains(&later));

    // One who sleeps through two more, and one who was told the first key.
    let third = rotate(&mut house);
    let fourth = rotate(&mut house);
    let sent = send(&mut house, "bob", "alice", "reply").expect(0);
    assert!(sent.stderr.contains(&fourth), "{}", sent.stderr);
    assert!(!sent.stderr.contains(&third), "{}", sent.stderr);
    house.move_in("carol");
    send(&mut house, "carol", "alice", "hello").expect(0);
    let got = house
        .sh("alice", "smr-recv && smr-recv && smr-recv")
        .expect(0);
    assert!(got.text().contains("reply") && got.text().contains("hello"));

    let check = house.smrd_says(&["--check"]).text();
    assert!(
        check.contains(&format!("ok: keys: identity {fourth}, succession 3 since ")),
        "{check}"
    );
    house.smrd_says(&["--fsck"]).expect(0);
    let log = house.log();
    assert!(log.contains("event=succession number=3"), "{log}");
    assert!(!log.contains("event=stranger"), "{log}");
}

#[test]
fn a_key_ring_that_slept_follows_at_login() {
    let mut house = House::with(&["alice"]);
    house.sh("alice", "smr-login --logout").expect(0);
    rotate(&mut house);
    let second = rotate(&mut house);
    let login = house.sh("alice", "smr-login").expect(0);
    assert!(login.stderr.contains(&second), "{}", login.stderr);
    let check = house.sh("alice", "smr-login --check");
    assert!(check.text().contains("repo.example at"), "{}", check.text());
}

#[test]
fn old_keys_move_nobody_who_has_followed() {
    let mut house = House::with(&["alice", "bob"]);
    take(&house, "thief");
    rotate(&mut house);
    send(&mut house, "alice", "alice", "followed").expect(0);
    take(&house, "honest");

    // The thief goes another way from the same keys.
    assert_eq!(house.stop(), Some(0));
    put(&house, "thief");
    house.start();
    rotate(&mut house);
    let moved = send(&mut house, "alice", "alice", "astray").expect(76);
    assert!(
        moved.stderr.contains("were replaced twice"),
        "{}",
        moved.stderr
    );
    let kept = proofs(&house, "alice");
    assert_eq!(kept.len(), 1, "{kept:?}");
    let folder = Path::new(&kept[0]).parent().unwrap();
    let of = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_ne!(of("before-succession"), of("succession"));
    house.sh("alice", "smr-login --logout").expect(0);
    house.sh("alice", "smr-login").expect(76);

    // With the old keys alone it is a way back.
    assert_eq!(house.stop(), Some(0));
    put(&house, "thief");
    house.start();
    let back = house.sh("alice", "smr-login").expect(76);
    assert!(back.stderr.contains("went back to keys"), "{}", back.stderr);

    // And the honest repository is believed again, without a word.
    assert_eq!(house.stop(), Some(0));
    put(&house, "honest");
    house.start();
    house.sh("alice", "smr-login").expect(0);
    send(&mut house, "alice", "bob", "home").expect(0);
}

#[test]
fn false_successions_move_nobody() {
    let mut house = House::with(&["alice"]);
    let first = house.fingerprint().to_owned();
    let second = rotate(&mut house);
    assert_eq!(house.stop(), Some(0));
    let file = house.path("store/succession");
    let good = fs::read_to_string(&file).unwrap();
    // smrd itself does not serve what does not verify.
    for bad in [
        good.replace("number 1", "number 2"),
        good.replace(&first, &second),
        good.replace("time 20", "time 19"),
        good.replace("smr succession 1", "smr succession 2"),
    ] {
        fs::write(&file, bad).unwrap();
        house.smrd_says(&["--check"]).expect(78);
        house.smrd_says(&[]).expect(78);
    }
    // Who has no succession at all is another repository.
    fs::remove_file(&file).unwrap();
    house.start();
    let other = house.sh("alice", "smr-ls").expect(76);
    assert!(
        other.stderr.contains("not the one that was pinned"),
        "{}",
        other.stderr
    );
    // Nor are keys that were replaced served.
    assert_eq!(house.stop(), Some(0));
    fs::write(&file, &good).unwrap();
    let new = fs::read(house.path("store/server.key")).unwrap();
    house.start();
    house.sh("alice", "smr-ls").expect(0);
    assert_eq!(house.stop(), Some(0));
    house.smrd_says(&["--init"]).expect(73);
    fs::rename(house.path("store/server.key"), house.path("aside")).unwrap();
    house.smrd_says(&["--rotate-key"]).expect(78);
    fs::write(house.path("store/server.key"), new).unwrap();
    fs::rename(house.path("aside"), house.path("store/server.key")).unwrap();
    house.start();
}

#[test]
fn a_smrd_that_serves_has_its_keys_replaced_by_nobody() {
    let house = House::build();
    let refused = house.smrd_says(&["--rotate-key"]).expect(75);
    assert!(refused.stderr.contains("hint: stop the smrd that runs"));
    assert!(!house.path("store/succession").exists());
}

#[test]
fn keys_that_systemd_hands_over_are_replaced_too() {
    let mut house = House::with(&["alice"]);
    assert_eq!(house.stop(), Some(0));
    let handed = house.path("handed");
    fs::create_dir(&handed).unwrap();
    fs::rename(house.path("store/server.key"), handed.join("smrd.key")).unwrap();
    let smrd = |args: &[&str]| -> Said {
        let mut smrd = Command::new(env!("CARGO_BIN_EXE_smrd"));
        smrd.env("CREDENTIALS_DIRECTORY", &handed)
            .arg("--config")
            .arg(house.path("smrd.toml"))
            .args(args);
        smrd.output().unwrap().into()
    };
    let rotated = smrd(&["--rotate-key"]).expect(0);
    assert!(
        rotated
            .stderr
            .contains("hint: encrypt it as the credential")
    );
    let next = house.path("store/server.key.next");
    assert!(next.exists() && !house.path("store/server.key").exists());
    let check = smrd(&["--check"]).text();
    assert!(check.contains("waiting in server.key.next"), "{check}");
    // Until the credential is the new one, no other is made.
    smrd(&["--rotate-key"]).expect(73);
    fs::copy(&next, handed.join("smrd.key")).unwrap();
    smrd(&["--rotate-key"]).expect(0);
    assert_eq!(smrd(&["--fingerprint"]).text().len(), 50);
}

/// How often the keys were replaced, by the chain in the store.
fn successions(house: &House) -> usize {
    let chain = fs::read_to_string(house.path("store/succession")).unwrap_or_default();
    chain.matches("\nsmr succession 1\n").count()
}

/// Replaces the keys under strace, which kills smrd where it makes its Nth such
/// call; tells whether it came so far.
fn killed_at(house: &House, call: &str, nth: usize) -> bool {
    let ended = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={nth}"))
        .args([env!("CARGO_BIN_EXE_smrd"), "--config"])
        .arg(house.path("smrd.toml"))
        .arg("--rotate-key")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace is installed");
    match ended.signal() {
        Some(9) => true,
        _ => {
            assert_eq!(ended.code(), Some(0), "{call} {nth}");
            false
        }
    }
}

#[test]
fn a_rotation_killed_at_any_call_is_whole_or_never_was() {
    let mut house = House::with(&["alice"]);
    assert_eq!(house.stop(), Some(0));
    let said = |house: &House| house.smrd_says(&["--fingerprint"]).expect(0).text();
    let (mut never, mut whole) = (0, 0);
    for call in ["openat", "write", "fsync", "unlink", "rename"] {
        for nth in 1.. {
            let (keys, number) = (said(&house), successions(&house));
            if !killed_at(&house, call, nth) {
                break;
            }
            match successions(&house) - number {
                0 => {
                    assert_eq!(said(&house), keys, "{call} {nth}");
                    never += 1;
                }
                1 => {
                    assert_ne!(said(&house), keys, "{call} {nth}");
                    whole += 1;
                }
                more => panic!("{call} {nth}: {more} successions"),
            }
            house.smrd_says(&["--check"]).expect(0);
            house.smrd_says(&["--fsck"]).expect(0);
            if call != "openat" {
                // Whichever it was, it serves, and nobody sees an alarm.
                house.start();
                house.sh("alice", "smr-ls").expect(0);
                assert_eq!(house.stop(), Some(0));
                assert!(!house.path("store/server.key.next").exists());
            }
        }
    }
    println!(
        "killed {} times: {never} never were, {whole} whole",
        never + whole
    );
    assert!(never > 0 && whole > 0);
    // Each call once to its end, besides.
    assert_eq!(successions(&house), whole + 5);
    house.start();
    send(&mut house, "alice", "alice", "after").expect(0);
    assert!(!house.log().contains("event=stranger"), "{}", house.log());
}
