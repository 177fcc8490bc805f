//! One client: sends, reads, gives receipts; and where its connection is cut,
//! goes on in another session until each of its messages is acknowledged.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand_core::{OsRng, RngCore};
use smr_channel::frame::{ASK_SESSION, MAGIC};
use smr_channel::handshake::{Initiator, Suite};
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_channel::session::{Event, MAX_CHUNK, Session};
use smr_name::{Class, MailboxName, MessageId};

use super::Ledger;
use super::town::client::{give_receipt, offer, read_frame};
use super::town::now;
use super::town::people::Person;

/// How long it may take until a message is acknowledged, through whatever.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time before another try.
const AGAIN: Duration = Duration::from_millis(50);
/// Messages read in one turn.
const READ: u16 = 8;

/// An entry of a listing: its number, its message, and who sent it.
type Line = (u64, MessageId, String);

pub(crate) struct Visitor<'a> {
    own: &'a Person,
    address: SocketAddr,
    identity: &'a Identity,
    ledger: &'a Ledger,
    session: Option<(TcpStream, Session)>,
    /// The last of the inbox that was read, and has its receipt.
    read: u64,
}

fn put(stream: &mut TcpStream, frame: &[u8]) -> Option<()> {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, frame].concat()).ok()
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(
        own: &'a Person,
        address: SocketAddr,
        identity: &'a Identity,
        ledger: &'a Ledger,
    ) -> Self {
        Visitor {
            own,
            address,
            identity,
            ledger,
            session: None,
            read: 0,
        }
    }

    fn add(&self, to: &AtomicU64) {
        to.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens a session; none where smrd is not there, or goes.
    fn open(&mut self) -> Option<()> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream
            .write_all(&[MAGIC.as_slice(), &[ASK_SESSION]].concat())
            .ok()?;
        let (initiator, frame) = Initiator::start(self.identity, &Suite::ALL, &mut OsRng).unwrap();
        put(&mut stream, &frame)?;
        let (introducing, hash) = initiator.answer(&read_frame(&mut stream)?).unwrap();
        let introduction = self.own.login_as(&self.own.name, &hash);
        let (frame, session) = introducing.finish(&introduction, now()).unwrap();
        put(&mut stream, &frame)?;
        self.session = Some((stream, session));
        let (reply, _) = self.take()?;
        if matches!(
            reply,
            Reply::Refused {
                class: Class::Busy,
                ..
            }
        ) {
            self.add(&self.ledger.busy);
            return None;
        }
        assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
        self.add(&self.ledger.sessions);
        Some(())
    }

    fn take(&mut self) -> Option<(Reply, Vec<u8>)> {
        let (stream, session) = self.session.as_mut()?;
        let (mut head, mut body) = (Vec::new(), Vec::new());
        loop {
            match session.receive(&read_frame(stream)?).unwrap() {
                Event::Head(bytes) => head = bytes,
                Event::Body(part) => body.extend_from_slice(&part),
                Event::Close(warrant) => {
                    assert!(warrant.is_some(), "a reply without a warrant");
                    return Some((Reply::decode(&head).unwrap(), body));
                }
            }
        }
    }

    fn ask_once(&mut self, request: &Request, body: &[u8]) -> Option<(Reply, Vec<u8>)> {
        let (stream, session) = self.session.as_mut()?;
        put(
            stream,
            &session.send_head(&request.encode().unwrap()).unwrap(),
        )?;
        for part in body.chunks(MAX_CHUNK) {
            put(stream, &session.send_body(part).unwrap())?;
        }
        put(stream, &session.close_request().unwrap())?;
        self.take()
    }

    /// Asks, in a session that it opens if need be; none where that was cut.
    fn ask(&mut self, request: &Request, body: &[u8]) -> Option<(Reply, Vec<u8>)> {
        if self.session.is_none() && self.open().is_none() {
            self.session = None;
            thread::sleep(AGAIN);
            return None;
        }
        let due = self
            .session
            .as_ref()
            .is_some_and(|(_, session)| session.renewal_due(now()));
        let answer = match due {
            true => self.renew().and_then(|()| self.ask_once(request, body)),
            false => self.ask_once(request, body),
        };
        if answer.is_none() {
            self.session = None;
            self.add(&self.ledger.cut);
        }
        if let Some((Reply::Refused { class, text, .. }, _)) = &answer {
            assert_eq!(*class, Class::Busy, "{request:?}: {text}");
            self.add(&self.ledger.busy);
            thread::sleep(AGAIN);
            return None;
        }
        answer
    }

    fn renew(&mut self) -> Option<()> {
        let request = self.session.as_mut()?.1.renew(&mut OsRng).unwrap();
        let (reply, _) = self.ask_once(&request, &[])?;
        self.session.as_mut()?.1.renewed(&reply, now()).unwrap();
        Some(())
    }

    /// Tries until it is answered.
    fn insist<T>(&mut self, mut act: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(done) = act(self) {
                return done;
            }
            assert!(Instant::now() < end, "{} waits for ever", self.own.name);
        }
    }

    /// Sends to whom `choose` says, and reads, with a pause after each turn,
    /// until all is to end.
    pub(crate) fn live(&mut self, pause: Duration, choose: impl Fn(usize) -> MailboxName) {
        let mut turn = 0;
        while !self.ledger.closing.load(Ordering::Relaxed) {
            let begin = Instant::now();
            turn += 1;
            self.send(&choose(turn));
            if turn.is_multiple_of(4) {
                self.insist(Self::read);
            }
            thread::sleep(pause.saturating_sub(begin.elapsed()));
        }
    }

    fn send(&mut self, to: &MailboxName) {
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let id = MessageId::from_bytes(id);
        let mut body = id.to_string().into_bytes();
        body.resize(32 + usize::from(id.as_bytes()[0]) * 32, b'x');
        let offered = offer(id, &body, &[to.as_str()]);
        let postmarks = self.insist(|own| {
            own.ask(&offered, &[])?;
            match own.ask(&Request::Deposit { id }, &body)?.0 {
                Reply::Postmarks { postmarks } => Some(postmarks),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(postmarks.len(), 2);
        let mut deposits = self.ledger.deposits.lock().unwrap();
        deposits.insert((to.to_string(), id));
        drop(deposits);
        self.add(&self.ledger.acknowledged);
    }

    /// Reads what is new and gives receipts for it.
    fn read(&mut self) -> Option<()> {
        let (entries, _) = self.page(Folder::Inbox, self.read, READ)?;
        for (number, id, sender) in entries {
            let fetch = Request::Fetch {
                folder: Folder::Inbox,
                id,
                reader: None,
            };
            let (_, body) = self.ask(&fetch, &[])?;
            assert!(
                body.starts_with(id.to_string().as_bytes()),
                "another's body"
            );
            self.add(&self.ledger.fetched);
            self.ask(&Request::MarkRead { id }, &[])?;
            let receipt = format!("{} has read {id}", self.own.name).into_bytes();
            self.ask(&give_receipt(id, &receipt), &receipt)?;
            let mut receipts = self.ledger.receipts.lock().unwrap();
            receipts.insert((sender, id));
            self.read = number;
        }
        Some(())
    }

    fn page(&mut self, folder: Folder, after: u64, limit: u16) -> Option<(Vec<Line>, bool)> {
        let list = Request::List {
            folder,
            after,
            limit,
            peek: 0,
        };
        let Reply::Listing { entries, more, .. } = self.ask(&list, &[])?.0 else {
            panic!("no listing");
        };
        let entry = |entry: &smr_channel::reply::Entry| {
            let name = &entry.name;
            (name.number, name.id, name.sender.to_string())
        };
        Some((entries.iter().map(entry).collect(), more))
    }

    /// Adds all that is in its inbox, and the receipts that it was given.
    pub(crate) fn collect(
        &mut self,
        deposits: &mut BTreeSet<(String, MessageId)>,
        receipts: &mut BTreeSet<(String, MessageId)>,
    ) {
        for (folder, all) in [(Folder::Inbox, deposits), (Folder::Receipts, receipts)] {
            let (mut after, mut more) = (0, true);
            while more {
                let entries;
                (entries, more) = self.insist(|own| own.page(folder, after, 100));
                for (number, id, _) in entries {
                    all.insert((self.own.name.to_string(), id));
                    after = number;
                }
            }
        }
    }
}
