//! What a site's settings of trust change, through the programs: revocation
//! required, preferred or not looked at, policies, intermediates, and verdicts
//! as of a time.

mod house;

use std::fs;
use std::path::Path;
use std::process::Command;

use house::{House, make_pki};

fn pki_of_its_own() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    make_pki(dir.path());
    dir
}

/// Runs a command in the folder of the PKI.
fn pki(dir: &Path, command: &str) {
    let mut sh = Command::new("sh");
    let done = sh.args(["-euc", command]).current_dir(dir).status();
    assert!(done.expect("sh runs").success(), "{command}");
}

/// Changes smrd.toml, and starts smrd anew.
fn settle(house: &mut House, from: &str, to: &str) {
    let file = house.path("smrd.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(&file, text.replace(from, to)).unwrap();
    house.stop();
    house.start();
}

/// Has a person's client.toml say this of revocation.
fn prefers(house: &mut House, who: &str, word: &str) {
    let line = format!(
        "sed -i '/^.trust]/,$d' $SMR_HOME/client.toml; \
         printf '[trust]\\nrevocation = \"{word}\"\\n' >> $SMR_HOME/client.toml"
    );
    house.sh(who, &line).expect(0);
}

const REGISTER: &str = "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" \
                        --no-backup $WHO";

#[test]
fn revocation_is_required_or_preferred_or_not_looked_at() {
    let own = pki_of_its_own();
    // Nobody has published a list yet.
    pki(own.path(), "mkdir later && mv crls/* later/");
    let mut house = House::with_pki(own.path(), "revocation = \"require\"");
    let said = house.sh("carol", REGISTER).expect(75);
    assert!(said.stderr.contains("hint: "), "{said:?}");
    assert_eq!(house.sh("carol", "ls $SMR_HOME/keys").text(), "");
    let verdict = "smrd --config $SMRD_CONFIG --check-cert $PKI/ca/carol.pem --json | \
                   jq -r .verdict,.reason,.revocation";
    let verdict = |house: &mut House| house.sh("carol", verdict).text().replace('\n', " ");
    assert_eq!(verdict(&mut house), "bad no_revocation_data unchecked");

    settle(&mut house, "\"require\"", "\"prefer\"");
    assert_eq!(verdict(&mut house), "good good unchecked");
    for who in ["alice", "carol"] {
        house.sh(who, REGISTER).expect(0);
        house.sh(who, "smr-login").expect(0);
    }
    // Each client decides for itself, and requires unless it is told otherwise.
    house.sh("alice", "smr-send carol < /dev/null").expect(75);
    prefers(&mut house, "alice", "prefer");
    let id = house
        .sh("alice", "echo well | smr-send carol")
        .expect(0)
        .text();
    let read = format!("smr-recv --peek --json --receipt never {id}");
    assert_eq!(house.sh("carol", &read).expect(75).text(), "");
    let unknown = "REVOCATION NOT CHECKED";
    for word in ["prefer", "off"] {
        prefers(&mut house, "carol", word);
        let told = house.sh("carol", &read).expect(0).text();
        assert!(told.contains(unknown), "{word}: {told}");
    }

    // The list says that alice is revoked, and was before she wrote.
    pki(own.path(), "ca/revoke alice && mv later/root.pem crls/");
    let date = "sed -i 's/^R\\t\\([0-9Z]*\\)\\t[^,]*/R\\t\\1\\t260101000000Z/' ca/sub.index";
    pki(
        own.path(),
        &format!("{date} && openssl ca -config ca/sub.cnf -gencrl -out crls/sub.pem 2>err"),
    );
    settle(&mut house, "\"prefer\"", "\"prefer\" ");
    house.sh("alice", "smr-login").expect(77);
    let read = format!("smr-recv --peek --json --receipt never {id}");
    for word in ["prefer", "require"] {
        prefers(&mut house, "carol", word);
        assert_eq!(house.sh("carol", &read).expect(77).text(), "", "{word}");
    }
    prefers(&mut house, "carol", "off");
    let told = house.sh("carol", &read).expect(0).text();
    assert!(told.contains(unknown), "{told}");
    // Where smrd looks at nothing she is let in; carol's client still looks.
    settle(&mut house, "\"prefer\" ", "\"off\"");
    house.sh("alice", "smr-login").expect(0);
    prefers(&mut house, "carol", "prefer");
    house.sh("carol", "smr-send alice < /dev/null").expect(77);
}

#[test]
fn verdicts_are_as_of_the_time_that_is_asked_about() {
    let own = pki_of_its_own();
    let mut house = House::with_pki(own.path(), "");
    let mut judge = |at: &str| {
        let told = "[.verdict, .reason, (.path | length | tostring), .revoked_later // \"\"]";
        let command = format!(
            "smrd --config $SMRD_CONFIG --json --check-cert $PKI/ca/carol.pem {at} > told; \
             code=$?; jq -r '{told} | join(\" \")' told; exit $code"
        );
        let said = house.sh("carol", &command);
        (said.code, said.text())
    };
    let bad = |reason: &str| (77, format!("bad {reason} 3 "));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert_eq!(judge(""), (0, "good good 3 ".to_owned()));
    assert_eq!(judge("--at 2020-01-31"), bad("not_yet_valid"));
    assert_eq!(judge("--at 2039-01-31"), bad("expired"));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    pki(own.path(), "ca/revoke carol");
    assert_eq!(judge(""), bad("revoked"));
    // What came later is told, and not held against it.
    let (code, told) = judge(&format!("--at @{now}"));
    assert!(code == 0 && told.starts_with("good good 3 20"), "{told}");
}

/// Cards of another authority, which names policies, below the same root.
const POLICIES: &str = "cd ca && for one in 'cards /CN=Policy_Cards root critical,CA:TRUE keyCertSign,cRLSign' \
    'rui /C=PT/serialNumber=BI5/CN=RUI_REIS cards critical,CA:FALSE digitalSignature'; do set -- $one; \
    printf '[e]\nbasicConstraints=%s\nkeyUsage=critical,%s\ncertificatePolicies=1.2.3.4\n' \
        \"$4\" \"$5\" > p.cnf; \
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; \
    openssl req -new -key $1.key -subj \"$2\" -config ext.cnf -out $1.csr; \
    openssl x509 -req -in $1.csr -CA $3.pem -CAkey $3.key -days 90 -set_serial 0x4$(openssl rand -hex 11) \
        -extfile p.cnf -extensions e -out $1.pem 2>err; done; \
    cat rui.key rui.pem > ../rui.pem";

#[test]
fn policies_and_intermediates_are_those_of_the_configuration() {
    let own = pki_of_its_own();
    pki(own.path(), POLICIES);
    let intermediate = own.path().join("ca/cards.pem");
    let here = "revocation = \"off\"\npolicies = [\"1.2.3.4\"]\nintermediates = []";
    let mut house = House::with_pki(own.path(), here);
    let judge = |house: &House, name: &str| {
        let file = own.path().join("ca").join(name).display().to_string();
        let said = house.smrd_says(&["--check-cert", &file]);
        (said.code, said.text())
    };
    // The card does not bring its authority along: somebody has to.
    let (code, told) = judge(&house, "rui.pem");
    assert!(code == 77 && told.contains("no chain leads"), "{told}");
    house.sh("rui", REGISTER).expect(77);
    let with = format!("intermediates = [\"{}\"]", intermediate.display());
    settle(&mut house, "intermediates = []", &with);
    let (code, told) = judge(&house, "rui.pem");
    assert_eq!(code, 0, "{told}");
    // The others' cards name no policy.
    let (code, told) = judge(&house, "carol.pem");
    assert!(
        code == 77 && told.contains("no certificate policy"),
        "{told}"
    );

    // The client asks for the same, by its own settings.
    let said = house.sh("rui", REGISTER).expect(77);
    assert!(said.stderr.contains("no chain leads"), "{said:?}");
    let settings = |policy: &str| {
        format!(
            "mkdir -p $SMR_HOME && printf '[trust]\\nrevocation = \"off\"\\npolicies = [\"{policy}\"]\\n\
             intermediates = [\"{}\"]\\n' > $SMR_HOME/client.toml && {REGISTER}",
            intermediate.display()
        )
    };
    let said = house.sh("rui", &settings("1.2.3.5")).expect(77);
    assert!(said.stderr.contains("no certificate policy"), "{said:?}");
    house.sh("rui", &settings("1.2.3.4")).expect(0);
    house
        .sh("rui", "smr-login && echo well | smr-send rui")
        .expect(0);
    // smrd looks again at each login, by what it is set to then.
    settle(&mut house, "\"1.2.3.4\"", "\"1.2.3.5\"");
    house.sh("rui", "smr-login").expect(77);
}
