//! Identity over time: devices that come and go, cards that are renewed and
//! revoked, encryption keys by epoch, backups. Wrong cases first in each.
//!
//! A machine is a home of its own: "carol+phone" is carol's second one.

mod house;

use std::path::Path;
use std::process::Command;

use house::{House, Said, make_pki};

const CAROL: &str = "/C=PT/O=Playground/SN=SILVA/GN=CAROL/serialNumber=BI33333333/CN=CAROL SILVA";

/// Registers and logs in, with a backup in backup.txt.
fn move_in_with_backup(house: &mut House, who: &str) {
    let command = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                   --device laptop --backup backup.txt $WHO && smr-login";
    house.sh(who, command).expect(0);
}

/// Adds a machine to the account of its person.
fn add(house: &mut House, machine: &str, label: &str, more: &str) -> Said {
    let command = format!(
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
         --add-device {label} {more} $WHO"
    );
    house.sh(machine, &command)
}

fn send(house: &mut House, from: &str, to: &str, text: &str) -> String {
    let command = format!("smr-send -s identity {to}");
    house
        .sh_with(from, &command, text.as_bytes())
        .expect(0)
        .text()
}

/// Counts the devices that a message is sealed to.
fn sealed_to(house: &mut House, who: &str, id: &str) -> String {
    let stanzas =
        format!("smr-recv --sealed {id} | sed '/^---/q' | grep -ac '^-> mlkem768x25519 '");
    house.sh(who, &stanzas).expect(0).text()
}

/// Reads the text of one message; fails the test unless it ends with `code`.
fn read(house: &mut House, who: &str, id: &str, code: i32) -> Said {
    house
        .sh(who, &format!("smr-recv --receipt never -O 1 {id}"))
        .expect(code)
}

fn pki(script: &str, dir: &Path, args: &[&str]) {
    let done = Command::new(dir.join("ca").join(script))
        .args(args)
        .status();
    assert!(done.expect("the CA's script runs").success());
}

fn pki_of_its_own() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    make_pki(dir.path());
    dir
}

/// Times in records and lists are whole seconds: what is to be before another
/// thing must be a second before it.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

fn reload(house: &mut House) {
    house.stop();
    house.start();
}

#[test]
fn a_device_enters_by_its_own_card_and_nobody_elses() {
    let mut house = House::build();
    move_in_with_backup(&mut house, "carol");
    house.move_in("bob");
    let old = send(&mut house, "bob", "carol", "before the phone");

    // Somebody else's card, even one of the same authority.
    let said = house.sh(
        "bob+phone",
        "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --add-device phone carol",
    );
    let said = said.expect(77);
    assert!(!said.stderr.contains("carol@"), "{said:?}");
    assert_eq!(house.sh("bob+phone", "ls $SMR_HOME/keys").text(), "");
    // Somebody else's backup.
    house.sh("carol+phone", "age-keygen -o other.txt").expect(0);
    add(&mut house, "carol+phone", "phone", "--backup other.txt").expect(77);
    assert_eq!(house.sh("carol+phone", "ls $SMR_HOME/keys").text(), "");

    add(&mut house, "carol+phone", "phone", "").expect(0);
    house.sh("carol+phone", "smr-login").expect(0);
    // One label twice.
    add(&mut house, "carol+tablet", "phone", "").expect(77);

    let new = send(&mut house, "bob", "carol", "to both");
    for machine in ["carol", "carol+phone"] {
        assert_eq!(read(&mut house, machine, &new, 0).text(), "to both");
    }
    // Sealed before the phone was there.
    assert_eq!(read(&mut house, "carol+phone", &old, 65).text(), "");
    let backup = house.path("work/carol/backup.txt");
    house
        .sh("carol+phone", "smr-register --restore other.txt")
        .expect(77);
    let restore = format!("smr-register --restore {}", backup.display());
    house.sh("carol+phone", &restore).expect(0);
    assert_eq!(
        read(&mut house, "carol+phone", &old, 0).text(),
        "before the phone"
    );

    // The phone writes, and bob sees that it is carol.
    let id = send(&mut house, "carol+phone", "bob", "from the phone");
    assert_eq!(read(&mut house, "bob", &id, 0).text(), "from the phone");
}

#[test]
fn a_removed_device_is_out_and_what_it_signed_stays() {
    let mut house = House::build();
    move_in_with_backup(&mut house, "carol");
    house.move_in("bob");
    add(&mut house, "carol+phone", "phone", "").expect(0);
    house.sh("carol+phone", "smr-login").expect(0);
    let signed = send(&mut house, "carol+phone", "bob", "signed by the phone");
    next_second();

    house
        .sh("carol", "smr-register --revoke nothing")
        .expect(66);
    // Itself: it would leave a record signed by nobody.
    house.sh("carol", "smr-register --revoke laptop").expect(64);
    // By somebody else's card.
    house
        .sh(
            "carol",
            "smr-register --revoke phone --token file:$PKI/mallory.pem",
        )
        .expect(77);
    // Hers are two, and his own.
    let to_both = send(&mut house, "bob", "carol", "for the phone too");
    assert_eq!(sealed_to(&mut house, "bob", &to_both), "3");
    house.sh("carol", "smr-register --revoke phone").expect(0);

    house.sh("carol+phone", "smr-ls").expect(77);
    house.sh("carol+phone", "smr-login").expect(77);
    house
        .sh("carol+phone", "smr-send bob < /dev/null")
        .expect(77);
    let after = send(&mut house, "bob", "carol", "not for the phone");
    assert_eq!(sealed_to(&mut house, "bob", &after), "2");
    assert_eq!(
        read(&mut house, "carol", &after, 0).text(),
        "not for the phone"
    );
    assert_eq!(
        read(&mut house, "bob", &signed, 0).text(),
        "signed by the phone"
    );
    // Its fingerprint never comes back; its label may, with a new certificate.
    add(&mut house, "carol+tablet", "phone", "").expect(0);
}

#[test]
fn a_card_removes_a_device_from_any_machine() {
    let mut house = House::build();
    house.move_in("carol");
    let revoke = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --revoke ";
    house
        .sh("bob", &format!("{revoke} laptop carol"))
        .expect(77);
    let label = house
        .sh("carol+kiosk", &format!("{revoke} nothing carol"))
        .expect(66)
        .stderr;
    let label = label
        .rsplit('"')
        .nth(1)
        .expect("the hint names the label")
        .to_owned();
    house
        .sh("carol+kiosk", &format!("{revoke} '{label}' carol"))
        .expect(0);
    house.sh("carol", "smr-login").expect(77);
    // The card alone brings its person back, on any machine.
    add(&mut house, "carol+kiosk", "kiosk", "").expect(0);
    house.sh("carol+kiosk", "smr-login").expect(0);
}

#[test]
fn a_new_card_of_the_same_person_takes_over_and_no_other() {
    let own = pki_of_its_own();
    let mut house = House::with_pki(own.path(), "");
    move_in_with_backup(&mut house, "carol");
    house.move_in("bob");
    let old = send(&mut house, "bob", "carol", "to the old card");
    let signed = send(&mut house, "carol", "bob", "by the old card");
    add(&mut house, "carol+phone", "phone", "").expect(0);

    // Another person of the same common name.
    let namesake = CAROL.replace("BI33333333", "BI99999999");
    pki("issue", own.path(), &["namesake", &namesake, "30"]);
    let renew = "smr-register --renew --token file:$PKI/";
    house
        .sh("carol", &format!("{renew}namesake.pem"))
        .expect(77);
    house.sh("carol", &format!("{renew}mallory.pem")).expect(77);
    house.sh("carol", "smr-login").expect(0);

    // The old card is lost and revoked, the new one is the same person's.
    pki("issue", own.path(), &["carol2", CAROL, "30"]);
    next_second();
    pki("revoke", own.path(), &["carol"]);
    reload(&mut house);
    house.sh("carol", "smr-login").expect(77);
    house.sh("carol", &format!("{renew}carol.pem")).expect(77);
    let said = house.sh("carol", &format!("{renew}carol2.pem")).expect(0);
    assert!(said.stderr.contains("\"phone\" left"), "{said:?}");
    assert_eq!(read(&mut house, "carol", &old, 0).text(), "to the old card");

    // Bob, who had pinned the old card, writes and reads without an alarm, or
    // a word.
    let command = "echo 'to the new card' | smr-send -s identity carol";
    let said = house.sh("bob", command).expect(0);
    assert_eq!(said.stderr, "");
    let new = said.text();
    assert_eq!(read(&mut house, "carol", &new, 0).text(), "to the new card");
    let said = read(&mut house, "bob", &signed, 0);
    assert_eq!(said.text(), "by the old card");
    let again = send(&mut house, "carol", "bob", "by the new card");
    assert_eq!(read(&mut house, "bob", &again, 0).text(), "by the new card");
}

#[test]
fn a_new_card_takes_over_where_the_last_record_came_after_the_revocation() {
    let own = pki_of_its_own();
    let mut house = House::with_pki(own.path(), "");
    move_in_with_backup(&mut house, "carol");
    pki("revoke", own.path(), &["carol"]);
    next_second();
    // Nobody has the list yet: the device, perhaps a thief's, publishes.
    house.sh("carol", "smr-login --new-key").expect(0);
    pki("issue", own.path(), &["carol2", CAROL, "30"]);
    reload(&mut house);
    house.sh("carol", "smr-login").expect(77);
    house
        .sh("carol", "smr-register --renew --token file:$PKI/carol2.pem")
        .expect(0);
    house.sh("carol", "smr-login").expect(0);
}

/// A card of another realm bears the very name and number of carol's: it is
/// somebody else's.
#[test]
fn one_number_in_two_realms_is_two_persons() {
    let (own, other) = (pki_of_its_own(), pki_of_its_own());
    let from = |path: &str| other.path().join(path);
    let to = |path: &str| own.path().join(path);
    std::fs::rename(from("trust.d/playground"), to("trust.d/club")).unwrap();
    for list in ["root.pem", "sub.pem"] {
        let name = format!("crls/club-{list}");
        std::fs::copy(from("crls").join(list), to(&name)).unwrap();
    }
    let mut house = House::with_pki(own.path(), "");
    house.move_in("carol");
    house.move_in("bob");

    let with = |rest: &str| {
        let token = from("carol.p12");
        format!(
            "smr-register --server $SERVER --server-key $KEY --token file:{} {rest}",
            token.display()
        )
    };
    for attempt in ["--no-backup carol", "--add-device phone carol"] {
        let said = house.sh("carol+thief", &with(attempt)).expect(77);
        assert_eq!(said.text(), "", "{attempt}");
        assert_eq!(house.sh("carol+thief", "ls $SMR_HOME/keys").text(), "");
    }
    let renew = with("--renew").replace("--server $SERVER --server-key $KEY", "");
    house.sh("carol", &renew).expect(77);
    // Under a name of her own she is welcome, and is not carol.
    house.sh("carol+club", &with("--no-backup carla")).expect(0);
    let id = send(&mut house, "bob", "carol", "for carol of the playground");
    assert_eq!(
        read(&mut house, "carol", &id, 0).text(),
        "for carol of the playground"
    );
}

/// An authority that leaves the number empty does not make one person of all
/// its people.
#[test]
fn an_empty_number_is_nobodys() {
    let own = pki_of_its_own();
    for name in ["ana", "eva"] {
        let subject = format!("/C=PT/O=Playground/serialNumber= /CN={name}");
        pki("issue", own.path(), &[name, &subject, "30"]);
    }
    let mut house = House::with_pki(own.path(), "");
    move_in_with_backup(&mut house, "ana");
    let eva = "--token file:$PKI/eva.pem";
    let server = "--server $SERVER --server-key $KEY";
    for attempt in [
        format!("--renew {eva}"),
        format!("{server} {eva} --add-device phone ana"),
        format!("{server} {eva} --revoke laptop ana"),
    ] {
        let machine = match attempt.contains("--renew") {
            true => "ana",
            false => "ana+thief",
        };
        house
            .sh(machine, &format!("smr-register {attempt}"))
            .expect(77);
    }
    // Who she is, the whole name says: a new card of it is hers.
    pki(
        "issue",
        own.path(),
        &["ana2", "/C=PT/O=Playground/serialNumber= /CN=ana", "30"],
    );
    house
        .sh("ana", "smr-register --renew --token file:$PKI/ana2.pem")
        .expect(0);
}

#[test]
fn another_person_under_a_known_name_is_an_alarm_and_the_hint_helps() {
    let mut house = House::with(&["alice", "bob"]);
    send(&mut house, "alice", "bob", "for bob");
    // The operator gives bob's name to carol.
    house.stop();
    std::fs::remove_dir_all(house.path("store/accounts/bob")).unwrap();
    house.start();
    let take = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup bob";
    house.sh("carol", take).expect(0);
    house.sh("carol", "smr-login").expect(0);

    for command in ["echo secret | smr-send bob", "smr-ls users"] {
        let said = house.sh("alice", command).expect(76);
        assert!(said.stderr.contains("is now"), "{said:?}");
        assert!(said.stderr.contains("CAROL"), "{said:?}");
    }
    // Nothing was sealed to carol, and nothing reached her.
    assert_eq!(house.sh("carol", "smr-ls").text(), "");

    let said = house.sh("alice", "echo secret | smr-send bob").expect(76);
    let hint = said.stderr.lines().find(|l| l.contains("hint: ")).unwrap();
    let (_, file) = hint.split_once("remove \"").unwrap();
    let (file, _) = file.split_once('"').unwrap();
    house.sh("alice", &format!("rm {file:?}")).expect(0);
    let id = send(&mut house, "alice", "bob", "for carol now");
    assert_eq!(read(&mut house, "carol", &id, 0).text(), "for carol now");
}

#[test]
fn old_mail_stays_readable_over_sixty_epochs() {
    let mut house = House::build();
    move_in_with_backup(&mut house, "carol");
    house.move_in("bob");
    let mut mail = Vec::new();
    for epoch in 1..=60 {
        // A key that was published a moment ago is the one to seal to.
        if epoch > 1 {
            house.sh("carol", "smr-login --new-key").expect(0);
        }
        if epoch % 10 == 1 || epoch == 60 {
            let text = format!("epoch {epoch}");
            mail.push((send(&mut house, "bob", "carol", &text), text));
        }
    }
    for (id, text) in &mail {
        assert_eq!(read(&mut house, "carol", id, 0).text(), *text);
    }
    // A new device has them all from the backup, out of a pipe, and later ones too.
    add(
        &mut house,
        "carol+phone",
        "phone",
        "--backup $PWD/../carol/backup.txt",
    )
    .expect(0);
    house
        .sh(
            "carol+phone",
            "cat $PWD/../carol/backup.txt | smr-register --restore /dev/stdin",
        )
        .expect(0);
    for (id, text) in &mail {
        assert_eq!(read(&mut house, "carol+phone", id, 0).text(), *text);
    }
}

#[test]
fn epochs_end_by_themselves() {
    let mut house = House::build();
    move_in_with_backup(&mut house, "carol");
    house.move_in("bob");
    let recipient = "find $SMR_HOME -name carol.p7s -exec sha256sum {} +";
    send(&mut house, "bob", "carol", "first");
    let before = house.sh("bob", recipient).expect(0).text();
    house.sh("carol", "smr-login").expect(0);
    send(&mut house, "bob", "carol", "second");
    assert_eq!(
        house.sh("bob", recipient).text(),
        before,
        "the epoch is not over"
    );
    house
        .sh(
            "carol",
            "printf '[keys]\\nepoch = \"1s\"\\n' >> $SMR_HOME/client.toml; sleep 1.1; smr-login",
        )
        .expect(0);
    let id = send(&mut house, "bob", "carol", "third");
    assert_ne!(house.sh("bob", recipient).text(), before);
    assert_eq!(read(&mut house, "carol", &id, 0).text(), "third");
}

#[test]
fn revoked_later_differs_from_revoked_before() {
    let own = pki_of_its_own();
    let mut house = House::with_pki(own.path(), "");
    for who in ["alice", "carol"] {
        house.move_in(who);
    }
    let before = send(&mut house, "carol", "alice", "before");
    next_second();
    pki("revoke", own.path(), &["carol"]);
    reload(&mut house);

    // Nothing goes to her and nothing comes from her any more.
    house.sh("carol", "smr-login").expect(77);
    house.sh("alice", "smr-send carol < /dev/null").expect(77);
    // What she signed before counts, and the reader is told.
    assert_eq!(read(&mut house, "alice", &before, 0).text(), "before");
    let said = house.sh(
        "alice",
        &format!("smr-recv --json --receipt never {before}"),
    );
    let told = said.expect(0).text();
    assert!(told.contains("revoked later"), "{told}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let own = pki_of_its_own();
    let mut house = House::with_pki(own.path(), "");
    let check = "smr-login --check";
    let said = house.sh("carol", check).expect(0);
    assert!(said.text().contains("warn\taccount\t"), "{said:?}");
    assert!(said.stderr.contains("hint: smr-register NAME"), "{said:?}");

    house.move_in("carol");
    let said = house.sh("carol", check).expect(0);
    for line in [
        "ok\tserver\t",
        "ok\tchain\t",
        "ok\tclock\t",
        "ok\tagent\t",
        "ok\trecord\t",
    ] {
        assert!(said.text().contains(line), "{line}: {said:?}");
    }
    let json = house.sh(
        "carol",
        "smr-login --check --json | jq -r 'select(.what == \"server\").state'",
    );
    assert_eq!(json.expect(0).text(), "ok");

    // No agent, no repository, no believable card: each in its turn.
    house.sh("carol", "smr-login --logout").expect(0);
    let said = house.sh("carol", check).expect(0);
    assert!(said.text().contains("warn\tagent\t"), "{said:?}");
    house.sh("carol", "smr-login").expect(0);
    pki("revoke", own.path(), &["carol"]);
    reload(&mut house);
    let said = house.sh("carol", check);
    assert_eq!(said.code, 77, "{said:?}");
    assert!(said.text().contains("fail\trecord\t"), "{said:?}");
    house.stop();
    let said = house.sh("carol", check).expect(75);
    assert!(said.text().contains("fail\tserver\t"), "{said:?}");
    assert!(said.stderr.contains("is smrd running"), "{said:?}");
}
