//! The workers: threads for what has come whole, made on demand and ended when
//! there is nothing to do.
//!
//! Knows neither connections nor requests. Strangers wait in a line of their
//! own, of which few are served at a time, so that those who are let in find a
//! processor.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Bytes of stack for a worker; verifying a path is what needs most of it.
const STACK: usize = 1 << 20;

/// How long a worker waits for something to do.
const IDLE: Duration = Duration::from_secs(10);

/// In which line something waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Of those who have not introduced themselves.
    Stranger = 0,
    /// Of those who have.
    Member = 1,
}

/// The workers and what waits for them.
pub(crate) struct Pool<J> {
    /// How many of each lane are served at a time.
    most: [usize; 2],
    run: Box<dyn Fn(J) + Send + Sync>,
    /// How long a worker waits.
    idle: Duration,
    table: Mutex<Table<J>>,
    ended: Condvar,
}

struct Table<J> {
    lines: [VecDeque<J>; 2],
    served: [usize; 2],
    threads: usize,
    /// Those that sleep, who worked last on top: woken in turn, none would ever
    /// be idle for long, and each keeps memory of its own.
    asleep: Vec<Thread>,
    closed: bool,
}

impl<J> Table<J> {
    /// Takes what is served next, those who were let in before strangers.
    fn next(&mut self, most: [usize; 2]) -> Option<(Lane, J)> {
        [Lane::Member, Lane::Stranger].into_iter().find_map(|lane| {
            let at = lane as usize;
            let free = self.served[at] < most[at];
            let job = free.then(|| self.lines[at].pop_front()).flatten()?;
            self.served[at] += 1;
            Some((lane, job))
        })
    }

    /// Counts what could be served now.
    fn due(&self, most: [usize; 2]) -> usize {
        let due = |at: usize| self.lines[at].len().min(most[at] - self.served[at]);
        due(0) + due(1)
    }

    /// Counts those that serve nobody; who does not sleep looks for something
    /// to do before it does.
    fn idle(&self) -> usize {
        self.threads - self.served[0] - self.served[1]
    }
}

impl<J: Send + 'static> Pool<J> {
    /// Makes a pool that serves at most so many strangers and members at a
    /// time, by `run`, which must not panic.
    pub(crate) fn new(
        strangers: usize,
        members: usize,
        run: impl Fn(J) + Send + Sync + 'static,
    ) -> Arc<Pool<J>> {
        Arc::new(Pool {
            most: [strangers, members],
            run: Box::new(run),
            idle: IDLE,
            table: Mutex::new(Table {
                lines: [VecDeque::new(), VecDeque::new()],
                served: [0; 2],
                threads: 0,
                asleep: Vec::new(),
                closed: false,
            }),
            ended: Condvar::new(),
        })
    }

    // Every change is complete before the lock is let go, so a poisoned table
    // is still right.
    fn table(&self) -> MutexGuard<'_, Table<J>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in its line. Where the system gives no thread, and there is
    /// none, the job is dropped.
    pub(crate) fn submit(self: &Arc<Self>, lane: Lane, job: J) -> io::Result<()> {
        let mut table = self.table();
        if table.closed {
            return Ok(());
        }
        table.lines[lane as usize].push_back(job);
        if table.idle() >= table.due(self.most) {
            let woken = table.asleep.pop();
            drop(table);
            woken.iter().for_each(Thread::unpark);
            return Ok(());
        }
        let own = self.clone();
        let builder = thread::Builder::new().name("worker".to_owned());
        match builder.stack_size(STACK).spawn(move || own.serve()) {
            Ok(_) => table.threads += 1,
            // Those that are there will come to it.
            Err(_) if table.threads > 0 => {}
            Err(error) => {
                let dropped = table.lines[lane as usize].pop_back();
                drop(table);
                drop(dropped);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns how many wait in each line.
    pub(crate) fn waiting(&self) -> [usize; 2] {
        let table = self.table();
        [table.lines[0].len(), table.lines[1].len()]
    }

    fn serve(&self) {
        while let Some((lane, job)) = self.wait() {
            (self.run)(job);
            self.table().served[lane as usize] -= 1;
        }
        self.ended.notify_all();
    }

    /// Waits for a job; none is the worker's end, and counted as such.
    fn wait(&self) -> Option<(Lane, J)> {
        let (own, end) = (thread::current(), Instant::now() + self.idle);
        loop {
            let mut table = self.table();
            // It is there still where nobody woke it.
            table.asleep.retain(|other| other.id() != own.id());
            if let Some(job) = table.next(self.most) {
                return Some(job);
            }
            let left = end.saturating_duration_since(Instant::now());
            if table.closed || left.is_zero() {
                table.threads -= 1;
                return None;
            }
            table.asleep.push(own.clone());
            drop(table);
            thread::park_timeout(left);
        }
    }

    /// Drops what waits, lets no more in, and gives the workers so much time to
    /// end.
    pub(crate) fn close(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut table = self.table();
        table.closed = true;
        let waiting = std::mem::take(&mut table.lines);
        table.asleep.drain(..).for_each(|worker| worker.unpark());
        while table.threads > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (table, _) = self
                .ended
                .wait_timeout(table, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(table);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, Pool};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(60);

    /// A job says its name, and ends when it is let go.
    type Job = (&'static str, Receiver<()>);

    fn pool(strangers: usize, members: usize) -> (Arc<Pool<Job>>, Receiver<&'static str>) {
        let (said, heard) = channel();
        let said = Mutex::new(said);
        let pool = Pool::new(strangers, members, move |(name, go): Job| {
            said.lock().unwrap().send(name).unwrap();
            // Let go by a word, or by dropping the sender.
            let _ = go.recv();
        });
        (pool, heard)
    }

    fn put(pool: &Arc<Pool<Job>>, lane: Lane, name: &'static str) -> Sender<()> {
        let (let_go, go) = channel();
        pool.submit(lane, (name, go)).unwrap();
        let_go
    }

    #[test]
    fn few_strangers_are_served_at_a_time_and_in_order() {
        let (pool, heard) = pool(1, 2);
        let first = put(&pool, Lane::Stranger, "first");
        assert_eq!(heard.recv_timeout(LONG), Ok("first"));
        let _second = put(&pool, Lane::Stranger, "second");
        let _third = put(&pool, Lane::Stranger, "third");
        let _member = put(&pool, Lane::Member, "member");
        assert_eq!(heard.recv_timeout(LONG), Ok("member"));
        assert_eq!(pool.waiting(), [2, 0]);
        drop(first);
        assert_eq!(heard.recv_timeout(LONG), Ok("second"));
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn workers_are_used_again() {
        let (pool, heard) = pool(1, 1);
        for _ in 0..20 {
            drop(put(&pool, Lane::Member, "one"));
            assert_eq!(heard.recv_timeout(LONG), Ok("one"));
        }
        assert!(pool.table().threads <= 2);
        pool.close(LONG);
        assert_eq!(pool.table().threads, 0);
    }

    #[test]
    fn who_is_not_needed_ends_while_others_work() {
        let (mut pool, heard) = pool(1, 8);
        Arc::get_mut(&mut pool).unwrap().idle = Duration::from_millis(200);
        let crowd: Vec<_> = (0..8).map(|_| put(&pool, Lane::Member, "one")).collect();
        crowd
            .iter()
            .for_each(|_| assert_eq!(heard.recv_timeout(LONG), Ok("one")));
        assert_eq!(pool.table().threads, 8);
        drop(crowd);
        let end = Instant::now() + LONG;
        while pool.table().threads > 2 && Instant::now() < end {
            drop(put(&pool, Lane::Member, "another"));
            assert_eq!(heard.recv_timeout(LONG), Ok("another"));
        }
        assert!(pool.table().threads <= 2);
    }

    #[test]
    fn what_waits_is_dropped_at_the_end() {
        let (pool, heard) = pool(1, 1);
        let running = put(&pool, Lane::Member, "running");
        assert_eq!(heard.recv_timeout(LONG), Ok("running"));
        let waiting = put(&pool, Lane::Member, "waiting");
        pool.close(Duration::from_millis(1));
        assert!(waiting.send(()).is_err(), "it was dropped");
        drop(running);
        pool.close(LONG);
        assert_eq!(pool.table().threads, 0);
        assert!(heard.try_recv().is_err());
    }
}
