//! What holds for every client.toml: what it sets is what holds, and the first
//! one, which smr-register writes, says what smr-register learnt.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use smr_client::config::{Config, FirstAccount, Settings, write_first};
use smr_client::home::{Home, Places};
use smr_name::{Address, Fingerprint};

const FILE: &str = "/home/rui/.config/smr/client.toml";

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn path() -> impl Strategy<Value = PathBuf> {
    "(/[^/\\x00]{1,9}){1,3}".prop_map(PathBuf::from)
}

fn address() -> impl Strategy<Value = Address> {
    "[a-z][a-z0-9-]{2,8}@[a-z]{1,8}[.]example"
        .prop_filter_map("a device of Windows", |s| s.parse().ok())
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    any::<[u8; 32]>().prop_map(Fingerprint::from_bytes)
}

/// A key, its value as TOML has it, and as the settings show it.
type Set = (&'static str, &'static str, String, String);

fn word(table: &'static str, key: &'static str, words: &[&'static str]) -> BoxedStrategy<Set> {
    let set = move |word: &str| (table, key, quoted(word), word.to_owned());
    select(words.to_vec()).prop_map(set).boxed()
}

fn time(table: &'static str, key: &'static str) -> BoxedStrategy<Set> {
    let units = [("s", 1u64), ("m", 60), ("h", 3600), ("d", 86_400)];
    (0..100_000u64, select(units.to_vec()))
        .prop_map(move |(n, (unit, factor))| {
            (
                table,
                key,
                quoted(&format!("{n}{unit}")),
                (n * factor).to_string(),
            )
        })
        .boxed()
}

/// Every key that has a value of its own, each set or not.
fn keys() -> impl Strategy<Value = Vec<Set>> {
    let all = vec![
        word("session", "by", &["device", "card"]),
        time("session", "lifetime"),
        time("session", "idle"),
        word("send", "by", &["device", "card"]),
        word("send", "receipt", &["none", "read", "card"]),
        word("recv", "receipt", &["ask", "never", "always"]),
        word("trust", "revocation", &["require", "prefer", "off"]),
        time("trust", "revocation_age"),
        time("trust", "clock_skew"),
        time("token", "wait"),
        word("keys", "kind", &["post-quantum", "classic"]),
        time("keys", "epoch"),
    ];
    let all: Vec<_> = all.into_iter().map(of).collect();
    all.prop_map(|sets| sets.into_iter().flatten().collect())
}

/// The tables of these keys, below `prefix`.
fn tables(prefix: &str, keys: &[Set]) -> String {
    let mut by_table: BTreeMap<&str, Vec<&Set>> = BTreeMap::new();
    for set in keys {
        by_table.entry(set.0).or_default().push(set);
    }
    by_table
        .iter()
        .fold(String::new(), |mut text, (table, sets)| {
            let _ = writeln!(text, "[{prefix}{table}]");
            for (_, key, value, _) in sets {
                let _ = writeln!(text, "{key} = {value}");
            }
            text
        })
}

/// What holds, as the words of the file say it.
fn shown(settings: &Settings, table: &str, key: &str) -> String {
    let word = |shown: String| shown.to_lowercase();
    match (table, key) {
        ("session", "by") => word(format!("{:?}", settings.login_by)),
        ("session", "lifetime") => settings.lifetime.to_string(),
        ("session", "idle") => settings.idle.to_string(),
        ("send", "by") => word(format!("{:?}", settings.by)),
        ("send", "receipt") => word(format!("{:?}", settings.ask)),
        ("recv", "receipt") => word(format!("{:?}", settings.consent)),
        ("trust", "revocation") => word(format!("{:?}", settings.revocation)),
        ("trust", "revocation_age") => settings.revocation_age.to_string(),
        ("trust", "clock_skew") => settings.clock_skew.to_string(),
        ("token", "wait") => settings.wait.to_string(),
        ("keys", "kind") => settings.kind.to_string(),
        ("keys", "epoch") => settings.epoch.to_string(),
        _ => panic!("[{table}] {key} is not shown"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(128)
    })]

    #[test]
    fn what_is_set_holds_and_an_account_goes_before_the_file(
        (below, above) in (keys(), keys()),
        (here, there) in (address(), address()),
    ) {
        let text = format!(
            "mailbox = '{here}'\n{}[account.work]\nmailbox = '{there}'\n{}",
            tables("", &below),
            tables("account.work.", &above),
        );
        let config = Config::parse(&text, Path::new(FILE)).unwrap();
        let nothing = Config::parse("", Path::new(FILE)).unwrap().settings(None).unwrap();
        let plain = config.settings(None).unwrap();
        let work = config.settings(Some("work")).unwrap();
        prop_assert_eq!((plain.mailbox.as_ref(), work.mailbox.as_ref()), (Some(&here), Some(&there)));
        for (table, key, _, _) in below.iter().chain(&above) {
            let said = |sets: &[Set]| {
                let set = sets.iter().find(|s| (s.0, s.1) == (*table, *key));
                set.map(|s| s.3.clone())
            };
            let default = || shown(&nothing, table, key);
            prop_assert_eq!(shown(&plain, table, key), said(&below).unwrap_or_else(default));
            let expected = said(&above).or(said(&below)).unwrap_or_else(default);
            prop_assert_eq!(shown(&work, table, key), expected);
        }
    }

    #[test]
    fn the_first_file_says_what_was_learnt(
        server in "[^\\x00]{1,30}",
        (server_key, mailbox) in (fingerprint(), address()),
        token in of("[^\\x00]{1,40}"),
        anchors in vec(path(), 0..3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { smr_home: Some(dir.path().join("home")), ..Places::default() };
        let home = Home::new(&places, None).unwrap();
        let first = FirstAccount {
            server: &server,
            server_key: &server_key,
            mailbox: &mailbox,
            token: token.as_deref(),
            anchors: &anchors,
        };
        prop_assert!(write_first(&home, &first).unwrap());
        prop_assert!(!write_first(&home, &first).unwrap(), "it is written once");
        let text = std::fs::read_to_string(home.config_file()).unwrap();
        let settings = Config::parse(&text, home.config_file()).unwrap().settings(None).unwrap();
        prop_assert_eq!(settings.server, Some(server));
        prop_assert_eq!(settings.server_key, Some(server_key));
        prop_assert_eq!(settings.mailbox, Some(mailbox));
        prop_assert_eq!(settings.token, token);
        prop_assert_eq!(settings.anchors, (!anchors.is_empty()).then_some(anchors));
    }

    #[test]
    fn a_key_that_means_nothing_is_refused(key in "[a-z]{3,12}", value in "\\PC{0,30}") {
        let known = "server server_key mailbox token session send recv trust keys account";
        prop_assume!(!known.split(' ').any(|known| known == key));
        let text = format!("{key} = {}\n", quoted(&value));
        let refused = Config::parse(&text, Path::new(FILE)).unwrap_err().to_string();
        prop_assert!(refused.contains("unknown key"), "{}", refused);
    }
}
