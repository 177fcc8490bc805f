//! Watches through the agent: carried like any request, cut by a lock, given up
//! with the tool that asked, and no use of the account.

mod house;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use house::{Agent, Device, RUI, Repository, Tool, load};
use smr_channel::local::{Answer, Ask, Frame, Loaded};
use smr_channel::reply::Reply;
use smr_channel::request::{Folder, Request};
use smr_name::Class;

/// The fake tells of news at once above 0, and never of any after 0.
fn watch(after: u64) -> Request {
    Request::Watch {
        folder: Folder::Inbox,
        after,
        wait: 900,
    }
}

fn logged_in(idle: u32) -> (Agent, Repository, Tool) {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let agent = Agent::start(false);
    let mut tool = Tool::open(&agent.socket);
    let mut load = load(RUI, &repository, &device);
    load.idle = idle;
    assert_eq!(tool.ask(&Ask::Load(Box::new(load))), Some(Answer::Done));
    (agent, repository, tool)
}

fn status(tool: &mut Tool) -> Loaded {
    match tool.ask(&Ask::Status) {
        Some(Answer::Status { mut accounts, .. }) => accounts.remove(0),
        other => panic!("{other:?}"),
    }
}

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn watches(repository: &Repository) -> usize {
    repository.seen.watches.load(Ordering::SeqCst)
}

/// Asks, and does not wait for the answer.
fn begin(agent: &Agent, repository: &Repository) -> Tool {
    let before = watches(repository);
    let mut tool = Tool::open(&agent.socket);
    tool.begin(RUI, &watch(0));
    tool.write(&Frame::End(None));
    eventually("the watch has come", || watches(repository) > before);
    tool
}

#[test]
fn news_is_carried() {
    let (_agent, _repository, mut tool) = logged_in(0);
    for _ in 0..2 {
        let carried = tool.carry(RUI, &watch(1)).unwrap();
        assert_eq!(carried.reply, Reply::News { count: 2 });
    }
}

#[test]
fn a_lock_cuts_a_watch() {
    let (agent, repository, mut tool) = logged_in(0);
    let mut watching = begin(&agent, &repository);
    let account = RUI.parse().unwrap();
    assert_eq!(tool.ask(&Ask::Lock { account }), Some(Answer::Done));
    let failed = watching.finish().unwrap_err();
    assert!(
        matches!(failed.class, Class::Busy | Class::Unavailable),
        "{failed:?}"
    );
}

#[test]
fn a_tool_that_leaves_takes_its_session_along() {
    let (agent, repository, mut tool) = logged_in(0);
    let watching = begin(&agent, &repository);
    // The one session is lent.
    assert!(status(&mut tool).online);
    drop(watching);
    eventually("the session is over", || !status(&mut tool).online);
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn watches_are_no_use_of_the_account() {
    let (_agent, _repository, mut tool) = logged_in(2);
    // Were they, this would go on for ever.
    eventually("it is locked", || tool.carry(RUI, &watch(1)).is_err());
    assert!(status(&mut tool).locked);
}
