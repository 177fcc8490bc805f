//! smrd as a process: signals, and the word that it is ready.
//!
//! Never exits: the program does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use smr_name::Class;

use crate::audit::{Log, Sink};
use crate::config::{Config, ConfigError, Confine, Level};
use crate::confine::{Bounds, confine};
use crate::herald::Herald;
use crate::house::House;
use crate::listen::ListenError;
use crate::server::{Opened, Server, ServerError};
use crate::user::{UserError, become_user};
use crate::{limits, listen};

/// Says why smrd does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It does not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// It does not become the user that it should be.
    #[error(transparent)]
    User(#[from] UserError),
    /// The system does not confine it, and the configuration requires that.
    #[error("smrd is not confined: {what}: {why}")]
    Unconfined {
        /// The measure.
        what: &'static str,
        /// The system's answer.
        why: String,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// Whoever started us cannot be told that we are ready.
    #[error("cannot tell \"{to}\" that smrd is ready: {source}")]
    Ready {
        /// Whom.
        to: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl RunError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            RunError::Config(e) => e.class(),
            RunError::Server(e) => e.class(),
            RunError::User(e) => e.class(),
            RunError::Unconfined { .. } => Class::Config,
            RunError::Signals(_) => Class::Io,
            RunError::Ready { .. } => Class::Usage,
        }
    }

    /// Returns what may help: a command, mostly.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RunError::Config(e) => Some(e.hint()),
            RunError::Server(ServerError::Start(e)) => e.hint(),
            RunError::Server(ServerError::Listen(
                ListenError::Strange { .. } | ListenError::Twice,
            )) => Some("see FileDescriptorName in smrd-metrics.socket"),
            RunError::Server(ServerError::Listen(_)) => {
                Some("does another smrd run? see \"listen.address\" in smrd.toml")
            }
            RunError::User(_) => Some("see \"user\" in smrd.conf(5)"),
            RunError::Unconfined { .. } => {
                Some("see what this system can do: smrd --check; or set confine = \"prefer\"")
            }
            _ => None,
        }
    }
}

/// Runs smrd with the configuration at `path` until SIGTERM or SIGINT; SIGHUP
/// reads anchors, CRLs and the list of those who may enrol again. Says that it
/// is ready on the descriptor `ready_fd` and to systemd (sd_notify(3)).
pub fn run(path: &Path, sink: Sink, ready_fd: Option<u32>) -> Result<(), RunError> {
    // First of all: later the number could be a descriptor of our own.
    let waiting = ready_fd.map(Waiting::open).transpose()?;
    let config = Config::load(path)?;
    let log = Log::new(config.log, sink);
    // A file-size limit must be an error of one deposit, not the end of smrd.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .map_err(RunError::Signals)?;
    // Before anyone is told to send them.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(RunError::Signals)?;
    for refused in limits::set(config.listen.connections) {
        log.line(Level::Warn, "limits").with("why", refused).send();
    }
    let herald = Herald::from_env().map_err(told)?;
    let server = open(config, &log, herald.clone())?.serve()?;
    waiting.map_or(Ok(()), |waiting| waiting.tell(server.addresses()))?;
    herald.ready().map_err(told)?;
    for signal in signals.forever() {
        match signal {
            SIGHUP => reload(&server, path, &log, &herald),
            _ => break,
        }
    }
    log.heard(herald.stopping());
    server.stop();
    Ok(())
}

/// Opens all that smrd needs, in this order: sockets as whoever started it,
/// the store as the user it becomes; then takes the rest of the system away.
fn open(config: Config, log: &Log, herald: Herald) -> Result<Opened, RunError> {
    let sockets = listen::open(&config.listen.address).map_err(ServerError::from)?;
    if let Some(user) = &config.user {
        become_user(user)?;
    }
    let rule = config.confine;
    let house = House::open(config, log.clone(), herald).map_err(ServerError::from)?;
    let opened = Opened::open(house, sockets)?;
    match rule {
        Confine::Off => log
            .line(Level::Warn, "unconfined")
            .with("what", "all")
            .send(),
        rule => shut_in(&opened.bounds(), rule, log)?,
    }
    Ok(opened)
}

/// Confines this thread and those to come, and tells what was enforced.
fn shut_in(bounds: &Bounds, rule: Confine, log: &Log) -> Result<(), RunError> {
    let mut line = log.line(Level::Info, "confined");
    let uid = rustix::process::geteuid();
    line = line.with("uid", uid);
    let mut lacking = Vec::new();
    for measure in confine(bounds) {
        match measure.state {
            Ok(state) => line = line.with(measure.name, state),
            Err(why) => lacking.push((measure.name, why)),
        }
    }
    line.send();
    if uid.is_root() {
        lacking.push(("user", "smrd runs as root".to_owned()));
    }
    for (what, why) in lacking {
        let line = log.line(Level::Warn, "unconfined").with("what", what);
        line.with("why", &why).send();
        if rule == Confine::Require {
            return Err(RunError::Unconfined { what, why });
        }
    }
    Ok(())
}

fn told(source: io::Error) -> RunError {
    let to = "systemd".to_owned();
    RunError::Ready { to, source }
}

fn reload(server: &Server, path: &Path, log: &Log, herald: &Herald) {
    log.heard(herald.reloading());
    match Config::load(path) {
        // What it says of its own failure is in the log.
        Ok(config) => drop(server.reload(&config)),
        Err(e) => log.line(Level::Error, "not-reloaded").with("why", e).send(),
    }
    log.heard(herald.ready());
}

/// Whoever started smrd and waits for its word.
struct Waiting {
    to: String,
    file: File,
}

impl Waiting {
    /// Takes the descriptor that was handed over.
    fn open(fd: u32) -> Result<Waiting, RunError> {
        let to = format!("/dev/fd/{fd}");
        match OpenOptions::new().write(true).open(&to) {
            Ok(file) => Ok(Waiting { to, file }),
            Err(source) => Err(RunError::Ready { to, source }),
        }
    }

    /// Writes `ready ADDRESS...`, once.
    fn tell(mut self, addresses: &[SocketAddr]) -> Result<(), RunError> {
        let words: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let line = format!("ready {}\n", words.join(" "));
        let to = self.to;
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|source| RunError::Ready { to, source })
    }
}

#[cfg(test)]
mod tests {
    use super::Waiting;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn readiness_is_one_line() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let fd = u32::try_from(writer.as_raw_fd()).unwrap();
        let addresses = [
            "127.0.0.1:7667".parse().unwrap(),
            "[::1]:7".parse().unwrap(),
        ];
        Waiting::open(fd).unwrap().tell(&addresses).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ready 127.0.0.1:7667 [::1]:7\n");
    }

    #[test]
    fn closed_descriptors_are_reported() {
        assert!(Waiting::open(1_000_000).is_err());
    }
}
