//! The agent between tools and a repository: sessions, bodies, failures.

mod house;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use house::{Agent, BIG, Device, RUI, Repository, Tool, load};
use rand_core::OsRng;
use smr_channel::identity::ServerKeys;
use smr_channel::local::{Answer, Ask, Entrance, Frame, Load};
use smr_channel::reply::Reply;
use smr_channel::request::{Offer, Request};
use smr_name::{Class, MessageId};
use smr_note::Signer;
use smr_note::succession::Chain;

fn logged_in() -> (Agent, Repository, Tool) {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let agent = Agent::start(false);
    let mut tool = Tool::open(&agent.socket);
    let answer = tool.ask(&Ask::Load(Box::new(load(RUI, &repository, &device))));
    assert_eq!(answer, Some(Answer::Done));
    (agent, repository, tool)
}

fn refused(load: Load) -> (Class, String) {
    let agent = Agent::start(false);
    let mut tool = Tool::open(&agent.socket);
    let Some(Answer::Failed { class, text, .. }) = tool.ask(&Ask::Load(Box::new(load))) else {
        panic!("logged in")
    };
    let status = tool.ask(&Ask::Status);
    assert!(matches!(status, Some(Answer::Status { accounts, .. }) if accounts.is_empty()));
    (class, text)
}

fn id() -> MessageId {
    MessageId::from_bytes([1; 16])
}

fn offer() -> Request {
    Request::Offer(Offer {
        id: id(),
        size: 1,
        sha256: [0; 32],
        cms: [0; 32],
        mailboxes: vec![],
    })
}

fn sessions(repository: &Repository) -> usize {
    repository.seen.sessions.load(Ordering::SeqCst)
}

#[test]
fn a_request_is_carried_and_its_warrant_handed_over() {
    let (_agent, repository, mut tool) = logged_in();
    let carried = tool.carry(RUI, &Request::Ping).unwrap();
    assert_eq!(carried.reply, Reply::Done);
    let identity = smr_channel::identity::Identity::parse(&repository.identity).unwrap();
    carried.warrant.verify(&identity.warrant).unwrap();
    let Some(Answer::Status { accounts, .. }) = tool.ask(&Ask::Status) else {
        panic!("no status")
    };
    assert_eq!(accounts.len(), 1);
    assert!(accounts[0].online && !accounts[0].locked);
}

#[test]
fn one_session_serves_a_tool_and_then_the_next() {
    let (agent, repository, mut tool) = logged_in();
    for _ in 0..5 {
        tool.carry(RUI, &Request::Ping).unwrap();
    }
    assert_eq!(sessions(&repository), 1);
    let mut second = Tool::open(&agent.socket);
    second.carry(RUI, &Request::Ping).unwrap();
    assert_eq!(sessions(&repository), 2);
    drop((tool, second));
    // Tools that left have given their sessions back, once the agent saw it.
    let mut third = Tool::open(&agent.socket);
    let reused = (0..1000).any(|_| {
        third = Tool::open(&agent.socket);
        let before = sessions(&repository);
        third.carry(RUI, &Request::Ping).unwrap();
        sessions(&repository) == before
    });
    assert!(reused);
}

#[test]
fn bodies_stream_both_ways() {
    let (_agent, _repository, mut tool) = logged_in();
    assert_eq!(tool.play("big").unwrap().body, vec![0x5a; BIG]);

    tool.carry(RUI, &offer()).unwrap();
    tool.begin(RUI, &Request::Deposit { id: id() });
    for part in vec![1; BIG].chunks(700_000) {
        tool.write(&Frame::Body(part.to_vec()));
    }
    tool.write(&Frame::End(None));
    let postmarks = vec![BIG.to_string()];
    assert_eq!(tool.finish().unwrap().reply, Reply::Postmarks { postmarks });
}

#[test]
fn keys_are_renewed_without_the_tools() {
    let (_agent, repository, mut tool) = logged_in();
    // The session key serves at most 1024 messages.
    for _ in 0..600 {
        tool.carry(RUI, &Request::Ping).unwrap();
    }
    assert!(repository.seen.renewals.load(Ordering::SeqCst) > 0);
    assert_eq!(sessions(&repository), 1);
}

#[test]
fn tools_may_not_renew_or_end_a_session() {
    let (_agent, _repository, mut tool) = logged_in();
    let renew = Request::Renew {
        x25519: [0; 32],
        mlkem: vec![0; 1184],
    };
    for request in [renew, Request::Bye] {
        assert_eq!(tool.carry(RUI, &request).unwrap_err().class, Class::Usage);
    }
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn refusals_of_login_are_passed_on() {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let (class, text) = refused(load("barred@repo.example", &repository, &device));
    assert_eq!(
        (class, text.as_str()),
        (Class::Denied, "this device was removed")
    );
    let (class, _) = refused(load(RUI, &repository, &Device::generate()));
    assert_eq!(class, Class::Denied);
}

#[test]
fn another_server_is_untrusted_and_none_is_busy() {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let mut other = load(RUI, &repository, &device);
    other.identity = Repository::start(&device).identity;
    let (class, text) = refused(other);
    assert_eq!(class, Class::Untrusted);
    assert!(text.contains("not the one that was pinned"), "{text}");

    let mut nobody = load(RUI, &repository, &device);
    nobody.server = "127.0.0.1:1".into();
    assert_eq!(refused(nobody).0, Class::Busy);
}

/// The chain through these keys, in their order.
fn chain(all: &[&ServerKeys]) -> String {
    let signer = |keys: &ServerKeys| Signer::from_seed(keys.postmark_seed());
    let mut chain = Chain::parse(&all[0].identity().to_string()).unwrap();
    for pair in all.windows(2) {
        let (old, new) = (signer(pair[0]), signer(pair[1]));
        let document = pair[1].identity().to_string();
        chain.succeed(&document, 1_800_000_000, &old, &new).unwrap();
    }
    chain.to_string()
}

#[test]
fn keys_are_followed_as_those_before_say_and_no_others() {
    let (agent, repository, mut tool) = logged_in();
    let keys = |name: &str| Arc::new(ServerKeys::generate(name.parse().unwrap(), &mut OsRng));
    let first = repository.keys.lock().unwrap().clone();
    let (second, third, foreign) = (
        keys("repo.example"),
        keys("repo.example"),
        keys("x.example"),
    );
    let mut follow = |account: &str, chain: &str| {
        let (account, chain) = (account.parse().unwrap(), chain.to_owned());
        match tool.ask(&Ask::Follow { account, chain }) {
            Some(Answer::Done) => None,
            Some(Answer::Failed { class, .. }) => Some(class),
            other => panic!("{other:?}"),
        }
    };
    let good = chain(&[&first, &second]);
    let signed_by_strangers = {
        let note = chain(&[&third, &second]);
        let (_, note) = note.split_once("\nsmr succession 1\n").unwrap();
        let follows = third.identity().fingerprint().to_string();
        let note = note.replace(&follows, &first.identity().fingerprint().to_string());
        format!("{}smr succession 1\n{note}", first.identity())
    };
    for bad in [
        String::new(),
        "smr identity 1\n".to_owned(),
        foreign.identity().to_string(),
        second.identity().to_string(),
        chain(&[&second, &third]),
        signed_by_strangers,
        good.replace("number 1", "number 2"),
        good[..good.len() - 1].to_owned(),
    ] {
        assert_eq!(follow(RUI, &bad), Some(Class::Untrusted), "{bad}");
    }
    assert_eq!(follow("ana@repo.example", &good), Some(Class::Unavailable));

    // None of that has moved it: who has other keys is not believed.
    let mut held = Vec::new();
    let mut met = |keys: &Arc<ServerKeys>| {
        *repository.keys.lock().unwrap() = keys.clone();
        // A tool of its own, and so a session of its own.
        held.push(Tool::open(&agent.socket));
        let carried = held.last_mut().unwrap().carry(RUI, &Request::Ping);
        carried.map(|c| c.reply).map_err(|failed| failed.class)
    };
    // The first has the session that the login opened.
    assert_eq!(met(&first), Ok(Reply::Done));
    assert_eq!(met(&second), Err(Class::Untrusted));
    assert_eq!(met(&first), Ok(Reply::Done));

    assert_eq!(follow(RUI, &good), None);
    assert_eq!(met(&second), Ok(Reply::Done));
    assert_eq!(met(&first), Err(Class::Untrusted), "there is no way back");
    assert_eq!(follow(RUI, &good), None, "it is there already");
    for (bad, refused) in [
        (first.identity().to_string(), true),
        (chain(&[&first, &third]), true),
        // By another way it ends where the agent is.
        (chain(&[&first, &third, &second]), false),
    ] {
        let refused = refused.then_some(Class::Untrusted);
        assert_eq!(follow(RUI, &bad), refused, "{bad}");
        assert_eq!(met(&third), Err(Class::Untrusted), "{bad}");
        assert_eq!(met(&second), Ok(Reply::Done));
    }
    assert_eq!(follow(RUI, &chain(&[&first, &second, &third])), None);
    assert_eq!(met(&third), Ok(Reply::Done));
}

#[test]
fn loads_that_do_not_fit_are_refused() {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let good = || load(RUI, &repository, &device);
    assert_eq!(
        refused(Load {
            lifetime: 0,
            ..good()
        })
        .0,
        Class::Usage
    );
    let elsewhere = "rui@other.example".parse().unwrap();
    assert_eq!(
        refused(Load {
            account: elsewhere,
            ..good()
        })
        .0,
        Class::Config
    );
    let none = Vec::new();
    assert_eq!(
        refused(Load {
            suites: none,
            ..good()
        })
        .0,
        Class::Usage
    );
    let nowhere = "rui".parse().unwrap();
    assert_eq!(
        refused(Load {
            account: nowhere,
            ..good()
        })
        .0,
        Class::Usage
    );
}

#[test]
fn enrolment_is_an_introduction_and_happens_once() {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let agent = Agent::start(false);
    let mut tool = Tool::open(&agent.socket);
    let mut enrol = load(RUI, &repository, &device);
    enrol.entrance = Entrance::Enrol {
        record: b"rui".to_vec(),
    };
    assert_eq!(tool.ask(&Ask::Load(Box::new(enrol))), Some(Answer::Done));
    tool.play("last").unwrap();
    tool.play("any").unwrap();
    assert_eq!(repository.seen.enrolments.load(Ordering::SeqCst), 1);
    assert_eq!(sessions(&repository), 2);
}

#[test]
fn a_cards_authorisation_serves_for_every_session_until_a_load_without() {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let agent = Agent::start(false);
    let mut tool = Tool::open(&agent.socket);
    let mut by_card = load(RUI, &repository, &device);
    by_card.entrance = Entrance::Card {
        authorisation: b"until tomorrow".to_vec(),
    };
    let loaded = |tool: &mut Tool, load: &Load| {
        let answer = tool.ask(&Ask::Load(Box::new(load.clone())));
        assert_eq!(answer, Some(Answer::Done));
    };
    loaded(&mut tool, &by_card);
    for _ in 0..2 {
        tool.play("last").unwrap();
    }
    tool.play("any").unwrap();
    let count = || repository.seen.by_card.load(Ordering::SeqCst);
    assert_eq!((count(), sessions(&repository)), (3, 3));
    // The later load goes on with its own way in.
    loaded(&mut tool, &load(RUI, &repository, &device));
    tool.play("last").unwrap();
    tool.play("any").unwrap();
    assert_eq!(count(), 3);
    assert!(sessions(&repository) > 3);
}

#[test]
fn a_session_cut_while_idle_is_opened_anew() {
    let (_agent, repository, mut tool) = logged_in();
    for _ in 0..3 {
        tool.play("last").unwrap();
    }
    tool.carry(RUI, &Request::Ping).unwrap();
    assert_eq!(sessions(&repository), 4);
}

#[test]
fn a_request_cut_short_is_busy() {
    let (_agent, _repository, mut tool) = logged_in();
    let failed = tool.play("cut").unwrap_err();
    assert_eq!((failed.class, failed.after_reply), (Class::Busy, false));
    let failed = tool.play("half").unwrap_err();
    assert_eq!((failed.class, failed.after_reply), (Class::Busy, true));
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn a_damaged_reply_is_untrusted_and_never_whole() {
    let (_agent, _repository, mut tool) = logged_in();
    for name in ["flip", "flip-close"] {
        let failed = tool.play(name).unwrap_err();
        assert_eq!(failed.class, Class::Untrusted, "{name}");
        assert!(failed.after_reply);
    }
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn a_deposit_needs_the_session_of_its_offer() {
    let (_agent, repository, mut tool) = logged_in();
    tool.carry(RUI, &offer()).unwrap();
    tool.play("last").unwrap();
    let failed = tool.carry(RUI, &Request::Deposit { id: id() }).unwrap_err();
    assert_eq!(failed.class, Class::Busy);
    assert_eq!(sessions(&repository), 1);
}

#[test]
fn a_session_lost_in_a_body_is_told_while_the_tool_writes() {
    let (_agent, _repository, mut tool) = logged_in();
    let receipt = Request::GiveReceipt {
        id: id(),
        size: 1,
        sha256: [0; 32],
        cms: [0; 32],
    };
    tool.begin(RUI, &receipt);
    // More than all buffers hold: this ends only if the agent reads on.
    for _ in 0..BIG / 50_000 {
        tool.write(&Frame::Body(vec![1; 50_000]));
    }
    tool.write(&Frame::End(None));
    assert_eq!(tool.finish().unwrap_err().class, Class::Busy);
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn a_tool_that_dies_in_a_body_costs_a_session_and_no_more() {
    let (agent, _repository, mut tool) = logged_in();
    tool.begin(RUI, &Request::Publish);
    tool.write(&Frame::Body(vec![1; 1000]));
    drop(tool);
    let mut next = Tool::open(&agent.socket);
    next.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn a_session_whose_lifetime_is_over_is_opened_anew_without_being_asked() {
    let agent = Agent::start(false);
    let device = Device::generate();
    let repository = Repository::start(&device);
    let mut tool = Tool::open(&agent.socket);
    let brief = "brief@repo.example";
    let load = Ask::Load(Box::new(load(brief, &repository, &device)));
    let start = std::time::Instant::now();
    assert_eq!(tool.ask(&load), Some(Answer::Done));
    while sessions(&repository) < 4 {
        tool.carry(brief, &Request::Ping).unwrap();
        assert!(start.elapsed().as_secs() < 60, "no new session");
    }
    // One a second, not one a request.
    assert!(start.elapsed().as_secs() >= 2);
}
