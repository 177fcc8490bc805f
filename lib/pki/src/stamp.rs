//! Time stamps: a question to an authority for them, and the answer read and
//! verified (RFC 3161).
//!
//! Fetches nothing. What an authority stamps is a hash: it learns nothing else.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::{Any, Int, Null, OctetString};
use der::{Decode, Encode, Sequence, Tag, Tagged};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;

use crate::asn1;
use crate::cms::{CmsError, SignedData};
use crate::path::{self, PathError, Revocation, Rules, TrustStore};

/// The largest answer, in bytes: a token is a signature and its chain.
pub const MAX_ANSWER: usize = 64 * 1024;
/// Bytes of a nonce.
pub const NONCE: usize = 16;
/// Characters of the authority's own words that are shown.
const MAX_WORDS: usize = 200;

/// Says why a time stamp was not given or proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StampError {
    /// The bytes are no answer, or hold no token that we read.
    #[error("not an RFC 3161 time stamp: {0}")]
    Damaged(&'static str),
    /// The authority gives none.
    #[error("the time stamp authority gives none: status {status}, {words:?}")]
    Refused {
        /// PKIStatus (RFC 3161 2.4.2).
        status: u64,
        /// What it says, unverified.
        words: String,
    },
    /// It is of something else.
    #[error("the time stamp is of something else")]
    OtherImprint,
    /// It answers another question.
    #[error("the time stamp answers another question: the nonce differs")]
    OtherNonce,
    /// It is from the future.
    #[error("the time stamp is of a time later than now")]
    Future,
    /// It is not signed as it should be.
    #[error("the time stamp: {0}")]
    Cms(#[from] CmsError),
    /// The authority is not believed.
    #[error("the time stamp authority: {0}")]
    Authority(#[from] PathError),
    /// The authority's certificate was revoked after it stamped: its key may
    /// have been another's, who chose the time.
    #[error("the time stamp authority: the certificate of {subject} has been revoked")]
    RevokedLater {
        /// Whose.
        subject: String,
    },
}

/// Says when something was there already, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time, unix seconds.
    pub time: i64,
    /// The subject of the authority's certificate.
    pub authority: String,
    /// Whether that certificate was looked up in a revocation list.
    pub revocation_checked: bool,
    nonce: Option<Vec<u8>>,
}

/// MessageImprint (RFC 3161 2.4.1).
#[derive(Clone, Debug, Sequence)]
struct Imprint {
    algorithm: AlgorithmIdentifierOwned,
    hash: OctetString,
}

/// TimeStampReq (RFC 3161 2.4.1), without policy and extensions.
#[derive(Sequence)]
struct Request {
    version: u8,
    imprint: Imprint,
    nonce: Int,
    certificates: bool,
}

/// PKIStatusInfo (RFC 3161 2.4.2).
#[derive(Sequence)]
struct Status {
    status: u64,
    #[asn1(optional = "true")]
    words: Option<Vec<Any>>,
    #[asn1(optional = "true")]
    failure: Option<der::asn1::BitString>,
}

/// Accuracy (RFC 3161 2.4.2), which is passed over.
#[derive(Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<u64>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    micros: Option<u16>,
}

/// TSTInfo (RFC 3161 2.4.2); the time raw, for it may have fractions.
#[derive(Sequence)]
struct Info {
    version: u8,
    policy: ObjectIdentifier,
    imprint: Imprint,
    serial: Int,
    time: Any,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "bool::default")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    authority: Option<Any>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

/// Returns the DER of the question that asks for a stamp on this SHA-256, with
/// the certificates to verify it by.
pub fn question(sha256: &[u8; 32], nonce: &[u8; NONCE]) -> Vec<u8> {
    let request = Imprint::of(sha256).and_then(|imprint| {
        Request {
            version: 1,
            imprint,
            nonce: integer(nonce)?,
            certificates: true,
        }
        .to_der()
    });
    request.expect("a few dozen bytes can be encoded")
}

impl Imprint {
    fn of(sha256: &[u8; 32]) -> der::Result<Imprint> {
        Ok(Imprint {
            algorithm: AlgorithmIdentifierOwned {
                oid: ID_SHA_256,
                parameters: Some(Null.into()),
            },
            hash: OctetString::new(sha256.as_slice())?,
        })
    }

    /// Parameters of a digest are NULL or left out (RFC 5754 2).
    fn is_of(&self, sha256: &[u8; 32]) -> bool {
        let plain = |parameters: &Any| parameters.tag() == Tag::Null;
        self.algorithm.oid == ID_SHA_256
            && self.algorithm.parameters.as_ref().is_none_or(plain)
            && self.hash.as_bytes() == sha256
    }
}

/// A nonce as a positive INTEGER of full length.
fn integer(nonce: &[u8; NONCE]) -> der::Result<Int> {
    let mut bytes = *nonce;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Int::new(&bytes)
}

/// Verifies the answer to a question, all of it, as of now; returns the token
/// to keep, DER, and what it says.
pub fn accept(
    answer: &[u8],
    sha256: &[u8; 32],
    nonce: &[u8; NONCE],
    store: &TrustStore,
    rules: &Rules,
) -> Result<(Vec<u8>, Stamp), StampError> {
    let token = token(answer)?;
    let stamp = verify(&token, sha256, store, rules)?;
    let asked = integer(nonce).map_err(|_| StampError::OtherNonce)?;
    match stamp.nonce.as_deref() == Some(asked.as_bytes()) {
        true => Ok((token, stamp)),
        false => Err(StampError::OtherNonce),
    }
}

/// Takes the token out of a TimeStampResp.
fn token(answer: &[u8]) -> Result<Vec<u8>, StampError> {
    const NONE: StampError = StampError::Damaged("no DER answer");
    if answer.len() > MAX_ANSWER {
        return Err(StampError::Damaged("longer than 64 KiB"));
    }
    let parts = asn1::children(answer).map_err(|_| NONE)?;
    let status = parts.first().and_then(|der| Status::from_der(der).ok());
    let status = status.ok_or(NONE)?;
    match (status.status, parts.as_slice()) {
        // Granted, and granted with modifications.
        (0 | 1, [_, token]) => Ok(token.to_vec()),
        (0 | 1, _) => Err(StampError::Damaged("granted, and not there")),
        (status_code, _) => Err(StampError::Refused {
            status: status_code,
            words: words(&status),
        }),
    }
}

fn words(status: &Status) -> String {
    let texts = status.words.iter().flatten().filter_map(asn1::text);
    let all: Vec<String> = texts.collect();
    all.join("; ").chars().take(MAX_WORDS).collect()
}

/// Verifies a token over this SHA-256: the authority's signature, and its
/// certificate as of the time it stamped.
///
/// Lists and answers on the authority are looked at where there are any, as
/// their absence is the rule for authorities of time; the result says so.
pub fn verify(
    token: &[u8],
    sha256: &[u8; 32],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Stamp, StampError> {
    if token.len() > MAX_ANSWER {
        return Err(StampError::Damaged("longer than 64 KiB"));
    }
    let signed = SignedData::parse_stamp(token)?;
    signed.verify_attached()?;
    let info = signed.content().and_then(|der| Info::from_der(der).ok());
    let info = info.ok_or(StampError::Damaged("no DER TSTInfo"))?;
    check_form(&info)?;
    if !info.imprint.is_of(sha256) {
        return Err(StampError::OtherImprint);
    }
    let time = time_of(&info.time).ok_or(StampError::Damaged("its time"))?;
    if time > rules.now.saturating_add(rules.clock_skew) {
        return Err(StampError::Future);
    }
    let (authority, checked) = believe(&signed, time, store, rules)?;
    Ok(Stamp {
        time,
        authority,
        revocation_checked: checked,
        nonce: info.nonce.map(|nonce| nonce.as_bytes().to_vec()),
    })
}

fn check_form(info: &Info) -> Result<(), StampError> {
    let mut extensions = info.extensions.iter().flatten();
    match (info.version, extensions.any(|e| e.critical)) {
        (1, false) => Ok(()),
        (1, true) => Err(StampError::Damaged("a critical extension is unknown")),
        _ => Err(StampError::Damaged("unknown version")),
    }
}

/// Reads `YYYYMMDDhhmmss[.f]Z`; the fraction is dropped.
fn time_of(time: &Any) -> Option<i64> {
    let text = std::str::from_utf8(time.value()).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if time.tag() != Tag::GeneralizedTime || !digits(fraction) || whole.len() != 14 {
        return None;
    }
    let whole = Any::new(Tag::GeneralizedTime, format!("{whole}Z").as_bytes()).ok()?;
    let time = whole.decode_as::<der::asn1::GeneralizedTime>().ok()?;
    i64::try_from(time.to_unix_duration().as_secs()).ok()
}

/// Returns who stamped, and whether revocation was checked.
fn believe(
    signed: &SignedData,
    time: i64,
    store: &TrustStore,
    rules: &Rules,
) -> Result<(String, bool), StampError> {
    let authority = signed.signer();
    let rules = Rules {
        signed: Some(time.min(rules.now)),
        revocation: match rules.revocation {
            Revocation::Require => Revocation::Prefer,
            other => other,
        },
        // Those are demanded of people.
        policies: Vec::new(),
        ..rules.clone()
    };
    let verdict = path::verify_stamper(authority, signed.certificates(), store, &rules)?;
    let subject = authority.subject_text().to_owned();
    match verdict.revoked_later {
        Some(_) => Err(StampError::RevokedLater { subject }),
        None => Ok((subject, verdict.revocation_checked)),
    }
}
