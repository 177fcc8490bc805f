//! Class Q: messages and receipts that the card itself signs, in the hands of
//! their readers and of stock programs.

mod cards;
mod house;

use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use cards::{Cards, WRONG, objects, one_card};
use house::{House, Said, make_pki};
use smr_client::config::Config;
use smr_client::fetch::{self, Folder};
use smr_client::home::{Home, Places};
use smr_client::session::Receipt;
use smr_client::user::User;
use smr_evidence::receipt;
use smr_token_module::mark;

const CAROL: &str = "/C=PT/O=Playground/SN=SILVA/GN=CAROL/serialNumber=BI33333333/CN=CAROL SILVA";

/// CKR_PIN_INCORRECT.
const PIN_INCORRECT: u64 = 0xa0;

/// As a stranger would: no word of devices, every list looked at.
const STRANGER: &str = "cat $PKI/ca/root.pem $PKI/crls/root.pem $PKI/crls/sub.pem > all.pem && \
                        openssl cms -verify -crl_check_all -CAfile all.pem -in raw.eml \
                        -signer signer.pem -out part.eml";

/// gpgsm knows no proxy certificates. Its agent ends with the command.
const GPGSM: &str = "mkdir -m 700 gpg && export GNUPGHOME=$PWD/gpg && \
    trap 'gpgconf --kill gpg-agent' EXIT && \
    openssl x509 -in $PKI/ca/root.pem -noout -fingerprint -sha1 | sed 's/.*=//; s/$/ S/' > gpg/trustlist.txt && \
    gpgsm --quiet --batch --import $PKI/ca/root.pem $PKI/ca/sub.pem && ";

fn send(house: &mut House, from: &str, flags: &str, to: &str, text: &str) -> String {
    let command = format!("smr-send {flags} {to}");
    house
        .sh_with(from, &command, text.as_bytes())
        .expect(0)
        .text()
}

/// Reads a message as a script would, and returns one field of it.
fn field(house: &mut House, who: &str, id: &str, field: &str) -> String {
    let command = format!("smr-recv --json --receipt never {id} | jq -r .{field}");
    house.sh(who, &command).expect(0).text()
}

/// Returns the lines of a status, without ids and times.
fn status(said: &Said) -> Vec<String> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        [columns[1], columns[2], columns[4], columns[5]].join(" ")
    };
    said.text().lines().map(line).collect()
}

fn pki(dir: &Path, script: &str, args: &[&str]) {
    let done = Command::new(dir.join("ca").join(script))
        .args(args)
        .status();
    assert!(done.expect("the CA's script runs").success());
}

fn reload(house: &mut House) {
    house.stop();
    house.start();
}

/// Lists tell times in whole seconds: what is to be before must be in another.
fn next_second() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let began = now().as_secs();
    while now().as_secs() == began {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_message_by_the_card_is_of_class_q_to_everybody() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let by_card = send(
        &mut house,
        "alice",
        "--by card -s Deed -c carol",
        "bob",
        "deed\n",
    );
    let by_device = send(&mut house, "alice", "-s Deed", "bob", "deed\n");
    for who in ["bob", "carol"] {
        assert_eq!(field(&mut house, who, &by_card, "class"), "Q");
        assert_eq!(field(&mut house, who, &by_card, "device"), "null");
    }
    assert_eq!(field(&mut house, "alice", &by_card, "class"), "Q");
    assert_eq!(field(&mut house, "bob", &by_device, "class"), "D");
    let verified = field(&mut house, "bob", &by_card, "verified");
    assert!(
        verified.contains("ALICE MARTINS (alice@repo.example, card)"),
        "{verified}"
    );

    let raw = |id: &str| format!("smr-recv --raw --receipt never {id} > raw.eml && {STRANGER}");
    house.sh("bob", &raw(&by_card)).expect(0);
    let subject = "openssl x509 -in signer.pem -noout -subject -nameopt RFC2253";
    let subject = house.sh("bob", subject).expect(0).text();
    assert!(
        subject.starts_with("subject=CN=ALICE MARTINS,"),
        "{subject}"
    );
    let said = house.sh("bob", &raw(&by_device));
    assert!(said.code != 0 && said.stderr.contains("proxy"), "{said:?}");
}

#[test]
fn gpgsm_takes_a_message_by_the_card_and_none_by_a_device() {
    let mut house = House::with(&["alice", "bob"]);
    for (flags, good) in [("--by card", true), ("--by device", false)] {
        let id = send(&mut house, "alice", flags, "bob", "deed\n");
        // The signed part and the signature, as a mail program takes them apart.
        let apart = r#"import email, re, sys
raw = open("raw.eml", "rb").read()
border = b"\r\n--" + re.search(rb'boundary="([^"]+)"', raw).group(1)
_, part, signature, _ = raw.split(border)
open("part.eml", "wb").write(part[2:])
message = email.message_from_bytes(raw)
open("raw.p7s", "wb").write(message.get_payload()[1].get_payload(decode=True))
"#;
        let take =
            format!("rm -rf gpg && smr-recv --raw --receipt never {id} > raw.eml && python3 -");
        house.sh_with("bob", &take, apart.as_bytes()).expect(0);
        let verify = "gpgsm --batch --disable-crl-checks --verify raw.p7s part.eml";
        let said = house.sh("bob", &format!("{GPGSM}{verify}"));
        assert_eq!(said.code == 0, good, "{said:?}");
        assert_eq!(said.stderr.contains("Good signature"), good, "{said:?}");
        let proxy = "critical certificate extension 1.3.6.1.5.5.7.1.14 is not supported";
        assert_eq!(said.stderr.contains(proxy), !good, "{said:?}");
    }
}

#[test]
fn client_toml_may_have_every_message_signed_by_the_card() {
    let mut house = House::with(&["bob", "carol"]);
    let set = "printf '[send]\\nby = \"card\"\\nreceipt = \"card\"\\n' >> $SMR_HOME/client.toml";
    house.sh("bob", set).expect(0);
    let id = send(&mut house, "bob", "", "carol", "by default");
    assert_eq!(field(&mut house, "carol", &id, "class"), "Q");
    let said = house.sh("carol", &format!("smr-receipt {id}")).expect(77);
    assert!(
        said.stderr.contains("hint: smr-receipt --by card"),
        "{said:?}"
    );
    let id = send(
        &mut house,
        "bob",
        "--by device --receipt read",
        "carol",
        "by hand",
    );
    assert_eq!(field(&mut house, "carol", &id, "class"), "D");
    house.sh("carol", &format!("smr-receipt {id}")).expect(0);
}

#[test]
fn mail_programs_and_repeated_commands_send_by_the_card_too() {
    let mut house = House::with(&["alice", "bob"]);
    let once = "smr-send --by card --once key bob";
    let first = house.sh_with("alice", once, b"once").expect(0).text();
    assert_eq!(
        house.sh_with("alice", once, b"again").expect(0).text(),
        first
    );
    let set = "printf '[send]\\nby = \"card\"\\n' >> $SMR_HOME/client.toml";
    house.sh("alice", set).expect(0);
    let mail = "smr-sendmail --json -t | jq -r .id";
    let mailed = house
        .sh_with("alice", mail, b"To: bob\nSubject: mail\n\nby mail\n")
        .expect(0)
        .text();
    for id in [&first, &mailed] {
        assert_eq!(field(&mut house, "bob", id, "class"), "Q");
    }
    assert_eq!(house.sh("bob", "smr-ls -1 | wc -l").expect(0).text(), "2");
    // Nobody can say now whether the card was revoked: nothing is signed.
    house.stop();
    house.sh("alice", "smr-send --queue bob").expect(75);
    house
        .sh("alice", "smr-send --by device --queue bob")
        .expect(0);
    house.start();
    let left = house.sh("alice", "smr-send --flush").expect(0).text();
    assert_eq!(left.lines().count(), 1);
    assert_eq!(field(&mut house, "bob", &left, "class"), "D");
}

#[test]
fn one_pin_gives_receipts_for_a_batch_by_the_key_for_signatures() {
    let mut cards = Cards::new();
    cards.issue("auth", "P-256", "digitalSignature");
    cards.issue("sign", "rsa", "nonRepudiation");
    let two_keys = one_card("auth", "") + &objects("sign", "02");
    cards.play("rui", &two_keys);
    cards.register_well("rui");
    cards.sh("rui", "smr-login").expect(0);
    cards.house.move_in("alice");
    let ids = ["one", "two"].map(|text| {
        send(
            &mut cards.house,
            "alice",
            "--by card --receipt card",
            "rui",
            text,
        )
    });
    for id in &ids {
        // What a device may not give is not given by one, whatever the policy.
        let said = cards
            .sh("rui", &format!("smr-recv --receipt always -O 1 {id}"))
            .expect(0);
        assert!(
            said.stderr
                .contains("asks for a receipt by the card itself"),
            "{said:?}"
        );
    }
    let [one, two] = &ids;
    cards.sh("rui", &format!("smr-receipt {one}")).expect(77);
    assert_eq!(
        cards.logins("rui").len(),
        1,
        "the card was there at registration only"
    );
    // No message, no PIN.
    let pin = cards.pin("pin");
    cards
        .sh("rui", &format!("smr-receipt --by card {pin} 0123456789"))
        .expect(66);
    assert_eq!(cards.logins("rui").len(), 1);
    // A wrong PIN is tried once, for the whole batch.
    let wrong = cards.pin("wrong");
    cards
        .sh("rui", &format!("smr-receipt --by card {wrong} {one} {two}"))
        .expect(77);
    let user = format!("user pin={}", mark(WRONG.as_bytes()));
    assert_eq!(cards.logins("rui")[1..], [(PIN_INCORRECT, user)]);
    let all = format!("smr-receipt --status {one} {two}");
    let said = cards.house.sh("alice", &all).expect(0);
    assert_eq!(status(&said), ["rui fetched - -", "rui fetched - -"]);

    let signed = cards.count("rui", "C_SignInit");
    cards
        .sh("rui", &format!("smr-receipt --by card {pin} {one} {two}"))
        .expect(0);
    assert_eq!(cards.logins("rui").len(), 3, "one PIN, one login");
    assert_eq!(cards.count("rui", "C_SignInit"), signed + 2);
    let said = cards.house.sh("alice", &all).expect(0);
    assert_eq!(status(&said), ["rui read Q good", "rui read Q good"]);

    // The evidence, in the hands of a stranger with openssl alone.
    let export = format!(
        "smr-receipt --export e.zip {one} && smr-receipt --verify e.zip && unzip -q e.zip -d e && \
         sh e/verify.sh $PKI/ca/root.pem"
    );
    let told = cards.house.sh("alice", &export).expect(0).text();
    assert_eq!(told.matches("class Q, the card of").count(), 2, "{told}");
    let receipt = "cd e && openssl cms -verify_receipt receipts/rui@repo.example-1.p7s -rctform DER \
                   -in message.eml -CAfile $PKI/ca/root.pem -signer ../by.pem";
    cards.house.sh("alice", receipt).expect(0);
    let usage = "openssl cms -verify -inform DER -in e/receipts/*.p7s -CAfile $PKI/ca/root.pem \
                 -signer by.pem -out /dev/null && openssl x509 -in by.pem -noout -ext keyUsage";
    let usage = cards.house.sh("alice", usage).expect(0).text();
    assert!(
        usage.contains("Non Repudiation") && !usage.contains("Digital"),
        "{usage}"
    );
}

/// Gives a receipt by bob's device where the card's was asked for, which our
/// tools refuse: a client that is not ours.
fn give_by_device(house: &House, id: &str) {
    let places = Places {
        smr_home: Some(house.path("home/bob")),
        ..Places::default()
    };
    let home = Home::new(&places, None).unwrap();
    let settings = Config::load(&home, false).unwrap().settings(None).unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut user = User::open(&home, &settings, i64::try_from(now).unwrap()).unwrap();
    let id = id.parse().unwrap();
    let message = fetch::fetch(&mut user, Folder::Inbox, id).unwrap();
    let device = user.device().unwrap();
    let der = receipt::write(&message.opened, &user.address, None, &device, user.now).unwrap();
    let sender = message.entry.name.sender.clone();
    let recipients = user.account(&sender).unwrap().recipients();
    let sealed = receipt::seal(&der, &recipients).unwrap();
    let offer = Receipt {
        id,
        size: sealed.bytes.len() as u64,
        sha256: sealed.sha256,
        cms: sealed.cms_sha256,
    };
    let given = user
        .session
        .give_receipt(&offer, &mut Cursor::new(&sealed.bytes));
    assert_eq!(given.unwrap().len(), 1);
}

#[test]
fn where_the_card_was_asked_for_a_devices_receipt_is_not_good() {
    let mut house = House::with(&["bob", "carol"]);
    let id = send(&mut house, "carol", "--receipt card", "bob", "sign for it");
    house.sh("bob", &format!("smr-recv -O 1 {id}")).expect(0);
    house
        .sh("bob", &format!("smr-receipt --by device {id}"))
        .expect(77);
    give_by_device(&house, &id);
    let told = format!("smr-receipt --status {id}");
    let said = house.sh("carol", &told).expect(65);
    let why = "signed by a device; the sender asked for the card's own signature";
    assert_eq!(status(&said), [format!("bob fetched - {why}")]);
    house
        .sh("carol", &format!("smr-receipt --wait 0s {id}"))
        .expect(1);
    let said = house
        .sh("carol", &format!("smr-receipt --export e.zip {id}"))
        .expect(65);
    assert!(said.stderr.contains(why), "{said:?}");
    // The card makes it good.
    house
        .sh("bob", &format!("smr-receipt --by card {id}"))
        .expect(0);
    let said = house.sh("carol", &told).expect(0);
    assert_eq!(status(&said), ["bob read Q good"]);
    house
        .sh("carol", &format!("smr-receipt --wait 0s {id}"))
        .expect(0);
}

#[test]
fn another_persons_card_signs_nothing_in_my_name() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let asked = send(&mut house, "carol", "", "alice", "give me a receipt");
    house
        .sh("alice", &format!("smr-recv -O 1 {asked}"))
        .expect(0);
    // Others' cards, and a key file that merely bears her name.
    let bobs = "pkcs11:token=bob;object=bob?module-path=$(cat $PKI/module)";
    for (token, code, why) in [
        (bobs, 77, "belongs to"),
        ("file:$PKI/carol.p12", 77, "belongs to"),
        ("file:$PKI/mallory.pem", 65, "the card's certificate"),
    ] {
        let with = format!("export SMR_TOKEN=\"{token}\"; ");
        for command in [
            "smr-send --by card bob".to_owned(),
            format!("smr-receipt --by card {asked}"),
        ] {
            let said = house.sh("alice", &format!("{with}{command}")).expect(code);
            assert!(said.stderr.contains(why), "{said:?}");
            assert!(said.stderr.contains("hint: "), "{said:?}");
        }
    }
    assert_eq!(house.sh("alice", "smr-ls -1 sent").expect(0).text(), "");
    assert_eq!(house.sh("bob", "smr-ls -1").expect(0).text(), "");
    let said = house
        .sh("carol", &format!("smr-receipt --status {asked}"))
        .expect(0);
    assert_eq!(status(&said), ["alice fetched - -"]);
    // Without a card nothing is signed by something else instead.
    std::fs::remove_dir_all(house.path("tokens")).unwrap();
    house.sh("alice", "smr-send --by card bob").expect(69);
    assert_eq!(house.sh("bob", "smr-ls -1").expect(0).text(), "");
}

#[test]
fn what_a_revoked_card_signs_is_not_good() {
    let own = tempfile::tempdir().unwrap();
    make_pki(own.path());
    let mut house = House::with_pki(own.path(), "");
    ["bob", "carol"].iter().for_each(|who| house.move_in(who));
    // A second card of hers; the first has certified her device.
    pki(own.path(), "issue", &["carol2", CAROL, "30"]);
    let with = "export SMR_TOKEN=file:$PKI/carol2.pem; ";
    let send_by_it = format!("{with}smr-send --by card bob");
    let before = house
        .sh_with("carol", &send_by_it, b"before")
        .expect(0)
        .text();
    let asked = send(&mut house, "bob", "--receipt card", "carol", "sign for it");
    house
        .sh("carol", &format!("smr-recv -O 1 {asked}"))
        .expect(0);
    next_second();
    pki(own.path(), "revoke", &["carol2"]);
    reload(&mut house);

    let said = house.sh_with("carol", &send_by_it, b"after").expect(77);
    assert!(said.stderr.contains("revoked"), "{said:?}");
    // A thief does not look.
    let careless = "printf '[trust]\\nrevocation = \"off\"\\n' >> $SMR_HOME/client.toml";
    house.sh("carol", careless).expect(0);
    let after = house
        .sh_with("carol", &send_by_it, b"after")
        .expect(0)
        .text();
    house
        .sh("carol", &format!("{with}smr-receipt --by card {asked}"))
        .expect(0);

    let said = house
        .sh("bob", &format!("smr-recv --receipt never -O 1 {after}"))
        .expect(77);
    assert_eq!(said.text(), "");
    assert!(said.stderr.contains("revoked"), "{said:?}");
    let said = house
        .sh("bob", &format!("smr-receipt --status {asked}"))
        .expect(77);
    let told = status(&said);
    assert!(
        told[0].starts_with("carol fetched - ") && told[0].contains("revoked"),
        "{told:?}"
    );
    // What it signed, and smrd took, before stands; and it is said.
    let line = field(&mut house, "bob", &before, "verified");
    assert!(
        line.contains("class Q") && line.contains("revoked later"),
        "{line}"
    );
}

/// Makes an authority for signatures beside that of cards, and a key file of
/// carol's that it has certified.
const SECOND_AUTHORITY: &str = r#"set -eu; cd "$0/ca"
    sed 's/\bsub\b/qual/g' sub.cnf > qual.cnf; : > qual.index; echo 01 > qual.crlnumber
    printf '[signature]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,nonRepudiation\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >> ext.cnf
    issue() {
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
        openssl req -new -key "$1.key" -subj "$2" -config ext.cnf -out "$1.csr"
        openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -sha256 -days 900 \
            -set_serial "0x4$(openssl rand -hex 11)" -extfile ext.cnf -extensions "$4" -out "$1.pem"
    }
    issue qual '/C=PT/O=Playground/CN=Playground Signatures 1' root sub
    issue carol-sign "$1" qual signature
    openssl ca -config qual.cnf -gencrl -out ../crls/qual.pem
    cp qual.pem ../trust.d/playground/
    cat carol-sign.key carol-sign.pem qual.pem > ../carol-sign.pem"#;

#[test]
fn a_key_for_signatures_may_have_an_authority_of_its_own() {
    let own = tempfile::tempdir().unwrap();
    make_pki(own.path());
    let done = Command::new("sh")
        .args(["-c", SECOND_AUTHORITY])
        .arg(own.path())
        .arg(CAROL)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let mut house = House::with_pki(own.path(), "");
    ["bob", "carol"].iter().for_each(|who| house.move_in(who));
    let with = "export SMR_TOKEN=file:$PKI/carol-sign.pem; ";
    let send_by_it = format!("{with}smr-send --by card --receipt card bob");
    let deed = house
        .sh_with("carol", &send_by_it, b"deed")
        .expect(0)
        .text();
    assert_eq!(field(&mut house, "bob", &deed, "class"), "Q");
    let asked = send(&mut house, "bob", "--receipt card", "carol", "sign for it");
    let give = format!("smr-recv -O 1 {asked} && {with} smr-receipt --by card {asked}");
    house.sh("carol", &give).expect(0);
    house
        .sh("bob", &format!("smr-receipt --by card {deed}"))
        .expect(0);
    // Both bundles have the lists of all three authorities, and are good.
    for (who, id) in [("carol", &deed), ("bob", &asked)] {
        let export = format!(
            "smr-receipt --export e.zip {id} && smr-receipt --verify e.zip --anchors $PKI/ca/root.pem \
             && unzip -q e.zip -d e && sh e/verify.sh $PKI/ca/root.pem"
        );
        let told = house.sh(who, &export).expect(0).text();
        assert!(told.ends_with("all good"), "{told}");
        assert!(told.contains("class Q"), "{told}");
        let lists = "openssl crl2pkcs7 -in e/chain/crls.pem -nocrl 2>/dev/null; grep -c BEGIN e/chain/crls.pem";
        let lists = house.sh(who, lists).text();
        assert!(lists.ends_with('3'), "{lists}");
    }
    // Without the list of that authority nobody sends, nor believes.
    std::fs::remove_file(own.path().join("crls/qual.pem")).unwrap();
    reload(&mut house);
    for who in ["bob", "carol"] {
        let forget = "rm -rf $SMR_HOME/cache/lists";
        house.sh(who, forget).expect(0);
    }
    let said = house.sh_with("carol", &send_by_it, b"again").expect(75);
    assert!(said.stderr.contains("no revocation list"), "{said:?}");
    let said = house.sh("bob", &format!("smr-recv --receipt never -O 1 {deed}"));
    assert_eq!((said.code, said.text()), (75, String::new()), "{said:?}");
}
