//! The door: one thread that lets connections in and holds those that wait for
//! their peers.
//!
//! Does nothing that takes time: what has come whole goes to a worker. Never
//! lets one connection's end, not even a panic, touch another.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::sockopt;

use crate::audit::About;
use crate::config::Level;
use crate::conn::{Conn, ConnError, Due, STANDINGS};
use crate::desk::{Desk, Note};
use crate::house::House;
use crate::limits::MEMBERS;
use crate::pool::Pool;
use crate::seats::Full;

/// What a worker is given.
type Job = (Box<Conn>, Due);

/// How the desk is told from connections, and the last listener's number;
/// connections count up from 0.
const DESK: u64 = u64::MAX;

/// Events, and connections of one listener, that are taken at a time.
const BATCH: usize = 256;

/// The longest wait: counts of log lines that were left out are due then.
const LONGEST: Duration = Duration::from_secs(60);

/// How long nobody is let in after that has failed.
const DEAF: Duration = Duration::from_millis(100);

/// Silence after which a peer is asked whether it is there, the time between
/// questions, and how many go unanswered: two minutes in all.
const KEEP_IDLE: Duration = Duration::from_secs(60);
const KEEP_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_COUNT: u32 = 4;

/// The door, and who waits at it.
pub(crate) struct Door {
    house: Arc<House>,
    desk: Arc<Desk>,
    pool: Arc<Pool<Job>>,
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    waiting: HashMap<u64, Box<Conn>>,
    /// Of those, whoever has not introduced himself, by how far he has come.
    strangers: [BTreeSet<u64>; STANDINGS],
    deadlines: BTreeSet<(Instant, u64)>,
    /// When connections are let in again.
    deaf: Option<Instant>,
    /// When whoever supervises smrd is next told that it lives.
    beat: Option<Instant>,
}

/// What ends a door, from another thread.
pub(crate) struct Bolt {
    desk: Arc<Desk>,
    pool: Arc<Pool<Job>>,
}

impl Bolt {
    /// Closes the door: whoever waits there is sent away.
    pub(crate) fn close(&self) {
        self.desk.close();
    }

    /// Sends the workers home.
    pub(crate) fn dismiss(&self) {
        self.pool.close(Duration::from_millis(500));
    }
}

fn listener_number(index: usize) -> u64 {
    DESK - 1 - index as u64
}

impl Door {
    /// Makes a door for these listeners, which must not block.
    pub(crate) fn open(house: Arc<House>, listeners: Vec<TcpListener>) -> io::Result<(Door, Bolt)> {
        let desk = Arc::new(Desk::open()?);
        house.news.tell(&desk);
        let (own, word) = (house.clone(), desk.clone());
        // As many strangers at a time as there are processors: more would only
        // make all of them late.
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let pool = Pool::new(processors.max(2), MEMBERS, move |job| {
            serve(&own, &word, job);
        });
        // The pool has the house: nobody may have both.
        let lines = Arc::downgrade(&pool);
        let waiting = move || lines.upgrade().map_or([0; 2], |pool| pool.waiting());
        house.metrics.ask_for_lines(Box::new(waiting));
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        add(&epoll, &*desk, DESK, EventFlags::IN)?;
        for (index, listener) in listeners.iter().enumerate() {
            add(&epoll, listener, listener_number(index), EventFlags::IN)?;
        }
        let bolt = Bolt {
            desk: desk.clone(),
            pool: pool.clone(),
        };
        let door = Door {
            beat: house.herald.every().map(|_| Instant::now()),
            house,
            desk,
            pool,
            epoll,
            listeners,
            waiting: HashMap::new(),
            strangers: Default::default(),
            deadlines: BTreeSet::new(),
            deaf: None,
        };
        Ok((door, bolt))
    }

    /// Keeps the door until it is closed.
    pub(crate) fn keep(mut self) {
        let mut events = Vec::with_capacity(BATCH);
        while self.turn(&mut events) {}
    }

    /// Does one thing: what a panic leaves behind is one connection, until its
    /// deadline, and never what is due for others.
    fn guarded(&mut self, act: impl FnOnce(&mut Door)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            failed(&self.house, &"panic");
        }
    }

    /// Waits for something to happen and sees to it; false once closed.
    fn turn(&mut self, events: &mut Vec<Event>) -> bool {
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&self.patience())) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                // Out of memory, most likely: smrd must not live on deaf.
                failed(&self.house, &error);
                thread::sleep(DEAF);
            }
        }
        for event in events.drain(..) {
            match event.data.u64() {
                DESK => match self.desk.take() {
                    Some(notes) => notes
                        .into_iter()
                        .for_each(|note| self.guarded(|door| door.heed(note))),
                    None => return false,
                },
                number => match usize::try_from(DESK - 1 - number) {
                    Ok(index) if index < self.listeners.len() => {
                        self.guarded(|door| door.accept(index));
                    }
                    _ => self.guarded(|door| door.ready(number)),
                },
            }
        }
        self.guarded(|door| door.expire(Instant::now()));
        self.live(Instant::now());
        self.house.log.settle();
        true
    }

    fn patience(&self) -> Timespec {
        let first = self.deadlines.first().map(|(deadline, _)| *deadline);
        let next = first.into_iter().chain(self.deaf).chain(self.beat).min();
        let left = next.map_or(LONGEST, |next| {
            next.saturating_duration_since(Instant::now()).min(LONGEST)
        });
        Timespec::try_from(left).expect("a minute fits")
    }

    fn heed(&mut self, note: Note) {
        match note {
            Note::Back(conn) => self.hold(conn),
            Note::Rung(numbers) => {
                for number in numbers {
                    if let Some(conn) = self.release(number) {
                        self.submit(conn, Due::News);
                    }
                }
            }
            Note::Changed(name) => {
                let theirs = self
                    .waiting
                    .iter()
                    .filter(|(_, conn)| conn.idles_for(&name));
                let theirs: Vec<u64> = theirs.map(|(number, _)| *number).collect();
                for number in theirs {
                    if let Some(conn) = self.release(number) {
                        // What has begun to come in stays with it.
                        self.submit(conn, Due::Judgement);
                    }
                }
            }
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..BATCH {
            let Some(listener) = self.listeners.get(index) else {
                return;
            };
            match listener.accept() {
                Ok((stream, from)) => self.admit(stream, from),
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    // Out of descriptors, most likely: a stranger has one.
                    _ if self.displace() => {}
                    _ => {
                        failed(&self.house, &e);
                        return self.listen(false);
                    }
                },
            }
        }
    }

    /// Hears those who knock, or for a while does not: epoll would return at
    /// once again.
    fn listen(&mut self, hears: bool) {
        self.deaf = (!hears).then(|| Instant::now() + DEAF);
        let flags = match hears {
            true => EventFlags::IN,
            false => EventFlags::empty(),
        };
        for (index, listener) in self.listeners.iter().enumerate() {
            let data = EventData::new_u64(listener_number(index));
            if let Err(error) = epoll::modify(&self.epoll, listener, data, flags) {
                failed(&self.house, &error);
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, from: SocketAddr) {
        let stream = Arc::new(stream);
        let proxies = &self.house.config.listen.proxy;
        let proxied = proxies.contains(&from.ip().to_canonical());
        let peer = (!proxied).then_some(from.ip());
        let seat = match self.house.seats.take(&stream, peer) {
            Err(Full::All) if self.displace() => self.house.seats.take(&stream, peer),
            taken => taken,
        };
        let seat = match seat {
            Ok(seat) => seat,
            Err(Full::Stopping) => return,
            Err(Full::All | Full::Peer) => return full(&self.house, from),
        };
        let conn = Conn::new(seat, from, proxied, self.house.step());
        let prepared = prepare(&stream)
            .and_then(|()| add(&self.epoll, &*stream, conn.number(), EventFlags::empty()));
        match prepared {
            Ok(()) => self.hold(conn),
            Err(error) => {
                let error = crate::wire::WireError::Io(error);
                end(&self.house, About::Stranger, from, &error.into());
            }
        }
    }

    /// Makes room for a newcomer: of those strangers who have come equally far,
    /// where there are most, the one who was there first goes. So nobody can
    /// crowd others out by stopping at one point, and whoever goes on at his
    /// pace has time until as many have come after him.
    fn displace(&mut self) -> bool {
        let most = self.strangers.iter().max_by_key(|alike| alike.len());
        let Some(oldest) = most.and_then(|alike| alike.first().copied()) else {
            return false;
        };
        let Some(conn) = self.release(oldest) else {
            return false;
        };
        let line = self.house.log.line(Level::Warn, "displaced");
        line.with("peer", conn.peer()).send();
        true
    }

    /// Holds a connection until something comes, or its deadline.
    fn hold(&mut self, conn: Box<Conn>) {
        let number = conn.number();
        let data = EventData::new_u64(number);
        // Once: the next event is for whoever holds it then.
        let flags = conn.awaits() | EventFlags::ONESHOT;
        if let Err(error) = epoll::modify(&self.epoll, &**conn.stream(), data, flags) {
            let error = crate::wire::WireError::Io(error.into());
            return end(&self.house, conn.about(), conn.peer(), &error.into());
        }
        // Rung, or changed, while a worker had it.
        if let Some(due) = conn.missed(&self.house) {
            return self.submit(conn, due);
        }
        self.deadlines.insert((conn.deadline(), number));
        if let Some(alike) = conn.standing().and_then(|s| self.strangers.get_mut(s)) {
            alike.insert(number);
        }
        self.waiting.insert(number, conn);
    }

    fn release(&mut self, number: u64) -> Option<Box<Conn>> {
        let conn = self.waiting.remove(&number)?;
        self.deadlines.remove(&(conn.deadline(), number));
        if let Some(alike) = conn.standing().and_then(|s| self.strangers.get_mut(s)) {
            alike.remove(&number);
        }
        Some(conn)
    }

    fn ready(&mut self, number: u64) {
        // None: a worker has it, or it is gone.
        let Some(mut conn) = self.release(number) else {
            return;
        };
        match conn.arrived() {
            Ok(None) => self.hold(conn),
            Ok(Some(due)) => self.submit(conn, due),
            Err(error) => end(&self.house, conn.about(), conn.peer(), &error),
        }
    }

    fn submit(&self, conn: Box<Conn>, due: Due) {
        let lane = conn.lane();
        if let Err(error) = self.pool.submit(lane, (conn, due)) {
            failed(&self.house, &error);
        }
    }

    /// Tells that smrd lives, where that is due: a door that hangs does not.
    fn live(&mut self, now: Instant) {
        let due = self.beat.is_some_and(|beat| beat <= now);
        if let Some(every) = self.house.herald.every().filter(|_| due) {
            self.house.log.heard(self.house.herald.alive());
            self.beat = Some(now + every);
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.deaf.is_some_and(|until| until <= now) {
            self.listen(true);
        }
        while let Some((_, number)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let Some(conn) = self.release(*number) else {
                // Nobody's deadline.
                self.deadlines.pop_first();
                continue;
            };
            match conn.timed_out() {
                Ok(due) => self.submit(conn, due),
                Err(error) => end(&self.house, conn.about(), conn.peer(), &error),
            }
        }
    }
}

fn add(epoll: &OwnedFd, what: impl AsFd, number: u64, flags: EventFlags) -> io::Result<()> {
    Ok(epoll::add(epoll, what, EventData::new_u64(number), flags)?)
}

/// Lets small frames go at once, and a peer that is gone without a word be
/// missed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(stream, KEEP_COUNT)?)
}

fn failed(house: &House, error: &dyn std::fmt::Display) {
    let line = house.log.line(Level::Error, "listen");
    line.with("why", error).send();
}

/// Says that a connection was turned away.
fn full(house: &House, peer: SocketAddr) {
    let line = house.log.line(Level::Warn, "full").with("peer", peer);
    line.with("connections", house.seats.count()).send();
}

fn end(house: &House, about: About, peer: SocketAddr, error: &ConnError) {
    if matches!(error, ConnError::Crowded) {
        return full(house, peer);
    }
    let line = house.log.line_about(about, error.level(), "end");
    line.with("peer", peer).with("why", error).send();
}

/// Lets a worker do what is due.
fn serve(house: &House, desk: &Desk, (conn, due): Job) {
    let (about, peer) = (conn.about(), conn.peer());
    match catch_unwind(AssertUnwindSafe(|| conn.serve(house, due))) {
        Ok(Ok(Some(conn))) => desk.leave(Note::Back(conn)),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => end(house, about, peer, &error),
        Err(_) => {
            let line = house.log.line(Level::Error, "end").with("peer", peer);
            line.with("why", "panic").send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEEP_COUNT, KEEP_IDLE, KEEP_INTERVAL, prepare};
    use rustix::net::sockopt;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn peers_that_are_gone_are_missed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        prepare(&stream).unwrap();
        assert_eq!(sockopt::socket_keepalive(&stream), Ok(true));
        assert_eq!(sockopt::tcp_keepidle(&stream), Ok(KEEP_IDLE));
        assert_eq!(sockopt::tcp_keepintvl(&stream), Ok(KEEP_INTERVAL));
        assert_eq!(sockopt::tcp_keepcnt(&stream), Ok(KEEP_COUNT));
    }
}
