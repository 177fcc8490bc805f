//! The backup: an age identity in a file of the owner's, and the encryption
//! keys that smrd keeps sealed to it.
//!
//! smrd sees none of the keys; the file alone opens what smrd keeps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand_core::CryptoRngCore;
use smr_evidence::backup::{self, Origin};
use smr_name::{Address, Class, Fingerprint};
use smr_seal::{Identity, Kind, Recipient};
use zeroize::Zeroizing;

use crate::certified::broken;
use crate::failure::Failure;
use crate::home::Home;
use crate::keyring::KeyRing;
use crate::private;
use crate::session::Session;

/// The largest backup file, in bytes.
const LIMIT: u64 = 1 << 20;

/// A backup identity that was drawn, or read from its file.
pub(crate) struct Backup {
    identities: Vec<Identity>,
    /// The recipient that the account record names.
    pub(crate) recipient: String,
}

impl Backup {
    /// Draws a new one, of the kind of the keys that are sealed to it.
    pub(crate) fn draw(kind: Kind, rng: &mut dyn CryptoRngCore) -> Backup {
        let identity = Identity::generate(kind, rng);
        Backup {
            recipient: identity.to_recipient().to_string(),
            identities: vec![identity],
        }
    }

    /// Reads the file that [`Backup::write`] made: the first identity in it is
    /// the backup's own.
    pub(crate) fn read(file: &Path) -> Result<Backup, Failure> {
        let wrong = |what: &str| {
            let text = format!("\"{}\" is no backup: {what}", file.display());
            Failure::new(Class::Forged, text).hint("which FILE did --backup write?")
        };
        let bytes = private::read_secret(file, LIMIT)?.ok_or_else(|| {
            Failure::new(
                Class::Missing,
                format!("there is no file \"{}\"", file.display()),
            )
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not text"))?;
        let lines = text.lines().map(str::trim);
        let identities = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| Identity::parse(line).map_err(|_| wrong("a line is no age identity")))
            .collect::<Result<Vec<_>, _>>()?;
        let first = identities
            .first()
            .ok_or_else(|| wrong("no age identity is in it"))?;
        Ok(Backup {
            recipient: first.to_recipient().to_string(),
            identities,
        })
    }

    /// Writes the backup identity, and the present encryption keys with it, so
    /// that `age -d -i FILE` opens today's mail without smrd's help.
    pub(crate) fn write(
        &self,
        file: &Path,
        address: &Address,
        ring: &KeyRing,
    ) -> Result<(), Failure> {
        let mut text = Zeroizing::new(String::with_capacity(4096));
        text.push_str(&format!(
            "# backup of {address}: keep it safe, and away from the key ring\n\
             # it opens the encryption keys that the repository keeps sealed:\n\
             # smr-register --restore FILE\n"
        ));
        for identity in &self.identities {
            text.push_str(&identity.encode());
            text.push('\n');
        }
        if let Some(key) = ring.current() {
            text.push_str("# the encryption key of the day this was written\n");
            text.push_str(&key.identity);
            text.push('\n');
        }
        private::create(file, text.as_bytes()).map_err(|error| Failure {
            class: Class::CannotCreate,
            ..Failure::from(error)
        })
    }

    /// Opens one sealed key of the account: the age identity in it.
    fn open(&self, sealed: &[u8], address: &Address) -> Option<Zeroizing<String>> {
        let mut identities = self.identities.iter();
        let (origin, key) = identities.find_map(|i| backup::open(sealed, i).ok())?;
        (origin.account == *address).then(|| key.encode())
    }
}

/// What a restoration found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Keys that the key ring did not have.
    pub new: usize,
    /// Keys that smrd keeps.
    pub kept: usize,
    /// Keys that this backup does not open.
    pub shut: usize,
}

/// Fetches every sealed key of the account, and adds to the ring those that
/// the backup opens.
pub(crate) fn restore(
    backup: &Backup,
    session: &mut Session,
    ring: &mut KeyRing,
) -> Result<Restored, Failure> {
    let mut found = Restored {
        new: 0,
        kept: 0,
        shut: 0,
    };
    for sealed in session.keys()? {
        found.kept += 1;
        match backup.open(&sealed, &ring.account) {
            None => found.shut += 1,
            Some(identity) if ring.all_identities().any(|known| *known == *identity) => {}
            Some(identity) => {
                ring.restored.push(identity);
                found.new += 1;
            }
        }
    }
    Ok(found)
}

/// Which keys smrd has acknowledged to keep, by the fingerprint of their
/// recipients.
struct Kept {
    file: PathBuf,
    keys: BTreeSet<String>,
}

impl Kept {
    fn load(home: &Home, address: &Address) -> Result<Kept, Failure> {
        let file = home.known().join("backups").join(address.to_string());
        let text = private::read(&file, LIMIT)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        Ok(Kept {
            keys: text.lines().map(str::to_owned).collect(),
            file,
        })
    }

    fn add(&mut self, key: String) -> Result<(), Failure> {
        self.keys.insert(key);
        let lines: String = self.keys.iter().map(|key| format!("{key}\n")).collect();
        Ok(private::replace(&self.file, lines.as_bytes())?)
    }
}

/// Has smrd keep every key of this device that it does not keep yet, sealed to
/// the ring's backup recipient; does nothing where there is none.
pub(crate) fn keep(
    home: &Home,
    session: &mut Session,
    ring: &KeyRing,
    device: Fingerprint,
) -> Result<(), Failure> {
    let Some(recipient) = &ring.backup else {
        return Ok(());
    };
    let recipient = Recipient::parse(recipient).map_err(|e| broken(&e))?;
    // Another backup recipient is another safe: each has its own list.
    let safe = Fingerprint::of(recipient.to_string().as_bytes());
    let mut kept = Kept::load(home, &ring.account)?;
    for key in &ring.identities {
        let own = Identity::parse(&key.identity).map_err(|e| broken(&e))?;
        let print = Fingerprint::of(own.to_recipient().to_string().as_bytes());
        let line = format!("{safe} {print}");
        if !kept.keys.contains(&line) {
            let origin = Origin {
                account: ring.account.clone(),
                device,
                epoch: key.epoch,
                created: key.from,
            };
            let sealed = backup::seal(&origin, &own, &recipient).map_err(|e| broken(&e))?;
            session.keep_key(key.epoch, &sealed)?;
            kept.add(line)?;
        }
    }
    Ok(())
}
