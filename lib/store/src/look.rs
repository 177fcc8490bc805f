//! How a store is read: files and directories below its root.
//!
//! Changes nothing, and follows no symbolic link in the last place of a path.
//! The folders before it are the store's own, which nobody but smrd can write
//! to, and out of which Landlock does not let it: openat2 could say so here, but
//! linkat and renameat2, which change things, have no such word.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{self, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::durable::{Disk, DiskError};

/// What a directory contains.
pub(crate) struct Found {
    /// The name, as text if it is text.
    pub(crate) name: Result<String, OsString>,
    pub(crate) kind: FileType,
}

impl Found {
    /// Returns the name for a report.
    pub(crate) fn shown(&self) -> String {
        match &self.name {
            Ok(name) => name.clone(),
            Err(name) => name.to_string_lossy().into_owned(),
        }
    }

    /// Tells whether it may be a regular file; some file systems do not say.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.kind, FileType::RegularFile | FileType::Unknown)
    }

    /// Tells whether it may be a directory.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, FileType::Directory | FileType::Unknown)
    }
}

impl Disk {
    fn open_to_read(&self, path: &str, flags: OFlags) -> Result<Option<File>, DiskError> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(self.root(), path, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("open", path, errno)),
        }
    }

    /// Opens a file; none if there is none.
    pub(crate) fn open_file(&self, path: &str) -> Result<Option<File>, DiskError> {
        // Not blocking, should it turn out to be a fifo.
        self.open_to_read(path, OFlags::NONBLOCK)
    }

    /// Reads a small file whole; none if there is none.
    pub(crate) fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(mut file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(|error| self.io_error("read", path, &error))?;
        Ok(Some(content))
    }

    /// Lists a directory in no order.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<Found>, DiskError> {
        let error = |errno| self.error("read", path, errno);
        let opened = self.open_to_read(path, OFlags::DIRECTORY)?;
        let directory = opened.ok_or_else(|| error(Errno::NOENT))?;
        let mut found = Vec::new();
        for name in Dir::read_from(&directory).map_err(error)? {
            let name = name.map_err(error)?;
            if matches!(name.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            found.push(Found {
                name: String::from_utf8(name.file_name().to_bytes().to_vec())
                    .map_err(|e| OsString::from_vec(e.into_bytes())),
                kind: name.file_type(),
            });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::durable::Disk;

    #[test]
    fn files_are_read_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "text").unwrap();
        std::os::unix::fs::symlink("a", directory.path().join("b")).unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        assert_eq!(disk.read_file("a").unwrap().unwrap(), b"text");
        assert!(disk.read_file("absent").unwrap().is_none());
        assert!(disk.read_file("b").is_err());
        assert!(disk.names("absent").is_err());
        let mut names: Vec<_> = disk.names(".").unwrap().iter().map(|f| f.shown()).collect();
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }
}
