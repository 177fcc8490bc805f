//! Mailboxes on disk: bytes in, bytes out.
