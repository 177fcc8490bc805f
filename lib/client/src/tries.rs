//! Wrong passphrases in a row: how many, and when the next one is looked at.
//!
//! Guards a keyboard, not a file: whoever can copy the key ring tries as fast as
//! scrypt lets him. Never tells whether a passphrase that comes too early is
//! the right one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use smr_name::Class;

use crate::failure::Failure;
use crate::keyring::{KeyRing, KeyRingError};
use crate::private::{self, Lock};

// So many may be wrong before anybody has to wait.
const FREE: u32 = 2;
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
// What is waited out; a longer wait is the user's.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens the key ring at `path`, one try at a time, each after the wait that
/// the wrong ones before it have earned (smr-login(1)).
pub(crate) fn open(path: &Path, passphrase: &str) -> Result<KeyRing, Failure> {
    if !path.exists() {
        return Ok(KeyRing::load(path, passphrase)?);
    }
    let tries = path.with_extension("tries");
    // Held over the try, so that many at once are not one.
    let _one = Lock::wait(&path.with_extension("tries.lock"))?;
    let wrong = count(&tries)?;
    wait(&tries, wrong)?;
    match KeyRing::load(path, passphrase) {
        Err(KeyRingError::Passphrase) => {
            let text = format!("{}\n", wrong.saturating_add(1));
            private::replace(&tries, text.as_bytes())?;
            Err(KeyRingError::Passphrase.into())
        }
        Ok(ring) => forget(&tries).map(|()| ring),
        other => Ok(other?),
    }
}

// A file that somebody has spoilt counts as many.
fn count(tries: &Path) -> Result<u32, Failure> {
    let Some(bytes) = private::read(tries, 16)? else {
        return Ok(0);
    };
    let text = str::from_utf8(&bytes).unwrap_or_default();
    Ok(text.trim().parse().unwrap_or(u32::MAX))
}

// Seconds since the last wrong one come from the file's own time.
fn wait(tries: &Path, wrong: u32) -> Result<(), Failure> {
    let due = delay(wrong);
    let left = due.saturating_sub(past(tries)?);
    if left > PATIENCE {
        let seconds = left.as_millis().div_ceil(1000);
        let text =
            format!("{wrong} wrong passphrases in a row, the next is looked at in {seconds} s");
        return Err(Failure::new(Class::Busy, text).hint("try again then"));
    }
    thread::sleep(left);
    Ok(())
}

// A clock set back earns nothing; nor does one that was ahead for a while keep
// the right passphrase out until it is that late: the wait begins anew.
fn past(tries: &Path) -> Result<Duration, Failure> {
    let now = SystemTime::now();
    let Ok(last) = fs::metadata(tries).and_then(|meta| meta.modified()) else {
        return Ok(Duration::ZERO);
    };
    if let Ok(past) = now.duration_since(last) {
        return Ok(past);
    }
    let file = File::options().write(true).open(tries);
    file.and_then(|file| file.set_modified(now))
        .map_err(|error| {
            let text = format!("set the time of \"{}\": {error}", tries.display());
            Failure::new(Class::Io, text)
        })?;
    Ok(Duration::ZERO)
}

fn delay(wrong: u32) -> Duration {
    match wrong.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
            FIRST.saturating_mul(factor.max(1)).min(LONGEST)
        }
    }
}

fn forget(tries: &Path) -> Result<(), Failure> {
    match fs::remove_file(tries) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let text = format!("remove \"{}\": {error}", tries.display());
            Err(Failure::new(Class::Io, text))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::keyring::tests::ring;

    struct Room(tempfile::TempDir);

    impl Room {
        fn new() -> Room {
            let room = Room(tempfile::tempdir().unwrap());
            ring().save(&room.ring(), "right").unwrap();
            room
        }

        fn ring(&self) -> std::path::PathBuf {
            self.0.path().join("rui@repo.example.age")
        }

        fn tries(&self) -> std::path::PathBuf {
            self.ring().with_extension("tries")
        }

        fn class(&self, passphrase: &str) -> Option<Class> {
            open(&self.ring(), passphrase).err().map(|f| f.class)
        }

        /// Makes the last wrong one so long ago.
        fn later(&self, seconds: u64) {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            let file = File::options().write(true).open(self.tries()).unwrap();
            file.set_modified(then).unwrap();
        }
    }

    #[test]
    fn delays_double_up_to_a_minute() {
        let seconds = |wrong| delay(wrong).as_secs();
        let first: Vec<_> = (0..10).map(seconds).collect();
        assert_eq!(first, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        for wrong in [33, 34, 35, 1000, u32::MAX] {
            assert_eq!(seconds(wrong), 60, "{wrong}");
        }
    }

    #[test]
    fn after_many_wrong_ones_even_the_right_one_has_to_wait() {
        let room = Room::new();
        for _ in 0..8 {
            assert_eq!(room.class("wrong"), Some(Class::Denied));
            room.later(100);
        }
        assert_eq!(room.class("wrong"), Some(Class::Denied));
        // nine: a minute
        assert_eq!(room.class("right"), Some(Class::Busy));
        room.later(10);
        assert_eq!(room.class("right"), Some(Class::Busy));
        room.later(61);
        assert_eq!(room.class("right"), None);
        assert!(!room.tries().exists(), "the right one ends the row");
        assert_eq!(room.class("wrong"), Some(Class::Denied));
    }

    #[test]
    fn a_spoilt_file_or_a_clock_set_back_earns_nothing() {
        let room = Room::new();
        std::fs::write(room.tries(), "none at all").unwrap();
        assert_eq!(room.class("right"), Some(Class::Busy));
        std::fs::write(room.tries(), "6\n").unwrap();
        let file = File::options().write(true).open(room.tries()).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(5000))
            .unwrap();
        assert_eq!(room.class("right"), Some(Class::Busy));
        // The wait has begun anew, and not in the year that the clock told.
        let last = std::fs::metadata(room.tries()).unwrap().modified().unwrap();
        assert!(last <= SystemTime::now());
        room.later(17);
        assert_eq!(room.class("right"), None);
    }

    #[test]
    fn tries_at_once_are_counted_one_by_one() {
        let room = Room::new();
        let classes: Vec<_> = std::thread::scope(|scope| {
            let all = [(); 6].map(|()| scope.spawn(|| room.class("wrong")));
            all.map(|one| one.join().unwrap()).into()
        });
        // None, none, one second waited out, then two seconds are too long,
        // unless the machine lets them pass.
        let denied = |class: &&Option<Class>| **class == Some(Class::Denied);
        let tried = classes.iter().filter(denied).count();
        assert!(tried >= 3, "{classes:?}");
        assert_eq!(count(&room.tries()).unwrap() as usize, tried);
    }

    #[test]
    fn no_key_ring_is_no_try() {
        let room = Room::new();
        std::fs::remove_file(room.ring()).unwrap();
        assert_eq!(room.class("wrong"), Some(Class::Config));
        assert!(!room.tries().exists());
    }
}
