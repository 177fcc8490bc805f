//! What the tools share: home, settings, key ring, what is known, tokens,
//! the agent and its sessions.
//!
//! Never prints, never prompts, never ends the process: that is the edge's.

pub mod agent;
pub mod config;
pub mod home;
pub mod keyring;
pub mod known;
pub mod private;
pub mod token;
