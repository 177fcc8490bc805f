//! smr-recv
fn main() {}
