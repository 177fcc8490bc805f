//! Every kept input of the fuzzers, through what they fuzz: none may panic.
//!
//! Finds nothing new; `scripts/fuzz` does.

// Public to the fuzzers' programs.
#[allow(unreachable_pub, unused_imports)]
#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Target = (&'static str, fn(&[u8]));

macro_rules! targets {
    ($($name:ident)*) => { [$((stringify!($name), fuzz::$name as fn(&[u8]))),*] };
}

const TARGETS: [Target; 27] = targets![
    account answer certificate certificates cms entry ess handshake identity introduction keys list
    local mail message names ocsp proxy record reply request sealed signed_note smrd_toml stamp token
    zip
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
