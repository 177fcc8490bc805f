//! A capture of a whole exchange: every byte on the wire, every program's
//! arguments, environment and writes, the disk, the log, smrd's memory and core
//! files, searched for canaries.
//!
//! Each is looked for in plain, in hexadecimal and in base64, and has to be
//! found where it belongs, so that the search is known to work.

#![allow(clippy::print_stdout)] // what was searched, and what was not

mod house;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use house::House;
use memchr::memmem::Finder;

/// What nobody but the two people may see, in words that occur nowhere else.
const BODY: &str = "the heron stands in the reeds at four";
const SUBJECT: &str = "velvet lantern by the river";
const PASSPHRASE: &str = "ibis under an old umbrella";
const PIN: &str = "739105826417";
/// Who alice is, from her certificate, which is public in the repository.
const PERSON: &str = "ALICE MARTINS";

/// A secret in one of its forms.
struct Needle {
    name: String,
    finder: Finder<'static>,
}

/// Returns the forms of a text: plain, hexadecimal, and what base64 makes of it
/// wherever in a larger text it begins.
fn forms(name: &str, text: &str) -> Vec<Needle> {
    let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![
        ("plain".to_owned(), text.to_owned()),
        ("upper case".to_owned(), text.to_uppercase()),
        ("HEX".to_owned(), hex.to_uppercase()),
        ("hex".to_owned(), hex),
    ];
    for before in 0..3 {
        let padded = [&[0; 3][..before], text.as_bytes()].concat();
        let encoded = BASE64_STANDARD.encode(&padded);
        // Without the digits that hold bits of what stands before or after.
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        all.push((format!("base64 {before}"), encoded[from..to].to_owned()));
    }
    let needle = |(form, text): (String, String)| Needle {
        name: format!("{name}, {form}"),
        finder: Finder::new(text.as_bytes()).into_owned(),
    };
    all.into_iter().map(needle).collect()
}

/// Returns the names of what is in these bytes.
fn found<'a>(bytes: &[u8], needles: &'a [Needle]) -> Vec<&'a str> {
    let there = |needle: &&Needle| needle.finder.find(bytes).is_some();
    needles
        .iter()
        .filter(there)
        .map(|n| n.name.as_str())
        .collect()
}

/// A proxy in front of smrd that keeps all that passes.
fn record(smrd: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port is free");
    let address = listener.local_addr().unwrap().to_string();
    let (kept, smrd) = (Arc::new(Mutex::new(Vec::new())), smrd.to_owned());
    let keeps = Arc::clone(&kept);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&smrd).expect("smrd listens");
            let ways = [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ];
            for (from, to) in ways {
                let keeps = Arc::clone(&keeps);
                std::thread::spawn(move || pass(from, to, &keeps));
            }
        }
    });
    (address, kept)
}

fn pass(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 16384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        kept.lock().unwrap().extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

/// The calls by which a program tells something to somebody.
const CALLS: &str = "trace=execve,execveat,write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg";

/// Runs a person's command with every program under strace; what it forks into
/// the background stays watched.
fn watched(house: &mut House, who: &str, command: &str, input: &str) -> String {
    let trace = house.path("traces").join(format!("{who}.$$"));
    // strace itself, left behind with an agent, must hold none of our pipes.
    let strace = format!(
        "strace -D -f -qq -v -yy -s 1000000 -e {CALLS} -o {} sh -c '{command}' >out 2>err",
        trace.display()
    );
    let said = house.sh_with(who, &strace, input.as_bytes());
    let work = house.path("work").join(who);
    let errors = fs::read_to_string(work.join("err")).unwrap();
    assert_eq!(said.code, 0, "{command}: {errors}{}", said.stderr);
    let out = fs::read_to_string(work.join("out")).unwrap();
    fs::remove_file(work.join("out")).unwrap();
    out
}

fn smrd_of(house: &House) -> u32 {
    let text = house.path("smrd.toml").display().to_string();
    let is_ours = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("smrd\0") && line.contains(&text)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.find(is_ours).expect("smrd runs")
}

/// Watches smrd, and returns once every thread of it is.
fn watch_smrd(house: &House, pid: u32) -> Child {
    let trace = house.path("traces/smrd");
    let child = Command::new("strace")
        .args(["-f", "-qq", "-v", "-yy", "-s", "1000000", "-e", CALLS, "-o"])
        .arg(trace)
        .args(["-p", &pid.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .expect("strace is installed");
    let is_traced = |path: PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    };
    let all = || {
        let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        threads.all(|thread| is_traced(thread.path()))
    };
    while !all() {
        std::thread::yield_now();
    }
    child
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        match kind.is_dir() {
            true => all.extend(files(&entry.path())),
            false if kind.is_file() => all.push(entry.path()),
            false => {}
        }
    }
    all
}

fn memory(pid: u32) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read");
    let mut parts = Vec::new();
    for line in maps
        .lines()
        .filter(|l| l.contains(" r") && !l.contains("[v"))
    {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|n| u64::from_str_radix(n, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            parts.push(bytes);
        }
    }
    parts
}

/// Everything that a trace shows, line by line, with whose it is.
fn traces(house: &House) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for file in files(&house.path("traces")) {
        let whose = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        lines.extend(text.lines().map(|line| (whose.clone(), line.to_owned())));
    }
    lines
}

#[test]
fn canaries_are_found_where_they_belong_and_nowhere_else() {
    assert!(rustix::process::geteuid().is_root(), "needs root");
    let mut house = House::build();
    // Before anybody needs them.
    let credentials = house.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("smr.pin"), PIN).unwrap();
    fs::write(credentials.join("smr.passphrase"), PASSPHRASE).unwrap();
    fs::create_dir(house.path("traces")).unwrap();
    let change = "pkcs11-tool --module \"$(cat $PKI/module)\" --token-label alice --login --pin 1234 \
                  --change-pin --new-pin ";
    house.sh("alice", &format!("{change}{PIN}")).expect(0);
    let smrd = smrd_of(&house);
    let mut smrd_trace = watch_smrd(&house, smrd);
    let (address, wire) = record(house.server());

    let register = format!(
        "smr-register --server {address} --server-key $KEY --token \"$TOKEN\" --no-backup $WHO && smr-login"
    );
    watched(&mut house, "alice", &register, "");
    fs::write(credentials.join("smr.pin"), "1234").unwrap();
    watched(&mut house, "bob", &register, "");
    let message = format!("To: bob\nSubject: {SUBJECT}\n\n{BODY}\n");
    let send = "smr-send -v -t --receipt read";
    let id = watched(&mut house, "alice", send, &message);
    let id = id.trim();
    let list = watched(&mut house, "bob", "smr-ls", "");
    let read = format!("smr-recv -v --receipt always {id}");
    let got = watched(&mut house, "bob", &read, "");
    let status = format!("smr-receipt --status {id} && smr-ls sent && smr-ls users");
    let told = watched(&mut house, "alice", &status, "");

    // Found where they belong.
    assert!(
        list.contains(SUBJECT) && got.contains(SUBJECT),
        "{list}{got}"
    );
    assert!(got.contains(BODY), "{got}");
    assert!(told.contains("read") && told.contains(PERSON), "{told}");

    let private = [
        ("body", BODY),
        ("subject", SUBJECT),
        ("pin", PIN),
        ("passphrase", PASSPHRASE),
    ];
    let private: Vec<Needle> = private.iter().flat_map(|(n, t)| forms(n, t)).collect();
    let person = forms("person", PERSON);
    let control = forms("id", id);

    // The memory of smrd, before it is gone.
    let parts = memory(smrd);
    let bytes: usize = parts.iter().map(Vec::len).sum();
    assert!(
        parts.iter().any(|part| !found(part, &control).is_empty()),
        "the search of memory"
    );
    for part in &parts {
        assert_eq!(found(part, &private), [""; 0], "in the memory of smrd");
    }
    println!("memory of smrd: {bytes} bytes");

    cores(&house, smrd);
    smrd_trace.wait().unwrap();
    house.sh("alice", "smr-login --logout").expect(0);
    house.sh("bob", "smr-login --logout").expect(0);

    // The wire.
    let wire = wire.lock().unwrap().clone();
    assert!(wire.len() > 20_000, "{}", wire.len());
    assert_eq!(found(&wire, &private), [""; 0], "on the wire");
    assert_eq!(found(&wire, &person), [""; 0], "on the wire");
    assert_eq!(found(&wire, &control), [""; 0], "on the wire");
    println!("wire: {} bytes", wire.len());

    // The disk: the store, the log, and what the tools keep.
    let (mut searched, mut public) = (0, 0);
    for file in files(&house.path("")) {
        let at = file.strip_prefix(house.path("")).unwrap();
        if at.starts_with("credentials") || at.starts_with("traces") {
            continue;
        }
        let content = fs::read(&file).unwrap();
        assert_eq!(found(&content, &private), [""; 0], "in {}", at.display());
        let named = found(&content, &person);
        // The log says whom a new account belongs to, and nothing more of her.
        let enrolled = |line: &str| line.contains("event=enrolled") || !line.contains(PERSON);
        let may = match at.to_str() {
            Some("smrd.log") => house.log().lines().all(enrolled),
            _ => ["store", "home", "tokens"]
                .iter()
                .any(|folder| at.starts_with(folder)),
        };
        assert!(named.is_empty() || may, "{named:?} in {}", at.display());
        public += usize::from(at.starts_with("store") && !named.is_empty());
        searched += 1;
    }
    assert!(public > 0, "alice's record, where her certificate is");
    println!("disk: {searched} files");

    // Arguments, environments, and what each program told anybody.
    let lines = traces(&house);
    let (mut programs, mut shown) = (0, 0);
    for (whose, line) in &lines {
        let is_start = line.contains("execve(") || line.contains("execveat(");
        programs += usize::from(is_start);
        let secrets = found(line.as_bytes(), &private);
        // What a person asked to see; where it goes the shell says.
        let result = line.contains("write(1<") || line.contains("writev(1<");
        let asked = result
            && secrets
                .iter()
                .all(|s| s.starts_with("body") || s.starts_with("subject"));
        assert!(secrets.is_empty() || asked, "{secrets:?} {whose}: {line}");
        shown += usize::from(!secrets.is_empty());
        let named = found(line.as_bytes(), &person);
        assert!(named.is_empty() || !is_start, "{named:?} {whose}: {line}");
    }
    assert!(programs >= 9 && shown >= 2, "{programs} {shown}");
    assert!(
        lines.iter().any(|(whose, _)| whose == "smrd"),
        "smrd was watched"
    );
    println!("traces: {} lines, {programs} programs started", lines.len());
}

/// Nothing that aborts leaves a core, whatever the limits say; another program
/// does.
fn cores(house: &House, smrd: u32) {
    let limits = fs::read_to_string(format!("/proc/{smrd}/limits")).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().skip(4).collect();
    assert_eq!(core, ["0", "0", "bytes"], "{limits}");
    let dir = house.path("cores");
    fs::create_dir(&dir).unwrap();
    let cwd = fs::read_link(format!("/proc/{smrd}/cwd")).unwrap();
    let before = count_cores(&cwd);
    let abort = |pid: u32| {
        let sent = Command::new("kill")
            .args(["-ABRT", &pid.to_string()])
            .status();
        assert!(sent.unwrap().success());
    };
    abort(smrd);
    while Path::new(&format!("/proc/{smrd}/maps")).exists()
        && fs::read(format!("/proc/{smrd}/maps")).is_ok_and(|maps| !maps.is_empty())
    {
        std::thread::yield_now();
    }
    assert_eq!(count_cores(&cwd), before, "smrd left a core");
    // Whether anything would, here.
    let mut other = Command::new("sh")
        .args(["-c", "ulimit -c unlimited && kill -ABRT $$"])
        .current_dir(&dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    other.wait().unwrap();
    match count_cores(&dir) {
        0 => println!("SKIPPED: no program leaves a core file on this machine"),
        _ => println!("cores: none of smrd, one of a shell"),
    }
}

fn count_cores(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().flatten();
    entries
        .filter(|e| e.file_name().to_string_lossy().starts_with("core"))
        .count()
}
