//! What a tool may not do: frames out of bounds, and more tools than there is
//! room for.

mod house;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use house::{Agent, Tool};
use smr_channel::local::{Answer, Ask, Frame, VERSION};
use smr_name::Class;

fn hello() -> Vec<u8> {
    let ask = Ask::Hello { version: VERSION };
    let frame = Frame::Head(ask.encode().unwrap());
    frame.encode().unwrap().to_vec()
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

#[test]
fn lengths_out_of_bounds_end_one_connection_and_cost_no_memory() {
    let agent = Agent::start(false);
    for header in [[0; 4], [0xff; 4], [0, 0x10, 0, 1], [0x80, 0, 0, 0]] {
        let mut tool = Tool::open(&agent.socket);
        tool.stream.write_all(&header).unwrap();
        assert_eq!(tool.read(), None, "{header:?}");
    }
    // The longest legal one is read before it is found to say nothing.
    let mut tool = Tool::open(&agent.socket);
    let mut longest = vec![0, 0x10, 0, 0, 1, 99];
    longest.resize(4 + (1 << 20), 0);
    tool.stream.write_all(&longest).unwrap();
    assert_eq!(tool.read(), None);
}

#[test]
fn one_tool_too_many_is_told_so_and_the_next_has_its_place() {
    let agent = Agent::start(false);
    let mut tools: Vec<Tool> = (0..256).map(|_| Tool::open(&agent.socket)).collect();
    let mut extra = Tool {
        stream: UnixStream::connect(&agent.socket).unwrap(),
    };
    match extra.read() {
        Some(Frame::Head(bytes)) => {
            let told = Answer::decode(&bytes).unwrap();
            assert!(
                matches!(
                    told,
                    Answer::Failed {
                        class: Class::Busy,
                        ..
                    }
                ),
                "{told:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(extra.read(), None);
    tools.pop();
    assert!(eventually(|| {
        let stream = UnixStream::connect(&agent.socket).unwrap();
        let mut tool = Tool { stream };
        let hello = hello();
        // It may be turned away before it has spoken.
        let _ = tool.stream.write_all(&hello);
        let answer = tool.read();
        matches!(answer, Some(Frame::Head(b)) if matches!(Answer::decode(&b), Ok(Answer::Hello { .. })))
    }));
}
