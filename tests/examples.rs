//! The pipelines in `examples/`, each as a user runs it, with the programs it
//! names; each where it goes well and where it does not.

#![allow(clippy::print_stdout)] // skips are announced

mod cards;
mod house;
mod screen;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cards::Cards;
use house::{House, Said};
use screen::Screen;

fn send(house: &mut House, from: &str, flags: &str, text: &str) -> String {
    let command = format!("smr-send {flags}");
    let said = house.sh_with(from, &command, text.as_bytes());
    said.expect(0).text()
}

/// Runs an example; `setting` stands before it, as in a crontab.
fn example(house: &mut House, who: &str, setting: &str, call: &str) -> Said {
    house.sh(who, &format!("{setting} $ROOT/examples/{call}"))
}

fn unread(house: &mut House, who: &str) -> String {
    house.sh(who, "smr-ls -1 -u").expect(0).text()
}

// But prometheus: lib/server/tests/metrics.rs has promtool run that; and backup.sh:
// tests/backup.rs, lib/store/tests/backup.rs.
#[test]
fn every_example_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let run = include_str!("examples.rs").contains(&name);
        assert!(run, "{name} is not run");
    }
}

#[test]
fn a_nightly_dump_is_tried_again_and_sent_once() {
    let mut house = House::with(&["alice", "bob"]);
    let dump = "nightly-dump.sh echo dump";
    assert_eq!(house.stop(), Some(0));
    let given_up = example(&mut house, "alice", "TO=bob TRIES=1", dump).expect(75);
    assert!(given_up.stderr.contains("cannot reach smrd"));

    let command = format!("TO=bob NAME=shop PAUSE=1 exec $ROOT/examples/{dump}");
    let mut waiting = house.begin("alice", &command);
    let mut said = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("cannot reach smrd"), "{line}");
    house.start();
    let done = waiting.wait_with_output().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let done = Said::from(done).expect(0);
    let id = done.text();

    let again = example(&mut house, "alice", "TO=bob NAME=shop", dump).expect(0);
    assert_eq!(again.text(), id);
    assert_eq!(unread(&mut house, "bob"), id);
    let body = house.sh("bob", "smr-recv -O 'shop-*'").expect(0);
    assert_eq!(body.text(), "dump");
}

#[test]
fn half_a_dump_is_not_sent() {
    let mut house = House::with(&["alice", "bob"]);
    let failing = "nightly-dump.sh sh -c 'echo half; exit 3'";
    example(&mut house, "alice", "TO=bob", failing).expect(3);
    assert_eq!(unread(&mut house, "bob"), "");
}

#[test]
fn a_contract_is_proved_read_or_said_not_to_be() {
    let mut house = House::with(&["alice", "bob"]);
    house.sh("alice", "echo 'We agree.' > deal.txt").expect(0);
    let late = example(
        &mut house,
        "alice",
        "LIMIT=1s LOOK=1s",
        "contract.sh deal.txt bob",
    );
    let late = late.expect(1);
    assert!(late.stderr.contains("deposited by bob"), "{late:?}");

    // Run again, it is the same message, and waits on.
    let waiting = house.begin(
        "alice",
        "LOOK=60s exec $ROOT/examples/contract.sh deal.txt bob",
    );
    let id = unread(&mut house, "bob");
    let read = format!("smr-recv -O deal.txt {id} && smr-receipt {id}");
    assert_eq!(house.sh("bob", &read).expect(0).text(), "We agree.");
    Said::from(waiting.wait_with_output().unwrap()).expect(0);
    assert_eq!(unread(&mut house, "bob"), "");
    let proof =
        "smr-receipt --json --verify deal.txt.zip --anchors $PKI/trust.d | jq -r '.read_by[]'";
    let proof = house.sh("alice", proof).expect(0);
    assert_eq!(proof.text(), "bob@repo.example");

    house.sh("alice", "echo 'We do not.' > other.txt").expect(0);
    let waiting = house.begin(
        "alice",
        "LOOK=60s exec $ROOT/examples/contract.sh other.txt bob",
    );
    house
        .sh("bob", "until smr-ls -q -u; do sleep 0.1; done; smr-recv -O 1 && smr-receipt --refuse no $(smr-ls -1 Contract)")
        .expect(0);
    let refused = Said::from(waiting.wait_with_output().unwrap()).expect(1);
    assert!(refused.stderr.contains("refused by bob"), "{refused:?}");
}

#[test]
fn court_mail_is_tagged_in_notmuch_by_who_signed_it() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    send(&mut house, "alice", "-s Summons bob", "Appear at ten.\n");
    send(&mut house, "carol", "-s Lunch bob", "At one.\n");
    house
        .sh("bob", "mkdir Mail && printf '[database]\\npath=%s/Mail\\n[user]\\nname=Bob\\nprimary_email=bob@repo.example\\n' $PWD > notmuchrc")
        .expect(0);
    let setting = "NOTMUCH_CONFIG=$PWD/notmuchrc MAIL=$PWD/Mail";
    example(&mut house, "bob", setting, "court-mail.sh alice").expect(0);
    let search = "NOTMUCH_CONFIG=$PWD/notmuchrc notmuch search --output=files tag:court";
    let found = house.sh("bob", search).expect(0).text();
    assert_eq!(found.lines().count(), 1, "{found}");
    let mail = fs::read_to_string(&found).unwrap();
    assert!(mail.contains("X-SMR-From: alice@repo.example\n"), "{mail}");
    assert!(mail.contains("\nSubject: Summons\n"), "{mail}");
    // Of others it takes nothing, and a second run finds nothing new.
    let left = unread(&mut house, "bob");
    assert_eq!(left.lines().count(), 1);
    example(&mut house, "bob", setting, "court-mail.sh alice").expect(0);

    // A message that was altered on the way is neither delivered nor lost.
    let forged = send(&mut house, "alice", "-s Second bob", "Appear at nine.\n");
    house.stop();
    house.sh("bob", "f=$(ls $STORE/accounts/bob/inbox/new/* | tail -1); chmod u+w $f; printf X | dd of=$f bs=1 seek=5000 conv=notrunc").expect(0);
    house.start();
    example(&mut house, "bob", setting, "court-mail.sh alice").expect(65);
    assert!(unread(&mut house, "bob").contains(&forged));
    assert_eq!(house.sh("bob", search).expect(0).text().lines().count(), 1);
}

#[test]
fn a_filter_sorts_without_a_daemon_and_keeps_what_it_cannot() {
    let mut house = House::with(&["alice", "bob"]);
    let kept = send(&mut house, "alice", "-s Hello bob", "hi\n");
    // A file stands where the Maildir should be.
    house
        .sh("bob", "mkdir Mail && touch Mail/alice@repo.example")
        .expect(0);
    let setting = "MAIL=$PWD/Mail";
    let failed = example(&mut house, "bob", setting, "filter.sh").expect(74);
    assert!(failed.stderr.contains("is kept unread"), "{failed:?}");
    assert_eq!(unread(&mut house, "bob"), kept);
    house.sh("bob", "rm Mail/alice@repo.example").expect(0);
    example(&mut house, "bob", setting, "filter.sh").expect(0);
    let delivered = house.sh("bob", "grep -h -m1 ^Subject Mail/alice@repo.example/new/*");
    assert_eq!(delivered.expect(0).text(), "Subject: Hello");
    assert_eq!(unread(&mut house, "bob"), "");
    example(&mut house, "bob", setting, "filter.sh").expect(0);
}

/// The rules of the filter that name a sender are tried under his name.
#[test]
fn a_filter_files_invoices_and_runs_jobs_of_a_card_only() {
    let mut house = House::with(&["alice", "bob"]);
    let (accounts, robot) = ("accounts", "robot");
    for name in [accounts, robot] {
        let register = format!(
            "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --no-backup {name} \
             && smr-login --as {name}"
        );
        house.sh("alice", &register).expect(0);
    }
    house.sh("alice", "echo 5 EUR > invoice.pdf").expect(0);
    send(&mut house, "alice", "--as accounts -a invoice.pdf bob", "");
    let by_device = send(&mut house, "alice", "--as robot bob", "echo device\n");
    let by_card = send(
        &mut house,
        "alice",
        "--as robot --by card bob",
        "echo card\n",
    );
    let setting = "INVOICES=$PWD/invoices RUNNER=sh";
    house.sh("bob", "mkdir invoices").expect(0);
    let sorted = example(&mut house, "bob", setting, "filter.sh").expect(75);
    assert!(sorted.stderr.contains(&by_device) && !sorted.stderr.contains(&by_card));
    assert_eq!(sorted.text(), "card");
    assert_eq!(unread(&mut house, "bob"), by_device);
    let invoice = house.sh("bob", "cat invoices/invoice.pdf").expect(0);
    assert_eq!(invoice.text(), "5 EUR");
}

#[test]
fn a_colleagues_patch_is_applied_or_left_whole() {
    let mut house = House::with(&["alice", "bob"]);
    let setup = "git init -q -b main tree && cd tree && git config user.name A && \
                 git config user.email alice@repo.example && printf '1\\n2\\n3\\n' > f && git add f && \
                 git commit -qm one && git clone -q . ../../bob/tree && echo 4 >> f && \
                 git commit -qam two && git format-patch -q -1 && smr-send -s two -a 0001-two.patch bob";
    house.sh("alice", setup).expect(0);
    house
        .sh(
            "bob",
            "cd tree && $ROOT/examples/apply-patch.sh alice && test \"$(tail -1 f)\" = 4",
        )
        .expect(0);
    assert_eq!(unread(&mut house, "bob"), "");

    // By git send-email, the text is the patch.
    let mailed = "cd tree && sed -i s/1/one/ f && git commit -qam three && git send-email -q \
                  --smtp-server=\"$(command -v smr-sendmail)\" --to=bob@repo.example --suppress-cc=all \
                  --confirm=never -1 > ../log 2>&1";
    house.sh("alice", mailed).expect(0);
    house
        .sh(
            "bob",
            "cd tree && $ROOT/examples/apply-patch.sh alice && test \"$(head -1 f)\" = one",
        )
        .expect(0);

    let again = send(
        &mut house,
        "alice",
        "-s again -a tree/0001-two.patch bob",
        "",
    );
    let tried = "cd tree && cp f before && ! $ROOT/examples/apply-patch.sh alice && cmp f before";
    let tried = house.sh("bob", tried).expect(0);
    assert!(
        tried
            .stderr
            .contains(&format!("message {again} does not apply"))
    );
    assert_eq!(unread(&mut house, "bob"), again);
}

#[test]
fn evidence_is_checked_where_nobody_has_an_account() {
    let mut house = House::with(&["alice", "bob"]);
    let id = send(&mut house, "alice", "-s Debt bob", "I owe you 5 euros.\n");
    house
        .sh("bob", &format!("smr-recv {id} && smr-receipt {id}"))
        .expect(0);
    house
        .sh("alice", &format!("smr-receipt --export debt.zip {id}"))
        .expect(0);
    house
        .sh(
            "alice",
            "cp debt.zip bad.zip && printf X | dd of=bad.zip bs=1 seek=2000 conv=notrunc",
        )
        .expect(0);
    // With smr installed; and on a machine that has openssl only.
    let script = "sh $ROOT/examples/check-evidence.sh";
    let bare = "mkdir -p bin && for p in sh mktemp rm mkdir cp unzip openssl dirname basename cat grep sed tr \
                cut sort head tail awk cmp date wc ls printf test expr; do \
                ln -sf \"$(command -v $p)\" bin/$p; done; PATH=$PWD/bin SMR_HOME=/nonexistent";
    for with in ["SMR_HOME=/nonexistent", bare] {
        let good = format!("{with} {script} debt.zip $PKI/ca/root.pem");
        house.sh("alice", &good).expect(0);
        let bad = house.sh(
            "alice",
            &format!("{with} {script} bad.zip $PKI/ca/root.pem"),
        );
        assert_ne!(bad.code, 0, "{bad:?}");
        let other = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=Other -out other.pem 2>/dev/null";
        house
            .sh(
                "alice",
                &format!("{other}; {with} {script} debt.zip other.pem"),
            )
            .expect(65);
    }
}

#[test]
fn an_unread_notice_raises_the_alarm() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let notice = "incident-alarm.sh Outage bob carol";
    house.sh("alice", "printf '#!/bin/sh\\necho \"$1\" >> alarms\\n' > alarm && chmod +x alarm && touch alarms").expect(0);
    let setting = "echo down | ALARM=$PWD/alarm LIMIT=600s";
    let read = "until smr-ls -q -u; do sleep 0.1; done; id=$(smr-ls -1 -u) && smr-recv $id && smr-receipt $id";
    let waiting = house.begin("alice", &format!("{setting} $ROOT/examples/{notice}"));
    for who in ["bob", "carol"] {
        house.sh(who, read).expect(0);
    }
    Said::from(waiting.wait_with_output().unwrap()).expect(0);
    assert_eq!(house.sh("alice", "cat alarms").text(), "");

    let setting = setting.replace("600s", "0s");
    let alarmed = example(&mut house, "alice", &setting, notice).expect(1);
    assert_eq!(alarmed.text(), "");
    let raised = house.sh("alice", "cat alarms").text();
    assert!(raised.ends_with("was not read by bob carol"), "{raised}");

    assert_eq!(house.stop(), Some(0));
    example(&mut house, "alice", &setting, notice).expect(1);
    let raised = house.sh("alice", "tail -1 alarms").text();
    assert_eq!(raised, "Outage: the notice could not be sent");
}

#[test]
fn a_batch_of_receipts_takes_one_pin() {
    let mut cards = Cards::new();
    cards.issue("auth", "P-256", "digitalSignature");
    cards.card("rui", "auth", "");
    cards.register_well("rui");
    cards.sh("rui", "smr-login").expect(0);
    cards.house.move_in("alice");
    for text in ["one", "two"] {
        send(&mut cards.house, "alice", "--receipt card rui", text);
    }
    send(&mut cards.house, "alice", "--receipt none rui", "three");
    let asked = format!(
        "printf '#!/bin/sh\\necho asked >> %s\\necho {}\\n' $PWD/asked > ask && chmod +x ask && \
         export CREDENTIALS_DIRECTORY=$PWD/none SMR_ASKPASS=$PWD/ask; $ROOT/examples/receipts.sh",
        cards::PIN
    );
    // Nothing was read: nobody is asked.
    cards.sh("rui", &asked).expect(0);
    cards
        .sh("rui", "smr-recv -n 3 --json && test ! -e asked")
        .expect(0);
    cards.sh("rui", &asked).expect(0);
    assert_eq!(cards.sh("rui", "cat asked").text(), "asked");
    let states = "smr-receipt --status | cut -f3,5,6 | sort";
    let states = cards.house.sh("alice", states).expect(0).text();
    assert_eq!(states, "fetched\t-\t-\nread\tQ\tgood\nread\tQ\tgood");
}

/// A desktop: a display, a bus, and the daemon that shows notes and prints them.
struct Desktop {
    bus: Child,
    _screen: Screen, // ends after the bus
    address: String,
    shown: PathBuf,
}

impl Desktop {
    fn open(house: &House) -> Desktop {
        let screen = Screen::open();
        let shown = house.path("shown");
        // The daemon ends with its bus.
        let script = format!(
            "dunst -print > {shown} 2>/dev/null & \
             until dbus-send --print-reply --dest=org.freedesktop.DBus / \
             org.freedesktop.DBus.NameHasOwner string:org.freedesktop.Notifications | \
             grep -q true; do kill -0 $! || exit 1; sleep 0.1; done; \
             echo $DBUS_SESSION_BUS_ADDRESS; exec cat",
            shown = shown.display()
        );
        let mut bus = Command::new("dbus-run-session")
            .args(["--", "sh", "-c", &script])
            .env("DISPLAY", screen.display())
            .env("HOME", house.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-run-session runs");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        assert!(address.contains("unix:"), "no notification daemon");
        let address = address.trim().to_owned();
        Desktop {
            bus,
            _screen: screen,
            address,
            shown,
        }
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        drop(self.bus.stdin.take()); // ends cat, the session, the bus and its daemon
        let _ = self.bus.wait();
    }
}

#[test]
fn each_message_has_a_note_on_the_desktop() {
    let mut house = House::with(&["alice", "bob"]);
    let first = send(&mut house, "alice", "-s '<b>Hi</b> & bye' bob", "text\n");
    let setting = |bus: &str| format!("export DBUS_SESSION_BUS_ADDRESS={bus} MAIL=$PWD/Mail; ");
    // No desktop: nothing is delivered, nothing is lost.
    let none = setting("unix:path=/nonexistent");
    let one = "smr-recv --all --exec $ROOT/examples/desktop-note.sh";
    house.sh("bob", &format!("{none}{one}")).expect(75);
    assert_eq!(unread(&mut house, "bob"), first);

    let desktop = Desktop::open(&house);
    let follow = format!(
        "{}exec $ROOT/examples/desktop-note.sh",
        setting(&desktop.address)
    );
    let mut following = house.begin("bob", &follow);
    let wait = "until grep -q 'Subject: Second' Mail/new/* 2>/dev/null; do sleep 0.1; done; ls Mail/new | wc -l";
    send(&mut house, "alice", "-s Second bob", "text\n");
    assert_eq!(house.sh("bob", wait).expect(0).text(), "2");
    let id = following.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(following.wait().unwrap().code(), Some(0));
    let shown = desktop.shown.clone();
    drop(desktop); // what it printed is written out
    let shown = fs::read_to_string(shown).unwrap();
    for wanted in [
        "ALICE MARTINS (class D)",
        "&lt;b&gt;Hi&lt;/b&gt; &amp; bye",
        "Second",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
}

/// Returns the values of a key of a unit.
fn of_unit(unit: &str, key: &str) -> Vec<String> {
    let values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// Runs what the unit runs, in the environment that systemd would make: its
/// credential opened into a folder by systemd's own program.
#[test]
fn an_unattended_unit_opens_its_key_ring_by_a_sealed_credential() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("examples/systemd");
    let unit = fs::read_to_string(folder.join("smr-nightly.service")).unwrap();
    let mut house = House::build();
    house.move_in("alice");
    house.sh("alice", "smr-login --logout").expect(0);
    house.move_in("bob");
    let copy = |text: &str| {
        text.replace(
            "/usr/share/doc/smr/examples",
            &root.join("examples").display().to_string(),
        )
        .replace("pg_dump shop", "echo dump")
    };

    let installed = |text: &str| {
        let programs = Path::new(env!("CARGO_BIN_EXE_smr-login")).parent().unwrap();
        text.replace("/usr/bin/", &format!("{}/", programs.display()))
    };
    fs::write(house.path("smr-nightly.service"), installed(&copy(&unit))).unwrap();
    fs::copy(
        folder.join("smr-nightly.timer"),
        house.path("smr-nightly.timer"),
    )
    .unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([
            house.path("smr-nightly.service"),
            house.path("smr-nightly.timer"),
        ])
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");

    let credential = of_unit(&unit, "LoadCredentialEncrypted").remove(0);
    let (name, place) = credential.split_once(':').unwrap();
    assert_eq!(
        place,
        format!("/etc/credstore.encrypted/{name}"),
        "where the script seals to"
    );
    let sealing = "STORE=$PWD/store KEY=host";
    let sealed = house.sh(
        "alice",
        &format!("printf 'correct horse' | {sealing} $ROOT/examples/seal-passphrase.sh"),
    );
    if sealed.code != 0 {
        println!(
            "SKIPPED: systemd-creds has no key of this machine: {}",
            sealed.stderr
        );
        return;
    }
    house
        .sh("alice", "! grep -q 'correct horse' store/smr.passphrase")
        .expect(0);
    let opened = |name: &str| {
        format!(
            "mkdir -p given && systemd-creds decrypt --name={name} store/smr.passphrase given/{name}"
        )
    };
    assert_ne!(house.sh("alice", &opened("other")).code, 0);
    house.sh("alice", &opened(name)).expect(0);

    let runs = of_unit(&copy(&unit), "ExecStart")
        .join(" && ")
        .replace("/usr/bin/", "");
    let in_unit =
        |given: &str| format!("export CREDENTIALS_DIRECTORY=$PWD/{given} TO=bob NAME=shop; {runs}");
    // With no credential nobody is asked.
    house.sh("alice", &in_unit("none")).expect(77);
    let id = house.sh("alice", &in_unit("given")).expect(0).text();
    assert_eq!(unread(&mut house, "bob"), id);
}

#[test]
fn the_first_two_examples_run() {
    let mut house = House::with(&["alice", "bob"]);
    let homes = "$SMR_HOME $SMR_HOME/../bob";
    let said = example(&mut house, "alice", "", &format!("two-users.sh {homes}")).expect(0);
    assert!(said.text().ends_with("\tgood"), "{said:?}");
    let id = said.text().lines().last().unwrap()[..32].to_owned();
    let checked = format!("check-with-openssl.sh $PKI/ca/root.pem {id}");
    let checked = example(&mut house, "bob", "", &checked).expect(0);
    assert!(checked.text().contains("Meet me at noon."), "{checked:?}");
    // A CA that did not issue her card, and one that is none.
    let other = format!("check-with-openssl.sh $PKI/pin {id}");
    assert_ne!(example(&mut house, "bob", "", &other).code, 0);
}

/// The package's smrd.toml: what stands behind "#" is what holds without it.
#[test]
fn the_commented_keys_of_smrd_toml_have_their_defaults() {
    let text = include_str!("../examples/smrd.toml");
    let dir = tempfile::tempdir().unwrap();
    let shown = |name: &str, text: &str| {
        let file = dir.path().join("smrd.toml");
        fs::write(&file, text).unwrap();
        let smrd = Command::new(env!("CARGO_BIN_EXE_smrd"))
            .args(["--show-config", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(smrd.status.success(), "{name}: {smrd:?}");
        String::from_utf8(smrd.stdout).unwrap()
    };
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let (mut keys, mut spoken) = (0, String::new());
    for line in text.lines() {
        let bare = line.strip_prefix('#').filter(|bare| is_key(bare));
        keys += usize::from(bare.is_some() || is_key(line));
        spoken.push_str(bare.unwrap_or(line));
        spoken.push('\n');
    }
    let named = text.replace("#name = ", "name = ");
    let shown_spoken = shown("spoken", &spoken);
    assert_eq!(shown_spoken, shown("as it is", &named));
    // No key is without a word.
    let told = shown_spoken.lines().filter(|line| is_key(line)).count();
    assert_eq!(keys, told, "{shown_spoken}");
    // Without a name it is no configuration.
    let file = dir.path().join("smrd.toml");
    fs::write(&file, text).unwrap();
    let unnamed = Command::new(env!("CARGO_BIN_EXE_smrd"))
        .args(["--init", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(unnamed.status.code(), Some(78), "{unnamed:?}");
}
