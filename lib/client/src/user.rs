//! A logged-in user: what every flow after login begins with.
//!
//! Holds no secret; the agent does.

use std::rc::Rc;

use smr_channel::request::Folder;
use smr_evidence::account::Account;
use smr_evidence::trust::{Rules, TrustStore};
use smr_name::{Address, Class, MailboxName, RepositoryName};
use zeroize::Zeroizing;

use crate::agent::{AgentKeys, AgentSigner, Connection};
use crate::config::Settings;
use crate::directory::Directory;
use crate::failure::Failure;
use crate::grounds;
use crate::guest;
use crate::home::Home;
use crate::known::Known;
use crate::login;
use crate::meter::Meter;
use crate::pinned::Pinned;
use crate::session::Session;
use crate::shelf::Shelf;

/// A user with a session.
pub struct User {
    /// Where the user's files are.
    pub home: Home,
    /// What holds for the account.
    pub settings: Settings,
    /// The account.
    pub address: Address,
    /// The repository of the account.
    pub repository: RepositoryName,
    /// What is remembered.
    pub known: Known,
    /// Requests to smrd, carried by the agent.
    pub session: Session,
    /// Opens sealed files with the identities that the agent holds.
    pub keys: AgentKeys,
    /// The repository, as pinned.
    pub pinned: Rc<Pinned>,
    /// The time of all verdicts, unix seconds.
    pub now: i64,
    /// Told how far transfers have come.
    pub meter: Meter,
    directory: Directory,
    // What is remembered of each folder that was walked to its end.
    shelves: Vec<(Folder, Shelf)>,
    shelf_key: Option<Rc<Zeroizing<[u8; 32]>>>,
}

impl User {
    /// Finds the account that the settings mean and its session. `now` is unix
    /// seconds.
    pub fn open(home: &Home, settings: &Settings, now: i64) -> Result<User, Failure> {
        let address = login::account(home, settings)?;
        let repository = guest::repository(&address)?.clone();
        let pinned = Rc::new(Pinned::open(home, settings, &repository)?);
        let socket = home.agent_socket();
        Ok(User {
            session: Session::new(Connection::open(&socket)?, address.clone())
                .with(home, pinned.clone())?,
            keys: AgentKeys::new(&socket, address.clone()),
            directory: Directory::open(
                home,
                settings,
                &repository,
                grounds::load(home, settings, None)?,
                now,
            ),
            home: home.clone(),
            settings: settings.clone(),
            address,
            repository,
            known: Known::whole(home)?,
            meter: Meter::default(),
            pinned,
            now,
            shelves: Vec::new(),
            shelf_key: None,
        })
    }

    /// Returns this device's signature, made by the agent.
    pub fn device(&self) -> Result<AgentSigner, Failure> {
        login::device(&self.home, &self.address)
    }

    /// Returns the anchors, with the lists that smrd has relayed so far.
    pub fn trust(&self) -> &TrustStore {
        self.directory.trust()
    }

    /// Returns the rules of a verdict now.
    pub fn rules(&self) -> Rules {
        self.directory.rules()
    }

    /// Returns the mailbox of an address at this repository.
    pub fn local(&self, address: &Address) -> Result<MailboxName, Failure> {
        match &address.repository {
            Some(other) if *other != self.repository => Err(Failure::new(
                Class::NoMailbox,
                format!(
                    "\"{address}\" is at another repository than \"{}\"",
                    self.repository
                ),
            )
            .hint("smr-ls users")),
            _ => Ok(address.mailbox.clone()),
        }
    }

    /// Returns the full address of a mailbox at this repository.
    pub fn full(&self, name: &MailboxName) -> Address {
        self.directory.full(name)
    }

    /// Returns an account as it may be written to now; see
    /// [`Directory::current`].
    pub fn account(&mut self, name: &MailboxName) -> Result<Rc<Account>, Failure> {
        self.directory.current(&mut self.session, name)
    }

    /// Returns an account as it was when its record was signed, to read what
    /// it wrote; see [`Directory::then`].
    pub fn author(&mut self, name: &MailboxName) -> Result<Rc<Account>, Failure> {
        self.directory.then(&mut self.session, name)
    }

    /// Returns the very record that was verified.
    pub fn record(&mut self, name: &MailboxName) -> Result<Vec<u8>, Failure> {
        self.directory.record(&mut self.session, name)
    }

    /// Returns a folder as it was last walked to its end; none where it was not.
    pub(crate) fn walked(&mut self, folder: Folder) -> Option<&mut Shelf> {
        let walked = self.shelves.iter_mut().find(|(f, _)| *f == folder);
        walked.map(|(_, shelf)| shelf)
    }

    /// Takes what is remembered of a folder, to walk it on.
    pub(crate) fn take_shelf(&mut self, folder: Folder) -> Result<Shelf, Failure> {
        let here = self.shelves.iter().position(|(f, _)| *f == folder);
        if let Some(here) = here {
            return Ok(self.shelves.swap_remove(here).1);
        }
        let key = match &self.shelf_key {
            Some(key) => key.clone(),
            None => Rc::new(self.session.shelf_key()?),
        };
        self.shelf_key = Some(key.clone());
        Shelf::open(&self.home, &self.address, folder, key)
    }

    /// Gives back a folder that was walked to its end.
    pub(crate) fn walk(&mut self, folder: Folder, shelf: Shelf) {
        self.shelves.push((folder, shelf));
    }

    /// Goes on at a later time: looks at every account anew.
    pub fn go_on(&mut self, now: i64) {
        self.now = now;
        self.directory.go_on(now);
    }
}
