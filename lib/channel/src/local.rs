//! What a tool and the agent say to each other over a Unix socket
//! (smr-agent-protocol(7)): frames of a length of 4 bytes and that many bytes.
//!
//! Opens no socket. The socket's folder and peer credentials guard it; the
//! frames themselves are in clear.

use std::fmt;

use smr_name::{Address, Class};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::codec::{CodecError, Reader, Writer};
use crate::warrant::Warrant;

/// The version of this protocol.
pub const VERSION: u16 = 1;

/// Bytes of the length before each frame.
pub const HEADER: usize = 4;

/// The longest frame, in bytes, without its length.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes that no log shows, wiped when dropped, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl Secret {
    /// Wraps bytes.
    pub fn new(bytes: Zeroizing<Box<[u8]>>) -> Self {
        Secret(bytes)
    }

    /// Copies bytes into a box of their size.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Secret(Zeroizing::new(Box::from(bytes)))
    }

    /// Returns the bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes as text, or none.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How the agent introduces a device to smrd the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// As a device that smrd knows.
    Login,
    /// With the account record, for a new account or device.
    Enrol {
        /// The account record.
        record: Vec<u8>,
    },
}

/// What a tool hands to the agent when it logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Whose secrets.
    pub account: Address,
    /// Where smrd listens, HOST:PORT.
    pub server: String,
    /// smrd's identity document, as pinned.
    pub identity: String,
    /// The device's private key, PKCS#8 DER.
    pub device_key: Secret,
    /// Fingerprint of the device's certificate.
    pub device: [u8; 32],
    /// The age identities, as text, newest first.
    pub identities: Vec<Secret>,
    /// Seconds until the agent forgets all this.
    pub lifetime: u32,
    /// Seconds without use until the agent forgets all this, 0 for no limit.
    pub idle: u32,
    /// How to introduce the device.
    pub entrance: Entrance,
}

/// One stanza of the header of an age file (C2SP age, "recipient stanza").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// First argument.
    pub tag: String,
    /// The other arguments.
    pub args: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a tool asks of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Opens a connection.
    Hello {
        /// The tool's version of this protocol.
        version: u16,
    },
    /// Asks who is logged in.
    Status,
    /// Hands over an account's secrets.
    Load(Box<Load>),
    /// Asks for the device's signature over CMS signed attributes.
    Sign {
        /// Whose device.
        account: Address,
        /// The attributes, a DER SET OF.
        attributes: Vec<u8>,
    },
    /// Asks to open one of these stanzas.
    Unwrap {
        /// Whose identities.
        account: Address,
        /// All stanzas of one file.
        stanzas: Vec<Stanza>,
    },
    /// Asks to carry a request to smrd; `Body` frames and `End` follow.
    Carry {
        /// Whose session.
        account: Address,
        /// The encoded request.
        head: Vec<u8>,
    },
    /// Wipes an account's secrets and ends its sessions, keeping its name.
    Lock {
        /// Whose.
        account: Address,
    },
    /// The same, forgetting the name too.
    Logout {
        /// Whose.
        account: Address,
    },
    /// Ends the agent.
    Stop,
}

/// An account of which the agent knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Whose.
    pub account: Address,
    /// Where smrd listens, HOST:PORT.
    pub server: String,
    /// When the agent forgets it, unix seconds.
    pub until: i64,
    /// Whether its secrets are wiped.
    pub locked: bool,
    /// Whether a session to smrd is open.
    pub online: bool,
}

/// What the agent answers; its `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `Hello`.
    Hello {
        /// The agent's version of this protocol.
        version: u16,
        /// The agent's process.
        pid: u32,
    },
    /// To `Status`.
    Status {
        /// The accounts, by name.
        accounts: Vec<Loaded>,
    },
    /// It is done.
    Done,
    /// To `Sign`: the signature, ECDSA in DER.
    Signature(Vec<u8>),
    /// To `Unwrap`: the file key, or none where no identity fits.
    FileKey(Option<Zeroizing<[u8; 16]>>),
    /// To `Carry`: the reply; `Body` frames and `End` follow.
    Reply {
        /// The encoded reply.
        head: Vec<u8>,
    },
    /// It failed; after a `Reply` it says that the body is cut short.
    Failed {
        /// What kind of failure.
        class: Class,
        /// What is wrong.
        text: String,
        /// What may help; empty for nothing.
        hint: String,
    },
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Hello { .. } => "Hello",
            Answer::Status { .. } => "Status",
            Answer::Done => "Done",
            Answer::Signature(_) => "Signature",
            Answer::FileKey(_) => "FileKey",
            Answer::Reply { .. } => "Reply",
            Answer::Failed { .. } => "Failed",
        })
    }
}

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

const HELLO: u8 = 1;
const STATUS: u8 = 2;
const LOAD: u8 = 3;
const SIGN: u8 = 4;
const UNWRAP: u8 = 5;
const CARRY: u8 = 6;
const LOCK: u8 = 7;
const LOGOUT: u8 = 8;
const STOP: u8 = 9;

const DONE: u8 = 0x82;
const FAILED: u8 = 0x83;
const HELLO_BACK: u8 = 0x84;
const STATUS_BACK: u8 = 0x85;
const SIGNATURE: u8 = 0x86;
const FILE_KEY: u8 = 0x87;
const REPLY: u8 = 0x88;

impl Load {
    /// Bytes of the encoding or a little more: a buffer of secrets never grows.
    fn room(&self) -> usize {
        let record = match &self.entrance {
            Entrance::Login => 0,
            Entrance::Enrol { record } => record.len(),
        };
        let identities: usize = self.identities.iter().map(|s| s.expose().len() + 2).sum();
        512 + self.server.len()
            + self.identity.len()
            + self.device_key.expose().len()
            + identities
            + record
    }

    fn write(&self, w: &mut Writer) {
        w.u8(LOAD)
            .text("account", &self.account)
            .text("server", &self.server)
            .bytes("identity", self.identity.as_bytes())
            .bytes("device key", self.device_key.expose())
            .raw(&self.device)
            .list("list of identities", &self.identities, |w, secret| {
                w.bytes("identity", secret.expose());
            })
            .u32(self.lifetime)
            .u32(self.idle);
        match &self.entrance {
            Entrance::Login => w.u8(1),
            Entrance::Enrol { record } => w.u8(2).long("record", record),
        };
    }

    fn read(r: &mut Reader<'_>) -> Result<Load, CodecError> {
        Ok(Load {
            account: r.parse("account")?,
            server: r.text("server")?.to_owned(),
            identity: r.text("identity")?.to_owned(),
            device_key: Secret::copy_of(r.bytes()?),
            device: r.array()?,
            identities: r.list(|r| r.bytes().map(Secret::copy_of))?,
            lifetime: r.u32()?,
            idle: r.u32()?,
            entrance: match r.u8()? {
                1 => Entrance::Login,
                2 => Entrance::Enrol {
                    record: r.long()?.to_vec(),
                },
                _ => return Err(CodecError::Value("entrance")),
            },
        })
    }
}

impl Stanza {
    fn write(&self, w: &mut Writer) {
        w.text("tag", &self.tag)
            .list("list of arguments", &self.args, |w, arg| {
                w.text("argument", arg);
            })
            .bytes("stanza", &self.body);
    }

    fn read(r: &mut Reader<'_>) -> Result<Stanza, CodecError> {
        Ok(Stanza {
            tag: r.text("tag")?.to_owned(),
            args: r.list(|r| r.text("argument").map(str::to_owned))?,
            body: r.bytes()?.to_vec(),
        })
    }
}

impl Loaded {
    fn write(&self, w: &mut Writer) {
        w.text("account", &self.account)
            .text("server", &self.server)
            .i64(self.until)
            .flag(self.locked)
            .flag(self.online);
    }

    fn read(r: &mut Reader<'_>) -> Result<Loaded, CodecError> {
        Ok(Loaded {
            account: r.parse("account")?,
            server: r.text("server")?.to_owned(),
            until: r.i64()?,
            locked: r.flag("mark of a lock")?,
            online: r.flag("mark of presence")?,
        })
    }
}

impl Ask {
    /// Returns the ask as the content of a [`Frame::Head`].
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CodecError> {
        let mut w = match self {
            Ask::Load(load) => Writer::with_capacity(load.room()),
            _ => Writer::new(),
        };
        match self {
            Ask::Hello { version } => w.u8(HELLO).u16(*version),
            Ask::Status => w.u8(STATUS),
            Ask::Load(load) => {
                load.write(&mut w);
                &mut w
            }
            Ask::Sign {
                account,
                attributes,
            } => w
                .u8(SIGN)
                .text("account", account)
                .long("attributes", attributes),
            Ask::Unwrap { account, stanzas } => {
                w.u8(UNWRAP)
                    .text("account", account)
                    .list("list of stanzas", stanzas, |w, s| s.write(w))
            }
            Ask::Carry { account, head } => {
                w.u8(CARRY).text("account", account).long("request", head)
            }
            Ask::Lock { account } => w.u8(LOCK).text("account", account),
            Ask::Logout { account } => w.u8(LOGOUT).text("account", account),
            Ask::Stop => w.u8(STOP),
        };
        w.finish_secret()
    }

    /// Reads the content of a [`Frame::Head`].
    pub fn decode(bytes: &[u8]) -> Result<Ask, CodecError> {
        let mut r = Reader::new(bytes);
        let ask = Ask::read(&mut r)?;
        r.finish()?;
        Ok(ask)
    }

    fn read(r: &mut Reader<'_>) -> Result<Ask, CodecError> {
        let account = |r: &mut Reader<'_>| r.parse::<Address>("account");
        Ok(match r.u8()? {
            HELLO => Ask::Hello { version: r.u16()? },
            STATUS => Ask::Status,
            LOAD => Ask::Load(Box::new(Load::read(r)?)),
            SIGN => Ask::Sign {
                account: account(r)?,
                attributes: r.long()?.to_vec(),
            },
            UNWRAP => Ask::Unwrap {
                account: account(r)?,
                stanzas: r.list(Stanza::read)?,
            },
            CARRY => Ask::Carry {
                account: account(r)?,
                head: r.long()?.to_vec(),
            },
            LOCK => Ask::Lock {
                account: account(r)?,
            },
            LOGOUT => Ask::Logout {
                account: account(r)?,
            },
            STOP => Ask::Stop,
            _ => return Err(CodecError::Value("kind of ask")),
        })
    }
}

impl Answer {
    /// Returns the answer as the content of a [`Frame::Head`].
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CodecError> {
        let mut w = Writer::with_capacity(64);
        match self {
            Answer::Hello { version, pid } => w.u8(HELLO_BACK).u16(*version).u32(*pid),
            Answer::Status { accounts } => {
                w.u8(STATUS_BACK)
                    .list("list of accounts", accounts, |w, loaded| loaded.write(w))
            }
            Answer::Done => w.u8(DONE),
            Answer::Signature(signature) => w.u8(SIGNATURE).bytes("signature", signature),
            Answer::FileKey(key) => w.u8(FILE_KEY).option(key.as_ref(), |w, key| {
                w.raw(&**key);
            }),
            Answer::Reply { head } => w.u8(REPLY).long("reply", head),
            Answer::Failed { class, text, hint } => w
                .u8(FAILED)
                .u8(class.code())
                .text("text", text)
                .text("hint", hint),
        };
        w.finish_secret()
    }

    /// Reads the content of a [`Frame::Head`].
    pub fn decode(bytes: &[u8]) -> Result<Answer, CodecError> {
        let mut r = Reader::new(bytes);
        let answer = Answer::read(&mut r)?;
        r.finish()?;
        Ok(answer)
    }

    fn read(r: &mut Reader<'_>) -> Result<Answer, CodecError> {
        Ok(match r.u8()? {
            HELLO_BACK => Answer::Hello {
                version: r.u16()?,
                pid: r.u32()?,
            },
            STATUS_BACK => Answer::Status {
                accounts: r.list(Loaded::read)?,
            },
            DONE => Answer::Done,
            SIGNATURE => Answer::Signature(r.bytes()?.to_vec()),
            FILE_KEY => {
                Answer::FileKey(r.option("mark of a key", |r| r.array().map(Zeroizing::new))?)
            }
            REPLY => Answer::Reply {
                head: r.long()?.to_vec(),
            },
            FAILED => Answer::Failed {
                class: Class::from_code(r.u8()?).ok_or(CodecError::Value("class"))?,
                text: r.text("text")?.to_owned(),
                hint: r.text("hint")?.to_owned(),
            },
            _ => return Err(CodecError::Value("kind of answer")),
        })
    }
}

#[cfg(test)]
mod tests {
    use smr_name::Class;
    use zeroize::Zeroizing;

    use super::{Answer, Ask, Entrance, Frame, HEADER, Load, Loaded, MAX_FRAME, Secret, Stanza};
    use crate::codec::CodecError;
    use crate::warrant::Warrant;

    fn load(entrance: Entrance) -> Load {
        Load {
            account: "rui@repo.example".parse().unwrap(),
            server: "repo.example:7667".to_owned(),
            identity: "smr identity 1\n".to_owned(),
            device_key: Secret::copy_of(b"not shown"),
            device: [3; 32],
            identities: vec![Secret::copy_of(b"one"), Secret::copy_of(b"two")],
            lifetime: 3600,
            idle: 0,
            entrance,
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
            Ask::Sign {
                account: account(),
                attributes: vec![0x31, 0],
            },
            Ask::Unwrap {
                account: account(),
                stanzas: vec![stanza.clone(), stanza],
            },
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
                accounts: vec![loaded],
            },
            Answer::Done,
            Answer::Signature(vec![0x30; 70]),
            Answer::FileKey(None),
            Answer::FileKey(Some(Zeroizing::new([9; 16]))),
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
