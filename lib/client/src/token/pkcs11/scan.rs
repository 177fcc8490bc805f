//! What tokens show without a PIN, and which of their keys is meant.
//!
//! Logs in nowhere.

use std::collections::HashSet;
use std::path::Path;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::slot::{Slot, TokenInfo};
use smr_evidence::trust::{Certificate, KeyKind};

use super::failed;
use crate::token::profile::{Profile, means};
use crate::token::uri::Uri;
use crate::token::{Listed, ListedCertificate, PinState, Purpose, TokenError, TokenState, fits};

/// A certificate on a token; whether its key is there is seen after login.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) slot: Slot,
    pub(super) info: TokenInfo,
    pub(super) certificate: Certificate,
    pub(super) label: String,
    pub(super) id: Vec<u8>,
}

pub(super) fn trimmed(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

pub(super) fn token_name(info: &TokenInfo) -> String {
    let label = trimmed(info.label());
    let name = if label.is_empty() {
        trimmed(info.model())
    } else {
        label
    };
    format!("token \"{name}\"")
}

impl Candidate {
    fn uri(&self) -> Uri {
        Uri {
            token: Some(trimmed(self.info.label()).to_owned()),
            serial: Some(trimmed(self.info.serial_number()).to_owned()),
            object: Some(self.label.clone()),
            id: Some(self.id.clone()),
            ..Uri::default()
        }
    }
}

/// What a module shows without a PIN.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) readers: usize,
    pub(super) tokens: usize,
    pub(super) candidates: Vec<Candidate>,
    pub(super) all: Vec<Certificate>,
    /// What kept us from the first token that gave trouble.
    pub(super) trouble: Option<TokenError>,
}

pub(super) fn is_meant(uri: &Uri, slot: Slot, info: &TokenInfo) -> bool {
    let same = |wanted: &Option<String>, found: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted == trimmed(found))
    };
    same(&uri.token, info.label())
        && same(&uri.serial, info.serial_number())
        && same(&uri.manufacturer, info.manufacturer_id())
        && same(&uri.model, info.model())
        && uri.slot.is_none_or(|wanted| wanted == slot.id())
}

pub(super) fn scan(module: &Pkcs11, uri: &Uri) -> Result<Scan, TokenError> {
    let told = |operation| move |e: Error| failed("the module", operation, &e);
    let all = module.get_all_slots().map_err(told("list its readers"))?;
    let full = module
        .get_slots_with_token()
        .map_err(told("list its tokens"))?;
    let mut found = Scan {
        readers: all.len(),
        ..Scan::default()
    };
    for &slot in &full {
        // A card that is pulled out, or that another program holds, is no
        // reason to give up: another may have what is wanted.
        if let Err(error) = scan_slot(module, slot, uri, &mut found) {
            found.trouble = found.trouble.or(Some(error));
        }
    }
    let empty = all.into_iter().filter(|slot| !full.contains(slot));
    let held = empty.filter_map(|slot| held_card(module, slot)).next();
    found.trouble = found.trouble.or(held);
    Ok(found)
}

/// Says what is wrong with a reader that shows no token though it has a card:
/// OpenSC shows none while another program has the card for itself.
fn held_card(module: &Pkcs11, slot: Slot) -> Option<TokenError> {
    match module.get_token_info(slot) {
        Err(Error::Pkcs11(RvError::DeviceError, _)) => Some(TokenError::Silent {
            // OpenSC keeps the reader's name to itself meanwhile, too.
            of: match reader_name(module, slot).as_str() {
                "" => "the card in a reader".to_owned(),
                name => format!("the card in \"{name}\""),
            },
            why: "another program may hold it".to_owned(),
        }),
        _ => None,
    }
}

fn reader_name(module: &Pkcs11, slot: Slot) -> String {
    let info = module.get_slot_info(slot).ok();
    let name = info.as_ref().map_or("", |info| info.slot_description());
    trimmed(name).to_owned()
}

fn scan_slot(module: &Pkcs11, slot: Slot, uri: &Uri, found: &mut Scan) -> Result<(), TokenError> {
    let told = |operation| move |e: Error| failed("a token", operation, &e);
    let info = module
        .get_token_info(slot)
        .map_err(told("tell what it is"))?;
    if !info.token_initialized() || !is_meant(uri, slot, &info) {
        return Ok(());
    }
    found.tokens += 1;
    let name = token_name(&info);
    let session = module.open_ro_session(slot);
    let session = session.map_err(|e| failed(&name, "open a session", &e))?;
    scan_token(&session, slot, &info, uri, found)
        .map_err(|e| failed(&name, "list its certificates", &e))
}

pub(super) fn scan_token(
    session: &Session,
    slot: Slot,
    info: &TokenInfo,
    uri: &Uri,
    found: &mut Scan,
) -> Result<(), Error> {
    let key_ids = match &uri.object {
        Some(label) => ids_labelled(session, label)?,
        None => Vec::new(),
    };
    let x509 = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
    ];
    for object in session.find_objects(&x509)? {
        let Some((certificate, label, id)) = read_certificate(session, object)? else {
            continue;
        };
        found.all.push(certificate.clone());
        let named =
            uri.object.as_ref().is_none_or(|wanted| *wanted == label) || key_ids.contains(&id);
        let numbered = uri.id.as_ref().is_none_or(|wanted| *wanted == id);
        if named && numbered && !id.is_empty() {
            found.candidates.push(Candidate {
                slot,
                info: info.clone(),
                certificate,
                label,
                id,
            });
        }
    }
    Ok(())
}

// A URI may give the label of the key where the certificate has another.
pub(super) fn ids_labelled(session: &Session, label: &str) -> Result<Vec<Vec<u8>>, Error> {
    let mut ids = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        let wanted = [Attribute::Class(class), Attribute::Label(label.into())];
        for object in session.find_objects(&wanted)? {
            for attribute in session.get_attributes(object, &[AttributeType::Id])? {
                if let Attribute::Id(id) = attribute {
                    ids.push(id);
                }
            }
        }
    }
    Ok(ids)
}

// None for what is not a certificate we can read: the next one may be.
pub(super) fn read_certificate(
    session: &Session,
    object: ObjectHandle,
) -> Result<Option<(Certificate, String, Vec<u8>)>, Error> {
    let (mut der, mut label, mut id) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = [
        AttributeType::Value,
        AttributeType::Label,
        AttributeType::Id,
    ];
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::Value(value) => der = value,
            Attribute::Label(value) => label = value,
            Attribute::Id(value) => id = value,
            _ => {}
        }
    }
    let label = String::from_utf8_lossy(&label);
    let label = trimmed(&label).to_owned();
    Ok(Certificate::from_der(&der).ok().map(|c| (c, label, id)))
}

/// Chooses the key to use; none if no certificate fits.
pub(super) fn choose(
    mut candidates: Vec<Candidate>,
    profile: Option<&Profile>,
    purpose: Purpose,
) -> Result<Option<Candidate>, TokenError> {
    candidates.retain(|c| fits(&c.certificate, purpose));
    if let Some(profile) = profile {
        let entries = match purpose {
            Purpose::Authentication => &profile.authentication,
            Purpose::Signature => &profile.signature,
        };
        let is_meant = |entry: &str, c: &Candidate| means(entry, &c.label, &c.id);
        let best = entries
            .iter()
            .find(|entry| candidates.iter().any(|c| is_meant(entry, c)));
        match best {
            Some(entry) => candidates.retain(|c| is_meant(entry, c)),
            None if profile.exact => return Ok(None),
            None => {}
        }
    }
    // The key that stands for a signature is not the one to log in with.
    let signs = |c: &Candidate| c.certificate.key_usage().is_some_and(|u| u.non_repudiation);
    let wanted = purpose == Purpose::Signature;
    if candidates.iter().any(|c| signs(c) == wanted) {
        candidates.retain(|c| signs(c) == wanted);
    }
    // OpenSC shows one card as several tokens; and a token may still have the
    // certificate that its key had before.
    candidates.sort_by_key(|c| std::cmp::Reverse(c.certificate.not_after()));
    let (mut seen, mut keys) = (HashSet::new(), HashSet::new());
    candidates.retain(|c| {
        seen.insert(c.certificate.fingerprint()) && keys.insert((c.slot, c.id.clone()))
    });
    if candidates.len() > 1 {
        let uris = candidates.iter().map(|c| c.uri().to_string());
        return Err(TokenError::Ambiguous(uris.collect()));
    }
    Ok(candidates.pop())
}

/// Lists what one reader shows, without a PIN.
pub(super) fn reader(
    (module, slot): &(Pkcs11, Slot),
    file: &Path,
    now: i64,
) -> (Vec<Listed>, Option<TokenError>) {
    let info = module.get_slot_info(*slot).ok();
    let empty = Listed {
        reader: reader_name(module, *slot),
        module: file.to_owned(),
        token: None,
        certificate: None,
    };
    if !info.is_some_and(|info| info.token_present()) {
        return (vec![empty], held_card(module, *slot));
    }
    let mut found = Scan::default();
    let trouble = scan_slot(module, *slot, &Uri::default(), &mut found).err();
    let token = module.get_token_info(*slot).ok().map(|info| TokenState {
        label: trimmed(info.label()).to_owned(),
        initialised: info.token_initialized(),
        pin: pin_state(&info),
    });
    let with = |certificate| Listed {
        token: token.clone(),
        certificate,
        ..empty.clone()
    };
    let certificates = found
        .candidates
        .iter()
        .map(|c| with(Some(shown(c, file, now))));
    let mut listed: Vec<Listed> = certificates.collect();
    if listed.is_empty() {
        listed.push(with(None));
    }
    (listed, trouble)
}

fn pin_state(info: &TokenInfo) -> PinState {
    if info.user_pin_locked() {
        PinState::Locked
    } else if info.user_pin_final_try() {
        PinState::LastTry
    } else if info.user_pin_count_low() {
        PinState::FewTries
    } else if info.login_required() && !info.user_pin_initialized() {
        PinState::NotSet
    } else {
        PinState::Good
    }
}

fn shown(candidate: &Candidate, file: &Path, now: i64) -> ListedCertificate {
    let certificate = &candidate.certificate;
    let useless = uselessness(certificate, now);
    let usage = certificate.key_usage();
    ListedCertificate {
        uri: Uri {
            module_path: Some(file.to_owned()),
            ..candidate.uri()
        },
        label: candidate.label.clone(),
        subject: certificate.subject_text().to_owned(),
        not_after: certificate.not_after(),
        enrols: useless.is_none() && fits(certificate, Purpose::Authentication),
        signs: useless.is_none() && usage.is_some_and(|usage| usage.non_repudiation),
        useless,
    }
}

/// Says why smr can do nothing with a certificate, where that is so.
fn uselessness(certificate: &Certificate, now: i64) -> Option<&'static str> {
    let usage = certificate.key_usage();
    let signs = usage.is_none_or(|usage| usage.digital_signature || usage.non_repudiation);
    match certificate.key_kind() {
        _ if certificate.is_ca() => Some("an authority's"),
        _ if certificate.not_after() < now => Some("expired"),
        _ if certificate.not_before() > now => Some("not valid yet"),
        _ if !signs => Some("not for signatures"),
        KeyKind::Rsa(bits) if bits < 2048 => Some("its key is too weak"),
        KeyKind::Rsa(2048..=4096) | KeyKind::P256 | KeyKind::P384 => None,
        _ => Some("its kind of key is not used"),
    }
}
