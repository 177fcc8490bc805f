//! What smrd counts, as a text for whoever watches (smrd(8), METRICS).
//!
//! Names no person, mailbox, peer or message: every label is a word of ours.

mod file;
mod socket;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use smr_name::Class;

use crate::house::{House, cache, now};
use crate::{queue, revocation};

pub(crate) use file::Exporter;
pub(crate) use socket::{Counter, Teller};
use text::{Kind, Text};

/// What no line of the log stands for.
#[derive(Default)]
pub(crate) struct Metrics {
    handshakes: AtomicU64,
    chains: AtomicU64,
    /// By exit code.
    refusals: Mutex<BTreeMap<u8, u64>>,
    /// Set once, by the door.
    waiting: OnceLock<Box<Waiting>>,
}

/// Tells how many strangers and members wait for a worker.
type Waiting = dyn Fn() -> [usize; 2] + Send + Sync;

/// The reasons of refusals, by class.
const REASONS: [(Class, &str); 10] = [
    (Class::Usage, "usage"),
    (Class::Forged, "forged"),
    (Class::Missing, "missing"),
    (Class::NoMailbox, "no-mailbox"),
    (Class::Unavailable, "unavailable"),
    (Class::Broken, "broken"),
    (Class::Io, "io"),
    (Class::Busy, "busy"),
    (Class::Untrusted, "untrusted"),
    (Class::Denied, "denied"),
];

impl Metrics {
    /// Counts a handshake that a client began, and smrd has done its part of.
    pub(crate) fn handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a client who was told how the keys followed one another.
    pub(crate) fn chain_told(&self) {
        self.chains.fetch_add(1, Ordering::Relaxed);
    }

    /// Says where to ask for the length of the lines; the first is the only one.
    pub(crate) fn ask_for_lines(&self, waiting: Box<Waiting>) {
        let _ = self.waiting.set(waiting);
    }

    // A count changes in one step, so a poisoned map is still right.
    fn refusals(&self) -> std::sync::MutexGuard<'_, BTreeMap<u8, u64>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, class: Class) {
        *self.refusals().entry(class.code()).or_insert(0) += 1;
    }
}

/// Writes down what `house` has counted until now.
fn text(house: &House) -> String {
    let mut text = Text::default();
    counters(house, &mut text);
    successions(house, &mut text);
    refusals(house, &mut text);
    rates(house, &mut text);
    syncs(house, &mut text);
    lines(house, &mut text);
    gauges(house, &mut text);
    text.finish()
}

fn counters(house: &House, text: &mut Text) {
    let counters = [
        (
            "smr_deposits",
            "deposit",
            "Messages taken, repetitions too.",
        ),
        ("smr_fetches", "fetched", "Messages of inboxes sent whole."),
        ("smr_receipts", "receipt", "Receipts taken."),
        ("smr_removals", "remove", "Own copies removed."),
        ("smr_enrolments", "enrolled", "New accounts."),
        (
            "smr_turned_away",
            "full",
            "Connections for which there was no room.",
        ),
        (
            "smr_displaced",
            "displaced",
            "Strangers who made room for newcomers.",
        ),
        ("smr_store_errors", "store", "What the store did not do."),
        (
            "smr_listen_errors",
            "listen",
            "Times that no connection could be accepted.",
        ),
        ("smr_reloads", "reloaded", "Configurations put in force."),
        (
            "smr_failed_reloads",
            "not-reloaded",
            "Configurations that were not.",
        ),
    ];
    for (name, event, help) in counters {
        text.family(name, Kind::Counter, help);
        text.sample("_total", &[], house.log.count(event));
    }
    text.family("smr_sessions", Kind::Counter, "Sessions opened.");
    for kind in ["login", "card-login", "enrol", "join"] {
        text.sample("_total", &[("kind", kind)], house.log.count(kind));
    }
    text.family(
        "smr_handshakes",
        Kind::Counter,
        "Handshakes begun by clients.",
    );
    let handshakes = house.metrics.handshakes.load(Ordering::Relaxed);
    text.sample("_total", &[], handshakes);
}

fn successions(house: &House, text: &mut Text) {
    let help = "Clients told how the keys of the repository followed one another.";
    text.family("smr_chains_told", Kind::Counter, help);
    let told = house.metrics.chains.load(Ordering::Relaxed);
    text.sample("_total", &[], told);
    let help = "Times that the keys of the repository were replaced.";
    text.family("smr_successions", Kind::Gauge, help);
    text.sample("", &[], house.chain.number());
}

fn refusals(house: &House, text: &mut Text) {
    text.family("smr_refusals", Kind::Counter, "Requests refused.");
    let counts = house.metrics.refusals();
    for (class, reason) in REASONS {
        let count = counts.get(&class.code()).copied().unwrap_or(0);
        text.sample("_total", &[("reason", reason)], count);
    }
}

fn rates(house: &House, text: &mut Text) {
    let help = "What was refused as there was too much in a time, or at a time.";
    text.family("smr_over_rate", Kind::Counter, help);
    let at_once = ("at-once", house.shares.refused());
    for (rate, count) in house.rates.refused().into_iter().chain([at_once]) {
        text.sample("_total", &[("rate", rate)], count);
    }
}

fn syncs(house: &House, text: &mut Text) {
    let help = "Time that the store's disk took to make data durable.";
    text.family("smr_sync_seconds", Kind::Histogram, help);
    let times = house.store.sync_times();
    let mut sum = 0;
    for (bound, count) in times.buckets {
        sum += count;
        let bound = bound.map_or("+Inf".to_owned(), |b| format!("{:?}", b.as_secs_f64()));
        text.sample("_bucket", &[("le", &bound)], sum);
    }
    text.sample("_count", &[], sum);
    text.sample("_sum", &[], times.sum.as_secs_f64());
}

fn lines(house: &House, text: &mut Text) {
    let help = "Requests that have come and wait for a worker.";
    text.family("smr_waiting", Kind::Gauge, help);
    if let Some(waiting) = house.metrics.waiting.get() {
        for (of, count) in ["strangers", "members"].iter().zip(waiting()) {
            text.sample("", &[("of", of)], count);
        }
    }
}

fn gauges(house: &House, text: &mut Text) {
    let mut gauge = |name, help, value: Option<f64>| {
        text.family(name, Kind::Gauge, help);
        if let Some(value) = value {
            text.sample("", &[], value);
        }
    };
    let now = now();
    let since = |time: i64| now.saturating_sub(time).max(0) as f64;
    let connections = house.seats.count() as f64;
    gauge("smr_connections", "Connections open.", Some(connections));
    let failed = f64::from(u8::from(house.store.has_failed()));
    gauge(
        "smr_store_failed",
        "1 once the store takes nothing more.",
        Some(failed),
    );
    let help = "Messages that the journal holds and that wait for their names.";
    let unnamed = house.store.unnamed() as f64;
    gauge("smr_journal_messages", help, Some(unnamed));
    let help = "Entries of folders that are in memory.";
    let kept = house.store.in_memory() as f64;
    gauge("smr_entries_in_memory", help, Some(kept));
    let disk = house.disk_bytes().ok();
    let free = disk.map(|(free, _)| free as f64);
    gauge("smr_disk_free_bytes", "Room on the store's disk.", free);
    let size = disk.map(|(_, size)| size as f64);
    gauge("smr_disk_size_bytes", "Size of the store's disk.", size);
    let cache = cache(&house.config);
    let folder = revocation::folder(&cache);
    let index = revocation::index(&folder);
    let fetched = index.values().map(|entry| entry.fetched).max();
    let help = "Time since a source of revocation data last answered.";
    gauge("smr_revocation_age_seconds", help, fetched.map(since));
    let help = "Time since the fetcher of revocation data last came to its end.";
    let run = revocation::last_run(&folder).map(since);
    gauge("smr_revocation_run_age_seconds", help, run);
    let help = "How late a source of revocation data is that should have answered.";
    let late = revocation::overdue(&index, now).map(|late| late as f64);
    gauge("smr_revocation_overdue_seconds", help, late);
    let help = "Time that certificates have waited for revocation data.";
    let waiting = queue::waiting_since(&cache).map(since);
    gauge("smr_revocation_queue_age_seconds", help, waiting);
    let grounds = house.grounds();
    let anchors = grounds.trust.realms.iter().flat_map(|realm| &realm.anchors);
    let all = anchors.chain(&grounds.trust.intermediates);
    let first = all.map(|certificate| certificate.not_after()).min();
    let help = "When the first anchor or intermediate expires, unix time.";
    let expiry = first.map(|time| time as f64);
    gauge("smr_certificate_expiry_timestamp_seconds", help, expiry);
    let help = "When this text was written, unix time.";
    gauge("smr_written_timestamp_seconds", help, Some(now as f64));
}
