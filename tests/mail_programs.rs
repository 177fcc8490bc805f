//! What `smr-recv --maildir` delivers, in the hands of the mail programs that
//! people read mail with: each verifies the signature by itself.

mod house;

use std::fs;

use house::House;

/// Delivers a message of each class into bob's Maildir, class D first.
fn delivered() -> House {
    let mut house = House::with(&["alice", "bob"]);
    for (flags, subject) in [("", "Deed D"), ("--by card", "Deed Q"), ("", "Broken")] {
        let send = format!("smr-send {flags} -s '{subject}' bob");
        house
            .sh_with("alice", &send, "Olá, sold\n".as_bytes())
            .expect(0);
    }
    house
        .sh("bob", "smr-recv --all --receipt never --maildir Mail")
        .expect(0);
    // One is altered where it lies.
    house
        .sh(
            "bob",
            "sed -i 's/sold/gift/' $(grep -l 'Subject: Broken' Mail/new/*)",
        )
        .expect(0);
    house
}

/// As in smr-recv(1), EXAMPLES; each message is shown into a folder.
const NEOMUTT: &str = r#"set crypt_use_gpgme = no
set smime_is_default = yes
set smime_ca_location = "ca.pem"
set smime_verify_command = "openssl smime -verify -inform DER -in %s -content %f %C -allow_proxy_certs -purpose any"
set crypt_verify_sig = yes
set wait_key = no
set prompt_after = no
set quit = yes
set pager = "cp -t shown"
"#;

#[test]
fn neomutt_verifies_both_classes_by_openssl() {
    let mut house = delivered();
    fs::write(house.path("work/bob/muttrc"), NEOMUTT).unwrap();
    // One at a time: after a bad signature it forgets what it was to do next.
    let read = "cp $PKI/ca/root.pem ca.pem && mkdir shown && for n in 1 2 3; do \
                while echo q; do sleep 0.2; done | TERM=xterm script -qec \"neomutt -n -F muttrc -f Mail \
                -e 'push $n<enter><display-message><quit>'\" /dev/null || exit; done";
    house.sh("bob", read).expect(0);
    let mut seen = Vec::new();
    for file in fs::read_dir(house.path("work/bob/shown")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        // Of the headers on the screen, the one that is inside the signature
        // comes after this line.
        let (before, signed) = text
            .split_once("[-- The following data is signed --]")
            .unwrap();
        let good = before.contains("\nVerification successful\n");
        let subject = signed.lines().find(|l| l.starts_with("Subject: ")).unwrap();
        assert!(
            before.contains(subject) && signed.contains("Olá, "),
            "{text}"
        );
        seen.push((subject.to_owned(), good));
    }
    seen.sort();
    let expected = [("Broken", false), ("Deed D", true), ("Deed Q", true)];
    let expected = expected.map(|(subject, good)| (format!("Subject: {subject}"), good));
    assert_eq!(seen, expected);
}

/// Its agent ends with the command.
const GNUPG: &str = "mkdir -m 700 gpg && export GNUPGHOME=$PWD/gpg NOTMUCH_CONFIG=$PWD/notmuchrc && \
    trap 'gpgconf --kill gpg-agent' EXIT && \
    openssl x509 -in $PKI/ca/root.pem -noout -fingerprint -sha1 | sed 's/.*=//; s/$/ S/' > gpg/trustlist.txt && \
    echo disable-crl-checks > gpg/gpgsm.conf && \
    gpgsm --quiet --batch --import $PKI/ca/root.pem $PKI/ca/sub.pem && \
    printf '[database]\\npath=%s/Mail\\n[user]\\nname=Bob\\nprimary_email=bob@repo.example\\n' $PWD > notmuchrc && \
    notmuch new --quiet";

#[test]
fn notmuch_names_the_signer_of_class_q_alone() {
    let mut house = delivered();
    let show = "for subject in 'Deed Q' 'Deed D' Broken; do \
                notmuch show --format=json --verify \"subject:\\\"$subject\\\"\" | \
                jq -r '.[0][0][0].body[0].sigstatus[0] | [.status, .userid // \"nobody\"] | @tsv'; done";
    let said = house
        .sh("bob", &format!("{GNUPG} && {show}"))
        .expect(0)
        .text();
    let lines: Vec<&str> = said.lines().collect();
    let [card, device, broken] = lines[..] else {
        panic!("{said}");
    };
    assert!(card.starts_with("good\tCN=ALICE MARTINS,"), "{said}");
    // gpgsm knows no proxy certificate: the sum is right, and nobody's.
    assert_eq!(device, "good\tnobody");
    assert!(!broken.starts_with("good"), "{said}");
}

#[test]
fn mblaze_and_python_read_the_maildir() {
    let mut house = delivered();
    let deed = "$(grep -l 'Subject: Deed D' Mail/new/*)";
    let shown = house
        .sh("bob", &format!("mshow -N {deed}"))
        .expect(0)
        .text();
    for line in [
        "From: \"ALICE MARTINS\" <alice@repo.example>",
        "Subject: Deed D",
        "Olá, sold",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let scan = house
        .sh("bob", "mlist Mail | mscan -f '%S' | sort")
        .expect(0);
    assert_eq!(scan.text(), "Broken\nDeed D\nDeed Q");
    let part = house.sh("bob", &format!("mshow -O {deed} 2")).expect(0);
    assert_eq!(part.text(), "Olá, sold");

    let python = r#"import mailbox, email.policy
policy = email.policy.default
def read(file):
    return email.message_from_binary_file(file, policy=policy)
for message in sorted(mailbox.Maildir("Mail", factory=read, create=False), key=lambda m: m["Subject"]):
    body = message.get_payload()[0]
    print(message["X-SMR-Class"], message["Subject"], body["Subject"], body.get_content().strip(), sep="|")
"#;
    let said = house
        .sh_with("bob", "python3 -", python.as_bytes())
        .expect(0);
    let expected =
        "D|Broken|Broken|Olá, gift\nD|Deed D|Deed D|Olá, sold\nQ|Deed Q|Deed Q|Olá, sold";
    assert_eq!(said.text(), expected);
}
