//! Becoming another user, where smrd was started as root.
//!
//! Comes when there is one thread, and the sockets are open: the system changes
//! the user of a thread.

use std::fs;
use std::io;

use rustix::process::geteuid;
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use smr_name::Class;

/// Where users are: local ones, no directory service is asked.
const USERS: &str = "/etc/passwd";

/// Says why smrd did not become another user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The list of users cannot be read.
    #[error("cannot read \"{USERS}\": {0}")]
    Read(io::Error),
    /// There is none of this name.
    #[error("no user \"{0}\" in \"{USERS}\"")]
    Unknown(String),
    /// The system refused.
    #[error("cannot become the user \"{name}\": {source}")]
    Refused {
        /// The user.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl UserError {
    /// Returns the class: configuration.
    pub fn class(&self) -> Class {
        Class::Config
    }
}

/// Finds the user and its group in lines of passwd(5).
fn find(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (_, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        found.then_some((uid.parse().ok()?, gid.parse().ok()?))
    })
}

/// Becomes the user `name`, in its own group alone, where smrd is root; is
/// content where it is that user already.
pub(crate) fn become_user(name: &str) -> Result<(), UserError> {
    let users = fs::read_to_string(USERS).map_err(UserError::Read)?;
    let found = find(&users, name);
    let (uid, gid) = found.ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    if geteuid().as_raw() == uid {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(|errno| UserError::Refused {
            name: name.to_owned(),
            source: errno.into(),
        })
}

#[cfg(test)]
mod tests {
    use super::{UserError, become_user, find};

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nsmrd2:x:7:8::/:/\nsmrd:x:990:991::/:/\n";
        assert_eq!(find(users, "smrd"), Some((990, 991)));
        assert_eq!(find(users, "smr"), None);
        assert_eq!(find("smrd:x:-1:0::/:/\n", "smrd"), None);
    }

    #[test]
    fn unknown_users_are_refused() {
        let unknown = become_user("nobody of this name");
        assert!(matches!(unknown, Err(UserError::Unknown(_))));
    }

    #[test]
    #[allow(clippy::print_stdout)] // a skipped test says so
    fn a_thread_of_root_becomes_nobody_for_good() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can become another user");
            return;
        }
        let other = std::thread::spawn(|| {
            become_user("nobody").unwrap();
            let id = rustix::process::geteuid();
            let back = become_user("root");
            (id.is_root(), back.is_err())
        });
        assert_eq!(other.join().unwrap(), (false, true));
    }
}
