//! What a session costs, at a running smrd:
//!
//!     session ADDRESS FINGERPRINT KEYRING PASSPHRASE-FILE PID-OF-SMRD AGENT-SOCKET
//!
//! Logs in again and again, then asks for signs of life over one warm session,
//! and through the agent, and sends the same bytes to and fro over a bare socket.
//! Prints rows of a table; scripts/sessions runs it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use rand_core::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use sha2::{Digest, Sha256};
use smr_channel::frame;
use smr_channel::handshake::{Initiator, Introduction, Responder, Suite};
use smr_channel::identity::{Identity, ServerKeys};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::{Event, Session};
use smr_client::agent::Connection;
use smr_client::keyring::KeyRing;

const HANDSHAKES: u32 = 500;
/// In each of two rows; an account may begin 1000 sessions in a minute.
const LOGINS: u32 = 320;
const AT_ONCE: u32 = 8;
const PINGS: usize = 5000;
/// Of a ping and its answer, with lengths: two frames each.
const PING_BYTES: (usize, usize) = (2 + 18 + 2 + 49, 2 + 18 + 2 + 121);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, fingerprint, ring, passphrase, smrd, agent] = &args[..] else {
        let usage = "usage: session ADDRESS FINGERPRINT KEYRING PASSPHRASE-FILE PID AGENT-SOCKET";
        return Err(usage.into());
    };
    let passphrase = std::fs::read_to_string(passphrase)?;
    let ring = KeyRing::load(ring.as_ref(), passphrase.trim_end_matches('\n'))?;
    let visitor = Visitor {
        address,
        identity: identity(address, fingerprint)?,
        ring,
    };
    handshakes()?;
    logins(&visitor, smrd)?;
    at_once(&visitor)?;
    let (mut warm, _) = visitor.log_in()?;
    let asked = median(|| warm.ask(&Request::Ping).map(drop))?;
    let carried = carried(&visitor, agent)?;
    let bare = bare()?;
    row("a warm request and its reply, median", &micros(asked))?;
    row("the same bytes over a bare socket, median", &micros(bare))?;
    row(
        "a warm request of a tool, through smr-agent, median",
        &micros(carried),
    )
}

/// The same sign of life, as a tool has it carried.
fn carried(visitor: &Visitor<'_>, agent: &str) -> Outcome<Duration> {
    let mut agent = Connection::open(agent.as_ref())?;
    let (account, ping) = (&visitor.ring.account, Request::Ping.encode()?);
    median(|| {
        let answer = agent.carry(account, &ping, None, &mut std::io::sink());
        Ok(answer.map(drop)?)
    })
}

fn row(what: &str, figure: &str) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "| {what} | {figure} |")?)
}

fn micros(time: Duration) -> String {
    format!("{:.0} us", time.as_secs_f64() * 1e6)
}

fn logins(visitor: &Visitor<'_>, smrd: &str) -> Outcome<()> {
    let (start, before) = (Instant::now(), (cpu("self")?, cpu(smrd)?));
    let mut bytes = 0;
    for _ in 0..LOGINS {
        let (mut link, said) = visitor.log_in()?;
        bytes = said;
        link.ask(&Request::Bye)?;
    }
    let each = |time: Duration| micros(time / LOGINS);
    let rate = f64::from(LOGINS) / start.elapsed().as_secs_f64();
    row(
        "logins, one after the other",
        &format!("{rate:.0} a second"),
    )?;
    row("CPU of a login at smrd", &each(cpu(smrd)? - before.1))?;
    row(
        "CPU of a login at the client",
        &each(cpu("self")? - before.0),
    )?;
    row(
        "bytes of a login, both ways, to the Welcome",
        &bytes.to_string(),
    )?;
    Ok(())
}

/// Logins by several at a time.
fn at_once(visitor: &Visitor<'_>) -> Outcome<()> {
    let start = Instant::now();
    let logins = || -> Result<(), String> {
        for _ in 0..LOGINS / AT_ONCE {
            let logged_in = visitor.log_in();
            let (mut link, _) = logged_in.map_err(|error| error.to_string())?;
            let bye = link.ask(&Request::Bye);
            bye.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(logins)).collect();
        let mut ended = all.into_iter().map(|one| one.join());
        ended.try_for_each(|one| one.map_err(|_| "a visitor failed".to_owned())?)
    })?;
    let rate = f64::from(LOGINS) / start.elapsed().as_secs_f64();
    row(
        &format!("logins, {AT_ONCE} at once"),
        &format!("{rate:.0} a second"),
    )
}

/// The three frames alone, in memory: no socket, and nobody looks who it is.
fn handshakes() -> Outcome<()> {
    let keys = ServerKeys::generate("repo.example".parse()?, &mut OsRng);
    let introduction = Introduction::Login {
        account: "rui".parse()?,
        device: [0; 32],
        signature: vec![0; 70],
    };
    let (mut client, mut smrd) = (Vec::new(), Vec::new());
    for _ in 0..HANDSHAKES {
        let start = Instant::now();
        let (initiator, one) = Initiator::start(keys.identity(), &Suite::ALL, &mut OsRng)?;
        let offered = start.elapsed();
        let start = Instant::now();
        let (responder, two) = Responder::accept(&keys, &Suite::ALL, &one, &mut OsRng)?;
        let accepted = start.elapsed();
        let start = Instant::now();
        let (introducing, _) = initiator.answer(&two)?;
        let (three, _) = introducing.finish(&introduction, 0)?;
        client.push(offered + start.elapsed());
        let start = Instant::now();
        responder.finish(&three, 0)?;
        smrd.push(accepted + start.elapsed());
    }
    let (client, smrd) = (middle(client), middle(smrd));
    let rate = 1.0 / smrd.as_secs_f64();
    row(
        "a handshake in memory, both suites offered, at smrd",
        &format!("{}, so {rate:.0} a second and core", micros(smrd)),
    )?;
    row("the same at the client", &micros(client))
}

/// Returns the CPU time of a process, in steps of 10 ms (proc(5)).
fn cpu(process: &str) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: Vec<u64> = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

fn median(mut act: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        act()?;
        times.push(start.elapsed());
    }
    Ok(middle(times))
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The same bytes to a thread that reads and answers, and knows no protocol.
fn bare() -> Outcome<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; PING_BYTES.0], vec![0; PING_BYTES.1]);
    let there = std::thread::spawn(move || {
        let (mut asked, answered) = (vec![0; PING_BYTES.0], vec![0; PING_BYTES.1]);
        while far.read_exact(&mut asked).is_ok() && far.write_all(&answered).is_ok() {}
    });
    let time = median(|| {
        near.write_all(&asked)?;
        Ok(near.read_exact(&mut answered)?)
    })?;
    asked.clear();
    drop(near);
    there.join().map_err(|_| "the far end failed")?;
    Ok(time)
}

struct Visitor<'a> {
    address: &'a str,
    identity: Identity,
    ring: KeyRing,
}

/// A connection, and how many bytes went over it.
struct Link {
    stream: TcpStream,
    session: Option<Session>,
    bytes: usize,
}

fn now() -> Outcome<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

fn identity(address: &str, fingerprint: &str) -> Outcome<Identity> {
    let mut link = Link::connect(address, frame::ASK_IDENTITY)?;
    let identity = Identity::parse(std::str::from_utf8(&link.receive()?)?)?;
    match identity.fingerprint().to_string() == fingerprint {
        true => Ok(identity),
        false => Err("another repository".into()),
    }
}

impl Visitor<'_> {
    /// Logs in; returns how many bytes that took as well.
    fn log_in(&self) -> Outcome<(Link, usize)> {
        let mut link = Link::connect(self.address, frame::ASK_SESSION)?;
        let (initiator, one) = Initiator::start(&self.identity, &Suite::ALL, &mut OsRng)?;
        link.send(&[one])?;
        let (introducing, hash) = initiator.answer(&link.receive()?)?;
        let account = self.ring.account.mailbox.clone();
        let device: [u8; 32] = Sha256::digest(&self.ring.chain[0]).into();
        let signature = self.sign(&Introduction::login_to_sign(&hash, &account, &device))?;
        let login = Introduction::Login {
            account,
            device,
            signature,
        };
        let (three, session) = introducing.finish(&login, now()?)?;
        link.session = Some(session);
        link.send(&[three])?;
        match link.reply()? {
            Reply::Welcome { .. } => {
                let bytes = link.bytes;
                Ok((link, bytes))
            }
            other => Err(format!("not welcome: {other:?}").into()),
        }
    }

    fn sign(&self, bytes: &[u8]) -> Outcome<Vec<u8>> {
        let rng = SystemRandom::new();
        let key = &self.ring.device_key;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &rng)
            .map_err(|_| "the device key is none")?;
        let signature = key.sign(&rng, bytes).map_err(|_| "it does not sign")?;
        Ok(signature.as_ref().to_vec())
    }
}

impl Link {
    fn connect(address: &str, ask: u8) -> Outcome<Link> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(&[&frame::MAGIC[..], &[ask]].concat())?;
        Ok(Link {
            stream,
            session: None,
            bytes: frame::MAGIC.len() + 1,
        })
    }

    fn send(&mut self, frames: &[Vec<u8>]) -> Outcome<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(frame::header(frame)?);
            bytes.extend(frame);
        }
        self.bytes += bytes.len();
        Ok(self.stream.write_all(&bytes)?)
    }

    fn receive(&mut self) -> Outcome<Vec<u8>> {
        let mut header = [0; frame::HEADER];
        self.stream.read_exact(&mut header)?;
        let mut frame = vec![0; frame::length(header)?];
        self.stream.read_exact(&mut frame)?;
        self.bytes += header.len() + frame.len();
        Ok(frame)
    }

    fn session(&mut self) -> Outcome<&mut Session> {
        Ok(self.session.as_mut().ok_or("there is no session")?)
    }

    fn reply(&mut self) -> Outcome<Reply> {
        let mut head = Vec::new();
        loop {
            let frame = self.receive()?;
            match self.session()?.receive(&frame)? {
                Event::Head(bytes) => head = bytes,
                Event::Body(_) => {}
                Event::Close(_) => return Ok(Reply::decode(&head)?),
            }
        }
    }

    fn say(&mut self, request: &Request) -> Outcome<Reply> {
        let session = self.session()?;
        let frames = [
            session.send_head(&request.encode()?)?,
            session.close_request()?,
        ];
        self.send(&frames)?;
        self.reply()
    }

    fn ask(&mut self, request: &Request) -> Outcome<Reply> {
        if self.session()?.renewal_due(now()?) {
            let renew = self.session()?.renew(&mut OsRng)?;
            let renewed = self.say(&renew)?;
            self.session()?.renewed(&renewed, now()?)?;
        }
        self.say(request)
    }
}
