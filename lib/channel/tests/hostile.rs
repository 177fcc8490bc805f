//! Somebody between client and smrd, or one of them lying: everything but
//! delay ends the session.

mod pair;

use pair::{NOW, Pair, done, introduction, joined, keys, ping, take, welcomed};
use rand_core::OsRng;
use rand_core::RngCore;
use smr_channel::handshake::{HandshakeError, Initiator, Introduction, Responder, Suite};
use smr_channel::identity::{Identity, ServerKeys};
use smr_channel::local::{Answer, Ask};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::SessionError;

/// Runs a handshake with its three frames changed on the way.
fn handshake(
    keys: &ServerKeys,
    identity: &Identity,
    change: &dyn Fn(usize, &mut Vec<u8>),
) -> Result<(), HandshakeError> {
    let (client, mut frame) = Initiator::start(identity, &Suite::ALL, &mut OsRng)?;
    change(1, &mut frame);
    let (server, mut frame) = Responder::accept(keys, &Suite::ALL, &frame, &mut OsRng)?;
    change(2, &mut frame);
    let (client, _) = client.answer(&frame)?;
    let (mut frame, _) = client.finish(&introduction(), NOW)?;
    change(3, &mut frame);
    server.finish(&frame, NOW).map(drop)
}

fn frame_sizes(keys: &ServerKeys) -> [usize; 3] {
    let sizes = std::cell::Cell::new([0; 3]);
    let note = |number: usize, frame: &mut Vec<u8>| {
        let mut all = sizes.get();
        all[number - 1] = frame.len();
        sizes.set(all);
    };
    handshake(keys, keys.identity(), &note).unwrap();
    sizes.get()
}

#[test]
fn the_handshake_refuses_changed_bytes() {
    let keys = keys();
    let sizes = frame_sizes(&keys);
    assert_eq!(sizes[..2], [3 + 1088 + 2 * 1232, 1 + 32 + 1088 + 16]);
    for (number, size) in (1..).zip(sizes) {
        // every third byte of the long frames: all of them take a while
        let step = if size > 1000 { 3 } else { 1 };
        for at in (0..size).step_by(step) {
            let flip = |n: usize, frame: &mut Vec<u8>| {
                if n == number {
                    frame[at] ^= 1 << (at % 8);
                }
            };
            let refused = handshake(&keys, keys.identity(), &flip);
            assert!(refused.is_err(), "frame {number} byte {at}");
        }
    }
}

#[test]
fn the_handshake_refuses_every_other_length() {
    let keys = keys();
    for (number, size) in (1..).zip(frame_sizes(&keys)) {
        let cuts = (0..size).step_by(37).chain([size - 1]);
        for length in cuts.chain([size + 1, size + 1232]) {
            let cut = |n: usize, frame: &mut Vec<u8>| {
                if n == number {
                    frame.resize(length, 0);
                }
            };
            let refused = handshake(&keys, keys.identity(), &cut);
            assert!(refused.is_err(), "frame {number} length {length}");
        }
    }
}

#[test]
fn an_offer_cannot_be_narrowed_on_the_way() {
    let keys = keys();
    let narrow = |number: usize, frame: &mut Vec<u8>| {
        if number == 1 {
            // keep AES-GCM alone: count, code, ciphertext, its message
            let rest = [&[1, 2][..], &frame[3..1091], &frame[1091 + 1232..]].concat();
            *frame = rest;
        }
    };
    let refused = handshake(&keys, keys.identity(), &narrow);
    assert_eq!(refused, Err(HandshakeError::Forged));
}

#[test]
fn smrd_cannot_answer_in_another_suites_name() {
    let keys = keys();
    for code in [0, 2, 3] {
        let rename = |number: usize, frame: &mut Vec<u8>| {
            if number == 2 {
                frame[0] = code;
            }
        };
        let refused = handshake(&keys, keys.identity(), &rename);
        assert_eq!(refused, Err(HandshakeError::Forged));
    }
}

#[test]
fn every_part_of_the_identity_counts() {
    let (keys, other) = (keys(), pair::keys());
    let alien = other.identity();
    let untouched = |_: usize, _: &mut Vec<u8>| {};
    let pinned = |change: fn(&mut Identity, &Identity)| {
        let mut identity = keys.identity().clone();
        change(&mut identity, alien);
        handshake(&keys, &identity, &untouched)
    };
    assert_eq!(pinned(|_, _| {}), Ok(()));
    let changes: [fn(&mut Identity, &Identity); 5] = [
        |identity, alien| identity.x25519 = alien.x25519,
        |identity, alien| identity.mlkem = alien.mlkem.clone(),
        |identity, alien| identity.warrant = alien.warrant,
        |identity, alien| identity.postmark = alien.postmark,
        |identity, _| identity.name = "other.example".parse().unwrap(),
    ];
    for change in changes {
        assert_eq!(pinned(change), Err(HandshakeError::Forged));
    }
}

#[test]
fn an_identity_without_real_keys_is_refused() {
    let keys = keys();
    let mut identity = keys.identity().clone();
    identity.x25519 = [0; 32];
    let started = Initiator::start(&identity, &Suite::ALL, &mut OsRng);
    assert_eq!(started.err(), Some(HandshakeError::Misused));
    let mut identity = keys.identity().clone();
    identity.mlkem[..3].fill(0xff);
    let started = Initiator::start(&identity, &Suite::ALL, &mut OsRng);
    assert_eq!(started.err(), Some(HandshakeError::Misused));
}

#[test]
fn a_handshake_cannot_be_played_again() {
    let keys = keys();
    let (client, first) = Initiator::start(keys.identity(), &Suite::ALL, &mut OsRng).unwrap();
    let (_, frame) = Responder::accept(&keys, &Suite::ALL, &first, &mut OsRng).unwrap();
    let (client, _) = client.answer(&frame).unwrap();
    let (third, _) = client.finish(&introduction(), NOW).unwrap();
    // smrd takes the first frame again, but with a key of its own that is new
    let (server, _) = Responder::accept(&keys, &Suite::ALL, &first, &mut OsRng).unwrap();
    let refused = server.finish(&third, NOW);
    assert_eq!(refused.err(), Some(HandshakeError::Forged));
}

/// Which way the frames of a whole message go, and how many bytes they have.
fn record_sizes(suite: Suite) -> (Vec<usize>, Vec<usize>) {
    let mut pair = welcomed(suite);
    let frames = pair.request(&ping(), &[b"body"]);
    take(&mut pair.server, &frames).unwrap();
    let back = pair.reply(&done(), &[b"body"]);
    let sizes = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect();
    (sizes(&frames), sizes(&back))
}

/// Sends one request and one reply, changed on the way.
fn exchange(suite: Suite, change: &dyn Fn(bool, &mut Vec<Vec<u8>>)) -> Result<(), SessionError> {
    let mut pair = welcomed(suite);
    let mut frames = pair.request(&ping(), &[b"body"]);
    change(true, &mut frames);
    let taken = take(&mut pair.server, &frames);
    if let Err(error) = taken {
        assert!(pair.server.is_over());
        return Err(error);
    }
    let mut frames = pair.reply(&done(), &[b"body"]);
    change(false, &mut frames);
    let taken = take(&mut pair.client, &frames).map(drop);
    assert_eq!(pair.client.is_over(), taken.is_err());
    taken
}

#[test]
fn a_session_refuses_every_changed_byte() {
    for suite in Suite::ALL {
        assert_eq!(exchange(suite, &|_, _| {}), Ok(()));
        let (asked, answered) = record_sizes(suite);
        for (request, sizes) in [(true, asked), (false, answered)] {
            for (frame, size) in sizes.into_iter().enumerate() {
                for at in 0..size {
                    let flip = |r: bool, frames: &mut Vec<Vec<u8>>| {
                        if r == request {
                            frames[frame][at] ^= 1 << (at % 8);
                        }
                    };
                    let refused = exchange(suite, &flip);
                    assert_eq!(refused, Err(SessionError::Forged), "{frame} {at}");
                }
            }
        }
    }
}

#[test]
fn a_session_refuses_cut_and_grown_records() {
    for request in [true, false] {
        for frame in 0..3 {
            let changes: [fn(&mut Vec<u8>); 4] = [
                |f| f.truncate(f.len() - 1),
                |f| f.push(0),
                |f| f.truncate(16),
                |f| f.clear(),
            ];
            for change in changes {
                let cut = |r: bool, frames: &mut Vec<Vec<u8>>| {
                    if r == request {
                        change(&mut frames[frame]);
                    }
                };
                let refused = exchange(Suite::ChaChaPoly, &cut);
                assert_eq!(refused, Err(SessionError::Forged));
            }
        }
    }
}

#[test]
fn a_session_refuses_records_left_out_swapped_or_repeated() {
    let changes: [fn(&mut Vec<Vec<u8>>); 6] = [
        |frames| drop(frames.remove(0)),
        |frames| drop(frames.remove(1)),
        |frames| frames.swap(0, 1),
        |frames| frames.swap(1, 2),
        |frames| frames.insert(0, frames[0].clone()),
        |frames| frames.insert(1, frames[1].clone()),
    ];
    for request in [true, false] {
        for change in changes {
            let act = |r: bool, frames: &mut Vec<Vec<u8>>| {
                if r == request {
                    change(frames);
                }
            };
            let refused = exchange(Suite::AesGcm, &act);
            assert_eq!(refused, Err(SessionError::Forged));
        }
    }
}

#[test]
fn a_record_after_the_close_is_out_of_turn() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let frames = pair.request(&ping(), &[]);
    take(&mut pair.server, &frames).unwrap();
    let again = pair.server.receive(&frames[1]);
    assert_eq!(again, Err(SessionError::OutOfTurn));
}

#[test]
fn a_request_cannot_be_played_again() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let old = pair.request(&ping(), &[]);
    take(&mut pair.server, &old).unwrap();
    let frames = pair.reply(&done(), &[]);
    take(&mut pair.client, &frames).unwrap();
    assert_eq!(take(&mut pair.server, &old), Err(SessionError::Forged));
}

#[test]
fn a_reply_cannot_be_played_again_for_the_same_request() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let frames = pair.request(&ping(), &[]);
    take(&mut pair.server, &frames).unwrap();
    let old = pair.reply(&done(), &[]);
    take(&mut pair.client, &old).unwrap();
    pair.request(&ping(), &[]);
    assert_eq!(take(&mut pair.client, &old), Err(SessionError::Forged));
}

#[test]
fn nobody_takes_his_own_words_for_the_peers() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let frames = pair.request(&ping(), &[]);
    assert_eq!(take(&mut pair.client, &frames), Err(SessionError::Forged));
    let mut pair = joined(Suite::ChaChaPoly);
    let frames = pair.reply(&done(), &[]);
    assert_eq!(take(&mut pair.server, &frames), Err(SessionError::Forged));
}

#[test]
fn records_of_another_session_are_refused() {
    let mut one = welcomed(Suite::ChaChaPoly);
    let mut two = welcomed(Suite::ChaChaPoly);
    let mut frames = one.request(&ping(), &[b"body"]);
    let others = two.request(&ping(), &[b"body"]);
    frames[1] = others[1].clone();
    assert_eq!(take(&mut one.server, &frames), Err(SessionError::Forged));
}

#[test]
fn records_from_before_a_renewal_are_refused_after_it() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let old = pair.request(&ping(), &[]);
    take(&mut pair.server, &old).unwrap();
    let frames = pair.reply(&done(), &[]);
    take(&mut pair.client, &frames).unwrap();
    pair.renew(NOW).unwrap();
    assert_eq!(take(&mut pair.server, &old), Err(SessionError::Forged));
}

#[test]
fn a_warrant_by_another_key_is_refused() {
    let mut pair: Pair = welcomed(Suite::ChaChaPoly);
    let frames = pair.request(&ping(), &[]);
    take(&mut pair.server, &frames).unwrap();
    pair.keys = keys();
    let frames = pair.reply(&done(), &[]);
    assert_eq!(take(&mut pair.client, &frames), Err(SessionError::Forged));
    assert!(pair.client.is_over());
}

#[test]
fn noise_from_a_stranger_never_panics() {
    let keys = keys();
    for length in 1..400 {
        let mut noise = vec![0; length];
        OsRng.fill_bytes(&mut noise);
        assert!(Responder::accept(&keys, &Suite::ALL, &noise, &mut OsRng).is_err());
        let mut pair = welcomed(Suite::AesGcm);
        assert!(pair.server.receive(&noise).is_err());
    }
}

/// Reads it, and if that works, writes the same again.
fn one_spelling<T, E>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

#[test]
fn messages_have_one_spelling_and_noise_is_none() {
    for round in 0..20_000usize {
        let mut noise = vec![0; round % 90];
        OsRng.fill_bytes(&mut noise);
        if let Some(kind) = noise.first_mut() {
            // a kind that exists, for most
            *kind = (*kind & 0x80) | (*kind % 19);
        }
        one_spelling(&noise, Request::decode, |r| r.encode().unwrap());
        one_spelling(&noise, Reply::decode, |r| r.encode().unwrap());
        one_spelling(&noise, Ask::decode, |a| a.encode().unwrap().to_vec());
        one_spelling(&noise, Answer::decode, |a| a.encode().unwrap().to_vec());
        one_spelling(&noise, Introduction::decode, |i| i.encode().unwrap());
    }
}
