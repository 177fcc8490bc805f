//! HAProxy in front of smrd: people come in through it, the log names them and
//! not the proxy, and one of them cannot take the places of the others.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

mod house;

use house::House;

const LONG: Duration = Duration::from_secs(60);

/// Where the proxy connects from, and nobody else.
const PROXY: &str = "127.0.0.9";

/// A running HAProxy.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    /// Relays to smrd, with this before each connection; looks whether smrd is
    /// there. Its listening socket is made here and handed over, so that nobody
    /// has to wait for it.
    fn start(house: &House, header: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
        let config = house.path("haproxy.cfg");
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 60s\n  \
             timeout server 60s\nlisten smr\n  bind fd@{}\n  \
             server smrd {} {header} source {PROXY} check inter 200ms fall 1000\n",
            listener.as_raw_fd(),
            house.server(),
        );
        fs::write(&config, text).unwrap();
        let child = Command::new("/usr/sbin/haproxy")
            .args(["-db", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(fs::File::create(house.path("haproxy.log")).unwrap())
            .spawn()
            .expect("haproxy runs");
        Proxy { child, address }
    }

    /// Connects to it from an address.
    fn connect(&self, from: [u8; 4]) -> TcpStream {
        let socket: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::from(from), 0))).unwrap();
        connect(&socket, &self.address).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Asks for the identity document from an address.
    fn ask(&self, from: [u8; 4]) -> Vec<u8> {
        let mut stream = self.connect(from);
        stream.write_all(b"smr/1\nI").unwrap();
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        text
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A house whose smrd stands behind a proxy.
fn behind() -> House {
    let mut house = House::build();
    let file = house.path("smrd.toml");
    let text = fs::read_to_string(&file).unwrap();
    let listen = format!("[listen]\nproxy = [\"{PROXY}\"]\nper_peer = 8\n");
    fs::write(&file, text.replace("[listen]\n", &listen)).unwrap();
    house.stop();
    house.start();
    house
}

fn until_logged(house: &House, words: &str) {
    let end = Instant::now() + LONG;
    while !house.log().contains(words) {
        assert!(Instant::now() < end, "{}", house.log());
        std::thread::yield_now();
    }
}

#[test]
fn people_come_in_through_haproxy_and_are_seen_as_themselves() {
    let mut house = behind();
    let proxy = Proxy::start(&house, "send-proxy-v2");
    let server = proxy.address;
    let register = format!(
        "smr-register --server {server} --server-key $KEY --token \"$TOKEN\" --no-backup $WHO"
    );
    house.sh("carol", &register).expect(0);
    house.sh("carol", "smr-login").expect(0);
    let send = house.sh_with("carol", "smr-send carol", b"by way of HAProxy");
    send.expect(0);
    house.sh("carol", "smr-recv").expect(0);
    let log = house.log();
    assert!(log.contains("event=login peer=127.0.0.1:"), "{log}");
    // Nor does the proxy's own look at smrd make a line.
    assert!(!log.contains(&format!("peer={PROXY}")), "{log}");

    // One client holds all the places that one may have, and another does not notice.
    let held: Vec<TcpStream> = (0..9).map(|_| proxy.connect([127, 0, 0, 20])).collect();
    until_logged(&house, "event=full peer=127.0.0.20:");
    assert!(!proxy.ask([127, 0, 0, 21]).is_empty());
    house.sh("carol", "smr-ls").expect(0);
    drop(held);
    // Without a header nobody comes in by the proxy's address, nor with one by another.
    drop(proxy);
    let old = Proxy::start(&house, "send-proxy");
    assert!(old.ask([127, 0, 0, 22]).is_empty());
    until_logged(&house, "of version 1, expected 2");
    drop(old);
    let none = Proxy::start(&house, "");
    assert!(none.ask([127, 0, 0, 22]).is_empty());
    until_logged(&house, "no PROXY header from a proxy");
}
