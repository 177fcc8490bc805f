//! The journal (lib/store/src/durable/journal.rs): who was told that a record is
//! on disk has it there, and no file is written over that is needed.

use loom::sync::Arc;
use loom::thread;

use crate::durable::Disk;
use crate::durable::journal::Journal;
use crate::durable::record::{Body, Record};

/// A record of a file of its own: as large as a file may be, in bytes.
const LARGE: usize = 64 << 20;
/// A file has room for it behind one record, but not behind two.
const MIDDLING: usize = LARGE - 1;
const SMALL: usize = 1;

struct Room {
    disk: std::sync::Arc<Disk>,
    journal: std::sync::Arc<Journal>,
    size: usize,
}

impl Room {
    fn new(size: usize, bad_sync: usize, bad_sweep: usize) -> Arc<Room> {
        let disk = std::sync::Arc::new(Disk::failing(bad_sync, bad_sweep));
        let journal = std::sync::Arc::new(Journal::open(&disk).expect("a journal"));
        Arc::new(Room {
            disk,
            journal,
            size,
        })
    }

    /// Deposits a record, and makes its names; tells whether it is said to be on
    /// disk.
    fn deposit(&self, bit: u8) -> bool {
        let Ok(turn) = self.journal.turn(self.size) else {
            return false;
        };
        let record = Record {
            body: Body::Here(bit),
        };
        let ticket = turn.append(&record, None);
        let good = self.journal.sync(&ticket).is_ok();
        if good {
            assert!(self.disk.has(bit), "told, and not on disk");
            self.disk.make(bit);
            ticket.made();
        }
        good
    }
}

/// So many threads, each with one record; `twice` has the first deposit another.
fn act(threads: u8, twice: bool, size: usize, bad_sync: usize, bad_sweep: usize) {
    let room = Room::new(size, bad_sync, bad_sweep);
    let others: Vec<_> = (1..threads)
        .map(|bit| {
            let room = Arc::clone(&room);
            thread::spawn(move || room.deposit(bit))
        })
        .collect();
    // Nobody waits for it where all fits one file.
    let sweeper = (size != SMALL).then(|| {
        let room = Arc::clone(&room);
        thread::spawn(move || room.journal.sweep())
    });
    let mut good = usize::from(room.deposit(0));
    if twice {
        good += usize::from(room.deposit(threads));
    }
    for other in others {
        good += usize::from(other.join().expect("a thread"));
    }
    room.journal.end();
    if let Some(sweeper) = sweeper {
        sweeper.join().expect("the sweeper");
    }
    let all = usize::from(threads) + usize::from(twice);
    if (bad_sync, bad_sweep) == (0, 0) {
        assert_eq!(good, all, "said to have failed, and nothing has");
    }
    // Nothing is taken after a failure: what came before it may be all.
    assert!(good == all || room.disk.has_failed());
    room.journal.close();
}

/// Returns how many orders were run.
pub(crate) fn run() -> usize {
    let mut all = 0;
    for bad_sync in 0..3 {
        for (threads, twice) in [(2, false), (2, true), (3, false)] {
            // They have too many orders to run them all.
            let bound = if threads > 2 { 2 } else { 3 };
            all += crate::orders(Some(bound), move || act(threads, twice, SMALL, bad_sync, 0));
        }
    }
    for (bad_sync, bad_sweep) in [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)] {
        for size in [LARGE, MIDDLING] {
            all += crate::orders(Some(2), move || act(2, true, size, bad_sync, bad_sweep));
        }
    }
    all
}
