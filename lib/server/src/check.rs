//! `smrd --check` and `smrd --check-cert`: what would happen, said beforehand.
//!
//! Changes nothing, and asks the same code that registration asks.

use jiff::Timestamp;
use smr_evidence::trust::{
    Certificate, CertificateError, Crl, PathError, Revocation, Rules, TrustError, Verdict, as_of,
    chains, lacks,
};
use smr_name::Class;
use smr_store::{OpenError, Store};

use crate::config::{Config, Confine, Policy};
use crate::confine::{Bounds, Measure, confine};
use crate::grounds::Grounds;
use crate::handle::judge_card;
use crate::house::{cache, grounds_of, now};
use crate::keys::rotation;
use crate::{queue, revocation};

/// Seconds after which what is due or queued should have been fetched.
const PATIENCE: i64 = 3600;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is in order.
    pub good: bool,
    /// What was found.
    pub text: String,
}

fn good(text: String) -> Finding {
    Finding { good: true, text }
}

fn bad(text: String) -> Finding {
    Finding { good: false, text }
}

/// Says why a certificate could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file does not hold certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// There are no grounds for a verdict.
    #[error(transparent)]
    Grounds(#[from] crate::GroundsError),
}

impl CheckError {
    /// Returns the class.
    pub fn class(&self) -> Class {
        match self {
            CheckError::Certificate(_) => Class::Forged,
            CheckError::Grounds(e) => e.class(),
        }
    }
}

/// What registration would say to a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardReport {
    /// Exit code: 0 believed, 77 not.
    pub code: u8,
    /// One stable word: "good", or why not (smrd(8)).
    pub reason: &'static str,
    /// The verdict and its reason, one line.
    pub text: String,
    /// The subjects from the card to the anchor; where it is not believed,
    /// those of the chain that fits best, if there is any.
    pub path: Vec<String>,
    /// The realm whose anchor ends it.
    pub realm: Option<String>,
    /// Whether every certificate but the anchor was looked up.
    pub is_checked: bool,
    /// When it was revoked, after the time in question, unix seconds.
    pub revoked_later: Option<i64>,
    /// What may help.
    pub hint: Option<&'static str>,
}

/// Looks at everything smrd needs to run.
pub fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![good(format!("configuration: repository {}", config.name))];
    findings.push(store(config));
    findings.push(server_keys(config));
    findings.push(limits(config));
    match grounds_of(config) {
        Ok(grounds) => {
            trust(config, &grounds, now(), &mut findings);
            findings.extend(confinement(config, &grounds));
        }
        Err(error) => findings.push(bad(format!("trust: {error}"))),
    }
    findings
}

fn store(config: &Config) -> Finding {
    match Store::open(&config.store.path) {
        Ok(_) => good(format!("store: {}", config.store.path.display())),
        Err(OpenError::InUse(path)) => good(format!(
            "store: {} is in use by a running smrd",
            path.display()
        )),
        Err(error) => bad(format!("store: {error}")),
    }
}

fn server_keys(config: &Config) -> Finding {
    let held = match rotation::held(&config.store.path, &config.name) {
        Ok(held) => held,
        Err(error) => return bad(format!("keys: {error}")),
    };
    let identity = held.keys.identity().fingerprint();
    match held.chain.tip().since {
        None => good(format!("keys: identity {identity}")),
        Some(since) => good(format!(
            "keys: identity {identity}, succession {} since {}{}",
            held.chain.number(),
            date(since),
            match held.pending {
                true => ", waiting in server.key.next",
                false => "",
            }
        )),
    }
}

/// Confines a thread, which ends, as smrd would be: says what the system did.
fn confinement(config: &Config, grounds: &Grounds) -> Vec<Finding> {
    if config.confine == Confine::Off {
        return vec![good("confinement: off".to_owned())];
    }
    let files = grounds.files.iter().map(|(_, _, file)| file.as_path());
    let bounds = Bounds::of(config, files);
    let tried = std::thread::spawn(move || confine(&bounds)).join();
    let Ok(measures) = tried else {
        return vec![bad("confinement: cannot be tried".to_owned())];
    };
    let find = |measure: Measure| match measure.state {
        Ok(state) => good(format!("confinement: {}: {state}", measure.name)),
        Err(why) => {
            let text = format!("confinement: {}: not here: {why}", measure.name);
            Finding {
                good: config.confine != Confine::Require,
                text,
            }
        }
    };
    measures.into_iter().map(find).collect()
}

fn limits(config: &Config) -> Finding {
    match config.store.quota < config.store.max_message {
        false => good("limits: a message fits an empty mailbox".to_owned()),
        true => bad("limits: \"store.quota\" is less than \"store.max_message\"".to_owned()),
    }
}

fn trust(config: &Config, grounds: &Grounds, now: i64, findings: &mut Vec<Finding>) {
    for realm in &grounds.trust.realms {
        for anchor in &realm.anchors {
            findings.push(certificate("anchor", &realm.name, anchor, now));
        }
    }
    for issuer in &grounds.trust.intermediates {
        findings.push(certificate("intermediate", "-", issuer, now));
    }
    for crl in &grounds.trust.crls {
        findings.push(revocation_list(config, grounds, crl, now));
    }
    let nothing = grounds.trust.crls.is_empty() && grounds.trust.ocsp.is_empty();
    if nothing && config.trust.revocation == Revocation::Require {
        findings.push(bad(
            "crls: none, and \"trust.revocation\" requires them".to_owned()
        ));
    }
    fetched(config, grounds, now, findings);
    for path in &grounds.passed_over {
        findings.push(good(format!("passed over: {}", path.display())));
    }
    if let Policy::AllowList(path) = &config.enrol.policy {
        findings.push(good(format!("enrolment: list {}", path.display())));
    }
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

fn certificate(role: &str, realm: &str, certificate: &Certificate, now: i64) -> Finding {
    let subject = certificate.subject_text().escape_debug();
    let until = date(certificate.not_after());
    let text = format!("{role}: realm {realm}: {subject}, until {until}");
    match certificate.not_after() < now {
        false => good(text),
        true => bad(format!("{text}, has expired")),
    }
}

fn revocation_list(config: &Config, grounds: &Grounds, crl: &Crl, now: i64) -> Finding {
    let anchors = grounds.trust.realms.iter().flat_map(|realm| &realm.anchors);
    let mut issuers = grounds.trust.intermediates.iter().chain(anchors);
    let issuer = issuers.find(|c| c.subject_der() == crl.issuer_der);
    let name = issuer
        .map_or("an unknown issuer", |c| c.subject_text())
        .escape_debug();
    let next = crl.next_update.map_or_else(|| "unknown".to_owned(), date);
    let made = aged(crl.this_update, now);
    let text = format!("crl: {name}, made {made}, next {next}");
    let overdue = crl.next_update.is_some_and(|next| next < now);
    let old = now.saturating_sub(crl.this_update) > config.trust.max_age;
    match config.trust.revocation {
        Revocation::Off => good(text),
        _ if overdue => bad(format!("{text}, is out of date")),
        _ if old => bad(format!("{text}, is older than \"trust.max_age\"")),
        _ => good(text),
    }
}

/// Looks at what the fetcher has left: whether it runs.
fn fetched(config: &Config, grounds: &Grounds, now: i64, findings: &mut Vec<Finding>) {
    if config.trust.revocation == Revocation::Off {
        return;
    }
    let cache = cache(config);
    let index = revocation::index(&revocation::folder(&cache));
    let late = index.values().filter(|e| e.due + PATIENCE < now).count();
    let last = index.values().map(|e| e.fetched).max();
    if let Some(last) = last {
        let text = format!(
            "fetched: {} sources, {} OCSP answers, last {}",
            index.len(),
            grounds.trust.ocsp.len(),
            aged(last, now)
        );
        findings.push(match late {
            0 => good(text),
            _ => bad(format!(
                "{text}; {late} overdue, does the timer of --fetch-revocation run?"
            )),
        });
    }
    for path in &grounds.held.damaged {
        findings.push(bad(format!("fetched: {} is damaged", path.display())));
    }
    if let Some(since) = queue::waiting_since(&cache) {
        let text = format!(
            "queue: certificates wait for an answer, {}",
            aged(since, now)
        );
        findings.push(match now - since > PATIENCE {
            false => good(text),
            true => bad(format!("{text}; does the timer of --fetch-revocation run?")),
        });
    }
}

/// Says a time, and how long ago that is.
fn aged(time: i64, now: i64) -> String {
    let age = now.saturating_sub(time).max(0);
    let ago = match age {
        0..3600 => format!("{} min", age / 60),
        3600..172_800 => format!("{} h", age / 3600),
        _ => format!("{} days", age / 86_400),
    };
    format!("{}, {ago} ago", date(time))
}

/// Judges the first certificate in `bytes` (PEM or DER; the others are its
/// chain) as registration would, at `at` unix seconds, or now.
pub fn check_card(
    config: &Config,
    bytes: &[u8],
    at: Option<i64>,
) -> Result<CardReport, CheckError> {
    let chain = Certificate::pem_or_der_bundle(bytes)?;
    let grounds = grounds_of(config)?;
    let now = now();
    let rules = match at {
        // What became known since counts, and does not make it wrong then.
        Some(at) if at < now => as_of(&grounds.rules(now), at),
        other => grounds.rules(other.unwrap_or(now)),
    };
    Ok(match judge_card(&grounds, &chain, &rules) {
        Ok(vouched) => believed(&vouched.person.subject, &vouched.verdict),
        Err(error) => not_believed(&grounds, &chain, &rules, &error),
    })
}

fn believed(subject: &str, verdict: &Verdict) -> CardReport {
    let (subject, realm) = (subject.escape_debug(), &verdict.realm);
    let mut text = format!("good: {subject}, realm {realm}");
    if !verdict.revocation_checked {
        text.push_str(", revocation not checked");
    }
    if let Some(time) = verdict.revoked_later {
        text.push_str(&format!(", revoked later, {}", date(time)));
    }
    CardReport {
        code: 0,
        reason: "good",
        text,
        path: subjects(&verdict.chain),
        realm: Some(realm.clone()),
        is_checked: verdict.revocation_checked,
        revoked_later: verdict.revoked_later,
        hint: None,
    }
}

fn not_believed(
    grounds: &Grounds,
    chain: &[Certificate],
    rules: &Rules,
    error: &TrustError,
) -> CardReport {
    let found = chain
        .split_first()
        .map(|(card, extra)| chains(card, extra, &grounds.trust))
        .unwrap_or_default();
    let first = found.first();
    let looked = first.is_some_and(|c| {
        rules.revocation != Revocation::Off && lacks(c, &grounds.trust, rules).is_none()
    });
    CardReport {
        code: Class::Denied.code(),
        reason: match error {
            TrustError::Path(error) => error.reason(),
            TrustError::NotACard { .. } => "not_a_card",
        },
        text: format!("not believed: {}", reason(error)),
        path: first.map_or_else(Vec::new, |c| subjects(&c.certificates)),
        realm: first.map(|c| c.realm.clone()),
        is_checked: looked,
        revoked_later: None,
        hint: advice(error),
    }
}

fn advice(error: &TrustError) -> Option<&'static str> {
    match error {
        TrustError::Path(PathError::NoRevocationData { .. }) => {
            Some("fetch what its authority publishes: smrd --fetch-revocation")
        }
        TrustError::Path(PathError::StaleCrl { .. }) => Some(
            "smrd --fetch-revocation; where its authority publishes less often than \"trust.max_age\", raise that",
        ),
        TrustError::Path(PathError::NoPath { .. }) => {
            Some("are its authorities among \"trust.anchors\" and \"trust.intermediates\"?")
        }
        _ => None,
    }
}

fn subjects(chain: &[Certificate]) -> Vec<String> {
    let subjects = chain.iter().map(Certificate::subject_text);
    subjects.map(str::to_owned).collect()
}

fn reason(error: &TrustError) -> String {
    error.to_string().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::limits;
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn a_quota_below_one_message_is_found() {
        let text = |quota| format!("name='r'\n[store]\npath='/x'\nquota='{quota}'\n");
        let config = |quota| Config::parse(&text(quota), Path::new("c"), None).unwrap();
        assert!(limits(&config("64MiB")).good);
        assert!(!limits(&config("63MiB")).good);
    }
}
