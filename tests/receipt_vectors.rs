//! Answers that count and answers that do not, each a file in
//! tests/vectors/receipt that says what must be said of it: by smr-receipt
//! --status and --wait to the sender, by --verify and verify.sh to a stranger.
//!
//! Alice registers with the card that has signed the vectors' messages. They
//! and the answers are put into the store while smrd is stopped, for our own
//! programs would not make them; nor would --export put them into a bundle.

mod house;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use house::{House, make_pki};
use smr_evidence::bundle::{self, Bundle, Content, Given};
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_evidence::trust::{Certificate, Material, TrustStore};
use smr_evidence::{envelope, note, receipt, refusal};
use smr_name::{Address, EntryName, Fingerprint, Head};
use smr_seal::Recipient;

/// Who is on file beside alice.
const OTHERS: [&str; 5] = ["bob", "carol", "mallory", "rita", "xavier"];
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
/// The key of the repository whose postmarks the bundles have.
const SEED: [u8; 32] = [5; 32];

struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
    message: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Vector {
        let bytes = fs::read(path).unwrap();
        let end = bytes.windows(2).position(|w| w == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let fields = head
            .lines()
            .map(|l| l.split_once(": ").expect("KEY: VALUE"));
        Vector {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            fields: fields.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            message: bytes[end + 2..].to_vec(),
        }
    }

    fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    fn time(&self, key: &str) -> i64 {
        self.field(key).parse().expect("unix seconds")
    }

    fn answer(&self) -> Vec<u8> {
        STANDARD.decode(self.field("answer")).expect("base64")
    }

    fn by(&self) -> Address {
        address(self.field("by"))
    }

    fn is_refusal(&self) -> bool {
        self.field("kind") == "refusal"
    }

    /// Seals the message for its sender.
    fn sealed(&self, alice: &Recipient) -> Vec<u8> {
        let mut sealed = Vec::new();
        let recipients = std::iter::once(alice as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients);
        let mut writer = encryptor.unwrap().wrap_output(&mut sealed).unwrap();
        writer.write_all(&self.message).unwrap();
        writer.finish().unwrap();
        sealed
    }

    /// Seals the answer for the sender of the message.
    fn sealed_answer(&self, alice: &Recipient) -> Vec<u8> {
        let to = std::slice::from_ref(alice);
        match self.is_refusal() {
            true => refusal::seal(&self.answer(), to).unwrap().bytes,
            false => receipt::seal(&self.answer(), to).unwrap().bytes,
        }
    }

    /// The SHA-256 of the message's SignedData.
    fn cms(&self) -> [u8; 32] {
        *Fingerprint::of(&self.signature()).as_bytes()
    }

    fn signature(&self) -> Vec<u8> {
        envelope::verify_plain(self.message.as_slice()).unwrap().cms
    }

    fn entry(&self, number: u64, time: i64, sender: &str, file: &[u8], cms: [u8; 32]) -> String {
        let entry = EntryName {
            number,
            time,
            id: self.field("id").parse().unwrap(),
            sender: sender.parse().unwrap(),
            size: file.len() as u64,
            sha256: *Fingerprint::of(file).as_bytes(),
            cms,
        };
        entry.to_string()
    }

    fn mark(&self, kind: Kind, mailbox: &str, sender: &str, cms: [u8; 32], time: i64) -> String {
        let postmark = Postmark {
            repository: "repo.example".parse().unwrap(),
            mailbox: mailbox.parse().unwrap(),
            kind,
            number: 1,
            sender: sender.parse().unwrap(),
            id: self.field("id").parse().unwrap(),
            size: 1,
            sha256: [1; 32],
            cms,
            time,
            head: Head::default(),
        };
        postmark::sign(&postmark, &note::Signer::from_seed(&SEED)).unwrap()
    }

    /// Writes the bundle that a sender of ill will would make.
    fn bundle(&self, file: &Path) {
        let given = Given {
            by: self.by(),
            der: self.answer(),
        };
        let answer = *Fingerprint::of(&given.der).as_bytes();
        let (receipts, refusals) = match self.is_refusal() {
            true => (vec![], vec![given]),
            false => (vec![given], vec![]),
        };
        let by = self.field("by");
        let mut store = TrustStore::default();
        store.add_crls(&read("crls.pem")).unwrap();
        let bundle = Bundle {
            id: self.field("id").parse().unwrap(),
            sender: address("alice"),
            time: self.time("given") + 10,
            signature: self.signature(),
            receipts,
            refusals,
            postmarks: vec![
                self.mark(
                    Kind::Message,
                    "bob",
                    "alice",
                    self.cms(),
                    self.time("deposited"),
                ),
                self.mark(Kind::Receipt, "alice", by, answer, self.time("given")),
            ],
            identity: Some(identity()),
            accounts: ["alice", by]
                .map(|name| (address(name), read(&format!("{name}.p7s"))))
                .into(),
            anchors: Certificate::pem_or_der_bundle(&read("root.pem")).unwrap(),
            intermediates: vec![],
            crls: store.crls,
            ocsp: vec![],
            stamps: BTreeMap::new(),
            clocks: vec![],
        };
        let mut emit = |out: &mut dyn Write| out.write_all(&self.message);
        let out = fs::File::create(file).unwrap();
        bundle::write(&bundle, Content::Whole(&mut emit), out).unwrap();
    }
}

fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().unwrap()
}

fn identity() -> String {
    let key = STANDARD.encode(note::public_key(&SEED));
    format!("smr identity 1\nname repo.example\npostmark {key}\n")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/receipt")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

/// Reads every vector of the folder, by name.
fn vectors() -> Vec<Vector> {
    let files = fs::read_dir(folder()).expect("the vectors are there");
    let paths = files.map(|entry| entry.unwrap().path());
    let mut all: Vec<Vector> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "vec"))
        .map(|path| Vector::read(&path))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let count = |code: &str| all.iter().filter(|v| v.field("expect") == code).count();
    assert!(
        count("0") >= 3 && count("65") >= 15 && count("77") >= 1,
        "the vectors are all there"
    );
    all
}

/// A house whose alice has the vectors' messages among the sent ones, and the
/// answers among her receipts.
fn delivered(vectors: &[Vector], pki: &Path) -> House {
    make_pki(pki);
    let realm = pki.join("trust.d/vectors");
    fs::create_dir(&realm).unwrap();
    fs::copy(folder().join("root.pem"), realm.join("root.pem")).unwrap();
    fs::copy(folder().join("crls.pem"), pki.join("crls/vectors.pem")).unwrap();
    let mut house = House::with_pki(pki, "max_age = \"36500d\"");
    let enter = format!(
        "printf '[trust]\\nrevocation_age = \"36500d\"\\n' > $SMR_HOME/client.toml && \
         cp {} card.pem && chmod 600 card.pem && smr-register --server $SERVER \
         --server-key $KEY --token file:$PWD/card.pem --no-backup alice && smr-login",
        folder().join("alice.pem").display()
    );
    house.sh("alice", &enter).expect(0);
    let alice = house.sh("alice", RECIPIENT).expect(0).text();
    let alice = Recipient::parse(&alice).expect("alice's record states her key");
    assert_eq!(house.stop(), Some(0));
    let accounts = house.path("store/accounts");
    for name in OTHERS {
        for dir in TREE {
            fs::create_dir_all(accounts.join(name).join(dir)).unwrap();
        }
        fs::write(
            accounts.join(name).join("record"),
            read(&format!("{name}.p7s")),
        )
        .unwrap();
    }
    for (vector, number) in vectors.iter().zip(1..) {
        let sealed = vector.sealed(&alice);
        let deposited = vector.time("deposited");
        let name = vector.entry(number, deposited, "alice", &sealed, vector.cms());
        fs::write(accounts.join("alice/sent/cur").join(name + ":2,S"), sealed).unwrap();
        let (sealed, by) = (vector.sealed_answer(&alice), vector.field("by"));
        let cms = *Fingerprint::of(&vector.answer()).as_bytes();
        let name = vector.entry(number, vector.time("given"), by, &sealed, cms);
        fs::write(accounts.join("alice/receipts/new").join(name), sealed).unwrap();
    }
    house.start();
    house
}

/// Finds the recipient of alice's device in her account record.
const RECIPIENT: &str = "signed() { openssl cms -verify -noverify -inform DER 2>/dev/null; }
    signed < $STORE/accounts/alice/record | awk '$1 == \"keys\" { print $3 }' |
    openssl base64 -d -A | signed | awk '$1 == \"recipient\" { print $2 }'";

#[test]
fn the_sender_is_told_of_each_what_it_is() {
    let vectors = vectors();
    let pki = tempfile::tempdir().unwrap();
    let mut house = delivered(&vectors, pki.path());
    let mut wrong = Vec::new();
    for vector in &vectors {
        if let Err(why) = told(&mut house, vector) {
            wrong.push(format!("{}: {why}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn told(house: &mut House, vector: &Vector) -> Result<(), String> {
    let (id, by, expect) = (
        vector.field("id"),
        vector.field("by"),
        vector.field("expect"),
    );
    let said = house.sh("alice", &format!("smr-receipt --status {id}"));
    let status = said.text();
    if said.code.to_string() != expect {
        return Err(format!(
            "--status ends with {}: {status}{}",
            said.code, said.stderr
        ));
    }
    let lines: Vec<Vec<&str>> = status.lines().map(|l| l.split('\t').collect()).collect();
    let line = lines.iter().find(|line| line[1] == by);
    // Who was not addressed has no line, whatever lies there in his name.
    let Some(line) = line else {
        let silent = vector.field("status").is_empty() && lines.iter().all(|line| line[5] == "-");
        return silent
            .then_some(())
            .ok_or_else(|| format!("--status says {status}"));
    };
    if vector.field("status").is_empty() || !line[5].contains(vector.field("status")) {
        return Err(format!("--status says {status}"));
    }
    let state = match (expect, vector.is_refusal()) {
        ("0", true) => "refused",
        ("0", false) => "read",
        _ => "unknown",
    };
    if line[2] != state {
        return Err(format!("--status says {status}"));
    }
    // The others have given none: nobody need wait for this one.
    let wait = house.sh("alice", &format!("smr-receipt --wait 0s {id}"));
    if wait.code != 1 {
        return Err(format!("--wait ends with {}: {}", wait.code, wait.stderr));
    }
    // What does not count is told and left out of a bundle.
    let file = house
        .path("work/alice")
        .join(format!("{}.zip", vector.name));
    let export = format!("smr-receipt --export {} {id}", file.display());
    let export = house.sh("alice", &export);
    let found = Command::new("unzip").arg("-l").arg(&file).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let has = found.contains("receipts/") || found.contains("refusals/");
    match (expect == "0") == has && export.stderr.contains(vector.field("left-out")) {
        true => Ok(()),
        false => Err(format!("--export: {}, and has {found}", export.stderr)),
    }
}

#[test]
fn a_stranger_is_told_of_each_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    fs::create_dir_all(home.join("trust.d/vectors")).unwrap();
    fs::copy(
        folder().join("root.pem"),
        home.join("trust.d/vectors/root.pem"),
    )
    .unwrap();
    fs::write(
        home.join("client.toml"),
        "[trust]\nrevocation_age = \"36500d\"\n",
    )
    .unwrap();
    let mut wrong = Vec::new();
    for vector in &vectors() {
        let file = dir.path().join(format!("{}.zip", vector.name));
        vector.bundle(&file);
        let ours = Command::new(env!("CARGO_BIN_EXE_smr-receipt"))
            .arg("--verify")
            .arg(&file)
            .env("SMR_HOME", &home)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&ours.stdout) + &text(&ours.stderr);
        let good = vector.field("verify") == "good";
        let code = if good { 0 } else { 65 };
        if ours.status.code() != Some(code) || !said.contains(vector.field("verify")) {
            wrong.push(format!("{}: --verify says {said}", vector.name));
        }
        let script = "unzip -q \"$0\" -d \"$0.d\" && exec sh \"$0.d/verify.sh\" \"$1\"";
        let theirs = Command::new("sh")
            .args(["-c", script])
            .arg(&file)
            .arg(folder().join("root.pem"))
            .output()
            .unwrap();
        let said = text(&theirs.stdout);
        let begin = if good { "good  " } else { "NOT GOOD  " };
        let why = vector.field("script");
        let found = said
            .lines()
            .any(|l| l.starts_with(begin) && l.contains(why));
        // Of everything else in the bundle nothing is wrong.
        let whose = vector.by().to_string();
        let mut bad = said.lines().filter(|l| l.starts_with("NOT GOOD"));
        let else_good = bad.all(|line| !good && line.contains(&whose));
        if theirs.status.code() != Some(code) || !found || !else_good {
            wrong.push(format!("{}: verify.sh says {said}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
