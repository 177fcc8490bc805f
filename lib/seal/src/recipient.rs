//! Recipients of either kind, and the rule that they are never mixed.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use age::EncryptError;
use age_core::format::FileKey;

use crate::{PqRecipient, SealError, Stanza};

/// The most recipients of one sealed file: whoever opens it tries each.
pub const MAX_RECIPIENTS: usize = 1000;

/// The kinds of keys; a sealed file has recipients of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// ML-KEM-768 with X25519.
    #[default]
    PostQuantum,
    /// X25519 alone, for programs that know no other.
    Classic,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::PostQuantum => "post-quantum",
            Kind::Classic => "classic",
        })
    }
}

/// Somebody to seal to: a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// ML-KEM-768 with X25519.
    PostQuantum(PqRecipient),
    /// X25519 alone.
    Classic(age::x25519::Recipient),
}

impl Recipient {
    /// Parses `age1pq1...` or `age1...`.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        if text.starts_with("age1pq1") {
            return PqRecipient::parse(text).map(Recipient::PostQuantum);
        }
        let key: age::x25519::Recipient = text.parse().map_err(|_| SealError::Recipient)?;
        // One spelling only, as for the post-quantum kind.
        (key.to_string() == text)
            .then_some(Recipient::Classic(key))
            .ok_or(SealError::Recipient)
    }

    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Recipient::PostQuantum(_) => Kind::PostQuantum,
            Recipient::Classic(_) => Kind::Classic,
        }
    }
}

impl FromStr for Recipient {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        Recipient::parse(text)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipient::PostQuantum(key) => key.fmt(f),
            Recipient::Classic(key) => key.fmt(f),
        }
    }
}

impl age::Recipient for Recipient {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        match self {
            Recipient::PostQuantum(key) => key.wrap_file_key(file_key),
            Recipient::Classic(key) => key.wrap_file_key(file_key),
        }
    }
}

/// Checks that there is someone to seal to, that all are of one kind, and at
/// most [`MAX_RECIPIENTS`].
pub fn check_unmixed(recipients: &[Recipient]) -> Result<(), SealError> {
    let first = recipients.first().ok_or(SealError::NoRecipients)?;
    if recipients.len() > MAX_RECIPIENTS {
        return Err(SealError::TooMany);
    }
    let same = |r: &Recipient| r.kind() == first.kind();
    recipients
        .iter()
        .all(same)
        .then_some(())
        .ok_or(SealError::Mixed)
}

#[cfg(test)]
mod tests {
    use super::{MAX_RECIPIENTS, Recipient, check_unmixed};
    use crate::{Identity, SealError};
    use rand_core::OsRng;

    #[test]
    fn both_kinds_come_back() {
        for identity in [
            Identity::generate_pq(&mut OsRng),
            Identity::generate_classic(&mut OsRng),
        ] {
            let text = identity.to_recipient().to_string();
            assert_eq!(text.parse::<Recipient>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let classic = Identity::generate_classic(&mut OsRng).to_recipient();
        let upper = classic.to_string().to_uppercase();
        for text in ["", "age1", "age1pq1", "ssh-ed25519 AAAA", &upper] {
            assert_eq!(Recipient::parse(text), Err(SealError::Recipient), "{text}");
        }
    }

    #[test]
    fn crowds_are_refused() {
        let one = Identity::generate_classic(&mut OsRng).to_recipient();
        assert_eq!(check_unmixed(&vec![one.clone(); MAX_RECIPIENTS]), Ok(()));
        let crowd = vec![one; MAX_RECIPIENTS + 1];
        assert_eq!(check_unmixed(&crowd), Err(SealError::TooMany));
    }

    #[test]
    fn kinds_are_not_mixed() {
        let pq = Identity::generate_pq(&mut OsRng).to_recipient();
        let classic = Identity::generate_classic(&mut OsRng).to_recipient();
        assert_eq!(check_unmixed(&[pq.clone(), pq.clone()]), Ok(()));
        assert_eq!(check_unmixed(&[classic.clone(), classic.clone()]), Ok(()));
        assert_eq!(check_unmixed(&[pq, classic]), Err(SealError::Mixed));
        assert_eq!(check_unmixed(&[]), Err(SealError::NoRecipients));
    }
}
