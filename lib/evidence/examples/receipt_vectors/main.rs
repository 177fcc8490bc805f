//! Makes the vectors of tests/vectors/receipt: a message of alice's each, and
//! an answer to it that counts, or does not, and the words that say why.
//!
//!     cargo run -p smr-evidence --example receipt_vectors -- tests/vectors/receipt
//!
//! They are made once and kept; no test calls this. Their authorities, cards
//! and lists last a hundred years; only alice's key is kept, for she reads them.

#[path = "../../tests/pki/mod.rs"]
mod pki;

mod cases;
mod scene;

use std::fs;
use std::path::Path;

use scene::Scene;

fn main() {
    let dir = std::env::args().nth(1).expect("the folder of the vectors");
    let dir = Path::new(&dir);
    fs::create_dir_all(dir).expect("the folder can be made");
    let scene = Scene::new();
    for (name, bytes) in scene.trust() {
        fs::write(dir.join(name), bytes).expect("the vectors can be written");
    }
    for vector in cases::all(&scene) {
        let file = dir.join(format!("{}.vec", vector.name));
        fs::write(file, vector.to_bytes()).expect("the vectors can be written");
    }
}
