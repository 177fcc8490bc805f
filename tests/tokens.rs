//! Tokens with manners of their own, in the hands of the real programs.

mod cards;
mod house;

use std::fs;

use cards::{Cards, PIN, REGISTER, WRONG, agents, assert_no_pin, files, objects, one_card};
use smr_token_module::{journal, mark};

/// CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS, CKM_ECDSA, CKM_ECDSA_SHA256.
const RSA: u64 = 0x1;
const RSA_SHA256: u64 = 0x40;
const ECDSA: u64 = 0x1041;
const ECDSA_SHA256: u64 = 0x1044;

/// CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED, CKR_FUNCTION_CANCELED,
/// CKR_PIN_INCORRECT, CKR_PIN_LOCKED.
const DEVICE_ERROR: u64 = 0x30;
const DEVICE_REMOVED: u64 = 0x32;
const CANCELED: u64 = 0x50;
const PIN_INCORRECT: u64 = 0xa0;
const PIN_LOCKED: u64 = 0xa4;

/// What a signature that was asked for may meet: what the token answers, the
/// exit code, a word of the error, and one of the hint.
const NO_SIGNATURE: [(u64, i32, &str, &str); 4] = [
    (CANCELED, 77, "was cancelled", "hint: "),
    (
        PIN_INCORRECT,
        77,
        "the PIN of token \"Rui\" is wrong",
        "hint: ",
    ),
    (PIN_LOCKED, 77, "the PIN of token \"Rui\" is locked", "PUK"),
    (
        DEVICE_REMOVED,
        69,
        "was taken out",
        "is the card in the reader",
    ),
];

fn user(pin: &str) -> String {
    format!("user pin={}", mark(pin.as_bytes()))
}

#[test]
fn the_module_is_a_token_to_others_too() {
    let mut cards = Cards::new();
    for (key, algorithm, mechanism) in [
        ("rsa", "rsa", "SHA256-RSA-PKCS"),
        ("ec", "P-256", "ECDSA-SHA256 --signature-format openssl"),
    ] {
        cards.issue(key, algorithm, "digitalSignature");
        cards.card(key, key, "");
        let listed = cards.sh(key, "pkcs11-tool --module $MODULE --list-objects");
        assert!(listed.expect(0).text().contains("Certificate Object"));
        let sign = format!(
            "echo text > text && pkcs11-tool --module $MODULE --login --pin {PIN} --id 01 --sign \
             --mechanism {mechanism} -i text -o signature"
        );
        cards.sh(key, &sign).expect(0);
        let keys = cards.house.path("keys");
        let verify = format!(
            "openssl x509 -inform DER -in {}/{key}.der -noout -pubkey > public && \
             openssl dgst -sha256 -verify public -signature signature text",
            keys.display()
        );
        cards.sh(key, &verify).expect(0);
    }
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.card("rui", "rsa", "");
    let wrong = cards.pin("wrong");
    let said = cards.register("rui", &wrong).expect(77);
    assert!(
        said.stderr.contains("the PIN of token \"Rui\" is wrong"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    assert_eq!(cards.logins("rui"), [(PIN_INCORRECT, user(WRONG))]);
    cards.assert_nothing_of("rui");
    // The second takes the tries down to one; of that only a person disposes.
    let said = cards.register("rui", &wrong).expect(77);
    assert!(said.stderr.contains("one try is left"), "{}", said.stderr);
    assert_eq!(cards.logins("rui").len(), 2);
    for pin in ["wrong", "pin"] {
        let pin = cards.pin(pin);
        let said = cards.register("rui", &pin).expect(77);
        assert!(said.stderr.contains("by hand"), "{}", said.stderr);
        assert!(said.stderr.contains("in a terminal"), "{}", said.stderr);
    }
    cards.register("rui", "--no-input").expect(77);
    assert_eq!(cards.logins("rui").len(), 2);
    cards.assert_nothing_of("rui");
}

#[test]
fn a_locked_pin_is_left_alone() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.card("rui", "rsa", "");
    fs::write(cards.folder("rui").join("card.tries"), "0").unwrap();
    let pin = cards.pin("pin");
    for more in [pin.as_str(), "--no-input"] {
        let said = cards.register("rui", more).expect(77);
        assert!(said.stderr.contains("locked"), "{}", said.stderr);
        assert!(said.stderr.contains("PUK"), "{}", said.stderr);
    }
    assert_eq!(cards.logins("rui"), []);
    cards.assert_nothing_of("rui");
}

#[test]
fn a_list_of_tokens_says_how_their_pins_stand() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.card("rui", "rsa", "");
    for (tries, word, good_for) in [
        ("3", "good", "enrol"),
        ("2", "few_tries", "enrol, few PIN tries left"),
        ("1", "last_try", "enrol, one PIN try left"),
        ("0", "locked", "nothing: its PIN is locked"),
    ] {
        fs::write(cards.folder("rui").join("card.tries"), tries).unwrap();
        let list = "smr-register --tokens --token \"pkcs11:token=Rui?module-path=$MODULE\"";
        let said = cards.sh("rui", &format!("{list} --json | jq -r .pin"));
        assert_eq!(said.expect(0).text(), word);
        let said = cards.sh("rui", &format!("{list} | cut -f 3"));
        assert_eq!(said.expect(0).text(), good_for);
    }
    assert_eq!(cards.logins("rui"), []);
}

#[test]
fn a_list_says_what_each_certificate_is_good_for() {
    let mut cards = Cards::new();
    cards.issue("enrols", "rsa", "digitalSignature");
    cards.issue("signs", "P-256", "nonRepudiation");
    cards.issue("both", "P-384", "digitalSignature,nonRepudiation");
    cards.issue("agrees", "P-256", "keyAgreement");
    cards.issue("curve", "P-521", "digitalSignature");
    cards.issue("authority", "P-256", "digitalSignature");
    let keys = cards.house.path("keys");
    let again = |name: &str, clock: &str, sed: &str| {
        format!(
            "cd {keys} && sed -i '{sed}' {name}.cnf && faketime -f {clock} openssl x509 -req -in {name}.csr \
             -CA $PKI/ca/sub.pem -CAkey $PKI/ca/sub.key -days 9 -set_serial 0x4$(openssl rand -hex 11) \
             -extfile {name}.cnf -extensions x -outform DER -out $NEW.der 2>err",
            keys = keys.display()
        )
    };
    for (new, command) in [
        ("old", again("enrols", "-30d", "")),
        ("early", again("enrols", "+30d", "")),
        (
            "authority",
            again("authority", "-1d", "s/CA:FALSE/CA:TRUE/"),
        ),
    ] {
        cards
            .sh("openssl", &format!("NEW={new}; {command}"))
            .expect(0);
    }
    let kinds = [
        ("enrols", "enrol"),
        ("signs", "sign"),
        ("both", "enrol, sign"),
        ("agrees", "nothing: not for signatures"),
        ("curve", "nothing: its kind of key is not used"),
        ("old", "nothing: expired"),
        ("early", "nothing: not valid yet"),
        ("authority", "nothing: an authority's"),
    ];
    // Without their keys, which nobody sees before a login.
    let certificate = |at: usize, name: &str| {
        let whole = objects(name, &format!("0{at}"));
        let (certificate, _key) = whole.rsplit_once("[[").expect("two objects");
        certificate.to_owned()
    };
    let rest: String = kinds
        .iter()
        .enumerate()
        .skip(1)
        .map(|(at, (name, _))| certificate(at + 1, name))
        .collect();
    cards.play("rui", &(one_card("enrols", "") + &rest));
    let list = "smr-register --tokens --token \"pkcs11:?module-path=$MODULE\"";
    let said = cards.sh("rui", &format!("{list} | cut -f 3")).expect(0);
    let (told, wanted) = (said.text(), kinds.map(|(_, good_for)| good_for).join("\n"));
    assert_eq!(told, wanted);
    // Each with the end of its validity, and the URI that names it.
    let dates = cards.sh(
        "rui",
        &format!("{list} | cut -f 4 | grep -c '^20..-..-..T..:..:..Z$'"),
    );
    assert_eq!(dates.expect(0).text(), kinds.len().to_string());
    let uris = cards.sh(
        "rui",
        &format!("{list} | cut -f 6 | sort -u | grep -c '^pkcs11:.*id='"),
    );
    assert_eq!(uris.expect(0).text(), kinds.len().to_string());
    assert_eq!(cards.logins("rui"), []);
}

#[test]
fn the_doctor_says_how_token_and_pin_stand() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    let uri = format!("pkcs11:token=Rui?module-path={}", cards::module().display());
    let setting = format!(
        "mkdir -p $SMR_HOME && printf '[token]\\nuri = \"{uri}\"\\n' > $SMR_HOME/client.toml && "
    );
    let check = setting + "smr-login --check";
    for (tries, code, line, hint) in [
        ("3", 0, "ok\tpin\tin order", ""),
        ("2", 0, "warn\tpin\ta wrong one was given", ""),
        (
            "1",
            0,
            "warn\tpin\tone try is left",
            "no script will take this try",
        ),
        ("0", 77, "fail\tpin\tlocked", "PUK"),
    ] {
        cards.card("rui", "rsa", "");
        fs::write(cards.folder("rui").join("card.tries"), tries).unwrap();
        let said = cards.sh("rui", &check).expect(code);
        for part in [
            "ok\treader\tReader",
            "ok\ttoken\t\"Rui\", CN=RUI REIS",
            line,
        ] {
            assert!(said.text().contains(part), "{part}: {said:?}");
        }
        assert!(said.stderr.contains(hint), "{said:?}");
    }
    // Held by another program, taken out, and no module: each in its own words.
    let busy = format!("fails = {{ C_OpenSession = {DEVICE_ERROR} }}");
    for (manners, line) in [
        (busy.as_str(), "warn\treader\ttoken \"Rui\" does not answer"),
        (
            "removed_after = 0",
            "warn\ttoken\tnone with a key that can enrol",
        ),
    ] {
        cards.card("rui", "rsa", manners);
        let said = cards.sh("rui", &check).expect(0);
        assert!(said.text().contains(line), "{line}: {said:?}");
        assert!(said.stderr.contains("hint: "), "{said:?}");
    }
    let none = check.replace(&cards::module().display().to_string(), "/no/such.so");
    let said = cards.sh("rui", &none).expect(0);
    assert!(said.text().contains("/no/such.so"), "{said:?}");
    assert_eq!(cards.logins("rui"), []);
}

#[test]
fn a_token_with_a_pin_pad_asks_itself() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    for (who, answer, text) in [
        ("ana", CANCELED, "cancelled"),
        ("eva", PIN_INCORRECT, "wrong"),
        ("ines", PIN_LOCKED, "locked"),
    ] {
        cards.card(who, "rsa", &format!("pad = true\npad_answers = {answer}"));
        let (said, asked) = cards.register_asked(who, PIN);
        let said = said.expect(77);
        assert!(said.stderr.contains(text), "{}", said.stderr);
        assert_eq!(asked, 0);
        assert_eq!(cards.logins(who), [(answer, "user pin=none".to_owned())]);
        cards.assert_nothing_of(who);
    }
    cards.card("rui", "rsa", "pad = true");
    let (said, asked) = cards.register_asked("rui", PIN);
    said.expect(0);
    assert_eq!(asked, 0);
    assert_eq!(cards.logins("rui"), [(0, "user pin=none".to_owned())]);
    // After that the device stands in: nothing more is asked of the card.
    let calls = cards.calls("rui").len();
    cards.sh("rui", "smr-login").expect(0);
    assert_eq!(cards.calls("rui").len(), calls);
}

#[test]
fn a_key_that_wants_its_pin_for_each_signature_gets_it() {
    let mut cards = Cards::new();
    let card = |key: &str| {
        let whole = one_card(key, "");
        whole.replace("kind = \"key\"\n", "kind = \"key\"\nalways = true\n")
    };
    for (who, algorithm) in [("rui", "rsa"), ("ana", "P-256"), ("eva", "P-384")] {
        cards.issue(who, algorithm, "digitalSignature");
        cards.play(who, &card(who));
        let (said, asked) = cards.register_asked(who, WRONG);
        said.expect(77);
        assert_eq!(
            (asked, cards.logins(who)),
            (1, vec![(PIN_INCORRECT, user(WRONG))])
        );
        cards.assert_nothing_of(who);
        fs::remove_file(cards.folder(who).join(journal::NAME)).unwrap();
        let (said, asked) = cards.register_asked(who, PIN);
        said.expect(0);
        // One signature: the card's on the device's certificate.
        let context = format!("context pin={}", mark(PIN.as_bytes()));
        assert_eq!(cards.logins(who), [(0, user(PIN)), (0, context)]);
        assert_eq!(asked, 1, "the PIN is asked for once");
    }
}

/// Has `who` ask for a signature that does not come, and sees that it was asked
/// for once, and why.
#[track_caller]
fn assert_asked_once(cards: &mut Cards, who: &str, (_, code, text, hint): (u64, i32, &str, &str)) {
    let (said, asked) = cards.register_asked(who, PIN);
    let said = said.expect(code);
    for wanted in [text, hint] {
        assert!(said.stderr.contains(wanted), "{wanted}: {}", said.stderr);
    }
    assert!(asked <= 1, "{asked}");
    assert_eq!(cards.count(who, "C_SignInit"), 1, "{:?}", cards.calls(who));
    cards.assert_nothing_of(who);
}

/// The PIN of a key may be another than that of its token: it is given once.
#[test]
fn a_pin_that_is_wrong_for_the_signature_is_not_tried_again() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.issue("ec", "P-256", "digitalSignature");
    let always = |key: &str, manners: &str| {
        one_card(key, manners).replace("kind = \"key\"\n", "kind = \"key\"\nalways = true\n")
    };
    for key in ["rsa", "ec"] {
        for (at, met) in NO_SIGNATURE.into_iter().enumerate() {
            let who = format!("{key}{at}");
            let context = format!("context_answers = {}", met.0);
            cards.play(&who, &always(key, &context));
            assert_asked_once(&mut cards, &who, met);
            let given = format!("context pin={}", mark(PIN.as_bytes()));
            assert_eq!(cards.logins(&who), [(0, user(PIN)), (met.0, given)]);
            // The same at the signature itself.
            let who = format!("{key}{at}sign");
            cards.play(
                &who,
                &always(key, &format!("fails = {{ C_Sign = {} }}", met.0)),
            );
            assert_asked_once(&mut cards, &who, met);
        }
    }
    // A PIN pad asks for both: no PIN passes through smr.
    cards.play("rui", &always("ec", "pad = true"));
    let (said, asked) = cards.register_asked("rui", PIN);
    said.expect(0);
    let none = |who: &str| (0, format!("{who} pin=none"));
    assert_eq!(cards.logins("rui"), [none("user"), none("context")]);
    assert_eq!(asked, 0);
}

/// The module of the Citizen Card asks in a window for every signature, and
/// says so nowhere: the table of tokens has to.
#[test]
fn a_site_says_that_its_module_asks_in_a_window_of_its_own() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    let table = |cards: &mut Cards, who: &str, more: &str| {
        let text = format!(
            "[house]\nabout = \"the card of the house\"\nmodules = [\"{}\"]\n{more}",
            cards::module().display()
        );
        let folder = cards.house.path("home").join(who).join("tokens.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("house.toml"), text).unwrap();
    };
    let dialog = "authentication = [\"certificate\"]\ndialog = true\nexact = true\n";
    let by_name = REGISTER.replace("pkcs11:?module-path=$MODULE", "house");
    for (at, met) in NO_SIGNATURE.into_iter().enumerate() {
        let who = format!("ana{at}");
        let fails = format!("window = true\nfails = {{ C_Sign = {} }}", met.0);
        cards.card(&who, "rsa", &fails);
        table(&mut cards, &who, dialog);
        assert_asked_once(&mut cards, &who, met);
    }
    // By its URI it is the same module; by its name too.
    for (who, command) in [("rui", REGISTER), ("eva", &by_name)] {
        cards.card(who, "rsa", "window = true");
        table(&mut cards, who, dialog);
        cards.sh(who, &format!("{command} --no-input --passphrase-file $CREDENTIALS_DIRECTORY/smr.passphrase $WHO")).expect(0);
        assert_eq!(cards.logins(who), [(0, "user pin=none".to_owned())]);
    }
    // Where only other labels are meant, its key is not the one.
    cards.card("ines", "rsa", "");
    table(
        &mut cards,
        "ines",
        &dialog.replace("\"certificate\"", "\"other\""),
    );
    let said = cards.sh("ines", &format!("{by_name} $WHO")).expect(69);
    assert!(said.stderr.contains("no certificate"), "{}", said.stderr);
    assert_eq!(cards.logins("ines"), []);
    table(
        &mut cards,
        "ines",
        &dialog.replace("\"certificate\"", "\"id=7f\""),
    );
    cards.sh("ines", &format!("{by_name} $WHO")).expect(69);
    assert_eq!(cards.logins("ines"), []);
    // By its id it is.
    cards.card("leo", "rsa", "window = true");
    table(
        &mut cards,
        "leo",
        &dialog.replace("\"certificate\"", "\"other\", \"id=01\""),
    );
    let command = format!(
        "{by_name} --no-input --passphrase-file $CREDENTIALS_DIRECTORY/smr.passphrase $WHO"
    );
    cards.sh("leo", &command).expect(0);
    assert_eq!(cards.logins("leo"), [(0, "user pin=none".to_owned())]);
    // A name that nobody knows: those that are known are listed.
    let command = by_name.replace("house", "hous");
    let said = cards.sh("ines", &format!("{command} $WHO")).expect(64);
    assert!(said.stderr.contains("auto, house, cc,"), "{}", said.stderr);
    // A table that cannot be read is named, and nothing goes on without it.
    table(&mut cards, "ines", "dialogue = true\n");
    let said = cards.sh("ines", &format!("{by_name} $WHO")).expect(78);
    assert!(said.stderr.contains("house.toml"), "{}", said.stderr);
    assert_eq!(cards.logins("ines"), []);
}

#[test]
fn a_card_pulled_out_at_any_moment_leaves_nothing_behind() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.card("probe", "rsa", "");
    cards.register_well("probe");
    let calls = cards.calls("probe");
    let signed = calls.iter().rposition(|call| call.function == "C_Sign");
    let signed = signed.expect("the card signs");
    // Once before each different call, up to the last that enrolment needs.
    let mut moments: Vec<usize> = (1..=signed)
        .filter(|at| {
            !calls[..*at]
                .iter()
                .any(|c| c.function == calls[*at].function)
        })
        .collect();
    moments.push(signed);
    assert!(moments.len() >= 8, "{calls:?}");
    let pin = cards.pin("pin");
    for moment in moments {
        // The journal's first line is C_Initialize, which is not counted.
        cards.card("rui", "rsa", &format!("removed_after = {}", moment - 1));
        let said = cards.register("rui", &pin);
        let at = format!("before {}: {said:?}", calls[moment].function);
        assert_eq!(said.code, 69, "{at}");
        assert!(said.stderr.contains("smr-register: error: "), "{at}");
        assert!(said.stderr.contains("is the card in the reader"), "{at}");
        cards.assert_nothing_of("rui");
    }
    cards.card("rui", "rsa", "");
    cards.register_well("rui");
}

#[test]
fn cards_that_lie_about_mechanisms_sign_all_the_same() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.issue("ec", "P-256", "digitalSignature");
    for (who, key, manners) in [
        (
            "lists-a-broken-one",
            "rsa",
            format!("breaks = [{RSA_SHA256}]"),
        ),
        ("refuses-raw", "rsa", format!("refuses = [{RSA}]")),
        ("breaks-raw", "rsa", format!("breaks = [{RSA}]")),
        (
            "lacks-raw",
            "rsa",
            format!("mechanisms = [{RSA_SHA256}]\nrefuses = [{RSA}]"),
        ),
        ("lists-none", "rsa", "mechanisms = []".to_owned()),
        (
            "ec-lists-a-broken-one",
            "ec",
            format!("breaks = [{ECDSA_SHA256}]"),
        ),
        ("ec-refuses-raw", "ec", format!("refuses = [{ECDSA}]")),
    ] {
        cards.card(who, key, &manners);
        cards.register_well(who);
        assert_eq!(cards.logins(who).len(), 1, "{who}");
    }
    for (who, key, manners) in [
        (
            "all-broken",
            "rsa",
            format!("breaks = [{RSA}, {RSA_SHA256}]"),
        ),
        (
            "ec-all-refused",
            "ec",
            format!("refuses = [{ECDSA}, {ECDSA_SHA256}]"),
        ),
    ] {
        cards.card(who, key, &manners);
        let pin = cards.pin("pin");
        let said = cards.register(who, &pin).expect(69);
        assert!(
            said.stderr.contains("token \"Rui\" failed to sign"),
            "{}",
            said.stderr
        );
        assert_eq!(cards.logins(who).len(), 1, "{who}");
        cards.assert_nothing_of(who);
    }
}

#[test]
fn one_card_is_found_among_all_that_a_module_shows() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.issue("sign", "rsa", "nonRepudiation");
    fs::write(cards.house.path("keys/garbage.der"), b"\x30\x03\x02\x01").unwrap();
    fs::write(cards.house.path("keys/empty.der"), b"").unwrap();
    let twice = "[[slot]]\nreader = \"Empty\"\n[[slot]]\nreader = \"Again\"\ntoken = \"card\"\n";
    let garbage = |file: &str, id: &str| {
        format!(
            "[[token.card.object]]\nkind = \"certificate\"\nfile = \"../../keys/{file}.der\"\n\
             label = \"certificate\"\n{id}"
        )
    };
    for (who, script) in [
        ("two-slots", twice.to_owned() + &one_card("rsa", "")),
        ("padded-with-nul", one_card("rsa", "padding = \"\\u0000\"")),
        ("crowded", one_card("rsa", "crowd = 3000")),
        ("two-keys", one_card("rsa", "") + &objects("sign", "02")),
        (
            "garbage",
            one_card("rsa", "") + &garbage("garbage", "id = \"02\"\n") + &garbage("empty", ""),
        ),
        ("nameless", one_card("rsa", "") + &garbage("rsa", "")),
    ] {
        cards.play(who, &script);
        cards.register_well(who);
        assert_eq!(cards.logins(who), [(0, user(PIN))], "{who}");
    }
}

#[test]
fn a_certificate_without_a_key_costs_no_try() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.issue("other", "rsa", "digitalSignature");
    let pin = cards.pin("pin");
    let readers = "[[slot]]\nreader = \"Empty\"\n";
    let blank = one_card("rsa", "blank = true");
    for (who, script, text) in [
        ("no-reader", "", "no reader is seen"),
        ("no-card", readers, "no token found"),
        ("blank", &blank, "no token found"),
        (
            "no-certificate",
            &one_card("rsa", "")
                .replace("certificate\"\nfile", "key\"\nfile")
                .replace("rsa.der", "rsa.key"),
            "no certificate",
        ),
    ] {
        cards.play(who, script);
        let said = cards.register(who, &pin).expect(69);
        assert!(said.stderr.contains(text), "{who}: {}", said.stderr);
        assert_eq!(cards.logins(who), [], "{who}");
        cards.assert_nothing_of(who);
    }
    // A certificate whose key is another one's is seen when it has signed.
    cards.play(
        "mixed",
        &one_card("rsa", "").replace("rsa.key", "other.key"),
    );
    let said = cards.register("mixed", &pin).expect(69);
    assert!(
        said.stderr.contains("not its private key"),
        "{}",
        said.stderr
    );
    cards.assert_nothing_of("mixed");
    // Two keys that fit are two too many: the person has to say which.
    let two = one_card("rsa", "") + &objects("other", "02");
    cards.play("either", &two);
    let said = cards.register("either", &pin).expect(64);
    assert!(
        said.stderr.contains("more than one key fits"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("id=%01") && said.stderr.contains("id=%02"));
    assert_eq!(cards.logins("either"), []);
}

#[test]
fn a_busy_reader_is_said_and_hides_no_other() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    let pin = cards.pin("pin");
    for function in [
        "C_OpenSession",
        "C_FindObjectsInit",
        "C_Login",
        "C_GetTokenInfo",
    ] {
        let busy = format!("fails = {{ {function} = {DEVICE_ERROR} }}");
        cards.card("rui", "rsa", &busy);
        let said = cards.register("rui", &pin);
        assert_eq!(said.code, 69, "{function}: {said:?}");
        assert!(
            said.stderr.contains("hint: "),
            "{function}: {}",
            said.stderr
        );
        cards.assert_nothing_of("rui");
    }
    for function in ["C_OpenSession", "C_FindObjectsInit", "C_GetTokenInfo"] {
        let other = format!(
            "[[slot]]\nreader = \"Busy\"\ntoken = \"busy\"\n[token.busy]\nlabel = \"Busy\"\n\
             fails = {{ {function} = {DEVICE_ERROR} }}\n"
        );
        let who = function.trim_start_matches("C_").to_lowercase();
        cards.play(&who, &(one_card("rsa", "") + &other));
        cards.register_well(&who);
        assert_eq!(cards.logins(&who), [(0, user(PIN))]);
    }
}

#[test]
fn a_module_that_does_not_start_is_named() {
    let mut cards = Cards::new();
    // CKR_GENERAL_ERROR
    cards.play("rui", "initialize = 5\n");
    let pin = cards.pin("pin");
    let said = cards.register("rui", &pin).expect(69);
    let path = cards::module().display().to_string();
    assert!(said.stderr.contains(&path), "{}", said.stderr);
    assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    assert_eq!(cards.count("rui", "C_Initialize"), 1);
    let no_modules = [
        house_file(&cards, "text", b"no module"),
        "/no/such.so".to_owned(),
    ];
    for path in no_modules {
        let command = REGISTER.replace("$MODULE", &path);
        let said = cards.sh("rui", &format!("{command} {pin} $WHO")).expect(69);
        assert!(said.stderr.contains(&path), "{}", said.stderr);
        assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    }
    cards.assert_nothing_of("rui");
}

fn house_file(cards: &Cards, name: &str, contents: &[u8]) -> String {
    let path = cards.house.path(name);
    fs::write(&path, contents).unwrap();
    path.display().to_string()
}

#[test]
fn no_pin_is_found_anywhere_afterwards() {
    let mut cards = Cards::new();
    cards.issue("rsa", "rsa", "digitalSignature");
    cards.card("rui", "rsa", "");
    let mut told = String::new();
    for (pin, code) in [("wrong", 77), ("pin", 0)] {
        let traced = format!(
            "strace -f -qq -s 100000 -v -e trace=execve -o trace.{pin} {REGISTER} {} $WHO",
            cards.pin(pin)
        );
        let said = cards.sh("rui", &traced).expect(code);
        told += &(said.text() + &said.stderr);
    }
    let said = cards.sh("rui", "smr-login && smr-login --status").expect(0);
    told += &(said.text() + &said.stderr);
    assert_eq!(cards.logins("rui").len(), 2);
    let trace = fs::read_to_string(cards.house.path("work/rui/trace.pin")).unwrap();
    assert!(
        trace.contains("SMR_TOKEN_SCRIPT="),
        "strace shows environments"
    );
    assert_no_pin(told.as_bytes(), "what was said");
    // Where it has to be: the files it came from, and the card itself.
    let own = ["pin", "wrong", "cards/rui/script.toml"].map(|name| cards.house.path(name));
    let all = files(&cards.house.path(""));
    assert!(all.iter().any(|path| path.ends_with("smrd.log")));
    for path in all
        .iter()
        .filter(|path| !own.contains(path) && path.is_file())
    {
        assert_no_pin(&fs::read(path).unwrap(), &path.display().to_string());
    }
    let mut processes = 0;
    for process in agents(&cards) {
        for part in ["cmdline", "environ"] {
            assert_no_pin(&fs::read(process.join(part)).unwrap(), part);
        }
        processes += 1;
    }
    assert_eq!(processes, 1, "the agent runs");
}
