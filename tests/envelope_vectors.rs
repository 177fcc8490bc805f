//! What a hostile sender can put in, each case a file in tests/vectors/envelope
//! that says what must come of it: delivered to bob, read by the programs.
//!
//! The vectors' people have cards of authorities of their own, whom bob and
//! smrd trust here; the sealed files are put into the store while smrd is
//! stopped, for our own smr-send would not make them.

mod house;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use house::{House, make_pki, noise};
use smr_name::{EntryName, Fingerprint};
use smr_seal::{Identity, Recipient};

/// The folders an account has in a store (smr-store(5)).
const TREE: [&str; 9] = [
    "inbox/tmp",
    "inbox/new",
    "inbox/cur",
    "sent/tmp",
    "sent/cur",
    "receipts/tmp",
    "receipts/new",
    "receipts/cur",
    "keys",
];
/// The ways in which smr-recv gives out a message.
const WAYS: [&str; 4] = ["", "--raw", "-O 1", "--json"];

struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
    message: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Vector {
        let bytes = match path.extension().is_some_and(|e| e == "gz") {
            true => {
                let out = Command::new("gzip").arg("-dc").arg(path).output();
                out.expect("gzip runs").stdout
            }
            false => fs::read(path).unwrap(),
        };
        let end = bytes.windows(2).position(|w| w == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        Vector {
            name: name.split('.').next().unwrap().to_owned(),
            fields: head
                .lines()
                .map(|line| line.split_once(": ").expect("KEY: VALUE"))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            message: bytes[end + 2..].to_vec(),
        }
    }

    fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    fn expect(&self) -> i32 {
        self.field("expect").parse().expect("an exit code")
    }

    /// Seals the message for bob, and lets the file suffer what it must.
    fn sealed(&self, bob: &Recipient) -> Vec<u8> {
        let whole = seal(&self.message, bob);
        let suffers = self.field("seal");
        let (what, count) = suffers.split_once(' ').unwrap_or((suffers, "0"));
        let number: usize = count.parse().unwrap_or(0);
        let mut file = whole;
        let size = file.len();
        let header = file.windows(5).position(|w| w == b"\n--- ").unwrap() + 65;
        match what {
            "" => {}
            "cut" => file.truncate(size - number),
            "keep" => file.truncate(number),
            "append" => file.extend_from_slice(count.as_bytes()),
            "flip" => file[size - number] ^= 1,
            "flip-at" => file[number] ^= 1,
            "noise" => file = noise(5000),
            "none" => file = self.message.clone(),
            "armour" => file = armoured(&file),
            "another" => {
                let stranger = Identity::generate_pq(&mut rand_core::OsRng).to_recipient();
                file = seal(&self.message, &stranger);
            }
            "crowd" => {
                let stranger = || Identity::generate_pq(&mut rand_core::OsRng).to_recipient();
                let mut all: Vec<Recipient> = (1..number).map(|_| stranger()).collect();
                all.push(bob.clone());
                file = seal_to(&self.message, &all);
            }
            "stanzas" => {
                file = format!("age-encryption.org/v1\n{}", "-> x\n\n".repeat(number)).into_bytes();
            }
            // So many whole chunks, and not the last.
            "chunks" => file.truncate(header + number * CHUNK),
            "twice" => {
                let chunk = file[header..header + CHUNK].to_vec();
                file.splice(header..header, chunk);
            }
            other => panic!("{}: {other:?} is not known here", self.name),
        }
        file
    }
}

/// One chunk of age with its tag.
const CHUNK: usize = 64 * 1024 + 16;

fn seal(plain: &[u8], to: &Recipient) -> Vec<u8> {
    seal_to(plain, std::slice::from_ref(to))
}

fn seal_to(plain: &[u8], to: &[Recipient]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let recipients = to.iter().map(|r| r as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients);
    let mut writer = encryptor.unwrap().wrap_output(&mut sealed).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap();
    sealed
}

fn armoured(file: &[u8]) -> Vec<u8> {
    let mut base64 = Command::new("base64")
        .args(["-w", "64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("base64 runs");
    base64.stdin.take().unwrap().write_all(file).unwrap();
    let text = base64.wait_with_output().unwrap().stdout;
    let label = "AGE ENCRYPTED FILE-----\n";
    [
        format!("-----BEGIN {label}").as_bytes(),
        &text,
        format!("-----END {label}").as_bytes(),
    ]
    .concat()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/envelope")
}

/// Reads every vector of the folder, in order of deposit.
fn vectors() -> Vec<Vector> {
    let files = fs::read_dir(folder()).expect("the vectors are there");
    let paths = files.map(|entry| entry.unwrap().path());
    let mut all: Vec<Vector> = paths
        .filter(|path| path.to_string_lossy().contains(".vec"))
        .map(|path| Vector::read(&path))
        .collect();
    all.sort_by_key(|v| (v.field("deposited").to_owned(), v.name.clone()));
    all
}

/// A house whose people also trust the authorities of the vectors, with bob in
/// it, and the vectors in his mailbox.
fn delivered(vectors: &[Vector], pki: &Path) -> House {
    make_pki(pki);
    let realm = pki.join("trust.d/vectors");
    fs::create_dir(&realm).unwrap();
    fs::copy(folder().join("root.pem"), realm.join("root.pem")).unwrap();
    fs::copy(folder().join("crls.pem"), pki.join("crls/vectors.pem")).unwrap();
    // Their lists are of the day they were made.
    let mut house = House::with_pki(pki, "max_age = \"36500d\"");
    house.move_in("bob");
    let settings = "printf '[trust]\\nrevocation_age = \"36500d\"\\n' >> $SMR_HOME/client.toml";
    house.sh("bob", settings).expect(0);
    let bob = house.sh("bob", RECIPIENT).expect(0).text();
    let bob = Recipient::parse(&bob).expect("bob's record states his key");
    assert_eq!(house.stop(), Some(0));
    let accounts = house.path("store/accounts");
    for name in ["alice", "mallory", "eve", "rita"] {
        for dir in TREE {
            fs::create_dir_all(accounts.join(name).join(dir)).unwrap();
        }
        let record = folder().join(format!("{name}.p7s"));
        fs::copy(record, accounts.join(name).join("record")).unwrap();
    }
    for (place, vector) in vectors.iter().enumerate() {
        let sealed = vector.sealed(&bob);
        let entry = EntryName {
            number: place as u64 + 1,
            time: vector.field("deposited").parse().unwrap(),
            id: vector.field("id").parse().unwrap(),
            sender: vector.field("sender").parse().unwrap(),
            size: sealed.len() as u64,
            sha256: *Fingerprint::of(&sealed).as_bytes(),
            cms: hex(vector.field("cms")),
        };
        let new = accounts.join("bob/inbox/new");
        fs::write(new.join(entry.to_string()), sealed).unwrap();
    }
    house.start();
    house
}

/// Finds the recipient of bob's device in his account record.
const RECIPIENT: &str = "signed() { openssl cms -verify -noverify -inform DER 2>/dev/null; }
    signed < $STORE/accounts/bob/record | awk '$1 == \"keys\" { print $3 }' |
    openssl base64 -d -A | signed | awk '$1 == \"recipient\" { print $2 }'";

fn hex(text: &str) -> [u8; 32] {
    let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// Tells whether a terminal would do what a text says.
fn is_obeyed(text: &str) -> bool {
    let bidi = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    text.chars().any(|c| bidi(c) || control(c))
}

#[test]
fn each_vector_is_treated_as_it_says() {
    let vectors = vectors();
    assert!(vectors.len() > 80, "the vectors are all there");
    let pki = tempfile::tempdir().unwrap();
    let mut house = delivered(&vectors, pki.path());
    let mut wrong = Vec::new();
    let (mut shown, mut refused) = (0, 0);
    for vector in &vectors {
        let said = read(&mut house, vector);
        match vector.expect() {
            0 => shown += 1,
            _ => refused += 1,
        }
        if let Err(why) = said {
            wrong.push(format!("{}: {why}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        shown >= 15 && refused >= 60,
        "{shown} shown, {refused} refused"
    );
    // A listing shows them all, and nothing in it is obeyed.
    let list = "NO_COLOR=1 script -qec 'smr-ls' /dev/null; smr-ls --json; smr-ls";
    let listing = house.sh("bob", list).expect(0);
    let text = String::from_utf8(listing.stdout).expect("UTF-8");
    let obeyed = text.lines().find(|line| is_obeyed(line));
    assert_eq!(obeyed, None);
    // What is sealed to a crowd has its subject there, as any other.
    let subjects = "smr-ls --json | jq -r 'select(.subject != null) | .id'";
    let subjects = house.sh("bob", subjects).expect(0).text();
    for vector in vectors.iter().filter(|v| v.expect() == 0) {
        assert!(subjects.contains(vector.field("id")), "{}", vector.name);
    }
    // What was refused is still unread, and no receipt was given for it.
    let unread = house.sh("bob", "smr-ls -u -1").expect(0).text();
    for vector in vectors.iter().filter(|v| v.expect() != 0) {
        assert!(
            unread.contains(vector.field("id")),
            "{} was read",
            vector.name
        );
        let id = vector.field("id");
        let said = house.sh("bob", &format!("smr-receipt {id}"));
        assert_ne!(said.code, 0, "a receipt for {}", vector.name);
    }
    let receipts = "ls $STORE/accounts/*/receipts/new $STORE/accounts/*/receipts/cur | grep -c ,S=";
    assert_eq!(house.sh("bob", receipts).text(), "0");
}

/// Reads a vector in every way, with a receipt for whatever it likes.
fn read(house: &mut House, vector: &Vector) -> Result<(), String> {
    let (id, expect) = (vector.field("id"), vector.expect());
    for way in WAYS {
        let said = house.sh("bob", &format!("smr-recv --receipt always {way} {id}"));
        if said.code != expect {
            return Err(format!("{way:?} ends with {}: {}", said.code, said.stderr));
        }
        if expect == 0 {
            if said.stdout.is_empty() {
                return Err(format!("{way:?} shows nothing"));
            }
            continue;
        }
        if !said.stdout.is_empty() {
            return Err(format!("{way:?} shows {:?}", said.text()));
        }
        if !said.stderr.contains(vector.field("reason")) {
            return Err(format!("{way:?} says {}", said.stderr));
        }
        if is_obeyed(&said.stderr) {
            return Err(format!("{way:?} says {:?}", said.stderr));
        }
    }
    if expect == 0 {
        let terminal = format!(
            "TERM=xterm script -qec 'smr-recv --no-input {id}; smr-recv --no-input -O 1 {id}; \
             smr-recv --no-input --raw {id}' /dev/null"
        );
        let text = String::from_utf8(house.sh("bob", &terminal).expect(0).stdout);
        let text = text.map_err(|_| "not UTF-8 on a terminal".to_owned())?;
        if is_obeyed(&text) {
            return Err(format!("on a terminal: {text:?}"));
        }
    }
    Ok(())
}
