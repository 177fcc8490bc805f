//! `smrd --fetch-revocation`: a process of its own that fetches lists and OCSP
//! answers into cache/revocation, so that the daemon asks nobody (smrd(8)).
//!
//! Believes no source: what is not signed by who may sign it never takes the
//! place of what is held, nor does anything older.

mod cache;
mod held;
mod http;
mod judge;
mod needs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand_core::{OsRng, RngCore};
use smr_evidence::trust::{Certificate, Revocation, Rules, SignedData, lacks, ocsp};
use smr_name::Class;
use smr_store::DiskError;

use crate::GroundsError;
use crate::config::Config;
use crate::grounds::Grounds;
use crate::house::{cache, grounds_of, now};
use crate::queue;

use cache::{Cache, Entry};
use http::{Got, Http, Validators};
use judge::Sound;
use needs::{Need, Needs};

pub use cache::CacheError;
pub(crate) use cache::{index, last_run, overdue};
pub(crate) use held::{Held, Item};
pub use http::Limits;
pub use needs::Kind;

/// Returns the folder of what was fetched.
pub(crate) fn folder(cache: &Path) -> PathBuf {
    cache.join("revocation")
}

/// Says why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Anchors or lists of the configuration cannot be read.
    #[error(transparent)]
    Grounds(#[from] GroundsError),
    /// The accounts cannot be read.
    #[error(transparent)]
    Store(#[from] DiskError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The queue cannot be read or written.
    #[error("cannot work off the queue: {0}")]
    Queue(#[from] std::io::Error),
}

impl FetchError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            FetchError::Grounds(e) => e.class(),
            FetchError::Store(e) => e.class(),
            FetchError::Cache(e) => e.class(),
            FetchError::Queue(_) => Class::Io,
        }
    }
}

/// What became of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is something new.
    Fetched,
    /// There is nothing new.
    Unchanged,
    /// It was not asked: it is not due.
    Skipped,
    /// It was not asked: its address is not one of plain http.
    PassedOver,
    /// It was of no use, and why; what was held stays.
    Failed(String),
}

/// One source that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it became.
    pub outcome: Outcome,
    /// Its kind.
    pub kind: Kind,
    /// Its address.
    pub url: String,
    /// One of the certificates it is for.
    pub subject: String,
    /// From when on it is to be asked again, unix seconds.
    pub due: Option<i64>,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Every source, in the order asked.
    pub sources: Vec<Source>,
    /// Subjects for which there is no usable answer even now.
    pub lacking: Vec<String>,
}

impl Fetched {
    /// Returns 0, or 75 where a source failed or a certificate is left without.
    pub fn code(&self) -> u8 {
        let failed = |s: &Source| matches!(s.outcome, Outcome::Failed(_));
        match self.lacking.is_empty() && !self.sources.iter().any(failed) {
            true => 0,
            false => Class::Busy.code(),
        }
    }
}

/// A certificate that verdicts are made on, and what came with it.
struct Target {
    certificate: Certificate,
    extra: Vec<Certificate>,
    /// Its line in the queue.
    queued: Option<String>,
}

/// One run.
struct Run {
    grounds: Grounds,
    rules: Rules,
    http: Http,
    cache: Cache,
    now: i64,
    changed: bool,
    sources: Vec<Source>,
}

/// Fetches what is due for the accounts on file, the configured authorities
/// and the queue, and takes from the queue what has an answer now.
pub fn fetch(config: &Config, limits: Limits) -> Result<Fetched, FetchError> {
    let now = now();
    let store = cache(config);
    let cache = Cache::open(&folder(&store))?;
    let grounds = grounds_of(config)?;
    let targets = targets(config, &grounds)?;
    let rules = Rules {
        // What signs a list may have none itself yet.
        revocation: Revocation::Prefer,
        ..grounds.rules(now)
    };
    let mut run = Run {
        grounds,
        rules,
        http: Http::new(limits),
        cache,
        now,
        changed: false,
        sources: Vec::new(),
    };
    run.all(run.needs(&targets))?;
    let sources = std::mem::take(&mut run.sources);
    run.cache.close(run.changed)?;
    let lacking = settle(config, &targets, now)?;
    Ok(Fetched { sources, lacking })
}

/// Collects the certificates in question.
fn targets(config: &Config, grounds: &Grounds) -> Result<Vec<Target>, FetchError> {
    let plain = |certificate: Certificate, extra: &[Certificate]| Target {
        certificate,
        extra: extra.to_vec(),
        queued: None,
    };
    let mut targets = Vec::new();
    for issuer in &grounds.trust.intermediates {
        targets.push(plain(issuer.clone(), &[]));
    }
    for (_, record) in smr_store::records(&config.store.path)? {
        // A damaged record is for smrd to complain of.
        let Ok(signed) = SignedData::parse(&record) else {
            continue;
        };
        let all = signed.certificates();
        targets.extend(all.iter().map(|c| plain(c.clone(), all)));
    }
    let queued = queue::read(&cache(config))?;
    let all: Vec<Certificate> = queued.iter().map(|(_, c)| c.clone()).collect();
    for (line, certificate) in queued {
        targets.push(Target {
            queued: Some(line),
            ..plain(certificate, &all)
        });
    }
    Ok(targets)
}

/// Takes from the queue whoever has an answer now, or needs none any more;
/// returns the subjects that have none.
fn settle(config: &Config, targets: &[Target], now: i64) -> Result<Vec<String>, FetchError> {
    let grounds = grounds_of(config)?;
    let (mut lacking, mut served) = (BTreeSet::new(), BTreeSet::new());
    for target in targets {
        let missing = lacks_all(&grounds, target, now);
        match (missing, &target.queued) {
            (true, _) => drop(lacking.insert(target.certificate.subject_text().to_owned())),
            (false, Some(line)) => drop(served.insert(line.clone())),
            (false, None) => {}
        }
    }
    queue::take(&cache(config), &served)?;
    match config.trust.revocation {
        Revocation::Off => Ok(Vec::new()),
        _ => Ok(lacking.into_iter().collect()),
    }
}

/// Says whether none of the chains of a certificate is answered for.
fn lacks_all(grounds: &Grounds, target: &Target, now: i64) -> bool {
    let chains = needs::usable(&target.certificate, &target.extra, &grounds.trust, now);
    let rules = grounds.rules(now);
    !chains.is_empty()
        && chains
            .iter()
            .all(|chain| lacks(chain, &grounds.trust, &rules).is_some())
}

impl Run {
    fn needs(&self, targets: &[Target]) -> Needs {
        let mut needs = Needs::new();
        for target in targets {
            let store = &self.grounds.trust;
            for chain in needs::usable(&target.certificate, &target.extra, store, self.now) {
                needs::add(&mut needs, &chain);
            }
        }
        needs
    }

    /// Asks all sources, and then those of deltas that the lists name.
    fn all(&mut self, needs: Needs) -> Result<(), FetchError> {
        let mut deltas = Needs::new();
        for (name, need) in &needs {
            for url in self.one(name, need)? {
                for chain in &need.chains {
                    needs::add_one(&mut deltas, Kind::Delta, url.clone(), chain);
                }
            }
        }
        deltas.retain(|name, _| !needs.contains_key(name));
        for (name, need) in &deltas {
            self.one(name, need)?;
        }
        let wanted = |name: &str| needs.contains_key(name) || deltas.contains_key(name);
        Ok(self.cache.clear(self.now, wanted)?)
    }

    /// Asks one source if it is due; returns where deltas to its list are.
    fn one(&mut self, name: &str, need: &Need) -> Result<Vec<String>, FetchError> {
        let held = self.cache.read(name)?;
        let held = held.and_then(|bytes| self.sound(need, &bytes).ok());
        let entry = self.cache.index.get(name).cloned();
        let entry = entry.filter(|_| held.is_some()).unwrap_or_default();
        let (outcome, sound, due) = if !http::speaks(&need.url) {
            (Outcome::PassedOver, None, None)
        } else if entry.due > self.now {
            (Outcome::Skipped, held, Some(entry.due))
        } else {
            match self.ask(need, &entry.validators, held.as_ref()) {
                Ok((None, validators)) => {
                    let due = held.as_ref().map(|held| held.span.due(self.now));
                    self.enter(name, need, &held, validators);
                    (Outcome::Unchanged, held, due)
                }
                Ok((Some(fresh), validators)) => {
                    self.cache.put(name, &fresh.bytes)?;
                    self.changed = true;
                    let due = fresh.span.due(self.now);
                    let fresh = Some(fresh);
                    self.enter(name, need, &fresh, validators);
                    (Outcome::Fetched, fresh, Some(due))
                }
                Err(why) => (Outcome::Failed(why), held, None),
            }
        };
        self.sources.push(Source {
            outcome,
            kind: need.kind,
            url: need.url.clone(),
            subject: need.subject().to_owned(),
            due,
        });
        Ok(sound.map_or_else(Vec::new, |sound| sound.deltas))
    }

    fn enter(&mut self, name: &str, need: &Need, sound: &Option<Sound>, validators: Validators) {
        let Some(sound) = sound else { return };
        let entry = Entry {
            url: need.url.clone(),
            validators,
            fetched: self.now,
            due: sound.span.due(self.now),
            until: sound.span.until,
        };
        self.cache.index.insert(name.to_owned(), entry);
    }

    fn sound(&self, need: &Need, bytes: &[u8]) -> Result<Sound, String> {
        judge::sound(need, bytes, &self.grounds.trust, &self.rules)
    }

    /// Asks a source; none where it has nothing new.
    fn ask(
        &mut self,
        need: &Need,
        validators: &Validators,
        held: Option<&Sound>,
    ) -> Result<(Option<Sound>, Validators), String> {
        let (sound, validators) = match need.kind {
            Kind::Ocsp => (self.question(need)?, Validators::default()),
            Kind::List | Kind::Delta => match self.http.list(&need.url, validators)? {
                Got::Unchanged if held.is_some() => return Ok((None, validators.clone())),
                Got::Unchanged => return Err("HTTP 304, and nothing is held".to_owned()),
                Got::Bytes(bytes, validators) => (self.sound(need, &bytes)?, validators),
            },
        };
        match held {
            Some(held) if held.bytes == sound.bytes => Ok((None, validators)),
            Some(held) if held.span.from > sound.span.from => {
                Err("it is older than the one that is held".to_owned())
            }
            _ => Ok((Some(sound), validators)),
        }
    }

    fn question(&mut self, need: &Need) -> Result<Sound, String> {
        let chain = need.chains.first().map(|c| &c.certificates[..]);
        let Some([subject, issuer, ..]) = chain else {
            return Err("nobody to ask about".to_owned());
        };
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        let question = ocsp::request(subject, issuer, Some(nonce)).map_err(|e| e.to_string())?;
        let bytes = self.http.ask(&need.url, &question)?;
        let sound = self.sound(need, &bytes)?;
        judge::fits_question(&bytes, &nonce, &sound, self.now)?;
        Ok(sound)
    }
}
