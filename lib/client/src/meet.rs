//! First contact: asks a server for its identity document, the only thing
//! smrd says outside a session.
//!
//! Believes nothing of it: the caller compares the fingerprint.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use smr_channel::frame::{ASK_IDENTITY, MAGIC};
use smr_channel::identity::{Identity, IdentityError};
use smr_name::Class;

const PATIENCE: Duration = Duration::from_secs(10);

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
    #[error("\"{server}\" does not answer as smrd does: {source}")]
    NotSmrd {
        /// HOST:PORT.
        server: String,
        /// What is wrong.
        source: IdentityError,
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

/// Asks `server` (HOST:PORT) for its identity document, waiting 10 s at most
/// for each step.
pub fn ask_identity(server: &str) -> Result<Identity, MeetError> {
    let text = receive(server).map_err(|source| MeetError::Unreachable {
        server: server.to_owned(),
        source,
    })?;
    Identity::parse(&text).map_err(|source| MeetError::NotSmrd {
        server: server.to_owned(),
        source,
    })
}

fn receive(server: &str) -> io::Result<String> {
    let mut stream = connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(MAGIC)?;
    stream.write_all(&[ASK_IDENTITY])?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut text = String::new();
    stream
        .take(u16::from_be_bytes(length).into())
        .read_to_string(&mut text)?;
    Ok(text)
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
