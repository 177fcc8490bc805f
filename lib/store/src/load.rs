//! How a folder's index is read from its file names.
//!
//! Writes nothing; removes only the second name of a message that has two.

use smr_name::EntryName;

use crate::durable::DiskError;
use crate::finding::Why;
use crate::index::Index;
use crate::layout::{self, State};
use crate::mailbox::Mailbox;

impl Mailbox {
    /// Reads the folder. What it shows was synced when the store was opened, or
    /// was so before the folder was forgotten, or is in the journal: nothing is
    /// placed or marked in a folder that is not loaded.
    pub(crate) fn load(&self) -> Result<Index, DiskError> {
        let mut found = Vec::new();
        for &shelf in self.folder.shelves() {
            let directory = layout::shelf(&self.account, self.folder, shelf);
            for name in self.disk.names(&directory)? {
                let parsed = name.name.as_ref().ok();
                match parsed.and_then(|text| layout::parse(shelf, text)) {
                    Some(entry) if name.is_file() => found.push(entry),
                    Some(_) => self.report(&directory, &name.shown(), Why::Kind),
                    None => self.report(&directory, &name.shown(), Why::Name),
                }
            }
        }
        // The higher state of two names of one message comes first.
        found.sort_by_key(|(e, state)| (e.number, *e.id.as_bytes(), std::cmp::Reverse(*state)));
        Ok(self.order(found))
    }

    fn order(&self, found: Vec<(EntryName, State)>) -> Index {
        let mut index = Index::with_room(found.len());
        for (entry, state) in found {
            let before = index.last().map(|item| &item.entry);
            let number = before.map_or(0, |before| before.number);
            if before == Some(&entry) {
                self.drop_old_name(&entry, state);
                continue;
            }
            if number == entry.number {
                self.report_entry(&entry, state, Why::NumberTwice);
                continue;
            }
            if number + 1 != entry.number {
                self.report_entry(&entry, state, Why::NumberMissing);
            }
            let position = index.push(entry, state);
            index.settle(position);
        }
        index
    }

    // A mark was interrupted after its new name was made, before the old one
    // was removed; opening the store has synced the new one.
    fn drop_old_name(&self, entry: &EntryName, state: State) {
        if self.disk.remove(&self.file(entry, state)).is_err() {
            self.report_entry(entry, state, Why::OldName);
        }
    }

    fn report_entry(&self, entry: &EntryName, state: State, why: Why) {
        self.findings.add(self.file(entry, state), why);
    }

    fn report(&self, directory: &str, name: &str, why: Why) {
        self.findings.add(format!("{directory}/{name}"), why);
    }
}
