//! smrd.toml: read whole, checked whole, before anything else happens
//! (smrd.conf(5)).
//!
//! Never keeps a key that it does not understand, and opens no file but the
//! one it is given.

mod rates;
mod section;
mod show;
mod units;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use smr_evidence::trust::Revocation;
use smr_name::{Class, RepositoryName};
use toml::de::DeTable;

pub use rates::Rates;
use section::{Fault, Section};
pub use units::{UnitError, duration, duration_text, size, size_text};

/// Where smrd looks when `--config` is not given.
pub const DEFAULT_PATH: &str = "/etc/smr/smrd.toml";

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// Says why there is no configuration; always class 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read \"{}\": {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The text is not TOML, or says something that smrd does not know.
    #[error("\"{}\" line {line}: {text}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        text: String,
    },
    /// A key without default is missing.
    #[error("\"{}\" does not set \"{key}\"", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
}

impl ConfigError {
    /// Returns the class: configuration.
    pub fn class(&self) -> Class {
        Class::Config
    }

    /// Returns what may help.
    pub fn hint(&self) -> &'static str {
        match self {
            ConfigError::Read { .. } => "name the file: smrd --config FILE",
            _ => "see smrd.conf(5)",
        }
    }
}

/// What smrd.toml says, defaults filled in; paths are absolute or relative to
/// the working directory, no longer to the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// The repository's name.
    pub name: RepositoryName,
    /// The user that smrd becomes where it is started as root.
    pub user: Option<String>,
    /// What it means that the system cannot confine smrd.
    pub confine: Confine,
    /// Where and how much to listen.
    pub listen: Listen,
    /// Where the store is, and its limits.
    pub store: StoreLimits,
    /// Who may enrol.
    pub enrol: Enrol,
    /// Whom to believe.
    pub trust: Trust,
    /// How long a session lasts.
    pub session: Sessions,
    /// How often what costs may be done.
    pub rates: Rates,
    /// What is logged.
    pub log: Level,
    /// Where metrics are told.
    pub metrics: Metrics,
}

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The file that they are written to.
    pub textfile: Option<PathBuf>,
    /// The socket on which they are asked for.
    pub socket: Option<PathBuf>,
}

/// `confine`: how much smrd takes from itself before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confine {
    /// All there is, or smrd does not start.
    Require,
    /// What this system has.
    Prefer,
    /// Nothing.
    Off,
}

impl Confine {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Confine::Require => "require",
            Confine::Prefer => "prefer",
            Confine::Off => "off",
        }
    }

    fn read(text: &str) -> Result<Confine, &'static str> {
        [Confine::Require, Confine::Prefer, Confine::Off]
            .into_iter()
            .find(|word| word.as_str() == text)
            .ok_or("expected require, prefer or off")
    }
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Addresses to bind; not used under socket activation.
    pub address: Vec<SocketAddr>,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or IPv6 /64.
    pub per_peer: usize,
    /// Whose connections begin with a PROXY header.
    pub proxy: Vec<IpAddr>,
}

/// More messages than this no mailbox holds, whatever is configured: their
/// names are kept in memory while it is used.
const MOST_MESSAGES: u64 = 1_000_000;

/// `[store]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreLimits {
    /// The store's folder.
    pub path: PathBuf,
    /// The largest sealed message in bytes.
    pub max_message: u64,
    /// Bytes that one account's mailbox may hold.
    pub quota: u64,
    /// Messages, own copies and receipts that it may hold.
    pub messages: u64,
    /// Bytes of it that may be from one sender.
    pub per_sender: u64,
    /// Messages, or receipts, of it that may be from one sender.
    pub per_sender_messages: u64,
    /// Bytes of the disk that deposits leave free.
    pub reserve: u64,
    /// Entries of folders that are kept in memory.
    pub entries: usize,
}

/// `[enrol]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Enrol {
    /// Who may.
    pub policy: Policy,
    /// Devices that one account may have at a time.
    pub max_devices: usize,
    /// Accounts that one person may have.
    pub max_names: usize,
}

/// Who may enrol.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// Everybody whose card verifies.
    Open,
    /// Nobody new; accounts that exist may take further devices.
    Closed,
    /// Those the file lists, one name or person pattern to a line.
    AllowList(PathBuf),
}

/// `[trust]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// Files and folders with anchors; each sub-folder is a realm.
    pub anchors: Vec<PathBuf>,
    /// Files and folders with certificates of intermediate issuers.
    pub intermediates: Vec<PathBuf>,
    /// Files and folders with CRLs.
    pub crls: Vec<PathBuf>,
    /// What to do where there is no CRL.
    pub revocation: Revocation,
    /// Age in seconds from which a CRL is stale though its own nextUpdate is
    /// still to come.
    pub max_age: i64,
    /// Seconds by which clocks may differ.
    pub clock_skew: i64,
    /// Certificate policies, dotted OIDs, of which a card must have one; none:
    /// any will do.
    pub policies: Vec<String>,
}

/// `[session]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Seconds after which a session ends.
    pub lifetime: i64,
    /// Seconds after which one ends in which nothing was asked; a watch counts
    /// as asking.
    pub idle: i64,
    /// Seconds that a message of a session may take, but for the time that its
    /// length is worth.
    pub request: i64,
    /// What a login takes.
    pub login: LoginBy,
}

/// `[session] login`: what a login takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginBy {
    /// The device; the card's authorisation is welcome too.
    Device,
    /// The device, and the card's authorisation for it.
    Card,
}

/// `[log] level`: what is written to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only what needs the operator.
    Error,
    /// Also refusals and broken connections.
    Warn,
    /// Also every session and deposit.
    Info,
    /// Also every request.
    Debug,
}

impl Level {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    fn read(text: &str) -> Result<Level, &'static str> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or("expected error, warn, info or debug")
    }
}

fn revocation(text: &str) -> Result<Revocation, &'static str> {
    match text {
        "require" => Ok(Revocation::Require),
        "prefer" => Ok(Revocation::Prefer),
        "off" => Ok(Revocation::Off),
        _ => Err("expected require, prefer or off"),
    }
}

fn policy(text: &str, base: &Path) -> Result<Policy, &'static str> {
    match text {
        "open" => Ok(Policy::Open),
        "closed" => Ok(Policy::Closed),
        path if path.contains('/') => Ok(Policy::AllowList(base.join(path))),
        _ => Err("expected open, closed or the path of a file, with a slash in it"),
    }
}

/// Takes an object identifier in dots: two arcs or more, the first 0 to 2, and
/// the second below 40 under the first two of them (X.660).
fn oid(text: &str) -> Result<String, &'static str> {
    let arc = |arc: &str| {
        let plain = arc == "0" || !arc.starts_with('0');
        let digits = plain && arc.bytes().all(|b| b.is_ascii_digit());
        arc.parse::<u32>().ok().filter(|_| digits)
    };
    let arcs: Option<Vec<u32>> = text.split('.').map(arc).collect();
    match arcs.as_deref() {
        Some([0 | 1, 0..=39, ..] | [2, _, ..]) if text.len() <= 128 => Ok(text.to_owned()),
        _ => Err("expected an object identifier, like \"2.16.620.1.1.1.2.4\""),
    }
}

impl LoginBy {
    fn read(text: &str) -> Result<LoginBy, &'static str> {
        match text {
            "device" => Ok(LoginBy::Device),
            "card" => Ok(LoginBy::Card),
            _ => Err("expected \"device\" or \"card\""),
        }
    }

    /// Returns the word in smrd.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            LoginBy::Device => "device",
            LoginBy::Card => "card",
        }
    }
}

fn file(text: &str, base: &Path) -> Result<Option<PathBuf>, &'static str> {
    match text {
        "" => Ok(None),
        path if path.ends_with('/') => Err("expected the path of a file"),
        path => Ok(Some(base.join(path))),
    }
}

/// A fault, or a key that is missing.
enum Trouble {
    Fault(Fault),
    Absent(&'static str),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

impl Config {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(
            &text,
            path,
            std::env::var_os("STATE_DIRECTORY").map(PathBuf::from),
        )
    }

    /// Reads `text`, which came from the file `path`: relative paths in it
    /// start in that file's folder. `state` is where the store is when the
    /// text does not say.
    pub fn parse(text: &str, path: &Path, state: Option<PathBuf>) -> Result<Config, ConfigError> {
        let content = |at: usize, fault: String| ConfigError::Content {
            path: path.to_owned(),
            line: 1 + text.bytes().take(at).filter(|b| *b == b'\n').count(),
            text: fault,
        };
        let table = DeTable::parse(text).map_err(|e| {
            content(
                e.span().map_or(0, |s| s.start),
                e.message().replace('\n', ", "),
            )
        })?;
        read(Section::root(table), path, state).map_err(|trouble| match trouble {
            Trouble::Fault(fault) => content(fault.at.start, fault.text),
            Trouble::Absent(key) => ConfigError::Absent {
                path: path.to_owned(),
                key,
            },
        })
    }
}

fn user(text: &str) -> Result<Option<String>, &'static str> {
    match text {
        "" => Ok(None),
        name if name.contains(':') => Err("expected the name of a user"),
        name => Ok(Some(name.to_owned())),
    }
}

fn read(mut root: Section<'_>, path: &Path, state: Option<PathBuf>) -> Result<Config, Trouble> {
    let base = path.parent().unwrap_or(Path::new(""));
    let name = root
        .text("name", str::parse::<RepositoryName>)?
        .ok_or(Trouble::Absent("name"))?;
    let config = Config {
        file: path.to_owned(),
        name,
        user: root.text("user", user)?.flatten(),
        confine: root
            .text("confine", Confine::read)?
            .unwrap_or(Confine::Prefer),
        listen: listen(root.table("listen")?)?,
        store: store(root.table("store")?, base, state)?,
        enrol: enrol(root.table("enrol")?, base)?,
        trust: trust(root.table("trust")?, base)?,
        session: session(root.table("session")?)?,
        rates: Rates::read(root.table("rates")?)?,
        log: log(root.table("log")?)?,
        metrics: metrics(root.table("metrics")?, base)?,
    };
    root.finish()?;
    Ok(config)
}

fn listen(mut section: Section<'_>) -> Result<Listen, Trouble> {
    let any = || vec![SocketAddr::from(([0u16; 8], 7667))];
    let listen = Listen {
        address: section
            .texts("address", |text| {
                text.parse::<SocketAddr>()
                    .map_err(|_| "expected ADDRESS:PORT, like \"192.0.2.1:7667\" or \"[::]:7667\"")
            })?
            .unwrap_or_else(any),
        connections: section.number("connections", 1..=65_536)?.unwrap_or(1024) as usize,
        per_peer: section.number("per_peer", 1..=65_536)?.unwrap_or(64) as usize,
        proxy: section
            .texts("proxy", |text| {
                let address = text.parse::<IpAddr>();
                let address = address.map(|address| address.to_canonical());
                address.map_err(|_| "expected a numeric address, like \"192.0.2.1\"")
            })?
            .unwrap_or_default(),
    };
    section.finish()?;
    Ok(listen)
}

fn store(
    mut section: Section<'_>,
    base: &Path,
    state: Option<PathBuf>,
) -> Result<StoreLimits, Trouble> {
    let path = section
        .text("path", |text| match text {
            "" => Err("expected a folder"),
            text => Ok(base.join(text)),
        })?
        .or(state)
        .ok_or(Trouble::Absent("store.path"))?;
    let max_message = section.text("max_message", |text| match size(text) {
        Ok(bytes) if (KIB..=16 * GIB).contains(&bytes) => Ok(bytes),
        Ok(_) => Err("expected 1KiB to 16GiB".to_owned()),
        Err(e) => Err(e.to_string()),
    })?;
    let quota = section.text("quota", size)?.unwrap_or(GIB);
    let count = 1..=MOST_MESSAGES;
    let messages = section.number("messages", count.clone())?;
    let messages = messages.unwrap_or(MOST_MESSAGES);
    let limits = StoreLimits {
        path,
        max_message: max_message.unwrap_or(64 << 20),
        quota,
        messages,
        per_sender: section.text("per_sender", size)?.unwrap_or(quota),
        per_sender_messages: section
            .number("per_sender_messages", count)?
            .unwrap_or(messages),
        reserve: section.text("reserve", size)?.unwrap_or(256 << 20),
        entries: section
            .number("entries", 1000..=100_000_000)?
            .map_or(smr_store::MOST_IN_MEMORY, |most| most as usize),
    };
    section.finish()?;
    Ok(limits)
}

fn enrol(mut section: Section<'_>, base: &Path) -> Result<Enrol, Trouble> {
    let enrol = Enrol {
        policy: section
            .text("policy", |text| policy(text, base))?
            .unwrap_or(Policy::Open),
        max_devices: section.number("max_devices", 1..=64)?.unwrap_or(8) as usize,
        max_names: section.number("max_names", 1..=65_536)?.unwrap_or(16) as usize,
    };
    section.finish()?;
    Ok(enrol)
}

fn trust(mut section: Section<'_>, base: &Path) -> Result<Trust, Trouble> {
    let path = |text: &str| match text {
        "" => Err("expected a file or a folder"),
        text => Ok(base.join(text)),
    };
    let trust = Trust {
        anchors: section
            .texts("anchors", path)?
            .unwrap_or_else(|| vec![PathBuf::from("/etc/smr/trust.d")]),
        intermediates: section.texts("intermediates", path)?.unwrap_or_default(),
        crls: section.texts("crls", path)?.unwrap_or_default(),
        revocation: section
            .text("revocation", revocation)?
            .unwrap_or(Revocation::Require),
        max_age: section.text("max_age", duration)?.unwrap_or(86_400),
        clock_skew: section.text("clock_skew", duration)?.unwrap_or(300),
        policies: section.texts("policies", oid)?.unwrap_or_default(),
    };
    section.finish()?;
    Ok(trust)
}

fn session(mut section: Section<'_>) -> Result<Sessions, Trouble> {
    let lifetime = section.text("lifetime", |text| match duration(text) {
        Ok(seconds) if seconds >= 60 => Ok(seconds),
        Ok(_) => Err("expected 1m or more".to_owned()),
        Err(e) => Err(e.to_string()),
    })?;
    let some = |text: &str| match duration(text) {
        Ok(seconds) if seconds >= 1 => Ok(seconds),
        Ok(_) => Err("expected 1s or more".to_owned()),
        Err(e) => Err(e.to_string()),
    };
    let idle = section.text("idle", some)?;
    let request = section.text("request", some)?;
    let login = section.text("login", LoginBy::read)?;
    section.finish()?;
    Ok(Sessions {
        lifetime: lifetime.unwrap_or(43_200),
        idle: idle.unwrap_or(3_600),
        request: request.unwrap_or(60),
        login: login.unwrap_or(LoginBy::Device),
    })
}

fn log(mut section: Section<'_>) -> Result<Level, Trouble> {
    let level = section.text("level", Level::read)?.unwrap_or(Level::Info);
    section.finish()?;
    Ok(level)
}

fn metrics(mut section: Section<'_>, base: &Path) -> Result<Metrics, Trouble> {
    let textfile = section.text("textfile", |text| file(text, base))?.flatten();
    let socket = section.text("socket", |text| file(text, base))?.flatten();
    section.finish()?;
    Ok(Metrics { textfile, socket })
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigError, Level, Policy};
    use std::path::{Path, PathBuf};

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/smr/smrd.toml"), None)
    }

    const SMALL: &str = "name = 'repo.example'\n[store]\npath = '/var/lib/smrd'\n";

    #[test]
    fn defaults_are_those_of_the_man_page() {
        let config = parse(SMALL).unwrap();
        assert_eq!(config.listen.address[0].to_string(), "[::]:7667");
        assert_eq!(
            (config.listen.connections, config.listen.per_peer),
            (1024, 64)
        );
        assert_eq!(config.store.max_message, 64 << 20);
        assert_eq!(config.store.quota, 1 << 30);
        assert_eq!(config.store.messages, 1_000_000);
        assert_eq!(config.store.per_sender, 1 << 30);
        assert_eq!(config.store.per_sender_messages, 1_000_000);
        assert_eq!(config.enrol.policy, Policy::Open);
        assert_eq!(config.enrol.max_devices, 8);
        assert_eq!(config.enrol.max_names, 16);
        assert_eq!(config.trust.anchors, [PathBuf::from("/etc/smr/trust.d")]);
        assert_eq!(config.trust.max_age, 86_400);
        assert_eq!(config.session.lifetime, 43_200);
        assert_eq!(config.session.idle, 3_600);
        assert_eq!((config.rates.handshakes, config.rates.at_once), (6_000, 64));
        assert_eq!(config.log, Level::Info);
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let text = "name = 'r'\n[store]\npath = 's'\n[enrol]\npolicy = './allow'\n";
        let config = parse(text).unwrap();
        assert_eq!(config.store.path, Path::new("/etc/smr/s"));
        let allow = PathBuf::from("/etc/smr/./allow");
        assert_eq!(config.enrol.policy, Policy::AllowList(allow));
    }

    #[test]
    fn state_directory_stands_in_for_the_path() {
        let state = Some(PathBuf::from("/state"));
        let config = Config::parse("name = 'r'", Path::new("x.toml"), state).unwrap();
        assert_eq!(config.store.path, Path::new("/state"));
        assert!(matches!(
            parse("name = 'r'"),
            Err(ConfigError::Absent {
                key: "store.path",
                ..
            })
        ));
    }

    #[test]
    fn faults_name_file_line_and_key() {
        let error = parse(&format!("{SMALL}qouta = '1GiB'\n"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "\"/etc/smr/smrd.toml\" line 4: unknown key \"store.qouta\", the nearest known is \"store.quota\""
        );
    }

    #[test]
    fn wrong_values_are_refused() {
        for tail in [
            "quota = '1GB'",
            "max_message = '17GiB'",
            "[listen]\naddress = ['localhost']",
            "[listen]\naddress = '127.0.0.1:0'",
            "[listen]\nproxy = ['localhost']",
            "[listen]\nproxy = ['127.0.0.1:80']",
            "[listen]\nproxy = ['127.0.0.0/8']",
            "[enrol]\npolicy = 'opne'",
            "[enrol]\nmax_devices = 0",
            "[enrol]\nmax_names = 0",
            "[trust]\nrevocation = 'maybe'",
            "[trust]\npolicies = ['1']",
            "[trust]\npolicies = ['1.2.']",
            "[trust]\npolicies = ['1.40.3']",
            "[trust]\npolicies = ['1.2.03']",
            "[session]\nlogin = 'password'",
            "[session]\nlifetime = '1s'",
            "[session]\nidle = '0s'",
            "[session]\nrequest = '0s'",
            "[rates]\nrequests = 0",
            "[rates]\nlogins = 1000001",
            "reserve = '1GB'",
            "entries = 999",
            "[log]\nlevel = 'loud'",
            "[metrics]\ntextfile = '/x/'",
            "[metrics]\nsocket = '/x/'",
            "[what]",
            "broken",
        ] {
            assert!(parse(&format!("{SMALL}{tail}\n")).is_err(), "{tail}");
        }
        assert!(parse("name = 'Not A Name'\n[store]\npath = 'x'").is_err());
        assert!(parse("[store]\npath = 'x'").is_err());
        for head in ["confine = 'maybe'", "confine = true", "user = 'a:b'"] {
            assert!(parse(&format!("{head}\n{SMALL}")).is_err(), "{head}");
        }
        let config = parse(&format!("user = 'smrd'\n{SMALL}")).unwrap();
        assert_eq!(config.user.as_deref(), Some("smrd"));
        assert_eq!(config.confine, super::Confine::Prefer);
    }

    #[test]
    fn shown_text_reads_back_as_itself() {
        let text = format!(
            "{SMALL}quota = '3MiB'\n[listen]\naddress = ['127.0.0.1:0']\nproxy = ['::1']\n[trust]\ncrls = ['a\"b']\n\
             revocation = 'prefer'\npolicies = ['2.16.620.1']\n[enrol]\npolicy = '/allow'\n[log]\nlevel = 'debug'\n"
        );
        let config = parse(&text).unwrap();
        assert_eq!(parse(&config.to_string()).unwrap(), config);
    }
}
