//! Enrolment: a person's card signs a device once, and the account, or its
//! next record, is published.
//!
//! Nothing leaves this machine before the card's certificate has verified
//! here; nothing is published before the key ring is on disk.

mod entry;

use std::fs;
use std::path::{Path, PathBuf};

use rand_core::OsRng;
use smr_channel::identity::Identity as ServerIdentity;
use smr_evidence::note::succession::Standing;
use smr_name::{Address, Class, Fingerprint, MailboxName, RepositoryName};
use smr_seal::Identity;
use zeroize::Zeroizing;

use self::entry::Entry;
use crate::backup::Backup;
use crate::certified::{Certified, broken, check_own_card};
use crate::config::{self, FirstAccount, Settings};
use crate::failure::Failure;
use crate::home::Home;
use crate::keyring::KeyRing;
use crate::known::{Known, Server};
use crate::login;
use crate::meet::ask_chain;
use crate::pinned::went_back;
use crate::proof;
use crate::token::{NoPin, Pin, PinPrompt, Token};

/// Returns what to call this device where nobody says: the host's name, in
/// letters, digits and hyphens.
pub fn default_label() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = name.chars().map(plain).take(16).collect();
    let label = label.trim_matches('-');
    if label.is_empty() {
        "device".to_owned()
    } else {
        label.to_owned()
    }
}

/// What a person wants enrolled.
pub struct Wish {
    /// The name of the new mailbox.
    pub name: MailboxName,
    /// HOST:PORT.
    pub server: String,
    /// smrd's fingerprint, where it is known beforehand.
    pub server_key: Option<Fingerprint>,
    /// The card or key file.
    pub token: Token,
    /// TOKEN as it was written, for client.toml.
    pub token_text: String,
    /// Anchors instead of the configured ones.
    pub anchors: Option<PathBuf>,
    /// What is enrolled.
    pub kind: Kind,
    /// The new device's label.
    pub label: String,
    /// The backup: written for a new account, read for a new device.
    pub backup: Option<PathBuf>,
}

impl Wish {
    /// Returns the backup file that is written.
    fn new_backup(&self) -> Option<&Path> {
        let new = self.kind == Kind::Account;
        self.backup.as_deref().filter(|_| new)
    }
}

/// What is enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new account, with its first device.
    Account,
    /// One more device of an account.
    Device,
}

/// What only the person, or what stands in for him, can answer.
pub trait Answers {
    /// Accepts a server seen for the first time, or fails.
    fn accept_server(
        &mut self,
        repository: &RepositoryName,
        fingerprint: &Fingerprint,
    ) -> Result<(), Failure>;
    /// Gives the PIN of a token, or the password of a key file.
    fn pin(&mut self, prompt: &PinPrompt) -> Result<Pin, NoPin>;
    /// Gives a new passphrase for the key ring.
    fn new_passphrase(&mut self) -> Result<Zeroizing<String>, Failure>;
    /// Gives the passphrase of the key ring there is.
    fn passphrase(&mut self) -> Result<Zeroizing<String>, Failure>;
}

/// What came of an enrolment.
#[derive(Debug)]
pub struct Enrolled {
    /// The account.
    pub address: Address,
    /// SHA-256 of the device certificate.
    pub fingerprint: Fingerprint,
    /// What did not work out, though the device is enrolled.
    pub warning: Option<Failure>,
}

/// Enrols this device, for a new account or for one there is. `now` is unix
/// seconds.
pub fn enrol(
    home: &Home,
    settings: &Settings,
    wish: &Wish,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<Enrolled, Failure> {
    let server = meet(home, &wish.server, wish.server_key, answers)?;
    let address = Address::new(wish.name.clone(), server.name.clone());
    let path = home.keyring(&wish.name, &server.name);
    refuse_second(&path, &address)?;
    let backup = draw_backup(wish, settings.kind)?;

    let card = crate::token::open(&wish.token, &mut |prompt| answers.pin(prompt))?;
    let card = check_own_card(home, settings, wish.anchors.as_deref(), card, now)?;
    let device = Certified::draw(&card, &address, &wish.label, &mut OsRng, now)?;
    let person = card.person.clone();
    drop(card); // the reader is free again

    let passphrase = answers.new_passphrase()?;
    let identity = Identity::generate(settings.kind, &mut OsRng);
    let ring = new_ring(
        &device,
        &address,
        &wish.label,
        backup.as_ref(),
        &identity,
        now,
    );
    if let Err(error) = ring.save_new(&path, &passphrase) {
        // Another enrolment on this machine may have been faster.
        refuse_second(&path, &address)?;
        return Err(error.into());
    }
    let written = wish.new_backup();
    if let (Some(file), Some(backup)) = (written, &backup) {
        backup.write(file, &address, &ring).or_else(|failure| {
            remove(&path)?;
            Err(failure)
        })?;
    }
    let entry = Entry {
        home,
        settings,
        wish,
        server: &server,
        ring: &ring,
        device: &device,
        person: &person,
        now,
    };
    let entered = match wish.kind {
        Kind::Account => entry.account(),
        Kind::Device => entry.device(),
    };
    if let Err(failed) = entered {
        // The agent is not to go on as a guest.
        let _ = login::logout(home, &address);
        return Err(match failed.in_doubt {
            true => failed.failure.hint(in_doubt(&path)),
            false => {
                // Nobody knows these keys: they would only bar the next try.
                remove(&path)?;
                written.map_or(Ok(()), remove)?;
                failed.failure
            }
        });
    }
    login::keep_chain(home, &address, &ring.chain)?;
    settle(home, wish, &server, &address)?;
    let warning = entry.keep_backup().err();
    // An agent that keeps the keys a while longer does no harm.
    let _ = login::agent(home).map(|mut agent| agent.logout(&address));
    Ok(Enrolled {
        address,
        fingerprint: device.fingerprint,
        warning,
    })
}

/// Draws the backup of a new account, or reads that of the account there is.
fn draw_backup(wish: &Wish, kind: smr_seal::Kind) -> Result<Option<Backup>, Failure> {
    match (wish.kind, &wish.backup) {
        (_, None) => Ok(None),
        (Kind::Account, Some(file)) => {
            refuse_used(file)?;
            Ok(Some(Backup::draw(kind, &mut OsRng)))
        }
        (Kind::Device, Some(file)) => Backup::read(file).map(Some),
    }
}

fn new_ring(
    device: &Certified,
    address: &Address,
    label: &str,
    backup: Option<&Backup>,
    identity: &Identity,
    now: i64,
) -> KeyRing {
    let mut ring = KeyRing {
        account: address.clone(),
        label: label.to_owned(),
        device_key: device.key.clone(),
        chain: device.chain_der(),
        identities: Vec::new(),
        restored: Vec::new(),
        backup: backup.map(|backup| backup.recipient.clone()),
        once: KeyRing::draw_once(&mut OsRng),
    };
    ring.begin_epoch(identity.encode(), now);
    ring
}

/// Meets the server at HOST:PORT and pins it, if its fingerprint is the right
/// one.
pub fn meet(
    home: &Home,
    address: &str,
    key: Option<Fingerprint>,
    answers: &mut dyn Answers,
) -> Result<ServerIdentity, Failure> {
    let chain = ask_chain(address)?;
    let identity = ServerIdentity::parse(&chain.tip().document).map_err(|e| broken(&e))?;
    let seen = identity.fingerprint();
    let known = Known::new(home);
    let server = Server {
        address: address.to_owned(),
        identity: identity.to_string(),
        chain: chain.to_string(),
    };
    // A key from before a succession leads to the present one, unless another
    // successor was followed already.
    let (standing, mine) = known.follow(&identity.name, &chain)?;
    let is_known = known.server(&identity.name)?.is_some();
    match key {
        Some(expected) if !chain.has(&expected) => {
            return Err(Failure::new(
                Class::Untrusted,
                format!("\"{address}\" has another key: {seen}, expected {expected}"),
            )
            .hint("ask its operator for `smrd --fingerprint`"));
        }
        Some(expected) if expected == seen => known.accept_server(&identity.name, &server)?,
        None if !is_known => {
            answers.accept_server(&identity.name, &seen)?;
            known.see_server(&identity.name, &server)?;
        }
        _ => match standing {
            Standing::Forked { .. } => return Err(proof::keep_fork(home, &mine, &chain)),
            Standing::Older => return Err(went_back(&mine, &chain)),
            _ => drop(known.see_server(&identity.name, &server)?),
        },
    }
    Ok(identity)
}

fn refuse_second(path: &Path, address: &Address) -> Result<(), Failure> {
    match path.exists() {
        false => Ok(()),
        true => Err(Failure::new(
            Class::Denied,
            format!("\"{address}\" is registered here already"),
        )
        .hint("smr-login")),
    }
}

/// Refuses a file that is there before the card is asked for anything.
pub(crate) fn refuse_used(file: &Path) -> Result<(), Failure> {
    match file.symlink_metadata().is_ok() {
        false => Ok(()),
        true => Err(Failure::new(
            Class::CannotCreate,
            format!("\"{}\" exists already", file.display()),
        )
        .hint("--backup another FILE")),
    }
}

fn remove(file: &Path) -> Result<(), Failure> {
    fs::remove_file(file).map_err(|e| {
        Failure::new(
            Class::Io,
            format!("cannot remove \"{}\": {e}", file.display()),
        )
    })
}

fn in_doubt(ring: &Path) -> String {
    format!(
        "smr-login tells whether the account was made; if not, remove \"{}\" and try again",
        ring.display()
    )
}

/// Writes what makes the next command simple: client.toml.
fn settle(
    home: &Home,
    wish: &Wish,
    server: &ServerIdentity,
    address: &Address,
) -> Result<(), Failure> {
    let anchors: Vec<PathBuf> = wish.anchors.iter().cloned().collect();
    config::write_first(
        home,
        &FirstAccount {
            server: &wish.server,
            server_key: &server.fingerprint(),
            mailbox: address,
            token: Some(&wish.token_text),
            anchors: &anchors,
        },
    )?;
    Ok(())
}
