//! smrd's identity: the public document that clients pin, and the secret keys
//! behind it.
//!
//! The document is not signed: whoever has its fingerprint from a source they
//! trust needs no signature, and whoever has not could not check one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand_core::CryptoRngCore;
use smr_name::{Class, Fingerprint, RepositoryName};
use smr_note::{Signer, public_key};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::kem::{self, KemSecret};
use crate::label::Key;

const DOCUMENT: &str = "smr identity 1";
const KEYS: &str = "smr server keys 1";

/// The longest document, in bytes, that is looked at.
pub const MAX_DOCUMENT: usize = 4096;

/// Says why a text is not an identity document or a key file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdentityError {
    /// Not the expected lines, or not in order.
    #[error("not an identity of a repository, expected the line \"{0}\"")]
    Line(&'static str),
    /// More than the expected lines.
    #[error("an identity of a repository has lines left over")]
    Long,
    /// A value is not what its line announces.
    #[error("an identity of a repository has a bad value in the line \"{0}\"")]
    Value(&'static str),
}

impl IdentityError {
    /// Damaged, wherever the text came from.
    pub fn class(&self) -> Class {
        Class::Forged
    }
}

/// smrd's public identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The repository.
    pub name: RepositoryName,
    /// Static X25519 key.
    pub x25519: [u8; 32],
    /// Static ML-KEM-768 encapsulation key, 1184 bytes.
    pub mlkem: Vec<u8>,
    /// Ed25519 key that verifies warrants.
    pub warrant: [u8; 32],
    /// Ed25519 key that verifies postmarks.
    pub postmark: [u8; 32],
}

impl Identity {
    /// Reads a document; strict: six lines, each ended by LF, one space, base64
    /// with padding (RFC 4648, 4), keys that are keys.
    pub fn parse(text: &str) -> Result<Identity, IdentityError> {
        let mut lines = Lines::new(text, DOCUMENT)?;
        let identity = Identity {
            name: lines.name()?,
            x25519: lines.array("x25519")?,
            mlkem: lines.array::<{ kem::PUBLIC }>("mlkem768")?.to_vec(),
            warrant: lines.array("warrant")?,
            postmark: lines.array("postmark")?,
        };
        lines.finish()?;
        kem::check_public(&identity.mlkem).map_err(|_| IdentityError::Value("mlkem768"))?;
        Ok(identity)
    }

    /// Returns the SHA-256 of the document's text, its final LF included.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.to_string().as_bytes())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{DOCUMENT}\nname {}", self.name)?;
        writeln!(f, "x25519 {}", STANDARD.encode(self.x25519))?;
        writeln!(f, "mlkem768 {}", STANDARD.encode(&self.mlkem))?;
        writeln!(f, "warrant {}", STANDARD.encode(self.warrant))?;
        writeln!(f, "postmark {}", STANDARD.encode(self.postmark))
    }
}

/// Lines of a document, taken one by one.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, title: &'static str) -> Result<Self, IdentityError> {
        let mut lines = Lines { rest: text };
        match lines.line() {
            Some(line) if line == title && text.len() <= MAX_DOCUMENT => Ok(lines),
            _ => Err(IdentityError::Line(title)),
        }
    }

    fn line(&mut self) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    fn value(&mut self, key: &'static str) -> Result<&'a str, IdentityError> {
        self.line()
            .and_then(|line| line.strip_prefix(key)?.strip_prefix(' '))
            .ok_or(IdentityError::Line(key))
    }

    fn name(&mut self) -> Result<RepositoryName, IdentityError> {
        let name = self.value("name")?;
        name.parse().map_err(|_| IdentityError::Value("name"))
    }

    fn array<const N: usize>(&mut self, key: &'static str) -> Result<[u8; N], IdentityError> {
        let mut out = [0; N];
        self.fill(key, &mut out)?;
        Ok(out)
    }

    fn secret<const N: usize>(
        &mut self,
        key: &'static str,
    ) -> Result<Zeroizing<[u8; N]>, IdentityError> {
        let mut out = Zeroizing::new([0; N]);
        self.fill(key, &mut *out)?;
        Ok(out)
    }

    fn fill(&mut self, key: &'static str, out: &mut [u8]) -> Result<(), IdentityError> {
        let text = self.value(key)?;
        let bytes = Zeroizing::new(
            STANDARD
                .decode(text)
                .map_err(|_| IdentityError::Value(key))?,
        );
        match bytes.len() == out.len() {
            true => out.copy_from_slice(&bytes),
            false => return Err(IdentityError::Value(key)),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), IdentityError> {
        match self.rest {
            "" => Ok(()),
            _ => Err(IdentityError::Long),
        }
    }
}

/// smrd's secret keys, wiped when dropped; each is used for one thing only.
pub struct ServerKeys {
    name: RepositoryName,
    x25519: StaticSecret,
    mlkem_seed: Zeroizing<[u8; kem::SEED]>,
    mlkem: KemSecret,
    warrant: Key,
    /// The same, ready to sign.
    warrants: Signer,
    postmark: Key,
    identity: Identity,
}

impl ServerKeys {
    /// Draws the keys of a new repository, 160 bytes: X25519, ML-KEM d and z,
    /// warrant, postmark.
    pub fn generate(name: RepositoryName, rng: &mut dyn CryptoRngCore) -> Self {
        let x25519 = kem::draw(rng);
        let mut seed = Zeroizing::new([0; kem::SEED]);
        rng.fill_bytes(&mut *seed);
        let (warrant, postmark) = (kem::draw(rng), kem::draw(rng));
        ServerKeys::assemble(name, &x25519, seed, warrant, postmark)
    }

    fn assemble(
        name: RepositoryName,
        x25519: &[u8; 32],
        mlkem_seed: Zeroizing<[u8; kem::SEED]>,
        warrant: Key,
        postmark: Key,
    ) -> Self {
        let x25519 = StaticSecret::from(*x25519);
        let mlkem = KemSecret::from_seed(&mlkem_seed);
        let identity = Identity {
            name: name.clone(),
            x25519: kem::x25519_public(&x25519),
            mlkem: mlkem.public(),
            warrant: public_key(&warrant),
            postmark: public_key(&postmark),
        };
        ServerKeys {
            name,
            x25519,
            mlkem_seed,
            mlkem,
            warrants: Signer::from_seed(&warrant),
            warrant,
            postmark,
            identity,
        }
    }

    /// Returns the key file: six lines as in the document, with secrets.
    pub fn encode(&self) -> Zeroizing<String> {
        // Room for all of it: a string that grows leaves copies behind.
        let mut out = Zeroizing::new(String::with_capacity(MAX_DOCUMENT));
        out.push_str(KEYS);
        out.push_str("\nname ");
        out.push_str(self.name.as_str());
        let secrets: [(&str, &[u8]); 4] = [
            ("\nx25519 ", self.x25519.as_bytes()),
            ("\nmlkem768 ", &*self.mlkem_seed),
            ("\nwarrant ", &*self.warrant),
            ("\npostmark ", &*self.postmark),
        ];
        for (key, secret) in secrets {
            out.push_str(key);
            STANDARD.encode_string(secret, &mut out);
        }
        out.push('\n');
        out
    }

    /// Reads a key file, as strict as the document.
    pub fn decode(text: &str) -> Result<Self, IdentityError> {
        let mut lines = Lines::new(text, KEYS)?;
        let name = lines.name()?;
        let x25519 = lines.secret::<32>("x25519")?;
        let seed = lines.secret("mlkem768")?;
        let warrant = lines.secret("warrant")?;
        let postmark = lines.secret("postmark")?;
        lines.finish()?;
        Ok(ServerKeys::assemble(name, &x25519, seed, warrant, postmark))
    }

    /// Returns the public half.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the seed of the Ed25519 key that signs postmarks.
    pub fn postmark_seed(&self) -> &[u8; 32] {
        &self.postmark
    }

    pub(crate) fn warrant_key(&self) -> &Signer {
        &self.warrants
    }

    pub(crate) fn x25519(&self) -> &StaticSecret {
        &self.x25519
    }

    pub(crate) fn mlkem(&self) -> &KemSecret {
        &self.mlkem
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::{Identity, IdentityError, ServerKeys};

    fn keys() -> ServerKeys {
        ServerKeys::generate("repo.example".parse().unwrap(), &mut OsRng)
    }

    #[test]
    fn document_and_key_file_come_back() {
        let keys = keys();
        let text = keys.identity().to_string();
        assert!(text.starts_with("smr identity 1\nname repo.example\nx25519 "));
        assert!(text.len() < super::MAX_DOCUMENT);
        assert_eq!(Identity::parse(&text).as_ref(), Ok(keys.identity()));
        let again = ServerKeys::decode(&keys.encode()).map_err(|e| e.to_string());
        let again = again.unwrap();
        assert_eq!(again.identity(), keys.identity());
        assert_eq!(again.postmark_seed(), keys.postmark_seed());
        assert_eq!(*again.encode(), *keys.encode());
    }

    #[test]
    fn a_fingerprint_covers_the_text() {
        let keys = keys();
        let text = keys.identity().to_string();
        let print = smr_name::Fingerprint::of(text.as_bytes());
        assert_eq!(keys.identity().fingerprint(), print);
        let mut other = keys.identity().clone();
        other.postmark[31] ^= 1;
        assert_ne!(other.fingerprint(), print);
    }

    #[test]
    fn strangers_are_refused() {
        let text = keys().identity().to_string();
        let mut cases = vec![
            String::new(),
            text.replace("identity 1", "identity 2"),
            text.replace("repo.example", "Repo.example"),
            text.replace("name ", "name  "),
            text.replace('\n', "\r\n"),
            text.replace("x25519 ", "x25519 A"),
            text.replace("warrant ", "postmark "),
            text[..text.len() - 1].to_owned(),
            text.clone() + "\n",
            text.clone() + "more\n",
            format!(" {text}"),
        ];
        let lines: Vec<&str> = text.lines().collect();
        for skip in 0..lines.len() {
            let left = lines.iter().enumerate().filter(|(at, _)| *at != skip);
            cases.push(left.map(|(_, line)| format!("{line}\n")).collect());
        }
        for case in cases {
            assert!(Identity::parse(&case).is_err(), "{case}");
        }
    }

    #[test]
    fn an_mlkem_key_above_the_modulus_is_refused() {
        let mut identity = keys().identity().clone();
        identity.mlkem[..3].fill(0xff);
        assert_eq!(
            Identity::parse(&identity.to_string()),
            Err(IdentityError::Value("mlkem768"))
        );
    }

    #[test]
    fn a_document_is_no_key_file() {
        let keys = keys();
        assert!(ServerKeys::decode(&keys.identity().to_string()).is_err());
        assert!(Identity::parse(&keys.encode()).is_err());
        let cut = keys.encode().replace("\npostmark", "\nPostmark");
        assert!(ServerKeys::decode(&cut).is_err());
    }
}
