//! A PKCS#11 module that plays tokens from a script, well and badly.
//!
//! For tests only: keys lie in files, and the journal tells every call. The
//! script is the TOML file that `SMR_TOKEN_SCRIPT` names; what it may say is in
//! [`script`]. The journal holds no PIN, only its [`mark`].

#![allow(unsafe_code)] // a C interface; every use says why it holds

mod attributes;
mod border;
pub mod journal;
pub mod key;
mod module;
mod object;
pub mod script;
mod session;
mod token;
mod world;

use sha2::{Digest, Sha256};

pub use module::C_GetFunctionList;

/// Returns what the journal shows of a PIN: 16 hexadecimal digits of its
/// SHA-256.
pub fn mark(pin: &[u8]) -> String {
    let digest = Sha256::digest(pin);
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
