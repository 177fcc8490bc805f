//! What smr-send and smr-sendmail have in common: what is wished for a message,
//! and what is said when it has left, or waits.

use clap::ValueEnum;
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_client::config::Ask;
use smr_client::deposit::{ReceiptWanted, Sent};
use smr_client::outbox;
use smr_name::MessageId;

use super::edge::{self, Edge, Stop};

/// Which receipt is asked for.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Wanted {
    /// None
    None,
    /// One when the message was read
    Read,
    /// One signed by the reader's card itself
    Card,
}

/// Prints the id, and says where the message is if it waits.
pub(crate) fn tell(edge: &Edge, out: &mut Out, id: MessageId, sent: &Sent) -> Result<(), Stop> {
    waits(edge, id, sent);
    if !edge.common.json {
        return out.line(&id.to_string()).map_err(Stop::Out);
    }
    let line = match sent {
        Sent::Queued(_) => Line::new("queued").with("id", id.to_string()),
        Sent::Deposited(mailboxes) => {
            let names: Vec<String> = mailboxes.iter().map(ToString::to_string).collect();
            Line::new("sent")
                .with("id", id.to_string())
                .with("mailboxes", names)
        }
    };
    out.json(line).map_err(Stop::Out)
}

/// Says where the message is if it waits.
pub(crate) fn waits(edge: &Edge, id: MessageId, sent: &Sent) {
    if let Sent::Queued(why) = sent {
        edge.report.note(&format!(
            "{why}; message \"{id}\" waits in the outbox until the next login or smr-send --flush"
        ));
    }
}

/// Sends what waits, one after the other, and prints what left.
pub(crate) fn flush(edge: &Edge, wanted: Option<&str>) -> Result<u8, Stop> {
    let prefixes = edge::ids(
        edge,
        &wanted.map(str::to_owned).into_iter().collect::<Vec<_>>(),
        false,
    )?;
    let mut user = edge.user()?;
    let waiting = match prefixes.first() {
        Some(prefix) => vec![outbox::find(&user, prefix)?],
        None => outbox::waiting(&user)?,
    };
    let (mut out, mut outcome) = (Out::stdout(), Outcome::default());
    for id in waiting {
        match outbox::flush(&mut user, &id) {
            Ok(mailboxes) => tell(edge, &mut out, id, &Sent::Deposited(mailboxes))?,
            Err(failure) => outcome.note(Stop::Failure(failure).tell(&edge.report)),
        }
    }
    out.finish().map_err(Stop::Out)?;
    Ok(outcome.code())
}

pub(crate) fn wanted(edge: &Edge, flag: Option<Wanted>) -> ReceiptWanted {
    match (flag, edge.settings.ask) {
        (Some(Wanted::None), _) | (None, Ask::None) => ReceiptWanted::None,
        (Some(Wanted::Read), _) | (None, Ask::Read) => ReceiptWanted::Read,
        (Some(Wanted::Card), _) | (None, Ask::Card) => ReceiptWanted::Card,
    }
}
