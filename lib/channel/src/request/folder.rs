//! Folders: what a mailbox has, and how each is named on the wire.
//!
//! Says nothing of what lies in them.

use crate::codec::{CodecError, Reader};

/// Names a folder of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Folder {
    /// Messages that came in (1).
    Inbox = 1,
    /// Own copies of messages sent (2).
    Sent = 2,
    /// Receipts that came in (3).
    Receipts = 3,
}

impl Folder {
    /// Returns the code on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the folder with this code, or none.
    pub fn from_code(code: u8) -> Option<Folder> {
        [Folder::Inbox, Folder::Sent, Folder::Receipts]
            .into_iter()
            .find(|folder| folder.code() == code)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Folder, CodecError> {
        Folder::from_code(reader.u8()?).ok_or(CodecError::Value("folder"))
    }
}
