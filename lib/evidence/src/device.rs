//! Device certificates: what a card signs so that a key ring may act for it.
//!
//! Holds no key and makes no path: `smr_pki::proxy` and `trust` do.

use smr_name::{Class, MailboxName, RepositoryName};
pub use smr_pki::proxy::{ProxyError, ProxyRequest, issue};

use crate::trust::{Certificate, Person, Rules, TrustError, TrustStore, check_card};

/// Cards of one subject that are looked at for a device.
const CARDS: usize = 8;

/// The longest label of a device, in bytes.
pub const MAX_LABEL: usize = 32;
/// The longest common name an X.509 subject may carry (RFC 5280 A.1).
const MAX_COMMON_NAME: usize = 64;

/// Says why a device certificate is not asked for or not believed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Outside `[A-Za-z0-9][A-Za-z0-9._-]{0,31}`.
    #[error(
        "not a device label, expected 1 to 32 of A-Z a-z 0-9 . _ - beginning with a letter or digit"
    )]
    Label,
    /// Mailbox, repository and label together do not fit into a certificate.
    #[error("{0:?} is longer than the 64 bytes a certificate has room for; choose a shorter label")]
    TooLong(String),
    /// The chain has no card certificate.
    #[error("the chain of the device does not contain its card's certificate")]
    NoCard,
    /// It is another account's.
    #[error("the device certificate is not for {expected}")]
    OtherAccount {
        /// The account asked for.
        expected: String,
    },
    /// A rule of proxies is broken, or the time is over.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The card is not believed.
    #[error(transparent)]
    Card(#[from] TrustError),
}

impl DeviceError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            DeviceError::Label | DeviceError::TooLong(_) => Class::Usage,
            DeviceError::Proxy(ProxyError::Signer(_)) => Class::Unavailable,
            DeviceError::Card(error) => error.class(),
            _ => Class::Forged,
        }
    }
}

/// Checks the label a user chose for a device.
pub fn check_label(label: &str) -> Result<(), DeviceError> {
    let first = label
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    (first && inner && label.len() <= MAX_LABEL)
        .then_some(())
        .ok_or(DeviceError::Label)
}

/// Says what the card shall sign for a new device: the common name
/// `smr NAME@REPOSITORY LABEL` and a policy that says the same.
///
/// Times are unix seconds; the certificate ends with the card's at the latest.
pub fn request(
    name: &MailboxName,
    repository: &RepositoryName,
    label: &str,
    spki: Vec<u8>,
    not_before: i64,
    not_after: i64,
    serial: [u8; 16],
) -> Result<ProxyRequest, DeviceError> {
    check_label(label)?;
    let common_name = common_name(name, repository, label);
    if common_name.len() > MAX_COMMON_NAME {
        return Err(DeviceError::TooLong(common_name));
    }
    Ok(ProxyRequest {
        spki,
        common_name,
        policy: policy(name, repository, label),
        not_before,
        not_after,
        serial,
    })
}

/// Verifies a device's chain (device, card, then authorities) for an account,
/// and returns the person and the device's label.
pub fn verify_chain(
    chain: &[Certificate],
    name: &MailboxName,
    repository: &RepositoryName,
    store: &TrustStore,
    rules: &Rules,
) -> Result<(Person, String), DeviceError> {
    let [device, card, extra @ ..] = chain else {
        return Err(DeviceError::NoCard);
    };
    let label = verify_device(device, card, name, repository, rules)?;
    Ok((check_card(card, extra, store, rules)?, label))
}

/// Verifies a device whose card is somewhere among `others`, the card by
/// `check`, and returns what that says and the device's label.
///
/// Two certificates of one person may bear the same subject, even the same
/// key: up to `CARDS` are tried, and the error is that of the card which did
/// sign the device, where one did. More would let a stranger's record cost a
/// search for paths from each.
pub(crate) fn verify_among<T>(
    device: &Certificate,
    others: &[Certificate],
    name: &MailboxName,
    repository: &RepositoryName,
    rules: &Rules,
    check: &mut dyn FnMut(&Certificate) -> Result<T, TrustError>,
) -> Result<(T, String), DeviceError> {
    let mut closest = DeviceError::NoCard;
    for card in others
        .iter()
        .filter(|c| c.subject_der() == device.issuer_der())
        .take(CARDS)
    {
        let found = verify_device(device, card, name, repository, rules)
            .and_then(|label| Ok((check(card)?, label)));
        match found {
            Ok(found) => return Ok(found),
            Err(error) if closeness(&error) >= closeness(&closest) => closest = error,
            Err(_) => {}
        }
    }
    Err(closest)
}

/// Says how far the search for a device's card came with this error.
fn closeness(error: &DeviceError) -> u8 {
    match error {
        DeviceError::Card(_) => 3,
        DeviceError::Proxy(ProxyError::Expired | ProxyError::NotYetValid) => 2,
        DeviceError::NoCard => 0,
        _ => 1,
    }
}

/// Reads the label a device certificate claims, unverified.
pub(crate) fn claimed_label(device: &Certificate) -> Option<String> {
    let policy = device.proxy()?.policy.as_deref()?;
    let (_, label) = std::str::from_utf8(policy)
        .ok()?
        .strip_suffix('\n')?
        .split_once('\n')?;
    check_label(label).is_ok().then(|| label.to_owned())
}

fn verify_device(
    device: &Certificate,
    card: &Certificate,
    name: &MailboxName,
    repository: &RepositoryName,
    rules: &Rules,
) -> Result<String, DeviceError> {
    let facts = smr_pki::proxy::verify(device, card, moment(device, rules))?;
    let other = || DeviceError::OtherAccount {
        expected: format!("{name}@{repository}"),
    };
    let (account, label) = facts
        .policy
        .strip_suffix('\n')
        .and_then(|p| p.split_once('\n'))
        .ok_or_else(other)?;
    check_label(label)?;
    if account != format!("{name}@{repository}")
        || facts.common_name != common_name(name, repository, label)
    {
        return Err(other());
    }
    Ok(label.to_owned())
}

/// Returns the time at which a device must be valid: that of the signature in
/// question, or now. One enrolled by a clock a little ahead of ours is valid.
fn moment(device: &Certificate, rules: &Rules) -> i64 {
    let time = rules.signed.unwrap_or(rules.now);
    let early = device.not_before().saturating_sub(time);
    match (1..=rules.clock_skew).contains(&early) {
        true => device.not_before(),
        false => time,
    }
}

fn common_name(name: &MailboxName, repository: &RepositoryName, label: &str) -> String {
    format!("smr {name}@{repository} {label}")
}

fn policy(name: &MailboxName, repository: &RepositoryName, label: &str) -> String {
    format!("{name}@{repository}\n{label}\n")
}

#[cfg(test)]
mod tests {
    use super::{DeviceError, check_label, request};

    #[test]
    fn plain_labels_pass() {
        for label in ["a", "laptop", "Rui-2.old_one", "x".repeat(32).as_str()] {
            assert!(check_label(label).is_ok(), "{label}");
        }
    }

    #[test]
    fn other_labels_are_refused() {
        for label in [
            "",
            "-a",
            ".a",
            "a b",
            "a\n",
            "a/b",
            "caf\u{e9}",
            "x".repeat(33).as_str(),
        ] {
            assert!(
                matches!(check_label(label), Err(DeviceError::Label)),
                "{label:?}"
            );
        }
    }

    #[test]
    fn requests_name_account_and_device() {
        let (name, repository) = ("rui".parse().unwrap(), "repo.example".parse().unwrap());
        let request = request(&name, &repository, "laptop", vec![1], 1, 2, [3; 16]).unwrap();
        assert_eq!(request.common_name, "smr rui@repo.example laptop");
        assert_eq!(request.policy, "rui@repo.example\nlaptop\n");
        assert_eq!((request.not_before, request.not_after), (1, 2));
    }

    #[test]
    fn long_names_are_refused_not_cut() {
        let name = "rui".parse().unwrap();
        // "smr rui@" and " laptop" leave 49 bytes of the 64 for the repository.
        let fits = "r".repeat(49).parse().unwrap();
        assert!(request(&name, &fits, "laptop", vec![], 1, 2, [3; 16]).is_ok());
        let long = "r".repeat(50).parse().unwrap();
        assert!(matches!(
            request(&name, &long, "laptop", vec![], 1, 2, [3; 16]),
            Err(DeviceError::TooLong(_))
        ));
    }
}
