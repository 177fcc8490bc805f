//! The group commit (lib/store/src/group.rs): who was told that it is on disk
//! has it there.
//!
//! A sync is two steps here: it takes what was written when it begins, and has
//! it on disk when it ends; what is written between is not its affair.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize as Shared, Ordering::SeqCst};

use crate::durable::DiskError;
use crate::group::DirSync;

/// A directory: a bit for each change.
struct Dir {
    written: Shared,
    on_disk: Shared,
    // Not for loom to watch: one thread at a time counts.
    syncs: AtomicUsize,
    group: DirSync,
}

/// What goes wrong, and at which try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Open(usize),
    Sync(usize),
}

impl Dir {
    fn new() -> Arc<Dir> {
        Arc::new(Dir {
            written: Shared::new(0),
            on_disk: Shared::new(0),
            syncs: AtomicUsize::new(0),
            group: DirSync::default(),
        })
    }

    /// Makes a change and has it synced; tells whether it is said to be.
    fn change(&self, bit: usize, fault: Fault) -> bool {
        self.written.fetch_or(bit, SeqCst);
        let open = || {
            let number = self.syncs.fetch_add(1, Relaxed);
            match fault == Fault::Open(number) {
                true => Err(DiskError::Torn),
                false => Ok(number),
            }
        };
        let sync = |number| {
            let found = self.written.load(SeqCst);
            // What the disk has lost it never has again, whatever it says.
            if fault == Fault::Sync(number) {
                self.written.fetch_and(!found, SeqCst);
                return Err(DiskError::Torn);
            }
            self.on_disk.fetch_or(found, SeqCst);
            Ok(())
        };
        let good = self.group.cover(open, sync).is_ok();
        let there = self.on_disk.load(SeqCst) & bit == bit;
        assert!(there || !good, "told, and not on disk");
        good
    }
}

/// So many threads, each with one change; `twice` has the first make another.
fn act(threads: usize, fault: Fault, twice: bool) {
    let dir = Dir::new();
    let others: Vec<_> = (1..threads)
        .map(|n| {
            let dir = Arc::clone(&dir);
            loom::thread::spawn(move || dir.change(1 << n, fault))
        })
        .collect();
    let mut good = usize::from(dir.change(1, fault));
    if twice {
        good += usize::from(dir.change(1 << threads, fault));
    }
    for other in others {
        good += usize::from(other.join().expect("a thread"));
    }
    let (changes, tries) = (threads + usize::from(twice), dir.syncs.load(Relaxed));
    match fault {
        Fault::None => assert_eq!(good, changes),
        // Its caller alone is told.
        Fault::Open(_) => assert!(good + 1 >= changes, "{good} of {changes}"),
        // No try comes after it.
        Fault::Sync(number) => assert!(tries <= number + 1 || good == changes),
    }
}

/// Returns how many orders were run.
pub(crate) fn run() -> usize {
    let faults = [
        Fault::None,
        Fault::Open(0),
        Fault::Open(1),
        Fault::Sync(0),
        Fault::Sync(1),
    ];
    let mut all = 0;
    for fault in faults {
        for (threads, twice) in [(2, false), (2, true), (3, false)] {
            // Three threads have too many orders to run them all.
            let bound = (threads > 2).then_some(2);
            all += crate::orders(bound, move || act(threads, fault, twice));
        }
    }
    all
}
