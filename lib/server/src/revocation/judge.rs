//! What of that which came may be kept: signed by who may, made no later than
//! now and no earlier than what is held.
//!
//! Makes no verdict on anybody: the old answer stays where the new is refused.

use smr_evidence::trust::ocsp::Said;
use smr_evidence::trust::{Crl, Material, Ocsp, Rules, TrustStore, has_answered, has_signed};

use super::needs::{Kind, Need};

/// The least time between two questions to one source, in seconds.
const PAUSE: i64 = 600;

/// Between which times something speaks, unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Span {
    fn of(this: i64, next: Option<i64>, rules: &Rules) -> Span {
        let aged = rules.max_age.map(|age| this.saturating_add(age));
        let ends = [next, aged].into_iter().flatten().min();
        Span {
            from: this,
            until: ends.unwrap_or(this).max(this),
        }
    }

    /// Returns when half of it is over, or after a pause where that is past.
    pub(super) fn due(&self, now: i64) -> i64 {
        let half = self.from + (self.until - self.from) / 2;
        half.max(now.saturating_add(PAUSE))
    }
}

/// What a source said, checked.
pub(super) struct Sound {
    /// The DER.
    pub(super) bytes: Vec<u8>,
    pub(super) span: Span,
    /// Where deltas to it are published.
    pub(super) deltas: Vec<String>,
}

/// Checks a list or an answer that came or is held.
pub(super) fn sound(
    need: &Need,
    bytes: &[u8],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Sound, String> {
    let sound = match need.kind {
        Kind::Ocsp => answer(need, bytes, store, rules)?,
        Kind::List | Kind::Delta => list(need, bytes, store, rules)?,
    };
    let begins = sound.span.from;
    match begins > rules.now.saturating_add(rules.clock_skew.max(0)) {
        true => Err("it was made in the future".to_owned()),
        false => Ok(sound),
    }
}

fn list(need: &Need, bytes: &[u8], store: &TrustStore, rules: &Rules) -> Result<Sound, String> {
    let mut read = TrustStore::default();
    read.add_crls(bytes).map_err(|e| e.to_string())?;
    let [list] = &read.crls[..] else {
        return Err("it holds more than one list".to_owned());
    };
    if list.is_delta() != (need.kind == Kind::Delta) {
        return Err(match list.is_delta() {
            true => "it is a delta, not a whole list".to_owned(),
            false => "it is no delta".to_owned(),
        });
    }
    let mut chains = need.chains.iter();
    if !chains.any(|chain| has_signed(list, chain, store, rules)) {
        return Err("it is not signed by who may sign it".to_owned());
    }
    Ok(Sound {
        bytes: list.der.to_vec(),
        span: Span::of(list.this_update, list.next_update, rules),
        deltas: deltas(list),
    })
}

fn deltas(list: &Crl) -> Vec<String> {
    match list.is_delta() {
        true => Vec::new(),
        false => smr_evidence::trust::sources::delta_urls_of(list),
    }
}

fn answer(need: &Need, bytes: &[u8], store: &TrustStore, rules: &Rules) -> Result<Sound, String> {
    let answer = Ocsp::from_der(bytes).map_err(|e| e.to_string())?;
    let asked = need.chains.first().filter(|c| c.certificates.len() > 1);
    let chain = asked.ok_or("nobody was asked about")?;
    let said = answer.about(&chain.certificates[0], &chain.certificates[1]);
    let said = said.ok_or("it speaks of another certificate")?;
    if said.said == Said::Unknown {
        return Err("the responder does not know the certificate".to_owned());
    }
    if !has_answered(&answer, chain, store, rules) {
        return Err("it is not signed by who may answer".to_owned());
    }
    Ok(Sound {
        bytes: bytes.to_vec(),
        span: Span::of(said.this_update, said.next_update, rules),
        deltas: Vec::new(),
    })
}

/// Refuses an answer to another question, or one from before that is over. A
/// responder may leave the nonce out (RFC 5019 2.2.1).
pub(super) fn fits_question(
    bytes: &[u8],
    nonce: &[u8; 32],
    sound: &Sound,
    now: i64,
) -> Result<(), String> {
    let answer = Ocsp::from_der(bytes).map_err(|e| e.to_string())?;
    match answer.nonce() {
        Some(other) if other != nonce => Err("it answers another question".to_owned()),
        _ if sound.span.until < now => Err("it is out of date".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_source_is_asked_again_at_half_time_but_not_at_once() {
        let span = Span {
            from: 1000,
            until: 9000,
        };
        assert_eq!(span.due(1000), 5000);
        assert_eq!(span.due(4999), 5599);
        assert_eq!(span.due(9000), 9600);
    }
}
