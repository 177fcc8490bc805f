//! The directory as this user sees it: account records, asked for when they
//! are needed, verified here, remembered, and compared with what was known.
//!
//! Believes nothing that smrd says of anybody; its lists are verified where
//! they are used.

use std::collections::{BTreeMap, btree_map::Entry};
use std::rc::Rc;

use smr_evidence::account::{self, Account, Lapse, Stale};
use smr_evidence::trust::{Rules, TrustStore};
use smr_name::{Address, Class, MailboxName, RepositoryName};

use crate::config::Settings;
use crate::failure::Failure;
use crate::grounds;
use crate::home::Home;
use crate::known::{Contact, Known};
use crate::lists::Lists;
use crate::session::Session;
use crate::succession;

/// What was published of accounts, as far as it was asked for.
pub struct Directory {
    settings: Settings,
    repository: RepositoryName,
    known: Known,
    lists: Lists,
    trust: TrustStore,
    now: i64,
    records: BTreeMap<MailboxName, Vec<u8>>,
    // What was known of each when its record was asked for.
    before: BTreeMap<MailboxName, Contact>,
    // Verified for now, and verified for the record's own day.
    current: BTreeMap<MailboxName, Rc<Account>>,
    then: BTreeMap<MailboxName, Rc<Account>>,
}

impl Directory {
    /// Opens the directory of a repository; asks for nothing yet.
    pub fn open(
        home: &Home,
        settings: &Settings,
        repository: &RepositoryName,
        trust: TrustStore,
        now: i64,
    ) -> Directory {
        Directory {
            settings: settings.clone(),
            repository: repository.clone(),
            known: Known::new(home),
            lists: Lists::new(home),
            trust,
            now,
            records: BTreeMap::new(),
            before: BTreeMap::new(),
            current: BTreeMap::new(),
            then: BTreeMap::new(),
        }
    }

    /// Returns the anchors, with the lists that smrd has relayed so far.
    pub fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// Returns the rules of a verdict now.
    pub fn rules(&self) -> Rules {
        grounds::rules(&self.settings, self.now)
    }

    /// Returns the full address of a mailbox at this repository.
    pub fn full(&self, name: &MailboxName) -> Address {
        Address::new(name.clone(), self.repository.clone())
    }

    /// Goes on at a later time: looks at every account anew.
    pub fn go_on(&mut self, now: i64) {
        self.now = now;
        self.records.clear();
        self.current.clear();
        self.then.clear();
    }

    /// Forgets what was asked about one account: it has changed.
    pub fn forget(&mut self, name: &MailboxName) {
        self.records.remove(name);
        self.current.remove(name);
        self.then.remove(name);
    }

    /// Returns an account as it may be written to now: another person, or an
    /// older record, is refused (76).
    pub fn current(
        &mut self,
        session: &mut Session,
        name: &MailboxName,
    ) -> Result<Rc<Account>, Failure> {
        if let Some(account) = self.current.get(name) {
            return Ok(account.clone());
        }
        let record = self.ask(session, name)?;
        let account = account::open(&record, &self.trust, &self.rules());
        let account =
            Rc::new(self.accept(session, name, account.map_err(Failure::from), &record)?);
        self.current.insert(name.clone(), account.clone());
        Ok(account)
    }

    /// Returns an account as it was when its record was signed: whose old mail
    /// is read may have let his card expire since.
    pub fn then(
        &mut self,
        session: &mut Session,
        name: &MailboxName,
    ) -> Result<Rc<Account>, Failure> {
        if let Some(account) = self.then.get(name) {
            return Ok(account.clone());
        }
        let record = self.ask(session, name)?;
        let account = account::open_then(&record, &self.trust, &self.rules());
        let account =
            Rc::new(self.accept(session, name, account.map_err(Failure::from), &record)?);
        self.then.insert(name.clone(), account.clone());
        Ok(account)
    }

    /// Returns an account whose record nobody can hold any more, for its
    /// person, who is here with his card, to make the next one: a thief's
    /// device may have signed the last. No device in it counts as usable.
    pub fn past(
        &mut self,
        session: &mut Session,
        name: &MailboxName,
    ) -> Result<Rc<Account>, Failure> {
        let record = self.ask(session, name)?;
        let account = succession::reopen(&record, &self.trust, &self.rules());
        let account = account
            .ok_or_else(|| Failure::new(Class::Forged, "the account record does not verify"));
        let mut account = self.accept(session, name, account, &record)?;
        let devices = std::mem::take(&mut account.devices);
        account
            .stale
            .extend(devices.into_iter().map(|device| Stale {
                device,
                lapse: Lapse::Revoked,
            }));
        Ok(Rc::new(account))
    }

    /// Returns the very record that was verified.
    pub fn record(
        &mut self,
        session: &mut Session,
        name: &MailboxName,
    ) -> Result<Vec<u8>, Failure> {
        self.then(session, name)?;
        let record = self.records.get(name).cloned();
        record.ok_or_else(|| Failure::new(Class::Broken, "a verified account is not kept"))
    }

    /// Asks for a record and the lists that go with it; what is at hand from
    /// before is not sent again.
    fn ask(&mut self, session: &mut Session, name: &MailboxName) -> Result<Vec<u8>, Failure> {
        let place = match self.records.entry(name.clone()) {
            Entry::Occupied(kept) => {
                // What smrd said since has nothing to do with it.
                session.begin();
                return Ok(kept.get().clone());
            }
            Entry::Vacant(place) => place,
        };
        let contact = self.known.contact(name, &self.repository)?;
        let kept = match &contact {
            Some(contact) => self.known.record(name, &self.repository, contact)?,
            None => None,
        };
        let digest = contact
            .as_ref()
            .filter(|_| kept.is_some())
            .map(|c| c.digest);
        match contact {
            Some(contact) => self.before.insert(name.clone(), contact),
            None => self.before.remove(name),
        };
        session.begin();
        let published = session.account(name, digest)?;
        self.lists
            .take(session, &published.lists, &mut self.trust)?;
        let record = published.record.or(kept);
        let record = record.ok_or_else(|| {
            Failure::new(Class::Untrusted, "smrd sent no record where none is known")
        })?;
        Ok(place.insert(record).clone())
    }

    /// Compares an account with what is known of it, and keeps it; where it
    /// contradicts that, keeps the proof.
    fn accept(
        &self,
        session: &Session,
        name: &MailboxName,
        account: Result<Account, Failure>,
        record: &[u8],
    ) -> Result<Account, Failure> {
        let compared = self.compare(name, account, record);
        compared.map_err(|failure| {
            let known = self.before.get(name);
            let old = known.map(|known| self.known.record(name, &self.repository, known));
            // Without it the reply alone is kept.
            let old = old.and_then(Result::ok).flatten();
            let against: Vec<_> = old
                .map(|old| ("record".to_owned(), old))
                .into_iter()
                .collect();
            session.prove(failure, &against)
        })
    }

    fn compare(
        &self,
        name: &MailboxName,
        account: Result<Account, Failure>,
        record: &[u8],
    ) -> Result<Account, Failure> {
        let about = |f: Failure| f.about(&format!("account \"{name}\""));
        let account = account.map_err(about)?;
        if account.address != self.full(name) {
            let text = format!(
                "asked for \"{name}\", smrd sent the record of \"{}\"",
                account.address
            );
            return Err(Failure::new(Class::Untrusted, text)
                .hint("ask the repository's operator what happened"));
        }
        self.remember(name, &account, record).map_err(about)?;
        Ok(account)
    }

    fn remember(
        &self,
        name: &MailboxName,
        account: &Account,
        record: &[u8],
    ) -> Result<(), Failure> {
        let before = self.before.get(name);
        if let Some(known) = before
            && known.person == account.person
            && known.number < account.number
        {
            let record = self.known.record(name, &self.repository, known)?;
            let old = record.and_then(|der| succession::reopen(&der, &self.trust, &self.rules()));
            succession::check(known, old.as_ref(), account)?;
        }
        let seen = Contact {
            person: account.person.clone(),
            number: account.number,
            digest: account.digest,
        };
        let asked = before.map(|known| known.number);
        self.known
            .see_contact(name, &self.repository, asked, &seen, record)?;
        Ok(())
    }
}
