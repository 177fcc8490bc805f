//! What this user has seen, so that a change is noticed: smrd's identity,
//! persons and their account records, heads of mailboxes, postmarks.
//!
//! Verifies no signature: callers bring what has verified already.

mod form;
mod heads;
mod journal;
mod keeping;
mod told;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use smr_evidence::note::succession::{Chain, Standing};
use smr_evidence::trust::Person;
use smr_name::{Class, Fingerprint, MailboxName, MessageId, RepositoryName};

use self::form::{ContactFile, load, save};
pub use self::heads::Mark;
pub(crate) use self::heads::folder_name;
pub(crate) use self::keeping::Keeping;
pub use self::told::Heard;
use crate::home::Home;
use crate::private::{self, Lock, PrivateError};

const LIMIT: u64 = 1 << 20;

/// Says that something is not as it was, or cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// Another identity document under a known repository's name.
    #[error("the key of \"{repository}\" is {seen}, not {known} as before")]
    ServerChanged {
        /// Whose.
        repository: RepositoryName,
        /// Pinned.
        known: Fingerprint,
        /// Shown now.
        seen: Fingerprint,
    },
    /// Another person under a known user name.
    #[error("\"{mailbox}\" was {known} and is now {seen}")]
    PersonChanged {
        /// Which user name.
        mailbox: MailboxName,
        /// The full subject seen first.
        known: String,
        /// The full subject shown now.
        seen: String,
        /// Where the first is kept.
        file: PathBuf,
    },
    /// A lower number than one seen before.
    #[error("{what} went back from number {known} to {seen}")]
    RolledBack {
        /// The record or mailbox.
        what: String,
        /// Highest number seen.
        known: u64,
        /// Shown now.
        seen: u64,
    },
    /// Two different things under one number.
    #[error("{what} shows two faces under number {number}")]
    Forked {
        /// The record, mailbox or postmark.
        what: String,
        /// Under which number.
        number: u64,
    },
    /// A file of ours that we did not write like this.
    #[error("\"{}\" is damaged", .0.display())]
    Damaged(PathBuf),
    /// A file of ours that a later version wrote.
    #[error("\"{}\" is of a later version", .0.display())]
    Later(PathBuf),
    /// A file cannot be read or written.
    #[error(transparent)]
    Private(#[from] PrivateError),
}

impl KnownError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            KnownError::ServerChanged { .. }
            | KnownError::PersonChanged { .. }
            | KnownError::RolledBack { .. }
            | KnownError::Forked { .. } => Class::Untrusted,
            KnownError::Damaged(_) => Class::Io,
            KnownError::Later(_) => Class::Config,
            KnownError::Private(error) => error.class(),
        }
    }

    /// Returns a command or a question that helps, if there is one.
    pub fn hint(&self) -> Option<String> {
        let fixed = match self {
            KnownError::ServerChanged { .. } => {
                "ask the operator; if the change is real, smr-register with --server-key"
            }
            KnownError::PersonChanged { mailbox, file, .. } => {
                return Some(format!(
                    "ask that person by another way who \"{mailbox}\" is now; \
                     if it is right, remove \"{}\"",
                    file.display()
                ));
            }
            KnownError::RolledBack { .. } | KnownError::Forked { .. } => {
                "keep this: the repository has signed a contradiction"
            }
            KnownError::Later(_) => "which smr wrote it? use that one",
            _ => return None,
        };
        Some(fixed.to_owned())
    }
}

/// How what is seen now stands to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Seen for the first time, and kept.
    First,
    /// As before.
    Same,
    /// Further on, and kept.
    Newer,
    /// Older than what another tool has seen since this was asked for.
    Overtaken,
}

/// A pinned repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `HOST:PORT` where it was last met.
    pub address: String,
    /// Its identity document, byte for byte.
    pub identity: String,
    /// How its keys followed one another, up to that document; empty where
    /// nothing is known of earlier ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chain: String,
}

impl Server {
    /// Returns the fingerprint of the identity document.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.identity.as_bytes())
    }
}

/// What is known of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// Who it is.
    pub person: Person,
    /// The number of the latest account record seen.
    pub number: u64,
    /// The SHA-256 of that record.
    pub digest: [u8; 32],
}

/// The folder of what is known.
#[derive(Clone, Debug)]
pub struct Known {
    home: Home,
}

// Numbers only rise, and one number means one digest.
fn compare(
    what: impl FnOnce() -> String,
    known: (u64, &[u8; 32]),
    seen: (u64, &[u8; 32]),
) -> Result<Sighting, KnownError> {
    match seen.0.cmp(&known.0) {
        std::cmp::Ordering::Less => Err(KnownError::RolledBack {
            what: what(),
            known: known.0,
            seen: seen.0,
        }),
        std::cmp::Ordering::Equal if known.1 != seen.1 => Err(KnownError::Forked {
            what: what(),
            number: seen.0,
        }),
        std::cmp::Ordering::Equal => Ok(Sighting::Same),
        std::cmp::Ordering::Greater => Ok(Sighting::Newer),
    }
}

/// What is known of earlier keys stays known, whatever is shown now.
fn with_history(seen: &Server, known: &Server) -> Server {
    let mut server = seen.clone();
    if known.chain.len() > seen.chain.len() {
        server.chain.clone_from(&known.chain);
    }
    server
}

impl Known {
    /// Opens what is known below `home`; makes nothing yet.
    pub fn new(home: &Home) -> Known {
        Known { home: home.clone() }
    }

    /// Opens what is known below `home`, and makes whole what a power cut or the
    /// end of another tool has left of marks and postmarks.
    pub fn whole(home: &Home) -> Result<Known, KnownError> {
        let known = Known::new(home);
        known.heal()?;
        Ok(known)
    }

    // Two tools may look and pin at the same time; the second must see the
    // first's pin.
    fn lock(&self) -> Result<Lock, KnownError> {
        Ok(Lock::wait(&self.home.known().join("lock"))?)
    }

    fn server_file(&self, repository: &RepositoryName) -> PathBuf {
        let dir = self.home.known().join("servers");
        dir.join(format!("{repository}.toml"))
    }

    fn contact_file(&self, mailbox: &MailboxName, repository: &RepositoryName) -> PathBuf {
        let dir = self.home.known().join("accounts").join(repository.as_str());
        dir.join(format!("{mailbox}.toml"))
    }

    fn record_file(&self, mailbox: &MailboxName, repository: &RepositoryName) -> PathBuf {
        let file = self.contact_file(mailbox, repository);
        file.with_file_name(format!("{mailbox}.p7s"))
    }

    /// Returns the pinned repository, or none.
    pub fn server(&self, repository: &RepositoryName) -> Result<Option<Server>, KnownError> {
        load(&self.server_file(repository))
    }

    /// Returns how the keys of a pinned repository followed one another.
    pub fn chain(&self, server: &Server) -> Result<Chain, KnownError> {
        let text = match server.chain.is_empty() {
            true => &server.identity,
            false => &server.chain,
        };
        Chain::parse(text)
            .ok()
            .filter(|chain| chain.tip().document == server.identity)
            .ok_or_else(|| KnownError::Damaged(self.home.known().join("servers")))
    }

    /// Compares a chain that a repository shows with the one that is known, and
    /// keeps it if it goes on from there. Returns how it stood, and what is
    /// known now.
    pub fn follow(
        &self,
        repository: &RepositoryName,
        theirs: &Chain,
    ) -> Result<(Standing, Chain), KnownError> {
        let _lock = self.lock()?;
        let path = self.server_file(repository);
        let Some(mut server) = load::<Server>(&path)? else {
            return Ok((Standing::Foreign, theirs.clone()));
        };
        let mine = self.chain(&server)?;
        let standing = mine.compare(theirs);
        if standing != Standing::Newer {
            return Ok((standing, mine));
        }
        server.identity.clone_from(&theirs.tip().document);
        server.chain = theirs.to_string();
        save(&path, &server)?;
        Ok((standing, theirs.clone()))
    }

    /// Returns the repositories that are pinned, each with the number of its
    /// latest succession and the fingerprint of its keys.
    pub fn successions(&self) -> Result<Vec<(RepositoryName, u64, Fingerprint)>, KnownError> {
        let mut all = Vec::new();
        for file in private::names(&self.home.known().join("servers"))? {
            let name = file.strip_suffix(".toml").and_then(|n| n.parse().ok());
            let Some(name) = name else { continue };
            if let Some(server) = self.server(&name)? {
                let number = self.chain(&server)?.number();
                all.push((name, number, server.fingerprint()));
            }
        }
        Ok(all)
    }

    /// Pins a repository at first sight; refuses another identity document
    /// later. A new address is kept.
    pub fn see_server(
        &self,
        repository: &RepositoryName,
        seen: &Server,
    ) -> Result<Sighting, KnownError> {
        let _lock = self.lock()?;
        let path = self.server_file(repository);
        let sighting = match load::<Server>(&path)? {
            None => Sighting::First,
            Some(known) if known.identity != seen.identity => {
                return Err(KnownError::ServerChanged {
                    repository: repository.clone(),
                    known: known.fingerprint(),
                    seen: seen.fingerprint(),
                });
            }
            Some(known) if known == *seen => return Ok(Sighting::Same),
            Some(known) => {
                save(&path, &with_history(seen, &known))?;
                return Ok(Sighting::Same);
            }
        };
        save(&path, seen)?;
        Ok(sighting)
    }

    /// Replaces the pin, after the user confirmed the new fingerprint.
    pub fn accept_server(
        &self,
        repository: &RepositoryName,
        server: &Server,
    ) -> Result<(), KnownError> {
        let _lock = self.lock()?;
        let path = self.server_file(repository);
        let server = match load::<Server>(&path)? {
            Some(known) if known.identity == server.identity => with_history(server, &known),
            _ => server.clone(),
        };
        save(&path, &server)
    }

    /// Returns what is known of an account, or none.
    pub fn contact(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
    ) -> Result<Option<Contact>, KnownError> {
        let path = self.contact_file(mailbox, repository);
        load::<ContactFile>(&path)?
            .map(|file| file.into_contact().ok_or(KnownError::Damaged(path)))
            .transpose()
    }

    /// Keeps an account at first sight and whenever its record moves on;
    /// refuses another person, a number lower than the one known when it was
    /// `asked` for, or another record of the same number. A renewed card of
    /// the same person passes. That the new record follows the old one is the
    /// caller's to check, who can open both.
    pub fn see_contact(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        asked: Option<u64>,
        seen: &Contact,
        record: &[u8],
    ) -> Result<Sighting, KnownError> {
        let _lock = self.lock()?;
        let sighting = match self.contact(mailbox, repository)? {
            None => Sighting::First,
            Some(known) if known.person != seen.person => {
                return Err(KnownError::PersonChanged {
                    mailbox: mailbox.clone(),
                    known: known.person.subject,
                    seen: seen.person.subject.clone(),
                    file: self.contact_file(mailbox, repository),
                });
            }
            Some(known) if seen.number < known.number && asked <= Some(seen.number) => {
                Sighting::Overtaken
            }
            Some(known) => compare(
                || format!("the account record of \"{mailbox}@{repository}\""),
                (known.number, &known.digest),
                (seen.number, &seen.digest),
            )?,
        };
        if matches!(sighting, Sighting::First | Sighting::Newer) {
            private::replace(&self.record_file(mailbox, repository), record)?;
            let path = self.contact_file(mailbox, repository);
            save(&path, &ContactFile::from(seen))?;
        }
        Ok(sighting)
    }

    /// Returns the account record that a contact was last seen with, or none;
    /// one that is not of that digest counts as none.
    pub fn record(
        &self,
        mailbox: &MailboxName,
        repository: &RepositoryName,
        contact: &Contact,
    ) -> Result<Option<Vec<u8>>, KnownError> {
        let record = private::read(&self.record_file(mailbox, repository), LIMIT)?;
        Ok(record.filter(|der| *Fingerprint::of(der).as_bytes() == contact.digest))
    }

    /// Returns all postmarks that are kept, byte for byte.
    pub fn all_postmarks(&self) -> Result<Vec<String>, KnownError> {
        let mut all = Vec::new();
        let names = private::names(&self.home.all_postmarks())?;
        for id in names.iter().filter_map(|name| name.parse().ok()) {
            for mailbox in self.postmarked(&id)? {
                all.extend(self.postmark(&id, &mailbox)?);
            }
        }
        Ok(all)
    }

    /// Keeps the postmark that `mailbox` got for a message, byte for byte;
    /// refuses a second one that differs.
    pub fn keep_postmark(
        &self,
        id: &MessageId,
        mailbox: &MailboxName,
        text: &str,
    ) -> Result<Sighting, KnownError> {
        self.keep_one(|keeping| keeping.postmark(id, mailbox, text))
    }

    /// Returns the postmark that `mailbox` got for a message, or none.
    pub fn postmark(
        &self,
        id: &MessageId,
        mailbox: &MailboxName,
    ) -> Result<Option<String>, KnownError> {
        let path = self.home.postmarks(id).join(mailbox.as_str());
        private::read(&path, LIMIT)?
            .map(|bytes| String::from_utf8(bytes).map_err(|_| KnownError::Damaged(path)))
            .transpose()
    }

    /// Returns every mailbox that has a postmark for a message, sorted.
    pub fn postmarked(&self, id: &MessageId) -> Result<Vec<MailboxName>, KnownError> {
        let dir = self.home.postmarks(id);
        let mut found: Vec<MailboxName> = private::names(&dir)?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        found.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use smr_channel::request::Folder;
    use smr_name::Head;

    use super::*;
    use crate::home::Places;

    /// Makes a home in which nothing is known.
    pub(super) fn known() -> (tempfile::TempDir, Known) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            smr_home: Some(dir.path().to_owned()),
            ..Places::default()
        };
        let known = Known::new(&Home::new(&places, None).unwrap());
        (dir, known)
    }

    fn repo() -> RepositoryName {
        "repo.example".parse().unwrap()
    }

    fn rui() -> MailboxName {
        "rui".parse().unwrap()
    }

    fn contact(serial: &str, number: u64, digest: u8) -> Contact {
        Contact {
            person: Person {
                realm: "cc".into(),
                country: Some("PT".into()),
                serial: Some(serial.into()),
                subject: format!("CN=RUI,serialNumber={serial}"),
                display: "RUI".into(),
            },
            number,
            digest: [digest; 32],
        }
    }

    #[test]
    fn another_identity_document_is_an_alarm() {
        let (_dir, known) = known();
        let server = Server {
            address: "h:1".into(),
            identity: "smr identity 1\nname repo.example\n".into(),
            chain: String::new(),
        };
        assert_eq!(known.see_server(&repo(), &server).unwrap(), Sighting::First);
        assert_eq!(known.see_server(&repo(), &server).unwrap(), Sighting::Same);
        let moved = Server {
            address: "h:2".into(),
            ..server.clone()
        };
        assert_eq!(known.see_server(&repo(), &moved).unwrap(), Sighting::Same);
        assert_eq!(known.server(&repo()).unwrap(), Some(moved));
        let other = Server {
            identity: "other\n".into(),
            ..server
        };
        let error = known.see_server(&repo(), &other).unwrap_err();
        assert!(matches!(error, KnownError::ServerChanged { .. }));
        assert_eq!(error.class(), Class::Untrusted);
        known.accept_server(&repo(), &other).unwrap();
        assert_eq!(known.see_server(&repo(), &other).unwrap(), Sighting::Same);
    }

    #[test]
    fn another_person_is_an_alarm_a_renewed_card_is_not() {
        let (_dir, known) = known();
        let see = |c: &Contact| known.see_contact(&rui(), &repo(), None, c, b"record");
        assert_eq!(see(&contact("1", 1, 1)).unwrap(), Sighting::First);
        let mut renewed = contact("1", 2, 2);
        renewed.person.subject = "CN=RUI SILVA,serialNumber=1".into();
        assert_eq!(see(&renewed).unwrap(), Sighting::Newer);
        assert_eq!(known.contact(&rui(), &repo()).unwrap(), Some(renewed));
        let error = see(&contact("2", 3, 3)).unwrap_err();
        assert!(matches!(error, KnownError::PersonChanged { .. }));
    }

    #[test]
    fn records_and_heads_go_forward_only() {
        let (_dir, known) = known();
        let see = |c: &Contact| known.see_contact(&rui(), &repo(), Some(5), c, b"record");
        see(&contact("1", 5, 1)).unwrap();
        assert_eq!(see(&contact("1", 5, 1)).unwrap(), Sighting::Same);
        assert!(matches!(
            see(&contact("1", 4, 1)),
            Err(KnownError::RolledBack {
                known: 5,
                seen: 4,
                ..
            })
        ));
        assert!(matches!(
            see(&contact("1", 5, 2)),
            Err(KnownError::Forked { number: 5, .. })
        ));

        let mark = |number, byte| Mark {
            number,
            head: Head::from_bytes([byte; 32]),
        };
        let see = |m: &Mark| known.see_mark(&rui(), &repo(), Folder::Inbox, m);
        see(&mark(2, 1)).unwrap();
        see(&mark(3, 2)).unwrap();
        // Another tool was slower; `due` is what finds a rollback.
        see(&mark(2, 1)).unwrap();
        assert!(matches!(see(&mark(3, 1)), Err(KnownError::Forked { .. })));
        let kept = known.mark(&rui(), &repo(), Folder::Inbox).unwrap();
        assert_eq!(kept, Some(mark(3, 2)));
        assert_eq!(known.mark(&rui(), &repo(), Folder::Sent).unwrap(), None);
    }

    #[test]
    fn what_another_tool_has_overtaken_is_no_rollback() {
        let (_dir, known) = known();
        let see = |asked, c: &Contact| known.see_contact(&rui(), &repo(), asked, c, b"record");
        // Both asked when nobody was known; the other was given a later one.
        see(None, &contact("1", 3, 3)).unwrap();
        assert_eq!(see(None, &contact("1", 2, 2)).unwrap(), Sighting::Overtaken);
        // And from the same one.
        see(Some(3), &contact("1", 5, 5)).unwrap();
        for (number, digest) in [(3, 3), (4, 4)] {
            let slow = see(Some(3), &contact("1", number, digest)).unwrap();
            assert_eq!(slow, Sighting::Overtaken);
        }
        let back = see(Some(3), &contact("1", 2, 2)).unwrap_err();
        assert!(matches!(back, KnownError::RolledBack { seen: 2, .. }));
        // What is kept stays, and another person is no slower tool.
        let kept = known.contact(&rui(), &repo()).unwrap();
        assert_eq!(kept, Some(contact("1", 5, 5)));
        let other = see(None, &contact("2", 4, 4)).unwrap_err();
        assert!(matches!(other, KnownError::PersonChanged { .. }));
    }

    #[test]
    fn promises_are_due_until_they_are_met() {
        let (_dir, known) = known();
        let mark = |number, byte| Mark {
            number,
            head: Head::from_bytes([byte; 32]),
        };
        let promise = |m: &Mark| known.see_promise(&rui(), &repo(), Folder::Sent, m);
        let due = || known.due(&rui(), &repo(), Folder::Sent).unwrap();
        assert_eq!(due(), []);
        promise(&mark(4, 1)).unwrap();
        promise(&mark(3, 2)).unwrap();
        promise(&mark(4, 1)).unwrap();
        assert_eq!(due(), [mark(4, 1)]);
        let error = promise(&mark(4, 2)).unwrap_err();
        assert!(matches!(error, KnownError::Forked { number: 4, .. }));
        known
            .see_mark(&rui(), &repo(), Folder::Sent, &mark(2, 5))
            .unwrap();
        promise(&mark(6, 3)).unwrap();
        assert_eq!(due(), [mark(2, 5), mark(6, 3)]);
    }

    #[test]
    fn a_record_is_kept_with_its_contact() {
        let (_dir, known) = known();
        let mut seen = contact("1", 1, 1);
        seen.digest = *Fingerprint::of(b"record").as_bytes();
        assert_eq!(known.record(&rui(), &repo(), &seen).unwrap(), None);
        known
            .see_contact(&rui(), &repo(), None, &seen, b"record")
            .unwrap();
        let kept = known.record(&rui(), &repo(), &seen).unwrap();
        assert_eq!(kept.as_deref(), Some(&b"record"[..]));
        let other = contact("1", 1, 9);
        assert_eq!(known.record(&rui(), &repo(), &other).unwrap(), None);
    }

    #[test]
    fn postmarks_are_kept_once() {
        let (_dir, known) = known();
        let id = MessageId::from_bytes([7; 16]);
        assert_eq!(known.postmark(&id, &rui()).unwrap(), None);
        assert_eq!(known.postmarked(&id).unwrap(), []);
        known.keep_postmark(&id, &rui(), "note\n").unwrap();
        assert_eq!(
            known.keep_postmark(&id, &rui(), "note\n").unwrap(),
            Sighting::Same
        );
        assert!(matches!(
            known.keep_postmark(&id, &rui(), "other\n"),
            Err(KnownError::Forked { .. })
        ));
        assert_eq!(
            known.postmark(&id, &rui()).unwrap().as_deref(),
            Some("note\n")
        );
        assert_eq!(known.postmarked(&id).unwrap(), [rui()]);
    }

    #[test]
    fn what_is_kept_together_is_there_only_at_the_end() {
        let (_dir, known) = known();
        let id = MessageId::from_bytes([7; 16]);
        let mark = Mark {
            number: 4,
            head: Head::from_bytes([1; 32]),
        };
        let mut keeping = known.keeping().unwrap();
        keeping.postmark(&id, &rui(), "note\n").unwrap();
        let folder = Folder::Sent;
        keeping.promise(&rui(), &repo(), folder, &mark).unwrap();
        assert_eq!(known.postmark(&id, &rui()).unwrap(), None);
        assert_eq!(known.due(&rui(), &repo(), folder).unwrap(), []);
        keeping.keep().unwrap();
        assert!(known.postmark(&id, &rui()).unwrap().is_some());
        assert_eq!(known.due(&rui(), &repo(), folder).unwrap(), [mark]);
    }

    #[test]
    fn damage_is_seen() {
        let (_dir, known) = known();
        let path = known.contact_file(&rui(), &repo());
        private::replace(&path, b"number = 1\n").unwrap();
        let error = known.contact(&rui(), &repo()).unwrap_err();
        assert!(matches!(error, KnownError::Damaged(_)));
    }
}
