//! What pool.rs takes from the agent: a session, which knows here whether it is
//! in use, and is counted as long as its keys are there.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Sessions whose keys are not wiped.
pub(crate) static ALIVE: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, thiserror::Error)]
#[error("a session was refused")]
pub(crate) struct LinkError;

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
    pub(crate) fn open() -> Link {
        ALIVE.fetch_add(1, SeqCst);
        Link { is_lent: false }
    }

    pub(crate) fn breaker(&self) -> Result<TcpStream, LinkError> {
        CONNECTION.try_clone().map_err(|_| LinkError)
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
