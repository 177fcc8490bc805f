//! smr-agent
fn main() {}
