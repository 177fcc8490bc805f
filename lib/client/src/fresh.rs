//! A file that gets its name when it is whole: before that it has none, and
//! nothing is left of it when the process ends, however it ends.
//!
//! Overwrites nothing.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::private::{PrivateError, failed, parent, sync_parent};

/// A new file, and where it will be; it is gone when dropped before it is kept.
pub(crate) struct Fresh {
    form: Form,
    path: PathBuf,
}

enum Form {
    Nameless(File),
    /// On a file system that has no nameless files.
    Named(NamedTempFile),
}

impl Fresh {
    /// Begins a file of mode 0600 for `path`, in a folder that is there;
    /// refuses where there is a file of that name.
    pub(crate) fn beside(path: &Path) -> Result<Fresh, PrivateError> {
        if path.symlink_metadata().is_ok() {
            return Err(PrivateError::Exists(path.to_owned()));
        }
        Fresh::between(parent(path), path)
    }

    /// Begins a file of mode 0600 for `path`, with the folder where it is in the
    /// meantime if it has to have a name; of the same file system.
    pub(crate) fn between(dir: &Path, path: &Path) -> Result<Fresh, PrivateError> {
        Fresh::of_mode(dir, path, 0o600)
    }

    /// Begins a file with a mode of its own, less what umask takes.
    pub(crate) fn of_mode(dir: &Path, path: &Path, mode: u32) -> Result<Fresh, PrivateError> {
        let form = match nameless(dir, mode) {
            Some(file) => Form::Nameless(file),
            None => {
                let mut builder = tempfile::Builder::new();
                let named = builder.permissions(Permissions::from_mode(mode));
                Form::Named(
                    named
                        .tempfile_in(dir)
                        .map_err(failed("create a file in", dir))?,
                )
            }
        };
        let path = path.to_owned();
        Ok(Fresh { form, path })
    }

    /// Returns the file, to write into.
    pub(crate) fn file(&self) -> &File {
        match &self.form {
            Form::Nameless(file) => file,
            Form::Named(file) => file.as_file(),
        }
    }

    /// Returns where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, durably; refuses where somebody was faster.
    pub(crate) fn keep(self) -> Result<(), PrivateError> {
        self.file()
            .sync_all()
            .map_err(failed("write", &self.path))?;
        let path = self.path.clone();
        self.name()?;
        sync_parent(&path)
    }

    /// Gives the file its name, which a power cut may still take back; refuses
    /// where somebody was faster.
    pub(crate) fn name(self) -> Result<(), PrivateError> {
        let path = self.path;
        let named = match self.form {
            Form::Nameless(file) => link(&file, &path),
            Form::Named(file) => file.persist_noclobber(&path).map(drop).map_err(|e| e.error),
        };
        match named {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(PrivateError::Exists(path))
            }
            Err(error) => Err(failed("rename into place", &path)(error)),
        }
    }
}

/// Opens a file without a name; none where the file system, or a missing /proc,
/// does not allow one.
fn nameless(dir: &Path, mode: u32) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(dir, flags, Mode::from_raw_mode(mode)).ok()?;
    let file = File::from(file);
    magic_link(&file).exists().then_some(file)
}

/// The way to an open file (proc(5)); the kernel links by it without a privilege.
fn magic_link(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn link(file: &File, path: &Path) -> io::Result<()> {
    let linked = rustix::fs::linkat(CWD, magic_link(file), CWD, path, AtFlags::SYMLINK_FOLLOW);
    linked.map_err(|error: Errno| error.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_file_has_no_name_before_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let fresh = Fresh::beside(&path).unwrap();
        fresh.file().write_all(b"text").unwrap();
        assert!(
            matches!(fresh.form, Form::Nameless(_)),
            "a file system without O_TMPFILE"
        );
        assert_eq!(names(dir.path()), 0);
        fresh.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(dir.path()), 1);
    }

    #[test]
    fn what_is_there_stays_with_and_without_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for named in [false, true] {
            let mut fresh = Fresh::beside(&path).unwrap();
            if named {
                fresh.form = Form::Named(NamedTempFile::new_in(dir.path()).unwrap());
            }
            fs::write(&path, "another").unwrap();
            assert!(matches!(fresh.keep(), Err(PrivateError::Exists(_))));
            assert!(matches!(Fresh::beside(&path), Err(PrivateError::Exists(_))));
            assert_eq!(fs::read(&path).unwrap(), b"another");
            fs::remove_file(&path).unwrap();
            let fresh = Fresh::beside(&path).unwrap();
            drop(fresh);
            assert_eq!(names(dir.path()), 0);
        }
    }
}
