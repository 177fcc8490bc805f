//! age-plugin-smr, as the age program runs it: sealed files opened with keys that
//! stay in the agent.

mod house;

use house::House;

/// alice has sent bob a message, once before and once after he has a new key; the
/// sealed files are there, and what is in them.
fn sealed() -> (House, [&'static str; 2]) {
    let mut house = House::with(&["alice", "bob"]);
    for name in ["old", "new"] {
        let send = format!("smr-send -s {name} -a $PKI/pin bob");
        let id = house.sh_with("alice", &send, b"text\n").expect(0).text();
        let keep =
            format!("smr-recv --sealed {id} > {name}.age && smr-recv --raw {id} > {name}.eml");
        house.sh("bob", &keep).expect(0);
        let renew = "printf '\\n[keys]\\nepoch = \"0s\"\\n' >> $SMR_HOME/client.toml; smr-login && \
                     sed -i '/^\\[keys\\]/,$d' $SMR_HOME/client.toml";
        house.sh("bob", renew).expect(0);
    }
    house.sh("bob", "age-plugin-smr > identity").expect(0);
    (house, ["old", "new"])
}

#[test]
fn age_opens_sealed_files_with_every_key_of_the_account() {
    let (mut house, names) = sealed();
    for name in names {
        let open = format!("age -d -i identity {name}.age | cmp - {name}.eml");
        house.sh("bob", &open).expect(0);
    }
    // Of classic keys too.
    let classic =
        "printf '\\n[keys]\\nkind = \"classic\"\\n' >> $SMR_HOME/client.toml && smr-login";
    for who in ["alice", "bob"] {
        house.sh(who, classic).expect(0);
    }
    let id = house
        .sh_with("alice", "smr-send bob", b"text\n")
        .expect(0)
        .text();
    let open = format!(
        "smr-recv --sealed {id} > classic.age && smr-recv --raw {id} > classic.eml && \
         grep -a -q -e '^-> X25519 ' classic.age && age -d -i identity classic.age | cmp - classic.eml"
    );
    house.sh("bob", &open).expect(0);
}

#[test]
fn without_the_agent_or_for_somebody_else_nothing_opens() {
    let (mut house, _) = sealed();
    // alice is addressed by neither identity nor agent of hers that would fit.
    let foreign = "cp ../bob/identity ../bob/new.age . && age -d -i identity new.age";
    let said = house.sh("alice", foreign);
    assert!(said.code != 0 && said.stdout.is_empty(), "{said:?}");
    assert!(said.stderr.contains("bob@repo.example"), "{said:?}");
    // What was sealed to others.
    let id = house
        .sh_with("alice", "smr-send alice", b"mine\n")
        .expect(0)
        .text();
    house
        .sh("alice", &format!("smr-recv --sealed {id} > mine.age"))
        .expect(0);
    let said = house.sh("bob", "age -d -i identity ../alice/mine.age");
    assert!(
        said.code != 0 && said.stderr.contains("no identity matched"),
        "{said:?}"
    );
    // A file that was altered.
    let alter =
        "cp new.age bad.age && printf X | dd of=bad.age bs=1 seek=500 conv=notrunc status=none";
    let said = house.sh("bob", &format!("{alter} && age -d -i identity bad.age"));
    assert!(said.code != 0 && said.stdout.is_empty(), "{said:?}");
    for (command, why) in [("--lock", "locked"), ("--logout", "smr-login")] {
        house.sh("bob", &format!("smr-login {command}")).expect(0);
        let said = house.sh("bob", "age -d -i identity new.age");
        assert!(said.code != 0 && said.stdout.is_empty(), "{said:?}");
        assert!(said.stderr.contains(why), "{command}: {said:?}");
    }
}

#[test]
fn the_identity_is_the_accounts_and_other_states_are_refused() {
    let mut house = House::with(&["bob"]);
    let said = house.sh(
        "bob",
        "age-plugin-smr --json | jq -r '.type + \" \" + .account'",
    );
    assert_eq!(said.expect(0).text(), "identity bob@repo.example");
    let said = house.sh("bob", "age-plugin-smr | tr A-Z a-z");
    assert!(said.expect(0).text().starts_with("age-plugin-smr-1"));
    house.sh("bob", "age-plugin-smr --as nobody").expect(67);
    let said = house
        .sh("bob", "age-plugin-smr --age-plugin=recipient-v1")
        .expect(74);
    assert!(said.stdout.is_empty(), "{said:?}");
}
