//! Makes the vectors of tests/vectors/envelope: messages as hostile senders
//! make them, each in a file that says what a reader must do with it.
//!
//!     cargo run -p smr-evidence --example envelope_vectors -- tests/vectors/envelope
//!
//! They are made once and kept; no test calls this. Their authorities, cards
//! and lists last a hundred years, and their keys are thrown away.

#[path = "../../tests/pki/mod.rs"]
mod pki;

mod cases;
mod scene;

use std::fs;
use std::path::Path;

use scene::{Scene, Vector};

fn main() {
    let dir = std::env::args().nth(1).expect("the folder of the vectors");
    let dir = Path::new(&dir);
    fs::create_dir_all(dir).expect("the folder can be made");
    let scene = Scene::new();
    for (name, bytes) in scene.trust() {
        fs::write(dir.join(name), bytes).expect("the vectors can be written");
    }
    for vector in cases::all(&scene) {
        write(dir, &vector);
    }
}

/// Long ones are compressed: they say the same thing a million times.
fn write(dir: &Path, vector: &Vector) {
    let path = dir.join(format!("{}.vec", vector.name));
    fs::write(&path, vector.to_bytes()).expect("the vectors can be written");
    if vector.message.len() > 64 * 1024 {
        pki::run(
            "gzip",
            &["-9nf", path.to_str().expect("ASCII")],
            Path::new("."),
        );
    }
}
