//! The journal of what is remembered: one write in place makes a whole batch of
//! small files durable, which get their names without a wait (smr(7), JOURNAL).
//!
//! Decides nothing: whoever writes one of these files holds the lock and writes
//! it through here, so that what came last holds.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use smr_channel::codec::{CodecError, Reader, Writer};

use super::{Known, KnownError, LIMIT};
use crate::batch::Batch;
use crate::private::{self, Lock, PrivateError, failed};

/// How every version begins; then its number and a line end.
const NAME: &[u8] = b"smr journal of what is known ";
const VERSION: &[u8] = b"1\n";
/// What is written together starts at a multiple of this many bytes, so that no
/// write touches what is durable already.
const BLOCK: usize = 4096;
/// Blocks of one journal: the header's, and those of what is written.
const BLOCKS: usize = 33;
/// Length, run, SHA-256.
const HEAD: usize = 4 + 16 + 32;
/// Keeps these digests apart from all others.
const LABEL: &[u8] = b"smr known 1\0";

/// What was written together: files below the state folder, and their content.
type Files = Vec<(PathBuf, Vec<u8>)>;
/// Where files are, and what each is to hold.
type Latest<'a> = BTreeMap<PathBuf, &'a [u8]>;

/// A journal as it was read.
pub(super) struct Journal {
    path: PathBuf,
    /// Below which the files are.
    state: PathBuf,
    /// Drawn when the first block was written last: older blocks behind have
    /// another.
    run: [u8; 16],
    written: Vec<Files>,
    /// The first block that is free.
    end: usize,
}

impl Known {
    /// Reads the journal; one that is not there is empty.
    fn journal(&self) -> Result<Journal, KnownError> {
        let path = self.home.known().join("journal");
        let bytes = private::read(&path, LIMIT)?;
        let mut journal = Journal {
            state: self.home.state().to_owned(),
            run: [0; 16],
            written: Vec::new(),
            end: 1,
            path,
        };
        if let Some(bytes) = bytes {
            journal.parse(&bytes)?;
        }
        Ok(journal)
    }

    /// Reads the journal to add to it, and makes files of what another tool that
    /// ended has written last. The caller holds the lock.
    pub(super) fn locked(&self, _lock: &Lock) -> Result<Journal, KnownError> {
        let journal = self.journal()?;
        restore(journal.lacking(journal.written.len().saturating_sub(1))?)?;
        Ok(journal)
    }

    /// Makes the files that are not as the journal says, after a power cut;
    /// waits for nobody where all is well.
    pub(super) fn heal(&self) -> Result<(), KnownError> {
        if self.journal()?.lacking(0)?.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        restore(self.journal()?.lacking(0)?)
    }
}

impl Journal {
    fn parse(&mut self, bytes: &[u8]) -> Result<(), KnownError> {
        let rest = bytes.strip_prefix(NAME);
        let rest = rest.ok_or_else(|| KnownError::Damaged(self.path.clone()))?;
        if !rest.starts_with(VERSION) {
            return Err(KnownError::Later(self.path.clone()));
        }
        while let Some((run, files, blocks)) = read(bytes, self.end) {
            // What lies behind the last of a run is of an older one.
            if self.end > 1 && run != self.run {
                break;
            }
            self.run = run;
            self.end += blocks;
            self.written.push(files);
        }
        Ok(())
    }

    /// Returns what each file held last, of what was written from this one on.
    fn latest(&self, from: usize) -> Latest<'_> {
        let files = self.written.iter().skip(from).flatten();
        files
            .map(|(path, bytes)| (self.state.join(path), bytes.as_slice()))
            .collect()
    }

    /// Returns those of them that are not so now.
    fn lacking(&self, from: usize) -> Result<Latest<'_>, KnownError> {
        let mut files = self.latest(from);
        for (path, bytes) in std::mem::take(&mut files) {
            if private::read(&path, LIMIT)?.as_deref() != Some(bytes) {
                files.insert(path, bytes);
            }
        }
        Ok(files)
    }

    /// Keeps a batch durably. The caller holds the lock since the journal was
    /// read.
    pub(super) fn keep(mut self, batch: Batch) -> Result<(), KnownError> {
        if batch.is_empty() {
            return Ok(());
        }
        let files = batch.contents().map(|(p, b)| self.below(p, b));
        // What lies elsewhere is nothing that the journal makes anew.
        let Some(files) = files.collect::<Option<Files>>() else {
            return Ok(batch.keep()?);
        };
        let needed = blocks(&files);
        if self.end + needed > BLOCKS {
            // Then nothing needs what is written here: it may be overwritten.
            restore(self.latest(0))?;
            self.end = 1;
        }
        if self.end + needed > BLOCKS {
            // What does not fit would be undone by what is in here still.
            if self.path.exists() {
                private::remove(&self.path)?;
            }
            return Ok(batch.keep()?);
        }
        self.append(&files)?;
        Ok(batch.name()?)
    }

    fn below(&self, path: &Path, bytes: &[u8]) -> Option<(PathBuf, Vec<u8>)> {
        let path = path.strip_prefix(&self.state).ok()?;
        Some((path.to_owned(), bytes.to_owned()))
    }

    fn append(&mut self, files: &Files) -> Result<(), KnownError> {
        if self.end == 1 {
            OsRng.fill_bytes(&mut self.run);
        }
        let damaged = |_| KnownError::Damaged(self.path.clone());
        let bytes = frame(files, &self.run, self.end).map_err(damaged)?;
        let file = self.open()?;
        let at = (self.end * BLOCK) as u64;
        let written = file.write_all_at(&bytes, at);
        // Without it an id would be told whose postmark a power cut takes.
        written.and_then(|()| file.sync_data()).map_err(|error| {
            // Nobody knows what the disk holds now: it is nothing, and the next
            // one is written over it. Of two failures the first one counts.
            let _ = file.write_all_at(&[0; HEAD], at);
            failed("write", &self.path)(error)
        })?;
        Ok(())
    }

    /// Opens the file, which it makes if need be, all of it: then a sync has no
    /// more to write than what is new.
    fn open(&self) -> Result<File, PrivateError> {
        let open = || OpenOptions::new().write(true).open(&self.path);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut empty = vec![0; BLOCKS * BLOCK];
                for (byte, said) in empty.iter_mut().zip(NAME.iter().chain(VERSION)) {
                    *byte = *said;
                }
                private::create(&self.path, &empty)?;
                open()
            }
            opened => opened,
        }
        .map_err(failed("open", &self.path))
    }
}

/// Writes files anew, durably.
fn restore(files: Latest<'_>) -> Result<(), KnownError> {
    let mut batch = Batch::default();
    for (path, bytes) in files {
        batch.replace(&path, bytes)?;
    }
    Ok(batch.keep()?)
}

/// Returns how many blocks these files take.
fn blocks(files: &Files) -> usize {
    let size = |(path, bytes): &(PathBuf, Vec<u8>)| 2 + path.as_os_str().len() + 4 + bytes.len();
    (HEAD + 2 + files.iter().map(size).sum::<usize>()).div_ceil(BLOCK)
}

/// Returns whole blocks.
fn frame(files: &Files, run: &[u8; 16], block: usize) -> Result<Vec<u8>, CodecError> {
    let mut w = Writer::new();
    w.list("files", files, |w, (path, bytes)| {
        w.text("path", &path.display()).long("content", bytes);
    });
    let content = w.finish()?;
    let mut frame = Writer::with_capacity(blocks(files) * BLOCK);
    frame
        .u32(content.len() as u32)
        .raw(run)
        .raw(&digest(run, block, &content))
        .raw(&content);
    let mut frame = frame.finish()?;
    frame.resize(blocks(files) * BLOCK, 0);
    Ok(frame)
}

fn digest(run: &[u8; 16], block: usize, content: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(run);
    hash.update((block as u64).to_be_bytes());
    hash.update(content);
    hash.finalize().into()
}

/// Reads what begins at a block: its run, the files, how many blocks it takes;
/// none where it was not written to its end.
fn read(bytes: &[u8], block: usize) -> Option<([u8; 16], Files, usize)> {
    let mut r = Reader::new(bytes.get(block * BLOCK..)?);
    let length = r.u32().ok()? as usize;
    let (run, told) = (r.array().ok()?, r.array().ok()?);
    let content = r.take(length).ok()?;
    if digest(&run, block, content) != told {
        return None;
    }
    let mut r = Reader::new(content);
    let files = r.list(|r| {
        let path: PathBuf = r.parse("path")?;
        let stays = path.components().all(|c| matches!(c, Component::Normal(_)));
        match stays && path.file_name().is_some() {
            true => Ok((path, r.long()?.to_owned())),
            false => Err(CodecError::Value("path")),
        }
    });
    let files = files.ok()?;
    r.finish().ok()?;
    Some((run, files, (HEAD + length).div_ceil(BLOCK)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::known;
    use super::*;

    fn keep(known: &Known, files: &[(&str, &[u8])]) {
        let mut batch = Batch::default();
        for (name, bytes) in files {
            batch.replace(&at(known, name), bytes).unwrap();
        }
        let lock = known.lock().unwrap();
        known.locked(&lock).unwrap().keep(batch).unwrap();
    }

    fn at(known: &Known, name: &str) -> PathBuf {
        known.home.state().join(name)
    }

    fn text(known: &Known, name: &str) -> String {
        fs::read_to_string(at(known, name)).unwrap_or_default()
    }

    fn journal(known: &Known) -> PathBuf {
        known.home.known().join("journal")
    }

    /// What a power cut leaves of files that nobody waited for: nothing, nothing
    /// inside, or what was there before.
    fn cut(known: &Known, name: &str, how: usize) {
        match how % 3 {
            0 => fs::remove_file(at(known, name)).unwrap(),
            1 => fs::write(at(known, name), "").unwrap(),
            _ => fs::write(at(known, name), "older").unwrap(),
        }
    }

    #[test]
    fn what_a_power_cut_takes_is_made_again() {
        let (_dir, known) = known();
        keep(&known, &[("a/mark", b"1"), ("b", b"one")]);
        keep(&known, &[("a/mark", b"2"), ("c", b"two")]);
        for how in 0..3 {
            for name in ["a/mark", "b", "c"] {
                cut(&known, name, how);
            }
            known.heal().unwrap();
            let all = ["a/mark", "b", "c"].map(|name| text(&known, name));
            assert_eq!(all, ["2", "one", "two"]);
        }
        let mode = fs::metadata(journal(&known)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_was_torn_never_was_and_all_before_it_stays() {
        let (_dir, known) = known();
        let long = [b'x'; BLOCK];
        keep(&known, &[("mark", b"1")]);
        keep(&known, &[("mark", b"2"), ("long", &long)]);
        let whole = fs::read(journal(&known)).unwrap();
        // The second takes blocks 2 and 3.
        let used = 2 * BLOCK..2 * BLOCK + HEAD + 2 + 2 + 4 + 4 + 1 + 2 + 4 + 4 + BLOCK;
        for torn in used.step_by(97).chain([whole.len()]) {
            let mut bytes = whole.clone();
            bytes[torn.min(whole.len())..].fill(0);
            fs::write(journal(&known), &bytes).unwrap();
            cut(&known, "mark", torn);
            known.heal().unwrap();
            let expected = if torn < whole.len() { "1" } else { "2" };
            assert_eq!(text(&known, "mark"), expected, "torn at {torn}");
        }
        // The next one takes the place of what was torn.
        fs::write(journal(&known), &whole[..2 * BLOCK + 100]).unwrap();
        keep(&known, &[("mark", b"3")]);
        cut(&known, "mark", 0);
        known.heal().unwrap();
        assert_eq!(text(&known, "mark"), "3");
    }

    #[test]
    fn every_bit_of_what_is_written_counts() {
        let (_dir, known) = known();
        keep(&known, &[("mark", b"1")]);
        let whole = fs::read(journal(&known)).unwrap();
        let length = HEAD + 2 + 2 + 4 + 4 + 1;
        for at in (BLOCK..BLOCK + length).chain(0..NAME.len() + VERSION.len()) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(journal(&known), &bytes).unwrap();
            let is_none = |journal: Journal| journal.written.is_empty();
            assert!(known.journal().map_or(true, is_none), "byte {at}");
        }
    }

    #[test]
    fn it_goes_round_and_what_is_older_is_not_read_again() {
        let (_dir, known) = known();
        for n in 0..3 * BLOCKS {
            let name = format!("p/{n}");
            keep(
                &known,
                &[(&name, b"postmark"), ("mark", n.to_string().as_bytes())],
            );
            if n % 7 == 0 {
                cut(&known, &name, n);
                cut(&known, "mark", n / 7);
            }
            assert!(known.journal().unwrap().written.len() < BLOCKS);
        }
        known.heal().unwrap();
        assert_eq!(text(&known, "mark"), (3 * BLOCKS - 1).to_string());
        assert!((0..3 * BLOCKS).all(|n| text(&known, &format!("p/{n}")) == "postmark"));
        assert_eq!(
            fs::metadata(journal(&known)).unwrap().len(),
            (BLOCKS * BLOCK) as u64
        );
    }

    #[test]
    fn what_does_not_fit_is_kept_and_not_undone() {
        let (_dir, known) = known();
        keep(&known, &[("mark", b"1"), ("b", b"one")]);
        let huge = vec![b'x'; BLOCKS * BLOCK];
        keep(&known, &[("mark", b"2"), ("huge", &huge)]);
        known.heal().unwrap();
        assert_eq!(
            (text(&known, "mark"), text(&known, "b")),
            ("2".into(), "one".into())
        );
        keep(&known, &[("mark", b"3")]);
        cut(&known, "mark", 0);
        known.heal().unwrap();
        assert_eq!(text(&known, "mark"), "3");
        assert_eq!(text(&known, "huge").len(), huge.len());
    }

    #[test]
    fn what_lies_elsewhere_is_kept_without_the_journal() {
        let (_dir, known) = known();
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("mark");
        keep(&known, &[(file.to_str().unwrap(), b"1")]);
        assert_eq!(fs::read(&file).unwrap(), b"1");
        assert!(!journal(&known).exists());
    }

    #[test]
    fn a_later_version_is_refused_and_nothing_leaves_the_folder() {
        let (dir, known) = known();
        keep(&known, &[("mark", b"1")]);
        let whole = fs::read(journal(&known)).unwrap();
        let mut later = whole.clone();
        later[NAME.len()] = b'2';
        fs::write(journal(&known), &later).unwrap();
        assert!(matches!(known.heal(), Err(KnownError::Later(_))));
        assert!(known.keeping().is_err());
        for other in ["", "text"] {
            fs::write(journal(&known), other).unwrap();
            assert!(matches!(known.heal(), Err(KnownError::Damaged(_))));
        }
        for path in ["../outside", "/tmp/outside", ".", "", "a/../../outside"] {
            let files = vec![(PathBuf::from(path), b"x".to_vec())];
            let mut bytes = whole[..BLOCK].to_vec();
            bytes.extend(frame(&files, &[1; 16], 1).unwrap());
            fs::write(journal(&known), &bytes).unwrap();
            known.heal().unwrap();
            assert!(!dir.path().join("outside").exists(), "{path}");
        }
    }

    #[test]
    fn several_at_once_lose_nothing() {
        let (_dir, known) = known();
        std::thread::scope(|scope| {
            for who in 0..4 {
                let known = &known;
                scope.spawn(move || {
                    for n in 0..2 * BLOCKS {
                        keep(known, &[(&format!("{who}/{n}"), b"postmark")]);
                        known.heal().unwrap();
                    }
                });
            }
        });
        for (who, n) in (0..4).flat_map(|who| (0..2 * BLOCKS).map(move |n| (who, n))) {
            assert_eq!(text(&known, &format!("{who}/{n}")), "postmark");
        }
    }
}
