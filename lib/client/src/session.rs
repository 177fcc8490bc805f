//! Requests to smrd as calls: what is asked, what comes back, in types.
//!
//! Holds no session; the agent does. Remembers smrd's last words, so that what
//! contradicts them can be proved. Believes that a reply is smrd's, and the
//! answer to this request, because the agent has verified its warrant; what
//! the reply says is for the caller to verify.

mod account;

use std::io::{self, Read, Write};
use std::rc::Rc;

use smr_channel::reply::{Entry, Progress, Reply, State, UserLine};
pub use smr_channel::request::Offer;
use smr_channel::request::{Folder, MAX_POST, Request};
use smr_name::{Address, Class, Head, IdPrefix, MailboxName, MessageId};
use zeroize::Zeroizing;

pub use self::account::Published;
use crate::agent::{AgentError, Connection};
use crate::failure::Failure;
use crate::home::Home;
use crate::pinned::Pinned;
use crate::proof::{Against, Passing, Proofs, ReadPassing, Word, Words, WritePassing};

// Users a page.
const PAGE: u16 = 500;
// Of a folder of 64 million entries, in bytes.
const MAX_TALLY: u64 = 16 << 20;

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
    #[error("{text}")]
    Unexpected {
        /// What does not fit, or cannot be read.
        text: String,
        /// Where the proof is; empty for none.
        hint: String,
    },
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
            SessionError::Unexpected { .. } => Class::Untrusted,
            SessionError::TooLarge(_) => Class::Denied,
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&str> {
        match self {
            SessionError::Agent(error) => error.hint(),
            SessionError::Refused { hint, .. } | SessionError::Unexpected { hint, .. }
                if !hint.is_empty() =>
            {
                Some(hint)
            }
            SessionError::TooLarge(_) => Some("raise max_message in client.toml"),
            _ => None,
        }
    }
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
    /// The head of the folder before the first of the entries.
    pub before: Head,
}

/// An account's requests to smrd, through one connection to the agent.
pub struct Session {
    connection: Connection,
    account: Address,
    words: Words,
    proofs: Option<Proofs>,
    pinned: Option<Rc<Pinned>>,
}

impl Session {
    /// Asks as `account`, through `connection`.
    pub fn new(connection: Connection, account: Address) -> Self {
        Session {
            connection,
            account,
            words: Words::default(),
            proofs: None,
            pinned: None,
        }
    }

    /// Asks the repository that is pinned: keeps proofs of what it says and does
    /// not stand by, and follows it to new keys.
    pub(crate) fn with(mut self, home: &Home, pinned: Rc<Pinned>) -> Result<Self, Failure> {
        self.proofs = Some(Proofs::new(home, &pinned.identity()?));
        self.pinned = Some(pinned);
        Ok(self)
    }

    /// Returns smrd's last word, to be kept while it stands by it.
    pub(crate) fn last_word(&self) -> Option<Vec<u8>> {
        self.words.last().and_then(Word::keep)
    }

    /// Begins a matter: what smrd said before has nothing to do with it.
    pub(crate) fn begin(&mut self) {
        self.words.forget();
    }

    /// Keeps the proof of a failure that smrd's last words are the cause of,
    /// with what they contradict, and says in its hint where.
    pub(crate) fn prove(&self, failure: Failure, against: &[Against]) -> Failure {
        match &self.proofs {
            Some(proofs) => proofs.keep(failure, &self.words, against),
            None => failure,
        }
    }

    /// Says that smrd's last word does not fit what it was asked.
    fn unfit(&self) -> SessionError {
        self.unexpected("smrd answered something that does not fit the request".to_owned())
    }

    fn unexpected(&self, text: String) -> SessionError {
        let failure = self.prove(Failure::new(Class::Untrusted, text), &[]);
        SessionError::Unexpected {
            text: failure.text,
            hint: failure.hint.unwrap_or_default(),
        }
    }

    /// Asks the agent for the message id that belongs to a key.
    pub fn derive(&mut self, key: &str) -> Result<MessageId, SessionError> {
        Ok(self.connection.derive(&self.account, key)?)
    }

    /// Asks the agent for the key under which listings are remembered.
    pub(crate) fn shelf_key(&mut self) -> Result<Zeroizing<[u8; 32]>, SessionError> {
        Ok(self.connection.shelf_key(&self.account)?)
    }

    /// Asks whether smrd is there.
    pub fn ping(&mut self) -> Result<(), SessionError> {
        self.done(&Request::Ping, None)
    }

    /// Asks what smrd's clock says, unix seconds: the time in its warrant.
    pub fn clock(&mut self) -> Result<i64, SessionError> {
        let head = Request::Ping.encode().map_err(AgentError::from)?;
        let asked = self
            .connection
            .carry(&self.account, &head, None, &mut io::sink())?;
        Ok(asked.1.time)
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
                return Err(self.unfit());
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
            _ => Err(self.unfit()),
        }
    }

    /// Offers a message and deposits `sealed`, all of it, at once where it is
    /// small; returns the postmarks, one for each mailbox and one for the
    /// sender's own copy, not verified yet.
    pub fn deposit(
        &mut self,
        offer: &Offer,
        sealed: &mut dyn Read,
    ) -> Result<Vec<String>, SessionError> {
        let id = offer.id;
        if offer.size <= MAX_POST {
            return self.postmarks(&Request::Post(offer.clone()), sealed);
        }
        match self.small(&Request::Offer(offer.clone()), 0)?.0 {
            Reply::Accepted { id: accepted } if accepted == id => {}
            _ => return Err(self.unfit()),
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
            before,
        } = reply
        else {
            return Err(self.unfit());
        };
        let mut rest = body.as_slice();
        let peeked = entries.into_iter().map(|entry| {
            let bytes = split(&mut rest, entry.peek_len).ok_or_else(|| self.unfit())?;
            Ok((entry, bytes))
        });
        let entries = peeked.collect::<Result<Vec<_>, SessionError>>()?;
        match rest.is_empty() && entries.len() <= usize::from(limit) {
            true => Ok(Listing {
                entries,
                more,
                count,
                head,
                before,
            }),
            false => Err(self.unfit()),
        }
    }

    /// Asks for the states of all entries of a folder, by number.
    pub fn tally(&mut self, folder: Folder) -> Result<Vec<State>, SessionError> {
        let (reply, packed) = self.small(&Request::Tally { folder }, MAX_TALLY)?;
        let Reply::Tally { count } = reply else {
            return Err(self.unfit());
        };
        State::unpack(&packed, count).map_err(|_| self.unfit())
    }

    /// Asks which messages have an id that begins with `prefix`.
    pub fn find(&mut self, prefix: &IdPrefix) -> Result<Vec<(Folder, MessageId)>, SessionError> {
        let prefix = prefix.clone();
        match self.small(&Request::Find { prefix }, 0)?.0 {
            Reply::Found { matches } => Ok(matches),
            _ => Err(self.unfit()),
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
            _ => Err(self.unfit()),
        }
    }

    /// Waits until a folder has an entry above number `after`, for 1 to 900
    /// seconds; returns the number of its last entry, no more than `after`
    /// where nothing came.
    pub fn watch(&mut self, folder: Folder, after: u64, wait: u16) -> Result<u64, SessionError> {
        let request = Request::Watch {
            folder,
            after,
            wait,
        };
        match self.small(&request, 0)?.0 {
            Reply::News { count } if count >= after => Ok(count),
            _ => Err(self.unfit()),
        }
    }

    /// Tells smrd that a message was read.
    pub fn mark_read(&mut self, id: MessageId) -> Result<(), SessionError> {
        self.done(&Request::MarkRead { id }, None)
    }

    /// Removes a message of the inbox, or an own copy.
    pub fn remove(&mut self, folder: Folder, id: MessageId) -> Result<(), SessionError> {
        self.done(&Request::Remove { folder, id }, None)
    }

    /// Asks how far a sent message has come in these mailboxes.
    pub fn state(
        &mut self,
        id: MessageId,
        mailboxes: &[MailboxName],
    ) -> Result<Vec<(MailboxName, Progress)>, SessionError> {
        let request = Request::State {
            id,
            mailboxes: mailboxes.to_vec(),
        };
        match self.small(&request, 0)?.0 {
            Reply::States { states } if states.iter().map(|(name, _)| name).eq(mailboxes) => {
                Ok(states)
            }
            _ => Err(self.unfit()),
        }
    }

    fn postmarks(
        &mut self,
        request: &Request,
        sealed: &mut dyn Read,
    ) -> Result<Vec<String>, SessionError> {
        match self.bounded(request, Some(sealed), 0, &mut io::sink())? {
            Reply::Postmarks { postmarks } => Ok(postmarks),
            _ => Err(self.unfit()),
        }
    }

    fn done(&mut self, request: &Request, body: Option<&mut dyn Read>) -> Result<(), SessionError> {
        match self.bounded(request, body, 0, &mut io::sink())? {
            Reply::Done => Ok(()),
            _ => Err(self.unfit()),
        }
    }

    // A reply whose body fits memory: more than was asked for is no answer.
    fn small(&mut self, request: &Request, most: u64) -> Result<(Reply, Vec<u8>), SessionError> {
        let mut body = Vec::new();
        match self.bounded(request, None, most, &mut body) {
            Ok(reply) => Ok((reply, body)),
            Err(SessionError::TooLarge(_)) => Err(self.unfit()),
            Err(error) => Err(error),
        }
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
        let head = request.encode().map_err(AgentError::from)?;
        let carried = self.carry(head, body, &mut out);
        let full = out.full;
        match carried {
            Err(_) if full => Err(SessionError::TooLarge(most)),
            Err(error) => Err(error.into()),
            Ok(head) => match Reply::decode(&head) {
                Ok(Reply::Refused { class, text, hint }) => {
                    Err(SessionError::Refused { class, text, hint })
                }
                Ok(reply) => Ok(reply),
                // Its warrant has verified: what does not parse is smrd's fault.
                Err(error) => {
                    Err(self.unexpected(format!("smrd's answer cannot be read: {error}")))
                }
            },
        }
    }

    // Has a request carried; where smrd is not the one that was pinned, again
    // once its new keys were followed.
    fn carry(
        &mut self,
        request: Vec<u8>,
        mut body: Option<&mut dyn Read>,
        out: &mut dyn Write,
    ) -> Result<Vec<u8>, AgentError> {
        let mut moved = Passing::default();
        let first = {
            let mut body = body.as_mut().map(|from| ReadPassing {
                from: &mut **from,
                kept: &mut moved,
            });
            let body = body.as_mut().map(|body| body as &mut dyn Read);
            self.carry_once(request.clone(), body, out)
        };
        match first {
            Err(error @ AgentError::Failed { .. }) if error.class() == Class::Untrusted => {
                self.follow(error)?;
                match moved.is_empty() {
                    true => self.carry_once(request, body, out),
                    false => Err(AgentError::Failed {
                        class: Class::Busy,
                        text: "the keys of the repository were replaced meanwhile".into(),
                        hint: "try again".into(),
                    }),
                }
            }
            carried => carried,
        }
    }

    // Follows smrd to its new keys, and has the agent follow.
    fn follow(&mut self, error: AgentError) -> Result<(), AgentError> {
        let (Some(pinned), Some(proofs)) = (self.pinned.clone(), &mut self.proofs) else {
            return Err(error);
        };
        let told = |failure: Failure| AgentError::Failed {
            class: failure.class,
            text: failure.text,
            hint: failure.hint.unwrap_or_default(),
        };
        pinned.follow(error.into()).map_err(told)?;
        proofs.against(pinned.identity().map_err(told)?);
        let chain = pinned.chain().to_string();
        self.connection.follow(&self.account, &chain)
    }

    // Has a request carried, and remembers what smrd said to it.
    fn carry_once(
        &mut self,
        request: Vec<u8>,
        body: Option<&mut dyn Read>,
        out: &mut dyn Write,
    ) -> Result<Vec<u8>, AgentError> {
        let (mut asked, mut told) = (Passing::default(), Passing::default());
        let mut body = body.map(|from| ReadPassing {
            from,
            kept: &mut asked,
        });
        let body = body.as_mut().map(|body| body as &mut dyn Read);
        let mut out = WritePassing {
            to: out,
            kept: &mut told,
        };
        let carried = self
            .connection
            .carry(&self.account, &request, body, &mut out);
        // Whatever fails now is not the fault of what was said before.
        let (reply, warrant) = carried.inspect_err(|_| self.words.forget())?;
        self.words.add(Word {
            request,
            asked,
            reply: reply.clone(),
            told,
            warrant,
        });
        Ok(reply)
    }
}

// Takes a part of a body whose length smrd has told; none where it is shorter.
fn split(rest: &mut &[u8], length: u32) -> Option<Vec<u8>> {
    let (part, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(part.to_vec())
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

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use smr_channel::reply::{KeyEntry, ListKind, Listed, State};
    use smr_name::EntryName;

    use super::*;
    use crate::agent::tests::{Act, Fake, carried, reply, rui};

    /// Answers the next request so, whatever it is.
    fn says(with: Reply, body: &'static [u8]) -> Act {
        Box::new(move |tool| {
            carried(tool);
            reply(tool, &with, body);
        })
    }

    fn session(acts: Vec<Act>) -> (Fake, Session) {
        let all: Act = Box::new(move |tool| acts.into_iter().for_each(|act| act(tool)));
        let fake = Fake::start(vec![all]);
        let connection = Connection::open(&fake.socket).unwrap();
        (fake, Session::new(connection, rui()))
    }

    fn name(text: &str) -> MailboxName {
        text.parse().unwrap()
    }

    #[test]
    fn the_clock_is_that_of_the_warrant() {
        let (fake, mut session) = session(vec![says(Reply::Done, b"")]);
        assert_eq!(session.clock().unwrap(), 5);
        drop(session);
        fake.ended();
    }

    fn id() -> MessageId {
        MessageId::from_bytes([7; 16])
    }

    fn entry(peek_len: u32) -> Entry {
        Entry {
            name: EntryName {
                number: 1,
                time: 1_800_000_000,
                id: id(),
                sender: name("ana"),
                size: 4,
                sha256: [1; 32],
                cms: [2; 32],
            },
            state: State::New,
            peek_len,
        }
    }

    fn list(kind: ListKind, der: &[u8]) -> Listed {
        Listed {
            kind,
            digest: Sha256::digest(der).into(),
            len: der.len() as u32,
        }
    }

    fn published(of: &str, record_len: u32, lists: &[Listed]) -> Reply {
        Reply::Account {
            name: name(of),
            record_len,
            lists: lists.to_vec(),
        }
    }

    fn lists(lens: &[u32]) -> Reply {
        let lens = lens.to_vec();
        Reply::Lists { lens }
    }

    fn listing(peeks: &[u32]) -> Reply {
        Reply::Listing {
            entries: peeks.iter().map(|&length| entry(length)).collect(),
            more: false,
            count: 2,
            head: Head::default(),
            before: Head::default(),
        }
    }

    fn users(names: &[&str], more: bool) -> Reply {
        let line = |text: &&str| UserLine {
            name: name(text),
            person: String::new(),
            online: false,
        };
        Reply::Users {
            users: names.iter().map(line).collect(),
            more,
        }
    }

    #[test]
    fn news_is_a_number_that_does_not_fall() {
        let (_fake, mut session) = session(vec![
            says(Reply::News { count: 8 }, b""),
            says(Reply::News { count: 7 }, b""),
            says(Reply::News { count: 6 }, b""),
            says(Reply::Done, b""),
        ]);
        let mut watch = || session.watch(Folder::Inbox, 7, 900);
        assert_eq!(watch().unwrap(), 8);
        assert_eq!(watch().unwrap(), 7);
        for _ in 0..2 {
            assert_eq!(watch().unwrap_err().class(), Class::Untrusted);
        }
    }

    #[test]
    fn a_record_that_is_known_is_not_sent_again() {
        let all = [list(ListKind::Crl, b"l")];
        let (_fake, mut session) = session(vec![
            says(published("ana", 3, &all), b"rec"),
            says(published("ana", 0, &all), b""),
        ]);
        let first = session.account(&name("ana"), None).unwrap();
        assert_eq!(first.record.as_deref(), Some(&b"rec"[..]));
        assert_eq!(first.lists, all);
        let again = session.account(&name("ana"), Some([1; 32])).unwrap();
        assert_eq!(again.record, None);
    }

    #[test]
    fn lists_are_fetched_until_none_is_lacking() {
        let all = [
            list(ListKind::Crl, b"l"),
            list(ListKind::Ocsp, b"ll"),
            list(ListKind::Crl, b"gone"),
        ];
        let (_fake, mut session) =
            session(vec![says(lists(&[1]), b"l"), says(lists(&[2, 0]), b"ll")]);
        let found = session.lists(&all).unwrap();
        assert_eq!(found, [Some(b"l".to_vec()), Some(b"ll".to_vec()), None]);
    }

    #[test]
    fn what_does_not_fit_the_question_is_untrusted() {
        for (with, body) in [
            (published("eve", 3, &[]), &b"rec"[..]),
            (published("ana", 4, &[]), b"rec"),
            (published("ana", 2, &[]), b"rec"),
            (published("ana", 0, &[]), b""),
            (Reply::Done, b""),
        ] {
            let (_fake, mut session) = session(vec![says(with, body)]);
            let error = session.account(&name("ana"), None).unwrap_err();
            assert_eq!(error.class(), Class::Untrusted);
        }
    }

    #[test]
    fn lists_that_were_not_asked_for_are_untrusted() {
        for (with, body) in [
            (lists(&[2]), &b"xx"[..]),
            (lists(&[1]), b"l"),
            (lists(&[2]), b"l"),
            (lists(&[0]), b"ll"),
            (lists(&[]), b""),
            (lists(&[2, 0]), b"ll"),
            (Reply::Done, b""),
        ] {
            let (_fake, mut session) = session(vec![says(with, body)]);
            let error = session.lists(&[list(ListKind::Crl, b"ll")]).unwrap_err();
            assert_eq!(error.class(), Class::Untrusted);
        }
    }

    #[test]
    fn more_lists_than_memory_should_hold_are_refused() {
        let big = Listed {
            len: u32::MAX,
            ..list(ListKind::Crl, b"l")
        };
        let (_fake, mut session) = session(vec![]);
        let error = session.lists(&[big]).unwrap_err();
        assert!(matches!(error, SessionError::TooLarge(_)));
    }

    #[test]
    fn sealed_keys_come_in_pages_that_end() {
        let key = |epoch, len| KeyEntry {
            device: [5; 32],
            epoch,
            len,
        };
        let page = |keys: &[KeyEntry], more| Reply::Keys {
            keys: keys.to_vec(),
            more,
        };
        let (_fake, mut first) = session(vec![
            says(page(&[key(1, 2), key(2, 1)], true), b"aab"),
            says(page(&[key(3, 1)], false), b"c"),
        ]);
        let keys = first.keys().unwrap();
        assert_eq!(keys, [b"aa".to_vec(), b"b".to_vec(), b"c".to_vec()]);
        for (bad, body) in [
            (page(&[], true), &b""[..]),
            (page(&[key(2, 1), key(1, 1)], false), b"ab"),
            (page(&[key(1, 2)], false), b"a"),
            (page(&[key(1, 1)], false), b"ab"),
        ] {
            let (_fake, mut session) = session(vec![says(bad, body)]);
            let error = session.keys().unwrap_err();
            assert_eq!(error.class(), Class::Untrusted);
        }
    }

    #[test]
    fn peeks_belong_to_their_entries() {
        let (_fake, mut session) = session(vec![
            says(listing(&[1, 2]), b"abb"),
            says(listing(&[1, 2]), b"abbb"),
            says(listing(&[1, 2]), b"ab"),
            says(listing(&[1, 1]), b"ab"),
        ]);
        let mut list = |limit| session.list(Folder::Inbox, 0, limit, 10);
        let page = list(2).unwrap();
        let peeks: Vec<_> = page
            .entries
            .iter()
            .map(|(_, peek)| peek.as_slice())
            .collect();
        assert_eq!(peeks, [&b"a"[..], b"bb"]);
        for limit in [2, 2, 1] {
            assert_eq!(list(limit).unwrap_err().class(), Class::Untrusted);
        }
    }

    #[test]
    fn users_come_page_by_page_and_never_in_circles() {
        let (_fake, mut good) = session(vec![
            says(users(&["ana", "eva"], true), b""),
            says(users(&["rui"], false), b""),
        ]);
        let names: Vec<_> = good.users().unwrap().into_iter().map(|u| u.name).collect();
        assert_eq!(names, ["ana", "eva", "rui"].map(name));
        for second in [
            users(&["ana"], true),
            users(&[], true),
            users(&["eva"], false),
        ] {
            let first = says(users(&["ana", "eva"], true), b"");
            let (_fake, mut bad) = session(vec![first, says(second, b"")]);
            assert_eq!(bad.users().unwrap_err().class(), Class::Untrusted);
        }
    }

    #[test]
    fn a_small_deposit_comes_with_its_offer() {
        let offer = Offer {
            size: MAX_POST,
            ..large()
        };
        let whole = vec![7; MAX_POST as usize];
        let (asked, length) = (Request::Post(offer.clone()), whole.len());
        let keeps: Act = Box::new(move |tool| {
            assert_eq!(carried(tool), (asked, length));
            let postmarks = vec!["p".to_owned()];
            reply(tool, &Reply::Postmarks { postmarks }, &[]);
        });
        let (_fake, mut session) = session(vec![keeps]);
        let kept = session.deposit(&offer, &mut whole.as_slice()).unwrap();
        assert_eq!(kept, ["p"]);
    }

    fn large() -> Offer {
        Offer {
            id: id(),
            size: MAX_POST + 1,
            sha256: [1; 32],
            cms: [2; 32],
            mailboxes: vec![name("ana")],
        }
    }

    #[test]
    fn a_large_deposit_is_an_offer_and_then_a_body() {
        let offer = large();
        let asked = offer.clone();
        let accepts: Act = Box::new(move |tool| {
            assert_eq!(carried(tool), (Request::Offer(asked), 0));
            reply(tool, &Reply::Accepted { id: id() }, &[]);
        });
        let keeps: Act = Box::new(|tool| {
            assert_eq!(carried(tool), (Request::Deposit { id: id() }, 4));
            let postmarks = vec!["p".to_owned()];
            reply(tool, &Reply::Postmarks { postmarks }, &[]);
        });
        let other = MessageId::from_bytes([8; 16]);
        let (_fake, mut session) = session(vec![
            accepts,
            keeps,
            says(Reply::Accepted { id: other }, b""),
        ]);
        let kept = session.deposit(&offer, &mut &b"seal"[..]).unwrap();
        assert_eq!(kept, ["p"]);
        let error = session.deposit(&offer, &mut &b"seal"[..]).unwrap_err();
        assert_eq!(error.class(), Class::Untrusted);
    }

    #[test]
    fn refusals_keep_their_class_and_hint() {
        let refusal = Reply::Refused {
            class: Class::NoMailbox,
            text: "no mailbox \"ana\"".into(),
            hint: "smr-ls users".into(),
        };
        let (_fake, mut session) = session(vec![says(refusal, b"")]);
        let error = session.mark_read(id()).unwrap_err();
        assert_eq!(
            (error.class(), error.hint()),
            (Class::NoMailbox, Some("smr-ls users"))
        );
    }

    #[test]
    fn files_over_the_limit_are_refused_and_so_are_others() {
        let mut other = entry(0);
        other.name.id = MessageId::from_bytes([9; 16]);
        let fetch = |with: Entry, limit| {
            let (_fake, mut session) = session(vec![says(Reply::Message { entry: with }, b"seal")]);
            let mut out = Vec::new();
            let entry = session.fetch(Folder::Inbox, id(), None, limit, &mut out);
            entry.map(|entry| (entry, out))
        };
        assert_eq!(fetch(entry(0), 4).unwrap(), (entry(0), b"seal".to_vec()));
        assert_eq!(fetch(entry(0), 3).unwrap_err().class(), Class::Denied);
        assert_eq!(fetch(other, 4).unwrap_err().class(), Class::Untrusted);
    }
}
