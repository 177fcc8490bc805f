//! Time stamps on receipts and postmarks (RFC 3161): asked for over plain HTTP,
//! verified, and kept beside what they are on.
//!
//! Speaks no TLS: an answer is signed, and the authority learns a hash. Keeps
//! and hands out nothing that has not verified.

use std::time::Duration;

use rand_core::{OsRng, RngCore};
use smr_evidence::trust::{Certificate, Crl, Rules, Stamp, StampError, TrustStore, stamp};
use smr_name::{Class, Fingerprint};
use ureq::Agent;

use crate::failure::Failure;
use crate::home::Home;
use crate::private::{self, PrivateError};

/// Until the connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// From the beginning to the last byte.
const WHOLE: Duration = Duration::from_secs(20);

/// Whom to believe about time, and whom to ask.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// The address of the authority that is asked, `http://...`; none: no
    /// time stamps are asked for.
    pub tsa: Option<String>,
    /// The anchors of such authorities.
    pub store: TrustStore,
}

impl Clocks {
    /// Returns the anchors that are for time stamps alone.
    pub(crate) fn anchors(&self, people: &TrustStore) -> Vec<Certificate> {
        let all = |store: &TrustStore| -> Vec<Certificate> {
            let realms = store.realms.iter();
            realms.flat_map(|realm| realm.anchors.clone()).collect()
        };
        let known = all(people);
        let mut own = all(&self.store);
        own.retain(|anchor| !known.contains(anchor));
        own
    }

    /// Returns the other authorities that came with them.
    pub(crate) fn intermediates(&self, people: &TrustStore) -> Vec<Certificate> {
        let mut own = self.store.intermediates.clone();
        own.retain(|other| !people.intermediates.contains(other));
        own
    }

    /// Returns the lists that came with them.
    pub(crate) fn lists(&self, people: &TrustStore) -> Vec<Crl> {
        let mut own = self.store.crls.clone();
        own.retain(|list| people.crls.iter().all(|known| known.der != list.der));
        own
    }
}

/// Tells whether an address is one that can be asked.
pub fn speaks(url: &str) -> bool {
    url.to_ascii_lowercase().starts_with("http://")
}

/// Time stamps of one run: an authority that has failed is not asked again.
pub(crate) struct Stamps<'a> {
    home: &'a Home,
    clocks: &'a Clocks,
    rules: Rules,
    failed: bool,
}

impl<'a> Stamps<'a> {
    pub(crate) fn new(home: &'a Home, clocks: &'a Clocks, rules: Rules) -> Stamps<'a> {
        Stamps {
            home,
            clocks,
            rules,
            failed: false,
        }
    }

    /// Returns the time stamp on these bytes that is kept, if it verifies.
    pub(crate) fn kept(&self, bytes: &[u8]) -> Result<Option<(Vec<u8>, Stamp)>, PrivateError> {
        let sha256 = *Fingerprint::of(bytes).as_bytes();
        let token = private::read(&self.home.stamp(&sha256), stamp::MAX_ANSWER as u64)?;
        // One that does not verify is as good as none: another may be had.
        Ok(token.and_then(|token| {
            let read = stamp::verify(&token, &sha256, &self.clocks.store, &self.rules);
            Some((token, read.ok()?))
        }))
    }

    /// Returns the time stamp on these bytes: the one that is kept, or a new
    /// one where an authority is asked; none where none is.
    pub(crate) fn on(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        if let Some((token, _)) = self.kept(bytes)? {
            return Ok(Some(token));
        }
        let Some(url) = self.clocks.tsa.as_deref().filter(|_| !self.failed) else {
            return Ok(None);
        };
        let asked = self.ask(url, bytes);
        self.failed = asked.is_err();
        asked.map(Some)
    }

    fn ask(&self, url: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let sha256 = *Fingerprint::of(bytes).as_bytes();
        let mut nonce = [0; stamp::NONCE];
        OsRng.fill_bytes(&mut nonce);
        let answer = post(url, &stamp::question(&sha256, &nonce)).map_err(|why| {
            let text = format!("the time stamp authority \"{url}\" does not answer: {why}");
            Failure::new(Class::Busy, text).hint("is it the right address, and can it be reached?")
        })?;
        let store = &self.clocks.store;
        let accepted = stamp::accept(&answer, &sha256, &nonce, store, &self.rules);
        let (token, _) = accepted.map_err(|error| refused(url, &error))?;
        private::replace(&self.home.stamp(&sha256), &token)?;
        Ok(token)
    }
}

fn refused(url: &str, error: &StampError) -> Failure {
    let class = match error {
        StampError::Refused { .. } => Class::Busy,
        _ => Class::Forged,
    };
    let failure = Failure::new(class, format!("\"{url}\": {error}"));
    match error {
        StampError::Authority(_) => {
            failure.hint("is its root in trust.d, or named by --tsa-anchors?")
        }
        StampError::Refused { .. } => failure.hint("does it take SHA-256, and without a contract?"),
        _ => failure.hint("is it the right address, and the clock right?"),
    }
}

/// Asks (RFC 3161 3.4). Nobody else hears of it: no proxy, no redirects.
fn post(url: &str, question: &[u8]) -> Result<Vec<u8>, String> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .user_agent("smr-receipt")
        .proxy(None)
        .build()
        .into();
    let request = agent
        .post(url)
        .header("content-type", "application/timestamp-query");
    let mut answer = request.send(question).map_err(|e| e.to_string())?;
    match answer.status().as_u16() {
        200 => {}
        other => return Err(format!("HTTP {other}")),
    }
    let body = answer.body_mut().with_config();
    let body = body.limit(stamp::MAX_ANSWER as u64);
    body.read_to_vec().map_err(|e| e.to_string())
}
