//! More than a year of mail, by the clock: keys that were renewed since, lists
//! that came and went, and a card that has ended.
//!
//! The programs are the real ones, under faketime.

mod house;

use std::path::Path;
use std::process::Command;

use house::{Clock, House, make_pki_at};

const DORA: &str = "/C=PT/O=Playground/SN=LUZ/GN=DORA/serialNumber=BI55555555/CN=DORA LUZ";
const BEGIN: u32 = 420;

fn ago(days_ago: u32) -> Clock {
    Clock { days_ago }
}

/// Runs a command in the folder of the PKI, so many days ago.
fn pki(dir: &Path, days_ago: u32, command: &str) {
    let mut sh = Command::new("sh");
    ago(days_ago).set(&mut sh);
    let done = sh.args(["-euc", command]).current_dir(dir).status();
    assert!(done.expect("sh runs").success(), "{command}");
}

const LISTS: &str = "for ca in root sub; do \
                     openssl ca -config ca/$ca.cnf -gencrl -out crls/$ca.pem 2>err; done";

/// Goes to that day, on which the authorities publish new lists.
fn travel(house: &mut House, pki_dir: &Path, days_ago: u32) {
    pki(pki_dir, days_ago, LISTS);
    house.travel(ago(days_ago));
}

fn log_in(house: &mut House, people: &[&str]) {
    for who in people {
        house.sh(who, "smr-login").expect(0);
    }
}

/// Returns the number of the epoch whose key others seal to.
fn epoch(house: &mut House, who: &str) -> String {
    let key = format!(
        "openssl cms -verify -noverify -inform DER -in $STORE/accounts/{who}/record 2>err | grep -a ^keys | cut -d' ' -f 2-3"
    );
    house.sh(who, &key).expect(0).text()
}

#[test]
fn mail_of_more_than_a_year_ago_is_read() {
    let own = tempfile::tempdir().unwrap();
    make_pki_at(own.path(), ago(BEGIN));
    pki(own.path(), BEGIN, &format!("ca/issue dora '{DORA}' 60"));
    pki(own.path(), BEGIN, "cp -r crls lists-of-that-day");
    let mut house = House::at(ago(BEGIN), own.path(), "");
    let register = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                    --backup backup.txt $WHO && smr-login";
    for who in ["carol", "bob", "dora"] {
        house.sh(who, register).expect(0);
    }
    let mut mail = Vec::new();
    let mut send = |house: &mut House, from: &str, days: u32| {
        let text = format!("{days} days ago");
        let send = format!("echo '{text}' | smr-send carol");
        let id = house.sh(from, &send).expect(0).text();
        mail.push((id, text));
    };
    send(&mut house, "bob", BEGIN);
    send(&mut house, "dora", BEGIN);
    let signed = house
        .sh("carol", "echo mine | smr-send bob")
        .expect(0)
        .text();

    let mut keys = vec![epoch(&mut house, "carol")];
    for days in [300, 150, 20] {
        travel(&mut house, own.path(), days);
        // The week is over: each login draws a new key.
        log_in(&mut house, &["carol", "bob"]);
        keys.push(epoch(&mut house, "carol"));
        send(&mut house, "bob", days);
    }
    travel(&mut house, own.path(), 0);
    log_in(&mut house, &["carol", "bob"]);
    keys.push(epoch(&mut house, "carol"));
    keys.dedup();
    assert_eq!(keys.len(), 5, "{keys:?}");

    let read = |house: &mut House, who: &str, id: &str| {
        let read = format!("smr-recv --peek --receipt never -O 1 {id}");
        house.sh(who, &read)
    };
    let (of_dora, rest): (Vec<_>, Vec<_>) = mail.iter().enumerate().partition(|(at, _)| *at == 1);
    for (_, (id, text)) in &rest {
        assert_eq!(read(&mut house, "carol", id).expect(0).text(), *text);
    }
    assert_eq!(read(&mut house, "bob", &signed).expect(0).text(), "mine");
    // The time that counts is that of the deposit.
    let told = house.sh(
        "carol",
        &format!("smr-recv --peek --json --receipt never {}", mail[0].0),
    );
    let told = told.expect(0).text();
    assert!(told.contains("not revoked"), "{told}");

    // Dora's card has ended: she is no longer let in, nor written to.
    house.sh("dora", "smr-login").expect(77);
    house.sh("bob", "smr-send dora < /dev/null").expect(65);
    // The lists of today forget the expired: what she signed cannot be judged,
    let (_, (id, text)) = of_dora[0];
    let said = read(&mut house, "carol", id).expect(75);
    assert_eq!(said.text(), "");
    // until one of that day is put beside the anchors.
    pki(
        own.path(),
        0,
        "cp lists-of-that-day/root.pem trust.d/playground/then-root.pem; \
                        cp lists-of-that-day/sub.pem trust.d/playground/then-sub.pem",
    );
    assert_eq!(read(&mut house, "carol", id).expect(0).text(), *text);

    // A new device has it all from the backup.
    let add = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
               --add-device phone --backup $PWD/../carol/backup.txt carol && smr-login && \
               smr-register --restore $PWD/../carol/backup.txt";
    house.sh("carol+phone", add).expect(0);
    for (id, text) in &mail {
        assert_eq!(read(&mut house, "carol+phone", id).expect(0).text(), *text);
    }
}
