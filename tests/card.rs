//! A smart card end to end: pcscd, OpenSC, and a PIV card in software.

mod cards;
mod house;
mod piv;

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};

use cards::{Cards, PIN, WRONG};
use house::Said;
use piv::{Applet, GET_DATA, Inserted, Reader, Slot, VERIFY};
use smr_token_module::key::Key;

/// A house with a reader, and a card that can go into it.
struct Desk {
    cards: Cards,
    reader: Reader,
    applet: Arc<Mutex<Applet>>,
}

impl Desk {
    /// Makes a card with one key in each of these slots, by kind.
    fn new(slots: &[(u8, &str)]) -> Desk {
        let mut cards = Cards::new();
        let slots = slots.iter().map(|(number, kind)| {
            let name = format!("{number:x}");
            cards.issue(&name, kind, "digitalSignature");
            let read = |end: &str| fs::read(cards.house.path("keys").join(name.clone() + end));
            Slot {
                number: *number,
                certificate: read(".der").unwrap(),
                key: Key::from_pkcs8(&read(".key").unwrap()).expect("a key of ours"),
            }
        });
        let applet = Applet::new(slots.collect(), PIN);
        Desk {
            cards,
            reader: Reader::start(),
            applet: Arc::new(Mutex::new(applet)),
        }
    }

    fn insert(&self) -> Inserted {
        self.reader.insert(&self.applet)
    }

    fn applet(&self) -> MutexGuard<'_, Applet> {
        self.applet.lock().unwrap()
    }

    /// Returns how many PINs were presented, and how many signatures made.
    fn done(&self) -> (usize, usize) {
        let applet = self.applet();
        (applet.presented, applet.signed)
    }

    /// Returns the tries that are left, and how many PINs were presented.
    fn tried(&self) -> (u8, usize) {
        let applet = self.applet();
        (applet.tries, applet.presented)
    }

    fn sh(&mut self, who: &str, command: &str) -> Said {
        let socket = self.reader.socket();
        let setting = format!("export PCSCLITE_CSOCK_NAME={}; ", socket.display());
        self.cards.house.sh(who, &(setting + command))
    }

    fn register(&mut self, who: &str, token: &str, pin: &str) -> Said {
        let pin = self.cards.pin(pin);
        let command = format!(
            "timeout 60 smr-register --server $SERVER --server-key $KEY --no-backup --token '{token}' \
             {pin} $WHO"
        );
        self.sh(who, &command)
    }

    /// Sees that registering fails with 69, says all these texts, and leaves
    /// nothing behind.
    #[track_caller]
    fn assert_unavailable(&mut self, texts: &[&str]) {
        let said = self.register("rui", "piv", "pin").expect(69);
        for text in texts {
            assert!(said.stderr.contains(text), "\"{text}\" in: {}", said.stderr);
        }
        self.cards.assert_nothing_of("rui");
    }
}

/// Has `from` send, `to` read and give a receipt, and `from` see it.
fn letter(desk: &mut Desk, from: &str, to: &str) {
    let text = format!("from {from}");
    let send = format!("echo '{text}' | smr-send -s Letter --receipt read {to}");
    let id = desk.sh(from, &send).expect(0).text();
    assert_eq!(
        desk.sh(to, &format!("smr-recv -O 1 {id}")).expect(0).text(),
        text
    );
    desk.sh(to, &format!("smr-receipt {id}")).expect(0);
    let wait = format!("smr-receipt --wait 10s {id}");
    desk.sh(from, &wait).expect(0);
}

#[test]
fn the_card_is_a_card_to_others_too() {
    for slots in [
        [(0x9a, "P-384"), (0x9c, "rsa")],
        [(0x9a, "rsa"), (0x9c, "P-256")],
    ] {
        let mut desk = Desk::new(&slots);
        let _card = desk.insert();
        for (number, kind) in slots {
            let (mechanism, id) = match (kind, number) {
                ("rsa", 0x9a) => ("SHA256-RSA-PKCS", "01"),
                ("rsa", _) => ("SHA256-RSA-PKCS", "02"),
                (_, 0x9a) => ("ECDSA-SHA256 --signature-format openssl", "01"),
                (_, _) => ("ECDSA-SHA256 --signature-format openssl", "02"),
            };
            let keys = desk.cards.house.path("keys");
            let sign = format!(
                "echo text > text && pkcs11-tool --module $(ls /usr/lib/*/opensc-pkcs11.so) \
                 --login --pin {PIN} --id {id} --sign --mechanism {mechanism} -i text -o signature && \
                 openssl x509 -inform DER -in {}/{number:x}.der -noout -pubkey > public && \
                 openssl dgst -sha256 -verify public -signature signature text",
                keys.display()
            );
            desk.sh("rui", &sign).expect(0);
        }
        assert_eq!(desk.done(), (3, 2), "9C wants the PIN once more");
    }
}

#[test]
fn a_person_with_a_card_writes_reads_and_gives_receipts() {
    let mut desk = Desk::new(&[(0x9a, "rsa"), (0x9c, "rsa")]);
    let card = desk.insert();
    desk.cards.house.move_in("alice");
    let said = desk.register("rui", "piv", "pin").expect(0);
    assert!(said.text().starts_with("rui@repo.example "));
    assert_eq!(desk.done(), (1, 1));
    // From here on the device stands in: the card may go.
    drop(card);
    desk.sh("rui", "smr-login").expect(0);
    letter(&mut desk, "rui", "alice");
    letter(&mut desk, "alice", "rui");
    assert_eq!(desk.done(), (1, 1));
}

#[test]
fn every_kind_of_key_on_a_card_enrols() {
    let mut desk = Desk::new(&[(0x9a, "P-256"), (0x9c, "P-256")]);
    let card = desk.insert();
    desk.register("rui", "piv", "pin").expect(0);
    assert_eq!(desk.done(), (1, 1));
    // The key for signatures wants its PIN again for each of them.
    let second = "pkcs11:id=%02?module-name=opensc-pkcs11";
    desk.register("ana", second, "pin").expect(0);
    assert_eq!(desk.done(), (3, 2));
    drop(card);
    let mut desk = Desk::new(&[(0x9a, "P-384"), (0x9c, "rsa")]);
    let _card = desk.insert();
    desk.register("rui", "auto", "pin").expect(0);
    desk.register("ana", second, "pin").expect(0);
    assert_eq!(desk.done(), (3, 2));
}

#[test]
fn what_is_in_the_reader_is_listed() {
    let mut desk = Desk::new(&[(0x9a, "rsa"), (0x9c, "P-256")]);
    let list = "smr-register --tokens --token piv";
    let none = desk.sh("rui", list).expect(0);
    assert!(none.text().starts_with("Virtual PCD"), "{none:?}");
    assert!(!none.text().contains("RUI REIS"), "{none:?}");
    let _card = desk.insert();
    let said = desk.sh("rui", "smr-register --tokens").expect(0);
    assert_eq!(
        said.text().matches("CN=RUI REIS").count(),
        2,
        "{}",
        said.text()
    );
    assert!(said.text().contains("Virtual PCD"), "{}", said.text());
    assert_eq!(desk.applet().presented, 0);
    let only = desk.sh("rui", list).expect(0).text();
    assert!(!only.contains("SoftHSM"), "{only}");
    // Each can be taken from the list as it stands there.
    let uris: Vec<&str> = said
        .stdout
        .split(|b| b.is_ascii_whitespace())
        .filter_map(|word| std::str::from_utf8(word).ok())
        .filter(|word| word.starts_with("pkcs11:token=RUI"))
        .collect();
    assert_eq!(uris.len(), 2, "{}", said.text());
    desk.register("rui", uris[0], "pin").expect(0);
}

#[test]
fn a_wrong_pin_takes_one_try_off_the_card() {
    let mut desk = Desk::new(&[(0x9a, "rsa")]);
    let _card = desk.insert();
    let said = desk.register("rui", "piv", "wrong").expect(77);
    assert!(said.stderr.contains("is wrong"), "{}", said.stderr);
    assert!(!said.stderr.contains(WRONG) && !said.stderr.contains(PIN));
    assert_eq!(desk.tried(), (2, 1));
    desk.cards.assert_nothing_of("rui");
    // The last try is not taken out of a file, right or wrong.
    desk.applet().tries = 1;
    for pin in ["wrong", "pin"] {
        let said = desk.register("rui", "piv", pin).expect(77);
        assert!(said.stderr.contains("by hand"), "{}", said.stderr);
    }
    desk.applet().tries = 0;
    let said = desk.register("rui", "piv", "pin").expect(77);
    assert!(said.stderr.contains("locked"), "{}", said.stderr);
    assert_eq!(desk.applet().presented, 1);
    desk.applet().tries = 2;
    desk.register("rui", "piv", "pin").expect(0);
    assert_eq!(desk.tried(), (3, 2));
}

#[test]
fn a_card_pulled_out_is_said_and_works_when_it_is_back() {
    let mut desk = Desk::new(&[(0x9a, "rsa")]);
    desk.assert_unavailable(&["no token found", "is the card in the reader"]);
    // Not at the signature: there OpenSC 0.23 may lock itself up (its issue
    // 2707). tokens.rs pulls a card out at that moment, too.
    for instruction in [GET_DATA, VERIFY] {
        desk.applet().pulled_at = Some(instruction);
        let card = desk.insert();
        desk.assert_unavailable(&["hint: is the card in the reader"]);
        drop(card);
    }
    desk.applet().pulled_at = None;
    let _card = desk.insert();
    desk.register("rui", "piv", "pin").expect(0);
    assert_eq!(desk.applet().signed, 1);
}

/// Another program may hold the card for itself alone.
#[test]
fn a_card_that_another_program_holds_is_said_to_be_busy() {
    let mut desk = Desk::new(&[(0x9a, "rsa")]);
    let _card = desk.insert();
    let holder = desk.reader.hold();
    let busy = " does not answer: another program may hold it";
    let hint = "hint: is another program using the card? close it and try again";
    desk.assert_unavailable(&[busy, hint]);
    let said = desk
        .sh("rui", "smr-register --tokens --token piv")
        .expect(69);
    assert!(
        said.stderr.contains(busy),
        "{} {}",
        said.text(),
        said.stderr
    );
    drop(holder);
    desk.register("rui", "piv", "pin").expect(0);
}

#[test]
fn without_pcscd_one_is_told_of_it() {
    let mut desk = Desk::new(&[(0x9a, "rsa")]);
    let _card = desk.insert();
    desk.reader.stop();
    desk.assert_unavailable(&[
        "error: no reader is seen for \"piv\": pcscd is not running\n",
        "hint: systemctl start pcscd.socket: smartcards need it\n",
    ]);
    let check = "mkdir -p $SMR_HOME && printf '[token]\\nprofile = \"piv\"\\n' > $SMR_HOME/client.toml && \
                 smr-login --check";
    let said = desk.sh("rui", check).expect(0);
    let line = "warn\treader\tpcscd is not running\n";
    assert!((said.text() + "\n").contains(line), "{said:?}");
}

/// pcscd with polkit takes the call of a user who may not, and hangs up.
#[test]
fn whom_polkit_turns_away_is_told_so() {
    let mut desk = Desk::new(&[(0x9a, "rsa")]);
    let _card = desk.insert();
    desk.reader.turn_away();
    desk.assert_unavailable(&[
        "error: no reader is seen for \"piv\": pcscd turns this user away\n",
        "hint: ask the machine's administrator for a rule",
    ]);
    let check = "mkdir -p $SMR_HOME && printf '[token]\\nprofile = \"piv\"\\n' > $SMR_HOME/client.toml && \
                 smr-login --check";
    let said = desk.sh("rui", check).expect(0);
    let line = "warn\treader\tpcscd turns this user away\n";
    assert!((said.text() + "\n").contains(line), "{said:?}");
    assert!(said.stderr.contains("org.debian.pcsc-lite.access_pcsc"));
}
