//! Our certificates, messages and receipts against those of openssl, both
//! ways; openssl is the oracle for paths.
//!
//! Every PKI is made by the openssl program in a folder of its own.

mod answers;
mod authority;

mod crossed;
mod devices;
mod keys;
mod messages;
mod paths;
mod receipts;
mod revocation;
mod sources;
mod stamps;
