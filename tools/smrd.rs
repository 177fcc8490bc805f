//! smrd
fn main() {}
