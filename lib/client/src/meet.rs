//! First contact: asks a server for its identity document and for the ones
//! before it, the only things smrd says outside a session.
//!
//! Believes nothing of them: the caller compares the fingerprint.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use smr_channel::frame::{ASK_CHAIN, MAGIC};
use smr_channel::identity::Identity;
use smr_evidence::note::succession::{Chain, MAX_CHAIN};
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
/// and for those before it, waiting 10 s at most for each step and 20 for all.
pub fn ask_chain(server: &str) -> Result<Chain, MeetError> {
    let text = receive(server).map_err(|source| MeetError::Unreachable {
        server: server.to_owned(),
        source,
    })?;
    let not_smrd = |why: String| MeetError::NotSmrd {
        server: server.to_owned(),
        why,
    };
    let chain = Chain::parse(&text).map_err(|error| not_smrd(error.to_string()))?;
    match Identity::parse(&chain.tip().document) {
        Ok(_) => Ok(chain),
        Err(error) => Err(not_smrd(error.to_string())),
    }
}

fn receive(server: &str) -> io::Result<String> {
    let mut stream = connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(MAGIC)?;
    stream.write_all(&[ASK_CHAIN])?;
    let (mut text, end) = (Vec::new(), Instant::now() + WHOLE);
    while let Some(part) = frame(&mut stream)? {
        text.extend(part);
        if text.len() > MAX_CHAIN || Instant::now() > end {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Returns the next frame; none where smrd has closed before it.
fn frame(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
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

fn connect(server: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
