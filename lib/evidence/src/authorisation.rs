//! Authorisations: a card's word that one device may log in until a stated
//! time (smr-session(7)).
//!
//! Lets nobody in: smrd does, who knows the account. Signs a text that says
//! what it is for, and nothing that anybody else chose.

use smr_name::{Address, Class, Fingerprint};
use smr_pki::cms::{self, CmsError, Content, ContentType, SignRequest};

use crate::lines::{self, LineError, Lines, time_text};
use crate::trust::{Person, Rules, SignedData, Signer, TrustError, TrustStore, verify_card};

/// The longest authorisation, in bytes.
pub const MAX_AUTHORISATION: usize = 32 * 1024;

/// What a card has authorised.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorisation {
    /// For which account, with its repository.
    pub account: Address,
    /// Which device: SHA-256 of its certificate.
    pub device: Fingerprint,
    /// When, unix seconds.
    pub issued: i64,
    /// Until when, unix seconds.
    pub until: i64,
    /// Whose card signed.
    pub person: Person,
}

/// Says why an authorisation was not made or is not believed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorisationError {
    /// It is longer than any.
    #[error("longer than an authorisation can be")]
    Size,
    /// It is not signed, or not so.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// The signed text is none.
    #[error("not an authorisation: {0}")]
    Text(#[from] LineError),
    /// It is signed over something else than a text.
    #[error("not an authorisation: no text")]
    NoText,
    /// The time in the text is not the time of the signature, or the end not
    /// after it.
    #[error("the times in it do not fit")]
    Times,
    /// Signed by a device, which authorises nobody.
    #[error("signed by a device, not by the card itself")]
    Device,
    /// Signed with a key that is not for authentication.
    #[error("signed with a key of the card that is not for authentication")]
    Usage,
    /// The card is not believed.
    #[error("the card that signed it: {0}")]
    Card(#[from] TrustError),
}

impl AuthorisationError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            AuthorisationError::Card(error) => error.class(),
            AuthorisationError::Cms(CmsError::Signer(_)) => Class::Unavailable,
            _ => Class::Forged,
        }
    }
}

/// Has a card authorise a device of `account` from `issued` to `until`, unix
/// seconds; returns the DER, some 4 KiB with the card's chain.
pub fn authorise(
    account: &Address,
    device: &Fingerprint,
    issued: i64,
    until: i64,
    card: &dyn Signer,
) -> Result<Vec<u8>, AuthorisationError> {
    let wrong = AuthorisationError::Times;
    let (Some(from), Some(to)) = (time_text(issued), time_text(until)) else {
        return Err(wrong);
    };
    let text = format!(
        "smr authorisation 1\naccount {account}\ndevice {device}\nissued {from}\nuntil {to}\n"
    );
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Attached(text.as_bytes()),
        signing_time: issued,
        receipt_request: None,
        msg_sig_digest: None,
    };
    let der = cms::sign(&request, card)?;
    // A card that signs something else is found out here, not at the door.
    read(&der)?;
    Ok(der)
}

/// Returns for which device an authorisation is, as it says, and until when;
/// nothing of it is verified but its own signature.
pub fn says(der: &[u8]) -> Result<(Fingerprint, i64), AuthorisationError> {
    let (_, said) = read(der)?;
    Ok((said.device, said.until))
}

/// Verifies an authorisation: its form, its signature, and the card that made
/// it, by `rules` as of now. Whether it is for this account and device, by the
/// right person, and in time, is the caller's to compare.
pub fn open(
    der: &[u8],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Authorisation, AuthorisationError> {
    let (signed, said) = read(der)?;
    let usage = signed.signer().key_usage();
    if usage.is_some_and(|usage| !usage.digital_signature) {
        return Err(AuthorisationError::Usage);
    }
    let vouched = verify_card(signed.signer(), signed.certificates(), store, rules)?;
    Ok(Authorisation {
        account: said.account,
        device: said.device,
        issued: said.issued,
        until: said.until,
        person: vouched.person,
    })
}

/// What the text says.
struct Said {
    account: Address,
    device: Fingerprint,
    issued: i64,
    until: i64,
}

fn read(der: &[u8]) -> Result<(SignedData, Said), AuthorisationError> {
    if der.len() > MAX_AUTHORISATION {
        return Err(AuthorisationError::Size);
    }
    let signed = SignedData::parse(der)?;
    signed.verify_attached()?;
    if signed.signer().proxy().is_some() {
        return Err(AuthorisationError::Device);
    }
    let content = signed
        .content()
        .filter(|_| signed.content_type() == ContentType::Data);
    let text = content.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut lines = Lines::new(text.ok_or(AuthorisationError::NoText)?);
    lines.parsed("smr authorisation", |v| (v == "1").then_some(()))?;
    let said = Said {
        account: lines.parsed("account", |v| {
            let address: Address = v.parse().ok()?;
            (address.repository.is_some() && address.to_string() == v).then_some(address)
        })?,
        device: lines.parsed("device", |v| v.parse().ok())?,
        issued: lines.parsed("issued", lines::time)?,
        until: lines.parsed("until", lines::time)?,
    };
    lines.finish()?;
    match said.issued == signed.signing_time() && said.issued < said.until {
        true => Ok((signed, said)),
        false => Err(AuthorisationError::Times),
    }
}
