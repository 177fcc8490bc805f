//! smrd, the program, over a town's store, on one port through all its lives.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::town::Town;

/// One life of smrd.
pub(crate) struct Smrd {
    child: Child,
    log: std::path::PathBuf,
    reloads: usize,
}

/// The port that the first life drew.
static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// What the unit puts into its environment.
fn environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../examples/systemd/smrd.service")
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

fn command(town: &Town) -> Command {
    let config = town.path("smrd.toml");
    let text = town.config_text();
    let text = match ADDRESS.get() {
        Some(address) => text.replace("127.0.0.1:0", &address.to_string()),
        None => text,
    };
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smrd"));
    command
        .arg("--config")
        .arg(&config)
        .envs(environment())
        .env("STATE_DIRECTORY", town.path("deep/store"));
    command
}

impl Smrd {
    /// Starts it, and waits until it says that it listens.
    pub(crate) fn start(town: &Town) -> Smrd {
        Smrd::start_with(town, &[])
    }

    /// The same, with more of an environment.
    pub(crate) fn start_with(town: &Town, environment: &[(&str, &str)]) -> Smrd {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            // A client that looks for smrd while it is away may be given its
            // port as his own, and another program, from its fork to its exec,
            // may hold the store.
            match Smrd::try_start(town, environment) {
                Ok(smrd) => return smrd,
                Err((code, said)) => {
                    assert!(code == Some(75) && Instant::now() < end, "{said}");
                }
            }
        }
    }

    fn try_start(town: &Town, environment: &[(&str, &str)]) -> Result<Smrd, (Option<i32>, String)> {
        let log = town.path("log");
        let mut child = command(town)
            .envs(environment.iter().copied())
            // standard output is the descriptor that it says it on
            .args(["--ready-fd", "1"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .expect("smrd starts");
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let Some(address) = line.split_whitespace().nth(1) else {
            let code = child.wait().unwrap().code();
            return Err((code, fs::read_to_string(&log).unwrap()));
        };
        ADDRESS.get_or_init(|| address.parse().unwrap());
        Ok(Smrd {
            child,
            log,
            reloads: 0,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *ADDRESS.get().expect("it has started")
    }

    /// Returns what this life has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Has it read its configuration again, and waits until it has.
    pub(crate) fn reload(&mut self) {
        self.reloads += 1;
        self.signal("HUP");
        super::until("the configuration is in force", || {
            self.log().matches("event=reloaded").count() >= self.reloads
        });
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in the orderly way; returns its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Returns its memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let mut words = line.unwrap().split_whitespace();
        words.nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Smrd {
    fn drop(&mut self) {
        // It may have ended; then the next life is there already, or the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has every file of the store explained; returns the totals.
pub(crate) fn fsck(town: &Town) -> String {
    let said = command(town).arg("--fsck").output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(0), "{text}");
    text.trim_end().to_owned()
}

/// Raises the number of descriptors, if need be past the hard limit.
pub(crate) fn enough_descriptors(clients: u64) {
    let needed = 2 * clients + 256;
    let most = getrlimit(Resource::Nofile).maximum;
    let most = most.map_or(needed, |most| most.max(needed));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, limit).expect("descriptors for all of them");
}
