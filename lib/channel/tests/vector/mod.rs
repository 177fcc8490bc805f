//! A vector's file, and one end of its session that plays from it.
//!
//! Compares the frames an end says with those of the file; takes no frame for
//! granted that comes from the other.

mod end;

use std::path::{Path, PathBuf};

use rand_core::{CryptoRng, Error, RngCore};
use smr_channel::identity::ServerKeys;

pub(crate) use end::{End, Taken};

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Smrd,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/session")
}

/// Names of all files of vectors.
pub(crate) fn files() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder()).expect("tests/vectors/session is there");
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
}

fn bytes(digits: &str) -> Vec<u8> {
    let digit = |c: &u8| char::from(*c).to_digit(16).expect("a hexadecimal digit") as u8;
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "an odd number of digits");
    pairs
        .iter()
        .map(|[a, b]| digit(a) << 4 | digit(b))
        .collect()
}

/// The keys and values of a file, taken from the front.
pub(crate) struct Pairs(std::vec::IntoIter<(String, String)>);

impl Pairs {
    pub(crate) fn read(name: &str) -> Pairs {
        let text = std::fs::read_to_string(folder().join(name)).unwrap();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(more) = line.strip_prefix(' ') {
                let (_, value) = pairs.last_mut().expect("a value goes on");
                value.push_str(more.trim());
            } else if !line.is_empty() {
                let (key, value) = line.split_once(' ').unwrap_or((line, ""));
                pairs.push((key.to_owned(), value.to_owned()));
            }
        }
        Pairs(pairs.into_iter())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    fn next_is(&self, key: &str) -> bool {
        self.0.as_slice().first().is_some_and(|pair| pair.0 == key)
    }

    /// The value of the pair that comes next, which must have this key.
    #[track_caller]
    pub(crate) fn word(&mut self, key: &str) -> String {
        let (found, value) = self.0.next().expect("the file goes on");
        assert_eq!(found, key);
        value
    }

    #[track_caller]
    fn data(&mut self, key: &str) -> Vec<u8> {
        bytes(&self.word(key))
    }

    #[track_caller]
    fn hash(&mut self, key: &str) -> [u8; 32] {
        self.data(key).try_into().expect("32 bytes")
    }

    /// The data of all pairs of this key that stand here.
    pub(crate) fn every(&mut self, key: &str) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while self.next_is(key) {
            found.push(self.data(key));
        }
        found
    }

    pub(crate) fn next_data(&mut self) -> Option<(String, Vec<u8>)> {
        self.0.next().map(|(key, value)| (key, bytes(&value)))
    }
}

/// Randomness that was drawn before: the bytes in order, and then no more.
pub(crate) struct Tape(std::vec::IntoIter<u8>);

impl Tape {
    fn new(draws: Vec<Vec<u8>>) -> Tape {
        Tape(draws.concat().into_iter())
    }
}

impl RngCore for Tape {
    fn next_u32(&mut self) -> u32 {
        unreachable!("only bytes are drawn")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("only bytes are drawn")
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.fill_with(|| self.0.next().expect("more is drawn than the vector has"));
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Tape {}

/// A message as the file tells it.
pub(crate) struct Message {
    pub(crate) by: Role,
    pub(crate) whole: Taken,
    parts: Vec<Vec<u8>>,
    time: Option<i64>,
    frames: usize,
    /// N of the chain that begins with it.
    limit: Option<u64>,
}

/// A whole session.
pub(crate) struct Vector {
    repository: String,
    server_secrets: Vec<Vec<u8>>,
    pub(crate) document: Vec<u8>,
    pub(crate) fingerprint: Vec<u8>,
    offered: Vec<u8>,
    client_draws: Vec<Vec<u8>>,
    server_draws: Vec<Vec<u8>>,
    pub(crate) hash_to_sign: [u8; 32],
    pub(crate) signed: Vec<u8>,
    pub(crate) introduction: Vec<u8>,
    pub(crate) session: [u8; 32],
    now: i64,
    limit: u64,
    pub(crate) messages: Vec<Message>,
    frames: Vec<Vec<u8>>,
}

impl Vector {
    pub(crate) fn read(name: &str) -> Vector {
        let mut pairs = Pairs::read(name);
        let repository = pairs.word("repository");
        let secrets = ["x25519", "mlkem", "warrant", "postmark"];
        let server_secrets = secrets.map(|key| pairs.data(&format!("server-{key}")));
        let (document, fingerprint) = (pairs.data("document"), pairs.data("fingerprint"));
        let offered = pairs.data("offered");
        let drawn = ["static", "encapsulation", "mlkem"];
        let mut client_draws = drawn
            .map(|key| pairs.data(&format!("client-{key}")))
            .to_vec();
        client_draws.extend(pairs.every("client-ephemeral"));
        let mut frames = vec![pairs.data("frame")];
        let server_draws = vec![
            pairs.data("server-ephemeral"),
            pairs.data("server-encapsulation"),
        ];
        frames.push(pairs.data("frame"));
        pairs.data("psk3"); // seen in frame 3
        let hash_to_sign = pairs.hash("hash-to-sign");
        pairs.data("device-key"); // the reference checks the signature
        let (signed, introduction) = (pairs.data("signed"), pairs.data("introduction"));
        frames.push(pairs.data("frame"));
        for key in ["k1", "k2", "h"] {
            pairs.data(key); // seen in the session's id
        }
        let mut vector = Vector {
            repository,
            server_secrets: server_secrets.to_vec(),
            document,
            fingerprint,
            offered,
            client_draws,
            server_draws,
            hash_to_sign,
            signed,
            introduction,
            session: pairs.hash("session"),
            now: pairs.word("now").parse().unwrap(),
            limit: pairs.word("limit").parse().unwrap(),
            messages: Vec::new(),
            frames,
        };
        while !pairs.is_empty() {
            vector.read_message(&mut pairs);
        }
        vector
    }

    fn read_message(&mut self, pairs: &mut Pairs) {
        let number = pairs.word("message");
        assert_eq!(number, self.messages.len().to_string());
        let by = match self.messages.len() % 2 {
            0 => Role::Smrd,
            _ => Role::Client,
        };
        let (key, draws) = match by {
            Role::Client => ("renew", &mut self.client_draws),
            Role::Smrd => ("renewed", &mut self.server_draws),
        };
        let renews = pairs.next_is(&format!("{key}-x25519"));
        if renews {
            draws.push(pairs.data(&format!("{key}-x25519")));
            draws.push(pairs.data(&format!("{key}-mlkem")));
        }
        let (head, parts) = (pairs.data("head"), pairs.every("part"));
        let time = (by == Role::Smrd).then(|| pairs.word("time").parse().unwrap());
        let frames = pairs.every("frame");
        let warrant = time.map(|_| pairs.data("warrant"));
        pairs.data("transcript"); // seen in the next close
        let limit = (renews && by == Role::Smrd).then(|| pairs.word("limit").parse().unwrap());
        let body = parts.concat();
        self.messages.push(Message {
            by,
            whole: Taken {
                head,
                body,
                warrant,
            },
            parts,
            time,
            frames: frames.len(),
            limit,
        });
        self.frames.extend(frames);
    }

    /// Every frame in order, the handshake's first.
    pub(crate) fn frames(&self) -> &[Vec<u8>] {
        &self.frames
    }

    /// Who says each frame.
    fn speakers(&self) -> impl Iterator<Item = Role> {
        let handshake = [Role::Client, Role::Smrd, Role::Client];
        let said = |message: &Message| std::iter::repeat_n(message.by, message.frames);
        handshake
            .into_iter()
            .chain(self.messages.iter().flat_map(said))
    }

    pub(crate) fn keys(&self) -> ServerKeys {
        let name = self.repository.parse().unwrap();
        ServerKeys::generate(name, &mut Tape::new(self.server_secrets.clone()))
    }

    /// H of the device certificate, which each vector signs over as its third
    /// field.
    pub(crate) fn device_hash(&self) -> [u8; 32] {
        let label = self.signed.iter().position(|byte| *byte == 0).unwrap() + 1;
        let at = label + (4 + 32) + (4 + "rui".len()) + 4;
        self.signed[at..at + 32].try_into().unwrap()
    }
}
