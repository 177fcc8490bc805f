//! The keys of client.toml.
//!
//! Weighs nothing: which source wins is said above.

use std::collections::BTreeMap;
use std::path::Path;

use smr_channel::suite::Suite;
use smr_evidence::trust::Revocation;
use smr_name::MailboxName;
use smr_seal::Kind;

use super::section::Section;
use super::{Ask, By, ConfigError, Consent, Layer, Problem};
use crate::private;
use crate::stamps;

const LIMIT: u64 = 1 << 20;

pub(super) fn by(text: &str) -> Option<By> {
    Some(match text {
        "device" => By::Device,
        "card" => By::Card,
        _ => return None,
    })
}

pub(super) fn ask(text: &str) -> Option<Ask> {
    Some(match text {
        "none" => Ask::None,
        "read" => Ask::Read,
        "card" => Ask::Card,
        _ => return None,
    })
}

pub(super) fn consent(text: &str) -> Option<Consent> {
    Some(match text {
        "ask" => Consent::Ask,
        "never" => Consent::Never,
        "always" => Consent::Always,
        _ => return None,
    })
}

pub(super) fn kind(text: &str) -> Option<Kind> {
    let kinds = [Kind::PostQuantum, Kind::Classic];
    kinds.into_iter().find(|kind| kind.to_string() == text)
}

pub(super) fn revocation(text: &str) -> Option<Revocation> {
    Some(match text {
        "require" => Revocation::Require,
        "prefer" => Revocation::Prefer,
        "off" => Revocation::Off,
        _ => return None,
    })
}

const TOP: [&str; 10] = [
    "server",
    "server_key",
    "mailbox",
    "token",
    "session",
    "send",
    "recv",
    "trust",
    "keys",
    "account",
];

pub(super) fn read_layer(top: &Section, accounts: bool) -> Result<Layer, ConfigError> {
    top.only(if accounts { &TOP } else { &TOP[..9] })?;
    let mut layer = Layer {
        server: top.text("server")?.map(str::to_owned),
        server_key: top.parsed(
            "server_key",
            "a fingerprint, \"SHA256:\" and 43 characters",
            |t| t.parse().ok(),
        )?,
        mailbox: top.parsed("mailbox", "NAME or NAME@REPOSITORY", |t| t.parse().ok())?,
        ..Layer::default()
    };
    if let Some(token) = top.table("token")? {
        token.only(&["profile", "uri", "module", "wait"])?;
        let profile = token.text("profile")?;
        layer.token = token.text("uri")?.or(profile).map(str::to_owned);
        layer.module = token.path("module")?;
        layer.wait = token.duration("wait")?;
    }
    if let Some(session) = top.table("session")? {
        session.only(&["lifetime", "idle", "suites", "by"])?;
        layer.lifetime = session.duration("lifetime")?;
        layer.idle = session.duration("idle")?;
        layer.suites = suites(&session)?;
        layer.login_by = session.parsed("by", "\"device\" or \"card\"", by)?;
    }
    read_mail(top, &mut layer)?;
    read_trust(top, &mut layer)?;
    Ok(layer)
}

/// Reads which suites are offered: some, each once.
const SUITES: &str = "a list of \"chachapoly\" and \"aesgcm\", each once";

fn suites(session: &Section) -> Result<Option<Vec<Suite>>, ConfigError> {
    let Some(names) = session.texts("suites")? else {
        return Ok(None);
    };
    let mut suites: Vec<Suite> = Vec::new();
    for name in &names {
        match name.parse() {
            Ok(suite) if !suites.contains(&suite) => suites.push(suite),
            _ => return Err(session.wrong("suites", SUITES)),
        }
    }
    match suites.is_empty() {
        true => Err(session.wrong("suites", SUITES)),
        false => Ok(Some(suites)),
    }
}

const CONSENT: &str = "\"ask\", \"never\" or \"always\"";

/// Reads what holds for single senders: `[recv.from.NAME]`.
fn senders(recv: &Section) -> Result<Option<BTreeMap<MailboxName, Consent>>, ConfigError> {
    let Some(from) = recv.table("from")? else {
        return Ok(None);
    };
    let mut senders = BTreeMap::new();
    for name in from.keys() {
        let wrong = || from.wrong(name, "the name of a mailbox, without its repository");
        let sender: MailboxName = name.parse().map_err(|_| wrong())?;
        if let Some(section) = from.table(name)? {
            section.only(&["receipt"])?;
            if let Some(given) = section.parsed("receipt", CONSENT, consent)? {
                senders.insert(sender, given);
            }
        }
    }
    Ok(Some(senders))
}

fn read_mail(top: &Section, layer: &mut Layer) -> Result<(), ConfigError> {
    if let Some(send) = top.table("send")? {
        send.only(&["by", "receipt"])?;
        layer.by = send.parsed("by", "\"device\" or \"card\"", by)?;
        layer.ask = send.parsed("receipt", "\"none\", \"read\" or \"card\"", ask)?;
    }
    if let Some(recv) = top.table("recv")? {
        recv.only(&["receipt", "maildir", "max_message", "from"])?;
        layer.consent = recv.parsed("receipt", CONSENT, consent)?;
        layer.consent_to = senders(&recv)?;
        layer.maildir = recv.path("maildir")?;
        layer.max_message = recv.size("max_message")?;
    }
    if let Some(keys) = top.table("keys")? {
        keys.only(&["epoch", "kind"])?;
        layer.kind = keys.parsed("kind", "\"post-quantum\" or \"classic\"", kind)?;
        layer.epoch = keys.duration("epoch")?;
    }
    Ok(())
}

pub(super) fn read_trust(top: &Section, layer: &mut Layer) -> Result<(), ConfigError> {
    let Some(trust) = top.table("trust")? else {
        return Ok(());
    };
    trust.only(&[
        "anchors",
        "intermediates",
        "revocation",
        "revocation_age",
        "clock_skew",
        "policies",
        "tsa",
        "tsa_anchors",
    ])?;
    layer.anchors = trust.paths("anchors")?;
    layer.intermediates = trust.paths("intermediates")?;
    layer.revocation = trust.parsed(
        "revocation",
        "\"require\", \"prefer\" or \"off\"",
        revocation,
    )?;
    layer.revocation_age = trust.duration("revocation_age")?;
    layer.clock_skew = trust.duration("clock_skew")?;
    layer.policies = trust.texts("policies")?;
    layer.tsa = trust.parsed("tsa", "an address, http://...", |url| {
        stamps::speaks(url).then(|| url.to_owned())
    })?;
    layer.tsa_anchors = trust.paths("tsa_anchors")?;
    Ok(())
}

type File = (Layer, BTreeMap<String, Layer>);

pub(super) fn read_file(path: &Path) -> Result<Option<File>, ConfigError> {
    let wrap = |problem| ConfigError {
        file: path.to_owned(),
        problem,
    };
    let Some(bytes) = private::read(path, LIMIT).map_err(|e| wrap(Problem::Private(e)))? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        wrap(Problem::Syntax {
            line: 1,
            text: "the file is not UTF-8".into(),
        })
    })?;
    read_text(path, &text).map(Some)
}

pub(super) fn read_text(path: &Path, text: &str) -> Result<File, ConfigError> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let before = e.span().and_then(|span| text.get(..span.start));
        ConfigError {
            file: path.to_owned(),
            problem: Problem::Syntax {
                line: before.map_or(1, |b| b.matches('\n').count() + 1),
                text: e.message().to_owned(),
            },
        }
    })?;
    let top = Section::new(path, &table);
    let base = read_layer(&top, true)?;
    let mut accounts = BTreeMap::new();
    if let Some(tables) = top.table("account")? {
        for name in tables.keys() {
            if let Some(section) = tables.table(name)? {
                accounts.insert(name.clone(), read_layer(&section, false)?);
            }
        }
    }
    Ok((base, accounts))
}
