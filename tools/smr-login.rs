//! smr-login
fn main() {}
