//! The agent's Unix socket: its folder, its lock, its place.
//!
//! Never listens in a folder that others can write to; never takes the place of
//! an agent that lives.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::process;
use smr_name::Class;

/// Says why the agent cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A call failed.
    #[error("{operation} \"{path}\": {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path names no folder.
    #[error("no folder in \"{0}\", expected the path of a socket in one")]
    NoFolder(PathBuf),
    /// Others can write to the folder, and so put their own socket there.
    #[error(
        "\"{path}\" is open to others, expected a folder of user {uid} that only he can write to"
    )]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// Who should own it.
        uid: u32,
    },
    /// An agent already listens.
    #[error("an agent already listens at \"{0}\"")]
    Taken(PathBuf),
}

impl SocketError {
    /// Returns the class of this failure.
    pub fn class(&self) -> Class {
        match self {
            SocketError::Io { .. } => Class::Io,
            SocketError::NoFolder(_) | SocketError::OpenFolder { .. } => Class::Config,
            SocketError::Taken(_) => Class::Busy,
        }
    }
}

/// A listening socket; its file is removed on drop.
pub(crate) struct Socket {
    /// Where tools connect.
    pub(crate) listener: UnixListener,
    path: PathBuf,
    // Held for the life of the agent: whoever has it may replace the socket file.
    _lock: File,
}

impl Socket {
    /// Listens at `path`, mode 0600.
    ///
    /// Makes the folder, mode 0700, where it is missing; refuses one that
    /// another user owns or that others can write to. The lock file `path.lock`
    /// tells a living agent from the socket a dead one left behind.
    pub(crate) fn listen(path: &Path) -> Result<Self, SocketError> {
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
        let folder = folder.ok_or_else(|| SocketError::NoFolder(path.to_owned()))?;
        private_folder(folder)?;
        let lock = take_lock(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed("listen at", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(failed("restrict", path))?;
        Ok(Socket {
            listener,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A socket file left behind is replaced by the next agent.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io {
        operation,
        path,
        source,
    }
}

fn private_folder(folder: &Path) -> Result<(), SocketError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("make", folder))?;
    let meta = fs::metadata(folder).map_err(failed("look at", folder))?;
    let uid = process::geteuid().as_raw();
    if meta.uid() != uid || meta.mode() & 0o022 != 0 {
        return Err(SocketError::OpenFolder {
            path: folder.to_owned(),
            uid,
        });
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(failed("open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::Taken(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &name)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use smr_name::Class;

    use super::{Socket, SocketError};

    fn room() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn folder_and_socket_are_private() {
        let room = room();
        let path = room.path().join("smr/agent.sock");
        let _socket = Socket::listen(&path).unwrap();
        let mode = |p: &std::path::Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn open_folders_are_refused() {
        let room = room();
        for mode in [0o777, 0o1777, 0o775, 0o702] {
            fs::set_permissions(room.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = Socket::listen(&room.path().join("agent.sock"))
                .err()
                .unwrap();
            assert_eq!(error.class(), Class::Config, "{mode:o}");
        }
    }

    #[test]
    fn second_agent_is_refused_and_a_dead_one_replaced() {
        let room = room();
        let path = room.path().join("agent.sock");
        let first = Socket::listen(&path).unwrap();
        assert!(matches!(Socket::listen(&path), Err(SocketError::Taken(_))));
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Socket::listen(&path).unwrap();
    }

    #[test]
    fn bare_names_are_refused() {
        let error = Socket::listen("agent.sock".as_ref()).err().unwrap();
        assert!(matches!(error, SocketError::NoFolder(_)));
    }
}
