//! Interoperability: what smr makes, in the hands of stock programs.
//!
//! A missing program fails the test: nothing here is skipped.

mod house;

use std::fs;
use std::process::Command;

use house::{House, noise};

/// Returns the folder of npm's packages; scripts/test installs and names it.
fn npm() -> String {
    std::env::var("SMR_TEST_NPM").unwrap_or_else(|_| {
        let inside = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules");
        inside.to_owned()
    })
}

/// Opens a sealed file with npm's age-encryption and an identity file.
const OPEN_WITH_NPM: &str = r#"
import * as age from "MODULE";
import { readFileSync, writeFileSync } from "node:fs";
const [identities, sealed, out] = process.argv.slice(2);
const d = new age.Decrypter();
for (const line of readFileSync(identities, "utf8").split("\n"))
  if (line.startsWith("AGE-SECRET-KEY-")) d.addIdentity(line);
writeFileSync(out, await d.decrypt(readFileSync(sealed)));
"#;

#[test]
fn age_encryption_opens_a_sealed_file_with_the_exported_key() {
    let mut house = House::with(&["alice"]);
    let register =
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --backup bob.key bob";
    house.sh("bob", register).expect(0);
    house.sh("bob", "smr-login").expect(0);
    let id = house
        .sh_with("alice", "smr-send -s Sealed -a - bob", &noise(200_000))
        .expect(0)
        .text();
    let sealed = "smr-recv --sealed ID > sealed.age && smr-recv --raw ID > raw.eml";
    house.sh("bob", &sealed.replace("ID", &id)).expect(0);
    let script =
        OPEN_WITH_NPM.replace("MODULE", &format!("{}/age-encryption/dist/index.js", npm()));
    let work = house.path("work/bob");
    fs::write(work.join("open.mjs"), script).unwrap();
    let node = Command::new("node")
        .args(["open.mjs", "bob.key", "sealed.age", "opened.eml"])
        .current_dir(&work)
        .output()
        .expect("node is installed");
    assert!(
        node.status.success(),
        "{}",
        String::from_utf8_lossy(&node.stderr)
    );
    let opened = fs::read(work.join("opened.eml")).unwrap();
    assert!(!opened.is_empty() && opened == fs::read(work.join("raw.eml")).unwrap());
    // The file is post-quantum all through.
    let header = fs::read(work.join("sealed.age")).unwrap();
    let header = String::from_utf8_lossy(&header[..4000]).into_owned();
    assert!(header.contains("-> mlkem768x25519 ") && !header.contains("-> X25519 "));
}

#[test]
fn openssl_verifies_messages_and_receipts() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let text = "Contrato n.º 42\n\nlinha\n".as_bytes();
    let id = house
        .sh_with("alice", "smr-send -s 'Contrato n.º 42' bob carol", text)
        .expect(0)
        .text();
    house
        .sh(
            "bob",
            &format!("smr-recv --raw {id} > raw.eml && smr-receipt {id}"),
        )
        .expect(0);
    let verify = "openssl cms -verify -allow_proxy_certs -CAfile $PKI/ca/root.pem -in raw.eml \
                  -signer signer.pem -out part.eml";
    house.sh("bob", verify).expect(0);
    let signer = house
        .sh("bob", "openssl x509 -in signer.pem -noout -issuer")
        .expect(0)
        .text();
    assert!(signer.contains("ALICE MARTINS"), "{signer}");
    let revoked_lists = "cat $PKI/ca/root.pem $PKI/crls/root.pem $PKI/crls/sub.pem > all.pem && \
                         openssl cms -verify -allow_proxy_certs -crl_check_all -CAfile all.pem -in raw.eml -out part.eml";
    house.sh("bob", revoked_lists).expect(0);
    // The receipt, out of the evidence, against the message.
    house
        .sh(
            "alice",
            &format!("smr-receipt --export e.zip {id} && unzip -q e.zip -d e"),
        )
        .expect(0);
    let receipt = "cd e && openssl cms -verify_receipt receipts/bob@repo.example-1.p7s -rctform DER \
                   -in message.eml -allow_proxy_certs -CAfile $PKI/ca/root.pem";
    house.sh("alice", receipt).expect(0);
    // Stock OpenSSL makes a receipt for our message with carol's own card, and
    // refuses ours against another message.
    let second = house
        .sh_with("alice", "smr-send -s Other bob", b"other\n")
        .expect(0)
        .text();
    house
        .sh("alice", &format!("smr-recv --raw {second} > other.eml"))
        .expect(0);
    let mixed = "openssl cms -verify_receipt e/receipts/bob@repo.example-1.p7s -rctform DER \
                 -in other.eml -allow_proxy_certs -CAfile $PKI/ca/root.pem";
    assert_ne!(house.sh("alice", mixed).code, 0);
}

#[test]
fn any_bytes_come_back_as_they_were() {
    let mut house = House::with(&["alice", "bob"]);
    let texts: [&[u8]; 9] = [
        b"",
        b"no final newline",
        b"dos\r\nlines\r\n",
        b"old mac\rlines\r",
        b"nul \0 and \xff\xfe bytes\n",
        b".\n..\nFrom here\n--boundary\n",
        "acção, 日本語, \u{1f600}\n".as_bytes(),
        b"trailing spaces   \n\t\n\n\n",
        &[b'x'; 5000],
    ];
    for text in texts {
        let id = house
            .sh_with("alice", "smr-send bob", text)
            .expect(0)
            .text();
        let said = house.sh("bob", &format!("smr-recv -O 1 {id}")).expect(0);
        assert_eq!(said.stdout, text, "{:?}", String::from_utf8_lossy(text));
        house
            .sh("bob", &format!("smr-recv --raw {id} > raw.eml"))
            .expect(0);
        let verify = "openssl cms -verify -allow_proxy_certs -CAfile $PKI/ca/root.pem -in raw.eml -out part.eml";
        house.sh("bob", verify).expect(0);
    }
    let block = noise(3_000_000);
    let id = house
        .sh_with("alice", "smr-send -a - bob", &block)
        .expect(0)
        .text();
    assert!(
        house
            .sh("bob", &format!("smr-recv -O 2 {id}"))
            .expect(0)
            .stdout
            == block
    );
}

#[test]
fn a_closed_pipe_leaves_the_message_unread() {
    let mut house = House::with(&["alice", "bob"]);
    let id = house
        .sh_with("alice", "smr-send -a - bob", &noise(2_000_000))
        .expect(0)
        .text();
    let said = house.sh(
        "bob",
        &format!("(smr-recv {id}; echo $? >code) | head -c 100 >some; cat code"),
    );
    assert_eq!(said.text(), "141", "{said:?}");
    assert_eq!(said.stderr, "");
    assert_eq!(house.sh("bob", "smr-ls -u -1").expect(0).text(), id);
}
