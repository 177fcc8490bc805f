//! Proofs: what smrd signed and did not stand by, kept so that a stranger can
//! check it with stock tools (smr-threats(7), PROOFS).
//!
//! Never judges: that a reply contradicts something is the caller's to see.
//! Never deletes a proof, and keeps no endless number of them.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use smr_channel::codec::{Reader, Writer};
use smr_channel::identity::Identity;
use smr_channel::reply::Reply;
use smr_channel::session::{reply_hash, request_hash};
use smr_channel::warrant::Warrant;
use smr_evidence::note::succession::Chain;
use smr_name::{Class, Fingerprint, Head};

use crate::failure::Failure;
use crate::home::Home;
use crate::private::{self, PrivateError};

/// Proofs kept; what comes beyond is told and not kept.
const MAX_PROOFS: usize = 64;
/// Bytes of one body; a larger one is left out, and its size is told.
const MAX_BODY: usize = 512 << 10;
/// Bytes of all bodies of one proof; the oldest replies are left out first.
const MAX_BODIES: usize = 2 << 20;
/// Replies in one proof.
const MAX_WORDS: usize = 32;

const CHECK: &[u8] = include_bytes!("proof/check.sh");

/// A body on its way, kept up to a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passing {
    bytes: Vec<u8>,
    size: u64,
}

impl Passing {
    fn take(&mut self, part: &[u8]) {
        self.size += part.len() as u64;
        match self.size > MAX_BODY as u64 {
            true => self.bytes = Vec::new(),
            false => self.bytes.extend_from_slice(part),
        }
    }

    /// Tells whether nothing has passed.
    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.size
    }
}

/// Reads a body and keeps it in passing.
pub(crate) struct ReadPassing<'a> {
    pub(crate) from: &'a mut dyn Read,
    pub(crate) kept: &'a mut Passing,
}

impl Read for ReadPassing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.kept.take(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Writes a body and keeps it in passing.
pub(crate) struct WritePassing<'a> {
    pub(crate) to: &'a mut dyn Write,
    pub(crate) kept: &'a mut Passing,
}

impl Write for WritePassing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.kept.take(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A reply with its request and its warrant: what smrd has said.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) request: Vec<u8>,
    pub(crate) asked: Passing,
    pub(crate) reply: Vec<u8>,
    pub(crate) told: Passing,
    pub(crate) warrant: Warrant,
}

impl Word {
    /// Tells whether a stranger will find that smrd has said this.
    fn holds(&self, server: &Identity) -> bool {
        let same = |passing: &Passing, hash: [u8; 32], signed: &[u8; 32]| {
            !passing.is_whole() || hash == *signed
        };
        let (request, reply) = (
            request_hash(&self.request, &self.asked.bytes),
            reply_hash(&self.reply, &self.told.bytes),
        );
        self.warrant.verify(&server.warrant).is_ok()
            && same(&self.asked, request, &self.warrant.request)
            && same(&self.told, reply, &self.warrant.reply)
    }

    /// Returns it as bytes, to be kept while smrd stands by it; none where it
    /// is too large.
    pub(crate) fn keep(&self) -> Option<Vec<u8>> {
        if self.asked.size > 0 || !self.told.is_whole() {
            return None;
        }
        let mut w = Writer::new();
        w.long("request", &self.request)
            .long("reply", &self.reply)
            .long("body", &self.told.bytes)
            .long("warrant", &self.warrant.encode());
        w.finish().ok()
    }

    /// Returns the files of a word that was kept, for the proof of what
    /// contradicts it, if it is the listing that ended at this head.
    pub(crate) fn kept(bytes: &[u8], head: &Head) -> Option<Vec<Against>> {
        let mut r = Reader::new(bytes);
        let (request, reply) = (r.long().ok()?.to_vec(), r.long().ok()?.to_vec());
        let (body, warrant) = (r.long().ok()?.to_vec(), r.long().ok()?.to_vec());
        match Reply::decode(&reply) {
            Ok(Reply::Listing { head: told, .. }) if told == *head => {}
            _ => return None,
        }
        let files = [
            ("request", request),
            ("reply", reply),
            ("reply-body", body),
            ("warrant", warrant),
        ];
        let files = files.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        Some(
            files
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .collect(),
        )
    }

    fn size(&self) -> usize {
        self.asked.bytes.len() + self.told.bytes.len()
    }

    fn files(&self, number: usize) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![
            (format!("{number}-request"), self.request.clone()),
            (format!("{number}-reply"), self.reply.clone()),
            (format!("{number}-warrant"), self.warrant.encode()),
        ];
        for (what, body) in [("request", &self.asked), ("reply", &self.told)] {
            match (body.is_whole(), body.size) {
                (true, 0) => {}
                (true, _) => files.push((format!("{number}-{what}-body"), body.bytes.clone())),
                (false, size) => files.push((
                    format!("{number}-{what}-body.left-out"),
                    format!("its body of {size} bytes is too large to keep\n").into_bytes(),
                )),
            }
        }
        files
    }
}

/// The last words of smrd in one matter, the newest last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    words: Vec<Word>,
}

impl Words {
    /// Adds a word; the oldest go where there are too many.
    pub(crate) fn add(&mut self, word: Word) {
        self.words.push(word);
        let too_much = |words: &[Word]| {
            let bytes: usize = words.iter().map(Word::size).sum();
            words.len() > MAX_WORDS || bytes > MAX_BODIES
        };
        while too_much(&self.words) {
            self.words.remove(0);
        }
    }

    /// Returns what was said last.
    pub(crate) fn last(&self) -> Option<&Word> {
        self.words.last()
    }

    /// Begins another matter.
    pub(crate) fn forget(&mut self) {
        self.words.clear();
    }
}

/// Something that smrd's last word contradicts: a name for the file, and what
/// is in it.
pub(crate) type Against = (String, Vec<u8>);

/// Where proofs are kept, and against whom.
#[derive(Clone, Debug)]
pub(crate) struct Proofs {
    home: Home,
    server: Identity,
}

impl Proofs {
    /// Keeps proofs against `server`, as pinned, below `home`; makes nothing
    /// yet.
    pub(crate) fn new(home: &Home, server: &Identity) -> Proofs {
        Proofs {
            home: home.clone(),
            server: server.clone(),
        }
    }

    /// Goes on against the keys that followed.
    pub(crate) fn against(&mut self, server: Identity) {
        self.server = server;
    }

    /// Keeps what proves a failure, and says in its hint where. A failure that
    /// is not smrd's fault stays as it is, and so does one for which there is
    /// no word that a stranger would believe.
    pub(crate) fn keep(&self, failure: Failure, words: &Words, against: &[Against]) -> Failure {
        let holds = words.words.iter().all(|word| word.holds(&self.server));
        if failure.class != Class::Untrusted || words.words.is_empty() || !holds {
            return failure;
        }
        let hint = match self.write(&failure, words, against) {
            Ok(Some(dir)) => format!("show the operator the proof in \"{}\"", dir.display()),
            Ok(None) => format!(
                "show the operator the proofs in \"{}\"; there are {MAX_PROOFS}, so this one was not kept",
                self.home.proofs().display()
            ),
            Err(error) => format!("ask the operator; the proof was not kept: {error}"),
        };
        Failure {
            hint: Some(match failure.hint {
                Some(first) => format!("{first}; {hint}"),
                None => hint,
            }),
            ..failure
        }
    }

    fn write(
        &self,
        failure: &Failure,
        words: &Words,
        against: &[Against],
    ) -> Result<Option<PathBuf>, PrivateError> {
        let Some(last) = words.words.last() else {
            return Ok(None);
        };
        let all = self.home.proofs();
        let _lock = private::Lock::wait(&all.join("lock"))?;
        let kept = private::names(&all)?;
        // The lock is one of them.
        if kept.len() > MAX_PROOFS {
            return Ok(None);
        }
        let number = Fingerprint::of(&last.warrant.encode());
        let short: String = number.as_bytes().iter().take(8).map(hex).collect();
        let dir = all.join(format!("{}-{short}", last.warrant.time));
        let mut files: Vec<Against> = vec![
            ("identity".to_owned(), self.server.to_string().into_bytes()),
            ("check.sh".to_owned(), CHECK.to_vec()),
        ];
        for (word, number) in words.words.iter().zip(1..) {
            files.extend(word.files(number));
        }
        for (name, bytes) in against {
            files.push((format!("before-{name}"), bytes.clone()));
        }
        let readme = readme(failure, &self.server, &files);
        for (name, bytes) in files {
            private::replace(&dir.join(name), &bytes)?;
        }
        // Last: with it the proof is whole.
        private::replace(&dir.join("README.txt"), readme.as_bytes())?;
        Ok(Some(dir))
    }
}

/// Says that the keys of a repository have two successors, and keeps both as a
/// proof, which the keys before have signed.
pub(crate) fn keep_fork(home: &Home, mine: &Chain, theirs: &Chain) -> Failure {
    let failure = Failure::new(
        Class::Untrusted,
        format!(
            "the keys of \"{}\" were replaced twice: by {}, which were followed, and by {}",
            mine.name(),
            mine.tip().fingerprint(),
            theirs.tip().fingerprint()
        ),
    );
    let hint = match write_fork(home, mine, theirs) {
        Ok(Some(dir)) => format!("show the operator the proof in \"{}\"", dir.display()),
        Ok(None) => "ask the operator; the proof was not kept, there are too many".to_owned(),
        Err(error) => format!("ask the operator; the proof was not kept: {error}"),
    };
    failure.hint(hint)
}

fn write_fork(home: &Home, mine: &Chain, theirs: &Chain) -> Result<Option<PathBuf>, PrivateError> {
    let all = home.proofs();
    let _lock = private::Lock::wait(&all.join("lock"))?;
    if private::names(&all)?.len() > MAX_PROOFS {
        return Ok(None);
    }
    let name = theirs.tip().fingerprint();
    let short: String = name.as_bytes().iter().take(8).map(hex).collect();
    let dir = all.join(format!("succession-{short}"));
    for (name, chain) in [("before-succession", mine), ("succession", theirs)] {
        private::replace(&dir.join(name), chain.to_string().as_bytes())?;
    }
    let readme = format!(
        "A proof against the repository \"{}\"\n\n\
         before-succession   how its keys followed one another, as it was known\n\
         succession          the same as it was shown then: it goes another way from keys\n\
         \x20                   that are in both, and these keys have signed both ways\n\n\
         Format: smr-session(7), SUCCESSION. More about this folder: smr-threats(7), PROOFS.\n",
        mine.name()
    );
    // Last: with it the proof is whole.
    private::replace(&dir.join("README.txt"), readme.as_bytes())?;
    Ok(Some(dir))
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

fn readme(failure: &Failure, server: &Identity, files: &[Against]) -> String {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    // It may name a person as smrd would like him to be seen.
    let text = failure.text.replace(char::is_control, "?");
    format!(
        "A proof against the repository \"{}\"\n\
         {}\n\n\
         smr refused what it said:\n\n    {}\n\n\
         N-request, N-reply (and -body)   what was asked and answered, the last one in question\n\
         N-warrant                        the repository's signature on both, 176 bytes\n\
         before-...                       what the last reply contradicts, as it was known;\n\
         before-warrant                   if it is there, the repository's signature on that\n\
         identity                         the repository's keys; compare their fingerprint\n\
         check.sh                         checks the warrants: sh check.sh, needs openssl 3\n\n\
         Files: {}\n\
         Formats: smr-session(7); before-*.postmark: smr-receipt(5);\n\
         before-record, and the body of a reply with an account record: smr-envelope(5).\n\
         More about this folder: smr-threats(7), PROOFS.\n",
        server.name,
        server.fingerprint(),
        text,
        names.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use smr_channel::handshake::{Initiator, Introduction, Responder, Suite};
    use smr_channel::identity::ServerKeys;
    use smr_channel::session::Event;

    use super::*;
    use crate::home::Places;

    fn passing(bytes: &[u8]) -> Passing {
        let mut passing = Passing::default();
        passing.take(bytes);
        passing
    }

    /// What smrd says to an introduction, with its warrant.
    fn word(keys: &ServerKeys, body: &[u8]) -> Word {
        let introduction = Introduction::Login {
            account: "rui".parse().unwrap(),
            device: [7; 32],
            signature: vec![8; 70],
        };
        let rng = &mut OsRng;
        let (client, frame) = Initiator::start(keys.identity(), &Suite::ALL, rng).unwrap();
        let (server, frame) = Responder::accept(keys, &Suite::ALL, &frame, rng).unwrap();
        let (client, _) = client.answer(&frame).unwrap();
        let (frame, mut client) = client.finish(&introduction, 5).unwrap();
        let (_, mut server) = server.finish(&frame, 5).unwrap();
        let mut frames = vec![server.send_head(b"reply").unwrap()];
        for part in body.chunks(50_000) {
            frames.push(server.send_body(part).unwrap());
        }
        frames.push(server.close_reply(keys, 1_800_000_000).unwrap());
        let events = frames.iter().map(|frame| client.receive(frame).unwrap());
        let Some(Event::Close(Some(warrant))) = events.last() else {
            panic!("no warrant")
        };
        Word {
            request: introduction.encode().unwrap(),
            asked: Passing::default(),
            reply: b"reply".to_vec(),
            told: passing(body),
            warrant,
        }
    }

    struct Scene {
        _dir: tempfile::TempDir,
        keys: ServerKeys,
        home: Home,
        proofs: Proofs,
    }

    fn scene() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            smr_home: Some(dir.path().to_owned()),
            ..Places::default()
        };
        let home = Home::new(&places, None).unwrap();
        let keys = ServerKeys::generate("repo.example".parse().unwrap(), &mut OsRng);
        Scene {
            _dir: dir,
            proofs: Proofs::new(&home, keys.identity()),
            keys,
            home,
        }
    }

    fn kept(scene: &Scene) -> Vec<String> {
        let mut names = private::names(&scene.home.proofs()).unwrap();
        names.retain(|name| name != "lock");
        names
    }

    fn words(word: Word) -> Words {
        let mut words = Words::default();
        words.add(word);
        words
    }

    fn failure() -> Failure {
        Failure::new(Class::Untrusted, "it lied\u{1b}[m").hint("ask")
    }

    #[test]
    fn a_proof_is_kept_whole_and_told() {
        let scene = scene();
        let words = words(word(&scene.keys, b"body"));
        let against = [("heads".to_owned(), b"one".to_vec())];
        let told = scene.proofs.keep(failure(), &words, &against);
        let [name] = &kept(&scene)[..] else {
            panic!("one proof")
        };
        assert!(told.hint.unwrap().starts_with("ask; show the operator"));
        let dir = scene.home.proofs().join(name);
        let read = |name: &str| private::read(&dir.join(name), 1 << 20).unwrap().unwrap();
        assert_eq!(read("1-reply"), b"reply");
        assert_eq!(read("1-reply-body"), b"body");
        assert_eq!(read("1-warrant").len(), 176);
        assert_eq!(read("before-heads"), b"one");
        let readme = String::from_utf8(read("README.txt")).unwrap();
        assert!(readme.contains("it lied?[m"), "{readme}");
    }

    #[test]
    fn what_proves_nothing_is_not_kept() {
        let scene = scene();
        let good = word(&scene.keys, b"body");
        let mut other_reply = good.clone();
        other_reply.reply.push(0);
        let mut other_body = good.clone();
        other_body.told = passing(b"bodi");
        let strange = word(&scene.keys, b"");
        let other = ServerKeys::generate("repo.example".parse().unwrap(), &mut OsRng);
        let forged = word(&other, b"body");
        for bad in [other_reply, other_body, forged] {
            let told = scene.proofs.keep(failure(), &words(bad), &[]);
            assert_eq!(told.hint.as_deref(), Some("ask"));
        }
        let mine = Failure::new(Class::Io, "my own disk");
        let told = scene.proofs.keep(mine, &words(strange), &[]);
        assert_eq!(told.hint, None);
        let told = scene.proofs.keep(failure(), &Words::default(), &[]);
        assert_eq!(told.hint.as_deref(), Some("ask"));
        assert_eq!(kept(&scene), [""; 0]);
    }

    #[test]
    fn proofs_are_bounded_in_size_and_number() {
        let scene = scene();
        let large = word(&scene.keys, &vec![7; MAX_BODY + 1]);
        assert!(large.told.bytes.is_empty() && large.holds(&scene.proofs.server));
        let files = large.files(3);
        assert!(
            files
                .iter()
                .any(|(name, _)| name == "3-reply-body.left-out")
        );
        let mut many = Words::default();
        let one = word(&scene.keys, &vec![7; MAX_BODY]);
        (0..40).for_each(|_| many.add(one.clone()));
        assert!(many.words.len() <= MAX_BODIES / MAX_BODY);
        for number in 0..MAX_PROOFS {
            private::make_dir(&scene.home.proofs().join(number.to_string())).unwrap();
        }
        let told = scene.proofs.keep(failure(), &words(large), &[]);
        assert!(told.hint.unwrap().contains("was not kept"));
        assert_eq!(kept(&scene).len(), MAX_PROOFS);
    }
}
