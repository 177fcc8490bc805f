//! Becoming another user, where smrd was started as root.
//!
//! Comes when there is one thread, and the sockets are open: the system changes
//! the user of a thread.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::{Path, PathBuf};

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
    /// The user's folder cannot be made.
    #[error("cannot make \"{}\": {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl UserError {
    /// Returns the class: configuration, or what cannot be made.
    pub fn class(&self) -> Class {
        match self {
            UserError::Folder { .. } => Class::CannotCreate,
            _ => Class::Config,
        }
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

fn look_up(name: &str) -> Result<(u32, u32), UserError> {
    let users = fs::read_to_string(USERS).map_err(UserError::Read)?;
    find(&users, name).ok_or_else(|| UserError::Unknown(name.to_owned()))
}

/// Makes `folder` for the user `name`, mode 0700, where there is none, and
/// becomes that user; does nothing unless smrd is root. A folder that is there
/// keeps its owner.
pub(crate) fn hand_over(folder: &Path, name: &str) -> Result<(), UserError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = look_up(name)?;
    let failed = |source| UserError::Folder {
        path: folder.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        // The folder itself: in its place there may be a link by now.
        Ok(()) => lchown(folder, Some(uid), Some(gid)).map_err(failed)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed(e)),
    }
    become_user(name)
}

/// Becomes the user `name`, in its own group alone, where smrd is root; is
/// content where it is that user already.
pub(crate) fn become_user(name: &str) -> Result<(), UserError> {
    let (uid, gid) = look_up(name)?;
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
    use super::{UserError, become_user, find, hand_over};
    use std::os::unix::fs::MetadataExt;

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

    #[test]
    #[allow(clippy::print_stdout)] // a skipped test says so
    fn a_new_folder_is_the_users_and_no_others_is_taken() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can become another user");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (new, roots) = (dir.path().join("new"), dir.path().join("roots"));
        std::fs::create_dir(&roots).unwrap();
        let nobody = super::look_up("nobody").unwrap().0;
        for (folder, owner) in [(&new, nobody), (&roots, 0)] {
            let made = std::thread::scope(|scope| {
                let made = scope.spawn(|| hand_over(folder, "nobody"));
                made.join().unwrap()
            });
            made.unwrap();
            assert_eq!(std::fs::metadata(folder).unwrap().uid(), owner);
        }
        let absent = hand_over(&dir.path().join("a/b"), "nobody");
        assert!(matches!(absent, Err(UserError::Folder { .. })));
    }
}
