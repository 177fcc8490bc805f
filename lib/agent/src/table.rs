//! The table of accounts: who is logged in, who is locked, what has ended.
//!
//! Keeps no secret of its own; of a locked account only its name is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use smr_channel::local::{Load, Loaded};
use smr_name::Address;

use crate::account::Account;
use crate::clock;
use crate::failure::Failure;
use crate::pool::hold;
use crate::sync::Mutex;

enum Place {
    Open(Arc<Account>),
    // Nothing secret is left of it.
    Locked {
        server: String,
        until: i64,
        ends: i64,
    },
}

/// The accounts, by address.
#[derive(Default)]
pub(crate) struct Table {
    // Protects who is there; never held over a network call.
    places: Mutex<BTreeMap<Address, Place>>,
}

impl Table {
    /// Logs in: an earlier login of the same device goes on with what this one
    /// brings, any other of the account ends.
    pub(crate) fn load(&self, load: &Load) -> Result<(), Failure> {
        let account = Account::open(load)?;
        let mut places = hold(&self.places);
        if let Some(Place::Open(held)) = places.get(&load.account)
            && held.go_on_with(&account)
        {
            return Ok(());
        }
        let place = Place::Open(Arc::new(account));
        let before = places.insert(load.account.clone(), place);
        drop(places);
        wipe(before);
        Ok(())
    }

    /// Returns an account that is logged in, and notes its use.
    pub(crate) fn find_to_use(&self, address: &Address) -> Result<Arc<Account>, Failure> {
        self.find(address).inspect(|account| account.touch())
    }

    /// Finds an account; whether that is a use of it is for the caller to say.
    pub(crate) fn find(&self, address: &Address) -> Result<Arc<Account>, Failure> {
        self.expire();
        match hold(&self.places).get(address) {
            Some(Place::Open(account)) => Ok(Arc::clone(account)),
            Some(Place::Locked { .. }) => Err(Failure::locked(address)),
            None => Err(Failure::not_loaded(address)),
        }
    }

    /// Wipes an account's secrets; its name stays. Locked stays locked.
    pub(crate) fn lock(&self, address: &Address) -> Result<(), Failure> {
        let mut places = hold(&self.places);
        let place = places.get_mut(address);
        place.map(lock).ok_or_else(|| Failure::not_loaded(address))
    }

    /// Wipes an account's secrets and forgets it.
    pub(crate) fn logout(&self, address: &Address) -> Result<(), Failure> {
        let before = hold(&self.places).remove(address);
        match before {
            None => Err(Failure::not_loaded(address)),
            before => {
                wipe(before);
                Ok(())
            }
        }
    }

    /// Says who is there, by name.
    pub(crate) fn status(&self) -> Vec<Loaded> {
        self.expire();
        let places = hold(&self.places);
        places.iter().map(|(a, p)| loaded(a, p)).collect()
    }

    /// Wipes what has ended: an account whose lifetime is over is forgotten,
    /// one that nobody used for its idle time is locked.
    pub(crate) fn expire(&self) {
        let uptime = clock::uptime();
        let mut places = hold(&self.places);
        for place in places.values_mut() {
            match place {
                Place::Open(account) if account.deadline() <= uptime => lock(place),
                Place::Open(account) => account.prune(),
                Place::Locked { .. } => {}
            }
        }
        places.retain(|_, place| match place {
            Place::Open(account) => !account.is_over(uptime),
            Place::Locked { ends, .. } => *ends > uptime,
        });
    }

    /// Returns the seconds until the next account ends; none where none will.
    pub(crate) fn next_end(&self) -> Option<i64> {
        let places = hold(&self.places);
        let ends = places.values().map(|place| match place {
            Place::Open(account) => account.deadline(),
            Place::Locked { ends, .. } => *ends,
        });
        ends.min()
            .map(|end| end.saturating_sub(clock::uptime()).max(0))
    }

    /// Tells whether nobody is there, not even locked.
    pub(crate) fn is_empty(&self) -> bool {
        hold(&self.places).is_empty()
    }

    /// Wipes everything.
    pub(crate) fn clear(&self) {
        let places = std::mem::take(&mut *hold(&self.places));
        places.into_values().for_each(|place| wipe(Some(place)));
    }
}

fn lock(place: &mut Place) {
    if let Place::Open(account) = place {
        let (until, ends) = account.end();
        let server = account.server();
        account.wipe();
        *place = Place::Locked {
            server,
            until,
            ends,
        };
    }
}

fn wipe(place: Option<Place>) {
    if let Some(Place::Open(account)) = place {
        account.wipe();
    }
}

fn loaded(address: &Address, place: &Place) -> Loaded {
    match place {
        Place::Open(account) => account.loaded(),
        Place::Locked { server, until, .. } => Loaded {
            account: address.clone(),
            server: server.clone(),
            until: *until,
            locked: true,
            online: false,
        },
    }
}
