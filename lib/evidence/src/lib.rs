//! What people sign for people, checkable by a stranger.
