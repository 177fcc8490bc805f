//! How far an input gets, and inputs that get far: past keys, ciphers and
//! signatures, to what is read behind them.

use std::io::Cursor;
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use smr_channel::handshake::Introduction;
use smr_evidence::{account, bundle, envelope};
use smr_seal::{Identity, Kind, Recipient};

use super::evidence::{KEYS, STORE, rules};
use super::{disk, hop, text};

/// A target, and whether an input gets behind what it checks first.
pub type Deep = (&'static str, fn(&[u8]) -> bool);

/// Targets of which an input must be kept that gets there.
pub const DEEP: [Deep; 17] = [
    ("handshake", hop::shakes_hands),
    ("record", hop::renews),
    ("introduction", |data| Introduction::decode(data).is_ok()),
    ("sealed", |data| {
        envelope::verify(Cursor::new(data), &&KEYS[..]).is_ok()
    }),
    ("message", |data| envelope::verify_plain(data).is_ok()),
    ("keys", |data| {
        let recipient = text(data).parse::<Recipient>();
        recipient.is_ok_and(|r| r.kind() == Kind::PostQuantum)
    }),
    ("smrd_toml", |data| {
        let state = Some("/var/lib/smrd".into());
        smr_server::config::Config::parse(text(data), Path::new("x"), state).is_ok()
    }),
    ("client_toml", |data| {
        let read = smr_client::config::Config::parse(text(data), Path::new("x"));
        read.is_ok_and(|config| config.accounts().count() > 0)
    }),
    ("tokens_toml", |data| {
        smr_client::token::profile::read(text(data)).is_ok_and(|all| !all.is_empty())
    }),
    ("account", |data| {
        account::open(data, &STORE, &rules()).is_ok()
    }),
    ("zip", |data| {
        let (store, at) = (&*STORE, rules());
        bundle::verify(Cursor::new(data), store, store, &at).is_ok()
    }),
    ("journal", disk::makes_files),
    ("client_journal", disk::makes_known),
    ("key_ring", disk::has_keys),
    ("known", disk::is_known),
    ("shelf", disk::is_remembered),
    ("tally", hop::counts),
];

/// Whom to seal to, so that `sealed` can open it.
pub fn recipient() -> Recipient {
    KEYS[0].to_recipient()
}

/// Inputs that get far, for the corpus: target and bytes.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds: Vec<(&str, Vec<u8>)> = Vec::new();
    seeds.extend(hop::frames().map(|frame| ("handshake", frame)));
    seeds.extend(hop::introductions().map(|bytes| ("introduction", bytes)));
    seeds.extend(hop::tallies().map(|bytes| ("tally", bytes)));
    for kind in [Kind::PostQuantum, Kind::Classic] {
        let identity = Identity::generate(kind, &mut ChaCha20Rng::from_seed([5; 32]));
        seeds.push(("keys", identity.to_recipient().to_string().into_bytes()));
        seeds.push(("keys", identity.encode().as_bytes().to_vec()));
    }
    // How a message is scripted: fate, parts, each with its fate, fate of the close.
    let message = [0, 0, 0];
    let asked = [&[1, 1][..], &message, &[2, b'o', b'k'], &message].concat();
    let parts = [
        &[1, 1, 0, 2, 3, b'o', b'n', b'e', 0, 1, b'2', 0, 0][..],
        &[1, b'x'],
        &message,
    ]
    .concat();
    let renewed = [&[0][..], &message, &message].concat();
    for after in [
        &asked[..],
        &parts,
        &renewed,
        &[1, 1, 250, 40, 3],
        &[1, 1, 0, 0, 255],
    ] {
        let script = [&message[..], &renewed, &asked, after].concat();
        seeds.push(("record", script));
    }
    seeds.extend(disk::journals().into_iter().map(|bytes| ("journal", bytes)));
    let journals = disk::client_journals();
    seeds.extend(journals.map(|bytes| ("client_journal", bytes)));
    seeds.extend(disk::owned());
    seeds.extend(disk::shelves().map(|bytes| ("shelf", bytes)));
    seeds
}
