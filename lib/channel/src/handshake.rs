//! The handshake: Noise XKpsk0+psk3 with ML-KEM-768 to smrd's static key and to
//! a fresh one, three frames, after which both sides hold a [`Session`].
//!
//! Verifies no signature of a device: what it hands over is an introduction,
//! which smrd believes only after it has checked it.

use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use smr_name::Class;

use crate::codec::Reader;
use crate::frame;
use crate::identity::{Identity, ServerKeys};
use crate::kem::{self, KemSecret};
use crate::label::{self, Key};
use crate::live::Role;
use crate::noise::{Keys, Noise};
use crate::session::Session;

pub use crate::introduction::{Introduction, MAX_INTRODUCTION};
pub use crate::suite::Suite;

/// Says why a handshake failed; each failure is final.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// A frame is not what it should be, or not from whom.
    #[error("the handshake does not verify")]
    Forged,
    /// Nothing offered is something we have, or nothing was offered.
    #[error("no suite in common")]
    NoSuite,
    /// What we were given to say is too large or no key.
    #[error("the handshake was given something it cannot use")]
    Misused,
}

impl HandshakeError {
    /// Tells our own fault from the peer's.
    pub fn class(&self) -> Class {
        match self {
            HandshakeError::Forged => Class::Untrusted,
            HandshakeError::NoSuite => Class::Config,
            HandshakeError::Misused => Class::Broken,
        }
    }
}

/// The client, its first frame sent.
pub struct Initiator {
    /// One Noise state for each suite offered; smrd takes up one of them.
    offers: Vec<(Suite, Noise)>,
    mlkem: KemSecret,
    first: [u8; 32],
    warrant: [u8; 32],
}

/// The client, smrd proven, about to introduce itself.
pub struct Introducing {
    suite: Suite,
    noise: Noise,
    warrant: [u8; 32],
}

/// smrd, its frame sent.
pub struct Responder {
    suite: Suite,
    noise: Noise,
}

/// Bytes of a first Noise message: ephemeral key, ML-KEM key, tag.
const FIRST_NOISE: usize = 32 + kem::PUBLIC + 16;

/// The most suites that may be offered.
const MAX_OFFERS: u8 = 8;

/// The longest first frame, in bytes: a count, codes, a ciphertext and a Noise
/// message for each suite.
pub const MAX_FIRST: usize = 1 + kem::CIPHERTEXT + MAX_OFFERS as usize * (1 + FIRST_NOISE);

fn forged<E>(_: E) -> HandshakeError {
    HandshakeError::Forged
}

fn misused<E>(_: E) -> HandshakeError {
    HandshakeError::Misused
}

/// All that both sides agree on before the first Noise message.
fn prologue(identity: &Identity, before_noise: &[u8]) -> Vec<u8> {
    let mut out = frame::MAGIC.to_vec();
    out.push(frame::ASK_SESSION);
    out.extend_from_slice(identity.fingerprint().as_bytes());
    out.extend_from_slice(before_noise);
    out
}

/// psk0: whoever shares it holds smrd's static ML-KEM key.
fn psk0(identity: &Identity, shared: &Key) -> Key {
    let root = label::extract(identity.fingerprint().as_bytes(), &**shared);
    label::expand(&root, label::PSK0, &[])
}

/// psk3: whoever shares it holds the client's fresh ML-KEM key and saw the same
/// first frame, the offers not taken up included.
fn psk3(first: &[u8; 32], suite: Suite, shared: &Key) -> Key {
    let root = label::extract(first, &**shared);
    label::expand(&root, label::PSK3, &[suite.code()])
}

impl Initiator {
    /// Begins a session with the repository of `identity`, offering 1 to 8
    /// different `suites` in order of preference; returns the first frame,
    /// without its length. Draws 128 bytes, and 32 for each suite.
    pub fn start(
        identity: &Identity,
        suites: &[Suite],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Initiator, Vec<u8>), HandshakeError> {
        let secret = kem::x25519_generate(rng);
        let (ciphertext, shared) = kem::encapsulate(&identity.mlkem, rng).map_err(misused)?;
        let mlkem = KemSecret::generate(rng);
        let mut frame = offer(suites)?;
        frame.extend_from_slice(&ciphertext);
        let prologue = prologue(identity, &frame);
        let psk0 = psk0(identity, &shared);
        let mut offers = Vec::with_capacity(suites.len());
        for suite in suites {
            let keys = Keys {
                secret: &secret,
                ephemeral: kem::draw(rng),
                psk0: &psk0,
            };
            let noise = Noise::initiator(*suite, &prologue, keys, &identity.x25519);
            let mut noise = noise.map_err(misused)?;
            frame.extend_from_slice(&noise.write(&mlkem.public()).map_err(misused)?);
            offers.push((*suite, noise));
        }
        let initiator = Initiator {
            offers,
            mlkem,
            first: Sha256::digest(&frame).into(),
            warrant: identity.warrant,
        };
        Ok((initiator, frame))
    }

    /// Takes smrd's frame; returns the handshake hash for the device to sign.
    pub fn answer(self, frame: &[u8]) -> Result<(Introducing, [u8; 32]), HandshakeError> {
        let (code, message) = frame.split_first().ok_or(HandshakeError::Forged)?;
        let chosen = |(suite, _): &(Suite, Noise)| suite.code() == *code;
        let (suite, mut noise) = self
            .offers
            .into_iter()
            .find(chosen)
            .ok_or(HandshakeError::Forged)?;
        let ciphertext = noise.read(message).map_err(forged)?;
        let shared = self.mlkem.decapsulate(&ciphertext).map_err(forged)?;
        let psk = psk3(&self.first, suite, &shared);
        noise.set_psk3(&psk).map_err(misused)?;
        let hash = noise.hash();
        let introducing = Introducing {
            suite,
            noise,
            warrant: self.warrant,
        };
        Ok((introducing, hash))
    }
}

/// Returns the offer: a count and the codes.
fn offer(suites: &[Suite]) -> Result<Vec<u8>, HandshakeError> {
    let codes: Vec<u8> = suites.iter().map(|suite| suite.code()).collect();
    check_offer(&codes)?;
    let count = u8::try_from(codes.len()).map_err(misused)?;
    Ok([&[count][..], &codes].concat())
}

/// Refuses an offer that is empty, too long or names a suite twice.
fn check_offer(codes: &[u8]) -> Result<(), HandshakeError> {
    let twice = codes
        .iter()
        .enumerate()
        .any(|(at, code)| codes.iter().take(at).any(|before| before == code));
    match codes.len() {
        0 => Err(HandshakeError::NoSuite),
        count if count > usize::from(MAX_OFFERS) || twice => Err(HandshakeError::Misused),
        _ => Ok(()),
    }
}

impl Introducing {
    /// Returns the suite that smrd chose.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Introduces the client; returns the third frame and the session, whose
    /// first message will be smrd's reply to the introduction. `now` in unix
    /// seconds.
    pub fn finish(
        mut self,
        introduction: &Introduction,
        now: i64,
    ) -> Result<(Vec<u8>, Session), HandshakeError> {
        let payload = introduction.encode().map_err(misused)?;
        if payload.len() > MAX_INTRODUCTION {
            return Err(HandshakeError::Misused);
        }
        let frame = self.noise.write(&payload).map_err(forged)?;
        let role = Role::Client {
            warrant: self.warrant,
        };
        let session = Session::new(role, self.suite, &self.noise.split(), &payload, now);
        Ok((frame, session))
    }
}

/// A client's first frame, taken apart.
struct First<'a> {
    codes: &'a [u8],
    ciphertext: &'a [u8],
    /// Everything before the first Noise message.
    before_noise: &'a [u8],
    messages: &'a [u8],
}

impl<'a> First<'a> {
    fn read(frame: &'a [u8]) -> Result<Self, HandshakeError> {
        let mut r = Reader::new(frame);
        let count = r.u8().map_err(forged)?;
        let codes = r.take(usize::from(count)).map_err(forged)?;
        check_offer(codes).map_err(forged)?;
        let ciphertext = r.take(kem::CIPHERTEXT).map_err(forged)?;
        let messages = r.rest();
        if messages.len() != codes.len() * FIRST_NOISE {
            return Err(HandshakeError::Forged);
        }
        let before = frame.len() - messages.len();
        let before_noise = frame.get(..before).ok_or(HandshakeError::Forged)?;
        Ok(First {
            codes,
            ciphertext,
            before_noise,
            messages,
        })
    }

    /// Returns the first suite of `preference` that was offered, and its message.
    fn choose(&self, preference: &[Suite]) -> Result<(Suite, &'a [u8]), HandshakeError> {
        let offered = |suite: &Suite| {
            let place = self.codes.iter().position(|code| *code == suite.code())?;
            let message = self.messages.chunks_exact(FIRST_NOISE).nth(place)?;
            Some((*suite, message))
        };
        let choice = preference.iter().find_map(offered);
        choice.ok_or(HandshakeError::NoSuite)
    }
}

impl Responder {
    /// Takes a client's first frame; chooses the first suite of `preference`
    /// that it offers ([`Suite::ALL`] is the usual order). Returns the second
    /// frame. Draws 64 bytes.
    pub fn accept(
        keys: &ServerKeys,
        preference: &[Suite],
        frame: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Responder, Vec<u8>), HandshakeError> {
        let first = First::read(frame)?;
        let (suite, message) = first.choose(preference)?;
        let identity = keys.identity();
        let shared = keys.mlkem().decapsulate(first.ciphertext).map_err(forged)?;
        let side = Keys {
            secret: keys.x25519(),
            ephemeral: kem::draw(rng),
            psk0: &psk0(identity, &shared),
        };
        let prologue = prologue(identity, first.before_noise);
        let noise = Noise::responder(suite, &prologue, side);
        let mut noise = noise.map_err(misused)?;
        let public = noise.read(message).map_err(forged)?;
        let (ciphertext, shared) = kem::encapsulate(&public, rng).map_err(forged)?;
        let psk = psk3(&Sha256::digest(frame).into(), suite, &shared);
        noise.set_psk3(&psk).map_err(misused)?;
        let answer = noise.write(&ciphertext).map_err(forged)?;
        let frame = [&[suite.code()][..], &answer].concat();
        Ok((Responder { suite, noise }, frame))
    }

    /// Returns the suite that was chosen.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns the handshake hash that the client's device signs.
    pub fn hash(&self) -> [u8; 32] {
        self.noise.hash()
    }

    /// Takes the third frame; returns the introduction, not yet believed, and
    /// the session, in which the reply to the introduction is due. `now` in unix
    /// seconds.
    pub fn finish(
        mut self,
        frame: &[u8],
        now: i64,
    ) -> Result<(Introduction, Session), HandshakeError> {
        let payload = self.noise.read(frame).map_err(forged)?;
        if payload.len() > MAX_INTRODUCTION {
            return Err(HandshakeError::Forged);
        }
        let introduction = Introduction::decode(&payload).map_err(forged)?;
        let split = self.noise.split();
        let session = Session::new(Role::Server, self.suite, &split, &payload, now);
        Ok((introduction, session))
    }
}

#[cfg(test)]
mod tests {
    use super::{HandshakeError, check_offer};

    #[test]
    fn offers_are_short_and_name_a_suite_once() {
        assert_eq!(check_offer(&[1]), Ok(()));
        assert_eq!(check_offer(&[1, 2, 200]), Ok(()));
        assert_eq!(check_offer(&[]), Err(HandshakeError::NoSuite));
        assert!(check_offer(&[1, 2, 1]).is_err());
        assert!(check_offer(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).is_err());
    }
}
