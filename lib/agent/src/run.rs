//! The agent's life: listen, serve each tool in a thread of its own, wipe what
//! has ended, end.
//!
//! Never prints and never exits; the program does.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use smr_name::Class;

use crate::clock;
use crate::conn::{self, Farewell};
use crate::failure::Failure;
use crate::guard;
use crate::peer;
use crate::pool::hold;
use crate::socket::{Socket, SocketError};
use crate::table::Table;
use crate::wire;

// More tools than this at once are turned away.
const MOST_TOOLS: usize = 256;
// The table is looked through at least this often, in seconds: a sleeping
// machine does not count poll's time.
const ROUND: i64 = 30;
// How long an agent that was started for somebody waits for him, in seconds.
const GRACE: i64 = 60;
// ML-KEM works on the stack.
const STACK: usize = 2 << 20;

/// How the agent runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen, unless a service manager hands over a socket.
    pub socket: PathBuf,
    /// End when the last account is gone and no tool is connected.
    pub exit_when_empty: bool,
}

/// Says why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It cannot listen.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A call failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl AgentError {
    /// Returns the class of this failure.
    pub fn class(&self) -> Class {
        match self {
            AgentError::Socket(error) => error.class(),
            AgentError::Io { .. } => Class::Io,
        }
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> AgentError {
    move |source| AgentError::Io { operation, source }
}

struct Shared {
    table: Table,
    // The tools that are connected, to end their threads when the agent ends.
    tools: Mutex<Tools>,
    // One byte wakes the loop.
    wake: UnixStream,
}

#[derive(Default)]
struct Tools {
    open: BTreeMap<u64, UnixStream>,
    next: u64,
    stop: bool,
}

/// Runs until SIGTERM, SIGINT, SIGHUP, a tool's `Stop`, or, with
/// `exit_when_empty`, until the last account is gone.
///
/// Calls `ready` once tools can connect, and `warn` with one line for each
/// measure of protection that the system refused.
pub fn run(options: &Options, ready: impl FnOnce(), warn: impl Fn(&str)) -> Result<(), AgentError> {
    guard::harden().iter().for_each(|text| warn(text));
    let place = Place::find(options)?;
    let listener = place.listener();
    listener
        .set_nonblocking(true)
        .map_err(failed("prepare the agent's socket"))?;
    let (wake, mut woken) = UnixStream::pair().map_err(failed("make a pair of sockets"))?;
    woken
        .set_nonblocking(true)
        .map_err(failed("prepare a pair of sockets"))?;
    let signals = Signals::register()?;
    let shared = Arc::new(Shared {
        table: Table::default(),
        tools: Mutex::default(),
        wake,
    });

    ready();
    let started = clock::uptime();
    loop {
        let wait = shared.table.next_end().map_or(ROUND, |end| end.min(ROUND));
        wait_for(&[listener, &woken, &signals.0], wait)?;
        clear(&mut woken);
        accept_all(listener, &shared)?;
        shared.table.expire();
        if signals.came() || shared.is_done(options, started) {
            break;
        }
    }
    shared.end();
    Ok(())
}

enum Place {
    Own(Socket),
    Inherited(UnixListener),
}

impl Place {
    fn find(options: &Options) -> Result<Place, AgentError> {
        let inherited = ListenFd::from_env().take_unix_listener(0);
        match inherited.map_err(failed("take the service manager's socket"))? {
            Some(listener) => Ok(Place::Inherited(listener)),
            None => Ok(Place::Own(Socket::listen(&options.socket)?)),
        }
    }

    fn listener(&self) -> &UnixListener {
        match self {
            Place::Own(socket) => &socket.listener,
            Place::Inherited(listener) => listener,
        }
    }
}

struct Signals(UnixStream);

impl Signals {
    fn register() -> Result<Signals, AgentError> {
        let (ours, theirs) = UnixStream::pair().map_err(failed("make a pair of sockets"))?;
        ours.set_nonblocking(true)
            .map_err(failed("prepare a pair of sockets"))?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let theirs = theirs.try_clone().map_err(failed("copy a socket"))?;
            signal_hook::low_level::pipe::register(signal, theirs)
                .map_err(failed("watch for signals"))?;
        }
        Ok(Signals(ours))
    }

    fn came(&self) -> bool {
        matches!((&self.0).read(&mut [0]), Ok(count) if count > 0)
    }
}

fn wait_for(fds: &[&dyn std::os::fd::AsFd], seconds: i64) -> Result<(), AgentError> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
        .collect();
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(failed("wait for tools")(error.into())),
    }
}

fn clear(woken: &mut UnixStream) {
    // Ends when nothing is left to read.
    while matches!(woken.read(&mut [0; 64]), Ok(count) if count > 0) {}
}

fn accept_all(listener: &UnixListener, shared: &Arc<Shared>) -> Result<(), AgentError> {
    loop {
        match listener.accept() {
            Ok((tool, _)) => shared.admit(tool),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                // Out of descriptors or memory: those who are served may free some.
                _ if matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105)) => {
                    thread::sleep(Duration::from_millis(100));
                    return Ok(());
                }
                _ => return Err(failed("accept a tool")(error)),
            },
        }
    }
}

impl Shared {
    // A tool that cannot be served is turned away; the agent goes on.
    fn admit(self: &Arc<Self>, mut tool: UnixStream) {
        if peer::check(&tool).is_err() || tool.set_nonblocking(false).is_err() {
            return;
        }
        let Some(number) = self.enter(&tool) else {
            let busy = Failure::new(Class::Busy, "too many tools are connected to the agent");
            // Told if it can be told without waiting.
            let _ = wire::answer(&mut tool, &busy.hint("try again").answer());
            return;
        };
        let shared = Arc::clone(self);
        let served = thread::Builder::new()
            .name(format!("tool {number}"))
            .stack_size(STACK)
            .spawn(move || {
                let _leaving = Leaving(&shared, number);
                // A tool that breaks off mid-frame is its own affair.
                if let Ok(Farewell::Stop) = conn::serve(tool, &shared.table) {
                    hold(&shared.tools).stop = true;
                }
            });
        if served.is_err() {
            self.leave(number);
        }
    }

    fn enter(&self, tool: &UnixStream) -> Option<u64> {
        let mut tools = hold(&self.tools);
        if tools.open.len() >= MOST_TOOLS {
            return None;
        }
        let handle = tool.try_clone().ok()?;
        tools.next += 1;
        let number = tools.next;
        tools.open.insert(number, handle);
        Some(number)
    }

    fn leave(&self, number: u64) {
        hold(&self.tools).open.remove(&number);
        // A full pipe wakes the loop just as well.
        let _ = (&self.wake).write(&[0]);
    }

    fn is_done(&self, options: &Options, started: i64) -> bool {
        let tools = hold(&self.tools);
        let met = tools.next > 0 || clock::uptime() >= started + GRACE;
        let alone = tools.open.is_empty() && self.table.is_empty();
        tools.stop || (options.exit_when_empty && met && alone)
    }

    fn end(&self) {
        self.table.clear();
        for tool in hold(&self.tools).open.values() {
            // It may have left already. What was written can still be read.
            let _ = tool.shutdown(Shutdown::Both);
        }
    }
}

struct Leaving<'a>(&'a Shared, u64);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}
