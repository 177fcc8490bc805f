//! One account that is logged in: its secrets, its sessions, when it ends.
//!
//! Once wiped it never works again; a new login makes a new one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use smr_channel::identity::Identity;
use smr_channel::local::{Entrance, Load, Loaded, Stanza};
use smr_name::{Address, Class};
use smr_seal::FileKey;

use crate::clock;
use crate::failure::Failure;
use crate::keys::Keys;
use crate::link::{Link, LinkError, Target};
use crate::pool::{Lease, Pool, PoolError, hold};

/// An account whose secrets the agent holds.
pub(crate) struct Account {
    address: Address,
    target: Target,
    // None once wiped.
    keys: Mutex<Option<Keys>>,
    pool: Arc<Pool>,
    // Unix seconds, to show.
    until: i64,
    // Seconds of uptime.
    ends: i64,
    // Seconds without use, 0 for no limit.
    idle: i64,
    used: AtomicI64,
}

impl Account {
    /// Takes the secrets of `load` and opens the first session with them, so
    /// that what smrd refuses is refused at once.
    pub(crate) fn open(load: &Load) -> Result<Account, Failure> {
        let target = target(load)?;
        let keys = Keys::new(load)?;
        let account = Account {
            address: load.account.clone(),
            target,
            keys: Mutex::new(Some(keys)),
            pool: Arc::default(),
            until: clock::now().saturating_add(load.lifetime.into()),
            ends: clock::uptime().saturating_add(load.lifetime.into()),
            idle: load.idle.into(),
            used: AtomicI64::new(clock::uptime()),
        };
        // Back to the pool at once.
        drop(account.lend(&load.entrance)?);
        Ok(account)
    }

    /// Tells the time, in seconds of uptime, when it ends if nobody uses it.
    pub(crate) fn deadline(&self) -> i64 {
        match self.idle {
            0 => self.ends,
            idle => self.ends.min(self.idle_end(idle)),
        }
    }

    /// Tells whether its lifetime is over, not only its idle time.
    pub(crate) fn is_over(&self, uptime: i64) -> bool {
        uptime >= self.ends
    }

    /// Returns when its lifetime ends: unix seconds to show, and uptime.
    pub(crate) fn end(&self) -> (i64, i64) {
        (self.until, self.ends)
    }

    /// Where smrd listens.
    pub(crate) fn server(&self) -> &str {
        &self.target.server
    }

    /// Says how it is.
    pub(crate) fn loaded(&self) -> Loaded {
        Loaded {
            account: self.address.clone(),
            server: self.target.server.clone(),
            until: self.until,
            locked: false,
            online: self.pool.is_online(),
        }
    }

    /// Notes that it is in use.
    pub(crate) fn touch(&self) {
        self.used.store(clock::uptime(), Ordering::Relaxed);
    }

    /// Signs CMS signed attributes with the device's key.
    pub(crate) fn sign(&self, attributes: &[u8]) -> Result<Vec<u8>, Failure> {
        let keys = hold(&self.keys);
        let keys = keys.as_ref().ok_or_else(|| self.gone())?;
        Ok(keys.sign(attributes)?)
    }

    /// Finds the file key in the stanzas of a sealed file.
    pub(crate) fn unwrap(&self, stanzas: &[Stanza]) -> Result<Option<FileKey>, Failure> {
        let keys = hold(&self.keys);
        let keys = keys.as_ref().ok_or_else(|| self.gone())?;
        Ok(keys.unwrap(stanzas)?)
    }

    /// Lends a session with smrd.
    pub(crate) fn lease(&self) -> Result<Lease, Failure> {
        self.lend(&Entrance::Login)
    }

    /// Forgets idle sessions that smrd has given up.
    pub(crate) fn prune(&self) {
        self.pool.prune();
    }

    /// Wipes the secrets and ends the sessions, those in use too.
    pub(crate) fn wipe(&self) {
        hold(&self.keys).take();
        self.pool.close();
    }

    fn lend(&self, entrance: &Entrance) -> Result<Lease, Failure> {
        let lent = self.pool.lend(|| self.connect(entrance));
        lent.map_err(|error| match error {
            PoolError::Closed => self.gone(),
            PoolError::Full => Failure::new(Class::Busy, error).hint("try again"),
            PoolError::Link(error) => error.into(),
        })
    }

    fn connect(&self, entrance: &Entrance) -> Result<Link, LinkError> {
        let mailbox = &self.target.mailbox;
        Link::open(&self.target, |hash| {
            let keys = hold(&self.keys);
            // Wiped while we were connecting: the pool will refuse the link.
            let keys = keys.as_ref().ok_or(crate::keys::KeysError::Sign)?;
            keys.introduce(hash, mailbox, entrance)
        })
    }

    fn gone(&self) -> Failure {
        Failure::locked(&self.address)
    }

    fn idle_end(&self, idle: i64) -> i64 {
        self.used.load(Ordering::Relaxed).saturating_add(idle)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn target(load: &Load) -> Result<Target, Failure> {
    let bad = |text: &str| Failure::new(Class::Usage, text);
    let identity = Identity::parse(&load.identity)
        .map_err(|error| Failure::new(error.class(), format!("smrd's identity: {error}")))?;
    match &load.account.repository {
        None => return Err(bad("the account has no repository")),
        Some(name) if *name != identity.name => {
            let text = format!("the pinned server is {}, not {name}", identity.name);
            return Err(Failure::new(Class::Config, text));
        }
        Some(_) => {}
    }
    if load.lifetime == 0 {
        return Err(bad("a lifetime of no seconds"));
    }
    if load.suites.is_empty() {
        return Err(bad("no suite to offer"));
    }
    Ok(Target {
        server: load.server.clone(),
        suites: load.suites.clone(),
        identity,
        mailbox: load.account.mailbox.clone(),
    })
}
