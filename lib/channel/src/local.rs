//! What a tool and the agent say to each other over a Unix socket
//! (smr-agent-protocol(7)): frames of a length of 4 bytes and that many bytes.
//!
//! Opens no socket. The socket's folder and peer credentials guard it; the
//! frames themselves are in clear.

mod answer;
mod ask;

use std::fmt;

use zeroize::Zeroizing;

use crate::codec::{CodecError, Reader, Writer};
use crate::warrant::Warrant;

pub use answer::{Answer, Loaded, Memory};
pub use ask::{Ask, Entrance, Load, Secret, Stanza};

/// The version of this protocol.
pub const VERSION: u16 = 1;

/// Bytes of the length before each frame.
pub const HEADER: usize = 4;

/// The longest frame, in bytes, without its length.
pub const MAX_FRAME: usize = 1 << 20;

/// A frame: an ask or an answer, or what follows one; its `Debug` shows the kind
/// only.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// An encoded [`Ask`] or [`Answer`] (1).
    Head(Zeroizing<Vec<u8>>),
    /// A part of the body (2).
    Body(Vec<u8>),
    /// The body is whole (3); at the end of a reply, smrd's warrant.
    End(Option<Warrant>),
}

const HEAD: u8 = 1;
const BODY: u8 = 2;
const END: u8 = 3;

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Frame::Head(_) => "Head",
            Frame::Body(_) => "Body",
            Frame::End(_) => "End",
        })
    }
}

impl Frame {
    /// Returns the frame with its length, ready to write.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CodecError> {
        let room = match self {
            Frame::Head(bytes) => bytes.len(),
            Frame::Body(bytes) => bytes.len(),
            Frame::End(_) => 256,
        };
        let mut w = Writer::with_capacity(HEADER + 1 + room);
        match self {
            Frame::Head(bytes) => prefix(&mut w, HEAD, bytes),
            Frame::Body(bytes) => prefix(&mut w, BODY, bytes),
            Frame::End(warrant) => {
                let warrant = warrant.as_ref().map(Warrant::encode).unwrap_or_default();
                prefix(&mut w, END, &warrant);
            }
        }
        match room < MAX_FRAME {
            true => w.finish_secret(),
            false => Err(CodecError::Size("frame")),
        }
    }

    /// Returns how many bytes follow `header`; fails on zero and over
    /// `MAX_FRAME`.
    pub fn length(header: [u8; HEADER]) -> Result<usize, CodecError> {
        match usize::try_from(u32::from_be_bytes(header)) {
            Ok(length) if (1..=MAX_FRAME).contains(&length) => Ok(length),
            _ => Err(CodecError::Size("frame")),
        }
    }

    /// Reads a frame, without its length.
    pub fn decode(bytes: &[u8]) -> Result<Frame, CodecError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            HEAD => Ok(Frame::Head(Zeroizing::new(r.rest().to_vec()))),
            BODY => Ok(Frame::Body(r.rest().to_vec())),
            END => match r.rest() {
                [] => Ok(Frame::End(None)),
                warrant => Warrant::decode(warrant).map(|w| Frame::End(Some(w))),
            },
            _ => Err(CodecError::Value("kind of frame")),
        }
    }
}

fn prefix(w: &mut Writer, kind: u8, bytes: &[u8]) {
    // A frame that is too long never leaves encode(), whatever stands here.
    let length = u32::try_from(bytes.len().saturating_add(1)).unwrap_or(u32::MAX);
    w.u32(length).u8(kind).raw(bytes);
}

#[cfg(test)]
mod tests {
    use smr_name::Class;
    use zeroize::Zeroizing;

    use super::{
        Answer, Ask, Entrance, Frame, HEADER, Load, Loaded, MAX_FRAME, Memory, Secret, Stanza,
    };
    use crate::codec::CodecError;
    use crate::suite::Suite;
    use crate::warrant::Warrant;

    fn load(entrance: Entrance) -> Load {
        Load {
            account: "rui@repo.example".parse().unwrap(),
            server: "repo.example:7667".to_owned(),
            identity: "smr identity 1\n".to_owned(),
            device_key: Secret::copy_of(b"not shown"),
            device: [3; 32],
            identities: vec![Secret::copy_of(b"one"), Secret::copy_of(b"two")],
            once: Secret::copy_of(&[5; 32]),
            lifetime: 3600,
            idle: 0,
            suites: Suite::ALL.to_vec(),
            entrance,
        }
    }

    fn join() -> Entrance {
        Entrance::Join {
            chain: vec![vec![1; 7000]; 8],
        }
    }

    fn asks() -> Vec<Ask> {
        let account = || "rui@repo.example".parse().unwrap();
        let stanza = Stanza {
            tag: "X25519".to_owned(),
            args: vec!["a".to_owned(), String::new()],
            body: vec![1; 32],
        };
        vec![
            Ask::Hello { version: 1 },
            Ask::Status,
            Ask::Load(Box::new(load(Entrance::Login))),
            Ask::Load(Box::new(load(Entrance::Enrol {
                record: vec![7; 40_000],
            }))),
            Ask::Load(Box::new(load(join()))),
            Ask::Load(Box::new(load(Entrance::Card {
                authorisation: vec![8; 4000],
            }))),
            Ask::Sign {
                account: account(),
                attributes: vec![0x31, 0],
            },
            Ask::Unwrap {
                account: account(),
                stanzas: vec![stanza.clone(), stanza],
            },
            Ask::Derive {
                account: account(),
                key: "dump of today".to_owned(),
            },
            Ask::ShelfKey { account: account() },
            Ask::Carry {
                account: account(),
                head: vec![1],
            },
            Ask::Lock { account: account() },
            Ask::Logout { account: account() },
            Ask::Stop,
        ]
    }

    fn answers() -> Vec<Answer> {
        let loaded = Loaded {
            account: "rui@repo.example".parse().unwrap(),
            server: "repo.example:7667".to_owned(),
            until: 1_800_000_000,
            locked: false,
            online: true,
        };
        vec![
            Answer::Hello {
                version: 1,
                pid: 4711,
            },
            Answer::Status {
                memory: Memory::Locked,
                accounts: vec![loaded],
            },
            Answer::Done,
            Answer::Signature(vec![0x30; 70]),
            Answer::FileKey(None),
            Answer::FileKey(Some(Zeroizing::new([9; 16]))),
            Answer::Id(smr_name::MessageId::from_bytes([9; 16])),
            Answer::ShelfKey(Zeroizing::new([9; 32])),
            Answer::Reply { head: vec![0x82] },
            Answer::Failed {
                class: Class::Busy,
                text: "not now".to_owned(),
                hint: String::new(),
            },
        ]
    }

    #[test]
    fn asks_and_answers_come_back() {
        for ask in asks() {
            assert_eq!(Ask::decode(&ask.encode().unwrap()), Ok(ask));
        }
        for answer in answers() {
            let bytes = answer.encode().unwrap();
            assert!(Answer::decode(&bytes) == Ok(answer));
        }
    }

    #[test]
    fn cut_and_extended_messages_are_refused() {
        for ask in asks() {
            let bytes = ask.encode().unwrap();
            assert!(Ask::decode(&bytes[..bytes.len() - 1]).is_err(), "{ask:?}");
            assert!(
                Ask::decode(&[&bytes[..], &[0]].concat()).is_err(),
                "{ask:?}"
            );
        }
        for answer in answers() {
            let bytes = answer.encode().unwrap();
            assert!(Answer::decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(Answer::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        // neither is the other
        assert!(Ask::decode(&Answer::Done.encode().unwrap()).is_err());
        assert!(Answer::decode(&Ask::Status.encode().unwrap()).is_err());
    }

    #[test]
    fn a_load_never_outgrows_its_room() {
        for entrance in [
            Entrance::Login,
            Entrance::Enrol {
                record: vec![0; 50_000],
            },
            join(),
        ] {
            let mut load = load(entrance);
            load.server = "s".repeat(300);
            load.identities = vec![Secret::copy_of(&[7; 90]); 500];
            let room = load.room();
            let bytes = Ask::Load(Box::new(load)).encode().unwrap();
            assert!(bytes.len() <= room, "{} in {room}", bytes.len());
        }
    }

    #[test]
    fn frames_come_back() {
        let warrant = Warrant {
            session: [1; 32],
            number: 2,
            request: [3; 32],
            reply: [4; 32],
            time: 5,
            signature: [6; 64],
        };
        for frame in [
            Frame::Head(Zeroizing::new(b"x".to_vec())),
            Frame::Body(vec![0; 70_000]),
            Frame::Body(Vec::new()),
            Frame::End(None),
            Frame::End(Some(warrant)),
        ] {
            let bytes = frame.encode().unwrap();
            let (header, rest) = bytes.split_first_chunk::<HEADER>().unwrap();
            assert_eq!(Frame::length(*header), Ok(rest.len()));
            assert!(Frame::decode(rest) == Ok(frame));
        }
    }

    #[test]
    fn other_frames_are_refused() {
        assert!(Frame::length([0; 4]).is_err());
        assert!(Frame::length([0, 0x10, 0, 1]).is_err());
        assert!(Frame::length([0xff; 4]).is_err());
        assert_eq!(Frame::length([0, 0x10, 0, 0]), Ok(MAX_FRAME));
        assert!(Frame::Body(vec![0; MAX_FRAME - 1]).encode().is_ok());
        assert_eq!(
            Frame::Body(vec![0; MAX_FRAME]).encode(),
            Err(CodecError::Size("frame"))
        );
        for bytes in [&[][..], &[0], &[4, 1], &[3, 1]] {
            assert!(Frame::decode(bytes).is_err());
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let load = format!("{:?}", load(Entrance::Login));
        assert!(load.contains("Secret") && !load.contains("not shown"));
        let bytes = Zeroizing::new(b"not shown".to_vec());
        assert_eq!(format!("{:?}", Frame::Head(bytes)), "Head");
        let key = Answer::FileKey(Some(Zeroizing::new([9; 16])));
        assert_eq!(format!("{key:?}"), "FileKey");
    }
}
