//! pcscd, the service that smartcards need: whether it is there.
//!
//! Speaks not a word of its protocol: it is the modules that do.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;

/// Where pcscd listens.
const SOCKET: &str = "/run/pcscd/pcscd.comm";

/// What became of an attempt to reach pcscd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pcscd {
    /// It listens.
    Listens,
    /// Nobody listens.
    Absent,
    /// This user may not.
    Denied,
}

/// Looks for pcscd.
pub fn look() -> Pcscd {
    let socket = std::env::var_os("PCSCLITE_CSOCK_NAME").unwrap_or_else(|| SOCKET.into());
    match UnixStream::connect(socket) {
        Ok(_) => Pcscd::Listens,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Pcscd::Denied,
        Err(_) => Pcscd::Absent,
    }
}

/// Returns what to ask where no card is found.
pub(super) fn question() -> String {
    match look() {
        Pcscd::Listens => {
            "is the card in the reader? smr-register --tokens lists what there is; polkit may \
             keep pcscd from sessions that are not at the machine"
        }
        Pcscd::Absent => {
            "is the card in the reader? pcscd is not running, which smartcards need: \
             systemctl start pcscd.socket"
        }
        Pcscd::Denied => {
            "pcscd does not let this user in: is polkit asking for a session at the machine?"
        }
    }
    .to_owned()
}
