//! Frames over a TCP connection, each read and write under a deadline.
//!
//! Never allocates by a length it was told before the frame is bounded: at
//! most 64 KiB.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
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

impl From<Errno> for WireError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::TIMEDOUT => WireError::TimedOut,
            _ => WireError::Io(error.into()),
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

/// One connection, while its peer is waited for.
pub(crate) struct Wire {
    stream: Arc<TcpStream>,
    /// What has come, and how much of it was taken.
    ahead: Vec<u8>,
    taken: usize,
    out: Vec<u8>,
}

/// Bytes gathered before they are written.
const GATHER: usize = 128 << 10;
/// Bytes taken from the socket at a time, unless more of a frame are due.
const PART: usize = 4096;

impl Wire {
    /// Takes over a connection, and what has come of it already.
    pub(crate) fn new(stream: Arc<TcpStream>, ahead: Vec<u8>) -> Self {
        Wire {
            stream,
            ahead,
            taken: 0,
            out: Vec::new(),
        }
    }

    /// Tells whether something has come that nobody has taken.
    pub(crate) fn is_ahead(&self) -> bool {
        self.taken < self.ahead.len()
    }

    /// Fills `bytes`; fails with `Closed` where the peer closed before the
    /// first of them.
    fn fill(&mut self, bytes: &mut [u8], patience: Patience) -> Result<(), WireError> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let came = match self.is_ahead() {
                true => self.take(rest),
                // A large part goes where it belongs, what is small comes along.
                false if rest.len() >= PART => self.receive(rest, patience)?,
                false => {
                    let mut part = [0; PART];
                    let came = self.receive(&mut part, patience)?;
                    self.ahead.clear();
                    self.ahead
                        .extend_from_slice(part.get(..came).unwrap_or_default());
                    self.taken = 0;
                    match came {
                        0 => 0,
                        _ => self.take(rest),
                    }
                }
            };
            match came {
                0 if filled == 0 => return Err(WireError::Closed),
                0 => return Err(WireError::Io(io::ErrorKind::UnexpectedEof.into())),
                count => filled += count,
            }
        }
        Ok(())
    }

    fn take(&mut self, room: &mut [u8]) -> usize {
        let there = self.ahead.get(self.taken..).unwrap_or_default();
        let count = there.len().min(room.len());
        if let (Some(room), Some(there)) = (room.get_mut(..count), there.get(..count)) {
            room.copy_from_slice(there);
        }
        self.taken += count;
        count
    }

    /// Receives at least a byte, unless the peer has closed.
    fn receive(&self, room: &mut [u8], patience: Patience) -> Result<usize, WireError> {
        loop {
            // However fast drops come, they cannot stretch it.
            patience.left()?;
            match recv(&*self.stream, &mut *room, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Ok(count),
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, patience)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there may be something to read, or room to write.
    fn wait(&self, flags: PollFlags, patience: Patience) -> Result<(), WireError> {
        let time = Timespec::try_from(patience.left()?).expect("times of patience fit");
        match poll(&mut [PollFd::new(&*self.stream, flags)], Some(&time)) {
            Ok(0) => Err(WireError::TimedOut),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&*self.stream, rest, flags) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, patience)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
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
        (Wire::new(stream, Vec::new()), client)
    }

    const SHORT: Patience = Patience::Each(Duration::from_millis(20));
    const LONG: Patience = Patience::Each(Duration::from_secs(60));

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
        let about = |time: Duration, seconds: f64| (time.as_secs_f64() - seconds).abs() < 30.0;
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
