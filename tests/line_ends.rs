//! Line ends and other bytes that programs treat differently: what smr-recv
//! writes, what OpenSSL verifies and writes, and what Python parses, is the same.
//!
//! Each case is sent as a text by itself, and as a text beside an attachment of
//! the same bytes.

#![allow(clippy::print_stdout)] // a count

mod house;

use std::fs;

use house::House;

/// The cases; a long line is made.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let mut cases: Vec<(&str, Vec<u8>)> = [
        ("empty", &b""[..]),
        ("bare LF", b"one\ntwo\n"),
        ("bare CR", b"one\rtwo\r"),
        ("CRLF", b"one\r\ntwo\r\n"),
        ("all three", b"one\ntwo\rthree\r\nfour\n\rfive\r\r\nsix"),
        ("one LF", b"\n"),
        ("one CR", b"\r"),
        ("one CRLF", b"\r\n"),
        ("no final newline", b"one\ntwo"),
        ("many final newlines", b"one\n\n\n\n"),
        ("only newlines", b"\n\n\n"),
        ("NUL bytes", b"a\0b\n\0\n\0"),
        (
            "every control",
            b"\x01\x07\x08\x0b\x0c\x1b[2J\x1c\x1d\x1e\x1f\x7f\n\x0c\n",
        ),
        ("dots", b".\n..\n.a\n.\n"),
        ("trailing spaces", b"one  \n two\t\n  \n\t"),
        ("From lines", b"From here\n>From there\nFrom\n"),
        ("boundaries", b"--\n--b\n----\n--smr-\n"),
        (
            "header-like",
            b"Subject: x\nContent-Type: text/html\n\nX-SMR-Class: Q\n",
        ),
        ("8-bit", b"\xff\xfe\x80\n\xc3"),
        (
            "other separators",
            "a\u{85}b\u{2028}c\u{2029}d\u{feff}\n".as_bytes(),
        ),
        ("equals signs", b"=\n=0A=\n=3D=\n\xc3\xa9=\n"),
    ]
    .map(|(name, bytes)| (name, bytes.to_vec()))
    .into();
    let line = |length: usize| vec![b'x'; length];
    cases.push(("998 bytes in a line", [line(998), b"\n".to_vec()].concat()));
    cases.push(("999 bytes in a line", line(999)));
    cases.push(("10 MiB in a line", line(10 << 20)));
    cases
}

/// Reads each message, as it is and from the Maildir, and compares: the whole as
/// OpenSSL writes it with the whole as smr-recv does, each part with what was
/// sent.
const COMPARE: &str = r#"
smr-recv --all --receipt never --maildir Mail || exit
while read -r number id last; do
    fail() { echo "case $number: $1"; cat errors; exit 1; }
    want=../alice/$number
    smr-recv --raw $id > raw && smr-recv $id > whole || fail smr-recv
    for form in raw Mail/new/*.$id.*; do
        openssl cms -verify -in $form -allow_proxy_certs -CAfile $PKI/ca/root.pem -out verified 2> errors ||
            fail "openssl refuses $form"
        cmp verified whole || fail "openssl reads another message in $form"
    done
    for part in $(seq $last); do
        smr-recv -O $part $id | cmp - $want || fail "smr-recv writes another part $part"
    done
    cp raw $id.raw
done
"#;

/// The same parts, by Python's email from what --raw writes, where line ends of
/// texts are CRLF, and by its mailbox from the Maildir, where they are LF.
const PARSE: &str = r#"import email, mailbox, sys
def parts(message):
    assert message.get_content_type() == "multipart/signed", message.get_content_type()
    entity, signature = message.get_payload()
    assert signature.get_content_type() == "application/pkcs7-signature"
    leaves = [p for p in entity.walk() if not p.is_multipart()]
    assert not any(p.defects for p in message.walk())
    return entity, leaves
kept = {m["X-SMR-Id"]: m for m in mailbox.Maildir("Mail", create=False)}
count = 0
for line in sys.stdin:
    number, id, last = line.split()
    want = open("../alice/" + number, "rb").read()
    for message, ends in (email.message_from_binary_file(open(id + ".raw", "rb")), b"\r\n"), (kept[id], b"\n"):
        entity, leaves = parts(message)
        assert len(leaves) == int(last), (number, len(leaves))
        for leaf in leaves:
            got = leaf.get_payload(decode=True)
            if leaf["Content-Transfer-Encoding"] != "base64":
                got = got.replace(ends, b"\n")
            assert got == want, (number, ends, got[:100], want[:100])
            count += 1
    for name in "From", "To", "Subject", "Date", "Message-ID":
        assert kept[id][name] == entity[name], name
print(count)
"#;

#[test]
fn three_programs_read_the_same_whatever_the_line_ends() {
    let mut house = House::with(&["alice", "bob"]);
    let cases = cases();
    let mut list = String::new();
    for (number, (name, bytes)) in cases.iter().enumerate() {
        fs::write(house.path("work/alice").join(number.to_string()), bytes).unwrap();
        let send = format!("smr-send --receipt none -s '{name}'");
        for (flags, last) in [("", 1), ("-a ", 2)] {
            let attached = if last == 2 {
                number.to_string()
            } else {
                String::new()
            };
            let command = format!("{send} {flags}{attached} bob < {number}");
            let id = house.sh("alice", &command).expect(0).text();
            list.push_str(&format!("{number} {id} {last}\n"));
        }
    }
    let said = house.sh_with("bob", COMPARE, list.as_bytes());
    let names: Vec<_> = cases.iter().map(|(name, _)| name).enumerate().collect();
    assert_eq!(said.code, 0, "{} of {names:?}", said.text());
    fs::write(house.path("work/bob/parse.py"), PARSE).unwrap();
    let parsed = house
        .sh_with("bob", "python3 parse.py", list.as_bytes())
        .expect(0);
    // Text alone, text and attachment; from the message and from the Maildir.
    assert_eq!(parsed.text(), (cases.len() * 6).to_string());
    println!("{} cases, by three programs", cases.len());
}
