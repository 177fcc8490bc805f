//! Backups of encryption keys: one identity, sealed to the account's backup
//! recipient, so that a new device reads old mail (smr-envelope(5)).
//!
//! Says nothing of who sealed it: anybody can. Keeps no key and no file.

use std::fmt::Write as _;

use smr_name::{Address, Class, Fingerprint};
use smr_seal::{Identity, Recipient, SealError};
use zeroize::Zeroizing;

use crate::envelope::{EnvelopeError, seal_bytes, unseal_bytes};
use crate::lines::{LineError, Lines, number, time, time_text};

/// The largest sealed identity, in bytes.
pub const MAX_SEALED: usize = 16 * 1024;

/// Says whose key it is, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The account, with repository.
    pub account: Address,
    /// SHA-256 of the device's certificate.
    pub device: Fingerprint,
    /// Number of the key.
    pub epoch: u64,
    /// Since when the device uses it, unix seconds.
    pub created: i64,
}

/// Says why an identity was not sealed or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The seal could not be made or opened.
    #[error(transparent)]
    Seal(#[from] EnvelopeError),
    /// More than `MAX_SEALED` bytes.
    #[error("a sealed identity is longer than 16 KiB")]
    TooLong,
    /// What was sealed is not such a text.
    #[error("not the backup of an identity: {0}")]
    Text(#[from] LineError),
    /// The last line is no identity.
    #[error("not the backup of an identity: {0}")]
    Identity(#[from] SealError),
}

impl BackupError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            BackupError::Seal(error) => error.class(),
            _ => Class::Forged,
        }
    }
}

/// Seals an identity: an age file whose plaintext is an age identity file, so
/// that `age -d -i BACKUP FILE` prints one that `age -i` reads. About 2 KiB.
pub fn seal(
    origin: &Origin,
    identity: &Identity,
    recipient: &Recipient,
) -> Result<Vec<u8>, BackupError> {
    let text = write(origin, identity)?;
    let sealed = seal_bytes(std::slice::from_ref(recipient), text.as_bytes())?;
    match sealed.len() > MAX_SEALED {
        true => Err(BackupError::TooLong),
        false => Ok(sealed),
    }
}

/// Opens a sealed identity with the backup's own; nothing proves that the
/// account's device sealed it.
pub fn open(sealed: &[u8], backup: &Identity) -> Result<(Origin, Identity), BackupError> {
    if sealed.len() > MAX_SEALED {
        return Err(BackupError::TooLong);
    }
    let keys = std::slice::from_ref(backup);
    let plain = Zeroizing::new(unseal_bytes(sealed, &keys, MAX_SEALED as u64)?);
    read(std::str::from_utf8(&plain).map_err(|_| LineError::End)?)
}

fn write(origin: &Origin, identity: &Identity) -> Result<Zeroizing<String>, BackupError> {
    let created = time_text(origin.created).ok_or(LineError::Value("# created"))?;
    let secret = identity.encode();
    // Room for all of it: what has grown leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(secret.len() + 512));
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# account {}\n# device {}\n# epoch {}\n# created {created}\n{}\n",
        origin.account, origin.device, origin.epoch, *secret
    );
    Ok(text)
}

fn read(text: &str) -> Result<(Origin, Identity), BackupError> {
    let mut lines = Lines::new(text);
    let origin = Origin {
        account: lines.parsed("# account", whole)?,
        device: lines.parsed("# device", |v| v.parse().ok())?,
        epoch: lines.parsed("# epoch", number)?,
        created: lines.parsed("# created", time)?,
    };
    let secret = lines.last()?;
    Ok((origin, Identity::parse(secret)?))
}

fn whole(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    address.repository.is_some().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::{BackupError, MAX_SEALED, Origin, open, seal, write};
    use crate::envelope::{EnvelopeError, seal_bytes, unseal_bytes};
    use rand_core::OsRng;
    use smr_name::{Class, Fingerprint};
    use smr_seal::Identity;

    fn origin() -> Origin {
        Origin {
            account: "rui@repo.example".parse().unwrap(),
            device: Fingerprint::of(b"device"),
            epoch: 7,
            created: 1_800_000_000,
        }
    }

    fn pairs() -> [(Identity, Identity); 2] {
        let pq = || Identity::generate_pq(&mut OsRng);
        let classic = || Identity::generate_classic(&mut OsRng);
        [(pq(), pq()), (classic(), classic())]
    }

    #[test]
    fn identities_come_back() {
        for (key, backup) in pairs() {
            let sealed = seal(&origin(), &key, &backup.to_recipient()).unwrap();
            assert!(sealed.len() < 4096, "{} bytes", sealed.len());
            let (from, again) = open(&sealed, &backup).unwrap();
            assert_eq!(from, origin());
            assert_eq!(again.to_recipient(), key.to_recipient());
        }
    }

    #[test]
    fn what_is_sealed_is_an_identity_file() {
        let [(key, backup), _] = pairs();
        let sealed = seal(&origin(), &key, &backup.to_recipient()).unwrap();
        let keys = std::slice::from_ref(&backup);
        let plain = unseal_bytes(&sealed, &keys, 4096).unwrap();
        let text = String::from_utf8(plain).unwrap();
        assert!(text.starts_with("# account rui@repo.example\n# device SHA256:"));
        assert!(text.contains("\n# epoch 7\n# created 2027-01-15T08:00:00Z\n"));
        let secrets: Vec<&str> = text.lines().filter(|l| !l.starts_with("# ")).collect();
        assert_eq!(secrets, [key.encode().as_str()]);
    }

    #[test]
    fn other_files_are_refused() {
        let [(key, backup), (_, stranger)] = pairs();
        let sealed = seal(&origin(), &key, &backup.to_recipient()).unwrap();
        let error = open(&sealed, &stranger).err().unwrap();
        assert!(matches!(error, BackupError::Seal(EnvelopeError::NotForUs)));
        assert!(open(&sealed[..sealed.len() - 1], &backup).is_err());
        let long = vec![0; MAX_SEALED + 1];
        assert!(matches!(open(&long, &backup), Err(BackupError::TooLong)));
        let good = write(&origin(), &key).unwrap();
        for bad in [
            String::new(),
            good.trim_end().to_owned(),
            format!("{}{}\n", *good, *key.encode()),
            good.replace("# epoch 7", "# epoch 07"),
            good.replace("@repo.example", ""),
            good.replace("# device", "# devise"),
            good.replace("AGE-SECRET", "AGE-PUBLIC"),
            good.replace("# created 2027-01-15T08:00:00Z\n", ""),
        ] {
            let sealed = seal_bytes(&[backup.to_recipient()], bad.as_bytes()).unwrap();
            let error = open(&sealed, &backup).err().unwrap();
            assert_eq!(error.class(), Class::Forged, "{error}");
        }
    }

    #[test]
    fn times_that_cannot_be_said_are_refused() {
        let [(key, backup), _] = pairs();
        let never = Origin {
            created: i64::MAX,
            ..origin()
        };
        assert!(seal(&never, &key, &backup.to_recipient()).is_err());
    }
}
