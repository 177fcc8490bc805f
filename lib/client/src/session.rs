//! Requests to smrd as calls: what is asked, what comes back, in types.
//!
//! Holds no session; the agent does. Believes that a reply is smrd's, and the
//! answer to this request, because the agent has verified its warrant; what
//! the reply says is for the caller to verify.

use std::io::{self, Read, Write};

use smr_channel::reply::{Entry, Progress, Reply, UserLine};
use smr_channel::request::{Folder, Request};
use smr_name::{Address, Class, Head, IdPrefix, MailboxName, MessageId};

use crate::agent::{AgentError, Connection};

// An account record and the CRLs that come with it, in bytes.
const MAX_ACCOUNT: u64 = 64 << 20;
// Users a page.
const PAGE: u16 = 500;

/// Says why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The agent could not carry it.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// smrd refused it.
    #[error("{text}")]
    Refused {
        /// What kind of refusal.
        class: Class,
        /// Why.
        text: String,
        /// What may help; empty for nothing.
        hint: String,
    },
    /// smrd answered something else.
    #[error("smrd answered something that does not fit the request")]
    Unexpected,
    /// More came than was asked for.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
}

impl SessionError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            SessionError::Agent(error) => error.class(),
            SessionError::Refused { class, .. } => *class,
            SessionError::Unexpected => Class::Untrusted,
            SessionError::TooLarge(_) => Class::Denied,
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&str> {
        match self {
            SessionError::Agent(error) => error.hint(),
            SessionError::Refused { hint, .. } if !hint.is_empty() => Some(hint),
            SessionError::TooLarge(_) => Some("raise max_message in client.toml"),
            _ => None,
        }
    }
}

/// What smrd publishes of an account; nothing of it verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The account record, DER.
    pub record: Vec<u8>,
    /// CRLs for its chain, DER.
    pub crls: Vec<Vec<u8>>,
}

/// What is about to be deposited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The sender's id for the message.
    pub id: MessageId,
    /// Size of the sealed file in bytes.
    pub size: u64,
    /// SHA-256 of the sealed file.
    pub sha256: [u8; 32],
    /// SHA-256 of the CMS SignedData inside.
    pub cms: [u8; 32],
    /// Into which mailboxes.
    pub mailboxes: Vec<MailboxName>,
}

/// A receipt that is about to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message that was read.
    pub id: MessageId,
    /// Size of the sealed receipt in bytes.
    pub size: u64,
    /// SHA-256 of the sealed receipt.
    pub sha256: [u8; 32],
    /// SHA-256 of the CMS SignedData inside.
    pub cms: [u8; 32],
}

/// One page of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The entries, by number, each with its first bytes.
    pub entries: Vec<(Entry, Vec<u8>)>,
    /// Whether more follow.
    pub more: bool,
    /// How many entries the folder has.
    pub count: u64,
    /// The head of the folder.
    pub head: Head,
}

/// An account's requests to smrd, through one connection to the agent.
pub struct Session {
    connection: Connection,
    account: Address,
}

impl Session {
    /// Asks as `account`, through `connection`.
    pub fn new(connection: Connection, account: Address) -> Self {
        Session {
            connection,
            account,
        }
    }

    /// Asks whether smrd is there.
    pub fn ping(&mut self) -> Result<(), SessionError> {
        self.done(&Request::Ping, None)
    }

    /// Asks for an account's record and the CRLs of its chain.
    pub fn account(&mut self, name: &MailboxName) -> Result<Published, SessionError> {
        let request = Request::Account { name: name.clone() };
        let (reply, body) = self.small(&request, MAX_ACCOUNT)?;
        let Reply::Account {
            name: of,
            record_len,
            crls,
        } = reply
        else {
            return Err(SessionError::Unexpected);
        };
        let mut rest = body.as_slice();
        let record = split(&mut rest, record_len)?;
        let crls = crls.into_iter().map(|length| split(&mut rest, length));
        let crls = crls.collect::<Result<_, _>>()?;
        match of == *name && rest.is_empty() {
            true => Ok(Published { record, crls }),
            false => Err(SessionError::Unexpected),
        }
    }

    /// Publishes a new version of the account's own record.
    pub fn publish(&mut self, record: &[u8]) -> Result<(), SessionError> {
        self.done(&Request::Publish, Some(&mut &*record))
    }

    /// Asks for all users of the repository, by name.
    pub fn users(&mut self) -> Result<Vec<UserLine>, SessionError> {
        let mut all: Vec<UserLine> = Vec::new();
        loop {
            let after = all.last().map(|user| user.name.clone());
            let (page, more) = self.users_after(after.as_ref(), PAGE)?;
            // Strictly rising, so that it ends.
            let rises = |last: &Option<MailboxName>| {
                let names = last.iter().chain(page.iter().map(|user| &user.name));
                names.is_sorted_by(|a, b| a < b)
            };
            if !rises(&after) || (more && page.is_empty()) {
                return Err(SessionError::Unexpected);
            }
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Asks for at most `limit` users after `after`, and whether more follow.
    pub fn users_after(
        &mut self,
        after: Option<&MailboxName>,
        limit: u16,
    ) -> Result<(Vec<UserLine>, bool), SessionError> {
        let after = after.cloned();
        match self.small(&Request::Users { after, limit }, 0)?.0 {
            Reply::Users { users, more } => Ok((users, more)),
            _ => Err(SessionError::Unexpected),
        }
    }

    /// Offers a message and deposits `sealed`, all of it; returns the
    /// postmarks, one for each mailbox and one for the sender's own copy, not
    /// verified yet.
    pub fn deposit(
        &mut self,
        offer: &Offer,
        sealed: &mut dyn Read,
    ) -> Result<Vec<String>, SessionError> {
        let id = offer.id;
        let request = Request::Offer {
            id,
            size: offer.size,
            sha256: offer.sha256,
            cms: offer.cms,
            mailboxes: offer.mailboxes.clone(),
        };
        match self.small(&request, 0)?.0 {
            Reply::Accepted { id: accepted } if accepted == id => {}
            _ => return Err(SessionError::Unexpected),
        }
        self.postmarks(&Request::Deposit { id }, sealed)
    }

    /// Gives a receipt, sealed, for a message that was read; returns its
    /// postmark, not verified yet.
    pub fn give_receipt(
        &mut self,
        receipt: &Receipt,
        sealed: &mut dyn Read,
    ) -> Result<Vec<String>, SessionError> {
        let request = Request::GiveReceipt {
            id: receipt.id,
            size: receipt.size,
            sha256: receipt.sha256,
            cms: receipt.cms,
        };
        self.postmarks(&request, sealed)
    }

    /// Asks for a page of a folder: at most `limit` entries after number
    /// `after`, each with its first `peek` bytes.
    pub fn list(
        &mut self,
        folder: Folder,
        after: u64,
        limit: u16,
        peek: u32,
    ) -> Result<Listing, SessionError> {
        let request = Request::List {
            folder,
            after,
            limit,
            peek,
        };
        let most = u64::from(limit).saturating_mul(peek.into());
        let (reply, body) = self.small(&request, most)?;
        let Reply::Listing {
            entries,
            more,
            count,
            head,
        } = reply
        else {
            return Err(SessionError::Unexpected);
        };
        let mut rest = body.as_slice();
        let peeked = entries.into_iter().map(|entry| {
            let bytes = split(&mut rest, entry.peek_len)?;
            Ok((entry, bytes))
        });
        let entries = peeked.collect::<Result<Vec<_>, SessionError>>()?;
        match rest.is_empty() && entries.len() <= usize::from(limit) {
            true => Ok(Listing {
                entries,
                more,
                count,
                head,
            }),
            false => Err(SessionError::Unexpected),
        }
    }

    /// Asks which messages have an id that begins with `prefix`.
    pub fn find(&mut self, prefix: &IdPrefix) -> Result<Vec<(Folder, MessageId)>, SessionError> {
        let prefix = prefix.clone();
        match self.small(&Request::Find { prefix }, 0)?.0 {
            Reply::Found { matches } => Ok(matches),
            _ => Err(SessionError::Unexpected),
        }
    }

    /// Fetches a sealed file of at most `limit` bytes into `out`; what is there
    /// is of no worth unless this succeeds. `reader` chooses among the receipts
    /// for one message.
    pub fn fetch(
        &mut self,
        folder: Folder,
        id: MessageId,
        reader: Option<&MailboxName>,
        limit: u64,
        out: &mut dyn Write,
    ) -> Result<Entry, SessionError> {
        let reader = reader.cloned();
        let request = Request::Fetch { folder, id, reader };
        match self.bounded(&request, None, limit, out)? {
            Reply::Message { entry } if entry.name.id == id => Ok(entry),
            _ => Err(SessionError::Unexpected),
        }
    }

    /// Tells smrd that a message was read.
    pub fn mark_read(&mut self, id: MessageId) -> Result<(), SessionError> {
        self.done(&Request::MarkRead { id }, None)
    }

    /// Asks how far a sent message has come in these mailboxes.
    pub fn state(
        &mut self,
        id: MessageId,
        mailboxes: &[MailboxName],
    ) -> Result<Vec<(MailboxName, Progress)>, SessionError> {
        let mailboxes = mailboxes.to_vec();
        match self.small(&Request::State { id, mailboxes }, 0)?.0 {
            Reply::States { states } => Ok(states),
            _ => Err(SessionError::Unexpected),
        }
    }

    fn postmarks(
        &mut self,
        request: &Request,
        sealed: &mut dyn Read,
    ) -> Result<Vec<String>, SessionError> {
        match self.bounded(request, Some(sealed), 0, &mut io::sink())? {
            Reply::Postmarks { postmarks } => Ok(postmarks),
            _ => Err(SessionError::Unexpected),
        }
    }

    fn done(&mut self, request: &Request, body: Option<&mut dyn Read>) -> Result<(), SessionError> {
        match self.bounded(request, body, 0, &mut io::sink())? {
            Reply::Done => Ok(()),
            _ => Err(SessionError::Unexpected),
        }
    }

    // A reply whose body fits memory.
    fn small(&mut self, request: &Request, most: u64) -> Result<(Reply, Vec<u8>), SessionError> {
        let mut body = Vec::new();
        let reply = self.bounded(request, None, most, &mut body)?;
        Ok((reply, body))
    }

    fn bounded(
        &mut self,
        request: &Request,
        body: Option<&mut dyn Read>,
        most: u64,
        out: &mut dyn Write,
    ) -> Result<Reply, SessionError> {
        let mut out = Bounded {
            out,
            left: most,
            full: false,
        };
        let reply = self
            .connection
            .carry(&self.account, request, body, &mut out);
        match reply {
            Err(_) if out.full => Err(SessionError::TooLarge(most)),
            Err(error) => Err(error.into()),
            Ok((Reply::Refused { class, text, hint }, _)) => {
                Err(SessionError::Refused { class, text, hint })
            }
            Ok((reply, _)) => Ok(reply),
        }
    }
}

// Takes a part of a body whose length smrd has told.
fn split(rest: &mut &[u8], length: u32) -> Result<Vec<u8>, SessionError> {
    let length = usize::try_from(length).map_err(|_| SessionError::Unexpected)?;
    let (part, after) = rest
        .split_at_checked(length)
        .ok_or(SessionError::Unexpected)?;
    *rest = after;
    Ok(part.to_vec())
}

// Writes no more than is wanted, whatever smrd sends.
struct Bounded<'a> {
    out: &'a mut dyn Write,
    left: u64,
    full: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.out.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
