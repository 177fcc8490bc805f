//! Sealed identities, opened by the stock age program.

use std::path::Path;
use std::process::Command;

use rand_core::OsRng;
use smr_evidence::backup::{Origin, seal};
use smr_name::Fingerprint;
use smr_seal::Identity;
use tempfile::TempDir;

fn age(dir: &Path, args: &[&str]) -> (bool, String) {
    let out = Command::new("age")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    (out.status.success(), said)
}

#[test]
fn age_opens_an_identity_and_mail_with_it() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    // The stock program knows the classic kind.
    let key = Identity::generate_classic(&mut OsRng);
    let backup = Identity::generate_classic(&mut OsRng);
    let origin = Origin {
        account: "rui@repo.example".parse().unwrap(),
        device: Fingerprint::of(b"device"),
        epoch: 3,
        created: 1_800_000_000,
    };
    let sealed = seal(&origin, &key, &backup.to_recipient()).unwrap();
    write("3.age", &sealed);
    write(
        "backup",
        format!("# safe\n{}\n", *backup.encode()).as_bytes(),
    );
    write(
        "stranger",
        Identity::generate_classic(&mut OsRng).encode().as_bytes(),
    );
    write("plain", b"old mail");

    assert!(!age(dir.path(), &["-d", "-i", "stranger", "3.age"]).0);
    let (opened, identity) = age(dir.path(), &["-d", "-i", "backup", "3.age"]);
    assert!(opened && identity.starts_with("# account rui@repo.example\n"));
    write("identity", identity.as_bytes());
    let recipient = key.to_recipient().to_string();
    assert!(age(dir.path(), &["-r", &recipient, "-o", "mail.age", "plain"]).0);
    let mail = age(dir.path(), &["-d", "-i", "identity", "mail.age"]);
    assert_eq!(mail, (true, "old mail".to_owned()));
}
