//! New keys in the place of old ones, which name and sign them: STORE/succession,
//! the chain that clients follow, and STORE/server.key.next, keys that were
//! named and are not in their place yet.
//!
//! The succession is written before the old keys go: whatever is cut off, the
//! keys that it ends at are on disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rand_core::CryptoRngCore;
use smr_channel::identity::ServerKeys;
use smr_name::{Fingerprint, RepositoryName};
use smr_note::Signer;
use smr_note::succession::{Chain, MAX_CHAIN, SuccessionError};

use super::{KeysError, io as failed, is_handed_over, load, path, read, remove, write};

/// How the keys followed one another, within the store; absent until they do.
pub(crate) const CHAIN: &str = "succession";

/// A chain being written.
pub(crate) const UNFINISHED_CHAIN: &str = "succession.new";

/// Keys that the succession names, until they are in their place.
pub(crate) const NEXT: &str = "server.key.next";

/// The keys in force.
pub(crate) struct Held {
    pub(crate) keys: ServerKeys,
    pub(crate) chain: Chain,
    /// Whether they are those in `NEXT`.
    pub(crate) pending: bool,
}

/// What a rotation has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// What clients pin from now on.
    pub fingerprint: Fingerprint,
    /// How many rotations there were.
    pub number: u64,
    /// Where the new keys are, if they are to be handed over by systemd as the
    /// old ones were.
    pub next: Option<PathBuf>,
}

/// Reads the keys that the succession of the repository `name` ends at.
pub(crate) fn held(store: &Path, name: &RepositoryName) -> Result<Held, KeysError> {
    let keys = load(store, name);
    let absent = matches!(keys, Err(KeysError::Absent { .. }));
    let chain = match (chain(store)?, &keys) {
        (Some(chain), _) => chain,
        (None, Ok(keys)) => alone(store, keys)?,
        (None, Err(_)) => return keys.map(|_| unreachable!("it is an error")),
    };
    let expected = chain.tip().fingerprint();
    let found = match keys {
        Ok(keys) if keys.identity().fingerprint() == expected => {
            let pending = false;
            return Ok(Held {
                keys,
                chain,
                pending,
            });
        }
        Ok(keys) => keys.identity().fingerprint(),
        Err(error) if !absent => return Err(error),
        Err(error) => return next(store, name, chain)?.ok_or(error),
    };
    next(store, name, chain)?.ok_or(KeysError::Replaced { found, expected })
}

/// Returns the keys in `NEXT` if the chain ends at them.
fn next(store: &Path, name: &RepositoryName, chain: Chain) -> Result<Option<Held>, KeysError> {
    let keys = match read(store.join(NEXT), 0o077, name) {
        Err(KeysError::Absent { .. }) => return Ok(None),
        keys => keys?,
    };
    let is_due = keys.identity().fingerprint() == chain.tip().fingerprint();
    Ok(is_due.then_some(Held {
        keys,
        chain,
        pending: true,
    }))
}

/// Returns the chain of keys that were never replaced.
fn alone(store: &Path, keys: &ServerKeys) -> Result<Chain, KeysError> {
    Chain::parse(&keys.identity().to_string()).map_err(damaged(store))
}

fn damaged(store: &Path) -> impl FnOnce(SuccessionError) -> KeysError {
    let path = store.join(CHAIN);
    move |source| KeysError::Succession { path, source }
}

fn chain(store: &Path) -> Result<Option<Chain>, KeysError> {
    let path = store.join(CHAIN);
    let mut text = String::new();
    let most = MAX_CHAIN as u64 + 1;
    match File::open(&path).and_then(|file| file.take(most).read_to_string(&mut text)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", &path)(e)),
        Ok(_) => Chain::parse(&text).map(Some).map_err(damaged(store)),
    }
}

/// Puts keys that were named into their place, which destroys the old ones;
/// where systemd hands the keys over, only removes what it hands over by now.
/// The store must be held.
pub(crate) fn finish(store: &Path, held: &mut Held) -> Result<(), KeysError> {
    let (waiting, place) = (store.join(NEXT), path(store));
    if held.pending && !is_handed_over() {
        fs::rename(&waiting, &place).map_err(failed("rename", &waiting))?;
        held.pending = false;
    } else if !held.pending && waiting.exists() {
        // The same keys, or some that nothing ever named.
        remove(&waiting)?;
    }
    sync(store)
}

/// Makes the next keys of the repository `name`, has the present ones sign for
/// them, and puts them in force. The store must be held. `now` is unix seconds.
pub(crate) fn rotate(
    store: &Path,
    name: &RepositoryName,
    rng: &mut dyn CryptoRngCore,
    now: i64,
) -> Result<Rotated, KeysError> {
    let mut held = held(store, name)?;
    if held.pending && is_handed_over() {
        return Err(KeysError::Exists {
            path: store.join(NEXT),
        });
    }
    finish(store, &mut held)?;
    let keys = ServerKeys::generate(name.clone(), rng);
    let [old, new] = [&held.keys, &keys].map(|k| Signer::from_seed(k.postmark_seed()));
    let document = keys.identity().to_string();
    let longer = held.chain.succeed(&document, now, &old, &new);
    longer.map_err(damaged(store))?;
    write(&store.join(NEXT), keys.encode().as_bytes())?;
    // Before the succession that names them.
    sync(store)?;
    let unfinished = store.join(UNFINISHED_CHAIN);
    remove(&unfinished)?;
    write(&unfinished, held.chain.to_string().as_bytes())?;
    let file = store.join(CHAIN);
    // From here on these are the keys of the repository.
    fs::rename(&unfinished, &file).map_err(failed("rename", &unfinished))?;
    sync(store)?;
    let mut held = Held {
        keys,
        chain: held.chain,
        pending: true,
    };
    finish(store, &mut held)?;
    Ok(Rotated {
        fingerprint: held.keys.identity().fingerprint(),
        number: held.chain.number(),
        next: held.pending.then(|| store.join(NEXT)),
    })
}

fn sync(store: &Path) -> Result<(), KeysError> {
    let folder = File::open(store).map_err(failed("open", store))?;
    folder.sync_all().map_err(failed("sync", store))
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::super::create;
    use super::*;

    fn name() -> RepositoryName {
        "repo.example".parse().unwrap()
    }

    fn repository() -> (tempfile::TempDir, Fingerprint) {
        let dir = tempfile::tempdir().unwrap();
        let keys = create(dir.path(), &name(), &mut OsRng).unwrap();
        (dir, keys.identity().fingerprint())
    }

    fn rotated(store: &Path, now: i64) -> Rotated {
        rotate(store, &name(), &mut OsRng, now).unwrap()
    }

    #[test]
    fn keys_follow_one_another() {
        let (dir, first) = repository();
        let before = held(dir.path(), &name()).unwrap();
        assert_eq!((before.chain.number(), before.pending), (0, false));
        let one = rotated(dir.path(), 1_800_000_000);
        let two = rotated(dir.path(), 1_800_000_100);
        assert_eq!((one.number, two.number, &two.next), (1, 2, &None));
        let after = held(dir.path(), &name()).unwrap();
        assert_eq!(after.keys.identity().fingerprint(), two.fingerprint);
        for print in [first, one.fingerprint, two.fingerprint] {
            assert!(after.chain.has(&print));
        }
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "the keys and the chain alone");
    }

    #[test]
    fn a_rotation_that_was_cut_off_is_finished_or_never_was() {
        let (dir, first) = repository();
        let store = dir.path();
        let old = fs::read(path(store)).unwrap();
        // Before the succession was published.
        let other = ServerKeys::generate(name(), &mut OsRng);
        write(&store.join(NEXT), other.encode().as_bytes()).unwrap();
        let mut found = held(store, &name()).unwrap();
        assert_eq!(found.keys.identity().fingerprint(), first);
        finish(store, &mut found).unwrap();
        assert!(!store.join(NEXT).exists());
        // After it, before the keys were put in their place.
        let one = rotated(store, 1_800_000_000);
        fs::rename(path(store), store.join(NEXT)).unwrap();
        for old in [None, Some(&old)] {
            if let Some(old) = old {
                write(&path(store), old).unwrap();
            }
            let found = held(store, &name()).unwrap();
            assert!(found.pending);
            assert_eq!(found.keys.identity().fingerprint(), one.fingerprint);
        }
        let mut found = held(store, &name()).unwrap();
        finish(store, &mut found).unwrap();
        let found = held(store, &name()).unwrap();
        assert!(!found.pending && !store.join(NEXT).exists());
        assert_eq!(found.keys.identity().fingerprint(), one.fingerprint);
    }

    #[test]
    fn keys_that_were_replaced_are_refused() {
        let (dir, first) = repository();
        let old = fs::read(path(dir.path())).unwrap();
        let one = rotated(dir.path(), 1_800_000_000);
        fs::write(path(dir.path()), &old).unwrap();
        match held(dir.path(), &name()).err() {
            Some(KeysError::Replaced { found, expected }) => {
                assert_eq!((found, expected), (first, one.fingerprint));
            }
            other => panic!("{other:?}"),
        }
        fs::write(dir.path().join(CHAIN), "smr identity 1\n").unwrap();
        let damaged = held(dir.path(), &name()).err();
        assert!(matches!(damaged, Some(KeysError::Succession { .. })));
    }
}
