//! A small disk of the store's own, that can be filled.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Bytes of it; they are taken from the real disk as they are needed.
const SIZE: u64 = 4 << 30;

/// A loop device with ext4, mounted in the place of a folder whose content it
/// has taken; it is unmounted when it is dropped.
pub(crate) struct Disk {
    folder: PathBuf,
}

/// What fills the disk until it is dropped.
pub(crate) struct Ballast(PathBuf);

fn run(program: &str, args: &[&str]) -> bool {
    let ran = Command::new(program).args(args).output();
    ran.is_ok_and(|ran| ran.status.success())
}

impl Disk {
    /// Mounts one; none, and says so, where this may not be done.
    pub(crate) fn mount(folder: &Path) -> Option<Disk> {
        let image = folder.with_extension("image");
        let aside = folder.with_extension("aside");
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        let (image, there) = (image.to_str().unwrap(), folder.to_str().unwrap());
        let made = run("mkfs.ext4", &["-q", "-m", "0", "-i", "4096", image]);
        fs::rename(folder, &aside).unwrap();
        fs::create_dir(folder).unwrap();
        let mounted = made && run("mount", &["-o", "loop", image, there]);
        let disk = mounted.then(|| Disk {
            folder: folder.to_owned(),
        });
        let from = format!("{}/.", aside.display());
        assert!(run("cp", &["-a", &from, there]), "the store is copied");
        if disk.is_none() {
            println!("SKIPPED: a full disk: it needs root, mkfs.ext4 and loop devices");
        }
        disk
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) -> Ballast {
        let path = self.folder.join("ballast");
        let file = File::create(&path).unwrap();
        let mut end = 0;
        loop {
            let disk = statvfs(&self.folder).unwrap();
            let mut free = disk.f_bavail * disk.f_frsize;
            if free == 0 {
                return Ballast(path);
            }
            // What it takes to keep account of a file is not in the figure.
            while free > 0 && fallocate(&file, FallocateFlags::empty(), end, free).is_err() {
                free /= 2;
            }
            if free == 0 {
                return Ballast(path);
            }
            end += free;
        }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a test that fails may leave a smrd that is just ending.
        run("umount", &["-l", self.folder.to_str().unwrap()]);
    }
}
