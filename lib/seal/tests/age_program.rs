//! Whole files between our recipients, the age crate and the age program.
//! The program that Debian has knows classic recipients only.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rand_core::OsRng;
use smr_seal::{Identity, Recipient};

fn encrypt(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, age::EncryptError> {
    let recipients = recipients.iter().map(|r| r as &dyn age::Recipient);
    let mut out = Vec::new();
    let mut writer = age::Encryptor::with_recipients(recipients)?.wrap_output(&mut out)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(out)
}

fn decrypt(identity: &Identity, sealed: &[u8]) -> Result<Vec<u8>, age::DecryptError> {
    let identities = std::iter::once(identity as &dyn age::Identity);
    let mut plain = Vec::new();
    age::Decryptor::new_buffered(sealed)?
        .decrypt(identities)?
        .read_to_end(&mut plain)?;
    Ok(plain)
}

fn run(program: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the age program is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn post_quantum_files_open_for_each_recipient() {
    let keys: Vec<_> = (0..3).map(|_| Identity::generate_pq(&mut OsRng)).collect();
    let recipients: Vec<_> = keys.iter().map(Identity::to_recipient).collect();
    let sealed = encrypt(&recipients, b"nightly dump").unwrap();
    for key in &keys {
        assert_eq!(decrypt(key, &sealed).unwrap(), b"nightly dump");
    }
    let stranger = Identity::generate_pq(&mut OsRng);
    assert!(decrypt(&stranger, &sealed).is_err());
}

#[test]
fn age_itself_refuses_mixed_kinds() {
    let mixed = [
        Identity::generate_pq(&mut OsRng).to_recipient(),
        Identity::generate_classic(&mut OsRng).to_recipient(),
    ];
    assert!(encrypt(&mixed, b"x").is_err());
    assert!(encrypt(&mixed[..1], b"x").is_ok());
}

#[test]
fn the_age_program_opens_classic_files_and_we_open_its() {
    let key = Identity::generate_classic(&mut OsRng);
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.txt");
    std::fs::write(&key_file, key.encode().as_bytes()).unwrap();
    let sealed = encrypt(&[key.to_recipient()], b"from us").unwrap();
    let opened = run(
        Command::new("age").arg("-d").arg("-i").arg(&key_file),
        &sealed,
    );
    assert_eq!(opened, b"from us");
    let recipient = key.to_recipient().to_string();
    let theirs = run(Command::new("age").arg("-r").arg(recipient), b"from age");
    assert_eq!(decrypt(&key, &theirs).unwrap(), b"from age");
}
