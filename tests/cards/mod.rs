//! A house with cards that a script plays, one for each person.
//!
//! The module of tests/token-module plays them and keeps a journal: what the
//! programs did to a card is counted there.

#![allow(dead_code)] // each suite uses its own part

use std::fs;
use std::path::{Path, PathBuf};

use smr_token_module::journal::{self, Call};

use crate::house::{House, Said};

/// The PIN of every scripted token, and one that is wrong.
pub(crate) const PIN: &str = "84619372";
pub(crate) const WRONG: &str = "39172840";

/// Returns the module: cargo builds it beside this very program.
pub(crate) fn module() -> PathBuf {
    let here = std::env::current_exe().expect("this program has a path");
    let module = here.with_file_name("libsmr_token_module.so");
    assert!(module.exists(), "{} is not built", module.display());
    module
}

/// A house, and a folder in it for each card.
pub(crate) struct Cards {
    pub(crate) house: House,
}

impl Cards {
    pub(crate) fn new() -> Cards {
        let house = House::build();
        fs::write(house.path("pin"), PIN).unwrap();
        fs::write(house.path("wrong"), WRONG).unwrap();
        fs::create_dir(house.path("keys")).unwrap();
        Cards { house }
    }

    /// Makes a key and its certificate, NAME.key and NAME.der, by the CA of
    /// the playground.
    pub(crate) fn issue(&mut self, name: &str, algorithm: &str, usage: &str) {
        let algorithm = match algorithm {
            "rsa" => "RSA -pkeyopt rsa_keygen_bits:2048".to_owned(),
            curve => format!("EC -pkeyopt ec_paramgen_curve:{curve}"),
        };
        let keys = self.house.path("keys");
        let script = format!(
            "cd {keys} && printf '[x]\\nbasicConstraints=critical,CA:FALSE\\n\
             keyUsage=critical,{usage}\\n' > {name}.cnf && \
             openssl genpkey -algorithm {algorithm} -out {name}.pem 2>err && \
             openssl pkcs8 -topk8 -nocrypt -in {name}.pem -outform DER -out {name}.key && \
             openssl req -new -key {name}.pem -config $PKI/ca/ext.cnf -out {name}.csr \
             -subj '/C=PT/O=Playground/SN=REIS/GN=RUI/serialNumber=BI44444444/CN=RUI REIS' && \
             openssl x509 -req -in {name}.csr -CA $PKI/ca/sub.pem -CAkey $PKI/ca/sub.key -days 9 \
             -set_serial 0x4$(openssl rand -hex 11) -extfile {name}.cnf -extensions x \
             -outform DER -out {name}.der 2>err",
            keys = keys.display()
        );
        self.house.sh("openssl", &script).expect(0);
    }

    pub(crate) fn folder(&self, who: &str) -> PathBuf {
        self.house.path("cards").join(who)
    }

    /// Gives `who` a card that this script plays.
    pub(crate) fn play(&self, who: &str, script: &str) {
        fs::create_dir_all(self.folder(who)).unwrap();
        fs::write(self.folder(who).join("script.toml"), script).unwrap();
    }

    /// Gives `who` a card with one key, and these lines more about it.
    pub(crate) fn card(&self, who: &str, key: &str, manners: &str) {
        self.play(who, &one_card(key, manners));
    }

    pub(crate) fn sh(&mut self, who: &str, command: &str) -> Said {
        let script = self.folder(who).join("script.toml");
        let setting = format!(
            "export SMR_TOKEN_SCRIPT={} MODULE={}; ",
            script.display(),
            module().display()
        );
        self.house.sh(who, &(setting + command))
    }

    /// Registers `who` with his card; `more` are flags, such as where his PIN is.
    pub(crate) fn register(&mut self, who: &str, more: &str) -> Said {
        self.sh(who, &format!("{REGISTER} {more} $WHO"))
    }

    pub(crate) fn pin(&self, which: &str) -> String {
        format!("--pin-file {}", self.house.path(which).display())
    }

    /// Registers with the right PIN, and sees that it works.
    #[track_caller]
    pub(crate) fn register_well(&mut self, who: &str) {
        let pin = self.pin("pin");
        let said = self.register(who, &pin).expect(0);
        assert!(said.text().starts_with(&format!("{who}@repo.example ")));
        let (rings, account) = self.left_of(who);
        assert!(!rings.is_empty() && account.exists(), "{rings:?}");
    }

    pub(crate) fn calls(&self, who: &str) -> Vec<Call> {
        journal::read(&self.folder(who)).unwrap()
    }

    pub(crate) fn count(&self, who: &str, function: &str) -> usize {
        let calls = self.calls(who).into_iter();
        calls.filter(|call| call.function == function).count()
    }

    /// Returns the calls of C_Login: what they answered, and who with which PIN.
    pub(crate) fn logins(&self, who: &str) -> Vec<(u64, String)> {
        let calls = self.calls(who).into_iter();
        let logins = calls.filter(|call| call.function == "C_Login");
        logins.map(|call| (call.rv, call.detail)).collect()
    }

    /// Returns what `who` has: key rings, and the place of his account at smrd.
    fn left_of(&self, who: &str) -> (Vec<PathBuf>, PathBuf) {
        let mut all = files(&self.house.path("home").join(who));
        all.retain(|path| path.extension().is_some_and(|end| end == "age"));
        (all, self.house.path("store/accounts").join(who))
    }

    /// Sees that `who` has neither key ring nor account.
    #[track_caller]
    pub(crate) fn assert_nothing_of(&self, who: &str) {
        let (rings, account) = self.left_of(who);
        assert!(rings.is_empty(), "left behind: {rings:?}");
        assert!(!account.exists(), "{who} is registered");
    }

    /// Registers with a program that answers `pin`; returns how often it was
    /// asked.
    pub(crate) fn register_asked(&mut self, who: &str, pin: &str) -> (Said, usize) {
        let asking = ASKPASS.replace("PIN", pin);
        let said = self.sh(who, &format!("{asking} {REGISTER} $WHO"));
        let asked = self.house.path("work").join(who).join("asked");
        let lines = fs::read_to_string(asked).unwrap().lines().count();
        (said, lines)
    }
}

/// Registers; more flags and $WHO are still wanted.
pub(crate) const REGISTER: &str = "smr-register --server $SERVER --server-key $KEY --no-backup \
                                   --token pkcs11:?module-path=$MODULE";

/// A program that says the PIN, and counts how often it was asked.
const ASKPASS: &str = "printf '#!/bin/sh\\necho asked >> %s\\necho %s\\n' $PWD/asked PIN > ask && \
                       chmod +x ask && rm -f asked && touch asked && rm -rf given && mkdir given && \
                       cp $CREDENTIALS_DIRECTORY/smr.passphrase given && \
                       export CREDENTIALS_DIRECTORY=$PWD/given SMR_ASKPASS=$PWD/ask; ";

/// Returns a script of one reader with one card of one key.
pub(crate) fn one_card(key: &str, manners: &str) -> String {
    format!(
        "[[slot]]\nreader = \"Reader\"\ntoken = \"card\"\n[token.card]\nlabel = \"Rui\"\n\
         pin = \"{PIN}\"\n{manners}\n{}",
        objects(key, "01")
    )
}

/// Returns the lines of a certificate and its key.
pub(crate) fn objects(key: &str, id: &str) -> String {
    format!(
        "[[token.card.object]]\nkind = \"certificate\"\nfile = \"../../keys/{key}.der\"\n\
         label = \"certificate\"\nid = \"{id}\"\n[[token.card.object]]\nkind = \"key\"\n\
         file = \"../../keys/{key}.key\"\nlabel = \"key\"\nid = \"{id}\"\n"
    )
}

/// Returns every file below a folder; none where it is not there.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() && !path.is_symlink() {
        true => files(&path),
        false => vec![path],
    };
    paths.flat_map(below).collect()
}

#[track_caller]
pub(crate) fn assert_no_pin(bytes: &[u8], place: &str) {
    for pin in [PIN, WRONG] {
        let found = bytes.windows(pin.len()).any(|w| w == pin.as_bytes());
        assert!(!found, "a PIN is in {place}");
    }
}

/// Returns the agents of this house, as folders of /proc.
pub(crate) fn agents(cards: &Cards) -> Vec<PathBuf> {
    let home = format!("SMR_HOME={}", cards.house.path("home/rui").display());
    let ours = |process: &PathBuf| {
        let has = |part: &str, text: &str| {
            let bytes = fs::read(process.join(part)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text)
        };
        has("environ", &home) && has("cmdline", "smr-agent")
    };
    let processes = fs::read_dir("/proc").unwrap();
    let processes = processes.map(|entry| entry.unwrap().path());
    processes.filter(ours).collect()
}
