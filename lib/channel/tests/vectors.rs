//! The vectors of tests/vectors/session, which the reference implementation
//! made: each end says the same, bit for bit, and refuses what is spoilt.
//!
//! Files are found, not listed; a line that no test knows is an error.

mod vector;

use std::collections::BTreeMap;

use smr_channel::handshake::Introduction;
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use vector::{End, Pairs, Role, Vector, files};

/// The files of whole sessions, by name.
fn vectors() -> BTreeMap<String, Vector> {
    let others = ["refused.txt", "codec.txt"];
    let vectors: BTreeMap<_, _> = files()
        .filter(|name| !others.contains(&name.as_str()))
        .map(|name| (name.clone(), Vector::read(&name)))
        .collect();
    assert!(vectors.len() >= 4, "the vectors are missing");
    vectors
}

#[test]
fn each_end_says_what_the_reference_says() {
    for (name, vector) in vectors() {
        assert_eq!(
            vector.keys().identity().to_string().as_bytes(),
            vector.document,
            "{name}"
        );
        let identity = Identity::parse(std::str::from_utf8(&vector.document).unwrap()).unwrap();
        assert_eq!(
            identity.fingerprint().as_bytes()[..],
            vector.fingerprint,
            "{name}"
        );
        for role in [Role::Client, Role::Smrd] {
            let mut end = End::new(&vector, role);
            let taken = end.play(vector.frames());
            // each end takes the other's messages, head, body and warrant as they are told
            let others = vector.messages.iter().filter(|message| message.by != role);
            assert!(
                taken.iter().eq(others.map(|message| &message.whole)),
                "{name}, {role:?}"
            );
            assert_eq!(end.session_id(), vector.session, "{name}, {role:?}");
        }
    }
}

#[test]
fn what_a_device_signs_is_what_the_reference_says() {
    for (name, vector) in vectors() {
        let account = "rui".parse().unwrap();
        let hash = &vector.hash_to_sign;
        let device = vector.device_hash();
        let signed = match Introduction::decode(&vector.introduction).unwrap() {
            Introduction::Login { .. } => Introduction::login_to_sign(hash, &account, &device),
            Introduction::Join { .. } => Introduction::join_to_sign(hash, &account, &device),
            Introduction::Enrol { record, .. } => {
                Introduction::enrol_to_sign(hash, &account, &device, &record)
            }
            Introduction::CardLogin { authorisation, .. } => {
                Introduction::card_login_to_sign(hash, &account, &device, &authorisation)
            }
        };
        assert_eq!(signed, vector.signed, "{name}");
    }
}

#[test]
fn what_is_spoilt_is_refused() {
    let vectors = vectors();
    let mut pairs = Pairs::read("refused.txt");
    let mut count = 0;
    while !pairs.is_empty() {
        let vector = &vectors[&pairs.word("of")];
        let role = match pairs.word("to").as_str() {
            "client" => Role::Client,
            "smrd" => Role::Smrd,
            other => panic!("no end is called {other}"),
        };
        let after: usize = pairs.word("after").parse().unwrap();
        let mut frames = pairs.every("frame");
        let last = frames.pop().expect("a frame that is refused");
        let mut end = End::new(vector, role);
        end.play(&vector.frames()[..after]);
        count += 1;
        for frame in &frames {
            assert!(end.take(frame).is_ok(), "case {count}: refused too early");
        }
        assert!(end.take(&last).is_err(), "case {count} was taken");
    }
    assert!(count >= 100, "only {count} cases");
}

#[test]
fn messages_are_spelled_as_the_reference_spells_them() {
    let mut pairs = Pairs::read("codec.txt");
    let (mut good, mut damaged) = (0, 0);
    while let Some((key, bytes)) = pairs.next_data() {
        let again = |kind: &str| match kind {
            "introduction" => Some(Introduction::decode(&bytes).ok()?.encode().unwrap()),
            "request" => Some(Request::decode(&bytes).ok()?.encode().unwrap()),
            "reply" => Some(Reply::decode(&bytes).ok()?.encode().unwrap()),
            "document" => {
                let text = std::str::from_utf8(&bytes).unwrap();
                Some(Identity::parse(text).ok()?.to_string().into_bytes())
            }
            other => panic!("no kind of message: {other}"),
        };
        match key.strip_prefix("damaged-") {
            Some(kind) => {
                damaged += 1;
                assert!(
                    again(kind).is_none(),
                    "damaged {kind} {damaged} was read: {bytes:02x?}"
                );
            }
            None => {
                good += 1;
                assert_eq!(again(&key).as_ref(), Some(&bytes), "{key} {good}");
            }
        }
    }
    assert!(
        good >= 40 && damaged >= 30,
        "{good} good, {damaged} damaged"
    );
}
