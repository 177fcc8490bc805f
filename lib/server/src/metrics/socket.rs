//! The text on a local socket, for whoever asks by HTTP/1.0: GET / or /metrics.
//!
//! Serves one at a time, and each for two seconds at most: whoever may open the
//! socket can keep others from the text, and smrd from nothing else.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, listen, socket_with};

use crate::config::Level;
use crate::house::House;

/// Time for one who asks, from his connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that a request may have.
const LONGEST: usize = 4096;
/// Time after which another is let in, where that has failed.
const DEAF: Duration = Duration::from_millis(100);

/// The mode of the socket: for its owner and group.
const OPEN_TO: u32 = 0o660;
/// How many may wait to be let in.
const BACKLOG: i32 = 16;

/// The socket on which metrics are asked for, and the bell that ends it: both
/// are there before smrd is confined, for then neither can be made.
pub(crate) struct Counter {
    listener: UnixListener,
    bell: OwnedFd,
}

impl Counter {
    /// Takes a socket that was handed over, and is its giver's to take away.
    pub(crate) fn of(listener: UnixListener) -> io::Result<Counter> {
        // Whoever poll has seen may be gone at accept.
        listener.set_nonblocking(true)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Counter { listener, bell })
    }

    /// Binds a socket that its owner and group may open. One that nobody listens
    /// on any more is replaced; what is no socket is left alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Counter> {
        let stale = fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket());
        if stale && UnixStream::connect(path).is_err() {
            fs::remove_file(path)?;
        }
        let listener = bound(path)?;
        // The umask may have taken from the group.
        fs::set_permissions(path, Permissions::from_mode(OPEN_TO))?;
        Counter::of(listener)
    }

    /// Waits for the next who asks; none once the bell has rung.
    fn next(&self) -> io::Result<Option<UnixStream>> {
        loop {
            let mut polled = [
                PollFd::new(&self.bell, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => waited?,
            };
            let [bell, _] = polled;
            if !bell.revents().is_empty() {
                return Ok(None);
            }
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(Some(stream)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn ring(&self) {
        // It fails only when it has rung 2^64 - 2 times.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

/// Binds a socket that is never open to more than it should be, whatever the
/// umask: its file gets no more of a mode than the socket has (unix(7)).
fn bound(path: &Path) -> io::Result<UnixListener> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    fchmod(&socket, Mode::from_raw_mode(OPEN_TO))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The thread that answers.
pub(crate) struct Teller {
    counter: Arc<Counter>,
    thread: JoinHandle<()>,
}

impl Teller {
    /// Begins to answer.
    pub(crate) fn begin(house: Arc<House>, counter: Counter) -> io::Result<Teller> {
        let counter = Arc::new(counter);
        let own = counter.clone();
        let builder = thread::Builder::new().name("teller".to_owned());
        let thread = builder.spawn(move || {
            loop {
                let answered = match own.next() {
                    Ok(None) => return,
                    Ok(Some(stream)) => answer(&house, stream),
                    Err(error) => Err(error),
                };
                if let Err(error) = answered {
                    let line = house.log.line(Level::Warn, "metrics");
                    line.with("why", error).send();
                    thread::sleep(DEAF);
                }
            }
        })?;
        Ok(Teller { counter, thread })
    }

    /// Lets nobody in any more, and ends.
    pub(crate) fn finish(self) {
        self.counter.ring();
        // Its panic is not ours.
        let _ = self.thread.join();
    }
}

fn answer(house: &House, mut stream: UnixStream) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    let (status, text) = match asked(&mut stream, end)? {
        Asked::Metrics => ("200 OK", super::text(house)),
        Asked::Elsewhere => ("404 Not Found", "GET /metrics\n".to_owned()),
        Asked::Other => ("400 Bad Request", "GET /metrics\n".to_owned()),
    };
    let kind = match status {
        "200 OK" => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let mut rest = [head.as_bytes(), text.as_bytes()].concat();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        let count = stream.write(&rest)?;
        rest.drain(..count);
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    // A zero timeout would mean to wait for ever.
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// What somebody asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    Metrics,
    Elsewhere,
    Other,
}

/// Reads a request to the empty line after its head.
fn asked(stream: &mut UnixStream, end: Instant) -> io::Result<Asked> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !is_whole(&head) {
        if head.len() > LONGEST {
            return Ok(Asked::Other);
        }
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut part)? {
            0 => return Ok(Asked::Other),
            count => head.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    Ok(read(&head))
}

fn is_whole(head: &[u8]) -> bool {
    let ends = |end: &[u8]| head.windows(end.len()).any(|bytes| bytes == end);
    ends(b"\r\n\r\n") || ends(b"\n\n")
}

fn read(head: &[u8]) -> Asked {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.trim_ascii_end().split(|byte| *byte == b' ');
    match words.collect::<Vec<_>>()[..] {
        [b"GET", path, b"HTTP/1.0" | b"HTTP/1.1"] => match path {
            b"/" | b"/metrics" => Asked::Metrics,
            [b'/', ..] => Asked::Elsewhere,
            _ => Asked::Other,
        },
        _ => Asked::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Counter, LONGEST, asked, read};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::{Duration, Instant};

    #[test]
    fn only_the_metrics_are_told() {
        for head in [
            "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET /metrics HTTP/1.0\n\n",
        ] {
            assert_eq!(read(head.as_bytes()), Asked::Metrics, "{head}");
        }
        assert_eq!(read(b"GET /etc/passwd HTTP/1.1\r\n\r\n"), Asked::Elsewhere);
        for head in [
            "",
            "GET /metrics",
            "POST /metrics HTTP/1.1",
            "GET  HTTP/1.1",
        ] {
            assert_eq!(read(head.as_bytes()), Asked::Other, "{head}");
        }
    }

    #[test]
    fn requests_are_bounded_in_length_and_time() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let within = |time| Instant::now() + time;
        theirs.write_all(&[b'x'; LONGEST + 1024]).unwrap();
        let long = within(Duration::from_secs(60));
        assert_eq!(asked(&mut ours, long).unwrap(), Asked::Other);
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"GET / HTTP/1.0\r\n").unwrap();
        let short = within(Duration::from_millis(50));
        assert!(asked(&mut ours, short).is_err());
    }

    #[test]
    fn a_socket_is_at_no_moment_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _listener = super::bound(&path).unwrap();
        // Before its mode is set; the umask here leaves others the right to read.
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0);
    }

    #[test]
    fn a_socket_that_is_left_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.sock");
        drop(Counter::bind(&path).unwrap());
        let listener = Counter::bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(Counter::bind(&path).is_err(), "somebody listens");
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(Counter::bind(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
    #[test]
    fn the_bell_ends_the_wait_and_leaves_the_socket_to_its_giver() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.sock");
        let giver = UnixListener::bind(&path).unwrap();
        let counter = Counter::of(giver.try_clone().unwrap()).unwrap();
        let _asker = UnixStream::connect(&path).unwrap();
        assert!(counter.next().unwrap().is_some());
        counter.ring();
        assert!(counter.next().unwrap().is_none());
        drop(counter);
        let _late = UnixStream::connect(&path).unwrap();
        giver.accept().unwrap();
    }
}
