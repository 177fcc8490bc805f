//! Receipts where the policy is `always`: on disk before the message is handed
//! out, and given in the end wherever smr-recv was killed.

mod house;

use std::fs;

use house::House;

/// bob gives receipts to everybody; alice sends him a message.
fn asked() -> (House, String) {
    let mut house = House::with(&["alice", "bob"]);
    let always = "printf '\\n[recv]\\nreceipt = \"always\"\\n' >> $SMR_HOME/client.toml";
    house.sh("bob", always).expect(0);
    let id = send(&mut house);
    (house, id)
}

fn send(house: &mut House) -> String {
    house
        .sh_with("alice", "smr-send -s Asked bob", b"text\n")
        .expect(0)
        .text()
}

/// Returns the messages for which a receipt waits.
fn waiting(house: &House) -> Vec<String> {
    let folder = house.path("home/bob/state/outbox/bob@repo.example");
    let names = fs::read_dir(folder).into_iter().flatten();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".receipt").map(str::to_owned))
        .collect()
}

fn status(house: &mut House, id: &str) -> String {
    let status = format!("smr-receipt --status {id} | cut -f3,6");
    house.sh("alice", &status).expect(0).text()
}

fn unread(house: &mut House) -> usize {
    house.sh("bob", "smr-ls -u -1").text().lines().count()
}

#[test]
fn a_program_that_kills_its_reader_does_not_get_around_the_receipt() {
    let (mut house, id) = asked();
    // What it has read by then is all of the message; the receipt is there before.
    let kill = "smr-recv --all --exec sh -c \
                'ls $SMR_HOME/state/outbox/*/*.receipt > before; cat > got; kill -9 $PPID'";
    house.sh("bob", kill).expect(137);
    assert!(house.sh("bob", "cat got").text().ends_with("text"));
    assert!(house.sh("bob", "cat before").text().contains(&id));
    assert_eq!(waiting(&house), [id.as_str()]);
    assert_eq!(
        (unread(&mut house), status(&mut house, &id)),
        (1, "fetched\t-".into())
    );
    // A login gives nothing for what is unread; the next delivery does.
    house.sh("bob", "smr-login").expect(0);
    assert_eq!(waiting(&house), [id.as_str()]);
    house.sh("bob", "smr-recv --all --exec cat").expect(0);
    assert_eq!((waiting(&house), unread(&mut house)), (vec![], 0));
    assert_eq!(status(&mut house, &id), "read\tgood");
}

#[test]
fn a_program_that_does_not_take_the_message_owes_nothing() {
    let (mut house, id) = asked();
    house
        .sh("bob", "smr-recv --all --exec sh -c 'exit 75'")
        .expect(75);
    house.sh("bob", "smr-recv --all --exec false").expect(74);
    assert_eq!((waiting(&house), unread(&mut house)), (vec![], 1));
    assert_eq!(status(&mut house, &id), "fetched\t-");
}

#[test]
fn wherever_a_reader_is_killed_the_receipt_is_there_before_the_text_and_given_after() {
    let (mut house, mut id) = asked();
    let calls = "sendto,linkat,renameat2,rename,write";
    let mut before = 0;
    // Every call of the first: one of them stands between receipt and text.
    for (command, text, step) in [
        (
            "smr-recv --all --maildir Mail",
            "cat Mail/new/* 2>/dev/null",
            1,
        ),
        ("smr-recv > got", "cat got", 3),
        ("smr-recv --all --mbox > got", "cat got", 3),
    ] {
        for at in (1..).step_by(step) {
            house.sh("bob", "rm -rf Mail got").expect(0);
            let killed = format!(
                "strace -f -o /dev/null -e trace={calls} -e inject={calls}:signal=KILL:when={at} {command}"
            );
            let said = house.sh("bob", &killed);
            assert!(matches!(said.code, 0 | 137), "{said:?}");
            let seen = house.sh("bob", text).text().contains("text");
            let given = status(&mut house, &id) == "read\tgood";
            let waits = waiting(&house).contains(&id);
            assert!(!seen || given || waits, "{command}, killed at {at}");
            before += usize::from(waits && !seen);
            // What it began, the next ones bring to an end.
            house
                .sh("bob", "smr-recv --all --exec cat; smr-login")
                .expect(0);
            let left = (waiting(&house), unread(&mut house));
            assert_eq!(left, (vec![], 0), "{command}, killed at {at}");
            if seen {
                assert_eq!(
                    status(&mut house, &id),
                    "read\tgood",
                    "{command}, killed at {at}"
                );
            }
            id = send(&mut house);
            if said.code == 0 {
                break;
            }
        }
    }
    assert!(
        before > 0,
        "no run was killed between the receipt and the text"
    );
}
