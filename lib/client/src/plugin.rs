//! The plugin of the age program (C2SP age-plugin, identity-v1): finds the key of
//! a sealed file among those that the agent holds.
//!
//! Never sees an identity; what it hands out is the key of one file, as the agent
//! gives it to any tool of its user.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use age_plugin::identity::{Error, IdentityPluginV1};
use age_plugin::{Callbacks, PluginHandler, run_state_machine};
use bech32::Hrp;
use smr_evidence::envelope::Unwrap;
use smr_name::{Address, Class};
use smr_seal::Stanza;

use crate::agent::AgentKeys;
use crate::failure::Failure;
use crate::home::Home;

const NAME: &str = "smr";
const PREFIX: Hrp = Hrp::parse_unchecked("age-plugin-smr-");

/// Returns the text that `age -i` takes for an account's keys. It is no secret:
/// in it stands the address.
pub fn identity(account: &Address) -> String {
    let address = account.to_string();
    bech32::encode_upper::<bech32::Bech32>(PREFIX, address.as_bytes())
        .expect("an address of 97 bytes at most, and Bech32 takes 600")
}

/// Speaks with age on standard input and output until it has its keys; `state`
/// is what age asked for.
pub fn serve(home: &Home, state: &str) -> Result<(), Failure> {
    let handler = Handler(home.agent_socket());
    run_state_machine(state, handler).map_err(|error| {
        let text = format!("the talk with age broke off: {error}");
        Failure::new(Class::Io, text)
            .hint("did age run it, and is it of a version that speaks identity-v1?")
    })
}

struct Handler(PathBuf);

impl PluginHandler for Handler {
    type RecipientV1 = Infallible;
    type IdentityV1 = Opener;

    fn identity_v1(self) -> io::Result<Opener> {
        Ok(Opener {
            socket: self.0,
            accounts: Vec::new(),
        })
    }
}

/// The accounts whose keys are asked for.
struct Opener {
    socket: PathBuf,
    accounts: Vec<Address>,
}

impl IdentityPluginV1 for Opener {
    fn add_identity(&mut self, index: usize, plugin: &str, bytes: &[u8]) -> Result<(), Error> {
        let address = std::str::from_utf8(bytes).ok().and_then(|t| t.parse().ok());
        match address {
            Some(address) if plugin == NAME => {
                self.accounts.push(address);
                Ok(())
            }
            _ => Err(Error::Identity {
                index,
                message: "not an identity of smr".to_owned(),
            }),
        }
    }

    fn unwrap_file_keys(
        &mut self,
        files: Vec<Vec<Stanza>>,
        _: impl Callbacks<Error>,
    ) -> io::Result<HashMap<usize, Result<age_core::format::FileKey, Vec<Error>>>> {
        let opened = files.iter().enumerate().filter_map(|(file, stanzas)| {
            self.open(stanzas)
                .transpose()
                .map(|key| (file, key.map_err(|e| vec![e])))
        });
        Ok(opened.collect())
    }
}

impl Opener {
    /// Finds the key of a file, none where it is sealed for somebody else.
    fn open(&self, stanzas: &[Stanza]) -> Result<Option<age_core::format::FileKey>, Error> {
        for account in &self.accounts {
            let keys = AgentKeys::new(&self.socket, account.clone());
            let key = keys.unwrap(stanzas).map_err(|e| failed(&e.text, &e.hint))?;
            if let Some(key) = key {
                let fill = |place: &mut [u8; 16]| place.copy_from_slice(&*key);
                return Ok(Some(age_core::format::FileKey::init_with_mut(fill)));
            }
        }
        Ok(None)
    }
}

fn failed(text: &str, hint: &str) -> Error {
    let message = match hint {
        "" => text.to_owned(),
        hint => format!("{text} ({hint})"),
    };
    Error::Internal { message }
}

#[cfg(test)]
mod tests {
    use super::{IdentityPluginV1, Opener, PREFIX, identity};

    #[test]
    fn an_identity_names_its_account() {
        let account = "rui@repo.example".parse().unwrap();
        let text = identity(&account);
        assert!(text.starts_with("AGE-PLUGIN-SMR-1"), "{text}");
        let (prefix, bytes) = bech32::decode(&text).unwrap();
        assert!(prefix == PREFIX);
        let mut opener = Opener {
            socket: "/nowhere".into(),
            accounts: vec![],
        };
        assert!(opener.add_identity(0, "smr", &bytes).is_ok());
        assert_eq!(opener.accounts, [account]);
        assert!(opener.add_identity(1, "other", &bytes).is_err());
        assert!(opener.add_identity(2, "smr", b"\xff").is_err());
        assert!(opener.open(&[]).is_err(), "no agent");
    }
}
