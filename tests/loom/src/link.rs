//! What pool.rs and account.rs take from the agent: a session, which knows here
//! whether it is in use, and is counted as long as its keys are there.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use smr_channel::handshake::{Introduction, Suite};
use smr_channel::identity::Identity;
use smr_name::{Class, MailboxName};

use crate::keys::KeysError;

/// Sessions whose keys are not wiped.
pub(crate) static ALIVE: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("a session was refused")]
    Refused,
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl LinkError {
    pub(crate) fn class(&self) -> Class {
        Class::Busy
    }

    pub(crate) fn hint(&self) -> &str {
        ""
    }
}

/// Where smrd is; nobody goes there.
#[derive(Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) server: String,
    pub(crate) identity: Identity,
    pub(crate) mailbox: MailboxName,
    pub(crate) suites: Vec<Suite>,
}

/// One connection for all: it is broken in earnest, and nobody reads it.
static CONNECTION: LazyLock<TcpStream> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let stream = TcpStream::connect(address).expect("a connection");
    stream.shutdown(Shutdown::Both).expect("it ends");
    stream
});

pub(crate) struct Link {
    is_lent: bool,
}

impl Link {
    /// Makes its way, which takes its time, and introduces the device then.
    pub(crate) fn open(
        _: &Target,
        introduce: impl FnOnce(&[u8; 32]) -> Result<Introduction, KeysError>,
    ) -> Result<Link, LinkError> {
        introduce(&[0; 32])?;
        Ok(Link::opened())
    }

    pub(crate) fn opened() -> Link {
        ALIVE.fetch_add(1, SeqCst);
        Link { is_lent: false }
    }

    pub(crate) fn breaker(&self) -> Result<TcpStream, LinkError> {
        CONNECTION.try_clone().map_err(|_| LinkError::Refused)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        true
    }

    /// Begins to serve one tool, and no other.
    pub(crate) fn lend(&mut self) {
        assert!(!self.is_lent, "one session for two");
        self.is_lent = true;
    }

    /// Has served it.
    pub(crate) fn give_back(&mut self) {
        self.is_lent = false;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}
