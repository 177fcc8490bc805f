//! How far the folders of an own mailbox have come: what was seen of them, and
//! what postmarks say.
//!
//! Walks no chain: that a head extends another is the caller's to check.

use std::path::PathBuf;

use smr_channel::request::Folder;
use smr_evidence::postmark::Postmark;
use smr_name::{Head, MailboxName, RepositoryName};

use super::form::{MarkFile, load};
use super::{Known, KnownError, LIMIT};
use crate::private;

/// How far a mailbox had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The sequence number of its newest entry; 0 for an empty one.
    pub number: u64,
    /// Its head after that entry.
    pub head: Head,
}

impl From<&Postmark> for Mark {
    fn from(postmark: &Postmark) -> Self {
        Mark {
            number: postmark.number,
            head: postmark.head,
        }
    }
}

pub(crate) fn folder_name(folder: Folder) -> &'static str {
    match folder {
        Folder::Inbox => "inbox",
        Folder::Sent => "sent",
        Folder::Receipts => "receipts",
    }
}

pub(super) fn load_mark(path: PathBuf) -> Result<Option<Mark>, KnownError> {
    load::<MarkFile>(&path)?
        .map(|file| file.into_mark().ok_or(KnownError::Damaged(path)))
        .transpose()
}

impl Known {
    pub(super) fn mark_file(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> PathBuf {
        let dir = self.home.known().join("heads").join(repository.as_str());
        dir.join(format!("{mailbox}.{}.toml", folder_name(folder)))
    }

    pub(super) fn promise_file(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> PathBuf {
        let file = self.mark_file(mailbox, repository, folder);
        file.with_extension("promised.toml")
    }

    /// Returns how far a folder of an own mailbox had come, or none.
    pub fn mark(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> Result<Option<Mark>, KnownError> {
        load_mark(self.mark_file(mailbox, repository, folder))
    }

    fn word_file(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> PathBuf {
        let file = self.mark_file(mailbox, repository, folder);
        file.with_extension("word")
    }

    /// Keeps the signed listing in which a folder was seen last.
    pub(crate) fn keep_word(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        word: &[u8],
    ) -> Result<(), KnownError> {
        Ok(private::replace(
            &self.word_file(mailbox, repository, folder),
            word,
        )?)
    }

    /// Returns the signed listing in which a folder was seen last, or none.
    pub(crate) fn word(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> Result<Option<Vec<u8>>, KnownError> {
        let file = self.word_file(mailbox, repository, folder);
        Ok(private::read(&file, LIMIT)?)
    }

    /// Returns the marks that a folder of an own mailbox must have: how far it
    /// was seen, and how far a postmark said that it is.
    pub fn due(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> Result<Vec<Mark>, KnownError> {
        let seen = self.mark(mailbox, repository, folder)?;
        let promised = load_mark(self.promise_file(mailbox, repository, folder))?;
        Ok(seen.into_iter().chain(promised).collect())
    }

    /// Keeps how far a postmark says that a folder of an own mailbox is, the
    /// furthest one; refuses another head under the same number.
    pub fn see_promise(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        promised: &Mark,
    ) -> Result<(), KnownError> {
        // Two tools may send at once and come here in any order; and a deposit
        // that is repeated has its first postmark again.
        self.keep_one(|keeping| keeping.promise(mailbox, repository, folder, promised))
    }

    /// Keeps how far a folder has come, the furthest that was seen; refuses
    /// another head under the same number. A lower number is no rollback here:
    /// another tool may have seen further meanwhile. That the listing passed
    /// through what was [`Known::due`] before it was asked for is the caller's
    /// to check, who has the entries.
    pub fn see_mark(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        seen: &Mark,
    ) -> Result<(), KnownError> {
        self.keep_one(|keeping| keeping.mark(mailbox, repository, folder, seen))
    }
}
