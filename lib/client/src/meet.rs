//! First contact: asks a server for its identity document and for the ones
//! before it, the only things smrd says outside a session.
//!
//! Believes nothing of them: the caller compares the fingerprint.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use smr_channel::frame::{ASK_CHAIN, MAGIC};
use smr_channel::identity::Identity;
use smr_evidence::note::succession::{Chain, MAX_CHAIN, SuccessionError};
use smr_name::Class;

const PATIENCE: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(20);

/// Says why a server did not present itself.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// It cannot be reached, or went silent.
    #[error("cannot reach smrd at \"{server}\": {source}")]
    Unreachable {
        /// HOST:PORT.
        server: String,
        /// The system's answer.
        source: io::Error,
    },
    /// What it sent is no identity document.
    #[error("\"{server}\" does not answer as smrd does: {why}")]
    NotSmrd {
        /// HOST:PORT.
        server: String,
        /// What is wrong.
        why: String,
    },
}

impl MeetError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            // Not HOST:PORT: it will never be reached.
            MeetError::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::InvalidInput =>
            {
                Class::Usage
            }
            MeetError::Unreachable { .. } => Class::Busy,
            MeetError::NotSmrd { .. } => Class::Untrusted,
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            MeetError::Unreachable { .. } => Some("is smrd running there? --server is HOST:PORT"),
            MeetError::NotSmrd { .. } => {
                Some("is it the right port? smrd listens on 7667 by default")
            }
        }
    }
}

/// Asks `server` (HOST:PORT) for its identity document, the last of the chain,
/// and for those before it, waiting 10 s at most for each step and 20 for all,
/// however slowly it comes; but looking its name up takes what it takes.
pub fn ask_chain(server: &str) -> Result<Chain, MeetError> {
    let bytes = receive(server, WHOLE).map_err(|source| MeetError::Unreachable {
        server: server.to_owned(),
        source,
    })?;
    let not_smrd = |why: String| MeetError::NotSmrd {
        server: server.to_owned(),
        why,
    };
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| not_smrd(SuccessionError::Damaged.to_string()))?;
    let chain = Chain::parse(&text).map_err(|error| not_smrd(error.to_string()))?;
    match Identity::parse(&chain.tip().document) {
        Ok(_) => Ok(chain),
        Err(error) => Err(not_smrd(error.to_string())),
    }
}

/// Receives all that a server says, or one frame more than a chain may be long.
fn receive(server: &str, whole: Duration) -> io::Result<Vec<u8>> {
    let addresses: Vec<_> = server.to_socket_addrs()?.collect();
    let end = Instant::now() + whole;
    let mut stream = connect(&addresses, end)?;
    stream.write_all(&[&MAGIC[..], &[ASK_CHAIN]].concat())?;
    let mut said = Vec::new();
    while let Some(part) = frame(&mut stream)? {
        said.extend(part);
        if said.len() > MAX_CHAIN {
            break;
        }
    }
    Ok(said)
}

/// Returns the next frame; none where smrd has closed before it.
fn frame(stream: &mut Timed) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    match stream.read(&mut length)? {
        0 => return Ok(None),
        1 => stream.read_exact(&mut length[1..])?,
        _ => {}
    }
    let mut part = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut part)?;
    Ok(Some(part))
}

/// A connection that is over at a moment: who sends a byte now and then must
/// not hold it.
struct Timed {
    tcp: TcpStream,
    end: Instant,
}

impl Timed {
    /// Returns how long a step may take.
    fn step(end: Instant) -> io::Result<Duration> {
        let left = end.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(left.min(PATIENCE)),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.set_write_timeout(Some(Timed::step(self.end)?))?;
        self.tcp.write_all(bytes)
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(Timed::step(self.end)?))?;
        self.tcp.read(buffer).map_err(|error| match error.kind() {
            // The system's word for it is no help to anybody.
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

fn connect(addresses: &[SocketAddr], end: Instant) -> io::Result<Timed> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, Timed::step(end)?) {
            Ok(tcp) => return Ok(Timed { tcp, end }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Somebody who is asked, and answers so.
    fn asked(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            tcp.read_exact(&mut [0; MAGIC.len() + 1]).unwrap();
            answer(&mut tcp);
        });
        server
    }

    #[test]
    fn who_sends_a_byte_now_and_then_holds_nobody() {
        let server = asked(|tcp| {
            tcp.write_all(&u16::MAX.to_be_bytes()).unwrap();
            // Each comes in time; all would take an hour.
            while tcp.write_all(b"s").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let begun = Instant::now();
        let error = receive(&server, Duration::from_millis(500)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn what_no_smrd_says_is_not_for_another_time() {
        let endless = |tcp: &mut TcpStream| {
            let part = [&u16::MAX.to_be_bytes()[..], &[b's'; u16::MAX as usize]].concat();
            while tcp.write_all(&part).is_ok() {}
        };
        let no_text = |tcp: &mut TcpStream| tcp.write_all(&[0, 1, 0xff]).unwrap();
        for server in [asked(endless), asked(no_text)] {
            let error = ask_chain(&server).unwrap_err();
            assert!(matches!(error, MeetError::NotSmrd { .. }), "{error}");
        }
    }
}
