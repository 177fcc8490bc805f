//! The house: all that connections share.
//!
//! Holds no lock while anything is read, written or verified.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smr_channel::frame::{self, MAX_FRAME};
use smr_channel::identity::ServerKeys;
use smr_evidence::account::Account;
use smr_evidence::note::Signer;
use smr_name::{Class, MailboxName};
use smr_note::succession::Chain;
use smr_store::{OpenError, Store};

use crate::audit::Log;
use crate::config::{Config, Level};
use crate::confine::Bounds;
use crate::grounds::{Grounds, GroundsError};
use crate::herald::Herald;
use crate::holder::Realms;
use crate::keys::rotation::{self, Held};
use crate::keys::{self, KeysError};
use crate::metrics::Metrics;
use crate::news::News;
use crate::online::Online;
use crate::people::People;
use crate::queue::Queue;
use crate::rates::Rates;
use crate::revocation;
use crate::seats::Seats;
use crate::shares::Shares;
use crate::underway::Underway;
use crate::wire::Pace;

/// Says why smrd does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] OpenError),
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// There are no grounds for any verdict.
    #[error(transparent)]
    Grounds(#[from] GroundsError),
}

impl StartError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            StartError::Store(e) => e.class(),
            StartError::Keys(e) => e.class(),
            StartError::Grounds(e) => e.class(),
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StartError::Store(OpenError::NotAStore(_) | OpenError::Disk(_))
            | StartError::Keys(KeysError::Absent { .. }) => {
                Some("make the repository first: smrd --init")
            }
            StartError::Store(OpenError::InUse(_)) => Some("stop the smrd that runs"),
            StartError::Store(_) => None,
            StartError::Keys(KeysError::Open { .. }) => Some("chmod 600 the file"),
            StartError::Keys(KeysError::Replaced { .. }) => {
                Some("put the new keys back: see BACK UP in smr-operations(7)")
            }
            StartError::Keys(_) => None,
            StartError::Grounds(_) => Some("look at everything: smrd --check"),
        }
    }
}

pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) keys: ServerKeys,
    /// What signs postmarks.
    pub(crate) postmarks: Signer,
    /// The identity document.
    pub(crate) identity: String,
    /// How the keys followed one another.
    pub(crate) chain: Chain,
    /// The same in frames, as strangers are told.
    pub(crate) told: Vec<u8>,
    pub(crate) store: Store,
    pub(crate) online: Arc<Online>,
    pub(crate) people: People,
    pub(crate) realms: Realms,
    pub(crate) queue: Queue,
    pub(crate) seats: Arc<Seats>,
    pub(crate) underway: Underway,
    pub(crate) rates: Rates,
    pub(crate) shares: Shares,
    pub(crate) news: Arc<News>,
    pub(crate) log: Log,
    pub(crate) herald: Herald,
    pub(crate) metrics: Metrics,
    /// Set before anybody is let in, by tests alone.
    #[cfg(feature = "lies")]
    pub(crate) liar: std::sync::OnceLock<crate::talk::lie::Liar>,
    grounds: RwLock<Arc<Grounds>>,
    /// Held while grounds are read, so that each file is read once.
    renewing: Mutex<()>,
    /// The second in which the stamp of the fetcher was last looked at.
    looked: AtomicI64,
}

/// Returns the clock, unix seconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 makes every certificate not yet valid: fails closed.
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// The folder, within the store, of what may be lost.
pub(crate) const CACHE: &str = "cache";

/// What smrd itself has in the store's folder, finished or cut off.
pub(crate) const OURS: [&str; 6] = [
    keys::FILE,
    keys::UNFINISHED,
    rotation::NEXT,
    rotation::CHAIN,
    rotation::UNFINISHED_CHAIN,
    CACHE,
];

/// Returns the folder of what may be lost.
pub(crate) fn cache(config: &Config) -> PathBuf {
    config.store.path.join(CACHE)
}

/// Reads the grounds that a configuration names.
pub(crate) fn grounds_of(config: &Config) -> Result<Grounds, GroundsError> {
    Grounds::load(&config.trust, &config.enrol.policy, &cache(config))
}

/// Says which keys are in force, where they were ever replaced.
fn tell_of_keys(log: &Log, held: &Held) {
    if held.chain.number() > 0 {
        let line = log.line(Level::Info, "succession");
        line.with("number", held.chain.number())
            .with("identity", held.chain.tip().fingerprint())
            .send();
    }
    if held.pending {
        let why = "systemd hands over the keys before them; encrypt it as the credential smrd.key";
        let line = log.line(Level::Warn, "keys-waiting");
        line.with("file", rotation::NEXT).with("why", why).send();
    }
}

impl House {
    pub(crate) fn open(config: Config, log: Log, herald: Herald) -> Result<House, StartError> {
        let grounds = grounds_of(&config)?;
        // Keys first: without them the folder was never made a repository.
        let mut held = rotation::held(&config.store.path, &config.name)?;
        let store = Store::open(&config.store.path)?;
        store.keep_in_memory(config.store.entries);
        rotation::finish(&config.store.path, &mut held)?;
        tell_of_keys(&log, &held);
        let Held { keys, chain, .. } = held;
        for stranger in store.findings() {
            if !OURS.contains(&stranger.path.as_str()) {
                log.line(Level::Warn, "stranger")
                    .with("what", stranger)
                    .send();
            }
        }
        Ok(House {
            identity: keys.identity().to_string(),
            told: framed(&chain.to_string()),
            chain,
            online: Arc::default(),
            people: People::default(),
            realms: Realms::default(),
            queue: Queue::open(&cache(&config)),
            seats: Seats::new(config.listen.connections, config.listen.per_peer),
            underway: Underway::default(),
            rates: Rates::new(&config.rates),
            shares: Shares::new(config.rates.at_once),
            news: Arc::default(),
            #[cfg(feature = "lies")]
            liar: std::sync::OnceLock::new(),
            grounds: RwLock::new(Arc::new(grounds)),
            renewing: Mutex::new(()),
            looked: AtomicI64::new(0),
            herald,
            metrics: Metrics::default(),
            config,
            postmarks: Signer::from_seed(keys.postmark_seed()),
            keys,
            store,
            log,
        })
    }

    /// Returns the files that smrd needs while it serves.
    pub(crate) fn bounds(&self) -> Bounds {
        let grounds = self.current();
        let files = grounds.files.iter().map(|(_, _, file)| file.as_path());
        Bounds::of(&self.config, files)
    }

    /// Returns the grounds in force, with what has been fetched until now.
    pub(crate) fn grounds(&self) -> Arc<Grounds> {
        let second = now();
        let folder = revocation::folder(&cache(&self.config));
        if self.looked.swap(second, Ordering::Relaxed) != second
            && self.current().held.is_behind(&folder)
        {
            self.take_up();
        }
        self.current()
    }

    fn current(&self) -> Arc<Grounds> {
        // An Arc is replaced in one step, so a poisoned one is still right.
        self.grounds
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes up what was fetched. Whoever comes meanwhile does not wait, and
    /// is judged by what was known before.
    fn take_up(&self) {
        let Ok(_renewing) = self.renewing.try_lock() else {
            return;
        };
        let fresh = self.current().with_fetched(&cache(&self.config));
        for path in &fresh.held.damaged {
            let line = self.log.line(Level::Warn, "damaged-cache");
            line.with("what", path.display()).send();
        }
        let line = self.log.line(Level::Info, "revocation-data");
        line.with("lists", fresh.trust.crls.len())
            .with("answers", fresh.trust.ocsp.len())
            .send();
        self.put(fresh);
    }

    fn put(&self, fresh: Grounds) {
        *self.grounds.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
    }

    /// Replaces the grounds by what `config` names; keeps the old on an error.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), GroundsError> {
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(grounds_of(config)?);
        self.people.forget();
        self.realms.forget();
        Ok(())
    }

    /// Takes note that an account has a new record.
    pub(crate) fn changed(&self, name: &MailboxName, account: &Account) {
        self.people.set(name, account.person.clone());
        self.online.changed(name);
        // Whoever waits, for news or for nothing, is judged again: his device
        // may be gone.
        self.news.ring_all(name);
        self.news.changed(name);
    }

    /// Begins a message of a session.
    pub(crate) fn pace(&self) -> Pace {
        Pace::begin(self.step())
    }

    /// Returns how long a frame of a message may take.
    pub(crate) fn step(&self) -> Duration {
        Duration::from_secs(self.config.session.request.unsigned_abs())
    }

    /// Returns the bytes of the store's disk: those that are free, and all.
    pub(crate) fn disk_bytes(&self) -> io::Result<(u64, u64)> {
        let disk = rustix::fs::statvfs(&self.config.store.path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok((bytes(disk.f_bavail), bytes(disk.f_blocks)))
    }

    /// Returns how many bytes of a body are taken before the connection is
    /// ended: more than any request may bring.
    pub(crate) fn flood_limit(&self) -> u64 {
        self.config.store.max_message.saturating_add(1 << 20)
    }
}

/// Puts a text into as few frames as it takes.
fn framed(text: &str) -> Vec<u8> {
    let parts = text.as_bytes().chunks(MAX_FRAME);
    parts
        .flat_map(|part| {
            let header = frame::header(part).expect("a chunk is a frame's length");
            header.into_iter().chain(part.iter().copied())
        })
        .collect()
}
