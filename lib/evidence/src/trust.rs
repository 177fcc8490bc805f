//! Trust: whom a certificate speaks of, and whether it may be believed.
//!
//! Reads no files: anchors, intermediates and revocation lists are handed in
//! as bytes. This is lib/pki for the rest of the house.

use smr_name::Class;
pub use smr_pki::certificate::{Certificate, CertificateError, KeyKind, KeyUsage};
pub use smr_pki::cms::{CmsError, SignedData};
pub use smr_pki::crl::{Crl, CrlError};
pub use smr_pki::ocsp::{self, Ocsp, OcspError};
pub use smr_pki::path::{Chain, chains, has_answered, has_signed, lacks};
pub use smr_pki::path::{PathError, Realm, Revocation, Rules, TrustStore, Verdict};
pub use smr_pki::signer::{Algorithm, KeyError, Signer, SignerError, SoftKey, generate_p256};
pub use smr_pki::sources;
pub use smr_pki::stamp::{self, Stamp, StampError};

/// Names a person, as the authorities of a realm do.
#[derive(Clone, Debug)]
pub struct Person {
    /// The group of anchors that speaks for this person.
    pub realm: String,
    /// The country of the subject.
    pub country: Option<String>,
    /// The subject's serialNumber.
    pub serial: Option<String>,
    /// The whole subject (RFC 4514).
    pub subject: String,
    /// The common name, to show; proves nothing.
    pub display: String,
}

/// Says why a certificate is not believed to be a person's.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No chain of the trust store bears it out.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The certificate is a device's or an authority's, not a card's.
    #[error("the certificate of {subject} is not a card's: {why}")]
    NotACard {
        /// Whose.
        subject: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Says why a file of anchors or revocation lists was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// Its certificates cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its revocation lists cannot be read.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// It is no OCSP answer.
    #[error(transparent)]
    Ocsp(#[from] OcspError),
}

impl TrustError {
    /// Returns what a script may conclude: revoked is `Denied`, an answer
    /// that may still come is `Busy`, all else is `Forged`.
    pub fn class(&self) -> Class {
        match self {
            TrustError::Path(error) => path_class(error),
            TrustError::NotACard { .. } => Class::Forged,
        }
    }
}

/// Returns what a script may conclude from a path that does not hold.
pub fn path_class(error: &PathError) -> Class {
    match error {
        PathError::Revoked { .. } => Class::Denied,
        PathError::NoRevocationData { .. } | PathError::StaleCrl { .. } => Class::Busy,
        _ => Class::Forged,
    }
}

/// Returns the rules for what was signed at `time` (unix seconds), or is
/// proved to have been; never later than now.
pub fn as_of(rules: &Rules, time: i64) -> Rules {
    Rules {
        signed: Some(time.min(rules.now)),
        ..rules.clone()
    }
}

impl MaterialError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        Class::Config
    }
}

impl Person {
    /// Reads the person named by a card certificate.
    pub fn of_card(card: &Certificate, realm: &str) -> Self {
        let subject = card.subject_text().to_owned();
        Person {
            realm: realm.to_owned(),
            country: card.country().map(str::to_owned),
            serial: card.subject_serial_number().map(str::to_owned),
            display: card
                .common_name()
                .map_or_else(|| subject.clone(), str::to_owned),
            subject,
        }
    }

    /// Returns what makes two certificates the same person's: realm, country
    /// and serialNumber, or realm and whole subject where there is no
    /// serialNumber. Never the common name alone.
    pub fn identity(&self) -> (&str, Option<&str>, &str) {
        match &self.serial {
            Some(serial) => (
                &self.realm,
                Some(self.country.as_deref().unwrap_or("")),
                serial,
            ),
            None => (&self.realm, None, &self.subject),
        }
    }
}

impl PartialEq for Person {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Person {}

impl std::hash::Hash for Person {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// Takes material into a trust store; both PEM and DER, certificates and lists
/// mixed in one PEM file as they come.
pub trait Material {
    /// Adds the certificates of a file as anchors of `realm`, and its lists;
    /// certificates that others issued serve as intermediates.
    fn add_anchors(&mut self, realm: &str, bytes: &[u8]) -> Result<(), MaterialError>;
    /// Adds certificates of CAs that are no anchors, and lists.
    fn add_intermediates(&mut self, bytes: &[u8]) -> Result<(), MaterialError>;
    /// Adds revocation lists.
    fn add_crls(&mut self, bytes: &[u8]) -> Result<(), MaterialError>;
    /// Adds one OCSP answer, DER.
    fn add_ocsp(&mut self, bytes: &[u8]) -> Result<(), MaterialError>;
}

impl Material for TrustStore {
    fn add_anchors(&mut self, realm: &str, bytes: &[u8]) -> Result<(), MaterialError> {
        let (certificates, crls) = read_material(bytes)?;
        // An authority that another one vouches for is believed for that, so
        // that its revocation is seen; only roots are believed for themselves.
        let (certificates, others): (Vec<_>, Vec<_>) = certificates
            .into_iter()
            .partition(Certificate::is_self_issued);
        self.intermediates.extend(others);
        self.crls.extend(crls);
        match self.realms.iter_mut().find(|r| r.name == realm) {
            Some(known) => known.anchors.extend(certificates),
            None => self.realms.push(Realm {
                name: realm.to_owned(),
                anchors: certificates,
            }),
        }
        Ok(())
    }

    fn add_intermediates(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        let (certificates, crls) = read_material(bytes)?;
        self.intermediates.extend(certificates);
        self.crls.extend(crls);
        Ok(())
    }

    fn add_crls(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        self.crls.extend(smr_pki::crl::parse_bundle(bytes)?);
        Ok(())
    }

    fn add_ocsp(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        self.ocsp.push(Ocsp::from_der(bytes)?);
        Ok(())
    }
}

/// Verifies that `card` is a person's certificate, and returns the person.
///
/// `extra` are certificates that came along; nothing in them is believed for
/// itself. The key must be for signatures (digitalSignature or
/// nonRepudiation), the certificate neither a device's nor an authority's.
pub fn check_card(
    card: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Person, TrustError> {
    Ok(verify_card(card, extra, store, rules)?.person)
}

/// Says whose card it is, and how that was found out.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// The holder.
    pub person: Person,
    /// The chain, and whether revocation was checked.
    pub verdict: Verdict,
}

/// Does what `check_card` does, and also returns the verdict on the path.
pub fn verify_card(
    card: &Certificate,
    extra: &[Certificate],
    store: &TrustStore,
    rules: &Rules,
) -> Result<Vouched, TrustError> {
    let not_a_card = |why| TrustError::NotACard {
        subject: card.subject_text().to_owned(),
        why,
    };
    if card.proxy().is_some() {
        return Err(not_a_card("it is a device's"));
    }
    if card.is_ca() {
        return Err(not_a_card("it is an authority's"));
    }
    if let Some(usage) = card.key_usage()
        && !usage.digital_signature
        && !usage.non_repudiation
    {
        return Err(not_a_card("its key is not for signatures"));
    }
    let verdict = smr_pki::path::verify(card, extra, store, rules)?;
    Ok(Vouched {
        person: Person::of_card(card, &verdict.realm),
        verdict,
    })
}

fn read_material(bytes: &[u8]) -> Result<(Vec<Certificate>, Vec<Crl>), MaterialError> {
    match Certificate::pem_or_der_bundle(bytes) {
        Ok(certificates) => Ok((certificates, contained_crls(bytes)?)),
        // A file of lists alone holds no certificate; anything else is damaged.
        Err(error) => match smr_pki::crl::parse_bundle(bytes) {
            Ok(crls) => Ok((Vec::new(), crls)),
            Err(_) => Err(error.into()),
        },
    }
}

/// Reads the lists of a file that holds certificates; there may be none.
fn contained_crls(bytes: &[u8]) -> Result<Vec<Crl>, MaterialError> {
    let marker = b"-----BEGIN X509 CRL-----";
    if !bytes.windows(marker.len()).any(|w| w == marker) {
        return Ok(Vec::new());
    }
    Ok(smr_pki::crl::parse_bundle(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::{Class, Material, Person, TrustStore};
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    fn person(realm: &str, country: &str, serial: Option<&str>, subject: &str) -> Person {
        Person {
            realm: realm.into(),
            country: Some(country.into()),
            serial: serial.map(str::to_owned),
            subject: subject.into(),
            display: "RUI SILVA".into(),
        }
    }

    #[test]
    fn a_renewed_card_is_the_same_persons() {
        let old = person("pt", "PT", Some("BI1"), "CN=RUI SILVA,OU=2020");
        assert_eq!(old, person("pt", "PT", Some("BI1"), "CN=RUI SILVA,OU=2025"));
        let plain = person("pt", "PT", None, "CN=RUI SILVA");
        assert_eq!(plain, person("pt", "", None, "CN=RUI SILVA"));
    }

    #[test]
    fn whoever_is_counted_by_person_finds_the_renewed_card() {
        let old = person("pt", "PT", Some("BI1"), "CN=RUI SILVA,OU=2020");
        let new = person("pt", "PT", Some("BI1"), "CN=RUI SILVA,OU=2025");
        let eva = person("pt", "PT", Some("BI2"), "CN=EVA SILVA");
        let counted =
            |person: &Person| BuildHasherDefault::<DefaultHasher>::default().hash_one(person);
        assert_eq!(counted(&old), counted(&new));
        assert_ne!(counted(&old), counted(&eva));
    }

    #[test]
    fn a_name_alone_is_nobody() {
        let rui = person("pt", "PT", Some("BI1"), "CN=RUI SILVA");
        for other in [
            person("es", "PT", Some("BI1"), "CN=RUI SILVA"),
            person("pt", "ES", Some("BI1"), "CN=RUI SILVA"),
            person("pt", "PT", Some("BI2"), "CN=RUI SILVA"),
            person("pt", "PT", None, "CN=RUI SILVA"),
            // A subject that spells another's serial number.
            person("pt", "PT", None, "BI1"),
            person("pt", "", None, "BI1"),
        ] {
            assert_ne!(rui, other);
        }
    }

    #[test]
    fn two_realms_with_the_same_number_are_two_persons() {
        let one = person(
            "pt",
            "PT",
            Some("123"),
            "CN=RUI SILVA,SERIALNUMBER=123,C=PT",
        );
        let other = person(
            "be",
            "PT",
            Some("123"),
            "CN=RUI SILVA,SERIALNUMBER=123,C=PT",
        );
        assert_ne!(one, other);
        assert_eq!(one.identity().1, other.identity().1);
    }

    #[test]
    fn a_missing_country_is_a_country_of_its_own() {
        let stateless = Person {
            country: None,
            ..person("corp", "", Some("123"), "CN=RUI")
        };
        assert_eq!(stateless, person("corp", "", Some("123"), "CN=R"));
        assert_ne!(stateless, person("corp", "PT", Some("123"), "CN=RUI"));
        // Not to be mixed up with a subject that has no number at all.
        assert_ne!(stateless, person("corp", "", None, "123"));
    }

    #[test]
    fn other_files_are_refused() {
        let mut store = TrustStore::default();
        for bytes in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\n!\n"] {
            let error = store.add_anchors("pt", bytes).unwrap_err();
            assert_eq!(error.class(), Class::Config);
            assert!(store.add_intermediates(bytes).is_err());
            assert!(store.add_crls(bytes).is_err());
            assert!(store.add_ocsp(bytes).is_err());
        }
        assert!(store.realms.is_empty() && store.crls.is_empty() && store.ocsp.is_empty());
    }
}
