//! What smrd's verdicts rest on: anchors, intermediates, CRLs and the list of
//! those who may enrol, read from files at the start and on SIGHUP; and what was
//! fetched, taken up whenever there is something new.
//!
//! Never goes on with half of what was configured: one file that cannot be read
//! or understood and the old grounds stay in force.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smr_channel::reply::{ListKind, Listed};
use smr_evidence::trust::{Material, MaterialError, Rules, TrustStore};
use smr_name::{Class, Fingerprint};

use crate::admission::{Admission, AdmissionError};
use crate::beside::Beside;
use crate::config;
use crate::revocation::{self, Held, Item};

/// The realm of anchors that lie in no sub-folder.
pub const DEFAULT_REALM: &str = "default";

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
    /// A realm's folder has a name that is not text.
    #[error("the name of the folder \"{}\" is not UTF-8", path.display())]
    RealmName {
        /// The folder.
        path: PathBuf,
    },
    /// The files hold no anchor, so nobody could be believed.
    #[error("no trust anchor in {0}")]
    NoAnchor(String),
    /// The list of those who may enrol is not readable.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl GroundsError {
    /// Returns the class: configuration.
    pub fn class(&self) -> Class {
        Class::Config
    }
}

/// The grounds, as of one moment.
pub(crate) struct Grounds {
    pub(crate) trust: TrustStore,
    pub(crate) admission: Admission,
    rules: config::Trust,
    /// How many CRLs come from the configuration; the fetched ones follow.
    configured: usize,
    pub(crate) held: Held,
    /// SHA-256 of each CRL, and then of each OCSP answer, in their order.
    digests: Vec<[u8; 32]>,
    places: HashMap<[u8; 32], usize>,
    /// What of them goes with which record.
    pub(crate) beside: Beside,
    /// What was read: role, realm or "-", file.
    pub(crate) files: Vec<(&'static str, String, PathBuf)>,
    /// Files in those folders that have the name of neither certificate nor CRL.
    pub(crate) passed_over: Vec<PathBuf>,
}

impl Grounds {
    /// Reads all that the configuration names, and what there is in `cache`.
    pub(crate) fn load(
        trust: &config::Trust,
        policy: &config::Policy,
        cache: &Path,
    ) -> Result<Grounds, GroundsError> {
        let mut grounds = Grounds {
            trust: TrustStore::default(),
            admission: Admission::load(policy)?,
            rules: trust.clone(),
            configured: 0,
            held: Held::default(),
            digests: Vec::new(),
            places: HashMap::new(),
            beside: Beside::default(),
            files: Vec::new(),
            passed_over: Vec::new(),
        };
        for path in &trust.anchors {
            grounds.anchors(path)?;
        }
        for path in &trust.intermediates {
            grounds.flat("intermediate", path, |t, b| t.add_intermediates(b))?;
        }
        for path in &trust.crls {
            grounds.flat("crl", path, |t, b| t.add_crls(b))?;
        }
        let own = cache.join("crls");
        if own.is_dir() {
            grounds.flat("crl", &own, |t, b| t.add_crls(b))?;
        }
        grounds.refuse_no_anchor(trust)?;
        grounds.configured = grounds.trust.crls.len();
        grounds.hold(Held::read(&revocation::folder(cache), &Held::default()));
        Ok(grounds)
    }

    /// Returns the same grounds with what has been fetched since.
    pub(crate) fn with_fetched(&self, cache: &Path) -> Grounds {
        let held = Held::read(&revocation::folder(cache), &self.held);
        let mut fresh = Grounds {
            trust: self.trust.clone(),
            admission: self.admission.clone(),
            rules: self.rules.clone(),
            configured: self.configured,
            held: Held::default(),
            digests: Vec::new(),
            places: HashMap::new(),
            beside: Beside::default(),
            files: self.files.clone(),
            passed_over: self.passed_over.clone(),
        };
        fresh.trust.crls.truncate(self.configured);
        fresh.trust.ocsp.clear();
        fresh.hold(held);
        fresh
    }

    /// Tells whether the CRL at `place` is one that smrd.toml names.
    pub(crate) fn is_configured(&self, place: usize) -> bool {
        place < self.configured
    }

    /// Adds what was fetched, and counts all lists and answers.
    fn hold(&mut self, held: Held) {
        for item in held.items() {
            match item {
                Item::List(list) => self.trust.crls.push((**list).clone()),
                Item::Answer(answer) => self.trust.ocsp.push(answer.clone()),
            }
        }
        self.held = held;
        let lists = self.trust.crls.iter().map(|list| &list.der);
        let all = lists.chain(self.trust.ocsp.iter().map(|answer| &answer.der));
        self.digests = all.map(|der| *Fingerprint::of(der).as_bytes()).collect();
        let places = self.digests.iter().enumerate();
        self.places = places.map(|(place, digest)| (*digest, place)).collect();
    }

    /// Returns the place of the list or answer with this SHA-256: first all
    /// CRLs are counted, then the answers.
    pub(crate) fn place_of(&self, digest: &[u8; 32]) -> Option<usize> {
        self.places.get(digest).copied()
    }

    /// Returns the list or answer at `place`.
    pub(crate) fn der_at(&self, place: usize) -> Option<&Arc<[u8]>> {
        let lists = &self.trust.crls;
        let answer = || self.trust.ocsp.get(place.checked_sub(lists.len())?);
        match lists.get(place) {
            Some(list) => Some(&list.der),
            None => answer().map(|answer| &answer.der),
        }
    }

    /// Describes the list or answer at `place`.
    pub(crate) fn listed(&self, place: usize) -> Option<Listed> {
        Some(Listed {
            kind: match place < self.trust.crls.len() {
                true => ListKind::Crl,
                false => ListKind::Ocsp,
            },
            digest: *self.digests.get(place)?,
            len: u32::try_from(self.der_at(place)?.len()).ok()?,
        })
    }

    /// Returns the rules for a verdict at `now`, unix seconds.
    pub(crate) fn rules(&self, now: i64) -> Rules {
        Rules {
            now,
            revocation: self.rules.revocation,
            max_age: Some(self.rules.max_age),
            clock_skew: self.rules.clock_skew,
            signed: None,
            policies: self.rules.policies.clone(),
        }
    }

    fn refuse_no_anchor(&self, trust: &config::Trust) -> Result<(), GroundsError> {
        if self
            .trust
            .realms
            .iter()
            .any(|realm| !realm.anchors.is_empty())
        {
            return Ok(());
        }
        let places: Vec<String> = trust.anchors.iter().map(|p| format!("{p:?}")).collect();
        Err(GroundsError::NoAnchor(places.join(", ")))
    }

    fn anchors(&mut self, path: &Path) -> Result<(), GroundsError> {
        if !path.is_dir() {
            return self.anchor_file(DEFAULT_REALM, path);
        }
        for entry in folder(path)? {
            if entry.is_dir() {
                let name = entry.file_name().and_then(|n| n.to_str());
                let realm = name.ok_or_else(|| GroundsError::RealmName {
                    path: entry.clone(),
                })?;
                for file in self.material(&entry)? {
                    self.anchor_file(realm, &file)?;
                }
            } else if self.counts(&entry) {
                self.anchor_file(DEFAULT_REALM, &entry)?;
            }
        }
        Ok(())
    }

    fn anchor_file(&mut self, realm: &str, file: &Path) -> Result<(), GroundsError> {
        let bytes = read(file)?;
        let added = self.trust.add_anchors(realm, &bytes);
        self.note("anchor", realm, file, added)
    }

    fn flat(
        &mut self,
        role: &'static str,
        path: &Path,
        add: impl Fn(&mut TrustStore, &[u8]) -> Result<(), MaterialError>,
    ) -> Result<(), GroundsError> {
        let files = match path.is_dir() {
            true => self.material(path)?,
            false => vec![path.to_owned()],
        };
        for file in files {
            let bytes = read(&file)?;
            let added = add(&mut self.trust, &bytes);
            self.note(role, "-", &file, added)?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        role: &'static str,
        realm: &str,
        file: &Path,
        added: Result<(), MaterialError>,
    ) -> Result<(), GroundsError> {
        added.map_err(|source| GroundsError::Material {
            path: file.to_owned(),
            source,
        })?;
        self.files.push((role, realm.to_owned(), file.to_owned()));
        Ok(())
    }

    /// Lists the files of a folder that hold certificates or CRLs.
    fn material(&mut self, path: &Path) -> Result<Vec<PathBuf>, GroundsError> {
        let mut files = folder(path)?;
        files.retain(|file| self.counts(file));
        Ok(files)
    }

    fn counts(&mut self, file: &Path) -> bool {
        let extension = file.extension().and_then(|e| e.to_str());
        let counts = file.is_file() && extension.is_some_and(|e| EXTENSIONS.contains(&e));
        if !counts {
            self.passed_over.push(file.to_owned());
        }
        counts
    }
}

fn read(path: &Path) -> Result<Vec<u8>, GroundsError> {
    fs::read(path).map_err(|source| GroundsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Lists a folder by name, so that every start reads in the same order.
fn folder(path: &Path) -> Result<Vec<PathBuf>, GroundsError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = list().map_err(|source| GroundsError::Read {
        path: path.to_owned(),
        source,
    })?;
    paths.sort();
    Ok(paths)
}
