//! The thirteen duties, each with a test of its name, through the programs a
//! user has.
//!
//! tests/README.md has the table of these and of the deeper tests below them.

mod house;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use house::{House, make_pki, read_all};

fn register(house: &mut House, who: &str, name: &str) -> house::Said {
    let command = format!(
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup {name}"
    );
    house.sh(who, &command)
}

/// Sends one message and returns its id.
fn send(house: &mut House, from: &str, to: &str, text: &str) -> String {
    house
        .sh_with(from, &format!("smr-send -s duty {to}"), text.as_bytes())
        .expect(0)
        .text()
}

/// Returns every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("folder reads") {
        let path = entry.expect("folder reads").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Stands between client and smrd, and counts, keeps or flips what passes.
struct Between {
    address: String,
    /// All bytes of both directions.
    seen: Arc<AtomicU64>,
    /// The byte to flip, counted from the start of each connection; 0 for none.
    flip: Arc<AtomicUsize>,
    recording: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Between {
    fn stand(smrd: &str) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port is free");
        let between = Between {
            address: listener.local_addr().unwrap().to_string(),
            seen: Arc::default(),
            flip: Arc::default(),
            recording: Arc::default(),
        };
        let (seen, flip, kept) = (
            between.seen.clone(),
            between.flip.clone(),
            between.recording.clone(),
        );
        let smrd = smrd.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&smrd) else {
                    continue;
                };
                let ways = [
                    (client.try_clone().unwrap(), server.try_clone().unwrap(), 0),
                    (server, client, flip.load(Ordering::SeqCst)),
                ];
                for (from, to, flip) in ways {
                    let (seen, kept) = (seen.clone(), kept.clone());
                    std::thread::spawn(move || pass(from, to, flip, &seen, &kept));
                }
            }
        });
        between
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    flip: usize,
    seen: &AtomicU64,
    kept: &std::sync::Mutex<Vec<u8>>,
) {
    let (mut buffer, mut passed) = ([0; 16384], 0);
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        if flip > passed && flip <= passed + count {
            buffer[flip - passed - 1] ^= 1;
        }
        passed += count;
        seen.fetch_add(count as u64, Ordering::SeqCst);
        kept.lock().unwrap().extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn duty_01_a_session_key_before_any_command() {
    let house = House::build();
    // Requests without a handshake, as frames, as text, as noise: no answer but the end.
    let openings: [&[u8]; 4] = [
        b"smr/1\nS\x00\x01\x01",
        b"LIST inbox\r\n",
        b"smr/1\nX",
        b"smr/1\nS\xff\xff",
    ];
    for opening in openings {
        let mut stream = TcpStream::connect(house.server()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(opening).unwrap();
        // smrd may have hung up already: then there is no end left to close.
        let _ = stream.shutdown(Shutdown::Write);
        assert_eq!(read_all(stream), b"", "{opening:?}");
    }
    // The one thing said outside a session is the public identity document.
    let mut stream = TcpStream::connect(house.server()).unwrap();
    stream.write_all(b"smr/1\nI").unwrap();
    let document = read_all(stream);
    assert!(
        document[2..].starts_with(b"smr identity 1\n"),
        "{document:?}"
    );
}

#[test]
fn duty_02_every_message_of_the_session_is_authenticated() {
    let mut house = House::with(&["alice", "bob"]);
    let id = send(&mut house, "bob", "alice", "a letter\n");
    let between = Between::stand(house.server());
    let command = format!(
        "SMR_SERVER={} smr-login && smr-recv --peek -O 1 {id}; e=$?; smr-login --logout; exit $e",
        between.address
    );
    house.sh("alice", "smr-login --logout").expect(0);
    assert_eq!(house.sh("alice", &command).expect(0).text(), "a letter");
    let whole = between.seen.load(Ordering::SeqCst) as usize;
    assert!(whole > 5000, "the session went through the middle: {whole}");
    // One bit, early, later, and in the sealed file.
    for flip in [3, 700, 1150, 1300, 2500, 5000] {
        between.flip.store(flip, Ordering::SeqCst);
        let said = house.sh("alice", &command);
        assert!([75, 76].contains(&said.code), "byte {flip}: {said:?}");
        assert_eq!(said.text(), "", "byte {flip}");
    }
}

#[test]
fn duty_03_every_reply_has_its_warrant() {
    // Another server with the same name and another key cannot answer: the
    // client has pinned the first. Deeper: the warrant tests of lib/channel.
    let mut house = House::with(&["alice"]);
    house.stop();
    let keys: Vec<PathBuf> = files(&house.path("store"))
        .into_iter()
        .filter(|file| {
            fs::read(file).is_ok_and(|bytes| {
                bytes.starts_with(b"smr keys 1") || bytes.starts_with(b"smr server keys 1")
            })
        })
        .collect();
    assert_eq!(keys.len(), 1, "one file holds the server's keys");
    let mine = fs::read_to_string(&keys[0]).unwrap();
    let other = House::build();
    let theirs = files(&other.path("store"))
        .into_iter()
        .find(|file| file.file_name() == keys[0].file_name())
        .expect("the other server has its keys at the same place");
    let theirs = fs::read_to_string(theirs).unwrap();
    // Only the warrant key is another's: the handshake succeeds, the replies do not.
    let swapped: String = mine
        .lines()
        .zip(theirs.lines())
        .map(|(m, t)| if m.starts_with("warrant") { t } else { m })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(swapped, mine);
    fs::write(&keys[0], swapped).unwrap();
    house.start();
    house.sh("alice", "smr-login --logout").expect(0);
    let said = house.sh("alice", "smr-login && smr-ls users");
    assert_eq!(said.code, 76, "{said:?}");
    assert_eq!(said.text(), "");
}

#[test]
fn duty_04_security_data_is_registered_with_each_user() {
    let mut house = House::with(&["alice"]);
    let record = house.path("store/accounts/alice/record");
    let command = format!(
        "openssl cms -verify -inform DER -allow_proxy_certs -CAfile $PKI/ca/root.pem -in {} 2>/dev/null",
        record.display()
    );
    let text = house.sh("alice", &command).expect(0).text();
    for line in [
        "smr account 1",
        "account alice@repo.example",
        "number 1",
        "device ",
        "keys ",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(line)),
            "{line:?} in {text}"
        );
    }
}

#[test]
fn duty_05_the_card_takes_part_in_registration() {
    let mut house = House::build();
    // Without the PIN the card signs nothing, and nothing is registered.
    let wrong = house.sh(
        "alice",
        "echo 9999 > bad; smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
         --pin-file bad --no-backup alice",
    );
    assert_eq!(wrong.code, 77, "{wrong:?}");
    assert!(!house.path("store/accounts/alice/record").exists());
    register(&mut house, "alice", "alice").expect(0);
    // The device's certificate is one that only the card could sign.
    let check = house.sh(
        "alice",
        "openssl verify -allow_proxy_certs -CAfile $PKI/ca/root.pem -untrusted $SMR_HOME/keys/*.chain \
         $SMR_HOME/keys/*.chain",
    );
    assert_eq!(check.code, 0, "{check:?}");
}

#[test]
fn duty_06_messages_are_encrypted_to_their_recipients() {
    let mut house = House::with(&["alice", "bob"]);
    send(&mut house, "alice", "bob", "the password is swordfish\n");
    // While smrd runs, it may move what is looked at.
    house.stop();
    for file in files(&house.path("store")) {
        let bytes = fs::read(&file).unwrap();
        for word in ["swordfish", "duty"] {
            let legible = bytes.windows(word.len()).any(|w| w == word.as_bytes());
            assert!(!legible, "{word} stands in {}", file.display());
        }
    }
}

#[test]
fn duty_07_messages_are_signed_and_verified() {
    let mut house = House::with(&["alice", "bob"]);
    let id = send(&mut house, "alice", "bob", "to be altered\n");
    house.lie(|house| {
        let inbox = house.path("store/accounts/bob/inbox/new");
        let file = files(&inbox).pop().expect("the message lies there");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() - 100;
        bytes[middle] ^= 1;
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    });
    let said = house.sh("bob", &format!("smr-recv {id}")).expect(65);
    assert_eq!(said.text(), "", "nothing unverified on stdout");
}

#[test]
fn duty_08_the_senders_own_copy_is_encrypted_too() {
    let mut house = House::with(&["alice", "bob"]);
    let id = send(&mut house, "alice", "bob", "my own words\n");
    house.stop();
    let sent = files(&house.path("store/accounts/alice/sent"));
    assert!(!sent.is_empty());
    for file in sent {
        assert!(
            fs::read(file)
                .unwrap()
                .starts_with(b"age-encryption.org/v1")
        );
    }
    house.start();
    assert_eq!(
        house
            .sh("alice", &format!("smr-recv -O 1 {id}"))
            .expect(0)
            .text(),
        "my own words"
    );
}

#[test]
fn duty_09_a_secure_receipt_after_reading() {
    let mut house = House::with(&["alice", "bob"]);
    let id = send(&mut house, "alice", "bob", "read me\n");
    house.sh("bob", &format!("smr-recv {id} > read")).expect(0);
    house.sh("bob", &format!("smr-receipt {id}")).expect(0);
    house.stop();
    let receipts = files(&house.path("store/accounts/alice/receipts"));
    assert_eq!(receipts.len(), 1);
    assert!(
        fs::read(&receipts[0])
            .unwrap()
            .starts_with(b"age-encryption.org/v1")
    );
}

#[test]
fn duty_10_the_sender_can_check_his_receipts() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let first = send(&mut house, "alice", "bob carol", "one\n");
    let second = send(&mut house, "alice", "bob", "two\n");
    for (who, id) in [("bob", &first), ("bob", &second), ("carol", &first)] {
        house
            .sh(who, &format!("smr-recv {id} > read && smr-receipt {id}"))
            .expect(0);
    }
    let status = house
        .sh("alice", "smr-receipt --status | cut -f1,2,6 | sort")
        .expect(0)
        .text();
    let mut expected = [
        format!("{first}\tbob\tgood"),
        format!("{first}\tcarol\tgood"),
        format!("{second}\tbob\tgood"),
    ];
    expected.sort();
    assert_eq!(status.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn duty_11_certificates_are_properly_checked() {
    let pki = tempfile::tempdir().unwrap();
    make_pki(pki.path());
    let revoked = std::process::Command::new(pki.path().join("ca/revoke"))
        .arg("bob")
        .status();
    assert!(revoked.unwrap().success());
    let mut house = House::with_pki(pki.path(), "");
    // Self-signed, with the name of somebody real.
    let said = register(&mut house, "mallory", "mallory");
    assert_eq!(said.code, 77, "{said:?}");
    // Revoked by the authority.
    let said = register(&mut house, "bob", "bob");
    assert_eq!(said.code, 77, "{said:?}");
    assert!(said.stderr.contains("revoked"), "{said:?}");
    // No list, no answer: not now.
    fs::remove_file(pki.path().join("crls/sub.pem")).unwrap();
    house.stop();
    house.start();
    let said = register(&mut house, "carol", "carol");
    assert_eq!(said.code, 75, "{said:?}");
    for name in ["mallory", "bob", "carol"] {
        assert!(
            !house.path(&format!("store/accounts/{name}")).exists(),
            "{name}"
        );
    }
}

#[test]
fn duty_12_nobody_reads_anothers_mailbox() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let id = send(&mut house, "alice", "bob", "for bob alone\n");
    for command in [
        "smr-recv",
        "smr-recv --sealed",
        "smr-recv --raw --peek",
        "smr-receipt",
    ] {
        let said = house.sh("carol", &format!("{command} {id}")).expect(66);
        assert_eq!(said.text(), "");
    }
    house.sh("carol", "smr-ls -q").expect(1);
    // Another's account cannot be acted for, and no path leads there.
    house.sh("carol", "smr-ls --as bob").expect(67);
    house
        .sh("carol", &format!("smr-recv ../../bob/inbox/new/{id}"))
        .expect(64);
}

#[test]
fn duty_13_nobody_gives_a_receipt_for_what_he_has_not_read() {
    let mut house = House::with(&["alice", "bob"]);
    let id = send(&mut house, "alice", "bob", "unread\n");
    house.sh("bob", &format!("smr-receipt {id}")).expect(77);
    // Looking is not reading.
    house
        .sh(
            "bob",
            &format!("smr-recv --peek -O 1 {id} && smr-recv --sealed {id} | cat >sealed"),
        )
        .expect(0);
    house.sh("bob", &format!("smr-receipt {id}")).expect(77);
    assert!(files(&house.path("store/accounts/alice/receipts")).is_empty());
}

#[test]
fn nothing_is_legible_in_a_packet_capture() {
    let mut house = House::with(&["alice", "bob"]);
    let between = Between::stand(house.server());
    house.sh("alice", "smr-login --logout").expect(0);
    let command = format!(
        "SMR_SERVER={} smr-login && echo swordfish | smr-send -s blowfish bob && smr-ls users",
        between.address
    );
    house.sh("alice", &command).expect(0);
    let seen = between.recording.lock().unwrap().clone();
    assert!(seen.len() > 5000);
    for word in [
        "alice",
        "bob",
        "swordfish",
        "blowfish",
        "ALICE",
        "MARTINS",
        "repo.example",
        "age-",
    ] {
        assert!(
            !seen.windows(word.len()).any(|w| w == word.as_bytes()),
            "{word} is legible"
        );
    }
}
