//! What holds for every configuration of smrd: shown, it is read as itself.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use smr_evidence::trust::Revocation;
use smr_server::config::{
    Config, Confine, Enrol, Level, Listen, LoginBy, Metrics, Policy, Rates, Sessions, StoreLimits,
    Trust, duration, duration_text, size, size_text,
};

const FILE: &str = "/etc/smr/smrd.toml";

/// Paths with whatever a file may be called.
fn path() -> impl Strategy<Value = PathBuf> {
    vec("[^/\\x00]{1,12}", 1..4).prop_map(|parts| PathBuf::from(format!("/{}", parts.join("/"))))
}

fn paths() -> impl Strategy<Value = Vec<PathBuf>> {
    vec(path(), 0..4)
}

fn seconds(least: i64) -> impl Strategy<Value = i64> {
    least..=36_525 * 86_400
}

prop_compose! {
    fn listen()(
        address in vec(any::<SocketAddr>().prop_filter("no scopes", |a| match a {
            SocketAddr::V6(a) => a.flowinfo() == 0,
            SocketAddr::V4(_) => true,
        }), 0..4),
        (connections, per_peer) in (1..=65_536usize, 1..=65_536usize),
        proxy in vec(any::<IpAddr>().prop_map(|ip| ip.to_canonical()), 0..4),
    ) -> Listen {
        Listen { address, connections, per_peer, proxy }
    }
}

prop_compose! {
    fn store()(
        path in path(),
        (max_message, quota) in ((1 << 10)..=(16u64 << 30), any::<u64>()),
        (messages, per_sender) in (1..=1_000_000u64, any::<u64>()),
        (per_sender_messages, reserve) in (1..=1_000_000u64, any::<u64>()),
        entries in 1000..=100_000_000usize,
    ) -> StoreLimits {
        StoreLimits {
            path, max_message, quota, messages, per_sender, per_sender_messages, reserve, entries,
        }
    }
}

prop_compose! {
    fn trust()(
        (anchors, intermediates, crls) in (paths(), paths(), paths()),
        revocation in select(vec![Revocation::Require, Revocation::Prefer, Revocation::Off]),
        (max_age, clock_skew) in (seconds(0), seconds(0)),
        policies in vec("2[.][1-9][0-9]{0,3}([.](0|[1-9][0-9]{0,5})){0,6}", 0..3),
    ) -> Trust {
        Trust { anchors, intermediates, crls, revocation, max_age, clock_skew, policies }
    }
}

prop_compose! {
    fn sessions()(
        (lifetime, idle, request) in (seconds(60), seconds(1), seconds(1)),
        login in select(vec![LoginBy::Device, LoginBy::Card]),
    ) -> Sessions {
        Sessions { lifetime, idle, request, login }
    }
}

fn rates() -> impl Strategy<Value = Rates> {
    vec(1..=1_000_000u32, 8).prop_map(|n| Rates {
        handshakes: n[0],
        at_once: n[1],
        requests: n[2],
        deposits: n[3],
        logins: n[4],
        records: n[5],
        enrolments: n[6],
        enrolments_of_one: n[7],
    })
}

prop_compose! {
    fn enrol()(
        policy in prop_oneof![
            Just(Policy::Open),
            Just(Policy::Closed),
            path().prop_map(Policy::AllowList),
        ],
        (max_devices, max_names) in (1..=64usize, 1..=65_536usize),
    ) -> Enrol {
        Enrol { policy, max_devices, max_names }
    }
}

prop_compose! {
    fn config()(
        name in "[a-z]{1,9}([.][a-z]{1,9}){0,3}",
        user in of("[^:\\x00]{1,12}"),
        confine in select(vec![Confine::Require, Confine::Prefer, Confine::Off]),
        log in select(vec![Level::Error, Level::Warn, Level::Info, Level::Debug]),
        (listen, store, enrol, trust) in (listen(), store(), enrol(), trust()),
        (session, rates, textfile, socket) in (sessions(), rates(), of(path()), of(path())),
    ) -> Config {
        Config {
            file: FILE.into(),
            name: name.parse().unwrap(),
            metrics: Metrics { textfile, socket },
            user, confine, listen, store, enrol, trust, session, rates, log,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_shown_configuration_is_read_as_itself(config in config()) {
        let shown = config.to_string();
        let read = Config::parse(&shown, Path::new(FILE), None);
        prop_assert_eq!(read.map_err(|e| format!("{e}\n{shown}")), Ok(config));
    }

    #[test]
    fn durations_and_sizes_come_back(time in seconds(0), bytes in any::<u64>()) {
        prop_assert_eq!(duration(&duration_text(time)), Ok(time));
        prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
    }

    #[test]
    fn no_text_stops_the_reader(text in "\\PC{0,60}", key in "[a-z_]{1,12}") {
        let text = format!("name = 'r'\n{key} = {text}\n");
        if let Ok(read) = Config::parse(&text, Path::new(FILE), Some("/s".into())) {
            let again = Config::parse(&read.to_string(), Path::new(FILE), None);
            prop_assert_eq!(again.unwrap(), read);
        }
    }
}
