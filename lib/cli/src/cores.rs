//! No core files: what a program holds, a passphrase for a moment, stays out of
//! them.
//!
//! Never fails: a system that refuses is no reason not to work.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core files of this process and of those it starts.
pub fn forbid() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // To lower a limit needs no privilege.
    let _ = setrlimit(Resource::Core, none);
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn no_core_file_is_left_possible() {
        super::forbid();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
