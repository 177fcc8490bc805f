//! Values for properties, and the property of every codec.
#![allow(dead_code, reason = "each test uses its part")]

use proptest::collection::vec;
use proptest::prelude::*;
use smr_channel::codec::CodecError;
use smr_channel::warrant::Warrant;
use smr_name::{Class, MailboxName, MessageId};

pub(crate) fn name() -> impl Strategy<Value = MailboxName> {
    "[a-z0-9][a-z0-9_-]{0,20}".prop_filter_map("a device of Windows", |s| s.parse().ok())
}

pub(crate) fn id() -> impl Strategy<Value = MessageId> {
    any::<[u8; 16]>().prop_map(MessageId::from_bytes)
}

pub(crate) fn hash() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

pub(crate) fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(&Class::ALL[..])
}

/// Any text, of any plane.
pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..40).prop_map(String::from_iter)
}

pub(crate) fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

/// A chain of certificates, which this room does not read.
pub(crate) fn chain() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..60), 2..=8)
}

prop_compose! {
    pub(crate) fn warrant()(
        (session, request, reply) in (hash(), hash(), hash()),
        (number, time) in (any::<u64>(), any::<i64>()),
        (left, right) in (hash(), hash()),
    ) -> Warrant {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&left);
        signature[32..].copy_from_slice(&right);
        Warrant { session, number, request, reply, time, signature }
    }
}

/// Checks that what is encoded so is decoded as `is_it` says, and nothing
/// shorter or longer.
pub(crate) fn whole<T>(
    encoded: &[u8],
    more: u8,
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
    is_it: impl Fn(T) -> bool,
) -> Result<(), TestCaseError> {
    let read = decode(encoded);
    prop_assert!(read.is_ok_and(is_it));
    for cut in 0..encoded.len() {
        prop_assert!(decode(&encoded[..cut]).is_err(), "cut at {}", cut);
    }
    prop_assert!(decode(&[encoded, &[more]].concat()).is_err());
    Ok(())
}
