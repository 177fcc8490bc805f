//! A house for tests: one smrd on loopback, a throw-away PKI, and people with
//! homes of their own.
//!
//! Every part is the one a user has: programs, tokens, certificates.

#![allow(dead_code)] // each suite uses its own part of the house

pub(crate) mod counter;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Passphrase of everybody's key ring.
const PASSPHRASE: &str = "correct horse";

/// One repository with its people; all processes end and all files go when it
/// is dropped.
pub(crate) struct House {
    dir: tempfile::TempDir,
    smrd: Option<Child>,
    server: String,
    fingerprint: String,
    people: Vec<String>,
    clock: Clock,
}

/// What time it is for those who live there.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    /// So many days ago.
    pub(crate) days_ago: u32,
}

impl Clock {
    /// Has a program, and those it starts, go by this clock.
    pub(crate) fn set(self, command: &mut Command) {
        if self.days_ago == 0 {
            return;
        }
        let library = ["x86_64", "aarch64"]
            .map(|cpu| format!("/usr/lib/{cpu}-linux-gnu/faketime/libfaketime.so.1"));
        let library = library.iter().find(|file| Path::new(file).exists());
        command
            .env("LD_PRELOAD", library.expect("faketime is installed"))
            .env("FAKETIME", format!("-{}d", self.days_ago))
            // How long things take, and when files were written, stays true.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Said {
    /// Returns stdout as text without its last line end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "stdout: {}\nstderr: {}",
            self.text(),
            self.stderr
        );
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let signal = || output.status.signal().map(|n| 128 + n);
        Said {
            code: output.status.code().or_else(signal).unwrap_or(-1),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout: output.stdout,
        }
    }
}

fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_smrd"))
        .parent()
        .expect("a program stands in a folder")
}

/// Makes the PKI once for all houses of this test program.
fn pki_source() -> &'static Path {
    static PKI: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = PKI.get_or_init(|| {
        let dir = tempfile::tempdir().expect("temp folder");
        make_pki(dir.path());
        dir
    });
    made.path()
}

/// Makes a PKI of its own in `dir`, for tests that revoke.
pub(crate) fn make_pki(dir: &Path) {
    make_pki_at(dir, Clock::default());
}

/// Makes it at another time.
pub(crate) fn make_pki_at(dir: &Path, clock: Clock) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/playground-pki");
    let mut script = Command::new(script);
    clock.set(&mut script);
    let status = script.arg(dir).status().expect("playground-pki runs");
    assert!(status.success(), "playground-pki failed");
}

/// Returns whose machine it is: "alice+phone" is another one of alice's.
fn person_of(machine: &str) -> &str {
    machine
        .split_once('+')
        .map_or(machine, |(person, _)| person)
}

/// Copies the tokens of a PKI: several processes that log in to one token of
/// SoftHSM2 at once make each other fail, as happens to no card in a reader.
fn own_tokens(pki: &Path, house: &Path) {
    let copied = Command::new("cp")
        .arg("-r")
        .args([pki.join("tokens"), house.join("tokens")])
        .status();
    assert!(copied.expect("cp runs").success());
    let config = fs::read_to_string(pki.join("softhsm2.conf")).unwrap();
    let line = |line: &str| match line.starts_with("directories.tokendir") {
        true => format!(
            "directories.tokendir = {}\n",
            house.join("tokens").display()
        ),
        false => format!("{line}\n"),
    };
    let config: String = config.lines().map(line).collect();
    fs::write(house.join("softhsm2.conf"), config).unwrap();
}

impl House {
    /// Builds a house with a running smrd and nobody registered.
    pub(crate) fn build() -> House {
        Self::with_pki(pki_source(), "")
    }

    /// Builds a house whose smrd has more lines in its smrd.toml.
    pub(crate) fn asking(config: &str) -> House {
        Self::with_pki(pki_source(), config)
    }

    /// Builds a house over a PKI of its own, with more lines for smrd.toml.
    pub(crate) fn with_pki(pki: &Path, config: &str) -> House {
        Self::at(Clock::default(), pki, config)
    }

    /// Builds it at another time.
    pub(crate) fn at(clock: Clock, pki: &Path, config: &str) -> House {
        let dir = tempfile::Builder::new()
            .prefix("smr-house-")
            .tempdir()
            .expect("temp folder");
        let at = |name: &str| dir.path().join(name);
        fs::write(at("passphrase"), PASSPHRASE).unwrap();
        std::os::unix::fs::symlink(pki, at("pki")).unwrap();
        own_tokens(pki, dir.path());
        let toml = format!(
            "name = \"repo.example\"\n[listen]\naddress = [\"127.0.0.1:0\"]\n[store]\npath = \"{}\"\n\
             [trust]\nanchors = [\"{2}/trust.d\"]\ncrls = [\"{2}/crls\"]\n{1}\n",
            at("store").display(),
            config,
            at("pki").display(),
        );
        fs::write(at("smrd.toml"), toml).unwrap();
        let mut house = House {
            dir,
            smrd: None,
            server: String::new(),
            fingerprint: String::new(),
            people: Vec::new(),
            clock,
        };
        house.smrd_says(&["--init"]).expect(0);
        house.fingerprint = house.smrd_says(&["--fingerprint"]).expect(0).text();
        house.start();
        house
    }

    /// Builds a house in which these people are registered and logged in.
    pub(crate) fn with(people: &[&str]) -> House {
        let mut house = House::build();
        people.iter().for_each(|name| house.move_in(name));
        house
    }

    /// Registers and logs in a person of the playground.
    pub(crate) fn move_in(&mut self, name: &str) {
        self.sh(
            name,
            "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup $WHO",
        )
        .expect(0);
        self.sh(name, "smr-login").expect(0);
    }

    /// Returns a path inside the house.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the address smrd listens on.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Returns the fingerprint of the repository, as people compare it.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Runs smrd with more arguments, to its end.
    pub(crate) fn smrd_says(&self, args: &[&str]) -> Said {
        let mut smrd = Command::new(env!("CARGO_BIN_EXE_smrd"));
        self.clock.set(&mut smrd);
        smrd.arg("--config")
            .arg(self.path("smrd.toml"))
            .args(args)
            .output()
            .expect("smrd runs")
            .into()
    }

    /// Starts smrd and waits until it says that it listens.
    pub(crate) fn start(&mut self) {
        assert!(self.smrd.is_none(), "smrd runs already");
        let (child, address) = loop {
            let (mut child, ready) = self.spawn();
            let address = ready.trim().rsplit(' ').next().unwrap_or_default();
            if address.contains(':') {
                break (child, address.to_owned());
            }
            // Where a smrd of this process held the store, a program that
            // another test starts holds its lock from its fork to its exec.
            let code = child.wait().expect("smrd ends").code();
            assert_eq!(code, Some(75), "smrd did not start:\n{}", self.log());
            std::thread::yield_now();
        };
        self.keep_address(&address);
        self.smrd = Some(child);
    }

    /// Runs smrd; returns what it said when it was ready or had ended.
    fn spawn(&self) -> (Child, String) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("smrd.log"))
            .unwrap();
        let mut smrd = Command::new("sh");
        self.clock.set(&mut smrd);
        let mut child = smrd
            .arg("-c")
            .arg("exec 3>&1; exec \"$0\" --config \"$1\" --ready-fd 3 >/dev/null")
            .arg(env!("CARGO_BIN_EXE_smrd"))
            .arg(self.path("smrd.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("smrd starts");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        (child, ready)
    }

    /// Keeps the port that the first start drew, so that clients find smrd again.
    fn keep_address(&mut self, address: &str) {
        let file = self.path("smrd.toml");
        let text = fs::read_to_string(&file)
            .unwrap()
            .replace("127.0.0.1:0", address);
        fs::write(&file, text).unwrap();
        self.server = address.to_owned();
    }

    /// Stops smrd in the orderly way and returns its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.end_smrd("TERM")
    }

    /// Changes the store while smrd is away, so that it believes its own lies.
    /// What the journal still holds would make the store whole again: it goes.
    pub(crate) fn lie(&mut self, change: impl FnOnce(&House)) {
        assert_eq!(self.stop(), Some(0), "smrd ends with 0");
        for file in fs::read_dir(self.path("store/journal")).expect("a journal") {
            fs::remove_file(file.expect("folder reads").path()).unwrap();
        }
        change(self);
        self.start();
    }

    /// Kills smrd without a word.
    pub(crate) fn kill(&mut self) {
        self.end_smrd("KILL");
    }

    /// Returns how long the processor has worked for smrd so far.
    pub(crate) fn smrd_time(&self) -> Duration {
        let pid = self.smrd.as_ref().expect("smrd runs").id();
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // utime and stime (proc_pid_stat(5)), after a name that may hold spaces.
        let (_, rest) = text.rsplit_once(") ").unwrap();
        let ticks = rest.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse::<u64>().unwrap()).sum();
        // Linux tells a hundred ticks a second, whatever it counts in itself.
        Duration::from_millis(ticks * 10)
    }

    fn end_smrd(&mut self, signal: &str) -> Option<i32> {
        let mut child = self.smrd.take()?;
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(child.id().to_string())
            .status();
        assert!(sent.expect("kill runs").success());
        child.wait().expect("smrd ends").code()
    }

    /// Ends every session, and starts smrd anew at another time.
    pub(crate) fn travel(&mut self, clock: Clock) {
        self.all_leave();
        self.stop();
        self.clock = clock;
        self.start();
    }

    /// Returns what smrd has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("smrd.log")).unwrap_or_default()
    }

    /// Runs a shell command as a person, with nothing on stdin.
    pub(crate) fn sh(&mut self, who: &str, command: &str) -> Said {
        self.sh_with(who, command, b"")
    }

    /// Runs a shell command as a person, with `input` on stdin.
    pub(crate) fn sh_with(&mut self, who: &str, command: &str, input: &[u8]) -> Said {
        let mut child = self.command(who, command).spawn().expect("sh runs");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let input = input.to_vec();
        // A program may end without reading: a broken pipe is no fault of the test.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let said = child.wait_with_output().expect("sh ends").into();
        feeder.join().expect("feeder ends");
        said
    }

    /// Starts a shell command as a person, and does not wait for it.
    pub(crate) fn begin(&mut self, who: &str, command: &str) -> Child {
        self.command(who, command).spawn().expect("sh runs")
    }

    fn command(&mut self, who: &str, command: &str) -> Command {
        if !self.people.iter().any(|p| p == who) {
            fs::create_dir_all(self.path("home").join(who).join("home")).unwrap();
            fs::create_dir_all(self.path("work").join(who)).unwrap();
            self.people.push(who.to_owned());
        }
        let pki = self.path("pki");
        let mut sh = Command::new("sh");
        sh.arg("-c")
            .arg(command)
            .current_dir(self.path("work").join(who));
        sh.env_clear()
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    programs().display(),
                    std::env::var("PATH").unwrap_or_default()
                ),
            )
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", self.path("home").join(who).join("home"))
            .env("SMR_HOME", self.path("home").join(who))
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .env("CREDENTIALS_DIRECTORY", self.credentials())
            .env("WHO", person_of(who))
            .env("PKI", &pki)
            .env("TOKEN", self.token(who))
            .env("SERVER", &self.server)
            .env("KEY", &self.fingerprint)
            .env("SMRD_CONFIG", self.path("smrd.toml"))
            .env("STORE", self.path("store"))
            .env("ROOT", env!("CARGO_MANIFEST_DIR"));
        self.clock.set(&mut sh);
        let trust = self.path("home").join(who).join("trust.d");
        if !trust.exists() {
            std::os::unix::fs::symlink(pki.join("trust.d"), trust).unwrap();
        }
        sh.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sh
    }

    /// PIN and passphrase come as systemd would hand them over.
    fn credentials(&self) -> PathBuf {
        let dir = self.path("credentials");
        if !dir.exists() {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("smr.pin"), "1234").unwrap();
            fs::write(dir.join("smr.passphrase"), PASSPHRASE).unwrap();
        }
        dir
    }

    fn token(&self, who: &str) -> String {
        let pki = self.path("pki");
        match person_of(who) {
            who @ ("alice" | "bob") => {
                let module = fs::read_to_string(pki.join("module")).unwrap();
                format!(
                    "pkcs11:token={who};object={who}?module-path={}",
                    module.trim()
                )
            }
            "carol" => format!("file:{}", pki.join("carol.p12").display()),
            other => format!("file:{}", pki.join(format!("{other}.pem")).display()),
        }
    }
}

impl House {
    /// Logs everybody out, which ends their agents.
    fn all_leave(&mut self) {
        for who in self.people.clone() {
            let all = "for account in $(smr-login --status | cut -d' ' -f1); do \
                       smr-login --logout --as $account; done";
            self.sh(&who, all);
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.all_leave();
        if let Some(mut child) = self.smrd.take() {
            // The house is going: smrd may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns `bytes` pseudo-random bytes, the same each time.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Reads all that a peer says before it ends the connection, in whichever way.
pub(crate) fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    match from.read_to_end(&mut all) {
        Ok(_) => all,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => all,
        Err(error) => panic!("stream reads: {error}"),
    }
}
