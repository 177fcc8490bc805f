//! The second implementation of the session, in Python, against ours: vectors,
//! and a login and a fetch at a real smrd.
//!
//! A missing Python fails the test: nothing here is skipped. The vectors from
//! our side: lib/channel/tests/vectors.rs.

mod house;

use std::path::Path;
use std::process::Command;

use house::{House, Said, noise};

/// Runs a program of the reference; scripts/test installs what it needs.
fn python(program: &str, args: &[&str]) -> Said {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    assert!(python.exists(), "run scripts/reference install");
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(root.join("tests/reference").join(program));
    command.args(args).output().expect("python runs").into()
}

#[test]
fn the_reference_agrees_with_the_vectors() {
    let said = python("check_vectors.py", &[]).expect(0).text();
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn the_reference_logs_in_and_fetches_what_smr_recv_fetches() {
    let mut house = House::with(&["alice", "bob"]);
    let send = |house: &mut House, letter: &[u8]| {
        let said = house.sh_with("alice", "smr-send -s Letter -a - bob", letter);
        said.expect(0).text()
    };
    send(&mut house, b"another one");
    // more than one chunk
    let id = send(&mut house, &noise(200_000));
    let sealed = format!("smr-recv --sealed {id} > sealed.age && smr-recv --peek {id}");
    house.sh("bob", &sealed).expect(0);

    let path = |name: &str| house.path(name).to_str().unwrap().to_owned();
    let (server, key) = (house.server().to_owned(), house.fingerprint().to_owned());
    let ring = path("home/bob/keys/bob@repo.example.age");
    let (passphrase, sealed) = (path("passphrase"), path("work/bob/sealed.age"));
    let mut args = [&*server, &*key, &*ring, &*passphrase, &*id, &*sealed];
    let said = python("live.py", &args).expect(0).text();
    assert_eq!(said.matches("twice, 4 warrants").count(), 3, "{said}");

    // and it can fail: another repository, another file
    let strange = key.replace("SHA256:", "SHA256:A");
    args[1] = &strange[..key.len()];
    let said = python("live.py", &args).expect(1);
    assert!(
        said.stderr.contains("another repository"),
        "{}",
        said.stderr
    );
    args[1] = &key;
    let other = path("passphrase");
    args[5] = &other;
    let said = python("live.py", &args).expect(1);
    assert!(said.stderr.contains("other bytes"), "{}", said.stderr);
}
