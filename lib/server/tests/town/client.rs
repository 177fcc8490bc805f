//! A client with nothing but the channel.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rand_core::OsRng;
use rustix::net::{AddressFamily, SocketType, bind, socket};
use sha2::{Digest, Sha256};
use smr_channel::frame::{ASK_IDENTITY, ASK_SESSION, MAGIC};
use smr_channel::handshake::{Initiator, Introduction, Suite};
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::request::{Offer, Request};
use smr_channel::session::{Event, MAX_CHUNK, Session};
use smr_evidence::trust::Signer;
use smr_name::{Class, MailboxName, MessageId};

use super::people::{Person, print_of};
use super::{Town, now};

pub struct Client {
    pub stream: TcpStream,
    pub session: Session,
}

pub fn connect(address: SocketAddr, ask: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    greet(&mut stream, ask);
    stream
}

/// Connects from an address of 127.0.0.0/8, as a peer of its own.
pub fn connect_from(own: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &SocketAddr::from((own, 0)))?;
    rustix::net::connect(&stream, &to)?;
    Ok(TcpStream::from(stream))
}

fn greet(stream: &mut TcpStream, ask: u8) {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .write_all(&[MAGIC.as_slice(), &[ask]].concat())
        .unwrap();
}

/// Returns a frame as it goes over the wire.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    [&length, frame].concat()
}

pub fn write_frame(stream: &mut TcpStream, frame: &[u8]) {
    stream.write_all(&framed(frame)).unwrap();
}

/// Reads a frame, or none where smrd has closed.
pub fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

pub fn identity(address: SocketAddr) -> Identity {
    let mut stream = connect(address, ASK_IDENTITY);
    let text = read_frame(&mut stream).unwrap();
    assert_eq!(read_frame(&mut stream), None);
    Identity::parse(std::str::from_utf8(&text).unwrap()).unwrap()
}

impl Client {
    /// Opens a session and introduces itself as `introduce` says.
    pub fn open(town: &Town, introduce: impl FnOnce(&[u8; 32]) -> Introduction) -> (Client, Reply) {
        let identity = town.identity();
        let stream = TcpStream::connect(town.address()).unwrap();
        Client::over(stream, &identity, introduce)
    }

    /// The same, over a connection that was just made.
    pub fn over(
        mut stream: TcpStream,
        identity: &Identity,
        introduce: impl FnOnce(&[u8; 32]) -> Introduction,
    ) -> (Client, Reply) {
        greet(&mut stream, ASK_SESSION);
        let (initiator, frame) = Initiator::start(identity, &Suite::ALL, &mut OsRng).unwrap();
        write_frame(&mut stream, &frame);
        let (introducing, hash) = initiator.answer(&read_frame(&mut stream).unwrap()).unwrap();
        let (frame, session) = introducing.finish(&introduce(&hash), now()).unwrap();
        write_frame(&mut stream, &frame);
        let mut client = Client { stream, session };
        let (reply, _) = client.take();
        (client, reply)
    }

    /// Takes the reply.
    pub fn take(&mut self) -> (Reply, Vec<u8>) {
        let (mut head, mut body) = (Vec::new(), Vec::new());
        loop {
            let frame = read_frame(&mut self.stream).expect("smrd replies");
            match self.session.receive(&frame).unwrap() {
                Event::Head(bytes) => head = bytes,
                Event::Body(part) => body.extend_from_slice(&part),
                Event::Close(warrant) => {
                    assert!(warrant.is_some(), "a reply without a warrant");
                    return (Reply::decode(&head).unwrap(), body);
                }
            }
        }
    }

    /// Sends a request, all of it at once, and takes the reply.
    pub fn ask_with(&mut self, request: &Request, body: &[u8]) -> (Reply, Vec<u8>) {
        let frames = self.frames(request, body);
        self.stream.write_all(&frames).unwrap();
        self.take()
    }

    /// Returns a request as it goes over the wire.
    pub fn frames(&mut self, request: &Request, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.begun(request, body);
        bytes.extend(framed(&self.session.close_request().unwrap()));
        bytes
    }

    fn begun(&mut self, request: &Request, body: &[u8]) -> Vec<u8> {
        let head = self.session.send_head(&request.encode().unwrap());
        let mut bytes = framed(&head.unwrap());
        for part in body.chunks(MAX_CHUNK) {
            bytes.extend(framed(&self.session.send_body(part).unwrap()));
        }
        bytes
    }

    /// Sends a request but for the rest of its body and its close; at once, for
    /// smrd may close after the first byte of it.
    pub fn begin(&mut self, request: &Request, body: &[u8]) {
        let bytes = self.begun(request, body);
        self.stream.write_all(&bytes).unwrap();
    }

    fn body(&mut self, body: &[u8]) {
        for part in body.chunks(MAX_CHUNK) {
            let frame = self.session.send_body(part).unwrap();
            write_frame(&mut self.stream, &frame);
        }
    }

    /// Ends the request that was begun.
    pub fn end(&mut self, body: &[u8]) -> (Reply, Vec<u8>) {
        self.body(body);
        self.close();
        self.take()
    }

    /// Sends the rest of the request that was begun, and takes the reply; none
    /// where smrd has cut the connection.
    pub fn end_if_heard(&mut self, body: &[u8]) -> Option<Reply> {
        let mut bytes = Vec::new();
        for part in body.chunks(MAX_CHUNK) {
            bytes.extend(framed(&self.session.send_body(part).unwrap()));
        }
        bytes.extend(framed(&self.session.close_request().unwrap()));
        self.stream.write_all(&bytes).ok()?;
        let mut head = None;
        loop {
            match self
                .session
                .receive(&read_frame(&mut self.stream)?)
                .unwrap()
            {
                Event::Head(bytes) => head = Some(bytes),
                Event::Body(_) => {}
                Event::Close(_) => return Some(Reply::decode(&head?).unwrap()),
            }
        }
    }

    /// Ends the request that was begun, and does not wait for the reply.
    pub fn close(&mut self) {
        let close = self.session.close_request().unwrap();
        write_frame(&mut self.stream, &close);
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        self.ask_with(request, &[]).0
    }

    /// Offers and deposits.
    pub fn send(&mut self, id: MessageId, body: &[u8], to: &[&str]) -> Vec<String> {
        let accepted = self.ask(&offer(id, body, to));
        assert_eq!(accepted, Reply::Accepted { id });
        match self.ask_with(&Request::Deposit { id }, body).0 {
            Reply::Postmarks { postmarks } => postmarks,
            other => panic!("{other:?}"),
        }
    }

    pub fn renew(&mut self) {
        let request = self.session.renew(&mut OsRng).unwrap();
        let reply = self.ask(&request);
        self.session.renewed(&reply, now()).unwrap();
    }
}

pub fn name(text: &str) -> MailboxName {
    text.parse().unwrap()
}

pub fn names(texts: &[&str]) -> Vec<MailboxName> {
    texts.iter().map(|t| name(t)).collect()
}

pub fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub fn offer(id: MessageId, body: &[u8], to: &[&str]) -> Request {
    Request::Offer(offered(id, body, to))
}

pub fn offered(id: MessageId, body: &[u8], to: &[&str]) -> Offer {
    Offer {
        id,
        size: body.len() as u64,
        sha256: sha256(body),
        cms: [7; 32],
        mailboxes: names(to),
    }
}

pub fn give_receipt(id: MessageId, body: &[u8]) -> Request {
    Request::GiveReceipt {
        id,
        size: body.len() as u64,
        sha256: sha256(body),
        cms: [8; 32],
    }
}

/// Returns the class of a refusal.
pub fn refused(reply: &Reply) -> Class {
    match reply {
        Reply::Refused { class, .. } => *class,
        other => panic!("not refused: {other:?}"),
    }
}

impl Person {
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.device.sign(message).unwrap()
    }

    pub fn enrolment(&self, hash: &[u8; 32]) -> Introduction {
        let print = print_of(&self.device);
        let message = Introduction::enrol_to_sign(hash, &self.name, print.as_bytes(), &self.record);
        Introduction::Enrol {
            record: self.record.clone(),
            signature: self.sign(&message),
        }
    }

    pub fn login_as(&self, name: &MailboxName, hash: &[u8; 32]) -> Introduction {
        let print = *print_of(&self.device).as_bytes();
        let message = Introduction::login_to_sign(hash, name, &print);
        Introduction::Login {
            account: name.clone(),
            device: print,
            signature: self.sign(&message),
        }
    }

    pub fn chain(&self) -> Vec<Vec<u8>> {
        let device = [self.device.certificate()];
        let chain = device.into_iter().chain(self.device.chain());
        chain.map(|c| c.der().to_vec()).collect()
    }

    pub fn join_as(&self, name: &MailboxName, hash: &[u8; 32]) -> Introduction {
        let message = Introduction::join_to_sign(hash, name, print_of(&self.device).as_bytes());
        Introduction::Join {
            account: name.clone(),
            chain: self.chain(),
            signature: self.sign(&message),
        }
    }

    pub fn try_join(&self, town: &Town) -> (Client, Reply) {
        Client::open(town, |hash| self.join_as(&self.name, hash))
    }

    pub fn join(&self, town: &Town) -> Client {
        welcomed(self, self.try_join(town))
    }

    pub fn try_enrol(&self, town: &Town) -> (Client, Reply) {
        Client::open(town, |hash| self.enrolment(hash))
    }

    pub fn try_login(&self, town: &Town) -> (Client, Reply) {
        Client::open(town, |hash| self.login_as(&self.name, hash))
    }

    pub fn enrol(&self, town: &Town) -> Client {
        welcomed(self, self.try_enrol(town))
    }

    pub fn login(&self, town: &Town) -> Client {
        welcomed(self, self.try_login(town))
    }
}

fn welcomed(person: &Person, (client, reply): (Client, Reply)) -> Client {
    match reply {
        Reply::Welcome { account, until, .. } => {
            assert_eq!(account, person.name);
            assert!(until > now());
            client
        }
        other => panic!("not welcome: {other:?}"),
    }
}
