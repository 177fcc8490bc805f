//! A smrd that lies: lets a test change each reply before it is warranted.
//!
//! Not in smrd as it is built and installed: only the tests ask for the
//! feature `lies`.

use std::sync::Arc;

use smr_channel::identity::ServerKeys;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::MAX_CHUNK;

use super::Talk;
use crate::conn::ConnError;
use crate::handle::{self, After, Answer, Visit};
use crate::house::now;

/// A reply about to be said, true until somebody changes it.
pub struct Saying<'a> {
    /// Whose session it is; empty before the introduction was judged.
    pub account: &'a str,
    /// What it answers; none for the introduction.
    pub request: Option<&'a Request>,
    /// The reply's head, encoded.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
    /// smrd's own keys, postmarks' included.
    pub keys: &'a ServerKeys,
    /// Whose warrant it gets instead of smrd's own.
    pub forger: Option<Arc<ServerKeys>>,
}

impl Saying<'_> {
    /// Returns the reply as it stands.
    pub fn reply(&self) -> Reply {
        Reply::decode(&self.head).expect("smrd's own reply can be read")
    }

    /// Says something else.
    pub fn say(&mut self, reply: &Reply, body: &[u8]) {
        self.head = reply.encode().expect("the reply can be written");
        self.body = body.to_vec();
    }
}

/// Changes replies.
pub type Liar = Box<dyn Fn(&mut Saying<'_>) + Send + Sync>;

/// What a liar must know of the request that is being answered.
#[derive(Default)]
pub(crate) struct Asked {
    account: String,
    request: Option<Request>,
}

impl Talk<'_> {
    /// Takes note of what is asked.
    pub(super) fn hear(&mut self, visit: &Visit, request: &Request) {
        self.asked = Asked {
            account: visit.who.to_string(),
            request: Some(request.clone()),
        };
    }

    /// Sends what the liar makes of an answer.
    pub(super) fn lie(&mut self, liar: &Liar, mut answer: Answer<'_>) -> Result<(), ConnError> {
        let mut body = Vec::new();
        while let Some(part) = answer.body.next(MAX_CHUNK)? {
            body.extend(part);
        }
        let house = self.house;
        let mut saying = Saying {
            account: &self.asked.account,
            request: self.asked.request.as_ref(),
            head: answer.reply.encode()?,
            body,
            keys: &house.keys,
            forger: None,
        };
        liar(&mut saying);
        let mut pace = house.pace();
        let frame = self.session.send_head(&saying.head)?;
        self.wire.put(&frame, pace.patience())?;
        for part in saying.body.chunks(MAX_CHUNK) {
            let frame = self.session.send_body(part)?;
            self.wire.put(&frame, pace.patience())?;
            pace.went(frame.len());
        }
        if let After::Fetched(who, id, again) = answer.after {
            handle::fetched(house, &who, id, again);
        }
        let keys = saying.forger.as_deref().unwrap_or(&house.keys);
        let frame = self.session.close_reply(keys, now())?;
        self.wire.put(&frame, pace.patience())?;
        Ok(self.wire.flush(pace.patience())?)
    }
}
