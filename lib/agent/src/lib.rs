//! Session keys in memory.
