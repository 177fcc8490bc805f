//! Accounts whose keys are classic (X25519), as client.toml has it: a message is
//! of one kind, never weaker than its sender asked for, and the age program
//! opens a classic one.

mod house;

use house::House;

const CLASSIC: &str =
    "printf '\\n[keys]\\nkind = \"classic\"\\n' >> $SMR_HOME/client.toml && smr-login";
const POST_QUANTUM: &str = "sed -i '/^\\[keys\\]/,$d' $SMR_HOME/client.toml && smr-login";

/// Returns the tags of a sealed file's stanzas, each once.
fn kinds(house: &mut House, who: &str, id: &str) -> String {
    let tags = format!(
        "smr-recv --sealed {id} | sed -n '/^---/q;s/^-> \\([^ ]*\\) .*/\\1/p' | grep -v grease | sort -u"
    );
    house.sh(who, &tags).expect(0).text()
}

fn send(house: &mut House, from: &str, to: &str) -> String {
    let send = format!("smr-send -s Kind {to}");
    house.sh_with(from, &send, b"text\n").expect(0).text()
}

#[test]
fn a_message_is_of_one_kind_and_never_of_a_weaker_one_than_its_sender_asked_for() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let before = send(&mut house, "alice", "bob");
    assert_eq!(kinds(&mut house, "bob", &before), "mlkem768x25519");
    for who in ["alice", "bob"] {
        house.sh(who, CLASSIC).expect(0);
    }
    let between = send(&mut house, "alice", "bob");
    assert_eq!(kinds(&mut house, "bob", &between), "X25519");
    // The sender's own copy is the same file, and receipts come back.
    assert_eq!(kinds(&mut house, "alice", &between), "X25519");
    for id in [&before, &between] {
        house
            .sh("bob", &format!("smr-recv {id} && smr-receipt {id}"))
            .expect(0);
        let status = format!("smr-receipt --status {id} | cut -f6");
        assert_eq!(house.sh("alice", &status).expect(0).text(), "good");
    }
    // Neither is sealed to the other's kind, nor to both.
    for (from, to, whose, theirs, own) in [
        ("carol", "bob", "bob", "classic", "post-quantum"),
        ("alice", "carol", "carol", "post-quantum", "classic"),
        ("alice", "bob carol", "carol", "post-quantum", "classic"),
    ] {
        let said = house
            .sh_with(from, &format!("smr-send {to}"), b"x")
            .expect(77);
        let text = format!(
            "{whose}@repo.example has a key of the kind \"{theirs}\", and your message would be \
             of the kind \"{own}\""
        );
        assert!(said.stderr.contains(&text), "{}", said.stderr);
        assert!(said.stderr.contains("hint: "), "{}", said.stderr);
        assert_eq!(said.text(), "");
    }
    assert_eq!(house.sh("carol", "smr-ls -1 | wc -l").expect(0).text(), "0");
    // What waits is sealed by what holds on the day it leaves.
    house.stop();
    let queued = house
        .sh_with("carol", "smr-send --queue -s Kind bob", b"text\n")
        .expect(0)
        .text();
    house.start();
    house.sh("carol", "smr-send --flush").expect(77);
    house.sh("bob", POST_QUANTUM).expect(0);
    house.sh("carol", "smr-send --flush").expect(0);
    assert_eq!(kinds(&mut house, "bob", &queued), "mlkem768x25519");
    // Keys of before stay: he reads what is of either kind.
    for id in [&before, &between, &queued] {
        assert_eq!(
            house
                .sh("bob", &format!("smr-recv -O 1 {id}"))
                .expect(0)
                .text(),
            "text"
        );
    }
}

#[test]
fn the_age_program_opens_a_classic_message_with_the_key_of_the_backup() {
    let mut house = House::with(&["alice"]);
    house.sh("alice", CLASSIC).expect(0);
    // Of whom there is no account yet, the file is all there is.
    let register = "printf 'server = \"%s\"\\nserver_key = \"%s\"\\nmailbox = \"bob\"\\n\\n\
                    [keys]\\nkind = \"classic\"\\n' $SERVER $KEY > $SMR_HOME/client.toml && \
                    smr-register --token \"$TOKEN\" --backup bob.key bob && smr-login";
    house.sh("bob", register).expect(0);
    let id = send(&mut house, "alice", "bob");
    let open = format!(
        "smr-recv --raw {id} > raw.eml && smr-recv --sealed {id} | age -d -i bob.key | cmp - raw.eml"
    );
    house.sh("bob", &open).expect(0);
    // A new machine has nothing but the card, and the backup, which is classic too.
    let keys = "grep -c ^AGE-SECRET-KEY-1 bob.key; grep -c ^AGE-SECRET-KEY-PQ- bob.key";
    assert_eq!(house.sh("bob", keys).text(), "2\n0");
    let restore = "printf '\\n[keys]\\nkind = \"classic\"\\n' > keys && cp ../bob/bob.key . && \
                   smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                   --backup bob.key --add-device other $WHO && \
                   cat keys >> $SMR_HOME/client.toml && smr-login && smr-register --restore bob.key";
    house.sh("bob+other", restore).expect(0);
    let read = format!("smr-recv -O 1 {id}");
    assert_eq!(house.sh("bob+other", &read).expect(0).text(), "text");
    let both = send(&mut house, "alice", "bob");
    assert_eq!(kinds(&mut house, "bob+other", &both), "X25519");
}

#[test]
fn an_account_with_keys_of_both_kinds_gets_nothing_until_they_agree() {
    let mut house = House::with(&["alice", "bob"]);
    let add = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup \
               --add-device other $WHO && smr-login";
    house.sh("bob+other", add).expect(0);
    house.sh("bob+other", CLASSIC).expect(0);
    let said = house.sh("alice", "smr-send bob").expect(77);
    assert!(
        said.stderr
            .contains("bob@repo.example has a key of the kind \"classic\"")
    );
    // He cannot send either, for his own copy would be of both.
    house.sh("bob", "smr-send alice").expect(77);
    house.sh("bob+other", POST_QUANTUM).expect(0);
    house.sh("alice", "smr-send bob").expect(0);
}

#[test]
fn another_kind_is_a_wrong_value() {
    let mut house = House::build();
    let said = house
        .sh(
            "alice",
            "printf '[keys]\\nkind = \"rsa\"\\n' > $SMR_HOME/client.toml && smr-login",
        )
        .expect(78);
    let expected = "wrong value for \"keys.kind\", expected \"post-quantum\" or \"classic\"";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}
