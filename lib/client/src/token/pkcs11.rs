//! Cards and HSMs through their PKCS#11 modules.
//!
//! One PIN entry makes at most one C_Login; nothing is ever derived or decrypted.

mod key;
mod module;
mod raw;
mod scan;

use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use smr_evidence::trust::{Algorithm, Certificate, Signer};
use smr_name::Class;

use self::key::{CardKey, Consent, algorithm_of};
use self::module::{Look, asks_itself, load, looks};
use self::scan::{Candidate, choose, scan, token_name};
use super::uri::Uri;
use super::{AskPin, Listed, NoPin, PinPrompt, Place, Purpose, Token, TokenError, chain_of, pcscd};

/// How long to wait before looking for a card again.
const PAUSE: Duration = Duration::from_millis(500);

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
    let deadline = Instant::now() + token.wait;
    loop {
        match look_through(token, uri, purpose, ask) {
            Err(TokenError::NoToken(_) | TokenError::NoReader { .. } | TokenError::Removed(_))
                if Instant::now() < deadline =>
            {
                std::thread::sleep(PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Looks through all modules for the key; trouble with one token or module is
/// told only where no other has what is wanted.
fn look_through(
    token: &Token,
    uri: &Uri,
    purpose: Purpose,
    ask: &mut AskPin,
) -> Result<Box<dyn Signer>, TokenError> {
    let (mut readers, mut tokens, mut trouble) = (0, 0, None);
    for look in looks(token)? {
        let found = load(&look.module).and_then(|module| Ok((scan(&module, uri)?, module)));
        let (scan, module) = match found {
            Ok(found) => found,
            Err(error) => {
                trouble = trouble.or(Some(error));
                continue;
            }
        };
        readers += scan.readers;
        tokens += scan.tokens;
        trouble = trouble.or(scan.trouble);
        if let Some(chosen) = choose_by(&look, scan.candidates, purpose)? {
            return log_in(&module, &look, chosen, &scan.all, ask);
        }
    }
    let of = format!("\"{token}\"");
    Err(match (trouble, readers, tokens) {
        (Some(error), ..) => error,
        // Modules that need no pcscd have a reader of their own.
        (None, 0, _) => TokenError::NoReader {
            of,
            pcscd: pcscd::look(),
        },
        (None, _, 0) => TokenError::NoToken(of),
        (None, ..) => TokenError::NoCertificate(of),
    })
}

/// Asks each kind of token that the module may show, then key usage alone.
fn choose_by(
    look: &Look,
    candidates: Vec<Candidate>,
    purpose: Purpose,
) -> Result<Option<Candidate>, TokenError> {
    for profile in &look.profiles {
        if let Some(chosen) = choose(candidates.clone(), Some(profile), purpose)? {
            return Ok(Some(chosen));
        }
    }
    match look.profiles.iter().all(|profile| profile.exact) && !look.profiles.is_empty() {
        // Only what they name was meant.
        true => Ok(None),
        false => choose(candidates, None, purpose),
    }
}

fn log_in(
    module: &Pkcs11,
    look: &Look,
    chosen: Candidate,
    pool: &[Certificate],
    ask: &mut AskPin,
) -> Result<Box<dyn Signer>, TokenError> {
    let name = token_name(&chosen.info);
    // A token that does not tell its mechanisms is asked for the usual ones.
    let mechanisms = module.get_mechanism_list(chosen.slot).unwrap_or_default();
    let algorithm = algorithm_of(&chosen.certificate, &mechanisms, &name)?;
    let session = module
        .open_ro_session(chosen.slot)
        .map_err(|e| failed(&name, "open a session", &e))?;
    let state = session
        .get_session_info()
        .map_err(|e| failed(&name, "tell its state", &e))?
        .session_state();
    let inside = matches!(state, SessionState::RoUser | SessionState::RwUser);
    let mut pin = None;
    if !inside && chosen.info.login_required() {
        pin = present_pin(module, look, &session, &chosen, ask)?;
    }
    let key = find_key(&session, &chosen, algorithm, &name)?;
    let algorithm = match key.allows.as_slice() {
        [] => algorithm,
        allowed => algorithm_of(&chosen.certificate, allowed, &name)?,
    };
    let consent = match key.always_asks {
        true => Consent::Each(pin),
        false => Consent::Token,
    };
    Ok(Box::new(CardKey {
        session,
        key: key.handle,
        algorithm,
        consent,
        module: look.module.clone(),
        chain: chain_of(&chosen.certificate, pool),
        certificate: chosen.certificate,
        name,
    }))
}

// The only place that logs in to a token, and it does so once. Returns the PIN
// that was right, for a key that asks for it again.
fn present_pin(
    module: &Pkcs11,
    look: &Look,
    session: &Session,
    chosen: &Candidate,
    ask: &mut AskPin,
) -> Result<Option<AuthPin>, TokenError> {
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
        return Ok(pin);
    };
    let Error::Pkcs11(code, _) = &error else {
        return Err(failed(&name, "log in", &error));
    };
    match code {
        RvError::UserAlreadyLoggedIn => Ok(pin),
        // Only here: asked about a card that was pulled out, OpenSC 0.23 locks
        // itself up (its issue 2707).
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
            match module.get_token_info(chosen.slot).ok() {
                Some(after) if after.user_pin_locked() => Err(TokenError::PinLocked(name)),
                after => Err(TokenError::PinWrong {
                    of: name,
                    is_file: false,
                    last_try: after.is_some_and(|info| info.user_pin_final_try()),
                }),
            }
        }
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

/// A private key, and what it says of its use.
struct Key {
    handle: ObjectHandle,
    always_asks: bool,
    /// The mechanisms it is limited to; none named: those of the token.
    allows: Vec<MechanismType>,
}

fn find_key(
    session: &Session,
    chosen: &Candidate,
    algorithm: Algorithm,
    name: &str,
) -> Result<Key, TokenError> {
    let told = |error: Error| failed(name, "show its private key", &error);
    let wanted = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Id(chosen.id.clone()),
    ];
    let found = session.find_objects(&wanted).map_err(told)?;
    let handle = *found
        .first()
        .ok_or_else(|| TokenError::NoKey(name.to_owned()))?;
    let expected = match algorithm {
        Algorithm::RsaPkcs1Sha256 | Algorithm::RsaPssSha256 => KeyType::RSA,
        Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha256 => KeyType::EC,
    };
    let facts = [
        AttributeType::KeyType,
        AttributeType::AlwaysAuthenticate,
        AttributeType::AllowedMechanisms,
    ];
    let mut key = Key {
        handle,
        always_asks: false,
        allows: Vec::new(),
    };
    for attribute in session.get_attributes(handle, &facts).map_err(told)? {
        match attribute {
            Attribute::KeyType(kind) if kind != expected => {
                return Err(TokenError::NoKey(name.to_owned()));
            }
            Attribute::AlwaysAuthenticate(asks) => key.always_asks = asks,
            Attribute::AllowedMechanisms(allowed) => key.allows = allowed,
            _ => {}
        }
    }
    Ok(key)
}

/// Says what a module's error means to a person.
fn failed(of: &str, operation: &'static str, error: &Error) -> TokenError {
    let of = of.to_owned();
    match error {
        Error::Pkcs11(
            RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::SlotIdInvalid
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::TokenNotRecognized,
            _,
        ) => TokenError::Removed(of),
        Error::Pkcs11(RvError::DeviceError, _) => TokenError::Silent {
            of,
            why: format!("it failed to {operation}"),
        },
        Error::Pkcs11(
            RvError::FunctionCanceled | RvError::FunctionRejected | RvError::Cancel,
            _,
        ) => cancelled(&of).into(),
        // Of a key with a PIN for each signature, or in the module's window.
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            TokenError::PinWrong {
                of,
                is_file: false,
                last_try: false,
            }
        }
        Error::Pkcs11(RvError::PinLocked, _) => TokenError::PinLocked(of),
        _ => TokenError::Failed {
            of,
            operation,
            why: error.to_string(),
        },
    }
}

/// Lists the readers, tokens and certificates of the modules that `token` may
/// mean, and what kept us from some.
pub(super) fn list(token: &Token, now: i64) -> Result<(Vec<Listed>, Vec<TokenError>), TokenError> {
    let (mut listed, mut troubles, mut bare) = (Vec::new(), Vec::new(), None);
    for look in looks(token)? {
        match load(&look.module).and_then(|module| readers(&module)) {
            Ok(readers) => {
                if readers.is_empty() {
                    bare = bare.or(Some(look.module.clone()));
                }
                for reader in readers {
                    let (found, trouble) = scan::reader(&reader, &look.module, now);
                    listed.extend(found);
                    troubles.extend(trouble);
                }
            }
            Err(error) => troubles.push(error),
        }
    }
    // Another module's readers do not explain why this one has none.
    let pcscd = pcscd::look();
    troubles.extend(
        bare.filter(|_| pcscd.fault().is_some() || listed.is_empty())
            .map(|module| TokenError::NoReader {
                of: format!("\"{}\"", module.display()),
                pcscd,
            }),
    );
    Ok((listed, troubles))
}

fn readers(module: &Pkcs11) -> Result<Vec<(Pkcs11, Slot)>, TokenError> {
    let slots = module.get_all_slots();
    let slots = slots.map_err(|e| failed("the module", "list its readers", &e))?;
    Ok(slots
        .into_iter()
        .map(|slot| (module.clone(), slot))
        .collect())
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
                matches!(super::module::by_name(name), Err(TokenError::NoModule(_))),
                "{name}"
            );
        }
    }
}
