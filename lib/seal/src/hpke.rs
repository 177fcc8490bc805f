//! The key schedule of HPKE (RFC 9180, 5.1) in base mode, for one suite:
//! X-Wing (0x647a), HKDF-SHA256, ChaCha20-Poly1305.
//!
//! Seals one message under one secret; the sequence number stays zero.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: &[u8] = b"HPKE-v1";
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

fn labeled(salt: &[u8], label: &[u8], key: &[u8]) -> ([u8; 32], Hkdf<Sha256>) {
    let input = Zeroizing::new([VERSION, SUITE, label, key].concat());
    let (digest, hkdf) = Hkdf::<Sha256>::extract(Some(salt), &input);
    (digest.into(), hkdf)
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, label: &[u8], context: &[u8]) -> Zeroizing<[u8; N]> {
    let length = u16::try_from(N).expect("N is 32 or 12").to_be_bytes();
    let info = [&length[..], VERSION, SUITE, label, context].concat();
    let mut out = Zeroizing::new([0; N]);
    hkdf.expand(&info, &mut *out)
        .expect("N is far below the 8160 bytes HKDF-SHA256 can give");
    out
}

fn context(secret: &[u8; 32], info: &[u8]) -> (ChaCha20Poly1305, Zeroizing<[u8; 12]>) {
    let (no_psk, _) = labeled(b"", b"psk_id_hash", b"");
    let (info, _) = labeled(b"", b"info_hash", info);
    // Mode 0 (base), then the two hashes.
    let schedule = [&[0][..], &no_psk, &info].concat();
    let (_, hkdf) = labeled(secret, b"secret", b"");
    let key = expand::<32>(&hkdf, b"key", &schedule);
    let nonce = expand::<12>(&hkdf, b"base_nonce", &schedule);
    (ChaCha20Poly1305::new((&*key).into()), nonce)
}

/// Encrypts `plain` under a secret used for nothing else; 16 bytes longer.
pub(crate) fn seal(secret: &[u8; 32], info: &[u8], plain: &[u8]) -> Vec<u8> {
    let (cipher, nonce) = context(secret, info);
    cipher
        .encrypt(Nonce::from_slice(&*nonce), plain)
        .expect("a file key is far below ChaCha20's limit")
}

/// Decrypts what [`seal`] made, or none.
pub(crate) fn open(secret: &[u8; 32], info: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (cipher, nonce) = context(secret, info);
    let plain = cipher.decrypt(Nonce::from_slice(&*nonce), sealed).ok()?;
    Some(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use super::{open, seal};

    #[test]
    fn sealed_comes_back() {
        let sealed = seal(&[1; 32], b"info", b"file key");
        assert_eq!(&**open(&[1; 32], b"info", &sealed).unwrap(), b"file key");
    }

    #[test]
    fn another_secret_info_or_byte_fails() {
        let mut sealed = seal(&[1; 32], b"info", b"file key");
        assert!(open(&[2; 32], b"info", &sealed).is_none());
        assert!(open(&[1; 32], b"other", &sealed).is_none());
        sealed[0] ^= 1;
        assert!(open(&[1; 32], b"info", &sealed).is_none());
    }
}
