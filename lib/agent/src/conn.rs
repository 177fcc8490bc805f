//! One tool's connection: asks in, answers out, until the tool leaves.
//!
//! Looks into no secret; every ask goes to the table or to a session.

use std::os::unix::net::UnixStream;

use smr_channel::local::{Answer, Ask, Frame, VERSION};
use smr_name::Class;

use crate::carry::{self, Hold};
use crate::failure::Failure;
use crate::guard;
use crate::locked::scrub;
use crate::table::Table;
use crate::wire::{self, WireError};

/// Says what became of a connection that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The tool left.
    Left,
    /// The tool asked the agent to end.
    Stop,
}

/// Serves one tool.
pub(crate) fn serve(mut tool: UnixStream, table: &Table) -> Result<Farewell, WireError> {
    if !greet(&mut tool)? {
        return Ok(Farewell::Left);
    }
    let mut hold = Hold::default();
    loop {
        let turn = turn(&mut tool, &mut hold, table);
        scrub();
        if let Some(farewell) = turn? {
            return Ok(farewell);
        }
    }
}

// One ask and its answer, in a frame of its own, so that the stack it used is
// all below the caller's.
#[inline(never)]
fn turn(
    tool: &mut UnixStream,
    hold: &mut Hold,
    table: &Table,
) -> Result<Option<Farewell>, WireError> {
    let Some(ask) = next(tool)? else {
        return Ok(Some(Farewell::Left));
    };
    match ask {
        Ask::Carry { account, head } => match table.find(&account) {
            Ok(account) => carry::carry(tool, hold, account, &head)?,
            Err(failure) => carry::refuse(tool, failure)?,
        },
        Ask::Stop => {
            table.clear();
            wire::answer(tool, &Answer::Done)?;
            return Ok(Some(Farewell::Stop));
        }
        ask => {
            let answer = answer(ask, table).unwrap_or_else(Failure::answer);
            wire::answer(tool, &answer)?;
        }
    }
    Ok(None)
}

fn next(tool: &mut UnixStream) -> Result<Option<Ask>, WireError> {
    match wire::read(tool)? {
        None => Ok(None),
        Some(Frame::Head(bytes)) => Ok(Some(Ask::decode(&bytes)?)),
        Some(_) => Err(WireError::Left),
    }
}

// The first ask says which protocol the tool speaks.
fn greet(tool: &mut UnixStream) -> Result<bool, WireError> {
    let failure = match next(tool)? {
        None => return Ok(false),
        Some(Ask::Hello { version: VERSION }) => {
            let pid = std::process::id();
            let version = VERSION;
            wire::answer(tool, &Answer::Hello { version, pid })?;
            return Ok(true);
        }
        Some(Ask::Hello { version }) => Failure::new(
            Class::Config,
            format!("the agent speaks version {VERSION} of its protocol, not {version}"),
        )
        .hint("smr-login --logout, then smr-login"),
        Some(_) => Failure::new(Class::Usage, "the first thing to say to the agent is hello"),
    };
    wire::answer(tool, &failure.answer())?;
    Ok(false)
}

fn answer(ask: Ask, table: &Table) -> Result<Answer, Failure> {
    match ask {
        Ask::Status => Ok(Answer::Status {
            memory: guard::memory(),
            accounts: table.status(),
        }),
        Ask::Load(load) => table.load(&load).map(|()| Answer::Done),
        Ask::Sign {
            account,
            attributes,
        } => Ok(Answer::Signature(
            table.find_to_use(&account)?.sign(&attributes)?,
        )),
        Ask::Unwrap { account, stanzas } => Ok(Answer::FileKey(
            table.find_to_use(&account)?.unwrap(&stanzas)?,
        )),
        Ask::Derive { account, key } => Ok(Answer::Id(table.find_to_use(&account)?.derive(&key)?)),
        Ask::ShelfKey { account } => {
            Ok(Answer::ShelfKey(table.find_to_use(&account)?.shelf_key()?))
        }
        Ask::Follow { account, chain } => {
            table.find(&account)?.follow(&chain).map(|()| Answer::Done)
        }
        Ask::Lock { account } => table.lock(&account).map(|()| Answer::Done),
        Ask::Logout { account } => table.logout(&account).map(|()| Answer::Done),
        Ask::Hello { .. } | Ask::Carry { .. } | Ask::Stop => {
            Err(Failure::new(Class::Usage, "asked out of turn"))
        }
    }
}
