//! smr-recv --follow: what is unread, then what comes in, until SIGTERM.
//!
//! What fails for one message is told once, and the message stays unread; what
//! smrd cannot answer now is asked again.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use smr_cli::out::Out;
use smr_client::failure::Failure;
use smr_client::fetch::Folder;
use smr_client::follow::{self, Stopper, Watcher, Woken};
use smr_client::user::User;
use smr_name::{Class, MessageId};

use super::deliver::Sink;
use super::edge::{self, Edge, Stop};
use super::{Args, one};

// When a program is offered again what it wanted later.
const LATER: Duration = Duration::from_secs(60);

/// Messages that were tried in vain: when again, or never in this run.
type Held = HashMap<MessageId, Option<Instant>>;

/// Follows until SIGTERM or SIGINT, which is 0, or until a failure that does
/// not pass.
pub(crate) fn follow(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    sink: &mut Sink,
    out: &mut Out,
) -> Result<u8, Stop> {
    let mut watcher = Watcher::new(user);
    stop_on_signals(watcher.stopper())?;
    let (mut held, mut away) = (Held::new(), false);
    loop {
        user.go_on(edge::now());
        let mut round = || -> Result<Woken, Stop> {
            let last = deliver(edge, args, user, sink, out, &mut held, &mut watcher)?;
            if std::mem::take(&mut away) {
                edge.report.note(&"smrd answers again");
            }
            let again = held.values().flatten().min().copied();
            Ok(watcher.news(last, again)?)
        };
        let woken = match round() {
            Ok(woken) => woken,
            Err(Stop::Failure(failure)) if failure.class == Class::Busy => {
                if !std::mem::replace(&mut away, true) {
                    edge.report.warning(&format!("{failure}; trying again"));
                }
                watcher.pause()
            }
            Err(stop) => return Err(stop),
        };
        if woken == Woken::Stop {
            return Ok(0);
        }
    }
}

fn stop_on_signals(stopper: Stopper) -> Result<(), Stop> {
    let signals = Signals::new([SIGTERM, SIGINT]);
    let mut signals =
        signals.map_err(|e| Failure::new(Class::Io, format!("cannot watch for signals: {e}")))?;
    thread::spawn(move || signals.forever().for_each(|_| stopper.stop()));
    Ok(())
}

/// Delivers what is unread and not held; returns the number of the last entry.
fn deliver(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    sink: &mut Sink,
    out: &mut Out,
    held: &mut Held,
    watcher: &mut Watcher,
) -> Result<u64, Stop> {
    let (unread, last) = follow::unread(user, usize::MAX)?;
    held.retain(|id, _| unread.contains(id));
    for id in unread {
        if watcher.is_stopped() {
            break;
        }
        let waits = |until: &Option<Instant>| until.is_none_or(|until| Instant::now() < until);
        if held.get(&id).is_some_and(waits) {
            continue;
        }
        held.remove(&id);
        match one(edge, args, user, (Folder::Inbox, id), sink, out) {
            Ok(()) => {}
            Err(stop) if ends(&stop) => return Err(stop),
            Err(stop) => {
                let later = stop.tell(&edge.report) == Class::Busy.code();
                held.insert(id, later.then(|| Instant::now() + LATER));
            }
        }
    }
    Ok(last)
}

/// Tells what is not one message's affair.
fn ends(stop: &Stop) -> bool {
    match stop {
        Stop::Failure(failure) => matches!(
            failure.class,
            Class::Busy | Class::Unavailable | Class::Untrusted | Class::Config
        ),
        Stop::Out(_) | Stop::Prompt(_) => true,
        Stop::Code(_) => false,
    }
}
