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
    let end = Instant::now() + Duration::from_secs(60);
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

/// Somebody else, and root in his own right.
const NOBODY: &str = "65534";

/// Runs a program as another user, without a privilege.
fn as_nobody(program: &Path) -> Command {
    assert!(rustix::process::geteuid().is_root(), "needs root");
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    setpriv.arg(program);
    setpriv
}

/// Programs where everybody can run them; homes of root are closed to others.
fn public_copy(room: &Room) -> PathBuf {
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(room.0.path(), open).unwrap();
    let program = room.0.path().join("smr-agent");
    // By another process: what the other tests fork here would have the copy open
    // for writing for a moment, and such a file cannot be run.
    let copied = Command::new("cp").arg(PROGRAM).arg(&program).status();
    assert!(copied.unwrap().success());
    program
}

/// Starts an agent of nobody's in a folder of his; its process and its socket.
fn agent_of_nobody(room: &Room) -> (std::process::Child, PathBuf) {
    let program = public_copy(room);
    let folder = room.0.path().join("his");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(65_534), Some(65_534)).unwrap();
    let socket = folder.join("agent.sock");
    let mut agent = as_nobody(&program);
    // It cannot write to a pipe of root's, so that it is there when it answers.
    let child = agent.arg("--socket").arg(&socket).spawn().unwrap();
    let connects = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    assert!(eventually(connects));
    (child, socket)
}

#[test]
fn users_and_agents_do_not_speak_to_strangers() {
    let room = Room::new();
    let (mut agent, socket) = agent_of_nobody(&room);
    // Root passes every mode: only the credentials are left. He is refused as a
    // tool, before he hands anything over, and by the agent without a word.
    let error = Connection::open(&socket).err().unwrap();
    assert!(matches!(error, AgentError::Stranger(_)), "{error}");
    assert_eq!(error.class(), Class::Denied);
    let mut knock = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    // It may close before it has been greeted.
    let _ = std::io::Write::write_all(&mut knock, b"\0\0\0\x04\x01\x01\0\x01");
    let answer = std::io::Read::read(&mut knock, &mut [0; 64]);
    assert!(matches!(answer, Ok(0) | Err(_)), "{answer:?}");
    // Its own user is let in.
    let mut own = as_nobody("perl".as_ref());
    own.args(["-MSocket", "-e", KNOCK]).arg(&socket);
    assert_eq!(own.status().unwrap().code(), Some(0));
    agent.kill().unwrap();
    agent.wait().unwrap();
}

// Hello, version 1; 0 for an answer, 7 for none, 3 when it cannot connect.
const KNOCK: &str = r#"
    $SIG{PIPE} = "IGNORE";
    socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un($ARGV[0])) or exit 3;
    syswrite S, "\0\0\0\4\1\1\0\1";
    exit(sysread(S, $answer, 1) ? 0 : 7);
"#;

#[test]
fn its_own_user_can_neither_trace_it_nor_read_its_memory() {
    let room = Room::new();
    let (mut agent, _) = agent_of_nobody(&room);
    let mut other = as_nobody("sleep".as_ref()).arg("600").spawn().unwrap();
    // Of setpriv there is nothing left once the other program runs.
    let runs = |pid: u32| status_of(pid, "comm") == "sleep\n";
    assert!(eventually(|| runs(other.id())));
    let reads = |pid: u32| {
        let mut head = as_nobody("sh".as_ref());
        head.args(["-c", &format!("exec 2>/dev/null; : < /proc/{pid}/mem")]);
        head.status().unwrap().success()
    };
    let traces = |pid: u32| {
        let mut strace = as_nobody("strace".as_ref());
        strace.args(["-p", &pid.to_string(), "-o", "/dev/null"]);
        let attached = strace.stderr(std::process::Stdio::piped()).spawn();
        let mut attached = attached.unwrap();
        let mut said = String::new();
        let stderr = attached.stderr.take().unwrap();
        let mut lines = std::io::BufReader::new(stderr);
        std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        // Where it attached, it stays until it is told to leave.
        let _ = attached.kill();
        attached.wait().unwrap();
        said.contains("attached")
    };
    // The other one can be read and traced, or this would show nothing.
    assert!(reads(other.id()) && traces(other.id()));
    assert!(!reads(agent.id()), "memory can be read");
    assert!(!traces(agent.id()), "it can be traced");
    for child in [&mut agent, &mut other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_socket_that_was_handed_over_is_used_and_left_alone() {
    let room = Room::new();
    let socket = room.socket();
    let mut manager = Command::new("systemd-socket-activate")
        .arg("-l")
        .arg(&socket)
        .args([PROGRAM, "--exit-when-empty"])
        .env("SMR_HOME", room.0.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(manager.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    assert!(line.starts_with("Listening on"), "{line}");
    let mut connection = Connection::open(&socket).unwrap();
    assert_eq!(connection.pid(), manager.id());
    assert_eq!(connection.status().unwrap(), vec![]);
    drop(connection);
    assert!(manager.wait().unwrap().success());
    assert!(socket.exists(), "it is the manager's to take away");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let room = Room::new();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let files = ["smr-agent.socket", "smr-agent.service"].map(|name| {
        // They name where it is installed; here it is not.
        let text = fs::read_to_string(units.join(name)).unwrap();
        let file = room.0.path().join(name);
        fs::write(&file, text.replace("/usr/bin/smr-agent", PROGRAM)).unwrap();
        file
    });
    let verify = |files: &[PathBuf]| {
        let mut systemd = Command::new("systemd-analyze");
        systemd.args(["--user", "verify", "--man=no"]).args(files);
        let output = systemd.env("XDG_RUNTIME_DIR", room.0.path()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    assert_eq!(verify(&files), (true, String::new()));
    // and it would find it
    let spoilt = fs::read_to_string(&files[1]).unwrap() + "\n[Service]\nLimitCOR=0\n";
    fs::write(&files[1], spoilt).unwrap();
    assert_ne!(verify(&files), (true, String::new()));
}
