//! Frames over a TCP connection, each read and write under a deadline.
//!
//! Never allocates by a length it was told before the frame is bounded: at
//! most 64 KiB.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smr_channel::frame::{self, FrameError};

/// Says why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The peer closed it between two messages.
    #[error("closed by the peer")]
    Closed,
    /// The peer was silent, or took nothing, for too long.
    #[error("timed out")]
    TimedOut,
    /// Reading or writing failed.
    #[error("connection broken: {0}")]
    Io(io::Error),
    /// A frame of no legal length.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => WireError::TimedOut,
            _ => WireError::Io(error),
        }
    }
}

/// How long to wait for the peer.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// All of it must happen before this moment.
    Until(Instant),
    /// Each read or write may take so long.
    #[cfg(test)]
    Each(Duration),
}

/// Bytes of a message that are worth a second more.
const WORTH: u64 = 4096;

/// How a message goes on: it may take a time, and a second more for each 4 KiB
/// of it that went, and no frame longer than that time. So drops cannot keep a
/// worker, and what went fast at first earns no rest.
pub(crate) struct Pace {
    step: Duration,
    end: Instant,
    rest: u64,
}

impl Pace {
    /// Begins a message of which a frame may take so long.
    pub(crate) fn begin(step: Duration) -> Pace {
        Pace {
            step,
            end: Instant::now() + step,
            rest: 0,
        }
    }

    /// Returns how long the next frame may take, of so many bytes more.
    pub(crate) fn patience(&self) -> Patience {
        Patience::Until(self.end.min(Instant::now() + self.step))
    }

    /// Notes that so many bytes went.
    pub(crate) fn went(&mut self, bytes: usize) {
        self.rest += bytes as u64;
        self.end += Duration::from_secs(self.rest / WORTH);
        self.rest %= WORTH;
    }
}

impl Patience {
    fn left(self) -> Result<Duration, WireError> {
        let left = match self {
            Patience::Until(end) => end.saturating_duration_since(Instant::now()),
            #[cfg(test)]
            Patience::Each(time) => time,
        };
        // A zero timeout would mean to wait for ever.
        match left.is_zero() {
            true => Err(WireError::TimedOut),
            false => Ok(left),
        }
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: Arc<TcpStream>,
    out: Vec<u8>,
}

/// Bytes gathered before they are written.
const GATHER: usize = 128 << 10;

impl Wire {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        Wire {
            stream,
            out: Vec::new(),
        }
    }

    /// Fills `bytes`; fails with `Closed` where the peer closed before the
    /// first of them.
    fn fill(&mut self, bytes: &mut [u8], patience: Patience) -> Result<(), WireError> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.stream.set_read_timeout(Some(patience.left()?))?;
            match (&*self.stream).read(rest) {
                Ok(0) if filled == 0 => return Err(WireError::Closed),
                Ok(0) => return Err(WireError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Reads a frame.
    pub(crate) fn frame(&mut self, patience: Patience) -> Result<Vec<u8>, WireError> {
        let mut header = [0; frame::HEADER];
        self.fill(&mut header, patience)?;
        let mut bytes = vec![0; frame::length(header)?];
        self.fill(&mut bytes, patience)?;
        Ok(bytes)
    }

    /// Puts a frame among those to be written; writes when there are many.
    pub(crate) fn put(&mut self, bytes: &[u8], patience: Patience) -> Result<(), WireError> {
        self.out.extend_from_slice(&frame::header(bytes)?);
        self.out.extend_from_slice(bytes);
        match self.out.len() >= GATHER {
            true => self.flush(patience),
            false => Ok(()),
        }
    }

    /// Writes what was put.
    pub(crate) fn flush(&mut self, patience: Patience) -> Result<(), WireError> {
        let out = std::mem::take(&mut self.out);
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(patience.left()?))?;
            match (&*self.stream).write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Patience, Wire, WireError};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Arc::new(listener.accept().unwrap().0);
        (Wire::new(stream), client)
    }

    const SHORT: Patience = Patience::Each(Duration::from_millis(20));
    const LONG: Patience = Patience::Each(Duration::from_secs(20));

    #[test]
    fn frames_cross_both_ways() {
        let (mut wire, mut client) = pair();
        client.write_all(&[0, 3, 1, 2, 3]).unwrap();
        assert_eq!(wire.frame(LONG).unwrap(), [1, 2, 3]);
        wire.put(&[9, 9], LONG).unwrap();
        wire.flush(LONG).unwrap();
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 2, 9, 9]);
    }

    #[test]
    fn silence_ends_the_wait() {
        let (mut wire, mut client) = pair();
        assert!(matches!(wire.frame(SHORT), Err(WireError::TimedOut)));
        client.write_all(&[0]).unwrap();
        assert!(matches!(wire.frame(SHORT), Err(WireError::TimedOut)));
        let past = Patience::Until(Instant::now());
        assert!(matches!(wire.frame(past), Err(WireError::TimedOut)));
    }

    #[test]
    fn drops_cannot_stretch_a_deadline() {
        let (mut wire, mut client) = pair();
        let end = Instant::now() + Duration::from_millis(100);
        let dripping = std::thread::spawn(move || {
            while client.write_all(&[1]).is_ok() && Instant::now() < end + Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let mut bytes = [0; 4096];
        let result = wire.fill(&mut bytes, Patience::Until(end));
        assert!(matches!(result, Err(WireError::TimedOut)));
        drop(wire);
        dripping.join().unwrap();
    }

    #[test]
    fn what_went_is_worth_time_but_no_rest() {
        let step = Duration::from_secs(60);
        let begin = Instant::now();
        let mut pace = Pace::begin(step);
        let most = |pace: &Pace| match pace.patience() {
            Patience::Until(end) => end - begin,
            Patience::Each(_) => panic!("not each"),
        };
        let about = |time: Duration, seconds: f64| (time.as_secs_f64() - seconds).abs() < 5.0;
        assert!(about(most(&pace), 60.0));
        for _ in 0..4096 * 100 {
            pace.went(1);
        }
        assert!(about(pace.end - begin, 160.0));
        assert!(about(most(&pace), 60.0), "no frame longer than a step");
        pace.went(1 << 30);
        assert!(about(most(&pace), 60.0));
        // Whoever has used up his time has what the next bytes are worth.
        let mut late = Pace::begin(Duration::ZERO);
        late.went(4095);
        assert!(matches!(late.patience().left(), Err(WireError::TimedOut)));
    }

    #[test]
    fn empty_frames_and_cut_ones_are_refused() {
        let (mut wire, mut client) = pair();
        client.write_all(&[0, 0, 0, 9, 1]).unwrap();
        drop(client);
        assert!(matches!(wire.frame(LONG), Err(WireError::Frame(_))));
        assert!(matches!(wire.frame(LONG), Err(WireError::Io(_))));
        assert!(matches!(wire.frame(LONG), Err(WireError::Closed)));
    }
}
