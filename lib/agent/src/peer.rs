//! Who is at the other end of the agent's socket.
//!
//! Never trusts the folder's mode alone: the kernel names the peer.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process;

/// Says why a peer is turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The kernel does not say who it is.
    #[error("ask the kernel for the peer of the agent's socket: {0}")]
    Unknown(#[from] Errno),
    /// Another local user.
    #[error("user {0} may not use this agent")]
    Stranger(u32),
}

/// Checks that the process at the other end of `socket` runs as our own
/// effective user (SO_PEERCRED, unix(7)). Root is a stranger like any other.
pub(crate) fn check(socket: impl AsFd) -> Result<(), PeerError> {
    let theirs = sockopt::socket_peercred(socket)?.uid.as_raw();
    admit(theirs, process::geteuid().as_raw())
}

fn admit(theirs: u32, ours: u32) -> Result<(), PeerError> {
    if theirs == ours {
        Ok(())
    } else {
        Err(PeerError::Stranger(theirs))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::{PeerError, admit, check};

    #[test]
    fn own_user_is_admitted() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        check(&ours).unwrap();
    }

    #[test]
    fn strangers_and_root_are_not() {
        assert!(matches!(admit(1001, 1000), Err(PeerError::Stranger(1001))));
        assert!(matches!(admit(0, 1000), Err(PeerError::Stranger(0))));
    }

    #[test]
    fn no_socket_no_peer() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(check(&file), Err(PeerError::Unknown(_))));
    }
}
