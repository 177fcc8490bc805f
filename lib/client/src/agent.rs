//! The tools' end of the agent's socket (smr-agent-protocol(7)).
//!
//! Holds no secret but what it hands over at login; believes a reply only when
//! the agent says that its warrant verified.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use smr_channel::codec::CodecError;
use smr_channel::local::{Answer, Ask, Frame, Load, Loaded, Memory, VERSION};
use smr_channel::warrant::Warrant;
use smr_name::{Address, Class, MessageId};
use smr_seal::FileKey;
use zeroize::Zeroizing;

use crate::private::is_full;
use talk::{Wire, answer, connect, groups, receive, send, write};

pub use held::{AgentKeys, AgentSigner};
pub use start::start;

mod held;
mod start;
mod talk;

/// Says why the agent could not help.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// None listens.
    #[error("no agent at \"{socket}\": {source}")]
    Missing {
        /// Where one was sought.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else's program listens.
    #[error("the agent at \"{0}\" runs as another user")]
    Stranger(PathBuf),
    /// It left.
    #[error("the agent broke off: {0}")]
    Lost(io::Error),
    /// It said something that is not in the protocol.
    #[error("the agent: {0}")]
    Codec(#[from] CodecError),
    /// It said something that was not due.
    #[error("the agent spoke out of turn")]
    OutOfTurn,
    /// What is to be sent cannot be read.
    #[error("read what is to be sent: {0}")]
    Body(io::Error),
    /// What was received cannot be written.
    #[error("write what was received: {0}")]
    Output(io::Error),
    /// It could not be started.
    #[error("cannot start \"{program}\": {why}")]
    Start {
        /// Which program.
        program: PathBuf,
        /// What the system or the program said.
        why: String,
    },
    /// It did not do what was asked.
    #[error("{text}")]
    Failed {
        /// What kind of failure.
        class: Class,
        /// What is wrong.
        text: String,
        /// What may help; empty for nothing.
        hint: String,
    },
}

impl AgentError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            AgentError::Missing { .. } | AgentError::Lost(_) | AgentError::Start { .. } => {
                Class::Unavailable
            }
            AgentError::Stranger(_) => Class::Denied,
            AgentError::Codec(_) | AgentError::OutOfTurn => Class::Broken,
            AgentError::Output(error) if is_full(error) => Class::Busy,
            AgentError::Body(_) | AgentError::Output(_) => Class::Io,
            AgentError::Failed { class, .. } => *class,
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&str> {
        match self {
            AgentError::Missing { .. } | AgentError::Lost(_) => Some("smr-login"),
            AgentError::Failed { hint, .. } if !hint.is_empty() => Some(hint),
            _ => None,
        }
    }
}

/// A connection to the agent; after a failure in mid-frame it is opened anew
/// by the next call.
///
/// While it lasts, the agent keeps one session with smrd for it.
pub struct Connection {
    socket: PathBuf,
    // None after a failure that leaves frames half said.
    stream: Option<Wire>,
    pid: u32,
}

impl Connection {
    /// Connects to the agent at `socket` and greets it.
    pub fn open(socket: &Path) -> Result<Self, AgentError> {
        let mut connection = Connection::later(socket);
        connection.reconnect()?;
        Ok(connection)
    }

    /// Connects to the agent at `socket` when something is asked of it.
    pub fn later(socket: &Path) -> Self {
        Connection {
            socket: socket.to_owned(),
            stream: None,
            pid: 0,
        }
    }

    /// Returns the agent's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Says who is logged in.
    pub fn status(&mut self) -> Result<Vec<Loaded>, AgentError> {
        Ok(self.standing()?.1)
    }

    /// Says who is logged in, and what guards their secrets.
    pub fn standing(&mut self) -> Result<(Memory, Vec<Loaded>), AgentError> {
        match self.ask(&Ask::Status)? {
            Answer::Status { memory, accounts } => Ok((memory, accounts)),
            _ => Err(AgentError::OutOfTurn),
        }
    }

    /// Hands over an account's secrets; the agent logs in to smrd with them.
    pub fn load(&mut self, load: Load) -> Result<(), AgentError> {
        self.done(&Ask::Load(Box::new(load)))
    }

    /// Returns the device's signature over the signed attributes of a CMS
    /// signature (a DER SET OF), ECDSA in DER.
    pub fn sign(&mut self, account: &Address, attributes: &[u8]) -> Result<Vec<u8>, AgentError> {
        let ask = Ask::Sign {
            account: account.clone(),
            attributes: attributes.to_vec(),
        };
        match self.ask(&ask)? {
            Answer::Signature(signature) => Ok(signature),
            _ => Err(AgentError::OutOfTurn),
        }
    }

    /// Returns the file key in the stanzas of a sealed file, none where no
    /// identity of the account fits.
    pub fn unwrap(
        &mut self,
        account: &Address,
        stanzas: &[smr_seal::Stanza],
    ) -> Result<Option<FileKey>, AgentError> {
        let mut found = None;
        // Every group is asked for: a malformed stanza counts wherever it is.
        for group in groups(stanzas) {
            let ask = Ask::Unwrap {
                account: account.clone(),
                stanzas: group,
            };
            match self.ask(&ask)? {
                Answer::FileKey(key) => found = found.or(key),
                _ => return Err(AgentError::OutOfTurn),
            }
        }
        Ok(found)
    }

    /// Returns the message id that belongs to a key of the user's choice, the
    /// same each time and for this account on this device only.
    pub fn derive(&mut self, account: &Address, key: &str) -> Result<MessageId, AgentError> {
        let ask = Ask::Derive {
            account: account.clone(),
            key: key.to_owned(),
        };
        match self.ask(&ask)? {
            Answer::Id(id) => Ok(id),
            _ => Err(AgentError::OutOfTurn),
        }
    }

    /// Returns the key under which tools seal what they remember of an account.
    pub fn shelf_key(&mut self, account: &Address) -> Result<Zeroizing<[u8; 32]>, AgentError> {
        let account = account.clone();
        match self.ask(&Ask::ShelfKey { account })? {
            Answer::ShelfKey(key) => Ok(key),
            _ => Err(AgentError::OutOfTurn),
        }
    }

    /// Sends an encoded request and its body to smrd; writes the body of the
    /// reply to `out`, and returns the reply's head.
    ///
    /// What is in `out` is genuine only when this returns without error.
    /// Refusals are replies like any other. Bodies are passed through, not
    /// held.
    pub fn carry(
        &mut self,
        account: &Address,
        request: &[u8],
        body: Option<&mut dyn Read>,
        out: &mut dyn Write,
    ) -> Result<(Vec<u8>, Warrant), AgentError> {
        let ask = Ask::Carry {
            account: account.clone(),
            head: request.to_vec(),
        };
        self.whole(|stream| {
            send(stream, ask.encode()?, body)?;
            receive(stream, out)
        })
    }

    /// Has the agent go on with the keys that followed those of smrd.
    pub fn follow(&mut self, account: &Address, chain: &str) -> Result<(), AgentError> {
        self.done(&Ask::Follow {
            account: account.clone(),
            chain: chain.to_owned(),
        })
    }

    /// Wipes an account's secrets in the agent; its name stays.
    pub fn lock(&mut self, account: &Address) -> Result<(), AgentError> {
        self.done(&Ask::Lock {
            account: account.clone(),
        })
    }

    /// Wipes an account's secrets in the agent and forgets it.
    pub fn logout(&mut self, account: &Address) -> Result<(), AgentError> {
        self.done(&Ask::Logout {
            account: account.clone(),
        })
    }

    /// Ends the agent.
    pub fn stop(&mut self) -> Result<(), AgentError> {
        self.done(&Ask::Stop)
    }

    fn done(&mut self, ask: &Ask) -> Result<(), AgentError> {
        match self.ask(ask)? {
            Answer::Done => Ok(()),
            _ => Err(AgentError::OutOfTurn),
        }
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, AgentError> {
        self.whole(|stream| {
            write(stream, &Frame::Head(ask.encode()?))?;
            answer(stream)
        })
    }

    // Lends the stream; keeps it only where both sides know where they are.
    fn whole<T>(
        &mut self,
        talk: impl FnOnce(&mut Wire) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        if self.stream.is_none() {
            self.reconnect()?;
        }
        let mut stream = self.stream.take().ok_or(AgentError::OutOfTurn)?;
        let result = talk(&mut stream);
        if matches!(result, Ok(_) | Err(AgentError::Failed { .. })) {
            self.stream = Some(stream);
        }
        result
    }

    fn reconnect(&mut self) -> Result<(), AgentError> {
        let mut stream = connect(&self.socket)?;
        let hello = Ask::Hello { version: VERSION };
        write(&mut stream, &Frame::Head(hello.encode()?))?;
        match answer(&mut stream)? {
            Answer::Hello { pid, .. } => self.pid = pid,
            _ => return Err(AgentError::OutOfTurn),
        }
        self.stream = Some(stream);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread::{self, JoinHandle};

    use smr_channel::reply::Reply;
    use smr_channel::request::Request;

    use super::talk::read;
    use super::*;

    pub(crate) type Act = Box<dyn FnOnce(&mut UnixStream) + Send>;

    /// An agent that greets, then does as it is told with each connection.
    pub(crate) struct Fake {
        pub(crate) socket: PathBuf,
        _room: tempfile::TempDir,
        life: JoinHandle<()>,
    }

    impl Fake {
        pub(crate) fn start(acts: Vec<Act>) -> Self {
            let room = tempfile::tempdir().unwrap();
            let socket = room.path().join("agent.sock");
            let listener = UnixListener::bind(&socket).unwrap();
            let life = thread::spawn(move || {
                for act in acts {
                    let mut tool = listener.accept().unwrap().0;
                    let hello = Ask::Hello { version: VERSION };
                    assert_eq!(head(&mut tool), hello);
                    let (version, pid) = (VERSION, 7);
                    say(&mut tool, &Answer::Hello { version, pid });
                    act(&mut tool);
                }
            });
            Fake {
                socket,
                _room: room,
                life,
            }
        }

        /// Waits until it has done all it was told.
        pub(crate) fn ended(self) {
            self.life.join().unwrap();
        }
    }

    pub(crate) fn head(tool: &mut UnixStream) -> Ask {
        match read(tool).unwrap() {
            Frame::Head(bytes) => Ask::decode(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn say(tool: &mut UnixStream, answer: &Answer) {
        write(tool, &Frame::Head(answer.encode().unwrap())).unwrap();
    }

    /// Reads a request to its end: the request, and how much body it had.
    pub(crate) fn carried(tool: &mut UnixStream) -> (Request, usize) {
        let Ask::Carry { head, .. } = head(tool) else {
            panic!("not a request")
        };
        let mut size = 0;
        while let Frame::Body(part) = read(tool).unwrap() {
            size += part.len();
        }
        (Request::decode(&head).unwrap(), size)
    }

    pub(crate) fn reply(tool: &mut UnixStream, reply: &Reply, body: &[u8]) {
        let head = reply.encode().unwrap();
        say(tool, &Answer::Reply { head });
        for part in body.chunks(1000) {
            write(tool, &Frame::Body(part.to_vec())).unwrap();
        }
        write(tool, &Frame::End(Some(warrant()))).unwrap();
    }

    fn warrant() -> Warrant {
        Warrant {
            session: [1; 32],
            number: 2,
            request: [3; 32],
            reply: [4; 32],
            time: 5,
            signature: [6; 64],
        }
    }

    pub(crate) fn rui() -> Address {
        "rui@repo.example".parse().unwrap()
    }

    fn ping() -> Vec<u8> {
        Request::Ping.encode().unwrap()
    }

    fn publish() -> Vec<u8> {
        Request::Publish.encode().unwrap()
    }

    fn done() -> Vec<u8> {
        Reply::Done.encode().unwrap()
    }

    fn busy() -> Answer {
        Answer::Failed {
            class: Class::Busy,
            text: "cut".into(),
            hint: String::new(),
        }
    }

    #[test]
    fn no_agent_points_to_login() {
        let error = Connection::open("/nowhere/agent.sock".as_ref())
            .err()
            .unwrap();
        assert_eq!(error.class(), Class::Unavailable);
        assert_eq!(error.hint(), Some("smr-login"));
    }

    #[test]
    fn bodies_go_and_come_whole() {
        let fake = Fake::start(vec![Box::new(|tool| {
            assert_eq!(carried(tool), (Request::Publish, 200_000));
            reply(tool, &Reply::Done, &[9; 3500]);
        })]);
        let mut connection = Connection::open(&fake.socket).unwrap();
        assert_eq!(connection.pid(), 7);
        let (mut body, mut out) = (io::repeat(1).take(200_000), Vec::new());
        let (head, proof) = connection
            .carry(&rui(), &publish(), Some(&mut body), &mut out)
            .unwrap();
        assert_eq!((head, proof, out), (done(), warrant(), vec![9; 3500]));
        fake.ended();
    }

    #[test]
    fn a_failure_stops_an_endless_body_and_the_connection_stays() {
        let fake = Fake::start(vec![Box::new(|tool| {
            assert!(matches!(head(tool), Ask::Carry { .. }));
            assert!(matches!(read(tool).unwrap(), Frame::Body(_)));
            say(tool, &busy());
            while let Frame::Body(_) = read(tool).unwrap() {}
            assert_eq!(carried(tool), (Request::Ping, 0));
            reply(tool, &Reply::Done, &[]);
        })]);
        let mut connection = Connection::open(&fake.socket).unwrap();
        let mut endless = io::repeat(1);
        let failed = connection.carry(&rui(), &publish(), Some(&mut endless), &mut io::sink());
        assert_eq!(failed.unwrap_err().class(), Class::Busy);
        let again = connection.carry(&rui(), &ping(), None, &mut io::sink());
        assert_eq!(again.unwrap().0, done());
        fake.ended();
    }

    #[test]
    fn a_reply_without_its_end_is_none() {
        let cut = |tool: &mut UnixStream| {
            carried(tool);
            let head = Reply::Done.encode().unwrap();
            say(tool, &Answer::Reply { head });
        };
        let fake = Fake::start(vec![
            Box::new(move |tool| {
                cut(tool);
                say(tool, &busy());
            }),
            Box::new(move |tool| {
                cut(tool);
                write(tool, &Frame::End(None)).unwrap();
            }),
            Box::new(cut),
        ]);
        for class in [Class::Busy, Class::Broken, Class::Unavailable] {
            let mut connection = Connection::open(&fake.socket).unwrap();
            let failed = connection.carry(&rui(), &ping(), None, &mut io::sink());
            assert_eq!(failed.unwrap_err().class(), class);
        }
        fake.ended();
    }

    #[test]
    fn a_lost_connection_is_opened_anew() {
        let fake = Fake::start(vec![
            Box::new(|tool| assert_eq!(head(tool), Ask::Status)),
            Box::new(|tool| {
                assert_eq!(head(tool), Ask::Status);
                let none = Answer::Status {
                    memory: Memory::Locked,
                    accounts: vec![],
                };
                say(tool, &none);
            }),
        ]);
        let mut connection = Connection::open(&fake.socket).unwrap();
        assert!(matches!(connection.status(), Err(AgentError::Lost(_))));
        assert_eq!(connection.status().unwrap(), vec![]);
        fake.ended();
    }

    #[test]
    fn answers_to_something_else_are_our_fault() {
        let fake = Fake::start(vec![Box::new(|tool| {
            head(tool);
            say(tool, &Answer::Done);
        })]);
        let mut connection = Connection::open(&fake.socket).unwrap();
        let error = connection.sign(&rui(), b"").unwrap_err();
        assert_eq!(error.class(), Class::Broken);
    }

    #[test]
    fn many_stanzas_go_in_groups_and_the_first_key_counts() {
        let stanza = |_| smr_seal::Stanza {
            tag: "mlkem768x25519".into(),
            args: vec!["A".repeat(1500)],
            body: vec![0; 32],
        };
        let stanzas: Vec<_> = (0..500).map(stanza).collect();
        let fake = Fake::start(vec![Box::new(|tool| {
            let mut seen = 0;
            for key in [None, Some([5; 16].into())] {
                let Ask::Unwrap { stanzas, .. } = head(tool) else {
                    panic!("not stanzas")
                };
                seen += stanzas.len();
                say(tool, &Answer::FileKey(key));
            }
            assert_eq!(seen, 500);
        })]);
        let mut connection = Connection::open(&fake.socket).unwrap();
        let key = connection.unwrap(&rui(), &stanzas).unwrap().unwrap();
        assert_eq!(*key, [5; 16]);
        fake.ended();
    }

    #[test]
    fn programs_that_do_not_listen_are_not_started() {
        let socket = Path::new("/nowhere/agent.sock");
        for program in ["/nowhere/smr-agent", "/bin/true"] {
            let error = start(program.as_ref(), socket).unwrap_err();
            assert_eq!(error.class(), Class::Unavailable, "{program}");
        }
    }
}
