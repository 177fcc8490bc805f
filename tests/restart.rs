//! smrd stops, is killed and comes back in the middle of whatever a tool does
//! through the agent: the tool ends right, or with 75 and doing it again helps;
//! no message is lost or doubled, and nobody is asked for a passphrase.
//!
//! Between agent and smrd stands a wire that stops after a number of bytes
//! until smrd has been started anew.

#![allow(clippy::print_stdout)] // counts and figures

mod house;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use house::{House, Said};
use smr_channel::request::Request;
use smr_client::agent::Connection;
use smr_name::Class;

/// When the wire stops.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// After so many bytes, both ways together.
    After(usize),
    /// At the first piece of more than a KiB that the agent says, before or
    /// after it has passed.
    Long { passed: bool },
}

#[derive(Default)]
struct State {
    rule: Option<Rule>,
    count: usize,
    stopped: bool,
}

/// A wire to smrd.
struct Wire {
    address: String,
    state: Arc<(Mutex<State>, Condvar)>,
    stops: mpsc::Receiver<()>,
}

impl Wire {
    fn to(smrd: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let (tell, stops) = mpsc::channel();
        let (shared, smrd) = (state.clone(), smrd.to_owned());
        thread::spawn(move || {
            for agent in listener.incoming() {
                // Without smrd there is nobody to pass anything to.
                let (Ok(agent), Ok(smrd)) = (agent, TcpStream::connect(&smrd)) else {
                    continue;
                };
                let ends = [(&agent, &smrd, true), (&smrd, &agent, false)];
                for (from, to, says) in ends {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (state, tell) = (shared.clone(), tell.clone());
                    thread::spawn(move || pump(from, to, says, &state, &tell));
                }
            }
        });
        Wire {
            address,
            state,
            stops,
        }
    }

    fn arm(&self, rule: Rule) {
        let mut state = self.state.0.lock().unwrap();
        (state.rule, state.count) = (Some(rule), 0);
    }

    /// Disarms it; false where it had stopped.
    fn disarm(&self) -> bool {
        self.state.0.lock().unwrap().rule.take().is_some()
    }

    /// Lets those who wait break off.
    fn release(&self) {
        self.state.0.lock().unwrap().stopped = false;
        self.state.1.notify_all();
    }
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    agent: bool,
    shared: &(Mutex<State>, Condvar),
    tell: &mpsc::Sender<()>,
) {
    let mut piece = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let passes = stop_at(shared, count, agent);
        if to.write_all(&piece[..passes.unwrap_or(count)]).is_err() {
            break;
        }
        if passes.is_some() {
            tell.send(()).unwrap();
            let stopped = shared.0.lock().unwrap();
            drop(shared.1.wait_while(stopped, |s| s.stopped).unwrap());
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

// How much of a piece still passes, where the wire stops in it.
fn stop_at(shared: &(Mutex<State>, Condvar), count: usize, agent: bool) -> Option<usize> {
    let mut state = shared.0.lock().unwrap();
    state.count += count;
    let passes = match state.rule? {
        Rule::After(most) if state.count > most => most.saturating_sub(state.count - count),
        Rule::Long { passed } if agent && count > 1024 => usize::from(passed) * count,
        _ => return None,
    };
    (state.rule, state.stopped) = (None, true);
    Some(passes)
}

/// How smrd goes.
#[derive(Clone, Copy, Debug)]
enum End {
    Stopped,
    Killed,
}

fn restart(house: &mut House, end: End) {
    match end {
        End::Stopped => drop(house.stop()),
        End::Killed => house.kill(),
    }
    house.start();
}

fn people() -> (House, Wire) {
    let mut house = House::build();
    let wire = Wire::to(house.server());
    let register = format!(
        "smr-register --server {} --server-key $KEY --token \"$TOKEN\" --no-backup $WHO",
        wire.address
    );
    for who in ["alice", "bob"] {
        house.sh(who, &register).expect(0);
        house.sh(who, "smr-login").expect(0);
    }
    (house, wire)
}

/// Runs a command of alice's over a wire that stops; smrd is started anew
/// meanwhile. None where the wire did not stop.
fn amid(
    house: &mut House,
    wire: &Wire,
    who: &str,
    command: &str,
    at: usize,
    end: End,
) -> Option<Said> {
    wire.arm(Rule::After(at));
    // Nobody can be asked for a passphrase, and none is there to be read.
    let alone = format!("unset CREDENTIALS_DIRECTORY; exec 2>&1; {command} </dev/null");
    let mut tool = house.begin(who, &alone);
    while tool.try_wait().unwrap().is_none() {
        if wire.stops.recv_timeout(Duration::from_millis(5)).is_ok() {
            restart(house, end);
            wire.release();
            return Some(said(tool));
        }
    }
    let whole = said(tool).expect(0);
    match wire.disarm() {
        true => None,
        // It stopped as the tool was about to end.
        false => {
            wire.stops.recv().unwrap();
            restart(house, end);
            wire.release();
            Some(whole)
        }
    }
}

fn said(tool: Child) -> Said {
    tool.wait_with_output().unwrap().into()
}

/// Runs a command with a restart at more and more bytes, until it is through
/// before; again where it says 75, and then it may end with `there`: the first
/// has done it. Returns how often it was done.
fn all_through(
    house: &mut House,
    wire: &Wire,
    who: &str,
    there: i32,
    command: impl Fn(usize) -> String,
) -> usize {
    let (mut done, mut again, mut at) = (0, 0, 0);
    loop {
        let end = [End::Stopped, End::Killed][done % 2];
        let command = command(done);
        let outcome = amid(house, wire, who, &command, at, end);
        done += 1;
        let Some(said) = outcome else {
            let stops = done - 1;
            println!("{command}: {stops} restarts, {again} second tries");
            assert!(stops >= 4, "{command}: {stops} restarts only");
            return done;
        };
        match said.code {
            75 => {
                again += 1;
                let second = house.sh(who, &command);
                assert!([0, there].contains(&second.code), "{}", second.stderr);
            }
            _ => drop(said.expect(0)),
        }
        at += 1 + at / 3 + 40;
    }
}

#[test]
fn a_deposit_is_one_message_wherever_smrd_restarts() {
    let (mut house, wire) = people();
    let command = "sh -c 'printf %04000d 7 | smr-send -s one bob'";
    let sent = all_through(&mut house, &wire, "alice", 0, |_| command.to_owned());
    let count = "smr-ls sent -1 | sort -u | wc -l";
    assert_eq!(house.sh("alice", count).expect(0).text(), sent.to_string());
    let count = "smr-ls -1 | wc -l";
    assert_eq!(house.sh("bob", count).expect(0).text(), sent.to_string());
}

#[test]
fn listing_and_fetch_work_wherever_smrd_restarts() {
    let (mut house, wire) = people();
    let send = "printf %020000d 7 | smr-send -s one bob";
    let id = house.sh("alice", send).expect(0).text();
    all_through(&mut house, &wire, "bob", 0, |_| "smr-ls -1".to_owned());
    all_through(&mut house, &wire, "bob", 0, |_| format!("smr-recv {id}"));
}

#[test]
fn a_receipt_is_given_wherever_smrd_restarts() {
    let (mut house, wire) = people();
    let send = "for n in $(seq 24); do echo $n | smr-send -s $n --receipt read bob; done";
    let ids = house.sh("alice", send).expect(0).text();
    let ids: Vec<&str> = ids.lines().collect();
    house
        .sh(
            "bob",
            "for n in $(seq 24); do smr-recv >/dev/null || exit; done",
        )
        .expect(0);
    let given = all_through(&mut house, &wire, "bob", 0, |n| {
        format!("smr-receipt {}", ids[n])
    });
    let status = format!("smr-receipt --status {}", ids[..given].join(" "));
    let status = house.sh("alice", &status).expect(0).text();
    let good = status.lines().filter(|line| line.contains("good")).count();
    assert_eq!(good, given, "{status}");
}

#[test]
fn a_removal_is_made_wherever_smrd_restarts() {
    let (mut house, wire) = people();
    let send = "for n in $(seq 24); do echo $n | smr-send -s $n bob; done";
    let ids = house.sh("alice", send).expect(0).text();
    let ids: Vec<&str> = ids.lines().collect();
    let removed = all_through(&mut house, &wire, "bob", 66, |n| {
        format!("smr-rm {}", ids[n])
    });
    let left = house.sh("bob", "smr-ls -1").expect(0).text();
    assert_eq!(left.lines().collect::<Vec<_>>(), ids[removed..]);
}

#[test]
fn a_login_opens_a_session_wherever_smrd_restarts() {
    let (mut house, wire) = people();
    let login = "printf 'correct horse' > p; smr-login --logout; smr-login --passphrase-file p";
    all_through(&mut house, &wire, "alice", 0, |_| login.to_owned());
    house.sh("alice", "smr-ls -q sent").expect(1);
}

#[test]
fn a_renewal_of_the_session_key_may_be_cut() {
    let (mut house, wire) = people();
    let socket = house.path("home/alice/agent.sock");
    let account = "alice@repo.example".parse().unwrap();
    let mut agent = Connection::open(&socket).unwrap();
    for (passed, end) in [
        (false, End::Stopped),
        (true, End::Stopped),
        (false, End::Killed),
        (true, End::Killed),
    ] {
        // The first opens a session where none is; a Ping is short.
        let _ = agent.carry(
            &account,
            &Request::Ping.encode().unwrap(),
            None,
            &mut std::io::sink(),
        );
        wire.arm(Rule::Long { passed });
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let (agent, account, over) = (&mut agent, &account, &over);
            scope.spawn(move || {
                let mut ping = || {
                    agent.carry(
                        account,
                        &Request::Ping.encode().unwrap(),
                        None,
                        &mut std::io::sink(),
                    )
                };
                // A renewal is due after 1024 messages at most, two a Ping.
                while !over.load(Ordering::SeqCst) {
                    match ping().map_err(|error| error.class()) {
                        Err(Class::Busy) | Ok(_) => {}
                        Err(class) => panic!("{class:?}"),
                    }
                }
                ping().unwrap();
            });
            wire.stops.recv().unwrap();
            restart(&mut house, end);
            over.store(true, Ordering::SeqCst);
            wire.release();
        });
        println!("a renewal was cut, passed {passed}, smrd {end:?}");
    }
}
