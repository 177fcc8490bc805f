//! The smrd that does one thing and ends, confined to that (smrd(8),
//! CONFINEMENT).
//!
//! Binds the calling thread for good, so a program calls it once, before the
//! task.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, Confine};
use crate::confine::{Bounds, confine};
use crate::house::cache;
use crate::run::RunError;
use crate::user::become_user;

/// What a smrd can do besides serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Make the store and the keys; the store's folder is there.
    Init,
    /// Replace the keys.
    Rotate,
    /// Examine the store.
    Fsck,
    /// Fetch revocation data.
    Fetch,
}

/// What the C library reads to find an address by its name.
const NAMES: [&str; 6] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
];

impl Task {
    /// Returns what it needs.
    pub fn bounds(self, config: &Config) -> Bounds {
        let store = config.store.path.clone();
        match self {
            // What systemd hands over, where it does.
            Task::Rotate => Bounds {
                list: vec![store.join("..")],
                write: vec![store],
                read: std::env::var_os("CREDENTIALS_DIRECTORY")
                    .map(PathBuf::from)
                    .into_iter()
                    .collect(),
                ..Bounds::default()
            },
            Task::Init => Bounds {
                // It is synced.
                list: vec![store.join("..")],
                write: vec![store],
                ..Bounds::default()
            },
            // The store is its user's, and a copy of it anybody's.
            Task::Fsck => Bounds {
                read: vec![store],
                reads_of_all: true,
                ..Bounds::default()
            },
            Task::Fetch => {
                let mut bounds = Bounds::of(config, std::iter::empty());
                bounds.read.push(store);
                bounds.read.extend(NAMES.iter().map(PathBuf::from));
                // Links, mostly, to what another program writes.
                let real = NAMES.iter().flat_map(fs::canonicalize);
                bounds.read.extend(real);
                bounds.write = vec![cache(config)];
                bounds.calls_others = true;
                bounds
            }
        }
    }
}

/// Confines the calling thread to what `task` needs, by the configuration's
/// `confine`; the fetcher, and who replaces the keys, become its `user` before,
/// where they are root.
pub fn confine_to(task: Task, config: &Config) -> Result<(), RunError> {
    if matches!(task, Task::Fetch | Task::Rotate)
        && let Some(user) = &config.user
        && rustix::process::geteuid().is_root()
    {
        become_user(user)?;
    }
    if task == Task::Fetch {
        make_sure_of(&cache(config));
    }
    if config.confine == Confine::Off {
        return Ok(());
    }
    for measure in confine(&task.bounds(config)) {
        if let (Err(why), Confine::Require) = (measure.state, config.confine) {
            let what = measure.name;
            return Err(RunError::Unconfined { what, why });
        }
    }
    Ok(())
}

/// Only what is there can be left to write in. Where it cannot be made, the task
/// says so.
fn make_sure_of(folder: &Path) {
    let _ = DirBuilder::new().mode(0o700).create(folder);
}
