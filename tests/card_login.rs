//! A repository that wants the card at login, with real tokens: one signature
//! lets a device in until a stated time.

mod house;

use std::fs;

use house::House;

const CARD: &str = "[session]\nlogin = \"card\"\nlifetime = \"2h\"";

/// A house that wants cards, in which these people are registered.
fn house(people: &[&str]) -> House {
    let mut house = House::asking(CARD);
    for who in people {
        let register = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                        --no-backup $WHO";
        house.sh(who, register).expect(0);
    }
    house
}

/// Takes every token away.
fn without_card(house: &House) {
    fs::remove_dir_all(house.path("tokens")).unwrap();
}

#[test]
fn one_signature_of_the_card_lets_a_device_in_until_the_end_of_the_login() {
    let mut house = house(&["alice", "bob"]);
    let said = house.sh("alice", "smr-login").expect(77);
    assert!(said.stderr.contains("wants the card at login"), "{said:?}");
    assert!(
        said.stderr.contains("hint: smr-login --by card"),
        "{said:?}"
    );
    house.sh("alice", "smr-ls").expect(69);
    for who in ["alice", "bob"] {
        house.sh(who, "smr-login --by card").expect(0);
    }
    let id = house
        .sh_with("alice", "smr-send -s card bob", b"by card")
        .expect(0)
        .text();

    // From here on nobody has a card.
    without_card(&house);
    house.sh("alice", "smr-login --by card").expect(69);
    // The agent comes back alone.
    assert_eq!(house.stop(), Some(0));
    house.start();
    assert_eq!(
        house
            .sh("bob", &format!("smr-recv -O 1 {id}"))
            .expect(0)
            .text(),
        "by card"
    );
    // So does a new agent, with the passphrase alone.
    house.sh("alice", "smr-login --lock").expect(0);
    house.sh("alice", "smr-login --unlock").expect(0);
    house.sh("alice", "smr-ls -1 sent").expect(0);
    // Until the user is done with it.
    house.sh("alice", "smr-login --logout").expect(0);
    house.sh("alice", "smr-login").expect(77);
    house.sh("bob", "smr-login --by device").expect(77);
}

#[test]
fn after_its_end_the_card_must_sign_again() {
    let mut house = house(&["alice"]);
    house.sh("alice", "smr-login --by card -t 20s").expect(0);
    let until_it_ends = "while smr-login --status >/dev/null; do :; done; smr-login --status";
    let said = house.sh("alice", until_it_ends);
    assert!(matches!(said.code, 1 | 69), "{said:?}");
    // The agent's whole seconds may end one before those of the authorisation.
    let until_it_ends = "while smr-login 2>/dev/null; do sleep 0.1; done; smr-login";
    house.sh("alice", until_it_ends).expect(77);
    house.sh("alice", "smr-login --by card").expect(0);
    house.sh("alice", "smr-ls").expect(0);
}

#[test]
fn an_authorisation_on_another_device_or_altered_opens_nothing() {
    let mut house = house(&["alice", "bob"]);
    let add = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
               --add-device phone $WHO";
    house.sh("alice+phone", add).expect(0);
    house.sh("alice", "smr-login --by card").expect(0);
    let word = |house: &House, who: &str, of: &str| {
        house
            .path("home")
            .join(who)
            .join(format!("keys/{of}@repo.example.authorisation"))
    };
    let own = word(&house, "alice", "alice");
    // Carried to her phone, and to bob's machine.
    for (who, of) in [("alice+phone", "alice"), ("bob", "bob")] {
        fs::copy(&own, word(&house, who, of)).unwrap();
        house.sh(who, "smr-login").expect(77);
    }
    // A stranger can check it with openssl alone.
    let check = "openssl cms -verify -inform DER -in $SMR_HOME/keys/*.authorisation \
                 -CAfile $PKI/trust.d/playground/root.pem -purpose any";
    let text = house.sh("alice", check).expect(0).text();
    assert!(text.starts_with("smr authorisation 1"), "{text}");
    assert!(text.contains("account alice@repo.example"), "{text}");
    house.sh("alice", "smr-login --lock").expect(0);
    let mut bytes = fs::read(&own).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    fs::write(&own, bytes).unwrap();
    house.sh("alice", "smr-login --unlock").expect(77);
}

#[test]
fn client_toml_may_ask_for_the_card_each_time() {
    let mut house = house(&["alice"]);
    let ask = "printf '[session]\\nby = \"card\"\\n' >> $SMR_HOME/client.toml";
    house.sh("alice", ask).expect(0);
    house.sh("alice", "smr-login").expect(0);
    // A renewal has the card at hand, and the new device is let in.
    house
        .sh("alice", "smr-register --renew --token \"$TOKEN\"")
        .expect(0);
    house.sh("alice", "smr-ls").expect(0);
    without_card(&house);
    // As long as the last authorisation lasts, none is needed.
    house.sh("alice", "smr-login --lock").expect(0);
    house.sh("alice", "smr-login").expect(0);
    house.sh("alice", "smr-login --logout").expect(0);
    house.sh("alice", "smr-login").expect(69);
}

#[test]
fn where_the_device_will_do_nothing_changes() {
    let mut house = House::with(&["alice", "bob"]);
    house.sh("alice", "smr-login --by card").expect(0);
    house.sh_with("alice", "smr-send bob", b"hello").expect(0);
    house.sh("alice", "smr-login --by device").expect(0);
    house.sh("bob", "smr-recv -O 1").expect(0);
}
