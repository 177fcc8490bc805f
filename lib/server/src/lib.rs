//! The daemon: listens, permits, handles, keeps.
