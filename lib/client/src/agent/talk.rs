//! Frames to and from the agent, and the bodies of requests and replies.
//!
//! Holds one frame at a time; knows no request.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smr_channel::local::{Answer, Frame, HEADER, Stanza};
use smr_channel::session::MAX_CHUNK;
use smr_channel::warrant::Warrant;
use zeroize::{Zeroize, Zeroizing};

use super::AgentError;

// All stanzas of a large message do not fit one frame: they go in groups.
const GROUP: usize = 512 * 1024;
// Short frames are read and written together.
const TOGETHER: usize = 16 * 1024;

/// A stream to the agent that reads ahead; what was taken from it is wiped.
pub(super) struct Wire {
    stream: UnixStream,
    ahead: Zeroizing<Box<[u8]>>,
    // What of it is still to be taken.
    from: usize,
    to: usize,
}

impl Wire {
    fn new(stream: UnixStream) -> Self {
        Wire {
            stream,
            ahead: Zeroizing::new(vec![0; TOGETHER].into()),
            from: 0,
            to: 0,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.from == self.to {
            if out.len() >= TOGETHER {
                return self.stream.read(out);
            }
            (self.from, self.to) = (0, self.stream.read(&mut self.ahead)?);
        }
        let there = &mut self.ahead[self.from..self.to];
        let count = there.len().min(out.len());
        out[..count].copy_from_slice(&there[..count]);
        there[..count].zeroize();
        self.from += count;
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

pub(super) fn connect(socket: &Path) -> Result<Wire, AgentError> {
    let missing = |source| AgentError::Missing {
        socket: socket.to_owned(),
        source,
    };
    let stream = UnixStream::connect(socket).map_err(missing)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream);
    let peer = peer.map_err(|error| missing(error.into()))?;
    // We are about to hand it secrets.
    if peer.uid != rustix::process::geteuid() {
        return Err(AgentError::Stranger(socket.to_owned()));
    }
    Ok(Wire::new(stream))
}

pub(super) fn write(stream: &mut impl Write, frame: &Frame) -> Result<(), AgentError> {
    stream.write_all(&frame.encode()?).map_err(AgentError::Lost)
}

pub(super) fn read(stream: &mut impl Read) -> Result<Frame, AgentError> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).map_err(AgentError::Lost)?;
    let mut bytes = Zeroizing::new(vec![0; Frame::length(header)?]);
    stream.read_exact(&mut bytes).map_err(AgentError::Lost)?;
    Ok(Frame::decode(&bytes)?)
}

pub(super) fn answer(stream: &mut Wire) -> Result<Answer, AgentError> {
    match read(stream)? {
        Frame::Head(bytes) => accepted(Answer::decode(&bytes)?),
        _ => Err(AgentError::OutOfTurn),
    }
}

fn accepted(answer: Answer) -> Result<Answer, AgentError> {
    match answer {
        Answer::Failed { class, text, hint } => Err(AgentError::Failed { class, text, hint }),
        answer => Ok(answer),
    }
}

/// Sends a request: its head, what `body` holds, its end; together where they
/// are short.
///
/// The body ends early when the agent has something to say: that can only be a
/// failure, and it waits for the end of the request.
pub(super) fn send(
    wire: &mut Wire,
    head: Zeroizing<Vec<u8>>,
    body: Option<&mut dyn Read>,
) -> Result<(), AgentError> {
    let mut said = Frame::Head(head).encode()?.to_vec();
    if let Some(body) = body {
        let mut part = vec![0; MAX_CHUNK];
        while !is_readable(wire, 0)? {
            let count = fill(body, &mut part)?;
            let whole = part.get(..count).unwrap_or_default();
            if whole.is_empty() {
                break;
            }
            said.extend_from_slice(&Frame::Body(whole.to_vec()).encode()?);
            if said.len() > TOGETHER {
                wire.write_all(&said).map_err(AgentError::Lost)?;
                said.clear();
            }
        }
    }
    said.extend_from_slice(&Frame::End(None).encode()?);
    wire.write_all(&said).map_err(AgentError::Lost)
}

fn fill(body: &mut dyn Read, part: &mut [u8]) -> Result<usize, AgentError> {
    let mut filled = 0;
    while let Some(room) = part.get_mut(filled..).filter(|room| !room.is_empty()) {
        match body.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(AgentError::Body(error)),
        }
    }
    Ok(filled)
}

pub(super) fn receive(
    stream: &mut Wire,
    out: &mut dyn Write,
) -> Result<(Vec<u8>, Warrant), AgentError> {
    let Answer::Reply { head } = answer(stream)? else {
        return Err(AgentError::OutOfTurn);
    };
    loop {
        match read(stream)? {
            Frame::Body(part) => out.write_all(&part).map_err(AgentError::Output)?,
            Frame::End(Some(warrant)) => return Ok((head, warrant)),
            Frame::End(None) => return Err(AgentError::OutOfTurn),
            Frame::Head(bytes) => {
                accepted(Answer::decode(&bytes)?)?;
                return Err(AgentError::OutOfTurn);
            }
        }
    }
}

pub(super) fn is_readable(fd: &impl AsFd, seconds: i64) -> Result<bool, AgentError> {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(AgentError::Lost(error.into())),
    }
}

pub(super) fn groups(stanzas: &[smr_seal::Stanza]) -> Vec<Vec<Stanza>> {
    let mut groups = vec![Vec::new()];
    let mut room = GROUP;
    for stanza in stanzas {
        let args: usize = stanza.args.iter().map(|arg| arg.len() + 2).sum();
        let size = stanza.tag.len() + args + stanza.body.len() + 6;
        if size > room {
            groups.push(Vec::new());
            room = GROUP;
        }
        room = room.saturating_sub(size);
        if let Some(group) = groups.last_mut() {
            group.push(Stanza {
                tag: stanza.tag.clone(),
                args: stanza.args.clone(),
                body: stanza.body.clone(),
            });
        }
    }
    groups
}
