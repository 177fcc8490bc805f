//! A Maildir (maildir(5)): each message a file, written without a name, then
//! linked into `new`; signed, as S/MIME, so that mail programs verify it.
//!
//! Delivers a message once: its file is named by its id, and one that is there
//! already, read or not, is not written again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use smr_name::Class;

use super::write_signed;
use crate::failure::Failure;
use crate::fetch::Message;
use crate::fresh::Fresh;
use crate::private::{self, PrivateError};
use crate::user::User;

const FOLDERS: [&str; 3] = ["tmp", "new", "cur"];

/// A Maildir, and which messages are in it.
pub struct Maildir {
    dir: PathBuf,
    // The names without their flags, which the reader changes.
    there: HashSet<String>,
}

impl Maildir {
    /// Opens a Maildir; makes one where there is nothing of that name.
    pub fn open(dir: &Path) -> Result<Maildir, Failure> {
        if dir.symlink_metadata().is_err() {
            for folder in FOLDERS {
                private::make_dir(&dir.join(folder)).map_err(cannot_create)?;
            }
        }
        if !FOLDERS.iter().all(|folder| dir.join(folder).is_dir()) {
            let text = format!(
                "\"{}\" is no Maildir, expected folders tmp, new and cur in it",
                dir.display()
            );
            return Err(Failure::new(Class::CannotCreate, text).hint("did you mean another?"));
        }
        let mut there = HashSet::new();
        for folder in ["new", "cur"] {
            for name in private::names(&dir.join(folder))? {
                let base = name.split(':').next().unwrap_or_default();
                there.insert(base.to_owned());
            }
        }
        Ok(Maildir {
            dir: dir.to_owned(),
            there,
        })
    }

    /// Delivers a message, durably; false where it was there already.
    pub fn deliver(&mut self, user: &User, message: &Message) -> Result<bool, Failure> {
        let name = format!(
            "{}.{}.{}",
            message.entry.name.time, message.id, user.repository
        );
        if self.there.contains(&name) {
            return Ok(false);
        }
        let fresh = Fresh::between(&self.dir.join("tmp"), &self.dir.join("new").join(&name))
            .map_err(cannot_create)?;
        write_signed(user, message, &mut fresh.file())?;
        let there = match fresh.keep() {
            // Another delivery was faster.
            Err(PrivateError::Exists(_)) => false,
            kept => kept.map(|()| true)?,
        };
        self.there.insert(name);
        Ok(there)
    }
}

fn cannot_create(error: PrivateError) -> Failure {
    let class = match error.class() {
        Class::Busy => Class::Busy,
        _ => Class::CannotCreate,
    };
    Failure::new(class, error.to_string()).hint("may you write there?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maildir_is_made_where_nothing_is() {
        let room = tempfile::tempdir().unwrap();
        let dir = room.path().join("Mail");
        assert!(Maildir::open(&dir).unwrap().there.is_empty());
        assert!(FOLDERS.iter().all(|f| dir.join(f).is_dir()));
        std::fs::write(dir.join("cur/1.ab.repo:2,S"), "").unwrap();
        std::fs::write(dir.join("new/2.cd.repo"), "").unwrap();
        let there = Maildir::open(&dir).unwrap().there;
        assert!(there.contains("1.ab.repo") && there.contains("2.cd.repo"));
    }

    #[test]
    fn another_folder_is_no_maildir() {
        let room = tempfile::tempdir().unwrap();
        let failure = Maildir::open(room.path()).err().unwrap();
        assert_eq!(failure.class, Class::CannotCreate);
    }
}
