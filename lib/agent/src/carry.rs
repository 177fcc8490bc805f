//! Carries one request of a tool to smrd and its reply back, piece by piece.
//!
//! Never holds a body; never says that a reply is whole before its close and
//! its warrant have verified; never sends a request twice once smrd may have
//! begun to act on a part of its body.

use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use smr_channel::local::{Answer, Frame};
use smr_channel::request::Request;
use smr_channel::session::Event;
use smr_name::Class;

use crate::account::Account;
use crate::failure::Failure;
use crate::link::{Link, LinkError};
use crate::pool::Lease;
use crate::wire::{self, WireError};

// Seconds that smrd's answer to a watch may be late.
const SLACK: i64 = 60;
// Bytes of a reply that wait for one another.
const TOGETHER: usize = 16 * 1024;

/// Says how a request ended short of a whole reply.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The tool is told why.
    #[error("{}", .0.text)]
    Failed(Failure),
    /// The session failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The tool is gone.
    #[error(transparent)]
    Tool(#[from] WireError),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

/// The session that a tool connection holds on to, so that what belongs
/// together (an offer and its deposit) goes through one.
#[derive(Default)]
pub(crate) struct Hold {
    lease: Option<(Arc<Account>, Lease)>,
}

// How far a request has come.
#[derive(Default)]
struct Progress {
    // A part of the tool's body was read: it cannot be sent again.
    body: bool,
    // The tool's request was read to its end.
    ended: bool,
    // The tool has seen a part of the reply.
    replied: bool,
    // It is a watch: waiting is no use of the account.
    watch: bool,
}

/// Carries the request whose head is `head`; its body and end are read from
/// `tool`, where the reply goes. Fails only when the tool is of no more use.
pub(crate) fn carry(
    tool: &mut UnixStream,
    hold: &mut Hold,
    account: Arc<Account>,
    head: &[u8],
) -> Result<(), WireError> {
    let mut progress = Progress::default();
    let outcome = attempt(tool, hold, &account, head, &mut progress);
    if !progress.watch {
        account.touch();
    }
    let failure = match outcome {
        Ok(()) => return Ok(()),
        Err(Stop::Tool(error)) => return Err(error),
        Err(Stop::Failed(failure)) => failure,
        Err(Stop::Link(error)) => error.into(),
    };
    wire::answer(tool, &failure.answer())?;
    drain(tool, &mut progress)
}

/// Reads past the body of a request that is not carried.
pub(crate) fn refuse(tool: &mut UnixStream, failure: Failure) -> Result<(), WireError> {
    wire::answer(tool, &failure.answer())?;
    drain(tool, &mut Progress::default())
}

fn attempt(
    tool: &mut UnixStream,
    hold: &mut Hold,
    account: &Arc<Account>,
    head: &[u8],
    progress: &mut Progress,
) -> Result<(), Stop> {
    let request = Request::decode(head).map_err(Failure::from)?;
    if matches!(request, Request::Renew { .. } | Request::Bye) {
        return Err(Failure::new(Class::Usage, "the agent itself renews and ends sessions").into());
    }
    progress.watch = matches!(request, Request::Watch { .. });
    if !progress.watch {
        account.touch();
    }
    hold.prepare(account, &request)?;
    loop {
        let reused = hold.reused();
        match hold.run(|link| {
            link.begin(head)?;
            send(tool, link, account, progress)?;
            if let Request::Watch { wait, .. } = request {
                await_news(tool, link, wait)?;
            }
            receive(tool, link, account, progress)
        }) {
            // An idle session that smrd had already given up: nothing was done.
            Err(Stop::Link(error))
                if error.is_cut() && reused && may_repeat(&request, progress) =>
            {
                hold.renew(account)?;
            }
            outcome => return outcome,
        }
    }
}

// A deposit belongs to the session of its offer. All else may be asked twice.
fn may_repeat(request: &Request, progress: &Progress) -> bool {
    !progress.body && !progress.replied && !matches!(request, Request::Deposit { .. })
}

impl Hold {
    // Makes sure that a session of `account` is held.
    fn prepare(&mut self, account: &Arc<Account>, request: &Request) -> Result<(), Failure> {
        let fits =
            |(held, lease): &(Arc<Account>, Lease)| Arc::ptr_eq(held, account) && lease.is_fresh();
        if self.lease.as_ref().is_some_and(fits) {
            return Ok(());
        }
        self.lease = None;
        if let Request::Deposit { .. } = request {
            let text = "the session in which this deposit was offered is over";
            return Err(Failure::new(Class::Busy, text).hint("send again"));
        }
        self.renew(account)
    }

    fn renew(&mut self, account: &Arc<Account>) -> Result<(), Failure> {
        self.lease = None;
        self.lease = Some((Arc::clone(account), account.lease()?));
        Ok(())
    }

    // A session that has served before may have been given up by smrd.
    fn reused(&mut self) -> bool {
        let lease = self.lease.as_mut();
        lease.is_some_and(|(_, lease)| std::mem::replace(&mut lease.reused, true))
    }

    // Lends the session for one request; one that failed is not kept.
    fn run(&mut self, use_it: impl FnOnce(&mut Link) -> Result<(), Stop>) -> Result<(), Stop> {
        let Some((account, lease)) = &self.lease else {
            return Err(Failure::new(Class::Broken, "no session is held").into());
        };
        let mut slot = lease.link();
        let Some(link) = slot.as_mut() else {
            return Err(Failure::locked(&account.loaded().account).into());
        };
        let outcome = use_it(link);
        if outcome.is_err() {
            *slot = None;
            drop(slot);
            self.lease = None;
        }
        outcome
    }
}

// A long body keeps the account in use.
fn send(
    tool: &mut UnixStream,
    link: &mut Link,
    account: &Account,
    progress: &mut Progress,
) -> Result<(), Stop> {
    while !progress.ended {
        match wire::read(tool)? {
            Some(Frame::Body(part)) => {
                progress.body = true;
                account.touch();
                link.body(&part)?;
            }
            Some(Frame::End(None)) => progress.ended = true,
            _ => return Err(WireError::Left.into()),
        }
    }
    Ok(link.close()?)
}

// Waits as long as smrd may. A tool that leaves meanwhile takes the session with
// it: nobody would take the answer.
fn await_news(tool: &UnixStream, link: &Link, wait: u16) -> Result<(), Stop> {
    let mut polled = [
        PollFd::new(link.socket(), PollFlags::IN),
        PollFd::new(tool, PollFlags::IN),
    ];
    let time = Timespec {
        tv_sec: i64::from(wait) + SLACK,
        tv_nsec: 0,
    };
    let broken = |error: std::io::Error| Stop::Link(LinkError::Cut(error));
    match poll(&mut polled, Some(&time)) {
        Ok(0) => Err(broken(ErrorKind::TimedOut.into())),
        Ok(_) if polled[0].revents().is_empty() => Err(WireError::Left.into()),
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::INTR) => await_news(tool, link, wait),
        Err(error) => Err(broken(error.into())),
    }
}

// What is short reaches the tool at once, which would be woken for each frame.
fn receive(
    tool: &mut UnixStream,
    link: &mut Link,
    account: &Account,
    progress: &mut Progress,
) -> Result<(), Stop> {
    let mut tool = BufWriter::with_capacity(TOGETHER, tool);
    loop {
        if !progress.watch {
            account.touch();
        }
        match link.next()? {
            Event::Head(head) => {
                progress.replied = true;
                wire::answer(&mut tool, &Answer::Reply { head })?;
            }
            Event::Body(part) => wire::write(&mut tool, &Frame::Body(part))?,
            Event::Close(Some(warrant)) => {
                wire::write(&mut tool, &Frame::End(Some(warrant)))?;
                return Ok(tool.flush().map_err(WireError::from)?);
            }
            Event::Close(None) => return Err(LinkError::Unexpected.into()),
        }
    }
}

// The tool learns of the failure while it writes; it must not wait for us.
fn drain(tool: &mut UnixStream, progress: &mut Progress) -> Result<(), WireError> {
    while !progress.ended {
        match wire::read(tool)? {
            Some(Frame::Body(_)) => {}
            Some(Frame::End(_)) => progress.ended = true,
            _ => return Err(WireError::Left),
        }
    }
    Ok(())
}
