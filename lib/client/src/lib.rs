//! What the tools share: home, settings, key ring, what is known, tokens,
//! the agent and its sessions.
//!
//! Never prints, never prompts, never ends the process: that is the edge's.

pub mod agent;
pub mod attachments;
mod backup;
mod batch;
mod certified;
pub mod config;
pub mod delivery;
pub mod deposit;
pub mod devices;
pub mod directory;
pub mod doctor;
pub mod enrol;
pub mod failure;
pub mod fetch;
pub mod filter;
pub mod follow;
mod fresh;
mod glob;
pub mod grounds;
mod guest;
pub mod hand;
mod heads;
pub mod home;
pub mod keyring;
pub mod known;
pub mod listing;
mod lists;
pub mod login;
pub mod mail;
pub mod meet;
pub mod meter;
pub mod numbers;
pub mod once;
pub mod outbox;
pub mod owed;
pub mod pinned;
pub mod plugin;
pub mod private;
mod proof;
mod reached;
pub mod receipts;
pub mod removal;
pub mod session;
pub mod shelf;
pub mod spool;
pub mod stamps;
mod succession;
pub mod token;
mod tries;
mod upkeep;
pub mod user;
