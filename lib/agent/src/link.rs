//! One session with smrd: a TCP connection, its handshake, requests and
//! replies, and the renewal of its key.
//!
//! Holds no message: chunks pass through. What it hands out before a close is
//! provisional.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rand_core::OsRng;
use smr_channel::codec::CodecError;
use smr_channel::frame::{self, ASK_IDENTITY, ASK_SESSION, FrameError, MAGIC};
use smr_channel::handshake::{HandshakeError, Initiator, Introduction, Suite};
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::session::{Event, MAX_CHUNK, Session, SessionError};
use smr_channel::warrant::Warrant;
use smr_name::{Class, MailboxName};

use crate::clock;
use crate::keys::KeysError;
use crate::locked::Locked;

const CONNECT: Duration = Duration::from_secs(10);
/// For each frame of a handshake, however slowly it comes.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// For each frame after it: smrd may be syncing a large body to a slow disk.
const PATIENCE: Duration = Duration::from_secs(300);

/// Says why a session could not be opened or is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Nobody answers there.
    #[error("cannot reach smrd at \"{server}\": {source}")]
    Unreachable {
        /// HOST:PORT.
        server: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection was cut.
    #[error("the connection to smrd was cut: {0}")]
    Cut(io::Error),
    /// Another repository answers there.
    #[error("the server at \"{0}\" is not the one that was pinned")]
    Stranger(String),
    /// What answers does not prove to be the pinned repository.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A reply or its warrant does not verify.
    #[error("smrd's answer does not verify: {0}")]
    Session(#[from] SessionError),
    /// A frame without a legal length.
    #[error("smrd's answer does not verify: {0}")]
    Frame(#[from] FrameError),
    /// A reply that is none.
    #[error("smrd's answer does not verify: {0}")]
    Reply(#[from] CodecError),
    /// A genuine reply to something else.
    #[error("smrd answered something that was not asked")]
    Unexpected,
    /// smrd does not let us in.
    #[error("{text}")]
    Refused {
        /// What kind of refusal.
        class: Class,
        /// Why.
        text: String,
        /// What may help.
        hint: String,
    },
    /// Our own key failed.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl LinkError {
    /// Returns the class of this failure.
    pub(crate) fn class(&self) -> Class {
        match self {
            LinkError::Unreachable { .. } | LinkError::Cut(_) => Class::Busy,
            LinkError::Handshake(error) => error.class(),
            LinkError::Session(error) => error.class(),
            LinkError::Refused { class, .. } => *class,
            LinkError::Keys(error) => error.class(),
            _ => Class::Untrusted,
        }
    }

    /// Returns what may help, empty for nothing.
    pub(crate) fn hint(&self) -> &str {
        match self {
            LinkError::Unreachable { .. } => "is smrd running, and the address right?",
            LinkError::Cut(_) => "try again",
            LinkError::Stranger(_) => "ask its operator for the output of smrd --fingerprint",
            LinkError::Refused { hint, .. } => hint,
            _ => "",
        }
    }

    /// Tells whether the session merely ended, so that another may do better.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self, LinkError::Cut(_))
    }
}

/// Where and what smrd is, and who we are there.
#[derive(Clone, PartialEq)]
pub(crate) struct Target {
    /// HOST:PORT.
    pub(crate) server: String,
    /// smrd's identity, pinned.
    pub(crate) identity: Identity,
    /// Our mailbox.
    pub(crate) mailbox: MailboxName,
    /// The suites to offer, the preferred one first.
    pub(crate) suites: Vec<Suite>,
}

/// An open session.
pub(crate) struct Link {
    reader: BufReader<Timed>,
    writer: BufWriter<TcpStream>,
    // Its chain key lies in it, not behind a pointer.
    session: Locked<Session>,
    // Seconds of uptime after which smrd will not serve it.
    until: i64,
}

impl Link {
    /// Connects, shakes hands and introduces the device; `introduce` gets the
    /// handshake hash to sign.
    pub(crate) fn open(
        target: &Target,
        introduce: impl FnOnce(&[u8; 32]) -> Result<Introduction, KeysError>,
    ) -> Result<Link, LinkError> {
        let tcp = connect(&target.server)?;
        let timed = Timed::new(clone(&tcp)?, HANDSHAKE);
        let mut reader = BufReader::with_capacity(frame::MAX_FRAME, timed);
        let mut writer = BufWriter::with_capacity(frame::MAX_FRAME, tcp);
        greet(&mut writer, ASK_SESSION).map_err(LinkError::Cut)?;

        let (initiator, first) = Initiator::start(&target.identity, &target.suites, &mut OsRng)?;
        send(&mut writer, &first)?;
        writer.flush().map_err(LinkError::Cut)?;
        let second = read_frame(&mut reader).map_err(|error| explain(error, target))?;
        let (introducing, hash) = initiator.answer(&second)?;
        // Only spans of it count here, and a wall clock can be set back.
        let (third, session) = introducing.finish(&introduce(&hash)?, clock::uptime())?;
        send(&mut writer, &third)?;
        writer.flush().map_err(LinkError::Cut)?;

        let mut link = Link {
            reader,
            writer,
            session: Locked::new(session),
            until: i64::MAX,
        };
        link.welcome(&target.mailbox)?;
        link.patience(PATIENCE).map_err(LinkError::Cut)?;
        Ok(link)
    }

    /// Returns a second handle on the connection, to break it from elsewhere.
    pub(crate) fn breaker(&self) -> Result<TcpStream, LinkError> {
        clone(self.writer.get_ref())
    }

    /// Returns the connection, to wait for it.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.reader.get_ref().tcp
    }

    /// Tells whether an idle session can take a request: smrd speaks only when
    /// asked, so anything to read, even an end, means that it is over.
    pub(crate) fn is_fresh(&self) -> bool {
        let tcp = self.socket();
        if self.session.is_over() || clock::uptime() >= self.until {
            return false;
        }
        if !self.reader.buffer().is_empty() || tcp.set_nonblocking(true).is_err() {
            return false;
        }
        let silent = matches!(tcp.peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        tcp.set_nonblocking(false).is_ok() && silent
    }

    /// Begins a request, renewing the session key first where that is due.
    pub(crate) fn begin(&mut self, head: &[u8]) -> Result<(), LinkError> {
        if self.session.renewal_due(clock::uptime()) {
            self.renew()?;
        }
        self.send_head(head)
    }

    /// Continues the request by a part of its body, of any length.
    pub(crate) fn body(&mut self, part: &[u8]) -> Result<(), LinkError> {
        for chunk in part.chunks(MAX_CHUNK) {
            let sealed = self.session.send_body(chunk)?;
            send(&mut self.writer, &sealed)?;
        }
        Ok(())
    }

    /// Ends the request; smrd's turn.
    pub(crate) fn close(&mut self) -> Result<(), LinkError> {
        let sealed = self.session.close_request()?;
        send(&mut self.writer, &sealed)?;
        self.writer.flush().map_err(LinkError::Cut)
    }

    /// Takes the next piece of the reply.
    pub(crate) fn next(&mut self) -> Result<Event, LinkError> {
        let sealed = read_frame(&mut self.reader)?;
        Ok(self.session.receive(&sealed)?)
    }

    fn send_head(&mut self, head: &[u8]) -> Result<(), LinkError> {
        let sealed = self.session.send_head(head)?;
        send(&mut self.writer, &sealed)
    }

    // A reply without a body, whole and genuine.
    fn reply(&mut self) -> Result<(Reply, Warrant), LinkError> {
        let Event::Head(head) = self.next()? else {
            return Err(LinkError::Unexpected);
        };
        let Event::Close(Some(warrant)) = self.next()? else {
            return Err(LinkError::Unexpected);
        };
        Ok((Reply::decode(&head)?, warrant))
    }

    fn welcome(&mut self, mailbox: &MailboxName) -> Result<(), LinkError> {
        match self.reply()?.0 {
            Reply::Welcome {
                account,
                until,
                now,
            } if account == *mailbox => {
                let lifetime = until.saturating_sub(now);
                self.until = clock::uptime().saturating_add(lifetime);
                Ok(())
            }
            Reply::Refused { class, text, hint } => Err(LinkError::Refused { class, text, hint }),
            _ => Err(LinkError::Unexpected),
        }
    }

    fn renew(&mut self) -> Result<(), LinkError> {
        let request = self.session.renew(&mut OsRng)?;
        self.send_head(&request.encode()?)?;
        self.close()?;
        match self.reply()?.0 {
            reply @ Reply::Renewed { .. } => Ok(self.session.renewed(&reply, clock::uptime())?),
            Reply::Refused { class, text, hint } => Err(LinkError::Refused { class, text, hint }),
            _ => Err(LinkError::Unexpected),
        }
    }

    fn patience(&mut self, time: Duration) -> io::Result<()> {
        self.reader.get_mut().patience = time;
        self.writer.get_ref().set_write_timeout(Some(time))
    }
}

/// A connection on which each frame has its time: smrd must not hold us by a byte
/// now and then.
struct Timed {
    tcp: TcpStream,
    /// For each frame.
    patience: Duration,
    /// When the one that is read now must be whole.
    end: Instant,
}

impl Timed {
    fn new(tcp: TcpStream, patience: Duration) -> Timed {
        let end = Instant::now() + patience;
        Timed { tcp, patience, end }
    }

    fn begin(&mut self) {
        self.end = Instant::now() + self.patience;
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.tcp.set_read_timeout(Some(left))?;
        self.tcp.read(buffer).map_err(|error| match error.kind() {
            // The system's word for it is no help to anybody.
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

fn connect(server: &str) -> Result<TcpStream, LinkError> {
    let failed = |source| LinkError::Unreachable {
        server: server.to_owned(),
        source,
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in server.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&address, CONNECT).and_then(prepared) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn prepared(tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(HANDSHAKE))?;
    Ok(tcp)
}

fn clone(tcp: &TcpStream) -> Result<TcpStream, LinkError> {
    tcp.try_clone().map_err(LinkError::Cut)
}

fn greet(writer: &mut impl Write, wish: u8) -> io::Result<()> {
    writer.write_all(MAGIC)?;
    writer.write_all(&[wish])
}

fn send(writer: &mut impl Write, bytes: &[u8]) -> Result<(), LinkError> {
    let header = frame::header(bytes)?;
    writer.write_all(&header).map_err(LinkError::Cut)?;
    writer.write_all(bytes).map_err(LinkError::Cut)
}

fn read_frame(reader: &mut BufReader<Timed>) -> Result<Vec<u8>, LinkError> {
    reader.get_mut().begin();
    let mut header = [0; frame::HEADER];
    reader.read_exact(&mut header).map_err(LinkError::Cut)?;
    let mut bytes = vec![0; frame::length(header)?];
    reader.read_exact(&mut bytes).map_err(LinkError::Cut)?;
    Ok(bytes)
}

// A repository with other keys cannot read our first frame and hangs up. Its
// identity document, though unproven, tells that from a bad line.
fn explain(error: LinkError, target: &Target) -> LinkError {
    let shown = error.is_cut().then(|| shown_identity(&target.server));
    match shown.flatten() {
        Some(text) if text != target.identity.to_string() => {
            LinkError::Stranger(target.server.clone())
        }
        _ => error,
    }
}

fn shown_identity(server: &str) -> Option<String> {
    let mut tcp = connect(server).ok()?;
    greet(&mut tcp, ASK_IDENTITY).ok()?;
    let mut reader = BufReader::new(Timed::new(tcp, HANDSHAKE));
    String::from_utf8(read_frame(&mut reader).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    static LONG: [u8; 60_000] = [7; 60_000];

    /// Reads a frame of 60,000 bytes that come one by one, after pauses.
    fn dripped(patience: Duration, pause: Duration) -> Result<Vec<u8>, LinkError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        let server = thread::spawn(move || {
            let frame = [&frame::header(&LONG).unwrap()[..], &LONG].concat();
            // Until nobody reads any more.
            for byte in frame {
                if theirs.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(pause);
            }
        });
        let frame = read_frame(&mut BufReader::new(Timed::new(ours, patience)));
        server.join().unwrap();
        frame
    }

    #[test]
    fn a_frame_has_its_time_and_no_byte_gives_it_more() {
        // All of it would take five minutes: no reader is late enough to find
        // it there.
        let cut = dripped(Duration::from_millis(50), Duration::from_millis(5));
        assert!(matches!(cut, Err(LinkError::Cut(_))));
        let whole = dripped(Duration::from_secs(600), Duration::ZERO);
        assert_eq!(whole.unwrap(), LONG);
    }
}
