//! Where smr-recv delivers instead of showing: a Maildir, an mbox, a program,
//! or a folder for attachments.
//!
//! A message is marked read, and its receipt given, once it is safe there; the
//! receipt is on disk before.

use std::ffi::OsString;
use std::path::PathBuf;

use smr_cli::out::Out;
use smr_cli::{text, time};
use smr_client::attachments;
use smr_client::config::Consent;
use smr_client::delivery::{self, Maildir, Ran};
use smr_client::failure::Failure;
use smr_client::fetch::{self, Folder, Message, State};
use smr_client::hand::Hand;
use smr_client::owed::{self, Owed};
use smr_client::user::User;
use smr_name::{Class, MessageId};

use super::edge::{self, Edge, Stop, Watched};
use super::{Args, consent};

/// A place for messages.
pub(crate) enum Sink {
    /// Standard output, in the form that was asked for.
    Shown,
    /// A Maildir.
    Maildir(Maildir),
    /// Standard output, as an mbox.
    Mbox,
    /// A program's standard input.
    Exec(Vec<OsString>),
    /// A folder, for the attachments.
    Folder(PathBuf),
}

impl Sink {
    /// Opens what was asked for, before anything is fetched.
    pub(crate) fn open(edge: &Edge, args: &Args, out: &Out) -> Result<Sink, Stop> {
        let shows = args.raw || args.sealed || args.part.is_some() || edge.common.json;
        let configured = edge.settings.maildir.as_ref();
        let configured = configured.filter(|_| (args.all || args.follow) && !shows);
        if let Some(dir) = &args.extract {
            return Ok(Sink::Folder(dir.clone()));
        }
        if !args.exec.is_empty() {
            return Ok(Sink::Exec(args.exec.clone()));
        }
        if args.mbox {
            return match out.is_terminal() {
                true => Err(edge::wrong_call(
                    edge,
                    "an mbox is not for a terminal: > FILE",
                )),
                false => Ok(Sink::Mbox),
            };
        }
        match args.maildir.as_ref().or(configured) {
            Some(dir) => Ok(Sink::Maildir(Maildir::open(dir)?)),
            None => Ok(Sink::Shown),
        }
    }
}

/// Fetches a message, delivers it, marks it read, gives its receipt.
pub(crate) fn deliver(
    edge: &Edge,
    args: &Args,
    user: &mut User,
    (folder, id): (Folder, MessageId),
    sink: &mut Sink,
    out: &mut Out,
) -> Result<(), Stop> {
    let message = fetch::fetch(user, folder, id)?;
    if args.peek || folder != Folder::Inbox {
        return hand_over(edge, user, &message, sink, out);
    }
    let wanted = message.opened.headers.receipt;
    let policy = edge.settings.consent_to(&message.entry.name.sender);
    let owed = match consent(args.receipt, wanted, policy) {
        // On disk before the first word is handed out.
        Consent::Always => {
            let hand = Hand::device(user)?;
            Some(owed::owe(user, &message, &hand)?)
        }
        // Nobody sits there to be asked.
        Consent::Ask | Consent::Never => None,
    };
    if let Err(stop) = hand_over(edge, user, &message, sink, out) {
        // Whoever did not take it is offered it again, and has read nothing.
        owed.map_or(Ok(()), Owed::forget)?;
        return Err(stop);
    }
    if message.entry.state != State::Read {
        user.session.mark_read(id)?;
    }
    owed.map_or(Ok(()), |owed| Ok(owed.give(user)?))
}

/// Gives the receipts that an earlier run owed when it ended.
pub(crate) fn settle(edge: &Edge, user: &mut User) -> Result<(), Stop> {
    for owed in owed::waiting(user)? {
        if let Err(failure) = owed.settle(user) {
            edge::warn(edge, &failure);
        }
    }
    Ok(())
}

fn hand_over(
    edge: &Edge,
    user: &User,
    message: &Message,
    sink: &mut Sink,
    out: &mut Out,
) -> Result<(), Stop> {
    match sink {
        Sink::Shown => Ok(()),
        Sink::Maildir(maildir) => {
            if !maildir.deliver(user, message)? {
                let text = format!("message \"{}\" was in the Maildir already", message.id);
                edge.report.detail(&text);
            }
            Ok(())
        }
        Sink::Mbox => {
            let (from, at) = (&message.verified.address, message.entry.name.time);
            let line = format!("From {from} {}", time::asctime(at));
            let mut watched = Watched::new(out);
            let written = delivery::mbox(user, message, &line, &mut watched);
            watched.end(written)?;
            out.finish().map_err(Stop::Out)
        }
        Sink::Exec(command) => ran(edge, message, delivery::exec(user, message, command)?),
        Sink::Folder(dir) => {
            let names = attachments::extract(user, message, dir)?;
            let lines = names.iter().map(|name| text::visible(name));
            lines
                .into_iter()
                .try_for_each(|name| out.line(&name))
                .and_then(|()| out.finish())
                .map_err(Stop::Out)
        }
    }
}

fn ran(edge: &Edge, message: &Message, ran: Ran) -> Result<(), Stop> {
    let id = message.id;
    match ran {
        Ran::Took => Ok(()),
        Ran::Later => {
            let text = format!("message \"{id}\" is kept unread: the program wants it later");
            edge.report.note(&text);
            Err(Stop::Code(Class::Busy.code()))
        }
        Ran::Failed(why) => Err(Failure::new(
            Class::Io,
            format!("message \"{id}\" is kept unread: {why}"),
        )
        .hint("what did the program say? what it leaves stays unread")
        .into()),
    }
}
