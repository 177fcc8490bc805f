//! One tool's connection: asks in, answers out, until the tool leaves.
//!
//! Looks into no secret; every ask goes to the table or to a session.

use std::os::unix::net::UnixStream;

use smr_channel::local::{Answer, Ask, Frame, VERSION};
use smr_name::Class;

use crate::carry::{self, Hold};
use crate::failure::Failure;
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
    while let Some(ask) = next(&mut tool)? {
        match ask {
            Ask::Carry { account, head } => match table.find(&account) {
                Ok(account) => carry::carry(&mut tool, &mut hold, account, &head)?,
                Err(failure) => carry::refuse(&mut tool, failure)?,
            },
            Ask::Stop => {
                table.clear();
                wire::answer(&mut tool, &Answer::Done)?;
                return Ok(Farewell::Stop);
            }
            ask => {
                let answer = answer(ask, table).unwrap_or_else(Failure::answer);
                wire::answer(&mut tool, &answer)?;
            }
        }
    }
    Ok(Farewell::Left)
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
        Ask::Lock { account } => table.lock(&account).map(|()| Answer::Done),
        Ask::Logout { account } => table.logout(&account).map(|()| Answer::Done),
        Ask::Hello { .. } | Ask::Carry { .. } | Ask::Stop => {
            Err(Failure::new(Class::Usage, "asked out of turn"))
        }
    }
}
