//! The tools' end of the agent's socket (smr-agent-protocol(7)).
//!
//! Holds no secret but what it hands over at login; believes a reply only when
//! the agent says that its warrant verified.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smr_channel::codec::CodecError;
use smr_channel::local::{Answer, Ask, Frame, HEADER, Load, Loaded, Stanza, VERSION};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::MAX_CHUNK;
use smr_channel::warrant::Warrant;
use smr_evidence::envelope::{Unwrap, UnwrapError};
use smr_evidence::trust::{Algorithm, Certificate, Signer, SignerError};
use smr_name::{Address, Class};
use smr_seal::FileKey;
use zeroize::Zeroizing;

// An agent that has just been started listens within this time, in seconds.
const START: i64 = 20;
// All stanzas of a large message do not fit one frame: they go in groups.
const GROUP: usize = 512 * 1024;

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
    stream: Option<UnixStream>,
    pid: u32,
}

impl Connection {
    /// Connects to the agent at `socket` and greets it.
    pub fn open(socket: &Path) -> Result<Self, AgentError> {
        let mut connection = Connection {
            socket: socket.to_owned(),
            stream: None,
            pid: 0,
        };
        connection.reconnect()?;
        Ok(connection)
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
        match self.ask(&Ask::Status)? {
            Answer::Status { accounts } => Ok(accounts),
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

    /// Sends a request and its body to smrd; writes the body of the reply to
    /// `out`.
    ///
    /// What is in `out` is genuine only when this returns without error.
    /// Refusals are replies like any other. Bodies are passed through, not
    /// held.
    pub fn carry(
        &mut self,
        account: &Address,
        request: &Request,
        body: Option<&mut dyn Read>,
        out: &mut dyn Write,
    ) -> Result<(Reply, Warrant), AgentError> {
        let ask = Ask::Carry {
            account: account.clone(),
            head: request.encode()?,
        };
        self.whole(|stream| {
            write(stream, &Frame::Head(ask.encode()?))?;
            if let Some(body) = body {
                send_body(stream, body)?;
            }
            write(stream, &Frame::End(None))?;
            receive(stream, out)
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
        talk: impl FnOnce(&mut UnixStream) -> Result<T, AgentError>,
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

fn groups(stanzas: &[smr_seal::Stanza]) -> Vec<Vec<Stanza>> {
    let mut groups = vec![Vec::new()];
    let mut room = GROUP;
    for stanza in stanzas {
        let args: usize = stanza.args.iter().map(|arg| arg.len() + 2).sum();
        let size = stanza.tag.len() + args + stanza.body.len() + 6;
        if size > room {
            groups.push(Vec::new());
            room = GROUP;
        }
        room = room.saturating_sub(size);
        if let Some(group) = groups.last_mut() {
            group.push(Stanza {
                tag: stanza.tag.clone(),
                args: stanza.args.clone(),
                body: stanza.body.clone(),
            });
        }
    }
    groups
}

fn connect(socket: &Path) -> Result<UnixStream, AgentError> {
    let missing = |source| AgentError::Missing {
        socket: socket.to_owned(),
        source,
    };
    let stream = UnixStream::connect(socket).map_err(missing)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream);
    let peer = peer.map_err(|error| missing(error.into()))?;
    // We are about to hand it secrets.
    if peer.uid != rustix::process::geteuid() {
        return Err(AgentError::Stranger(socket.to_owned()));
    }
    Ok(stream)
}

fn write(stream: &mut UnixStream, frame: &Frame) -> Result<(), AgentError> {
    stream.write_all(&frame.encode()?).map_err(AgentError::Lost)
}

fn read(stream: &mut UnixStream) -> Result<Frame, AgentError> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).map_err(AgentError::Lost)?;
    let mut bytes = Zeroizing::new(vec![0; Frame::length(header)?]);
    stream.read_exact(&mut bytes).map_err(AgentError::Lost)?;
    Ok(Frame::decode(&bytes)?)
}

fn answer(stream: &mut UnixStream) -> Result<Answer, AgentError> {
    match read(stream)? {
        Frame::Head(bytes) => accepted(Answer::decode(&bytes)?),
        _ => Err(AgentError::OutOfTurn),
    }
}

fn accepted(answer: Answer) -> Result<Answer, AgentError> {
    match answer {
        Answer::Failed { class, text, hint } => Err(AgentError::Failed { class, text, hint }),
        answer => Ok(answer),
    }
}

// Ends early when the agent has something to say: that can only be a failure,
// and it waits for the end of the request.
fn send_body(stream: &mut UnixStream, body: &mut dyn Read) -> Result<(), AgentError> {
    let mut part = vec![0; MAX_CHUNK];
    while !is_readable(stream, 0)? {
        let count = fill(body, &mut part)?;
        let whole = part.get(..count).unwrap_or_default();
        if whole.is_empty() {
            return Ok(());
        }
        write(stream, &Frame::Body(whole.to_vec()))?;
    }
    Ok(())
}

fn fill(body: &mut dyn Read, part: &mut [u8]) -> Result<usize, AgentError> {
    let mut filled = 0;
    while let Some(room) = part.get_mut(filled..).filter(|room| !room.is_empty()) {
        match body.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(AgentError::Body(error)),
        }
    }
    Ok(filled)
}

fn receive(stream: &mut UnixStream, out: &mut dyn Write) -> Result<(Reply, Warrant), AgentError> {
    let Answer::Reply { head } = answer(stream)? else {
        return Err(AgentError::OutOfTurn);
    };
    loop {
        match read(stream)? {
            Frame::Body(part) => out.write_all(&part).map_err(AgentError::Output)?,
            Frame::End(Some(warrant)) => return Ok((decode(&head)?, warrant)),
            Frame::End(None) => return Err(AgentError::OutOfTurn),
            Frame::Head(bytes) => {
                accepted(Answer::decode(&bytes)?)?;
                return Err(AgentError::OutOfTurn);
            }
        }
    }
}

// Only after the warrant: what does not parse then is smrd's fault.
fn decode(head: &[u8]) -> Result<Reply, AgentError> {
    Reply::decode(head).map_err(|error| AgentError::Failed {
        class: Class::Untrusted,
        text: format!("smrd's answer cannot be read: {error}"),
        hint: String::new(),
    })
}

fn is_readable(fd: &impl std::os::fd::AsFd, seconds: i64) -> Result<bool, AgentError> {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(AgentError::Lost(error.into())),
    }
}

/// Starts `program`, the agent, to listen at `socket`; returns when it does.
///
/// It detaches itself from the terminal and ends when its last account is
/// gone.
pub fn start(program: &Path, socket: &Path) -> Result<(), AgentError> {
    let failed = |why: String| AgentError::Start {
        program: program.to_owned(),
        why,
    };
    let mut child = Command::new(program)
        .args(["--detach", "--exit-when-empty", "--ready-fd", "1"])
        .arg("--socket")
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if is_ready(&mut child)? {
        return Ok(());
    }
    // It may hang as well as have ended.
    let _ = child.kill();
    let output = child.wait_with_output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| !line.trim().is_empty());
    Err(failed(line.unwrap_or("it said nothing").to_owned()))
}

// Readiness is one line; the end of the stream before it is the end of the agent.
fn is_ready(child: &mut Child) -> Result<bool, AgentError> {
    let Some(stdout) = child.stdout.as_mut() else {
        return Ok(false);
    };
    let until = std::time::Instant::now() + Duration::from_secs(START.unsigned_abs());
    while std::time::Instant::now() < until {
        if is_readable(stdout, START)? {
            let mut line = [0; 64];
            let count = stdout.read(&mut line).map_err(AgentError::Lost)?;
            return Ok(line.get(..count).is_some_and(|l| l.ends_with(b"\n")));
        }
    }
    Ok(false)
}

/// The device of an account as a signer; its key stays in the agent.
pub struct AgentSigner {
    connection: Mutex<Connection>,
    account: Address,
    certificate: Certificate,
    chain: Vec<Certificate>,
}

impl AgentSigner {
    /// Signs through a connection of its own to the agent at `socket`;
    /// `certificate` is the device's, `chain` the card's and its issuers'.
    pub fn open(
        socket: &Path,
        account: Address,
        certificate: Certificate,
        chain: Vec<Certificate>,
    ) -> Result<Self, AgentError> {
        Ok(AgentSigner {
            connection: Mutex::new(Connection::open(socket)?),
            account,
            certificate,
            chain,
        })
    }
}

impl Signer for AgentSigner {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::EcdsaP256Sha256
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut connection = hold(&self.connection);
        let signature = connection.sign(&self.account, message);
        signature.map_err(|error| SignerError(Box::new(error)))
    }
}

/// The age identities of an account; they stay in the agent.
pub struct AgentKeys {
    connection: Mutex<Connection>,
    account: Address,
}

impl AgentKeys {
    /// Opens sealed files through a connection of its own to the agent at
    /// `socket`.
    pub fn open(socket: &Path, account: Address) -> Result<Self, AgentError> {
        Ok(AgentKeys {
            connection: Mutex::new(Connection::open(socket)?),
            account,
        })
    }
}

impl Unwrap for AgentKeys {
    fn unwrap(&self, stanzas: &[smr_seal::Stanza]) -> Result<Option<FileKey>, UnwrapError> {
        let key = hold(&self.connection).unwrap(&self.account, stanzas);
        key.map_err(|error| UnwrapError {
            class: error.class(),
            text: error.to_string(),
            hint: error.hint().unwrap_or_default().to_owned(),
        })
    }
}

// A connection survives a panic of its user: it is opened anew where needed.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
