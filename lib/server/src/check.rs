//! `smrd --check` and `smrd --check-cert`: what would happen, said beforehand.
//!
//! Changes nothing, and asks the same code that registration asks.

use jiff::Timestamp;
use smr_evidence::trust::{Certificate, CertificateError, Crl, Revocation, TrustError};
use smr_name::Class;
use smr_store::{OpenError, Store};

use crate::config::{Config, Policy};
use crate::grounds::Grounds;
use crate::handle::judge_card;
use crate::house::{grounds_of, now};
use crate::keys;

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
    /// The verdict and its reason, one line.
    pub text: String,
}

/// Looks at everything smrd needs to run.
pub fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![good(format!("configuration: repository {}", config.name))];
    findings.push(store(config));
    findings.push(server_keys(config));
    findings.push(limits(config));
    match grounds_of(config) {
        Ok(grounds) => trust(config, &grounds, now(), &mut findings),
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
    match keys::load(&config.store.path, &config.name) {
        Ok(keys) => good(format!("keys: identity {}", keys.identity().fingerprint())),
        Err(error) => bad(format!("keys: {error}")),
    }
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
    if grounds.trust.crls.is_empty() && config.trust.revocation == Revocation::Require {
        findings.push(bad(
            "crls: none, and \"trust.revocation\" requires them".to_owned()
        ));
    }
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
    let text = format!("crl: {name}, made {}, next {next}", date(crl.this_update));
    let overdue = crl.next_update.is_some_and(|next| next < now);
    let old = now.saturating_sub(crl.this_update) > config.trust.max_age;
    match config.trust.revocation {
        Revocation::Off => good(text),
        _ if overdue => bad(format!("{text}, is out of date")),
        _ if old => bad(format!("{text}, is older than \"trust.max_age\"")),
        _ => good(text),
    }
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
    Ok(match judge_card(&grounds, &chain, at.unwrap_or_else(now)) {
        Ok(person) => CardReport {
            code: 0,
            text: format!(
                "good: {}, realm {}",
                person.subject.escape_debug(),
                person.realm
            ),
        },
        Err(error) => CardReport {
            code: Class::Denied.code(),
            text: format!("not believed: {}", reason(&error)),
        },
    })
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
