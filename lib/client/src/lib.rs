//! What the tools share: home, settings, key ring, what is known, tokens,
//! the agent and its sessions.
//!
//! Never prints, never prompts, never ends the process: that is the edge's.

pub mod agent;
pub mod config;
pub mod deposit;
pub mod enrol;
pub mod failure;
pub mod fetch;
pub mod grounds;
pub mod home;
pub mod keyring;
pub mod known;
pub mod listing;
pub mod login;
pub mod meet;
pub mod private;
pub mod receipts;
pub mod session;
pub mod spool;
mod succession;
pub mod token;
pub mod user;
