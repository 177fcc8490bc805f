//! A second implementation of smr-session(7), written from that page with the
//! primitives alone: it holds smrd's secrets and the drawn randomness, listens,
//! and must understand every byte. What was said is pinned in tests/vectors;
//! with SMR_WRITE_VECTORS=DIR a run that differs writes there what it heard.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use kem::Decapsulate;
use ml_kem::{B32, EncodedSizeUser, KemCore, MlKem768};
use rand_core::{CryptoRng, RngCore};
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use smr_channel::handshake::{Initiator, Introduction, Responder, Suite};
use smr_channel::identity::ServerKeys;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::Session;
use x25519_dalek::x25519;

type Decapsulation = <MlKem768 as KemCore>::DecapsulationKey;

/// Block N of the stream is SHA-256 of the seed (1 byte) and N (8 bytes).
struct Stream {
    seed: u8,
    block: u64,
    rest: Vec<u8>,
}

impl Stream {
    fn new(seed: u8) -> Self {
        Stream {
            seed,
            block: 0,
            rest: Vec::new(),
        }
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill_bytes(&mut out);
        out
    }
}

impl CryptoRng for Stream {}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        u32::from_be_bytes(self.draw())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_be_bytes(self.draw())
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        while self.rest.len() < out.len() {
            let input = [&[self.seed][..], &self.block.to_be_bytes()].concat();
            self.rest.extend(Sha256::digest(input));
            self.block += 1;
        }
        let left = self.rest.split_off(out.len());
        out.copy_from_slice(&self.rest);
        self.rest = left;
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(&parts.concat());
    mac.finalize().into_bytes().into()
}

/// HKDF-Expand to one block.
fn expand(key: &[u8; 32], label: &str, context: &[u8]) -> [u8; 32] {
    hmac(key, &[label.as_bytes(), &[0], context, &[1]])
}

fn kem_key(seed: [u8; 64]) -> Decapsulation {
    let (d, z) = seed.split_at(32);
    let block = |bytes: &[u8]| B32::try_from(bytes).unwrap();
    MlKem768::generate_deterministic(&block(d), &block(z)).0
}

fn decapsulate(key: &Decapsulation, ciphertext: &[u8]) -> [u8; 32] {
    let shared = key.decapsulate(&ciphertext.try_into().unwrap()).unwrap();
    shared.as_slice().try_into().unwrap()
}

fn open(suite: Suite, key: &[u8; 32], nonce: [u8; 12], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    let algorithm = match suite {
        Suite::ChaChaPoly => &CHACHA20_POLY1305,
        Suite::AesGcm => &AES_256_GCM,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    let mut buffer = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let plain = key.open_in_place(nonce, Aad::from(aad), &mut buffer);
    plain.expect("the observer opens every record").to_vec()
}

/// Noise's SymmetricState and CipherState.
struct Noise {
    suite: Suite,
    ck: [u8; 32],
    h: [u8; 32],
    key: [u8; 32],
    n: u64,
}

impl Noise {
    fn new(suite: Suite) -> Self {
        let name = match suite {
            Suite::ChaChaPoly => "Noise_XKpsk0+psk3_25519_ChaChaPoly_SHA256",
            Suite::AesGcm => "Noise_XKpsk0+psk3_25519_AESGCM_SHA256",
        };
        let h = sha256(&[name.as_bytes()]);
        Noise {
            suite,
            ck: h,
            h,
            key: [0; 32],
            n: 0,
        }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.h = sha256(&[&self.h, data]);
    }

    fn hkdf(&self, input: &[u8]) -> [[u8; 32]; 3] {
        let temp = hmac(&self.ck, &[input]);
        let one = hmac(&temp, &[&[1]]);
        let two = hmac(&temp, &[&one, &[2]]);
        [one, two, hmac(&temp, &[&two, &[3]])]
    }

    fn mix_key(&mut self, input: &[u8]) {
        [self.ck, self.key, _] = self.hkdf(input);
        self.n = 0;
    }

    fn mix_psk(&mut self, psk: &[u8; 32]) {
        let [ck, hash, key] = self.hkdf(psk);
        self.mix_hash(&hash);
        (self.ck, self.key, self.n) = (ck, key, 0);
    }

    fn mix_ephemeral(&mut self, public: &[u8]) {
        self.mix_hash(public);
        self.mix_key(public);
    }

    fn decrypt(&mut self, sealed: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&match self.suite {
            Suite::ChaChaPoly => self.n.to_le_bytes(),
            Suite::AesGcm => self.n.to_be_bytes(),
        });
        let plain = open(self.suite, &self.key, nonce, &self.h, sealed);
        self.mix_hash(sealed);
        self.n += 1;
        plain
    }
}

/// What the observer knows beforehand.
struct Secrets {
    x25519: [u8; 32],
    mlkem: Decapsulation,
    warrant: [u8; 32],
    document: String,
}

/// Follows the three frames; returns the introduction, the handshake hash that
/// the device signs, and the observer of what comes after.
fn follow(
    suite: Suite,
    secrets: &Secrets,
    frames: &[Vec<u8>; 3],
    ephemeral: [u8; 32],
    client_kem: &Decapsulation,
) -> (Vec<u8>, [u8; 32], Observer) {
    let [one, two, three] = frames;
    let count = usize::from(one[0]);
    let before_noise = 1 + count + 1088;
    let fingerprint = sha256(&[secrets.document.as_bytes()]);
    let static_secret = decapsulate(&secrets.mlkem, &one[1 + count..before_noise]);
    let place = one[1..=count].iter().position(|c| *c == suite.code());
    let message = &one[before_noise + place.unwrap() * 1232..][..1232];

    let mut noise = Noise::new(suite);
    noise.mix_hash(&[b"smr/1\nS", &fingerprint[..], &one[..before_noise]].concat());
    noise.mix_hash(&x25519(
        secrets.x25519,
        x25519_dalek::X25519_BASEPOINT_BYTES,
    ));
    let psk0 = expand(&hmac(&fingerprint, &[&static_secret]), "smr psk0 1", &[]);
    noise.mix_psk(&psk0);
    let client: [u8; 32] = message[..32].try_into().unwrap();
    noise.mix_ephemeral(&client);
    noise.mix_key(&x25519(secrets.x25519, client));
    let public = noise.decrypt(&message[32..]);
    assert_eq!(public, client_kem.encapsulation_key().as_bytes().as_slice());

    assert_eq!(two[0], suite.code());
    let server = x25519(ephemeral, x25519_dalek::X25519_BASEPOINT_BYTES);
    assert_eq!(two[1..33], server);
    noise.mix_ephemeral(&server);
    noise.mix_key(&x25519(ephemeral, client));
    let ciphertext = noise.decrypt(&two[33..]);
    let fresh_secret = decapsulate(client_kem, &ciphertext);
    let to_sign = noise.h;

    let fixed: [u8; 32] = noise.decrypt(&three[..48]).try_into().unwrap();
    noise.mix_key(&x25519(ephemeral, fixed));
    let root = hmac(&sha256(&[one]), &[&fresh_secret]);
    noise.mix_psk(&expand(&root, "smr psk3 1", &[suite.code()]));
    let introduction = noise.decrypt(&three[48..]);

    let [first, second, _] = noise.hkdf(&[]);
    let root = hmac(&noise.h, &[&first, &second]);
    let id = expand(&root, "smr session id 1", &[suite.code()]);
    let request = hash_message("smr request 1", &introduction, &[]);
    let observer = Observer {
        suite,
        id,
        chain: expand(&root, "smr first chain 1", &[suite.code()]),
        transcript: sha256(&[b"smr transcript 1\0\0", &id, &request]),
        number: 0,
        request,
        warrant: secrets.warrant,
    };
    (introduction, to_sign, observer)
}

fn hash_message(label: &str, head: &[u8], body: &[u8]) -> [u8; 32] {
    let (head_length, body_length) = (head.len() as u32, body.len() as u64);
    sha256(&[
        label.as_bytes(),
        &[0, 1],
        &head_length.to_be_bytes(),
        head,
        &[2],
        body,
        &body_length.to_be_bytes(),
    ])
}

/// Follows a session.
struct Observer {
    suite: Suite,
    id: [u8; 32],
    chain: [u8; 32],
    transcript: [u8; 32],
    number: u64,
    request: [u8; 32],
    warrant: [u8; 32],
}

impl Observer {
    /// Follows one message; returns its head and body.
    fn message(&mut self, frames: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        let reply = self.number.is_multiple_of(2);
        let number = self.number.to_be_bytes();
        let place = [&[if reply { 2 } else { 1 }][..], &number].concat();
        let message_key = expand(&self.chain, "smr message key 1", &place);
        self.chain = expand(&self.chain, "smr next chain 1", &[]);
        let chunk_key = expand(&message_key, "smr chunk key 1", &[self.suite.code()]);
        let close_key = expand(&message_key, "smr close key 1", &[]);
        let aad = [&place[..], &self.id].concat();
        let (mut head, mut body, mut close) = (Vec::new(), Vec::new(), Vec::new());
        for (count, frame) in (0u64..).zip(frames) {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&count.to_be_bytes());
            let chunk = open(self.suite, &chunk_key, nonce, &aad, frame);
            match chunk[0] {
                1 => head = chunk[1..].to_vec(),
                2 => body.extend(&chunk[1..]),
                3 => close = chunk[1..].to_vec(),
                other => panic!("a chunk of kind {other}"),
            }
        }
        let label = if reply {
            "smr reply 1"
        } else {
            "smr request 1"
        };
        let digest = hash_message(label, &head, &body);
        let (said, mac) = close.split_at(close.len() - 32);
        let answered: &[u8] = if reply { &self.request } else { &[] };
        let covered = [&place[..], &self.transcript, &digest].concat();
        let covered_close = [&b"smr close 1\0"[..], &covered, answered, said].concat();
        assert_eq!(mac, hmac(&close_key, &[&covered_close]));
        match reply {
            true => self.check_warrant(said, &digest),
            false => self.request = digest,
        }
        self.transcript = sha256(&[b"smr transcript 1\0", &covered, mac]);
        self.number += 1;
        (head, body)
    }

    fn check_warrant(&self, said: &[u8], digest: &[u8; 32]) {
        let (time, signature) = said.split_at(8);
        let mut signed = [&[b' '; 64][..], b"smr warrant 1\0"].concat();
        let number = self.number.to_be_bytes();
        for field in [&self.id[..], &number, &self.request, digest, time] {
            signed.extend((field.len() as u32).to_be_bytes());
            signed.extend(field);
        }
        UnparsedPublicKey::new(&ED25519, self.warrant)
            .verify(&signed, signature)
            .expect("the warrant verifies");
    }

    fn renew(&mut self, x25519: &[u8; 32], mlkem: &[u8; 32]) {
        let root = hmac(&self.chain, &[x25519, mlkem]);
        self.chain = expand(&root, "smr renew 1", &self.transcript);
    }

    fn limit(&self) -> u64 {
        let bytes = expand(&self.chain, "smr limit 1", &[]);
        64 + u64::from_be_bytes(bytes[..8].try_into().unwrap()) % 961
    }
}

/// Everything that was said, as lines of a name and hexadecimal digits.
#[derive(Default)]
struct Log(String);

impl Log {
    fn say(&mut self, name: &str, bytes: &[u8]) {
        write!(self.0, "{name} ").unwrap();
        for byte in bytes {
            write!(self.0, "{byte:02x}").unwrap();
        }
        self.0.push('\n');
    }

    fn frames(&mut self, name: &str, frames: &[Vec<u8>]) {
        for frame in frames {
            self.say(name, frame);
        }
    }
}

const NOW: i64 = 1_800_000_000;

fn request(client: &mut Session, head: &[u8], parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut frames = vec![client.send_head(head).unwrap()];
    frames.extend(parts.iter().map(|part| client.send_body(part).unwrap()));
    frames.push(client.close_request().unwrap());
    frames
}

fn reply(server: &mut Session, keys: &ServerKeys, head: &[u8], parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut frames = vec![server.send_head(head).unwrap()];
    frames.extend(parts.iter().map(|part| server.send_body(part).unwrap()));
    frames.push(server.close_reply(keys, NOW).unwrap());
    frames
}

fn receive(session: &mut Session, frames: &[Vec<u8>]) {
    for frame in frames {
        session.receive(frame).unwrap();
    }
}

struct Said {
    keys: ServerKeys,
    secrets: Secrets,
    introduction: Vec<u8>,
    to_sign: [u8; 32],
    frames: [Vec<u8>; 3],
    client: Session,
    server: Session,
    observer: Observer,
}

/// A handshake with randomness from streams 1 (keys), 2 (client), 3 (smrd).
fn said(
    suite: Suite,
    introduction: &Introduction,
    client_rng: &mut Stream,
    server_rng: &mut Stream,
) -> Said {
    let keys = ServerKeys::generate("repo.example".parse().unwrap(), &mut Stream::new(1));
    let mut drawn = Stream::new(1);
    let secrets = Secrets {
        x25519: drawn.draw(),
        mlkem: kem_key(drawn.draw()),
        warrant: keys.identity().warrant,
        document: keys.identity().to_string(),
    };
    let (client, one) = Initiator::start(keys.identity(), &Suite::ALL, client_rng).unwrap();
    let (server, two) = Responder::accept(&keys, &[suite], &one, server_rng).unwrap();
    let (client, hash) = client.answer(&two).unwrap();
    let (three, client) = client.finish(introduction, NOW).unwrap();
    let (_, server) = server.finish(&three, NOW).unwrap();
    let frames = [one, two, three];

    let mut drawn = Stream::new(2);
    drawn.draw::<64>(); // the client's static key, the encapsulation to smrd's
    let client_kem = kem_key(drawn.draw());
    let ephemeral = Stream::new(3).draw();
    let (bytes, to_sign, observer) = follow(suite, &secrets, &frames, ephemeral, &client_kem);
    assert_eq!(bytes, introduction.encode().unwrap());
    assert_eq!(to_sign, hash);
    assert_eq!(&observer.id, client.id());
    Said {
        keys,
        secrets,
        introduction: bytes,
        to_sign,
        frames,
        client,
        server,
        observer,
    }
}

fn run(suite: Suite) -> String {
    let mut log = Log::default();
    let (mut client_rng, mut server_rng) = (Stream::new(2), Stream::new(3));
    let login = Introduction::Login {
        account: "rui".parse().unwrap(),
        device: [7; 32],
        signature: vec![8; 70],
    };
    let mut s = said(suite, &login, &mut client_rng, &mut server_rng);
    log.say("document", s.secrets.document.as_bytes());
    log.say("introduction", &s.introduction);
    log.frames("handshake", &s.frames);
    log.say("session", &s.observer.id);
    log.say("limit", &s.observer.limit().to_be_bytes());

    let welcome = Reply::Welcome {
        account: "rui".parse().unwrap(),
        until: NOW + 3600,
        now: NOW,
    };
    let welcome = welcome.encode().unwrap();
    let frames = reply(&mut s.server, &s.keys, &welcome, &[]);
    receive(&mut s.client, &frames);
    log.frames("welcome", &frames);
    assert_eq!(s.observer.message(&frames), (welcome, vec![]));

    let publish = Request::Publish.encode().unwrap();
    let frames = request(&mut s.client, &publish, &[b"the ", b"record"]);
    receive(&mut s.server, &frames);
    log.frames("publish", &frames);
    let body = b"the record".to_vec();
    assert_eq!(s.observer.message(&frames), (publish, body));

    let done = Reply::Done.encode().unwrap();
    let frames = reply(&mut s.server, &s.keys, &done, &[]);
    receive(&mut s.client, &frames);
    log.frames("done", &frames);
    assert_eq!(s.observer.message(&frames), (done, vec![]));

    renew(&mut s, &mut client_rng, &mut server_rng, &mut log);
    let ping = Request::Ping.encode().unwrap();
    let frames = request(&mut s.client, &ping, &[]);
    receive(&mut s.server, &frames);
    log.frames("ping", &frames);
    assert_eq!(s.observer.message(&frames), (ping, vec![]));
    join(suite, &mut log);
    log.0
}

/// The same handshake once more, by a device that joins.
fn join(suite: Suite, log: &mut Log) {
    let introduction = Introduction::Join {
        account: "rui".parse().unwrap(),
        chain: vec![vec![9; 300], vec![10; 400]],
        signature: vec![8; 70],
    };
    let (mut client_rng, mut server_rng) = (Stream::new(2), Stream::new(3));
    let s = said(suite, &introduction, &mut client_rng, &mut server_rng);
    let name = &[0, 3, b'r', b'u', b'i'];
    let lengths = [[1, 44], [1, 144]];
    let chain = [&[0, 2], &lengths[0], &[9; 300][..], &lengths[1], &[10; 400]].concat();
    let spelled = [&[3][..], name, &chain, &[0, 70], &[8; 70]].concat();
    assert_eq!(s.introduction, spelled);
    log.say("join", &s.introduction);
    log.say("join-session", &s.observer.id);

    let device = sha256(&[&[9; 300]]);
    let mut signed = [&[b' '; 64][..], b"smr join 1\0"].concat();
    for field in [&s.to_sign[..], b"rui", &device] {
        signed.extend((field.len() as u32).to_be_bytes());
        signed.extend(field);
    }
    let account = "rui".parse().unwrap();
    let to_sign = Introduction::join_to_sign(&s.to_sign, &account, &device);
    assert_eq!(to_sign, signed);
    log.say("join-to-sign", &signed);
}

fn renew(s: &mut Said, client_rng: &mut Stream, server_rng: &mut Stream, log: &mut Log) {
    let asked = s.client.renew(client_rng).unwrap();
    let frames = request(&mut s.client, &asked.encode().unwrap(), &[]);
    receive(&mut s.server, &frames);
    log.frames("renew", &frames);
    let (head, _) = s.observer.message(&frames);
    let client_public: [u8; 32] = head[1..33].try_into().unwrap();

    let answered = s.server.answer_renewal(&asked, server_rng).unwrap();
    let frames = reply(&mut s.server, &s.keys, &answered.encode().unwrap(), &[]);
    receive(&mut s.client, &frames);
    s.client.renewed(&answered, NOW).unwrap();
    log.frames("renewed", &frames);
    let (head, _) = s.observer.message(&frames);

    let mut drawn = Stream::new(2);
    drawn.draw::<{ 32 + 32 + 64 + 2 * 32 + 32 }>();
    let client_kem = kem_key(drawn.draw());
    let mut drawn = Stream::new(3);
    drawn.draw::<64>();
    let server_secret: [u8; 32] = drawn.draw();
    let shared = x25519(server_secret, client_public);
    let secret = decapsulate(&client_kem, &head[35..]);
    s.observer.renew(&shared, &secret);
    log.say("limit", &s.observer.limit().to_be_bytes());
}

#[test]
fn an_observer_with_all_secrets_understands_every_byte() {
    for (suite, pinned) in [
        (Suite::ChaChaPoly, include_str!("vectors/chachapoly.txt")),
        (Suite::AesGcm, include_str!("vectors/aesgcm.txt")),
    ] {
        let said = run(suite);
        // the lines are long: only the number of the first that differs is told
        let differ = said.lines().zip(pinned.lines()).position(|(a, b)| a != b);
        if let (true, Some(dir)) = (said != pinned, std::env::var_os("SMR_WRITE_VECTORS")) {
            let path = std::path::Path::new(&dir).join(format!("{suite}.txt"));
            std::fs::write(path, &said).unwrap();
        }
        assert_eq!(differ, None, "{suite}");
        assert!(said == pinned, "{suite}: lines missing or left over");
    }
}
