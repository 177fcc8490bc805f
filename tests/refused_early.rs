//! What smrd would not take is refused before it is sent there: the bytes on
//! the wire are counted, by scripts/count-wire between the agent and smrd.

mod house;

use std::fs;

use house::counter::Counter;
use house::{House, Said};

/// Runs a command of alice's; returns also how many bytes it sent to smrd.
fn counted(house: &mut House, counter: &Counter, command: &str) -> (Said, u64) {
    let (before, _) = counter.passed();
    let said = house.sh("alice", command);
    (said, counter.passed().0 - before)
}

/// A house with little room, alice's agent behind the counter.
fn narrow() -> (House, Counter) {
    let mut house = House::with(&["alice", "bob", "carol"]);
    assert_eq!(house.stop(), Some(0));
    let file = house.path("smrd.toml");
    let limits = "[store]\nmax_message = \"1MiB\"\nquota = \"1536KiB\"\nper_sender = \"1200KiB\"\n";
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[store]\n", limits)).unwrap();
    house.start();
    let counter = Counter::start(&house);
    counter.before(&mut house, "alice");
    let fill = "head -c 2000000 /dev/urandom > large && head -c 600000 /dev/urandom > middle";
    house.sh("alice", fill).expect(0);
    (house, counter)
}

/// Bytes of a login, records, offers and refusals, with room to spare; each
/// message here has 600,000 at least.
const WORDS: u64 = 60_000;

#[test]
fn what_is_refused_is_not_sent() {
    let (mut house, counter) = narrow();
    let (whole, bytes) = counted(&mut house, &counter, "smr-send -a middle bob < /dev/null");
    whole.expect(0);
    assert!(bytes > 600_000, "the counter counts: {bytes}");
    let refusals = [
        ("-a large carol", 77, "at most 1MiB"),
        // From a stream, whose size nobody knows before.
        ("-a - carol < large", 77, "at most 1MiB"),
        ("-a middle nobody", 67, "no such mailbox: nobody"),
        ("-a middle carol nobody", 67, "no such mailbox: nobody"),
        ("-a middle bob", 75, "bob"),
    ];
    for (call, code, why) in refusals {
        let call = match call.contains('<') {
            true => format!("smr-send {call}"),
            false => format!("smr-send {call} < /dev/null"),
        };
        let (said, bytes) = counted(&mut house, &counter, &call);
        let said = said.expect(code);
        assert_eq!(said.text(), "", "{call}");
        assert!(said.stderr.contains(why), "{call}: {}", said.stderr);
        assert!(said.stderr.contains("hint: "), "{call}: {}", said.stderr);
        assert!(bytes < WORDS, "{call}: {bytes} bytes went to smrd");
    }
    // Nobody got anything of it, and what fits is taken.
    assert_eq!(house.sh("carol", "smr-ls -q").code, 1);
    let (small, _) = counted(&mut house, &counter, "echo small | smr-send carol");
    small.expect(0);
}
