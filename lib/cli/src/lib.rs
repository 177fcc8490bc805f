//! The edge: arguments, prompts, words; knows no mail.
