//! One question over HTTP: plain, bounded in time and size.
//!
//! Speaks no TLS: what it fetches is signed, and RFC 5280 8 advises against
//! https for it. Believes nothing of what comes but its length.

use std::collections::HashMap;
use std::time::Duration;

use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ureq::http::{HeaderMap, HeaderName, Response};
use ureq::{Agent, Body};

/// Redirects that are followed.
const REDIRECTS: u32 = 3;
/// Failures in one run after which a host is left alone.
const PATIENCE: u32 = 3;
/// The longest validator that is kept, in bytes.
const LONGEST: usize = 256;

/// How long one question may take, and how much may come.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the beginning to the last byte.
    pub whole: Duration,
    /// Bytes of a list.
    pub list: u64,
    /// Bytes of an OCSP answer.
    pub answer: u64,
}

impl Default for Limits {
    /// 10 and 60 seconds, 64 MiB and 64 KiB.
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(10),
            whole: Duration::from_secs(60),
            list: 64 << 20,
            answer: 64 << 10,
        }
    }
}

/// Says whether an address is one of plain http.
pub(super) fn speaks(url: &str) -> bool {
    url.to_ascii_lowercase().starts_with("http://")
}

/// What a server says of the state of a file, to be shown to it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
}

/// What came.
pub(super) enum Got {
    /// Nothing new.
    Unchanged,
    /// The bytes, and the state they are of.
    Bytes(Vec<u8>, Validators),
}

/// Asks, and remembers who does not answer.
pub(super) struct Http {
    agent: Agent,
    limits: Limits,
    failures: HashMap<String, u32>,
}

impl Http {
    pub(super) fn new(limits: Limits) -> Http {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.whole))
            .user_agent("smrd")
            // Not from the environment: whoever sets it would hear who is asked about.
            .proxy(None)
            .build();
        Http {
            agent: config.into(),
            limits,
            failures: HashMap::new(),
        }
    }

    /// Fetches a list, unless it is still the one of `known`.
    pub(super) fn list(&mut self, url: &str, known: &Validators) -> Result<Got, String> {
        self.patiently(url, |http| {
            let mut request = http.agent.get(url);
            if let Some(etag) = &known.etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            if let Some(modified) = &known.modified {
                request = request.header(IF_MODIFIED_SINCE, modified);
            }
            read(request.call(), http.limits.list)
        })
    }

    /// Asks a responder (RFC 6960 A.1); it redirects nobody.
    pub(super) fn ask(&mut self, url: &str, question: &[u8]) -> Result<Vec<u8>, String> {
        self.patiently(url, |http| {
            let request = http.agent.post(url).config().max_redirects(0).build();
            let request = request.header("content-type", "application/ocsp-request");
            match read(request.send(question), http.limits.answer)? {
                Got::Bytes(bytes, _) => Ok(bytes),
                Got::Unchanged => Err("HTTP 304".to_owned()),
            }
        })
    }

    fn patiently<T>(
        &mut self,
        url: &str,
        ask: impl FnOnce(&Http) -> Result<T, String>,
    ) -> Result<T, String> {
        let host = url.split('/').nth(2).unwrap_or_default().to_owned();
        if self.failures.get(&host).is_some_and(|n| *n >= PATIENCE) {
            return Err("its host has failed three times in this run".to_owned());
        }
        let result = ask(self);
        match &result {
            Ok(_) => drop(self.failures.remove(&host)),
            Err(_) => *self.failures.entry(host).or_default() += 1,
        }
        result
    }
}

fn read(answer: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Got, String> {
    let mut answer = answer.map_err(|e| e.to_string())?;
    match answer.status().as_u16() {
        200 => {}
        304 => return Ok(Got::Unchanged),
        other => return Err(format!("HTTP {other}")),
    }
    let state = Validators {
        etag: validator(answer.headers(), &ETAG),
        modified: validator(answer.headers(), &LAST_MODIFIED),
    };
    let body = answer.body_mut().with_config().limit(limit);
    let bytes = body.read_to_vec().map_err(|e| e.to_string())?;
    Ok(Got::Bytes(bytes, state))
}

/// Takes a header that can stand in a line of the index.
fn validator(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let fits = !text.is_empty() && text.len() <= LONGEST && !text.contains('\t');
    fits.then(|| text.to_owned())
}
