//! Which PKCS#11 modules to load, and loading them once.
//!
//! Opens no session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::TokenInfo;

use crate::token::profile::{self, Profile};
use crate::token::{Place, Token, TokenError};

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

pub(super) fn load(path: &Path) -> Result<Pkcs11, TokenError> {
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
pub(super) struct Look {
    pub(super) module: PathBuf,
    /// The kinds of token it may show, the likeliest first; none known: by key
    /// usage alone.
    pub(super) profiles: Vec<&'static Profile>,
}

pub(super) fn installed(profile: &'static Profile) -> Option<Look> {
    let module = profile.modules.iter().find(|path| path.exists())?;
    Some(Look {
        module: module.clone(),
        profiles: vec![profile],
    })
}

pub(super) fn by_name(name: &str) -> Result<PathBuf, TokenError> {
    // A name, not a path: it must not walk out of the folders.
    let plain = !name.contains('/');
    MODULE_DIRS
        .iter()
        .flat_map(|dir| [format!("{dir}/{name}.so"), format!("{dir}/lib{name}.so")])
        .map(PathBuf::from)
        .find(|path| plain && path.exists())
        .ok_or_else(|| TokenError::NoModule(format!("\"{name}\"")))
}

pub(super) fn looks(token: &Token) -> Result<Vec<Look>, TokenError> {
    let one = |module: PathBuf, profile: Option<&'static Profile>| {
        let profiles = profile.into_iter().collect();
        Ok(vec![Look { module, profiles }])
    };
    if let Place::Uri(uri) = &token.place {
        match (&uri.module_path, &uri.module_name) {
            (Some(path), _) => return one(path.clone(), None),
            (None, Some(name)) => return one(by_name(name)?, None),
            (None, None) => {}
        }
    }
    match (&token.place, &token.module) {
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

pub(super) fn everywhere() -> Result<Vec<Look>, TokenError> {
    let mut found: Vec<Look> = Vec::new();
    for look in profile::all().into_iter().filter_map(installed) {
        match found.iter_mut().find(|known| known.module == look.module) {
            Some(known) => known.profiles.extend(look.profiles),
            None => found.push(look),
        }
    }
    if found.is_empty() {
        return Err(TokenError::NoModule("every module of the table".into()));
    }
    Ok(found)
}

pub(super) fn asks_itself(look: &Look, info: &TokenInfo) -> bool {
    let named = |profile: &Profile| profile.modules.contains(&look.module);
    let all = match look.profiles.is_empty() {
        true => profile::all().into_iter().filter(|p| named(p)).collect(),
        false => look.profiles.clone(),
    };
    let dialog = all.iter().any(|profile| profile.dialog);
    dialog || info.protected_authentication_path()
}
