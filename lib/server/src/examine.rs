//! `smrd --fsck`: examines the store, also while a smrd serves it.
//!
//! Changes nothing.

use smr_store::OpenError;
pub use smr_store::{Finding as StoreFinding, Summary};

use crate::config::Config;
use crate::house::CACHE;
use crate::keys;
use crate::keys::rotation;

/// Examines the store of a repository and calls `tell` with each finding.
/// Class `Config` where there is none of a known format.
pub fn examine(config: &Config, tell: &mut dyn FnMut(StoreFinding)) -> Result<Summary, OpenError> {
    let ours = [
        keys::FILE,
        keys::UNFINISHED,
        rotation::NEXT,
        rotation::CHAIN,
        rotation::UNFINISHED_CHAIN,
        CACHE,
    ];
    smr_store::fsck(&config.store.path, &ours, tell)
}
