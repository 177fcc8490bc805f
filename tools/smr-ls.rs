//! smr-ls: lists a mailbox, what was sent, or the users.

mod edge;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use edge::{Edge, Stop};
use smr_cli::args::Common;
use smr_cli::json::Line as Json;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_cli::table::{Table, terminal_width};
use smr_cli::{size, time};
use smr_client::listing::{self, Folder, Line, Progress, State, UserLine};
use smr_client::user::User;
use smr_name::Class;

const TOOL: &str = "smr-ls";

/// What is listed.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Messages that came in
    Inbox,
    /// Messages sent
    Sent,
    /// The users of the repository
    Users,
}

/// List a mailbox, what was sent, or the users.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// What to list
    #[arg(value_name = "WHAT", default_value = "inbox")]
    what: What,
    /// Unread messages only
    #[arg(short = 'u')]
    unread: bool,
    /// The newest N only
    #[arg(short = 'n', value_name = "N")]
    newest: Option<usize>,
    /// Ids or names only, one a line
    #[arg(short = '1', conflicts_with = "zero")]
    one: bool,
    /// Ids or names only, each followed by a NUL byte
    #[arg(short = '0')]
    zero: bool,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    let mut user = edge.user()?;
    match args.what {
        What::Users => users(edge, &args, &mut user),
        What::Inbox => messages(edge, &args, &mut user, Folder::Inbox),
        What::Sent => messages(edge, &args, &mut user, Folder::Sent),
    }
}

fn users(edge: &Edge, args: &Args, user: &mut User) -> Result<u8, Stop> {
    let users = listing::users(user)?;
    if args.common.quiet {
        return Ok(u8::from(users.is_empty()));
    }
    let mut out = Out::stdout();
    let state = |u: &UserLine| if u.online { "online" } else { "offline" };
    if args.one || args.zero {
        let names: Vec<String> = users.iter().map(|u| u.name.to_string()).collect();
        return bare(&mut out, &names, args.zero);
    }
    let (mut table, mut outcome) = (Table::new(&[]), Outcome::default());
    for u in &users {
        let person = person(edge, user, u, &mut outcome);
        if edge.common.json {
            let line = Json::new("user")
                .with("name", u.name.to_string())
                .with("person", person)
                .with("online", u.online);
            out.json(line).map_err(Stop::Out)?;
        } else {
            table.row(vec![
                u.name.to_string(),
                person.unwrap_or_else(|| "?".to_owned()),
                state(u).to_owned(),
            ]);
        }
    }
    table
        .write(&mut out, terminal_width())
        .and_then(|()| out.finish())
        .map_err(Stop::Out)?;
    Ok(outcome.code())
}

/// Returns the name in a user's certificate; not as smrd says, but as his
/// account record proves.
fn person(edge: &Edge, user: &mut User, line: &UserLine, outcome: &mut Outcome) -> Option<String> {
    match user.account(&line.name) {
        Ok(account) => Some(account.person.display.clone()),
        Err(failure) if matches!(failure.class, Class::Forged | Class::Untrusted) => {
            outcome.note(Stop::Failure(failure).tell(&edge.report));
            None
        }
        // That a card has expired is its owner's trouble.
        Err(failure) => {
            edge.report.warning(&failure);
            None
        }
    }
}

fn bare(out: &mut Out, names: &[String], zero: bool) -> Result<u8, Stop> {
    for name in names {
        if zero { out.zero(name) } else { out.line(name) }.map_err(Stop::Out)?;
    }
    out.finish().map_err(Stop::Out)?;
    Ok(0)
}

fn messages(edge: &Edge, args: &Args, user: &mut User, folder: Folder) -> Result<u8, Stop> {
    let short = args.common.quiet || args.one || args.zero;
    // Subjects cost a look into each message: not where nobody sees them.
    let mut lines = match short {
        true => listing::entries(user, folder)?
            .into_iter()
            .map(|entry| Line {
                entry,
                headers: None,
            })
            .collect(),
        false => listing::lines(user, folder)?,
    };
    if args.unread {
        lines.retain(|line| line.entry.state != State::Read);
    }
    if let Some(newest) = args.newest {
        lines.drain(..lines.len().saturating_sub(newest));
    }
    if folder == Folder::Inbox {
        // Stable: within each half by arrival.
        lines.sort_by_key(|line| line.entry.state == State::Read);
    }
    if args.common.quiet {
        return Ok(u8::from(lines.is_empty()));
    }
    let mut out = Out::stdout();
    if short {
        let ids: Vec<String> = lines.iter().map(|l| l.entry.name.id.to_string()).collect();
        return bare(&mut out, &ids, args.zero);
    }
    let mut rows = Vec::with_capacity(lines.len());
    for line in &lines {
        rows.push(Row::of(user, folder, line)?);
    }
    match edge.common.json {
        true => rows.iter().try_for_each(|row| out.json(row.json(folder))),
        false => table(edge, folder, &rows, out.is_terminal()).write(&mut out, terminal_width()),
    }
    .and_then(|()| out.finish())
    .map_err(Stop::Out)?;
    Ok(0)
}

/// One message, in words.
struct Row<'a> {
    line: &'a Line,
    state: &'static str,
    from: String,
    to: Vec<String>,
    subject: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(user: &mut User, folder: Folder, line: &'a Line) -> Result<Row<'a>, Stop> {
        let headers = line.headers.as_ref();
        let state = match folder {
            Folder::Sent => progress(&listing::progress(user, line)?),
            _ => match line.entry.state {
                State::New => "new",
                State::Fetched => "fetched",
                State::Read => "read",
            },
        };
        let name = |address: &smr_name::Address| match &address.repository {
            Some(repository) if *repository == user.repository => address.mailbox.to_string(),
            _ => address.to_string(),
        };
        Ok(Row {
            line,
            state,
            // The sender that smrd authenticated, not the one the message claims.
            from: line.entry.name.sender.to_string(),
            to: headers
                .map(|h| h.addressees().map(name).collect())
                .unwrap_or_default(),
            subject: headers.map(|h| h.subject.as_str()),
        })
    }

    fn json(&self, folder: Folder) -> Json {
        let entry = &self.line.entry.name;
        Json::new("message")
            .with("id", entry.id.to_string())
            .with(
                "folder",
                if folder == Folder::Sent {
                    "sent"
                } else {
                    "inbox"
                },
            )
            .with("state", self.state)
            .time("date", entry.time)
            .with("from", self.from.as_str())
            .with("to", self.to.clone())
            .with("size", entry.size)
            .with("subject", self.subject)
            .with("verified", false)
    }

    /// Returns the state in short; `?` says that the headers are not verified.
    fn flags(&self, folder: Folder) -> &'static str {
        match (folder, self.line.entry.state) {
            (Folder::Sent, _) => self.state,
            (_, State::New) => "N?",
            (_, State::Fetched) => "F?",
            (_, State::Read) => "R?",
        }
    }
}

/// Returns what the last of the addressees has done.
fn progress(states: &[(smr_name::MailboxName, Progress)]) -> &'static str {
    match states.iter().map(|(_, progress)| *progress as u8).min() {
        Some(3) => "read",
        Some(2) => "fetched",
        Some(1) => "deposited",
        _ => "unknown",
    }
}

fn table(edge: &Edge, folder: Folder, rows: &[Row<'_>], terminal: bool) -> Table {
    let ids: Vec<_> = rows.iter().map(|row| row.line.entry.name.id).collect();
    let digits = if terminal { edge::short_ids(&ids) } else { 32 };
    let mut table = Table::new(if terminal { &[5] } else { &[] });
    for row in rows {
        let entry = &row.line.entry.name;
        let (date, bytes) = match terminal {
            true => (time::short(entry.time, edge.now), size::short(entry.size)),
            false => (time::rfc3339(entry.time), entry.size.to_string()),
        };
        table.row(vec![
            entry.id.to_string()[..digits].to_owned(),
            row.flags(folder).to_owned(),
            date,
            row.from.clone(),
            row.to.join(","),
            bytes,
            row.subject.unwrap_or("(cannot be opened)").to_owned(),
        ]);
    }
    table
}
