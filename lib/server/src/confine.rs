//! What smrd takes from itself before the first byte from the network: whoever
//! finds a hole in it gets a process that can do what smrd does, and no more
//! (smrd(8), CONFINEMENT).
//!
//! Holds for the calling thread and those it makes, so it comes before the
//! first of them. Can never be undone.

mod calls;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

use crate::config::{Config, Policy};

/// The files that a confined smrd has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Folders and files that it reads.
    pub read: Vec<PathBuf>,
    /// Folders in which it reads, makes, changes and removes files.
    pub write: Vec<PathBuf>,
    /// Folders of which it sees the names alone.
    pub list: Vec<PathBuf>,
    /// Root reads in there whosever it is: `CAP_DAC_READ_SEARCH` stays.
    pub reads_of_all: bool,
    /// It calls others over TCP, and asks a server of names for them.
    pub calls_others: bool,
}

/// One thing that was to be taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its name, as in the log.
    pub name: &'static str,
    /// How far it goes; or why the system did not do it.
    pub state: Result<String, String>,
}

/// Returns the folder that a file may be replaced in.
fn around(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Bounds {
    /// Returns what a smrd of this configuration needs: its store, and to read
    /// again at SIGHUP what it has read at the start, the files `found` there
    /// too.
    pub(crate) fn of<'a>(config: &Config, found: impl Iterator<Item = &'a Path>) -> Bounds {
        let mut read = vec![around(&config.file)];
        let trust = &config.trust;
        for path in trust.anchors.iter().chain(&trust.intermediates) {
            read.push(path.clone());
        }
        read.extend(trust.crls.iter().cloned());
        if let Policy::AllowList(file) = &config.enrol.policy {
            read.push(file.clone());
        }
        // A file may be replaced by another of its name.
        let files = read.iter().filter(|path| path.is_file());
        let folders: Vec<PathBuf> = files.map(|file| around(file)).collect();
        read.extend(folders);
        // A link in a folder may lead out of it.
        read.extend(found.map(Path::to_owned));
        read.sort();
        read.dedup();
        let store = config.store.path.clone();
        let metrics = config.metrics.textfile.as_deref().map(around);
        Bounds {
            read,
            write: [store].into_iter().chain(metrics).collect(),
            ..Bounds::default()
        }
    }
}

/// Confines the calling thread, and those it makes from here on; returns every
/// measure with what became of it.
pub fn confine(bounds: &Bounds) -> Vec<Measure> {
    let measure = |name, state| Measure { name, state };
    vec![
        measure("no_new_privs", no_new_privs()),
        measure("capabilities", few_capabilities(bounds.reads_of_all)),
        measure("dumps", no_dumps()),
        measure("files", files(bounds)),
        // Last: what the others ask of the system is not on its list.
        measure("calls", calls::refuse_others(bounds.calls_others)),
    ]
}

fn yes(done: rustix::io::Result<()>, word: &str) -> Result<String, String> {
    done.map(|()| word.to_owned()).map_err(|e| e.to_string())
}

fn no_new_privs() -> Result<String, String> {
    yes(set_no_new_privs(true), "yes")
}

fn few_capabilities(reads_of_all: bool) -> Result<String, String> {
    let held = capabilities(None);
    let read = CapabilitySet::DAC_READ_SEARCH;
    let kept = match &held {
        Ok(held) if reads_of_all => held.permitted.intersection(read),
        _ => CapabilitySet::empty(),
    };
    let few = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    let word = match kept.is_empty() {
        true => "none",
        false => "dac_read_search",
    };
    // Where there are no others, nothing need be asked that a supervisor may forbid.
    if held.is_ok_and(|held| held == few) {
        return Ok(word.to_owned());
    }
    let cleared = clear_ambient_capability_set().and_then(|()| set_capabilities(None, few));
    yes(cleared, word)
}

/// Keeps the keys from debuggers of the same user, and from those who collect
/// core files over a pipe, whom the limit does not bind.
fn no_dumps() -> Result<String, String> {
    yes(set_dumpable_behavior(DumpableBehavior::NotDumpable), "none")
}

/// Leaves `bounds` of all files, and no TCP port to bind, or to connect to
/// unless others are called.
fn files(bounds: &Bounds) -> Result<String, String> {
    let restricted = landlocked(bounds).map_err(|e| e.to_string())?;
    let LandlockStatus::Available { effective_abi, .. } = restricted.1 else {
        return Err("this kernel has no Landlock".to_owned());
    };
    match restricted.0 {
        RulesetStatus::NotEnforced => Err("this kernel's Landlock cannot do it".to_owned()),
        _ => Ok(format!("landlock-{}", effective_abi as i32)),
    }
}

/// The oldest Landlock that lets a file be linked into another folder, which
/// every delivery does: Linux 5.19.
const OLDEST: ABI = ABI::V2;

fn landlocked(bounds: &Bounds) -> Result<(RulesetStatus, LandlockStatus), RulesetError> {
    let all = AccessFs::from_all(ABI::V10);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
        | AccessFs::Truncate;
    let ports = match bounds.calls_others {
        true => AccessNet::BindTcp.into(),
        false => AccessNet::from_all(ABI::V10),
    };
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::from_all(OLDEST))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(ports)?
        .scope(Scope::from_all(ABI::V10))?
        .create()?
        .add_rules(path_beneath_rules(&bounds.list, AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(&bounds.read, read))?
        .add_rules(path_beneath_rules(&bounds.write, write))?;
    let status = rules.restrict_self()?;
    Ok((status.ruleset, status.landlock))
}

#[cfg(test)]
mod tests {
    use super::{Bounds, around};
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn a_file_may_be_replaced_and_so_needs_its_folder() {
        assert_eq!(
            around(Path::new("/etc/smr/smrd.toml")),
            Path::new("/etc/smr")
        );
        assert_eq!(around(Path::new("smrd.toml")), Path::new("."));
    }

    #[test]
    fn only_the_store_may_be_written() {
        // A folder of ours, in which nothing of this is there.
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = format!(
            "name='r'\n[store]\npath='{0}/s'\n[enrol]\npolicy='{0}/l/allow'\n\
             [trust]\nanchors=['{0}/a']\nintermediates=['{0}/i']\ncrls=['{0}/c']\n",
            folder.path().display()
        );
        let config = Config::parse(&text, &at("etc/smrd.toml"), None).unwrap();
        let found = at("a/one.pem");
        let bounds = Bounds::of(&config, [&*found].into_iter());
        assert_eq!(bounds.write, [at("s")]);
        let read = ["a", "a/one.pem", "c", "etc", "i", "l/allow"];
        assert_eq!(bounds.read, read.map(at));
    }
}
