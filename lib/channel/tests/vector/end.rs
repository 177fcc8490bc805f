//! One end of a session, as a program would drive it, fed from a vector.

use std::collections::VecDeque;

use smr_channel::handshake::{Initiator, Introducing, Introduction, Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::{Event, Session};

use super::{Role, Tape, Vector};

/// A message that came whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) warrant: Option<Vec<u8>>,
}

/// What came was refused; the end is over.
#[derive(Debug)]
pub(crate) struct Refused;

fn refused<E>(_: E) -> Refused {
    Refused
}

enum State {
    /// Nothing was said.
    Begin,
    Asked(Box<Initiator>),
    Introducing(Introducing),
    Answered(Responder),
    Session(Box<Session>),
    Over,
}

pub(crate) struct End<'a> {
    vector: &'a Vector,
    role: Role,
    keys: ServerKeys,
    tape: Tape,
    state: State,
    /// The message that is said or taken now, by number.
    number: usize,
    incoming: Taken,
    /// Frames that this end has said, not yet compared.
    said: VecDeque<Vec<u8>>,
    /// smrd's answer to a renewal, until it is its turn.
    renewed: Option<Reply>,
}

impl<'a> End<'a> {
    pub(crate) fn new(vector: &'a Vector, role: Role) -> Self {
        let draws = match role {
            Role::Client => &vector.client_draws,
            Role::Smrd => &vector.server_draws,
        };
        End {
            vector,
            role,
            keys: vector.keys(),
            tape: Tape::new(draws.clone()),
            state: State::Begin,
            number: 0,
            incoming: Taken::default(),
            said: VecDeque::new(),
            renewed: None,
        }
    }

    /// Goes through the first frames of the vector: says its own, which must be
    /// those, and takes the others; returns what it took.
    pub(crate) fn play(&mut self, frames: &[Vec<u8>]) -> Vec<Taken> {
        let mut taken = Vec::new();
        for (at, (frame, by)) in frames.iter().zip(self.vector.speakers()).enumerate() {
            if by != self.role {
                taken.extend(
                    self.take(frame)
                        .unwrap_or_else(|_| panic!("frame {at} is refused")),
                );
                continue;
            }
            if self.said.is_empty() {
                self.said = self.say().into();
            }
            let said = self.said.pop_front();
            assert!(
                said.as_ref() == Some(frame),
                "{:?} says another frame {at}",
                self.role
            );
        }
        taken
    }

    pub(crate) fn session_id(&self) -> [u8; 32] {
        match &self.state {
            State::Session(session) => *session.id(),
            _ => panic!("there is no session"),
        }
    }

    /// Says what is this end's to say: a frame of the handshake, or a message.
    fn say(&mut self) -> Vec<Vec<u8>> {
        let (frames, state) = match std::mem::replace(&mut self.state, State::Over) {
            State::Begin => {
                let suite = |code: &u8| Suite::from_code(*code).expect("a suite of ours");
                let suites: Vec<Suite> = self.vector.offered.iter().map(suite).collect();
                let identity = self.keys.identity();
                let (initiator, frame) =
                    Initiator::start(identity, &suites, &mut self.tape).unwrap();
                (vec![frame], State::Asked(Box::new(initiator)))
            }
            State::Introducing(introducing) => {
                let introduction = Introduction::decode(&self.vector.introduction).unwrap();
                let (frame, session) = introducing.finish(&introduction, self.vector.now).unwrap();
                self.check_limit(&session, self.vector.limit);
                (vec![frame], State::Session(Box::new(session)))
            }
            // frame 2 was made when frame 1 was taken
            State::Answered(responder) => {
                (self.said.drain(..).collect(), State::Answered(responder))
            }
            State::Session(mut session) => {
                (self.say_message(&mut session), State::Session(session))
            }
            State::Asked(_) | State::Over => panic!("{:?} has nothing to say", self.role),
        };
        self.state = state;
        frames
    }

    fn say_message(&mut self, session: &mut Session) -> Vec<Vec<u8>> {
        let message = &self.vector.messages[self.number];
        self.number += 1;
        let mut head = message.whole.head.clone();
        if let Ok(Request::Renew { .. }) = Request::decode(&head) {
            head = session.renew(&mut self.tape).unwrap().encode().unwrap();
        }
        if let Some(renewed) = self.renewed.take() {
            head = renewed.encode().unwrap();
        }
        let mut frames = vec![session.send_head(&head).unwrap()];
        let parts = message.parts.iter();
        frames.extend(parts.map(|part| session.send_body(part).unwrap()));
        frames.push(match message.time {
            Some(time) => session.close_reply(&self.keys, time).unwrap(),
            None => session.close_request().unwrap(),
        });
        if let Some(limit) = message.limit {
            self.check_limit(session, limit);
        }
        frames
    }

    /// Takes a frame of the other end, and does what follows from it.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Result<Option<Taken>, Refused> {
        let (taken, state) = match std::mem::replace(&mut self.state, State::Over) {
            State::Begin => {
                let accepted = Responder::accept(&self.keys, &Suite::ALL, frame, &mut self.tape);
                let (responder, answer) = accepted.map_err(refused)?;
                self.said.push_back(answer);
                (None, State::Answered(responder))
            }
            State::Asked(initiator) => {
                let (introducing, hash) = initiator.answer(frame).map_err(refused)?;
                assert_eq!(hash, self.vector.hash_to_sign);
                (None, State::Introducing(introducing))
            }
            State::Answered(responder) => {
                let (_, session) = responder.finish(frame, self.vector.now).map_err(refused)?;
                self.check_limit(&session, self.vector.limit);
                (None, State::Session(Box::new(session)))
            }
            State::Session(mut session) => {
                let taken = self.take_chunk(&mut session, frame)?;
                (taken, State::Session(session))
            }
            State::Introducing(_) | State::Over => return Err(Refused),
        };
        self.state = state;
        Ok(taken)
    }

    fn take_chunk(
        &mut self,
        session: &mut Session,
        frame: &[u8],
    ) -> Result<Option<Taken>, Refused> {
        let event = session.receive(frame).map_err(refused);
        assert_eq!(
            session.is_over(),
            event.is_err(),
            "an error ends the session"
        );
        match event? {
            Event::Head(head) => {
                match self.role {
                    Role::Client => Reply::decode(&head).map(drop),
                    Role::Smrd => Request::decode(&head).map(drop),
                }
                .map_err(refused)?;
                self.incoming.head = head;
            }
            Event::Body(part) => self.incoming.body.extend_from_slice(&part),
            Event::Close(warrant) => {
                let mut taken = std::mem::take(&mut self.incoming);
                taken.warrant = warrant.map(|warrant| warrant.encode());
                self.renewal(session, &taken.head)?;
                self.number += 1;
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// Goes on with a renewal where the message that came whole is one of its.
    fn renewal(&mut self, session: &mut Session, head: &[u8]) -> Result<(), Refused> {
        let message = &self.vector.messages[self.number];
        match self.role {
            Role::Smrd => {
                let request = Request::decode(head).map_err(refused)?;
                if matches!(request, Request::Renew { .. }) {
                    let answer = session.answer_renewal(&request, &mut self.tape);
                    self.renewed = Some(answer.map_err(refused)?);
                }
            }
            Role::Client => {
                if let (Some(limit), Some(time)) = (message.limit, message.time) {
                    let reply = Reply::decode(head).map_err(refused)?;
                    session.renewed(&reply, time).map_err(refused)?;
                    self.check_limit(session, limit);
                }
            }
        }
        Ok(())
    }

    fn check_limit(&self, session: &Session, limit: u64) {
        assert_eq!(session.limit(), Some(limit), "{:?}", self.role);
    }
}
