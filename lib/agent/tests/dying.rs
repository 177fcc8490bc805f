//! Tools that die: at every byte of what they ask, and of what they are told.
//! The agent serves the others, and nothing of the dead stays behind.

#![allow(clippy::print_stdout)] // counts and figures

mod house;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use house::{Agent, Device, RUI, Repository, Tool, load};
use smr_channel::local::{Answer, Ask, Frame, HEADER, Stanza, VERSION};
use smr_channel::request::Request;
use smr_name::Address;

fn head(ask: &Ask) -> Vec<u8> {
    let frame = Frame::Head(ask.encode().unwrap());
    frame.encode().unwrap().to_vec()
}

fn rui() -> Address {
    RUI.parse().unwrap()
}

fn hello() -> Vec<u8> {
    head(&Ask::Hello { version: VERSION })
}

// A request with a body in two parts.
fn carried() -> Vec<u8> {
    let request = Request::GiveReceipt {
        id: "00112233445566778899aabbccddeeff".parse().unwrap(),
        size: 7,
        sha256: [1; 32],
        cms: [2; 32],
    };
    let ask = Ask::Carry {
        account: rui(),
        head: request.encode().unwrap(),
    };
    let parts = [
        Frame::Body(b"sea".to_vec()),
        Frame::Body(b"led!".to_vec()),
        Frame::End(None),
    ];
    let rest = parts.iter().flat_map(|f| f.encode().unwrap().to_vec());
    head(&ask).into_iter().chain(rest).collect()
}

// The agent's own and those of its tools, which are called as it is until they
// have begun.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks
        .flatten()
        .filter_map(|task| name(task).ok())
        .filter(|name| name.starts_with("tool ") || name.trim_end() == "agent")
        .count()
}

fn eventually(mut what: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

// One test, for it counts the threads of the process.
#[test]
fn a_tool_may_die_at_every_byte() {
    let agent = Agent::start(false);
    let device = Device::generate();
    let repository = Repository::start(&device);
    let mut tool = Tool::open(&agent.socket);
    let loaded = Ask::Load(Box::new(load(RUI, &repository, &device)));
    assert_eq!(tool.ask(&loaded), Some(Answer::Done));

    let stanza = Stanza {
        tag: "X25519".to_owned(),
        args: vec!["a".to_owned()],
        body: vec![1; 32],
    };
    let asks = [
        ("status", head(&Ask::Status)),
        ("load", head(&loaded)),
        (
            "sign",
            head(&Ask::Sign {
                account: rui(),
                attributes: vec![0x31, 0],
            }),
        ),
        (
            "unwrap",
            head(&Ask::Unwrap {
                account: rui(),
                stanzas: vec![stanza; 3],
            }),
        ),
        ("carry", carried()),
    ];
    let mut deaths = 0;
    for (name, ask) in asks {
        let said = [hello(), ask].concat();
        // Not to its end: then the agent has been asked.
        for cut in 0..said.len() {
            let mut doomed = UnixStream::connect(&agent.socket).unwrap();
            doomed.write_all(&said[..cut]).unwrap();
            drop(doomed);
            deaths += 1;
        }
        println!("{name}: died at {} places", said.len());
        tool.carry(RUI, &Request::Ping).unwrap();
    }
    // Amid the answer, and with all of it unread.
    let whole = reply_to(&agent, usize::MAX).len();
    for count in 0..whole {
        assert_eq!(reply_to(&agent, count).len(), count);
        deaths += 1;
    }
    println!("reply: died at {whole} places; {deaths} deaths in all");
    assert!(whole > 176, "the answer ends with a warrant");

    tool.carry(RUI, &Request::Ping).unwrap();
    // Whoever knocked before this one has been let in.
    drop(Tool::open(&agent.socket));
    // The agent's thread, and the tool's that lives.
    assert!(eventually(|| threads() == 2), "{} are left", threads());
    let before = repository.seen.sessions.load(Ordering::SeqCst);
    for _ in 0..100 {
        Tool::open(&agent.socket)
            .carry(RUI, &Request::Ping)
            .unwrap();
        // It has given its session back.
        assert!(eventually(|| threads() == 2), "{} are left", threads());
    }
    let opened = repository.seen.sessions.load(Ordering::SeqCst) - before;
    assert!(opened <= 1, "dead tools held {opened} sessions");
}

// Has a request carried and reads so many bytes of the reply.
fn reply_to(agent: &Agent, most: usize) -> Vec<u8> {
    let mut tool = UnixStream::connect(&agent.socket).unwrap();
    tool.write_all(&[hello(), carried()].concat()).unwrap();
    // After the greeting and its answer; all of the reply ends with a frame 3.
    let mut got = Vec::new();
    loop {
        let mut header = [0; HEADER];
        tool.read_exact(&mut header).unwrap();
        let mut frame = vec![0; Frame::length(header).unwrap()];
        let room = most.saturating_sub(got.len());
        if room < HEADER + frame.len() {
            got.extend(&header[..room.min(HEADER)]);
            let rest = room.saturating_sub(HEADER);
            tool.read_exact(&mut frame[..rest]).unwrap();
            got.extend(&frame[..rest]);
            return got;
        }
        tool.read_exact(&mut frame).unwrap();
        got.extend(header);
        got.extend(&frame);
        if frame[0] == 3 {
            return got;
        }
    }
}
