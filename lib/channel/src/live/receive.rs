//! The frames of the peer: what each brings, and whether its close verifies.
//!
//! Hands out a message before its close; only the close makes it count.

use super::{Live, Message, Role};
use crate::close::ReplyClose;
use crate::event::{Event, SessionError};
use crate::label::Key;
use crate::record::Kind;
use crate::request;
use crate::warrant::Warrant;

impl Live {
    pub(crate) fn receive(&mut self, frame: &[u8]) -> Result<Event, SessionError> {
        if self.is_my_turn() {
            return Err(SessionError::OutOfTurn);
        }
        let Some(mut message) = self.message.take() else {
            return self.receive_head(frame);
        };
        match message.chunks.open(frame)? {
            (Kind::Body, part) => {
                message.digest.body(&part);
                self.message = Some(message);
                Ok(Event::Body(part))
            }
            (Kind::Close, close) => self.receive_close(message, &close).map(Event::Close),
            (Kind::Head, _) => Err(SessionError::OutOfTurn),
        }
    }

    fn receive_head(&mut self, frame: &[u8]) -> Result<Event, SessionError> {
        let spent = matches!(self.role, Role::Server) && self.ratchet.is_spent();
        let (key, mut chunks) = self.keys();
        let (Kind::Head, head) = chunks.open(frame)? else {
            return Err(SessionError::OutOfTurn);
        };
        if spent && head.first() != Some(&request::RENEW) {
            return Err(SessionError::Overdue);
        }
        let digest = self.digest(&head);
        self.message = Some(Box::new(Message {
            key,
            chunks,
            digest,
        }));
        Ok(Event::Head(head))
    }

    fn receive_close(
        &mut self,
        message: Box<Message>,
        close: &[u8],
    ) -> Result<Option<Warrant>, SessionError> {
        let digest = message.digest.finish();
        match self.role {
            Role::Server => self.receive_request_close(&message.key, &digest, close),
            Role::Client { warrant } => self
                .receive_reply_close(&message.key, &digest, close, &warrant)
                .map(Some),
        }
    }

    fn receive_request_close(
        &mut self,
        key: &Key,
        digest: &[u8; 32],
        mac: &[u8],
    ) -> Result<Option<Warrant>, SessionError> {
        let mac = mac.try_into().map_err(|_| SessionError::Forged)?;
        let close = self.close(digest, None);
        if !close.verify(key, mac) {
            return Err(SessionError::Forged);
        }
        let transcript = close.extend(mac);
        self.request = *digest;
        self.advance(transcript)?;
        Ok(None)
    }

    fn receive_reply_close(
        &mut self,
        key: &Key,
        digest: &[u8; 32],
        close: &[u8],
        warrant_key: &[u8; 32],
    ) -> Result<Warrant, SessionError> {
        let said = ReplyClose::decode(close).map_err(|_| SessionError::Forged)?;
        let close = self.close(digest, Some((said.time, &said.signature)));
        if !close.verify(key, &said.mac) {
            return Err(SessionError::Forged);
        }
        let transcript = close.extend(&said.mac);
        let warrant = Warrant {
            signature: said.signature,
            ..self.warrant(digest, said.time)
        };
        warrant
            .verify(warrant_key)
            .map_err(|_| SessionError::Forged)?;
        self.reply = *digest;
        self.advance(transcript)?;
        Ok(warrant)
    }
}
