//! pcscd, the service that smartcards need: whether it is there, and whether
//! it talks to this user.
//!
//! Asks it for its version and nothing more: the rest is for the modules.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Where pcscd listens.
const SOCKET: &str = "/run/pcscd/pcscd.comm";

/// How long to wait for an answer of one that is alive.
const PATIENCE: Duration = Duration::from_secs(5);

/// CMD_VERSION of pcsc-lite's winscard_msg.h, and the version of the protocol
/// that libpcsclite has spoken since 1.8: bytes that follow, command, major,
/// minor, result, each 32 bits as this machine has them.
const QUESTION: [u32; 5] = [12, 0x11, 4, 4, 0];
const ANSWER: usize = 12;

/// What became of an attempt to reach pcscd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pcscd {
    /// It listens, and talks to this user.
    Listens,
    /// Nobody listens.
    Absent,
    /// This user may not.
    Denied,
    /// It takes the call and says nothing.
    Silent,
}

/// Looks for pcscd.
pub fn look() -> Pcscd {
    let socket = std::env::var_os("PCSCLITE_CSOCK_NAME").unwrap_or_else(|| SOCKET.into());
    look_at(Path::new(&socket), PATIENCE)
}

fn look_at(socket: &Path, patience: Duration) -> Pcscd {
    match ask(socket, patience).map_err(|error| error.kind()) {
        Ok(()) => Pcscd::Listens,
        Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Pcscd::Silent,
        // It takes everybody's call, asks polkit, and hangs up.
        Err(
            ErrorKind::PermissionDenied
            | ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe,
        ) => Pcscd::Denied,
        Err(_) => Pcscd::Absent,
    }
}

fn ask(socket: &Path, patience: Duration) -> Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let question: Vec<u8> = QUESTION.iter().flat_map(|n| n.to_ne_bytes()).collect();
    stream.write_all(&question)?;
    match stream.read(&mut [0; ANSWER])? {
        0 => Err(Error::from(ErrorKind::UnexpectedEof)),
        _ => Ok(()),
    }
}

impl Pcscd {
    /// Says what stands between cards and this user; none where it listens.
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Pcscd::Listens => None,
            Pcscd::Absent => Some("pcscd is not running"),
            Pcscd::Denied => Some("pcscd turns this user away"),
            Pcscd::Silent => Some("pcscd does not answer"),
        }
    }

    /// Returns what to do, or to ask, where no reader or card is seen.
    pub fn hint(self) -> &'static str {
        match self {
            Pcscd::Listens => {
                "is the card in the reader? smr-register --tokens lists what there is"
            }
            Pcscd::Absent => "systemctl start pcscd.socket: smartcards need it",
            Pcscd::Denied => {
                "ask the machine's administrator for a rule for org.debian.pcsc-lite.access_pcsc \
                 and access_card: polkit lets in only who sits there"
            }
            Pcscd::Silent => "systemctl restart pcscd",
        }
    }

    /// Returns what to ask where readers are seen and not the card: some need
    /// no pcscd.
    pub(super) fn question(self) -> String {
        match self.fault() {
            None => self.hint().to_owned(),
            Some(fault) => format!("is the card in the reader? {fault}: {}", self.hint()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Has somebody listen who does this with the first call.
    fn met(act: impl FnOnce(UnixStream) + Send + 'static) -> Pcscd {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = thread::spawn(move || act(listener.accept().unwrap().0));
        let found = look_at(&socket, Duration::from_secs(60));
        thread.join().unwrap();
        found
    }

    #[test]
    fn whom_pcscd_does_not_talk_to_is_told_apart_from_nobody() {
        assert_eq!(met(drop), Pcscd::Denied);
        let hears = |mut stream: UnixStream| stream.read_exact(&mut [0; 20]).unwrap();
        assert_eq!(met(hears), Pcscd::Denied);
        let answers = move |mut stream: UnixStream| {
            hears(stream.try_clone().unwrap());
            stream.write_all(&[0; ANSWER]).unwrap();
        };
        assert_eq!(met(answers), Pcscd::Listens);
        let nowhere = look_at(Path::new("/nowhere/pcscd.comm"), PATIENCE);
        assert_eq!(nowhere, Pcscd::Absent);
        // Nobody takes the call, and the system holds the line.
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _held = UnixListener::bind(&socket).unwrap();
        let patience = Duration::from_millis(50);
        assert_eq!(look_at(&socket, patience), Pcscd::Silent);
    }

    #[test]
    fn each_state_has_words_of_its_own() {
        let all = [Pcscd::Absent, Pcscd::Denied, Pcscd::Silent];
        let said: std::collections::HashSet<_> = all.map(|p| (p.fault(), p.hint())).into();
        assert_eq!(said.len(), 3);
        assert!(Pcscd::Listens.fault().is_none());
    }
}
