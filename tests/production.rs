//! smrd as its supervisor sees it: shut in, handed its socket and its keys,
//! saying how it is; and the units in examples/systemd.

#![allow(clippy::print_stdout)] // a skipped test says so

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

mod house;

use house::House;

const LONG: Duration = Duration::from_secs(60);

/// A smrd that systemd-socket-activate has started, and who supervises it.
struct Activated {
    child: Child,
    heard: Receiver<String>,
}

impl Activated {
    /// Waits for the first client; hands over the socket, and the keys as a
    /// credential.
    fn start(house: &House) -> Activated {
        Activated::with(house, &[])
    }

    /// The same, and more sockets.
    fn with(house: &House, more: &[String]) -> Activated {
        let socket = UnixDatagram::bind(house.path("notify")).unwrap();
        let (words, heard) = channel();
        // Else its queue is full after ten signs of life. Ends with the test
        // program, or when nobody wants to hear.
        thread::spawn(move || {
            let mut bytes = [0; 512];
            loop {
                let count = socket.recv(&mut bytes).unwrap();
                let word = String::from_utf8_lossy(&bytes[..count]).into_owned();
                if words.send(word).is_err() {
                    return;
                }
            }
        });
        let handed = house.path("handed");
        fs::create_dir(&handed).unwrap();
        fs::rename(house.path("store/server.key"), handed.join("smrd.key")).unwrap();
        let log = fs::File::options()
            .append(true)
            .open(house.path("smrd.log"));
        let child = Command::new("systemd-socket-activate")
            .arg(format!("--listen={}", house.server()))
            .args(more)
            .arg(format!(
                "--setenv=NOTIFY_SOCKET={}",
                house.path("notify").display()
            ))
            .arg("--setenv=WATCHDOG_USEC=1000000")
            .arg(format!(
                "--setenv=CREDENTIALS_DIRECTORY={}",
                handed.display()
            ))
            .arg(env!("CARGO_BIN_EXE_smrd"))
            .arg("--config")
            .arg(house.path("smrd.toml"))
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .expect("systemd-socket-activate runs");
        Activated { child, heard }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Returns the next word that is no sign of life.
    fn next(&self) -> String {
        loop {
            let word = self.any();
            if word != "WATCHDOG=1" {
                return word;
            }
        }
    }

    fn any(&self) -> String {
        self.heard.recv_timeout(LONG).expect("smrd says something")
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens there, without knocking.
fn until_listening(address: &str) {
    let port = address.rsplit(':').next().unwrap();
    let port = format!(":{:04X} 00000000:0000 0A", port.parse::<u16>().unwrap());
    while !fs::read_to_string("/proc/net/tcp").unwrap().contains(&port) {
        std::thread::yield_now();
    }
}

#[test]
fn smrd_serves_a_socket_that_it_is_handed_and_says_how_it_is() {
    let mut house = House::build();
    house.stop();
    let mut smrd = Activated::start(&house);
    until_listening(house.server());
    house.move_in("carol");
    assert_eq!(smrd.next(), "READY=1");
    house
        .sh_with("carol", "smr-send carol", b"to myself")
        .expect(0);
    assert_eq!(smrd.any(), "WATCHDOG=1");
    smrd.signal("HUP");
    let word = smrd.next();
    assert!(word.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{word}");
    assert_eq!(smrd.next(), "READY=1");
    house.sh("carol", "smr-recv").expect(0);
    smrd.signal("TERM");
    assert_eq!(smrd.next(), "STOPPING=1");
    assert_eq!(smrd.child.wait().unwrap().code(), Some(0));
    let log = house.log();
    assert!(log.contains("event=reloaded"), "{log}");
    assert!(log.contains("event=fetched reader=carol"), "{log}");
    assert!(!log.contains("event=notify"), "{log}");
}

/// Asks for metrics on a local socket.
fn metrics_of(socket: &Path) -> String {
    let told = Command::new("curl")
        .args(["-sSf", "--unix-socket"])
        .arg(socket)
        .arg("http://smrd/metrics")
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&told.stdout).into_owned()
}

/// The same, of a smrd that answers: who has not asked within two seconds is
/// sent away, and asks again.
fn told_by(socket: &Path) -> String {
    let end = Instant::now() + LONG;
    loop {
        let told = metrics_of(socket);
        if told.ends_with("# EOF\n") || Instant::now() >= end {
            return told;
        }
    }
}

#[test]
fn metrics_are_told_on_a_socket_that_is_handed_over_under_that_name() {
    let mut house = House::build();
    house.stop();
    let socket = house.path("handed.sock");
    let more = |name: &str| {
        [
            format!("--listen={}", socket.display()),
            format!("--fdname=clients:{name}"),
        ]
    };
    let mut smrd = Activated::with(&house, &more("metrics"));
    until_listening(house.server());
    // Whoever asks for them starts it, too.
    let told = told_by(&socket);
    assert!(told.contains("\nsmr_enrolments_total 0\n"), "{told}");
    assert!(told.ends_with("# EOF\n"), "{told}");
    house.move_in("carol");
    let told = told_by(&socket);
    assert!(told.contains("\nsmr_enrolments_total 1\n"), "{told}");
    smrd.signal("TERM");
    assert_eq!(smrd.child.wait().unwrap().code(), Some(0));
    assert!(socket.exists(), "it is the giver's to take away");
    assert!(!house.log().contains("event=metrics"), "{}", house.log());

    // By another name it is not for metrics, and for nothing else.
    fs::remove_file(&socket).unwrap();
    fs::rename(
        house.path("handed/smrd.key"),
        house.path("store/server.key"),
    )
    .unwrap();
    fs::remove_dir(house.path("handed")).unwrap();
    fs::remove_file(house.path("notify")).unwrap();
    let mut smrd = Activated::with(&house, &more("clients"));
    until_listening(house.server());
    assert_eq!(metrics_of(&socket), "");
    assert_eq!(smrd.child.wait().unwrap().code(), Some(78));
    assert!(
        house.log().contains("\"clients\" that was handed over"),
        "{}",
        house.log()
    );
}

/// Returns the process of this house's smrd, which holds its store's lock.
fn smrd_of(house: &House) -> u32 {
    let config = house.path("smrd.toml");
    let ours = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("/smrd\0") && line.contains(config.to_str().unwrap())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(ours).expect("smrd runs")
}

#[test]
fn every_thread_of_smrd_is_shut_in() {
    let mut house = House::with(&["carol"]);
    house
        .sh_with("carol", "smr-send carol", b"to myself")
        .expect(0);
    let pid = smrd_of(&house);
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else {
            continue; // a worker that had nothing to do
        };
        let line = |name: &str| {
            let lines = status.lines();
            let mut named = lines.filter_map(|line| line.strip_prefix(name));
            named
                .next()
                .unwrap_or_else(|| panic!("{name} in {status}"))
                .trim()
                .to_owned()
        };
        assert_eq!(line("Seccomp:"), "2", "{status}");
        assert_eq!(line("NoNewPrivs:"), "1", "{status}");
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            assert_eq!(line(set), "0000000000000000", "{set} {status}");
        }
        threads += 1;
    }
    // What serves the store is begun with the first deposit, and so is shut in.
    assert!(threads >= 4, "the main thread, the door, the store's two");
    let log = house.log();
    assert!(log.contains("event=confined uid="), "{log}");
    assert!(log.contains(" files=landlock-"), "{log}");
    let check = house.smrd_says(&["--check"]).text();
    assert!(
        check.contains("ok: confinement: calls: seccomp-"),
        "{check}"
    );
}

fn reload(house: &House, event: &str, times: usize) {
    let pid = smrd_of(house).to_string();
    let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
    assert!(sent.unwrap().success());
    while house.log().matches(event).count() < times {
        std::thread::yield_now();
    }
}

#[test]
fn what_the_start_did_not_name_cannot_be_read_afterwards() {
    let mut house = House::with(&["carol"]);
    reload(&house, "event=reloaded", 1);
    let file = house.path("smrd.toml");
    let before = fs::read_to_string(&file).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(house.path("pki/trust.d"))
        .arg(outside.path())
        .status();
    assert!(copied.unwrap().success());
    let inside = house.path("pki/trust.d");
    let moved = before.replace(
        inside.to_str().unwrap(),
        outside.path().join("trust.d").to_str().unwrap(),
    );
    assert_ne!(moved, before);
    fs::write(&file, moved).unwrap();
    reload(&house, "event=not-reloaded", 1);
    assert!(house.log().contains("Permission denied"), "{}", house.log());
    // The old grounds stand, and a start reads the new ones.
    house.sh("carol", "smr-ls inbox").expect(0);
    house.stop();
    house.start();
    house.sh("carol", "smr-ls inbox").expect(0);
}

#[test]
fn a_confined_smrd_writes_its_metrics() {
    let mut house = House::build();
    house.stop();
    let file = house.path("smrd.toml");
    let text = fs::read_to_string(&file).unwrap();
    let metrics = house.path("metrics");
    fs::create_dir(&metrics).unwrap();
    let path = metrics.join("smrd.prom");
    let socket = metrics.join("smrd.sock");
    let text = format!(
        "{text}[metrics]\ntextfile = \"{}\"\nsocket = \"{}\"\n",
        path.display(),
        socket.display()
    );
    fs::write(&file, text).unwrap();
    house.start();
    house.move_in("carol");
    let told = told_by(&socket);
    assert!(told.contains("\nsmr_enrolments_total 1\n"), "{told}");
    assert!(told.ends_with("# EOF\n"), "{told}");
    house.stop();
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}: {}", house.log()));
    for line in ["smr_enrolments_total 1", "smr_store_failed 0", "# EOF"] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(!house.log().contains("event=metrics"), "{}", house.log());
}

/// Lets everybody read a folder, and what this names in it.
fn open_to_all(path: &Path, names: &[&str]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let opened = Command::new("chmod")
        .args(["-R", "a+rX"])
        .args(names)
        .current_dir(path)
        .status();
    assert!(opened.unwrap().success());
}

#[test]
fn started_as_root_smrd_is_its_user_and_serves_as_that() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can start smrd as root");
        return;
    }
    let pki = tempfile::tempdir().unwrap();
    house::make_pki(pki.path());
    open_to_all(pki.path(), &["trust.d", "crls"]);
    let mut house = House::with_pki(pki.path(), "");
    house.stop();
    let file = house.path("smrd.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("user = \"nobody\"\nconfine = \"require\"\n{text}"),
    )
    .unwrap();
    open_to_all(&house.path("."), &["smrd.toml"]);
    // The store is root's still: not as nobody.
    let refused = house.smrd_says(&[]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("Permission denied"), "{refused:?}");
    let given = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(house.path("store"))
        .status();
    assert!(given.unwrap().success());
    house.start();

    let nobody = fs::metadata(house.path("store")).unwrap().uid();
    assert_ne!(nobody, 0);
    let pid = smrd_of(&house);
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else {
            continue; // a worker that had nothing to do
        };
        let ids = |name: &str| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        // Real, effective, saved and of files: there is no way back.
        assert_eq!(ids("Uid:"), vec![nobody.to_string(); 4]);
        assert!(ids("Gid:").iter().all(|gid| gid != "0"), "{status}");
        assert_eq!(ids("Groups:"), Vec::<String>::new());
        assert_eq!(ids("CapEff:"), ["0000000000000000"]);
    }
    let log = house.log();
    let (_, log) = log.rsplit_once("event=stopped").unwrap();
    assert!(
        log.contains(&format!("event=confined uid={nobody}")),
        "{log}"
    );
    assert!(!log.contains("event=unconfined what=user"), "{log}");

    house.move_in("carol");
    let sent = house.sh_with("carol", "smr-send carol", b"to myself");
    sent.expect(0);
    house.sh("carol", "smr-recv").expect(0);
    reload(&house, "event=reloaded", 1);
    house.sh("carol", "smr-ls").expect(0);
    let account = fs::metadata(house.path("store/accounts/carol")).unwrap();
    assert_eq!(account.uid(), nobody);
    house.stop();
    house.smrd_says(&["--fsck"]).expect(0);
}

/// Copies the units, with the smrd that was built in place of the installed.
fn units(to: &Path) -> Vec<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let mut units = Vec::new();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if !name.to_string_lossy().starts_with("smrd") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Else the very calls by which smrd shuts itself in would end it.
        if text.contains("SystemCallFilter=") {
            assert!(
                text.contains("SystemCallFilter=seccomp landlock_create_ruleset"),
                "{text}"
            );
        }
        let text = text.replace("/usr/bin/smrd", env!("CARGO_BIN_EXE_smrd"));
        let unit = to.join(name);
        fs::write(&unit, text).unwrap();
        units.push(unit);
    }
    assert_eq!(units.len(), 5, "{units:?}");
    units
}

#[test]
fn the_units_verify_and_expose_little() {
    let dir = tempfile::tempdir().unwrap();
    let all = units(dir.path());
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&all)
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let exposed = |unit: &str, most: &str| {
        let judged = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={most}"))
            .arg(dir.path().join(unit))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert!(judged.status.success(), "{said}");
    };
    // Tenths: smrd at most 1.0; the fetcher needs the network.
    exposed("smrd.service", "10");
    exposed("smrd-revocation.service", "15");
}
