//! A pcscd for one test: its socket, its reader, and cards going in and out.
//!
//! pcscd takes its socket as systemd would give it, so that any number of them
//! can run; libpcsclite finds it by PCSCLITE_CSOCK_NAME.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_tcp_quickack;

use super::applet::Applet;

const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

// An answer to reset (ISO 7816-3) that OpenSC knows from no card in particular.
const ATR: [u8; 11] = [
    0x3b, 0x95, 0x13, 0x81, 0x01, 0x80, 0x73, 0xff, 0x01, 0x00, 0x0b,
];

// What the driver asks of a card, besides commands.
const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const ASK_ATR: u8 = 4;

/// A pcscd with one reader.
pub(crate) struct Reader {
    dir: tempfile::TempDir,
    pcscd: Child,
    port: u16,
}

impl Reader {
    /// Starts pcscd. The driver listens on two ports of its own choosing no
    /// more than we may: if another program is faster, others are drawn.
    pub(crate) fn start() -> Reader {
        assert!(
            fs::exists(DRIVER).unwrap(),
            "{DRIVER} is needed: vsmartcard-vpcd"
        );
        let started = (0..20).find_map(|_| Reader::start_at(free_ports()?));
        started.expect("pcscd starts")
    }

    fn start_at(port: u16) -> Option<Reader> {
        let dir = tempfile::Builder::new()
            .prefix("smr-pcscd-")
            .tempdir()
            .unwrap();
        let config = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:{port}\nLIBPATH {DRIVER}\n\
             CHANNELID {port}\n"
        );
        fs::write(dir.path().join("reader.conf"), config).unwrap();
        let socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        let mut pcscd = Command::new("sh")
            .arg("-c")
            .arg(
                "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; \
                 exec pcscd --foreground --info --config \"$0\" 2>&1",
            )
            .arg(dir.path().join("reader.conf"))
            .stdin(OwnedFd::from(socket))
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let ready = is_ready(&mut pcscd);
        let reader = Reader { dir, pcscd, port };
        // Dropped where it is not ready, and so ended.
        ready.then_some(reader)
    }

    /// Returns where pcscd listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Tells whether pcscd says that a card is in.
    fn is_full(&self) -> bool {
        let listed = Command::new("opensc-tool")
            .arg("--list-readers")
            .env("PCSCLITE_CSOCK_NAME", self.socket())
            .output()
            .expect("opensc-tool is installed");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(text.contains("Virtual PCD"), "{listed:?}");
        text.contains(" Yes ")
    }

    /// Puts a card in, and waits until pcscd has seen it; and before that,
    /// that the one before is gone: it would take them for one.
    pub(crate) fn insert(&self, applet: &Arc<Mutex<Applet>>) -> Inserted {
        let end = Instant::now() + Duration::from_secs(60);
        while self.is_full() {
            assert!(
                Instant::now() < end,
                "pcscd does not see that the card is gone"
            );
        }
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("vpcd listens");
        let (seen, news) = channel();
        let ours = stream.try_clone().unwrap();
        let applet = applet.clone();
        let thread = thread::spawn(move || serve(ours, &applet, &seen));
        wait_until_seen(&news);
        Inserted {
            stream,
            thread: Some(thread),
        }
    }
}

impl Reader {
    /// Ends pcscd; its socket is gone then.
    pub(crate) fn stop(&mut self) {
        // pcscd may have ended by itself.
        let _ = self.pcscd.kill();
        let _ = self.pcscd.wait();
        let _ = fs::remove_file(self.socket());
    }

    /// Has another program hold the card, for itself alone, until dropped.
    pub(crate) fn hold(&self) -> Holder {
        let config = self.dir.path().join("opensc.conf");
        let exclusive = "app default {\n reader_driver pcsc {\n connect_exclusive = true;\n }\n}\n";
        fs::write(&config, exclusive).unwrap();
        let mut explorer = Command::new("opensc-explorer")
            .args(["--mf", ""])
            .env("PCSCLITE_CSOCK_NAME", self.socket())
            .env("OPENSC_CONF", config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("opensc-explorer is installed");
        // It complains of this when it has the card and takes commands.
        let stdin = explorer.stdin.as_mut().expect("stdin is a pipe");
        stdin.write_all(b"nonsense\n").unwrap();
        let said = explorer.stderr.as_mut().expect("stderr is a pipe");
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("nonsense")),
            "it holds the card"
        );
        Holder(explorer)
    }

    /// Ends pcscd, and has somebody at its socket who hangs up on every caller,
    /// as pcscd does on those whom polkit does not allow.
    pub(crate) fn turn_away(&mut self) {
        self.stop();
        let gate = UnixListener::bind(self.socket()).unwrap();
        thread::spawn(move || gate.incoming().flatten().for_each(drop));
    }
}

/// A program that holds a card.
pub(crate) struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Draws a port that is free together with the next, for the second slot.
fn free_ports() -> Option<u16> {
    let any = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    let first = any(0).ok()?;
    let port = first.local_addr().ok()?.port();
    any(port.checked_add(1)?).ok().map(|_| port)
}

/// Waits until pcscd says that it is ready; false if its reader has no port.
fn is_ready(pcscd: &mut Child) -> bool {
    let mut lines = BufReader::new(pcscd.stdout.take().expect("stdout is a pipe")).lines();
    let mut said = String::new();
    while let Some(Ok(line)) = lines.next() {
        said += &format!("{line}\n");
        if line.contains("daemon ready") {
            // Nobody reads what else it says, but it must not block.
            thread::spawn(move || lines.for_each(drop));
            return !said.contains("Could not initialize");
        }
    }
    panic!("pcscd did not start (scripts/install-needs test):\n{said}");
}

/// Waits until the driver has powered the card, and has come back to look for
/// it again: then pcscd shows it to its clients.
fn wait_until_seen(news: &Receiver<u8>) {
    let mut powered = false;
    let mut looked = 0;
    while looked < 2 {
        let control = news.recv_timeout(Duration::from_secs(60));
        match control.expect("pcscd sees the card") {
            POWER_ON => powered = true,
            ASK_ATR if powered => looked += 1,
            _ => {}
        }
    }
}

/// Serves the driver until it, or the card, goes away.
fn serve(mut stream: TcpStream, applet: &Mutex<Applet>, seen: &Sender<u8>) {
    while let Some(message) = receive(&mut stream) {
        let answer = match *message {
            [control @ (POWER_OFF | POWER_ON | RESET)] => {
                applet.lock().unwrap().reset();
                tell(seen, control);
                continue;
            }
            [ASK_ATR] => {
                tell(seen, ASK_ATR);
                Some(ATR.to_vec())
            }
            _ => applet.lock().unwrap().answer(&message),
        };
        let sent = answer.is_some_and(|answer| send(&mut stream, &answer));
        if !sent {
            break;
        }
    }
    // The driver may have closed it already.
    let _ = stream.shutdown(Shutdown::Both);
}

fn tell(seen: &Sender<u8>, control: u8) {
    // Nobody listens any more once the card has been seen.
    let _ = seen.send(control);
}

fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    // The driver sends the rest when the first two bytes are acknowledged, for
    // which Linux would take 40 ms.
    set_tcp_quickack(&*stream, true).expect("a TCP socket");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn send(stream: &mut TcpStream, answer: &[u8]) -> bool {
    let length = u16::try_from(answer.len()).expect("answers are short");
    let message = [&length.to_be_bytes(), answer].concat();
    stream.write_all(&message).is_ok()
}

/// A card in a reader; dropping it pulls the card out.
pub(crate) struct Inserted {
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inserted {
    fn drop(&mut self) {
        // It may have been pulled out from the other side.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the card's thread ends");
        }
    }
}
