//! smr-receipt
fn main() {}
