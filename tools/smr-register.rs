//! smr-register
fn main() {}
