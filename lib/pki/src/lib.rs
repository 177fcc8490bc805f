//! Certificates and CMS: bytes in, verdict or bytes out.
//!
//! Does no I/O, reads no clock, draws no random numbers of its own, and
//! knows nothing of mailboxes: names in certificates are text here.

pub mod certificate;
pub mod cms;
pub mod crl;
pub mod ess;
pub mod path;
pub mod proxy;
pub mod signature;
pub mod signer;
