//! Answers: what the agent says to a tool.
//!
//! Carries no long-term secret; a file key opens one file.

use std::fmt;

use smr_name::{Address, Class, MessageId};
use zeroize::Zeroizing;

use crate::codec::{CodecError, Reader, Writer};

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

/// What guards the secrets of an agent against who may read memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Memory {
    /// Not even the kernel sees it (memfd_secret(2)).
    Hidden = 1,
    /// Never on a swap disk or in a dump (mlock(2)).
    Locked = 2,
    /// Nothing: the system allows no locked memory.
    Open = 3,
}

impl Memory {
    fn from_code(code: u8) -> Option<Memory> {
        [Memory::Hidden, Memory::Locked, Memory::Open]
            .into_iter()
            .find(|memory| *memory as u8 == code)
    }
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
        /// What guards the secrets.
        memory: Memory,
        /// The accounts, by name.
        accounts: Vec<Loaded>,
    },
    /// It is done.
    Done,
    /// To `Sign`: the signature, ECDSA in DER.
    Signature(Vec<u8>),
    /// To `Unwrap`: the file key, or none where no identity fits.
    FileKey(Option<Zeroizing<[u8; 16]>>),
    /// To `Derive`: the id.
    Id(MessageId),
    /// To `ShelfKey`: the key.
    ShelfKey(Zeroizing<[u8; 32]>),
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
            Answer::Id(_) => "Id",
            Answer::ShelfKey(_) => "ShelfKey",
            Answer::Reply { .. } => "Reply",
            Answer::Failed { .. } => "Failed",
        })
    }
}

const DONE: u8 = 0x82;
const FAILED: u8 = 0x83;
const HELLO_BACK: u8 = 0x84;
const STATUS_BACK: u8 = 0x85;
const SIGNATURE: u8 = 0x86;
const FILE_KEY: u8 = 0x87;
const REPLY: u8 = 0x88;
const ID: u8 = 0x89;
const SHELF_KEY: u8 = 0x8a;

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

impl Answer {
    /// Returns the answer as the content of a [`Frame::Head`](super::Frame::Head).
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CodecError> {
        let mut w = Writer::with_capacity(64);
        match self {
            Answer::Hello { version, pid } => w.u8(HELLO_BACK).u16(*version).u32(*pid),
            Answer::Status { memory, accounts } => w.u8(STATUS_BACK).u8(*memory as u8).list(
                "list of accounts",
                accounts,
                |w, loaded| loaded.write(w),
            ),
            Answer::Done => w.u8(DONE),
            Answer::Signature(signature) => w.u8(SIGNATURE).bytes("signature", signature),
            Answer::FileKey(key) => w.u8(FILE_KEY).option(key.as_ref(), |w, key| {
                w.raw(&**key);
            }),
            Answer::Id(id) => w.u8(ID).raw(id.as_bytes()),
            Answer::ShelfKey(key) => w.u8(SHELF_KEY).raw(&**key),
            Answer::Reply { head } => w.u8(REPLY).long("reply", head),
            Answer::Failed { class, text, hint } => w
                .u8(FAILED)
                .u8(class.code())
                .text("text", text)
                .text("hint", hint),
        };
        w.finish_secret()
    }

    /// Reads the content of a [`Frame::Head`](super::Frame::Head).
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
                memory: Memory::from_code(r.u8()?).ok_or(CodecError::Value("kind of memory"))?,
                accounts: r.list(Loaded::read)?,
            },
            DONE => Answer::Done,
            SIGNATURE => Answer::Signature(r.bytes()?.to_vec()),
            FILE_KEY => {
                Answer::FileKey(r.option("mark of a key", |r| r.array().map(Zeroizing::new))?)
            }
            ID => Answer::Id(MessageId::from_bytes(r.array()?)),
            SHELF_KEY => Answer::ShelfKey(r.array().map(Zeroizing::new)?),
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
