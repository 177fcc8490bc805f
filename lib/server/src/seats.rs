//! The seats: how many connections there may be, in all and for each peer, and
//! which of them are in the middle of something.
//!
//! Never waits for a seat: without a free one the connection is closed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bounds and occupants.
pub(crate) struct Seats {
    all: usize,
    per_peer: usize,
    table: Mutex<Table>,
    left: Condvar,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Arc<Occupant>>,
    peers: HashMap<IpAddr, usize>,
}

struct Occupant {
    stream: Arc<TcpStream>,
    busy: AtomicBool,
}

/// One taken seat; dropping it frees the place.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    peer: IpAddr,
    occupant: Arc<Occupant>,
}

/// Returns what counts as one peer: an IPv4 address, or an IPv6 /64, of which
/// one subscriber usually has all.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

impl Seats {
    pub(crate) fn new(all: usize, per_peer: usize) -> Arc<Seats> {
        Arc::new(Seats {
            all,
            per_peer,
            table: Mutex::default(),
            left: Condvar::new(),
            stopping: AtomicBool::new(false),
        })
    }

    // Every change below is complete before the lock is let go, so a poisoned
    // table is still right.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, or none where all, or all of this peer, are taken.
    pub(crate) fn take(self: &Arc<Self>, stream: Arc<TcpStream>, from: IpAddr) -> Option<Seat> {
        let peer = peer_of(from);
        let mut table = self.table();
        let mine = table.peers.get(&peer).copied().unwrap_or(0);
        if table.taken.len() >= self.all || mine >= self.per_peer || self.stopping() {
            return None;
        }
        let occupant = Arc::new(Occupant {
            stream,
            busy: AtomicBool::new(true),
        });
        let number = table.next;
        table.next += 1;
        table.peers.insert(peer, mine + 1);
        table.taken.insert(number, occupant.clone());
        Some(Seat {
            seats: self.clone(),
            number,
            peer,
            occupant,
        })
    }

    /// Returns how many seats are taken.
    pub(crate) fn count(&self) -> usize {
        self.table().taken.len()
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends idle connections at once, gives busy ones `grace`, then ends those
    /// too. Tells whether all seats were free at last.
    pub(crate) fn clear(&self, grace: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        self.hang_up(|occupant| !occupant.busy.load(Ordering::SeqCst));
        if self.wait_empty(grace) {
            return true;
        }
        self.hang_up(|_| true);
        self.wait_empty(Duration::from_millis(500))
    }

    fn hang_up(&self, which: impl Fn(&Occupant) -> bool) {
        for occupant in self.table().taken.values().filter(|o| which(o)) {
            // A socket that its peer has closed already cannot be shut down.
            let _ = occupant.stream.shutdown(Shutdown::Both);
        }
    }

    fn wait_empty(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut table = self.table();
        while !table.taken.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (table, _) = self
                .left
                .wait_timeout(table, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl Seat {
    /// Tells the table that nothing is under way, and returns whether the
    /// connection may wait for more: not while smrd is stopping.
    pub(crate) fn rest(&self) -> bool {
        self.occupant.busy.store(false, Ordering::SeqCst);
        // Asked after the store: whoever stops either sees the rest or is seen.
        !self.seats.stopping()
    }

    /// Tells the table that a request is under way.
    pub(crate) fn work(&self) {
        self.occupant.busy.store(true, Ordering::SeqCst);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.table();
        table.taken.remove(&self.number);
        if let Some(count) = table.peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                table.peers.remove(&self.peer);
            }
        }
        self.seats.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::{Seats, peer_of};
    use std::io::Read;
    use std::net::{IpAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    fn pair() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arc::new(listener.accept().unwrap().0), client)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_hold_and_seats_come_back() {
        let seats = Seats::new(3, 2);
        let (stream, _client) = pair();
        let take = |from| seats.take(stream.clone(), ip(from));
        let (a, b) = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(a.is_some() && b.is_some());
        assert!(take("192.0.2.1").is_none(), "per peer");
        let c = take("192.0.2.2");
        assert!(c.is_some());
        assert!(take("192.0.2.3").is_none(), "in all");
        drop(a);
        assert!(take("192.0.2.1").is_some());
        assert_eq!(seats.count(), 2);
    }

    #[test]
    fn peers_are_told_apart_by_network() {
        assert_eq!(peer_of(ip("2001:db8::1")), peer_of(ip("2001:db8::2")));
        assert_ne!(peer_of(ip("2001:db8::1")), peer_of(ip("2001:db8:0:1::1")));
        assert_ne!(peer_of(ip("192.0.2.1")), peer_of(ip("192.0.2.2")));
        assert_eq!(peer_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn stopping_hangs_up_the_idle_and_waits_for_the_busy() {
        let seats = Seats::new(8, 8);
        let ((idle, mut idle_client), (busy, _busy_client)) = (pair(), pair());
        let idle = seats.take(idle, ip("192.0.2.1")).unwrap();
        let busy = seats.take(busy, ip("192.0.2.1")).unwrap();
        assert!(idle.rest());
        let worker = std::thread::spawn(move || {
            let mut rest = Vec::new();
            idle_client.read_to_end(&mut rest).unwrap();
            drop((idle, busy));
        });
        assert!(seats.clear(Duration::from_secs(20)));
        worker.join().unwrap();
        let (stream, _client) = pair();
        assert!(seats.take(stream, ip("192.0.2.1")).is_none());
    }

    #[test]
    fn a_seat_that_stays_busy_is_reported() {
        let seats = Seats::new(8, 8);
        let (stream, _client) = pair();
        let seat = seats.take(stream, ip("192.0.2.1")).unwrap();
        seat.work();
        assert!(!seats.clear(Duration::from_millis(10)));
        assert!(!seat.rest());
    }
}
