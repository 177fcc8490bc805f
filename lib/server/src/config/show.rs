//! The configuration in force, as smrd.toml would say it (`--show-config`).
//!
//! Shows no secret: there is none in the configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use smr_evidence::trust::Revocation;

use super::{Config, Policy, duration_text, size_text};

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn paths(items: &[PathBuf]) -> String {
    list(items.iter().map(|p| path(p)))
}

fn policy(policy: &Policy) -> String {
    match policy {
        Policy::Open => quoted("open"),
        Policy::Closed => quoted("closed"),
        Policy::AllowList(file) => path(file),
    }
}

fn revocation(rule: &Revocation) -> &'static str {
    match rule {
        Revocation::Require => "\"require\"",
        Revocation::Prefer => "\"prefer\"",
        Revocation::Off => "\"off\"",
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listen, store, trust) = (&self.listen, &self.store, &self.trust);
        let addresses = list(listen.address.iter().map(|a| quoted(&a.to_string())));
        writeln!(f, "name = {}", quoted(self.name.as_str()))?;
        let user = quoted(self.user.as_deref().unwrap_or_default());
        writeln!(f, "user = {user}")?;
        writeln!(f, "confine = \"{}\"", self.confine.as_str())?;
        writeln!(f, "\n[listen]\naddress = {addresses}")?;
        writeln!(f, "connections = {}", listen.connections)?;
        writeln!(f, "per_peer = {}", listen.per_peer)?;
        let proxies = list(listen.proxy.iter().map(|a| quoted(&a.to_string())));
        writeln!(f, "proxy = {proxies}")?;
        writeln!(f, "\n[store]\npath = {}", path(&store.path))?;
        writeln!(f, "max_message = \"{}\"", size_text(store.max_message))?;
        writeln!(f, "quota = \"{}\"", size_text(store.quota))?;
        writeln!(f, "messages = {}", store.messages)?;
        writeln!(f, "per_sender = \"{}\"", size_text(store.per_sender))?;
        writeln!(f, "per_sender_messages = {}", store.per_sender_messages)?;
        writeln!(f, "reserve = \"{}\"", size_text(store.reserve))?;
        writeln!(f, "entries = {}", store.entries)?;
        writeln!(f, "\n[enrol]\npolicy = {}", policy(&self.enrol.policy))?;
        writeln!(f, "max_devices = {}", self.enrol.max_devices)?;
        writeln!(f, "max_names = {}", self.enrol.max_names)?;
        writeln!(f, "\n[trust]\nanchors = {}", paths(&trust.anchors))?;
        writeln!(f, "intermediates = {}", paths(&trust.intermediates))?;
        writeln!(f, "crls = {}", paths(&trust.crls))?;
        writeln!(f, "revocation = {}", revocation(&trust.revocation))?;
        writeln!(f, "max_age = \"{}\"", duration_text(trust.max_age))?;
        writeln!(f, "clock_skew = \"{}\"", duration_text(trust.clock_skew))?;
        let policies = list(trust.policies.iter().map(|oid| quoted(oid)));
        writeln!(f, "policies = {policies}")?;
        let lifetime = duration_text(self.session.lifetime);
        let idle = duration_text(self.session.idle);
        let request = duration_text(self.session.request);
        writeln!(
            f,
            "\n[session]\nlifetime = \"{lifetime}\"\nidle = \"{idle}\"\nrequest = \"{request}\"\nlogin = \"{}\"",
            self.session.login.as_str()
        )?;
        let rates = &self.rates;
        writeln!(f, "\n[rates]\nhandshakes = {}", rates.handshakes)?;
        writeln!(
            f,
            "at_once = {}\nrequests = {}",
            rates.at_once, rates.requests
        )?;
        writeln!(
            f,
            "deposits = {}\nlogins = {}",
            rates.deposits, rates.logins
        )?;
        writeln!(f, "records = {}", rates.records)?;
        writeln!(f, "enrolments = {}", rates.enrolments)?;
        writeln!(f, "enrolments_of_one = {}", rates.enrolments_of_one)?;
        writeln!(f, "\n[log]\nlevel = \"{}\"", self.log.as_str())?;
        let file = |named: &Option<PathBuf>| named.as_deref().map_or_else(|| quoted(""), path);
        writeln!(
            f,
            "\n[metrics]\ntextfile = {}",
            file(&self.metrics.textfile)
        )?;
        writeln!(f, "socket = {}", file(&self.metrics.socket))
    }
}
