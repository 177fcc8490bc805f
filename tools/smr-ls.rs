//! smr-ls
fn main() {}
