//! The text of the metrics, judged by the strict parser of Prometheus' own
//! library, and by what was done.

mod town;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use smr_channel::request::{Folder, Request};
use smr_name::Class;
use town::client::{give_receipt, id, refused};
use town::people::person;
use town::{Town, at_once};

/// Prints each sample of the file that is its argument, strictly read; the
/// module is Debian's, and so is the program.
const READ: &str = "
import sys
from prometheus_client.openmetrics.parser import text_fd_to_metric_families
for family in text_fd_to_metric_families(open(sys.argv[1])):
    for s in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))
        print(family.type, f'{s.name}[{labels}]', float(s.value))
";

fn samples(path: &std::path::Path) -> Result<String, String> {
    let read = Command::new("/usr/bin/python3")
        .args(["-c", READ])
        .arg(path)
        .output()
        .expect("python3 runs");
    match read.status.success() {
        true => Ok(String::from_utf8(read.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&read.stderr).into_owned()),
    }
}

#[test]
fn what_was_done_is_counted_and_strictly_written() {
    let mut town = Town::with("[metrics]\ntextfile = 'smrd.prom'");
    let mut ana = person(&town.ca.card("ana"), "ana").enrol(&town);
    let mut rui = person(&town.ca.card("rui"), "rui").enrol(&town);
    for number in 1..=3 {
        ana.send(id(number), b"sealed", &["rui"]);
    }
    let fetch = Request::Fetch {
        folder: Folder::Inbox,
        id: id(1),
        reader: None,
    };
    rui.ask_with(&fetch, &[]);
    let (reply, _) = rui.ask_with(&give_receipt(id(2), b"r"), b"r");
    assert_eq!(refused(&reply), Class::Denied);
    rui.ask(&Request::MarkRead { id: id(1) });
    rui.ask_with(&give_receipt(id(1), b"r"), b"r");
    town.stop();

    let path = town.path("smrd.prom");
    let said = samples(&path).unwrap();
    let expected = [
        "counter smr_deposits_total[] 3.0",
        "counter smr_fetches_total[] 1.0",
        "counter smr_receipts_total[] 1.0",
        "counter smr_enrolments_total[] 2.0",
        "counter smr_sessions_total[kind=enrol] 2.0",
        "counter smr_sessions_total[kind=login] 0.0",
        "counter smr_handshakes_total[] 2.0",
        "counter smr_refusals_total[reason=denied] 1.0",
        "counter smr_refusals_total[reason=busy] 0.0",
        "gauge smr_store_failed[] 0.0",
    ];
    for line in expected {
        assert!(said.lines().any(|l| l == line), "{line} in\n{said}");
    }
    let value = |name: &str| {
        let mut found = said.lines().filter_map(|line| {
            let (_, rest) = line.split_once(' ')?;
            let (sample, value) = rest.split_once(' ')?;
            (sample == name).then(|| value.parse::<f64>().unwrap())
        });
        found.next().unwrap_or_else(|| panic!("{name} in\n{said}"))
    };
    // Each deposit was synced before it was acknowledged.
    assert!(value("smr_sync_seconds_count[]") >= 3.0);
    assert_eq!(
        value("smr_sync_seconds_count[]"),
        value("smr_sync_seconds_bucket[le=+Inf]")
    );
    assert!(value("smr_disk_free_bytes[]") > 0.0);
    let now = town::now() as f64;
    assert!(value("smr_certificate_expiry_timestamp_seconds[]") > now);

    let text = std::fs::read_to_string(&path).unwrap();
    for name in ["ana", "rui", "CN=", "127.0.0.1"] {
        assert!(!text.contains(name), "{name} in\n{text}");
    }
    // The judge is one: a text cut off is none.
    std::fs::write(&path, text.replace("# EOF\n", "")).unwrap();
    assert!(samples(&path).is_err());
}

/// Says something on the socket, and returns the answer. Whoever has not spoken
/// within two seconds gets none, and comes again.
fn say(path: &std::path::Path, words: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let mut stream = UnixStream::connect(path).unwrap();
        let mut answer = String::new();
        let said = stream
            .write_all(words.as_bytes())
            .and_then(|()| stream.read_to_string(&mut answer));
        if said.is_ok() && !answer.is_empty() {
            return answer;
        }
        assert!(Instant::now() < end, "no answer: {said:?}");
    }
}

#[test]
fn a_local_socket_tells_the_same_by_http() {
    let mut town = Town::with("[metrics]\nsocket = 'metrics.sock'");
    let path = town.path("metrics.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut ana = person(&town.ca.card("ana"), "ana").enrol(&town);
    ana.send(id(1), b"sealed", &["ana"]);
    // One who says nothing has two seconds, and then the next one is answered.
    let silent = UnixStream::connect(&path).unwrap();
    let told = || {
        let told = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
            .arg("--dump-header")
            .arg(town.path("head"))
            .arg("--unix-socket")
            .arg(&path)
            .arg("http://smrd/metrics")
            .output()
            .expect("curl runs");
        // It, too, has but two seconds to ask.
        let answered = told.status.success();
        answered.then(|| {
            std::fs::write(town.path("told"), &told.stdout).unwrap();
            samples(&town.path("told")).unwrap()
        })
    };
    // The message has its names soon, but nobody has waited for that.
    let named = "gauge smr_journal_messages[] 0.0";
    let end = Instant::now() + Duration::from_secs(60);
    let said = loop {
        let said = told().unwrap_or_default();
        if said.lines().any(|line| line == named) || Instant::now() >= end {
            break said;
        }
    };
    drop(silent);
    let head = std::fs::read_to_string(town.path("head")).unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0"));
    for line in [
        "counter smr_deposits_total[] 1.0",
        "counter smr_over_rate_total[rate=deposits] 0.0",
        named,
        // One in an inbox, one among the sender's own.
        "gauge smr_entries_in_memory[] 2.0",
        "gauge smr_waiting[of=members] 0.0",
        "gauge smr_waiting[of=strangers] 0.0",
    ] {
        assert!(said.lines().any(|l| l == line), "{line} in\n{said}");
    }
    assert!(say(&path, "GET /x HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 404 "));
    assert!(say(&path, "POST / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 400 "));
    let long = format!("GET /{} HTTP/1.0\r\n", "x".repeat(5000));
    assert!(say(&path, &long).starts_with("HTTP/1.0 400 "));
    // A smrd that was killed has left its socket: the next one takes it.
    at_once(|| {
        let begin = Instant::now();
        assert!(town.stop());
        let time = begin.elapsed();
        assert!(UnixStream::connect(&path).is_err());
        town.start();
        time
    });
    assert!(say(&path, "GET / HTTP/1.0\n\n").ends_with("# EOF\n"));
}

fn rules() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/prometheus")
}

/// Returns the names of the metrics in a text.
fn metrics(text: &str) -> std::collections::BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("smr_")).collect()
}

#[test]
fn the_alarms_watch_what_is_written() {
    let mut town = Town::with("[metrics]\ntextfile = 'smrd.prom'");
    town.stop();
    let said = std::fs::read_to_string(town.path("smrd.prom")).unwrap();
    let written = metrics(&said);
    let rules = std::fs::read_to_string(rules().join("smr.rules.yml")).unwrap();
    let exprs: String = rules.split("expr:").skip(1).collect();
    let watched = metrics(&exprs);
    assert!(watched.len() > 10, "{watched:?}");
    for name in watched {
        assert!(written.contains(name), "{name} is not in\n{said}");
    }
}

#[test]
fn the_alarms_are_raised_when_they_should_be() {
    // scripts/test puts it there.
    let promtool = rules().join("../../target/prometheus/usr/bin/promtool");
    for (what, file) in [("check", "smr.rules.yml"), ("test", "smr.test.yml")] {
        let said = Command::new(&promtool)
            .args([what, "rules", file])
            .current_dir(rules())
            .output()
            .expect("promtool runs");
        assert!(said.status.success(), "{what}: {said:?}");
    }
}
