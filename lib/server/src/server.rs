//! A running smrd.
//!
//! Knows no signals: see `run`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use smr_name::{Class, Fingerprint};

use crate::audit::Log;
use crate::config::{Config, Level};
use crate::confine::Bounds;
use crate::door::{Bolt, Door};
use crate::grounds::GroundsError;
use crate::herald::Herald;
use crate::house::{House, StartError};
use crate::listen::{self, ListenError, Sockets};
use crate::metrics::{Counter, Exporter, Teller};

/// Time that running requests have to finish when smrd stops.
const GRACE: Duration = Duration::from_secs(2);
/// Time that workers have to notice that their connections were cut; only a very
/// slow disk or machine needs more than a moment.
const LAST: Duration = Duration::from_secs(20);

/// Says why smrd does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Store, keys or trust are not in order.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is nothing to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The socket for metrics cannot be had.
    #[error("cannot listen on \"{}\": {source}", path.display())]
    Metrics {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system gives us no thread or pipe.
    #[error("cannot start: {0}")]
    Resources(#[from] io::Error),
}

impl ServerError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            ServerError::Start(e) => e.class(),
            ServerError::Listen(e) => e.class(),
            ServerError::Metrics { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => Class::Busy,
                _ => Class::Config,
            },
            ServerError::Resources(_) => Class::Io,
        }
    }
}

/// A smrd that has all it needs and serves nobody yet: no thread but the
/// caller's is its own, and no byte of the network was read.
pub(crate) struct Opened {
    house: Arc<House>,
    addresses: Vec<SocketAddr>,
    bolt: Bolt,
    door: Door,
    /// Where metrics are asked for.
    counter: Option<Counter>,
}

impl Opened {
    /// Opens store, keys and trust, for these sockets.
    pub(crate) fn open(house: House, sockets: Sockets) -> Result<Opened, ServerError> {
        let house = Arc::new(house);
        let addresses = listen::addresses(&sockets.listeners)?;
        let path = house.config.metrics.socket.as_deref();
        let counter = match (sockets.metrics, path) {
            (Some(handed), _) => Some(Counter::of(handed)?),
            (None, Some(path)) => Some(Counter::bind(path).map_err(|source| {
                let path = path.to_owned();
                ServerError::Metrics { path, source }
            })?),
            (None, None) => None,
        };
        let (door, bolt) = Door::open(house.clone(), sockets.listeners)?;
        Ok(Opened {
            house,
            addresses,
            bolt,
            door,
            counter,
        })
    }

    /// Returns the files that it may read and write from here on.
    pub(crate) fn bounds(&self) -> Bounds {
        self.house.bounds()
    }

    /// Begins to serve.
    pub(crate) fn serve(self) -> Result<Server, ServerError> {
        let door = self.door;
        let keeper = thread::Builder::new().name("door".to_owned());
        let textfile = self.house.config.metrics.textfile.clone();
        let begin = |path| Exporter::begin(self.house.clone(), path);
        let tell = |counter| Teller::begin(self.house.clone(), counter);
        let server = Server {
            exporter: textfile.map(begin).transpose()?,
            teller: self.counter.map(tell).transpose()?,
            house: self.house,
            addresses: self.addresses,
            bolt: self.bolt,
            door: Some(keeper.spawn(move || door.keep())?),
        };
        server.log_start();
        Ok(server)
    }
}

/// A running smrd; it stops when it is dropped.
pub struct Server {
    house: Arc<House>,
    addresses: Vec<SocketAddr>,
    bolt: Bolt,
    /// The thread that keeps the door; none once it is closed.
    door: Option<JoinHandle<()>>,
    /// Who writes the metrics down, where they are wanted.
    exporter: Option<Exporter>,
    /// Who tells them on a socket, where that is wanted.
    teller: Option<Teller>,
}

impl Server {
    /// Opens store, keys, trust and sockets, and begins to serve.
    pub fn start(config: Config, log: Log) -> Result<Server, ServerError> {
        Server::serve(House::open(config, log, Herald::default())?)
    }

    /// Starts a smrd that says what `liar` makes of its replies: for tests.
    #[cfg(feature = "lies")]
    pub fn start_lying(
        config: Config,
        log: Log,
        liar: crate::talk::lie::Liar,
    ) -> Result<Server, ServerError> {
        let house = House::open(config, log, Herald::default())?;
        let _ = house.liar.set(liar);
        Server::serve(house)
    }

    fn serve(house: House) -> Result<Server, ServerError> {
        let sockets = listen::open(&house.config.listen.address)?;
        Opened::open(house, sockets)?.serve()
    }

    fn log_start(&self) {
        let addresses: Vec<String> = self.addresses.iter().map(SocketAddr::to_string).collect();
        let line = self.house.log.line(Level::Info, "listening");
        line.with("name", &self.house.config.name)
            .with("address", addresses.join(","))
            .with("identity", self.fingerprint())
            .send();
    }

    /// Returns where it listens, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the fingerprint that clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.house.keys.identity().fingerprint()
    }

    /// Reads anchors, CRLs and the list of those who may enrol again, as
    /// `config` has them; nothing else of it counts before a restart. On an
    /// error the old ones stay in force.
    pub fn reload(&self, config: &Config) -> Result<(), GroundsError> {
        let result = self.house.reload(config);
        match &result {
            Ok(()) => self.house.log.line(Level::Info, "reloaded").send(),
            Err(e) => self
                .house
                .log
                .line(Level::Error, "not-reloaded")
                .with("why", e)
                .send(),
        }
        result
    }

    /// Stops: accepts nobody, ends idle sessions, lets running requests finish
    /// for two seconds. Tells whether all did.
    pub fn stop(mut self) -> bool {
        self.shut()
    }

    fn shut(&mut self) -> bool {
        let Some(door) = self.door.take() else {
            return true;
        };
        self.house.seats.stop();
        self.bolt.close();
        // Whoever only waited is gone with it; its panic is not ours.
        let _ = door.join();
        let clean = self.house.seats.clear(GRACE, LAST);
        self.bolt.dismiss();
        if let Some(exporter) = self.exporter.take() {
            exporter.finish();
        }
        if let Some(teller) = self.teller.take() {
            teller.finish();
        }
        self.house.log.settle_all();
        let line = self.house.log.line(Level::Info, "stopped");
        line.with("clean", clean).send();
        clean
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut();
    }
}
