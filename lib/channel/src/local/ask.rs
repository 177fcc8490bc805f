//! Asks: what a tool wants of the agent, and the secrets it hands over.
//!
//! Holds them for as long as it takes to write or read them.

use std::fmt;

use smr_name::Address;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::chain;
use crate::codec::{CodecError, Reader, Writer};
use crate::suite::Suite;

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
    /// With the chain of a device that the account's record does not list yet.
    Join {
        /// The device's certificate, the card's, and those of authorities above
        /// it, DER; bounded as a [`chain`](crate::chain) is.
        chain: Vec<Vec<u8>>,
    },
    /// With the card's authorisation, which serves for later sessions too.
    Card {
        /// The authorisation, CMS DER.
        authorisation: Vec<u8>,
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
    /// The secret under which ids are derived from keys, 32 bytes.
    pub once: Secret,
    /// Seconds until the agent forgets all this.
    pub lifetime: u32,
    /// Seconds without use until the agent forgets all this, 0 for no limit.
    pub idle: u32,
    /// The suites to offer smrd, the preferred one first; 1 to 8, all different.
    pub suites: Vec<Suite>,
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
    /// Asks for the message id that belongs to a key of the user's choice.
    Derive {
        /// Whose.
        account: Address,
        /// The key.
        key: String,
    },
    /// Asks for the key of what a tool seals for itself.
    ShelfKey {
        /// Whose.
        account: Address,
    },
    /// Asks to carry a request to smrd; `Body` frames and `End` follow.
    Carry {
        /// Whose session.
        account: Address,
        /// The encoded request.
        head: Vec<u8>,
    },
    /// Goes on with the keys that followed those of smrd.
    Follow {
        /// Whose smrd.
        account: Address,
        /// How its keys followed one another.
        chain: String,
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

const HELLO: u8 = 1;
const STATUS: u8 = 2;
const LOAD: u8 = 3;
const SIGN: u8 = 4;
const UNWRAP: u8 = 5;
const CARRY: u8 = 6;
const LOCK: u8 = 7;
const LOGOUT: u8 = 8;
const STOP: u8 = 9;
const DERIVE: u8 = 10;
const FOLLOW: u8 = 11;
const SHELF_KEY: u8 = 12;

impl Load {
    /// Bytes of the encoding or a little more: a buffer of secrets never grows.
    pub(super) fn room(&self) -> usize {
        let entrance = match &self.entrance {
            Entrance::Login => 0,
            Entrance::Enrol { record } => record.len(),
            Entrance::Join { chain } => chain.iter().map(|der| der.len() + 2).sum(),
            Entrance::Card { authorisation } => authorisation.len(),
        };
        let identities: usize = self.identities.iter().map(|s| s.expose().len() + 2).sum();
        512 + self.server.len()
            + self.identity.len()
            + self.device_key.expose().len()
            + self.once.expose().len()
            + identities
            + entrance
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
            .bytes("secret of ids", self.once.expose())
            .u32(self.lifetime)
            .u32(self.idle)
            .list("list of suites", &self.suites, |w, suite| {
                w.u8(suite.code());
            });
        match &self.entrance {
            Entrance::Login => w.u8(1),
            Entrance::Enrol { record } => w.u8(2).long("record", record),
            Entrance::Join { chain } => chain::write(w.u8(3), chain),
            Entrance::Card { authorisation } => w.u8(4).long("authorisation", authorisation),
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
            once: Secret::copy_of(r.bytes()?),
            lifetime: r.u32()?,
            idle: r.u32()?,
            suites: r.list(|r| Suite::from_code(r.u8()?).ok_or(CodecError::Value("suite")))?,
            entrance: match r.u8()? {
                1 => Entrance::Login,
                2 => Entrance::Enrol {
                    record: r.long()?.to_vec(),
                },
                3 => Entrance::Join {
                    chain: chain::read(r)?,
                },
                4 => Entrance::Card {
                    authorisation: r.long()?.to_vec(),
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

impl Ask {
    /// Returns the ask as the content of a [`Frame::Head`](super::Frame::Head).
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
            Ask::Derive { account, key } => w.u8(DERIVE).text("account", account).text("key", key),
            Ask::ShelfKey { account } => w.u8(SHELF_KEY).text("account", account),
            Ask::Carry { account, head } => {
                w.u8(CARRY).text("account", account).long("request", head)
            }
            Ask::Follow { account, chain } => w
                .u8(FOLLOW)
                .text("account", account)
                .long("chain", chain.as_bytes()),
            Ask::Lock { account } => w.u8(LOCK).text("account", account),
            Ask::Logout { account } => w.u8(LOGOUT).text("account", account),
            Ask::Stop => w.u8(STOP),
        };
        w.finish_secret()
    }

    /// Reads the content of a [`Frame::Head`](super::Frame::Head).
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
            DERIVE => Ask::Derive {
                account: account(r)?,
                key: r.text("key")?.to_owned(),
            },
            SHELF_KEY => Ask::ShelfKey {
                account: account(r)?,
            },
            CARRY => Ask::Carry {
                account: account(r)?,
                head: r.long()?.to_vec(),
            },
            FOLLOW => Ask::Follow {
                account: account(r)?,
                chain: str::from_utf8(r.long()?)
                    .map_err(|_| CodecError::Value("chain"))?
                    .to_owned(),
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
