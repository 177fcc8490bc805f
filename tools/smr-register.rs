//! smr-register: makes an account with a card or a key file.

mod edge;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use smr_cli::args::{Common, SecretArgs};
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::prompt::{self, Asker, Kind, PromptError, Question, Sources};
use smr_client::enrol::{self, Answers, Wish};
use smr_client::failure::Failure;
use smr_client::token::{NoPin, Pin, PinPrompt, Token};
use smr_name::{Class, Fingerprint, MailboxName, RepositoryName};
use zeroize::Zeroizing;

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
    /// Write the encryption key here, an age identity file
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Make no backup
    #[arg(long, conflicts_with = "backup")]
    no_backup: bool,
    /// The name of the mailbox
    name: MailboxName,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    let settings = &edge.settings;
    let server = args.server.or_else(|| settings.server.clone());
    let server =
        server.ok_or_else(|| edge::wrong_call(edge, "which repository? --server HOST:PORT"))?;
    let token_text = args.token.or_else(|| settings.token.clone());
    let token_text = token_text.unwrap_or_else(|| "auto".to_owned());
    let wish = Wish {
        name: args.name,
        server,
        server_key: args.server_key.or(settings.server_key),
        token: token_text
            .parse::<Token>()?
            .with_module(settings.module.as_deref()),
        token_text: lasting(token_text)?,
        anchors: args.anchors.map(absolute).transpose()?,
        label: args.device.unwrap_or_else(enrol::default_label),
        backup: args.backup,
    };
    let mut person = Person {
        no_input: edge.common.no_input,
        server: wish.server.clone(),
        asker: Asker::new(TOOL, &args.secrets, Sources::from_env(edge.common.no_input)),
        name: wish.name.clone(),
    };
    let (address, fingerprint) = enrol::enrol(&edge.home, settings, &wish, &mut person, edge.now)?;
    if wish.backup.is_none() && !args.no_backup {
        edge.report
            .warning(&"there is no backup: without this device your mail is lost");
    }
    let mut out = Out::stdout();
    let told = match edge.common.json {
        true => out.json(
            Line::new("account")
                .with("account", address.to_string())
                .with("device", wish.label.as_str())
                .with("fingerprint", fingerprint.to_string()),
        ),
        false => out.line(&format!("{address} {fingerprint}")),
    };
    told.and_then(|()| out.finish()).map_err(Stop::Out)?;
    Ok(0)
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

/// The person in front of the tool, or what stands in for him.
struct Person {
    no_input: bool,
    server: String,
    asker: Asker,
    name: MailboxName,
}

fn class(error: &PromptError) -> Class {
    Class::from_code(error.code()).unwrap_or(Class::Broken)
}

impl Answers for Person {
    fn accept_server(
        &mut self,
        repository: &RepositoryName,
        fingerprint: &Fingerprint,
    ) -> Result<(), Failure> {
        let server = &self.server;
        let question = format!(
            "\"{server}\" is repository {repository} with key {fingerprint}; is that right?"
        );
        match prompt::confirm(&question, self.no_input) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Failure::new(
                Class::Untrusted,
                format!("the key of \"{server}\" is not known: {fingerprint}"),
            )
            .hint("ask its operator for `smrd --fingerprint`, then --server-key FINGERPRINT")),
        }
    }

    fn pin(&mut self, prompt: &PinPrompt) -> Result<Pin, NoPin> {
        let what = if prompt.is_file { "file" } else { "token" };
        let of = format!("{what} \"{}\"", prompt.of);
        let warning = match (prompt.last_try, prompt.few_tries) {
            (true, _) => Some("this is the last try: a wrong PIN locks the token"),
            (_, true) => Some("a wrong PIN was given before: few tries are left"),
            _ => None,
        };
        let question = Question {
            kind: Kind::Pin,
            of: &of,
            warning,
            new: false,
            by_hand: prompt.last_try,
        };
        match self.asker.ask(&question) {
            Ok(secret) => Ok(Pin {
                text: secret.text,
                by_hand: secret.by_hand,
            }),
            Err(error) => Err(NoPin {
                text: error.to_string(),
                class: class(&error),
                hint: error.hint().map(str::to_owned),
            }),
        }
    }

    fn new_passphrase(&mut self) -> Result<Zeroizing<String>, Failure> {
        let of = format!("the new key ring of {}", self.name);
        let question = Question {
            kind: Kind::Passphrase,
            of: &of,
            warning: None,
            new: true,
            by_hand: false,
        };
        match self.asker.ask(&question) {
            Ok(secret) => Ok(secret.text),
            Err(error) => {
                let failure = Failure::new(class(&error), error.to_string());
                Err(error.hint().map_or(failure, |hint| {
                    Failure::new(class(&error), error.to_string()).hint(hint)
                }))
            }
        }
    }
}
