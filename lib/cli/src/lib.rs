//! The edge: arguments, prompts, words; knows no mail.
//!
//! Imports no other room: classes of failures are exit codes here, and what
//! it prints was decided elsewhere.

pub mod args;
mod completion;
pub mod cores;
mod help;
pub mod json;
pub mod out;
mod pinentry;
pub mod progress;
pub mod prompt;
pub mod report;
pub mod size;
pub mod table;
pub mod terminal;
pub mod text;
pub mod time;
pub mod words;
