//! A small PKI made by openssl, with people, devices and account records.
//!
//! For tests alone; its keys live in a temporary folder.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod forge;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use smr_evidence::account::{self, Account, Draft, keys_statement};
use smr_evidence::device;
use smr_evidence::trust::{
    Certificate, Crl, Material, Revocation, Rules, Signer, SoftKey, TrustStore, generate_p256,
};
use smr_name::{Address, Fingerprint};
use tempfile::TempDir;

const CONFIG: &str = "[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[sub]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[person]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,emailProtection
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[signature]
basicConstraints = critical,CA:FALSE
keyUsage = critical,nonRepudiation
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[encryption]
basicConstraints = critical,CA:FALSE
keyUsage = critical,keyAgreement
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// A root, a CA for cards, and whoever the test needs.
pub(crate) struct Pki {
    dir: TempDir,
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub(crate) fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let out = Command::new(program)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {error}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

impl Pki {
    pub(crate) fn new() -> Self {
        Pki::lasting(3650, 900, 30)
    }

    /// Makes one whose root, authority of cards and lists last so many days.
    pub(crate) fn lasting(root: u32, sub: u32, lists: u32) -> Self {
        let pki = Pki {
            dir: TempDir::new().unwrap(),
        };
        std::fs::write(pki.path("ext.cnf"), CONFIG).unwrap();
        for ca in ["root", "sub", "qual"] {
            let text = format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase={ca}.index\ncrlnumber={ca}.number\n\
                 certificate={ca}.pem\nprivate_key={ca}.key\ndefault_md=sha256\n\
                 default_crl_days={lists}\ncrl_extensions=c\n[c]\nauthorityKeyIdentifier=keyid\n"
            );
            std::fs::write(pki.path(&format!("{ca}.cnf")), text).unwrap();
            std::fs::write(pki.path(&format!("{ca}.index")), "").unwrap();
            std::fs::write(pki.path(&format!("{ca}.number")), "01\n").unwrap();
        }
        pki.key("root");
        let subject = "/C=PT/O=Test/CN=Root";
        pki.openssl(&format!(
            "req -new -x509 -key root.key -sha256 -days {root} -subj {subject} -config ext.cnf -extensions root -out root.pem"
        ));
        pki.issue("sub", "/C=PT/O=Test/CN=Cards", "root", "sub", sub);
        pki.list();
        pki
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn openssl(&self, args: &str) -> String {
        let args: Vec<&str> = args.split(' ').collect();
        run("openssl", &args, self.dir.path())
    }

    fn key(&self, name: &str) {
        self.openssl(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"
        ));
    }

    fn issue(&self, name: &str, subject: &str, ca: &str, section: &str, days: u32) {
        if !self.path(&format!("{name}.key")).exists() {
            self.key(name);
        }
        self.openssl(&format!(
            "req -new -key {name}.key -subj {subject} -config ext.cnf -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -sha256 -days {days} \
             -CAcreateserial -extfile ext.cnf -extensions {section} -out {name}.pem"
        ));
    }

    /// Makes a second authority, for keys that sign in class Q.
    pub(crate) fn second_authority(&self) {
        self.issue("qual", "/C=PT/O=Test/CN=Signatures", "root", "sub", 900);
        self.list_of("qual");
    }

    /// Issues the certificate of somebody's key for signatures, by the second
    /// authority.
    pub(crate) fn signature_card(&self, name: &str, holder: &str, serial: &str) -> SoftKey {
        let subject = format!("/C=PT/O=Test/serialNumber={serial}/CN={holder}");
        self.issue(name, &subject, "qual", "signature", 900);
        self.soft_key(name, "qual")
    }

    /// Returns the lists of these authorities.
    pub(crate) fn lists_of(&self, authorities: &[&str]) -> Vec<Crl> {
        let mut store = TrustStore::default();
        for ca in authorities {
            let list = std::fs::read(self.path(&format!("{ca}.crl"))).unwrap();
            store.add_crls(&list).unwrap();
        }
        store.crls
    }

    /// Makes a new revocation list of one authority.
    pub(crate) fn list_of(&self, ca: &str) {
        self.openssl(&format!("ca -config {ca}.cnf -gencrl -out {ca}.crl"));
    }

    /// Revokes a certificate of one authority.
    pub(crate) fn revoke_by(&self, ca: &str, name: &str) {
        self.openssl(&format!(
            "ca -config {ca}.cnf -revoke {name}.pem -crl_reason keyCompromise"
        ));
        self.list_of(ca);
    }

    /// Makes new revocation lists.
    pub(crate) fn list(&self) {
        ["root", "sub"].iter().for_each(|ca| self.list_of(ca));
    }

    /// Makes the revocation lists of a day to come, each for a month.
    pub(crate) fn list_in(&self, days: i64) {
        let text = |time: i64| {
            let time = jiff::Timestamp::from_second(time).unwrap();
            time.strftime("%Y%m%d%H%M%SZ").to_string()
        };
        let from = now() + days * 86_400;
        for ca in ["root", "sub"] {
            self.openssl(&format!(
                "ca -config {ca}.cnf -gencrl -out {ca}.crl -crl_lastupdate {} -crl_nextupdate {}",
                text(from),
                text(from + 30 * 86_400)
            ));
        }
    }

    pub(crate) fn revoke(&self, name: &str) {
        self.revoke_by("sub", name);
        self.list();
    }

    /// Lets the authority of cards answer for one of them (OCSP), for a month.
    pub(crate) fn answer(&self, name: &str) -> Vec<u8> {
        self.answer_by("sub", name)
    }

    /// Lets an authority answer for a certificate (OCSP), for a month.
    pub(crate) fn answer_by(&self, ca: &str, name: &str) -> Vec<u8> {
        let index = std::fs::read_to_string(self.path(&format!("{ca}.index"))).unwrap();
        let serial = self.openssl(&format!("x509 -in {name}.pem -noout -serial"));
        if !index.contains(serial.trim().trim_start_matches("serial=")) {
            self.openssl(&format!("ca -config {ca}.cnf -valid {name}.pem"));
        }
        self.openssl(&format!(
            "ocsp -index {ca}.index -CA {ca}.pem -rsigner {ca}.pem -rkey {ca}.key -issuer {ca}.pem \
             -cert {name}.pem -ndays 30 -noverify -respout {name}.ocsp"
        ));
        std::fs::read(self.path(&format!("{name}.ocsp"))).unwrap()
    }

    /// Lets an authority of time below the root stamp a file, as of now.
    pub(crate) fn stamp(&self, bytes: &[u8]) -> Vec<u8> {
        let config = "[tsa]\ndefault_tsa=t\n[t]\nserial=tsa.serial\ndefault_policy=1.2.3.4\n\
                      signer_digest=sha256\ndigests=sha256\ness_cert_id_alg=sha256\n";
        std::fs::write(self.path("tsa.cnf"), config).unwrap();
        std::fs::write(self.path("tsa.serial"), "01\n").unwrap();
        std::fs::write(self.path("stamped"), bytes).unwrap();
        self.issue("tsa", "/C=PT/O=Test/CN=Clock", "root", "tsa", 900);
        self.openssl("ts -query -data stamped -sha256 -cert -out stamped.tsq");
        self.openssl(
            "ts -reply -config tsa.cnf -queryfile stamped.tsq -signer tsa.pem -inkey tsa.key \
             -token_out -out stamped.tst",
        );
        std::fs::read(self.path("stamped.tst")).unwrap()
    }

    pub(crate) fn certificates(&self, name: &str) -> Vec<Certificate> {
        let pem = std::fs::read(self.path(&format!("{name}.pem"))).unwrap();
        Certificate::pem_or_der_bundle(&pem).unwrap()
    }

    /// Issues a card to somebody: section `person` or `signature`.
    pub(crate) fn card(&self, name: &str, serial: &str, section: &str) -> SoftKey {
        let subject = format!("/C=PT/O=Test/serialNumber={serial}/CN={name}");
        self.card_as(name, &subject, section, 900)
    }

    /// Issues a card with this subject, for so many days; its files bear `name`.
    pub(crate) fn card_as(&self, name: &str, subject: &str, section: &str, days: u32) -> SoftKey {
        self.issue(name, subject, "sub", section, days);
        self.soft_key(name, "sub")
    }

    /// Issues a card that ends at this time, unix seconds.
    pub(crate) fn card_until(&self, name: &str, subject: &str, end: i64) -> SoftKey {
        let sub = std::fs::read_to_string(self.path("sub.cnf")).unwrap();
        let policy = "[any]\ncountryName=optional\norganizationName=optional\n\
                      serialNumber=optional\ncommonName=supplied\n";
        let config = sub.replace("[d]\n", "[d]\nserial=until.serial\n") + policy;
        std::fs::write(self.path("until.cnf"), config).unwrap();
        std::fs::write(self.path("until.serial"), "7001\n").unwrap();
        self.key(name);
        self.openssl(&format!(
            "req -new -key {name}.key -subj {subject} -config ext.cnf -out {name}.csr"
        ));
        let end = jiff::Timestamp::from_second(end).unwrap();
        self.openssl(&format!(
            "ca -config until.cnf -policy any -preserveDN -batch -notext -outdir . \
             -extfile ext.cnf -extensions person -enddate {} -in {name}.csr -out {name}.pem",
            end.strftime("%Y%m%d%H%M%SZ")
        ));
        self.soft_key(name, "sub")
    }

    /// Reads a key with its certificate, and with that of who issued it.
    fn soft_key(&self, name: &str, ca: &str) -> SoftKey {
        self.openssl(&format!(
            "pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.p8"
        ));
        let key = std::fs::read(self.path(&format!("{name}.p8"))).unwrap();
        let own = self.certificates(name).remove(0);
        SoftKey::from_pkcs8(&key, own, self.certificates(ca)).unwrap()
    }

    /// Lets a card certify a key by openssl: a proxy whose information is given
    /// as openssl's configuration has it.
    pub(crate) fn proxy(&self, card: &str, common_name: &str, info: &str) -> SoftKey {
        let section =
            format!("keyUsage=critical,digitalSignature\nproxyCertInfo=critical,{info}\n");
        std::fs::write(self.path("proxy.cnf"), section).unwrap();
        self.key("proxy");
        let subject = self.openssl(&format!(
            "x509 -in {card}.pem -noout -subject -nameopt compat"
        ));
        let subject = subject.trim().trim_start_matches("subject=");
        let subject = format!("{subject}/CN={common_name}");
        let request = ["req", "-new", "-key", "proxy.key", "-subj", &subject];
        let request = [&request[..], &["-config", "ext.cnf", "-out", "proxy.csr"]].concat();
        run("openssl", &request, self.dir.path());
        self.openssl(&format!(
            "x509 -req -in proxy.csr -CA {card}.pem -CAkey {card}.key -sha256 -days 30 \
             -CAcreateserial -extfile proxy.cnf -out proxy.pem"
        ));
        std::fs::write(
            self.path("above.pem"),
            [format!("{card}.pem"), "sub.pem".into()]
                .map(|file| std::fs::read(self.path(&file)).unwrap())
                .concat(),
        )
        .unwrap();
        self.soft_key("proxy", "above")
    }

    pub(crate) fn store(&self) -> TrustStore {
        let mut store = TrustStore::default();
        let read = |name: &str| std::fs::read(self.path(name)).unwrap();
        store.add_anchors("test", &read("root.pem")).unwrap();
        store.add_intermediates(&read("sub.pem")).unwrap();
        store.add_crls(&read("root.crl")).unwrap();
        store.add_crls(&read("sub.crl")).unwrap();
        store
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        now: now(),
        revocation: Revocation::Require,
        max_age: None,
        clock_skew: 300,
        signed: None,
        policies: Vec::new(),
    }
}

/// Lets a card certify a device for an account.
pub(crate) fn device(card: &SoftKey, address: &Address, label: &str) -> SoftKey {
    let (key, spki) = generate_p256().unwrap();
    let repository = address.repository.as_ref().unwrap();
    let mut serial = [1; 16];
    serial[1..9].copy_from_slice(&Fingerprint::of(&spki).as_bytes()[..8]);
    let start = card.certificate().not_before().max(now() - 60);
    let end = card.certificate().not_after();
    let request = device::request(
        &address.mailbox,
        repository,
        label,
        spki,
        start,
        end,
        serial,
    )
    .unwrap();
    let certificate = device::issue(&request, card).unwrap();
    let mut chain = vec![card.certificate().clone()];
    chain.extend_from_slice(card.chain());
    SoftKey::from_pkcs8(&key, certificate, chain).unwrap()
}

pub(crate) fn print_of(signer: &SoftKey) -> Fingerprint {
    Fingerprint::of(signer.certificate().der())
}

pub(crate) fn chain_of(signer: &SoftKey) -> Vec<Certificate> {
    let mut chain = vec![signer.certificate().clone()];
    chain.extend_from_slice(signer.chain());
    chain
}

/// A new post-quantum recipient.
pub(crate) fn recipient() -> String {
    smr_seal::Identity::generate_pq(&mut rand_core::OsRng)
        .to_recipient()
        .to_string()
}

/// The statement of a device about its key of an epoch.
pub(crate) fn keys(address: &Address, signer: &SoftKey, epoch: u64, recipient: &str) -> Vec<u8> {
    keys_statement(address, &print_of(signer), epoch, now(), recipient, signer).unwrap()
}

/// The first record of an account with one device.
pub(crate) fn first_record(address: &Address, signer: &SoftKey) -> Vec<u8> {
    first_record_at(address, &[signer], now())
}

/// The first record of an account, signed by the first of its devices.
pub(crate) fn first_record_at(address: &Address, devices: &[&SoftKey], time: i64) -> Vec<u8> {
    let mut draft = Draft::first(address.clone(), None);
    for device in devices {
        add(&mut draft, address, device);
    }
    account::build(&draft, devices[0], time).unwrap()
}

/// Adds a device to a draft, with its first key.
pub(crate) fn add(draft: &mut Draft, address: &Address, device: &SoftKey) {
    let statement = keys(address, device, 1, &recipient());
    draft.add(&chain_of(device), statement).unwrap();
}

pub(crate) fn open(record: &[u8], pki: &Pki) -> Account {
    account::open(record, &pki.store(), &rules()).unwrap()
}

/// The record after `old`, with some change.
pub(crate) fn next(old: &Account, signer: &SoftKey, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::after(old);
    change(&mut draft);
    // Only now: what the change has removed is no later than its record.
    account::build(&draft, signer, now()).unwrap()
}

/// The record after `old`, signed at `time`.
pub(crate) fn next_at(
    old: &Account,
    signer: &SoftKey,
    time: i64,
    change: impl FnOnce(&mut Draft),
) -> Vec<u8> {
    let mut draft = Draft::after(old);
    change(&mut draft);
    account::build(&draft, signer, time).unwrap()
}
