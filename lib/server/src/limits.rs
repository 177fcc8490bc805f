//! What the process asks of the system before it holds keys or connections.
//!
//! Never fails: where the system refuses, smrd runs with what it has.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Requests, of those who were let in, that are served at a time.
pub(crate) const MEMBERS: usize = 1024;

/// Forbids core files, which would hold the repository's keys, and raises the
/// number of descriptors to what the system allows. Tells which measures were
/// refused, and whether the descriptors will not do for so many connections.
pub(crate) fn set(connections: usize) -> Vec<String> {
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
    let enough = match getrlimit(Resource::Nofile).current {
        Some(there) if there < needed(connections) => Err(format!(
            "{there} descriptors do not do for {connections} connections, expected {}",
            needed(connections)
        )),
        _ => Ok(()),
    };
    let all = [cores, files, enough];
    all.into_iter().filter_map(Result::err).collect()
}

/// A connection needs its socket, and a request a spool or message, and a folder
/// to sync; the house needs some too.
fn needed(connections: usize) -> u64 {
    (connections + 2 * connections.min(MEMBERS) + 64) as u64
}

#[cfg(test)]
mod tests {
    use super::set;
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn no_cores_and_all_descriptors() {
        assert_eq!(set(1), Vec::<String>::new());
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let files = getrlimit(Resource::Nofile);
        assert_eq!(files.current, files.maximum);
        let too_many = usize::try_from(files.current.unwrap_or(0)).unwrap();
        assert_eq!(set(too_many).len(), usize::from(files.current.is_some()));
    }
}
