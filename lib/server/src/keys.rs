//! The repository's own keys: STORE/server.key, made once by `smrd --init`, or
//! the same file as a credential of systemd.
//!
//! Never overwrites keys: clients have pinned them, and postmarks rest on them.

pub(crate) mod rotation;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand_core::CryptoRngCore;
use smr_channel::identity::{IdentityError, ServerKeys};
use smr_name::{Class, Fingerprint, RepositoryName};
use smr_note::succession::SuccessionError;
use zeroize::Zeroizing;

/// Says why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("cannot {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no key file.
    #[error("\"{}\" does not exist", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// There are keys already.
    #[error("\"{}\" exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error("\"{}\" has mode {mode:03o}, expected 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds something else.
    #[error("\"{}\": {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// The succession cannot be read or made longer.
    #[error("\"{}\": {source}", path.display())]
    Succession {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: SuccessionError,
    },
    /// The keys are not those that the succession ends at.
    #[error("the keys are {found}, but those of the repository were replaced by {expected}")]
    Replaced {
        /// The fingerprint of the keys at hand.
        found: Fingerprint,
        /// What clients have pinned by now.
        expected: Fingerprint,
    },
    /// The keys are another repository's.
    #[error("\"{}\" holds the keys of \"{found}\", expected those of \"{expected}\"", path.display())]
    OtherName {
        /// The file.
        path: PathBuf,
        /// The name in it.
        found: RepositoryName,
        /// The name in the configuration.
        expected: RepositoryName,
    },
}

impl KeysError {
    /// Returns the class: configuration, or I/O.
    pub fn class(&self) -> Class {
        match self {
            KeysError::Io { .. } => Class::Io,
            KeysError::Exists { .. } => Class::CannotCreate,
            _ => Class::Config,
        }
    }
}

/// The key file, within the store.
pub(crate) const FILE: &str = "server.key";

/// Keys being written; not keys yet.
pub(crate) const UNFINISHED: &str = "server.key.new";

/// The keys, among the credentials that systemd hands over.
const CREDENTIAL: &str = "smrd.key";

/// Returns the key file that systemd hands over, where it does (systemd.exec(5),
/// CREDENTIALS).
fn credential(folder: Option<OsString>) -> Option<PathBuf> {
    let path = Path::new(&folder?).join(CREDENTIAL);
    path.exists().then_some(path)
}

/// Returns where a store keeps its keys.
pub(crate) fn path(store: &Path) -> PathBuf {
    store.join(FILE)
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    move |source| KeysError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Draws the keys of the repository `name` and writes them durably, mode 0600.
pub(crate) fn create(
    store: &Path,
    name: &RepositoryName,
    rng: &mut dyn CryptoRngCore,
) -> Result<ServerKeys, KeysError> {
    let path = path(store);
    let keys = ServerKeys::generate(name.clone(), rng);
    let unfinished = store.join(UNFINISHED);
    // A first attempt may have been cut off, or have met a full disk.
    remove(&unfinished)?;
    write(&unfinished, keys.encode().as_bytes())?;
    // A link, not a rename: it never takes the place of keys that are there.
    let linked = fs::hard_link(&unfinished, &path);
    remove(&unfinished)?;
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeysError::Exists { path });
        }
        other => other.map_err(io("create", &path))?,
    }
    // Without this a power cut could take keys that clients have pinned.
    let folder = File::open(store).map_err(io("open", store))?;
    folder.sync_all().map_err(io("sync", store))?;
    Ok(keys)
}

/// Writes a new file of mode 0600 and syncs it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io("create", path))?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.sync_all().map_err(io("sync", path))
}

fn remove(path: &Path) -> Result<(), KeysError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Tells whether the keys are handed over by systemd.
fn is_handed_over() -> bool {
    credential(std::env::var_os("CREDENTIALS_DIRECTORY")).is_some()
}

/// Reads the keys of the repository `name`.
fn load(store: &Path, name: &RepositoryName) -> Result<ServerKeys, KeysError> {
    match credential(std::env::var_os("CREDENTIALS_DIRECTORY")) {
        // An access list for smrd's user shows as permissions of the group.
        Some(handed) => read(handed, 0o007, name),
        None => read(path(store), 0o077, name),
    }
}

/// Reads a key file on which nobody has the permissions `open`.
fn read(path: PathBuf, open: u32, name: &RepositoryName) -> Result<ServerKeys, KeysError> {
    let mut file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(KeysError::Absent { path }),
        other => other.map_err(io("open", &path))?,
    };
    let facts = file.metadata().map_err(io("read", &path))?;
    if facts.mode() & open != 0 {
        let mode = facts.mode() & 0o777;
        return Err(KeysError::Open { path, mode });
    }
    // Room for all of it: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8192));
    (&mut file)
        .take(8192)
        .read_to_string(&mut text)
        .map_err(io("read", &path))?;
    let keys = match ServerKeys::decode(&text) {
        Ok(keys) => keys,
        Err(source) => return Err(KeysError::Content { path, source }),
    };
    let found = &keys.identity().name;
    if found == name {
        return Ok(keys);
    }
    Err(KeysError::OtherName {
        found: found.clone(),
        expected: name.clone(),
        path,
    })
}

/// Makes the folders above a store, which the store itself does not make.
pub(crate) fn make_parents(store: &Path) -> Result<(), KeysError> {
    let Some(parent) = store.parent().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(io("create", parent))
}

/// Makes the folder of a store, mode 0700, unless it is there.
pub(crate) fn make_folder(store: &Path) -> Result<(), KeysError> {
    match fs::DirBuilder::new().mode(0o700).create(store) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(io("create", store)),
    }
}

#[cfg(test)]
mod tests {
    use super::{CREDENTIAL, KeysError, UNFINISHED, create, credential, load, path, read};
    use rand_core::OsRng;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_come_back_and_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let name = "repo.example".parse().unwrap();
        let keys = create(dir.path(), &name, &mut OsRng).unwrap();
        let again = load(dir.path(), &name).unwrap();
        assert_eq!(keys.identity(), again.identity());
        let twice = create(dir.path(), &name, &mut OsRng);
        assert!(matches!(twice, Err(KeysError::Exists { .. })));
    }

    #[test]
    fn keys_that_systemd_hands_over_may_be_its_groups() {
        let dir = tempfile::tempdir().unwrap();
        let name = "repo.example".parse().unwrap();
        let keys = create(dir.path(), &name, &mut OsRng).unwrap();
        let folder = dir.path().join("credentials");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(credential(Some(folder.clone().into())), None);
        assert_eq!(credential(None), None);
        let handed = folder.join(CREDENTIAL);
        std::fs::rename(path(dir.path()), &handed).unwrap();
        let found = credential(Some(folder.into())).unwrap();
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&handed, mode).unwrap();
            read(found.clone(), 0o007, &name)
        };
        assert_eq!(mode(0o440).unwrap().identity(), keys.identity());
        assert!(matches!(mode(0o444), Err(KeysError::Open { .. })));
    }

    #[test]
    fn a_cut_off_attempt_leaves_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let name = "repo.example".parse().unwrap();
        let half = dir.path().join(UNFINISHED);
        std::fs::write(&half, "smr server").unwrap();
        assert!(matches!(
            load(dir.path(), &name),
            Err(KeysError::Absent { .. })
        ));
        create(dir.path(), &name, &mut OsRng).unwrap();
        assert!(!half.exists());
        assert!(load(dir.path(), &name).is_ok());
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn open_foreign_and_missing_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let name = "repo.example".parse().unwrap();
        assert!(matches!(
            load(dir.path(), &name),
            Err(KeysError::Absent { .. })
        ));
        create(dir.path(), &name, &mut OsRng).unwrap();
        let other = load(dir.path(), &"other".parse().unwrap());
        assert!(matches!(other, Err(KeysError::OtherName { .. })));
        let file = path(dir.path());
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(
            load(dir.path(), &name),
            Err(KeysError::Open { mode: 0o640, .. })
        ));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&file, "smr server keys 1\n").unwrap();
        assert!(matches!(
            load(dir.path(), &name),
            Err(KeysError::Content { .. })
        ));
    }
}
