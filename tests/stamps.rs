//! Time stamps of RFC 3161 on receipts and postmarks: an authority made of
//! `openssl ts` and a loop of HTTP, and others that answer something else.

mod house;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use house::{House, Said, make_pki};

/// What the authority answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Good,
    OtherImprint,
    OtherNonce,
    Untrusted,
    NoUsage,
    Expired,
    Refused,
    Garbage,
    Flood,
    NotFound,
    Closed,
    Silent,
}

/// An authority at an address of its own, until it is dropped.
struct Tsa {
    dir: tempfile::TempDir,
    url: String,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

/// Makes a root with an authority for time stamps below it; then one without
/// the usage, one that has expired, and a stranger under another root.
const AUTHORITIES: &str = r#"set -eu; cd "$0"
    printf '[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n[tsa]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n[mail]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,emailProtection\n' > c.cnf
    printf '[tsa]\ndefault_tsa=t\n[t]\nserial=serial\ndefault_policy=1.2.3.4\nsigner_digest=sha256\ndigests=sha256\ness_cert_id_alg=sha256\n' > tsa.cnf
    sed s/digests=sha256/digests=sha512/ tsa.cnf > no.cnf; echo 01 > serial
    root() {
        openssl req -new -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -days 3650 -subj "/CN=$1" -config c.cnf -extensions ca -out "$1.pem"
    }
    issue() {
        openssl req -new -newkey rsa:2048 -nodes -keyout "$1.key" -subj "/CN=$1" -config c.cnf -out "$1.csr"
        openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -days "$4" -set_serial "$5" -extfile c.cnf -extensions "$3" -out "$1.pem"
    }
    root clocks; root strangers
    issue clock clocks tsa 60 1; issue mail clocks mail 60 2; issue old clocks tsa -1 3; issue stranger strangers tsa 60 4"#;

impl Tsa {
    fn open() -> Tsa {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("sh")
            .args(["-c", AUTHORITIES])
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tsa = Tsa {
            url: format!("http://{}/tsa", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new(Answer::Good)),
            asked: Arc::default(),
            dir,
        };
        let (dir, answer) = (tsa.dir.path().to_owned(), tsa.answer.clone());
        let asked = tsa.asked.clone();
        // Ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let now = *answer.lock().unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                // Whoever has gone away needs no answer.
                let _ = serve(&dir, stream.unwrap(), now);
            }
        });
        tsa
    }

    fn now_answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

fn serve(dir: &Path, mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    let head = loop {
        let count = stream.read(&mut part)?;
        request.extend_from_slice(&part[..count]);
        match request.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None if count == 0 => return Ok(()),
            None => {}
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    assert!(text.starts_with("post /tsa http/1.1"), "{text}");
    assert!(
        text.contains("content-type: application/timestamp-query"),
        "{text}"
    );
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").trim().parse().unwrap();
    while request.len() < head + length {
        let count = stream.read(&mut part)?;
        request.extend_from_slice(&part[..count]);
    }
    let question = &request[head..];
    let (status, body) = match answer {
        Answer::Closed => return Ok(()),
        // Until the client loses patience.
        Answer::Silent => return stream.read(&mut part).map(drop),
        Answer::NotFound => ("404 Not Found", b"no".to_vec()),
        Answer::Garbage => ("200 OK", b"<html>welcome</html>".to_vec()),
        Answer::Flood => ("200 OK", vec![0x30; 70_000]),
        other => ("200 OK", reply(dir, question, other)),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

fn openssl(dir: &Path, words: &str) {
    let mut command = Command::new("openssl");
    let done = command
        .args(words.split_whitespace())
        .current_dir(dir)
        .output();
    let done = done.expect("openssl runs");
    assert!(done.status.success(), "openssl {words}: {done:?}");
}

/// Lets openssl answer a question, or one that nobody asked.
fn reply(dir: &Path, question: &[u8], answer: Answer) -> Vec<u8> {
    fs::write(dir.join("q.tsq"), question).unwrap();
    let place = question.windows(2).position(|w| w == [4, 32]).unwrap() + 2;
    let digest: String = question[place..place + 32]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let (mut signer, mut config) = ("clock", "tsa.cnf");
    match answer {
        Answer::OtherImprint => openssl(dir, "ts -query -data clocks.pem -sha256 -cert -out q.tsq"),
        Answer::OtherNonce => openssl(
            dir,
            &format!("ts -query -digest {digest} -sha256 -cert -out q.tsq"),
        ),
        Answer::Untrusted => signer = "stranger",
        Answer::Expired => signer = "old",
        Answer::Refused => config = "no.cnf",
        Answer::NoUsage => return by_hand(dir, &digest),
        _ => {}
    }
    openssl(
        dir,
        &format!(
            "ts -reply -config {config} -queryfile q.tsq -signer {signer}.pem \
             -inkey {signer}.key -out a.tsr"
        ),
    );
    fs::read(dir.join("a.tsr")).unwrap()
}

/// A token that `openssl ts` would not sign, for the certificate is for mail.
fn by_hand(dir: &Path, digest: &str) -> Vec<u8> {
    let time = Command::new("date").args(["-u", "+%Y%m%d%H%M%SZ"]).output();
    let time = String::from_utf8(time.expect("date runs").stdout).unwrap();
    let info = format!(
        "asn1=SEQUENCE:i\n[i]\nv=INTEGER:1\np=OID:1.2.3.4\nm=SEQUENCE:m\ns=INTEGER:1\n\
         t=GENERALIZEDTIME:{}\n[m]\na=SEQUENCE:a\nh=FORMAT:HEX,OCTETSTRING:{digest}\n\
         [a]\no=OID:sha256\n",
        time.trim()
    );
    fs::write(dir.join("i.cnf"), info).unwrap();
    openssl(dir, "asn1parse -genconf i.cnf -noout -out i.der");
    openssl(
        dir,
        "cms -sign -binary -nodetach -nosmimecap -cades -md sha256 -in i.der \
         -econtent_type 1.2.840.113549.1.9.16.1.4 -signer mail.pem -inkey mail.key \
         -outform DER -out t.tst",
    );
    let token = fs::read(dir.join("t.tst")).unwrap();
    let inside = [&[0x30, 3, 2, 1, 0], &token[..]].concat();
    let length = u16::try_from(inside.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82, length[0], length[1]], &inside[..]].concat()
}

/// A message of alice's that bob has read, with his receipt.
fn read_by_bob(house: &mut House) -> String {
    let id = house
        .sh_with("alice", "smr-send -s Deed bob", b"deed")
        .expect(0)
        .text();
    let read = format!("smr-recv --receipt always -O 1 {id}");
    house.sh("bob", &read).expect(0);
    id
}

fn verify_sh(house: &mut House, file: &str, anchors: &str) -> Said {
    let script = format!("rm -rf d && unzip -q {file} -d d && sh d/verify.sh {anchors}");
    house.sh("alice", &script)
}

#[test]
fn receipts_and_postmarks_get_a_time_that_openssl_verifies() {
    let own = tempfile::tempdir().unwrap();
    make_pki(own.path());
    let (mut house, tsa) = (House::with_pki(own.path(), ""), Tsa::open());
    ["alice", "bob"].iter().for_each(|who| house.move_in(who));
    let id = read_by_bob(&mut house);
    let (url, anchors) = (&tsa.url, tsa.path("clocks.pem"));
    let asked = format!("smr-receipt --export e.zip --tsa {url} --tsa-anchors {anchors} {id}");
    house.sh("alice", &asked).expect(0);
    // The receipt, and the postmarks of the inbox and of her own copy.
    assert_eq!(tsa.asked(), 3);
    let verify = format!("smr-receipt --verify e.zip --tsa-anchors {anchors}");
    let said = house.sh("alice", &verify).expect(0).text();
    let line = "time stamp: receipts/bob@repo.example-1.p7s was there 20";
    assert!(
        said.contains(line) && said.contains("by CN=clock"),
        "{said}"
    );
    assert_eq!(said.matches("time stamp: postmarks/").count(), 2, "{said}");
    let json =
        format!("smr-receipt --json --verify e.zip --tsa-anchors {anchors} | jq -r '.stamps'");
    assert_eq!(house.sh("alice", &json).expect(0).text(), "3");
    let said = verify_sh(&mut house, "e.zip", &format!("$PKI/ca/root.pem {anchors}")).expect(0);
    assert_eq!(
        said.text().matches("good      time stamp: ").count(),
        3,
        "{said:?}"
    );
    let said = verify_sh(&mut house, "e.zip", "").expect(0);
    assert!(said.text().contains("time stamp: "), "{said:?}");
    // By stock openssl, alone.
    let stock = format!(
        "for t in d/*/*.tst; do openssl ts -verify -token_in -in $t \
         -data $(ls ${{t%.tst}}.p7s ${{t%.tst}}.txt 2>/dev/null) -CAfile {anchors} || exit 1; done"
    );
    house.sh("alice", &stock).expect(0);

    // They are kept: nobody is asked again, whoever exports.
    let settings =
        format!("printf '[trust]\\ntsa_anchors = [\"{anchors}\"]\\n' >> $SMR_HOME/client.toml");
    house.sh("alice", &settings).expect(0);
    house
        .sh("alice", &format!("smr-receipt --export f.zip {id}"))
        .expect(0);
    assert_eq!(tsa.asked(), 3);
    let said = house
        .sh("alice", "smr-receipt --verify f.zip")
        .expect(0)
        .text();
    assert_eq!(said.matches("time stamp: ").count(), 3, "{said}");
    // Who trusts no such authority is not shown a time; nor is a bundle
    // without any worse for it.
    let said = house
        .sh("bob", "smr-receipt --verify ../alice/e.zip")
        .expect(65);
    assert!(
        said.stderr.contains("no chain leads from CN=clock"),
        "{said:?}"
    );
    assert!(said.stderr.contains("hint: is its root"), "{said:?}");
    let said = verify_sh(&mut house, "e.zip", "$PKI/ca/root.pem")
        .expect(65)
        .text();
    assert_eq!(said.matches("NOT GOOD  ").count(), 3, "{said}");
    assert!(said.contains("by an authority that is trusted"), "{said}");

    // What bob's card signed before it was revoked is good: the stamp says
    // that it was there.
    let later = read_by_bob(&mut house);
    // Both are told in whole seconds.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let revoke = Command::new(own.path().join("ca/revoke"))
        .arg("bob")
        .status();
    assert!(revoke.unwrap().success());
    house.stop();
    house.start();
    house
        .sh("alice", &format!("smr-receipt --export g.zip {later}"))
        .expect(77);
    house
        .sh("alice", &format!("smr-receipt --export h.zip {id}"))
        .expect(0);
    let said = house
        .sh("alice", "smr-receipt --verify h.zip")
        .expect(0)
        .text();
    assert!(said.contains("read by bob@repo.example"), "{said}");
    assert!(said.contains("revoked later"), "{said}");
}

#[test]
fn wrong_time_stamps_are_told_and_lose_nothing() {
    let (mut house, tsa) = (House::with(&["alice", "bob"]), Tsa::open());
    let id = read_by_bob(&mut house);
    let settings = format!(
        "printf '[trust]\\ntsa = \"{}\"\\ntsa_anchors = [\"{}\"]\\n' >> $SMR_HOME/client.toml",
        tsa.url,
        tsa.path("clocks.pem")
    );
    house.sh("alice", &settings).expect(0);
    for (answer, code, why) in [
        (
            Answer::OtherImprint,
            65,
            "the time stamp is of something else",
        ),
        (
            Answer::OtherNonce,
            65,
            "answers another question: the nonce differs",
        ),
        (Answer::Untrusted, 65, "no chain leads from CN=stranger"),
        (Answer::NoUsage, 65, "it is not for time stamps alone"),
        (Answer::Expired, 65, "the certificate of CN=old has expired"),
        (Answer::Refused, 75, "gives none: status 2"),
        (
            Answer::Garbage,
            65,
            "not an RFC 3161 time stamp: no DER answer",
        ),
        (Answer::Flood, 75, "does not answer"),
        (Answer::NotFound, 75, "does not answer: HTTP 404"),
        (Answer::Closed, 75, "does not answer"),
        (Answer::Silent, 75, "does not answer"),
    ] {
        tsa.now_answers(answer);
        let before = tsa.asked();
        let said = house.sh(
            "alice",
            &format!("rm -f e.zip; smr-receipt --export e.zip {id}"),
        );
        assert_eq!(said.code, code, "{answer:?}: {said:?}");
        assert!(said.stderr.contains(why), "{answer:?}: {said:?}");
        assert!(said.stderr.contains("hint: "), "{answer:?}: {said:?}");
        // It is not asked for each of them.
        assert_eq!(tsa.asked(), before + 1, "{answer:?}");
        // The evidence is whole without.
        let said = house
            .sh("alice", "smr-receipt --verify e.zip")
            .expect(0)
            .text();
        assert!(said.contains("read by bob@repo.example"), "{said}");
        assert!(!said.contains("time stamp"), "{said}");
    }
    let kept = "ls $SMR_HOME/state/stamps 2>/dev/null | wc -l";
    assert_eq!(house.sh("alice", kept).text(), "0");
    // Nobody is there at all; an address of another kind.
    let said = house.sh(
        "alice",
        &format!("rm -f e.zip; smr-receipt --export e.zip --tsa http://127.0.0.1:1/ {id}"),
    );
    assert_eq!(said.code, 75, "{said:?}");
    let said = house.sh(
        "alice",
        &format!("smr-receipt --export g.zip --tsa https://tsa.example {id}"),
    );
    assert_eq!(said.code, 64, "{said:?}");
    house.sh("alice", "test ! -e g.zip").expect(0);
    // Then it answers.
    tsa.now_answers(Answer::Good);
    house
        .sh(
            "alice",
            &format!("rm -f e.zip; smr-receipt --export e.zip {id}"),
        )
        .expect(0);

    assert_eq!(house.sh("alice", kept).text(), "3");

    // Stamps put beside something else, and what is none, spoil a bundle.
    for change in [
        "cp d/postmarks/1.tst d/receipts/bob@repo.example-1.tst",
        "echo none > d/postmarks/2.tst",
        "head -c 70000 /dev/zero > d/postmarks/2.tst",
        "cp d/postmarks/1.tst d/postmarks/7.tst",
    ] {
        let tamper = format!(
            "rm -rf d t.zip && unzip -q e.zip -d d && {change} && (cd d && zip -q0 -r ../t.zip .) && \
             smr-receipt --verify t.zip"
        );
        let said = house.sh("alice", &tamper).expect(65);
        let script = format!("sh d/verify.sh $PKI/ca/root.pem {}", tsa.path("clocks.pem"));
        let theirs = house.sh("alice", &script).expect(65).text();
        assert!(theirs.contains("NOT GOOD  "), "{change}: {said:?} {theirs}");
    }
}
