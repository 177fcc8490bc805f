//! The functions that a program sees, as PKCS#11 v2.40 names them.
//!
//! Each reads its arguments, has the world do the work, and writes the answer.

#![allow(non_snake_case, missing_docs, clippy::missing_safety_doc)]

use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use cryptoki_sys::*;

use crate::attributes;
use crate::border::{given, put, put_list};
use crate::token::{Rv, padded};
use crate::world::World;

static WORLD: Mutex<Option<World>> = Mutex::new(None);

fn call(function: &str, work: impl FnOnce(&mut World) -> Rv) -> CK_RV {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    match world.as_mut() {
        Some(world) => world.call(function, work),
        None => CKR_CRYPTOKI_NOT_INITIALIZED,
    }
}

unsafe extern "C" fn C_Initialize(_: *mut c_void) -> CK_RV {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    if world.is_some() {
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    match World::begin() {
        Ok(Ok(begun)) => {
            *world = Some(begun);
            CKR_OK
        }
        Ok(Err(rv)) => rv,
        // A wrong script is a fault of the test: nothing may look like success.
        Err(why) => panic!("token module: {why}"),
    }
}

unsafe extern "C" fn C_Finalize(_: *mut c_void) -> CK_RV {
    let rv = call("C_Finalize", |_| Ok(()));
    *WORLD.lock().unwrap_or_else(PoisonError::into_inner) = None;
    rv
}

unsafe extern "C" fn C_GetInfo(info: CK_INFO_PTR) -> CK_RV {
    let about = CK_INFO {
        cryptokiVersion: VERSION,
        manufacturerID: padded("smr tests", ' '),
        flags: 0,
        libraryDescription: padded("tokens from a script", ' '),
        libraryVersion: VERSION,
    };
    // SAFETY: the caller's promise (PKCS#11), as for every function here.
    call("C_GetInfo", |_| unsafe { put(info, about) })
}

unsafe extern "C" fn C_GetSlotList(
    present: CK_BBOOL,
    slots: CK_SLOT_ID_PTR,
    count: CK_ULONG_PTR,
) -> CK_RV {
    call("C_GetSlotList", |world| {
        let all = world.slots.iter().enumerate();
        let meant = all.filter(|(_, slot)| present == 0 || world.has_token(slot));
        let numbers: Vec<_> = meant.map(|(at, _)| at as CK_SLOT_ID).collect();
        // SAFETY: the caller's promise.
        unsafe { put_list(&numbers, slots, count) }
    })
}

unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: CK_SLOT_INFO_PTR) -> CK_RV {
    call("C_GetSlotInfo", |world| {
        let found = world.slot(slot)?;
        let there = if world.has_token(found) {
            CKF_TOKEN_PRESENT
        } else {
            0
        };
        let about = CK_SLOT_INFO {
            slotDescription: padded(&found.reader, ' '),
            manufacturerID: padded("smr tests", ' '),
            flags: there | CKF_REMOVABLE_DEVICE | CKF_HW_SLOT,
            ..Default::default()
        };
        // SAFETY: the caller's promise.
        unsafe { put(info, about) }
    })
}

unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: CK_TOKEN_INFO_PTR) -> CK_RV {
    call("C_GetTokenInfo", |world| {
        let about = world.token("C_GetTokenInfo", slot)?.info();
        // SAFETY: the caller's promise.
        unsafe { put(info, about) }
    })
}

unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: CK_MECHANISM_TYPE_PTR,
    count: CK_ULONG_PTR,
) -> CK_RV {
    call("C_GetMechanismList", |world| {
        let all = world.token("C_GetMechanismList", slot)?.mechanisms();
        // SAFETY: the caller's promise.
        unsafe { put_list(&all, list, count) }
    })
}

unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: CK_MECHANISM_INFO_PTR,
) -> CK_RV {
    call("C_GetMechanismInfo", |world| {
        let token = world.token("C_GetMechanismInfo", slot)?;
        if !token.mechanisms().contains(&mechanism) {
            return Err(CKR_MECHANISM_INVALID);
        }
        let about = CK_MECHANISM_INFO {
            ulMinKeySize: 256,
            ulMaxKeySize: 4096,
            flags: CKF_HW | CKF_SIGN,
        };
        // SAFETY: the caller's promise.
        unsafe { put(info, about) }
    })
}

unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    _: CK_FLAGS,
    _: *mut c_void,
    _: CK_NOTIFY,
    session: CK_SESSION_HANDLE_PTR,
) -> CK_RV {
    call("C_OpenSession", |world| {
        let opened = world.open(slot)?;
        // SAFETY: the caller's promise.
        unsafe { put(session, opened) }
    })
}

unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_CloseSession", |world| world.close(session))
}

unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    call("C_CloseAllSessions", |world| world.close_all(slot))
}

unsafe extern "C" fn C_GetSessionInfo(
    session: CK_SESSION_HANDLE,
    info: CK_SESSION_INFO_PTR,
) -> CK_RV {
    call("C_GetSessionInfo", |world| {
        let (session, token) = world.with("C_GetSessionInfo", session)?;
        let about = CK_SESSION_INFO {
            slotID: session.slot as CK_SLOT_ID,
            state: match token.logged_in {
                true => CKS_RO_USER_FUNCTIONS,
                false => CKS_RO_PUBLIC_SESSION,
            },
            flags: CKF_SERIAL_SESSION,
            ulDeviceError: 0,
        };
        // SAFETY: the caller's promise.
        unsafe { put(info, about) }
    })
}

unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: CK_UTF8CHAR_PTR,
    length: CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller's promise.
    let pin = unsafe { given(pin, length) };
    call("C_Login", |world| world.log_in(session, user, pin))
}

unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_Logout", |world| {
        let (_, token) = world.with("C_Logout", session)?;
        match std::mem::take(&mut token.logged_in) {
            true => Ok(()),
            false => Err(CKR_USER_NOT_LOGGED_IN),
        }
    })
}

unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    call("C_GetAttributeValue", |world| {
        let (_, token) = world.with("C_GetAttributeValue", session)?;
        let at = place(object)?;
        let object = token.objects.get(at).ok_or(CKR_OBJECT_HANDLE_INVALID)?;
        // SAFETY: the caller's promise.
        unsafe { attributes::fill(object, template, count) }
    })
}

unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller's promise.
    let template = unsafe { attributes::read(template, count) };
    call("C_FindObjectsInit", |world| {
        let (session, token) = world.with("C_FindObjectsInit", session)?;
        session.find(token, &template)
    })
}

unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: CK_OBJECT_HANDLE_PTR,
    room: CK_ULONG,
    count: CK_ULONG_PTR,
) -> CK_RV {
    call("C_FindObjects", |world| {
        let (session, _) = world.with("C_FindObjects", session)?;
        let found = session.found(room as usize)?;
        let handles: Vec<_> = found.iter().map(|at| *at as CK_OBJECT_HANDLE + 1).collect();
        // SAFETY: the caller's promise: a place for the count, and room for as many.
        unsafe {
            put(count, room)?;
            put_list(&handles, objects, count)
        }
    })
}

unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_FindObjectsFinal", |world| {
        world.with("C_FindObjectsFinal", session)?.0.end_find()
    })
}

unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    call("C_SignInit", |world| {
        // SAFETY: the caller's promise: null or a mechanism.
        let mechanism = unsafe { mechanism.as_ref() }.ok_or(CKR_ARGUMENTS_BAD)?;
        world.detail = format!("mechanism={:#x}", mechanism.mechanism);
        let (session, token) = world.with("C_SignInit", session)?;
        session.begin(token, mechanism.mechanism, place(key)?)
    })
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    length: CK_ULONG,
    signature: CK_BYTE_PTR,
    count: CK_ULONG_PTR,
) -> CK_RV {
    // SAFETY: the caller's promise.
    let data = unsafe { given(data, length) };
    // SAFETY: the same.
    call("C_Sign", |world| unsafe {
        sign(
            world,
            "C_Sign",
            session,
            data.unwrap_or(&[]),
            signature,
            count,
        )
    })
}

unsafe extern "C" fn C_SignUpdate(
    session: CK_SESSION_HANDLE,
    part: CK_BYTE_PTR,
    length: CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller's promise.
    let part = unsafe { given(part, length) };
    call("C_SignUpdate", |world| {
        let (session, _) = world.with("C_SignUpdate", session)?;
        session.update(part.unwrap_or(&[]))
    })
}

unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: CK_BYTE_PTR,
    count: CK_ULONG_PTR,
) -> CK_RV {
    // SAFETY: the caller's promise.
    call("C_SignFinal", |world| unsafe {
        sign(world, "C_SignFinal", session, &[], signature, count)
    })
}

/// Signs, or only says how long the signature will be where its place is null.
///
/// # Safety
///
/// As for [`put_list`].
unsafe fn sign(
    world: &mut World,
    function: &str,
    session: CK_SESSION_HANDLE,
    data: &[u8],
    signature: CK_BYTE_PTR,
    count: CK_ULONG_PTR,
) -> Rv {
    let (session, token) = world.with(function, session)?;
    if signature.is_null() {
        let length = session.length(token)?;
        // SAFETY: the caller's promise.
        return unsafe { put(count, length as CK_ULONG) };
    }
    let signed = session.finish(token, data)?;
    // SAFETY: the caller's promise.
    unsafe { put_list(&signed, signature, count) }
}

fn place(handle: CK_OBJECT_HANDLE) -> Rv<usize> {
    let at = usize::try_from(handle).ok().and_then(|h| h.checked_sub(1));
    at.ok_or(CKR_OBJECT_HANDLE_INVALID)
}

const VERSION: CK_VERSION = CK_VERSION {
    major: 2,
    minor: 40,
};

/// The functions there are; all others are null.
static TABLE: OnceLock<CK_FUNCTION_LIST> = OnceLock::new();

fn table() -> CK_FUNCTION_LIST {
    CK_FUNCTION_LIST {
        version: VERSION,
        C_Initialize: Some(C_Initialize),
        C_Finalize: Some(C_Finalize),
        C_GetInfo: Some(C_GetInfo),
        C_GetFunctionList: Some(C_GetFunctionList),
        C_GetSlotList: Some(C_GetSlotList),
        C_GetSlotInfo: Some(C_GetSlotInfo),
        C_GetTokenInfo: Some(C_GetTokenInfo),
        C_GetMechanismList: Some(C_GetMechanismList),
        C_GetMechanismInfo: Some(C_GetMechanismInfo),
        C_OpenSession: Some(C_OpenSession),
        C_CloseSession: Some(C_CloseSession),
        C_CloseAllSessions: Some(C_CloseAllSessions),
        C_GetSessionInfo: Some(C_GetSessionInfo),
        C_Login: Some(C_Login),
        C_Logout: Some(C_Logout),
        C_GetAttributeValue: Some(C_GetAttributeValue),
        C_FindObjectsInit: Some(C_FindObjectsInit),
        C_FindObjects: Some(C_FindObjects),
        C_FindObjectsFinal: Some(C_FindObjectsFinal),
        C_SignInit: Some(C_SignInit),
        C_Sign: Some(C_Sign),
        C_SignUpdate: Some(C_SignUpdate),
        C_SignFinal: Some(C_SignFinal),
        ..Default::default()
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    let table = ptr::from_ref(TABLE.get_or_init(table)).cast_mut();
    // SAFETY: the caller's promise; nobody writes into the table.
    let written = unsafe { put(list, table) };
    written.err().unwrap_or(CKR_OK)
}
