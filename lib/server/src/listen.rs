//! The sockets that smrd listens on.
//!
//! Lets nobody in: the door does.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use smr_name::Class;

/// Connections that the system keeps until they are let in; it may keep fewer
/// (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// Says why smrd does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address cannot be bound.
    #[error("cannot listen on \"{address}\": {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A socket that was handed over, or the pipe that wakes us, does not work.
    #[error("cannot {operation}: {source}")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// There is nothing to listen on.
    #[error("no address to listen on")]
    Nowhere,
}

impl ListenError {
    /// Returns the class: an address in use may be free later.
    pub fn class(&self) -> Class {
        match self {
            ListenError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Class::Busy
            }
            ListenError::Bind { .. } | ListenError::Nowhere => Class::Config,
            ListenError::Socket { .. } => Class::Io,
        }
    }
}

fn socket(operation: &'static str) -> impl FnOnce(io::Error) -> ListenError {
    move |source| ListenError::Socket { operation, source }
}

/// Takes the sockets that systemd hands over (sd_listen_fds(3)), or binds
/// `addresses` where it hands over none.
pub(crate) fn open(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let mut handed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..handed.len() {
        let taken = handed.take_tcp_listener(index);
        listeners.extend(taken.map_err(socket("take the socket handed over"))?);
    }
    if listeners.is_empty() {
        for &address in addresses {
            let bound = TcpListener::bind(address);
            listeners.push(bound.map_err(|source| ListenError::Bind { address, source })?);
        }
    }
    for listener in &listeners {
        // Whoever was seen by epoll may be gone at accept.
        listener
            .set_nonblocking(true)
            .map_err(socket("prepare a socket"))?;
        // A crowd must not make others wait for their second try.
        let heard = rustix::net::listen(listener, BACKLOG);
        heard.map_err(|e| socket("listen on a socket")(e.into()))?;
    }
    match listeners.is_empty() {
        true => Err(ListenError::Nowhere),
        false => Ok(listeners),
    }
}

/// Returns where the sockets listen, with real ports.
pub(crate) fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, ListenError> {
    let all = listeners.iter().map(TcpListener::local_addr);
    all.collect::<io::Result<_>>()
        .map_err(socket("ask a socket for its address"))
}
