//! A token: its objects, its PIN, and the tries that are left of it.
//!
//! The tries lie in a file beside the script: a locked token stays locked.

use std::path::{Path, PathBuf};

use cryptoki_sys::*;

use crate::object::Object;
use crate::script;

/// What a call answers: nothing, or another code than CKR_OK.
pub(crate) type Rv<T = ()> = Result<T, CK_RV>;

pub(crate) struct Token {
    pub(crate) says: script::Token,
    pub(crate) objects: Vec<Object>,
    pub(crate) logged_in: bool,
    tries_file: PathBuf,
}

impl Token {
    /// Takes a token from the script of `folder`. Says in words what is wrong.
    pub(crate) fn take(name: &str, says: script::Token, folder: &Path) -> Result<Token, String> {
        let mut objects = Vec::new();
        for from in &says.object {
            let path = folder.join(&from.file);
            let file = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            objects.push(Object::new(from, &file)?);
        }
        // In front, so that whoever reads only the first few misses the rest.
        let crowd = (0..says.crowd).map(Object::bystander);
        Ok(Token {
            objects: crowd.chain(objects).collect(),
            logged_in: false,
            tries_file: folder.join(format!("{name}.tries")),
            says,
        })
    }

    /// Returns the tries that are left.
    fn tries(&self) -> u32 {
        let text = std::fs::read_to_string(&self.tries_file).unwrap_or_default();
        text.trim().parse().unwrap_or(self.says.tries)
    }

    fn keep_tries(&self, left: u32) -> Rv {
        std::fs::write(&self.tries_file, left.to_string()).map_err(|_| CKR_DEVICE_ERROR)
    }

    /// Takes a PIN as a card does: three wrong ones lock it, a right one
    /// gives the tries back.
    pub(crate) fn present(&self, pin: Option<&[u8]>) -> Rv {
        match pin {
            _ if self.says.window => Ok(()),
            None if self.says.pad && self.says.pad_answers == CKR_OK => Ok(()),
            None if self.says.pad => Err(self.says.pad_answers),
            None => Err(CKR_ARGUMENTS_BAD),
            Some(_) if self.says.pad => Err(CKR_ARGUMENTS_BAD),
            Some(_) if self.tries() == 0 => Err(CKR_PIN_LOCKED),
            Some(pin) if pin == self.says.pin.as_bytes() => self.keep_tries(self.says.tries),
            Some(_) => {
                self.keep_tries(self.tries() - 1)?;
                Err(CKR_PIN_INCORRECT)
            }
        }
    }

    fn flags(&self) -> CK_FLAGS {
        let tries = self.tries();
        let flag = |holds: bool, flag: CK_FLAGS| if holds { flag } else { 0 };
        CKF_LOGIN_REQUIRED
            | flag(!self.says.blank, CKF_TOKEN_INITIALIZED)
            | flag(!self.says.blank, CKF_USER_PIN_INITIALIZED)
            | flag(self.says.pad, CKF_PROTECTED_AUTHENTICATION_PATH)
            | flag(tries < self.says.tries, CKF_USER_PIN_COUNT_LOW)
            | flag(tries == 1, CKF_USER_PIN_FINAL_TRY)
            | flag(tries == 0, CKF_USER_PIN_LOCKED)
    }

    pub(crate) fn info(&self) -> CK_TOKEN_INFO {
        CK_TOKEN_INFO {
            label: padded(&self.says.label, self.says.padding),
            manufacturerID: padded("smr tests", ' '),
            model: padded("scripted", ' '),
            serialNumber: padded(&self.says.serial, ' '),
            flags: self.flags(),
            ulMaxPinLen: 16,
            ulMinPinLen: 4,
            ..Default::default()
        }
    }

    /// Returns the mechanisms it claims to have.
    pub(crate) fn mechanisms(&self) -> Vec<CK_MECHANISM_TYPE> {
        let own = |object: &Object| {
            let key = object.key.as_ref()?;
            Some(match key.is_rsa() {
                true => [CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS],
                false => [CKM_ECDSA, CKM_ECDSA_SHA256],
            })
        };
        self.says.mechanisms.clone().unwrap_or_else(|| {
            let mut all: Vec<_> = self.objects.iter().filter_map(own).flatten().collect();
            all.sort_unstable();
            all.dedup();
            all
        })
    }
}

/// Fills a text up to the length of its field, as PKCS#11 wants it.
pub(crate) fn padded<const N: usize>(text: &str, padding: char) -> [u8; N] {
    let mut field = [padding as u8; N];
    let length = text.len().min(N);
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
    field
}
