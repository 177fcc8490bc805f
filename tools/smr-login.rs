//! smr-login: opens a session with the repository, by way of the agent.

mod edge;
mod person;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use edge::{Edge, Stop};
use person::Person;
use smr_cli::args::{Common, SecretArgs};
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_cli::time;
use smr_client::config::{By, Settings};
use smr_client::doctor::{self, State};
use smr_client::login::{self, NewKey};
use smr_client::outbox;
use smr_client::owed;
use smr_client::token::{self, Token, profile};
use smr_client::user::User;
use smr_name::Address;

const TOOL: &str = "smr-login";

/// What a login takes.
#[derive(Clone, Copy, ValueEnum)]
enum LoginBy {
    /// The passphrase of this device
    Device,
    /// The card's signature too
    Card,
}

/// Open a session with the repository.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// How long the agent keeps the secrets: 90s, 10m, 8h, 7d
    #[arg(short = 't', value_name = "LIFETIME", value_parser = time::duration)]
    lifetime: Option<u64>,
    /// What it takes; the card authorises this device until the lifetime ends
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["status", "lock", "logout", "check"])]
    by: Option<LoginBy>,
    /// Say which sessions there are
    #[arg(long, conflicts_with_all = ["lock", "unlock", "logout", "lifetime"])]
    status: bool,
    /// Wipe the secrets from the agent, keep the account
    #[arg(long, conflicts_with_all = ["unlock", "logout", "lifetime"])]
    lock: bool,
    /// Ask for the passphrase and go on
    #[arg(long, conflicts_with = "logout")]
    unlock: bool,
    /// Wipe everything and close the session
    #[arg(long, conflicts_with = "lifetime")]
    logout: bool,
    /// Say what stands in the way: reader, token, chain, server, agent
    #[arg(long, conflicts_with_all = ["status", "lock", "unlock", "logout", "lifetime", "new_key"])]
    check: bool,
    /// Renew the encryption key now, not when its epoch ends
    #[arg(long, conflicts_with_all = ["status", "lock", "logout"])]
    new_key: bool,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    if args.status {
        return status(edge);
    }
    if args.check {
        return check(edge);
    }
    let account = login::account(&edge.home, &edge.settings)?;
    if args.lock {
        login::lock(&edge.home, &account)?;
        return Ok(0);
    }
    if args.logout {
        login::logout(&edge.home, &account)?;
        return Ok(0);
    }
    let mut settings = edge.settings.clone();
    settings.lifetime = args.lifetime.unwrap_or(settings.lifetime);
    let (no_input, whose) = (edge.common.no_input, account.to_string());
    let mut answers = Person::new(TOOL, &args.secrets, no_input, "", &whose);
    let card = card(edge, args.by, &account)?;
    let new_key = match args.new_key {
        true => NewKey::Now,
        false => NewKey::WhenDue,
    };
    let opened = login::login(
        &edge.home,
        &settings,
        &account,
        card.as_ref(),
        new_key,
        &mut answers,
        edge.now,
    )?;
    if let Some(warning) = &opened {
        edge::warn(edge, warning);
    }
    flush(edge, &settings)?;
    Ok(0)
}

/// Returns the card that is to authorise this device, if one is: where somebody
/// says so, or client.toml does and the last authorisation is over.
fn card(edge: &Edge, by: Option<LoginBy>, account: &Address) -> Result<Option<Token>, Stop> {
    let wanted = match by {
        Some(LoginBy::Card) => true,
        Some(LoginBy::Device) => {
            login::forget_authorisation(&edge.home, account)?;
            false
        }
        None if edge.settings.login_by == By::Device => false,
        None => !login::is_authorised(&edge.home, account, edge.now)?,
    };
    if !wanted {
        return Ok(None);
    }
    profile::load(&edge.home.token_dirs())?;
    Ok(Some(token::configured(&edge.settings)?))
}

/// Sends what has waited in the outbox for this login. That something still
/// waits is no failure of the login.
fn flush(edge: &Edge, settings: &Settings) -> Result<(), Stop> {
    let mut user = User::open(&edge.home, settings, edge.now)?;
    for id in outbox::waiting(&user)? {
        match outbox::flush(&mut user, &id) {
            Ok(_) => edge
                .report
                .note(&format!("message \"{id}\" has left the outbox")),
            Err(failure) => edge::warn(edge, &failure),
        }
    }
    for owed in owed::waiting(&user)? {
        let id = owed.id();
        match owed.settle(&mut user) {
            Ok(true) => edge
                .report
                .note(&format!("the receipt for message \"{id}\" was given")),
            Ok(false) => {}
            Err(failure) => edge::warn(edge, &failure),
        }
    }
    Ok(())
}

fn status(edge: &Edge) -> Result<u8, Stop> {
    let (guard, accounts) = login::standing(&edge.home)?;
    edge.report
        .detail(&format!("the agent's secrets are {guard}"));
    let socket = edge.home.agent_socket();
    let mut out = Out::stdout();
    for loaded in &accounts {
        let told = match edge.common.json {
            true => out.json(
                Line::new("session")
                    .with("account", loaded.account.to_string())
                    .with("server", loaded.server.clone())
                    .time("until", loaded.until)
                    .with("locked", loaded.locked)
                    .with("connected", loaded.online)
                    .with("agent", socket.display().to_string()),
            ),
            false => {
                let until = match out.is_terminal() {
                    true => time::shown(loaded.until, edge.now),
                    false => time::short(loaded.until, edge.now),
                };
                let locked = if loaded.locked { " (locked)" } else { "" };
                let path = socket.display();
                let told = format!("{} until {until} via {path}{locked}", loaded.account);
                out.line(&out.say(&told))
            }
        };
        told.map_err(Stop::Out)?;
    }
    out.finish().map_err(Stop::Out)?;
    let open = accounts.iter().any(|loaded| !loaded.locked);
    Ok(if open { 0 } else { 1 })
}

/// One line for each thing, and below it what would help; the exit code is that
/// of the first that does not work.
fn check(edge: &Edge) -> Result<u8, Stop> {
    profile::load(&edge.home.token_dirs())?;
    let findings = doctor::examine(&edge.home, &edge.settings, edge.now);
    let (mut out, mut outcome) = (Out::stdout(), Outcome::default());
    for finding in &findings {
        let word = match finding.state {
            State::Good => "ok",
            State::Doubtful => "warn",
            State::Bad(class) => {
                outcome.note(class.code());
                "fail"
            }
        };
        let told = match edge.common.json {
            true => out.json(
                Line::new("finding")
                    .with("what", finding.what)
                    .with("state", word)
                    .with("text", finding.text.as_str())
                    .with("hint", finding.hint.as_deref()),
            ),
            false => {
                let said = [word, finding.what, &finding.text].map(|text| out.say(text));
                out.columns(&said.each_ref().map(AsRef::as_ref))
            }
        };
        told.map_err(Stop::Out)?;
        if let Some(hint) = finding.hint.as_ref().filter(|_| !edge.common.json) {
            edge.report.hint(hint);
        }
    }
    out.finish().map_err(Stop::Out)?;
    Ok(outcome.code())
}
