//! What the memory of a process holds: an agent's while it is unlocked, after a
//! lock and after a logout, and a tool's at work.
//!
//! Root reads every page that the kernel lets it read, of real programs, and
//! looks for secrets that the test has from the key ring: each whole and in
//! halves, in every form in which our libraries keep it.

#![allow(clippy::print_stdout)] // counts and figures

mod house;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use age::Recipient as _;
use age_core::format::FileKey;
use house::House;
use memchr::memmem::Finder;
use rand_core::OsRng;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use smr_channel::frame::{ASK_IDENTITY, HEADER, MAGIC};
use smr_channel::local::{Entrance, Load, Secret};
use smr_channel::request::Request;
use smr_channel::suite::Suite;
use smr_client::agent::Connection;
use smr_client::keyring::KeyRing;
use smr_name::Fingerprint;
use smr_seal::Identity;

const PASSPHRASE: &str = "correct horse";

/// A secret, or a half of one, under a name.
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

/// Adds a secret and its halves.
fn add(needles: &mut Vec<Needle>, name: &str, bytes: &[u8]) {
    assert!(bytes.len() >= 26, "{name} is too short to be told apart");
    let (first, last) = bytes.split_at(bytes.len() / 2);
    for (part, bytes) in [("", bytes), (", first half", first), (", last half", last)] {
        needles.push(Needle {
            name: format!("{name}{part}"),
            bytes: bytes.to_vec(),
        });
    }
}

/// Returns the forms of all secrets of a key ring, and of a classic identity.
fn needles(ring: &KeyRing, classic: &str) -> Vec<Needle> {
    let mut all = Vec::new();
    let scalar = scalar(&ring.device_key);
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    add(&mut all, "device key", &scalar);
    add(&mut all, "device key, as limbs", &reversed(&scalar));
    let form = reversed(&montgomery(&scalar));
    add(&mut all, "device key, in Montgomery's form", &form);
    for text in ring.all_identities().chain([classic]) {
        let (_, data) = text.rsplit_once('1').unwrap();
        add(&mut all, "identity", data.as_bytes());
        add(&mut all, "identity", data.to_lowercase().as_bytes());
        let seed = seed(data);
        add(&mut all, "seed of an identity", &seed);
        let mut shake = sha3::Shake256::default();
        shake.update(&seed);
        let mut stream = shake.finalize_xof();
        for part in ["d", "z", "x"] {
            let mut key = [0; 32];
            XofReader::read(&mut stream, &mut key);
            add(&mut all, &format!("{part} of X-Wing"), &key);
        }
    }
    add(&mut all, "secret for --once", ring.once.as_slice());
    // No secret, but it passes through as a file key does, and nobody wipes it:
    // what is freed must be gone all the same.
    add(&mut all, "mark of what was signed", MARK);
    let name = "passphrase".to_owned();
    let bytes = PASSPHRASE.as_bytes().to_vec();
    all.push(Needle { name, bytes });
    all
}

/// Takes the private scalar out of a PKCS#8 key (RFC 5915: version 1, then an
/// octet string of 32 bytes).
fn scalar(pkcs8: &[u8]) -> [u8; 32] {
    let head = [2, 1, 1, 4, 32];
    let at = Finder::new(&head).find(pkcs8).expect("a P-256 key") + head.len();
    pkcs8[at..at + 32].try_into().unwrap()
}

/// Returns scalar * 2^256 modulo the order of P-256, the form in which ring
/// computes, big-endian.
fn montgomery(scalar: &[u8; 32]) -> [u8; 32] {
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut value = *scalar;
    for _ in 0..256 {
        let carry = value[0] >> 7;
        let doubled: Vec<u8> = (0..32)
            .map(|i| value[i] << 1 | value.get(i + 1).map_or(0, |next| next >> 7))
            .collect();
        value = doubled.try_into().unwrap();
        if carry == 1 || value >= order {
            let mut borrow = 0;
            for i in (0..32).rev() {
                let digit = i16::from(value[i]) - i16::from(order[i]) - borrow;
                borrow = i16::from(digit < 0);
                value[i] = digit.rem_euclid(256).try_into().unwrap();
            }
        }
    }
    value
}

/// Decodes the data of a Bech32 text, less its checksum (BIP 173).
fn seed(data: &str) -> Vec<u8> {
    let letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
    for letter in data[..data.len() - 6].to_lowercase().chars() {
        bits = bits << 5 | u32::try_from(letters.find(letter).unwrap()).unwrap();
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    assert_eq!(out.len(), 32);
    out
}

/// What a search through a process found.
#[derive(Debug, Default)]
struct Found {
    names: Vec<String>,
    bytes: u64,
    hidden: Vec<String>,
}

/// Reads all memory of a process and looks for the needles; once more where it
/// has mapped or unmapped memory meanwhile.
fn search(pid: u32, needles: &[Needle]) -> Found {
    assert!(rustix::process::geteuid().is_root(), "needs root");
    let maps = || fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process lives");
    loop {
        let before = maps();
        let found = search_in(pid, &before, needles);
        if before == maps() {
            let strange = |line: &&String| !line.contains("secretmem");
            let strange: Vec<_> = found.hidden.iter().filter(strange).collect();
            assert!(strange.is_empty(), "unreadable: {strange:?}");
            return found;
        }
    }
}

/// The same, until it finds nothing, or for a moment: who has answered may not
/// have wiped yet what he took to answer.
fn last_search(pid: u32, needles: &[Needle]) -> Found {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let found = search(pid, needles);
        if found.names.is_empty() || Instant::now() >= end {
            return found;
        }
    }
}

fn search_in(pid: u32, maps: &str, needles: &[Needle]) -> Found {
    let finders: Vec<_> = needles.iter().map(|n| Finder::new(&n.bytes)).collect();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read");
    let mut found = Found::default();
    for line in maps
        .lines()
        .filter(|l| l.contains(" r") && !l.contains("[v"))
    {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|n| u64::from_str_radix(n, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_err() {
            found.hidden.push(line.to_owned());
            continue;
        }
        found.bytes += to - from;
        for (needle, finder) in needles.iter().zip(&finders) {
            if let Some(at) = finder.find(&bytes) {
                let place = from + at as u64;
                found
                    .names
                    .push(format!("{} at {place:x} in {line}", needle.name));
            }
        }
    }
    found
}

/// An agent of alice's that outlives its last account.
struct Agent {
    child: Child,
    pid: u32,
}

impl Agent {
    /// Starts one; on a kernel as if without memfd_secret(2) where `old` says
    /// so.
    fn start(house: &House, old: bool) -> Agent {
        let home = house.path("home/alice");
        fs::create_dir_all(&home).unwrap();
        let program = env!("CARGO_BIN_EXE_smr-agent");
        let mut command = match old {
            true => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]);
                strace.args(["-e", "trace=memfd_secret"]);
                strace.args(["-e", "inject=memfd_secret:error=ENOSYS", program]);
                strace
            }
            false => Command::new(program),
        };
        let socket = home.join("agent.sock");
        command
            .arg("--socket")
            .arg(&socket)
            .args(["--ready-fd", "1"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = Connection::open(&socket).unwrap().pid();
        Agent { child, pid }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let pid = self.pid.to_string();
        // It may be gone already.
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
        let _ = self.child.wait();
    }
}

fn ring(house: &House) -> KeyRing {
    let rings = glob(&house.path("home/alice"), ".age");
    assert_eq!(rings.len(), 1, "{rings:?}");
    KeyRing::load(&rings[0], PASSPHRASE).unwrap()
}

fn glob(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(glob(&path, ending)),
            false if path.to_string_lossy().ends_with(ending) => found.push(path),
            false => {}
        }
    }
    found
}

/// Has the agent use every secret it holds, in many threads.
fn use_all(house: &mut House) {
    let busy = "for n in 1 2 3; do echo hello | smr-send -s $n alice & done; wait; \
                for n in 1 2 3; do smr-recv; done && smr-ls -1 | smr-receipt - && smr-ls sent";
    house.sh("alice", busy).expect(0);
}

/// Returns the identity document that smrd shows to anyone.
fn identity(house: &House) -> String {
    let mut smrd = TcpStream::connect(house.server()).unwrap();
    smrd.write_all(MAGIC).unwrap();
    smrd.write_all(&[ASK_IDENTITY]).unwrap();
    let mut header = [0; HEADER];
    smrd.read_exact(&mut header).unwrap();
    let mut text = String::new();
    smrd.read_to_string(&mut text).unwrap();
    text
}

/// Tools that have the agent do all it does with secrets, each in a thread of
/// the agent's own, which lives as long as this connection: what its stack still
/// holds can be seen.
fn residents(house: &House, classic: &str) -> Vec<Connection> {
    let ring = ring(house);
    let connect = || Connection::open(&house.path("home/alice/agent.sock")).unwrap();
    let secret = |text: &str| Secret::copy_of(text.as_bytes());
    let mut loads = connect();
    loads
        .load(Load {
            account: ring.account.clone(),
            server: house.server().to_owned(),
            identity: identity(house),
            device_key: Secret::copy_of(&ring.device_key),
            device: *Fingerprint::of(&ring.chain[0]).as_bytes(),
            identities: ring.all_identities().chain([classic]).map(secret).collect(),
            once: Secret::copy_of(ring.once.as_slice()),
            lifetime: 3600,
            idle: 0,
            suites: Suite::ALL.to_vec(),
            entrance: Entrance::Login,
        })
        .unwrap();
    let mut all = vec![loads];
    for text in [ring.all_identities().next().unwrap(), classic] {
        let key = FileKey::init_with_mut(|key| key.fill(9));
        let recipient = Identity::parse(text).unwrap().to_recipient();
        let (stanzas, _) = recipient.wrap_file_key(&key).unwrap();
        let mut opens = connect();
        let opened = opens.unwrap(&ring.account, &stanzas).unwrap();
        assert_eq!(*opened.expect("it is sealed to alice"), [9; 16]);
        all.push(opens);
    }
    let mut signs = connect();
    signs.sign(&ring.account, &attributes()).unwrap();
    let mut carries = connect();
    let pong = carries.carry(
        &ring.account,
        &Request::Ping.encode().unwrap(),
        None,
        &mut std::io::sink(),
    );
    pong.unwrap();
    all.extend([signs, carries]);
    all
}

const MARK: &[u8; 32] = b"mark of a letter, of 32 bytes...";

// contentType id-data and messageDigest (RFC 5652, 11), and a long attribute of
// nobody's.
fn attributes() -> Vec<u8> {
    let marks = MARK.repeat(60);
    let mut der = b"\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03".to_vec();
    der.extend(b"\x31\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
    der.extend(b"\x30\x2f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04");
    der.extend(b"\x31\x22\x04\x20");
    der.extend([9; 32]);
    let octets = tlv(4, &marks);
    der.extend(tlv(
        0x30,
        &[&b"\x06\x02\x2a\x03"[..], &tlv(0x31, &octets)].concat(),
    ));
    tlv(0x31, &der)
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [&[tag, 0x82, high, low], contents].concat()
}

fn has(found: &Found, name: &str) -> bool {
    found.names.iter().any(|n| n.starts_with(name))
}

#[test]
fn an_agent_on_an_old_kernel_holds_secrets_until_it_is_locked_or_logged_out() {
    let mut house = House::build();
    let classic = Identity::generate_classic(&mut OsRng).encode();
    let agent = Agent::start(&house, true);
    house.move_in("alice");
    use_all(&mut house);
    let needles = needles(&ring(&house), &classic);
    let status = house.sh("alice", "smr-login --status -v").expect(0);
    assert!(status.stderr.contains("(mlock)"), "{}", status.stderr);

    for command in ["--lock", "--logout"] {
        let _residents = residents(&house, &classic);
        let stray = |n: &&String| !n.contains("rw-p") || n.contains("[heap]");
        let end = Instant::now() + Duration::from_secs(10);
        let before = loop {
            let found = search(agent.pid, &needles);
            if !found.names.iter().any(|n| stray(&n)) || Instant::now() >= end {
                break found;
            }
        };
        println!(
            "before {command}: {} in {} bytes",
            before.names.len(),
            before.bytes
        );
        assert!(
            has(&before, "identity"),
            "the search finds nothing: {before:?}"
        );
        assert!(has(&before, "device key, in Mont"), "{before:?}");
        let stray: Vec<_> = before.names.iter().filter(stray).collect();
        assert!(stray.is_empty(), "outside pages of their own: {stray:?}");

        house.sh("alice", &format!("smr-login {command}")).expect(0);
        let after = last_search(agent.pid, &needles);
        println!(
            "after {command}: {} in {} bytes",
            after.names.len(),
            after.bytes
        );
        assert!(
            after.names.is_empty(),
            "after {command}: {:#?}",
            after.names
        );
        assert!(after.bytes > 1 << 20, "too little was read: {after:?}");
    }
}

#[test]
fn where_the_kernel_hides_memory_root_finds_no_secret_even_while_it_is_unlocked() {
    let mut house = House::build();
    let classic = Identity::generate_classic(&mut OsRng).encode();
    let agent = Agent::start(&house, false);
    house.move_in("alice");
    let status = house.sh("alice", "smr-login --status -v").expect(0);
    if !status.stderr.contains("(memfd_secret)") {
        println!("skipped: 1 test, the kernel has no memfd_secret(2)");
        return;
    }
    use_all(&mut house);
    let _residents = residents(&house, &classic);
    let needles = needles(&ring(&house), &classic);
    let found = last_search(agent.pid, &needles);
    println!(
        "unlocked: {} pages hidden, {} bytes read",
        found.hidden.len(),
        found.bytes
    );
    assert!(found.names.is_empty(), "{:#?}", found.names);
    assert!(found.hidden.len() >= 2, "{found:?}");
    for command in ["--lock", "--unlock", "--logout"] {
        house.sh("alice", &format!("smr-login {command}")).expect(0);
        let found = last_search(agent.pid, &needles);
        assert!(found.names.is_empty(), "{:#?}", found.names);
    }
}

#[test]
fn a_tool_holds_what_it_sends_and_no_long_term_secret() {
    let mut house = House::with(&["alice"]);
    let classic = Identity::generate_classic(&mut OsRng).encode();
    let mut needles = needles(&ring(&house), &classic);
    let letter = b"a letter that is about to be sent, and signed";
    let name = "the letter".to_owned();
    let bytes = letter.to_vec();
    needles.push(Needle { name, bytes });
    // It waits for the end of its body.
    let mut tool = house.begin("alice", "exec smr-send -s waits alice");
    let mut stdin = tool.stdin.take().unwrap();
    // More than it reads at a time: what fits the pipe again, it has taken.
    let pad = vec![b'.'; 1 << 20];
    stdin.write_all(letter).unwrap();
    stdin.write_all(&pad).unwrap();
    let found = loop {
        let found = search(tool.id(), &needles);
        if has(&found, "the letter") {
            break found;
        }
        assert!(
            tool.try_wait().unwrap().is_none(),
            "the search finds nothing"
        );
    };
    let limits = fs::read_to_string(format!("/proc/{}/limits", tool.id())).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core")).unwrap();
    let numbers: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "no core file of a tool");
    drop(stdin);
    assert!(tool.wait().unwrap().success());
    println!("smr-send: {} bytes read", found.bytes);
    assert_eq!(found.names.len(), 1, "{:#?}", found.names);
}
