//! Cards and HSMs through their PKCS#11 modules.
//!
//! One PIN entry makes at most one C_Login. Hashes in software, because cards
//! claim mechanisms they do not have; never derives or decrypts anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{
    Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle,
};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use sha2::{Digest, Sha256};
use smr_evidence::trust::{Algorithm, Certificate, KeyKind, Signer, SignerError};
use smr_name::Class;

use super::profile::{self, Profile};
use super::uri::Uri;
use super::{
    AskPin, Listed, NoPin, PinPrompt, Place, Purpose, Token, TokenError, chain_of, der, fits,
};

// Where p11-kit and distributions put modules, for module-name=.
const MODULE_DIRS: [&str; 7] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu/pkcs11",
    "/usr/lib64/pkcs11",
    "/usr/lib/pkcs11",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/local/lib",
];

// A module may be initialised once in a process, and finalising it would pull
// it from under another signer: so modules stay.
static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    if !path.exists() {
        return Err(TokenError::NoModule(format!("\"{}\"", path.display())));
    }
    let broken = |error: Error| TokenError::ModuleBroken {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let module = Pkcs11::new(path).map_err(broken)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(broken(error)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// A module to look into, and what is known of its tokens.
struct Look {
    module: PathBuf,
    profile: Option<&'static Profile>,
}

fn installed(profile: &'static Profile) -> Option<Look> {
    let module = profile.modules.iter().find(|path| path.exists())?;
    Some(Look {
        module: module.clone(),
        profile: Some(profile),
    })
}

fn by_name(name: &str) -> Result<PathBuf, TokenError> {
    // A name, not a path: it must not walk out of the folders.
    let plain = !name.contains('/');
    MODULE_DIRS
        .iter()
        .flat_map(|dir| [format!("{dir}/{name}.so"), format!("{dir}/lib{name}.so")])
        .map(PathBuf::from)
        .find(|path| plain && path.exists())
        .ok_or_else(|| TokenError::NoModule(format!("\"{name}\"")))
}

fn looks(token: &Token) -> Result<Vec<Look>, TokenError> {
    let one = |module: PathBuf, profile| Ok(vec![Look { module, profile }]);
    match (&token.place, &token.module) {
        (Place::Uri(uri), _) if uri.module_path.is_some() => {
            one(uri.module_path.clone().unwrap_or_default(), None)
        }
        (
            Place::Uri(Uri {
                module_name: Some(name),
                ..
            }),
            _,
        ) => one(by_name(name)?, None),
        (Place::Profile(profile), Some(module)) => one(module.clone(), Some(*profile)),
        (_, Some(module)) => one(module.clone(), None),
        (Place::Profile(profile), None) => installed(profile).map_or_else(
            || {
                let names = profile
                    .modules
                    .iter()
                    .map(|m| format!("\"{}\"", m.display()));
                Err(TokenError::NoModule(names.collect::<Vec<_>>().join(", ")))
            },
            |look| Ok(vec![look]),
        ),
        _ => everywhere(),
    }
}

fn everywhere() -> Result<Vec<Look>, TokenError> {
    let found: Vec<Look> = profile::all().iter().filter_map(installed).collect();
    if found.is_empty() {
        return Err(TokenError::NoModule("every module of the table".into()));
    }
    Ok(found)
}

/// A certificate on a token; whether its key is there is seen after login.
struct Candidate {
    slot: Slot,
    info: TokenInfo,
    certificate: Certificate,
    label: String,
    id: Vec<u8>,
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

fn token_name(info: &TokenInfo) -> String {
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
struct Scan {
    tokens: usize,
    candidates: Vec<Candidate>,
    all: Vec<Certificate>,
}

fn is_meant(uri: &Uri, slot: Slot, info: &TokenInfo) -> bool {
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

fn scan(module: &Pkcs11, uri: &Uri) -> Result<Scan, TokenError> {
    let mut found = Scan::default();
    let slots = module
        .get_slots_with_token()
        .map_err(|e| failed("the module", "list its tokens", &e))?;
    for slot in slots {
        // A card that is pulled out or not initialised is no reason to give up.
        let Ok(info) = module.get_token_info(slot) else {
            continue;
        };
        if !info.token_initialized() || !is_meant(uri, slot, &info) {
            continue;
        }
        found.tokens += 1;
        let Ok(session) = module.open_ro_session(slot) else {
            continue;
        };
        scan_token(&session, slot, &info, uri, &mut found)
            .map_err(|e| failed(&token_name(&info), "list its certificates", &e))?;
    }
    Ok(found)
}

fn scan_token(
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
fn ids_labelled(session: &Session, label: &str) -> Result<Vec<Vec<u8>>, Error> {
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
fn read_certificate(
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
fn choose(
    mut candidates: Vec<Candidate>,
    profile: Option<&Profile>,
    purpose: Purpose,
) -> Result<Option<Candidate>, TokenError> {
    candidates.retain(|c| fits(&c.certificate, purpose));
    if let Some(profile) = profile {
        let labels = match purpose {
            Purpose::Authentication => &profile.authentication,
            Purpose::Signature => &profile.signature,
        };
        let best = labels
            .iter()
            .find(|label| candidates.iter().any(|c| c.label == **label));
        match best {
            Some(label) => candidates.retain(|c| c.label == *label),
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
    // OpenSC shows one card as several tokens.
    candidates.dedup_by(|a, b| a.certificate == b.certificate);
    if candidates.len() > 1 {
        let uris = candidates.iter().map(|c| c.uri().to_string());
        return Err(TokenError::Ambiguous(uris.collect()));
    }
    Ok(candidates.pop())
}

/// Opens the key that `token` describes, logged in.
pub(super) fn open(
    token: &Token,
    purpose: Purpose,
    ask: &mut AskPin,
) -> Result<Box<dyn Signer>, TokenError> {
    let anything = Uri::default();
    let uri = match &token.place {
        Place::Uri(uri) => uri,
        _ => &anything,
    };
    let looks = looks(token)?;
    let only = looks.len() == 1;
    let mut tokens = 0;
    for look in looks {
        let found = load(&look.module).and_then(|module| Ok((scan(&module, uri)?, module)));
        let (scan, module) = match found {
            Ok(found) => found,
            // One broken module of several must not hide the others.
            Err(_) if !only => continue,
            Err(error) => return Err(error),
        };
        tokens += scan.tokens;
        if let Some(chosen) = choose(scan.candidates, look.profile, purpose)? {
            return log_in(&module, &look, chosen, &scan.all, ask);
        }
    }
    Err(match tokens {
        0 => TokenError::NoToken(format!("\"{token}\"")),
        _ => TokenError::NoCertificate(format!("\"{token}\"")),
    })
}

fn asks_itself(look: &Look, info: &TokenInfo) -> bool {
    let dialog = match look.profile {
        Some(profile) => profile.dialog,
        None => profile::all()
            .iter()
            .any(|profile| profile.dialog && profile.modules.contains(&look.module)),
    };
    dialog || info.protected_authentication_path()
}

fn log_in(
    module: &Pkcs11,
    look: &Look,
    chosen: Candidate,
    pool: &[Certificate],
    ask: &mut AskPin,
) -> Result<Box<dyn Signer>, TokenError> {
    let name = token_name(&chosen.info);
    let algorithm = algorithm_of(&chosen.certificate, &name)?;
    let session = module
        .open_ro_session(chosen.slot)
        .map_err(|e| failed(&name, "open a session", &e))?;
    let state = session
        .get_session_info()
        .map_err(|e| failed(&name, "tell its state", &e))?
        .session_state();
    let inside = matches!(state, SessionState::RoUser | SessionState::RwUser);
    if !inside && chosen.info.login_required() {
        present_pin(module, look, &session, &chosen, ask)?;
    }
    let key = find_key(&session, &chosen, algorithm, &name)?;
    Ok(Box::new(CardKey {
        session,
        key,
        algorithm,
        chain: chain_of(&chosen.certificate, pool),
        certificate: chosen.certificate,
        name,
    }))
}

// The only place that calls C_Login, and it does so once.
fn present_pin(
    module: &Pkcs11,
    look: &Look,
    session: &Session,
    chosen: &Candidate,
    ask: &mut AskPin,
) -> Result<(), TokenError> {
    let name = token_name(&chosen.info);
    // The flags as they are now: an earlier try may have changed them.
    let info = module
        .get_token_info(chosen.slot)
        .unwrap_or_else(|_| chosen.info.clone());
    if info.user_pin_locked() {
        return Err(TokenError::PinLocked(name));
    }
    let pin = if asks_itself(look, &info) {
        None
    } else {
        let tries = (info.user_pin_count_low(), info.user_pin_final_try());
        Some(entered(&name, tries, ask)?)
    };
    let Err(error) = session.login(UserType::User, pin.as_ref()) else {
        return Ok(());
    };
    let Error::Pkcs11(code, _) = &error else {
        return Err(failed(&name, "log in", &error));
    };
    let after = module.get_token_info(chosen.slot).ok();
    match code {
        RvError::UserAlreadyLoggedIn => Ok(()),
        RvError::PinLocked => Err(TokenError::PinLocked(name)),
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => match after {
            Some(after) if after.user_pin_locked() => Err(TokenError::PinLocked(name)),
            after => Err(TokenError::PinWrong {
                of: name,
                is_file: false,
                last_try: after.is_some_and(|info| info.user_pin_final_try()),
            }),
        },
        RvError::FunctionCanceled | RvError::Cancel => Err(cancelled(&name).into()),
        RvError::TokenNotPresent | RvError::DeviceRemoved => Err(TokenError::NoToken(name)),
        _ => Err(failed(&name, "log in", &error)),
    }
}

fn cancelled(name: &str) -> NoPin {
    NoPin {
        text: format!("the PIN entry for {name} was cancelled"),
        class: Class::Denied,
        hint: None,
    }
}

// `tries` says whether few are left, and whether one is.
fn entered(name: &str, tries: (bool, bool), ask: &mut AskPin) -> Result<AuthPin, TokenError> {
    let (few_tries, last_try) = tries;
    let pin = ask(&PinPrompt {
        of: name.to_owned(),
        is_file: false,
        few_tries,
        last_try,
    })?;
    if last_try && !pin.by_hand {
        return Err(TokenError::LastTry(name.to_owned()));
    }
    // An empty PIN is a mistake, and would cost a try.
    if pin.text.is_empty() {
        return Err(cancelled(name).into());
    }
    // Exactly as long as needed: a String that shrinks leaves a copy behind.
    Ok(AuthPin::from(pin.text.as_str().to_owned()))
}

fn find_key(
    session: &Session,
    chosen: &Candidate,
    algorithm: Algorithm,
    name: &str,
) -> Result<ObjectHandle, TokenError> {
    let told = |error: Error| failed(name, "show its private key", &error);
    let wanted = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Id(chosen.id.clone()),
    ];
    let found = session.find_objects(&wanted).map_err(told)?;
    let key = *found
        .first()
        .ok_or_else(|| TokenError::NoKey(name.to_owned()))?;
    let facts = [AttributeType::KeyType, AttributeType::AlwaysAuthenticate];
    let expected = match algorithm {
        Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => KeyType::RSA,
        Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha256 => KeyType::EC,
    };
    for attribute in session.get_attributes(key, &facts).map_err(told)? {
        match attribute {
            Attribute::KeyType(kind) if kind != expected => {
                return Err(TokenError::NoKey(name.to_owned()));
            }
            Attribute::AlwaysAuthenticate(true) => {
                return Err(TokenError::AlwaysAuthenticate(name.to_owned()));
            }
            _ => {}
        }
    }
    Ok(key)
}

fn algorithm_of(certificate: &Certificate, name: &str) -> Result<Algorithm, TokenError> {
    match certificate.key_kind() {
        KeyKind::Rsa(2048..=4096) => Ok(Algorithm::RsaPkcs1Sha256),
        KeyKind::P256 => Ok(Algorithm::EcdsaP256Sha256),
        KeyKind::P384 => Ok(Algorithm::EcdsaP384Sha256),
        other => Err(TokenError::KeyKind {
            of: name.to_owned(),
            kind: format!("{other:?}, expected RSA of 2048 to 4096 bits, P-256 or P-384"),
        }),
    }
}

fn failed(of: &str, operation: &'static str, error: &Error) -> TokenError {
    TokenError::Failed {
        of: of.to_owned(),
        operation,
        why: error.to_string(),
    }
}

/// A private key on a token; the session closes, and the token logs out, when
/// it is dropped.
struct CardKey {
    session: Session,
    key: ObjectHandle,
    algorithm: Algorithm,
    certificate: Certificate,
    chain: Vec<Certificate>,
    name: String,
}

impl CardKey {
    fn ask_card(&self, mechanism: &Mechanism, input: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.session
            .sign(mechanism, self.key, input)
            .map_err(|e| failed(&self.name, "sign", &e))
    }

    fn ecdsa(&self, digest: &[u8], size: usize) -> Result<Vec<u8>, TokenError> {
        let raw = self.ask_card(&Mechanism::Ecdsa, digest)?;
        der::ecdsa_signature(&raw, size).ok_or_else(|| TokenError::Failed {
            of: self.name.clone(),
            operation: "sign",
            why: format!("a signature of {} bytes, expected {}", raw.len(), 2 * size),
        })
    }

    fn make(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        match self.algorithm {
            Algorithm::EcdsaP256Sha256 => self.ecdsa(&Sha256::digest(message), 32),
            Algorithm::EcdsaP384Sha256 => self.ecdsa(&Sha256::digest(message), 48),
            Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => {
                let info = der::digest_info(&Sha256::digest(message).into());
                self.ask_card(&Mechanism::RsaPkcs, &info)
            }
        }
    }

    // A CKA_ID may lead to another certificate's key: better seen here.
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
            Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let bits = der::public_bits(self.certificate.spki_der()).unwrap_or(&[]);
        UnparsedPublicKey::new(algorithm, bits)
            .verify(message, signature)
            .map_err(|_| TokenError::NoKey(self.name.clone()))
    }
}

impl Signer for CardKey {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signed = self.make(message).and_then(|signature| {
            self.check(message, &signature)?;
            Ok(signature)
        });
        signed.map_err(|error| SignerError(Box::new(error)))
    }
}

/// Lists the certificates on every token of every installed module, or of
/// `module` alone.
pub(super) fn list(module: Option<&Path>) -> Result<Vec<Listed>, TokenError> {
    let token = Token {
        place: Place::Auto,
        module: module.map(Path::to_owned),
    };
    let mut listed: Vec<Listed> = Vec::new();
    let looks = looks(&token)?;
    let only = looks.len() == 1;
    for look in looks {
        match load(&look.module).and_then(|module| scan(&module, &Uri::default())) {
            Ok(found) => listed.extend(found.candidates.iter().map(|c| entry(c, &look.module))),
            Err(_) if !only => {}
            Err(error) => return Err(error),
        }
    }
    listed.sort_by_key(|entry| entry.uri.to_string());
    listed.dedup_by_key(|entry| entry.uri.to_string());
    Ok(listed)
}

fn entry(candidate: &Candidate, module: &Path) -> Listed {
    let certificate = &candidate.certificate;
    let usage = certificate.key_usage();
    Listed {
        uri: Uri {
            module_path: Some(module.to_owned()),
            ..candidate.uri()
        },
        subject: certificate.subject_text().to_owned(),
        not_after: certificate.not_after(),
        authentication: fits(certificate, Purpose::Authentication),
        signature: usage.is_some_and(|usage| usage.non_repudiation),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::token::Pin;

    fn enter(tries: (bool, bool), text: &str, by_hand: bool) -> Result<AuthPin, TokenError> {
        entered("token \"T\"", tries, &mut |prompt| {
            assert_eq!((prompt.few_tries, prompt.last_try), tries);
            Ok(Pin {
                text: Zeroizing::new(text.to_owned()),
                by_hand,
            })
        })
    }

    #[test]
    fn the_last_try_is_taken_by_hand_only() {
        assert!(enter((true, true), "1234", true).is_ok());
        assert!(enter((true, false), "1234", false).is_ok());
        let error = enter((true, true), "1234", false).err().unwrap();
        assert!(matches!(error, TokenError::LastTry(_)));
        assert_eq!(error.class(), Class::Denied);
    }

    #[test]
    fn an_empty_pin_costs_no_try() {
        let error = enter((false, false), "", true).err().unwrap();
        assert!(matches!(error, TokenError::NoPin(_)));
    }

    #[test]
    fn module_names_do_not_walk() {
        for name in [
            "../softhsm/libsofthsm2",
            "/usr/lib/softhsm/libsofthsm2",
            "no-such",
        ] {
            assert!(
                matches!(by_name(name), Err(TokenError::NoModule(_))),
                "{name}"
            );
        }
    }
}
