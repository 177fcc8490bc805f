//! The chain of keys under a session.
