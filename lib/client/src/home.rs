//! Where one user's files live: below `SMR_HOME`, or where XDG puts them.
//!
//! Knows paths only; never reads or writes what they name.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use smr_name::{Class, MailboxName, MessageId, RepositoryName};

use crate::private::{self, PrivateError};

/// The settings that hold for all users of the machine.
pub const SYSTEM_CONFIG: &str = "/etc/smr/client.toml";
/// The anchors that hold for all users of the machine.
pub const SYSTEM_TRUST: &str = "/etc/smr/trust.d";
/// Tables of tokens for every user of the machine.
const SYSTEM_TOKENS: &str = "/etc/smr/tokens.d";

// sun_path is 108 bytes and ends in a zero byte (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// Says why there is no home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither variable names a folder.
    #[error("neither SMR_HOME nor HOME names a folder")]
    Nowhere,
    /// The agent's socket could not be bound there.
    #[error("\"{}\" is too long for a socket, expected at most {SOCKET_PATH_MAX} bytes", .0.display())]
    SocketPath(PathBuf),
    /// A folder cannot be made or is not ours alone.
    #[error(transparent)]
    Private(#[from] PrivateError),
}

impl HomeError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            HomeError::Nowhere | HomeError::SocketPath(_) => Class::Config,
            HomeError::Private(error) => error.class(),
        }
    }
}

/// The variables that decide where files live; relative paths in them are
/// not looked at (XDG Base Directory Specification).
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `SMR_HOME`, made absolute.
    pub smr_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub data: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub state: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub cache: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
}

impl Places {
    /// Reads the environment.
    pub fn from_env() -> Places {
        let absolute = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Places {
            smr_home: env::var_os("SMR_HOME")
                .filter(|path| !path.is_empty())
                .and_then(|path| std::path::absolute(path).ok()),
            home: absolute("HOME"),
            config: absolute("XDG_CONFIG_HOME"),
            data: absolute("XDG_DATA_HOME"),
            state: absolute("XDG_STATE_HOME"),
            cache: absolute("XDG_CACHE_HOME"),
            runtime: absolute("XDG_RUNTIME_DIR"),
        }
    }
}

/// The folders and files of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    config_file: PathBuf,
    data: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    agent_dir: PathBuf,
}

impl Home {
    /// Finds the home in the environment; `config` is the file of `--config`.
    pub fn find(config: Option<&Path>) -> Result<Home, HomeError> {
        Home::new(&Places::from_env(), config)
    }

    /// Finds the home from `places`; `config` is the file of `--config`.
    pub fn new(places: &Places, config: Option<&Path>) -> Result<Home, HomeError> {
        let mut home = match &places.smr_home {
            Some(dir) => Home::below(dir),
            None => Home::from_xdg(places)?,
        };
        if let Some(file) = config {
            home.config_file = file.to_owned();
        }
        Ok(home)
    }

    fn below(dir: &Path) -> Home {
        Home {
            config_file: dir.join("client.toml"),
            data: dir.to_owned(),
            state: dir.join("state"),
            cache: dir.join("cache"),
            agent_dir: dir.to_owned(),
        }
    }

    fn from_xdg(places: &Places) -> Result<Home, HomeError> {
        let base = |set: &Option<PathBuf>, default: &str| {
            set.clone()
                .or_else(|| places.home.as_ref().map(|home| home.join(default)))
                .map(|dir| dir.join("smr"))
                .ok_or(HomeError::Nowhere)
        };
        let state = base(&places.state, ".local/state")?;
        Ok(Home {
            config_file: base(&places.config, ".config")?.join("client.toml"),
            data: base(&places.data, ".local/share")?,
            cache: base(&places.cache, ".cache")?,
            agent_dir: match &places.runtime {
                Some(dir) => dir.join("smr"),
                None => state.join("agent"),
            },
            state,
        })
    }

    /// Returns the user's client.toml.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Returns `trust.d` beside client.toml.
    pub fn trust_dir(&self) -> PathBuf {
        self.config_file.with_file_name("trust.d")
    }

    /// Returns the folders of tables of tokens: beside client.toml, then /etc.
    pub fn token_dirs(&self) -> Vec<PathBuf> {
        vec![
            self.config_file.with_file_name("tokens.d"),
            SYSTEM_TOKENS.into(),
        ]
    }

    /// Returns the key ring of one account: `keys/NAME@REPOSITORY.age`.
    pub fn keyring(&self, mailbox: &MailboxName, repository: &RepositoryName) -> PathBuf {
        self.keyrings().join(format!("{mailbox}@{repository}.age"))
    }

    /// Returns the folder of all key rings.
    pub fn keyrings(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// Returns the folder of what is kept from one use to the next.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the folder of what is known of others and of smrd.
    pub fn known(&self) -> PathBuf {
        self.state.join("known")
    }

    /// Returns the folder of the postmarks of all messages.
    pub fn all_postmarks(&self) -> PathBuf {
        self.state.join("postmarks")
    }

    /// Returns the folder of the postmarks of one message.
    pub fn postmarks(&self, id: &MessageId) -> PathBuf {
        self.all_postmarks().join(id.to_string())
    }

    /// Returns the file of the time stamp on what has this SHA-256.
    pub fn stamp(&self, sha256: &[u8; 32]) -> PathBuf {
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        self.state.join("stamps").join(hex + ".tst")
    }

    /// Returns the folder of what proves that smrd has contradicted itself.
    pub fn proofs(&self) -> PathBuf {
        self.state.join("proofs")
    }

    /// Returns the folder of messages that wait to be sent.
    pub fn outbox(&self) -> PathBuf {
        self.state.join("outbox")
    }

    /// Returns the folder of what may be deleted at any time.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Returns the agent's socket.
    pub fn agent_socket(&self) -> PathBuf {
        self.agent_dir.join("agent.sock")
    }

    /// Makes the folder of the agent's socket and checks that it is ours
    /// alone and that the path fits a socket address.
    pub fn prepare_agent_dir(&self) -> Result<PathBuf, HomeError> {
        let socket = self.agent_socket();
        if socket.as_os_str().as_bytes().len() > SOCKET_PATH_MAX {
            return Err(HomeError::SocketPath(socket));
        }
        private::make_dir(&self.agent_dir)?;
        private::check_dir(&self.agent_dir)?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xdg() -> Places {
        Places {
            home: Some("/home/rui".into()),
            runtime: Some("/run/user/7".into()),
            ..Places::default()
        }
    }

    #[test]
    fn smr_home_holds_everything() {
        let places = Places {
            smr_home: Some("/t/x".into()),
            ..xdg()
        };
        let home = Home::new(&places, None).unwrap();
        assert_eq!(home.config_file(), Path::new("/t/x/client.toml"));
        assert_eq!(home.trust_dir(), Path::new("/t/x/trust.d"));
        assert_eq!(home.agent_socket(), Path::new("/t/x/agent.sock"));
        let ring = home.keyring(&"rui".parse().unwrap(), &"repo.example".parse().unwrap());
        assert_eq!(ring, Path::new("/t/x/keys/rui@repo.example.age"));
        for path in [home.known(), home.outbox(), home.cache().to_owned()] {
            assert!(path.starts_with("/t/x"), "{}", path.display());
        }
    }

    #[test]
    fn xdg_spreads_them() {
        let home = Home::new(&xdg(), None).unwrap();
        assert_eq!(
            home.config_file(),
            Path::new("/home/rui/.config/smr/client.toml")
        );
        assert_eq!(
            home.keyrings(),
            Path::new("/home/rui/.local/share/smr/keys")
        );
        assert_eq!(home.known(), Path::new("/home/rui/.local/state/smr/known"));
        assert_eq!(home.cache(), Path::new("/home/rui/.cache/smr"));
        assert_eq!(home.agent_socket(), Path::new("/run/user/7/smr/agent.sock"));
    }

    #[test]
    fn config_flag_moves_trust_with_it() {
        let home = Home::new(&xdg(), Some(Path::new("/c/other.toml"))).unwrap();
        assert_eq!(home.config_file(), Path::new("/c/other.toml"));
        assert_eq!(home.trust_dir(), Path::new("/c/trust.d"));
    }

    #[test]
    fn without_runtime_dir_the_socket_is_in_state() {
        let places = Places {
            runtime: None,
            ..xdg()
        };
        let home = Home::new(&places, None).unwrap();
        assert!(
            home.agent_socket()
                .starts_with("/home/rui/.local/state/smr")
        );
    }

    #[test]
    fn nowhere_is_an_error() {
        let error = Home::new(&Places::default(), None).unwrap_err();
        assert_eq!(error.class(), Class::Config);
    }

    #[test]
    fn socket_folder_is_private_and_its_path_short() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: PathBuf| {
            let places = Places {
                smr_home: Some(path),
                ..Places::default()
            };
            Home::new(&places, None).unwrap().prepare_agent_dir()
        };
        at(dir.path().join("h")).unwrap();
        assert!(matches!(
            at(dir.path().join("h".repeat(120))),
            Err(HomeError::SocketPath(_))
        ));
        assert!(matches!(
            at("/tmp".into()),
            Err(HomeError::Private(PrivateError::Shared(_)))
        ));
    }
}
