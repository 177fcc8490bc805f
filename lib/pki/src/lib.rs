//! Certificates and CMS: bytes in, verdict or bytes out.
