//! A small town for tests: a CA made by openssl, people with devices, and a
//! smrd on loopback that they talk to with the bare channel.
//!
//! Asserts that every reply carries smrd's warrant; everything else is the
//! tests' own.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::print_stderr)]

pub mod client;
pub mod people;
pub mod web;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smr_channel::identity::Identity;
use smr_name::Class;
use smr_server::config::Config;
use smr_server::{Log, Server};
use tempfile::TempDir;

use people::Authority;

pub struct Town {
    dir: TempDir,
    pub ca: Authority,
    more: String,
    server: Option<Server>,
    lines: Lines,
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Tries until the store's lock is free: a program that another test starts
/// holds it from its fork to its exec.
pub fn when_free<T, E: std::fmt::Display>(
    run: impl Fn() -> Result<T, E>,
    class: impl Fn(&E) -> Class,
) -> T {
    loop {
        match run() {
            Ok(value) => return value,
            Err(error) => assert_eq!(class(&error), Class::Busy, "{error}"),
        }
        std::thread::yield_now();
    }
}

/// Tells that what takes two seconds where it waits for somebody did not. A
/// machine may stop for as long, but not each time.
pub fn at_once(mut what: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    while times.len() < 5 {
        let time = what();
        if time < Duration::from_secs(2) {
            return;
        }
        times.push(time);
    }
    panic!("never at once: {times:?}");
}

/// What smrd has logged; a test that fails shows it.
#[derive(Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Drop for Lines {
    fn drop(&mut self) {
        // A poisoned lock is no reason to end without a word.
        if let (true, Ok(lines)) = (std::thread::panicking(), self.0.lock()) {
            eprintln!("smrd has logged:\n{}", lines.join("\n"));
        }
    }
}

impl Town {
    /// A town with a running smrd and nobody registered.
    pub fn new() -> Town {
        Town::with("")
    }

    /// The same, with more lines for smrd.toml.
    pub fn with(more: &str) -> Town {
        let dir = TempDir::new().unwrap();
        let ca = Authority::new(&dir.path().join("ca"));
        let mut town = Town {
            dir,
            ca,
            more: more.to_owned(),
            server: None,
            lines: Lines::default(),
        };
        smr_server::prepare(&town.config()).unwrap();
        when_free(|| smr_server::init(&town.config()), |e| e.class());
        town.start();
        town
    }

    /// Starts smrd anew with other lines in smrd.toml.
    pub fn want(&mut self, more: &str) {
        assert!(self.stop());
        more.clone_into(&mut self.more);
        self.start();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> Config {
        let store = Some(self.path("deep/store"));
        Config::parse(&self.config_text(), &self.path("smrd.toml"), store).unwrap()
    }

    /// What smrd.toml says; `more` may begin with another `listen`.
    pub fn config_text(&self) -> String {
        let listen = match self.more.starts_with("listen") {
            true => "",
            false => "listen = { address = ['127.0.0.1:0'], per_peer = 32 }\n",
        };
        let text = format!(
            "name = 'repo.example'\n{listen}\
             trust = {{ anchors = ['trust'], crls = ['crls'] }}\n{}\n",
            self.more
        );
        let ca = Path::new("ca");
        let text = text.replace("'trust'", &format!("'{}'", ca.join("trust").display()));
        text.replace("'crls'", &format!("'{}'", ca.join("crls").display()))
    }

    pub fn start(&mut self) {
        let lines = self.lines.0.clone();
        let sink = move |line: &str| lines.lock().unwrap().push(line.to_owned());
        let mut config = self.config();
        config.log = smr_server::config::Level::Debug;
        let log = Log::new(config.log, Arc::new(sink));
        let start = || Server::start(config.clone(), log.clone());
        self.server = Some(when_free(start, |e| e.class()));
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.server().addresses()[0]
    }

    /// Stops smrd and tells whether every connection ended in time.
    pub fn stop(&mut self) -> bool {
        self.server.take().unwrap().stop()
    }

    pub fn identity(&self) -> Identity {
        client::identity(self.address())
    }

    pub fn log(&self) -> String {
        self.lines.0.lock().unwrap().join("\n")
    }
}
