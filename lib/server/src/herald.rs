//! What smrd tells whoever supervises it: that it is ready, reloads, stops, and
//! lives (sd_notify(3)).
//!
//! Holds one socket, connected before smrd is confined: afterwards none can be
//! made. Says nothing where nobody asked (NOTIFY_SOCKET is not set).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The way to the supervisor.
#[derive(Clone, Default)]
pub(crate) struct Herald {
    socket: Option<Arc<UnixDatagram>>,
    /// How often it is to be told that smrd lives.
    every: Option<Duration>,
}

impl Herald {
    /// Takes the way from the environment.
    pub(crate) fn from_env() -> io::Result<Herald> {
        let var = std::env::var_os;
        let every = var("WATCHDOG_USEC").filter(|_| is_ours(var("WATCHDOG_PID").as_deref()));
        match var("NOTIFY_SOCKET") {
            None => Ok(Herald::default()),
            Some(path) => Herald::to(&path, every.as_deref().and_then(half)),
        }
    }

    fn to(path: &OsStr, every: Option<Duration>) -> io::Result<Herald> {
        let socket = UnixDatagram::unbound()?;
        match path.as_bytes() {
            [b'@', name @ ..] => {
                socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
            }
            _ => socket.connect(path)?,
        }
        // Whoever does not listen must not stop the door.
        socket.set_nonblocking(true)?;
        Ok(Herald {
            socket: Some(Arc::new(socket)),
            every,
        })
    }

    fn tell(&self, words: &str) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        socket.send(words.as_bytes()).map(drop)
    }

    /// Says that smrd serves.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.tell("READY=1")
    }

    /// Says that smrd reads its files again; `ready` ends that.
    pub(crate) fn reloading(&self) -> io::Result<()> {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"))
    }

    /// Says that smrd stops.
    pub(crate) fn stopping(&self) -> io::Result<()> {
        self.tell("STOPPING=1")
    }

    /// Says that smrd lives.
    pub(crate) fn alive(&self) -> io::Result<()> {
        self.tell("WATCHDOG=1")
    }

    /// Returns how often `alive` is to be said; none: not at all.
    pub(crate) fn every(&self) -> Option<Duration> {
        self.every.filter(|_| self.socket.is_some())
    }
}

fn is_ours(pid: Option<&OsStr>) -> bool {
    let own = std::process::id().to_string();
    pid.is_none_or(|pid| pid.as_bytes() == own.as_bytes())
}

/// Reads microseconds and halves them: one word may come late.
fn half(text: &OsStr) -> Option<Duration> {
    let microseconds: u64 = text.to_str()?.parse().ok()?;
    Some(Duration::from_micros(microseconds / 2)).filter(|half| !half.is_zero())
}

#[cfg(test)]
mod tests {
    use super::{Herald, half};
    use std::ffi::OsStr;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    fn next(heard: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let count = heard.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn the_supervisor_hears_each_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let herald = Herald::to(path.as_os_str(), half(OsStr::new("200000"))).unwrap();
        assert_eq!(herald.every(), Some(Duration::from_millis(100)));
        herald.ready().unwrap();
        assert_eq!(next(&heard), "READY=1");
        herald.reloading().unwrap();
        let word = next(&heard);
        let since = word.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(since.parse::<u64>().unwrap() > 0);
        herald.alive().unwrap();
        assert_eq!(next(&heard), "WATCHDOG=1");
        herald.stopping().unwrap();
        assert_eq!(next(&heard), "STOPPING=1");
    }

    #[test]
    fn nobody_is_told_where_nobody_asked() {
        let herald = Herald::default();
        assert!(herald.ready().is_ok());
        assert_eq!(herald.every(), None);
        assert_eq!(half(OsStr::new("1")), None);
        assert_eq!(half(OsStr::new("soon")), None);
    }
}
