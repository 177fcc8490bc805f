//! The agent's own life: who may come, when secrets go, when it ends.

mod house;

use std::process::Command;
use std::time::{Duration, Instant};

use house::{Agent, Device, RUI, Repository, Tool, load};
use smr_channel::local::{Answer, Ask, Frame, Loaded, VERSION};
use smr_channel::request::Request;
use smr_name::{Address, Class};

fn rui() -> Address {
    RUI.parse().unwrap()
}

fn logged_in(agent: &Agent, lifetime: u32, idle: u32) -> (Repository, Tool) {
    let device = Device::generate();
    let repository = Repository::start(&device);
    let mut tool = Tool::open(&agent.socket);
    let mut load = load(RUI, &repository, &device);
    (load.lifetime, load.idle) = (lifetime, idle);
    let done = tool.ask(&Ask::Load(Box::new(load)));
    assert_eq!(done, Some(Answer::Done));
    (repository, tool)
}

fn status(tool: &mut Tool) -> Vec<Loaded> {
    match tool.ask(&Ask::Status) {
        Some(Answer::Status { accounts, .. }) => accounts,
        other => panic!("{other:?}"),
    }
}

fn failure(answer: Option<Answer>) -> (Class, String) {
    match answer {
        Some(Answer::Failed { class, hint, .. }) => (class, hint),
        other => panic!("{other:?}"),
    }
}

fn eventually(mut what: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

// contentType id-data and messageDigest of 32 bytes, RFC 5652 11.
fn attributes() -> Vec<u8> {
    let mut der = vec![0x31, 0x4b];
    der.extend(b"\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03");
    der.extend(b"\x31\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
    der.extend(b"\x30\x2f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04");
    der.extend(b"\x31\x22\x04\x20");
    der.extend([9; 32]);
    der
}

fn sign(tool: &mut Tool, attributes: Vec<u8>) -> Option<Answer> {
    let account = rui();
    tool.ask(&Ask::Sign {
        account,
        attributes,
    })
}

#[test]
fn locked_means_wiped_and_a_new_login_unlocks() {
    let agent = Agent::start(false);
    let (_repository, mut tool) = logged_in(&agent, 3600, 0);
    let signature = sign(&mut tool, attributes());
    assert!(matches!(signature, Some(Answer::Signature(_))));
    tool.carry(RUI, &Request::Ping).unwrap();

    let locked = tool.ask(&Ask::Lock { account: rui() });
    assert_eq!(locked, Some(Answer::Done));
    assert!(status(&mut tool)[0].locked && !status(&mut tool)[0].online);
    let unlock = (Class::Unavailable, "smr-login --unlock".to_owned());
    assert_eq!(failure(sign(&mut tool, attributes())), unlock);
    let failed = tool.carry(RUI, &Request::Ping).unwrap_err();
    assert_eq!(failed.class, Class::Unavailable);

    let (_other, mut tool) = logged_in(&agent, 3600, 0);
    assert!(!status(&mut tool)[0].locked);
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn the_device_signs_nothing_but_attributes() {
    let agent = Agent::start(false);
    let (_repository, mut tool) = logged_in(&agent, 3600, 0);
    let answer = sign(&mut tool, b"I owe you a house".to_vec());
    assert_eq!(failure(answer).0, Class::Denied);
}

#[test]
fn a_lifetime_ends_and_the_account_is_forgotten() {
    let agent = Agent::start(false);
    let (_repository, mut tool) = logged_in(&agent, 1, 0);
    assert!(eventually(|| status(&mut tool).is_empty()));
    let login = (Class::Unavailable, "smr-login".to_owned());
    assert_eq!(failure(sign(&mut tool, attributes())), login);
}

#[test]
fn an_idle_account_is_locked_and_a_used_one_is_not() {
    let agent = Agent::start(false);
    let begin = Instant::now();
    let mut tool = loop {
        let last = Instant::now();
        let (_repository, mut tool) = logged_in(&agent, 3600, 2);
        if is_kept_by_use(&mut tool, last, Duration::from_secs(4)) {
            break tool;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "never in time");
    };
    assert!(eventually(|| status(&mut tool)[0].locked));
}

// Uses an account whose idle time is two seconds, and which was used at `last`
// or later, for so long; false where this thread was kept from it for so long
// that it was locked with good reason.
fn is_kept_by_use(tool: &mut Tool, mut last: Instant, time: Duration) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let now = Instant::now();
        if let Err(failed) = tool.carry(RUI, &Request::Ping) {
            assert_eq!(failed.class, Class::Unavailable);
            // The agent's clock has whole seconds.
            assert!(last.elapsed() > Duration::from_secs(1), "locked in use");
            return false;
        }
        last = now;
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

#[test]
fn strange_accounts_are_not_there() {
    let agent = Agent::start(false);
    let (_repository, mut tool) = logged_in(&agent, 3600, 0);
    let ana = "ana@repo.example";
    let failed = tool.carry(ana, &Request::Ping).unwrap_err();
    assert_eq!(failed.class, Class::Unavailable);
    for ask in [
        Ask::Lock {
            account: ana.parse().unwrap(),
        },
        Ask::Logout {
            account: ana.parse().unwrap(),
        },
    ] {
        assert_eq!(failure(tool.ask(&ask)).0, Class::Unavailable);
    }
    tool.carry(RUI, &Request::Ping).unwrap();
}

#[test]
fn the_agent_ends_with_its_last_account() {
    let agent = Agent::start(true);
    let (_repository, mut tool) = logged_in(&agent, 3600, 0);
    let done = tool.ask(&Ask::Logout { account: rui() });
    assert_eq!(done, Some(Answer::Done));
    drop(tool);
    agent.ended();
}

#[test]
fn the_agent_stops_when_told_and_others_are_cut_off() {
    let agent = Agent::start(false);
    let (_repository, mut tool) = logged_in(&agent, 3600, 0);
    let mut other = Tool::open(&agent.socket);
    assert_eq!(other.ask(&Ask::Stop), Some(Answer::Done));
    agent.ended();
    assert_eq!(tool.read(), None);
}

#[test]
fn greetings_come_first_and_in_a_known_version() {
    let agent = Agent::start(false);
    for (ask, class) in [
        (Ask::Status, Class::Usage),
        (
            Ask::Hello {
                version: VERSION + 1,
            },
            Class::Config,
        ),
    ] {
        let stream = std::os::unix::net::UnixStream::connect(&agent.socket).unwrap();
        let mut tool = Tool { stream };
        assert_eq!(failure(tool.ask(&ask)).0, class);
        assert_eq!(tool.read(), None);
    }
}

#[test]
fn nonsense_ends_one_connection_only() {
    let agent = Agent::start(false);
    let (_repository, mut good) = logged_in(&agent, 3600, 0);
    let mut bad = Tool::open(&agent.socket);
    bad.write(&Frame::Body(vec![1]));
    assert_eq!(bad.read(), None);
    let mut bad = Tool::open(&agent.socket);
    bad.write(&Frame::Head(vec![99].into()));
    assert_eq!(bad.read(), None);
    good.carry(RUI, &Request::Ping).unwrap();
}

// Needs root, to become somebody else. The socket's own mode is opened up, so
// that only the credentials of the peer are left to keep him out.
#[test]
fn another_user_gets_no_answer() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let agent = Agent::start(false);
    let open = |path: &std::path::Path, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    };
    open(&agent.socket, 0o666);
    open(agent.socket.parent().unwrap(), 0o755);
    let knock = |uid: Option<u32>| {
        let mut perl = Command::new("perl");
        perl.args(["-MSocket", "-e", KNOCK]).arg(&agent.socket);
        uid.map(|uid| perl.uid(uid).gid(uid));
        perl.status().unwrap().code()
    };
    assert_eq!(knock(None), Some(0));
    if rustix::process::geteuid().is_root() {
        assert_eq!(knock(Some(65_534)), Some(7));
    }
}

// Hello, version 1; 0 for an answer, 7 for none, 3 when it cannot connect.
const KNOCK: &str = r#"
    $SIG{PIPE} = "IGNORE";
    socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un($ARGV[0])) or exit 3;
    syswrite S, "\0\0\0\4\1\1\0\1";
    exit(sysread(S, $answer, 1) ? 0 : 7);
"#;
