//! The sockets that smrd listens on.
//!
//! Lets nobody in: the door does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use smr_name::Class;

/// Connections that the system keeps until they are let in; it may keep fewer
/// (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// What a local socket for metrics is called where systemd hands it over
/// (FileDescriptorName of systemd.socket(5)).
const METRICS: &str = "metrics";

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
    /// A socket that was handed over is for nothing that smrd does.
    #[error(
        "the socket \"{name}\" that was handed over is neither TCP nor a local one called \"metrics\""
    )]
    Strange {
        /// What it is called.
        name: String,
    },
    /// More than one socket for metrics was handed over.
    #[error("two sockets called \"metrics\" were handed over")]
    Twice,
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
            ListenError::Bind { .. }
            | ListenError::Nowhere
            | ListenError::Strange { .. }
            | ListenError::Twice => Class::Config,
            ListenError::Socket { .. } => Class::Io,
        }
    }
}

fn socket(operation: &'static str) -> impl FnOnce(io::Error) -> ListenError {
    move |source| ListenError::Socket { operation, source }
}

/// The sockets that smrd listens on.
#[derive(Default)]
pub(crate) struct Sockets {
    /// For clients.
    pub(crate) listeners: Vec<TcpListener>,
    /// For whoever asks for metrics, where systemd hands it over.
    pub(crate) metrics: Option<UnixListener>,
}

/// Takes the sockets that systemd hands over (sd_listen_fds(3)): those of TCP
/// for clients, and a local one called "metrics". Binds `addresses` where there
/// is none for clients.
pub(crate) fn open(addresses: &[SocketAddr]) -> Result<Sockets, ListenError> {
    let Sockets {
        mut listeners,
        metrics,
    } = handed_over()?;
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
        false => Ok(Sockets { listeners, metrics }),
    }
}

fn handed_over() -> Result<Sockets, ListenError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for index in 0..handed.len() {
        let name = names.next().unwrap_or_default();
        if let Ok(taken) = handed.take_tcp_listener(index) {
            sockets.listeners.extend(taken);
            continue;
        }
        // By its name too: whoever gives clients a local socket by mistake must
        // not have smrd tell its metrics there.
        let strange = |_| ListenError::Strange {
            name: name.to_owned(),
        };
        let taken = handed.take_unix_listener(index).map_err(strange)?;
        if name != METRICS {
            return Err(strange(io::ErrorKind::InvalidInput.into()));
        }
        if sockets.metrics.is_some() {
            return Err(ListenError::Twice);
        }
        sockets.metrics = taken;
    }
    Ok(sockets)
}

/// Returns where the sockets listen, with real ports.
pub(crate) fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, ListenError> {
    let all = listeners.iter().map(TcpListener::local_addr);
    all.collect::<io::Result<_>>()
        .map_err(socket("ask a socket for its address"))
}
