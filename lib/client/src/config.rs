//! Settings: client.toml, what may stand in it, and what wins
//! (smr.conf(5)).
//!
//! Decides nothing about flags: the tools lay theirs over what this returns.

mod first;
mod read;
mod section;
pub mod units;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use smr_channel::suite::Suite;
use smr_evidence::trust::Revocation;
use smr_name::{Address, Class, Fingerprint, MailboxName};
use smr_seal::Kind;

pub use self::first::{FirstAccount, write_first};
use self::read::{read_file, read_text};
use crate::home::{Home, SYSTEM_CONFIG, SYSTEM_TRUST};
use crate::private::PrivateError;

/// Says what is wrong in which file; always class 78, except for failed I/O.
#[derive(Debug, thiserror::Error)]
#[error("\"{}\": {problem}", file.display())]
pub struct ConfigError {
    /// The file, or `environment`.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// Says what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// `--config` names no file.
    #[error("there is no such file")]
    Absent,
    /// Not TOML.
    #[error("line {line}: {text}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        text: String,
    },
    /// A key that means nothing.
    #[error("unknown key \"{key}\"{}", nearest.as_ref().map(|n| format!(", did you mean \"{n}\"")).unwrap_or_default())]
    Unknown {
        /// With its tables, dotted.
        key: String,
        /// The closest key there is, if one is close.
        nearest: Option<String>,
    },
    /// A value of another form.
    #[error("wrong value for \"{key}\", expected {expected}")]
    Value {
        /// With its tables, dotted.
        key: String,
        /// What would be right.
        expected: &'static str,
    },
    /// `--as` names nothing.
    #[error("there is no account \"{0}\"")]
    NoAccount(String),
    /// The file cannot be read or written.
    #[error(transparent)]
    Private(PrivateError),
}

impl ConfigError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match &self.problem {
            Problem::Private(error) => error.class(),
            Problem::NoAccount(_) => Class::NoMailbox,
            _ => Class::Config,
        }
    }
}

/// What signs: a message or a receipt, or for a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The device key: class D.
    Device,
    /// The card: class Q.
    Card,
}

/// Which receipt a sender asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// None.
    None,
    /// One of either class.
    Read,
    /// One of class Q.
    Card,
}

/// Whether a reader gives the receipt he is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Asks on a terminal; never without one.
    Ask,
    /// Does not.
    Never,
    /// Does, before anything is shown.
    Always,
}

macro_rules! settings {
    (set { $($(#[$so:meta])* $o:ident: $ot:ty,)* } default { $($(#[$sd:meta])* $d:ident: $dt:ty = $value:expr,)* }) => {
        /// What holds for one account, after every source was asked.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $($(#[$so])* pub $o: Option<$ot>,)*
            $($(#[$sd])* pub $d: $dt,)*
        }

        /// What one source says.
        #[derive(Clone, Debug, Default)]
        struct Layer {
            $($o: Option<$ot>,)*
            $($d: Option<$dt>,)*
        }

        impl Layer {
            /// Fills what is not set from a source of less weight.
            fn over(self, lower: Layer) -> Layer {
                Layer {
                    $($o: self.$o.or(lower.$o),)*
                    $($d: self.$d.or(lower.$d),)*
                }
            }

            fn settle(self) -> Settings {
                Settings {
                    $($o: self.$o,)*
                    $($d: self.$d.unwrap_or_else(|| $value),)*
                }
            }
        }
    };
}

settings! {
    set {
        /// `HOST:PORT` of smrd.
        server: String,
        /// Fingerprint of smrd's identity document.
        server_key: Fingerprint,
        /// The account, with its repository where that is known.
        mailbox: Address,
        /// TOKEN as `--token` takes it: `[token]` `uri`, else `profile`.
        token: String,
        /// The PKCS#11 module to load instead of the profile's.
        module: PathBuf,
        /// Where smr-recv delivers.
        maildir: PathBuf,
        /// Anchor files and folders; none: `trust.d`.
        anchors: Vec<PathBuf>,
        /// The address of the authority that is asked for time stamps.
        tsa: String,
    }
    default {
        /// Seconds to wait for a token to appear.
        wait: u64 = 0,
        /// Seconds the agent keeps the keys.
        lifetime: u64 = 8 * 3600,
        /// Seconds without use after which the agent drops the keys.
        idle: u64 = 3600,
        /// Suites offered to smrd, the preferred one first.
        suites: Vec<Suite> = Suite::ALL.to_vec(),
        /// What a login takes.
        login_by: By = By::Device,
        /// What signs.
        by: By = By::Device,
        /// Which receipt is asked for.
        ask: Ask = Ask::Read,
        /// Which receipt is given.
        consent: Consent = Consent::Ask,
        /// Which receipt is given to these senders.
        consent_to: BTreeMap<MailboxName, Consent> = BTreeMap::new(),
        /// Largest message read, in bytes.
        max_message: u64 = 64 << 20,
        /// Further certificates of issuers: files and folders.
        intermediates: Vec<PathBuf> = Vec::new(),
        /// Further anchors, for time stamps alone: files and folders.
        tsa_anchors: Vec<PathBuf> = Vec::new(),
        /// How revocation is treated.
        revocation: Revocation = Revocation::Require,
        /// Certificate policies of which one must hold, dotted OIDs; none: any.
        policies: Vec<String> = Vec::new(),
        /// Oldest revocation answer accepted, in seconds.
        revocation_age: u64 = 86_400,
        /// How far clocks may differ, in seconds.
        clock_skew: u64 = 300,
        /// Of which kind new encryption keys are.
        kind: Kind = Kind::default(),
        /// Seconds after which new encryption keys are made.
        epoch: u64 = 7 * 86_400,
    }
}

impl Settings {
    /// Returns which receipt is given to a sender.
    pub fn consent_to(&self, sender: &MailboxName) -> Consent {
        let named = self.consent_to.get(sender);
        named.copied().unwrap_or(self.consent)
    }
}

/// What the environment says: `SMR_SERVER`, `SMR_SERVER_KEY`, `SMR_TOKEN`,
/// `SMR_AS`.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `HOST:PORT`.
    pub server: Option<String>,
    /// A fingerprint.
    pub server_key: Option<String>,
    /// A TOKEN.
    pub token: Option<String>,
    /// An account, as `--as` takes it.
    pub account: Option<String>,
}

impl Overrides {
    /// Reads the environment; empty variables count as unset.
    pub fn from_env() -> Overrides {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Overrides {
            server: set("SMR_SERVER"),
            server_key: set("SMR_SERVER_KEY"),
            token: set("SMR_TOKEN"),
            account: set("SMR_AS"),
        }
    }

    fn layer(&self) -> Result<Layer, ConfigError> {
        let server_key = match &self.server_key {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| ConfigError {
                file: "environment".into(),
                problem: Problem::Value {
                    key: "SMR_SERVER_KEY".into(),
                    expected: "a fingerprint, \"SHA256:\" and 43 characters",
                },
            })?),
        };
        Ok(Layer {
            server: self.server.clone(),
            server_key,
            token: self.token.clone(),
            ..Layer::default()
        })
    }
}

/// Everything the files and the environment say.
#[derive(Debug)]
pub struct Config {
    base: Layer,
    accounts: BTreeMap<String, Layer>,
    above: Layer,
    chosen: Option<String>,
}

impl Config {
    /// Reads the user's client.toml, then /etc/smr/client.toml below it;
    /// neither need exist, but a file named by `--config` must (`required`).
    pub fn load(home: &Home, required: bool) -> Result<Config, ConfigError> {
        let file = home.config_file();
        let (mut base, mut accounts) = match read_file(file)? {
            Some(found) => found,
            None if required => {
                return Err(ConfigError {
                    file: file.to_owned(),
                    problem: Problem::Absent,
                });
            }
            None => Default::default(),
        };
        if let Some((lower, more)) = read_file(Path::new(SYSTEM_CONFIG))? {
            base = base.over(lower);
            more.into_iter().for_each(|(name, layer)| {
                let upper = accounts.remove(&name).unwrap_or_default();
                accounts.insert(name, upper.over(layer));
            });
        }
        Config::assemble(base, accounts, &Overrides::from_env())
    }

    /// Reads `text`, which came from `file`, and nothing beside it: relative
    /// paths in it start in that file's folder.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let (base, accounts) = read_text(file, text)?;
        Config::assemble(base, accounts, &Overrides::default())
    }

    fn assemble(
        base: Layer,
        accounts: BTreeMap<String, Layer>,
        overrides: &Overrides,
    ) -> Result<Config, ConfigError> {
        Ok(Config {
            base,
            accounts,
            above: overrides.layer()?,
            chosen: overrides.account.clone(),
        })
    }

    /// Returns the names of the `[account.NAME]` tables.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        self.accounts.keys().map(String::as_str)
    }

    /// Returns what holds for the account of `--as`, else of `SMR_AS`, else
    /// for `mailbox`, else for the only account there is.
    ///
    /// `chosen` is the name of an account table, or an address.
    pub fn settings(&self, chosen: Option<&str>) -> Result<Settings, ConfigError> {
        let layer = match chosen.or(self.chosen.as_deref()) {
            Some(name) => self.account(name)?,
            None if self.base.mailbox.is_none() && self.accounts.len() == 1 => {
                let name = self.accounts.keys().next().map_or("", String::as_str);
                self.account(name)?
            }
            None => self.base.clone(),
        };
        Ok(self.above.clone().over(layer).settle())
    }

    fn account(&self, name: &str) -> Result<Layer, ConfigError> {
        if let Some(layer) = self.accounts.get(name) {
            let mut layer = layer.clone();
            layer.mailbox = layer.mailbox.or_else(|| name.parse().ok());
            return Ok(layer.over(self.base.clone()));
        }
        let wanted: Address = name.parse().map_err(|_| ConfigError {
            file: "--as".into(),
            problem: Problem::NoAccount(name.to_owned()),
        })?;
        let named = self
            .accounts
            .values()
            .find(|layer| layer.mailbox.as_ref().is_some_and(|m| meets(&wanted, m)));
        if let Some(layer) = named {
            return Ok(layer.clone().over(self.base.clone()));
        }
        Ok(self.base_for(wanted))
    }

    // An account of another repository must not be looked for at our server.
    fn base_for(&self, wanted: Address) -> Layer {
        let ours = self
            .base
            .mailbox
            .as_ref()
            .and_then(|m| m.repository.as_ref());
        let mut layer = self.base.clone();
        match &wanted.repository {
            Some(theirs) if ours.is_some_and(|ours| ours != theirs) => {
                layer.server = None;
                layer.server_key = None;
                layer.mailbox = Some(wanted);
            }
            Some(_) => layer.mailbox = Some(wanted),
            None => {
                layer.mailbox = Some(Address {
                    mailbox: wanted.mailbox,
                    repository: ours.cloned(),
                });
            }
        }
        layer
    }
}

// NAME alone means NAME of any repository.
fn meets(wanted: &Address, found: &Address) -> bool {
    wanted.mailbox == found.mailbox
        && (wanted.repository.is_none() || wanted.repository == found.repository)
}

impl Settings {
    /// Returns the anchor files and folders: those named, else `trust.d`
    /// beside client.toml, else /etc/smr/trust.d.
    pub fn anchor_paths(&self, home: &Home) -> Vec<PathBuf> {
        match &self.anchors {
            Some(named) => named.clone(),
            None if home.trust_dir().is_dir() => vec![home.trust_dir()],
            None => vec![PathBuf::from(SYSTEM_TRUST)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/c/client.toml"))
    }

    fn settings(text: &str, chosen: Option<&str>) -> Settings {
        config(text).unwrap().settings(chosen).unwrap()
    }

    const TWO: &str = r#"
        server = "repo.example:7667"
        mailbox = "rui@repo.example"
        [session]
        lifetime = "10m"
        [account.work]
        mailbox = "r.silva@corp.example"
        server = "corp.example:7667"
        [account.work.send]
        by = "card"
        [account.ana]
    "#;

    #[test]
    fn nothing_said_means_the_defaults() {
        let s = settings("", None);
        assert_eq!((s.lifetime, s.idle, s.clock_skew), (28_800, 3600, 300));
        assert_eq!(
            (s.by, s.ask, s.consent),
            (By::Device, Ask::Read, Consent::Ask)
        );
        assert_eq!(s.revocation, Revocation::Require);
        assert_eq!((&s.server, &s.mailbox, &s.anchors), (&None, &None, &None));
        let dir = tempfile::tempdir().unwrap();
        let places = crate::home::Places {
            smr_home: Some(dir.path().to_owned()),
            ..Default::default()
        };
        let home = Home::new(&places, None).unwrap();
        assert_eq!(s.anchor_paths(&home), [PathBuf::from(SYSTEM_TRUST)]);
        private::make_dir(&home.trust_dir()).unwrap();
        assert_eq!(s.anchor_paths(&home), [home.trust_dir()]);
    }

    #[test]
    fn every_key_of_the_contract_is_read() {
        let s = settings(
            r#"
            server = "h:1"
            server_key = "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"
            mailbox = "rui"
            [token]
            profile = "cc"
            module = "m.so"
            wait = "30s"
            [session]
            lifetime = "8h"
            idle = "1h"
            suites = ["aesgcm"]
            [send]
            by = "card"
            receipt = "card"
            [recv]
            receipt = "always"
            maildir = "/m"
            max_message = "1GiB"
            [trust]
            anchors = ["a", "/b"]
            intermediates = ["i"]
            revocation = "prefer"
            revocation_age = "1h"
            clock_skew = "1m"
            [keys]
            epoch = "1d"
            "#,
            None,
        );
        assert_eq!(s.token.as_deref(), Some("cc"));
        assert_eq!(s.module, Some("/c/m.so".into()));
        assert_eq!(s.anchors, Some(vec!["/c/a".into(), "/b".into()]));
        assert_eq!(
            (s.ask, s.consent, s.by),
            (Ask::Card, Consent::Always, By::Card)
        );
        assert_eq!((s.max_message, s.epoch, s.wait), (1 << 30, 86_400, 30));
        assert_eq!(s.revocation, Revocation::Prefer);
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let cases = [
            (
                "sever = 'x'",
                "unknown key \"sever\", did you mean \"server\"",
            ),
            (
                "[session]\nlifetme = '8h'",
                "unknown key \"session.lifetme\", did you mean \"session.lifetime\"",
            ),
            (
                "[account.x.send]\nbuy = 'card'",
                "unknown key \"account.x.send.buy\", did you mean \"account.x.send.by\"",
            ),
            ("[colours]", "unknown key \"colours\""),
            ("[account.x.account.y]", "unknown key \"account.x.account\""),
        ];
        for (text, expected) in cases {
            let error = config(text).unwrap_err();
            assert_eq!(error.problem.to_string(), expected);
            assert_eq!(error.class(), Class::Config);
        }
    }

    #[test]
    fn wrong_values_say_what_was_expected() {
        for text in [
            "server = 1",
            "server_key = 'SHA256:x'",
            "mailbox = '../x'",
            "token = 'cc'",
            "[session]\nlifetime = '8'",
            "[session]\nsuites = 'a'",
            "[session]\nsuites = ['rot13']",
            "[session]\nsuites = []",
            "[session]\nsuites = ['aesgcm', 'aesgcm']",
            "[trust]\nrevocation = 'maybe'",
            "[recv]\nmax_message = '64kb'",
            "[send]\nby = 'hand'",
        ] {
            let error = config(text).unwrap_err();
            assert!(matches!(error.problem, Problem::Value { .. }), "{text}");
        }
        let error = config("a\nb = 1").unwrap_err();
        assert!(matches!(error.problem, Problem::Syntax { line: 1, .. }));
    }

    #[test]
    fn accounts_are_found_by_table_address_and_name() {
        let work = settings(TWO, Some("work"));
        assert_eq!(work.server.as_deref(), Some("corp.example:7667"));
        assert_eq!((work.by, work.lifetime), (By::Card, 600));
        for name in ["r.silva", "r.silva@corp.example"] {
            assert_eq!(settings(TWO, Some(name)), work, "{name}");
        }
        let ana = settings(TWO, Some("ana"));
        assert_eq!(ana.mailbox.unwrap().to_string(), "ana");
        let eve = settings(TWO, Some("eve"));
        assert_eq!(eve.mailbox.unwrap().to_string(), "eve@repo.example");
        assert_eq!(
            settings(TWO, None).mailbox.unwrap().to_string(),
            "rui@repo.example"
        );
    }

    #[test]
    fn accounts_elsewhere_do_not_inherit_the_server() {
        let s = settings(TWO, Some("rui@other.example"));
        assert_eq!(s.server, None);
        assert_eq!(s.mailbox.unwrap().to_string(), "rui@other.example");
        let error = config(TWO).unwrap().settings(Some("No/Name")).unwrap_err();
        assert!(matches!(error.problem, Problem::NoAccount(_)));
    }

    #[test]
    fn environment_wins_over_files() {
        let (base, accounts) = read_text(Path::new("/c/client.toml"), TWO).unwrap();
        let overrides = Overrides {
            server: Some("e:1".into()),
            account: Some("work".into()),
            ..Overrides::default()
        };
        let config = Config::assemble(base, accounts, &overrides).unwrap();
        let s = config.settings(None).unwrap();
        assert_eq!(s.server.as_deref(), Some("e:1"));
        assert_eq!(s.mailbox.unwrap().to_string(), "r.silva@corp.example");
        let wrong = Overrides {
            server_key: Some("x".into()),
            ..Overrides::default()
        };
        assert!(Config::assemble(Layer::default(), BTreeMap::new(), &wrong).is_err());
    }

    #[test]
    fn first_file_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let places = crate::home::Places {
            smr_home: Some(dir.path().to_owned()),
            ..Default::default()
        };
        let home = Home::new(&places, None).unwrap();
        assert!(Config::load(&home, true).is_err());
        let account = FirstAccount {
            server: "repo.example:7667",
            server_key: &Fingerprint::of(b"x"),
            mailbox: &"rui@repo.example".parse().unwrap(),
            token: Some("file:/a \"quoted\" \\ path.p12"),
            anchors: &["/anchors".into()],
        };
        assert!(write_first(&home, &account).unwrap());
        assert!(!write_first(&home, &account).unwrap());
        let s = Config::load(&home, true).unwrap().settings(None).unwrap();
        assert_eq!(s.anchor_paths(&home), [PathBuf::from("/anchors")]);
        assert_eq!(s.server_key, Some(Fingerprint::of(b"x")));
        assert_eq!(s.token.as_deref(), account.token);
        assert_eq!(s.anchors, Some(vec!["/anchors".into()]));
    }
}
