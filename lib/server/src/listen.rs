//! The door: sockets, and a thread for each connection.
//!
//! Never lets one connection's end, not even a panic, touch another.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, poll};
use smr_name::Class;

use crate::config::Level;
use crate::conn;
use crate::house::House;
use crate::wire::Wire;

/// Bytes of stack for a connection's thread; verifying a path is what needs
/// most of it.
const STACK: usize = 1 << 20;

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
        // Whoever was seen by poll may be gone at accept.
        listener
            .set_nonblocking(true)
            .map_err(socket("prepare a socket"))?;
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

/// Accepts connections until the other end of `wake` is closed.
pub(crate) fn accept_all(house: &Arc<House>, listeners: &[TcpListener], wake: &io::PipeReader) {
    loop {
        let mut polled: Vec<PollFd<'_>> = listeners
            .iter()
            .map(|l| PollFd::new(l, PollFlags::IN))
            .collect();
        polled.push(PollFd::new(wake, PollFlags::IN));
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => {
                // Out of memory, most likely: smrd must not live on deaf.
                failed(house, &error);
                thread::sleep(Duration::from_millis(100));
                continue;
            }
            Ok(_) => {}
        }
        let ready: Vec<bool> = polled.iter().map(|p| !p.revents().is_empty()).collect();
        if ready.last() == Some(&true) {
            return;
        }
        for (listener, ready) in listeners.iter().zip(ready) {
            if ready {
                accept(house, listener);
            }
        }
    }
}

fn failed(house: &House, error: &dyn std::fmt::Display) {
    let line = house.log.line(Level::Error, "listen");
    line.with("why", error).send();
}

fn accept(house: &Arc<House>, listener: &TcpListener) {
    match listener.accept() {
        Ok((stream, from)) => admit(house, stream, from),
        Err(e) => match e.kind() {
            io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted => {}
            _ => {
                failed(house, &e);
                // Out of descriptors, most likely: poll would return at once.
                thread::sleep(Duration::from_millis(100));
            }
        },
    }
}

fn admit(house: &Arc<House>, stream: TcpStream, from: SocketAddr) {
    let stream = Arc::new(stream);
    let Some(seat) = house.seats.take(stream.clone(), from.ip()) else {
        let line = house.log.line(Level::Warn, "full").with("peer", from);
        return line.with("connections", house.seats.count()).send();
    };
    let own = house.clone();
    let builder = thread::Builder::new()
        .name("connection".to_owned())
        .stack_size(STACK);
    let spawned = builder.spawn(move || {
        let peer = from.to_string();
        let run = AssertUnwindSafe(|| {
            let wire = Wire::new(stream)?;
            conn::serve(&own, wire, &seat, &peer)
        });
        report(&own, &peer, catch_unwind(run));
    });
    if let Err(error) = spawned {
        failed(house, &error);
    }
}

fn report(house: &House, peer: &str, end: thread::Result<Result<(), conn::ConnError>>) {
    let (level, why) = match end {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (error.level(), error.to_string()),
        Err(_) => (Level::Error, "panic".to_owned()),
    };
    let line = house.log.line(level, "end").with("peer", peer);
    line.with("why", why).send();
}
