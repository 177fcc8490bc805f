//! Those who mean harm to a client: a man in the middle, a repository that
//! lies, a store that was tampered with. Every part but they is real.

#![allow(clippy::print_stdout)] // how many cases of each kind there were

mod chains;
#[path = "../house/mod.rs"]
mod house;
mod liar;
mod lies;
mod middle;
mod store;
