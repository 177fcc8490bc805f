//! The key ring: one account's secrets on one device, under a passphrase.
//!
//! An age file with a scrypt stanza, so `age -d` opens it too; TOML inside
//! (smr-keyring(5)). Never holds a card's key, and never prints.

use std::io::{Read, Write};
use std::iter;
use std::path::Path;

use age::secrecy::SecretString;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Deserializer};
use smr_name::{Address, Class};
use zeroize::Zeroizing;

use crate::private::{self, PrivateError};

// 2^15 rounds: about 0.1 s here. The file is no public target: whoever can
// read it already has the user's files.
const WORK_FACTOR: u8 = 15;
// What we still open, should the factor be raised one day: about 4 s.
const MAX_WORK_FACTOR: u8 = 20;
const LIMIT: u64 = 1 << 20;
const VERSION: u64 = 1;

/// Says why a key ring stays shut.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// There is no such file.
    #[error("there is no key ring \"{}\"", .0.display())]
    Absent(std::path::PathBuf),
    /// It does not open with this passphrase.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// Not a key ring of ours, or altered.
    #[error("the key ring is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a later version.
    #[error("the key ring has version {0}, expected {VERSION}")]
    Version(u64),
    /// It cannot be read or written.
    #[error(transparent)]
    Private(#[from] PrivateError),
}

impl KeyRingError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            KeyRingError::Absent(_) => Class::Config,
            KeyRingError::Passphrase => Class::Denied,
            KeyRingError::Damaged(_) | KeyRingError::Version(_) => Class::Forged,
            KeyRingError::Private(error) => error.class(),
        }
    }

    /// Returns a command or a question that helps, if there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            KeyRingError::Absent(_) => Some("smr-register makes one"),
            KeyRingError::Passphrase => Some("is it this account's? type it again"),
            KeyRingError::Damaged(_) => Some("restore the file from a backup"),
            _ => None,
        }
    }
}

/// One encryption key and the time it began.
pub struct EpochKey {
    /// From 1, rising.
    pub epoch: u64,
    /// Unix seconds.
    pub from: i64,
    /// An age identity, `AGE-SECRET-KEY-PQ-1...` or `AGE-SECRET-KEY-1...`.
    pub identity: Zeroizing<String>,
}

/// The secrets of one account on one device; all wiped on drop.
pub struct KeyRing {
    /// The account, with its repository.
    pub account: Address,
    /// The device's label.
    pub label: String,
    /// The device key, PKCS#8.
    pub device_key: Zeroizing<Vec<u8>>,
    /// The device certificate, the card's, and issuers; DER, in this order.
    pub chain: Vec<Vec<u8>>,
    /// Encryption keys, oldest first; old ones are kept to read old mail.
    pub identities: Vec<EpochKey>,
    /// Encryption keys that came from a backup: of other devices, or of this
    /// one before it was lost.
    pub restored: Vec<Zeroizing<String>>,
    /// The age recipient to which new encryption keys are sealed for safe
    /// keeping, where its owner has shown that it is his.
    pub backup: Option<String>,
    /// Derives message ids from the keys of `--once`.
    pub once: Zeroizing<[u8; 32]>,
}

impl KeyRing {
    /// Returns the current encryption key, or none.
    pub fn current(&self) -> Option<&EpochKey> {
        self.identities.iter().max_by_key(|key| key.epoch)
    }

    /// Returns every encryption key, the present one first.
    pub fn all_identities(&self) -> impl Iterator<Item = &str> {
        let own = self.identities.iter().rev().map(|key| &key.identity);
        own.chain(&self.restored).map(|key| key.as_str())
    }

    /// Adds the key of the next epoch, from `now` on (unix seconds).
    pub fn begin_epoch(&mut self, identity: Zeroizing<String>, now: i64) {
        let epoch = self.current().map_or(1, |key| key.epoch.saturating_add(1));
        self.identities.push(EpochKey {
            epoch,
            from: now,
            identity,
        });
    }

    /// Draws a secret for `--once`.
    pub fn draw_once(rng: &mut dyn CryptoRngCore) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        secret
    }

    /// Reads the key ring at `path`, and opens it.
    pub fn load(path: &Path, passphrase: &str) -> Result<KeyRing, KeyRingError> {
        let sealed =
            private::read(path, LIMIT)?.ok_or_else(|| KeyRingError::Absent(path.to_owned()))?;
        KeyRing::open(&sealed, passphrase)
    }

    /// Seals the key ring and puts it at `path` in one step.
    pub fn save(&self, path: &Path, passphrase: &str) -> Result<(), KeyRingError> {
        Ok(private::replace(path, &self.seal(passphrase)?)?)
    }

    /// Seals the key ring and puts it at `path`, where there must be none yet.
    pub fn save_new(&self, path: &Path, passphrase: &str) -> Result<(), KeyRingError> {
        Ok(private::create(path, &self.seal(passphrase)?)?)
    }

    /// Seals the key ring under a passphrase: an age file, scrypt 2^15.
    pub fn seal(&self, passphrase: &str) -> Result<Vec<u8>, KeyRingError> {
        const WRITING: KeyRingError = KeyRingError::Damaged("it cannot be sealed");
        let mut recipient = age::scrypt::Recipient::new(secret(passphrase));
        recipient.set_work_factor(WORK_FACTOR);
        let encryptor =
            age::Encryptor::with_recipients(iter::once(&recipient as _)).map_err(|_| WRITING)?;
        let mut out = Vec::new();
        let mut writer = encryptor.wrap_output(&mut out).map_err(|_| WRITING)?;
        writer
            .write_all(self.to_text().as_bytes())
            .map_err(|_| WRITING)?;
        writer.finish().map_err(|_| WRITING)?;
        Ok(out)
    }

    /// Opens a sealed key ring.
    pub fn open(sealed: &[u8], passphrase: &str) -> Result<KeyRing, KeyRingError> {
        let decryptor = age::Decryptor::new_buffered(sealed)
            .map_err(|_| KeyRingError::Damaged("it is not an age file"))?;
        if !decryptor.is_scrypt() {
            return Err(KeyRingError::Damaged("it is not under a passphrase"));
        }
        let mut identity = age::scrypt::Identity::new(secret(passphrase));
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let mut reader = decryptor
            .decrypt(iter::once(&identity as _))
            .map_err(refusal)?;
        // Fixed size: a buffer that grew would leave copies behind. The
        // plaintext is never longer than the file.
        let mut plain = Zeroizing::new(vec![0; sealed.len()]);
        let length = read_whole(&mut reader, &mut plain)
            .map_err(|_| KeyRingError::Damaged("its contents were altered"))?;
        let text = plain
            .get(..length)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or(KeyRingError::Damaged("it is not text"))?;
        from_text(text)
    }

    // Every part is measured first, so the secret text is written once.
    fn to_text(&self) -> Zeroizing<String> {
        let quote = |text: &str| toml::Value::from(text).to_string();
        let chain: usize = self.chain.iter().map(|der| der.len() * 2 + 8).sum();
        let own = self.identities.iter().map(|k| k.identity.len());
        let restored = self.restored.iter().map(|k| k.len());
        let keys: usize = own.chain(restored).map(|length| length + 100).sum();
        let backup = self.backup.as_deref().unwrap_or("");
        let size =
            chain + keys + self.device_key.len() * 2 + 8 * self.label.len() + backup.len() + 1024;
        let mut text = Zeroizing::new(String::with_capacity(size));
        text.push_str(&format!("version = {VERSION}\n"));
        text.push_str(&format!("account = {}\n", quote(&self.account.to_string())));
        text.push_str(&format!("label = {}\n", quote(&self.label)));
        if let Some(recipient) = &self.backup {
            text.push_str(&format!("backup = {}\n", quote(recipient)));
        }
        push_secret(&mut text, "device_key", &self.device_key);
        push_secret(&mut text, "once", self.once.as_slice());
        let chain: Vec<String> = self
            .chain
            .iter()
            .map(|der| quote(&STANDARD.encode(der)))
            .collect();
        text.push_str(&format!("chain = [{}]\n", chain.join(", ")));
        for key in &self.identities {
            text.push_str("\n[[identity]]\n");
            text.push_str(&format!(
                "epoch = {}\nfrom = {}\nkey = \"",
                key.epoch, key.from
            ));
            text.push_str(&key.identity);
            text.push_str("\"\n");
        }
        for key in &self.restored {
            text.push_str("\n[[restored]]\nkey = \"");
            text.push_str(key);
            text.push_str("\"\n");
        }
        debug_assert!(text.capacity() == size, "the secret text has grown");
        text
    }
}

fn push_secret(text: &mut String, key: &str, bytes: &[u8]) {
    let encoded = Zeroizing::new(STANDARD.encode(bytes));
    text.push_str(key);
    text.push_str(" = \"");
    text.push_str(&encoded);
    text.push_str("\"\n");
}

fn secret(passphrase: &str) -> SecretString {
    SecretString::from(passphrase.to_owned())
}

fn refusal(error: age::DecryptError) -> KeyRingError {
    match error {
        age::DecryptError::ExcessiveWork { .. } => {
            KeyRingError::Damaged("its work factor is too high")
        }
        age::DecryptError::InvalidHeader
        | age::DecryptError::InvalidMac
        | age::DecryptError::UnknownFormat => KeyRingError::Damaged("its header was altered"),
        _ => KeyRingError::Passphrase,
    }
}

fn read_whole(reader: &mut impl Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = into.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Text that is wiped on drop, read from TOML without a copy in between.
struct SecretText(Zeroizing<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(SecretText(Zeroizing::new(String::deserialize(from)?)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    #[serde(rename = "version")]
    _version: u64,
    account: String,
    label: String,
    device_key: SecretText,
    once: SecretText,
    chain: Vec<String>,
    backup: Option<String>,
    #[serde(default)]
    identity: Vec<IdentityFile>,
    #[serde(default)]
    restored: Vec<RestoredFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoredFile {
    key: SecretText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    epoch: u64,
    from: i64,
    key: SecretText,
}

// A later version may have other keys, so its number is read alone.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

fn from_text(text: &str) -> Result<KeyRing, KeyRingError> {
    const FORM: KeyRingError = KeyRingError::Damaged("its contents are not a key ring");
    let version: VersionOnly = toml::from_str(text).map_err(|_| FORM)?;
    if version.version != VERSION {
        return Err(KeyRingError::Version(version.version));
    }
    let file: RingFile = toml::from_str(text).map_err(|_| FORM)?;
    let drawn = decoded(&file.once)?;
    let mut once = Zeroizing::new([0; 32]);
    if drawn.len() != once.len() {
        return Err(FORM);
    }
    once.copy_from_slice(&drawn);
    Ok(KeyRing {
        account: file.account.parse().map_err(|_| FORM)?,
        label: file.label,
        device_key: decoded(&file.device_key)?,
        chain: file
            .chain
            .iter()
            .map(|der| STANDARD.decode(der).map_err(|_| FORM))
            .collect::<Result<_, _>>()?,
        identities: file
            .identity
            .into_iter()
            .map(|key| EpochKey {
                epoch: key.epoch,
                from: key.from,
                identity: key.key.0,
            })
            .collect(),
        restored: file.restored.into_iter().map(|key| key.key.0).collect(),
        backup: file.backup,
        once,
    })
}

fn decoded(text: &SecretText) -> Result<Zeroizing<Vec<u8>>, KeyRingError> {
    STANDARD
        .decode(text.0.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| KeyRingError::Damaged("a key in it is not base64"))
}

#[cfg(test)]
pub(crate) mod tests {
    use rand_core::OsRng;

    use super::*;

    pub(crate) fn ring() -> KeyRing {
        KeyRing {
            account: "rui@repo.example".parse().unwrap(),
            label: "lap\"top\\ \u{e9}\n".into(),
            device_key: Zeroizing::new(vec![1; 138]),
            chain: vec![vec![2; 700], vec![3; 900]],
            identities: (1..=60)
                .map(|epoch| EpochKey {
                    epoch,
                    from: 1_800_000_000 + epoch as i64,
                    identity: Zeroizing::new(format!("AGE-SECRET-KEY-PQ-1{epoch}")),
                })
                .collect(),
            restored: vec![Zeroizing::new("AGE-SECRET-KEY-PQ-1OLD".to_owned()); 3],
            backup: Some("age1pq1x".into()),
            once: KeyRing::draw_once(&mut OsRng),
        }
    }

    #[test]
    fn what_was_sealed_comes_back() {
        let (ring, dir) = (ring(), tempfile::tempdir().unwrap());
        let path = dir.path().join("keys/rui.age");
        ring.save(&path, "correct horse").unwrap();
        let back = KeyRing::load(&path, "correct horse").unwrap();
        assert_eq!(back.account, ring.account);
        assert_eq!(back.label, ring.label);
        assert_eq!(back.device_key, ring.device_key);
        assert_eq!(back.chain, ring.chain);
        assert_eq!(back.once, ring.once);
        assert_eq!(back.identities.len(), 60);
        assert_eq!(back.restored, ring.restored);
        assert_eq!(back.backup, ring.backup);
        let all: Vec<&str> = back.all_identities().collect();
        assert_eq!((all.len(), all[0]), (63, "AGE-SECRET-KEY-PQ-160"));
        let current = back.current().unwrap();
        assert_eq!((current.epoch, current.from), (60, 1_800_000_060));
        assert_eq!(current.identity.as_str(), "AGE-SECRET-KEY-PQ-160");
    }

    #[test]
    fn wrong_passphrase_damage_and_absence_differ() {
        let sealed = ring().seal("right").unwrap();
        let error = KeyRing::open(&sealed, "wrong").err().unwrap();
        assert!(matches!(error, KeyRingError::Passphrase));
        assert_eq!(error.class(), Class::Denied);

        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        let error = KeyRing::open(&altered, "right").err().unwrap();
        assert!(matches!(error, KeyRingError::Damaged(_)));
        let error = KeyRing::open(b"not age", "right").err().unwrap();
        assert!(matches!(error, KeyRingError::Damaged(_)));
        let error = KeyRing::open(&sealed[..sealed.len() - 1], "right")
            .err()
            .unwrap();
        assert!(matches!(error, KeyRingError::Damaged(_)));

        let dir = tempfile::tempdir().unwrap();
        let error = KeyRing::load(&dir.path().join("x"), "").err().unwrap();
        assert_eq!(error.class(), Class::Config);
    }

    #[test]
    fn work_factor_is_fifteen() {
        let sealed = ring().seal("p").unwrap();
        let head = String::from_utf8_lossy(&sealed[..100]).into_owned();
        let stanza = head.lines().nth(1).unwrap();
        assert!(
            stanza.starts_with("-> scrypt ") && stanza.ends_with(" 15"),
            "{stanza}"
        );
    }

    #[test]
    fn other_texts_are_refused() {
        let text = ring().to_text();
        assert!(from_text(&text).is_ok());
        assert!(matches!(
            from_text(&text.replace("version = 1", "version = 2")),
            Err(KeyRingError::Version(2))
        ));
        for other in [
            text.replace("label = ", "lable = "),
            text.replace("repo.example", "../x"),
            text.replace("once = \"", "once = \"AAAA"),
            text.replace("device_key = \"", "device_key = \"?"),
        ] {
            assert!(matches!(from_text(&other), Err(KeyRingError::Damaged(_))));
        }
    }
}
