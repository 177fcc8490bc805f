//! Arguments and answers over the border between C and Rust.
//!
//! The promises of PKCS#11 callers are taken as given: this is a test part.

use std::{ptr, slice};

use cryptoki_sys::*;

use crate::token::Rv;

/// Writes an answer where the caller wants it.
///
/// # Safety
///
/// `place` is null or points to a place for a `T`.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> Rv {
    if place.is_null() {
        return Err(CKR_ARGUMENTS_BAD);
    }
    // SAFETY: not null, so it is a place for a T.
    unsafe { place.write(value) };
    Ok(())
}

/// Writes a list, or only its length where `place` is null.
///
/// # Safety
///
/// `place` is null or has room for `*count` values; `count` points to a number.
pub(crate) unsafe fn put_list<T: Copy>(values: &[T], place: *mut T, count: CK_ULONG_PTR) -> Rv {
    // SAFETY: `count` is null or points to a number.
    let room = *unsafe { count.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)? as usize;
    // SAFETY: `count` is not null, as was just seen.
    unsafe { count.write(values.len() as CK_ULONG) };
    if place.is_null() {
        return Ok(());
    }
    if room < values.len() {
        return Err(CKR_BUFFER_TOO_SMALL);
    }
    // SAFETY: `place` has room for as many, and does not overlap our own.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), place, values.len()) };
    Ok(())
}

/// Returns the bytes that a caller gives; none where the pointer is null.
///
/// # Safety
///
/// `place` is null or points to `length` bytes that live as long as the call.
pub(crate) unsafe fn given<'a>(place: *const u8, length: CK_ULONG) -> Option<&'a [u8]> {
    // SAFETY: not null, so it points to `length` bytes.
    (!place.is_null()).then(|| unsafe { slice::from_raw_parts(place, length as usize) })
}
