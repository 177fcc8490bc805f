//! The index of one folder in memory: entries in order, their heads, who has
//! what id.
//!
//! Never touches the disk. It follows from the file names alone, so it may be
//! thrown away once all of them are made.

use std::collections::{BTreeSet, HashMap};

use smr_name::{EntryName, Head, IdPrefix, MailboxName, MessageId};

use crate::durable::Content;
use crate::layout::State;

/// One message of a folder.
pub(crate) struct Item {
    pub(crate) entry: EntryName,
    /// The head of the folder after this entry.
    pub(crate) head: Head,
    /// Where the file lies; may run ahead of `state`.
    pub(crate) lies: State,
    /// What would survive a power cut, and so what others are told.
    pub(crate) state: State,
    /// The file still has its name in `new` besides the one in `cur`.
    pub(crate) old_name: bool,
}

/// The messages of a folder by rising number. The first `settled` of them are
/// on disk for good; the others are being deposited and shown to nobody, lest
/// a reader keep a head that a power cut takes back.
#[derive(Default)]
pub(crate) struct Index {
    items: Vec<Item>,
    by_id: BTreeSet<(MessageId, usize)>,
    settled: usize,
    /// Positions that are on disk while one before them is not yet.
    ready: BTreeSet<usize>,
    /// One of the others will never be on disk.
    broken: bool,
    /// Where those are that have no name in the folder yet.
    held: HashMap<usize, Content>,
    usage: Usage,
    /// The same for each who has deposited here.
    senders: HashMap<MailboxName, Usage>,
}

/// How many messages there are, and their size; whether or not others share
/// the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages, those being deposited included, removed ones not.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Usage {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        Usage {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn add(&mut self, size: u64) {
        *self = self.plus(Usage {
            count: 1,
            bytes: size,
        });
    }

    fn take(&mut self, size: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

impl Index {
    /// Makes an empty one that so many entries fit.
    pub(crate) fn with_room(entries: usize) -> Index {
        Index {
            items: Vec::with_capacity(entries),
            ..Index::default()
        }
    }

    /// Appends an entry, not settled; returns its position.
    pub(crate) fn push(&mut self, mut entry: EntryName, state: State) -> usize {
        let position = self.items.len();
        let before = self.items.last().map(|item| item.head).unwrap_or_default();
        self.by_id.insert((entry.id, position));
        // One name in memory for all that somebody sent.
        if let Some((known, _)) = self.senders.get_key_value(&entry.sender) {
            entry.sender = known.clone();
        }
        if !state.is_removed() {
            self.usage.add(entry.size);
            let sender = self.senders.entry(entry.sender.clone()).or_default();
            sender.add(entry.size);
        }
        // By an eighth: doubled, as much memory again would lie idle.
        if position == self.items.capacity() {
            self.items.reserve_exact(position / 8 + 4);
        }
        self.items.push(Item {
            head: before.extend(&entry),
            entry,
            lies: state,
            state,
            old_name: false,
        });
        position
    }

    /// Marks the entry at `position` as removed; one that was stays as it is.
    pub(crate) fn bury(&mut self, position: usize, state: State) {
        let Some(item) = self.items.get_mut(position) else {
            return;
        };
        if !item.state.is_removed() {
            item.state = state;
            self.usage.take(item.entry.size);
            if let Some(sender) = self.senders.get_mut(&item.entry.sender) {
                sender.take(item.entry.size);
            }
        }
    }

    /// Says that the entry at `position` is on disk. It is settled once all
    /// before it are; tells whether any entry became so.
    pub(crate) fn settle(&mut self, position: usize) -> bool {
        let before = self.settled;
        self.ready.insert(position);
        while self.ready.remove(&self.settled) {
            self.settled += 1;
        }
        self.settled > before
    }

    /// Says that an entry that is not settled will never be.
    pub(crate) fn give_up(&mut self) {
        self.broken = true;
    }

    /// Says where an entry is as long as it has no name.
    pub(crate) fn hold(&mut self, position: usize, content: Content) {
        self.held.insert(position, content);
    }

    /// Says that it has one.
    pub(crate) fn drop_held(&mut self, position: usize) {
        self.held.remove(&position);
    }

    /// Returns where an entry is that has no name; none where it has.
    pub(crate) fn held(&self, position: usize) -> Option<&Content> {
        self.held.get(&position)
    }

    /// Tells whether what is not settled may never be.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Tells whether the entry at `position` is on disk for good.
    pub(crate) fn is_settled(&self, position: usize) -> bool {
        position < self.settled
    }

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether all of it follows from the names in the folder, and would
    /// after a power cut.
    pub(crate) fn is_at_rest(&self) -> bool {
        let settled = self.settled == self.items.len() && !self.broken;
        let rests = |item: &Item| item.lies == item.state && !item.old_name;
        settled && self.held.is_empty() && self.items.iter().all(rests)
    }

    /// Returns the entry at a position that `push` returned.
    pub(crate) fn item(&self, position: usize) -> Option<&Item> {
        self.items.get(position)
    }

    pub(crate) fn item_mut(&mut self, position: usize) -> Option<&mut Item> {
        self.items.get_mut(position)
    }

    /// Returns the last entry, settled or not.
    pub(crate) fn last(&self) -> Option<&Item> {
        self.items.last()
    }

    /// Returns what others may see, by rising number.
    pub(crate) fn shown(&self) -> &[Item] {
        self.items.get(..self.settled).unwrap_or_default()
    }

    /// Returns the head after the last entry that others may see.
    pub(crate) fn head(&self) -> Head {
        self.shown()
            .last()
            .map(|item| item.head)
            .unwrap_or_default()
    }

    /// Returns the head after the last shown entry of at most this number.
    pub(crate) fn head_upto(&self, number: u64) -> Head {
        let passed = self.shown().len() - self.shown_after(number).len();
        let last = passed.checked_sub(1).and_then(|last| self.items.get(last));
        last.map(|item| item.head).unwrap_or_default()
    }

    /// Returns how much is here.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns how much of it is of one sender.
    pub(crate) fn usage_by(&self, sender: &MailboxName) -> Usage {
        self.senders.get(sender).copied().unwrap_or_default()
    }

    /// Returns the positions of every entry with this id, settled or not, by
    /// rising number.
    pub(crate) fn with_id(&self, id: MessageId) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.by_id
            .range((id, 0)..=(id, usize::MAX))
            .map(|&(_, position)| position)
    }

    /// Returns the position of the last shown entry with this id and, if
    /// given, this sender.
    pub(crate) fn shown_with_id(
        &self,
        id: MessageId,
        sender: Option<&MailboxName>,
    ) -> Option<usize> {
        self.with_id(id).rev().find(|&position| {
            let item = self.shown().get(position);
            item.is_some_and(|item| sender.is_none_or(|sender| item.entry.sender == *sender))
        })
    }

    /// Returns the position of the shown entry with this number.
    pub(crate) fn shown_with_number(&self, number: u64) -> Option<usize> {
        self.shown()
            .binary_search_by_key(&number, |item| item.entry.number)
            .ok()
    }

    /// Returns the shown entries after number `after`.
    pub(crate) fn shown_after(&self, after: u64) -> &[Item] {
        let first = self
            .shown()
            .partition_point(|item| item.entry.number <= after);
        self.shown().get(first..).unwrap_or_default()
    }

    /// Returns the ids of shown entries that begin so and are not removed, each
    /// once.
    pub(crate) fn ids(&self, prefix: &IdPrefix) -> Vec<MessageId> {
        let padded = format!("{prefix:0<32}");
        let first = padded.parse().unwrap_or(MessageId::from_bytes([0; 16]));
        let mut ids: Vec<_> = self
            .by_id
            .range((first, 0)..)
            .take_while(|(id, _)| prefix.matches(id))
            .filter(|&&(_, position)| {
                let item = self.shown().get(position);
                item.is_some_and(|item| !item.state.is_removed())
            })
            .map(|&(id, _)| id)
            .collect();
        ids.dedup();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Usage};
    use crate::durable::Content;
    use crate::layout::State;
    use smr_name::{EntryName, Head, MessageId};

    fn entry(number: u64, id: u8, sender: &str) -> EntryName {
        EntryName {
            number,
            time: 5,
            id: MessageId::from_bytes([id; 16]),
            sender: sender.parse().unwrap(),
            size: 10,
            sha256: [1; 32],
            cms: [2; 32],
        }
    }

    #[test]
    fn only_settled_entries_are_shown() {
        let mut index = Index::default();
        let first = index.push(entry(1, 1, "rui"), State::New);
        let second = index.push(entry(2, 2, "rui"), State::New);
        assert!(index.shown().is_empty());
        assert_eq!(index.head(), Head::default());
        assert_eq!(
            index.shown_with_id(MessageId::from_bytes([1; 16]), None),
            None
        );
        index.settle(first);
        assert_eq!(index.head(), Head::default().extend(&entry(1, 1, "rui")));
        assert_eq!(index.shown_with_number(2), None);
        assert!(index.settle(second));
        assert!(!index.settle(first));
        assert_eq!(index.shown().len(), 2);
        assert_eq!(index.shown_with_number(2), Some(second));
        let usage = |count, bytes| Usage { count, bytes };
        assert_eq!(index.usage(), usage(2, 20));
        for _ in 0..2 {
            index.bury(first, State::RemovedNew);
            assert_eq!(index.usage(), usage(1, 10));
        }
        assert_eq!(index.usage_by(&"rui".parse().unwrap()), usage(1, 10));
        assert_eq!(index.usage_by(&"ana".parse().unwrap()), Usage::default());
        assert_eq!(index.shown().len(), 2);
        index.push(entry(3, 3, "rui"), State::RemovedRead);
        assert_eq!(index.usage(), usage(1, 10));
    }

    #[test]
    fn little_memory_lies_idle() {
        let mut index = Index::with_room(100);
        assert!((100..104).contains(&index.items.capacity()));
        let full = index.items.capacity() as u64;
        for number in 1..=full {
            index.push(entry(number, 1, "rui"), State::New);
        }
        assert_eq!(index.items.capacity() as u64, full);
        index.push(entry(full + 1, 1, "rui"), State::New);
        // An eighth more, and four.
        assert!((112..120).contains(&index.items.capacity()));
    }

    #[test]
    fn it_is_at_rest_when_all_follows_from_the_names() {
        let mut index = Index::default();
        assert!(index.is_at_rest() && index.last().is_none());
        let [first, second] = [1, 2].map(|n| index.push(entry(n, n as u8, "rui"), State::New));
        assert_eq!(index.len(), 2);
        assert_eq!(index.last().map(|item| item.entry.number), Some(2));
        index.settle(first);
        assert!(index.is_settled(first) && !index.is_settled(second));
        assert!(!index.is_at_rest());
        index.settle(second);
        assert!(index.is_settled(second) && index.is_at_rest());
        // It has no name yet; then two; then it is told of as it was before.
        index.hold(second, Content::Held(b"text".as_slice().into()));
        assert!(index.held(second).is_some() && index.held(first).is_none());
        assert!(!index.is_at_rest());
        index.drop_held(second);
        assert!(index.held(second).is_none() && index.is_at_rest());
        index.item_mut(first).unwrap().old_name = true;
        assert!(!index.is_at_rest());
        index.item_mut(first).unwrap().old_name = false;
        index.item_mut(first).unwrap().lies = State::Read;
        assert!(!index.is_at_rest());
        index.item_mut(first).unwrap().state = State::Read;
        assert!(index.is_at_rest() && index.item(2).is_none());
        assert_eq!(index.item(first).map(|item| item.state), Some(State::Read));
        assert!(!index.is_broken());
        index.give_up();
        assert!(index.is_broken() && !index.is_at_rest());
    }

    #[test]
    fn gaps_do_not_confuse_the_search() {
        let mut index = Index::default();
        for number in [2, 5, 9] {
            index.push(entry(number, number as u8, "rui"), State::New);
        }
        // The last is on disk first: nobody sees it before the others.
        for (position, shown) in [(2, 0), (0, 1), (1, 3)] {
            index.settle(position);
            assert_eq!(index.shown().len(), shown);
        }
        assert_eq!(index.shown_with_number(5), Some(1));
        assert_eq!(index.shown_with_number(4), None);
        assert_eq!(index.shown_after(5).len(), 1);
        let heads: Vec<_> = index.shown().iter().map(|item| item.head).collect();
        for (upto, head) in [
            (1, None),
            (2, Some(0)),
            (4, Some(0)),
            (5, Some(1)),
            (9, Some(2)),
        ] {
            let head = head.map_or(Head::default(), |at: usize| heads[at]);
            assert_eq!(index.head_upto(upto), head);
        }
        assert_eq!(index.shown_after(0).len(), 3);
        assert!(index.shown_after(u64::MAX).is_empty());
    }

    #[test]
    fn ids_are_found_by_prefix_and_sender() {
        let mut index = Index::default();
        index.push(entry(1, 0xab, "rui"), State::New);
        index.push(entry(2, 0xab, "ana"), State::New);
        index.push(entry(3, 0xac, "ana"), State::New);
        (0..3).for_each(|position| {
            index.settle(position);
        });
        let id = MessageId::from_bytes([0xab; 16]);
        assert_eq!(index.shown_with_id(id, None), Some(1));
        assert_eq!(
            index.shown_with_id(id, Some(&"rui".parse().unwrap())),
            Some(0)
        );
        assert_eq!(index.shown_with_id(id, Some(&"eva".parse().unwrap())), None);
        assert_eq!(index.ids(&"abababab".parse().unwrap()), [id]);
        assert_eq!(index.ids(&id.to_string().parse().unwrap()), [id]);
        assert!(index.ids(&"abababac".parse().unwrap()).is_empty());
        index.bury(0, State::RemovedNew);
        index.bury(1, State::RemovedNew);
        assert!(index.ids(&"abababab".parse().unwrap()).is_empty());
        assert_eq!(index.shown_with_id(id, None), Some(1));
        assert!(index.ids(&"ffffffff".parse().unwrap()).is_empty());
    }
}
