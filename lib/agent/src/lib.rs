//! Session keys in memory: the agent that holds what is secret after login,
//! signs, unwraps and carries requests for the tools of its user
//! (smr-agent(1), smr-agent-protocol(7)).
//!
//! Never prompts, never touches a card, never reads or writes a key on disk,
//! and gives no secret back.

mod account;
mod attributes;
mod carry;
mod clock;
mod conn;
pub mod detach;
mod failure;
mod guard;
mod identities;
mod keys;
mod link;
mod locked;
mod peer;
mod pool;
mod run;
mod socket;
/// What `pool`, `account` and `table` lock with: tests/loom has them run in every
/// order.
mod sync {
    pub(crate) use std::sync::{Mutex, MutexGuard};
}
mod table;
mod wire;

pub use locked::Heap;
pub use run::{AgentError, Options, run};
pub use socket::SocketError;
