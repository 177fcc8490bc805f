//! What is remembered of a folder: its entries, each with the head after it, and
//! the headers of those that were opened once; sealed under a key of the account.
//!
//! A cache: losing it loses time. Holds only what was walked and verified, and
//! decides no alarm: where smrd contradicts it, the folder is walked anew.

use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;

use rand_core::{OsRng, RngCore};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use smr_channel::codec::{CodecError, Reader, Writer};
use smr_channel::request::Folder;
use smr_evidence::trace::Trace;
use smr_name::{Address, Class, EntryName, Head, MessageId};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::home::Home;
use crate::known::folder_name;
use crate::private::{self, Lock};

/// Entries in one file. One that is full changes no more but for headers.
const FILE: usize = 1024;
/// Bytes of one file; headers may be long.
const LIMIT: u64 = 64 << 20;
/// Bytes of headers that are remembered of one message; longer ones are opened
/// each time.
const LONG: usize = 16 << 10;
/// Names the form of what is sealed, and keeps it apart from all else.
const LABEL: &[u8] = b"smr shelf 1\0";

/// What a message says of itself in a listing; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// To whom.
    pub to: Vec<Address>,
    /// Who else.
    pub cc: Vec<Address>,
    /// What about; whatever characters the sender chose.
    pub subject: String,
}

impl Shown {
    /// Returns all its addressees.
    pub fn addressees(&self) -> impl Iterator<Item = &Address> {
        self.to.iter().chain(&self.cc)
    }

    fn size(&self) -> usize {
        let addresses = self.addressees().map(|a| a.to_string().len() + 2);
        self.subject.len() + addresses.sum::<usize>()
    }
}

/// One entry, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The head of the folder after it.
    pub head: Head,
    /// The entry.
    pub name: EntryName,
    /// Its headers, once it was opened. One that cannot be opened is tried again:
    /// an old key may be restored.
    pub shown: Option<Shown>,
}

impl Kept {
    /// Writes a record. Id and head come first, so that they are found without
    /// reading the rest.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut w = Writer::new();
        w.raw(self.name.id.as_bytes())
            .raw(self.head.as_bytes())
            .text("entry", &self.name);
        let address = |w: &mut Writer, address: &Address| {
            w.text("address", address);
        };
        w.option(self.shown.as_ref(), |w, shown| {
            w.list("addressees", &shown.to, address)
                .list("addressees", &shown.cc, address)
                .text("subject", &shown.subject);
        });
        w.finish()
    }

    /// Reads a record, in the one form that is written.
    pub fn decode(record: &[u8]) -> Result<Kept, CodecError> {
        let mut r = Reader::new(record);
        let (id, head) = (r.array()?, Head::from_bytes(r.array()?));
        let name: EntryName = r.parse("entry")?;
        if name.id != MessageId::from_bytes(id) {
            return Err(CodecError::Value("entry"));
        }
        let shown = r.option("mark of headers", |r| {
            Ok(Shown {
                to: r.list(|r| r.parse("address"))?,
                cc: r.list(|r| r.parse("address"))?,
                subject: r.text("subject")?.to_owned(),
            })
        })?;
        r.finish()?;
        Ok(Kept { head, name, shown })
    }
}

fn id_of(record: &[u8]) -> Option<MessageId> {
    let id = record.get(..16)?.try_into().ok()?;
    Some(MessageId::from_bytes(id))
}

fn head_of(record: &[u8]) -> Option<Head> {
    Some(Head::from_bytes(record.get(16..48)?.try_into().ok()?))
}

/// The entries of one file, and whether it is to be written.
#[derive(Default)]
struct File {
    records: Vec<Vec<u8>>,
    changed: bool,
}

/// A folder as it is remembered.
pub(crate) struct Shelf {
    dir: PathBuf,
    folder: Folder,
    /// Binds a file to its account and folder.
    bound: Vec<u8>,
    key: Rc<Zeroizing<[u8; 32]>>,
    /// The last file, and one before it that was read.
    last: (usize, File),
    read: Option<(usize, File)>,
}

impl Shelf {
    /// Opens what is remembered of a folder of this account; what cannot be
    /// opened is not.
    pub(crate) fn open(
        home: &Home,
        account: &Address,
        folder: Folder,
        key: Rc<Zeroizing<[u8; 32]>>,
    ) -> Result<Shelf, Failure> {
        let mut shelf = Shelf {
            dir: home.cache().join("shelves").join(account.to_string()),
            folder,
            bound: [LABEL, account.to_string().as_bytes(), &[0, folder.code()]].concat(),
            key,
            last: (0, File::default()),
            read: None,
        };
        let name = |at: usize| shelf.name(at);
        let names = private::names(&shelf.dir)?;
        let files = (0..).take_while(|at| names.contains(&name(*at))).count();
        // The last one that opens ends it.
        for at in (0..files).rev() {
            if let Some(records) = shelf.load(at)? {
                let changed = false;
                shelf.last = (at, File { records, changed });
                break;
            }
        }
        Ok(shelf)
    }

    fn name(&self, at: usize) -> String {
        format!("{}.{at:06}", folder_name(self.folder))
    }

    /// Returns how many entries are remembered, from the first on.
    pub(crate) fn count(&self) -> u64 {
        (self.last.0 * FILE + self.last.1.records.len()) as u64
    }

    /// Returns the head after the last of them.
    pub(crate) fn head(&self) -> Head {
        let last = self.last.1.records.last();
        last.and_then(|record| head_of(record)).unwrap_or_default()
    }

    /// Returns the entry with this number; none for one that is not remembered.
    pub(crate) fn kept(&mut self, number: u64) -> Result<Option<Kept>, Failure> {
        let decode = |record: &[u8]| Kept::decode(record).map_err(|_| spoilt());
        self.record(number)?.map(decode).transpose()
    }

    /// Returns the id of the entry with this number.
    pub(crate) fn id(&mut self, number: u64) -> Result<Option<MessageId>, Failure> {
        Ok(self.record(number)?.and_then(id_of))
    }

    /// Returns the head after the entry with this number, 0 for before all.
    pub(crate) fn head_at(&mut self, number: u64) -> Result<Option<Head>, Failure> {
        match number {
            0 => Ok(Some(Head::default())),
            number => Ok(self.record(number)?.and_then(head_of)),
        }
    }

    fn record(&mut self, number: u64) -> Result<Option<&[u8]>, Failure> {
        let Some((at, place)) = place(number).filter(|_| number <= self.count()) else {
            return Ok(None);
        };
        let record = self.file(at)?.records.get(place);
        record.map(|r| Some(r.as_slice())).ok_or_else(spoilt)
    }

    fn file(&mut self, at: usize) -> Result<&mut File, Failure> {
        if at == self.last.0 {
            return Ok(&mut self.last.1);
        }
        if self.read.as_ref().is_none_or(|(read, _)| *read != at) {
            self.save_read()?;
            // All but the last are full.
            let records = self.load(at)?.filter(|records| records.len() == FILE);
            let Some(records) = records else {
                // The next run must not come to it again.
                self.forget()?;
                return Err(spoilt());
            };
            let changed = false;
            self.read = Some((at, File { records, changed }));
        }
        let read = self.read.as_mut().map(|(_, file)| file);
        read.ok_or_else(spoilt)
    }

    /// Appends the next entry.
    pub(crate) fn push(&mut self, kept: &Kept) -> Result<(), Failure> {
        if self.last.1.records.len() == FILE {
            self.save()?;
            self.last = (self.last.0 + 1, File::default());
        }
        let record = kept.encode().map_err(too_long)?;
        self.last.1.records.push(record);
        self.last.1.changed = true;
        Ok(())
    }

    /// Remembers the headers of an entry that is here.
    pub(crate) fn show(&mut self, number: u64, shown: &Shown) -> Result<(), Failure> {
        let Some(mut kept) = self.kept(number)? else {
            return Ok(());
        };
        if shown.size() > LONG {
            return Ok(());
        }
        kept.shown = Some(shown.clone());
        let record = kept.encode().map_err(too_long)?;
        let (at, place) = place(number).ok_or_else(spoilt)?;
        let file = self.file(at)?;
        *file.records.get_mut(place).ok_or_else(spoilt)? = record;
        file.changed = true;
        Ok(())
    }

    /// Tells whether one of these ids is among the entries up to this number.
    pub(crate) fn holds(&mut self, ids: &HashSet<MessageId>, upto: u64) -> Result<bool, Failure> {
        let (mut number, mut found) = (self.count(), false);
        self.each_back(|record| {
            let counts = number <= upto;
            found |= counts && id_of(record).is_some_and(|id| ids.contains(&id));
            number = number.saturating_sub(1);
            !found
        })?;
        Ok(found)
    }

    /// Returns which of these heads the folder has never had.
    pub(crate) fn lacks(&mut self, traces: &[Trace]) -> Result<Vec<Trace>, Failure> {
        let mut lacking = traces.to_vec();
        if !lacking.is_empty() {
            self.each_back(|record| {
                let here = head_of(record).map(|head| Trace::of(&head));
                lacking.retain(|trace| Some(trace) != here.as_ref());
                !lacking.is_empty()
            })?;
        }
        Ok(lacking)
    }

    /// Shows all records, the newest first, as long as they are wanted.
    fn each_back(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> Result<(), Failure> {
        for at in (0..=self.last.0).rev() {
            let records = &self.file(at)?.records;
            if !records.iter().rev().all(|record| show(record)) {
                break;
            }
        }
        Ok(())
    }

    /// Writes what has changed.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        self.save_read()?;
        let (at, file) = std::mem::take(&mut self.last);
        let saved = self.store(at, &file);
        let changed = file.changed && saved.is_err();
        self.last = (at, File { changed, ..file });
        saved
    }

    fn save_read(&mut self) -> Result<(), Failure> {
        match self.read.take() {
            Some((at, file)) => self.store(at, &file),
            None => Ok(()),
        }
    }

    fn store(&self, at: usize, file: &File) -> Result<(), Failure> {
        if !file.changed {
            return Ok(());
        }
        private::make_dir(&self.dir)?;
        let _lock = Lock::wait(&self.dir.join("lock"))?;
        // Another tool may have come further meanwhile: then its file stays.
        if self
            .load(at)?
            .is_some_and(|there| there.len() > file.records.len())
        {
            return Ok(());
        }
        let mut bytes = plain(&file.records).map_err(too_long)?;
        let mut nonce = [0; NONCE_LEN];
        OsRng.fill_bytes(&mut nonce);
        let sealed = self.cipher()?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            self.bound_to(at),
            &mut bytes,
        );
        sealed.map_err(|_| Failure::new(Class::Broken, "a listing could not be sealed"))?;
        let bytes = [&nonce[..], &bytes].concat();
        Ok(private::replace(&self.dir.join(self.name(at)), &bytes)?)
    }

    /// Reads a file; none where there is none that opens.
    fn load(&self, at: usize) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let sealed = private::read(&self.dir.join(self.name(at)), LIMIT)?;
        let Some((nonce, sealed)) = sealed
            .as_deref()
            .and_then(|s| s.split_at_checked(NONCE_LEN))
        else {
            return Ok(None);
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce);
        let nonce = nonce.map_err(|_| spoilt())?;
        let mut bytes = sealed.to_vec();
        let opened = self
            .cipher()?
            .open_in_place(nonce, self.bound_to(at), &mut bytes);
        Ok(opened.ok().and_then(|bytes| records(bytes)))
    }

    fn cipher(&self) -> Result<LessSafeKey, Failure> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.key[..]);
        let key = key.map_err(|_| Failure::new(Class::Broken, "a key of another length"))?;
        Ok(LessSafeKey::new(key))
    }

    fn bound_to(&self, at: usize) -> Aad<Vec<u8>> {
        Aad::from([&self.bound[..], &(at as u64).to_be_bytes()].concat())
    }

    /// Forgets the folder.
    pub(crate) fn forget(&mut self) -> Result<(), Failure> {
        (self.last, self.read) = ((0, File::default()), None);
        let first = self.name(0);
        let of_folder = first.trim_end_matches(char::is_numeric);
        let _lock = match self.dir.exists() {
            true => Lock::wait(&self.dir.join("lock"))?,
            false => return Ok(()),
        };
        // From the end, so that what is left if this is cut off has no gap.
        let mut names = private::names(&self.dir)?;
        names.retain(|name| name.starts_with(of_folder));
        names.sort();
        for name in names.iter().rev() {
            private::remove(&self.dir.join(name))?;
        }
        Ok(())
    }
}

/// Writes what a file has behind its seal: its records.
pub fn plain(records: &[Vec<u8>]) -> Result<Vec<u8>, CodecError> {
    let mut w = Writer::new();
    w.list("records", records, |w, record| {
        w.long("record", record);
    });
    w.finish()
}

/// Reads what a file has behind its seal: 1 to 1024 records, of which nothing is
/// read yet; none for anything else.
pub fn records(plain: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut r = Reader::new(plain);
    let records = r.list(|r| r.long().map(<[u8]>::to_vec)).ok()?;
    r.finish().ok()?;
    // Only the last may have room left; an empty one was never written.
    (1..=FILE).contains(&records.len()).then_some(records)
}

/// Returns in which file the entry with this number is, and where in it.
fn place(number: u64) -> Option<(usize, usize)> {
    let place = usize::try_from(number.checked_sub(1)?).ok()?;
    Some((place / FILE, place % FILE))
}

/// Says that a file that was there is there no more, or opens no more.
fn spoilt() -> Failure {
    Failure::new(Class::Busy, "what was remembered of a folder has changed").hint("run it again")
}

fn too_long(error: CodecError) -> Failure {
    Failure::new(
        Class::Broken,
        format!("an entry cannot be remembered: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::home::Places;

    struct Room {
        dir: tempfile::TempDir,
        home: Home,
    }

    fn room() -> Room {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            smr_home: Some(dir.path().to_owned()),
            ..Places::default()
        };
        let home = Home::new(&places, None).unwrap();
        Room { dir, home }
    }

    impl Room {
        fn open(&self, account: &str, folder: Folder, key: u8) -> Shelf {
            let key = Rc::new(Zeroizing::new([key; 32]));
            Shelf::open(&self.home, &account.parse().unwrap(), folder, key).unwrap()
        }

        fn shelf(&self) -> Shelf {
            self.open("rui@repo.example", Folder::Inbox, 7)
        }

        fn file(&self, at: usize) -> PathBuf {
            let dir = self.dir.path().join("cache/shelves/rui@repo.example");
            dir.join(format!("inbox.{at:06}"))
        }
    }

    fn id(number: u64) -> MessageId {
        let mut bytes = [9; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        MessageId::from_bytes(bytes)
    }

    fn head(number: u64) -> Head {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Head::from_bytes(bytes)
    }

    fn kept(number: u64) -> Kept {
        Kept {
            head: head(number),
            name: EntryName {
                number,
                time: 1_800_000_000,
                id: id(number),
                sender: "ana".parse().unwrap(),
                size: 3,
                sha256: [1; 32],
                cms: [2; 32],
            },
            shown: None,
        }
    }

    fn shown(subject: &str) -> Shown {
        Shown {
            to: vec!["rui@repo.example".parse().unwrap()],
            cc: vec!["eva@repo.example".parse().unwrap()],
            subject: subject.to_owned(),
        }
    }

    fn fill(shelf: &mut Shelf, upto: u64) {
        for number in shelf.count() + 1..=upto {
            shelf.push(&kept(number)).unwrap();
        }
        shelf.save().unwrap();
    }

    #[test]
    fn entries_are_there_again_over_several_files() {
        let room = room();
        assert_eq!((room.shelf().count(), room.shelf().head()), (0, head(0)));
        for upto in [1, 1023, 1024, 1025, 2500] {
            fill(&mut room.shelf(), upto);
            let mut shelf = room.shelf();
            assert_eq!((shelf.count(), shelf.head()), (upto, head(upto)));
            for number in [1, upto / 2 + 1, upto] {
                assert_eq!(shelf.kept(number).unwrap(), Some(kept(number)));
                assert_eq!(shelf.id(number).unwrap(), Some(id(number)));
                assert_eq!(shelf.head_at(number).unwrap(), Some(head(number)));
            }
            assert_eq!(shelf.head_at(0).unwrap(), Some(Head::default()));
            assert_eq!(shelf.kept(0).unwrap(), None);
            assert_eq!(shelf.kept(upto + 1).unwrap(), None);
        }
    }

    #[test]
    fn headers_are_remembered_where_they_are_not_endless() {
        let room = room();
        let mut shelf = room.shelf();
        fill(&mut shelf, 2500);
        for number in [3, 1500, 2500] {
            shelf.show(number, &shown("a\nsubject")).unwrap();
        }
        shelf.show(4, &shown(&"x".repeat(LONG))).unwrap();
        shelf.save().unwrap();
        let mut shelf = room.shelf();
        for (number, there) in [
            (3, true),
            (1500, true),
            (2500, true),
            (4, false),
            (5, false),
        ] {
            let kept = shelf.kept(number).unwrap().unwrap();
            assert_eq!(kept.shown, there.then(|| shown("a\nsubject")), "{number}");
        }
    }

    #[test]
    fn records_have_one_form() {
        let mut kept = kept(3);
        for shown in [None, Some(shown("a subject"))] {
            kept.shown = shown;
            let record = kept.encode().unwrap();
            assert_eq!(Kept::decode(&record), Ok(kept.clone()));
            assert!(Kept::decode(&record[1..]).is_err());
            assert!(Kept::decode(&[&record[..], &[0]].concat()).is_err());
            // The id by which it is found is its own.
            let mut other = record.clone();
            other[0] ^= 1;
            assert!(Kept::decode(&other).is_err());
        }
        let record = kept.encode().unwrap();
        for (count, good) in [(0, false), (1, true), (FILE, true), (FILE + 1, false)] {
            let bytes = plain(&vec![record.clone(); count]).unwrap();
            assert_eq!(records(&bytes).map(|all| all.len()), good.then_some(count));
            assert_eq!(records(&[&bytes[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn what_is_looked_for_is_found_wherever_it_is() {
        let mut shelf = room().shelf();
        fill(&mut shelf, 2500);
        for number in [1, 1024, 2000] {
            let ids = HashSet::from([id(number), id(9999)]);
            assert!(shelf.holds(&ids, 2000).unwrap(), "{number}");
            assert!(!shelf.holds(&ids, number - 1).unwrap(), "{number}");
        }
        let trace = |number| Trace::of(&head(number));
        let lacking = shelf.lacks(&[trace(1), trace(1025), trace(3000)]).unwrap();
        assert_eq!(lacking, [trace(3000)]);
        assert_eq!(shelf.lacks(&[]).unwrap(), []);
    }

    #[test]
    fn nothing_opens_for_others_or_elsewhere() {
        let room = room();
        fill(&mut room.shelf(), 3);
        let bytes = fs::read(room.file(0)).unwrap();
        assert!(!bytes.windows(3).any(|w| w == b"ana"), "it is sealed");
        assert_eq!(room.open("rui@repo.example", Folder::Inbox, 8).count(), 0);
        for (account, file) in [
            ("eva@repo.example", "eva@repo.example/inbox.000000"),
            ("rui@repo.example", "rui@repo.example/sent.000000"),
        ] {
            let path = room.dir.path().join("cache/shelves").join(file);
            private::replace(&path, &bytes).unwrap();
            let folder = match file.contains("sent") {
                true => Folder::Sent,
                false => Folder::Inbox,
            };
            assert_eq!(room.open(account, folder, 7).count(), 0);
        }
        // Nor in another place of the same folder.
        private::replace(&room.file(1), &bytes).unwrap();
        assert_eq!(room.shelf().count(), 3);
    }

    #[test]
    fn damage_is_no_more_than_a_loss() {
        let room = room();
        fill(&mut room.shelf(), 2500);
        let damage = |at| {
            let mut bytes = fs::read(room.file(at)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(room.file(at), bytes).unwrap();
        };
        damage(2);
        assert_eq!(room.shelf().count(), 2048);
        damage(0);
        let mut shelf = room.shelf();
        assert!(shelf.kept(2000).unwrap().is_some());
        assert_eq!(shelf.kept(1).unwrap_err().class, Class::Busy);
        // It is said once, and is gone.
        assert_eq!((shelf.count(), room.shelf().count()), (0, 0));
        // An old file that opens, but is not full, is the same.
        fill(&mut room.shelf(), 5);
        let old = fs::read(room.file(0)).unwrap();
        fill(&mut room.shelf(), 2000);
        fs::write(room.file(0), old).unwrap();
        assert_eq!(room.shelf().kept(1).unwrap_err().class, Class::Busy);
        assert_eq!(room.shelf().count(), 0);
        fs::write(room.file(0), b"short").unwrap();
        assert_eq!(room.shelf().count(), 0);
    }

    #[test]
    fn a_tool_that_is_behind_takes_nothing_back() {
        let room = room();
        let mut behind = room.shelf();
        fill(&mut behind, 5);
        fill(&mut room.shelf(), 8);
        behind.show(5, &shown("late")).unwrap();
        behind.save().unwrap();
        assert_eq!(room.shelf().count(), 8);
    }
}
