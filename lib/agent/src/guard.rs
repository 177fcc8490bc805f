//! What the process gives up before it holds a secret: being dumped, being
//! traced by its own user, being swapped.
//!
//! Never fails: where the system refuses, it says so once and goes on.

use rustix::mm::{self, MlockAllFlags};
use rustix::process::{self, DumpableBehavior, Resource, Rlimit};

use smr_channel::local::Memory;

use crate::locked::Locked;

/// Hardens this process, and returns a sentence for each measure the system
/// refused.
///
/// No core file, no ptrace or /proc/PID/mem for other processes of the same
/// user (`PR_SET_DUMPABLE` 0), all memory locked where no limit forbids it.
/// Under a limit only the keys are locked, each in a page of its own.
pub(crate) fn harden() -> Vec<String> {
    let mut refused = Vec::new();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = process::setrlimit(Resource::Core, none) {
        refused.push(format!("core files stay possible: {error}"));
    }
    if let Err(error) = process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        refused.push(format!("memory stays readable to debuggers: {error}"));
    }
    refused.extend(lock_memory().err());
    refused
}

/// Tells what guards the secrets that this process is given from now on.
pub(crate) fn memory() -> Memory {
    Locked::new(0u8).memory()
}

// Under a limit, locking what is to come would make later allocations fail.
fn lock_memory() -> Result<(), String> {
    let wish = Rlimit {
        current: None,
        maximum: None,
    };
    let unlimited = process::setrlimit(Resource::Memlock, wish).is_ok()
        || process::getrlimit(Resource::Memlock).current.is_none();
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if unlimited && mm::mlockall(flags).is_ok() {
        return Ok(());
    }
    if memory() != Memory::Open {
        return Ok(());
    }
    Err("keys may be swapped to disk: RLIMIT_MEMLOCK allows no locked memory".to_owned())
}

#[cfg(test)]
mod tests {
    use rustix::process::{self, DumpableBehavior, Resource};

    use super::harden;

    #[test]
    fn nothing_of_the_process_is_left_to_dump() {
        let refused = harden();
        let dumpable = process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
        assert_eq!(process::getrlimit(Resource::Core).maximum, Some(0));
        assert!(refused.iter().all(|text| text.contains("swapped")));
    }
}
