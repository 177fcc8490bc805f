//! What lies on disks: the store's journal after a power cut, and the client's
//! own files, which a thief of the disk may have changed.

use std::collections::BTreeMap;
use std::io::Write;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

use age::secrecy::SecretString;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use smr_channel::request::Folder;
use smr_client::home::{Home, Places};
use smr_client::keyring::KeyRing;
use smr_client::known::{Known, Mark};
use smr_client::listing::Shown;
use smr_client::numbers;
use smr_client::shelf::{self, Kept};
use smr_evidence::note;
use smr_evidence::note::succession::Chain;
use smr_evidence::postmark::Kind;
use smr_name::{EntryName, Head, MailboxName, MessageId, RepositoryName};
use smr_store::{Store, fsck};
use tempfile::TempDir;

/// The passphrase of the key rings.
const PASSPHRASE: &str = "correct horse";
/// Bytes of a record of the journal before its names, behind its hash.
const HEAD: usize = 8 + 8 + 4 + 4;
/// Bytes of a block of the client's journal.
const BLOCK: usize = 4096;
/// The folders that an account's messages lie in.
const PLACES: [&str; 6] = [
    "inbox/new",
    "inbox/cur",
    "sent/new",
    "sent/cur",
    "receipts/new",
    "receipts/cur",
];

thread_local! {
    static STORE: TempDir = {
        let dir = folder();
        let store = Store::create(&dir.path().join("store")).expect("a store");
        store.create_account(&name("rui"), b"record").expect("an account");
        dir
    };
    static HOME: (TempDir, Home) = {
        let dir = folder();
        let places = Places { smr_home: Some(dir.path().to_owned()), ..Places::default() };
        let home = Home::new(&places, None).expect("a home");
        (dir, home)
    };
}

/// A folder in memory, unless somebody wants it elsewhere: a store syncs.
fn folder() -> TempDir {
    let dir = match env::var_os("TMPDIR") {
        None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()),
        Some(_) => tempfile::tempdir(),
    };
    dir.expect("a folder")
}

fn name(text: &str) -> MailboxName {
    text.parse().expect("a name")
}

fn repository() -> RepositoryName {
    "repo.example".parse().expect("a name")
}

/// Takes `n` bytes, or what is left.
fn take<'a>(rest: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(n.min(rest.len()));
    *rest = left;
    taken
}

/// Returns both files of a journal: each record is told without its hash, which
/// no dice would find, behind the number of its file. What is too short for one
/// stands at the end of the first file as it is.
fn records(mut rest: &[u8]) -> [Vec<u8>; 2] {
    let mut files = [Vec::new(), Vec::new()];
    while rest.len() > HEAD {
        let file = usize::from(take(&mut rest, 1)[0] & 1);
        let head = take(&mut rest, HEAD);
        let length = |at: usize| {
            let bytes = head[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes) as usize
        };
        let names = take(&mut rest, length(16));
        let body = take(&mut rest, length(20));
        let hash = Sha256::new()
            .chain_update(b"smr journal 1\0")
            .chain_update(head)
            .chain_update(names)
            .chain_update(body)
            .finalize();
        files[file].extend(hash.iter().chain(head).chain(names).chain(body));
    }
    files[0].extend(rest);
    files
}

/// The names below a folder; none where there is no such folder.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// Replays a journal, and returns how many files came about by it.
fn replayed(data: &[u8]) -> usize {
    STORE.with(|dir| {
        let store = dir.path().join("store");
        for (n, bytes) in records(data).iter().enumerate() {
            fs::write(store.join(format!("journal/{n}")), bytes).expect("the journal");
        }
        fs::write(store.join("journal/large.1"), b"large").expect("a large message");
        fsck(&store, &[], &mut |_| ()).expect("a store");
        drop(Store::open(&store).expect("what a journal holds is no reason to stay away"));
        // Nothing but messages comes about, in folders of those who are there.
        assert_eq!(below(dir.path()), [&*store]);
        assert_eq!(below(&store).len(), 5);
        assert_eq!(below(&store.join("accounts")), [store.join("accounts/rui")]);
        assert!(below(&store.join("tmp")).is_empty());
        let mut made = 0;
        for place in PLACES {
            for file in below(&store.join("accounts/rui").join(place)) {
                let entry = file.file_name().and_then(|name| name.to_str());
                let entry = entry.and_then(|name| name.split(':').next());
                let entry = entry.map(str::parse::<EntryName>);
                assert!(matches!(entry, Some(Ok(_))), "{}", file.display());
                fs::remove_file(file).expect("a file");
                made += 1;
            }
        }
        made
    })
}

/// What a power cut or a thief left of the journal.
pub fn journal(data: &[u8]) {
    replayed(data);
}

/// Tells whether a journal makes files.
pub fn makes_files(data: &[u8]) -> bool {
    replayed(data) > 1
}

/// Asks for as little work as there can be.
static RECIPIENT: LazyLock<age::scrypt::Recipient> = LazyLock::new(|| {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(PASSPHRASE.to_owned()));
    recipient.set_work_factor(1);
    recipient
});

/// Seals what stands in a key ring.
fn ring(text: &[u8]) -> Vec<u8> {
    let encryptor = age::Encryptor::with_recipients(iter::once(&*RECIPIENT as _));
    let mut sealed = Vec::new();
    let mut writer = encryptor
        .and_then(|encryptor| Ok(encryptor.wrap_output(&mut sealed)?))
        .expect("a recipient");
    writer.write_all(text).expect("memory");
    writer.finish().expect("memory");
    sealed
}

/// A key ring whose owner's passphrase the thief knows; and one sealed in
/// another way, or not at all.
pub fn key_ring(data: &[u8]) {
    if let Ok(ring) = KeyRing::open(&ring(data), PASSPHRASE) {
        let _ = ring.current().map(|key| key.epoch);
        assert!(ring.all_identities().count() >= ring.restored.len());
    }
    // What asks for much work is tried by unit tests.
    if !data.windows(6).any(|w| w == b"scrypt") {
        assert!(KeyRing::open(data, PASSPHRASE).is_err());
    }
}

/// Tells whether a key ring opens and has keys.
pub fn has_keys(data: &[u8]) -> bool {
    KeyRing::open(&ring(data), PASSPHRASE).is_ok_and(|ring| ring.current().is_some())
}

/// Reads one of the client's own files, which the first byte chooses; tells
/// whether something was known by it.
fn knows(data: &[u8]) -> bool {
    let (&[which, ref content @ ..], id) = (data, MessageId::from_bytes([7; 16])) else {
        return false;
    };
    let (rui, ana, repo) = (name("rui"), name("ana"), repository());
    HOME.with(|(_, home)| {
        let known = Known::new(home);
        let dir = home.known();
        let heads = dir.join("heads/repo.example");
        let file = match which % 8 {
            0 => dir.join("servers/repo.example.toml"),
            1 => dir.join("accounts/repo.example/rui.toml"),
            2 => heads.join("rui.inbox.toml"),
            3 => heads.join("rui.inbox.promised.toml"),
            4 => heads.join("rui.inbox.told.toml"),
            5 => dir.join("theirs/repo.example/rui/ana.message.toml"),
            6 => home.postmarks(&id).join("rui"),
            _ => home.cache().join("listings/8801"),
        };
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, content).expect("a file");
        let mark = Mark {
            number: 3,
            head: Head::from_bytes([9; 32]),
        };
        let found = match which % 8 {
            0 => {
                let _ = known.successions();
                let server = known.server(&repo).ok().flatten();
                server.is_some_and(|server| match known.chain(&server) {
                    Ok(chain) => known.follow(&repo, &chain).is_ok(),
                    Err(_) => false,
                })
            }
            1 => known.contact(&rui, &repo).is_ok_and(|c| c.is_some()),
            2 => {
                let _ = known.see_mark(&rui, &repo, Folder::Inbox, &mark);
                known
                    .mark(&rui, &repo, Folder::Inbox)
                    .is_ok_and(|m| m.is_some())
            }
            3 => known
                .due(&rui, &repo, Folder::Inbox)
                .is_ok_and(|m| !m.is_empty()),
            4 => {
                let heard = known.heard(&rui, &repo, Folder::Inbox).unwrap_or_default();
                let again = |told| known.hear(&rui, &repo, Folder::Inbox, told);
                heard.iter().all(|told| again(told).is_ok()) && !heard.is_empty()
            }
            5 => {
                let theirs = known.theirs(&rui, &repo, &ana, Kind::Message);
                theirs.is_ok_and(|told| told.is_some())
            }
            6 => {
                let _ = known.all_postmarks();
                known.postmark(&id, &rui).is_ok_and(|text| text.is_some())
            }
            _ => (1..4).any(|n| numbers::find(home, "8801-7", n).is_ok()),
        };
        fs::remove_file(file).expect("the file");
        found
    })
}

/// What the client keeps of others and of smrd.
pub fn known(data: &[u8]) {
    knows(data);
}

/// The first byte and the content of every kind of file that is read.
pub fn is_known(data: &[u8]) -> bool {
    knows(data)
}

/// Returns the journal of what is known: each batch is told without its length, run
/// and digest, behind two bytes of its length.
fn batches(mut rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"smr journal of what is known 1\n".to_vec();
    bytes.resize(BLOCK, 0);
    while rest.len() > 2 && bytes.len() < 33 * BLOCK {
        let length = take(&mut rest, 2).try_into().expect("two bytes");
        let content = take(&mut rest, u16::from_be_bytes(length).into());
        let (run, block) = ([5; 16], (bytes.len() / BLOCK) as u64);
        let digest = Sha256::new()
            .chain_update(b"smr known 1\0")
            .chain_update(run)
            .chain_update(block.to_be_bytes())
            .chain_update(content)
            .finalize();
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(run.iter().chain(&digest).chain(content));
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes
}

/// The files below a folder and those below it, with what is in them.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in below(dir) {
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    found
}

/// Makes whole what is known by a journal; returns how many files came about.
fn healed(data: &[u8]) -> usize {
    HOME.with(|(dir, home)| {
        let (known, journal) = (home.known(), home.known().join("journal"));
        let state = known.parent().expect("a folder of all that is kept");
        let _ = fs::remove_dir_all(state);
        fs::create_dir_all(&known).expect("a folder");
        fs::write(&journal, batches(data)).expect("the journal");
        let whole = Known::whole(home).is_ok();
        let made = files(state);
        if whole {
            Known::whole(home).expect("what is whole stays so");
            assert_eq!(made, files(state));
        }
        let outside = below(dir.path()).into_iter();
        let outside = outside.filter(|path| path != state && path != home.cache());
        assert_eq!(outside.count(), 0);
        // The journal and its lock stay.
        made.keys()
            .filter(|path| **path != journal && !path.ends_with("known/lock"))
            .count()
    })
}

/// What a power cut or a thief left of the client's journal.
pub fn client_journal(data: &[u8]) {
    healed(data);
}

/// Tells whether a journal makes files known.
pub fn makes_known(data: &[u8]) -> bool {
    healed(data) > 0
}

/// Client's journals that make files.
pub fn client_journals() -> [Vec<u8>; 2] {
    let content = |files: &[(&str, &str)]| {
        let mut bytes = (files.len() as u16).to_be_bytes().to_vec();
        for (path, text) in files {
            bytes.extend((path.len() as u16).to_be_bytes());
            bytes.extend(path.as_bytes());
            bytes.extend((text.len() as u32).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        let length = (bytes.len() as u16).to_be_bytes();
        [&length[..], &bytes].concat()
    };
    let one = content(&[
        ("postmarks/07/ana", "a note"),
        ("known/theirs/x", "number = 1\n"),
    ]);
    let two = content(&[("known/theirs/x", "number = 2\n")]);
    [one.clone(), [one, two].concat()]
}

/// Reads what a file of a remembered listing has behind its seal; returns how
/// many of its entries have headers.
fn remembered(data: &[u8]) -> usize {
    let records = shelf::records(data).unwrap_or_default();
    let kept = records.iter().filter_map(|record| {
        let kept = Kept::decode(record).ok()?;
        let again = kept.encode().expect("what was read is written");
        assert_eq!(again, *record);
        Some(kept)
    });
    kept.filter(|kept| kept.shown.is_some()).count()
}

/// A remembered listing whose key the thief has.
pub fn shelf(data: &[u8]) {
    remembered(data);
}

/// Tells whether it has entries with headers.
pub fn is_remembered(data: &[u8]) -> bool {
    remembered(data) > 0
}

/// Remembered listings, behind the seal.
pub fn shelves() -> [Vec<u8>; 2] {
    let kept = |number, shown| Kept {
        head: Head::from_bytes([9; 32]),
        name: entry(number, 1),
        shown,
    };
    let shown = Shown {
        to: vec!["rui@repo.example".parse().expect("an address")],
        cc: vec!["eva@repo.example".parse().expect("an address"); 2],
        subject: "on \u{202e}Monday\n".to_owned(),
    };
    [
        vec![kept(1, None)],
        vec![
            kept(1, Some(shown.clone())),
            kept(2, None),
            kept(3, Some(shown)),
        ],
    ]
    .map(|all| {
        let records = all.iter().map(|kept| kept.encode().expect("a short one"));
        shelf::plain(&records.collect::<Vec<_>>()).expect("a short one")
    })
}

fn entry(number: u64, byte: u8) -> EntryName {
    EntryName {
        number,
        time: 1_800_000_000,
        id: MessageId::from_bytes([byte; 16]),
        sender: name("ana"),
        size: 4,
        sha256: Sha256::digest("text").into(),
        cms: [byte; 32],
    }
}

/// Journals that make files.
pub fn journals() -> Vec<Vec<u8>> {
    let record = |file: u8, pass: u64, large: u64, names: &[String], body: &[u8]| {
        let names: String = names.iter().map(|name| format!("{name}\n")).collect();
        let length = |n: usize| u32::try_from(n).expect("short").to_be_bytes();
        let mut bytes = vec![file];
        bytes.extend(pass.to_be_bytes());
        bytes.extend(large.to_be_bytes());
        bytes.extend(length(names.len()));
        bytes.extend(length(body.len()));
        bytes.extend(names.as_bytes());
        bytes.extend(body);
        bytes
    };
    let (one, two) = (entry(1, 1), entry(2, 2));
    let first = record(
        0,
        1,
        0,
        &[format!("rui/inbox/{one}"), format!("rui/sent/{one}")],
        b"text",
    );
    let other = record(
        1,
        2,
        0,
        &[format!("rui/inbox/{two}"), format!("eva/inbox/{one}")],
        b"text",
    );
    let large = record(0, 1, 1, &[format!("rui/inbox/{two}")], b"");
    let gone = record(0, 1, 2, &[format!("rui/receipts/{two}")], b"");
    vec![
        first.clone(),
        [&first[..], &other].concat(),
        [&other[..], &large, &gone, &first].concat(),
        [&large[..], b"smr"].concat(),
    ]
}

/// Key rings that open, and files that are known, by their first byte.
pub fn owned() -> Vec<(&'static str, Vec<u8>)> {
    let text = |which: u8, text: String| ("known", [&[which][..], text.as_bytes()].concat());
    let zero = "A".repeat(43);
    let key = "AGE-SECRET-KEY-1QQQQQQQQ";
    let ring = format!(
        "version = 1\naccount = \"rui@repo.example\"\nlabel = \"home\"\nbackup = \"age1x\"\n\
         device_key = \"AAAA\"\nonce = \"{zero}=\"\nchain = [\"MAA=\", \"MAA=\"]\n\n\
         [[identity]]\nepoch = 1\nfrom = 1800000000\nkey = \"{key}\"\n\n[[restored]]\nkey = \"{key}\"\n"
    );
    let [first, second] = [1, 2].map(|seed| {
        let key = STANDARD.encode(note::public_key(&[seed; 32]));
        format!("smr identity 1\nname repo.example\npostmark {key}\n")
    });
    let [old, new] = [1, 2].map(|seed| note::Signer::from_seed(&[seed; 32]));
    let mut chain = Chain::parse(&first).expect("a document");
    chain
        .succeed(&second, 1_800_000_000, &old, &new)
        .expect("the next keys");
    let mark = format!("number = 3\nhead = \"{zero}\"\n");
    let told = format!("rui@repo.example message {zero}");
    let contact = format!(
        "realm = \"r\"\ncountry = \"PT\"\nserial = \"1\"\nsubject = \"CN=Rui\"\ndisplay = \"Rui\"\n\
         number = 2\ndigest = \"{zero}\"\n"
    );
    let id = MessageId::from_bytes([7; 16]);
    vec![
        ("key_ring", ring.clone().into_bytes()),
        (
            "key_ring",
            ring.replace("version = 1", "version = 2").into_bytes(),
        ),
        text(
            0,
            format!("address = 'a:1'\nidentity = \"\"\"\n{first}\"\"\"\n"),
        ),
        text(
            0,
            format!(
                "address = 'a:1'\nidentity = \"\"\"\n{second}\"\"\"\nchain = \"\"\"\n{chain}\"\"\"\n"
            ),
        ),
        text(1, contact),
        text(2, mark.clone()),
        text(3, mark.clone()),
        text(
            4,
            format!("[[heard]]\ntold = \"{told}\"\nby = \"ana@repo.example\"\nid = \"{id}\"\n"),
        ),
        text(5, format!("owner = \"\"\n{mark}told = \"{told}\"\n")),
        text(6, "smr postmark\n".to_owned()),
        text(7, format!("8801-7\n{id}\n{id}\n")),
    ]
}
