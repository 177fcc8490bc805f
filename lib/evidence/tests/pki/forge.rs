//! Records that nobody should believe: signed texts with something changed.

use smr_evidence::trust::{Algorithm, Certificate, SignedData, Signer, SignerError, SoftKey};
use smr_pki::cms::{Content, ContentType, SignRequest};

/// A signer that puts other certificates into what it signs.
pub(crate) struct With<'a>(pub(crate) &'a SoftKey, pub(crate) Vec<Certificate>);

impl Signer for With<'_> {
    fn certificate(&self) -> &Certificate {
        self.0.certificate()
    }
    fn chain(&self) -> &[Certificate] {
        &self.1
    }
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message)
    }
}

/// Signs a record's text after changing it, with all its certificates.
pub(crate) fn forge(
    record: &[u8],
    signer: &SoftKey,
    change: impl FnOnce(String) -> String,
) -> Vec<u8> {
    let signed = SignedData::parse(record).unwrap();
    let text = change(String::from_utf8(signed.content().unwrap().to_vec()).unwrap());
    let others = signed
        .certificates()
        .iter()
        .filter(|c| *c != signer.certificate());
    let request = SignRequest {
        content_type: ContentType::Data,
        content: Content::Attached(text.as_bytes()),
        signing_time: signed.signing_time(),
        receipt_request: None,
        msg_sig_digest: None,
    };
    smr_pki::cms::sign(&request, &With(signer, others.cloned().collect())).unwrap()
}
