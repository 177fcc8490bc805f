//! Every kept input of the fuzzers, and some that are a little different,
//! through what they fuzz: none may panic.
//!
//! Knows nothing of coverage; `scripts/fuzz` does.

#![allow(clippy::print_stdout)] // how many inputs

// Public to the fuzzers' programs.
#[allow(unreachable_pub, unused_imports)]
#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use smr_evidence::{bundle, envelope};
use smr_pki::certificate::Certificate;
use smr_pki::crl;

type Target = (&'static str, fn(&[u8]));

macro_rules! targets {
    ($($name:ident)*) => { [$((stringify!($name), fuzz::$name as fn(&[u8]))),*] };
}

const TARGETS: [Target; 35] = targets![
    account answer certificate certificates client_journal client_toml cms entry ess handshake identity introduction journal
    key_ring keys known list local mail message names ocsp proxy record reply request sealed shelf
    signed_note smrd_toml stamp tally token tokens_toml zip
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz")
        .join(name)
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("the folder is there");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(|entry| name(entry.unwrap())).collect()
}

#[test]
fn no_kept_input_makes_a_reader_panic() {
    for (name, target) in TARGETS {
        let dir = folder("corpus").join(name);
        let inputs = names(&dir);
        assert!(!inputs.is_empty(), "no inputs for {name}");
        for input in inputs {
            let bytes = fs::read(dir.join(&input)).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name} panics at {input}");
        }
    }
}

/// Changes an input here and there, as the dice say.
fn mutated(kept: &[Vec<u8>], dice: &mut ChaCha20Rng) -> Vec<u8> {
    let mut roll = |sides: usize| dice.next_u32() as usize % sides.max(1);
    let mut bytes = kept[roll(kept.len())].clone();
    for _ in 0..=roll(4) {
        let at = roll(bytes.len() + 1);
        let end = at + roll(bytes.len() - at + 1).min(roll(64));
        match roll(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << roll(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\n'][roll(6)],
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => {
                let other = &kept[roll(kept.len())];
                let from = roll(other.len() + 1);
                let to = from + roll(other.len() - from + 1).min(200);
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}

/// Runs one target on changed inputs for a while; returns how many.
fn attack(name: &str, target: fn(&[u8]), seed: u64, time: Duration) -> u64 {
    let dir = folder("corpus").join(name);
    let kept = names(&dir);
    let kept: Vec<_> = kept
        .iter()
        .map(|n| fs::read(dir.join(n)).unwrap())
        .collect();
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    let (start, mut count) = (Instant::now(), 0);
    while count == 0 || start.elapsed() < time {
        let bytes = mutated(&kept, &mut dice);
        if std::panic::catch_unwind(|| target(&bytes)).is_err() {
            let file = std::env::temp_dir().join(format!("smr-fuzz-{name}"));
            fs::write(&file, &bytes).unwrap();
            panic!(
                "{name} panics at {}, input {count} of seed {seed}",
                file.display()
            );
        }
        count += 1;
    }
    count
}

/// `SMR_TEST_FUZZ` says for how many milliseconds each target is run, two at a
/// time, and `SMR_TEST_SEED` from which seed.
#[test]
fn changed_inputs_make_no_reader_panic() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let time = Duration::from_millis(number("SMR_TEST_FUZZ").unwrap_or(200));
    let seed = number("SMR_TEST_SEED").unwrap_or_else(|| rand_core::OsRng.next_u64());
    let targets = Mutex::new(TARGETS.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((name, target)) = { targets.lock().unwrap().next() } {
                    let count = attack(name, *target, seed, time);
                    println!("{name}: {count} inputs of seed {seed}");
                    assert!(count > 0);
                }
            });
        }
    });
}

/// What the kept inputs must hold, so that those that are like them get past
/// keys and signatures too.
#[test]
fn kept_inputs_reach_what_is_behind_the_crypto() {
    for (name, reaches) in fuzz::DEEP {
        let dir = folder("corpus").join(name);
        let inputs = names(&dir);
        let deep = inputs
            .iter()
            .any(|input| reaches(&fs::read(dir.join(input)).unwrap()));
        assert!(deep, "no input of {name} gets past what is checked first");
    }
}

#[test]
fn every_target_is_here_and_has_a_program() {
    let ours: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs = names(&folder("fuzz_targets"));
    let programs = programs
        .iter()
        .map(|p| p.trim_end_matches(".rs").to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), ours);
    assert_eq!(names(&folder("corpus")), ours);
}

/// The message of a vector: what follows its first empty line.
fn vector(path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(path);
    let bytes = fs::read(file).unwrap();
    let end = bytes.windows(2).position(|w| w == b"\n\n").unwrap();
    bytes[end + 2..].to_vec()
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let recipient = fuzz::recipient();
    let recipient: &dyn age::Recipient = &recipient;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
    let mut out = Vec::new();
    let mut writer = encryptor.wrap_output(&mut out).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap();
    out
}

/// A bundle of the message and the answer of a vector.
fn exported(name: &str) -> Vec<u8> {
    let file = |name: &str| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/receipt");
        fs::read(dir.join(name)).unwrap()
    };
    let vec = format!("{name}.vec");
    let head = String::from_utf8_lossy(&file(&vec)).into_owned();
    let field = |key: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(key));
        line.expect("a field").trim().to_owned()
    };
    let message = vector(&format!("receipt/{vec}"));
    let address = |name: &str| format!("{name}@repo.example").parse().unwrap();
    let given = bundle::Given {
        by: address(&field("by:")),
        der: STANDARD.decode(field("answer:")).unwrap(),
    };
    let answers = match field("kind:").as_str() {
        "refusal" => (vec![], vec![given]),
        _ => (vec![given], vec![]),
    };
    let bundle = bundle::Bundle {
        id: field("id:").parse().unwrap(),
        sender: address("alice"),
        time: field("given:").parse::<i64>().unwrap() + 10,
        signature: envelope::verify_plain(message.as_slice()).unwrap().cms,
        receipts: answers.0,
        refusals: answers.1,
        postmarks: vec![],
        identity: None,
        accounts: ["alice", "bob"]
            .map(|name| (address(name), file(&format!("{name}.p7s"))))
            .into(),
        stamps: BTreeMap::new(),
        anchors: Certificate::pem_or_der_bundle(&file("root.pem")).unwrap(),
        clocks: vec![],
        intermediates: vec![],
        crls: crl::parse_bundle(&file("crls.pem")).unwrap(),
        ocsp: vec![],
    };
    let mut zip = Cursor::new(Vec::new());
    let mut emit = |out: &mut dyn Write| out.write_all(&message);
    bundle::write(&bundle, bundle::Content::Whole(&mut emit), &mut zip).unwrap();
    zip.into_inner()
}

/// Writes inputs that get far into the corpus: after a format has changed.
#[test]
#[ignore = "writes tests/fuzz/corpus"]
fn seeds_are_written() {
    let text = |file: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let client = "mailbox = 'rui@repo.example'\n[session]\nlifetime = '8h'\n[recv.from.ana]\n\
                  receipt = 'always'\n[account.work.send]\nby = 'card'\n";
    let mut seeds = fuzz::seeds();
    let smrd = String::from_utf8(text("examples/smrd.toml")).unwrap();
    let smrd = smrd.replace("#name = ", "name = ");
    seeds.push(("smrd_toml", smrd.into_bytes()));
    seeds.push(("client_toml", client.into()));
    seeds.push(("tokens_toml", text("lib/client/src/token/tokens.toml")));
    for file in ["bidi-in-subject", "escapes-in-file-name", "escapes-in-text"] {
        let message = vector(&format!("envelope/{file}.vec"));
        seeds.push(("sealed", sealed(&message)));
        seeds.push(("message", message));
    }
    for dir in ["envelope", "receipt"] {
        seeds.push(("account", text(&format!("tests/vectors/{dir}/alice.p7s"))));
    }
    for file in ["good-by-device", "refusal-good"] {
        seeds.push(("zip", exported(file)));
    }
    for (target, bytes) in seeds {
        let dir = folder("corpus").join(target);
        fs::create_dir_all(&dir).unwrap();
        let name: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        fs::write(dir.join(&name[..40]), bytes).unwrap();
    }
}
