//! The daemon: listens, permits, handles, keeps (smrd(8)).
//!
//! Opens no envelope and believes no client: what a request may do is decided
//! in `permit`, whose account it acts for by the handshake alone.

mod admission;
mod audit;
mod beside;
mod check;
pub mod config;
mod confine;
mod conn;
mod desk;
mod door;
mod examine;
mod gather;
mod grounds;
mod handle;
mod herald;
mod holder;
mod house;
mod keys;
mod limits;
mod listen;
mod metrics;
mod news;
mod online;
mod people;
mod permit;
mod pool;
pub mod proxy;
mod queue;
mod rates;
mod refusal;
mod revocation;
mod run;
mod seats;
mod server;
mod setup;
mod shares;
mod talk;
mod task;
mod underway;
mod user;
mod wire;

pub use admission::AdmissionError;
pub use audit::{Log, Sink};
pub use check::{CardReport, CheckError, Finding, check, check_card};
pub use confine::{Bounds, Measure, confine};
pub use examine::{StoreFinding, Summary, examine};
pub use grounds::{DEFAULT_REALM, GroundsError};
pub use house::StartError;
pub use keys::KeysError;
pub use keys::rotation::Rotated;
pub use listen::ListenError;
pub use revocation::{CacheError, FetchError, Fetched, Kind, Limits, Outcome, Source, fetch};
pub use run::{RunError, run};
pub use server::{Server, ServerError};
pub use setup::{SetupError, fingerprint, init, prepare, rotate};
#[cfg(feature = "lies")]
pub use talk::lie::{Liar, Saying};
pub use task::{Task, confine_to};
pub use user::UserError;
