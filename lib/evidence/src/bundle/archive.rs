//! The zip of a bundle: which files it has, and their names.
//!
//! Verifies nothing; what is read may be forged, but belongs there.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smr_name::{Address, Fingerprint};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::{Bundle, BundleError, Given};
use crate::lines::{self, Lines, time_text};
use crate::note;
use crate::trust::ocsp::MAX_ANSWER;
use crate::trust::{Material, TrustStore, stamp};

pub(super) const MESSAGE: &str = "message.eml";
pub(super) const SIGNATURE: &str = "message.p7s";
const INDEX: &str = "bundle.txt";
const IDENTITY: &str = "identity.txt";
const ANCHORS: &str = "chain/anchors.pem";
const INTERMEDIATES: &str = "chain/intermediates.pem";
const CRLS: &str = "chain/crls.pem";
const CLOCKS: &str = "chain/tsa.pem";
const README: &str = "README.txt";
/// The most bytes of any file but the message and the lists.
const MAX_FILE: u64 = 4 << 20;
/// The most bytes of revocation lists; national ones have tens of MiB.
const MAX_CRLS: u64 = 256 << 20;
/// The most files: some thousand receipts.
const MAX_FILES: usize = 20_000;

/// Says what of the message goes into a bundle.
pub enum Content<'a> {
    /// The whole S/MIME message, written by this.
    Whole(&'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>),
    /// Nothing: receipts still verify against the signature.
    Redacted,
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> BundleError {
    move |source| BundleError::Io { operation, source }
}

fn zip_failed(operation: &'static str) -> impl Fn(zip::result::ZipError) -> BundleError {
    move |error| match error {
        zip::result::ZipError::Io(source) => BundleError::Io { operation, source },
        error => BundleError::Zip(error.to_string()),
    }
}

/// Writes a bundle as a zip, stored and not compressed, the message in one pass.
pub fn write<W: Write + Seek>(
    bundle: &Bundle,
    content: Content<'_>,
    out: W,
) -> Result<W, BundleError> {
    let mut zip = ZipWriter::new(out);
    let whole = matches!(content, Content::Whole(_));
    for (name, bytes) in files(bundle, whole)? {
        let mode = if name == super::SCRIPT { 0o755 } else { 0o644 };
        start(&mut zip, &name, mode)?;
        zip.write_all(&bytes).map_err(failed("writing"))?;
    }
    if let Content::Whole(emit) = content {
        start(&mut zip, MESSAGE, 0o644)?;
        emit(&mut zip).map_err(failed("writing"))?;
    }
    zip.finish().map_err(zip_failed("writing"))
}

fn start<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    name: &str,
    mode: u32,
) -> Result<(), BundleError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .large_file(name == MESSAGE)
        .unix_permissions(mode);
    zip.start_file(name, options).map_err(zip_failed("writing"))
}

fn files(bundle: &Bundle, whole: bool) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let time = time_text(bundle.time).ok_or(BundleError::Damaged {
        file: INDEX.into(),
        why: "its time is out of range",
    })?;
    let index = format!(
        "smr bundle 1\nmessage {}\nsender {}\ntime {time}\ncontent {}\n",
        bundle.id,
        bundle.sender,
        if whole { "whole" } else { "redacted" },
    );
    let pem = |certificates: &[crate::trust::Certificate]| {
        certificates
            .iter()
            .map(|c| c.to_pem())
            .collect::<String>()
            .into_bytes()
    };
    let mut files = vec![
        (README.into(), include_str!("readme.txt").into()),
        (super::SCRIPT.into(), script(bundle.time).into_bytes()),
        (INDEX.into(), index.into_bytes()),
        (SIGNATURE.into(), bundle.signature.clone()),
        (ANCHORS.into(), pem(&bundle.anchors)),
        (INTERMEDIATES.into(), pem(&bundle.intermediates)),
        (CRLS.into(), crls_pem(bundle).into_bytes()),
        (CLOCKS.into(), pem(&bundle.clocks)),
    ];
    if let Some(identity) = &bundle.identity {
        files.push((IDENTITY.into(), identity.clone().into_bytes()));
    }
    for (address, record) in &bundle.accounts {
        files.push((format!("accounts/{address}.p7s"), record.clone()));
    }
    for (name, bytes) in dated(bundle) {
        let stamp = bundle.stamps.get(Fingerprint::of(&bytes).as_bytes());
        let beside = stamp.and_then(|stamp| Some((stamp_name(&name)?, stamp.clone())));
        files.push((name, bytes));
        files.extend(beside);
    }
    for (number, answer) in bundle.ocsp.iter().enumerate() {
        files.push((
            format!("chain/ocsp/{}.der", number + 1),
            answer.der.to_vec(),
        ));
    }
    Ok(files)
}

/// Returns the files that may have a time stamp beside them: receipts,
/// refusals and postmarks.
pub fn dated(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let answers = |folder: &'static str, given: &[Given]| -> Vec<_> {
        let given = given.iter().zip(1..);
        let name = |(given, number): (&Given, usize)| {
            let name = format!("{folder}/{}-{number}.p7s", given.by);
            (name, given.der.clone())
        };
        given.map(name).collect()
    };
    let postmarks = bundle.postmarks.iter().zip(1..);
    let postmarks = postmarks.map(|(text, number)| {
        let name = format!("postmarks/{number}.txt");
        (name, text.clone().into_bytes())
    });
    let mut files = answers("receipts", &bundle.receipts);
    files.extend(answers("refusals", &bundle.refusals));
    files.extend(postmarks);
    files
}

/// Returns the name of the time stamp on a file: as its own, but `.tst`.
pub fn stamp_name(of: &str) -> Option<String> {
    Some(format!("{}.tst", of.rsplit_once('.')?.0))
}

/// Returns the script, to check everything as of `time`.
fn script(time: i64) -> String {
    include_str!("verify.sh").replace("@TIME@", &time.to_string())
}

fn crls_pem(bundle: &Bundle) -> String {
    bundle
        .crls
        .iter()
        .map(|crl| pem_block("X509 CRL", &crl.der))
        .collect()
}

/// Writes a PEM block (RFC 7468).
fn pem_block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&b| char::from(b)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// Reads a file to its end, where the zip's own sum is compared: damage is
/// found in the files too that prove nothing.
fn check_sum<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Result<(), BundleError> {
    let mut file = zip.by_name(name).map_err(zip_failed("reading"))?;
    match io::copy(&mut file, &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(BundleError::Damaged {
            file: name.to_owned(),
            why: "its checksum is wrong",
        }),
        Err(error) => Err(failed("reading")(error)),
    }
}

/// Refuses a zip in which two programs may find different files: one name
/// twice, files over one another, headers that contradict the directory, files
/// that it does not list, bytes before and words after.
fn check_frame<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<(), BundleError> {
    zip.validate_header_consistency()
        .map_err(zip_failed("reading"))?;
    match zip.offset() == 0 && zip.comment().is_empty() {
        true => Ok(()),
        false => Err(BundleError::Zip(
            "there is something before or after the files".into(),
        )),
    }
}

/// Reads everything of a bundle but the message; false says that there is none.
///
/// Nothing is verified but that each file belongs there and is of its form.
pub fn read<R: Read + Seek>(zip: R) -> Result<(Bundle, bool), BundleError> {
    let mut zip = ZipArchive::new(zip).map_err(zip_failed("reading"))?;
    check_frame(&mut zip)?;
    let mut names: Vec<String> = zip
        .file_names()
        .map(|name| Ok(name.map_err(zip_failed("reading"))?.into_owned()))
        .collect::<Result<_, BundleError>>()?;
    // Numbers in the names give the order in which they were written.
    names.sort_by_key(|name| (name.len(), name.clone()));
    if names.len() > MAX_FILES {
        return Err(BundleError::Zip("too many files".into()));
    }
    let (mut bundle, whole) = index(&mut zip)?;
    let mut store = TrustStore::default();
    let (stamps, files): (Vec<_>, Vec<_>) = names.iter().partition(|n| n.ends_with(".tst"));
    for name in files {
        check_sum(&mut zip, name)?;
        take(&mut zip, name, &mut bundle, &mut store)?;
    }
    for name in stamps {
        check_sum(&mut zip, name)?;
        take_stamp(&mut zip, name, &mut bundle)?;
    }
    bundle.anchors = store.realms.into_iter().flat_map(|r| r.anchors).collect();
    bundle.intermediates = store.intermediates;
    bundle.crls = store.crls;
    bundle.ocsp = store.ocsp;
    if whole != names.iter().any(|n| n == MESSAGE) {
        return Err(BundleError::Absent(MESSAGE));
    }
    Ok((bundle, whole))
}

fn index<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<(Bundle, bool), BundleError> {
    let bytes = contents(zip, INDEX, MAX_FILE)?;
    let text = text(INDEX, bytes)?;
    let mut lines = Lines::new(&text);
    lines.parsed("smr bundle", |v| (v == "1").then_some(()))?;
    let bundle = Bundle {
        id: lines.parsed("message", |v| v.parse().ok())?,
        sender: lines.parsed("sender", whole_address)?,
        time: lines.parsed("time", lines::time)?,
        signature: contents(zip, SIGNATURE, MAX_FILE)?,
        receipts: Vec::new(),
        refusals: Vec::new(),
        postmarks: Vec::new(),
        identity: None,
        accounts: Vec::new(),
        anchors: Vec::new(),
        intermediates: Vec::new(),
        crls: Vec::new(),
        ocsp: Vec::new(),
        stamps: BTreeMap::new(),
        clocks: Vec::new(),
    };
    let whole = lines.parsed("content", |v| match v {
        "whole" => Some(true),
        "redacted" => Some(false),
        _ => None,
    })?;
    lines.finish()?;
    Ok((bundle, whole))
}

/// Takes one file into the bundle.
fn take<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    bundle: &mut Bundle,
    store: &mut TrustStore,
) -> Result<(), BundleError> {
    let stray = || BundleError::Stray(name.to_owned());
    let plain = |prefix: &str, suffix: &str| name.strip_prefix(prefix)?.strip_suffix(suffix);
    match name {
        README | super::SCRIPT | INDEX | SIGNATURE | MESSAGE => {}
        IDENTITY => bundle.identity = Some(text(name, contents(zip, name, MAX_FILE)?)?),
        ANCHORS => material(contents(zip, name, MAX_FILE)?, |b| store.add_anchors("", b))?,
        INTERMEDIATES => {
            material(contents(zip, name, MAX_FILE)?, |b| {
                store.add_intermediates(b)
            })?;
        }
        CLOCKS => {
            let mut clocks = TrustStore::default();
            material(contents(zip, name, MAX_FILE)?, |b| {
                clocks.add_anchors("", b)
            })?;
            bundle.clocks = clocks.realms.into_iter().flat_map(|r| r.anchors).collect();
        }
        CRLS => material(contents(zip, name, MAX_CRLS)?, |b| store.add_crls(b))?,
        _ => {
            if let Some(address) = plain("accounts/", ".p7s") {
                let address = whole_address(address).ok_or_else(stray)?;
                bundle
                    .accounts
                    .push((address, contents(zip, name, MAX_FILE)?));
            } else if let Some(receipt) = plain("receipts/", ".p7s") {
                let by = given_by(receipt).ok_or_else(stray)?;
                let der = contents(zip, name, MAX_FILE)?;
                bundle.receipts.push(Given { by, der });
            } else if let Some(refusal) = plain("refusals/", ".p7s") {
                let by = given_by(refusal).ok_or_else(stray)?;
                let der = contents(zip, name, MAX_FILE)?;
                bundle.refusals.push(Given { by, der });
            } else if let Some(number) = plain("postmarks/", ".txt") {
                lines::number(number).ok_or_else(stray)?;
                let bytes = contents(zip, name, note::MAX_NOTE as u64)?;
                bundle.postmarks.push(text(name, bytes)?);
            } else if let Some(number) = plain("chain/ocsp/", ".der") {
                lines::number(number).ok_or_else(stray)?;
                store.add_ocsp(&contents(zip, name, MAX_ANSWER as u64)?)?;
            } else {
                return Err(stray());
            }
        }
    }
    Ok(())
}

/// Takes a time stamp, which lies beside what it is on.
fn take_stamp<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    bundle: &mut Bundle,
) -> Result<(), BundleError> {
    let stray = || BundleError::Stray(name.to_owned());
    let stem = name.strip_suffix(".tst").ok_or_else(stray)?;
    let of = match stem.starts_with("postmarks/") {
        true => format!("{stem}.txt"),
        false => format!("{stem}.p7s"),
    };
    // No other names are there than those that have been taken.
    let beside = stem.starts_with("postmarks/")
        || stem.starts_with("receipts/")
        || stem.starts_with("refusals/");
    if !beside || zip.index_for_name(&of).is_none() {
        return Err(stray());
    }
    let stamped = contents(zip, &of, MAX_FILE)?;
    let token = contents(zip, name, stamp::MAX_ANSWER as u64)?;
    bundle
        .stamps
        .insert(*Fingerprint::of(&stamped).as_bytes(), token);
    Ok(())
}

/// Reads `ADDRESS-N`.
fn given_by(name: &str) -> Option<Address> {
    let (by, number) = name.rsplit_once('-')?;
    lines::number(number)?;
    whole_address(by)
}

/// A list of nothing is an empty file, which holds no PEM.
fn material(
    bytes: Vec<u8>,
    add: impl FnOnce(&[u8]) -> Result<(), crate::trust::MaterialError>,
) -> Result<(), BundleError> {
    match bytes.is_empty() {
        true => Ok(()),
        false => Ok(add(&bytes)?),
    }
}

fn whole_address(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    address.repository.is_some().then_some(address)
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, BundleError> {
    String::from_utf8(bytes).map_err(|_| BundleError::Damaged {
        file: name.to_owned(),
        why: "not text",
    })
}

fn contents<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, BundleError> {
    let file = match zip.by_name(name) {
        Err(zip::result::ZipError::FileNotFound) if name == INDEX => {
            return Err(BundleError::Absent(INDEX));
        }
        Err(zip::result::ZipError::FileNotFound) if name == SIGNATURE => {
            return Err(BundleError::Absent(SIGNATURE));
        }
        other => other.map_err(zip_failed("reading"))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(failed("reading"))?;
    match bytes.len() as u64 > limit {
        true => Err(BundleError::Stray(name.to_owned())),
        false => Ok(bytes),
    }
}
