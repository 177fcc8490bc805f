//! The authority, and people with devices and account records.

use std::path::{Path, PathBuf};
use std::process::Command;

use smr_evidence::account::{self, Account, Draft, keys_statement};
use smr_evidence::device;
use smr_evidence::trust::{
    Certificate, Material, Revocation, Rules, Signer, SoftKey, TrustStore, generate_p256,
};
use smr_name::{Address, Fingerprint, MailboxName};

use super::now;

const CONFIG: &str = "[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[person]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,emailProtection
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ca]
default_ca = d
[d]
database = index
crlnumber = number
certificate = trust/root.pem
private_key = root.key
default_md = sha256
default_crl_days = 30
crl_extensions = c
new_certs_dir = .
rand_serial = yes
policy = p
[p]
countryName = optional
organizationName = optional
serialNumber = optional
commonName = supplied
[c]
authorityKeyIdentifier = keyid
";

/// The recipient in the README of age; nobody here opens anything.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path) -> Authority {
        let ca = Authority {
            dir: dir.to_owned(),
        };
        for folder in ["trust", "crls"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for (file, text) in [("ca.cnf", CONFIG), ("index", ""), ("number", "01\n")] {
            std::fs::write(dir.join(file), text).unwrap();
        }
        ca.self_signed("root", "/C=PT/O=Test/CN=Root", "root");
        std::fs::rename(dir.join("root.pem"), dir.join("trust/root.pem")).unwrap();
        ca.list();
        ca
    }

    /// Runs openssl in the authority's folder.
    pub fn openssl(&self, args: &str) {
        let out = Command::new("openssl")
            .args(args.split(' '))
            .current_dir(&self.dir)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "openssl {args}: {error}");
    }

    fn key(&self, name: &str) {
        self.openssl(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"
        ));
        self.openssl(&format!(
            "pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.p8"
        ));
    }

    fn self_signed(&self, name: &str, subject: &str, section: &str) {
        self.key(name);
        self.openssl(&format!(
            "req -new -x509 -key {name}.key -sha256 -days 900 -subj {subject} \
             -config ca.cnf -extensions {section} -out {name}.pem"
        ));
    }

    /// Makes a new CRL.
    pub fn list(&self) {
        self.openssl("ca -config ca.cnf -gencrl -out crls/root.pem");
    }

    /// Takes the CRL away.
    pub fn lose_list(&self) {
        std::fs::remove_file(self.dir.join("crls/root.pem")).unwrap();
    }

    pub fn revoke(&self, name: &str) {
        self.openssl(&format!("ca -config ca.cnf -revoke {name}.pem"));
        self.list();
    }

    pub fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(format!("{name}.pem"))).unwrap()
    }

    fn load(&self, name: &str) -> SoftKey {
        let key = std::fs::read(self.dir.join(format!("{name}.p8"))).unwrap();
        let card = Certificate::pem_or_der_bundle(&self.pem(name))
            .unwrap()
            .remove(0);
        SoftKey::from_pkcs8(&key, card, Vec::new()).unwrap()
    }

    /// Issues a card.
    pub fn card(&self, name: &str) -> SoftKey {
        self.key(name);
        let subject = subject(name);
        self.openssl(&format!(
            "req -new -key {name}.key -subj {subject} -config ca.cnf -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA trust/root.pem -CAkey root.key -sha256 -days 900 \
             -CAcreateserial -extfile ca.cnf -extensions person -out {name}.pem"
        ));
        self.load(name)
    }

    /// Issues a card that is some years old.
    pub fn old_card(&self, name: &str) -> SoftKey {
        self.key(name);
        let subject = subject(name);
        self.openssl(&format!(
            "req -new -key {name}.key -subj {subject} -config ca.cnf -out {name}.csr"
        ));
        self.openssl(&format!(
            "ca -config ca.cnf -batch -notext -in {name}.csr -extensions person \
             -startdate 20240101000000Z -enddate 20350101000000Z -out {name}.pem"
        ));
        self.load(name)
    }

    /// Makes a card that vouches for itself.
    pub fn own_card(&self, name: &str) -> SoftKey {
        self.self_signed(name, &subject(name), "person");
        self.load(name)
    }

    fn trust(&self) -> TrustStore {
        let mut store = TrustStore::default();
        let root = std::fs::read(self.dir.join("trust/root.pem")).unwrap();
        store.add_anchors("default", &root).unwrap();
        store
    }

    /// Opens a record without asking for revocation.
    pub fn open(&self, record: &[u8]) -> Account {
        let rules = Rules {
            now: now(),
            revocation: Revocation::Off,
            max_age: None,
            clock_skew: 300,
            signed: None,
            policies: Vec::new(),
        };
        account::open(record, &self.trust(), &rules).unwrap()
    }
}

fn subject(name: &str) -> String {
    format!(
        "/C=PT/O=Test/serialNumber=BI-{name}/CN={}",
        name.to_uppercase()
    )
}

/// Somebody's device and the record it brings.
pub struct Person {
    pub name: MailboxName,
    pub device: SoftKey,
    pub record: Vec<u8>,
}

pub fn address(name: &str) -> Address {
    format!("{name}@repo.example").parse().unwrap()
}

pub fn print_of(device: &SoftKey) -> Fingerprint {
    Fingerprint::of(device.certificate().der())
}

/// Lets a card certify a device for an account.
pub fn device(card: &SoftKey, name: &str, label: &str) -> SoftKey {
    let card_ends = card.certificate().not_after();
    device_for(card, name, label, now() - 60, card_ends)
}

/// The same, from and until times of its own, as far as the card goes.
pub fn device_for(card: &SoftKey, name: &str, label: &str, from: i64, until: i64) -> SoftKey {
    let (key, spki) = generate_p256().unwrap();
    let address = address(name);
    let mut serial = [1; 16];
    serial[1..].copy_from_slice(&Fingerprint::of(&spki).as_bytes()[..15]);
    let from = card.certificate().not_before().max(from);
    let repository = address.repository.as_ref().unwrap();
    let request = device::request(
        &address.mailbox,
        repository,
        label,
        spki,
        from,
        until,
        serial,
    )
    .unwrap();
    let certificate = device::issue(&request, card).unwrap();
    SoftKey::from_pkcs8(&key, certificate, vec![card.certificate().clone()]).unwrap()
}

fn add(draft: &mut Draft, name: &str, device: &SoftKey) {
    let print = print_of(device);
    let keys = keys_statement(&address(name), &print, 1, now(), RECIPIENT, device).unwrap();
    let mut chain = vec![device.certificate().clone()];
    chain.extend_from_slice(device.chain());
    draft.add(&chain, keys).unwrap();
}

/// Somebody with this card, about to register as `name`.
pub fn person(card: &SoftKey, name: &str) -> Person {
    person_with(card, name, None)
}

/// The same, with a backup that keys can be sealed to.
pub fn person_with_backup(card: &SoftKey, name: &str) -> Person {
    person_with(card, name, Some(RECIPIENT.to_owned()))
}

/// The same, whose device ends at `until`.
pub fn person_until(card: &SoftKey, name: &str, until: i64) -> Person {
    let device = device_for(card, name, "laptop", now() - 60, until);
    with(name, device, None)
}

/// The same, on a device that is as old as the card.
pub fn old_person(card: &SoftKey, name: &str) -> Person {
    let card_ends = card.certificate().not_after();
    with(name, device_for(card, name, "laptop", 0, card_ends), None)
}

fn person_with(card: &SoftKey, name: &str, backup: Option<String>) -> Person {
    with(name, device(card, name, "laptop"), backup)
}

fn with(name: &str, device: SoftKey, backup: Option<String>) -> Person {
    let mut draft = Draft::first(address(name), backup);
    add(&mut draft, name, &device);
    let record = account::build(&draft, &device, now()).unwrap();
    Person {
        name: name.parse().unwrap(),
        device,
        record,
    }
}

impl Person {
    /// The next record: signed by this device, changed by `change`.
    pub fn next(&self, ca: &Authority, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
        let mut draft = Draft::after(&ca.open(&self.record));
        change(&mut draft);
        account::build(&draft, &self.device, now()).unwrap()
    }

    /// Another device of this account, certified by `card` and not listed.
    pub fn beside(&self, card: &SoftKey, label: &str) -> Person {
        Person {
            name: self.name.clone(),
            device: device(card, self.name.as_str(), label),
            record: self.record.clone(),
        }
    }

    /// The next record, which lists this device too and is signed by it.
    pub fn listing_itself(&self, ca: &Authority) -> Vec<u8> {
        self.next(ca, |draft| add(draft, self.name.as_str(), &self.device))
    }

    /// The next record, with one more device of the same card.
    pub fn with_device(&self, ca: &Authority, card: &SoftKey, label: &str) -> Person {
        let name = self.name.as_str();
        let fresh = device(card, name, label);
        let record = self.next(ca, |draft| add(draft, name, &fresh));
        Person {
            name: self.name.clone(),
            device: fresh,
            record,
        }
    }
}
