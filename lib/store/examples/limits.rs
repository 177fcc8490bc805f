//! How fast a disk takes small messages for good: what deposits are measured
//! against.
//!
//! `limits DIRECTORY KIND THREADS SIZE SECONDS` prints one line of JSON. KIND:
//! `files` (write, fsync, rename, fsync the directory, each thread for itself),
//! `log` (append to one file, one fdatasync for all who wait), `store` (this
//! store, no protocol; `store:N` for N mailboxes).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use smr_name::{MailboxName, MessageId};
use smr_store::{Facts, Store};

type Act<'a> = Box<dyn Fn(usize, u64, &[u8]) + Sync + 'a>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, kind, threads, size, seconds] = &words[..] else {
        panic!("limits DIRECTORY KIND THREADS SIZE SECONDS");
    };
    let directory = Path::new(directory);
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (threads, size, seconds) = (number(threads), number(size), number(seconds));
    fs::create_dir_all(directory).expect("the directory can be made");
    let act: Act = match kind.split_once(':').unwrap_or((kind, "1")) {
        ("files", _) => Box::new(|thread, n, bytes| one_file(directory, thread, n, bytes)),
        ("log", _) => {
            let log = Log::create(&directory.join("log"));
            Box::new(move |_, _, bytes| log.append(bytes))
        }
        ("store", mailboxes) => {
            let store = Filled::create(&directory.join("store"), threads, number(mailboxes));
            Box::new(move |thread, n, bytes| store.deposit(thread, n, bytes))
        }
        _ => panic!("no such kind: {kind}"),
    };
    measure(kind, threads, size, seconds, &act);
}

/// Runs `act` in all threads until the time is over, and prints what came of it.
fn measure(kind: &str, threads: usize, size: usize, seconds: usize, act: &Act) {
    let (over, body) = (AtomicBool::new(false), vec![b'x'; size]);
    let began = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (over, body) = (&over, &body);
                scope.spawn(move || {
                    let mut times = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let before = Instant::now();
                        act(thread, times.len() as u64, body);
                        times.push(before.elapsed());
                    }
                    times
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(seconds as u64));
        over.store(true, Ordering::Relaxed);
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("no thread panics"))
            .collect()
    });
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{{\"v\":1,\"type\":\"rate\",\"kind\":\"{kind}\",\"connections\":{threads},\"size\":{size},\
             \"per_second\":{rate:.0},\"p50_us\":{},\"p99_us\":{}}}",
            at(50),
            at(99)
        );
    }
}

fn one_file(directory: &Path, thread: usize, n: u64, bytes: &[u8]) {
    let made = directory.join(format!("tmp.{thread}.{n}"));
    let mut file = File::create_new(&made).expect("a new file");
    file.write_all(bytes).expect("room on the disk");
    file.sync_all().expect("a sync");
    fs::rename(&made, directory.join(format!("{thread}.{n}"))).expect("a rename");
    let folder = File::open(directory).expect("the directory");
    folder.sync_all().expect("a sync");
}

/// A log with group commit, and nothing else.
struct Log {
    file: File,
    state: Mutex<(Vec<u8>, u64, u64, bool)>,
    done: Condvar,
    at: AtomicU64,
}

impl Log {
    const SIZE: u64 = 64 << 20;

    fn create(path: &Path) -> Log {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path);
        let mut file = file.expect("a log");
        // Written once, so that a sync of what overwrites it is of data alone.
        let zero = vec![0; 1 << 20];
        (0..Self::SIZE >> 20).for_each(|_| file.write_all(&zero).expect("room on the disk"));
        file.sync_all().expect("a sync");
        Log {
            file,
            state: Mutex::default(),
            done: Condvar::new(),
            at: AtomicU64::new(0),
        }
    }

    fn append(&self, bytes: &[u8]) {
        let mut state = self.state.lock().expect("no thread panics");
        state.0.extend_from_slice(bytes);
        state.1 += 1;
        let mine = state.1;
        while state.2 < mine {
            if state.3 {
                state = self.done.wait(state).expect("no thread panics");
                continue;
            }
            state.3 = true;
            let (batch, upto) = (std::mem::take(&mut state.0), state.1);
            drop(state);
            let at = self.at.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let at = at % (Self::SIZE - (8 << 20));
            self.file.write_all_at(&batch, at).expect("a write");
            self.file.sync_data().expect("a sync");
            state = self.state.lock().expect("no thread panics");
            state.2 = upto;
            state.3 = false;
            self.done.notify_all();
        }
    }
}

/// A store with one sender for each thread, and mailboxes to fill.
struct Filled {
    store: Store,
    senders: Vec<MailboxName>,
    mailboxes: Vec<MailboxName>,
}

impl Filled {
    fn create(path: &Path, threads: usize, mailboxes: usize) -> Filled {
        let store = Store::create(path).expect("a new store");
        let name = |kind: &str, n: usize| format!("{kind}{n}").parse().expect("a name");
        let senders: Vec<MailboxName> = (0..threads).map(|n| name("s", n)).collect();
        let mailboxes: Vec<MailboxName> = (0..mailboxes).map(|n| name("m", n)).collect();
        for account in senders.iter().chain(&mailboxes) {
            store
                .create_account(account, b"record")
                .expect("an account");
        }
        Filled {
            store,
            senders,
            mailboxes,
        }
    }

    fn deposit(&self, thread: usize, n: u64, bytes: &[u8]) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(thread as u64).to_be_bytes());
        id[8..].copy_from_slice(&n.to_be_bytes());
        let facts = Facts {
            id: MessageId::from_bytes(id),
            sender: self.senders[thread].clone(),
            sha256: [1; 32],
            cms: [2; 32],
            time: 1_800_000_000,
        };
        let to = &self.mailboxes[(n as usize + thread) % self.mailboxes.len()];
        let mut spool = self.store.spool().expect("a spool");
        spool.write(bytes).expect("room on the disk");
        let spooled = spool.finish().expect("a sync");
        self.store
            .deposit(&spooled, &facts, std::slice::from_ref(to), true)
            .expect("a deposit");
    }
}
