//! One account that is logged in: its secrets, its sessions, when it ends.
//!
//! Once wiped it never works again; a new login makes a new one. One that is
//! not wiped goes on with what a new load of the same device brings.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use smr_channel::identity::Identity;
use smr_channel::local::{Entrance, Load, Loaded, Stanza};
use smr_name::{Address, Class, MessageId};
use smr_note::succession::{Chain, Standing};
use smr_seal::FileKey;
use zeroize::Zeroizing;

use crate::clock;
use crate::failure::Failure;
use crate::keys::{Keys, KeysError};
use crate::link::{Link, LinkError, Target};
use crate::pool::{Lease, Pool, PoolError, hold};
use crate::sync::Mutex;

/// An account whose secrets the agent holds.
pub(crate) struct Account {
    address: Address,
    // Replaced whole where smrd's keys are.
    target: Mutex<Arc<Target>>,
    device: [u8; 32],
    // None once wiped. Held for a moment only: trials of hundreds of identities
    // must not keep a lock waiting.
    keys: Mutex<Option<Arc<Keys>>>,
    // Protects one load's way in from being taken with another's keys.
    entrance: Mutex<Entrance>,
    pool: Arc<Pool>,
    // Protects one load's ends from being read with another's.
    term: Mutex<Term>,
    used: AtomicI64,
}

// When an account ends.
#[derive(Clone, Copy)]
struct Term {
    // Unix seconds, to show.
    until: i64,
    // Seconds of uptime.
    ends: i64,
    // Seconds without use, 0 for no limit.
    idle: i64,
}

impl Term {
    fn of(load: &Load) -> Term {
        let lifetime = i64::from(load.lifetime);
        Term {
            until: clock::now().saturating_add(lifetime),
            ends: clock::uptime().saturating_add(lifetime),
            idle: load.idle.into(),
        }
    }
}

impl Account {
    /// Takes the secrets of `load` and opens the first session with them, so
    /// that what smrd refuses is refused at once.
    pub(crate) fn open(load: &Load) -> Result<Account, Failure> {
        let target = target(load)?;
        let keys = Keys::new(load)?;
        let account = Account {
            address: load.account.clone(),
            target: Mutex::new(Arc::new(target)),
            device: load.device,
            keys: Mutex::new(Some(Arc::new(keys))),
            entrance: Mutex::new(later(&load.entrance)),
            pool: Arc::default(),
            term: Mutex::new(Term::of(load)),
            used: AtomicI64::new(clock::uptime()),
        };
        // Back to the pool at once.
        drop(account.lend(&load.entrance)?);
        Ok(account)
    }

    /// Goes on with the keys, the ends and the session of `next`, a later load;
    /// sessions that are lent stay so. False, and nothing has changed, where
    /// `next` is of another device or goes elsewhere.
    pub(crate) fn go_on_with(&self, next: &Account) -> bool {
        if self.device != next.device || self.target() != next.target() {
            return false;
        }
        *hold(&self.keys) = hold(&next.keys).take();
        *hold(&self.entrance) = hold(&next.entrance).clone();
        *hold(&self.term) = *hold(&next.term);
        self.pool.turn_over(&next.pool);
        self.touch();
        true
    }

    /// Tells the time, in seconds of uptime, when it ends if nobody uses it.
    pub(crate) fn deadline(&self) -> i64 {
        let term = *hold(&self.term);
        match term.idle {
            0 => term.ends,
            idle => term.ends.min(self.idle_end(idle)),
        }
    }

    /// Tells whether its lifetime is over, not only its idle time.
    pub(crate) fn is_over(&self, uptime: i64) -> bool {
        uptime >= hold(&self.term).ends
    }

    /// Returns when its lifetime ends: unix seconds to show, and uptime.
    pub(crate) fn end(&self) -> (i64, i64) {
        let term = *hold(&self.term);
        (term.until, term.ends)
    }

    /// Where smrd listens.
    pub(crate) fn server(&self) -> String {
        self.target().server.clone()
    }

    /// Goes on with the keys that smrd's are followed by, if those that are
    /// pinned have named them, by as many steps as it takes.
    pub(crate) fn follow(&self, chain: &str) -> Result<(), Failure> {
        let bad = |why: String| Failure::new(Class::Untrusted, why);
        let chain = Chain::parse(chain).map_err(|error| bad(error.to_string()))?;
        let mut place = hold(&self.target);
        let mine = Chain::parse(&place.identity.to_string());
        let mine = mine.map_err(|error| bad(error.to_string()))?;
        match mine.compare(&chain) {
            Standing::Same => Ok(()),
            Standing::Newer => {
                let identity = Identity::parse(&chain.tip().document);
                let identity = identity.map_err(|error| bad(error.to_string()))?;
                *place = Arc::new(Target {
                    identity,
                    ..(**place).clone()
                });
                Ok(())
            }
            _ => Err(bad("these keys do not follow those of smrd".to_owned())),
        }
    }

    fn target(&self) -> Arc<Target> {
        hold(&self.target).clone()
    }

    /// Says how it is.
    pub(crate) fn loaded(&self) -> Loaded {
        Loaded {
            account: self.address.clone(),
            server: self.server(),
            until: hold(&self.term).until,
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
        Ok(self.keys()?.sign(attributes)?)
    }

    /// Finds the file key in the stanzas of a sealed file.
    pub(crate) fn unwrap(&self, stanzas: &[Stanza]) -> Result<Option<FileKey>, Failure> {
        let go_on = || hold(&self.keys).is_some();
        match self.keys()?.unwrap(stanzas, go_on) {
            Err(KeysError::Wiped) => Err(self.gone()),
            outcome => Ok(outcome?),
        }
    }

    /// Returns the message id that belongs to a key.
    pub(crate) fn derive(&self, key: &str) -> Result<MessageId, Failure> {
        Ok(self.keys()?.derive(key))
    }

    /// Returns the key of what tools seal for themselves.
    pub(crate) fn shelf_key(&self) -> Result<Zeroizing<[u8; 32]>, Failure> {
        Ok(self.keys()?.shelf_key())
    }

    /// Lends a session with smrd.
    pub(crate) fn lease(&self) -> Result<Lease, Failure> {
        let entrance = hold(&self.entrance).clone();
        self.lend(&entrance)
    }

    /// Forgets idle sessions that smrd has given up.
    pub(crate) fn prune(&self) {
        self.pool.prune();
    }

    /// Wipes the secrets and ends the sessions, those in use too. Who is just
    /// using a key still does so, for one signature or one trial.
    pub(crate) fn wipe(&self) {
        hold(&self.keys).take();
        self.pool.close();
    }

    fn lend(&self, entrance: &Entrance) -> Result<Lease, Failure> {
        let lent = self.pool.lend(|| self.connect(entrance));
        lent.map_err(|error| match error {
            PoolError::Closed => self.gone(),
            PoolError::Full => Failure::new(Class::Busy, error).hint("try again"),
            PoolError::Link(LinkError::Keys(KeysError::Wiped)) => self.gone(),
            PoolError::Link(error) => error.into(),
        })
    }

    fn connect(&self, entrance: &Entrance) -> Result<Link, LinkError> {
        let target = self.target();
        let mailbox = &target.mailbox;
        Link::open(&target, |hash| {
            // None: wiped while we were connecting.
            let keys = hold(&self.keys).clone().ok_or(KeysError::Wiped)?;
            keys.introduce(hash, mailbox, entrance)
        })
    }

    fn keys(&self) -> Result<Arc<Keys>, Failure> {
        hold(&self.keys).clone().ok_or_else(|| self.gone())
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

/// Returns how sessions after the first are opened: a card's authorisation
/// serves until its end, and is no secret.
fn later(first: &Entrance) -> Entrance {
    match first {
        Entrance::Card { .. } => first.clone(),
        _ => Entrance::Login,
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
