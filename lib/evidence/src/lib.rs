//! What people sign for people, checkable by a stranger.
//!
//! Does no I/O but on what the caller hands in, reads no clock, draws no
//! random numbers of its own, and says nothing of sessions or of smrd's store.

pub mod account;
pub mod authorisation;
pub mod backup;
pub mod bundle;
pub mod device;
pub mod envelope;
pub mod postmark;
pub mod reading;
pub mod receipt;
pub mod refusal;
pub mod trace;
pub mod trust;

pub use smr_note as note;
use smr_note::lines;
