//! The text in a file, for node_exporter's textfile collector: replaced whole
//! every 15 seconds, and at the end.
//!
//! May be lost: it is not synced, and where it cannot be written smrd goes on.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::Level;
use crate::house::House;

/// Time between two texts.
const EVERY: Duration = Duration::from_secs(15);

/// The thread that writes.
pub(crate) struct Exporter {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Begins to write to `path`.
    pub(crate) fn begin(house: Arc<House>, path: PathBuf) -> io::Result<Exporter> {
        let (stop, stopped) = channel();
        let builder = thread::Builder::new().name("metrics".to_owned());
        let thread = builder.spawn(move || {
            loop {
                put(&house, &path);
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return put(&house, &path);
                }
            }
        })?;
        Ok(Exporter { stop, thread })
    }

    /// Writes a last time, and ends.
    pub(crate) fn finish(self) {
        drop(self.stop);
        // Its panic is not ours.
        let _ = self.thread.join();
    }
}

fn put(house: &House, path: &Path) {
    if let Err(error) = replace(path, &super::text(house)) {
        let line = house.log.line(Level::Warn, "metrics");
        line.with("why", error).send();
    }
}

/// Puts `text` in the place of the file: whoever reads gets all of one text.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // What was left there by a smrd that was killed, or put there by whoever else
    // writes in this folder: a link must not lead to a file of ours.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&new)?;
    // Whoever collects it is another user.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::replace;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn texts_are_replaced_whole_and_for_all_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("smrd.prom");
        replace(&path, "a longer text\n").unwrap();
        replace(&path, "text\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("no/smrd.prom"), "text\n").is_err());
    }

    #[test]
    fn a_link_in_the_way_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let [path, key] = ["smrd.prom", "server.key"].map(|name| dir.path().join(name));
        std::fs::write(&key, "secret").unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&key, dir.path().join("smrd.prom.new")).unwrap();
        replace(&path, "text\n").unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), b"secret");
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(std::fs::read(&path).unwrap(), b"text\n");
    }
}
