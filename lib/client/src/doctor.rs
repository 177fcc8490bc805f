//! The doctor: what stands between this user and his mail, looked at without
//! asking for a PIN or a passphrase.
//!
//! Changes nothing, and mends nothing: each finding says what would.

use smr_evidence::note::succession::Standing;
use smr_evidence::trust::{Certificate, Revocation, TrustError, TrustStore, verify_card};
use smr_name::{Address, Class};

use crate::config::Settings;
use crate::failure::{Explain, Failure};
use crate::grounds;
use crate::home::Home;
use crate::login;
use crate::meet::ask_chain;
use crate::pinned::Pinned;
use crate::token::pcscd;
use crate::token::{self, Listed, PinState, Token, TokenError};
use crate::user::User;

/// A device certificate that ends within this time is worth a word, seconds.
const SOON: i64 = 30 * 86_400;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In order.
    Good,
    /// It works, but not for long, or not known to.
    Doubtful,
    /// It does not work, with the class a command would fail with.
    Bad(Class),
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What: reader, token, pin, chain, revocation, clock, server, agent.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub text: String,
    /// What would help.
    pub hint: Option<String>,
}

impl Finding {
    fn new(what: &'static str, state: State, text: impl Into<String>) -> Finding {
        Finding {
            what,
            state,
            text: text.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }

    fn failed(what: &'static str, failure: Failure) -> Finding {
        Finding {
            hint: failure.hint,
            ..Finding::new(what, State::Bad(failure.class), failure.text)
        }
    }
}

/// Looks at everything, in the order in which it is needed. `now` is unix
/// seconds.
pub fn examine(home: &Home, settings: &Settings, now: i64) -> Vec<Finding> {
    let mut findings = tokens(settings, now);
    let account = login::account(home, settings);
    findings.push(match &account {
        Ok(address) => Finding::new("account", State::Good, address.to_string()),
        Err(failure) => Finding {
            hint: failure.hint.clone(),
            ..Finding::new("account", State::Doubtful, failure.text.clone())
        },
    });
    findings.push(server(home, settings, account.as_ref().ok()));
    let Ok(address) = account else {
        return findings;
    };
    let (agent, mut user) = agent(home, settings, &address, now);
    let relayed = user.as_ref().map(User::trust);
    findings.extend(chain(home, settings, &address, relayed, now));
    findings.push(clock(user.as_mut(), settings, now));
    findings.extend(agent);
    findings
}

/// Reader, token and PIN; a key file is enough for who has one.
fn tokens(settings: &Settings, now: i64) -> Vec<Finding> {
    let named = settings.token.as_deref().unwrap_or("auto");
    if named.starts_with("file:") {
        let text = format!("a key file, {named}");
        return vec![Finding::new("token", State::Good, text)];
    }
    let token = named.parse::<Token>();
    let token = token.map(|token| token.with_module(settings.module.as_deref()));
    let (listed, mut troubles) = match token.and_then(|token| token::list(&token, now)) {
        Ok(found) => found,
        Err(error) => return vec![doubtful("reader", error)],
    };
    let usable = |l: &&Listed| l.certificate.as_ref().is_some_and(|c| c.enrols);
    let found = listed.iter().find(usable);
    let mut findings = vec![reader(&listed, found.is_some())];
    // The line before says it already.
    troubles.retain(|trouble| !matches!(trouble, TokenError::NoReader { .. }));
    findings.extend(troubles.into_iter().map(|e| doubtful("reader", e)));
    match found {
        None => findings.push(
            Finding::new("token", State::Doubtful, "none with a key that can enrol")
                .hint("smr-register --tokens"),
        ),
        Some(found) => findings.extend(token_and_pin(found)),
    }
    findings
}

/// A card that is not there is missed only when it is needed.
fn doubtful(what: &'static str, error: impl Explain) -> Finding {
    Finding {
        hint: error.hint_of(),
        ..Finding::new(what, State::Doubtful, error.to_string())
    }
}

// Without pcscd an HSM may do: its reader is no reason for silence unless its
// token is.
fn reader(listed: &[Listed], enough: bool) -> Finding {
    let mut names: Vec<&str> = listed.iter().map(|l| l.reader.as_str()).collect();
    names.dedup();
    let pcscd = pcscd::look();
    match (pcscd.fault(), names.is_empty()) {
        (Some(fault), _) if !enough => {
            Finding::new("reader", State::Doubtful, fault).hint(pcscd.hint())
        }
        (_, true) => Finding::new("reader", State::Doubtful, "none").hint("is it plugged in?"),
        (_, false) => Finding::new("reader", State::Good, names.join(", ")),
    }
}

fn token_and_pin(found: &Listed) -> Vec<Finding> {
    let (Some(token), Some(certificate)) = (&found.token, &found.certificate) else {
        return Vec::new();
    };
    let text = format!("\"{}\", {}", token.label, certificate.subject);
    let (state, text_of_pin, hint) = match token.pin {
        PinState::Good => (State::Good, "in order, as far as the token tells", None),
        PinState::NotSet => (
            State::Doubtful,
            "not set yet",
            Some("set it with its maker's software"),
        ),
        PinState::FewTries => (
            State::Doubtful,
            "a wrong one was given: few tries are left",
            None,
        ),
        PinState::LastTry => (
            State::Doubtful,
            "one try is left",
            Some("type it yourself in a terminal; no script will take this try"),
        ),
        PinState::Locked => (
            State::Bad(Class::Denied),
            "locked",
            Some("unlock it with its PUK and its maker's software"),
        ),
    };
    let pin = Finding {
        hint: hint.map(str::to_owned),
        ..Finding::new("pin", state, text_of_pin)
    };
    vec![Finding::new("token", State::Good, text), pin]
}

/// Whether the repository answers, and is the one that was pinned.
fn server(home: &Home, settings: &Settings, address: Option<&Address>) -> Finding {
    let repository = address.and_then(|a| a.repository.as_ref());
    let pinned = repository.map(|repository| Pinned::open(home, settings, repository));
    let (known, server) = match (pinned, &settings.server) {
        (Some(Ok(pinned)), _) => (Some(pinned.chain()), pinned.address().to_owned()),
        (Some(Err(failure)), _) => return Finding::failed("server", failure),
        (None, Some(server)) => (None, server.clone()),
        (None, None) => {
            return Finding::new("server", State::Doubtful, "none is configured")
                .hint("smr-register --server HOST:PORT NAME");
        }
    };
    let good = |text| Finding::new("server", State::Good, text);
    let seen = match ask_chain(&server) {
        Err(error) => return Finding::failed("server", error.into()),
        Ok(seen) => seen,
    };
    let text = format!("repository {} at {server}", seen.name());
    match known.map(|known| known.compare(&seen)) {
        None | Some(Standing::Same) => good(text),
        Some(Standing::Newer) => good(format!("{text}, with new keys that the old ones name")),
        Some(_) => Finding::new(
            "server",
            State::Bad(Class::Untrusted),
            format!(
                "\"{server}\" shows another key: {}",
                seen.tip().fingerprint()
            ),
        )
        .hint("ask its operator for `smrd --fingerprint`"),
    }
}

/// The chain of this device: until when, and whether the anchors bear it out.
fn chain(
    home: &Home,
    settings: &Settings,
    address: &Address,
    relayed: Option<&TrustStore>,
    now: i64,
) -> Vec<Finding> {
    let chain = match login::chain(home, address) {
        Ok(chain) => chain,
        Err(failure) => return vec![Finding::failed("chain", failure)],
    };
    let [device, card, extra @ ..] = chain.as_slice() else {
        let text = "the chain of this device is incomplete";
        return vec![Finding::new("chain", State::Bad(Class::Io), text).hint("smr-login")];
    };
    let store = match relayed {
        Some(store) => Ok(store.clone()),
        None => grounds::load(home, settings, None),
    };
    let believed = match store {
        Ok(store) => believed(&store, settings, card, extra, now),
        Err(error) => Finding::failed("revocation", error.into()),
    };
    vec![ends(device, card, now), believed]
}

fn ends(device: &Certificate, card: &Certificate, now: i64) -> Finding {
    let end = device.not_after().min(card.not_after());
    let left = match end.saturating_sub(now) / 86_400 {
        1 => "it ends in 1 day".to_owned(),
        days => format!("it ends in {days} days"),
    };
    match end {
        end if end < now => Finding::new("chain", State::Bad(Class::Denied), "it has expired")
            .hint("smr-register --renew, with a valid card"),
        end if end < now.saturating_add(SOON) => {
            Finding::new("chain", State::Doubtful, left).hint("smr-register --renew")
        }
        _ => Finding::new("chain", State::Good, left),
    }
}

/// Revocation by the lists at hand: those here, and with a session smrd's.
fn believed(
    store: &TrustStore,
    settings: &Settings,
    card: &Certificate,
    extra: &[Certificate],
    now: i64,
) -> Finding {
    let what = "revocation";
    let mut rules = grounds::rules(settings, now);
    if rules.revocation == Revocation::Require {
        rules.revocation = Revocation::Prefer;
    }
    match verify_card(card, extra, store, &rules) {
        Ok(vouched) if vouched.verdict.revocation_checked => {
            Finding::new(what, State::Good, "the card is not revoked")
        }
        Ok(_) => Finding::new(
            what,
            State::Doubtful,
            "no list or answer at hand says whether the card is good",
        )
        .hint("smr-login, then smr-login --check; or ask the operator of smrd"),
        Err(error) => {
            let hint = match &error {
                TrustError::Path(_) => "is its authority in trust.d, and the card still good?",
                TrustError::NotACard { .. } => "smr-register --renew, with a person's card",
            };
            Finding::new(what, State::Bad(Class::Denied), error.to_string()).hint(hint)
        }
    }
}

/// Our clock beside smrd's, as its warrant tells: certificates and lists are
/// judged by ours.
fn clock(user: Option<&mut User>, settings: &Settings, now: i64) -> Finding {
    match user.map(|user| user.session.clock()) {
        Some(Ok(theirs)) => compared(theirs, now, settings.clock_skew),
        Some(Err(error)) => Finding::failed("clock", error.into()),
        None => Finding::new("clock", State::Doubtful, "not compared without a session")
            .hint("smr-login"),
    }
}

fn compared(theirs: i64, ours: i64, skew: u64) -> Finding {
    let off = ours.abs_diff(theirs);
    let text = match ours < theirs {
        true => format!("it is {off} s behind the repository's"),
        false => format!("it is {off} s ahead of the repository's"),
    };
    match off <= skew {
        true => Finding::new("clock", State::Good, "it agrees with the repository's"),
        false => Finding::new("clock", State::Bad(Class::Denied), text)
            .hint("which of the two is right? timedatectl"),
    }
}

/// The agent and its session; with one, what smrd's lists say of one's own
/// account.
fn agent(
    home: &Home,
    settings: &Settings,
    address: &Address,
    now: i64,
) -> (Vec<Finding>, Option<User>) {
    let loaded = match login::status(home) {
        Ok(all) => all.into_iter().find(|l| l.account == *address),
        Err(failure) => {
            let finding = Finding::new("agent", State::Doubtful, failure.text);
            let hint = failure.hint;
            return (vec![Finding { hint, ..finding }], None);
        }
    };
    let Some(loaded) = loaded.filter(|l| !l.locked) else {
        let text = format!("it does not hold {address}");
        let finding = Finding::new("agent", State::Doubtful, text).hint("smr-login");
        return (vec![finding], None);
    };
    let text = format!("it holds {address}, at {}", loaded.server);
    let mut findings = vec![Finding::new("agent", State::Good, text)];
    let mut user = match User::open(home, settings, now) {
        Ok(user) => user,
        Err(failure) => {
            findings.push(Finding::failed("record", failure));
            return (findings, None);
        }
    };
    let own = user.session.ping().map_err(Failure::from);
    findings.push(match own.and_then(|()| user.account(&address.mailbox)) {
        Ok(account) => {
            let number = account.number;
            let text = match account.devices.len() {
                1 => format!("record {number} verifies, 1 device"),
                devices => format!("record {number} verifies, {devices} devices"),
            };
            Finding::new("record", State::Good, text)
        }
        Err(failure) => Finding::failed("record", failure),
    });
    (findings, Some(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_the_skew_and_no_more() {
        for (ours, state, text) in [
            (1000, State::Good, "agrees"),
            (1300, State::Good, "agrees"),
            (700, State::Good, "agrees"),
            (1301, State::Bad(Class::Denied), "301 s ahead"),
            (0, State::Bad(Class::Denied), "1000 s behind"),
            (i64::MIN, State::Bad(Class::Denied), "behind"),
        ] {
            let found = compared(1000, ours, 300);
            assert_eq!(found.state, state, "{ours}");
            assert!(found.text.contains(text), "{}", found.text);
            assert_eq!(found.hint.is_some(), state != State::Good);
        }
    }
}
