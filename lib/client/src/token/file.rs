//! Key files: PKCS#12, or PEM with a private key and its certificates.
//!
//! Signs through lib/pki, whose signatures take constant time; never writes a
//! key, and wipes what it read of one.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::{KeyStore, KeyStoreEntry};
use smr_evidence::trust::{Certificate, KeyError, Signer, SoftKey};
use zeroize::Zeroizing;

use super::{AskPin, PinPrompt, Purpose, TokenError, chain_of, der, fits};
use crate::private;

const LIMIT: u64 = 1 << 20;

/// Opens the key file at `path`; `ask` is called where it has a password.
pub(super) fn open(
    path: &Path,
    purpose: Purpose,
    ask: &mut AskPin,
) -> Result<Box<dyn Signer>, TokenError> {
    let bytes =
        private::read_secret(path, LIMIT)?.ok_or_else(|| TokenError::NoFile(path.to_owned()))?;
    let file = KeyFile { path, purpose };
    let is_pem = bytes.windows(11).any(|window| window == b"-----BEGIN ");
    let key = if is_pem {
        file.open_pem(&bytes, ask)?
    } else {
        file.open_pkcs12(&bytes, ask)?
    };
    Ok(Box::new(key))
}

struct KeyFile<'a> {
    path: &'a Path,
    purpose: Purpose,
}

impl KeyFile<'_> {
    fn name(&self) -> String {
        format!("\"{}\"", self.path.display())
    }

    fn wrong(&self, why: impl Into<String>) -> TokenError {
        TokenError::FileForm {
            path: self.path.to_owned(),
            why: why.into(),
        }
    }

    fn password(&self, ask: &mut AskPin) -> Result<Zeroizing<String>, TokenError> {
        let prompt = PinPrompt {
            of: self.name(),
            is_file: true,
            few_tries: false,
            last_try: false,
        };
        Ok(ask(&prompt)?.text)
    }

    fn password_wrong(&self) -> TokenError {
        TokenError::PinWrong {
            of: self.name(),
            is_file: true,
            last_try: false,
        }
    }

    fn certificate(&self, der: &[u8]) -> Result<Certificate, TokenError> {
        Certificate::from_der(der).map_err(|source| TokenError::Certificate {
            of: self.name(),
            source,
        })
    }

    /// Finds the certificate of `key` in `pool` by its public key.
    fn join(&self, key: &[u8], pool: &[Certificate]) -> Result<SoftKey, TokenError> {
        let mut unusable = false;
        for leaf in pool {
            match SoftKey::from_pkcs8(key, leaf.clone(), chain_of(leaf, pool)) {
                Ok(_) if !fits(leaf, self.purpose) => {
                    return Err(TokenError::NoCertificate(self.name()));
                }
                Ok(joined) => return Ok(joined),
                Err(KeyError::Mismatch) => {}
                Err(KeyError::Unusable | KeyError::Random) => unusable = true,
            }
        }
        Err(if unusable {
            TokenError::KeyKind {
                of: self.name(),
                kind: "expected RSA of 2048 to 4096 bits, P-256 or P-384".into(),
            }
        } else {
            self.wrong("no certificate belongs to the private key")
        })
    }

    fn open_pkcs12(&self, bytes: &[u8], ask: &mut AskPin) -> Result<SoftKey, TokenError> {
        use p12_keystore::error::Error;
        let is_password = |error: &Error| {
            matches!(
                error,
                Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError
            )
        };
        let broken = |error: Error| self.wrong(format!("expected PKCS#12 or PEM ({error})"));
        let store = match KeyStore::from_pkcs12(bytes, "") {
            Err(error) if is_password(&error) => {
                let password = self.password(ask)?;
                KeyStore::from_pkcs12(bytes, &password).map_err(|error| {
                    if is_password(&error) {
                        self.password_wrong()
                    } else {
                        broken(error)
                    }
                })?
            }
            opened => opened.map_err(broken)?,
        };
        self.key_of(&store)
    }

    // A file may hold several keys; the first that fits, by name, is taken.
    fn key_of(&self, store: &KeyStore) -> Result<SoftKey, TokenError> {
        let mut entries: Vec<_> = store.entries().collect();
        entries.sort_by_key(|(alias, _)| alias.as_str());
        let mut first_error = None;
        for (_, entry) in entries {
            let KeyStoreEntry::PrivateKeyChain(chain) = entry else {
                continue;
            };
            let pool = chain
                .chain()
                .iter()
                .map(|certificate| self.certificate(certificate.as_der()))
                .collect::<Result<Vec<_>, _>>()?;
            match self.join(chain.key(), &pool) {
                Ok(key) => return Ok(key),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| TokenError::NoKey(self.name())))
    }

    fn open_pem(&self, bytes: &[u8], ask: &mut AskPin) -> Result<SoftKey, TokenError> {
        let text = std::str::from_utf8(bytes).map_err(|_| self.wrong("the PEM is not text"))?;
        let blocks = blocks(text).ok_or_else(|| self.wrong("the PEM is damaged"))?;
        let pool = blocks
            .iter()
            .filter(|block| block.label == "CERTIFICATE")
            .map(|block| self.certificate(&block.der))
            .collect::<Result<Vec<_>, _>>()?;
        let key = blocks
            .iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
            .ok_or_else(|| TokenError::NoKey(self.name()))?;
        if pool.is_empty() {
            return Err(self.wrong("expected the certificate beside the private key"));
        }
        let pkcs8 = self.pkcs8(key, ask)?;
        self.join(&pkcs8, &pool)
    }

    fn pkcs8(&self, block: &Block, ask: &mut AskPin) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        match block.label {
            "PRIVATE KEY" => Ok(block.der.clone()),
            "RSA PRIVATE KEY" => Ok(der::pkcs8_of_rsa(&block.der)),
            "EC PRIVATE KEY" => der::pkcs8_of_ec(&block.der)
                .ok_or_else(|| self.wrong("the EC key names no curve, expected PKCS#8")),
            "ENCRYPTED PRIVATE KEY" => self.decrypt(&block.der, ask),
            label => Err(self.wrong(format!("\"{label}\" is not used here, expected PKCS#8"))),
        }
    }

    fn decrypt(&self, info: &[u8], ask: &mut AskPin) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let unread = || self.wrong("the key's encryption is not used here, expected PBES2");
        let (algorithm, data) = der::encrypted_parts(info).ok_or_else(unread)?;
        let scheme = pkcs5::EncryptionScheme::try_from(algorithm).map_err(|_| unread())?;
        if scheme.pbes2().is_none() {
            return Err(unread());
        }
        let password = self.password(ask)?;
        match scheme
            .decrypt(password.as_bytes(), data)
            .map(Zeroizing::new)
        {
            // A wrong password leaves right padding once in 256 times.
            Ok(key) if der::is_sequence(&key) => Ok(key),
            // pkcs5 0.7.1 calls wrong padding a failure to encrypt.
            Ok(_) | Err(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed) => {
                Err(self.password_wrong())
            }
            Err(_) => Err(unread()),
        }
    }
}

/// One block of a PEM file (RFC 7468).
struct Block<'a> {
    label: &'a str,
    der: Zeroizing<Vec<u8>>,
}

// None if a block has no end, or is not base64: so also for keys under the
// old "Proc-Type: 4,ENCRYPTED".
fn blocks(text: &str) -> Option<Vec<Block<'_>>> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = delimiter(line, "-----BEGIN ") else {
            continue;
        };
        let mut body = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            let line = lines.next()?;
            match delimiter(line, "-----END ") {
                Some(end) if end == label => break,
                Some(_) => return None,
                None => body.push_str(line),
            }
        }
        let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
        found.push(Block { label, der });
    }
    Some(found)
}

fn delimiter<'a>(line: &'a str, begin: &str) -> Option<&'a str> {
    line.strip_prefix(begin)?.strip_suffix("-----")
}

/// Returns the command that makes a key file we read.
pub(super) fn hint(path: &Path) -> String {
    let path = path.display();
    format!("openssl pkcs12 -export -in \"{path}\" -out NEW.p12 makes a file that is read")
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn blocks_are_read_with_their_labels() {
        let text = "x\n-----BEGIN A-----\r\nAQID\r\n-----END A-----\n\
                    -----BEGIN B C-----\nBA==\n-----END B C-----";
        let found = blocks(text).unwrap();
        let found: Vec<_> = found.iter().map(|b| (b.label, b.der.to_vec())).collect();
        assert_eq!(found, [("A", vec![1, 2, 3]), ("B C", vec![4])]);
    }

    #[test]
    fn damaged_blocks_are_none() {
        for text in [
            "-----BEGIN A-----\nAQID\n",
            "-----BEGIN A-----\nAQID\n-----END B-----",
            "-----BEGIN A-----\n?\n-----END A-----",
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END A-----",
        ] {
            assert!(blocks(text).is_none(), "{text}");
        }
    }
}
