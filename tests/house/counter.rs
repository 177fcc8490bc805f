//! A relay to smrd that counts: scripts/count-wire, between an agent and smrd.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::House;

pub(crate) struct Counter {
    child: Child,
    address: String,
    file: PathBuf,
}

impl Counter {
    /// Starts a relay to the smrd of this house.
    pub(crate) fn start(house: &House) -> Counter {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/count-wire");
        let file = house.path("counted");
        let mut child = Command::new(script)
            .arg(house.server())
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("count-wire runs");
        let mut address = String::new();
        let out = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(out).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        Counter {
            child,
            address,
            file,
        }
    }

    /// Has the agent of `who`, who is logged in, go through it.
    pub(crate) fn before(&self, house: &mut House, who: &str) {
        let move_over = format!(
            "smr-login --logout && sed -i 's/^server = .*/server = \"{}\"/' $SMR_HOME/client.toml && \
             smr-login",
            self.address
        );
        house.sh(who, &move_over).expect(0);
    }

    /// Returns how many bytes went to smrd so far, and how many came from it.
    pub(crate) fn passed(&self) -> (u64, u64) {
        let counted = fs::read_to_string(&self.file).unwrap();
        let mut numbers = counted.split_whitespace().map(|n| n.parse().unwrap());
        let mut next = || numbers.next().expect("count-wire writes two numbers");
        (next(), next())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
