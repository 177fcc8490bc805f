//! The pattern as others have it: the vectors that come with the crate snow, for
//! `XKpsk0+psk3` in both suites, through our X25519, our randomness, and what we
//! take out at the end.

use std::path::PathBuf;
use std::process::Command;

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;
use x25519_dalek::StaticSecret;

use super::{Keys, Noise};
use crate::label::Key;
use crate::suite::Suite;

/// Returns what a program says.
fn said(program: &str, args: &[&str]) -> Vec<u8> {
    let out = Command::new(program).args(args).output().expect("it runs");
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program}: {error}");
    out.stdout
}

/// Where cargo keeps the source of snow.
fn source() -> PathBuf {
    // Of this system alone: the crates of others may not be there.
    let version = String::from_utf8(said("rustc", &["-vV"])).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let args = ["metadata", "--offline", "--locked", "--format-version=1"];
    let only = [
        "--filter-platform",
        host.expect("a host"),
        "--manifest-path",
        manifest,
    ];
    let said = said(env!("CARGO"), &[&args[..], &only].concat());
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    let packages = said["packages"].as_array().expect("packages");
    let snow = packages.iter().find(|p| p["name"] == "snow").expect("snow");
    let manifest = PathBuf::from(snow["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("in a folder").to_owned()
}

/// The vector of a suite.
fn vector(suite: Suite) -> Value {
    let file = source().join("tests/vectors/snow.txt");
    let all: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).expect("JSON");
    let mut all = all["vectors"].as_array().expect("vectors").iter();
    let ours = all.find(|vector| vector["protocol_name"] == suite.noise_name());
    ours.expect("our pattern is among them").clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("text");
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(pair).collect()
}

fn key(value: &Value) -> Key {
    Key::new(bytes(value).try_into().expect("32 bytes"))
}

/// What a side seals first with a key of the split.
fn sealed(suite: Suite, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(suite.aead(), key).unwrap());
    let mut message = payload.to_vec();
    let first = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(first, Aad::empty(), &mut message)
        .unwrap();
    message
}

#[test]
fn handshakes_are_those_of_others_to_the_byte() {
    for suite in Suite::ALL {
        let vector = vector(suite);
        let secret = |name: &str| StaticSecret::from(*key(&vector[name]));
        let psk0 = key(&vector["init_psks"][0]);
        let psk3 = key(&vector["init_psks"][1]);
        assert_eq!(vector["init_psks"], vector["resp_psks"]);
        let (ours, theirs) = (secret("init_static"), secret("resp_static"));
        let begin = |secret, ephemeral: &str| Keys {
            secret,
            ephemeral: key(&vector[ephemeral]),
            psk0: &psk0,
        };
        let prologue = bytes(&vector["init_prologue"]);
        let remote = key(&vector["init_remote_static"]);
        let mut client =
            Noise::initiator(suite, &prologue, begin(&ours, "init_ephemeral"), &remote).unwrap();
        let mut smrd =
            Noise::responder(suite, &prologue, begin(&theirs, "resp_ephemeral")).unwrap();
        let messages = vector["messages"].as_array().expect("messages");
        for (number, message) in messages.iter().take(3).enumerate() {
            if number == 2 {
                client.set_psk3(&psk3).unwrap();
                smrd.set_psk3(&psk3).unwrap();
            }
            let (from, to) = match number % 2 {
                0 => (&mut client, &mut smrd),
                _ => (&mut smrd, &mut client),
            };
            let payload = bytes(&message["payload"]);
            let said = from.write(&payload).unwrap();
            assert_eq!(
                said,
                bytes(&message["ciphertext"]),
                "{suite}, message {number}"
            );
            assert_eq!(to.read(&said).unwrap(), payload);
        }
        let (client, smrd) = (client.split(), smrd.split());
        assert_eq!((&*client.keys, client.hash), (&*smrd.keys, smrd.hash));
        // smrd speaks next, with the second key, and then the client.
        let (first, second) = client.keys.split_at(32);
        for (message, key) in messages[3..].iter().zip([second, first]) {
            let said = sealed(suite, key, &bytes(&message["payload"]));
            assert_eq!(said, bytes(&message["ciphertext"]), "{suite}, the split");
        }
    }
}
