//! Renewal of the session key: a fresh X25519 and a fresh ML-KEM-768 exchange,
//! carried as an ordinary request and its reply.
//!
//! Does not know the chain that the secrets are mixed into.

use rand_core::CryptoRngCore;
use x25519_dalek::StaticSecret;

use crate::digest::{reply_hash, request_hash};
use crate::kem::{self, KemError, KemSecret};
use crate::ratchet::Fresh;
use crate::reply::Reply;
use crate::request::Request;

/// The client's half, from asking until the reply.
pub(crate) struct Asked {
    x25519: StaticSecret,
    mlkem: KemSecret,
    /// Hash of the request that asks.
    pub(crate) request: [u8; 32],
}

/// smrd's half, from answering until the reply is closed.
pub(crate) struct Answered {
    pub(crate) fresh: Fresh,
    /// Hash of the reply that answers.
    pub(crate) reply: [u8; 32],
}

/// Returns the hash of a request without a body.
pub(crate) fn hash_request(request: &Request) -> Result<[u8; 32], KemError> {
    let head = request.encode().map_err(|_| KemError)?;
    Ok(request_hash(&head, &[]))
}

/// Returns the hash of a reply without a body.
pub(crate) fn hash_reply(reply: &Reply) -> Result<[u8; 32], KemError> {
    let head = reply.encode().map_err(|_| KemError)?;
    Ok(reply_hash(&head, &[]))
}

/// Draws the client's keys, 32 and 64 bytes, and makes the request.
pub(crate) fn ask(rng: &mut dyn CryptoRngCore) -> Result<(Asked, Request), KemError> {
    let x25519 = kem::x25519_generate(rng);
    let mlkem = KemSecret::generate(rng);
    let request = Request::Renew {
        x25519: kem::x25519_public(&x25519),
        mlkem: mlkem.public(),
    };
    let asked = Asked {
        x25519,
        mlkem,
        request: hash_request(&request)?,
    };
    Ok((asked, request))
}

/// Draws smrd's key and encapsulation, 32 bytes each, and makes the reply;
/// refuses keys that are not keys or contribute nothing.
pub(crate) fn answer(
    request: &Request,
    rng: &mut dyn CryptoRngCore,
) -> Result<(Answered, Reply), KemError> {
    let Request::Renew { x25519, mlkem } = request else {
        return Err(KemError);
    };
    let ours = kem::x25519_generate(rng);
    let shared = kem::x25519(&ours, x25519)?;
    let (ciphertext, secret) = kem::encapsulate(mlkem, rng)?;
    let reply = Reply::Renewed {
        x25519: kem::x25519_public(&ours),
        mlkem: ciphertext,
    };
    let fresh = Fresh {
        x25519: shared,
        mlkem: secret,
    };
    let reply_hash = hash_reply(&reply)?;
    let answered = Answered {
        fresh,
        reply: reply_hash,
    };
    Ok((answered, reply))
}

impl Asked {
    /// Takes the reply; returns the secrets that both now share.
    pub(crate) fn finish(&self, reply: &Reply) -> Result<Fresh, KemError> {
        let Reply::Renewed { x25519, mlkem } = reply else {
            return Err(KemError);
        };
        Ok(Fresh {
            x25519: kem::x25519(&self.x25519, x25519)?,
            mlkem: self.mlkem.decapsulate(mlkem)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::{answer, ask};
    use crate::reply::Reply;
    use crate::request::Request;

    #[test]
    fn both_sides_share_both_secrets() {
        let (asked, request) = ask(&mut OsRng).unwrap();
        let (answered, reply) = answer(&request, &mut OsRng).unwrap();
        let fresh = asked.finish(&reply).unwrap();
        assert_eq!(fresh.x25519, answered.fresh.x25519);
        assert_eq!(fresh.mlkem, answered.fresh.mlkem);
        let again = ask(&mut OsRng).unwrap().0.finish(&reply).unwrap();
        assert_ne!(fresh.x25519, again.x25519);
        assert_ne!(fresh.mlkem, again.mlkem);
    }

    #[test]
    fn smrd_refuses_keys_that_are_none() {
        let (_, request) = ask(&mut OsRng).unwrap();
        let Request::Renew { x25519, mlkem } = request else {
            panic!("a renewal");
        };
        let mut above_modulus = mlkem.clone();
        above_modulus[..3].fill(0xff);
        for (x25519, mlkem) in [
            ([0; 32], mlkem.clone()),
            (x25519, above_modulus),
            (x25519, mlkem[1..].to_vec()),
        ] {
            assert!(answer(&Request::Renew { x25519, mlkem }, &mut OsRng).is_err());
        }
        assert!(answer(&Request::Ping, &mut OsRng).is_err());
    }

    #[test]
    fn the_client_refuses_keys_that_are_none() {
        let (asked, request) = ask(&mut OsRng).unwrap();
        let (_, reply) = answer(&request, &mut OsRng).unwrap();
        let Reply::Renewed { x25519, mlkem } = reply else {
            panic!("a renewal");
        };
        for (x25519, mlkem) in [([0; 32], mlkem.clone()), (x25519, mlkem[1..].to_vec())] {
            assert!(asked.finish(&Reply::Renewed { x25519, mlkem }).is_err());
        }
        assert!(asked.finish(&Reply::Done).is_err());
    }
}
