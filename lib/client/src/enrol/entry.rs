//! Entering an account: with its first record, or as a guest who adds himself
//! to the record there is.
//!
//! Nothing is published before the key ring is on disk.

use smr_channel::identity::Identity as ServerIdentity;
use smr_channel::local::Entrance;
use smr_evidence::account::{Account, Draft, build};
use smr_evidence::trust::Person;
use smr_name::Class;

use super::Wish;
use crate::backup;
use crate::certified::{Certified, broken};
use crate::config::Settings;
use crate::failure::Failure;
use crate::guest::Own;
use crate::home::Home;
use crate::keyring::KeyRing;
use crate::login;

/// Why an account was not published, as far as is known.
pub(super) struct Unpublished {
    pub(super) failure: Failure,
    /// smrd may have taken the record all the same.
    pub(super) in_doubt: bool,
}

/// All that entering an account needs.
pub(super) struct Entry<'a> {
    pub(super) home: &'a Home,
    pub(super) settings: &'a Settings,
    pub(super) wish: &'a Wish,
    pub(super) server: &'a ServerIdentity,
    pub(super) ring: &'a KeyRing,
    pub(super) device: &'a Certified,
    pub(super) person: &'a Person,
    pub(super) now: i64,
}

impl Entry<'_> {
    /// Has the agent open a session with the first record as its introduction,
    /// which makes the account.
    pub(super) fn account(&self) -> Result<(), Unpublished> {
        let record = self.first_record().map_err(Unpublished::sure)?;
        let Err(failure) = self.enter(Entrance::Enrol { record }) else {
            return Ok(());
        };
        self.unless_entered(failure)
    }

    fn first_record(&self) -> Result<Vec<u8>, Failure> {
        let account = &self.ring.account;
        let mut draft = Draft::first(account.clone(), self.ring.backup.clone());
        draft.add(&self.device.chain, self.statement()?)?;
        Ok(build(&draft, &self.device.signer, self.now)?)
    }

    fn statement(&self) -> Result<Vec<u8>, Failure> {
        let key = self.ring.current();
        let key = key.ok_or_else(|| broken(&"a new key ring has no encryption key"))?;
        self.device.statement(&self.ring.account, key)
    }

    /// Enters as a guest, and publishes a record that lists this device too.
    pub(super) fn device(&self) -> Result<(), Unpublished> {
        let address = &self.ring.account;
        let settings = self.reached();
        let joined = Own::join(self.home, &settings, address, self.device, self.now);
        let mut own = joined.map_err(Unpublished::sure)?;
        let statement = self.statement().map_err(Unpublished::sure)?;
        let account = own.account(Some(self.person)).map_err(Unpublished::sure)?;
        self.check_backup(&account).map_err(Unpublished::sure)?;
        self.check_label(&account).map_err(Unpublished::sure)?;
        let added = own.publish(
            Some(self.person),
            &self.device.signer,
            self.now,
            &mut |_, draft| Ok(draft.add(&self.device.chain, statement.clone())?),
        );
        match added {
            Ok(()) => Ok(()),
            Err(failure) => self.unless_entered(failure),
        }
    }

    fn check_label(&self, account: &Account) -> Result<(), Failure> {
        let label = &self.ring.label;
        match account.listed().any(|d| d.label == *label) {
            false => Ok(()),
            true => Err(Failure::new(
                Class::Denied,
                format!("{} has a device \"{label}\" already", account.address),
            )
            .hint(format!(
                "--add-device another LABEL, or smr-register --revoke {label}"
            ))),
        }
    }

    /// A backup that is not the account's would be of no use later.
    fn check_backup(&self, account: &Account) -> Result<(), Failure> {
        match &self.ring.backup {
            Some(mine) if account.backup.as_ref() != Some(mine) => Err(Failure::new(
                Class::Denied,
                format!("the backup is not that of {}", self.ring.account),
            )
            .hint("which FILE was written when the account was made?")),
            _ => Ok(()),
        }
    }

    /// The agent meets the server that the command line names.
    fn reached(&self) -> Settings {
        Settings {
            server: Some(self.wish.server.clone()),
            anchors: match &self.wish.anchors {
                Some(path) => Some(vec![path.clone()]),
                None => self.settings.anchors.clone(),
            },
            ..self.settings.clone()
        }
    }

    fn enter(&self, entrance: Entrance) -> Result<(), Failure> {
        let (settings, server) = (self.settings, &self.wish.server);
        let load = login::load(settings, server, self.server, self.ring, entrance)?;
        Ok(login::agent(self.home)?.load(load)?)
    }

    /// The answer may be lost and the device enrolled: then it can log in.
    fn unless_entered(&self, failure: Failure) -> Result<(), Unpublished> {
        if !may_have_worked(failure.class) {
            return Err(Unpublished::sure(failure));
        }
        match self.enter(Entrance::Login) {
            Ok(()) => Ok(()),
            Err(other) => Err(Unpublished {
                failure,
                in_doubt: may_have_worked(other.class),
            }),
        }
    }

    /// Has smrd keep the first encryption key; the next login tries again.
    pub(super) fn keep_backup(&self) -> Result<(), Failure> {
        if self.ring.backup.is_none() {
            return Ok(());
        }
        let address = &self.ring.account;
        let mut own = Own::of_agent(self.home, &self.reached(), address, self.now)?;
        let kept = backup::keep(
            self.home,
            &mut own.session,
            self.ring,
            self.device.fingerprint,
        );
        kept.map_err(|failure| {
            failure
                .about("the repository does not keep the backup yet")
                .hint("smr-login tries again")
        })
    }
}

impl Unpublished {
    fn sure(failure: Failure) -> Unpublished {
        Unpublished {
            failure,
            in_doubt: false,
        }
    }
}

/// Tells a failure that may have hit the answer from a refusal of the request.
fn may_have_worked(class: Class) -> bool {
    matches!(
        class,
        Class::Busy | Class::Untrusted | Class::Unavailable | Class::Io | Class::Broken
    )
}
