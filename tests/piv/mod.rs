//! A PIV card in software, in the reader of a pcscd of its own.
//!
//! OpenSC takes it for a card (NIST SP 800-73-4): key 9A wants the PIN once,
//! key 9C before each signature. Nothing here is seen by another pcscd.

#![allow(dead_code)] // each suite uses its own part

mod apdu;
mod applet;
mod reader;

pub(crate) use applet::{Applet, GET_DATA, Slot, VERIFY};
pub(crate) use reader::{Inserted, Reader};
