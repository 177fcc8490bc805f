//! OCSP (RFC 6960): a question about one certificate, and the answer read.
//!
//! Verifies no signature of its own accord: `path` does, and decides who may
//! answer.

use std::sync::Arc;

use certval::ocsp::ext::Nonce;
use certval::ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse,
    OcspResponseStatus, Request, ResponderId, TbsRequest,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc6960::{ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE};
use der::asn1::{Null, OctetString};
use der::{Decode, Encode};
use ring::digest;
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;

use crate::asn1;
use crate::certificate::Certificate;
use crate::signature;

/// id-sha1 and id-sha256, by which an answer names the issuer.
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// The largest answer, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Holds one OCSP answer (RFC 6960 4.2), as it was read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ocsp {
    /// The answer: an OCSPResponse, DER.
    pub der: Arc<[u8]>,
    /// When it was signed, unix time.
    pub produced_at: i64,
    parsed: Arc<Parsed>,
}

impl PartialEq for Ocsp {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Ocsp {}

#[derive(Debug)]
struct Parsed {
    basic: BasicOcspResponse,
    tbs: Vec<u8>,
    algorithm: Vec<u8>,
    certificates: Vec<Certificate>,
}

/// Says why bytes are not an answer to go by.
#[derive(Debug, thiserror::Error)]
pub enum OcspError {
    /// The bytes are not one DER OCSP response.
    #[error("not a DER OCSP answer: {0}")]
    Damaged(String),
    /// The responder answered that it does not answer.
    #[error("the OCSP responder refused: {0}")]
    Refused(&'static str),
    /// It says something critical that is not understood.
    #[error("the OCSP answer has a critical extension that is not understood")]
    Critical,
}

impl From<der::Error> for OcspError {
    fn from(error: der::Error) -> Self {
        OcspError::Damaged(error.to_string())
    }
}

/// What an answer says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Not revoked.
    Good,
    /// Revoked since, unix time.
    Revoked(i64),
    /// Nothing is known of it.
    Unknown,
}

/// The part of an answer that is about one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single {
    /// The state of the certificate.
    pub said: Said,
    /// As of when, unix time.
    pub this_update: i64,
    /// When there will be more to know, unix time.
    pub next_update: Option<i64>,
}

impl Ocsp {
    /// Reads one DER OCSPResponse, at most `MAX_ANSWER` bytes; one that says
    /// that there is no answer is an error.
    pub fn from_der(der: &[u8]) -> Result<Self, OcspError> {
        if der.len() > MAX_ANSWER {
            return Err(OcspError::Damaged("it is longer than 64 KiB".into()));
        }
        let response = OcspResponse::from_der(der)?;
        let bytes = match (response.response_status, response.response_bytes) {
            (OcspResponseStatus::Successful, Some(bytes)) => bytes,
            (status, _) => return Err(OcspError::Refused(refusal(status))),
        };
        if bytes.response_type != ID_PKIX_OCSP_BASIC {
            return Err(OcspError::Damaged("it is of an unknown kind".into()));
        }
        let basic_der = bytes.response.as_bytes();
        let basic = BasicOcspResponse::from_der(basic_der)?;
        let parts = asn1::children(basic_der)?;
        let (Some(tbs), Some(algorithm)) = (parts.first(), parts.get(1)) else {
            return Err(OcspError::Damaged("a field is missing".into()));
        };
        refuse_critical(&basic)?;
        let certificates = basic.certs.iter().flatten();
        let certificates = certificates
            .filter_map(|c| Certificate::from_der(&c.to_der().ok()?).ok())
            .collect();
        Ok(Ocsp {
            der: der.into(),
            produced_at: seconds(&basic.tbs_response_data.produced_at),
            parsed: Arc::new(Parsed {
                tbs: tbs.to_vec(),
                algorithm: algorithm.to_vec(),
                certificates,
                basic,
            }),
        })
    }

    /// Returns what it says of the certificate `subject` of `issuer`; none
    /// where it says nothing, and the worst where it says several things: the
    /// earliest revocation, else what is not "good". Signatures are not looked
    /// at.
    pub fn about(&self, subject: &Certificate, issuer: &Certificate) -> Option<Single> {
        let responses = &self.parsed.basic.tbs_response_data.responses;
        let found = responses
            .iter()
            .filter(|single| is_of(&single.cert_id, subject, issuer))
            .min_by_key(|single| match &single.cert_status {
                CertStatus::Revoked(info) => (0, seconds(&info.revocation_time)),
                CertStatus::Unknown(_) => (1, seconds(&single.this_update)),
                // Of two that are good the older one: it ends first.
                CertStatus::Good(_) => (2, seconds(&single.this_update)),
            })?;
        Some(Single {
            said: match &found.cert_status {
                CertStatus::Good(_) => Said::Good,
                CertStatus::Revoked(info) => Said::Revoked(seconds(&info.revocation_time)),
                CertStatus::Unknown(_) => Said::Unknown,
            },
            this_update: seconds(&found.this_update),
            next_update: found.next_update.as_ref().map(seconds),
        })
    }

    /// Returns the nonce it repeats, where there is one.
    pub fn nonce(&self) -> Option<Vec<u8>> {
        let nonce = self.parsed.basic.nonce()?;
        Some(nonce.0.as_bytes().to_vec())
    }

    /// Returns the certificates that came along.
    pub(crate) fn certificates(&self) -> &[Certificate] {
        &self.parsed.certificates
    }

    /// Says whether it names this certificate as its responder's.
    pub(crate) fn is_by(&self, responder: &Certificate) -> bool {
        match &self.parsed.basic.tbs_response_data.responder_id {
            ResponderId::ByName(name) => certval::compare_names(name, responder.subject_name()),
            ResponderId::ByKey(hash) => key_bits(responder)
                .is_some_and(|bits| digested(SHA1, &bits).as_deref() == Some(hash.as_bytes())),
        }
    }

    /// Says whether this certificate's key made its signature.
    pub(crate) fn is_signed_by(&self, responder: &Certificate) -> bool {
        let parsed = &self.parsed;
        let value = parsed.basic.signature.as_bytes();
        value.is_some_and(|value| {
            signature::verify(responder.spki_der(), &parsed.algorithm, &parsed.tbs, value).is_ok()
        })
    }
}

/// Returns the DER of a question about `subject`, issued by `issuer`, by SHA-1
/// as every responder understands it (RFC 5019 2.1.1).
pub fn request(
    subject: &Certificate,
    issuer: &Certificate,
    nonce: Option<[u8; 32]>,
) -> Result<Vec<u8>, OcspError> {
    let key = key_bits(issuer).ok_or_else(|| OcspError::Damaged("the issuer has no key".into()))?;
    let hash = |bytes: &[u8]| OctetString::new(digested(SHA1, bytes).unwrap_or_default());
    let asked = Request {
        req_cert: CertId {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: SHA1,
                parameters: Some(asn1::any(&Null)?),
            },
            issuer_name_hash: hash(subject.issuer_der())?,
            issuer_key_hash: hash(&key)?,
            serial_number: SerialNumber::new(subject.serial())?,
        },
        single_request_extensions: None,
    };
    let nonce = nonce.map(|nonce| {
        Ok::<_, der::Error>(Extension {
            extn_id: ID_PKIX_OCSP_NONCE,
            critical: false,
            extn_value: OctetString::new(Nonce::new(nonce)?.to_der()?)?,
        })
    });
    let request: OcspRequest = OcspRequest {
        tbs_request: TbsRequest {
            request_list: vec![asked],
            request_extensions: nonce.transpose()?.map(|nonce| vec![nonce]),
            ..TbsRequest::default()
        },
        optional_signature: None,
    };
    Ok(request.to_der()?)
}

fn refusal(status: OcspResponseStatus) -> &'static str {
    match status {
        OcspResponseStatus::MalformedRequest => "malformed request",
        OcspResponseStatus::InternalError => "internal error",
        OcspResponseStatus::TryLater => "try later",
        OcspResponseStatus::SigRequired => "signed requests only",
        OcspResponseStatus::Unauthorized => "not authorised",
        OcspResponseStatus::Successful => "an empty answer",
    }
}

fn refuse_critical(basic: &BasicOcspResponse) -> Result<(), OcspError> {
    let data = &basic.tbs_response_data;
    let singles = data.responses.iter();
    let singles = singles.filter_map(|single| single.single_extensions.as_ref());
    let mut all = singles.chain(&data.response_extensions).flatten();
    match all.any(|e| e.critical && e.extn_id != ID_PKIX_OCSP_NONCE) {
        true => Err(OcspError::Critical),
        false => Ok(()),
    }
}

fn is_of(id: &CertId, subject: &Certificate, issuer: &Certificate) -> bool {
    let is = |hash: &OctetString, bytes: &[u8]| {
        digested(id.hash_algorithm.oid, bytes).as_deref() == Some(hash.as_bytes())
    };
    id.serial_number.as_bytes() == subject.serial()
        && is(&id.issuer_name_hash, subject.issuer_der())
        && key_bits(issuer).is_some_and(|key| is(&id.issuer_key_hash, &key))
}

fn digested(algorithm: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match algorithm {
        // A name for the issuer and no more: the signature is what counts.
        SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SHA256 => &digest::SHA256,
        _ => return None,
    };
    Some(digest::digest(algorithm, bytes).as_ref().to_vec())
}

/// Returns the bits of a certificate's key, which hashes name.
fn key_bits(certificate: &Certificate) -> Option<Vec<u8>> {
    let spki = spki::SubjectPublicKeyInfoOwned::from_der(certificate.spki_der()).ok()?;
    Some(spki.subject_public_key.as_bytes()?.to_vec())
}

fn seconds(time: &OcspGeneralizedTime) -> i64 {
    i64::try_from(time.0.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use certval::ocsp::{ResponseBytes, ResponseData, RevokedInfo, SingleResponse, Version};
    use der::asn1::{BitString, GeneralizedTime};

    use super::*;

    fn at(seconds: u64) -> OcspGeneralizedTime {
        let time = GeneralizedTime::from_unix_duration(Duration::from_secs(seconds));
        OcspGeneralizedTime(time.unwrap())
    }

    fn revoked(seconds: u64) -> CertStatus {
        CertStatus::Revoked(RevokedInfo {
            revocation_time: at(seconds),
            revocation_reason: None,
        })
    }

    /// An answer that says all this of one certificate, and nobody signed.
    fn answer(of: &Certificate, said: &[(CertStatus, u64)]) -> Ocsp {
        let asked = OcspRequest::from_der(&request(of, of, None).unwrap()).unwrap();
        let cert_id = asked.tbs_request.request_list[0].req_cert.clone();
        let single = |(status, this_update): &(CertStatus, u64)| SingleResponse {
            cert_id: cert_id.clone(),
            cert_status: *status,
            this_update: at(*this_update),
            next_update: None,
            single_extensions: None,
        };
        let basic = BasicOcspResponse {
            tbs_response_data: ResponseData {
                version: Version::V1,
                responder_id: ResponderId::ByName(of.subject_name().clone()),
                produced_at: at(9),
                responses: said.iter().map(single).collect(),
                response_extensions: None,
            },
            signature_algorithm: cert_id.hash_algorithm.clone(),
            signature: BitString::from_bytes(&[1]).unwrap(),
            certs: None,
        };
        let response = OcspResponse {
            response_status: OcspResponseStatus::Successful,
            response_bytes: Some(ResponseBytes {
                response_type: ID_PKIX_OCSP_BASIC,
                response: OctetString::new(basic.to_der().unwrap()).unwrap(),
            }),
        };
        Ocsp::from_der(&response.to_der().unwrap()).unwrap()
    }

    #[test]
    fn of_two_words_on_one_certificate_the_worse_counts() {
        let pem = include_bytes!("../../../tests/vectors/envelope/root.pem");
        let root = &Certificate::pem_or_der_bundle(pem).unwrap()[0];
        let good = || (CertStatus::good(), 5);
        let both = |said: &[(CertStatus, u64)]| {
            let forth = answer(root, said).about(root, root).unwrap();
            let mut said = said.to_vec();
            said.reverse();
            assert_eq!(answer(root, &said).about(root, root), Some(forth));
            (forth.said, forth.this_update)
        };
        assert_eq!(both(&[good(), (revoked(7), 6)]), (Said::Revoked(7), 6));
        assert_eq!(
            both(&[(revoked(8), 5), (revoked(7), 6)]).0,
            Said::Revoked(7)
        );
        assert_eq!(both(&[good(), (CertStatus::unknown(), 6)]).0, Said::Unknown);
        assert_eq!(both(&[good(), (CertStatus::good(), 6)]), (Said::Good, 5));
        assert_eq!(answer(root, &[]).about(root, root), None);
    }
}
