//! C_Sign as PKCS#11 has it, for keys that want a PIN between C_SignInit and
//! C_Sign: cryptoki offers the two only as one.
//!
//! The only unsafe code of this crate. Makes no decision: what is signed, and
//! whether a PIN was given, is the caller's.

#![allow(unsafe_code)]

use std::path::Path;

use cryptoki::context::Function;
use cryptoki::error::{Error, Rv};
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
pub(super) fn sign(path: &Path, session: &Session, input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut copy = input.to_vec();
    let length = |n: usize| CK_ULONG::try_from(n).map_err(Error::TryFromInt);
    let mut out = vec![0; LONGEST];
    let mut written = length(out.len())?;
    // SAFETY: the module at this path is loaded in this process already and
    // stays loaded for its lifetime, so that dlopen returns the same one and
    // its function list stays valid; the list is checked for null before it is
    // read. C_Sign reads `copy` and writes at most `written` bytes to `out`,
    // both of which live until it returns, on a session that `session` holds
    // open and that nobody else uses meanwhile (CardKey is not shared).
    let answer = unsafe {
        let module = Pkcs11::new(path).map_err(Error::LibraryLoading)?;
        let mut list: CK_FUNCTION_LIST_PTR = std::ptr::null_mut();
        if module.C_GetFunctionList(&raw mut list) != CKR_OK || list.is_null() {
            return Err(Error::MissingSymbol("C_GetFunctionList"));
        }
        let sign = (*list).C_Sign.ok_or(Error::NullFunctionPointer)?;
        sign(
            session.handle(),
            copy.as_mut_ptr(),
            length(copy.len())?,
            out.as_mut_ptr(),
            &raw mut written,
        )
    };
    Rv::from(answer).into_result(Function::Sign)?;
    let written = usize::try_from(written).map_err(Error::TryFromInt)?;
    if written > out.len() {
        // Longer than it was allowed to be.
        return Err(Error::InvalidValue);
    }
    out.truncate(written);
    Ok(out)
}
