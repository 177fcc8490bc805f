//! A repository that does what the names of mailboxes tell it, and a tool that
//! speaks to the agent frame by frame.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use rand_core::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use smr_agent::{AgentError, Options};
use smr_channel::frame;
use smr_channel::handshake::{Introduction, Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_channel::local::{Answer, Ask, Entrance, Frame, HEADER, Load, Secret, VERSION};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::{Event, MAX_CHUNK, Session};
use smr_channel::warrant::Warrant;
use smr_name::{Class, Fingerprint, MailboxName};

pub(crate) const BIG: usize = 20 << 20;
pub(crate) const DEVICE: [u8; 32] = [7; 32];

fn now() -> i64 {
    1_800_000_000
}

/// A device's key.
pub(crate) struct Device {
    pub pkcs8: Vec<u8>,
    pub(crate) public: Vec<u8>,
}

impl Device {
    pub(crate) fn generate() -> Self {
        let rng = SystemRandom::new();
        let alg = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(alg, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(alg, pkcs8.as_ref(), &rng).unwrap();
        Device {
            pkcs8: pkcs8.as_ref().to_vec(),
            public: pair.public_key().as_ref().to_vec(),
        }
    }
}

/// What the repository has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) sessions: AtomicUsize,
    pub(crate) enrolments: AtomicUsize,
    pub(crate) joins: AtomicUsize,
    pub(crate) by_card: AtomicUsize,
    pub(crate) renewals: AtomicUsize,
    pub(crate) watches: AtomicUsize,
}

/// A repository on a port of its own.
pub(crate) struct Repository {
    pub(crate) address: String,
    pub(crate) identity: String,
    /// Those of whoever comes next.
    pub(crate) keys: Arc<Mutex<Arc<ServerKeys>>>,
    pub(crate) seen: Arc<Seen>,
}

impl Repository {
    /// Knows `device` as every account's.
    pub(crate) fn start(device: &Device) -> Self {
        let keys = ServerKeys::generate("repo.example".parse().unwrap(), &mut OsRng);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let identity = keys.identity().to_string();
        let seen = Arc::new(Seen::default());
        let keys = Arc::new(Mutex::new(Arc::new(keys)));
        let (present, public, witness) = (keys.clone(), device.public.clone(), seen.clone());
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let keys = present.lock().unwrap().clone();
                let (public, seen) = (public.clone(), witness.clone());
                thread::spawn(move || {
                    Peer::meet(tcp.unwrap(), keys, &public, seen).map(Peer::serve)
                });
            }
        });
        Repository {
            address,
            identity,
            keys,
            seen,
        }
    }
}

struct Peer {
    tcp: TcpStream,
    keys: Arc<ServerKeys>,
    session: Session,
    seen: Arc<Seen>,
    offered: bool,
}

impl Peer {
    fn meet(
        mut tcp: TcpStream,
        keys: Arc<ServerKeys>,
        public: &[u8],
        seen: Arc<Seen>,
    ) -> Option<Peer> {
        tcp.set_nodelay(true).unwrap();
        let mut greeting = [0; 7];
        tcp.read_exact(&mut greeting).ok()?;
        if greeting[6] == frame::ASK_IDENTITY {
            send(&mut tcp, keys.identity().to_string().as_bytes())?;
            return None;
        }
        let first = receive(&mut tcp)?;
        let (responder, second) = Responder::accept(&keys, &Suite::ALL, &first, &mut OsRng).ok()?;
        send(&mut tcp, &second)?;
        let hash = responder.hash();
        let third = receive(&mut tcp)?;
        let (introduction, session) = responder.finish(&third, now()).unwrap();
        let mut peer = Peer {
            tcp,
            keys,
            session,
            seen,
            offered: false,
        };
        let reply = peer.judge(&introduction, &hash, public);
        let let_in = matches!(reply, Reply::Welcome { .. });
        peer.answer(&reply, &[])?;
        let_in.then_some(peer)
    }

    fn judge(&self, introduction: &Introduction, hash: &[u8; 32], public: &[u8]) -> Reply {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public);
        let (account, signed, signature) = match introduction {
            Introduction::Login {
                account,
                device,
                signature,
            } => {
                let signed = Introduction::login_to_sign(hash, account, device);
                (account.clone(), signed, signature)
            }
            Introduction::Enrol { record, signature } => {
                self.seen.enrolments.fetch_add(1, Ordering::SeqCst);
                // The fake's record is the mailbox's name.
                let name = str::from_utf8(record).unwrap();
                let account: MailboxName = name.parse().unwrap();
                let signed = Introduction::enrol_to_sign(hash, &account, &DEVICE, record);
                (account, signed, signature)
            }
            Introduction::Join {
                account,
                chain,
                signature,
            } => {
                self.seen.joins.fetch_add(1, Ordering::SeqCst);
                let device = *Fingerprint::of(&chain[0]).as_bytes();
                let signed = Introduction::join_to_sign(hash, account, &device);
                (account.clone(), signed, signature)
            }
            Introduction::CardLogin {
                account,
                device,
                authorisation,
                signature,
            } => {
                self.seen.by_card.fetch_add(1, Ordering::SeqCst);
                let (card, device) = (authorisation, device);
                let signed = Introduction::card_login_to_sign(hash, account, device, card);
                (account.clone(), signed, signature)
            }
        };
        let good = key.verify(&signed, signature).is_ok();
        if !good || account.as_str() == "barred" {
            return Reply::Refused {
                class: Class::Denied,
                text: "this device was removed".into(),
                hint: "smr-register --add-device".into(),
            };
        }
        self.seen.sessions.fetch_add(1, Ordering::SeqCst);
        let lifetime = match account.as_str() {
            "brief" => 1,
            _ => 3600,
        };
        Reply::Welcome {
            account,
            until: now() + lifetime,
            now: now(),
        }
    }

    fn serve(mut self) -> Option<()> {
        loop {
            let Event::Head(head) = self.next()? else {
                return None;
            };
            let request = Request::decode(&head).unwrap();
            let mut count = 0;
            loop {
                match self.next()? {
                    Event::Body(part) => count += part.len(),
                    Event::Close(_) => break,
                    Event::Head(_) => return None,
                }
                if matches!(request, Request::GiveReceipt { .. }) && count > 100_000 {
                    return None;
                }
            }
            self.handle(&request, count)?;
        }
    }

    fn handle(&mut self, request: &Request, count: usize) -> Option<()> {
        let big = vec![0x5a; BIG];
        match request {
            Request::Renew { .. } => {
                self.seen.renewals.fetch_add(1, Ordering::SeqCst);
                let reply = self.session.answer_renewal(request, &mut OsRng).unwrap();
                self.answer(&reply, &[])
            }
            // Above 0 there is news at once, after 0 there is never any.
            Request::Watch { after, .. } => {
                self.seen.watches.fetch_add(1, Ordering::SeqCst);
                match after {
                    0 => self.tcp.read(&mut [0]).ok().and(None),
                    _ => self.answer(&Reply::News { count: after + 1 }, &[]),
                }
            }
            Request::Offer(offer) => {
                self.offered = true;
                self.answer(&Reply::Accepted { id: offer.id }, &[])
            }
            Request::Deposit { .. } if self.offered => {
                let postmarks = vec![count.to_string()];
                self.answer(&Reply::Postmarks { postmarks }, &[])
            }
            Request::Account { name, .. } => match name.as_str() {
                "big" => self.answer(&Reply::Done, &big),
                "last" => {
                    self.answer(&Reply::Done, &[])?;
                    None
                }
                "cut" => None,
                "half" => {
                    self.answer_damaged(&big[..3 * MAX_CHUNK], None)?;
                    None
                }
                "flip" => self.answer_damaged(&big[..3 * MAX_CHUNK], Some(2)),
                "flip-close" => self.answer_damaged(&[], Some(1)),
                _ => self.answer(&Reply::Done, &[]),
            },
            _ => self.answer(&Reply::Done, &[]),
        }
    }

    fn next(&mut self) -> Option<Event> {
        let bytes = receive(&mut self.tcp)?;
        Some(self.session.receive(&bytes).unwrap())
    }

    fn answer(&mut self, reply: &Reply, body: &[u8]) -> Option<()> {
        for bytes in self.frames(reply, body) {
            send(&mut self.tcp, &bytes)?;
        }
        Some(())
    }

    // Damages one frame, or leaves out the close.
    fn answer_damaged(&mut self, body: &[u8], which: Option<usize>) -> Option<()> {
        let mut frames = self.frames(&Reply::Done, body);
        match which {
            Some(number) => frames[number][9] ^= 1,
            None => drop(frames.pop()),
        }
        frames.iter().try_for_each(|f| send(&mut self.tcp, f))
    }

    fn frames(&mut self, reply: &Reply, body: &[u8]) -> Vec<Vec<u8>> {
        let session = &mut self.session;
        let mut frames = vec![session.send_head(&reply.encode().unwrap()).unwrap()];
        for part in body.chunks(MAX_CHUNK) {
            frames.push(session.send_body(part).unwrap());
        }
        frames.push(session.close_reply(&self.keys, now()).unwrap());
        frames
    }
}

fn send(tcp: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    tcp.write_all(&frame::header(bytes).unwrap()).ok()?;
    tcp.write_all(bytes).ok()
}

fn receive(tcp: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; frame::HEADER];
    tcp.read_exact(&mut header).ok()?;
    let mut bytes = vec![0; frame::length(header).unwrap()];
    tcp.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A running agent.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    _room: tempfile::TempDir,
    life: JoinHandle<Result<(), AgentError>>,
}

impl Agent {
    pub(crate) fn start(exit_when_empty: bool) -> Self {
        let room = tempfile::tempdir().unwrap();
        let socket = room.path().join("agent.sock");
        let options = Options {
            socket: socket.clone(),
            exit_when_empty,
        };
        let (tell, told) = mpsc::channel();
        let life = thread::Builder::new().name("agent".to_owned());
        let run = move || smr_agent::run(&options, || tell.send(()).unwrap(), |_| {});
        let life = life.spawn(run).unwrap();
        told.recv().unwrap();
        Agent {
            socket,
            _room: room,
            life,
        }
    }

    /// Waits for its end.
    pub(crate) fn ended(self) {
        self.life.join().unwrap().unwrap();
        assert!(!self.socket.exists());
    }
}

/// The outcome of a request that was carried.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) reply: Reply,
    pub(crate) body: Vec<u8>,
    pub(crate) warrant: Warrant,
}

/// A failure, and whether a part of the reply came before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) class: Class,
    pub(crate) text: String,
    pub(crate) after_reply: bool,
}

/// A tool's connection.
pub(crate) struct Tool {
    pub(crate) stream: UnixStream,
}

impl Tool {
    pub(crate) fn open(socket: &Path) -> Self {
        let mut tool = Tool {
            stream: UnixStream::connect(socket).unwrap(),
        };
        let hello = tool.ask(&Ask::Hello { version: VERSION });
        assert!(matches!(
            hello,
            Some(Answer::Hello {
                version: VERSION,
                ..
            })
        ));
        tool
    }

    pub(crate) fn write(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode().unwrap()).unwrap();
    }

    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).ok()?;
        let mut bytes = vec![0; Frame::length(header).unwrap()];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(Frame::decode(&bytes).unwrap())
    }

    pub(crate) fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        self.write(&Frame::Head(ask.encode().unwrap()));
        match self.read()? {
            Frame::Head(bytes) => Some(Answer::decode(&bytes).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn begin(&mut self, account: &str, request: &Request) {
        let ask = Ask::Carry {
            account: account.parse().unwrap(),
            head: request.encode().unwrap(),
        };
        self.write(&Frame::Head(ask.encode().unwrap()));
    }

    pub(crate) fn finish(&mut self) -> Result<Carried, Failed> {
        let mut reply: Option<Vec<u8>> = None;
        let mut body = Vec::new();
        loop {
            match self.read().expect("the agent answers") {
                Frame::Body(part) => body.extend(part),
                Frame::End(warrant) => {
                    return Ok(Carried {
                        reply: Reply::decode(&reply.unwrap()).unwrap(),
                        body,
                        warrant: warrant.unwrap(),
                    });
                }
                Frame::Head(bytes) => match Answer::decode(&bytes).unwrap() {
                    Answer::Reply { head } => reply = Some(head),
                    Answer::Failed { class, text, .. } => {
                        return Err(Failed {
                            class,
                            text,
                            after_reply: reply.is_some(),
                        });
                    }
                    other => panic!("{other:?}"),
                },
            }
        }
    }

    pub(crate) fn carry(&mut self, account: &str, request: &Request) -> Result<Carried, Failed> {
        self.begin(account, request);
        self.write(&Frame::End(None));
        self.finish()
    }

    /// Asks for what the repository does for this name.
    pub(crate) fn play(&mut self, name: &str) -> Result<Carried, Failed> {
        let name = name.parse().unwrap();
        self.carry(RUI, &Request::Account { name, known: None })
    }
}

pub(crate) const RUI: &str = "rui@repo.example";

/// What logs `account` in.
pub(crate) fn load(account: &str, repository: &Repository, device: &Device) -> Load {
    Load {
        account: account.parse().unwrap(),
        server: repository.address.clone(),
        identity: repository.identity.clone(),
        device_key: Secret::copy_of(&device.pkcs8),
        device: DEVICE,
        identities: Vec::new(),
        once: Secret::copy_of(&[5; 32]),
        lifetime: 3600,
        idle: 0,
        suites: smr_channel::suite::Suite::ALL.to_vec(),
        entrance: Entrance::Login,
    }
}
