//! smrd as a process: signals, and the word that it is ready.
//!
//! Never exits: the program does.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use smr_name::Class;

use crate::audit::{Log, Sink};
use crate::config::{Config, ConfigError, Level};
use crate::limits;
use crate::server::{Server, ServerError};

/// Says why smrd does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It does not start.
    #[error(transparent)]
    Server(#[from] ServerError),
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
            RunError::Signals(_) => Class::Io,
            RunError::Ready { .. } => Class::Usage,
        }
    }

    /// Returns what may help: a command, mostly.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RunError::Config(e) => Some(e.hint()),
            RunError::Server(ServerError::Start(e)) => e.hint(),
            RunError::Server(ServerError::Listen(_)) => {
                Some("does another smrd run? see \"listen.address\" in smrd.toml")
            }
            _ => None,
        }
    }
}

/// Runs smrd with the configuration at `path` until SIGTERM or SIGINT; SIGHUP
/// reads anchors, CRLs and the list of those who may enrol again. Says that it
/// is ready on the descriptor `ready_fd` and to systemd (sd_notify(3)).
pub fn run(path: &Path, sink: Sink, ready_fd: Option<u32>) -> Result<(), RunError> {
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
    let server = Server::start(config, log.clone())?;
    ready(server.addresses(), ready_fd)?;
    for signal in signals.forever() {
        match signal {
            SIGHUP => reload(&server, path, &log),
            _ => break,
        }
    }
    notify(&log, &[NotifyState::Stopping]);
    server.stop();
    Ok(())
}

fn reload(server: &Server, path: &Path, log: &Log) {
    if let Ok(begin) = NotifyState::monotonic_usec_now() {
        notify(log, &[NotifyState::Reloading, begin]);
    }
    match Config::load(path) {
        // What it says of its own failure is in the log.
        Ok(config) => drop(server.reload(&config)),
        Err(e) => log.line(Level::Error, "not-reloaded").with("why", e).send(),
    }
    notify(log, &[NotifyState::Ready]);
}

fn notify(log: &Log, states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log.line(Level::Warn, "notify").with("why", error).send();
    }
}

/// Writes `ready ADDRESS...` and tells systemd.
fn ready(addresses: &[SocketAddr], fd: Option<u32>) -> Result<(), RunError> {
    let failed = |to: String| move |source| RunError::Ready { to, source };
    if let Some(fd) = fd {
        let to = format!("/dev/fd/{fd}");
        let words: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let line = format!("ready {}\n", words.join(" "));
        OpenOptions::new()
            .write(true)
            .open(&to)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(failed(to))?;
    }
    sd_notify::notify(&[NotifyState::Ready]).map_err(failed("systemd".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::ready;
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
        ready(&addresses, Some(fd)).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ready 127.0.0.1:7667 [::1]:7\n");
    }

    #[test]
    fn closed_descriptors_are_reported() {
        assert!(ready(&[], Some(1_000_000)).is_err());
    }
}
