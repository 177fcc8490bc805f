//! The test vectors of age itself (C2SP CCTV, npm's `cctv-age`), and files that
//! go to and fro between us and npm's age-encryption.
//!
//! `scripts/test` installs both packages; without them this fails.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use rand_core::OsRng;
use sha2::{Digest, Sha256};
use smr_evidence::envelope::{self, EnvelopeError};
use smr_seal::Identity;

fn npm() -> String {
    std::env::var("SMR_TEST_NPM").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/npm/node_modules").to_owned()
    })
}

/// Runs a JavaScript module in `dir`; PACKAGES in it is npm's folder.
fn node(dir: &Path, script: &str, args: &[&str]) -> String {
    fs::write(dir.join("run.mjs"), script.replace("PACKAGES", &npm())).unwrap();
    let out = Command::new("node")
        .arg("run.mjs")
        .args(args)
        .current_dir(dir)
        .output()
        .expect("node is installed");
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{error}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Writes each vector as a file, its body inflated.
const WRITE_VECTORS: &str = r#"
import * as vectors from "PACKAGES/cctv-age/index.js";
import { inflateSync } from "node:zlib";
import { writeFileSync } from "node:fs";
for (const [name, bytes] of Object.entries(vectors)) {
  const file = Buffer.from(bytes), end = file.indexOf("\n\n");
  const head = file.subarray(0, end).toString();
  let body = file.subarray(end + 2);
  if (/^compressed: zlib$/m.test(head)) body = inflateSync(body);
  writeFileSync(name, Buffer.concat([Buffer.from(head + "\n\n"), body]));
}
"#;

struct Vector {
    expect: String,
    payload: Option<String>,
    identities: Vec<Identity>,
    armored: bool,
    passphrase: bool,
    sealed: Vec<u8>,
}

fn read(path: &Path) -> Option<Vector> {
    let bytes = fs::read(path).unwrap();
    let end = bytes.windows(2).position(|w| w == b"\n\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let value = |key: &str| {
        let line = head
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let identities = head.lines().filter_map(|l| l.strip_prefix("identity: "));
    Some(Vector {
        expect: value("expect")?,
        payload: value("payload"),
        // Keys of kinds that we do not have open nothing for us.
        identities: identities
            .filter_map(|text| Identity::parse(text).ok())
            .collect(),
        armored: value("armored").is_some(),
        passphrase: value("passphrase").is_some(),
        sealed: bytes[end + 2..].to_vec(),
    })
}

/// Opens a file as a whole with what the agent does for each header.
fn open(vector: &Vector) -> Option<Vec<u8>> {
    let keys = vector
        .identities
        .iter()
        .map(|key| key as &dyn age::Identity);
    let file = age::Decryptor::new_buffered(&vector.sealed[..]).ok()?;
    let mut plain = Vec::new();
    file.decrypt(keys).ok()?.read_to_end(&mut plain).ok()?;
    Some(plain)
}

#[test]
fn the_vectors_of_age_hold() {
    let dir = tempfile::tempdir().unwrap();
    node(dir.path(), WRITE_VECTORS, &[]);
    let (mut opened, mut hybrid, mut refused, mut passed_over) = (0, 0, 0, 0);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "run.mjs" {
            continue;
        }
        let vector = read(&path).unwrap_or_else(|| panic!("{name} is a vector"));
        // We take no passphrases, and keys of other kinds are not ours.
        let ours = !vector.passphrase && !vector.identities.is_empty();
        if vector.expect == "success" && !ours {
            passed_over += 1;
            continue;
        }
        let verified = envelope::verify(std::io::Cursor::new(&vector.sealed), &vector.identities);
        let seal_opens = matches!(verified, Err(EnvelopeError::Structure(_)));
        if vector.expect == "success" && !vector.armored {
            let plain = open(&vector).unwrap_or_else(|| panic!("{name} opens"));
            let hash: [u8; 32] = Sha256::digest(&plain).into();
            let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(Some(&hash), vector.payload.as_ref(), "{name}");
            // The keys open both kinds in one header; a message may not have them.
            let mixed = name == "hybrid_and_x25519";
            assert_eq!(seal_opens, !mixed, "{name}: {verified:?}");
            opened += 1;
            hybrid += usize::from(name.starts_with("hybrid"));
            continue;
        }
        // An armoured file is none of ours, however good.
        assert!(verified.is_err(), "{name}");
        // The age crate takes more headers than there are: ours are read first.
        if seal_opens {
            assert!(open(&vector).is_none(), "{name} opens");
        }
        let payload = vector.expect == "payload failure";
        assert!(!seal_opens || payload, "{name}: {verified:?}");
        refused += 1;
    }
    assert!(
        hybrid >= 1 && opened >= 10 && refused >= 60,
        "{opened} {hybrid} {refused}"
    );
    assert!(passed_over < opened + refused, "{passed_over}");
}

const SEAL_WITH_NPM: &str = r#"
import * as age from "PACKAGES/age-encryption/dist/index.js";
import { writeFileSync } from "node:fs";
const e = new age.Encrypter();
for (const recipient of process.argv.slice(2)) e.addRecipient(recipient);
writeFileSync("sealed", await e.encrypt("from npm"));
"#;

const KEY_FROM_NPM: &str = r#"
import * as age from "PACKAGES/age-encryption/dist/index.js";
const key = await age.generateHybridIdentity();
console.log(key, await age.identityToRecipient(key));
"#;

#[test]
fn age_encryption_seals_to_our_keys_and_makes_keys_for_us() {
    let dir = tempfile::tempdir().unwrap();
    let ours = [
        Identity::generate_pq(&mut OsRng),
        Identity::generate_pq(&mut OsRng),
    ];
    let texts = ours.each_ref().map(|key| key.to_recipient().to_string());
    node(dir.path(), SEAL_WITH_NPM, &[&texts[0], &texts[1]]);
    let sealed = fs::read(dir.path().join("sealed")).unwrap();
    for key in ours {
        let identities = vec![key];
        let vector = Vector {
            expect: String::new(),
            payload: None,
            identities,
            armored: false,
            passphrase: false,
            sealed: sealed.clone(),
        };
        assert_eq!(open(&vector).unwrap(), b"from npm");
    }
    let made = node(dir.path(), KEY_FROM_NPM, &[]);
    let (identity, recipient) = made.split_once(' ').unwrap();
    let key = Identity::parse(identity).unwrap();
    assert_eq!(key.to_recipient().to_string(), recipient);
}
