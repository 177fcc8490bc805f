//! Tokens end to end: SoftHSM 2 and key files, certificates by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use smr_client::token::{self, NoPin, Pin, PinPrompt, Purpose, Token, TokenError};
use smr_evidence::trust::Signer;
use smr_name::Class;
use zeroize::Zeroizing;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn openssl(dir: &Path, line: &str) {
    run(dir, "openssl", &line.split(' ').collect::<Vec<_>>());
}

/// Makes NAME.key (PKCS#8 PEM) and NAME.pem, issued by ISSUER.
fn issue(dir: &Path, name: &str, algorithm: &str, usage: &str, issuer: Option<&str>) {
    let key = match algorithm {
        "rsa" => "-algorithm RSA -pkeyopt rsa_keygen_bits:2048".to_owned(),
        bits if bits.starts_with("rsa:") => {
            format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{}", &bits[4..])
        }
        curve => format!("-algorithm EC -pkeyopt ec_paramgen_curve:{curve}"),
    };
    openssl(dir, &format!("genpkey {key} -out {name}.key"));
    let ca = if usage.contains("keyCertSign") {
        "TRUE"
    } else {
        "FALSE"
    };
    let config = format!(
        "[req]\ndistinguished_name=dn\n[dn]\n[x]\nbasicConstraints=critical,CA:{ca}\n\
         keyUsage=critical,{usage}\n"
    );
    fs::write(dir.join("x.cnf"), config).unwrap();
    let request = format!("req -new -key {name}.key -subj /C=PT/CN={name} -config x.cnf");
    match issuer {
        None => openssl(
            dir,
            &format!("{request} -x509 -extensions x -days 9 -out {name}.pem"),
        ),
        Some(issuer) => {
            openssl(dir, &format!("{request} -out {name}.csr"));
            openssl(
                dir,
                &format!(
                    "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -days 9 \
                     -CAcreateserial -extfile x.cnf -extensions x -out {name}.pem"
                )
                .replace("  ", " "),
            );
        }
    }
}

fn authorities(dir: &Path) {
    issue(dir, "root", "P-256", "keyCertSign,cRLSign", None);
    issue(dir, "sub", "P-256", "keyCertSign,cRLSign", Some("root"));
}

/// Puts a certificate, and its key unless it is bare, on a token.
fn put(dir: &Path, token: &str, name: &str, id: &str, label: &str, bare: bool) {
    openssl(
        dir,
        &format!("x509 -in {name}.pem -outform der -out {name}.der"),
    );
    let common = [
        "--module",
        MODULE,
        "--token-label",
        token,
        "--login",
        "--pin",
        "1234",
    ];
    let file = format!("{name}.der");
    let certificate = [
        "--write-object",
        &file,
        "--type",
        "cert",
        "--id",
        id,
        "--label",
        label,
    ];
    run(dir, "pkcs11-tool", &[&common[..], &certificate].concat());
    if bare {
        return;
    }
    let key = format!("{name}.key");
    let import = ["--import", &key, "--token", token, "--pin", "1234"];
    run(
        dir,
        "softhsm2-util",
        &[&import[..], &["--id", id, "--label", "a key"]].concat(),
    );
}

fn new_token(dir: &Path, label: &str) {
    let pins = ["--pin", "1234", "--so-pin", "123456"];
    run(
        dir,
        "softhsm2-util",
        &[&["--init-token", "--free", "--label", label][..], &pins].concat(),
    );
}

/// Runs the test `name` again in a process of its own whose SoftHSM has its
/// tokens in a new folder; returns that folder inside, and none outside.
fn inside(name: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("SMR_TEST_TOKENS") {
        return Some(dir.into());
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tokens")).unwrap();
    let config = dir.path().join("softhsm2.conf");
    let folder = dir.path().join("tokens");
    fs::write(
        &config,
        format!("directories.tokendir = {}\n", folder.display()),
    )
    .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", &config)
        .env("SMR_TEST_TOKENS", dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside");
    None
}

fn token(text: &str) -> Token {
    text.parse().unwrap()
}

/// Opens a token with one PIN, and counts how often it is asked for.
fn open_as(
    text: &str,
    purpose: Purpose,
    pin: &str,
) -> (Result<Box<dyn Signer>, TokenError>, Vec<PinPrompt>) {
    let mut prompts = Vec::new();
    let result = token::open_for(&token(text), purpose, &mut |prompt| {
        prompts.push(prompt.clone());
        Ok(Pin {
            text: Zeroizing::new(pin.to_owned()),
            by_hand: false,
        })
    });
    (result, prompts)
}

fn open(text: &str, pin: &str) -> (Result<Box<dyn Signer>, TokenError>, usize) {
    let (result, prompts) = open_as(text, Purpose::Authentication, pin);
    (result, prompts.len())
}

fn refusal(result: Result<Box<dyn Signer>, TokenError>) -> TokenError {
    match result {
        Ok(signer) => panic!("opened {}", signer.certificate().subject_text()),
        Err(error) => error,
    }
}

/// Signs, and has openssl verify it with NAME.pem.
fn assert_signs(dir: &Path, name: &str, signer: &dyn Signer) {
    assert_signs_with(dir, name, signer, "-sha256");
}

fn assert_signs_with(dir: &Path, name: &str, signer: &dyn Signer, options: &str) {
    fs::write(dir.join("message"), b"to be signed").unwrap();
    fs::write(dir.join("signature"), signer.sign(b"to be signed").unwrap()).unwrap();
    openssl(
        dir,
        &format!("x509 -in {name}.pem -noout -pubkey -out {name}.pub"),
    );
    openssl(
        dir,
        &format!("dgst -sha256 {options} -verify {name}.pub -signature signature message"),
    );
}

fn names(signer: &dyn Signer) -> Vec<String> {
    let chain = signer.chain().iter();
    let all = std::iter::once(signer.certificate()).chain(chain);
    all.map(|c| c.common_name().unwrap().to_owned()).collect()
}

#[test]
fn keys_on_tokens_sign() {
    let Some(dir) = inside("keys_on_tokens_sign") else {
        return;
    };
    authorities(&dir);
    for (name, algorithm) in [("rsa", "rsa"), ("ec", "P-256"), ("ec384", "P-384")] {
        new_token(&dir, name);
        issue(&dir, name, algorithm, "digitalSignature", Some("sub"));
        put(&dir, name, name, "01", "MY CERTIFICATE", false);
        put(&dir, name, "sub", "02", "issuer", true);
    }
    // SoftHSM sees the tokens there were when it was loaded, so all come first.
    for name in ["rsa", "ec", "ec384"] {
        let uri = format!("pkcs11:token={name}?module-path={MODULE}");
        let (signer, asked) = open(&uri, "1234");
        let signer = signer.unwrap();
        assert_eq!(
            (names(&*signer), asked),
            (vec![name.into(), "sub".into()], 1)
        );
        assert_signs(&dir, name, &*signer);
        assert_signs(&dir, name, &*signer);
    }
    // The key's label names its certificate too, and a profile its module.
    let by_key = format!("pkcs11:token=rsa;object=MY%20CERTIFICATE;type=cert?module-path={MODULE}");
    assert_eq!(names(&*open(&by_key, "1234").0.unwrap()), ["rsa", "sub"]);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let (listed, troubles) = token::list(&token("softhsm"), now).unwrap();
    assert!(troubles.is_empty(), "{troubles:?}");
    let certificates = listed.iter().filter_map(|l| l.certificate.as_ref());
    let certificates: Vec<_> = certificates.collect();
    let usable: Vec<_> = certificates.iter().filter(|c| c.enrols).collect();
    assert_eq!((certificates.len(), usable.len()), (6, 3));
    let authority = certificates.iter().find(|c| !c.enrols).unwrap();
    assert_eq!(authority.useless, Some("an authority's"));
    let uri = usable[0].uri.to_string();
    assert!(open(&uri, "1234").0.is_ok(), "{uri}");
}

/// What comes before the point in a SubjectPublicKeyInfo (RFC 5480 2), in hex.
const EC_SPKI: [(&str, &str); 3] = [
    (
        "EC:secp256r1",
        "3059301306072a8648ce3d020106082a8648ce3d030107034200",
    ),
    (
        "EC:secp384r1",
        "3076301006072a8648ce3d020106052b81040022036200",
    ),
    (
        "EC:secp521r1",
        "30819b301006072a8648ce3d020106052b8104002303818600",
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Makes a key pair on a token, which never leaves it, and a certificate.
fn generate(dir: &Path, token: &str, name: &str, kind: &str, id: &str, attributes: &str) {
    let common = format!("--module {MODULE} --token-label {token} --login --pin 1234 --id {id}");
    let tool = |line: String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        run(dir, "pkcs11-tool", &words)
    };
    tool(format!(
        "{common} --keypairgen --key-type {kind} --label key {attributes}"
    ));
    match EC_SPKI.iter().find(|(curve, _)| *curve == kind) {
        // pkcs11-tool cannot write keys of all curves.
        Some((_, head)) => {
            let shown = tool(format!("{common} --list-objects --type pubkey"));
            let point = shown.split("EC_POINT:").nth(1).unwrap();
            let point = point.split_whitespace().next().unwrap();
            // An OCTET STRING: its head is two bytes, or three above 127.
            let point = point
                .split_at(if point.starts_with("0481") { 6 } else { 4 })
                .1;
            fs::write(
                dir.join(format!("{name}.spki")),
                unhex(&format!("{head}{point}")),
            )
            .unwrap();
        }
        None => drop(tool(format!(
            "{common} --read-object --type pubkey --output-file {name}.spki"
        ))),
    }
    fs::write(
        dir.join("y.cnf"),
        "[x]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n",
    )
    .unwrap();
    openssl(
        dir,
        &format!("pkey -pubin -inform DER -in {name}.spki -out {name}.pub"),
    );
    openssl(
        dir,
        &format!(
            "x509 -new -force_pubkey {name}.pub -subj /C=PT/CN={name} -CA sub.pem -CAkey sub.key \
             -days 9 -extfile y.cnf -extensions x -out {name}.pem"
        ),
    );
    put(dir, token, name, id, "a certificate", true);
}

#[test]
fn keys_that_never_left_the_token_sign_as_they_allow() {
    let Some(dir) = inside("keys_that_never_left_the_token_sign_as_they_allow") else {
        return;
    };
    authorities(&dir);
    let long = "0123456789abcdef0123456789abcdef01234567";
    let cases = [
        ("r2048", "rsa:2048", "01", "--usage-sign"),
        ("r3072", "rsa:3072", long, "--usage-sign --sensitive"),
        (
            "r4096",
            "rsa:4096",
            "ff",
            "--usage-sign --sensitive --private",
        ),
        ("p256", "EC:secp256r1", "01", "--usage-sign"),
        ("p384", "EC:secp384r1", "00", "--usage-sign --sensitive"),
        (
            "pss",
            "rsa:2048",
            "01",
            "--usage-sign --allowed-mechanisms RSA-PKCS-PSS,SHA256-RSA-PKCS-PSS",
        ),
    ];
    for (name, kind, id, attributes) in cases {
        new_token(&dir, name);
        generate(&dir, name, name, kind, id, attributes);
    }
    for (name, ..) in cases {
        let (signer, asked) = open(&format!("pkcs11:token={name}"), "1234");
        let signer = signer.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((names(&*signer), asked), (vec![name.to_owned()], 1));
        match name {
            // openssl is told of PSS, and signer and openssl agree on the salt.
            "pss" => assert_signs_with(
                &dir,
                name,
                &*signer,
                "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32",
            ),
            _ => assert_signs(&dir, name, &*signer),
        }
    }
}

#[test]
fn keys_that_may_not_sign_or_are_of_another_kind_are_refused() {
    let Some(dir) = inside("keys_that_may_not_sign_or_are_of_another_kind_are_refused") else {
        return;
    };
    authorities(&dir);
    for (name, kind, attributes) in [
        ("short", "rsa:1024", "--usage-sign"),
        ("curve", "EC:secp521r1", "--usage-sign"),
        (
            "other",
            "rsa:2048",
            "--usage-sign --allowed-mechanisms SHA384-RSA-PKCS",
        ),
    ] {
        new_token(&dir, name);
        generate(&dir, name, name, kind, "01", attributes);
    }
    for (name, asked) in [("short", 0), ("curve", 0)] {
        let (result, prompts) = open(&format!("pkcs11:token={name}"), "1234");
        let error = refusal(result);
        assert!(matches!(error, TokenError::KeyKind { .. }), "{error:?}");
        assert_eq!(prompts, asked, "{name}");
    }
    let signer = open("pkcs11:token=other", "1234").0.unwrap();
    let error = signer.sign(b"x").unwrap_err().to_string();
    assert!(error.contains("failed to sign"), "{error}");
}

#[test]
fn a_renewed_certificate_stands_for_its_key() {
    let Some(dir) = inside("a_renewed_certificate_stands_for_its_key") else {
        return;
    };
    authorities(&dir);
    new_token(&dir, "T");
    issue(&dir, "old", "P-256", "digitalSignature", Some("sub"));
    put(&dir, "T", "old", "01", "c", false);
    openssl(
        &dir,
        "x509 -req -in old.csr -CA sub.pem -CAkey sub.key -days 99 -CAcreateserial \
         -extfile x.cnf -extensions x -out new.pem",
    );
    put(&dir, "T", "new", "01", "c", true);
    let signer = open("pkcs11:token=T", "1234").0.unwrap();
    let der = fs::read(dir.join("new.der")).unwrap();
    assert_eq!(signer.certificate().der(), der);
    assert_signs(&dir, "new", &*signer);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let Some(dir) = inside("a_key_of_another_certificate_is_refused") else {
        return;
    };
    authorities(&dir);
    new_token(&dir, "T");
    for name in ["rui", "ana"] {
        issue(&dir, name, "P-256", "digitalSignature", Some("sub"));
    }
    // Rui's certificate stands by the number of ana's key.
    put(&dir, "T", "rui", "01", "c", true);
    let key = ["--import", "ana.key", "--token", "T", "--pin", "1234"];
    let place = ["--id", "01", "--label", "key"];
    run(&dir, "softhsm2-util", &[&key[..], &place].concat());
    let signer = open("pkcs11:token=T", "1234").0.unwrap();
    let error = signer.sign(b"in rui's name").unwrap_err();
    assert!(error.to_string().contains("not its private key"), "{error}");
}

#[test]
fn wrong_pins_are_tried_once() {
    let Some(dir) = inside("wrong_pins_are_tried_once") else {
        return;
    };
    authorities(&dir);
    new_token(&dir, "T");
    issue(&dir, "ec", "P-256", "digitalSignature", Some("sub"));
    put(&dir, "T", "ec", "01", "c", false);
    for pin in ["0000", "1", &"1".repeat(300)] {
        let (result, asked) = open("softhsm", pin);
        let error = refusal(result);
        assert!(
            matches!(
                error,
                TokenError::PinWrong {
                    last_try: false,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!((error.class(), asked), (Class::Denied, 1));
        assert_eq!(error.to_string(), "the PIN of token \"T\" is wrong");
    }
    let (result, asked) = open("softhsm", "");
    assert_eq!((refusal(result).class(), asked), (Class::Denied, 1));
    let result = token::open(&token("softhsm"), &mut |_| {
        Err(NoPin {
            text: "no".into(),
            class: Class::Denied,
            hint: None,
        })
    });
    assert!(matches!(refusal(result), TokenError::NoPin(_)));
    let signer = open("softhsm", "1234").0.unwrap();
    assert_signs(&dir, "ec", &*signer);
    // Logged in already: no second PIN for a second key of the batch.
    assert_eq!(open("softhsm", "unused").1, 0);
    drop(signer);
    assert_eq!(refusal(open("softhsm", "0000").0).class(), Class::Denied);
}

#[test]
fn key_usage_chooses_the_key() {
    let Some(dir) = inside("key_usage_chooses_the_key") else {
        return;
    };
    authorities(&dir);
    for (token, name, usage, id) in [
        ("CARD", "sign", "nonRepudiation", "01"),
        ("CARD", "auth", "digitalSignature,keyAgreement", "02"),
        ("CARD", "crypt", "keyEncipherment", "03"),
        ("OTHER", "more", "digitalSignature", "02"),
    ] {
        if id == "01" || token == "OTHER" {
            new_token(&dir, token);
        }
        issue(&dir, name, "rsa", usage, Some("sub"));
        put(&dir, token, name, id, name, false);
    }
    let card = "pkcs11:token=CARD";
    let signer = |purpose| open_as(card, purpose, "1234").0.unwrap();
    assert_eq!(names(&*signer(Purpose::Authentication)), ["auth"]);
    assert_eq!(names(&*signer(Purpose::Signature)), ["sign"]);
    let (result, asked) = open("pkcs11:object=crypt", "1234");
    let error = refusal(result);
    assert!(matches!(error, TokenError::NoCertificate(_)), "{error:?}");
    assert_eq!((error.class(), asked), (Class::Unavailable, 0));

    let error = refusal(open("softhsm", "1234").0);
    let TokenError::Ambiguous(uris) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((uris.len(), error.class()), (2, Class::Usage));
    for uri in uris {
        assert!(open(uri, "1234").0.is_ok(), "{uri}");
    }
    let more = open("pkcs11:object=more", "1234").0.unwrap();
    assert_eq!(names(&*more), ["more"]);
}

#[test]
fn what_is_missing_is_said() {
    let Some(dir) = inside("what_is_missing_is_said") else {
        return;
    };
    authorities(&dir);
    for label in ["EMPTY", "BARE", "CROSSED"] {
        new_token(&dir, label);
    }
    for name in ["bare", "one", "two"] {
        issue(&dir, name, "P-256", "digitalSignature", Some("sub"));
    }
    put(&dir, "BARE", "bare", "01", "c", true);
    fs::copy(dir.join("two.key"), dir.join("one.key")).unwrap();
    put(&dir, "CROSSED", "one", "01", "c", false);

    let class = |text: &str| {
        let (result, asked) = open(text, "1234");
        let error = refusal(result);
        assert_eq!((error.class(), asked), (Class::Unavailable, 0), "{error}");
        error
    };
    let no_module = |text| matches!(class(text), TokenError::NoModule(_));
    assert!(no_module("pkcs11:?module-path=/no.so"));
    assert!(no_module("pkcs11:?module-name=../softhsm/libsofthsm2"));
    let broken = format!("pkcs11:?module-path={}/root.pem", dir.display());
    assert!(matches!(class(&broken), TokenError::ModuleBroken { .. }));
    let error = class("pkcs11:token=ABSENT");
    assert!(matches!(error, TokenError::NoToken(_)), "{error:?}");
    let error = class("pkcs11:token=EMPTY");
    assert!(matches!(error, TokenError::NoCertificate(_)), "{error:?}");
    // Private keys show after login only.
    let error = refusal(open("pkcs11:token=BARE", "1234").0);
    assert!(matches!(error, TokenError::NoKey(_)), "{error:?}");

    // Another certificate's key under the same id is found out.
    let signer = open("pkcs11:token=CROSSED", "1234").0.unwrap();
    let error = signer.sign(b"x").unwrap_err();
    assert!(error.to_string().contains("not its private key"), "{error}");
}

/// Makes a leaf and writes it in every form of file.
fn files(dir: &Path, name: &str, algorithm: &str) {
    issue(dir, name, algorithm, "digitalSignature", Some("sub"));
    let traditional = if algorithm == "rsa" {
        "rsa -traditional"
    } else {
        "ec"
    };
    openssl(
        dir,
        &format!("{traditional} -in {name}.key -out {name}.old"),
    );
    openssl(
        dir,
        &format!("pkcs8 -topk8 -in {name}.key -passout pass:secret -out {name}.enc"),
    );
    let scrypt = "-scrypt -scrypt_N 1024";
    openssl(
        dir,
        &format!("pkcs8 -topk8 {scrypt} -in {name}.key -passout pass:secret -out {name}.scr"),
    );
    // Without the public key, as Java writes it; no such form of RSA keys.
    let bare = match algorithm {
        "rsa" => "rsa",
        _ => "ec -no_public",
    };
    openssl(dir, &format!("{bare} -in {name}.key -out {name}.bare"));
    let old = " -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1";
    for (password, file, more) in [
        ("secret", "p12", ""),
        ("secret", "old.p12", old),
        ("", "open.p12", ""),
    ] {
        openssl(
            dir,
            &format!(
                "pkcs12 -export -inkey {name}.key -in {name}.pem -certfile sub.pem \
                 -passout pass:{password} -out {name}.{file}{more}"
            ),
        );
    }
    let read = |file: String| fs::read_to_string(dir.join(file)).unwrap();
    let certificates =
        read("root.pem".into()) + &read("sub.pem".into()) + &read(format!("{name}.pem"));
    for form in ["key", "old", "enc", "scr", "bare"] {
        let text = read(format!("{name}.{form}")) + &certificates;
        fs::write(dir.join(format!("{name}.{form}.pem")), text).unwrap();
    }
}

#[test]
fn key_files_of_every_form_sign() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    authorities(dir);
    for (name, algorithm) in [("rsa", "rsa"), ("ec", "P-256"), ("ec384", "P-384")] {
        files(dir, name, algorithm);
        for (form, asks) in [
            ("p12", 1),
            ("old.p12", 1),
            ("open.p12", 0),
            ("bare.pem", 0),
            ("key.pem", 0),
            ("old.pem", 0),
            ("enc.pem", 1),
            ("scr.pem", 1),
        ] {
            let text = format!("file:{}/{name}.{form}", dir.display());
            let (signer, asked) = open(&text, "secret");
            let signer = signer.unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(
                (names(&*signer), asked),
                (vec![name.into(), "sub".into()], asks),
                "{text}"
            );
            assert_signs(dir, name, &*signer);
            if asks == 1 {
                let (result, prompts) = open_as(&text, Purpose::Authentication, "wrong");
                let error = refusal(result);
                assert!(
                    matches!(error, TokenError::PinWrong { is_file: true, .. }),
                    "{error:?}"
                );
                assert_eq!((error.class(), prompts.len()), (Class::Denied, 1));
                assert!(prompts[0].is_file && !prompts[0].last_try);
            }
        }
    }
}

#[test]
fn files_that_are_no_key_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    authorities(dir);
    files(dir, "ec", "P-256");
    files(dir, "other", "P-256");
    issue(dir, "crypt", "P-256", "keyAgreement", Some("sub"));
    issue(dir, "p521", "P-521", "digitalSignature", Some("sub"));
    openssl(
        dir,
        "ec -in ec.key -aes128 -passout pass:secret -out ec.locked",
    );
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
    let refused = |text: String, class: Class, words: &str| {
        fs::write(dir.join("file"), text).unwrap();
        let (result, asked) = open(&format!("file:{}/file", dir.display()), "secret");
        let error = refusal(result);
        assert_eq!((error.class(), asked), (class, 0), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        error
    };
    refused(read("ec.key"), Class::Forged, "expected the certificate");
    refused(read("ec.pem"), Class::Unavailable, "not its private key");
    refused(
        read("ec.key") + &read("other.pem"),
        Class::Forged,
        "no certificate belongs",
    );
    refused(
        read("crypt.key") + &read("crypt.pem"),
        Class::Unavailable,
        "may sign",
    );
    refused(
        read("p521.key") + &read("p521.pem"),
        Class::Unavailable,
        "P-256 or P-384",
    );
    refused("nothing".into(), Class::Forged, "expected PKCS#12 or PEM");
    let error = refused(read("ec.locked") + &read("ec.pem"), Class::Forged, "PEM");
    assert!(error.hint().unwrap().contains("openssl pkcs12 -export"));
    let (result, _) = open(&format!("file:{}/absent", dir.display()), "");
    assert_eq!(refusal(result).class(), Class::Missing);
}
