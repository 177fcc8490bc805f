//! Renewals of the session key, from either side.
//!
//! Changes no key before the reply to the renewal is closed.

use rand_core::CryptoRngCore;

use super::Live;
use crate::event::SessionError;
use crate::ratchet::Direction;
use crate::renewal;
use crate::reply::Reply;
use crate::request::Request;

impl Live {
    pub(crate) fn renew(&mut self, rng: &mut dyn CryptoRngCore) -> Result<Request, SessionError> {
        self.begin(Direction::Request)?;
        let (asked, request) = renewal::ask(rng).map_err(|_| SessionError::Renewal)?;
        self.asked = Some(Box::new(asked));
        Ok(request)
    }

    pub(crate) fn answer_renewal(
        &mut self,
        request: &Request,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Reply, SessionError> {
        self.begin(Direction::Reply)?;
        let wrong = |_| SessionError::Renewal;
        // what is answered is what was asked last, without a body
        if renewal::hash_request(request).map_err(wrong)? != self.request {
            return Err(SessionError::Renewal);
        }
        let (answered, reply) = renewal::answer(request, rng).map_err(wrong)?;
        self.answered = Some(Box::new(answered));
        Ok(reply)
    }

    pub(crate) fn renewed(&mut self, reply: &Reply, now: i64) -> Result<(), SessionError> {
        let asked = self.asked.take().ok_or(SessionError::Misused)?;
        self.begin(Direction::Request)?;
        let wrong = |_| SessionError::Renewal;
        let answered = asked.request == self.request
            && renewal::hash_reply(reply).map_err(wrong)? == self.reply;
        if !answered {
            return Err(SessionError::Renewal);
        }
        let fresh = asked.finish(reply).map_err(wrong)?;
        self.ratchet.renew(&fresh, &self.transcript, now);
        Ok(())
    }
}
