//! Removing own copies: of what came in, and of what was sent.
//!
//! Never touches what others hold, nor receipts.

pub use smr_channel::request::Folder;
use smr_name::{IdPrefix, MessageId};

use crate::failure::Failure;
use crate::fetch;
use crate::user::User;

/// Removes the message that a person named by id or prefix from each folder
/// that it is in; returns its id and these. A message to oneself is in both.
pub fn remove(user: &mut User, prefix: &IdPrefix) -> Result<(MessageId, Vec<Folder>), Failure> {
    let (id, folders) = fetch::find_all(user, prefix)?;
    for folder in &folders {
        user.session
            .remove(*folder, id)
            .map_err(|error| Failure::from(error).about(&format!("message \"{id}\"")))?;
    }
    Ok((id, folders))
}
