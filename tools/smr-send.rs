//! smr-send
fn main() {}
