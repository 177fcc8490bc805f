//! C_Sign as PKCS#11 has it, for keys that want a PIN between C_SignInit and
//! C_Sign: cryptoki offers the two only as one.
//!
//! The only unsafe code of this crate. Makes no decision: what is signed, and
//! whether a PIN was given, is the caller's.

#![allow(unsafe_code)]

use std::path::Path;

use cryptoki::session::Session;
use cryptoki_sys::{CK_FUNCTION_LIST_PTR, CK_ULONG, CKR_OK, Pkcs11};

/// The longest signature of a key we use: RSA of 4096 bits, in bytes.
const LONGEST: usize = 512;

/// Signs `input`, after C_SignInit and the login of this key, through the
/// module at `path`, which is loaded and initialised.
///
/// # Errors
///
/// What the module answered (PKCS#11 2.40, 6.3), or that it cannot be called.
pub(super) fn sign(path: &Path, session: &Session, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut copy = input.to_vec();
    let length = |n: usize| CK_ULONG::try_from(n).map_err(|e| e.to_string());
    let mut out = vec![0; LONGEST];
    let mut written = length(out.len())?;
    // SAFETY: the module at this path is loaded in this process already and
    // stays loaded for its lifetime, so that dlopen returns the same one and
    // its function list stays valid; the list is checked for null before it is
    // read. C_Sign reads `copy` and writes at most `written` bytes to `out`,
    // both of which live until it returns, on a session that `session` holds
    // open and that nobody else uses meanwhile (CardKey is not shared).
    let answer = unsafe {
        let module = Pkcs11::new(path).map_err(|e| e.to_string())?;
        let mut list: CK_FUNCTION_LIST_PTR = std::ptr::null_mut();
        if module.C_GetFunctionList(&raw mut list) != CKR_OK || list.is_null() {
            return Err("the module gives no list of functions".to_owned());
        }
        let sign = (*list).C_Sign.ok_or("the module has no C_Sign")?;
        sign(
            session.handle(),
            copy.as_mut_ptr(),
            length(copy.len())?,
            out.as_mut_ptr(),
            &raw mut written,
        )
    };
    let written = usize::try_from(written).unwrap_or(usize::MAX);
    match answer {
        CKR_OK if written <= out.len() => {
            out.truncate(written);
            Ok(out)
        }
        CKR_OK => Err("the signature is longer than was allowed".to_owned()),
        code => Err(format!("error {code:#x}")),
    }
}
