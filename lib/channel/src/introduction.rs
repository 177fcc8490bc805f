//! Introductions: what a client says of itself, and what its device signs.
//!
//! Verifies no signature, makes none.

use sha2::{Digest, Sha256};
use smr_name::MailboxName;

use crate::chain;
use crate::codec::{CodecError, Reader, Writer};
use crate::label;
use crate::record::MAX_CHUNK;

/// The longest introduction, in bytes.
pub const MAX_INTRODUCTION: usize = MAX_CHUNK;

/// What a client says of itself in the third frame; its encoding counts as the
/// session's first request. At most `MAX_INTRODUCTION` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// A device of an account that smrd knows.
    Login {
        /// Whose device.
        account: MailboxName,
        /// Fingerprint of the device's certificate.
        device: [u8; 32],
        /// The device's signature over [`Introduction::login_to_sign`].
        signature: Vec<u8>,
    },
    /// A device that brings its account record: a new account, or a new device.
    Enrol {
        /// The account record.
        record: Vec<u8>,
        /// The device's signature over [`Introduction::enrol_to_sign`].
        signature: Vec<u8>,
    },
    /// A new device of an account that smrd knows, whose record does not list
    /// it yet.
    Join {
        /// Whose device.
        account: MailboxName,
        /// The device's certificate, the card's, and those of authorities above
        /// it, DER; bounded as a [`chain`](crate::chain) is.
        chain: Vec<Vec<u8>>,
        /// The device's signature over [`Introduction::join_to_sign`].
        signature: Vec<u8>,
    },
    /// A device of an account that smrd knows, which the person's card has
    /// authorised to log in until a stated time.
    CardLogin {
        /// Whose device.
        account: MailboxName,
        /// Fingerprint of the device's certificate.
        device: [u8; 32],
        /// The card's authorisation, CMS DER.
        authorisation: Vec<u8>,
        /// The device's signature over [`Introduction::card_login_to_sign`].
        signature: Vec<u8>,
    },
}

const LOGIN: u8 = 1;
const ENROL: u8 = 2;
const JOIN: u8 = 3;
const CARD_LOGIN: u8 = 4;

impl Introduction {
    /// Returns what a device signs to log in; `hash` is the handshake's after
    /// the second frame.
    pub fn login_to_sign(hash: &[u8; 32], account: &MailboxName, device: &[u8; 32]) -> Vec<u8> {
        label::to_sign(label::LOGIN, &[hash, account.as_str().as_bytes(), device])
    }

    /// Returns what a device signs to enrol: the same, and the SHA-256 of the
    /// record.
    pub fn enrol_to_sign(
        hash: &[u8; 32],
        account: &MailboxName,
        device: &[u8; 32],
        record: &[u8],
    ) -> Vec<u8> {
        let record = Sha256::digest(record);
        label::to_sign(
            label::ENROL,
            &[hash, account.as_str().as_bytes(), device, &record],
        )
    }

    /// Returns what a device signs to join; `device` is the SHA-256 of the first
    /// certificate of its chain.
    pub fn join_to_sign(hash: &[u8; 32], account: &MailboxName, device: &[u8; 32]) -> Vec<u8> {
        label::to_sign(label::JOIN, &[hash, account.as_str().as_bytes(), device])
    }

    /// Returns what a device signs to log in by its card's authorisation: as for
    /// a login, and the SHA-256 of the authorisation.
    pub fn card_login_to_sign(
        hash: &[u8; 32],
        account: &MailboxName,
        device: &[u8; 32],
        authorisation: &[u8],
    ) -> Vec<u8> {
        let authorisation = Sha256::digest(authorisation);
        label::to_sign(
            label::CARD_LOGIN,
            &[hash, account.as_str().as_bytes(), device, &authorisation],
        )
    }

    /// Returns the introduction as bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut w = Writer::new();
        match self {
            Introduction::Login {
                account,
                device,
                signature,
            } => w
                .u8(LOGIN)
                .text("mailbox", account)
                .raw(device)
                .bytes("signature", signature),
            Introduction::Enrol { record, signature } => w
                .u8(ENROL)
                .long("record", record)
                .bytes("signature", signature),
            Introduction::Join {
                account,
                chain,
                signature,
            } => {
                w.u8(JOIN).text("mailbox", account);
                chain::write(&mut w, chain).bytes("signature", signature)
            }
            Introduction::CardLogin {
                account,
                device,
                authorisation,
                signature,
            } => w
                .u8(CARD_LOGIN)
                .text("mailbox", account)
                .raw(device)
                .long("authorisation", authorisation)
                .bytes("signature", signature),
        };
        w.finish()
    }

    /// Reads an introduction.
    pub fn decode(bytes: &[u8]) -> Result<Introduction, CodecError> {
        let mut r = Reader::new(bytes);
        let introduction = match r.u8()? {
            LOGIN => Introduction::Login {
                account: r.parse("mailbox")?,
                device: r.array()?,
                signature: r.bytes()?.to_vec(),
            },
            ENROL => Introduction::Enrol {
                record: r.long()?.to_vec(),
                signature: r.bytes()?.to_vec(),
            },
            JOIN => Introduction::Join {
                account: r.parse("mailbox")?,
                chain: chain::read(&mut r)?,
                signature: r.bytes()?.to_vec(),
            },
            CARD_LOGIN => Introduction::CardLogin {
                account: r.parse("mailbox")?,
                device: r.array()?,
                authorisation: r.long()?.to_vec(),
                signature: r.bytes()?.to_vec(),
            },
            _ => return Err(CodecError::Value("kind of introduction")),
        };
        r.finish()?;
        Ok(introduction)
    }
}

#[cfg(test)]
mod tests {
    use super::Introduction;

    fn introductions() -> [Introduction; 4] {
        [
            Introduction::Login {
                account: "rui".parse().unwrap(),
                device: [1; 32],
                signature: vec![2; 70],
            },
            Introduction::Enrol {
                record: vec![3; 40_000],
                signature: vec![4; 70],
            },
            Introduction::Join {
                account: "rui".parse().unwrap(),
                chain: vec![vec![5; 700], vec![6; 1500], vec![7; 2000]],
                signature: vec![8; 70],
            },
            Introduction::CardLogin {
                account: "rui".parse().unwrap(),
                device: [9; 32],
                authorisation: vec![10; 4000],
                signature: vec![11; 70],
            },
        ]
    }

    #[test]
    fn introductions_come_back() {
        for introduction in introductions() {
            let bytes = introduction.encode().unwrap();
            assert_eq!(Introduction::decode(&bytes), Ok(introduction));
            assert!(Introduction::decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(Introduction::decode(&[bytes, vec![0]].concat()).is_err());
        }
        assert!(Introduction::decode(&[5]).is_err());
    }

    #[test]
    fn what_a_device_signs_covers_each_part() {
        let (rui, ana) = ("rui".parse().unwrap(), "ana".parse().unwrap());
        let login = Introduction::login_to_sign(&[1; 32], &rui, &[2; 32]);
        for other in [
            Introduction::login_to_sign(&[9; 32], &rui, &[2; 32]),
            Introduction::login_to_sign(&[1; 32], &ana, &[2; 32]),
            Introduction::login_to_sign(&[1; 32], &rui, &[9; 32]),
            Introduction::enrol_to_sign(&[1; 32], &rui, &[2; 32], b""),
            Introduction::join_to_sign(&[1; 32], &rui, &[2; 32]),
        ] {
            assert_ne!(login, other);
        }
        let join = Introduction::join_to_sign(&[1; 32], &rui, &[2; 32]);
        for other in [
            Introduction::join_to_sign(&[9; 32], &rui, &[2; 32]),
            Introduction::join_to_sign(&[1; 32], &ana, &[2; 32]),
            Introduction::join_to_sign(&[1; 32], &rui, &[9; 32]),
        ] {
            assert_ne!(join, other);
        }
        let card = Introduction::card_login_to_sign(&[1; 32], &rui, &[2; 32], b"a");
        for other in [
            Introduction::card_login_to_sign(&[9; 32], &rui, &[2; 32], b"a"),
            Introduction::card_login_to_sign(&[1; 32], &ana, &[2; 32], b"a"),
            Introduction::card_login_to_sign(&[1; 32], &rui, &[9; 32], b"a"),
            Introduction::card_login_to_sign(&[1; 32], &rui, &[2; 32], b"b"),
            Introduction::enrol_to_sign(&[1; 32], &rui, &[2; 32], b"a"),
        ] {
            assert_ne!(card, other);
        }
        assert_ne!(
            Introduction::enrol_to_sign(&[1; 32], &rui, &[2; 32], b"a"),
            Introduction::enrol_to_sign(&[1; 32], &rui, &[2; 32], b"b")
        );
    }
}
