//! Certificates and CMS: bytes in, verdict or bytes out.
//!
//! Does no I/O, reads no clock, and knows nothing of mailboxes: names in
//! certificates are text here. Random numbers are drawn only inside a
//! signature (`signer`).

pub mod certificate;
pub mod cms;
pub mod crl;
pub mod digest;
pub mod ess;
pub mod ocsp;
pub mod path;
pub mod proxy;
pub mod signature;
pub mod signer;
pub mod sources;
pub mod stamp;

mod asn1;
mod seen;
