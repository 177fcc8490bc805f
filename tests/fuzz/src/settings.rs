//! Names and settings: what people type, and what lies in the store.

use std::path::Path;

use smr_name::{Address, EntryName, Fingerprint, IdPrefix, MailboxName, MessageId};

/// Names as people and peers write them; each has one form only.
pub fn names(data: &[u8]) {
    let text = super::text(data);
    if let Ok(read) = text.parse::<MailboxName>() {
        assert_eq!(read.to_string(), text);
    }
    if let Ok(read) = text.parse::<MessageId>() {
        assert_eq!(read.to_string(), text);
    }
    if let Ok(read) = text.parse::<Fingerprint>() {
        assert_eq!(read.to_string(), text);
    }
    let _ = text.parse::<Address>();
    let _ = text.parse::<IdPrefix>();
}

/// Names of files in the store.
pub fn entry(data: &[u8]) {
    let text = super::text(data);
    if let Ok(read) = text.parse::<EntryName>() {
        assert_eq!(read.to_string(), text);
        assert!(!text.contains('/') && !text.starts_with('.'));
    }
}

/// smrd.toml.
pub fn smrd_toml(data: &[u8]) {
    let state = Some("/var/lib/smrd".into());
    let _ = smr_server::config::Config::parse(super::text(data), Path::new("smrd.toml"), state);
}

/// client.toml.
pub fn client_toml(data: &[u8]) {
    let read = smr_client::config::Config::parse(super::text(data), Path::new("client.toml"));
    if let Ok(config) = read {
        let _ = config.settings(None);
        for account in config.accounts() {
            assert!(config.settings(Some(account)).is_ok());
        }
    }
}

/// A table of tokens, as a site adds one.
pub fn tokens_toml(data: &[u8]) {
    let _ = smr_client::token::profile::read(super::text(data));
}

/// Tokens as people name them, PKCS#11 URIs among them (RFC 7512).
pub fn token(data: &[u8]) {
    let _ = super::text(data).parse::<smr_client::token::Token>();
}
