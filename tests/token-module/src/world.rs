//! All there is while the module is initialised: readers, tokens, sessions.
//!
//! Handles are places plus one: 0 is CK_INVALID_HANDLE.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use cryptoki_sys::*;

use crate::journal::Journal;
use crate::mark;
use crate::script::{Script, Slot};
use crate::session::Session;
use crate::token::{Rv, Token};

/// Names the script.
const VARIABLE: &str = "SMR_TOKEN_SCRIPT";

pub(crate) struct World {
    pub(crate) slots: Vec<Slot>,
    tokens: BTreeMap<String, Token>,
    sessions: BTreeMap<CK_SESSION_HANDLE, Session>,
    last_session: CK_SESSION_HANDLE,
    journal: Journal,
    calls: usize,
    /// What the journal shall say of the call that is going on.
    pub(crate) detail: String,
}

impl World {
    /// Begins the world that the environment names. Says in words what is wrong
    /// with its script, and otherwise what C_Initialize answers.
    pub(crate) fn begin() -> Result<Rv<World>, String> {
        let path = env::var_os(VARIABLE).ok_or(format!("{VARIABLE} is not set"))?;
        let script = Script::read(Path::new(&path))?;
        let folder = script.folder;
        let journal = Journal::beside(&folder);
        let rv = script.initialize.unwrap_or(CKR_OK);
        let told = journal.write("C_Initialize", rv, "");
        told.map_err(|e| e.to_string())?;
        if rv != CKR_OK {
            return Ok(Err(rv));
        }
        let mut tokens = BTreeMap::new();
        for (name, says) in script.token {
            let token = Token::take(&name, says, &folder)?;
            tokens.insert(name, token);
        }
        Ok(Ok(World {
            slots: script.slot,
            tokens,
            sessions: BTreeMap::new(),
            last_session: 0,
            journal,
            calls: 0,
            detail: String::new(),
        }))
    }

    /// Counts a call, and ends it: what it answers is in the journal first.
    pub(crate) fn call(&mut self, function: &str, work: impl FnOnce(&mut World) -> Rv) -> CK_RV {
        self.calls += 1;
        let rv = work(self).err().unwrap_or(CKR_OK);
        let detail = std::mem::take(&mut self.detail);
        match self.journal.write(function, rv, &detail) {
            Ok(()) => rv,
            Err(_) => CKR_GENERAL_ERROR,
        }
    }

    fn is_there(&self, token: &Token) -> bool {
        token
            .says
            .removed_after
            .is_none_or(|calls| self.calls <= calls)
    }

    pub(crate) fn has_token(&self, slot: &Slot) -> bool {
        let token = slot.token.as_ref().and_then(|name| self.tokens.get(name));
        token.is_some_and(|token| self.is_there(token))
    }

    pub(crate) fn slot(&self, slot: CK_SLOT_ID) -> Rv<&Slot> {
        let at = usize::try_from(slot).map_err(|_| CKR_SLOT_ID_INVALID)?;
        self.slots.get(at).ok_or(CKR_SLOT_ID_INVALID)
    }

    fn name_in(&self, slot: CK_SLOT_ID) -> Rv<String> {
        self.slot(slot)?.token.clone().ok_or(CKR_TOKEN_NOT_PRESENT)
    }

    /// Returns the token in a slot, unless the script has `function` fail.
    pub(crate) fn token(&self, function: &str, slot: CK_SLOT_ID) -> Rv<&Token> {
        let name = self.name_in(slot)?;
        let token = self.tokens.get(&name).ok_or(CKR_TOKEN_NOT_PRESENT)?;
        match token.says.fails.get(function) {
            Some(rv) => Err(*rv),
            None if !self.is_there(token) => Err(CKR_TOKEN_NOT_PRESENT),
            None => Ok(token),
        }
    }

    pub(crate) fn open(&mut self, slot: CK_SLOT_ID) -> Rv<CK_SESSION_HANDLE> {
        self.token("C_OpenSession", slot)?;
        self.last_session += 1;
        // Slots are places, and those are of the size of memory.
        let session = Session::new(slot as usize);
        self.sessions.insert(self.last_session, session);
        Ok(self.last_session)
    }

    /// Closes a session; the last of a token logs it out.
    pub(crate) fn close(&mut self, session: CK_SESSION_HANDLE) -> Rv {
        let closed = self.sessions.remove(&session);
        let slot = closed.ok_or(CKR_SESSION_HANDLE_INVALID)?.slot;
        let name = self.name_in(slot as CK_SLOT_ID)?;
        let same = |s: &Session| self.name_in(s.slot as CK_SLOT_ID).as_ref() == Ok(&name);
        if !self.sessions.values().any(same)
            && let Some(token) = self.tokens.get_mut(&name)
        {
            token.logged_in = false;
        }
        Ok(())
    }

    pub(crate) fn close_all(&mut self, slot: CK_SLOT_ID) -> Rv {
        let same = |(handle, s): (&CK_SESSION_HANDLE, &Session)| {
            (s.slot as CK_SLOT_ID == slot).then_some(*handle)
        };
        let all: Vec<_> = self.sessions.iter().filter_map(same).collect();
        all.into_iter().try_for_each(|session| self.close(session))
    }

    /// Returns a session and its token, unless the script has `function` fail
    /// or the token is gone.
    pub(crate) fn with(
        &mut self,
        function: &str,
        handle: CK_SESSION_HANDLE,
    ) -> Rv<(&mut Session, &mut Token)> {
        let session = self.sessions.get(&handle);
        let slot = session.ok_or(CKR_SESSION_HANDLE_INVALID)?.slot as CK_SLOT_ID;
        self.token(function, slot).map_err(|rv| match rv {
            CKR_TOKEN_NOT_PRESENT => CKR_DEVICE_REMOVED,
            other => other,
        })?;
        let name = self.name_in(slot)?;
        let token = self.tokens.get_mut(&name).ok_or(CKR_DEVICE_REMOVED)?;
        let session = self.sessions.get_mut(&handle);
        Ok((session.ok_or(CKR_SESSION_HANDLE_INVALID)?, token))
    }

    pub(crate) fn log_in(
        &mut self,
        handle: CK_SESSION_HANDLE,
        user: CK_USER_TYPE,
        pin: Option<&[u8]>,
    ) -> Rv {
        let who = match user {
            CKU_USER => "user",
            CKU_CONTEXT_SPECIFIC => "context",
            _ => "other",
        };
        let shown = pin.map_or("none".to_owned(), mark);
        self.detail = format!("{who} pin={shown}");
        let (session, token) = self.with("C_Login", handle)?;
        match user {
            CKU_USER if token.logged_in => Err(CKR_USER_ALREADY_LOGGED_IN),
            CKU_USER => {
                token.present(pin)?;
                token.logged_in = true;
                Ok(())
            }
            CKU_CONTEXT_SPECIFIC => session.allow(token, pin),
            _ => Err(CKR_USER_TYPE_INVALID),
        }
    }
}
