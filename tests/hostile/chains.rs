//! False successions, from a man in the middle who has no key of the repository
//! and answers in its place: nobody is moved, by whichever tool he came.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand_core::OsRng;
use smr_channel::frame::{self, ASK_CHAIN, ASK_IDENTITY};
use smr_channel::handshake::{Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_evidence::note::Signer;
use smr_evidence::note::succession::{Chain, MAX_CHAIN};

use crate::house::House;

/// Somebody at smrd's address, with keys of his own and a chain of his choice.
struct Impostor {
    address: String,
    /// What he says to whoever asks for the chain, to the byte; none once he is
    /// to end.
    says: Arc<Mutex<Option<Vec<u8>>>>,
    asked: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Listens at smrd's port, once its last connection has let go of it.
fn bound(address: &str) -> TcpListener {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match TcpListener::bind(address) {
            Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < end => {}
            listener => return listener.expect("smrd's port is free"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

impl Impostor {
    /// Takes the place of the house's smrd, which has stopped.
    fn at(address: &str, keys: Arc<ServerKeys>) -> Impostor {
        let listener = bound(address);
        let says = Arc::new(Mutex::new(Some(Vec::new())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (own, words, count) = (keys, says.clone(), asked.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(chain) = words.lock().unwrap().clone() else {
                    return;
                };
                let (own, count) = (own.clone(), count.clone());
                thread::spawn(move || answer(stream.unwrap(), &own, &chain, &count));
            }
        });
        Impostor {
            address: address.to_owned(),
            says,
            asked,
            thread: Some(thread),
        }
    }

    fn say(&self, chain: Vec<u8>) {
        *self.says.lock().unwrap() = Some(chain);
        self.asked.store(0, Ordering::SeqCst);
    }

    fn end(mut self) {
        *self.says.lock().unwrap() = None;
        let _ = TcpStream::connect(&self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn frames(text: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in text.chunks(frame::MAX_FRAME) {
        all.extend(frame::header(part).unwrap());
        all.extend(part);
    }
    all
}

/// Goes as far as he can with one client, who may leave at any time.
fn answer(
    mut client: TcpStream,
    keys: &ServerKeys,
    chain: &[u8],
    asked: &AtomicUsize,
) -> Option<()> {
    let mut greeting = [0; 7];
    client.read_exact(&mut greeting).ok()?;
    match greeting[6] {
        ASK_IDENTITY => client.write_all(&frames(keys.identity().to_string().as_bytes())),
        ASK_CHAIN => {
            asked.fetch_add(1, Ordering::SeqCst);
            client.write_all(chain)
        }
        _ => {
            let mut header = [0; frame::HEADER];
            client.read_exact(&mut header).ok()?;
            let mut first = vec![0; frame::length(header).ok()?];
            client.read_exact(&mut first).ok()?;
            // It is sealed to other keys: what he answers is noise.
            let second = match Responder::accept(keys, &Suite::ALL, &first, &mut OsRng) {
                Ok((_, second)) => second,
                Err(_) => vec![7; 1200],
            };
            client.write_all(&frames(&second))
        }
    }
    .ok()
}

/// What somebody has pinned of the repository, if anything.
fn known(house: &House, who: &str) -> Option<String> {
    let found = Command::new("find")
        .arg(house.path("home").join(who))
        .args(["-path", "*known/servers/repo.example.toml"])
        .output()
        .unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    fs::read_to_string(path.trim()).ok()
}

/// The chain through these keys, each signing for the next.
fn chain(all: &[&ServerKeys]) -> String {
    let signer = |keys: &ServerKeys| Signer::from_seed(keys.postmark_seed());
    let mut chain = Chain::parse(&all[0].identity().to_string()).unwrap();
    for pair in all.windows(2) {
        let document = pair[1].identity().to_string();
        let (old, new) = (signer(pair[0]), signer(pair[1]));
        chain.succeed(&document, 1_800_000_000, &old, &new).unwrap();
    }
    chain.to_string()
}

/// What the impostor says, and how it is called.
fn false_chains(pinned: &str, fingerprint: &str, own: &ServerKeys) -> Vec<(&'static str, Vec<u8>)> {
    let name = || "repo.example".parse().unwrap();
    let other = ServerKeys::generate(name(), &mut OsRng);
    let mine = chain(&[&other, own]);
    let (document, note) = mine.split_once("\nsmr succession 1\n").unwrap();
    let document = format!("{document}\n");
    let print = other.identity().fingerprint().to_string();
    let note = format!("smr succession 1\n{}", note.replace(&print, fingerprint));
    let lines: Vec<&str> = note.lines().collect();
    let (last, rest) = lines.split_last().unwrap();
    let text = |lines: &[&str]| format!("{pinned}{}\n", lines.join("\n")).into_bytes();
    let old_left_out = [&rest[..rest.len() - 1], &[*last]].concat();
    let long = mine.repeat(MAX_CHAIN / mine.len() + 2);
    let mut cut = frames(format!("{pinned}{note}").as_bytes());
    cut.truncate(cut.len() / 2);
    vec![
        (
            "his own keys",
            frames(own.identity().to_string().as_bytes()),
        ),
        ("his own succession", frames(mine.as_bytes())),
        (
            "his succession after our keys",
            frames(format!("{pinned}{note}").as_bytes()),
        ),
        ("with one signature", frames(&text(&old_left_out))),
        ("with the signature of others", frames(&text(rest))),
        ("with none", frames(&text(&rest[..rest.len() - 1]))),
        (
            "our keys after his",
            frames(format!("{document}{pinned}").as_bytes()),
        ),
        ("the half of a frame", cut),
        ("too long", frames(long.as_bytes())),
        ("no text", frames(&[0xff; 3000])),
        ("no frame", vec![0, 0, 1]),
        ("nothing", Vec::new()),
        (
            "commands to a terminal",
            frames(format!("smr identity 1\nname \x1b]0;owned\x07\n{pinned}").as_bytes()),
        ),
    ]
}

#[test]
fn false_successions_from_the_middle_move_nobody() {
    let mut house = House::with(&["alice"]);
    let own = Arc::new(ServerKeys::generate(
        "repo.example".parse().unwrap(),
        &mut OsRng,
    ));
    let fingerprint = house.fingerprint().to_owned();
    let before = known(&house, "alice").expect("she was there");
    let key = fs::read_to_string(house.path("store/server.key")).unwrap();
    let pinned = ServerKeys::decode(&key).unwrap().identity().to_string();
    assert_eq!(house.stop(), Some(0));
    let impostor = Impostor::at(house.server(), own.clone());

    let cases = false_chains(&pinned, &fingerprint, &own);
    for (what, bytes) in &cases {
        impostor.say(bytes.clone());
        let said = house.sh("alice", "smr-ls").expect(76);
        assert!(
            impostor.asked.load(Ordering::SeqCst) > 0,
            "{what}: not asked"
        );
        assert_eq!(said.text(), "", "{what}");
        assert!(
            !said.stderr.contains("were replaced"),
            "{what}: {}",
            said.stderr
        );
        assert!(!said.stderr.contains('\x1b'), "{what}: {:?}", said.stderr);
        assert_eq!(known(&house, "alice").as_ref(), Some(&before), "{what}");
    }
    println!("false successions to a tool: {}", cases.len());
    // By the other ways to a repository: a send, a login, and the first meeting of
    // somebody who was told the fingerprint.
    for (what, bytes) in &cases {
        impostor.say(bytes.clone());
        let sent = house.sh_with("alice", "smr-send alice", b"astray");
        assert_eq!(sent.expect(76).text(), "", "{what}");
    }
    house.sh("alice", "smr-login --logout").expect(0);
    for (what, bytes) in &cases {
        impostor.say(bytes.clone());
        house.sh("alice", "smr-login").expect(76);
        assert_eq!(known(&house, "alice").as_ref(), Some(&before), "{what}");
    }
    let register = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                    --no-backup $WHO";
    for (what, bytes) in &cases {
        impostor.say(bytes.clone());
        let said = house.sh("bob", register);
        assert!([75, 76].contains(&said.code), "{what}: {said:?}");
        assert_eq!(said.text(), "", "{what}");
        assert_eq!(known(&house, "bob"), None, "{what}");
    }
    impostor.end();

    // And nothing of it stays: no alarm, no word.
    house.start();
    let login = house.sh("alice", "smr-login").expect(0);
    assert!(!login.stderr.contains("replaced"), "{}", login.stderr);
    house.sh_with("alice", "smr-send alice", b"home").expect(0);

    // A true chain from the same mouth moves to the true keys, which he has not.
    assert_eq!(house.stop(), Some(0));
    let second = house.smrd_says(&["--rotate-key"]).expect(0).text();
    let truth = fs::read(house.path("store/succession")).unwrap();
    let impostor = Impostor::at(house.server(), own);
    impostor.say(frames(&truth));
    let said = house.sh("alice", "smr-ls").expect(76);
    assert!(said.stderr.contains(&second), "{}", said.stderr);
    assert!(known(&house, "alice").is_some_and(|text| text.contains("smr succession 1")));
    impostor.end();
    house.start();
    house
        .sh_with("alice", "smr-send alice", b"followed")
        .expect(0);
}
