//! The person in front of a tool, or what stands in for him: PINs,
//! passphrases, and whether a server is the right one.
//!
//! Asks through lib/cli; keeps nothing.

use smr_cli::args::SecretArgs;
use smr_cli::prompt::{self, Asker, Kind, PromptError, Question, Sources};
use smr_client::enrol::Answers;
use smr_client::failure::Failure;
use smr_client::token::{NoPin, Pin, PinPrompt};
use smr_name::{Class, Fingerprint, RepositoryName};
use zeroize::Zeroizing;

/// Whoever answers.
pub(crate) struct Person {
    no_input: bool,
    server: String,
    asker: Asker,
    account: String,
}

impl Person {
    /// Asks in the name of `tool`, about a server and an account.
    pub(crate) fn new(
        tool: &'static str,
        secrets: &SecretArgs,
        no_input: bool,
        server: &str,
        account: &str,
    ) -> Person {
        Person {
            no_input,
            server: server.to_owned(),
            asker: Asker::new(tool, secrets, Sources::from_env(no_input)),
            account: account.to_owned(),
        }
    }

    fn secret(&mut self, of: &str, new: bool) -> Result<Zeroizing<String>, Failure> {
        let question = Question {
            kind: Kind::Passphrase,
            of,
            warning: None,
            new,
            by_hand: false,
        };
        match self.asker.ask(&question) {
            Ok(secret) => Ok(secret.text),
            Err(error) => {
                let failure = Failure::new(class(&error), error.to_string());
                Err(Failure {
                    hint: error.hint().map(str::to_owned),
                    ..failure
                })
            }
        }
    }
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
        let of = match prompt.is_file {
            true => format!("file {}", prompt.of),
            false => prompt.of.clone(),
        };
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
        self.secret(&format!("the new key ring of {}", self.account), true)
    }

    fn passphrase(&mut self) -> Result<Zeroizing<String>, Failure> {
        self.secret(&format!("the key ring of {}", self.account), false)
    }
}
