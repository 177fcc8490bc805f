//! How far a message has come: fetched, read, removed.
//!
//! Shows nobody a state that a power cut could take back, and takes none back.

use crate::index::Item;
use crate::layout::{Shelf, State};
use crate::mailbox::{Mailbox, MailboxError, Pick, position};
use crate::maker::Maker;

impl Mailbox {
    /// Raises the state of the message meant; returns once that would survive
    /// a power cut. A state that is as high already stays.
    pub(crate) fn raise(
        &self,
        maker: &Maker,
        pick: Pick,
        state: State,
    ) -> Result<(), MailboxError> {
        maker.wait(|| self.is_named(pick))?;
        let moved = self.with(|index| {
            let position = position(index, pick).ok_or_else(|| self.no_message())?;
            let item = index.item_mut(position).ok_or_else(|| self.no_message())?;
            if item.lies.is_removed() {
                return Err(self.no_message());
            }
            if item.state >= state {
                return Ok(None);
            }
            self.move_up(item, state)?;
            Ok(Some(position))
        })?;
        let Some(position) = moved else {
            return Ok(());
        };
        self.sync(Shelf::Cur)?;
        self.with(|index| {
            let item = index.item_mut(position).ok_or_else(|| self.no_message())?;
            item.state = item.state.max(state);
            if item.old_name {
                // Only now: before the sync a power cut could have taken both.
                self.disk.remove(&self.file(&item.entry, State::New))?;
                item.old_name = false;
            }
            Ok(())
        })
    }

    /// Removes the message meant, and leaves a tombstone, so that numbers and
    /// heads stay as they are; returns once that would survive a power cut.
    /// One that is removed already stays so.
    pub(crate) fn remove(&self, maker: &Maker, pick: Pick) -> Result<(), MailboxError> {
        maker.wait(|| self.is_named(pick))?;
        let (_, state) = self.entry(pick)?.ok_or_else(|| self.no_message())?;
        if state.is_removed() {
            return Ok(());
        }
        // A file of its own: the message may lie in other folders too.
        let tombstone = self.disk.write_synced(&[])?;
        let (position, state) = self.with(|index| {
            let position = position(index, pick).ok_or_else(|| self.no_message())?;
            let item = index.item_mut(position).ok_or_else(|| self.no_message())?;
            if !item.lies.is_removed() {
                let state = item.lies.removed();
                self.disk
                    .link(tombstone.path(), &self.file(&item.entry, state))?;
                item.lies = state;
            }
            Ok((position, item.lies))
        })?;
        self.sync(state.shelf())?;
        self.with(|index| {
            index.bury(position, state);
            let item = index.item_mut(position).ok_or_else(|| self.no_message())?;
            // Only now: before the sync a power cut could have taken both.
            for before in State::PRESENT {
                self.disk.remove(&self.file(&item.entry, before))?;
            }
            item.old_name = false;
            Ok(())
        })
    }

    fn move_up(&self, item: &mut Item, state: State) -> Result<(), MailboxError> {
        if item.lies >= state {
            return Ok(());
        }
        let (from, to) = (
            self.file(&item.entry, item.lies),
            self.file(&item.entry, state),
        );
        if item.lies.shelf() == state.shelf() {
            self.disk.rename(&from, &to)?;
        } else {
            // A second name, not a rename: two directories are two syncs, and
            // a power cut between them must not lose the message.
            self.disk.link(&from, &to)?;
            item.old_name = true;
        }
        item.lies = state;
        Ok(())
    }
}
