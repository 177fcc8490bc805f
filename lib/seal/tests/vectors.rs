//! The C2SP test vectors of the hybrid recipient (github.com/C2SP/CCTV, age),
//! every file of tests/vectors. The header may be mixed in them: that age
//! opens such files is right, that smr does not is a rule of its own.

use std::fs;
use std::io::Read;

use age::DecryptError;
use sha2::{Digest, Sha256};
use smr_seal::Identity;

struct Vector {
    expect: String,
    payload: Option<String>,
    identities: Vec<Identity>,
    file: Vec<u8>,
}

fn parse(bytes: &[u8]) -> Vector {
    let end = bytes.windows(2).position(|w| w == b"\n\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let all = |key: &str| -> Vec<String> {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(k, _)| *k == key)
            .map(|(_, v)| v.to_owned())
            .collect()
    };
    Vector {
        expect: all("expect").remove(0),
        payload: all("payload").pop(),
        identities: all("identity")
            .iter()
            .map(|text| Identity::parse(text).unwrap())
            .collect(),
        file: bytes[end + 2..].to_vec(),
    }
}

fn outcome(vector: &Vector) -> &'static str {
    let Ok(file) = age::Decryptor::new_buffered(&vector.file[..]) else {
        return "header failure";
    };
    let identities = vector.identities.iter().map(|i| i as &dyn age::Identity);
    let mut plain = Vec::new();
    match file.decrypt(identities) {
        Ok(mut reader) => reader.read_to_end(&mut plain).unwrap(),
        Err(DecryptError::NoMatchingKeys) => return "no match",
        Err(DecryptError::InvalidHeader) => return "header failure",
        Err(error) => panic!("{error}"),
    };
    let hash = Sha256::digest(plain);
    let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(Some(hash), vector.payload);
    "success"
}

#[test]
fn every_vector_comes_out_as_expected() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let vector = parse(&fs::read(&path).unwrap());
        assert_eq!(outcome(&vector), vector.expect, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 17);
}
