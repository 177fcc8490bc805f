//! A session with a token: one search and one signature at a time.

use cryptoki_sys::*;

use crate::key::Key;
use crate::token::{Rv, Token};

/// A signature that was begun.
struct Signing {
    object: usize,
    mechanism: CK_MECHANISM_TYPE,
    /// No context-specific login is owed.
    allowed: bool,
    message: Vec<u8>,
}

pub(crate) struct Session {
    pub(crate) slot: usize,
    found: Option<Vec<usize>>,
    signing: Option<Signing>,
}

impl Session {
    pub(crate) fn new(slot: usize) -> Session {
        Session {
            slot,
            found: None,
            signing: None,
        }
    }

    pub(crate) fn find(&mut self, token: &Token, template: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]) -> Rv {
        if self.found.is_some() {
            return Err(CKR_OPERATION_ACTIVE);
        }
        let seen = token.objects.iter().enumerate().rev();
        let seen =
            seen.filter(|(_, o)| (token.logged_in || !o.is_private()) && o.matches(template));
        self.found = Some(seen.map(|(at, _)| at).collect());
        Ok(())
    }

    /// Returns up to `limit` more of what was found, as places.
    pub(crate) fn found(&mut self, limit: usize) -> Rv<Vec<usize>> {
        let left = self.found.as_mut().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        let rest = left.len().saturating_sub(limit);
        let mut taken = left.split_off(rest);
        taken.reverse();
        Ok(taken)
    }

    pub(crate) fn end_find(&mut self) -> Rv {
        let ended = self.found.take();
        ended.map(drop).ok_or(CKR_OPERATION_NOT_INITIALIZED)
    }

    pub(crate) fn begin(&mut self, token: &Token, mechanism: CK_MECHANISM_TYPE, at: usize) -> Rv {
        if self.signing.is_some() {
            return Err(CKR_OPERATION_ACTIVE);
        }
        let object = token.objects.get(at).ok_or(CKR_KEY_HANDLE_INVALID)?;
        if !token.logged_in {
            return Err(CKR_USER_NOT_LOGGED_IN);
        }
        let key = object.key.as_ref().ok_or(CKR_KEY_HANDLE_INVALID)?;
        let known: &[CK_MECHANISM_TYPE] = match key.is_rsa() {
            true => &[CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS],
            false => &[CKM_ECDSA, CKM_ECDSA_SHA256],
        };
        if !known.contains(&mechanism) || token.says.refuses.contains(&mechanism) {
            return Err(CKR_MECHANISM_INVALID);
        }
        self.signing = Some(Signing {
            object: at,
            mechanism,
            allowed: !object.always,
            message: Vec::new(),
        });
        Ok(())
    }

    /// Takes the PIN again, for the one signature that was begun.
    pub(crate) fn allow(&mut self, token: &Token, pin: Option<&[u8]>) -> Rv {
        let signing = self.signing.as_mut();
        let signing = signing.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        match token.says.context_answers {
            Some(answer) if answer != CKR_OK => return Err(answer),
            _ => token.present(pin)?,
        }
        signing.allowed = true;
        Ok(())
    }

    /// Returns how long the signature will be.
    pub(crate) fn length(&self, token: &Token) -> Rv<usize> {
        let signing = self.signing.as_ref();
        let signing = signing.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        key(token, signing.object).map(Key::signature_len)
    }

    pub(crate) fn update(&mut self, part: &[u8]) -> Rv {
        let signing = self.signing.as_mut();
        let signing = signing.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        match signing.mechanism {
            // Single part only (PKCS#11 v3.0, tables 15 and 42).
            CKM_RSA_PKCS | CKM_ECDSA => Err(CKR_FUNCTION_NOT_SUPPORTED),
            _ => {
                signing.message.extend_from_slice(part);
                Ok(())
            }
        }
    }

    /// Signs what was given before and `rest`; the operation is over then,
    /// whatever comes of it.
    pub(crate) fn finish(&mut self, token: &Token, rest: &[u8]) -> Rv<Vec<u8>> {
        let signing = self.signing.take();
        let signing = signing.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        if !token.logged_in || !signing.allowed {
            return Err(CKR_USER_NOT_LOGGED_IN);
        }
        if token.says.breaks.contains(&signing.mechanism) {
            return Err(CKR_FUNCTION_FAILED);
        }
        let key = key(token, signing.object)?;
        let message = [signing.message.as_slice(), rest].concat();
        let signature = match signing.mechanism {
            CKM_RSA_PKCS | CKM_ECDSA => key.sign_raw(&message),
            _ => key.sign_sha256(&message),
        };
        signature.ok_or(CKR_FUNCTION_FAILED)
    }
}

fn key(token: &Token, at: usize) -> Rv<&Key> {
    let object = token.objects.get(at);
    object
        .and_then(|o| o.key.as_ref())
        .ok_or(CKR_KEY_HANDLE_INVALID)
}
