//! What others told of own mailboxes and no listing has met yet, and what one
//! may tell others of theirs.
//!
//! Compares nothing with a mailbox: that is for who has its entries.

use std::path::PathBuf;

use smr_channel::request::Folder;
use smr_evidence::postmark::Kind;
use smr_evidence::trace::Told;
use smr_name::{Address, MailboxName, MessageId, RepositoryName};

use super::form::{HeardFile, TheirsFile, load, save};
use super::heads::folder_name;
use super::{Known, KnownError, Mark};

/// What somebody told of a folder of an own mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What he told.
    pub told: Told,
    /// Who; oneself for another device of one's own.
    pub by: Address,
    /// In which message, or in the receipt for which.
    pub id: MessageId,
}

impl Known {
    /// Returns the file of what was told of a folder of an own mailbox.
    pub fn heard_file(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> PathBuf {
        let dir = self.home.known().join("heads").join(repository.as_str());
        dir.join(format!("{mailbox}.{}.told.toml", folder_name(folder)))
    }

    pub(super) fn theirs_file(
        &self,
        own: &MailboxName,
        repository: &RepositoryName,
        mailbox: &MailboxName,
        kind: Kind,
    ) -> PathBuf {
        // For each own mailbox apart: else what one tells would show that two
        // of them are of one person.
        let dir = self.home.known().join("theirs").join(repository.as_str());
        dir.join(own.as_str())
            .join(format!("{mailbox}.{}.toml", kind.as_str()))
    }

    /// Returns what was told of a folder of an own mailbox and not met yet.
    pub fn heard(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
    ) -> Result<Vec<Heard>, KnownError> {
        let path = self.heard_file(mailbox, repository, folder);
        load::<HeardFile>(&path)?.map_or(Ok(Vec::new()), |file| {
            file.into_heard().ok_or(KnownError::Damaged(path))
        })
    }

    /// Keeps what was told of a folder of an own mailbox until it is met;
    /// returns how many such things there are.
    pub fn hear(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        heard: &Heard,
    ) -> Result<usize, KnownError> {
        let _lock = self.lock()?;
        let mut all = self.heard(mailbox, repository, folder)?;
        if !all.iter().any(|h| h.told.trace == heard.told.trace) {
            all.push(heard.clone());
            let path = self.heard_file(mailbox, repository, folder);
            save(&path, &HeardFile::from(all.as_slice()))?;
        }
        Ok(all.len())
    }

    /// Forgets what was told and is met now.
    pub fn meet(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        folder: Folder,
        met: &[Heard],
    ) -> Result<(), KnownError> {
        let _lock = self.lock()?;
        let mut all = self.heard(mailbox, repository, folder)?;
        all.retain(|heard| !met.contains(heard));
        let path = self.heard_file(mailbox, repository, folder);
        save(&path, &HeardFile::from(all.as_slice()))
    }

    /// Keeps how far a folder of another's mailbox is by a postmark that `own`
    /// got, the furthest one; refuses another head under the same number.
    pub fn see_theirs(
        &self,
        own: &MailboxName,
        repository: &RepositoryName,
        mark: &Mark,
        told: &Told,
    ) -> Result<(), KnownError> {
        self.keep_one(|keeping| keeping.theirs(own, repository, mark, told))
    }

    /// Returns how far a folder of another's mailbox is by the postmarks that
    /// `own` got; nothing where it got none.
    pub(crate) fn theirs_mark(
        &self,
        own: &MailboxName,
        repository: &RepositoryName,
        mailbox: &MailboxName,
        kind: Kind,
    ) -> Result<Vec<Mark>, KnownError> {
        let owner = self.owner(mailbox, repository)?;
        let path = self.theirs_file(own, repository, mailbox, kind);
        let known = load_theirs(path, &owner)?;
        Ok(known.into_iter().map(|(mark, _)| mark).collect())
    }

    /// Returns what `own` may tell the owner of a folder of how far it was.
    pub fn theirs(
        &self,
        own: &MailboxName,
        repository: &RepositoryName,
        mailbox: &MailboxName,
        kind: Kind,
    ) -> Result<Option<Told>, KnownError> {
        let owner = self.owner(mailbox, repository)?;
        let path = self.theirs_file(own, repository, mailbox, kind);
        Ok(load_theirs(path, &owner)?.map(|(_, told)| told))
    }

    /// Returns whose mailbox it is: a name that is another person's by now has
    /// another mailbox.
    pub(super) fn owner(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
    ) -> Result<String, KnownError> {
        let contact = self.contact(mailbox, repository)?;
        Ok(contact.map_or_else(String::new, |contact| {
            let (realm, country, key) = contact.person.identity();
            format!("{realm} {} {key}", country.unwrap_or("-"))
        }))
    }
}

pub(super) fn load_theirs(path: PathBuf, owner: &str) -> Result<Option<(Mark, Told)>, KnownError> {
    load::<TheirsFile>(&path)?
        .filter(|file| file.is_of(owner))
        .map(|file| file.into_theirs().ok_or(KnownError::Damaged(path)))
        .transpose()
}

#[cfg(test)]
mod tests {
    use smr_evidence::trace::Trace;
    use smr_name::Head;

    use super::super::tests::known;
    use super::*;

    fn repo() -> RepositoryName {
        "repo.example".parse().unwrap()
    }

    fn name(text: &str) -> MailboxName {
        text.parse().unwrap()
    }

    fn mark(number: u64, byte: u8) -> Mark {
        Mark {
            number,
            head: Head::from_bytes([byte; 32]),
        }
    }

    fn told(whose: &str, mark: &Mark) -> Told {
        Told {
            address: format!("{whose}@repo.example").parse().unwrap(),
            kind: Kind::Message,
            trace: Trace::of(&mark.head),
            signature: Some([4; 64]),
        }
    }

    #[test]
    fn what_was_told_stays_until_it_is_met() {
        let (_dir, known) = known();
        let heard = |byte| Heard {
            told: told("rui", &mark(1, byte)),
            by: "ana@repo.example".parse().unwrap(),
            id: MessageId::from_bytes([byte; 16]),
        };
        let all = |folder| known.heard(&name("rui"), &repo(), folder).unwrap();
        let hear = |h: &Heard| known.hear(&name("rui"), &repo(), Folder::Inbox, h);
        assert_eq!(all(Folder::Inbox), []);
        assert_eq!(hear(&heard(1)).unwrap(), 1);
        assert_eq!(hear(&heard(2)).unwrap(), 2);
        // The same head told again is no news.
        let again = Heard {
            by: "eva@repo.example".parse().unwrap(),
            ..heard(2)
        };
        assert_eq!(hear(&again).unwrap(), 2);
        assert_eq!(all(Folder::Inbox), [heard(1), heard(2)]);
        assert_eq!(all(Folder::Sent), []);
        let met = [heard(1), heard(3)];
        known
            .meet(&name("rui"), &repo(), Folder::Inbox, &met)
            .unwrap();
        assert_eq!(all(Folder::Inbox), [heard(2)]);
    }

    #[test]
    fn the_furthest_head_of_others_is_kept_for_each_own_mailbox() {
        let (_dir, known) = known();
        let see = |mark: &Mark| known.see_theirs(&name("rui"), &repo(), mark, &told("ana", mark));
        let theirs = |own| {
            known
                .theirs(&name(own), &repo(), &name("ana"), Kind::Message)
                .unwrap()
        };
        assert_eq!(theirs("rui"), None);
        see(&mark(4, 1)).unwrap();
        see(&mark(3, 2)).unwrap();
        see(&mark(4, 1)).unwrap();
        assert_eq!(theirs("rui"), Some(told("ana", &mark(4, 1))));
        assert!(matches!(
            see(&mark(4, 2)),
            Err(KnownError::Forked { number: 4, .. })
        ));
        assert_eq!(theirs("rui2"), None);
    }
}
