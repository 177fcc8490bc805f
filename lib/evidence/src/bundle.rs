//! Evidence bundles: a message, its receipts and all that proves them, in one
//! zip with a script that needs only openssl.
//!
//! Believes nothing it carries: the anchors are the reader's own. Writes no
//! file and unpacks none; names in a zip are only looked up, never followed.

mod archive;
mod verify;

use std::collections::BTreeMap;
use std::io;

use smr_name::{Address, Class, MessageId};
use smr_note::succession::SuccessionError;

pub use archive::{Content, dated, read, stamp_name, write};
pub use verify::{Received, Refusing, Report, Stamped, verify};

use crate::account::AccountError;
use crate::envelope::{EnvelopeError, io_class};
use crate::lines::LineError;
use crate::postmark::PostmarkError;
use crate::reading::ReadingError;
use crate::receipt::ReceiptError;
use crate::refusal::RefusalError;
use crate::trust::{Certificate, CmsError, Crl, MaterialError, Ocsp, StampError};

/// Holds everything of a bundle but the message itself.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Which message it is about.
    pub id: MessageId,
    /// Who sent it, with repository.
    pub sender: Address,
    /// When the bundle was made, unix seconds: its lists are of that time, or
    /// of before.
    pub time: i64,
    /// The sender's CMS SignedData, DER, without the content.
    pub signature: Vec<u8>,
    /// The receipts.
    pub receipts: Vec<Given>,
    /// The refusals.
    pub refusals: Vec<Given>,
    /// The postmarks, signed notes.
    pub postmarks: Vec<String>,
    /// The identity documents of the repository, which have the keys of
    /// postmarks: a chain of successions.
    pub identity: Option<String>,
    /// The account records of sender and addressees, CMS DER.
    pub accounts: Vec<(Address, Vec<u8>)>,
    /// Time stamps (RFC 3161), DER, on receipts, refusals and postmarks: by the
    /// SHA-256 of what each is on.
    pub stamps: BTreeMap<[u8; 32], Vec<u8>>,
    /// The anchors the maker trusts; the reader brings his own.
    pub anchors: Vec<Certificate>,
    /// Further anchors of the maker's, for time stamps alone.
    pub clocks: Vec<Certificate>,
    /// Certificates of other authorities.
    pub intermediates: Vec<Certificate>,
    /// Revocation lists, of about the time of signing.
    pub crls: Vec<Crl>,
    /// OCSP answers, of about the time of signing.
    pub ocsp: Vec<Ocsp>,
}

/// Holds one receipt or refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Who gave it, with repository.
    pub by: Address,
    /// The CMS SignedData, DER, with what was signed attached.
    pub der: Vec<u8>,
}

/// Says why a bundle was not written or not believed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The zip, or what it is written to or read from, fails.
    #[error("{operation} the bundle: {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// No zip file that can be read.
    #[error("not a bundle: {0}")]
    Zip(String),
    /// A file belongs there and is missing.
    #[error("the bundle has no {0:?}")]
    Absent(&'static str),
    /// A file is there that no bundle has, or it is too long.
    #[error("the bundle has a file {0:?} that does not belong there")]
    Stray(String),
    /// A file is not what its name says.
    #[error("{file:?} in the bundle: {why}")]
    Damaged {
        /// Its name.
        file: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The list of contents is not one.
    #[error("\"bundle.txt\" in the bundle: {0}")]
    Text(#[from] LineError),
    /// Certificates or lists cannot be read.
    #[error("the certificates of the bundle: {0}")]
    Material(#[from] MaterialError),
    /// The message does not verify.
    #[error("the message does not verify: {0}")]
    Message(#[source] EnvelopeError),
    /// The signature of a message left out does not verify.
    #[error("the signature of the message does not verify: {0}")]
    Signature(#[source] CmsError),
    /// The message is not the one the bundle is about.
    #[error("the message does not fit the bundle: {0}")]
    Mismatch(&'static str),
    /// An account record does not verify.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A record that is needed is missing.
    #[error("the bundle has no account record of {0}")]
    NoAccount(String),
    /// The sender is not who he should be.
    #[error("the sender: {0}")]
    Sender(#[source] ReadingError),
    /// A receipt is not for the message, or by someone else.
    #[error("the receipt of {by}: {source}")]
    Receipt {
        /// Who is said to have given it.
        by: String,
        /// What is wrong.
        source: ReceiptError,
    },
    /// A refusal is not for the message, or by someone else.
    #[error("the refusal of {by}: {source}")]
    Refusal {
        /// Who is said to have refused.
        by: String,
        /// What is wrong.
        source: RefusalError,
    },
    /// A receipt is by nobody the message was sent to.
    #[error("a receipt by {0}, to whom the message was not sent")]
    NotAddressed(String),
    /// The keys of the repository do not follow one another.
    #[error("\"identity.txt\" in the bundle: {0}")]
    Identity(#[source] SuccessionError),
    /// A postmark does not verify.
    #[error("a postmark: {0}")]
    Postmark(#[source] PostmarkError),
    /// A postmark is about something else.
    #[error("a postmark is not about this message: {0}")]
    OtherPostmark(&'static str),
    /// A time stamp proves nothing.
    #[error("the time stamp {file:?}: {source}")]
    Stamp {
        /// Its file.
        file: String,
        /// What is wrong.
        source: StampError,
    },
    /// Reader and repository say different things of the reader's inbox.
    #[error("{0} was shown the message elsewhere in his inbox than its postmark says")]
    OtherPlace(String),
}

impl BundleError {
    /// Returns what a script may conclude: whatever does not verify is
    /// `Forged`, a postmark too.
    pub fn class(&self) -> Class {
        match self {
            BundleError::Io { source, .. } => io_class(source),
            _ => Class::Forged,
        }
    }

    /// Returns what may help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            BundleError::Stamp {
                source: StampError::Authority(_),
                ..
            } => Some("is its root in trust.d, or named by --tsa-anchors?"),
            _ => None,
        }
    }
}

/// Returns the name of the script in a bundle.
pub const SCRIPT: &str = "verify.sh";
