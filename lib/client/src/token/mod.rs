//! Tokens: a card or a key file that signs for a person.
//!
//! TOKEN is `file:PATH`, a `pkcs11:` URI (RFC 7512) or a profile's name. PINs
//! come from the caller, live in wiped memory, and are never tried twice.

mod der;
mod file;
pub mod pcscd;
mod pkcs11;
pub mod profile;
pub mod uri;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use smr_evidence::trust::{Certificate, CertificateError, Signer};
use smr_name::Class;
use zeroize::Zeroizing;

use self::pcscd::Pcscd;
use self::profile::Profile;
use self::uri::{Uri, UriError};
use crate::config::Settings;
use crate::private::PrivateError;

/// The word for "whatever there is".
const AUTO: &str = "auto";

/// Where a signing key is.
#[derive(Clone, Debug)]
pub struct Token {
    place: Place,
    module: Option<PathBuf>,
    wait: Duration,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Uri(Box<Uri>),
    Profile(&'static Profile),
    Auto,
}

/// What a key is wanted for, as key usage says it (RFC 5280 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Enrolment: digitalSignature.
    Authentication,
    /// Signatures of class Q: nonRepudiation, else digitalSignature.
    Signature,
}

/// A question for a PIN or password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinPrompt {
    /// As in `token "Card"`, or the path of the file in quotes.
    pub of: String,
    /// A PKCS#12 or PEM password instead of a token's PIN.
    pub is_file: bool,
    /// Some tries have failed already.
    pub few_tries: bool,
    /// A wrong PIN now locks the token: only a person may answer.
    pub last_try: bool,
}

/// A PIN or password as it came.
pub struct Pin {
    /// The text, without line end.
    pub text: Zeroizing<String>,
    /// Typed by a person just now, rather than read from a file or program.
    pub by_hand: bool,
}

/// Says why there is no PIN.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NoPin {
    /// In words.
    pub text: String,
    /// What a script may conclude.
    pub class: Class,
    /// A command or a question that helps, if there is one.
    pub hint: Option<String>,
}

/// Asks for a PIN; called at most once for each login.
pub type AskPin<'a> = dyn FnMut(&PinPrompt) -> Result<Pin, NoPin> + 'a;

/// Says why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// TOKEN is not well formed.
    #[error("not a token \"{text}\", expected file:PATH, a pkcs11: URI, or one of {profiles}")]
    Form {
        /// What was said.
        text: String,
        /// What may be said.
        profiles: String,
    },
    /// A PKCS#11 URI is not well formed.
    #[error("not a PKCS#11 URI \"{text}\": {source}")]
    Uri {
        /// What was said.
        text: String,
        /// What is wrong with it.
        source: UriError,
    },
    /// No module, by any of its names.
    #[error("no PKCS#11 module found, looked for {0}")]
    NoModule(String),
    /// The module does not load.
    #[error("the PKCS#11 module \"{}\" does not load: {why}", path.display())]
    ModuleBroken {
        /// Which.
        path: PathBuf,
        /// What the loader or the module says.
        why: String,
    },
    /// No token that meets the description.
    #[error("no token found for {0}")]
    NoToken(String),
    /// No reader is seen, and here is why.
    #[error("no reader is seen for {of}: {}", pcscd.fault().unwrap_or("there is none"))]
    NoReader {
        /// What was wanted.
        of: String,
        /// What became of the service that readers need.
        pcscd: Pcscd,
    },
    /// The token or file has no certificate for this use.
    #[error("{0} has no certificate that may sign")]
    NoCertificate(String),
    /// More than one key would do.
    #[error("more than one key fits: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// A certificate without its key.
    #[error("{0} has a certificate but not its private key")]
    NoKey(String),
    /// The PIN or password is wrong.
    #[error("the {} of {of} is wrong", if *is_file { "password" } else { "PIN" })]
    PinWrong {
        /// Token or file.
        of: String,
        /// A password, not a PIN.
        is_file: bool,
        /// The token says that one try is left.
        last_try: bool,
    },
    /// The token accepts no PIN any more.
    #[error("the PIN of {0} is locked")]
    PinLocked(String),
    /// One try is left, and no person to take it.
    #[error("the PIN of {0} has one try left, it is only taken by hand")]
    LastTry(String),
    /// There is no PIN.
    #[error(transparent)]
    NoPin(#[from] NoPin),
    /// The card was taken out, or its reader.
    #[error("{0} was taken out")]
    Removed(String),
    /// Its reader does not answer.
    #[error("{of} does not answer: {why}")]
    Silent {
        /// Token or reader.
        of: String,
        /// What the module says.
        why: String,
    },
    /// A kind of key we do not use.
    #[error("{of} has a key of a kind we do not use: {kind}")]
    KeyKind {
        /// Token or file.
        of: String,
        /// Which kind.
        kind: String,
    },
    /// The token failed.
    #[error("{of} failed to {operation}: {why}")]
    Failed {
        /// Token or module.
        of: String,
        /// What was tried.
        operation: &'static str,
        /// What it says.
        why: String,
    },
    /// There is no such key file.
    #[error("there is no file \"{}\"", .0.display())]
    NoFile(PathBuf),
    /// The file cannot be read.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The file is not a key file of ours.
    #[error("\"{}\": {why}", path.display())]
    FileForm {
        /// Which.
        path: PathBuf,
        /// What was expected.
        why: String,
    },
    /// A certificate cannot be read.
    #[error("{of}: {source}")]
    Certificate {
        /// Token or file.
        of: String,
        /// What is wrong with it.
        source: CertificateError,
    },
}

impl TokenError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        match self {
            TokenError::Form { .. } | TokenError::Uri { .. } | TokenError::Ambiguous(_) => {
                Class::Usage
            }
            TokenError::NoModule(_)
            | TokenError::ModuleBroken { .. }
            | TokenError::NoToken(_)
            | TokenError::NoReader { .. }
            | TokenError::NoCertificate(_)
            | TokenError::NoKey(_)
            | TokenError::Removed(_)
            | TokenError::Silent { .. }
            | TokenError::KeyKind { .. }
            | TokenError::Failed { .. } => Class::Unavailable,
            TokenError::PinWrong { .. } | TokenError::PinLocked(_) | TokenError::LastTry(_) => {
                Class::Denied
            }
            TokenError::NoPin(error) => error.class,
            TokenError::NoFile(_) => Class::Missing,
            TokenError::Private(error) => error.class(),
            TokenError::FileForm { .. } | TokenError::Certificate { .. } => Class::Forged,
        }
    }

    /// Tells whether asking again in another way is of no use, or would be rude.
    fn is_final(&self) -> bool {
        matches!(
            self,
            TokenError::Removed(_)
                | TokenError::NoPin(_)
                | TokenError::PinWrong { .. }
                | TokenError::PinLocked(_)
        )
    }

    /// Returns a command or a question that helps, if there is one.
    pub fn hint(&self) -> Option<String> {
        let fixed = match self {
            TokenError::NoModule(_) => {
                "install the card's software, or name its file in module-path="
            }
            TokenError::NoToken(_) => return Some(pcscd::look().question()),
            TokenError::NoReader { pcscd, .. } => pcscd.hint(),
            TokenError::Removed(_) => "is the card in the reader? try again",
            TokenError::Silent { .. } => {
                "is another program using the card? close it and try again"
            }
            TokenError::NoCertificate(_) | TokenError::NoKey(_) => {
                "smr-register --tokens lists what there is"
            }
            TokenError::Ambiguous(_) => "name one of them with --token",
            TokenError::PinWrong { last_try: true, .. } => {
                "type it with care: one try is left, then the token locks its PIN"
            }
            TokenError::PinLocked(_) => "unlock it with its PUK and its maker's software",
            TokenError::LastTry(_) => "run the command again in a terminal and type the PIN",
            TokenError::Failed { .. } => "is the card in the reader, and used by nothing else?",
            TokenError::FileForm { path, .. } => return Some(file::hint(path)),
            TokenError::NoPin(error) => return error.hint.clone(),
            _ => return None,
        };
        Some(fixed.to_owned())
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let place = if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            (!path.is_empty()).then(|| Place::File(path.into()))
        } else if text.starts_with("pkcs11:") {
            let uri = text.parse().map_err(|source| TokenError::Uri {
                // A PIN in it must not be said again.
                text: if text.contains("pin-") {
                    "pkcs11:..."
                } else {
                    text
                }
                .to_owned(),
                source,
            })?;
            Some(Place::Uri(Box::new(uri)))
        } else if text == AUTO {
            Some(Place::Auto)
        } else {
            profile::named(text).map(Place::Profile)
        };
        let place = place.ok_or_else(|| TokenError::Form {
            text: text.to_owned(),
            profiles: profile_names(),
        })?;
        Ok(Token {
            place,
            module: None,
            wait: Duration::ZERO,
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "file:{}", path.display()),
            Place::Uri(uri) => uri.fmt(f),
            Place::Profile(profile) => f.write_str(&profile.name),
            Place::Auto => f.write_str(AUTO),
        }
    }
}

fn profile_names() -> String {
    let names = profile::all();
    let names = names.iter().map(|profile| profile.name.as_str());
    [AUTO]
        .into_iter()
        .chain(names)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Token {
    /// Means whatever there is.
    pub fn anything() -> Token {
        Token {
            place: Place::Auto,
            module: None,
            wait: Duration::ZERO,
        }
    }

    /// Loads this PKCS#11 module instead of the profile's; `module-path=` in
    /// a URI still wins.
    #[must_use]
    pub fn with_module(mut self, module: Option<&Path>) -> Token {
        self.module = module.map(Path::to_owned);
        self
    }

    /// Waits so many seconds for a card to appear.
    #[must_use]
    pub fn with_wait(mut self, seconds: u64) -> Token {
        self.wait = Duration::from_secs(seconds);
        self
    }

    /// Tells whether this is a key file rather than a token.
    pub fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }
}

/// Returns what a token or key file said, where that is why a signature could
/// not be made.
pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TokenError> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(<dyn std::error::Error>::downcast_ref)
}

/// Returns the token that the settings name, or whatever there is.
pub fn configured(settings: &Settings) -> Result<Token, TokenError> {
    let token: Token = settings.token.as_deref().unwrap_or(AUTO).parse()?;
    Ok(token
        .with_module(settings.module.as_deref())
        .with_wait(settings.wait))
}

/// Opens a token for enrolment: its authentication key, logged in.
///
/// `pin` is called at most once, and not at all where no PIN is needed or the
/// token asks for it itself.
pub fn open(token: &Token, pin: &mut AskPin) -> Result<Box<dyn Signer>, TokenError> {
    open_for(token, Purpose::Authentication, pin)
}

/// Opens a token's key for `purpose`, as [`open`] does.
pub fn open_for(
    token: &Token,
    purpose: Purpose,
    pin: &mut AskPin,
) -> Result<Box<dyn Signer>, TokenError> {
    match &token.place {
        Place::File(path) => file::open(path, purpose, pin),
        _ => pkcs11::open(token, purpose, pin),
    }
}

/// One line of what there is: a reader, the token in it, a certificate on it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The reader's name.
    pub reader: String,
    /// The module that shows it.
    pub module: PathBuf,
    /// The token in it, if there is one.
    pub token: Option<TokenState>,
    /// A certificate on it.
    pub certificate: Option<ListedCertificate>,
}

/// What a token says of itself.
#[derive(Clone, Debug)]
pub struct TokenState {
    /// Its label.
    pub label: String,
    /// Whether it is ready for use.
    pub initialised: bool,
    /// What became of its PIN.
    pub pin: PinState,
}

/// How many tries a PIN has left, as far as a token tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// Nothing is wrong with it.
    Good,
    /// None was set yet.
    NotSet,
    /// A wrong one was given since the last right one.
    FewTries,
    /// One try is left.
    LastTry,
    /// None is accepted any more.
    Locked,
}

/// A certificate with a key, and what smr can do with it.
#[derive(Clone, Debug)]
pub struct ListedCertificate {
    /// Names it for `--token`.
    pub uri: Uri,
    /// Its label on the token.
    pub label: String,
    /// Its subject.
    pub subject: String,
    /// End of its validity, unix seconds.
    pub not_after: i64,
    /// It may be used to enrol devices.
    pub enrols: bool,
    /// It may be used for signatures one stands by.
    pub signs: bool,
    /// Why it is of no use, where it is not.
    pub useless: Option<&'static str>,
}

/// Lists the readers, tokens and certificates that `token` may mean (all there
/// are for [`Token::anything`] and for a key file), without a PIN, and what kept
/// us from some; `now` is unix seconds.
pub fn list(token: &Token, now: i64) -> Result<(Vec<Listed>, Vec<TokenError>), TokenError> {
    pkcs11::list(token, now)
}

/// Tells whether a certificate's key may be used for `purpose`; a certificate
/// without key usage may be used for anything, an authority's for nothing.
fn fits(certificate: &Certificate, purpose: Purpose) -> bool {
    let usage = certificate.key_usage();
    !certificate.is_ca()
        && usage.is_none_or(|usage| match purpose {
            Purpose::Authentication => usage.digital_signature,
            Purpose::Signature => usage.non_repudiation || usage.digital_signature,
        })
}

/// Returns the issuers of `leaf` found in `pool`, nearest first, without the
/// anchor.
fn chain_of(leaf: &Certificate, pool: &[Certificate]) -> Vec<Certificate> {
    // Longer chains do not exist in practice; cross-certificates may circle.
    const LONGEST: usize = 8;
    let mut chain: Vec<Certificate> = Vec::new();
    while chain.len() < LONGEST {
        let last = chain.last().unwrap_or(leaf);
        let issuer = pool.iter().find(|c| {
            c.subject_der() == last.issuer_der() && !c.is_self_issued() && !chain.contains(c)
        });
        match issuer {
            Some(issuer) if issuer != leaf => chain.push(issuer.clone()),
            _ => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_apart() {
        for (text, shown) in [
            ("file:/a/b.p12", "file:/a/b.p12"),
            ("file:///a/b.p12", "file:/a/b.p12"),
            ("file:rel.pem", "file:rel.pem"),
            ("pkcs11:token=x", "pkcs11:token=x"),
            ("softhsm", "softhsm"),
            ("auto", "auto"),
        ] {
            let token: Token = text.parse().unwrap();
            assert_eq!(token.to_string(), shown);
            assert_eq!(token.is_file(), text.starts_with("file:"));
        }
    }

    #[test]
    fn other_texts_name_what_may_be_said() {
        for text in ["", "file:", "/a/b.p12", "cart\u{e3}o"] {
            let error = text.parse::<Token>().unwrap_err();
            assert_eq!(error.class(), Class::Usage);
            assert!(error.to_string().contains("softhsm"), "{error}");
        }
        let error = "pkcs11:?pin-value=1".parse::<Token>().unwrap_err();
        assert!(error.to_string().contains("--pin-file"), "{error}");
    }

    #[test]
    fn a_pin_in_a_uri_is_not_said_again() {
        for text in [
            "pkcs11:token=a?pin-value=8461",
            "pkcs11:pin-value=8461",
            "pkcs11:token=%x?pin-value=8461",
            "pkcs11:token=a?pin-value=8461&pin-value=8461",
        ] {
            let error = text.parse::<Token>().unwrap_err();
            assert!(!error.to_string().contains("8461"), "{error}");
        }
    }
}
