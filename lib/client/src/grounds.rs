//! What this user's verdicts on certificates rest on: anchors, intermediates
//! and revocation lists, read from the files that the settings name.
//!
//! Anchors never come from smrd; its CRLs may, for they are signed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use smr_evidence::trust::{Material, MaterialError, Rules, TrustStore};
use smr_name::Class;

use crate::config::Settings;
use crate::home::{Home, SYSTEM_TRUST};

/// The realm of anchors that lie in no sub-folder.
const DEFAULT_REALM: &str = "default";
const EXTENSIONS: [&str; 5] = ["pem", "crt", "cer", "der", "crl"];

/// Says why there are no grounds.
#[derive(Debug, thiserror::Error)]
pub enum GroundsError {
    /// A file or folder cannot be read.
    #[error("cannot read \"{}\": {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("\"{}\": {source}", path.display())]
    Material {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MaterialError,
    },
    /// There is nothing to believe in.
    #[error("no trust anchors in \"{}\"", .0.display())]
    NoAnchors(PathBuf),
}

impl GroundsError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        Class::Config
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<String> {
        match self {
            GroundsError::NoAnchors(dir) => Some(format!(
                "put your authority's root certificate into {}",
                dir.display()
            )),
            _ => None,
        }
    }
}

/// Reads anchors and intermediates: from `anchors` where given, else as the
/// settings say, else from `trust.d` beside client.toml, else from /etc.
pub fn load(
    home: &Home,
    settings: &Settings,
    anchors: Option<&Path>,
) -> Result<TrustStore, GroundsError> {
    let places = match (anchors, &settings.anchors) {
        (Some(path), _) => vec![path.to_owned()],
        (None, Some(paths)) => paths.clone(),
        (None, None) if home.trust_dir().is_dir() => vec![home.trust_dir()],
        (None, None) if Path::new(SYSTEM_TRUST).is_dir() => vec![SYSTEM_TRUST.into()],
        (None, None) => return Err(GroundsError::NoAnchors(home.trust_dir())),
    };
    let mut store = TrustStore::default();
    places
        .iter()
        .try_for_each(|path| add_place(&mut store, path))?;
    for path in &settings.intermediates {
        for file in material(path)? {
            add(&file, |bytes| store.add_intermediates(bytes))?;
        }
    }
    match store.realms.iter().any(|realm| !realm.anchors.is_empty()) {
        true => Ok(store),
        false => Err(GroundsError::NoAnchors(
            places.into_iter().next().unwrap_or_default(),
        )),
    }
}

/// Returns whom to believe about time: the anchors of `people`, and further
/// ones from `anchors` where given, else as the settings say.
pub fn clocks(
    settings: &Settings,
    anchors: Option<&Path>,
    people: &TrustStore,
) -> Result<TrustStore, GroundsError> {
    let mut clocks = people.clone();
    match anchors {
        Some(path) => add_place(&mut clocks, path)?,
        None => settings
            .tsa_anchors
            .iter()
            .try_for_each(|path| add_place(&mut clocks, path))?,
    }
    Ok(clocks)
}

/// Returns the rules for a verdict at `now`, unix seconds.
pub fn rules(settings: &Settings, now: i64) -> Rules {
    Rules {
        now,
        revocation: settings.revocation,
        max_age: i64::try_from(settings.revocation_age).ok(),
        clock_skew: i64::try_from(settings.clock_skew).unwrap_or(i64::MAX),
        signed: None,
        policies: settings.policies.clone(),
    }
}

fn add_place(store: &mut TrustStore, path: &Path) -> Result<(), GroundsError> {
    for file in material(path)? {
        add(&file, |bytes| store.add_anchors(DEFAULT_REALM, bytes))?;
    }
    for dir in entries(path)?.into_iter().filter(|entry| entry.is_dir()) {
        let realm = dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for file in material(&dir)? {
            add(&file, |bytes| store.add_anchors(&realm, bytes))?;
        }
    }
    Ok(())
}

fn add(
    file: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), MaterialError>,
) -> Result<(), GroundsError> {
    let bytes = fs::read(file).map_err(|source| GroundsError::Read {
        path: file.to_owned(),
        source,
    })?;
    take(&bytes).map_err(|source| GroundsError::Material {
        path: file.to_owned(),
        source,
    })
}

/// Returns the certificate and CRL files in a folder, or the file itself.
fn material(path: &Path) -> Result<Vec<PathBuf>, GroundsError> {
    let counts = |file: &PathBuf| {
        let extension = file
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        file.is_file() && EXTENSIONS.contains(&extension)
    };
    match path.is_dir() {
        true => Ok(entries(path)?.into_iter().filter(counts).collect()),
        false => Ok(vec![path.to_owned()]),
    }
}

/// Returns what is in a folder, by name; nothing for a file.
fn entries(path: &Path) -> Result<Vec<PathBuf>, GroundsError> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let wrong = |source| GroundsError::Read {
        path: path.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(wrong)? {
        found.push(entry.map_err(wrong)?.path());
    }
    found.sort();
    Ok(found)
}
