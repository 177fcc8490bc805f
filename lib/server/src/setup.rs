//! `smrd --init`, `smrd --fingerprint` and `smrd --rotate-key`.
//!
//! Never touches a store that exists, nor keys but to have them replaced.

use rand_core::OsRng;
use smr_name::{Class, Fingerprint};
use smr_store::{OpenError, Store};

use crate::config::Config;
use crate::house::now;
use crate::keys::rotation::{self, Rotated};
use crate::keys::{self, KeysError};
use crate::user::{UserError, hand_over};

/// Says why a repository was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The store cannot be made or opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The keys cannot be made or read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// It does not become the user that it should be.
    #[error(transparent)]
    User(#[from] UserError),
}

impl SetupError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            SetupError::Store(e) => e.class(),
            SetupError::Keys(e) => e.class(),
            SetupError::User(e) => e.class(),
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SetupError::Keys(KeysError::Absent { .. }) => {
                Some("make the repository first: smrd --init")
            }
            SetupError::Keys(KeysError::Exists { path }) if path.ends_with(rotation::NEXT) => {
                Some("first encrypt it as the credential smrd.key: smr-operations(7)")
            }
            SetupError::Keys(KeysError::Exists { .. }) => {
                Some("the repository is made already: smrd --fingerprint")
            }
            SetupError::Keys(KeysError::Replaced { .. }) => {
                Some("put the new keys back: see BACK UP in smr-operations(7)")
            }
            SetupError::Store(OpenError::InUse(_)) => Some("stop the smrd that runs"),
            SetupError::User(_) => Some("see \"user\" in smrd.conf(5)"),
            _ => None,
        }
    }
}

/// Makes the folder of the store, where there is none, and those above it; root
/// makes it for the user who will serve, and becomes him.
pub fn prepare(config: &Config) -> Result<(), SetupError> {
    let path = &config.store.path;
    keys::make_parents(path)?;
    if let Some(user) = &config.user {
        hand_over(path, user)?;
    }
    Ok(keys::make_folder(path)?)
}

/// Makes the store, in its folder, and the keys of a repository; returns what
/// clients pin. A store that was made before but has no keys yet gets them.
pub fn init(config: &Config) -> Result<Fingerprint, SetupError> {
    let path = &config.store.path;
    // Held until the keys are there: no smrd starts in between.
    let _store = match Store::open(path) {
        // A first attempt may have been cut off between store and keys.
        Ok(store) => store,
        Err(OpenError::NotAStore(_) | OpenError::Disk(_)) => Store::create(path)?,
        Err(error) => return Err(error.into()),
    };
    let keys = keys::create(path, &config.name, &mut OsRng)?;
    Ok(keys.identity().fingerprint())
}

/// Returns what clients pin.
pub fn fingerprint(config: &Config) -> Result<Fingerprint, SetupError> {
    let held = rotation::held(&config.store.path, &config.name)?;
    Ok(held.keys.identity().fingerprint())
}

/// Replaces the keys of the repository; no smrd may be using the store.
pub fn rotate(config: &Config) -> Result<Rotated, SetupError> {
    let path = &config.store.path;
    let _store = Store::open(path)?;
    Ok(rotation::rotate(path, &config.name, &mut OsRng, now())?)
}
