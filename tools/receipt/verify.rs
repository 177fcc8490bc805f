//! The verdict on an evidence bundle or a lone postmark, in words.
//!
//! Asks no agent and no smrd.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::text::visible;
use smr_cli::time;
use smr_client::failure::Failure;
use smr_client::grounds;
use smr_client::receipts::{self, Chain, Postmark, Report};
use smr_name::{Class, Fingerprint};

use crate::Args;
use crate::edge::{self, Edge, Stop};

// A postmark has less than 1 KiB, and so has an identity document, twice.
const MAX_TEXT: u64 = 64 << 10;

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let class = match error.kind() {
            std::io::ErrorKind::NotFound => Class::Missing,
            _ => Class::Io,
        };
        Failure::new(
            class,
            format!("cannot open \"{}\": {error}", path.display()),
        )
    })
}

/// Reads the beginning of a file.
fn begin(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_TEXT).read_to_end(&mut bytes);
    read.map_err(|error| {
        Failure::new(
            Class::Io,
            format!("cannot read \"{}\": {error}", path.display()),
        )
    })?;
    Ok(bytes)
}

/// Returns a file's text where it says that it is a postmark.
fn note(path: &Path) -> Result<Option<String>, Failure> {
    let bytes = begin(path)?;
    let is_note = bytes.starts_with(b"smr postmark 1\n");
    Ok(is_note.then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Returns the identity document of `--identity`.
fn identity(args: &Args) -> Result<Option<String>, Failure> {
    let Some(path) = &args.identity else {
        return Ok(None);
    };
    let text = String::from_utf8(begin(path)?);
    let wrong = format!("\"{}\" is no identity document", path.display());
    text.map(Some)
        .map_err(|_| Failure::new(Class::Usage, wrong))
}

fn check_identity(args: &Args, report: &Report) -> Result<(), Failure> {
    let Some(identity) = identity(args)? else {
        return Ok(());
    };
    let expected = Chain::parse(&identity).map_err(|error| {
        let wrong = "--identity FILE: an identity document, and what followed it";
        Failure::new(Class::Usage, error.to_string()).hint(wrong)
    })?;
    // From keys that are in both all others follow, in both directions.
    let (present, found) = (expected.tip().fingerprint(), &report.identity);
    let is_known = |found: &Chain| found.has(&present) || expected.has(&found.tip().fingerprint());
    let expected = present;
    match found.as_ref().is_none_or(is_known) {
        true => Ok(()),
        false => Err(Failure::new(
            Class::Forged,
            format!("its postmarks are by another repository than {expected}"),
        )),
    }
}

fn postmark(edge: &Edge, args: &Args, path: &Path, note: &str) -> Result<u8, Stop> {
    let identity = identity(args)?;
    let (mark, by) = receipts::verify_postmark(&edge.home, note, identity.as_deref())
        .map_err(|failure| failure.about(&format!("\"{}\"", path.display())))?;
    let mut out = Out::stdout();
    match edge.common.json {
        true => out.json(postmark_json(&mark, &by)),
        false => postmark_lines(&mark, &by)
            .iter()
            .try_for_each(|line| out.line(&out.say(line))),
    }
    .and_then(|()| out.finish())
    .map_err(Stop::Out)?;
    Ok(0)
}

fn postmark_lines(mark: &Postmark, by: &Fingerprint) -> Vec<String> {
    vec![
        format!(
            "postmark of {} is good: {} by {} in {} number {}, {}",
            mark.repository,
            mark.kind.as_str(),
            mark.sender,
            mark.mailbox,
            mark.number,
            time::rfc3339(mark.time)
        ),
        format!("message {}", mark.id),
        format!(
            "sealed file of {} bytes, sha256 {}",
            mark.size,
            hex(&mark.sha256)
        ),
        format!("signature inside, sha256 {}", hex(&mark.cms)),
        format!("head {}", hex(mark.head.as_bytes())),
        format!("by the repository with key {by}"),
    ]
}

fn postmark_json(mark: &Postmark, by: &Fingerprint) -> Line {
    Line::new("postmark")
        .with("verdict", "good")
        .with("repository", mark.repository.to_string())
        .with("kind", mark.kind.as_str())
        .with("sender", mark.sender.to_string())
        .with("mailbox", mark.mailbox.to_string())
        .with("number", mark.number)
        .time("time", mark.time)
        .with("id", mark.id.to_string())
        .with("size", mark.size)
        .with("sha256", hex(&mark.sha256))
        .with("cms", hex(&mark.cms))
        .with("head", hex(mark.head.as_bytes()))
        .with("repository_key", by.to_string())
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn verify(edge: &Edge, args: &Args, path: &Path) -> Result<u8, Stop> {
    if let Some(note) = note(path)? {
        return postmark(edge, args, path, &note);
    }
    let open = || open(path);
    let about = |failure: Failure| failure.about(&format!("\"{}\"", path.display()));
    let at = match &args.at {
        Some(text) => time::parse(text, edge.now)
            .map_err(|error| edge::wrong_call(edge, &format!("--at: {error}")))?,
        // Lists and certificates are those of the day the bundle was made;
        // a day to come is not believed.
        None => receipts::made_at(open()?)
            .map_err(|e| about(e.into()))?
            .min(edge.now),
    };
    let store = grounds::load(&edge.home, &edge.settings, args.anchors.as_deref())?;
    let rules = grounds::rules(&edge.settings, at);
    let clocks = crate::clocks(edge, args, &store)?;
    let report = receipts::verify(open()?, &store, &clocks, &rules);
    let report = report.map_err(|e| about(e.into()))?;
    check_identity(args, &report).map_err(about)?;
    let mut out = Out::stdout();
    match edge.common.json {
        true => out.json(verdict_json(&report, at)),
        false => verdict(&report, at)
            .iter()
            .try_for_each(|line| out.line(&visible(&out.say(line)))),
    }
    .and_then(|()| out.finish())
    .map_err(Stop::Out)?;
    Ok(0)
}

fn verdict(report: &Report, at: i64) -> Vec<String> {
    let (id, as_of) = (report.id, time::rfc3339(at));
    let mut lines = vec![
        match report.redacted {
            true => format!("the digest of message {id} is good as of {as_of}"),
            false => format!("message {id} is good as of {as_of}"),
        },
        report.sender.line(),
    ];
    for receipt in &report.receipts {
        lines.push(format!(
            "read by {}: {}",
            receipt.by.address,
            receipt.by.line()
        ));
    }
    for refusal in &report.refusals {
        let (by, reason) = (&refusal.refused.by, &refusal.refused.reason);
        lines.push(format!(
            "refused by {}: {reason:?}: {}",
            by.address,
            by.line()
        ));
    }
    lines.extend(
        report
            .missing
            .iter()
            .map(|address| format!("no receipt by {address}")),
    );
    for mark in &report.postmarks {
        lines.push(format!(
            "postmark: {} in {} number {}, {}",
            mark.kind.as_str(),
            mark.mailbox,
            mark.number,
            time::rfc3339(mark.time)
        ));
    }
    for stamped in &report.stamps {
        let stamp = &stamped.stamp;
        lines.push(format!(
            "time stamp: {} was there {}, by {}, {}",
            stamped.file,
            time::rfc3339(stamp.time),
            stamp.authority,
            match stamp.revocation_checked {
                true => "not revoked",
                false => "revocation not checked",
            }
        ));
    }
    if let Some(identity) = &report.identity {
        let key = identity.tip().fingerprint();
        lines.push(format!("postmarks by the repository with key {key}"));
    }
    lines
}

fn verdict_json(report: &Report, at: i64) -> Line {
    let readers: Vec<String> = report
        .receipts
        .iter()
        .map(|r| r.by.address.to_string())
        .collect();
    let refused: Vec<String> = report
        .refusals
        .iter()
        .map(|r| r.refused.by.address.to_string())
        .collect();
    let missing: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
    Line::new("evidence")
        .with("id", report.id.to_string())
        .with("verdict", "good")
        .with("redacted", report.redacted)
        .time("at", at)
        .with("sender", report.sender.address.to_string())
        .with("class", report.sender.grade.to_string())
        .with("person", report.sender.person.display.as_str())
        .with(
            "revoked_later",
            report.sender.revoked_later.map(time::rfc3339),
        )
        .with("read_by", readers)
        .with("refused_by", refused)
        .with("missing", missing)
        .with("postmarks", report.postmarks.len())
        .with("stamps", report.stamps.len())
        .with(
            "repository_key",
            report
                .identity
                .as_ref()
                .map(|chain| chain.tip().fingerprint().to_string()),
        )
}
