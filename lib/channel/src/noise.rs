//! Noise XKpsk0+psk3 over snow (The Noise Protocol Framework, revision 34),
//! with our randomness and an X25519 that refuses points of small order.
//!
//! Draws nothing: snow gets the one ephemeral key it needs, and no more.

#[cfg(test)]
mod vectors;

use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::kem;
use crate::label::Key;
use crate::suite::Suite;

/// The longest Noise message, in bytes.
const MAX_MESSAGE: usize = 65_535;

/// One side of a Noise handshake; any error is final, the state is then
/// unusable.
pub(crate) struct Noise(Box<HandshakeState>);

/// What both sides hold at the end.
pub(crate) struct Split {
    /// The two keys of Noise's Split(), one after the other.
    pub(crate) keys: Zeroizing<[u8; 64]>,
    /// The handshake hash after the last message.
    pub(crate) hash: [u8; 32],
}

/// The keys that one side brings.
pub(crate) struct Keys<'a> {
    pub(crate) secret: &'a StaticSecret,
    pub(crate) ephemeral: Key,
    pub(crate) psk0: &'a Key,
}

impl Noise {
    /// Begins as the client, towards smrd's static key.
    pub(crate) fn initiator(
        suite: Suite,
        prologue: &[u8],
        keys: Keys<'_>,
        remote: &[u8; 32],
    ) -> Result<Self, snow::Error> {
        let state = builder(suite, keys.ephemeral)?
            .prologue(prologue)?
            .local_private_key(keys.secret.as_bytes())?
            .remote_public_key(remote)?
            .psk(0, keys.psk0)?
            .build_initiator()?;
        Ok(Noise(Box::new(state)))
    }

    /// Begins as smrd.
    pub(crate) fn responder(
        suite: Suite,
        prologue: &[u8],
        keys: Keys<'_>,
    ) -> Result<Self, snow::Error> {
        let state = builder(suite, keys.ephemeral)?
            .prologue(prologue)?
            .local_private_key(keys.secret.as_bytes())?
            .psk(0, keys.psk0)?
            .build_responder()?;
        Ok(Noise(Box::new(state)))
    }

    /// Writes the next message.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, snow::Error> {
        let mut message = vec![0; MAX_MESSAGE];
        let length = self.0.write_message(payload, &mut message)?;
        message.truncate(length);
        Ok(message)
    }

    /// Reads the next message; returns its payload.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, snow::Error> {
        let mut payload = vec![0; message.len()];
        let length = self.0.read_message(message, &mut payload)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// Sets the key that the third message mixes in.
    pub(crate) fn set_psk3(&mut self, psk: &Key) -> Result<(), snow::Error> {
        self.0.set_psk(3, &**psk)
    }

    /// Returns the handshake hash so far.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let hash = self.0.get_handshake_hash();
        hash.try_into().expect("SHA-256 has 32 bytes")
    }

    /// Ends a finished handshake.
    pub(crate) fn split(mut self) -> Split {
        let (first, second) = self.0.dangerously_get_raw_split();
        let (first, second) = (Zeroizing::new(first), Zeroizing::new(second));
        let mut keys = Zeroizing::new([0; 64]);
        let (left, right) = keys.split_at_mut(32);
        left.copy_from_slice(&*first);
        right.copy_from_slice(&*second);
        Split {
            keys,
            hash: self.hash(),
        }
    }
}

fn builder<'a>(suite: Suite, ephemeral: Key) -> Result<Builder<'a>, snow::Error> {
    let params: NoiseParams = suite.noise_name().parse()?;
    let resolver = Resolver { ephemeral };
    Ok(Builder::with_resolver(params, Box::new(resolver)))
}

/// Gives snow its parts: its own ciphers and hash, our X25519, our randomness.
struct Resolver {
    ephemeral: Key,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(Curve::default())),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// 32 bytes drawn beforehand, given out once: each side makes one ephemeral key.
struct Drawn(Option<Key>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let drawn = self.0.take().ok_or(snow::Error::Rng)?;
        match out.len() == drawn.len() {
            true => out.copy_from_slice(&*drawn),
            false => return Err(snow::Error::Rng),
        }
        Ok(())
    }
}

/// X25519 for snow, wiped when dropped.
struct Curve {
    secret: StaticSecret,
    public: [u8; 32],
}

impl Default for Curve {
    fn default() -> Self {
        Curve {
            secret: StaticSecret::from([0; 32]),
            public: [0; 32],
        }
    }
}

impl Dh for Curve {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        let secret: Key = Zeroizing::new(secret.try_into().expect("our static keys have 32 bytes"));
        self.secret = StaticSecret::from(*secret);
        self.public = kem::x25519_public(&self.secret);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Key::default();
        rng.try_fill_bytes(&mut *secret)?;
        self.set(&*secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let peer = public.first_chunk().ok_or(snow::Error::Dh)?;
        let out = out.first_chunk_mut::<32>().ok_or(snow::Error::Dh)?;
        let shared = kem::x25519(&self.secret, peer).map_err(|_| snow::Error::Dh)?;
        out.copy_from_slice(&*shared);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use snow::types::{Dh, Random};

    use super::{Curve, Drawn};
    use crate::label::Key;

    #[test]
    fn the_ephemeral_key_is_given_out_once() {
        let mut drawn = Drawn(Some(Key::new([7; 32])));
        let mut out = [0; 32];
        assert!(drawn.try_fill_bytes(&mut out).is_ok());
        assert_eq!(out, [7; 32]);
        assert_eq!(drawn.try_fill_bytes(&mut out), Err(snow::Error::Rng));
        let mut short = Drawn(Some(Key::new([7; 32])));
        assert_eq!(short.try_fill_bytes(&mut [0; 31]), Err(snow::Error::Rng));
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let mut curve = Curve::default();
        curve.set(&[7; 32]);
        let mut out = [0; 32];
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert_eq!(curve.dh(&point, &mut out), Err(snow::Error::Dh));
        }
        let base = {
            let mut nine = [0; 32];
            nine[0] = 9;
            nine
        };
        assert!(curve.dh(&base, &mut out).is_ok());
        assert_eq!(out, curve.public);
    }
}
