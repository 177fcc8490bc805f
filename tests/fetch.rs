//! `smrd --fetch-revocation` as a program, shut in as an operator has it: a
//! list from a web server and an answer from a responder, neither of them ours.

mod house;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use house::{House, Said, make_pki};

/// A server that says on which port it listens; it ends when it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts `command` in a folder; the port, or address and port, comes
    /// behind `before` in one of the first lines it says.
    fn start(folder: &Path, command: &str, before: &str) -> Server {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command} 2>&1")])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let out = child.stdout.take().expect("stdout is a pipe");
        let mut lines = BufReader::new(out).lines().map(|line| line.unwrap());
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once(before)?;
            let address = rest.split_whitespace().next()?;
            address.rsplit(':').next()?.parse().ok()
        });
        // What it says later nobody reads; its pipe stays open meanwhile.
        std::thread::spawn(move || lines.for_each(drop));
        Server {
            child,
            port: port.expect("a server that listens"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pki(dir: &Path, command: &str) {
    let mut sh = Command::new("sh");
    let done = sh.args(["-euc", command]).current_dir(dir).status();
    assert!(done.expect("sh runs").success(), "{command}");
}

/// Issues NAME.pem below the authority of cards, with these extensions.
fn issue(dir: &Path, name: &str, number: u8, extensions: &str) {
    pki(
        &dir.join("ca"),
        &format!(
            "printf '[e]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             {extensions}\n' > e.cnf
             openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key
             openssl req -new -key {name}.key -config ext.cnf -out {name}.csr \
                -subj '/C=PT/O=Playground/serialNumber=BI7{number}/CN={name}'
             openssl x509 -req -in {name}.csr -CA sub.pem -CAkey sub.key -days 90 \
                -set_serial 0x7{number} -extfile e.cnf -extensions e -out {name}.pem 2>err
             cat {name}.key {name}.pem > ../{name}.pem"
        ),
    );
}

/// Registers until smrd has taken up what was fetched.
fn register(house: &mut House, who: &str) -> Said {
    let start = Instant::now();
    loop {
        let said = house.sh(
            who,
            "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup $WHO",
        );
        if said.code != 75 || start.elapsed() > Duration::from_secs(60) {
            return said;
        }
    }
}

const FETCH: &str = "smrd --config $SMRD_CONFIG --fetch-revocation --json";
const TOLD: &str = "jq -r '[.type, .outcome // .subject, .why // \"\"] | join(\" \")'";

#[test]
fn lists_and_answers_come_over_http_to_a_fetcher_that_is_shut_in() {
    let own = tempfile::tempdir().unwrap();
    make_pki(own.path());
    // The list of the cards is to be had from the web, and nowhere else.
    pki(own.path(), "mkdir web && rm crls/sub.pem");
    let web = Server::start(
        &own.path().join("web"),
        "python3 -u -m http.server 0 --bind 127.0.0.1",
        "port ",
    );
    issue(
        own.path(),
        "responder",
        0,
        "extendedKeyUsage=OCSPSigning\nnoCheck=ignored",
    );
    // It reads whom it answers for when it starts.
    pki(
        own.path(),
        "printf 'V\\t391231235959Z\\t\\t72\\tunknown\\t/CN=ana\\n' >> ca/sub.index",
    );
    let ocsp = Server::start(
        &own.path().join("ca"),
        "openssl ocsp -port 0 -index sub.index -CA sub.pem -rsigner responder.pem \
         -rkey responder.key -ndays 1",
        "ACCEPT ",
    );
    // By a name: the fetcher has to find out who that is.
    let list = format!(
        "crlDistributionPoints=URI:http://localhost:{}/sub.crl",
        web.port
    );
    issue(own.path(), "rui", 1, &list);
    let answers = format!(
        "authorityInfoAccess=OCSP;URI:http://localhost:{}/",
        ocsp.port
    );
    issue(own.path(), "ana", 2, &answers);
    let mut house = House::with_pki(own.path(), "");
    let try_once = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                    --no-backup $WHO";

    // The responder answers for ana; there is no list yet, and rui waits on.
    for who in ["rui", "ana"] {
        house.sh(who, try_once).expect(75);
    }
    let fetch = format!("{FETCH} > told; code=$?; {TOLD} told; exit $code");
    let told = house.sh("rui", &fetch).expect(75).text();
    for part in ["HTTP 404", " fetched", "lacking CN=rui"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("lacking CN=ana"), "{told}");
    register(&mut house, "ana").expect(0);
    house.sh("rui", try_once).expect(75);

    pki(
        own.path(),
        "openssl ca -config ca/sub.cnf -gencrl -out web/sub.crl 2>err",
    );
    let traced = format!(
        "strace -f -qq -e trace=landlock_restrict_self,seccomp,connect -o trace {FETCH} > told && {TOLD} told"
    );
    let told = house.sh("rui", &traced).expect(0).text();
    assert!(told.contains(" fetched"), "{told}");
    // It shut itself in before it called anybody.
    let trace = fs::read_to_string(house.path("work/rui/trace")).unwrap();
    let at = |call: &str| {
        trace
            .find(call)
            .unwrap_or_else(|| panic!("{call}: {trace}"))
    };
    let called = at("connect(");
    assert!(at("SECCOMP_SET_MODE_FILTER") < called, "{trace}");
    assert!(at("landlock_restrict_self") < called, "{trace}");
    register(&mut house, "rui").expect(0);

    // What was fetched smrd hands to clients, who judge by it themselves.
    house.sh("ana", "smr-login").expect(0);
    let id = house.sh("ana", "echo well | smr-send rui").expect(0).text();
    house.sh("rui", "smr-login").expect(0);
    let read = format!("smr-recv --json --receipt never {id}");
    let told = house.sh("rui", &read).expect(0).text();
    assert!(told.contains("not revoked"), "{told}");
}
