//! What a client asks the directory, and keeps of it: records when they are
//! needed, once, and anew when they have changed; however many users there are.

mod house;

use std::fs;
use std::time::Duration;

use house::House;
use house::counter::Counter;

/// Users besides the two who write.
const USERS: usize = 10_000;
/// What one send differs from another by: a time or a number has a digit more.
const WORDS: u64 = 200;

struct Sent {
    /// Bytes that came from smrd for it.
    from: u64,
    /// The processor's time that smrd took.
    time: Duration,
}

fn send(house: &mut House, counter: &Counter) -> Sent {
    let (_, before) = counter.passed();
    let start = house.smrd_time();
    house.sh("alice", "echo well | smr-send bob").expect(0);
    Sent {
        from: counter.passed().1 - before,
        time: house.smrd_time() - start,
    }
}

/// Returns the bytes of one send, the same for each of five, and the fastest.
fn sends(house: &mut House, counter: &Counter) -> Sent {
    let sent: Vec<Sent> = (0..5).map(|_| send(house, counter)).collect();
    let (least, most) = (
        sent.iter().map(|s| s.from).min().unwrap(),
        sent.iter().map(|s| s.from).max().unwrap(),
    );
    assert!(most - least < WORDS, "{least} to {most} bytes");
    Sent {
        from: most,
        time: sent.iter().map(|s| s.time).min().unwrap(),
    }
}

#[test]
fn ten_thousand_users_do_not_slow_a_send() {
    let mut house = House::with(&["alice", "bob"]);
    let counter = Counter::start(&house);
    counter.before(&mut house, "alice");
    let record = fs::read(house.path("store/accounts/bob/record")).unwrap();
    let size = record.len() as u64;

    // Bob's record comes once.
    let first = send(&mut house, &counter);
    let few = sends(&mut house, &counter);
    assert!(
        first.from > few.from + size,
        "{} and {}",
        first.from,
        few.from
    );
    // It changes, and comes once more: the new key is the one to seal to.
    house.sh("bob", "smr-login --new-key").expect(0);
    let changed = send(&mut house, &counter);
    assert!(
        changed.from > few.from + size,
        "{} and {}",
        changed.from,
        few.from
    );
    let again = sends(&mut house, &counter);
    assert!(
        again.from.abs_diff(few.from) < WORDS,
        "{} and {}",
        again.from,
        few.from
    );
    house
        .sh("bob", "smr-recv --all --mbox --receipt never")
        .expect(0);

    house.stop();
    for number in 0..USERS {
        let folder = house.path(&format!("store/accounts/crowd{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("record"), &record).unwrap();
    }
    house.start();
    send(&mut house, &counter);
    let many = sends(&mut house, &counter);
    assert!(
        many.from.abs_diff(few.from) < WORDS,
        "{} and {}",
        many.from,
        few.from
    );
    // To look at each of them would take a second at least.
    let bound = few.time * 2 + Duration::from_millis(200);
    assert!(many.time < bound, "{:?} and {bound:?}", many.time);
    // Nothing of those whom she has nothing to do with is kept.
    let kept = house.sh("alice", "grep -rl crowd $SMR_HOME");
    assert_eq!(kept.text(), "");
}
