//! Sessions for what happens to one's own account: as a device of it, or as a
//! guest whom the person's card has certified and no record lists yet.
//!
//! Decides nothing about the record: the flows do.

use std::rc::Rc;

use rand_core::OsRng;
use smr_channel::local::Entrance;
use smr_evidence::account::{Account, Draft, build};
use smr_evidence::trust::{Person, Signer};
use smr_name::{Address, Class, RepositoryName};

use crate::agent::Connection;
use crate::certified::{Certified, broken};
use crate::config::Settings;
use crate::directory::Directory;
use crate::failure::Failure;
use crate::grounds;
use crate::home::Home;
use crate::keyring::KeyRing;
use crate::login;
use crate::pinned::Pinned;
use crate::session::Session;

/// Attempts to publish a record: another device may publish one meanwhile.
const ATTEMPTS: usize = 3;

/// A session about one's own account.
pub(crate) struct Own {
    pub(crate) session: Session,
    pub(crate) directory: Directory,
    pub(crate) address: Address,
}

impl Own {
    /// Goes on with the session that the agent holds for this account.
    pub(crate) fn of_agent(
        home: &Home,
        settings: &Settings,
        address: &Address,
        now: i64,
    ) -> Result<Own, Failure> {
        let repository = repository(address)?;
        let pinned = Rc::new(Pinned::open(home, settings, repository)?);
        let trust = grounds::load(home, settings, None)?;
        let connection = Connection::open(&home.agent_socket())?;
        Ok(Own {
            session: Session::new(connection, address.clone()).with(home, pinned)?,
            directory: Directory::open(home, settings, repository, trust, now),
            address: address.clone(),
        })
    }

    /// Enters as a guest: with a device that is not listed, or no longer.
    pub(crate) fn join(
        home: &Home,
        settings: &Settings,
        address: &Address,
        device: &Certified,
        now: i64,
    ) -> Result<Own, Failure> {
        let repository = repository(address)?;
        let pinned = Pinned::open(home, settings, repository)?;
        // The agent wants a ring to load; a guest's has no encryption keys.
        let ring = KeyRing {
            account: address.clone(),
            label: String::new(),
            device_key: device.key.clone(),
            chain: device.chain_der(),
            identities: Vec::new(),
            restored: Vec::new(),
            backup: None,
            once: KeyRing::draw_once(&mut OsRng),
        };
        let entrance = Entrance::Join {
            chain: device.chain_der(),
        };
        login::begin(home, settings, &pinned, &ring, &entrance)?;
        Own::of_agent(home, settings, address, now)
    }

    /// Returns the account's record as it was signed; with `person`, it must be
    /// that person's (76).
    pub(crate) fn account(&mut self, person: Option<&Person>) -> Result<Rc<Account>, Failure> {
        let name = &self.address.mailbox;
        let account = match self.directory.then(&mut self.session, name) {
            // With the card at hand: the card that stood behind it is revoked.
            Err(failure) if person.is_some() && failure.class == Class::Denied => {
                self.directory.past(&mut self.session, name)?
            }
            account => account?,
        };
        match person {
            Some(person) if *person != account.person => Err(Failure::new(
                Class::Untrusted,
                format!(
                    "\"{}\" belongs to {}, not to {}",
                    self.address, account.person.subject, person.subject
                ),
            )
            .hint("is it the right card, and the right name?")),
            _ => Ok(account),
        }
    }

    /// Publishes the record after the present one, as `change` drafts it;
    /// tries again where another device was faster.
    pub(crate) fn publish(
        &mut self,
        person: Option<&Person>,
        signer: &dyn Signer,
        now: i64,
        change: &mut dyn FnMut(&Account, &mut Draft) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let account = self.account(person)?;
            let mut draft = Draft::after(&account);
            change(&account, &mut draft)?;
            let record = build(&draft, signer, now.max(account.time))?;
            let published = self.session.publish(&record).map_err(Failure::from);
            self.directory.forget(&self.address.mailbox);
            match published {
                Ok(()) => return self.account(person).map(drop),
                Err(failure) if failure.class != Class::Denied || attempt == ATTEMPTS => {
                    return Err(failure);
                }
                // Only where the record has moved on is there any use in it.
                Err(failure) if self.account(person)?.number == account.number => {
                    return Err(failure);
                }
                Err(_) => attempt += 1,
            }
        }
    }
}

/// Returns the repository that the account names.
pub(crate) fn repository(address: &Address) -> Result<&RepositoryName, Failure> {
    let repository = address.repository.as_ref();
    repository.ok_or_else(|| broken(&"the account names no repository"))
}
