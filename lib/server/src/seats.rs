//! The seats: how many connections there may be, in all and for each peer.
//!
//! Never waits for a seat, and takes none from anybody: that is for the door.

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
    taken: HashMap<u64, Arc<TcpStream>>,
    peers: HashMap<IpAddr, usize>,
}

impl Table {
    fn seats_of(&self, peer: &IpAddr) -> usize {
        self.peers.get(peer).copied().unwrap_or(0)
    }
}

/// One taken seat; dropping it frees the place.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    /// Whom it counts for; none while that is not known.
    peer: Option<IpAddr>,
    stream: Arc<TcpStream>,
}

/// Says why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    All,
    /// This peer has all that one may have.
    Peer,
    /// smrd is stopping.
    Stopping,
}

/// Returns what counts as one peer: an IPv4 address, or an IPv6 /64, of which
/// one subscriber usually has all.
pub(crate) fn peer_of(address: IpAddr) -> IpAddr {
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

    /// Takes a seat; what one peer may have comes before what all may. Behind a
    /// proxy it is not known yet who that is.
    pub(crate) fn take(
        self: &Arc<Self>,
        stream: &Arc<TcpStream>,
        from: Option<IpAddr>,
    ) -> Result<Seat, Full> {
        let peer = from.map(peer_of);
        let mut table = self.table();
        if self.stopping() {
            return Err(Full::Stopping);
        }
        if peer.is_some_and(|peer| table.seats_of(&peer) >= self.per_peer) {
            return Err(Full::Peer);
        }
        if table.taken.len() >= self.all {
            return Err(Full::All);
        }
        let number = table.next;
        table.next += 1;
        if let Some(peer) = peer {
            *table.peers.entry(peer).or_insert(0) += 1;
        }
        table.taken.insert(number, stream.clone());
        Ok(Seat {
            seats: self.clone(),
            number,
            peer,
            stream: stream.clone(),
        })
    }

    /// Returns how many seats are taken.
    pub(crate) fn count(&self) -> usize {
        self.table().taken.len()
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Lets nobody in any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Gives those who are still there `grace`, then ends their connections, and
    /// gives their workers `last`, of which they need little. Tells whether all
    /// seats were free at last.
    pub(crate) fn clear(&self, grace: Duration, last: Duration) -> bool {
        self.stop();
        if self.wait_empty(grace) {
            return true;
        }
        for stream in self.table().taken.values() {
            // A socket that its peer has closed already cannot be shut down.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.wait_empty(last)
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
    /// Returns its number; later ones have higher numbers.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Says for whom a seat counts of which that was not known; tells whether
    /// that peer may have one more.
    pub(crate) fn settle(&mut self, from: IpAddr) -> bool {
        let peer = peer_of(from);
        let mut table = self.seats.table();
        if table.seats_of(&peer) >= self.seats.per_peer {
            return false;
        }
        *table.peers.entry(peer).or_insert(0) += 1;
        self.peer = Some(peer);
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.table();
        table.taken.remove(&self.number);
        if let Some(peer) = self.peer
            && let Some(count) = table.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                table.peers.remove(&peer);
            }
        }
        drop(table);
        self.seats.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Seats, peer_of};
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
    fn bounds_hold_in_all_and_for_each_peer() {
        let seats = Seats::new(3, 2);
        let (stream, _client) = pair();
        let take = |from| seats.take(&stream, Some(ip(from)));
        let (a, b) = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(take("192.0.2.1").err(), Some(Full::Peer));
        let c = take("192.0.2.2");
        assert!(c.is_ok());
        assert_eq!(take("192.0.2.3").err(), Some(Full::All));
        assert_eq!(take("192.0.2.1").err(), Some(Full::Peer));
        drop(a);
        assert!(take("192.0.2.1").is_ok());
        assert_eq!(seats.count(), 2);
    }

    #[test]
    fn behind_a_proxy_a_seat_counts_for_whom_it_turns_out_to_be() {
        let seats = Seats::new(4, 1);
        let (stream, _client) = pair();
        let take = || seats.take(&stream, None).unwrap();
        let (mut a, mut b, mut c) = (take(), take(), take());
        assert!(a.settle(ip("192.0.2.1")));
        assert!(!b.settle(ip("192.0.2.1")));
        assert!(c.settle(ip("192.0.2.2")));
        drop(b);
        let direct = || seats.take(&stream, Some(ip("192.0.2.1")));
        assert_eq!(direct().err(), Some(Full::Peer));
        drop(a);
        assert!(direct().is_ok());
        drop(c);
        assert_eq!(seats.count(), 0);
        assert!(seats.table().peers.is_empty());
    }

    #[test]
    fn peers_are_told_apart_by_network() {
        assert_eq!(peer_of(ip("2001:db8::1")), peer_of(ip("2001:db8::2")));
        assert_ne!(peer_of(ip("2001:db8::1")), peer_of(ip("2001:db8:0:1::1")));
        assert_ne!(peer_of(ip("192.0.2.1")), peer_of(ip("192.0.2.2")));
        assert_eq!(peer_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn stopping_gives_a_grace_and_then_hangs_up() {
        let seats = Seats::new(8, 8);
        let (stream, mut client) = pair();
        let seat = seats.take(&stream, Some(ip("192.0.2.1"))).unwrap();
        drop(stream);
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(60));
        assert!(!seats.clear(short, short), "it stays");
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "its connection does not");
        drop(seat);
        assert!(seats.clear(long, short));
        let (stream, _client) = pair();
        let late = seats.take(&stream, Some(ip("192.0.2.1")));
        assert_eq!(late.err(), Some(Full::Stopping));
    }
}
