//! What the process asks of the system before it holds keys or connections.
//!
//! Never fails: where the system refuses, smrd runs with what it has.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Forbids core files, which would hold the repository's keys, and raises the
/// number of descriptors to what the system allows: a connection needs up to
/// three. Tells which measures were refused.
pub(crate) fn set() -> Vec<String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let most = getrlimit(Resource::Nofile).maximum;
    let files = Rlimit {
        current: most,
        maximum: most,
    };
    let cores = setrlimit(Resource::Core, none).map_err(|e| format!("no core files: {e}"));
    let files = setrlimit(Resource::Nofile, files).map_err(|e| format!("more descriptors: {e}"));
    [cores, files].into_iter().filter_map(Result::err).collect()
}

#[cfg(test)]
mod tests {
    use super::set;
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn no_cores_and_all_descriptors() {
        assert_eq!(set(), Vec::<String>::new());
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let files = getrlimit(Resource::Nofile);
        assert_eq!(files.current, files.maximum);
    }
}
