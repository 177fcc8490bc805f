//! A logged-in user: what every flow after login begins with.
//!
//! Holds no secret; the agent does. Believes an account record only after it
//! has verified here, with anchors that are ours.

use std::collections::BTreeMap;
use std::rc::Rc;

use smr_channel::identity::Identity as ServerIdentity;
use smr_evidence::account::{self, Account};
use smr_evidence::trust::{Crl, Rules, TrustStore};
use smr_name::{Address, Class, MailboxName, RepositoryName};

use crate::agent::{AgentKeys, AgentSigner, Connection};
use crate::config::Settings;
use crate::failure::Failure;
use crate::grounds;
use crate::home::Home;
use crate::known::{Contact, Known};
use crate::login;
use crate::session::Session;
use crate::succession;

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
    /// smrd, as pinned.
    pub server: ServerIdentity,
    /// The time of all verdicts, unix seconds.
    pub now: i64,
    trust: TrustStore,
    accounts: BTreeMap<MailboxName, (Rc<Account>, Vec<u8>)>,
}

impl User {
    /// Finds the account that the settings mean and its session. `now` is unix
    /// seconds.
    pub fn open(home: &Home, settings: &Settings, now: i64) -> Result<User, Failure> {
        let address = login::account(home, settings)?;
        let broken = || Failure::new(Class::Broken, "the account names no repository");
        let repository = address.repository.clone().ok_or_else(broken)?;
        let known = Known::new(home);
        let pinned = known.server(&repository)?.ok_or_else(|| {
            Failure::new(
                Class::Untrusted,
                format!("repository \"{repository}\" is not known"),
            )
            .hint("smr-register --server-key FINGERPRINT")
        })?;
        let server = ServerIdentity::parse(&pinned.identity)
            .map_err(|error| Failure::new(Class::Io, error.to_string()))?;
        let socket = home.agent_socket();
        Ok(User {
            session: Session::new(Connection::open(&socket)?, address.clone()),
            keys: AgentKeys::open(&socket, address.clone())?,
            trust: grounds::load(home, settings, None)?,
            home: home.clone(),
            settings: settings.clone(),
            accounts: BTreeMap::new(),
            address,
            repository,
            known,
            server,
            now,
        })
    }

    /// Returns this device's signature, made by the agent.
    pub fn device(&self) -> Result<AgentSigner, Failure> {
        let chain = login::chain(&self.home, &self.address)?;
        let mut chain = chain.into_iter();
        let certificate = chain.next().ok_or_else(|| {
            Failure::new(Class::Io, "the chain of this device is empty").hint("smr-login")
        })?;
        let socket = self.home.agent_socket();
        Ok(AgentSigner::open(
            &socket,
            self.address.clone(),
            certificate,
            chain.collect(),
        )?)
    }

    /// Returns the anchors, with the lists that smrd has relayed so far.
    pub fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// Returns the rules of a verdict now.
    pub fn rules(&self) -> Rules {
        grounds::rules(&self.settings, self.now)
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
        Address::new(name.clone(), self.repository.clone())
    }

    /// Asks for an account, verifies its record, and compares it with what is
    /// remembered: another person, or an older record, is refused (76).
    pub fn account(&mut self, name: &MailboxName) -> Result<Rc<Account>, Failure> {
        if let Some((account, _)) = self.accounts.get(name) {
            return Ok(account.clone());
        }
        let published = self.session.account(name)?;
        self.take_lists(&published.crls)?;
        let about = |f: Failure| f.about(&format!("account \"{name}\""));
        let account = account::open(&published.record, &self.trust, &self.rules())
            .map_err(|e| about(e.into()))?;
        if account.address != self.full(name) {
            return Err(Failure::new(
                Class::Untrusted,
                format!(
                    "asked for \"{name}\", smrd sent the record of \"{}\"",
                    account.address
                ),
            )
            .hint("ask the repository's operator what happened"));
        }
        self.remember(name, &account, &published.record)
            .map_err(about)?;
        let account = Rc::new(account);
        let kept = (account.clone(), published.record);
        self.accounts.insert(name.clone(), kept);
        Ok(account)
    }

    /// Returns the very record that [`User::account`] verified.
    pub fn record(&mut self, name: &MailboxName) -> Result<Vec<u8>, Failure> {
        self.account(name)?;
        let kept = self.accounts.get(name).map(|(_, record)| record.clone());
        kept.ok_or_else(|| Failure::new(Class::Broken, "a verified account is not kept"))
    }

    /// Goes on at a later time: looks at every account anew.
    pub fn go_on(&mut self, now: i64) {
        self.now = now;
        self.accounts.clear();
    }

    /// Compares an account with what is known of it, and keeps it.
    fn remember(
        &self,
        name: &MailboxName,
        account: &Account,
        record: &[u8],
    ) -> Result<(), Failure> {
        if let Some(known) = self.known.contact(name, &self.repository)?
            && known.person == account.person
            && known.number < account.number
        {
            let record = self.known.record(name, &self.repository, &known)?;
            let old = record.and_then(|der| succession::reopen(&der, &self.trust, &self.rules()));
            succession::check(&known, old.as_ref(), account)?;
        }
        let seen = Contact {
            person: account.person.clone(),
            number: account.number,
            digest: account.digest,
        };
        self.known
            .see_contact(name, &self.repository, &seen, record)?;
        Ok(())
    }

    /// Takes revocation lists from smrd: they are signed, and verified where
    /// they are used.
    fn take_lists(&mut self, lists: &[Vec<u8>]) -> Result<(), Failure> {
        for der in lists {
            if self.trust.crls.iter().any(|known| known.der == *der) {
                continue;
            }
            let crl = Crl::from_der(der).map_err(|error| {
                Failure::new(
                    Class::Untrusted,
                    format!("smrd relayed a damaged CRL: {error}"),
                )
            })?;
            self.trust.crls.push(crl);
        }
        Ok(())
    }
}
