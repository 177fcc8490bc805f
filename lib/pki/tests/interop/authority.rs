//! A certificate authority made of the openssl program and a folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use smr_pki::certificate::Certificate;
use smr_pki::crl::{Crl, parse_bundle};
use smr_pki::path::{Realm, Revocation, Rules, TrustStore};
use smr_pki::signer::SoftKey;

pub(crate) const DAY: i64 = 86_400;

/// Extensions of a CA.
pub(crate) const CA: &str = "basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash";
/// Extensions of a person's certificate.
pub(crate) const PERSON: &str = "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth,emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid";

pub(crate) struct Authority {
    dir: tempfile::TempDir,
    pub(crate) now: i64,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        Authority {
            dir: tempfile::tempdir().unwrap(),
            // Certificates begin when they are made, which takes a while.
            now: i64::try_from(now).unwrap() + 300,
        }
    }

    /// A root of RSA, a CA on P-521, one on P-384, each signed with SHA-256:
    /// the shape of the Portuguese chain.
    pub(crate) fn citizens() -> Self {
        let a = Authority::new();
        a.root("root", "rsa:2048", "/C=PT/O=State/CN=Root");
        a.issue(
            "ca1",
            "root",
            "P-521",
            "/C=PT/O=State/CN=Citizens",
            CA,
            3000,
        );
        a.issue("ca2", "ca1", "P-384", "/C=PT/O=State/CN=Cards 1", CA, 2000);
        let maria = "/C=PT/O=Card/serialNumber=BI1/CN=MARIA SILVA";
        a.issue("maria", "ca2", "P-256", maria, PERSON, 60);
        for ca in ["root", "ca1", "ca2"] {
            a.crl(ca, ca, 30);
        }
        a
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs openssl with these words, and says how it went.
    pub(crate) fn attempt(&self, words: &str) -> Output {
        Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .expect("openssl is installed")
    }

    /// Runs openssl with these words, which must go well.
    pub(crate) fn openssl(&self, words: &str) -> Vec<u8> {
        self.run(words.split_whitespace().map(str::to_owned).collect())
    }

    fn run(&self, words: Vec<String>) -> Vec<u8> {
        let output = Command::new("openssl")
            .args(&words)
            .current_dir(self.dir.path())
            .output()
            .expect("openssl is installed");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words:?}: {told}");
        output.stdout
    }

    pub(crate) fn accepts(&self, words: &str) -> bool {
        self.attempt(words).status.success()
    }

    pub(crate) fn key(&self, name: &str, kind: &str) {
        let options = match kind.split_once(':') {
            Some(("rsa-pss", bits)) => {
                format!("-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:{bits}")
            }
            Some((_, bits)) => format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"),
            None => format!(
                "-algorithm EC -pkeyopt ec_paramgen_curve:{kind} -pkeyopt ec_param_enc:named_curve"
            ),
        };
        self.openssl(&format!("genpkey {options} -out {name}.key"));
    }

    pub(crate) fn root(&self, name: &str, kind: &str, subject: &str) {
        self.self_signed(name, kind, subject, CA);
    }

    pub(crate) fn self_signed(&self, name: &str, kind: &str, subject: &str, extensions: &str) {
        self.key(name, kind);
        let config =
            format!("[req]\ndistinguished_name=dn\nx509_extensions=e\n[dn]\n[e]\n{extensions}\n");
        self.write("self.cnf", config.as_bytes());
        let words = format!(
            "req -new -x509 -key {name}.key -days 3650 -config self.cnf -out {name}.pem -subj"
        );
        self.with_subject(&words, subject);
    }

    pub(crate) fn issue(
        &self,
        name: &str,
        issuer: &str,
        kind: &str,
        subject: &str,
        extensions: &str,
        days: u32,
    ) {
        self.issue_with(name, issuer, kind, subject, extensions, days, "-sha256");
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one certificate has that many sides"
    )]
    pub(crate) fn issue_with(
        &self,
        name: &str,
        issuer: &str,
        kind: &str,
        subject: &str,
        extensions: &str,
        days: u32,
        options: &str,
    ) {
        self.key(name, kind);
        self.write("req.cnf", b"[req]\ndistinguished_name=dn\n[dn]\n");
        self.with_subject(
            &format!("req -new -key {name}.key -config req.cnf -out {name}.csr -subj"),
            subject,
        );
        self.write("ext.cnf", format!("[e]\n{extensions}\n").as_bytes());
        // A serial with the high bit set is written with a zero before it.
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -days {days} \
             -set_serial 0x{:016x} -extfile ext.cnf -extensions e {options} -out {name}.pem",
            0x8000_0000_0000_0000u64 | u64::from(crc(name))
        ));
    }

    fn with_subject(&self, words: &str, subject: &str) {
        let mut all: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        all.extend([subject.to_owned(), "-utf8".to_owned()]);
        self.run(all);
    }

    fn database(&self, ca: &str, extensions: &str) -> String {
        let index = self.path(&format!("{ca}.index"));
        if !index.exists() {
            self.write(&format!("{ca}.index"), b"");
            self.write(&format!("{ca}.number"), b"01\n");
        }
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={ca}.index\ncrlnumber={ca}.number\n\
             certificate={ca}.pem\nprivate_key={ca}.key\ndefault_md=sha256\n\
             crl_extensions=c\n[c]\nauthorityKeyIdentifier=keyid\n{extensions}\n"
        );
        self.write(&format!("{ca}.cnf"), config.as_bytes());
        format!("{ca}.cnf")
    }

    pub(crate) fn revoke(&self, ca: &str, name: &str) {
        let config = self.database(ca, "");
        self.openssl(&format!("ca -config {config} -revoke {name}.pem"));
    }

    /// Revokes as of a time of our choice.
    pub(crate) fn revoke_at(&self, ca: &str, name: &str, when: i64) {
        self.revoke(ca, name);
        let date = Command::new("date")
            .args(["-u", "-d", &format!("@{when}"), "+%y%m%d%H%M%SZ"])
            .output()
            .expect("date runs");
        let date = String::from_utf8(date.stdout).unwrap();
        let index = String::from_utf8(self.read(&format!("{ca}.index"))).unwrap();
        let mut fields: Vec<&str> = index.trim_end().split('\t').collect();
        assert_eq!((fields.len(), fields[0]), (6, "R"), "one entry, revoked");
        fields[2] = date.trim();
        self.write(
            &format!("{ca}.index"),
            (fields.join("\t") + "\n").as_bytes(),
        );
    }

    /// Enters a certificate in what `ca` knows, for its responders to answer.
    pub(crate) fn known(&self, ca: &str, name: &str) {
        let config = self.database(ca, "");
        self.openssl(&format!("ca -config {config} -valid {name}.pem"));
    }

    /// Writes `answer.ocsp`: what the database of `ca` says of `name`, signed
    /// by `responder`, good for `days`.
    pub(crate) fn answer(&self, ca: &str, responder: &str, name: &str, answer: &str, days: u32) {
        self.answer_with(ca, responder, name, answer, &format!("-ndays {days}"));
    }

    pub(crate) fn answer_with(
        &self,
        ca: &str,
        responder: &str,
        name: &str,
        answer: &str,
        options: &str,
    ) {
        self.openssl(&format!(
            "ocsp -issuer {ca}.pem -cert {name}.pem -no_nonce -reqout {answer}.req"
        ));
        self.openssl(&format!(
            "ocsp -index {ca}.index -CA {ca}.pem -rsigner {responder}.pem \
             -rkey {responder}.key -reqin {answer}.req -respout {answer}.ocsp {options}"
        ));
    }

    /// Writes `name.crl` with what `ca` has revoked, good for `days`.
    pub(crate) fn crl(&self, ca: &str, name: &str, days: u32) {
        self.crl_with(ca, name, days, "");
    }

    pub(crate) fn crl_with(&self, ca: &str, name: &str, days: u32, extensions: &str) {
        let config = self.database(ca, extensions);
        self.openssl(&format!(
            "ca -config {config} -gencrl -crldays {days} -out {name}.crl"
        ));
    }

    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        let mut all = Certificate::pem_or_der_bundle(&self.read(&format!("{name}.pem"))).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    pub(crate) fn list(&self, name: &str) -> Crl {
        parse_bundle(&self.read(&format!("{name}.crl")))
            .unwrap()
            .remove(0)
    }

    /// Returns the signer of a key file, with `chain` above it.
    pub(crate) fn signer(&self, name: &str, chain: &[&str]) -> SoftKey {
        self.openssl(&format!(
            "pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.p8"
        ));
        let chain = chain.iter().map(|c| self.certificate(c)).collect();
        SoftKey::from_pkcs8(
            &self.read(&format!("{name}.p8")),
            self.certificate(name),
            chain,
        )
        .unwrap()
    }

    pub(crate) fn store(&self, anchors: &[&str], others: &[&str], crls: &[&str]) -> TrustStore {
        TrustStore {
            realms: vec![Realm {
                name: "state".into(),
                anchors: anchors.iter().map(|a| self.certificate(a)).collect(),
            }],
            intermediates: others.iter().map(|c| self.certificate(c)).collect(),
            crls: crls.iter().map(|c| self.list(c)).collect(),
            ocsp: Vec::new(),
        }
    }

    pub(crate) fn rules(&self, revocation: Revocation) -> Rules {
        Rules {
            now: self.now,
            revocation,
            max_age: None,
            clock_skew: 0,
            signed: None,
            policies: Vec::new(),
        }
    }

    /// Asks `openssl verify` about the same leaf, store and time.
    pub(crate) fn oracle(
        &self,
        leaf: &str,
        anchors: &[&str],
        others: &[&str],
        crls: &[&str],
        rules: &Rules,
    ) -> bool {
        let gather = |names: &[&str], suffix: &str| {
            let parts = names.iter().map(|n| self.read(&format!("{n}.{suffix}")));
            parts.collect::<Vec<_>>().concat()
        };
        self.write("oracle.anchors", &gather(anchors, "pem"));
        let mut words = format!(
            "verify -CAfile oracle.anchors -no-CApath -purpose smimesign -attime {}",
            rules.now
        );
        if !others.is_empty() {
            self.write("oracle.others", &gather(others, "pem"));
            words += " -untrusted oracle.others";
        }
        if rules.revocation == Revocation::Require {
            words += " -crl_check_all";
        }
        if !crls.is_empty() {
            self.write("oracle.crls", &gather(crls, "crl"));
            words += " -CRLfile oracle.crls";
        }
        self.accepts(&format!("{words} {leaf}.pem"))
    }
}

fn crc(name: &str) -> u32 {
    name.bytes().fold(7, |sum: u32, b| {
        sum.wrapping_mul(31).wrapping_add(u32::from(b))
    })
}
