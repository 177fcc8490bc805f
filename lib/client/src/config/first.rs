//! The first client.toml, which smr-register writes.
//!
//! Never touches one that is there.

use std::path::PathBuf;

use smr_name::{Address, Fingerprint};

use super::{ConfigError, Problem};
use crate::home::Home;
use crate::private::{self, PrivateError};

/// What smr-register learnt and client.toml should keep.
#[derive(Clone, Debug)]
pub struct FirstAccount<'a> {
    /// `HOST:PORT`.
    pub server: &'a str,
    /// Fingerprint of smrd's identity document.
    pub server_key: &'a Fingerprint,
    /// The account, with its repository.
    pub mailbox: &'a Address,
    /// TOKEN, where one was named.
    pub token: Option<&'a str>,
    /// Anchors, where they were named.
    pub anchors: &'a [PathBuf],
}

/// Writes client.toml if there is none; tells whether it did.
pub fn write_first(home: &Home, account: &FirstAccount) -> Result<bool, ConfigError> {
    match private::create(home.config_file(), first_text(account).as_bytes()) {
        Ok(()) => Ok(true),
        Err(PrivateError::Exists(_)) => Ok(false),
        Err(error) => Err(ConfigError {
            file: home.config_file().to_owned(),
            problem: Problem::Private(error),
        }),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn first_text(account: &FirstAccount) -> String {
    let mut text = format!(
        "# smr.conf(5) says what else may stand here\n\
         server = {}\nserver_key = {}\nmailbox = {}\n",
        quoted(account.server),
        quoted(&account.server_key.to_string()),
        quoted(&account.mailbox.to_string()),
    );
    if let Some(token) = account.token {
        text += &format!("\n[token]\nuri = {}\n", quoted(token));
    }
    let anchors: Vec<String> = account
        .anchors
        .iter()
        .map(|path| quoted(&path.to_string_lossy()))
        .collect();
    if !anchors.is_empty() {
        text += &format!("\n[trust]\nanchors = [{}]\n", anchors.join(", "));
    }
    text
}
