//! What an intruder would try from inside a smrd, each refused; and what smrd
//! does itself, each still done.
//!
//! The measures bind a thread and those it makes, so that a thread of this
//! test can be shut in as a smrd is.
#![allow(unsafe_code)] // calls that no safe library has

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use smr_server::config::Config;
use smr_server::{Bounds, Task, confine};
use tempfile::TempDir;

/// A store, a folder to read, and one that is nobody's business.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(TempDir::new().unwrap());
        for folder in ["store", "store/deep", "trust", "other"] {
            fs::create_dir(place.at(folder)).unwrap();
            fs::write(place.at(folder).join("file"), "text").unwrap();
        }
        symlink(place.at("other/file"), place.at("trust/out")).unwrap();
        place
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            read: vec![self.at("trust")],
            write: vec![self.at("store")],
            ..Bounds::default()
        }
    }

    /// Runs `inside` in a thread that is shut in here; a system that cannot do
    /// all of it fails the test.
    fn shut_in<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        shut_in(&self.bounds(), inside)
    }

    /// The same in a smrd that has this to do.
    fn at_work<T: Send>(&self, task: Task, inside: impl FnOnce() -> T + Send) -> T {
        let folder = self.at("config");
        fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "name = 'repo.example'\n[store]\npath = '{}'\n[trust]\nanchors = ['{}']\n",
            self.at("store").display(),
            self.at("trust").display(),
        );
        fs::write(folder.join("smrd.toml"), text).unwrap();
        fs::create_dir_all(self.at("store/cache")).unwrap();
        let config = Config::load(&folder.join("smrd.toml")).unwrap();
        shut_in(&task.bounds(&config), inside)
    }
}

fn shut_in<T: Send>(bounds: &Bounds, inside: impl FnOnce() -> T + Send) -> T {
    let confined = || {
        for measure in confine(bounds) {
            assert!(measure.state.is_ok(), "{measure:?}");
        }
        inside()
    };
    std::thread::scope(|scope| scope.spawn(confined).join()).unwrap()
}

fn refused<T>(what: &str, done: io::Result<T>) {
    assert!(done.is_err(), "{what} was not refused");
}

#[test]
fn an_intruder_reads_and_writes_nothing_outside() {
    let place = Place::new();
    place.shut_in(|| {
        refused("reading /etc/passwd", File::open("/etc/passwd"));
        refused("listing /", fs::read_dir("/"));
        refused("reading a neighbour", fs::read(place.at("other/file")));
        refused("following a link", fs::read(place.at("trust/out")));
        refused("writing outside", fs::write(place.at("other/new"), "x"));
        refused("writing to /tmp", fs::write("/tmp/intruder", "x"));
        refused(
            "writing what is read",
            fs::write(place.at("trust/file"), "x"),
        );
        refused("removing it", fs::remove_file(place.at("trust/file")));
        let out = place.at("other/moved");
        refused("moving mail out", fs::rename(place.at("store/file"), &out));
        refused(
            "linking mail out",
            fs::hard_link(place.at("store/file"), out),
        );
        let memory = OpenOptions::new().write(true).open("/proc/self/mem");
        refused("writing memory", memory);
        let inside = place.at("store/link");
        refused("a symbolic link", symlink("/etc/passwd", inside));
        refused("reading itself", fs::read("/proc/self/environ"));
    });
    assert_eq!(fs::read(place.at("trust/file")).unwrap(), b"text");
    assert_eq!(fs::read_dir(place.at("other")).unwrap().count(), 1);
}

#[test]
fn an_intruder_starts_nothing_and_calls_nobody() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    place.shut_in(|| {
        refused("a program", Command::new("/bin/true").status());
        refused("connecting", TcpStream::connect(address));
        refused("listening", TcpListener::bind("127.0.0.1:0"));
        refused("a datagram", UdpSocket::bind("127.0.0.1:0"));
        refused("a Unix socket", UnixStream::connect("/run/x"));
        refused("a pair of sockets", UnixStream::pair());
    });
}

/// Makes a system call and returns how it failed.
fn call(number: libc::c_long, arguments: [libc::c_long; 4]) -> Option<i32> {
    let [a, b, c, d] = arguments;
    // SAFETY: the numbers given below pass no address but null.
    let done = unsafe { libc::syscall(number, a, b, c, d, -1, 0) };
    let error = io::Error::last_os_error();
    (done == -1).then(|| error.raw_os_error()).flatten()
}

#[test]
fn calls_that_are_not_on_the_list_do_not_exist() {
    let place = Place::new();
    let own = libc::c_long::from(std::process::id());
    let parent = libc::c_long::from(std::os::unix::process::parent_id());
    let term = libc::c_long::from(libc::SIGTERM);
    let private = libc::c_long::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let run = libc::c_long::from(libc::PROT_READ | libc::PROT_EXEC);
    let user = libc::c_long::from(libc::CLONE_NEWUSER);
    let calls = [
        ("io_uring", libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [16, parent, 0, 0]),
        (
            "another's memory",
            libc::SYS_process_vm_readv,
            [parent, 0, 0, 0],
        ),
        ("a signal", libc::SYS_kill, [own, term, 0, 0]),
        (
            "another's thread",
            libc::SYS_tgkill,
            [parent, parent, term, 0],
        ),
        ("namespaces", libc::SYS_unshare, [user, 0, 0, 0]),
        ("a process", libc::SYS_clone, [17, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0]),
        ("a program", libc::SYS_execve, [0, 0, 0, 0]),
        ("a mount", libc::SYS_mount, [0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0]),
        ("key rings", libc::SYS_keyctl, [0, 0, 0, 0]),
        ("page faults", libc::SYS_userfaultfd, [0, 0, 0, 0]),
        ("modes", libc::SYS_fchmodat, [0, 0, 0, 0]),
        ("owners", libc::SYS_fchownat, [0, 0, 0, 0]),
        ("limits", libc::SYS_prlimit64, [0, 0, 0, 0]),
        ("users", libc::SYS_setuid, [0, 0, 0, 0]),
        ("code", libc::SYS_mmap, [0, 4096, run, private]),
        ("dumps", libc::SYS_prctl, [4, 1, 0, 0]),
        ("terminals", libc::SYS_ioctl, [0, 0x5412, 0, 0]),
    ];
    let answers = place.shut_in(|| {
        let answers = calls
            .iter()
            .map(|(what, number, with)| (*what, call(*number, *with)));
        answers.collect::<Vec<_>>()
    });
    for (what, errno) in answers {
        assert_eq!(errno, Some(libc::ENOSYS), "{what}");
    }
}

#[test]
fn smrd_does_its_own_work() {
    let place = Place::new();
    place.shut_in(|| {
        fs::read(place.at("trust/file")).unwrap();
        assert_eq!(fs::read_dir(place.at("trust")).unwrap().count(), 2);
        let mut file = File::create_new(place.at("store/new")).unwrap();
        file.write_all(b"mail").unwrap();
        file.sync_all().unwrap();
        let deep = place.at("store/deep/new");
        fs::hard_link(place.at("store/new"), &deep).unwrap();
        fs::rename(&deep, place.at("store/deep/cur")).unwrap();
        fs::remove_file(place.at("store/new")).unwrap();
        fs::create_dir(place.at("store/account")).unwrap();
        fs::remove_dir(place.at("store/account")).unwrap();
        // A panic is caught, a thread is made and is shut in too.
        let outside = Path::new("/etc/passwd");
        let other = std::thread::spawn(move || File::open(outside).is_err());
        assert!(other.join().unwrap());
        let panicked = std::panic::catch_unwind(|| panic!("on purpose"));
        assert!(panicked.is_err());
    });
}

#[test]
fn an_fsck_changes_nothing_and_reads_the_store_alone() {
    let place = Place::new();
    place.at_work(Task::Fsck, || {
        assert_eq!(fs::read(place.at("store/deep/file")).unwrap(), b"text");
        refused("writing", fs::write(place.at("store/file"), "x"));
        refused("making", File::create_new(place.at("store/new")));
        refused("removing", fs::remove_file(place.at("store/file")));
        refused("reading elsewhere", fs::read(place.at("trust/file")));
        refused("the configuration", fs::read(place.at("config/smrd.toml")));
        refused("reading /etc/passwd", File::open("/etc/passwd"));
        refused("a program", Command::new("/bin/true").status());
        refused("a datagram", UdpSocket::bind("127.0.0.1:0"));
    });
}

#[test]
fn an_init_writes_the_store_alone() {
    let place = Place::new();
    place.at_work(Task::Init, || {
        fs::write(place.at("store/new"), "x").unwrap();
        fs::hard_link(place.at("store/new"), place.at("store/deep/new")).unwrap();
        // The folder above is synced, and nothing in it is read.
        File::open(place.at("store/.."))
            .unwrap()
            .sync_all()
            .unwrap();
        refused("a neighbour", fs::read(place.at("other/file")));
        refused("writing outside", fs::write(place.at("new"), "x"));
        refused("reading /etc/passwd", File::open("/etc/passwd"));
        refused("a program", Command::new("/bin/true").status());
        refused("a datagram", UdpSocket::bind("127.0.0.1:0"));
    });
}

#[test]
fn the_fetcher_calls_others_and_can_do_little_else() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let unsafe_calls = [
        ("io_uring", libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        ("a program", libc::SYS_execve, [0, 0, 0, 0]),
        ("a process", libc::SYS_clone, [17, 0, 0, 0]),
        ("packets", libc::SYS_socket, [17, 3, 0, 0]),
        ("a Unix socket", libc::SYS_socket, [1, 1, 0, 0]),
        ("limits", libc::SYS_prlimit64, [0, 0, 0, 0]),
    ];
    let answers = place.at_work(Task::Fetch, || {
        TcpStream::connect(address).unwrap();
        // By a name, as sources are named.
        TcpStream::connect(("localhost", address.port())).unwrap();
        fs::read(place.at("trust/file")).unwrap();
        fs::read(place.at("store/file")).unwrap();
        fs::write(place.at("store/cache/new"), "x").unwrap();
        refused("writing mail", fs::write(place.at("store/file"), "x"));
        refused("writing trust", fs::write(place.at("trust/file"), "x"));
        refused("a neighbour", fs::read(place.at("other/file")));
        refused("reading /etc/passwd", File::open("/etc/passwd"));
        refused("a program", Command::new("/bin/true").status());
        refused("listening", TcpListener::bind("127.0.0.1:0"));
        unsafe_calls.map(|(what, number, with)| (what, call(number, with)))
    });
    for (what, errno) in answers {
        assert_eq!(errno, Some(libc::ENOSYS), "{what}");
    }
}

#[test]
#[allow(clippy::print_stdout)] // a skipped test says so
fn roots_fsck_reads_a_store_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root has what is another user's");
        return;
    }
    let place = Place::new();
    for path in ["store", "store/deep", "store/deep/file"] {
        chown(place.at(path), Some(65534), Some(65534)).unwrap();
        let mode = if path.ends_with("file") { 0o600 } else { 0o700 };
        fs::set_permissions(place.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    place.at_work(Task::Fsck, || {
        assert_eq!(fs::read(place.at("store/deep/file")).unwrap(), b"text");
        assert_eq!(fs::read_dir(place.at("store")).unwrap().count(), 3);
        let shadow = File::open("/etc/shadow");
        refused("reading /etc/shadow", shadow);
        refused("writing", fs::write(place.at("store/deep/file"), "x"));
    });
    // Whoever serves has no such right.
    place.shut_in(|| {
        refused("reading another's", fs::read(place.at("store/deep/file")));
    });
}
