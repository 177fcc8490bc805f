//! Where things lie in a store: paths and file names, all relative to its root.
//!
//! Never touches the disk. Paths are built from checked names only, so no
//! name can lead out of its folder.

use smr_name::{EntryName, MailboxName};

use crate::keys::KeyName;

/// The file that makes a directory a store, and says which format it has.
pub(crate) const FORMAT: &str = "format";
/// What `FORMAT` contains.
pub(crate) const FORMAT_TEXT: &[u8] = b"smr store 2\n";
/// What it contained before removal was known; opening rewrites it.
pub(crate) const FORMAT_BEFORE: &[u8] = b"smr store 1\n";
/// The file whose lock the one smrd of this store holds.
pub(crate) const LOCK: &str = "lock";
/// What is not whole yet; emptied whenever the store is opened.
pub(crate) const TMP: &str = "tmp";
/// Small messages whose files may not be on disk yet.
pub(crate) const JOURNAL: &str = "journal";
/// One directory for each account.
pub(crate) const ACCOUNTS: &str = "accounts";
/// All names that the store has in its directory.
pub(crate) const ROOT: [&str; 5] = [ACCOUNTS, FORMAT, JOURNAL, LOCK, TMP];
/// The account record within an account's directory; last to be written.
pub(crate) const RECORD: &str = "record";

/// The directories of an account, parents first.
pub(crate) const TREE: [&str; 12] = [
    "inbox",
    "inbox/tmp",
    "inbox/new",
    "inbox/cur",
    "sent",
    "sent/tmp",
    "sent/cur",
    "receipts",
    "receipts/tmp",
    "receipts/new",
    "receipts/cur",
    "keys",
];

/// One of the three message folders of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Folder {
    /// What others deposited.
    Inbox,
    /// The account's own copies.
    Sent,
    /// What readers gave for messages this account sent.
    Receipts,
}

/// How far a message has come with its reader; rises, never falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Deposited, not fetched: in `new`.
    New,
    /// Fetched, not read: in `cur`, ends in `:2,`.
    Fetched,
    /// Read: in `cur`, ends in `:2,S`.
    Read,
    /// Removed, never fetched: an empty file in `new`, ends in `:2,T`.
    RemovedNew,
    /// Removed, fetched and not read: an empty file in `cur`, ends in `:2,T`.
    RemovedFetched,
    /// Removed, read: an empty file in `cur`, ends in `:2,ST`.
    RemovedRead,
}

impl State {
    /// The states of a message that is there, lowest first.
    pub(crate) const PRESENT: [State; 3] = [State::New, State::Fetched, State::Read];

    /// Tells whether only a tombstone is left.
    pub fn is_removed(self) -> bool {
        self > State::Read
    }

    /// Returns how far the message had come, whether or not it was removed
    /// since.
    pub fn reached(self) -> State {
        match self {
            State::New | State::RemovedNew => State::New,
            State::Fetched | State::RemovedFetched => State::Fetched,
            State::Read | State::RemovedRead => State::Read,
        }
    }

    /// Returns the state that a removal leads to.
    pub(crate) fn removed(self) -> State {
        match self.reached() {
            State::New => State::RemovedNew,
            State::Fetched => State::RemovedFetched,
            _ => State::RemovedRead,
        }
    }
}

impl Folder {
    /// Every folder.
    pub const ALL: [Folder; 3] = [Folder::Inbox, Folder::Sent, Folder::Receipts];

    /// Returns its name, which is that of its directory.
    pub fn as_str(self) -> &'static str {
        match self {
            Folder::Inbox => "inbox",
            Folder::Sent => "sent",
            Folder::Receipts => "receipts",
        }
    }

    /// Returns the state of what has just been placed here: authors have read
    /// what they sent.
    pub(crate) fn first_state(self) -> State {
        match self {
            Folder::Sent => State::Read,
            Folder::Inbox | Folder::Receipts => State::New,
        }
    }

    /// Returns the subdirectories that hold messages.
    pub(crate) fn shelves(self) -> &'static [Shelf] {
        match self {
            Folder::Sent => &[Shelf::Cur],
            Folder::Inbox | Folder::Receipts => &[Shelf::New, Shelf::Cur],
        }
    }
}

/// The two subdirectories of a maildir that hold messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    New,
    Cur,
}

impl State {
    pub(crate) fn shelf(self) -> Shelf {
        match self.reached() {
            State::New => Shelf::New,
            _ => Shelf::Cur,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            State::New => "",
            State::Fetched => ":2,",
            State::Read => ":2,S",
            State::RemovedNew | State::RemovedFetched => ":2,T",
            State::RemovedRead => ":2,ST",
        }
    }
}

/// Returns the path of a file of the journal, of which there are two.
pub(crate) fn journal(file: usize) -> String {
    format!("{JOURNAL}/{file}")
}

/// Returns the name beside the journal of a large message, which is not in it.
pub(crate) fn large(number: u64) -> String {
    format!("{JOURNAL}/large.{number}")
}

/// Tells whether a path is one that [`large`] returns.
pub(crate) fn is_large(path: &str) -> bool {
    let number = path
        .rsplit('.')
        .next()
        .and_then(|number| number.parse().ok());
    number.is_some_and(|number| large(number) == path)
}

/// Returns the directory of an account.
pub(crate) fn account(name: &MailboxName) -> String {
    format!("{ACCOUNTS}/{name}")
}

/// Returns the path of an account's record.
pub(crate) fn record(name: &MailboxName) -> String {
    format!("{ACCOUNTS}/{name}/{RECORD}")
}

/// Returns the directory of an account's sealed keys.
pub(crate) fn keys(name: &MailboxName) -> String {
    format!("{ACCOUNTS}/{name}/keys")
}

/// Returns the path of a sealed key: device in hexadecimal, epoch in decimal.
pub(crate) fn key(name: &MailboxName, key: &KeyName) -> String {
    let device: String = key.device.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}/{device}.{}", keys(name), key.epoch)
}

/// Reads the name of a sealed key; none for a stranger.
pub(crate) fn parse_key(name: &str) -> Option<KeyName> {
    let (hex, epoch) = name.split_once('.')?;
    let mut device = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, digits) in device.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    let number: u64 = epoch.parse().ok()?;
    // One spelling only: no sign, no leading zero.
    (number.to_string() == epoch).then_some(KeyName {
        device,
        epoch: number,
    })
}

/// Returns the directory of a shelf.
pub(crate) fn shelf(name: &MailboxName, folder: Folder, shelf: Shelf) -> String {
    let last = match shelf {
        Shelf::New => "new",
        Shelf::Cur => "cur",
    };
    format!("{ACCOUNTS}/{name}/{}/{last}", folder.as_str())
}

/// Returns the path of a message in this state.
pub(crate) fn file(name: &MailboxName, folder: Folder, entry: &EntryName, state: State) -> String {
    let directory = shelf(name, folder, state.shelf());
    format!("{directory}/{entry}{}", state.suffix())
}

/// Reads the name of a file found on a shelf; none for a stranger.
pub(crate) fn parse(shelf: Shelf, name: &str) -> Option<(EntryName, State)> {
    let states: &[State] = match shelf {
        Shelf::New => &[State::RemovedNew, State::New],
        Shelf::Cur => &[
            State::RemovedRead,
            State::RemovedFetched,
            State::Read,
            State::Fetched,
        ],
    };
    // No suffix ends in another but the empty one, which is tried last.
    let (unique, state) = states
        .iter()
        .find_map(|&state| Some((name.strip_suffix(state.suffix())?, state)))?;
    Some((unique.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::{Folder, Shelf, State, file, parse};
    use smr_name::EntryName;

    const NAME: &str = "000000000001.01800000000.00ff0123456789abcdef0123456789ab.rui,S=5,\
        H=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE,C=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";

    #[test]
    fn names_come_back_with_their_state() {
        let entry: EntryName = NAME.parse().unwrap();
        let ana = "ana".parse().unwrap();
        for state in State::PRESENT {
            for state in [state, state.removed()] {
                let path = file(&ana, Folder::Inbox, &entry, state);
                let name = path.rsplit('/').next().unwrap();
                assert_eq!(parse(state.shelf(), name), Some((entry.clone(), state)));
            }
            assert!(state.removed() > State::Read && state.removed().is_removed());
            assert_eq!(state.removed().reached(), state);
        }
        assert_eq!(
            file(&ana, Folder::Sent, &entry, State::Read),
            format!("accounts/ana/sent/cur/{NAME}:2,S")
        );
    }

    #[test]
    fn key_names_come_back_and_have_one_spelling() {
        let name = super::KeyName {
            device: [0xa5; 32],
            epoch: 60,
        };
        let path = super::key(&"ana".parse().unwrap(), &name);
        let file = path.rsplit('/').next().unwrap();
        assert_eq!(super::parse_key(file), Some(name));
        let hex = "a5".repeat(32);
        for other in [
            "",
            ".",
            "60",
            &hex,
            &format!("{hex}."),
            &format!("{hex}.06"),
            &format!("{hex}.+6"),
            &format!("{}.6", hex.to_uppercase()),
            &format!("{}.6", &hex[2..]),
            "../../record",
        ] {
            assert_eq!(super::parse_key(other), None, "{other}");
        }
    }

    #[test]
    fn names_on_the_wrong_shelf_are_strangers() {
        assert_eq!(parse(Shelf::Cur, NAME), None);
        assert_eq!(parse(Shelf::New, &format!("{NAME}:2,")), None);
        assert_eq!(parse(Shelf::New, &format!("{NAME}:2,ST")), None);
        for suffix in [":2,RS", ":2,SS", ":1,", ":2,S ", ":2,TS", ":2,TT"] {
            assert_eq!(parse(Shelf::Cur, &format!("{NAME}{suffix}")), None);
        }
        for name in ["", ".", "..", ":2,", ":2,S", "README"] {
            assert_eq!(parse(Shelf::New, name), None);
            assert_eq!(parse(Shelf::Cur, name), None);
        }
    }
}
