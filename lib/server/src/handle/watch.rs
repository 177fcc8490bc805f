//! Watches: what there is to see in a folder.
//!
//! Waits for nobody; who is to wait, and who is woken, others know.

use std::time::Duration;

use smr_channel::reply::Reply;
use smr_channel::request::{self, MAX_WATCH};
use smr_name::Class;
use smr_store::Folder;

use super::mailbox::folder_of;
use super::{Answer, Visit};
use crate::house::House;
use crate::refusal::Refusal;

/// Says which folder is watched, and for how long.
pub(crate) fn watched(folder: request::Folder, wait: u16) -> Result<(Folder, Duration), Refusal> {
    match wait {
        1..=MAX_WATCH => Ok((folder_of(folder), Duration::from_secs(wait.into()))),
        _ => Err(Refusal::new(
            Class::Usage,
            format!("a watch waits 1 to {MAX_WATCH} seconds"),
        )),
    }
}

/// Counts the entries of a folder: the number of the last.
pub(crate) fn news(house: &House, visit: &Visit, folder: Folder) -> Result<u64, Refusal> {
    let listing = house.store.list(&visit.who, folder, u64::MAX, 0);
    Ok(listing.map_err(|e| house.disk(e))?.count)
}

/// Returns the answer to a watch.
pub(crate) fn news_of(count: u64) -> Answer<'static> {
    Answer::plain(Reply::News { count })
}
