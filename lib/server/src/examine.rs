//! `smrd --fsck`: examines the store, also while a smrd serves it.
//!
//! Changes nothing.

use smr_store::OpenError;
pub use smr_store::{Finding as StoreFinding, Summary};

use crate::config::Config;
use crate::house::OURS;

/// Examines the store of a repository and calls `tell` with each finding.
/// Class `Config` where there is none of a known format.
pub fn examine(config: &Config, tell: &mut dyn FnMut(StoreFinding)) -> Result<Summary, OpenError> {
    smr_store::fsck(&config.store.path, &OURS, tell)
}
