//! One folder: its names, their order, and what each stands for.
//!
//! smrd may move names while this looks: what is wrong is wrong only if it
//! still is at a second look.

use std::collections::BTreeMap;

use smr_name::{EntryName, MailboxName};

use super::Fsck;
use crate::durable::record::Target;
use crate::finding::{Finding, Why};
use crate::layout::{self, Folder, Shelf, State};

/// What the names of a folder say.
#[derive(Default)]
struct Look {
    /// Every entry with its highest state, by number and id.
    entries: BTreeMap<(u64, [u8; 16]), (EntryName, State)>,
    findings: Vec<Finding>,
    leftovers: u64,
}

impl Fsck<'_> {
    pub(super) fn folder(&mut self, name: &MailboxName, folder: Folder) {
        let first = self.look(name, folder);
        let (look, lasting) = match first.findings.is_empty() {
            true => (first, Vec::new()),
            false => {
                // Names are made in any order: where one is missing, what came
                // before it has been in the journal for as long.
                self.held();
                let again = self.look(name, folder);
                let both = |finding: &Finding| again.findings.contains(finding);
                let lasting = first.findings.into_iter().filter(both).collect();
                (again, lasting)
            }
        };
        for Finding { path, why } in lasting {
            self.tell(path, why);
        }
        self.summary.leftovers += look.leftovers;
        for (entry, state) in look.entries.values() {
            self.entry(name, folder, entry, *state);
        }
    }

    fn look(&mut self, name: &MailboxName, folder: Folder) -> Look {
        let mut look = Look::default();
        // In the order of a message's life: one that moves meanwhile is seen
        // once at least.
        for &shelf in folder.shelves() {
            self.shelf(name, folder, shelf, &mut look);
        }
        self.unused(name, folder, &mut look);
        self.order(name, folder, &mut look);
        look
    }

    fn shelf(&mut self, name: &MailboxName, folder: Folder, shelf: Shelf, look: &mut Look) {
        let directory = layout::shelf(name, folder, shelf);
        let found = match self.disk.names(&directory) {
            Ok(found) => found,
            Err(error) => {
                let why = super::reason(&error);
                look.findings.push(Finding {
                    path: directory,
                    why,
                });
                return;
            }
        };
        for file in found {
            let parsed = file.name.as_ref().ok();
            let parsed = parsed.and_then(|text| layout::parse(shelf, text));
            let why = match parsed {
                Some((entry, state)) if file.is_file() => {
                    let at = (entry.number, *entry.id.as_bytes());
                    let there = look.entries.get(&at);
                    look.leftovers += u64::from(there.is_some_and(|(e, _)| *e == entry));
                    if there.is_none_or(|(_, other)| state > *other) {
                        look.entries.insert(at, (entry, state));
                    }
                    continue;
                }
                Some(_) => Why::Kind,
                None => Why::Name,
            };
            let path = format!("{directory}/{}", file.shown());
            look.findings.push(Finding { path, why });
        }
    }

    // A maildir has it; smrd does not use it.
    fn unused(&mut self, name: &MailboxName, folder: Folder, look: &mut Look) {
        let directory = format!("{}/{}/tmp", layout::account(name), folder.as_str());
        match self.disk.names(&directory) {
            Ok(found) => look.findings.extend(found.iter().map(|file| Finding {
                path: format!("{directory}/{}", file.shown()),
                why: Why::Name,
            })),
            Err(error) => look.findings.push(Finding {
                path: directory,
                why: super::reason(&error),
            }),
        }
    }

    fn order(&self, name: &MailboxName, folder: Folder, look: &mut Look) {
        let mut before: Option<&EntryName> = None;
        for (entry, state) in look.entries.values() {
            let (number, time) = before.map_or((0, 0), |b| (b.number, b.time));
            let wrong = match entry.number {
                n if n == number => Some(Why::NumberTwice),
                n if n != number + 1 && !self.is_held(name, folder, number + 1..n) => {
                    Some(Why::NumberMissing)
                }
                _ if entry.time < time => Some(Why::TimeFalls),
                _ => None,
            };
            look.findings.extend(wrong.map(|why| Finding {
                path: layout::file(name, folder, entry, *state),
                why,
            }));
            before = Some(entry);
        }
    }

    /// Tells whether the journal holds all entries with these numbers.
    fn is_held(&self, name: &MailboxName, folder: Folder, numbers: std::ops::Range<u64>) -> bool {
        let held = self
            .journal
            .iter()
            .filter(|t| t.mailbox == *name && t.folder == folder)
            .filter(|t| numbers.contains(&t.entry.number))
            .count();
        held as u64 == numbers.end - numbers.start
    }

    fn entry(&mut self, name: &MailboxName, folder: Folder, entry: &EntryName, state: State) {
        match state.is_removed() {
            true => self.summary.removed += 1,
            false => self.summary.messages += 1,
        }
        let own = folder == Folder::Sent;
        let possible = match own {
            true => entry.sender == *name,
            false => self.accounts.contains(&entry.sender) || self.is_new(&entry.sender),
        };
        let target = Target {
            mailbox: name.clone(),
            folder,
            entry: entry.clone(),
        };
        let wrong = match possible {
            false => Some((state, Why::Sender)),
            // The next start makes its file.
            true if self.journal.contains(&target) => None,
            true => self.content(&target, state),
        };
        if let Some((state, why)) = wrong {
            self.tell(layout::file(name, folder, entry, state), why);
        }
    }

    // An account may have been made since this began.
    fn is_new(&self, name: &MailboxName) -> bool {
        matches!(self.disk.open_file(&layout::record(name)), Ok(Some(_)))
    }
}
