//! Templates of attributes, over the border between C and Rust.

use std::slice;

use cryptoki_sys::*;

use crate::object::Object;
use crate::token::Rv;

/// Reads a template.
///
/// # Safety
///
/// `template` points to `count` attributes with their values, or `count` is 0.
pub(crate) unsafe fn read(
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)> {
    if template.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller gives `count` attributes.
    let template = unsafe { slice::from_raw_parts(template, count as usize) };
    let value = |a: &CK_ATTRIBUTE| {
        if a.pValue.is_null() {
            return Vec::new();
        }
        // SAFETY: the caller gives a value of this length.
        unsafe { slice::from_raw_parts(a.pValue.cast::<u8>(), a.ulValueLen as usize) }.to_vec()
    };
    template.iter().map(|a| (a.type_, value(a))).collect()
}

/// Fills a template with what `object` has (PKCS#11 v3.0, C_GetAttributeValue).
///
/// # Safety
///
/// `template` points to `count` attributes, whose values are null or as long
/// as they say.
pub(crate) unsafe fn fill(object: &Object, template: CK_ATTRIBUTE_PTR, count: CK_ULONG) -> Rv {
    if template.is_null() {
        return Err(CKR_ARGUMENTS_BAD);
    }
    // SAFETY: the caller gives `count` attributes, which are his to change.
    let template = unsafe { slice::from_raw_parts_mut(template, count as usize) };
    let mut rv = Ok(());
    for attribute in template {
        // SAFETY: the value is null or as long as it says.
        if let Err(code) = unsafe { fill_one(object, attribute) } {
            attribute.ulValueLen = CK_ULONG::MAX;
            rv = Err(code);
        }
    }
    rv
}

/// # Safety
///
/// The value of `attribute` is null or as long as it says.
unsafe fn fill_one(object: &Object, attribute: &mut CK_ATTRIBUTE) -> Rv {
    let value = object.attribute(attribute.type_);
    let value = value.ok_or(CKR_ATTRIBUTE_TYPE_INVALID)?;
    let room = attribute.ulValueLen as usize;
    attribute.ulValueLen = value.len() as CK_ULONG;
    if attribute.pValue.is_null() {
        return Ok(());
    }
    if room < value.len() {
        return Err(CKR_BUFFER_TOO_SMALL);
    }
    // SAFETY: there is room for `value`, as was just compared.
    let place = unsafe { slice::from_raw_parts_mut(attribute.pValue.cast::<u8>(), value.len()) };
    place.copy_from_slice(value);
    Ok(())
}
