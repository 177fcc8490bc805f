//! Replaying the journal: what was in it alone when smrd was killed or the
//! power went gets its files.
//!
//! Repeating it is harmless, and it never brings back what was removed. Syncs
//! nothing: whoever opens the store does, before the journal is emptied.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::sync::Arc;

use super::record::{self, Body, Record, Target};
use super::{Disk, DiskError, TmpName};
use crate::layout::{self, State};

/// What one file of the journal holds, from its first record on.
struct Reading {
    from: BufReader<File>,
    path: String,
    next: Option<(u64, Record)>,
}

impl Reading {
    fn open(disk: &Disk, file: usize) -> Result<Option<Reading>, DiskError> {
        let path = layout::journal(file);
        let Some(opened) = disk.open_file(&path)? else {
            return Ok(None);
        };
        let mut reading = Reading {
            from: BufReader::with_capacity(1 << 20, opened),
            path,
            next: None,
        };
        reading.next = reading.read(disk)?;
        Ok(Some(reading))
    }

    fn read(&mut self, disk: &Disk) -> Result<Option<(u64, Record)>, DiskError> {
        record::read(&mut self.from).map_err(|error| disk.io_error("read", &self.path, &error))
    }
}

/// Calls `each` with every record of the journal, in their order.
pub(crate) fn each(
    disk: &Disk,
    mut each: impl FnMut(Record) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let mut files = Vec::new();
    for file in 0..2 {
        files.extend(Reading::open(disk, file)?);
    }
    files.sort_by_key(|reading| reading.next.as_ref().map(|(pass, _)| *pass));
    for mut reading in files {
        let Some((pass, record)) = reading.next.take() else {
            continue;
        };
        each(record)?;
        // What an earlier pass left behind the last record is no part of it.
        while let Some((_, record)) = reading.read(disk)?.filter(|(other, _)| *other == pass) {
            each(record)?;
        }
    }
    Ok(())
}

/// Makes the files of all records where they are missing or not whole.
pub(crate) fn replay(disk: &Arc<Disk>) -> Result<(), DiskError> {
    each(disk, |record| {
        let mut source = None;
        record
            .targets
            .iter()
            .try_for_each(|target| make(disk, target, &record.body, &mut source))
    })
}

fn make(
    disk: &Arc<Disk>,
    target: &Target,
    body: &Body,
    source: &mut Option<TmpName>,
) -> Result<(), DiskError> {
    let file = |state| layout::file(&target.mailbox, target.folder, &target.entry, state);
    for state in State::PRESENT {
        if disk.open_file(&file(state.removed()))?.is_some() {
            return Ok(());
        }
    }
    let mut there = None;
    for state in State::PRESENT {
        if let Some(opened) = disk.open_file(&file(state))? {
            there = Some((state, opened));
        }
    }
    let path = match &there {
        Some((_, opened)) if is_whole(opened, body) => return Ok(()),
        Some((state, _)) => file(*state),
        // The operator has taken the account away.
        None if disk.open_file(&layout::record(&target.mailbox))?.is_none() => return Ok(()),
        None => file(target.folder.first_state()),
    };
    let body = match body {
        Body::Here(body) => body,
        Body::Beside(number) => {
            // Gone where an earlier sweep has removed it: then it had its names.
            return match disk.link(&layout::large(*number), &path) {
                Err(DiskError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            };
        }
    };
    let made = match source {
        Some(made) => made,
        none => none.insert(disk.write_unsynced(body)?),
    };
    if there.is_none() {
        return disk.link(made.path(), &path);
    }
    // The name came to the disk before the bytes did.
    let other = disk.fresh("spool");
    disk.link(made.path(), &other)?;
    disk.rename(&other, &path)
}

fn is_whole(mut file: &File, body: &Body) -> bool {
    let Body::Here(body) = body else {
        // It was synced before it had a name.
        return true;
    };
    let mut content = Vec::with_capacity(body.len());
    let most = body.len() as u64 + 1;
    let read = Read::by_ref(&mut file).take(most).read_to_end(&mut content);
    read.is_ok() && content == *body
}
