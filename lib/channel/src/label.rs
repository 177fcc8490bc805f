//! Labels: what keeps a signature, a key or a hash made for one purpose from
//! meaning anything for another.
//!
//! Every label of the channel stands here, and no two are alike.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A device's signature that opens a session for its account.
pub const LOGIN: &str = "smr login 1";
/// A device's signature that opens a session and brings its account record.
pub const ENROL: &str = "smr enrol 1";
/// A device's signature that opens a session before any record lists it.
pub const JOIN: &str = "smr join 1";
/// A device's signature that opens a session by its card's authorisation.
pub const CARD_LOGIN: &str = "smr card login 1";
/// smrd's signature on a reply.
pub const WARRANT: &str = "smr warrant 1";

/// The hash of a request.
pub const REQUEST: &str = "smr request 1";
/// The hash of a reply.
pub const REPLY: &str = "smr reply 1";
/// The running hash over a session's messages.
pub const TRANSCRIPT: &str = "smr transcript 1";
/// The HMAC that closes a message.
pub const CLOSE: &str = "smr close 1";

pub(crate) const PSK0: &str = "smr psk0 1";
pub(crate) const PSK3: &str = "smr psk3 1";
pub(crate) const SESSION_ID: &str = "smr session id 1";
pub(crate) const FIRST_CHAIN: &str = "smr first chain 1";
pub(crate) const NEXT_CHAIN: &str = "smr next chain 1";
pub(crate) const MESSAGE_KEY: &str = "smr message key 1";
pub(crate) const CHUNK_KEY: &str = "smr chunk key 1";
pub(crate) const CLOSE_KEY: &str = "smr close key 1";
pub(crate) const LIMIT: &str = "smr limit 1";
pub(crate) const RENEW: &str = "smr renew 1";

/// A secret of 32 bytes, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Returns what a signature covers: 64 spaces, the label, a zero byte (as in
/// RFC 8446, 4.4.3), then each field after its length of 4 bytes.
pub fn to_sign(label: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![b' '; 64];
    out.extend_from_slice(label.as_bytes());
    out.push(0);
    for field in fields {
        let length = u32::try_from(field.len()).expect("signed fields are far below 4 GiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

/// Returns HKDF-Extract(salt, secret), SHA-256 (RFC 5869, 2.2).
pub(crate) fn extract(salt: &[u8; 32], secret: &[u8]) -> Key {
    let (mut prk, _) = Hkdf::<Sha256>::extract(Some(salt), secret);
    let mut key = Key::default();
    key.copy_from_slice(&prk);
    zeroize::Zeroize::zeroize(prk.as_mut_slice());
    key
}

/// Returns HKDF-Expand(key, label, a zero byte, context), 32 bytes (RFC 5869,
/// 2.3); the context has a fixed length for each label.
pub(crate) fn expand(key: &[u8; 32], label: &str, context: &[u8]) -> Key {
    let mut out = Key::default();
    Hkdf::<Sha256>::from_prk(key)
        .expect("a pseudorandom key of 32 bytes")
        .expand_multi_info(&[label.as_bytes(), &[0], context], &mut *out)
        .expect("32 bytes are one block of SHA-256");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_labels_are_alike() {
        let labels = [
            LOGIN,
            ENROL,
            JOIN,
            CARD_LOGIN,
            WARRANT,
            REQUEST,
            REPLY,
            TRANSCRIPT,
            CLOSE,
            PSK0,
            PSK3,
            SESSION_ID,
            FIRST_CHAIN,
            NEXT_CHAIN,
            MESSAGE_KEY,
            CHUNK_KEY,
            CLOSE_KEY,
            LIMIT,
            RENEW,
        ];
        let unique: std::collections::HashSet<_> = labels.iter().collect();
        assert_eq!(unique.len(), labels.len());
        assert!(labels.iter().all(|label| !label.contains('\0')));
    }

    #[test]
    fn what_is_signed_begins_as_in_tls() {
        let input = to_sign(WARRANT, &[b"a", b""]);
        let expected = [
            &[b' '; 64][..],
            b"smr warrant 1\0",
            &[0, 0, 0, 1, b'a', 0, 0, 0, 0],
        ];
        assert_eq!(input, expected.concat());
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(
            to_sign(LOGIN, &[b"ab", b"c"]),
            to_sign(LOGIN, &[b"a", b"bc"])
        );
        assert_ne!(to_sign(LOGIN, &[b"ab"]), to_sign(ENROL, &[b"ab"]));
    }

    // RFC 5869, A.1, cut to its first 32 bytes, drives extract and expand.
    #[test]
    fn derivation_is_hkdf() {
        let mut salt = [0; 32];
        for (place, byte) in salt.iter_mut().take(13).zip(0u8..) {
            *place = byte;
        }
        // HMAC pads its key with zeros: 13 bytes and 32 with zeros behind agree
        let prk = extract(&salt, &[0x0b; 22]);
        assert_eq!(prk[..8], [0x07, 0x77, 0x09, 0x36, 0x2c, 0x2e, 0x32, 0xdf]);
        let mut mac = <hmac::Hmac<Sha256> as hmac::Mac>::new_from_slice(&*prk).unwrap();
        hmac::Mac::update(&mut mac, b"smr limit 1\0context\x01");
        let block: [u8; 32] = hmac::Mac::finalize(mac).into_bytes().into();
        assert_eq!(*expand(&prk, LIMIT, b"context"), block);
        assert_ne!(*expand(&prk, RENEW, b"context"), block);
    }
}
