//! What a device signs to be let in opens one session: not another handshake's,
//! not another account's, and not under another label.

mod pair;

use pair::{NOW, join, keys};
use rand_core::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use sha2::{Digest, Sha256};
use smr_channel::chain::{MAX_CERTIFICATE, MAX_CHAIN, MAX_CHAIN_BYTES};
use smr_channel::codec::{CodecError, Writer};
use smr_channel::handshake::{Initiator, Introducing, Introduction, Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_name::MailboxName;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Login,
    Enrol,
    Join,
    Card,
}

const KINDS: [Kind; 4] = [Kind::Login, Kind::Enrol, Kind::Join, Kind::Card];
const RECORD: &[u8] = b"the record";

fn name(text: &str) -> MailboxName {
    text.parse().unwrap()
}

fn chain() -> Vec<Vec<u8>> {
    [&b"the device"[..], b"the card"]
        .map(<[u8]>::to_vec)
        .to_vec()
}

fn fingerprint(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

fn to_sign(kind: Kind, hash: &[u8; 32], account: &MailboxName, device: &[u8; 32]) -> Vec<u8> {
    match kind {
        Kind::Login => Introduction::login_to_sign(hash, account, device),
        Kind::Enrol => Introduction::enrol_to_sign(hash, account, device, RECORD),
        Kind::Join => Introduction::join_to_sign(hash, account, device),
        Kind::Card => Introduction::card_login_to_sign(hash, account, device, RECORD),
    }
}

struct Device(EcdsaKeyPair);

impl Device {
    fn generate() -> Self {
        let (rng, how) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(how, &rng).unwrap();
        Device(EcdsaKeyPair::from_pkcs8(how, key.as_ref(), &rng).unwrap())
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), bytes).unwrap();
        signature.as_ref().to_vec()
    }

    fn introduce(&self, kind: Kind, hash: &[u8; 32]) -> Introduction {
        let (account, device) = (name("rui"), fingerprint(&chain()[0]));
        let signature = self.sign(&to_sign(kind, hash, &account, &device));
        said(kind, account, device, signature)
    }

    /// What smrd asks itself: did the device sign this, for this handshake?
    fn signed(&self, introduction: &Introduction, hash: &[u8; 32]) -> bool {
        let (kind, account, device, signature) = match introduction {
            Introduction::Login {
                account,
                device,
                signature,
            } => (Kind::Login, account.clone(), *device, signature),
            Introduction::Enrol { signature, .. } => (
                Kind::Enrol,
                name("rui"),
                fingerprint(&chain()[0]),
                signature,
            ),
            Introduction::Join {
                account,
                chain,
                signature,
            } => (
                Kind::Join,
                account.clone(),
                fingerprint(&chain[0]),
                signature,
            ),
            Introduction::CardLogin {
                account,
                device,
                signature,
                ..
            } => (Kind::Card, account.clone(), *device, signature),
        };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0.public_key());
        let bytes = to_sign(kind, hash, &account, &device);
        key.verify(&bytes, signature).is_ok()
    }
}

fn said(kind: Kind, account: MailboxName, device: [u8; 32], signature: Vec<u8>) -> Introduction {
    match kind {
        Kind::Login => Introduction::Login {
            account,
            device,
            signature,
        },
        Kind::Enrol => Introduction::Enrol {
            record: RECORD.to_vec(),
            signature,
        },
        Kind::Join => Introduction::Join {
            account,
            chain: chain(),
            signature,
        },
        Kind::Card => Introduction::CardLogin {
            account,
            device,
            authorisation: RECORD.to_vec(),
            signature,
        },
    }
}

/// Two frames of a handshake with this repository.
fn half(keys: &ServerKeys) -> (Introducing, Responder, [u8; 32]) {
    let (client, frame) = Initiator::start(keys.identity(), &Suite::ALL, &mut OsRng).unwrap();
    let (server, frame) = Responder::accept(keys, &Suite::ALL, &frame, &mut OsRng).unwrap();
    let (client, hash) = client.answer(&frame).unwrap();
    (client, server, hash)
}

/// The third frame, and what smrd makes of it.
fn heard(client: Introducing, server: Responder, introduction: &Introduction) -> Introduction {
    let (frame, _) = client.finish(introduction, NOW).unwrap();
    server.finish(&frame, NOW).unwrap().0
}

#[test]
fn an_introduction_is_worth_nothing_in_another_handshake() {
    let device = Device::generate();
    let (honest, hostile) = (keys(), keys());
    for kind in KINDS {
        let (client, server, hash) = half(&hostile);
        let introduction = heard(client, server, &device.introduce(kind, &hash));
        assert!(device.signed(&introduction, &hash), "{kind:?}");
        // the hostile repository says it to the honest one, as if it were its own
        let (relay, server, other) = half(&honest);
        assert_eq!(server.hash(), other);
        let relayed = heard(relay, server, &introduction);
        assert_eq!(relayed, introduction);
        assert!(!device.signed(&relayed, &other), "{kind:?}");
        // nor does it open a second session with itself
        let (_, server, again) = half(&hostile);
        assert!(!device.signed(&introduction, &server.hash()));
        assert_ne!(again, hash);
    }
}

#[test]
fn an_introduction_is_of_one_kind() {
    let device = Device::generate();
    let hash = [1; 32];
    for made in KINDS {
        let (Introduction::Login { signature, .. }
        | Introduction::Enrol { signature, .. }
        | Introduction::Join { signature, .. }
        | Introduction::CardLogin { signature, .. }) = device.introduce(made, &hash);
        for used in KINDS {
            let device_of = fingerprint(&chain()[0]);
            let other = said(used, name("rui"), device_of, signature.clone());
            let fits = device.signed(&other, &hash);
            assert_eq!(fits, made == used, "{made:?} as {used:?}");
        }
    }
}

#[test]
fn a_join_is_of_one_account_one_certificate_and_one_key() {
    let device = Device::generate();
    let hash = [1; 32];
    let changed = |change: fn(&mut MailboxName, &mut Vec<Vec<u8>>)| {
        let mut joined = device.introduce(Kind::Join, &hash);
        let Introduction::Join { account, chain, .. } = &mut joined else {
            panic!("{joined:?}")
        };
        change(account, chain);
        device.signed(&joined, &hash)
    };
    assert!(changed(|_, _| {}));
    assert!(!changed(|account, _| *account = name("ana")));
    assert!(!changed(|_, chain| chain[0] = b"another device".to_vec()));
    assert!(!changed(|_, chain| chain.swap(0, 1)));
    let joined = device.introduce(Kind::Join, &hash);
    assert!(!Device::generate().signed(&joined, &hash));
}

#[test]
fn chains_out_of_bounds_are_never_heard() {
    let of = |chain: Vec<Vec<u8>>| Introduction::Join {
        account: name(&"x".repeat(32)),
        chain,
        signature: vec![8; 72],
    };
    let bare = |chain: &[Vec<u8>]| {
        let mut w = Writer::new();
        w.u8(3).text("mailbox", &name("rui"));
        w.list("chain", chain, |w, der| {
            w.bytes("certificate", der);
        });
        w.bytes("signature", &[8; 72]);
        w.finish().unwrap()
    };
    for chain in [
        vec![],
        vec![vec![1; 700]],
        vec![vec![1; 700]; MAX_CHAIN + 1],
        vec![vec![1; 700], vec![1; MAX_CERTIFICATE + 1]],
        vec![vec![1; MAX_CERTIFICATE]; 4],
        vec![vec![1; 700], vec![]],
    ] {
        let heard = Introduction::decode(&bare(&chain));
        assert_eq!(heard, Err(CodecError::Size("chain")));
        assert!(join(&keys(), &Suite::ALL, &of(chain)).is_err());
    }
    let longest = vec![vec![1; MAX_CHAIN_BYTES / MAX_CHAIN]; MAX_CHAIN];
    assert!(Introduction::decode(&bare(&longest)).is_ok());
    assert!(join(&keys(), &Suite::ALL, &of(longest)).is_ok());
}
