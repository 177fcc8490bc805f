//! What a client and smrd say under a session, and what a tool and the agent
//! say to each other; sans-IO: frames in, frames out (smr-session(7)).
//!
//! Fetches neither clock nor randomness, reads and writes no file or socket,
//! and carries envelopes as opaque bytes.
//!
//! ```text
//! client                                                    smrd
//!   "smr/1\n" 'S'                                   ->
//!   frame 1: suites, ML-KEM ciphertext, e           ->
//!                            <-  frame 2: suite, e, ML-KEM ciphertext
//!   frame 3: static key, introduction               ->
//!                            <-  message 0: the reply to the introduction
//!   message 1: a request (head, body..., close)     ->
//!                            <-  message 2: its reply (the same, and a warrant)
//! ```

pub mod chain;
pub mod codec;
pub mod frame;
pub mod handshake;
pub mod identity;
pub mod label;
pub mod local;
pub mod reply;
pub mod request;
pub mod session;
pub mod suite;
pub mod warrant;

mod close;
mod digest;
mod event;
mod introduction;
mod kem;
mod live;
mod noise;
mod ratchet;
mod record;
mod renewal;
