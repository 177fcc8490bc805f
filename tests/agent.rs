//! smr-agent as a program: how it starts, whom it tells, how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use smr_client::agent::{AgentError, Connection, start};
use smr_name::Class;

const PROGRAM: &str = env!("CARGO_BIN_EXE_smr-agent");

struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Room(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("agent.sock")
    }
}

fn run(args: &[&str], socket: &Path) -> Output {
    let mut program = Command::new(PROGRAM);
    program.args(args).arg("--socket").arg(socket);
    program.output().unwrap()
}

fn eventually(mut what: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn signal(pid: u32, name: &str) {
    let kill = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(kill.unwrap().success());
}

fn status_of(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

#[test]
fn started_means_listening_detached_and_guarded() {
    let room = Room::new();
    start(PROGRAM.as_ref(), &room.socket()).unwrap();
    let mut connection = Connection::open(&room.socket()).unwrap();
    assert_eq!(connection.status().unwrap(), vec![]);

    let pid = connection.pid();
    let stat = status_of(pid, "stat");
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    assert_eq!(session, pid.to_string(), "leads a session of its own");
    let limits = status_of(pid, "limits");
    let core = limits.lines().find(|l| l.starts_with("Max core")).unwrap();
    let numbers: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"]);
    // Streams point nowhere, so that whoever started it can go.
    for stream in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{stream}")).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    connection.stop().unwrap();
    assert!(eventually(|| !room.socket().exists()));
}

#[test]
fn it_ends_when_nobody_is_there() {
    let room = Room::new();
    start(PROGRAM.as_ref(), &room.socket()).unwrap();
    drop(Connection::open(&room.socket()).unwrap());
    assert!(eventually(|| !room.socket().exists()));
}

#[test]
fn signals_end_it_and_take_the_socket_away() {
    for name in ["-TERM", "-INT", "-HUP"] {
        let room = Room::new();
        start(PROGRAM.as_ref(), &room.socket()).unwrap();
        let connection = Connection::open(&room.socket()).unwrap();
        signal(connection.pid(), name);
        assert!(eventually(|| !room.socket().exists()), "{name}");
    }
}

#[test]
fn a_second_one_is_refused_and_a_killed_one_replaced() {
    let room = Room::new();
    start(PROGRAM.as_ref(), &room.socket()).unwrap();
    let first = Connection::open(&room.socket()).unwrap();
    let output = run(&[], &room.socket());
    assert_eq!(output.status.code(), Some(Class::Busy.code().into()));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("smr-agent: error: an agent already listens"),
        "{text}"
    );

    signal(first.pid(), "-KILL");
    assert!(eventually(
        || start(PROGRAM.as_ref(), &room.socket()).is_ok()
    ));
    let second = Connection::open(&room.socket()).unwrap();
    assert_ne!(first.pid(), second.pid());
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let room = Room::new();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(room.0.path(), open).unwrap();
    let output = run(&[], &room.socket());
    assert_eq!(output.status.code(), Some(Class::Config.code().into()));
    let error = start(PROGRAM.as_ref(), &room.socket()).unwrap_err();
    assert!(matches!(error, AgentError::Start { .. }));
    assert!(
        error.to_string().contains("only he can write to"),
        "{error}"
    );
}

#[test]
fn wrong_flags_are_usage() {
    let room = Room::new();
    for args in [
        &["--no-such-flag"][..],
        &["--detach", "--foreground"],
        &["--ready-fd", "99"],
    ] {
        let code = run(args, &room.socket()).status.code();
        assert_eq!(code, Some(Class::Usage.code().into()), "{args:?}");
    }
    assert_eq!(run(&["--help"], &room.socket()).status.code(), Some(0));
}

#[test]
fn the_default_socket_is_below_smr_home() {
    let room = Room::new();
    let home = room.0.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["--ready-fd", "1"])
        .env("SMR_HOME", &home)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let mut connection = Connection::open(&home.join("agent.sock")).unwrap();
    connection.stop().unwrap();
    assert!(child.wait().unwrap().success());
}
