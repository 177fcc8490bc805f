//! smr-ls: lists a mailbox, what was sent, or the users.

mod edge;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use smr_cli::args::Common;
use smr_cli::json::Line as Json;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_cli::table::{Table, Weight, terminal_width};
use smr_cli::{size, terminal, time};
use smr_client::filter::{Filter, is_unread};
use smr_client::listing::{self, Entry, Folder, Line, Progress, State, UserLine, View};
use smr_client::numbers;
use smr_client::user::User;
use smr_name::{Address, Class, MailboxName, MessageId, RepositoryName};

const TOOL: &str = "smr-ls";

/// What is listed.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Inbox,
    Sent,
    Users,
}

/// List a mailbox, what was sent, or the users.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// inbox (unless given), sent or users; then a text or a pattern with *
    /// and ? for ids, names and subjects
    #[arg(value_names = ["WHAT", "PATTERN"], num_args = 0..=2)]
    words: Vec<String>,
    /// Unread messages only; of sent ones, those not read by all
    #[arg(short = 'u', long)]
    unread: bool,
    /// Messages from this mailbox only
    #[arg(long, value_name = "MAILBOX")]
    from: Option<Address>,
    /// Messages to this mailbox only
    #[arg(long, value_name = "MAILBOX")]
    to: Option<Address>,
    /// Messages with TEXT, or a pattern with * and ?, in the subject only
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Messages deposited at TIME or later only
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Messages deposited before TIME only
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// The newest N only
    #[arg(short = 'n', value_name = "N")]
    newest: Option<usize>,
    /// In reverse order
    #[arg(short = 'r', long)]
    reverse: bool,
    /// Ids or names only, one a line
    #[arg(short = '1', conflicts_with_all = ["zero", "json"])]
    one: bool,
    /// Ids or names only, each followed by a NUL byte
    #[arg(short = '0', conflicts_with = "json")]
    zero: bool,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    let (what, pattern) = words(edge, &args.words)?;
    let filter = Filter {
        from: args.from.clone(),
        to: args.to.clone(),
        subject: args.subject.clone(),
        since: moment(edge, args.since.as_deref())?,
        before: moment(edge, args.before.as_deref())?,
        pattern,
    };
    if what == What::Users && (args.unread || filter != of_users(&filter)) {
        return Err(edge::wrong_call(edge, "users are listed by PATTERN only"));
    }
    let mut user = edge.user()?;
    match what {
        What::Users => users(edge, &args, &filter, &mut user),
        What::Inbox => messages(edge, &args, &filter, &mut user, Folder::Inbox),
        What::Sent => messages(edge, &args, &filter, &mut user, Folder::Sent),
    }
}

/// Returns what is listed, and the pattern; one word may be either.
fn words(edge: &Edge, words: &[String]) -> Result<(What, Option<String>), Stop> {
    let what = |word: &str| match word {
        "inbox" => Some(What::Inbox),
        "sent" => Some(What::Sent),
        "users" => Some(What::Users),
        _ => None,
    };
    match words {
        [] => Ok((What::Inbox, None)),
        [word] => Ok(match what(word) {
            Some(what) => (what, None),
            None => (What::Inbox, Some(word.clone())),
        }),
        [word, pattern, ..] => match what(word) {
            Some(what) => Ok((what, Some(pattern.clone()))),
            None => Err(edge::wrong_call(
                edge,
                &format!("\"{word}\": expected inbox, sent or users before a pattern"),
            )),
        },
    }
}

fn moment(edge: &Edge, text: Option<&str>) -> Result<Option<i64>, Stop> {
    text.map(|text| time::parse(text, edge.now))
        .transpose()
        .map_err(|e| edge::wrong_call(edge, &format!("\"{}\": {e}", text.unwrap_or_default())))
}

fn of_users(filter: &Filter) -> Filter {
    Filter {
        pattern: filter.pattern.clone(),
        ..Filter::default()
    }
}

fn users(edge: &Edge, args: &Args, filter: &Filter, user: &mut User) -> Result<u8, Stop> {
    let (mut shown, mut outcome) = (Vec::new(), Outcome::default());
    let bare_names = args.common.quiet || args.one || args.zero;
    for line in listing::users(user)? {
        let proven = match bare_names && filter.pattern.is_none() {
            true => None,
            false => person(edge, user, &line, &mut outcome),
        };
        if filter.keeps_user(&line.name, proven.as_deref()) {
            shown.push((line, proven));
        }
    }
    shown.drain(..shown.len() - args.newest.unwrap_or(usize::MAX).min(shown.len()));
    if args.reverse {
        shown.reverse();
    }
    if args.common.quiet {
        return Ok(u8::from(shown.is_empty()));
    }
    let mut out = Out::stdout();
    if bare_names {
        let names: Vec<String> = shown.iter().map(|(u, _)| u.name.to_string()).collect();
        bare(&mut out, &names, args.zero)?;
        return Ok(outcome.code());
    }
    let mut table = Table::new(&[]);
    for (line, person) in &shown {
        match edge.common.json {
            true => out.json(user_json(line, person.as_deref())),
            false => {
                let weight = if line.online {
                    Weight::Bold
                } else {
                    Weight::Plain
                };
                table.weighed(user_row(line, person.as_deref(), &out), weight);
                Ok(())
            }
        }
        .map_err(Stop::Out)?;
    }
    table
        .write(&mut out, terminal_width())
        .and_then(|()| out.finish())
        .map_err(Stop::Out)?;
    Ok(outcome.code())
}

fn user_json(line: &UserLine, person: Option<&str>) -> Json {
    Json::new("user")
        .with("name", line.name.to_string())
        .with("person", person)
        .with("online", line.online)
}

fn user_row(line: &UserLine, person: Option<&str>, out: &Out) -> Vec<String> {
    let state = if line.online { "online" } else { "offline" };
    vec![
        line.name.to_string(),
        person.unwrap_or("?").to_owned(),
        out.say(state).into_owned(),
    ]
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

fn messages(
    edge: &Edge,
    args: &Args,
    filter: &Filter,
    user: &mut User,
    folder: Folder,
) -> Result<u8, Stop> {
    let wanted = Wanted::of(args, filter, folder);
    let mut display = Display::of(edge, args, user, folder);
    // The newest of all need no look at the others.
    if let (Some(n), true) = (args.newest, wanted.all()) {
        let mut lines = wanted.newest(user, n)?;
        put_in_order(args, folder, &mut lines, |line| line.entry.state);
        for line in lines {
            if let Some(found) = wanted.keep(user, line)? {
                display.add(found)?;
            }
        }
        return display.end();
    }
    let view = listing::view(user, folder)?;
    // What was opened is remembered, also where nobody reads on.
    let shown = shown(args, &wanted, user, &view, &mut display);
    view.close(user)?;
    shown?;
    display.end()
}

fn shown(
    args: &Args,
    wanted: &Wanted<'_>,
    user: &mut User,
    view: &View,
    display: &mut Display<'_>,
) -> Result<(), Stop> {
    let mut there: Vec<(u64, State)> = view.there().collect();
    if let Some(n) = args.newest {
        there = wanted.last(user, view, there, n)?;
    }
    put_in_order(args, wanted.folder, &mut there, |(_, state)| *state);
    for (number, state) in there {
        if let Some(found) = wanted.at(user, view, number, state)? {
            display.add(found)?;
        }
        if display.is_enough() {
            break;
        }
    }
    Ok(())
}

/// Unread first; stable, so that within each half it is by arrival.
fn put_in_order<T>(args: &Args, folder: Folder, all: &mut [T], state: impl Fn(&T) -> State) {
    if folder == Folder::Inbox {
        all.sort_by_key(|one| state(one) == State::Read);
    }
    if args.reverse {
        all.reverse();
    }
}

/// A message, and how far it has come where it was sent.
type Found = (Line, Option<Vec<(MailboxName, Progress)>>);

/// Which messages are wanted, and what must be known of them.
struct Wanted<'a> {
    filter: &'a Filter,
    unread: bool,
    folder: Folder,
    /// Headers: they cost a look into a message the first time.
    headers: bool,
    /// How far a sent message has come.
    progress: bool,
}

impl<'a> Wanted<'a> {
    fn of(args: &Args, filter: &'a Filter, folder: Folder) -> Wanted<'a> {
        let short = args.common.quiet || args.one || args.zero;
        let unread_sent = args.unread && folder == Folder::Sent;
        Wanted {
            filter,
            unread: args.unread,
            folder,
            headers: !short || filter.needs_headers() || unread_sent,
            progress: folder == Folder::Sent && (args.unread || !short),
        }
    }

    /// Tells whether all messages are.
    fn all(&self) -> bool {
        *self.filter == Filter::default() && !self.unread
    }

    fn newest(&self, user: &mut User, count: usize) -> Result<Vec<Line>, Stop> {
        if self.headers {
            return Ok(listing::newest_lines(user, self.folder, count)?);
        }
        let entries = listing::newest_entries(user, self.folder, count)?;
        Ok(entries.into_iter().map(bare_line).collect())
    }

    /// Returns the last `count` of these that are wanted.
    fn last(
        &self,
        user: &mut User,
        view: &View,
        mut there: Vec<(u64, State)>,
        count: usize,
    ) -> Result<Vec<(u64, State)>, Stop> {
        let mut last = Vec::new();
        while let Some((number, state)) = there.pop().filter(|_| last.len() < count) {
            if self.at(user, view, number, state)?.is_some() {
                last.push((number, state));
            }
        }
        last.reverse();
        Ok(last)
    }

    /// Returns a message of a folder, if it is wanted.
    fn at(
        &self,
        user: &mut User,
        view: &View,
        number: u64,
        state: State,
    ) -> Result<Option<Found>, Stop> {
        if self.folder == Folder::Inbox && self.unread && !is_unread(state, None) {
            return Ok(None);
        }
        let line = match self.headers {
            true => view.line(user, number)?,
            false => bare_line(view.entry(user, number)?),
        };
        self.keep(user, line)
    }

    fn keep(&self, user: &mut User, line: Line) -> Result<Option<Found>, Stop> {
        if !self.filter.keeps(&line) {
            return Ok(None);
        }
        let states = match self.progress {
            true => Some(listing::progress(user, &line)?),
            false => None,
        };
        let wanted = !self.unread || is_unread(line.entry.state, states.as_deref());
        Ok(wanted.then_some((line, states)))
    }
}

fn bare_line(entry: Entry) -> Line {
    Line {
        entry,
        headers: None,
    }
}

/// Shows messages: a program gets each as it is found, a person all of them at
/// the end, in columns.
struct Display<'a> {
    edge: &'a Edge,
    args: &'a Args,
    repository: RepositoryName,
    folder: Folder,
    out: Out<Box<dyn Write>>,
    /// Of a person.
    found: Vec<Found>,
    any: bool,
}

impl<'a> Display<'a> {
    fn of(edge: &'a Edge, args: &'a Args, user: &User, folder: Folder) -> Display<'a> {
        let stdout = Out::stdout();
        let (terminal, colour) = (stdout.is_terminal(), stdout.shows_colour());
        let to: Box<dyn Write> = Box::new(BufWriter::new(stdout.into_inner()));
        Display {
            edge,
            args,
            repository: user.repository.clone(),
            folder,
            out: Out::to(to, terminal).with_colour(colour),
            found: Vec::new(),
            any: false,
        }
    }

    /// Tells whether nothing more need be found.
    fn is_enough(&self) -> bool {
        self.args.common.quiet && self.any
    }

    fn add(&mut self, found: Found) -> Result<(), Stop> {
        self.any = true;
        let (args, out) = (self.args, &mut self.out);
        let id = found.0.entry.name.id;
        match () {
            () if args.common.quiet => Ok(()),
            () if args.one => out.line(&id.to_string()),
            () if args.zero => out.zero(&id.to_string()),
            () if args.common.json => {
                out.json(Row::of(&self.repository, self.folder, &found).json(self.folder))
            }
            () if out.is_terminal() => {
                self.found.push(found);
                Ok(())
            }
            () => {
                let row = Row::of(&self.repository, self.folder, &found);
                table(self.edge, self.folder, &[row], out).write(out, None)
            }
        }
        .map_err(Stop::Out)
    }

    /// Returns the exit code.
    fn end(mut self) -> Result<u8, Stop> {
        if self.args.common.quiet {
            return Ok(u8::from(!self.any));
        }
        let of = |found| Row::of(&self.repository, self.folder, found);
        let rows: Vec<Row> = self.found.iter().map(of).collect();
        let table = table(self.edge, self.folder, &rows, &self.out);
        table
            .write(&mut self.out, terminal_width())
            .and_then(|()| self.out.finish())
            .map_err(Stop::Out)?;
        let listed = !self.args.common.json && !self.args.one && !self.args.zero;
        if let (true, Some(terminal)) = (listed, terminal::shown_on()) {
            let ids: Vec<MessageId> = rows.iter().map(|row| row.line.entry.name.id).collect();
            numbers::keep(&self.edge.home, &terminal, &ids)?;
        }
        Ok(0)
    }
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
    fn of(own: &RepositoryName, folder: Folder, (line, states): &'a Found) -> Row<'a> {
        let headers = line.headers.as_ref();
        let state = match folder {
            Folder::Sent => progress(states.as_deref().unwrap_or_default()),
            _ => match line.entry.state {
                State::New => "new",
                State::Fetched => "fetched",
                State::Read => "read",
                State::Removed => "removed",
            },
        };
        let name = |address: &smr_name::Address| match &address.repository {
            Some(repository) if repository == own => address.mailbox.to_string(),
            _ => address.to_string(),
        };
        Row {
            line,
            state,
            // The sender that smrd authenticated, not the one the message claims.
            from: line.entry.name.sender.to_string(),
            to: headers
                .map(|h| h.addressees().map(name).collect())
                .unwrap_or_default(),
            subject: headers.map(|h| h.subject.as_str()),
        }
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
            (_, State::Removed) => "T?",
        }
    }
}

/// Returns what the last of the addressees has done.
fn progress(states: &[(MailboxName, Progress)]) -> &'static str {
    match states.iter().map(|(_, progress)| *progress as u8).min() {
        Some(3) => "read",
        Some(2) => "fetched",
        Some(1) => "deposited",
        _ => "unknown",
    }
}

/// Makes the table; a person's has numbers in front, which the other tools
/// take in the same terminal.
fn table<W: Write>(edge: &Edge, folder: Folder, rows: &[Row<'_>], out: &Out<W>) -> Table {
    let terminal = out.is_terminal();
    let ids: Vec<_> = rows.iter().map(|row| row.line.entry.name.id).collect();
    let digits = if terminal { edge::short_ids(&ids) } else { 32 };
    let mut table = Table::new(if terminal { &[0, 6] } else { &[] });
    for (at, row) in rows.iter().enumerate() {
        let entry = &row.line.entry.name;
        let (date, bytes) = match terminal {
            true => (time::shown(entry.time, edge.now), size::short(entry.size)),
            false => (time::rfc3339(entry.time), entry.size.to_string()),
        };
        let number = terminal.then(|| (at + 1).to_string());
        let cells = number.into_iter().chain([
            entry.id.to_string()[..digits].to_owned(),
            out.say(row.flags(folder)).into_owned(),
            date,
            row.from.clone(),
            row.to.join(","),
            bytes,
            match row.subject {
                Some(subject) => subject.to_owned(),
                None => out.say("(cannot be opened)").into_owned(),
            },
        ]);
        let weight = match (folder, row.line.entry.state) {
            (Folder::Inbox, State::Read) => Weight::Plain,
            (Folder::Inbox, _) => Weight::Bold,
            _ => Weight::Plain,
        };
        table.weighed(cells.collect(), weight);
    }
    table
}
