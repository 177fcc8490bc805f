//! Several things to remember at once, as those after a deposit: the lock is
//! taken once, and the disk is waited for once for all of them, by the journal.

use std::path::Path;

use serde::Serialize;
use smr_channel::request::Folder;
use smr_evidence::trace::Told;
use smr_name::{MailboxName, MessageId, RepositoryName};

use super::form::{MarkFile, TheirsFile, text};
use super::heads::{folder_name, load_mark};
use super::journal::Journal;
use super::told::load_theirs;
use super::{Known, KnownError, LIMIT, Mark, Sighting, compare};
use crate::batch::Batch;
use crate::private::{self, Lock, PrivateError};

/// What is about to be remembered; none of it is before [`Keeping::keep`].
///
/// Each file once: what waits here is not seen by what comes after it.
pub(crate) struct Keeping<'a> {
    known: &'a Known,
    batch: Batch,
    journal: Journal,
    // Two tools may look and keep at the same time; the second must see what
    // the first has kept.
    _lock: Lock,
}

impl Known {
    /// Begins to remember several things; other tools wait meanwhile.
    pub(crate) fn keeping(&self) -> Result<Keeping<'_>, KnownError> {
        let lock = self.lock()?;
        Ok(Keeping {
            known: self,
            batch: Batch::default(),
            journal: self.locked(&lock)?,
            _lock: lock,
        })
    }

    /// Remembers one thing durably.
    pub(super) fn keep_one<T>(
        &self,
        one: impl FnOnce(&mut Keeping<'_>) -> Result<T, KnownError>,
    ) -> Result<T, KnownError> {
        let mut keeping = self.keeping()?;
        let kept = one(&mut keeping)?;
        keeping.keep()?;
        Ok(kept)
    }
}

impl Keeping<'_> {
    /// See [`Known::keep_postmark`].
    pub(crate) fn postmark(
        &mut self,
        id: &MessageId,
        mailbox: &MailboxName,
        text: &str,
    ) -> Result<Sighting, KnownError> {
        let path = self.known.home.postmarks(id).join(mailbox.as_str());
        match self.batch.create(&path, text.as_bytes()) {
            Ok(()) => return Ok(Sighting::First),
            Err(PrivateError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match private::read(&path, LIMIT)? {
            Some(known) if known == text.as_bytes() => Ok(Sighting::Same),
            _ => Err(KnownError::Forked {
                what: format!("the postmark of {id} for \"{mailbox}\""),
                number: 0,
            }),
        }
    }

    /// See [`Known::see_promise`].
    pub(crate) fn promise(
        &mut self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        promised: &Mark,
    ) -> Result<(), KnownError> {
        let path = self.known.promise_file(mailbox, repository, folder);
        let what = || format!("{} of \"{mailbox}@{repository}\"", folder_name(folder));
        self.furthest(&path, what, promised)
    }

    /// See [`Known::see_mark`].
    pub(super) fn mark(
        &mut self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        seen: &Mark,
    ) -> Result<(), KnownError> {
        let path = self.known.mark_file(mailbox, repository, folder);
        let what = || format!("{} of \"{mailbox}@{repository}\"", folder_name(folder));
        self.furthest(&path, what, seen)
    }

    fn furthest(
        &mut self,
        path: &Path,
        what: impl FnOnce() -> String,
        seen: &Mark,
    ) -> Result<(), KnownError> {
        let known = load_mark(path.to_owned())?;
        match is_further(what, known.as_ref(), seen)? {
            true => self.save(path, &MarkFile::from(seen)),
            false => Ok(()),
        }
    }

    /// See [`Known::see_theirs`].
    pub(crate) fn theirs(
        &mut self,
        own: &MailboxName,
        repository: &RepositoryName,
        mark: &Mark,
        told: &Told,
    ) -> Result<(), KnownError> {
        let mailbox = &told.address.mailbox;
        let owner = self.known.owner(mailbox, repository)?;
        let path = self.known.theirs_file(own, repository, mailbox, told.kind);
        let known = load_theirs(path.clone(), &owner)?.map(|(mark, _)| mark);
        let what = || format!("the mailbox \"{}\"", told.address);
        match is_further(what, known.as_ref(), mark)? {
            true => self.save(&path, &TheirsFile::new(owner, mark, told)),
            false => Ok(()),
        }
    }

    fn save<T: Serialize>(&mut self, path: &Path, value: &T) -> Result<(), KnownError> {
        Ok(self.batch.replace(path, text(path, value)?.as_bytes())?)
    }

    /// Waits until all of it is on disk.
    pub(crate) fn keep(self) -> Result<(), KnownError> {
        self.journal.keep(self.batch)
    }
}

/// Tells whether a mark is to take the place of the one that is known; another
/// head under the same number is an error.
fn is_further(
    what: impl FnOnce() -> String,
    known: Option<&Mark>,
    seen: &Mark,
) -> Result<bool, KnownError> {
    match known {
        None => Ok(true),
        Some(known) if known.number > seen.number => Ok(false),
        Some(known) => {
            let of = |mark: &Mark| (mark.number, *mark.head.as_bytes());
            let ((known, before), (seen, now)) = (of(known), of(seen));
            Ok(compare(what, (known, &before), (seen, &now))? != Sighting::Same)
        }
    }
}
