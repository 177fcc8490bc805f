//! smr-register: makes an account with a card or a key file, and looks after
//! its devices.

mod edge;
mod person;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use person::Person;
use smr_cli::args::{Common, SecretArgs};
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_cli::table::{Table, terminal_width};
use smr_cli::time;
use smr_client::devices::{self, Named};
use smr_client::enrol::{self, Kind, Wish};
use smr_client::failure::Failure;
use smr_client::login;
use smr_client::token::{self, Listed, ListedCertificate, PinState, Token, TokenError, profile};
use smr_name::{Class, Fingerprint, MailboxName};

const TOOL: &str = "smr-register";

/// Make an account: your card signs once, for this device.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// The repository [default: server in client.toml]
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// The repository's fingerprint, as smrd --fingerprint prints it
    #[arg(long, value_name = "FINGERPRINT")]
    server_key: Option<Fingerprint>,
    /// file:PATH, a pkcs11: URI, or the name of a profile
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Trust anchors instead of trust.d
    #[arg(long, value_name = "DIR")]
    anchors: Option<PathBuf>,
    /// What to call this device [default: the host's name]
    #[arg(long, value_name = "LABEL")]
    device: Option<String>,
    /// The backup: written for a new account, read with --add-device
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Make no backup
    #[arg(long, conflicts_with = "backup")]
    no_backup: bool,
    /// Add this machine to the account NAME, as the device LABEL
    #[arg(
        long,
        value_name = "LABEL",
        group = "errand",
        conflicts_with = "device"
    )]
    add_device: Option<String>,
    /// Have the card now in the reader certify this device anew
    #[arg(long, group = "errand")]
    renew: bool,
    /// Remove a device, by label or fingerprint; with --token by the card
    #[arg(long, value_name = "DEVICE", group = "errand")]
    revoke: Option<String>,
    /// Take the old encryption keys out of this backup
    #[arg(long, value_name = "FILE", group = "errand")]
    restore: Option<PathBuf>,
    /// List readers, tokens and certificates, and what each is good for
    #[arg(long, group = "errand")]
    tokens: bool,
    /// The name of the mailbox
    #[arg(required_unless_present_any = ["renew", "revoke", "restore", "tokens"])]
    name: Option<MailboxName>,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    profile::load(&edge.home.token_dirs())?;
    if args.tokens {
        return tokens(edge, &args);
    }
    if args.renew {
        return renew(edge, &args);
    }
    if let Some(device) = &args.revoke {
        return revoke(edge, &args, device);
    }
    if let Some(file) = &args.restore {
        return restore(edge, &args, file);
    }
    register(edge, args)
}

fn register(edge: &Edge, args: Args) -> Result<u8, Stop> {
    let settings = &edge.settings;
    let server = server(edge, &args)?;
    // clap has seen to it that there is a name.
    let name = args.name.clone();
    let name = name.ok_or_else(|| edge::wrong_call(edge, "which NAME?"))?;
    let (kind, label) = match args.add_device.clone() {
        Some(label) => (Kind::Device, Some(label)),
        None => (Kind::Account, args.device.clone()),
    };
    let mut answers = answers(edge, &args, &server, name.as_str());
    let wish = Wish {
        name,
        server,
        server_key: args.server_key.or(settings.server_key),
        token: chosen(edge, &args)?,
        token_text: lasting(token_text(edge, &args))?,
        anchors: args.anchors.map(absolute).transpose()?,
        kind,
        label: label.unwrap_or_else(enrol::default_label),
        backup: args.backup,
    };
    let enrolled = enrol::enrol(&edge.home, settings, &wish, &mut answers, edge.now)?;
    if wish.backup.is_none() && !args.no_backup {
        edge.report.warning(match wish.kind {
            Kind::Account => &"there is no backup: without this device your mail is lost",
            Kind::Device => &"this device reads no older mail: smr-register --restore FILE",
        });
    }
    if let Some(warning) = &enrolled.warning {
        edge::warn(edge, warning);
    }
    tell(
        edge,
        &enrolled.address.to_string(),
        &wish.label,
        &enrolled.fingerprint,
    )
}

fn renew(edge: &Edge, args: &Args) -> Result<u8, Stop> {
    let account = login::account(&edge.home, &edge.settings)?.to_string();
    let mut answers = answers(edge, args, "", &account);
    let renewed = devices::renew(
        &edge.home,
        &edge.settings,
        &chosen(edge, args)?,
        args.backup.as_deref(),
        &mut answers,
        edge.now,
    )?;
    for label in &renewed.left {
        edge.report.warning(&format!(
            "device \"{label}\" left the account, its certificate does not hold any more: \
             smr-register --renew there"
        ));
    }
    if let Some(warning) = &renewed.warning {
        edge::warn(edge, warning);
    }
    tell(edge, &account, &renewed.label, &renewed.fingerprint)
}

/// Removes a device: by the card where one is named, else by this device.
fn revoke(edge: &Edge, args: &Args, device: &str) -> Result<u8, Stop> {
    let named = Named(device);
    let (address, fingerprint) = match (&args.token, &args.name) {
        (None, _) => devices::revoke(&edge.home, &edge.settings, &named, edge.now)?,
        (Some(_), name) => {
            let token = chosen(edge, args)?;
            let (server, address) = match name {
                None => (String::new(), login::account(&edge.home, &edge.settings)?),
                Some(name) => {
                    let server = server(edge, args)?;
                    let mut answers = answers(edge, args, &server, name.as_str());
                    let key = args.server_key.or(edge.settings.server_key);
                    let repository = enrol::meet(&edge.home, &server, key, &mut answers)?.name;
                    (server, smr_name::Address::new(name.clone(), repository))
                }
            };
            let mut answers = answers(edge, args, &server, &address.to_string());
            let removed = devices::revoke_by_card(
                &edge.home,
                &edge.settings,
                &address,
                &token,
                &named,
                &mut answers,
                edge.now,
            )?;
            (address, removed)
        }
    };
    tell(edge, &address.to_string(), device, &fingerprint)
}

fn restore(edge: &Edge, args: &Args, file: &std::path::Path) -> Result<u8, Stop> {
    let account = login::account(&edge.home, &edge.settings)?.to_string();
    let mut answers = answers(edge, args, "", &account);
    let (home, settings) = (&edge.home, &edge.settings);
    let (_, restored) = devices::restore(home, settings, file, &mut answers, edge.now)?;
    if restored.shut > 0 {
        edge.report.warning(&match restored.shut {
            1 => "1 key sealed to another backup: not restored".to_owned(),
            count => format!("{count} keys sealed to another backup: not restored"),
        });
    }
    let mut out = Out::stdout();
    let told = match edge.common.json {
        true => out.json(
            Line::new("restored")
                .with("account", account)
                .with("new", restored.new)
                .with("kept", restored.kept)
                .with("shut", restored.shut),
        ),
        false => {
            let keys = keys(restored.new);
            out.line(&format!("{account} {}", out.say(&keys)))
        }
    };
    told.and_then(|()| out.finish()).map_err(Stop::Out)?;
    Ok(0)
}

fn keys(count: usize) -> String {
    match count {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    }
}

fn tell(edge: &Edge, account: &str, label: &str, fingerprint: &Fingerprint) -> Result<u8, Stop> {
    let mut out = Out::stdout();
    let told = match edge.common.json {
        true => out.json(
            Line::new("account")
                .with("account", account)
                .with("device", label)
                .with("fingerprint", fingerprint.to_string()),
        ),
        false => out.line(&format!("{account} {fingerprint}")),
    };
    told.and_then(|()| out.finish()).map_err(Stop::Out)?;
    Ok(0)
}

fn answers(edge: &Edge, args: &Args, server: &str, account: &str) -> Person {
    Person::new(TOOL, &args.secrets, edge.common.no_input, server, account)
}

fn server(edge: &Edge, args: &Args) -> Result<String, Stop> {
    let server = args.server.clone().or_else(|| edge.settings.server.clone());
    server.ok_or_else(|| edge::wrong_call(edge, "which repository? --server HOST:PORT"))
}

fn token_text(edge: &Edge, args: &Args) -> String {
    let text = args.token.clone().or_else(|| edge.settings.token.clone());
    text.unwrap_or_else(|| "auto".to_owned())
}

fn chosen(edge: &Edge, args: &Args) -> Result<Token, Stop> {
    let token = token_text(edge, args).parse::<Token>()?;
    Ok(token
        .with_module(edge.settings.module.as_deref())
        .with_wait(edge.settings.wait))
}

/// Lists what there is, without a PIN; trouble with one module hides no other.
fn tokens(edge: &Edge, args: &Args) -> Result<u8, Stop> {
    let token = match &args.token {
        Some(text) => text.parse::<Token>()?,
        None => Token::anything(),
    };
    let token = token.with_module(edge.settings.module.as_deref());
    let (listed, troubles) = token::list(&token, edge.now)?;
    let mut out = Out::stdout();
    let mut table = Table::new(&[]);
    for line in &listed {
        if edge.common.json {
            out.json(token_json(line)).map_err(Stop::Out)?;
        } else {
            table.row(token_row(line, edge.now, &out));
        }
    }
    table
        .write(&mut out, terminal_width())
        .and_then(|()| out.finish())
        .map_err(Stop::Out)?;
    let mut outcome = Outcome::default();
    for trouble in troubles {
        // Who has an HSM may well have no smartcards.
        if !listed.is_empty() && matches!(trouble, TokenError::NoReader { .. }) {
            edge.report.warning(&trouble);
            trouble
                .hint()
                .iter()
                .for_each(|hint| edge.report.hint(hint));
            continue;
        }
        outcome.note(Stop::from(trouble).tell(&edge.report));
    }
    Ok(outcome.code())
}

fn good_for(certificate: &ListedCertificate, pin: Option<PinState>) -> String {
    if let Some(why) = certificate.useless {
        return format!("nothing: {why}");
    }
    let does = match (certificate.enrols, certificate.signs) {
        (true, true) => "enrol, sign",
        (true, false) => "enrol",
        (false, _) => "sign",
    };
    match pin {
        Some(PinState::Locked) => "nothing: its PIN is locked".to_owned(),
        Some(PinState::NotSet) => "nothing: its PIN is not set".to_owned(),
        Some(PinState::LastTry) => format!("{does}, one PIN try left"),
        Some(PinState::FewTries) => format!("{does}, few PIN tries left"),
        Some(PinState::Good) | None => does.to_owned(),
    }
}

/// Names a state of a PIN for programs.
fn pin_word(pin: PinState) -> &'static str {
    match pin {
        PinState::Good => "good",
        PinState::NotSet => "not_set",
        PinState::FewTries => "few_tries",
        PinState::LastTry => "last_try",
        PinState::Locked => "locked",
    }
}

fn token_row(line: &Listed, now: i64, out: &Out) -> Vec<String> {
    let token = line.token.as_ref().map_or("-", |t| t.label.as_str());
    let mut row = vec![line.reader.clone(), token.to_owned()];
    if let Some(certificate) = &line.certificate {
        row.extend([
            out.say(&good_for(certificate, line.token.as_ref().map(|t| t.pin)))
                .into_owned(),
            match out.is_terminal() {
                true => time::shown(certificate.not_after, now),
                false => time::rfc3339(certificate.not_after),
            },
            certificate.subject.clone(),
            certificate.uri.to_string(),
        ]);
    }
    row
}

fn token_json(line: &Listed) -> Line {
    let json = Line::new("token")
        .with("reader", line.reader.as_str())
        .with("module", line.module.display().to_string())
        .with("token", line.token.as_ref().map(|t| t.label.clone()))
        .with("pin", line.token.as_ref().map(|t| pin_word(t.pin)));
    let Some(certificate) = &line.certificate else {
        return json;
    };
    json.with("uri", certificate.uri.to_string())
        .with("label", certificate.label.as_str())
        .with("subject", certificate.subject.as_str())
        .time("not_after", certificate.not_after)
        .with("enrols", certificate.enrols)
        .with("signs", certificate.signs)
        .with("useless", certificate.useless)
}

/// Returns a path that means the same from any folder.
fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path).map_err(|error| {
        let text = format!("no such path \"{}\": {error}", path.display());
        Failure::new(Class::Missing, text)
    })
}

/// Returns TOKEN as client.toml may keep it.
fn lasting(token: String) -> Result<String, Failure> {
    match token.strip_prefix("file:") {
        Some(path) => Ok(format!("file:{}", absolute(path.into())?.display())),
        None => Ok(token),
    }
}
